//! The header of a record batch, format 2: parsed, checked, stamped. The records inside: `batch/records.rs`.
//!
//! Batches are kept as they were received. Two fields outside the checksum are the broker's own, base offset and leader epoch; with
//! LogAppendTime the broker also writes the timestamp, and the checksum anew.
//!
//! Layout: <https://kafka.apache.org/documentation/#recordbatch>, big-endian.

mod records;

pub use records::{RecordView, Records};

use std::ops::Range;

/// Bytes before the first record.
pub const HEADER_BYTES: usize = 61;
/// Bytes before what the length field counts: base offset and the length itself.
const LENGTH_PREFIX_BYTES: usize = 12;
/// The leader epoch written into every batch: one machine leads for ever.
pub const LEADER_EPOCH: i32 = 0;

const BASE_OFFSET: Range<usize> = 0..8;
const LENGTH: Range<usize> = 8..12;
const EPOCH: Range<usize> = 12..16;
pub(crate) const MAGIC: usize = 16;
const CRC: Range<usize> = 17..21;
/// The checksum covers everything from here to the end.
const CHECKED_FROM: usize = 21;
const ATTRIBUTES: Range<usize> = 21..23;
const LAST_OFFSET_DELTA: Range<usize> = 23..27;
const BASE_TIMESTAMP: Range<usize> = 27..35;
const MAX_TIMESTAMP: Range<usize> = 35..43;
const PRODUCER_ID: Range<usize> = 43..51;
const PRODUCER_EPOCH: Range<usize> = 51..53;
const BASE_SEQUENCE: Range<usize> = 53..57;
const RECORDS: Range<usize> = 57..61;

const COMPRESSION_BITS: i16 = 0b0111;
const LOG_APPEND_TIME_BIT: i16 = 1 << 3;
const TRANSACTIONAL_BIT: i16 = 1 << 4;
const CONTROL_BIT: i16 = 1 << 5;
const DELETE_HORIZON_BIT: i16 = 1 << 6;

/// Why bytes are not a batch that may be stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// The bytes end before the batch does.
    #[error("the batch has {present} bytes, its header says {expected}")]
    Truncated {
        /// Bytes there are.
        present: usize,
        /// Bytes there should be.
        expected: usize,
    },
    /// Message sets of before Kafka 0.11, or something newer than we know.
    #[error("record format {0} is not supported, only format 2 (Kafka 0.11 and later)")]
    Magic(i8),
    /// Damaged on its way or at rest.
    #[error("checksum {stored:#010x} expected, {computed:#010x} found")]
    Checksum {
        /// What the header says.
        stored: u32,
        /// What the bytes give.
        computed: u32,
    },
    /// The fields contradict each other or ask for what there is not.
    #[error("{0}")]
    Invalid(&'static str),
}

/// The fields of a batch's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader {
    /// Offset of its first record.
    pub base_offset: i64,
    /// All bytes, from the base offset to the last record.
    pub size: usize,
    /// Record format; 2 where all checks have passed.
    pub magic: i8,
    /// CRC-32C as stored.
    pub crc: u32,
    /// Bits: compression, timestamp type, transactional, control, delete horizon.
    pub attributes: i16,
    /// Offset of the last record, from the base offset; stays when compaction removes records.
    pub last_offset_delta: i32,
    /// Records' timestamps count from here, in milliseconds.
    pub base_timestamp: i64,
    /// Largest timestamp of the records, in milliseconds; −1 without.
    pub max_timestamp: i64,
    /// Idempotent producer; −1 without.
    pub producer_id: i64,
    /// Its epoch; −1 without.
    pub producer_epoch: i16,
    /// Sequence number of the first record; −1 without.
    pub base_sequence: i32,
    /// Count of records.
    pub records: i32,
}

fn bytes<const N: usize>(header: &[u8], range: Range<usize>) -> [u8; N] {
    let mut value = [0; N];
    value.copy_from_slice(&header[range]);
    value
}

/// The size of the batch that begins here as its length field says, however little of it is present; None when the bytes hold no length.
/// An impossible length gives 0.
pub fn announced_size(bytes_: &[u8]) -> Option<usize> {
    let length = i32::from_be_bytes(bytes(bytes_.get(..LENGTH.end)?, LENGTH));
    Some(usize::try_from(length).map_or(0, |length| length + LENGTH_PREFIX_BYTES))
}

