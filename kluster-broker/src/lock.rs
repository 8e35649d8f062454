//! The lock of a data directory: one process at a time. Held by the kernel, so it ends with the process, however that ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

/// Name of the locked file; its content is the holder's process id.
const LOCK_FILE: &str = "lock";

/// The lock, held until released or dropped.
#[derive(Debug)]
pub struct DirectoryLock {
    file: File,
}

/// Why the lock was not got.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process works in the directory.
    #[error("{} is in use by process {holder}; stop that process or take another directory", dir.display())]
    Held {
        /// The data directory.
        dir: PathBuf,
        /// Its process id, or "unknown".
        holder: String,
    },
    /// The file system refused.
    #[error("cannot lock {}: {source}", path.display())]
    Io {
        /// The lock file.
        path: PathBuf,
        /// Its words.
        source: io::Error,
    },
}

impl DirectoryLock {
    /// Takes the lock of `dir`, which exists, without waiting.
    ///
    /// # Errors
    /// Another process holds it, or the file system refuses.
    pub fn take(dir: &Path) -> Result<Self, LockError> {
        let path = dir.join(LOCK_FILE);
        let failed = |source| LockError::Io { path: path.clone(), source };
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::Error(source)) => return Err(failed(source)),
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let read = file.read_to_string(&mut holder);
                let known = read.is_ok() && !holder.trim().is_empty();
                let holder = if known { holder.trim().to_owned() } else { "unknown".to_owned() };
                return Err(LockError::Held { dir: dir.to_owned(), holder });
            }
        }
        file.set_len(0).and_then(|()| file.rewind()).map_err(failed)?;
        writeln!(file, "{}", std::process::id()).map_err(failed)?;
        Ok(Self { file })
    }

    /// Gives the directory back, although this may be kept by someone who has nothing more to do there.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn release(&self) -> io::Result<()> {
        self.file.unlock()
    }
}
