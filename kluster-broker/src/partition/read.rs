//! Reading: from an offset, and finding the offset of a time. The lock is held only to find the file and the place; every batch is checked.

use super::scan::{Scan, ScanError};
use super::segment::Segment;
use super::{AppendError, Partition, ReadError};
use crate::batch::{self, BatchHeader};
use crate::disk::DiskFile;
use bytes::Bytes;
use std::sync::Arc;

/// Where to begin reading, and what may be read.
struct Place {
    file: Arc<DiskFile>,
    position: u64,
    end: u64,
    log_start: i64,
    high_watermark: i64,
    /// The offset after the segment.
    next_offset: i64,
}

impl Partition {
    /// Whole batches from the one that holds `from`, up to `max_bytes` (at least one batch when `at_least_one`), below the high watermark.
    /// Ends at the end of a segment; nothing only where nothing is, or nothing fits.
    ///
    /// # Errors
    /// Out of range, or the disk gives other bytes than were written.
    pub fn read(&self, from: i64, max_bytes: usize, at_least_one: bool) -> Result<Bytes, ReadError> {
        let mut next = from;
        let position = |segment: &Segment, offset| segment.index.position_of(segment.extent.base_offset, offset);
        while let Some(place) = self.place(next, |segment| position(segment, next))? {
            if let Some(batches) = place.batches(from, max_bytes, at_least_one)? {
                return Ok(batches.into());
            }
            next = place.next_offset;
        }
        Ok(Bytes::new())
    }

    /// Bytes of the batch that a reading from `from` begins with; 0 where it would give nothing. Its records are not read.
    ///
    /// # Errors
    /// Those of [`read`](Self::read).
    pub(crate) fn first_batch_bytes(&self, from: i64) -> Result<usize, ReadError> {
        let mut next = from;
        let position = |segment: &Segment, offset| segment.index.position_of(segment.extent.base_offset, offset);
        while let Some(place) = self.place(next, |segment| position(segment, next))? {
            if let Some(bytes) = place.first_batch_bytes(from)? {
                return Ok(bytes);
            }
            next = place.next_offset;
        }
        Ok(0)
    }

    /// The first record whose timestamp is at least this: its offset and timestamp. Of a compressed batch its first offset; where the broker set
    /// the time, that of the batch.
    ///
    /// # Errors
    /// The disk gives other bytes than were written.
    pub fn offset_for_time(&self, timestamp_ms: i64) -> Result<Option<(i64, i64)>, ReadError> {
        let mut from = i64::MIN;
        while let Some(next) = self.reaches_time(timestamp_ms, from) {
            let Some(place) = self.place(next, |segment| segment.index.position_of_time(timestamp_ms))? else { break };
            if let Some(found) = place.first_at(timestamp_ms)? {
                return Ok(Some(found));
            }
            from = place.next_offset;
        }
        Ok(None)
    }

    /// Where the first segment at `from` or after it begins that may hold a record of this time.
    fn reaches_time(&self, timestamp_ms: i64, from: i64) -> Option<i64> {
        let log = self.log();
        let extents = log.closed.iter().map(|closed| closed.extent).chain([log.active.extent]);
        let mut reaching = extents.filter(|extent| extent.next_offset > from && extent.max_timestamp >= timestamp_ms);
        let next = reaching.find(|extent| extent.next_offset > log.log_start)?.base_offset.max(log.log_start);
        (next < log.high_watermark).then_some(next)
    }

    /// The record with the largest timestamp: its offset and timestamp.
    ///
    /// # Errors
    /// The disk gives other bytes than were written.
    pub fn newest_time(&self) -> Result<Option<(i64, i64)>, ReadError> {
        let newest = {
            let log = self.log();
            let closed = log.closed.iter().map(|closed| closed.extent.max_timestamp).max();
            log.active.extent.max_timestamp.max(closed.unwrap_or(-1))
        };
        if newest < 0 { Ok(None) } else { self.offset_for_time(newest) }
    }

