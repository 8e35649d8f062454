//! Compaction (cleanup.policy=compact): closed segments are rewritten so that of each key only the last record stays. Offsets never change; the
//! active segment is never touched. What stays of a batch is decided in `clean`, how the new segment comes into its place is in `rewriting`.

use super::clean::{LastOffsets, Pass};
use super::scan::{Scan, ScanError};
use super::segment::{Extent, log_path};
use super::state::State;
use super::{AppendError, Partition, PartitionError, storage_error};
use crate::batch::BatchHeader;
use crate::disk::Disk;
use crate::topic_config::TopicConfig;
use std::path::PathBuf;
use std::sync::Arc;

/// So many bytes are read between two looks whether the partition is still there.
const LOOK_EVERY_BYTES: usize = 1 << 20;

/// One compaction of one partition. Its maker holds `files`.
pub(super) struct Compaction<'a> {
    pub partition: &'a Partition,
    pub dir: PathBuf,
    pub disk: Disk,
    pub config: Arc<TopicConfig>,
    now_ms: i64,
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
        let mut files = self.files()?;
        let (dir, disk) = {
            let log = self.log();
            (log.dir.clone(), log.disk.clone())
        };
        let compaction = Compaction { partition: self, dir, disk, config, now_ms };
        let Some(compacted_to) = compaction.run(&files)? else { return Ok(()) };
        let compacted = State { compacted_to, ..*files };
        compacted.store(&compaction.dir, &compaction.disk).map_err(|error| storage_error(&compaction.dir, &error))?;
        *files = compacted;
        Ok(())
    }
}

impl Compaction<'_> {
    /// Compacts if that is due; returns up to where.
    fn run(&self, files: &State) -> Result<Option<i64>, AppendError> {
        let extents = self.cleanable();
        if !self.is_due(&extents, files.compacted_to)? {
            return Ok(None);
        }
        // A producer's last batch may go: its sequence numbers must not be known from the log alone.
        self.partition.checkpoint(files)?;
        let last_offsets = self.last_offsets(&extents, files.compacted_to)?;
        let delete_retention_ms = self.config.delete_retention_ms;
        let mut pass = Pass { last_offsets: &last_offsets, now_ms: self.now_ms, delete_retention_ms, opaque: false };
        let end = extents.partition_point(|extent| extent.base_offset < last_offsets.end);
        for group in groups(&extents[..end], self.config.segment_bytes) {
            self.rewrite(group, &mut pass)?;
        }
        Ok(Some(last_offsets.end))
    }

    /// The closed segments that may be compacted: readable, and old enough.
    fn cleanable(&self) -> Vec<Extent> {
        let log = self.partition.log();
        let lag = self.config.min_compaction_lag_ms;
        let youngest = self.now_ms.saturating_sub(lag);
        let may = |extent: &Extent| {
            extent.next_offset <= log.high_watermark && (lag == 0 || extent.max_timestamp <= youngest)
        };
        log.closed.iter().map(|closed| closed.extent).take_while(may).collect()
    }

    /// Whether enough of the segments has never been compacted, or something of them for too long.
    fn is_due(&self, extents: &[Extent], compacted_to: i64) -> Result<bool, AppendError> {
        let dirty: Vec<Extent> = extents.iter().copied().filter(|extent| extent.next_offset > compacted_to).collect();
        let Some(first) = dirty.first() else { return Ok(false) };
        let bytes = |extents: &[Extent]| extents.iter().map(|extent| extent.size).sum::<u64>() as f64;
        if bytes(&dirty) >= self.config.min_cleanable_dirty_ratio * bytes(extents) {
            return Ok(true);
        }
        let mut oldest = None;
        self.each_batch(first, &mut |header, _| {
            oldest = Some(header.max_timestamp);
            Ok(false)
        })?;
        let limit = self.config.max_compaction_lag_ms;
        Ok(oldest.is_some_and(|oldest| self.now_ms.saturating_sub(oldest) > limit))
    }

    /// Reads the keys of what has never been compacted, as far as they fit into memory.
    fn last_offsets(&self, extents: &[Extent], compacted_to: i64) -> Result<LastOffsets, AppendError> {
        let mut last_offsets = LastOffsets::new(compacted_to);
        for extent in extents.iter().filter(|extent| extent.next_offset > compacted_to) {
            let all = self.each_batch(extent, &mut |header, batch| {
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

    /// Shows every batch of a closed segment until told to stop; whether all were shown.
    pub(super) fn each_batch(
        &self,
        extent: &Extent,
        each: &mut impl FnMut(&BatchHeader, &[u8]) -> Result<bool, ScanError>,
    ) -> Result<bool, AppendError> {
        let path = log_path(&self.dir, extent.base_offset);
        let file = self.disk.open(&path).map_err(|source| PartitionError::Io { path, source })?;
        let mut scan = Scan::new(&file, 0, extent.size);
        let mut read = Extent::empty(extent.base_offset);
        let mut unlooked = LOOK_EVERY_BYTES;
        loop {
            if unlooked >= LOOK_EVERY_BYTES {
                self.look()?;
                unlooked = 0;
            }
            let shown = scan.next_batch_from(read.next_offset).and_then(|next| match next {
                Some((header, batch)) => each(&header, batch).map(|go_on| Some((header, go_on))),
                None => Ok(None),
            });
            match shown.map_err(|error| error.at(read.size).within(&file, read.next_offset, None))? {
                None => return Ok(true),
                Some((_, false)) => return Ok(false),
                Some((header, true)) => {
                    read.add(&header);
                    unlooked += header.size;
                }
            }
        }
    }

    /// An error once nothing may be written any more.
    fn look(&self) -> Result<(), AppendError> {
        self.partition.log().failed.clone().map_or(Ok(()), Err)
    }
}

/// Neighbours that fit into one segment together.
fn groups(extents: &[Extent], segment_bytes: u64) -> Vec<&[Extent]> {
    let together = |extents: &[Extent]| {
        let bytes: u64 = extents.iter().map(|extent| extent.size).sum();
        let end = extents.iter().map(|extent| extent.next_offset).max().unwrap_or(0);
        bytes <= segment_bytes && end - extents[0].base_offset <= i64::from(i32::MAX)
    };
    let mut groups = Vec::new();
    let mut begin = 0;
    for end in 1..=extents.len() {
        if end == extents.len() || !together(&extents[begin..=end]) {
            groups.push(&extents[begin..end]);
            begin = end;
        }
    }
    groups
}
