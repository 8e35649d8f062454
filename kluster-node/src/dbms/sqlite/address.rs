//! Address: which file a `sqlite:` address names, and the lock that keeps a second node away from it.
//!
//! The lock is a file of its own beside the database: SQLite's locks are POSIX locks, and closing any other descriptor of the database
//! file would drop them for the whole process.

use super::OpenError;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

/// The database file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    /// Absolute, without symbolic links, so that two ways of naming one file meet at one lock.
    pub path: PathBuf,
}

impl Address {
    /// Takes `sqlite:PATH` or `sqlite://PATH`, where a PATH that begins with `/` is absolute.
    pub fn parse(url: &str) -> Result<Self, OpenError> {
        let text = url.strip_prefix("sqlite:").unwrap_or(url);
        let text = text.strip_prefix("//").unwrap_or(text);
        if text.is_empty() || text == ":memory:" || text.contains('?') {
            return Err(OpenError::Unusable(format!(
                "{url:?} names no file; write sqlite:PATH or sqlite:///absolute/path, without options"
            )));
        }
        Ok(Self { path: resolve(Path::new(text))? })
    }
}

fn resolve(path: &Path) -> Result<PathBuf, OpenError> {
    if path.is_dir() {
        return Err(OpenError::Unusable(format!("{} is a directory; name a file in it", path.display())));
    }
    if let Ok(path) = path.canonicalize() {
        return Ok(path);
    }
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let file = path.file_name().ok_or_else(|| OpenError::Unusable(format!("{} names no file", path.display())))?;
    let parent = parent.canonicalize().map_err(|error| {
        OpenError::Unusable(format!("the directory {} of the database: {error}; create it first", parent.display()))
    })?;
    Ok(parent.join(file))
}

/// Held as long as the node lives; the system gives it back when the process ends, however it ends.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock, or says that another node holds it.
    pub fn take(address: &Address) -> Result<Self, OpenError> {
        let mut path = address.path.clone().into_os_string();
        path.push("-kluster.lock");
        let path = PathBuf::from(path);
        let failed = |error: std::io::Error| OpenError::Unusable(format!("the lock file {}: {error}", path.display()));
        let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(OpenError::Unusable(format!(
                "another node works on {} (it holds {}); stop it first, or give this node a file of its own",
                address.path.display(),
                path.display()
            ))),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_name_files_of_directories_that_exist() {
        let dir = tempfile::tempdir().unwrap();
        let here = dir.path().canonicalize().unwrap();
        let url = |form: &str| format!("{form}{}", here.join("a.db").display());
        for form in ["sqlite:", "sqlite://"] {
            assert_eq!(Address::parse(&url(form)).unwrap().path, here.join("a.db"));
        }
        for wrong in ["sqlite:", "sqlite::memory:", "sqlite:a.db?mode=ro", "sqlite:/no/such/directory/a.db", "sqlite:/"]
        {
            assert!(matches!(Address::parse(wrong), Err(OpenError::Unusable(_))), "{wrong}");
        }
    }

    #[test]
    fn lock_is_held_once_and_given_back() {
        let dir = tempfile::tempdir().unwrap();
        let address = Address { path: dir.path().join("a.db") };
        let held = Lock::take(&address).unwrap();
        assert!(matches!(Lock::take(&address), Err(OpenError::Unusable(_))));
        drop(held);
        Lock::take(&address).unwrap();
    }
}