    /// The segment from which `from` is read, and where in it.
    fn place(&self, from: i64, position: impl FnOnce(&Segment) -> u64) -> Result<Option<Place>, ReadError> {
        let interval = self.config().index_interval_bytes;
        let mut log = self.log();
        if log.failed == Some(AppendError::Deleted) {
            return Err(ReadError::Deleted);
        }
        let (log_start, high_watermark) = (log.log_start, log.high_watermark);
        if from < log_start || from > high_watermark {
            return Err(ReadError::OutOfRange { asked: from, log_start, high_watermark });
        }
        let segment = if from == high_watermark { None } else { log.segment_of(from, interval)? };
        Ok(segment.map(|segment| Place {
            file: Arc::clone(&segment.file),
            position: position(segment),
            end: segment.extent.size,
            log_start,
            high_watermark,
            next_offset: segment.extent.next_offset,
        }))
    }
}

impl Place {
    fn error(&self, error: ScanError, offset: i64) -> ReadError {
        match error {
            ScanError::Io(error) => ReadError::Storage(format!("{}: {error}", self.file.path().display())),
            ScanError::Damaged { position, error } => {
                ReadError::Damaged { file: self.file.path().to_owned(), position, offset, error }
            }
        }
    }

    /// Bytes of the batch that holds `from`, or the first after it; 0 where it may not be read yet, None where the segment has none.
    fn first_batch_bytes(&self, from: i64) -> Result<Option<usize>, ReadError> {
        let mut position = self.position;
        let mut bytes = [0; batch::HEADER_BYTES];
        while position + batch::HEADER_BYTES as u64 <= self.end {
            self.file.read_at(&mut bytes, position).map_err(|error| self.error(error.into(), from))?;
            let header = BatchHeader::parse(&bytes);
            let header = header.map_err(|error| self.error(ScanError::Damaged { position, error }, from))?;
            if header.next_offset() > from {
                return Ok(Some(if header.base_offset < self.high_watermark { header.size } else { 0 }));
            }
            position += header.size as u64;
        }
        Ok(None)
    }

    /// Batches from the one that holds `from`, or the first after it; None where the segment has none. Damage ends them, and is an error only
    /// where they would begin.
    fn batches(&self, from: i64, max_bytes: usize, at_least_one: bool) -> Result<Option<Vec<u8>>, ReadError> {
        let mut batches = Vec::new();
        let mut scan = Scan::new(&self.file, self.position, self.end).with_chunk(max_bytes);
        let mut least = i64::MIN;
        loop {
            let (header, batch) = match scan.next_batch_from(least) {
                Ok(Some(next)) => next,
                Ok(None) if batches.is_empty() => return Ok(None),
                Ok(None) => break,
                Err(_) if !batches.is_empty() => break,
                Err(error) => return Err(self.error(error, least.max(from))),
            };
            least = header.next_offset();
            if least <= from {
                continue;
            }
            let fits = batches.len() + batch.len() <= max_bytes || (batches.is_empty() && at_least_one);
            if header.base_offset >= self.high_watermark || !fits {
                break;
            }
            if batches.is_empty() {
                let there = usize::try_from(self.end - self.position).unwrap_or(usize::MAX);
                batches.reserve_exact(max_bytes.min(there).max(batch.len())); // growing would take twice as much
            }
            batches.extend_from_slice(batch);
        }
        Ok(Some(batches))
    }

    /// The first record of the segment that reaches this time and may be read.
    fn first_at(&self, timestamp_ms: i64) -> Result<Option<(i64, i64)>, ReadError> {
        let mut scan = Scan::new(&self.file, self.position, self.end);
        let mut least = i64::MIN;
        while let Some((header, batch)) =
            scan.next_batch_from(least).map_err(|error| self.error(error, least.max(self.log_start)))?
        {
            least = header.next_offset();
            if header.base_offset >= self.high_watermark {
                return Ok(None);
            }
            if header.max_timestamp >= timestamp_ms
                && least > self.log_start
                && let Some(found) = first_in_batch(&header, batch, timestamp_ms, self.log_start)
            {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}

fn first_in_batch(header: &BatchHeader, batch: &[u8], timestamp_ms: i64, log_start: i64) -> Option<(i64, i64)> {
    let first_offset = header.base_offset.max(log_start);
    if header.log_append_time() {
        return Some((first_offset, header.max_timestamp));
    }
    if header.compressed() {
        return Some((first_offset, header.base_timestamp.max(timestamp_ms)));
    }
    batch::records(header, batch).map_while(Result::ok).find_map(|record| {
        let offset = header.base_offset + i64::from(record.offset_delta);
        let timestamp = header.timestamp(&record);
        (timestamp >= timestamp_ms && offset >= log_start).then_some((offset, timestamp))
    })
}
