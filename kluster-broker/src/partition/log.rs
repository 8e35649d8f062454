//! What a partition's lock guards: its segments, producers and waiters.
//!
//! Invariant: a segment is complete and durable before the next one has a name. So what lies in a later segment proves that nothing is missing
//! in an earlier one. The file of a roll that failed is removed; should a power failure bring it back, it is empty, and a start removes it.

use super::append::Prepared;
use super::producers::{Counted, Producers};
use super::segment::{Extent, Segment, log_path};
use super::{AppendError, Appended, PartitionError, storage_error};
use crate::batch::{BatchError, BatchHeader};
use crate::disk::{Disk, DiskFile};
use crate::topic_config::TopicConfig;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use tokio::sync::oneshot;

/// Smaller pieces are gathered up to this and written at once, larger ones are written from where they are.
const GATHERED_BYTES: usize = 64 << 10;

/// Closed segments whose files stay open for readers.
const MOST_OPEN: usize = 4;
/// Files that a partition has open at most, beside those of its upkeep: the closed segments and the one that grows.
pub(crate) const MOST_FILES: usize = MOST_OPEN + 1;

/// A closed segment, with its file while readers want it.
#[derive(Debug)]
pub(super) struct Closed {
    pub extent: Extent,
    pub open: Option<Segment>,
}

/// One who waits until everything below `next` is durable.
#[derive(Debug)]
pub(super) struct Waiter {
    pub next: i64,
    pub answer: oneshot::Sender<Result<(), AppendError>>,
}

#[derive(Debug)]
pub(super) struct Log {
    pub dir: PathBuf,
    pub disk: Disk,
    /// By rising offset.
    pub closed: Vec<Closed>,
    /// Base offsets of segments whose records are deleted, or were put into others, and whose files are still to be removed, in this order.
    pub gone: Vec<i64>,
    /// The one that grows.
    pub active: Segment,
    /// Of the active segment's first batch, or when that was stored.
    pub first_timestamp: Option<i64>,
    pub log_start: i64,
    pub high_watermark: i64,
    pub producers: Producers,
    /// Them, among those of all partitions.
    counted: Counted,
    pub waiters: Vec<Waiter>,
    /// A flusher has it or will.
    pub handed_over: bool,
    /// Records since the last sync, where acknowledgements do not wait for the disk.
    pub unsynced: i64,
    /// Bytes written since the last checkpoint, into whichever segments: a start reads them.
    pub since_checkpoint: u64,
    /// Why nothing can be written any more.
    pub failed: Option<AppendError>,
    /// An fdatasync failed. The kernel tells that once: a later one may succeed and prove nothing.
    pub lost: bool,
    /// Base offsets of the closed segments that are open, the one used last at the end.
    opened: Vec<i64>,
}

impl Log {
    pub fn new(dir: &Path, disk: &Disk, closed: Vec<Extent>, active: Segment, log_start: i64) -> Self {
        Self {
            dir: dir.to_owned(),
            disk: disk.clone(),
            closed: closed.into_iter().map(|extent| Closed { extent, open: None }).collect(),
            high_watermark: active.extent.next_offset,
            gone: Vec::new(),
            since_checkpoint: 0,
            active,
            first_timestamp: None,
            log_start,
            producers: Producers::default(),
            counted: Counted::default(),
            waiters: Vec::new(),
            handed_over: false,
            unsynced: 0,
            failed: None,
            lost: false,
            opened: Vec::new(),
        }
    }

    pub fn log_end(&self) -> i64 {
        self.active.extent.next_offset
    }