impl BatchHeader {
    /// Reads the header of the batch that begins here; the bytes may go on after it or end after the header.
    ///
    /// # Errors
    /// Truncated, another format, or a length that holds no header. The checksum is not looked at: see [`check`].
    pub fn parse(batch: &[u8]) -> Result<Self, BatchError> {
        let size = announced_size(batch);
        match batch.get(MAGIC) {
            Some(2) => {}
            Some(magic) => return Err(BatchError::Magic(i8::from_be_bytes([*magic]))),
            None => return Err(BatchError::Truncated { present: batch.len(), expected: HEADER_BYTES }),
        }
        let size =
            size.filter(|size| *size >= HEADER_BYTES).ok_or(BatchError::Invalid("its length is below a header's"))?;
        if batch.len() < HEADER_BYTES {
            return Err(BatchError::Truncated { present: batch.len(), expected: size });
        }
        Ok(Self {
            base_offset: i64::from_be_bytes(bytes(batch, BASE_OFFSET)),
            size,
            magic: 2,
            crc: u32::from_be_bytes(bytes(batch, CRC)),
            attributes: i16::from_be_bytes(bytes(batch, ATTRIBUTES)),
            last_offset_delta: i32::from_be_bytes(bytes(batch, LAST_OFFSET_DELTA)),
            base_timestamp: i64::from_be_bytes(bytes(batch, BASE_TIMESTAMP)),
            max_timestamp: i64::from_be_bytes(bytes(batch, MAX_TIMESTAMP)),
            producer_id: i64::from_be_bytes(bytes(batch, PRODUCER_ID)),
            producer_epoch: i16::from_be_bytes(bytes(batch, PRODUCER_EPOCH)),
            base_sequence: i32::from_be_bytes(bytes(batch, BASE_SEQUENCE)),
            records: i32::from_be_bytes(bytes(batch, RECORDS)),
        })
    }

    /// The offset after its last one.
    pub fn next_offset(&self) -> i64 {
        self.base_offset.saturating_add(i64::from(self.last_offset_delta)).saturating_add(1)
    }

    /// Whether the records are compressed.
    pub fn compressed(&self) -> bool {
        self.attributes & COMPRESSION_BITS != 0
    }

    /// Whether all records have the time at which the broker stored them, which is `max_timestamp`.
    pub fn log_append_time(&self) -> bool {
        self.attributes & LOG_APPEND_TIME_BIT != 0
    }

    /// When compaction may drop the tombstones in it, in milliseconds; None before compaction has met them.
    pub fn delete_horizon(&self) -> Option<i64> {
        (self.attributes & DELETE_HORIZON_BIT != 0).then_some(self.base_timestamp)
    }

    /// A record's timestamp, in milliseconds.
    pub fn timestamp(&self, record: &RecordView<'_>) -> i64 {
        if self.log_append_time() {
            self.max_timestamp
        } else {
            self.base_timestamp.saturating_add(record.timestamp_delta)
        }
    }

    /// Whether part of a transaction.
    pub fn transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL_BIT != 0
    }

    /// Whether it holds control records, such as the end of a transaction.
    pub fn control(&self) -> bool {
        self.attributes & CONTROL_BIT != 0
    }
}

/// Reads and checks the batch that begins here: complete, format 2, checksum right, counts plausible.
///
/// # Errors
/// What is wrong with it.
pub fn check(batch: &[u8]) -> Result<BatchHeader, BatchError> {
    let header = BatchHeader::parse(batch)?;
    let Some(whole) = batch.get(..header.size) else {
        return Err(BatchError::Truncated { present: batch.len(), expected: header.size });
    };
    let computed = crc32c::crc32c(&whole[CHECKED_FROM..]);
    if computed != header.crc {
        return Err(BatchError::Checksum { stored: header.crc, computed });
    }
    if header.last_offset_delta < 0 || header.records < 0 {
        return Err(BatchError::Invalid("its counts are negative"));
    }
    Ok(header)
}

