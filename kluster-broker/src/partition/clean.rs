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
    /// stays whole, and so does one that has not been looked at.
    pub fn decide(&mut self, header: &BatchHeader, batch: &[u8]) -> Result<Remains, BatchError> {
        if header.base_offset >= self.last_offsets.end {
            return Ok(Remains::Whole);
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::{Bytes, BytesMut};
    use kafka_protocol::records::{
        Compression, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, NO_SEQUENCE, Record, RecordBatchEncoder, RecordEncodeOptions,
        TimestampType,
    };

    /// A batch of one tombstone at offset 5.
    fn tombstone() -> Vec<u8> {
        let record = Record {
            transactional: false,
            control: false,
            delete_horizon: false,
            partition_leader_epoch: 0,
            producer_id: NO_PRODUCER_ID,
            producer_epoch: NO_PRODUCER_EPOCH,
            timestamp_type: TimestampType::Creation,
            offset: 5,
            sequence: NO_SEQUENCE,
            timestamp: 1000,
            key: Some(Bytes::from_static(b"k")),
            value: None,
            headers: Default::default(),
        };
        let options = RecordEncodeOptions { version: 2, compression: Compression::None };
        let mut bytes = BytesMut::new();
        RecordBatchEncoder::encode(&mut bytes, &[record], &options).unwrap();
        bytes.to_vec()
    }

    /// What stays of it in a pass at this time whose key map ends at `end`.
    fn remains(batch: &[u8], end: i64, now_ms: i64) -> Remains {
        let last_offsets = LastOffsets::new(end);
        let mut pass = Pass { last_offsets: &last_offsets, now_ms, delete_retention_ms: 100, opaque: false };
        pass.decide(&BatchHeader::parse(batch).unwrap(), batch).unwrap()
    }

    #[test]
    fn a_tombstone_that_was_not_compared_stays_as_it_is() {
        let fresh = tombstone();
        assert_eq!(remains(&fresh, 5, 1000), Remains::Whole, "no horizon before its key was looked at");
        let Remains::Part(met) = remains(&fresh, 6, 1000) else { panic!("it gets a horizon") };
        assert_eq!(remains(&met, 5, 2000), Remains::Whole, "its time has come, but not its turn");
        assert_eq!(remains(&met, 6, 2000), Remains::Nothing);
    }
}