    /// Writes prepared batches at the end. On error nothing was stored.
    pub fn append(
        &mut self,
        prepared: &mut Prepared,
        config: &TopicConfig,
        now_ms: i64,
    ) -> Result<Appended, AppendError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        if prepared.headers.len() > 1 && prepared.headers.iter().any(|(header, ..)| header.producer_id >= 0) {
            // One answer cannot say of each whether it was stored before.
            return Err(BatchError::Invalid("an idempotent producer sends one batch for a partition at a time").into());
        }
        for (header, ..) in &prepared.headers {
            if let Some(stored) = self.producers.check(header)? {
                return Ok(Appended {
                    base_offset: stored.base_offset,
                    next_offset: stored.next_offset,
                    log_append_time: config.log_append_time.then_some(stored.timestamp),
                    duplicate: true,
                });
            }
        }
        if self.must_roll(prepared, config, now_ms) {
            self.roll()?;
        }
        let base_offset = self.log_end();
        prepared.place(base_offset);
        self.write(prepared)?;
        self.since_checkpoint += prepared.received.len() as u64;
        for (header, ..) in &prepared.headers {
            if self.active.extent.size == 0 {
                self.first_timestamp = Some(if header.max_timestamp < 0 { now_ms } else { header.max_timestamp });
            }
            self.active.add(header, config.index_interval_bytes);
            self.remember(header, now_ms);
            self.unsynced += i64::from(header.records);
        }
        let log_append_time = config.log_append_time.then_some(now_ms);
        Ok(Appended { base_offset, next_offset: self.log_end(), log_append_time, duplicate: false })
    }

    /// Notes who wrote a batch.
    fn remember(&mut self, header: &BatchHeader, now_ms: i64) {
        if self.counted.full() {
            self.producers.make_room_for(header.producer_id);
        }
        self.producers.add(header, now_ms);
        self.counted.are(self.producers.count());
    }

    /// Forgets producers that have been silent for long.
    pub fn expire_producers(&mut self, now_ms: i64) {
        self.producers.expire(now_ms);
        self.counted.are(self.producers.count());
    }

    /// Counts the producers among those of all partitions from now on.
    pub fn count_producers_in(&mut self, in_all: &Arc<AtomicUsize>) {
        self.counted = Counted::among(in_all);
        if self.counted.full() {
            self.producers.forget_all_but_few();
        }
        self.counted.are(self.producers.count());
    }

    /// Writes at the end of the file; what a failed write left there is cut off again.
    fn write(&mut self, prepared: &Prepared) -> Result<(), AppendError> {
        let (file, size) = (&self.active.file, self.active.extent.size);
        let Err(error) = write_pieces(file, prepared.pieces(), size) else { return Ok(()) };
        let refused = storage_error(file.path(), &error);
        if let Err(error) = file.cut(size) {
            let fatal = storage_error(file.path(), &error);
            self.fail(fatal.clone());
            return Err(fatal);
        }
        Err(refused)
    }

    /// Kafka's rules: by size, by the time of the records, and because offsets in an index have 32 bits.
    fn must_roll(&self, prepared: &Prepared, config: &TopicConfig, now_ms: i64) -> bool {
        let Extent { base_offset, next_offset, size, .. } = self.active.extent;
        let newest = prepared.headers.iter().map(|(header, ..)| header.max_timestamp).max().filter(|time| *time >= 0);
        let oldest =
            if config.compact { config.segment_ms.min(config.max_compaction_lag_ms) } else { config.segment_ms };
        let age = |first: i64| newest.unwrap_or(now_ms).saturating_sub(first);
        size > 0
            && (size + prepared.received.len() as u64 > config.segment_bytes
                || self.first_timestamp.is_some_and(|first| age(first) > oldest)
                || next_offset - base_offset + prepared.offsets() > i64::from(i32::MAX))
    }

    /// Closes the active segment and begins the next one.
    pub fn roll(&mut self) -> Result<(), AppendError> {
        let next = self.log_end();
        if let Err(error) = self.active.file.sync() {
            return Err(self.lose(&error));
        }
        let new = Segment::create(&self.disk, &self.dir, next).map_err(|error| self.unroll(next, &error))?;
        let extent = self.active.extent;
        if let Err(error) = self.active.store_index(&self.disk, &self.dir, &extent) {
            tracing::warn!(%error, "cannot write an index; it will be made anew from the log");
        }
        self.closed.push(Closed { extent, open: None });
        self.active = new;
        self.first_timestamp = None;
        Ok(())
    }

    /// A segment could not be begun. What there is of it goes, for the one before grows on beyond its base offset.
    fn unroll(&mut self, base_offset: i64, error: &io::Error) -> AppendError {
        let refused = storage_error(&self.dir, error);
        let path = log_path(&self.dir, base_offset);
        let Err(error) = self.disk.remove(&path) else { return refused };
        let fatal = storage_error(&path, &error);
        self.fail(fatal.clone());
        fatal
    }

    /// The end of all writing: whoever waits is told, and whoever comes.
    pub fn fail(&mut self, error: AppendError) {
        for waiter in self.waiters.drain(..) {
            let _ = waiter.answer.send(Err(error.clone())); // the caller may have gone
        }
        self.failed.get_or_insert(error);
    }

    /// The end of all writing because an fdatasync failed.
    pub fn lose(&mut self, error: &io::Error) -> AppendError {
        let path = self.active.file.path();
        tracing::error!(file = %path.display(), %error, "fdatasync failed: no more writes until the broker is started again");
        let fatal = storage_error(path, error);
        self.lost = true;
        self.fail(fatal.clone());
        fatal
    }

    /// Everything below `offset` may be read, unless an fdatasync has failed meanwhile; those who waited for it, to be told outside the lock.
    pub fn advance(&mut self, offset: i64) -> Vec<Waiter> {
        if self.lost {
            return Vec::new();
        }
        self.high_watermark = self.high_watermark.max(offset);
        let high_watermark = self.high_watermark;
        self.waiters.extract_if(.., |waiter| waiter.next <= high_watermark).collect()
    }

    /// The segment that holds the first record at `offset` or after it, with its file; None beyond the end.
    pub fn segment_of(&mut self, offset: i64, interval: u64) -> Result<Option<&Segment>, PartitionError> {
        let index = self.closed.partition_point(|closed| closed.extent.next_offset <= offset);
        if index < self.closed.len() {
            return self.open_closed(index, interval);
        }
        Ok(Some(&self.active).filter(|active| active.extent.next_offset > offset))
    }

    fn open_closed(&mut self, index: usize, interval: u64) -> Result<Option<&Segment>, PartitionError> {
        let base_offset = self.closed[index].extent.base_offset;
        if self.closed[index].open.is_none() {
            let segment = Segment::open_closed(&self.disk, &self.dir, base_offset, interval)?;
            self.closed[index].open = Some(segment);
        }
        self.opened.retain(|base| *base != base_offset);
        self.opened.push(base_offset);
        if self.opened.len() > MOST_OPEN {
            let oldest = self.opened.remove(0);
            for closed in self.closed.iter_mut().filter(|closed| closed.extent.base_offset == oldest) {
                closed.open = None;
            }
        }
        Ok(self.closed[index].open.as_ref())
    }

    /// Where the segment after this closed one begins.
    pub fn base_after(&self, index: usize) -> i64 {
        self.closed.get(index + 1).map_or(self.active.extent.base_offset, |next| next.extent.base_offset)
    }

    /// Bytes on disk.
    pub fn size(&self) -> u64 {
        self.closed.iter().map(|closed| closed.extent.size).sum::<u64>() + self.active.extent.size
    }
}

/// Writes the pieces one behind the other from `position` on.
fn write_pieces<'a>(file: &DiskFile, pieces: impl Iterator<Item = &'a [u8]>, mut position: u64) -> io::Result<()> {
    let mut gathered = Vec::new();
    for piece in pieces {
        if gathered.len() + piece.len() > GATHERED_BYTES {
            file.write_at(&gathered, position)?;
            position += gathered.len() as u64;
            gathered.clear();
        }
        if piece.len() > GATHERED_BYTES {
            file.write_at(piece, position)?;
            position += piece.len() as u64;
        } else {
            gathered.extend_from_slice(piece);
        }
    }
    if gathered.is_empty() { Ok(()) } else { file.write_at(&gathered, position) }
}
