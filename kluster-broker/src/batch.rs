//! The header of a record batch, format 2: parsed, checked, stamped. Records inside are not looked at here (see `record`).
//!
//! Batches are kept as they were received. Two fields outside the checksum are the broker's own, base offset and leader epoch; with
//! LogAppendTime the broker also writes the timestamp, and the checksum anew.
//!
//! Layout: <https://kafka.apache.org/documentation/#recordbatch>, big-endian.

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
const MAGIC: usize = 16;
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

    /// Whether a transaction or a marker of one.
    pub fn transactional(&self) -> bool {
        self.attributes & (TRANSACTIONAL_BIT | CONTROL_BIT) != 0
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

/// Gives the batch its place. Outside the checksum.
pub fn stamp_offset(batch: &mut [u8], base_offset: i64) {
    batch[BASE_OFFSET].copy_from_slice(&base_offset.to_be_bytes());
    batch[EPOCH].copy_from_slice(&LEADER_EPOCH.to_be_bytes());
}

/// Gives all records of the batch this time, as Kafka does for LogAppendTime: bit, largest timestamp, checksum.
pub fn stamp_append_time(batch: &mut [u8], now_ms: i64) {
    let attributes = i16::from_be_bytes(bytes(batch, ATTRIBUTES)) | LOG_APPEND_TIME_BIT;
    batch[ATTRIBUTES].copy_from_slice(&attributes.to_be_bytes());
    batch[MAX_TIMESTAMP].copy_from_slice(&now_ms.to_be_bytes());
    let crc = crc32c::crc32c(&batch[CHECKED_FROM..]);
    batch[CRC].copy_from_slice(&crc.to_be_bytes());
}
