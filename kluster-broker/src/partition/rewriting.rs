//! Writing a compacted segment and putting it in the place of those it was written from.
//!
//! A crash leaves the old or the new: the new segment is durable before it takes the first old one's name by rename, and the other old ones are
//! removed after that, from the front, one after the other. Of those a crash may leave the last ones; what is in them is superseded, and the next
//! start or pass removes them.

use super::AppendError;
use super::clean::{Pass, Remains};
use super::compaction::Compaction;
use super::log::Closed;
use super::scan::ScanError;
use super::segment::{Extent, Segment, index_path, log_path};
use super::storage_error;
use crate::batch::BatchHeader;
use crate::disk::unplaced;
use std::io;
use std::sync::Arc;

/// Written at once.
const WRITE_BYTES: usize = 1 << 20;

/// A segment being written from others.
struct Rewriting {
    segment: Segment,
    interval: u64,
    unwritten: Vec<u8>,
    /// It differs from what it was written from.
    changed: bool,
}

impl Compaction<'_> {
    /// Rewrites neighbouring segments into one and puts it in their place.
    pub(super) fn rewrite(&self, group: &[Extent], pass: &mut Pass<'_>) -> Result<(), AppendError> {
        let Some(first) = group.first() else { return Ok(()) };
        let path = unplaced(&log_path(&self.dir, first.base_offset));
        let failed = |error: io::Error| storage_error(&path, &error);
        let file = Arc::new(self.disk.create(&path).map_err(failed)?);
        let segment = Segment { extent: Extent::empty(first.base_offset), index: Default::default(), file };
        let interval = self.config.index_interval_bytes;
        let mut rewriting = Rewriting { segment, interval, unwritten: Vec::new(), changed: group.len() > 1 };
        let written = self.copy(group, pass, &mut rewriting).and_then(|()| rewriting.write().map_err(failed));
        if written.is_err() || !rewriting.changed {
            self.disk.remove(&path).map_err(failed)?;
            return written;
        }
        rewriting.segment.file.sync().map_err(failed)?;
        self.put_in_place(group, &rewriting.segment)
    }

    fn copy(&self, group: &[Extent], pass: &mut Pass<'_>, to: &mut Rewriting) -> Result<(), AppendError> {
        for extent in group {
            self.each_batch(extent, &mut |header, batch| {
                match pass.decide(header, batch).map_err(ScanError::batch)? {
                    Remains::Whole => to.add(header, batch)?,
                    Remains::Part(part) => {
                        to.changed = true;
                        to.add(&BatchHeader::parse(&part).map_err(ScanError::batch)?, &part)?;
                    }
                    Remains::Nothing => to.changed = true,
                }
                Ok(true)
            })?;
        }
        Ok(())
    }

    /// The rewritten segment takes the place of the first of the group; the others go.
    fn put_in_place(&self, group: &[Extent], new: &Segment) -> Result<(), AppendError> {
        let (dir, disk) = (&self.dir, &self.disk);
        let failed = |error: io::Error| storage_error(dir, &error);
        let base_offset = new.extent.base_offset;
        {
            let mut log = self.partition.log();
            let at = log.closed.partition_point(|closed| closed.extent.base_offset < base_offset);
            disk.remove(&index_path(dir, base_offset)).map_err(failed)?; // it would not fit the new log
            disk.rename(new.file.path(), &log_path(dir, base_offset)).map_err(failed)?;
            let replacement = (new.extent.size > 0).then_some(Closed { extent: new.extent, open: None });
            log.gone.extend(group.iter().map(|extent| extent.base_offset).skip(replacement.iter().len()));
            log.closed.splice(at..at + group.len(), replacement);
            // Under the lock: a reader that finds no index writes one too.
            if let Err(error) = new.store_index(disk, dir, &new.extent) {
                tracing::warn!(%error, "cannot write an index; it will be made anew from the log");
            }
        }
        disk.sync_dir(dir).map_err(failed)?;
        self.partition.remove_gone()
    }
}

impl Rewriting {
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
