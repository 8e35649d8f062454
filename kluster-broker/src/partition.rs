//! One partition's log: batches are appended, made durable, read, deleted.
//!
//! ```text
//! append ─▶ check, stamp ─▶ write to the page cache ─▶ hand over ─▶ fdatasync (flush) ─▶ high watermark ─▶ waiters and readers
//! ```
//!
//! Invariants
//! 1. What [`Partition::durable`] has confirmed is on disk. The high watermark moves after the fdatasync, never before; nothing above it is
//!    read. (Exception by the topic's own setting: flush.messages above 1.)
//! 2. Offsets never change and never come twice.
//! 3. After a failed fdatasync nothing more is written: the kernel may have dropped what it could not write.
//! 4. Every batch that is read has been checked against its checksum.
//!
//! Neighbours: `topics` opens partitions and drives their upkeep; the APIs append and read.

mod append;
mod checkpoint;
mod clean;
mod compaction;
mod error;
mod flush;
mod index;
mod log;
mod producers;
mod read;
mod recovery;
mod retention;
mod rewriting;
mod scan;
mod segment;
mod state;

pub use error::{AppendError, DeleteError, PartitionError, ReadError};
pub(crate) use flush::Flushers;
pub(crate) use log::MOST_FILES;
pub(crate) use producers::Produced;

use crate::batch;
use crate::disk::{Disk, DiskFile};
use crate::lock::DirectoryLock;
use crate::topic_config::TopicConfig;
use append::Prepared;
use bytes::Bytes;
use log::{Log, Waiter};
use state::State;
use std::io;
use std::path::Path;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::{Notify, oneshot, watch};

/// What an append did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Offset of the first record.
    pub base_offset: i64,
    /// Offset after the last record; await [`Partition::durable`] of it before the acknowledgement.
    pub next_offset: i64,
    /// The broker's time in the records, where the topic wants that.
    pub log_append_time: Option<i64>,
    /// Stored before: these are the first one's offsets.
    pub duplicate: bool,
}

/// Where a log starts and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offsets {
    /// First offset that may be read.
    pub log_start: i64,
    /// Offset after the last one that may be read.
    pub high_watermark: i64,
    /// Offset after the last one written.
    pub log_end: i64,
}

/// What all partitions of a data directory share.
#[derive(Debug, Clone)]
pub(crate) struct Backing {
    pub disk: Disk,
    pub flushers: Flushers,
    /// Upkeep has something to do.
    pub upkeep: Arc<Upkeep>,
    /// How many idempotent producers are remembered in all partitions.
    pub producers: Arc<AtomicUsize>,
    /// Held as long as any partition is in use.
    pub lock: Arc<DirectoryLock>,
}

/// What wakes the upkeep of a data directory.
#[derive(Debug, Default)]
pub(crate) struct Upkeep {
    /// A segment was closed, or much was written.
    pub grown: Notify,
    /// Something was acknowledged that is not on disk yet (flush.messages above 1).
    pub unsynced: Notify,
}

/// One partition. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Partition(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    log: Mutex<Log>,
    /// What is in `partition.json`. Held by whoever changes any file but the active segment; taken before `log`.
    files: Mutex<State>,
    /// Held from the beginning of an fdatasync until its result has been noted: the kernel tells a lost write to one caller only, and another's
    /// success must not be believed before. Taken before `log`; closing a segment syncs under `log` instead.
    syncing: Mutex<()>,
    config: RwLock<Arc<TopicConfig>>,
    high_watermark: watch::Sender<i64>,
    backing: Backing,
}

/// The broker's time, in milliseconds since 1970.
pub(crate) fn clock_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn storage_error(path: &Path, error: &io::Error) -> AppendError {
    let message = format!("{}: {error}", path.display());
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => AppendError::DiskFull(message),
        _ => AppendError::Storage(message),
    }
}

impl Partition {
    /// Opens the partition in `dir`, which exists; an empty directory is a new partition.
    ///
    /// # Errors
    /// The file system refused, or the log is damaged before its end.
    pub(crate) fn open(dir: &Path, backing: &Backing, config: TopicConfig) -> Result<Self, PartitionError> {
        let (mut log, state) = recovery::recover(dir, &backing.disk, &config)?;
        log.count_producers_in(&backing.producers);
        Ok(Self(Arc::new(Shared {
            high_watermark: watch::Sender::new(log.high_watermark),
            log: Mutex::new(log),
            files: Mutex::new(state),
            syncing: Mutex::new(()),
            config: RwLock::new(Arc::new(config)),
            backing: backing.clone(),
        })))
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.0.log()
    }

