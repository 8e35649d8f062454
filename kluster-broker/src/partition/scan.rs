//! Reads a segment from front to back, batch by batch, each checked.

use super::PartitionError;
use crate::batch::{self, BatchError, BatchHeader};
use crate::disk::DiskFile;
use std::io;

/// Read at once, at most and at least.
const CHUNK_BYTES: usize = 1 << 20;
const LEAST_CHUNK_BYTES: usize = 16 << 10;

/// A file reaches the disk by pages; larger ones, on some machines, are multiples of this.
const PAGE_BYTES: u64 = 4096;
/// Fewer zeros may be a batch's beginning: its offset has 8 bytes, and its length, which is not zero, 4.
const LEAST_ZEROS: usize = 12;

/// A place in a segment from which batches are read in order.
#[derive(Debug)]
pub(super) struct Scan<'a> {
    file: &'a DiskFile,
    position: u64,
    end: u64,
    buffer: Vec<u8>,
    /// Where in the file the buffer begins.
    buffer_at: u64,
    /// Read at once.
    chunk: usize,
}

/// Why a scan stopped before the end.
#[derive(Debug)]
pub(super) enum ScanError {
    Io(io::Error),
    /// What lies here is no batch.
    Damaged {
        position: u64,
        error: BatchError,
    },
}

impl From<io::Error> for ScanError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl ScanError {
    /// Damage inside a batch; where that lies, its reader says ([`at`](Self::at)).
    pub fn batch(error: BatchError) -> Self {
        Self::Damaged { position: 0, error }
    }

    /// The same, of the batch at this position.
    pub fn at(self, position: u64) -> Self {
        match self {
            Self::Damaged { error, .. } => Self::Damaged { position, error },
            Self::Io(error) => Self::Io(error),
        }
    }

    /// As an error of the partition: in this file, `offset` being the first that cannot be read.
    pub fn within(self, file: &DiskFile, offset: i64, valid_again: Option<u64>) -> PartitionError {
        let path = file.path().to_owned();
        match self {
            Self::Io(source) => PartitionError::Io { path, source },
            Self::Damaged { position, error } => {
                PartitionError::Damaged { file: path, position, offset, error, valid_again }
            }
        }
    }
}

impl<'a> Scan<'a> {
    /// Batches from `position`, where one begins, to `end`.
    pub fn new(file: &'a DiskFile, position: u64, end: u64) -> Self {
        Self { file, position, end, buffer: Vec::new(), buffer_at: position, chunk: CHUNK_BYTES }
    }

    /// Reads less at once, where no more than `bytes` are wanted.
    pub fn with_chunk(self, bytes: usize) -> Self {
        Self { chunk: bytes.saturating_add(LEAST_CHUNK_BYTES).min(CHUNK_BYTES), ..self }
    }

    /// The next batch, whose offset is `least` or above; None at the end.
    pub fn next_batch_from(&mut self, least: i64) -> Result<Option<(BatchHeader, &[u8])>, ScanError> {
        let position = self.position;
        match self.next_batch()? {
            Some((header, _)) if header.base_offset < least => {
                let error = BatchError::Invalid("its offset is not above the ones before it");
                Err(ScanError::Damaged { position, error })
            }
            found => Ok(found),
        }
    }

    /// The next batch; None at the end.
    pub fn next_batch(&mut self) -> Result<Option<(BatchHeader, &[u8])>, ScanError> {
        if self.position >= self.end {
            return Ok(None);
        }
        let position = self.position;
        let announced = batch::announced_size(self.fill(batch::HEADER_BYTES)?).unwrap_or(batch::HEADER_BYTES);
        let there = usize::try_from(self.end - position).unwrap_or(usize::MAX);
        if announced > there {
            // A damaged length is not believed so far as to read the rest of the file for it.
            let error = BatchError::Truncated { present: there, expected: announced };
            return Err(ScanError::Damaged { position, error });
        }
        let header = batch::check(self.fill(announced.max(batch::HEADER_BYTES))?)
            .map_err(|error| ScanError::Damaged { position, error })?;
        let at = self.buffered_from();
        self.position += header.size as u64;
        Ok(Some((header, &self.buffer[at..at + header.size])))
    }

    fn buffered_from(&self) -> usize {
        usize::try_from(self.position - self.buffer_at).unwrap_or(usize::MAX)
    }

    /// So many bytes from the position, or as many as there are.
    fn fill(&mut self, wanted: usize) -> io::Result<&[u8]> {
        let there = usize::try_from(self.end - self.position).unwrap_or(usize::MAX);
        let at = self.buffered_from();
        if self.buffer.len() - at < wanted.min(there) {
            self.buffer.clear();
            self.buffer.resize(wanted.max(self.chunk).min(there), 0);
            self.buffer_at = self.position;
            self.file.read_at(&mut self.buffer, self.position)?;
        }
        Ok(&self.buffer[self.buffered_from()..])
    }
}

/// Where after `from` the next whole batch begins whose offset is `least` or above, if there is one: then what lies between is damage, not a
/// torn end.
pub(super) fn find_batch(file: &DiskFile, from: u64, end: u64, least: i64) -> io::Result<Option<u64>> {
    let mut at = from;
    let mut buffer = Vec::new();
    while at < end {
        let length = usize::try_from(end - at).unwrap_or(usize::MAX).min(CHUNK_BYTES);
        buffer.resize(length, 0);
        file.read_at(&mut buffer, at)?;
        for (index, window) in buffer.windows(batch::HEADER_BYTES).enumerate() {
            let position = at + index as u64;
            let plausible = |header: &BatchHeader| {
                header.base_offset >= least
                    && header.base_offset - least <= i64::from(i32::MAX)
                    && position + header.size as u64 <= end
            };
            if window[batch::MAGIC] == 2
                && BatchHeader::parse(window).is_ok_and(|header| plausible(&header))
                && Scan::new(file, position, end).with_chunk(0).next_batch().is_ok_and(|batch| batch.is_some())
            {
                return Ok(Some(position));
            }
        }
        let advance = if length < CHUNK_BYTES { length } else { length - (batch::HEADER_BYTES - 1) };
        at += advance as u64;
    }
    Ok(None)
}

/// Whether a page that begins in `from..to`, or the rest of the one `from` is in, holds nothing but zeros: the file had grown over it, and the power
/// failed before it was written. `end` is the file's.
pub(super) fn has_unwritten_page(file: &DiskFile, from: u64, to: u64, end: u64) -> io::Result<bool> {
    let mut at = from;
    let mut page = Vec::new();
    while at < to {
        let page_end = (at / PAGE_BYTES + 1).saturating_mul(PAGE_BYTES).min(end);
        page.resize(usize::try_from(page_end - at).unwrap_or(usize::MAX), 0);
        file.read_at(&mut page, at)?;
        if page.len() >= LEAST_ZEROS && page.iter().all(|byte| *byte == 0) {
            return Ok(true);
        }
        at = page_end;
    }
    Ok(false)
}
