//! Compaction's decisions, without I/O: which key was written last where, and what of a batch stays.

use crate::batch::{self, BatchError, BatchHeader};
use std::collections::HashMap;

/// Keys are held in memory up to so many bytes; more are left to the next pass.
const MOST_KEY_BYTES: usize = 64 << 20;
/// Of an entry, beside its key: an estimate.
const ENTRY_BYTES: usize = 64;

/// The last offset of every key between two offsets.
#[derive(Debug)]
pub(super) struct LastOffsets {
    last: HashMap<Vec<u8>, i64>,
    bytes: usize,
    /// All batches before it have been looked at.
    pub end: i64,
}

impl LastOffsets {
    /// None known; begins at `start`.
    pub fn new(start: i64) -> Self {
        Self { last: HashMap::new(), bytes: 0, end: start }
    }

    /// Looks at the next batch; false when there is no room for more. Compressed batches are opaque.
    pub fn add(&mut self, header: &BatchHeader, batch: &[u8]) -> Result<bool, BatchError> {
        if self.bytes >= MOST_KEY_BYTES {
            return Ok(false);
        }
        if !header.compressed() {
            for record in batch::records(header, batch) {
                let record = record?;
                let Some(key) = record.key else { continue };
                let offset = header.base_offset + i64::from(record.offset_delta);
                if let Some(last) = self.last.get_mut(key) {
                    *last = offset;
                } else {
                    self.bytes += key.len() + ENTRY_BYTES;
                    self.last.insert(key.to_owned(), offset);
                }
            }
        }
        self.end = header.next_offset();
        Ok(true)
    }
}

/// What stays of a batch.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Remains {
    /// All, as it is.
    Whole,
    /// This.
    Part(Vec<u8>),
    /// Nothing.
    Nothing,
}

/// One pass over the log, from its front.
#[derive(Debug)]
pub(super) struct Pass<'a> {
    pub last_offsets: &'a LastOffsets,
    pub now_ms: i64,
    pub delete_retention_ms: i64,
    /// A compressed batch has been passed: it may hold any key, so from here on no tombstone goes.
    pub opaque: bool,
}

impl Pass<'_> {
    /// Decides a batch: what was written again later goes, tombstones whose time has come go, records without a key go. A compressed batch
    /// stays whole.
    pub fn decide(&mut self, header: &BatchHeader, batch: &[u8]) -> Result<Remains, BatchError> {
        if header.compressed() {
            self.opaque = true;
            return Ok(Remains::Whole);
        }
        let expired = header.delete_horizon().is_some_and(|horizon| horizon <= self.now_ms) && !self.opaque;
        let mut kept = Vec::new();
        let mut tombstones = false;
        for record in batch::records(header, batch) {
            let record = record?;
            let offset = header.base_offset + i64::from(record.offset_delta);
            let Some(key) = record.key else { continue };
            let tombstone = record.value.is_none();
            let superseded = self.last_offsets.last.get(key).is_some_and(|last| *last > offset);
            if !(superseded || tombstone && expired) {
                tombstones |= tombstone;
                kept.push(record);
            }
        }
        let first_met = tombstones && header.delete_horizon().is_none();
        let horizon = first_met.then(|| self.now_ms.saturating_add(self.delete_retention_ms));
        if kept.is_empty() {
            return Ok(Remains::Nothing);
        }
        if horizon.is_none() && i32::try_from(kept.len()) == Ok(header.records) {
            return Ok(Remains::Whole);
        }
        Ok(Remains::Part(batch::rewrite(header, batch, &kept, horizon)))
    }
}
