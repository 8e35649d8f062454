//! Every touch of the disk that must survive a crash goes through here, so that the faults of tests meet it too.
//!
//! Rules: a file's content is made durable by [`DiskFile::sync`], its name by [`Disk::sync_dir`]; small files are replaced whole
//! ([`Disk::replace`]), so that a crash leaves the old or the new.

use crate::fault::disk::{self, DiskFaults, SyncPoint, Unsettled};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// The extension of a file that is not yet in its place; such files are removed at start.
pub(crate) const UNPLACED: &str = "new";

/// Written again at once.
const AGAIN_BYTES: usize = 1 << 20;

/// The name of a file until it is in its place.
pub(crate) fn unplaced(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(UNPLACED);
    name.into()
}

/// The disk of one data directory. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disk {
    faults: Arc<DiskFaults>,
    full: Full,
}

/// Whether the last write found no room. One for all files of a data directory.
#[derive(Debug, Clone, Default)]
struct Full(Arc<watch::Sender<bool>>);

impl Full {
    fn note(&self, written: &io::Result<()>) {
        let full = matches!(written, Err(error) if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded));
        // Read first: a write is many times as frequent as a change, and a failure of another kind tells nothing of the room.
        if *self.0.borrow() != full && (full || written.is_ok()) {
            self.0.send_replace(full);
        }
    }
}

/// A file that grows at its end and is read anywhere.
#[derive(Debug)]
pub(crate) struct DiskFile {
    file: File,
    path: PathBuf,
    faults: Arc<DiskFaults>,
    full: Full,
    /// Length in the power-loss record. Two syncs at once end in any order; the longer one holds.
    noted: Mutex<u64>,
}

/// An open directory.
#[derive(Debug)]
pub(crate) struct DiskDir {
    dir: File,
    path: PathBuf,
    faults: Arc<DiskFaults>,
}

impl Disk {
    pub fn new(faults: Arc<DiskFaults>) -> Self {
        Self { faults, full: Full::default() }
    }

    /// Whether it is full, now and from now on.
    pub fn full(&self) -> watch::Receiver<bool> {
        self.full.0.subscribe()
    }

    /// Creates an empty file; one of that name is emptied. Its name is durable after [`sync_dir`](Self::sync_dir).
    pub fn create(&self, path: &Path) -> io::Result<DiskFile> {
        self.faults.at_change()?;
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
        if self.faults.power_loss_record() {
            disk::created(path)?;
        }
        Ok(self.file(file, path))
    }

    /// Opens a file to read and to go on writing.
    pub fn open(&self, path: &Path) -> io::Result<DiskFile> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        if self.faults.power_loss_record() {
            disk::opened(path, file.metadata()?.len())?;
        }
        Ok(self.file(file, path))
    }

    fn file(&self, file: File, path: &Path) -> DiskFile {
        let (faults, full) = (Arc::clone(&self.faults), self.full.clone());
        DiskFile { file, path: path.to_owned(), faults, full, noted: Mutex::new(0) }
    }

    /// Creates a directory; its name is durable after [`sync_dir`](Self::sync_dir) of the one it is in.
    pub fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.faults.at_change()?;
        fs::create_dir(path)?;
        if self.faults.power_loss_record() { disk::created(path) } else { Ok(()) }
    }

    /// Replaces a small file by these bytes, durably: a crash leaves the old or the new. After an error either may be there.
    pub fn replace(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let names = self.open_dir(path.parent().unwrap_or(Path::new(".")))?;
        let unplaced = unplaced(path);
        let file = self.create(&unplaced)?;
        file.write_at(content, 0)?;
        file.sync()?;
        self.rename(&unplaced, path)?;
        names.sync()
    }

    /// Replaces a file that can be made anew: the end of the process leaves the old or the new, a power failure anything.
    pub fn replace_lightly(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let unplaced = unplaced(path);
        self.create(&unplaced)?.write_at(content, 0)?;
        self.rename(&unplaced, path)
    }

    /// Gives a file another name; a file of that name is replaced. Durable after [`sync_dir`](Self::sync_dir).
    pub fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.faults.at_change()?;
        if self.faults.power_loss_record() { disk::renamed(from, to) } else { fs::rename(from, to) }
    }

    /// Removes a file, if it is there. Durable after [`sync_dir`](Self::sync_dir).
    pub fn remove(&self, path: &Path) -> io::Result<()> {
        self.faults.at_change()?;
        let record = self.faults.power_loss_record();
        match if record { disk::removed(path) } else { fs::remove_file(path) } {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Makes the names in a directory durable.
    pub fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.open_dir(dir)?.sync()
    }

    /// Opens a directory whose names will change: with the last free file descriptor a change could be made and not made durable.
    pub fn open_dir(&self, dir: &Path) -> io::Result<DiskDir> {
        Ok(DiskDir { dir: File::open(dir)?, path: dir.to_owned(), faults: Arc::clone(&self.faults) })
    }
}

impl DiskDir {
    /// Makes the names in it durable.
    pub fn sync(&self) -> io::Result<()> {
        self.faults.at_change()?;
        let unsettled = self.faults.power_loss_record().then(|| Unsettled::list(&self.path)).transpose()?;
        self.dir.sync_all()?;
        unsettled.map_or(Ok(()), Unsettled::settle)
    }
}

impl DiskFile {
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// Writes all of it, or fails with a part written.
    pub fn write_at(&self, content: &[u8], position: u64) -> io::Result<()> {
        let written = self.write(content, position);
        self.full.note(&written);
        written
    }

    fn write(&self, content: &[u8], position: u64) -> io::Result<()> {
        self.faults.at_change()?;
        let room = self.faults.room_for(content.len());
        self.file.write_all_at(&content[..room], position)?;
        if room < content.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    pub fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, position)
    }

    /// Writes these bytes again as they are. What an fdatasync failed to write may be in memory only, and no longer marked to be written.
    pub fn write_again(&self, range: Range<u64>) -> io::Result<()> {
        let mut at = range.start;
        let mut chunk = Vec::new();
        while at < range.end {
            self.faults.at_change()?;
            chunk.resize(usize::try_from(range.end - at).unwrap_or(usize::MAX).min(AGAIN_BYTES), 0);
            self.read_at(&mut chunk, at)?;
            self.file.write_all_at(&chunk, at)?;
            at += chunk.len() as u64;
        }
        Ok(())
    }

    /// Shortens the file to this length.
    pub fn cut(&self, length: u64) -> io::Result<()> {
        self.faults.at_change()?;
        let mut noted = self.noted();
        *noted = (*noted).min(length);
        self.file.set_len(length)
    }

    fn noted(&self) -> MutexGuard<'_, u64> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes all that was written before the call durable. After an error nothing is known of it, and calling again proves nothing: the kernel
    /// may have dropped what it could not write.
    pub fn sync(&self) -> io::Result<()> {
        self.faults.at_change()?;
        let length = self.faults.power_loss_record().then(|| self.len()).transpose()?;
        self.faults.at_sync(SyncPoint::Before, &self.path)?;
        self.file.sync_data()?;
        if let Some(length) = length {
            let mut noted = self.noted();
            if length > *noted {
                disk::synced(&self.path, length)?;
                *noted = length;
            }
        }
        self.faults.at_sync(SyncPoint::After, &self.path)
    }
}