/// Checks what a producer may send, beyond [`check`]: as many records as offsets, each readable, with a key where `keyed`. Compressed records
/// are not looked into.
///
/// # Errors
/// What is wrong with it.
pub fn check_produced(header: &BatchHeader, batch: &[u8], keyed: bool) -> Result<(), BatchError> {
    if header.records < 1 || header.last_offset_delta != header.records - 1 {
        return Err(BatchError::Invalid("its count of records and its offsets disagree"));
    }
    if header.producer_id >= 0 && (header.producer_epoch < 0 || header.base_sequence < 0) {
        return Err(BatchError::Invalid("its producer has an id but no epoch or sequence number"));
    }
    if header.delete_horizon().is_some() {
        return Err(BatchError::Invalid("it claims to have been compacted"));
    }
    if header.compressed() {
        return Ok(());
    }
    for (index, record) in records(header, batch).enumerate() {
        let record = record?;
        if usize::try_from(record.offset_delta) != Ok(index) {
            return Err(BatchError::Invalid("its records' offsets do not rise by one"));
        }
        if keyed && record.key.is_none() {
            return Err(BatchError::Invalid("a compacted topic takes no record without a key"));
        }
    }
    Ok(())
}

/// The records of a batch that has been checked.
pub fn records<'a>(header: &BatchHeader, batch: &'a [u8]) -> Records<'a> {
    Records::new(&batch[HEADER_BYTES..header.size], header.records)
}

/// Gives the batch its place. Outside the checksum.
pub fn stamp_offset(batch: &mut [u8], base_offset: i64) {
    batch[BASE_OFFSET].copy_from_slice(&base_offset.to_be_bytes());
    batch[EPOCH].copy_from_slice(&LEADER_EPOCH.to_be_bytes());
}

/// Gives all records of the batch with this header this time, as Kafka does for LogAppendTime: bit, largest timestamp, checksum.
pub fn stamp_append_time(header: &mut [u8; HEADER_BYTES], records: &[u8], now_ms: i64) {
    let attributes = i16::from_be_bytes(bytes(header, ATTRIBUTES)) | LOG_APPEND_TIME_BIT;
    header[ATTRIBUTES].copy_from_slice(&attributes.to_be_bytes());
    header[MAX_TIMESTAMP].copy_from_slice(&now_ms.to_be_bytes());
    let checksum = crc32c::crc32c_append(crc32c::crc32c(&header[CHECKED_FROM..]), records);
    header[CRC].copy_from_slice(&checksum.to_be_bytes());
}

/// The batch with only these of its records, which keep their offsets and times. With a `horizon` the batch notes when its tombstones may go, as
/// Kafka does: in place of the base timestamp, from which the records' times count then.
pub(crate) fn rewrite(header: &BatchHeader, batch: &[u8], kept: &[RecordView<'_>], horizon: Option<i64>) -> Vec<u8> {
    let mut rewritten = batch[..HEADER_BYTES].to_vec();
    for record in kept {
        match horizon {
            None => rewritten.extend_from_slice(record.whole),
            Some(horizon) => {
                let timestamp = header.base_timestamp.saturating_add(record.timestamp_delta);
                record.write_with_timestamp_delta(timestamp.saturating_sub(horizon), &mut rewritten);
            }
        }
    }
    if let Some(horizon) = horizon {
        let attributes = header.attributes | DELETE_HORIZON_BIT;
        rewritten[ATTRIBUTES].copy_from_slice(&attributes.to_be_bytes());
        rewritten[BASE_TIMESTAMP].copy_from_slice(&horizon.to_be_bytes());
    }
    let newest = kept.iter().map(|record| header.timestamp(record)).max().unwrap_or(-1);
    let (length, count) = ((rewritten.len() - LENGTH_PREFIX_BYTES) as i32, kept.len() as i32);
    rewritten[LENGTH].copy_from_slice(&length.to_be_bytes());
    rewritten[MAX_TIMESTAMP].copy_from_slice(&newest.to_be_bytes());
    rewritten[RECORDS].copy_from_slice(&count.to_be_bytes());
    stamp_checksum(&mut rewritten);
    rewritten
}

fn stamp_checksum(batch: &mut [u8]) {
    let crc = crc32c::crc32c(&batch[CHECKED_FROM..]);
    batch[CRC].copy_from_slice(&crc.to_be_bytes());
}
