//! The checkpoint: now and then, and at a clean stop, the producers and the recovery point are written, so that a start has little to read.

use super::producers::Producers;
use super::state::State;
use super::{AppendError, Partition, storage_error};
use crate::disk::Disk;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

/// A checkpoint is due when so many bytes were written since the last: a start reads little more than these.
const DUE_AFTER_BYTES: u64 = 64 << 20;

/// Producers as of an offset; in `producers.json`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Snapshot {
    /// What lies before it is known.
    pub offset: i64,
    pub producers: Producers,
}

fn path(dir: &Path) -> PathBuf {
    dir.join("producers.json")
}

impl Snapshot {
    /// That of the partition in `dir`; one that is missing or unreadable is as of offset 0: everything is read.
    pub fn load(dir: &Path) -> Self {
        let read = |content: Vec<u8>| serde_json::from_slice(&content).ok();
        std::fs::read(path(dir)).ok().and_then(read).unwrap_or_default()
    }

    /// Forgets it, durably.
    pub fn remove(dir: &Path, disk: &Disk) -> io::Result<()> {
        disk.remove(&path(dir)).and_then(|()| disk.sync_dir(dir))
    }

    fn store(&self, dir: &Path, disk: &Disk) -> io::Result<()> {
        disk.replace(&path(dir), &serde_json::to_vec(self)?)
    }
}

impl Partition {
    /// Writes the recovery point and the producers as of now; the caller holds `files`. Blocks on the disk.
    ///
    /// # Errors
    /// The disk failed. A failed fdatasync ends all writing, as anywhere.
    pub(super) fn checkpoint(&self, _files: &State) -> Result<(), AppendError> {
        let (file, durable, snapshot, bytes, dir, disk) = {
            let log = self.log();
            let snapshot = Snapshot { offset: log.log_end(), producers: log.producers.clone() };
            let (file, bytes) = (Arc::clone(&log.active.file), log.since_checkpoint);
            (file, log.active.extent, snapshot, bytes, log.dir.clone(), log.disk.clone())
        };
        self.0.sync(&file, durable.next_offset)?;
        snapshot.store(&dir, &disk).map_err(|error| storage_error(&dir, &error))?;
        let mut log = self.log();
        if log.active.extent.base_offset == durable.base_offset {
            log.active.store_index(&disk, &dir, &durable).map_err(|error| storage_error(&dir, &error))?;
        }
        log.since_checkpoint -= bytes;
        Ok(())
    }

    /// Retention, compaction and a checkpoint, where they are due. Blocks on the disk.
    ///
    /// # Errors
    /// The disk failed. That nothing may be written any more is no error here.
    pub(crate) fn upkeep(&self, now_ms: i64) -> Result<(), AppendError> {
        self.log().expire_producers(now_ms);
        let gone = self.files().and_then(|_files| self.remove_gone());
        let due = gone.and_then(|()| self.retain(now_ms)).and_then(|()| self.compact(now_ms)).and_then(|()| {
            let files = self.files()?;
            if self.checkpoint_due() { self.checkpoint(&files) } else { Ok(()) }
        });
        if self.log().failed.is_some() { Ok(()) } else { due }
    }

    /// Writes the recovery point and ends all writing: whoever waits has been answered before, by the sync. Blocks on the disk.
    ///
    /// # Errors
    /// The disk failed.
    pub(crate) fn close(&self) -> Result<(), AppendError> {
        let stopped = AppendError::Storage("the broker stops".into());
        if let Some(failed) = self.log().failed.replace(stopped.clone()).filter(|failed| *failed != stopped) {
            return Err(failed);
        }
        self.checkpoint(&self.0.files.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether much was written since the last checkpoint.
    fn checkpoint_due(&self) -> bool {
        let log = self.log();
        log.failed.is_none() && log.since_checkpoint >= DUE_AFTER_BYTES
    }
}
