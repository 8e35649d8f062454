//! One file of a log and its index: created, opened, grown. Only the last segment of a log grows; the others are closed, complete and durable.

use super::PartitionError;
use super::index::Index;
use super::scan::{Scan, ScanError};
use crate::batch::{self, BatchError, BatchHeader};
use crate::disk::{Disk, DiskFile};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a segment holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    /// In its file's name; no record in it is before.
    pub base_offset: i64,
    /// The offset after its last record.
    pub next_offset: i64,
    /// Bytes.
    pub size: u64,
    /// Largest timestamp, in milliseconds; −1 without.
    pub max_timestamp: i64,
}

impl Extent {
    pub fn empty(base_offset: i64) -> Self {
        Self { base_offset, next_offset: base_offset, size: 0, max_timestamp: -1 }
    }

    /// Grows by a batch.
    pub fn add(&mut self, header: &BatchHeader) {
        self.next_offset = header.next_offset();
        self.size += header.size as u64;
        self.max_timestamp = self.max_timestamp.max(header.max_timestamp);
    }
}

/// Whether offsets may be missing between batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holes {
    Allowed,
    None,
}

/// An open segment.
#[derive(Debug)]
pub(super) struct Segment {
    pub extent: Extent,
    pub index: Index,
    pub file: Arc<DiskFile>,
}

/// `<dir>/<base offset>.log`
pub(super) fn log_path(dir: &Path, base_offset: i64) -> PathBuf {
    dir.join(format!("{base_offset:020}.log"))
}

/// `<dir>/<base offset>.index`
pub(super) fn index_path(dir: &Path, base_offset: i64) -> PathBuf {
    dir.join(format!("{base_offset:020}.index"))
}

impl Segment {
    /// A new, empty one; its name is durable on return. An error may leave the file.
    pub fn create(disk: &Disk, dir: &Path, base_offset: i64) -> io::Result<Self> {
        let names = disk.open_dir(dir)?;
        let file = disk.create(&log_path(dir, base_offset))?;
        names.sync()?;
        Ok(Self { extent: Extent::empty(base_offset), index: Index::default(), file: Arc::new(file) })
    }

    /// Notes a batch that stands at the end.
    pub fn add(&mut self, header: &BatchHeader, index_interval: u64) {
        self.index.note(&self.extent, header.base_offset, index_interval);
        self.extent.add(header);
    }

    /// Writes the index with what is durable.
    pub fn store_index(&self, disk: &Disk, dir: &Path, durable: &Extent) -> io::Result<()> {
        disk.replace_lightly(&index_path(dir, self.extent.base_offset), &self.index.encode(durable))
    }

    /// Opens a closed one. A missing, bad or short index is made anew from the log.
    pub fn open_closed(disk: &Disk, dir: &Path, base_offset: i64, interval: u64) -> Result<Self, PartitionError> {
        let path = log_path(dir, base_offset);
        let io = |source| PartitionError::Io { path: path.clone(), source };
        let file = disk.open(&path).map_err(io)?;
        let length = file.len().map_err(io)?;
        let (index, extent) = stored_index(dir, base_offset, &file, length);
        let mut segment = Self { extent, index, file: Arc::new(file) };
        if segment.extent.size < length {
            segment.extent = segment.index.cut(base_offset, segment.extent.size);
            tracing::warn!(file = %path.display(), from = segment.extent.size, "index missing or short: made anew from the log");
            segment.grow(length, Holes::Allowed, interval, |_| {}).map_err(|error| segment.damage(error))?;
            if let Err(error) = segment.store_index(disk, dir, &segment.extent) {
                tracing::warn!(file = %path.display(), %error, "the index cannot be written: it stays in memory, and is made again when needed");
            }
        }
        Ok(segment)
    }

    /// The error of a scan that came to the end of what is known.
    pub fn damage(&self, error: ScanError) -> PartitionError {
        error.within(&self.file, self.extent.next_offset, None)
    }

    /// Reads on from the end of what is known to `length`, checking every batch. Only compaction leaves holes between offsets.
    pub fn grow(
        &mut self,
        length: u64,
        holes: Holes,
        interval: u64,
        mut each: impl FnMut(&BatchHeader),
    ) -> Result<(), ScanError> {
        let file = Arc::clone(&self.file);
        let mut scan = Scan::new(&file, self.extent.size, length);
        while let Some((header, _)) = scan.next_batch_from(self.extent.next_offset)? {
            if holes == Holes::None && header.base_offset > self.extent.next_offset {
                let error = BatchError::Invalid("its offset does not follow the ones before it");
                return Err(ScanError::Damaged { position: self.extent.size, error });
            }
            each(&header);
            self.add(&header, interval);
        }
        Ok(())
    }
}

/// The stored index, if it is whole and fits the log; else that of an empty segment.
pub(super) fn stored_index(dir: &Path, base_offset: i64, file: &DiskFile, length: u64) -> (Index, Extent) {
    let stored = std::fs::read(index_path(dir, base_offset)).ok().and_then(|bytes| Index::decode(&bytes));
    let fits = |(index, extent): &(Index, Extent)| {
        extent.base_offset == base_offset && extent.size <= length && index.last_is_in(base_offset, file)
    };
    stored.filter(fits).unwrap_or_else(|| (Index::default(), Extent::empty(base_offset)))
}

impl Index {
    /// Whether the last noted batch is where the index says: one of another log, or of the same before compaction, is caught.
    fn last_is_in(&self, base_offset: i64, file: &DiskFile) -> bool {
        let Some((offset, position)) = self.last(base_offset) else { return true };
        let mut header = [0; batch::HEADER_BYTES];
        file.read_at(&mut header, position).is_ok()
            && BatchHeader::parse(&header).is_ok_and(|header| header.base_offset == offset)
    }
}
