//! Record: bytes with a place in the log.

use bytes::Bytes;
use kluster_protocol::{MAX_REQUEST_BYTES, Offset, RECORD_OVERHEAD_BYTES, RecordHash};

/// What Kafka's batch around one record may take of a topic's `max.message.bytes`.
const BATCH_BYTES: usize = 1024;

/// Key, headers and value of a record have at most this many bytes together.
pub const MAX_RECORD_BYTES: usize = MAX_REQUEST_BYTES + RECORD_OVERHEAD_BYTES - BATCH_BYTES;

/// A record to append.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NewRecord {
    /// Decides the partition where none is named; in NODES the name by which a record replaces the one before.
    pub key: Option<Bytes>,
    /// Names and values beside the value.
    pub headers: Vec<(String, Bytes)>,
    /// The record's content.
    pub value: Option<Bytes>,
}

impl NewRecord {
    /// A record without key and headers.
    pub fn of(value: impl Into<Bytes>) -> Self {
        Self { value: Some(value.into()), ..Self::default() }
    }

    /// The record with this key.
    #[must_use]
    pub fn keyed(mut self, key: impl Into<Bytes>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// The record with one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<Bytes>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// The size that counts against [`MAX_RECORD_BYTES`]: key, headers and value.
    pub fn bytes(&self) -> usize {
        let headers: usize = self.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        self.key.as_ref().map_or(0, Bytes::len) + headers + self.value.as_ref().map_or(0, Bytes::len)
    }
}

/// A record in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The partition it lies in.
    pub partition: u32,
    /// Its place there.
    pub offset: Offset,
    /// When the log took it, in milliseconds since 1970 by the broker's clock (LogAppendTime).
    pub timestamp_ms: i64,
    /// The key.
    pub key: Option<Bytes>,
    /// Names and values beside the value, in their order.
    pub headers: Vec<(String, Bytes)>,
    /// The content; none: a tombstone.
    pub value: Option<Bytes>,
}

impl Record {
    /// The value of the last header of this name, as Kafka's own `lastHeader`.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.iter().rev().find(|(n, _)| n == name).map(|(_, value)| value.as_ref())
    }

    /// The hash by which a node knows this record again.
    pub fn hash(&self) -> RecordHash {
        let headers = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_ref()));
        RecordHash::of(self.key.as_deref(), headers, self.value.as_deref())
    }
}

/// Where an appended record lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// The partition.
    pub partition: u32,
    /// The place there.
    pub offset: Offset,
}
