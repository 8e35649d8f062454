//! Every touch of the disk that must survive a crash goes through here, so that the faults of tests meet it too.
//!
//! Rules: a file is made durable by [`DiskFile::sync`], its name by [`Disk::sync_dir`]; small files are replaced whole ([`Disk::replace`]),
//! so that a crash leaves the old or the new.

use crate::fault::disk::DiskFaults;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The disk of one data directory. Cheap to clone.
#[derive(Debug, Clone, Default)]
#[expect(dead_code, reason = "the faults follow")]
pub(crate) struct Disk {
    faults: Arc<DiskFaults>,
}

/// A file that grows at its end and is read anywhere.
#[derive(Debug)]
pub(crate) struct DiskFile {
    file: File,
    _path: PathBuf,
    _disk: Disk,
}

impl Disk {
    pub fn new(faults: Arc<DiskFaults>) -> Self {
        Self { faults }
    }

    /// Creates an empty file; one of that name is emptied. Its name is durable after [`sync_dir`](Self::sync_dir).
    pub fn create(&self, path: &Path) -> io::Result<DiskFile> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
        Ok(DiskFile { file, _path: path.to_owned(), _disk: self.clone() })
    }

    /// Opens a file to read and to go on writing.
    pub fn open(&self, path: &Path) -> io::Result<DiskFile> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        Ok(DiskFile { file, _path: path.to_owned(), _disk: self.clone() })
    }

    /// Replaces a small file by these bytes, durably: a crash leaves the old or the new.
    pub fn replace(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let temporary = path.with_extension("new");
        let mut file = File::create(&temporary)?;
        file.write_all(content)?;
        file.sync_data()?;
        fs::rename(&temporary, path)?;
        self.sync_dir(path.parent().unwrap_or(Path::new(".")))
    }

    /// Makes the names in a directory durable.
    pub fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }
}

impl DiskFile {
    pub fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    pub fn write_at(&self, content: &[u8], position: u64) -> io::Result<()> {
        self.file.write_all_at(content, position)
    }

    pub fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, position)
    }

    pub fn cut(&self, length: u64) -> io::Result<()> {
        self.file.set_len(length)
    }

    /// Makes all that was written durable.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}
