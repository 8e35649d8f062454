//! Compaction (cleanup.policy=compact): closed segments are rewritten so that of each key only the last record stays. Offsets never change; the
//! active segment is never touched; what each batch keeps is decided in `clean`.
//!
//! A crash leaves the old or the new: the rewritten segment is durable before it takes the old one's name by rename, and segments whose records
//! it holds as well are removed after that, from the front. Of those a crash may leave some; what is in them is superseded, and the next start or
//! pass removes them.

use super::clean::{LastOffsets, Pass, Remains};
use super::log::Closed;
use super::recovery::remove_segment;
use super::scan::{Scan, ScanError};
use super::segment::{Extent, Segment, index_path, log_path};
use super::state::State;
use super::{AppendError, Partition, PartitionError, storage_error};
use crate::batch::BatchHeader;
use crate::disk::{Disk, unplaced};
use crate::topic_config::TopicConfig;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

/// Written at once.
const WRITE_BYTES: usize = 1 << 20;

impl From<PartitionError> for AppendError {
    fn from(error: PartitionError) -> Self {
        Self::Storage(error.to_string())
    }
}

impl Partition {
    /// Compacts the closed segments if that is due. Blocks on the disk.
    ///
    /// # Errors
    /// The disk failed, or a segment is damaged; nothing is lost.
    pub(super) fn compact(&self, now_ms: i64) -> Result<(), AppendError> {
        let config = self.config();
        if !config.compact {
            return Ok(());
        }
        let _rewriting = self.0.rewriting.lock().unwrap_or_else(PoisonError::into_inner);
        let compacted_to = self.0.state.lock().unwrap_or_else(PoisonError::into_inner).compacted_to;
        let (dir, disk, extents) = self.cleanable(&config, now_ms);
        if !is_due(&dir, &disk, &extents, compacted_to, &config, now_ms)? {
            return Ok(());
        }
        let last_offsets = last_offsets(&dir, &disk, &extents, compacted_to)?;
        let delete_retention_ms = config.delete_retention_ms;
        let mut pass = Pass { last_offsets: &last_offsets, now_ms, delete_retention_ms, opaque: false };
        let end = extents.partition_point(|extent| extent.base_offset < last_offsets.end);
        for group in groups(&extents[..end], config.segment_bytes) {
            if self.log().failed.is_some() {
                return Ok(());
            }
            self.rewrite(&dir, &disk, group, &mut pass, config.index_interval_bytes)?;
        }
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        let compacted = State { compacted_to: last_offsets.end, ..*state };
        compacted.store(&dir, &disk).map_err(|error| storage_error(&dir, &error))?;
        *state = compacted;
        Ok(())
    }

    /// The closed segments that may be compacted: readable, and old enough.
    fn cleanable(&self, config: &TopicConfig, now_ms: i64) -> (PathBuf, Disk, Vec<Extent>) {
        let log = self.log();
        let youngest = now_ms.saturating_sub(config.min_compaction_lag_ms);
        let may = |extent: &Extent| {
            extent.next_offset <= log.high_watermark
                && (config.min_compaction_lag_ms == 0 || extent.max_timestamp <= youngest)
        };
        let extents = log.closed.iter().map(|closed| closed.extent).take_while(may).collect();
        (log.dir.clone(), log.disk.clone(), extents)
    }

    /// Rewrites neighbouring segments into one and puts it in their place.
    fn rewrite(
        &self,
        dir: &Path,
        disk: &Disk,
        group: &[Extent],
        pass: &mut Pass<'_>,
        interval: u64,
    ) -> Result<(), AppendError> {
        let Some(first) = group.first() else { return Ok(()) };
        let path = unplaced(&log_path(dir, first.base_offset));
        let failed = |error: &io::Error| storage_error(&path, error);
        let file = disk.create(&path).map_err(|error| failed(&error))?;
        let segment =
            Segment { extent: Extent::empty(first.base_offset), index: Default::default(), file: Arc::new(file) };
        let mut rewriting = Rewriting { segment, interval, unwritten: Vec::new(), changed: group.len() > 1 };
        let written = rewriting.copy(dir, disk, group, pass);
        if written.is_err() || !rewriting.changed {
            disk.remove(&path).map_err(|error| failed(&error))?;
            return Ok(written?);
        }
        rewriting.segment.file.sync().map_err(|error| failed(&error))?;
        self.put_in_place(dir, disk, group, &rewriting.segment)
    }

    /// The rewritten segment takes the place of the first of the group; the others go.
    fn put_in_place(&self, dir: &Path, disk: &Disk, group: &[Extent], new: &Segment) -> Result<(), AppendError> {
        let failed = |error: io::Error| storage_error(dir, &error);
        let base_offset = new.extent.base_offset;
        {
            let mut log = self.log();
            let Some(at) = log.closed.iter().position(|closed| closed.extent.base_offset == base_offset) else {
                return Ok(());
            };
            disk.remove(&index_path(dir, base_offset)).map_err(failed)?; // it would not fit the new log
            disk.rename(new.file.path(), &log_path(dir, base_offset)).map_err(failed)?;
            let replacement = (new.extent.size > 0).then_some(Closed { extent: new.extent, open: None });
            log.closed.splice(at..at + group.len(), replacement);
        }
        disk.sync_dir(dir).map_err(failed)?;
        let gone = if new.extent.size > 0 {
            new.store_index(disk, dir, &new.extent).map_err(failed)?;
            &group[1..]
        } else {
            group
        };
        gone.iter().try_for_each(|extent| remove_segment(dir, disk, extent.base_offset)).map_err(failed)
    }
}

