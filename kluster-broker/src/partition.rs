//! One partition's log: batches are appended, made durable, read.
//!
//! Invariants
//! 1. What [`Partition::durable`] has confirmed is on disk. The high watermark moves after the fdatasync, never before; nothing above it is read.
//! 2. Offsets never change and never come twice.

mod error;

pub use error::{AppendError, ReadError};

use crate::batch;
use crate::disk::{Disk, DiskFile};
use crate::topic_config::TopicConfig;
use bytes::{Bytes, BytesMut};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use tokio::sync::watch;

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

/// Why a partition cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum PartitionError {
    /// The file system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Its words.
        source: std::io::Error,
    },
}

/// One partition. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Partition(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    log: Mutex<Log>,
    flush: Condvar,
    high_watermark: watch::Sender<i64>,
}

#[derive(Debug)]
struct Log {
    config: TopicConfig,
    file: Arc<DiskFile>,
    /// (base offset, next offset, position, size) of each batch.
    batches: Vec<(i64, i64, u64, usize)>,
    size: u64,
    log_start: i64,
    log_end: i64,
    failed: Option<AppendError>,
    closed: bool,
}

impl Partition {
    /// Opens or creates the partition in `dir`.
    pub(crate) fn open(dir: &Path, disk: &Disk, config: TopicConfig) -> Result<Self, PartitionError> {
        let path = dir.join(format!("{:020}.log", 0));
        let io = |source| PartitionError::Io { path: path.clone(), source };
        std::fs::create_dir_all(dir).map_err(io)?;
        let file = if path.exists() { disk.open(&path) } else { disk.create(&path) }.map_err(io)?;
        disk.sync_dir(dir).map_err(io)?;
        let mut content = vec![0; file.len().map_err(io)? as usize];
        file.read_at(&mut content, 0).map_err(io)?;
        let (mut batches, mut size, mut log_end) = (Vec::new(), 0, 0);
        while let Ok(header) = batch::check(&content[size as usize..]) {
            batches.push((header.base_offset, header.next_offset(), size, header.size));
            size += header.size as u64;
            log_end = header.next_offset();
        }
        file.cut(size).and_then(|()| file.sync()).map_err(io)?;
        let file = Arc::new(file);
        let log = Log { config, file, batches, size, log_start: 0, log_end, failed: None, closed: false };
        let shared = Arc::new(Shared {
            log: Mutex::new(log),
            flush: Condvar::new(),
            high_watermark: watch::Sender::new(log_end),
        });
        let flushed = Arc::downgrade(&shared);
        std::thread::Builder::new().name("flush".into()).spawn(move || flush(&flushed)).map_err(io)?;
        Ok(Self(shared))
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.0.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Checks, stamps and writes the batches of one produce request; they are readable only when durable.
    ///
    /// # Errors
    /// Nothing was stored, and why.
    pub fn append(&self, batches: Bytes, now_ms: i64) -> Result<Appended, AppendError> {
        let mut log = self.log();
        if let Some(error) = &log.failed {
            return Err(error.clone());
        }
        let mut batches = BytesMut::from(batches);
        let base_offset = log.log_end;
        let (mut next, mut at, mut written) = (base_offset, 0, Vec::new());
        while at < batches.len() {
            let header = batch::check(&batches[at..])?;
            if header.transactional() {
                return Err(AppendError::Transactional);
            }
            if header.size > log.config.max_message_bytes {
                return Err(AppendError::TooLarge { size: header.size, limit: log.config.max_message_bytes });
            }
            let whole = &mut batches[at..at + header.size];
            if log.config.log_append_time {
                batch::stamp_append_time(whole, now_ms);
            }
            batch::stamp_offset(whole, next);
            let after = next + i64::from(header.last_offset_delta) + 1;
            written.push((next, after, log.size + at as u64, header.size));
            next = after;
            at += header.size;
        }
        log.file.write_at(&batches, log.size).map_err(|error| AppendError::Storage(error.to_string()))?;
        log.size += batches.len() as u64;
        log.batches.extend(written);
        log.log_end = next;
        let log_append_time = log.config.log_append_time.then_some(now_ms);
        self.0.flush.notify_one();
        Ok(Appended { base_offset, next_offset: next, log_append_time, duplicate: false })
    }

    /// Until everything below `next` is durable.
    ///
    /// # Errors
    /// The disk failed: what was appended may be lost.
    pub async fn durable(&self, next: i64) -> Result<(), AppendError> {
        let mut watch = self.watch();
        let failed = || self.log().failed.clone();
        match watch.wait_for(|durable| *durable >= next || failed().is_some()).await {
            Ok(durable) if *durable >= next => Ok(()),
            _ => Err(failed().unwrap_or(AppendError::Deleted)),
        }
    }

    /// Whole batches from the one that holds `from`, up to `max_bytes` (at least one batch when `at_least_one`), below the high watermark.
    ///
    /// # Errors
    /// Out of range, or the disk gives other bytes than were written.
    pub fn read(&self, from: i64, max_bytes: usize, at_least_one: bool) -> Result<Bytes, ReadError> {
        let Offsets { log_start, high_watermark, .. } = self.offsets();
        if from < log_start || from > high_watermark {
            return Err(ReadError::OutOfRange { asked: from, log_start, high_watermark });
        }
        let log = self.log();
        let first = log.batches.partition_point(|batch| batch.1 <= from);
        let mut taken = 0;
        for batch in &log.batches[first..] {
            let fits = taken + batch.3 <= max_bytes || (taken == 0 && at_least_one);
            if batch.1 > high_watermark || !fits {
                break;
            }
            taken += batch.3;
        }
        let Some(position) = log.batches.get(first).map(|batch| batch.2) else { return Ok(Bytes::new()) };
        let mut content = vec![0; taken];
        log.file.read_at(&mut content, position).map_err(|error| ReadError::Storage(error.to_string()))?;
        Ok(content.into())
    }

    /// Where the log starts and ends.
    pub fn offsets(&self) -> Offsets {
        let log = self.log();
        let high_watermark = *self.0.high_watermark.borrow();
        Offsets { log_start: log.log_start, high_watermark, log_end: log.log_end }
    }

    /// The high watermark as it moves; a fetch waits on it.
    pub fn watch(&self) -> watch::Receiver<i64> {
        self.0.high_watermark.subscribe()
    }

    /// Deletes the records before `offset` (DeleteRecords); −1 means the high watermark. Returns the new log start.
    ///
    /// # Errors
    /// The offset is beyond the high watermark, or the disk failed.
    pub fn delete_before(&self, offset: i64) -> Result<i64, ReadError> {
        let Offsets { log_start, high_watermark, .. } = self.offsets();
        let offset = if offset == -1 { high_watermark } else { offset };
        if offset < 0 || offset > high_watermark {
            return Err(ReadError::OutOfRange { asked: offset, log_start, high_watermark });
        }
        let mut log = self.log();
        log.log_start = log.log_start.max(offset);
        Ok(log.log_start)
    }

    /// The first record whose timestamp is at least this: its offset and timestamp.
    ///
    /// # Errors
    /// The disk gives other bytes than were written.
    pub fn offset_for_time(&self, timestamp_ms: i64) -> Result<Option<(i64, i64)>, ReadError> {
        let bytes = self.read(self.offsets().log_start, usize::MAX, true)?;
        let mut at = 0;
        while let Ok(header) = batch::check(&bytes[at..]) {
            if header.max_timestamp >= timestamp_ms {
                return Ok(Some((header.base_offset, header.max_timestamp)));
            }
            at += header.size;
        }
        Ok(None)
    }

    /// The record with the largest timestamp: its offset and timestamp.
    ///
    /// # Errors
    /// The disk gives other bytes than were written.
    pub fn newest_time(&self) -> Result<Option<(i64, i64)>, ReadError> {
        Ok(None)
    }

    /// The leader epoch: one machine leads for ever.
    pub fn leader_epoch(&self) -> i32 {
        batch::LEADER_EPOCH
    }

    /// What OffsetForLeaderEpoch answers: the largest epoch up to `epoch` and where it ends; None for an epoch before the first.
    pub fn epoch_end(&self, epoch: i32) -> Option<(i32, i64)> {
        (epoch == batch::LEADER_EPOCH).then(|| (batch::LEADER_EPOCH, self.offsets().high_watermark))
    }

    /// Takes other settings from now on.
    pub fn reconfigure(&self, config: TopicConfig) {
        self.log().config = config;
    }

    /// Bytes of the log on disk.
    pub fn size_bytes(&self) -> u64 {
        self.log().size
    }

    /// Waiters and later calls get this error.
    pub(crate) fn end(&self, error: AppendError) {
        let mut log = self.log();
        log.closed = true;
        log.failed = Some(error);
        self.0.flush.notify_one();
        self.0.high_watermark.send_modify(|_| {});
    }
}

fn flush(shared: &Weak<Shared>) {
    while let Some(shared) = shared.upgrade() {
        let mut log = shared.log.lock().unwrap_or_else(PoisonError::into_inner);
        if log.log_end == *shared.high_watermark.borrow() && !log.closed {
            let wait = std::time::Duration::from_secs(1);
            log = shared.flush.wait_timeout(log, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
        if log.closed {
            return;
        }
        let (file, target) = (log.file.clone(), log.log_end);
        drop(log);
        match file.sync() {
            Ok(()) => drop(shared.high_watermark.send_replace(target)),
            Err(error) => {
                let mut log = shared.log.lock().unwrap_or_else(PoisonError::into_inner);
                log.failed = Some(AppendError::Storage(error.to_string()));
                drop(log);
                shared.high_watermark.send_modify(|_| {});
            }
        }
    }
}