    /// For changing files; an error once nothing may be written any more.
    fn files(&self) -> Result<MutexGuard<'_, State>, AppendError> {
        let files = self.0.files.lock().unwrap_or_else(PoisonError::into_inner);
        self.log().failed.clone().map_or(Ok(files), Err)
    }

    fn config(&self) -> Arc<TopicConfig> {
        Arc::clone(&self.0.config.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Checks, stamps and writes the batches of one produce request; they are readable only when durable. `now_ms` is the broker's time.
    ///
    /// Idempotent producers: a batch sent again gives the first one's offsets. Closing a full segment waits for the disk here; nothing else does.
    ///
    /// # Errors
    /// Nothing was stored, and why.
    pub fn append(&self, batches: Bytes, now_ms: i64) -> Result<Appended, AppendError> {
        let config = self.config();
        let mut prepared = Prepared::new(batches, &config, now_ms)?;
        let mut log = self.log();
        let segments = log.closed.len();
        let appended = log.append(&mut prepared, &config, now_ms)?;
        if appended.duplicate {
            return Ok(appended);
        }
        let grown = log.closed.len() > segments;
        let first_unsynced = !config.durable() && log.unsynced == prepared.records();
        let reached = if config.durable() { Vec::new() } else { log.advance(appended.next_offset) };
        let high_watermark = log.high_watermark;
        let hand_over = log.unsynced >= config.flush_messages && !std::mem::replace(&mut log.handed_over, true);
        drop(log);
        if !config.durable() {
            self.0.tell(high_watermark, reached);
        }
        if hand_over {
            self.0.backing.flushers.hand_over(Arc::clone(&self.0));
        }
        if grown {
            self.0.backing.upkeep.grown.notify_one();
        }
        if first_unsynced {
            self.0.backing.upkeep.unsynced.notify_one();
        }
        Ok(appended)
    }

    /// Until everything below `next` is durable. Where the topic's flush.messages is above 1: until it is written, which it is.
    ///
    /// # Errors
    /// The disk failed: what was appended may be lost. Or nothing was ever written there.
    pub async fn durable(&self, next: i64) -> Result<(), AppendError> {
        let durable = {
            let mut log = self.log();
            if log.high_watermark >= next {
                return Ok(());
            }
            if let Some(error) = &log.failed {
                return Err(error.clone());
            }
            if log.log_end() < next {
                return Err(AppendError::Storage(format!("offset {next} is beyond the log's end, {}", log.log_end())));
            }
            let (answer, durable) = oneshot::channel();
            log.waiters.push(Waiter { next, answer });
            durable
        };
        durable.await.unwrap_or(Err(AppendError::Deleted))
    }

    /// Where the log starts and ends.
    pub fn offsets(&self) -> Offsets {
        let log = self.log();
        Offsets { log_start: log.log_start, high_watermark: log.high_watermark, log_end: log.log_end() }
    }

    /// The high watermark as it moves; a fetch waits on it. Also told, without a change, when the partition is deleted.
    pub fn watch(&self) -> watch::Receiver<i64> {
        self.0.high_watermark.subscribe()
    }

    /// The leader epoch: one machine leads for ever.
    pub fn leader_epoch(&self) -> i32 {
        batch::LEADER_EPOCH
    }

    /// What OffsetForLeaderEpoch answers: the epoch and where it ends; None for one that never was.
    pub fn epoch_end(&self, epoch: i32) -> Option<(i32, i64)> {
        (epoch == batch::LEADER_EPOCH).then(|| (batch::LEADER_EPOCH, self.offsets().high_watermark))
    }

    /// Has what was acknowledged before it was durable made so.
    pub(crate) fn flush(&self) {
        let mut log = self.log();
        let hand_over = log.unsynced > 0 && !std::mem::replace(&mut log.handed_over, true);
        drop(log);
        if hand_over {
            self.0.backing.flushers.hand_over(Arc::clone(&self.0));
        }
    }

    /// Takes other settings from now on.
    pub(crate) fn reconfigure(&self, config: TopicConfig) {
        *self.0.config.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
        self.0.backing.upkeep.grown.notify_one();
    }

    /// How many idempotent producers are remembered.
    pub(crate) fn count_producers(&self) -> usize {
        self.log().producers.count()
    }

    /// The idempotent producers that are remembered.
    pub(crate) fn producers(&self) -> Vec<Produced> {
        self.log().producers.describe()
    }

    /// Bytes of the log on disk.
    pub fn size_bytes(&self) -> u64 {
        self.log().size()
    }

    /// Ends a partition whose topic is deleted: waiters and later calls are told so. On return no file of it is written any more.
    pub(crate) fn delete(&self) {
        let mut log = self.log();
        log.fail(AppendError::Deleted);
        log.failed = Some(AppendError::Deleted);
        drop(log);
        self.0.high_watermark.send_modify(|_| {});
        drop(self.0.files.lock().unwrap_or_else(PoisonError::into_inner)); // upkeep ends early
    }
}

impl Shared {
    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells readers and waiters how far the high watermark has come. Outside the lock: they go on at once.
    fn tell(&self, high_watermark: i64, reached: Vec<Waiter>) {
        self.high_watermark.send_if_modified(|told| {
            let moved = *told < high_watermark; // another thread may have told a later one
            *told = high_watermark.max(*told);
            moved
        });
        for waiter in reached {
            let _ = waiter.answer.send(Ok(())); // the caller may have gone
        }
    }

    /// One group: what was written before the call is made durable. Whether there is another group by now.
    fn sync_group(&self) -> bool {
        let (file, target) = {
            let mut log = self.log();
            log.unsynced = 0;
            (Arc::clone(&log.active.file), log.log_end())
        };
        let _ = self.sync(&file, target); // whoever waits is told
        let mut log = self.log();
        log.handed_over = log.failed.is_none() && log.high_watermark < log.log_end();
        log.handed_over
    }

    /// An fdatasync of the segment that is or was the active one when the log ended at `offset`.
    fn sync(&self, file: &DiskFile, offset: i64) -> Result<(), AppendError> {
        let _alone = self.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        let synced = file.sync();
        let mut log = self.log();
        synced.map_err(|error| log.lose(&error))?;
        let reached = log.advance(offset);
        let (high_watermark, lost) = (log.high_watermark, log.lost.then(|| log.failed.clone()).flatten());
        drop(log);
        self.tell(high_watermark, reached);
        lost.map_or(Ok(()), Err)
    }
}