/// Whether enough of the segments has never been compacted, or something of them for too long.
fn is_due(
    dir: &Path,
    disk: &Disk,
    extents: &[Extent],
    compacted_to: i64,
    config: &TopicConfig,
    now_ms: i64,
) -> Result<bool, PartitionError> {
    let dirty: Vec<Extent> = extents.iter().copied().filter(|extent| extent.next_offset > compacted_to).collect();
    let Some(first) = dirty.first() else { return Ok(false) };
    let bytes = |extents: &[Extent]| extents.iter().map(|extent| extent.size).sum::<u64>() as f64;
    if bytes(&dirty) >= config.min_cleanable_dirty_ratio * bytes(extents) {
        return Ok(true);
    }
    let mut oldest = None;
    each_batch(dir, disk, first, &mut |header, _| {
        oldest = Some(header.max_timestamp);
        Ok(false)
    })?;
    Ok(oldest.is_some_and(|oldest| now_ms.saturating_sub(oldest) > config.max_compaction_lag_ms))
}

/// Shows every batch of a closed segment until told to stop; whether all were shown.
fn each_batch(
    dir: &Path,
    disk: &Disk,
    extent: &Extent,
    each: &mut impl FnMut(&BatchHeader, &[u8]) -> Result<bool, ScanError>,
) -> Result<bool, PartitionError> {
    let path = log_path(dir, extent.base_offset);
    let file = Arc::new(disk.open(&path).map_err(|source| PartitionError::Io { path, source })?);
    let mut scan = Scan::new(&file, 0, extent.size);
    let mut read = Extent::empty(extent.base_offset);
    let mut show = || -> Result<bool, ScanError> {
        while let Some((header, batch)) = scan.next_batch_from(read.next_offset)? {
            if !each(&header, batch)? {
                return Ok(false);
            }
            read.add(&header);
        }
        Ok(true)
    };
    show().map_err(|error| ScanError::at(error, read.size).within(&file, read.next_offset, None))
}

/// Reads the keys of what has never been compacted, as far as they fit into memory.
fn last_offsets(dir: &Path, disk: &Disk, extents: &[Extent], compacted_to: i64) -> Result<LastOffsets, PartitionError> {
    let mut last_offsets = LastOffsets::new(compacted_to);
    for extent in extents.iter().filter(|extent| extent.next_offset > compacted_to) {
        let all = each_batch(dir, disk, extent, &mut |header, batch| {
            if header.next_offset() <= compacted_to {
                return Ok(true);
            }
            last_offsets.add(header, batch).map_err(ScanError::batch)
        })?;
        if !all {
            break;
        }
        last_offsets.end = last_offsets.end.max(extent.next_offset);
    }
    Ok(last_offsets)
}

/// Neighbours that fit into one segment together.
fn groups(extents: &[Extent], segment_bytes: u64) -> Vec<&[Extent]> {
    let mut groups = Vec::new();
    let mut begin = 0;
    for end in 1..=extents.len() {
        let together = |extents: &[Extent]| {
            let bytes: u64 = extents.iter().map(|extent| extent.size).sum();
            let offsets = extents.iter().map(|extent| extent.next_offset).max().unwrap_or(0) - extents[0].base_offset;
            bytes <= segment_bytes && offsets <= i64::from(i32::MAX)
        };
        if extents.get(end).is_none() || !together(&extents[begin..=end]) {
            groups.push(&extents[begin..end]);
            begin = end;
        }
    }
    groups
}

/// A segment being written from others.
struct Rewriting {
    segment: Segment,
    interval: u64,
    unwritten: Vec<u8>,
    /// It differs from what it was written from.
    changed: bool,
}

impl Rewriting {
    fn copy(&mut self, dir: &Path, disk: &Disk, group: &[Extent], pass: &mut Pass<'_>) -> Result<(), PartitionError> {
        for extent in group {
            each_batch(dir, disk, extent, &mut |header, batch| {
                let decided = pass.decide(header, batch);
                match decided.map_err(ScanError::batch)? {
                    Remains::Whole => self.add(header, batch)?,
                    Remains::Part(part) => {
                        self.changed = true;
                        let header = BatchHeader::parse(&part).map_err(ScanError::batch)?;
                        self.add(&header, &part)?;
                    }
                    Remains::Nothing => self.changed = true,
                }
                Ok(true)
            })?;
        }
        self.write().map_err(|source| PartitionError::Io { path: self.segment.file.path().to_owned(), source })
    }

    fn add(&mut self, header: &BatchHeader, batch: &[u8]) -> io::Result<()> {
        self.segment.add(header, self.interval);
        self.unwritten.extend_from_slice(batch);
        if self.unwritten.len() >= WRITE_BYTES { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> io::Result<()> {
        let position = self.segment.extent.size - self.unwritten.len() as u64;
        self.segment.file.write_at(&self.unwritten, position)?;
        self.unwritten.clear();
        Ok(())
    }
}
