//! What goes wrong in a partition, named for what the asker is told.

use crate::batch::BatchError;
use kafka_protocol::error::ResponseError;
use std::path::PathBuf;

/// Why batches were not stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// Not a batch that may be stored.
    #[error("record batch refused: {0}")]
    Batch(#[from] BatchError),
    /// A transaction or a marker of one.
    #[error("transactions are not supported by this broker; set no transactional.id")]
    Transactional,
    /// Larger than max.message.bytes.
    #[error("record batch of {size} bytes is larger than max.message.bytes = {limit}")]
    TooLarge {
        /// Bytes of the batch.
        size: usize,
        /// The topic's setting.
        limit: usize,
    },
    /// Too far from the broker's clock, or claims to be the broker's.
    #[error("{0}")]
    Timestamp(String),
    /// Sequence numbers of an idempotent producer do not follow each other.
    #[error("producer {producer_id}: sequence {found} where {expected} follows")]
    OutOfOrderSequence {
        /// The producer.
        producer_id: i64,
        /// Sequence that follows the last stored one.
        expected: i32,
        /// Sequence of the batch.
        found: i32,
    },
    /// A newer instance of the same producer has written.
    #[error("producer {producer_id}: epoch {found} is over, {current} has written")]
    InvalidProducerEpoch {
        /// The producer.
        producer_id: i64,
        /// Newest epoch.
        current: i16,
        /// Epoch of the batch.
        found: i16,
    },
    /// The disk has no room; nothing was stored, and writing works again when there is room.
    #[error("no space left on the disk: {0}; free some, writing then goes on by itself")]
    DiskFull(String),
    /// The disk failed. After a failed fsync the partition takes no more writes until the broker is started again.
    #[error("storage failed: {0}")]
    Storage(String),
    /// The topic was deleted meanwhile.
    #[error("the topic was deleted")]
    Deleted,
}

impl AppendError {
    /// Kafka's error for it.
    pub fn response(&self) -> ResponseError {
        match self {
            Self::Batch(BatchError::Magic(_)) => ResponseError::UnsupportedForMessageFormat,
            Self::Batch(BatchError::Invalid(_)) => ResponseError::InvalidRecord,
            Self::Batch(BatchError::Truncated { .. } | BatchError::Checksum { .. }) => ResponseError::CorruptMessage,
            Self::Transactional => ResponseError::TransactionalIdAuthorizationFailed,
            Self::TooLarge { .. } => ResponseError::MessageTooLarge,
            Self::Timestamp(_) => ResponseError::InvalidTimestamp,
            Self::OutOfOrderSequence { .. } => ResponseError::OutOfOrderSequenceNumber,
            Self::InvalidProducerEpoch { .. } => ResponseError::InvalidProducerEpoch,
            Self::DiskFull(_) | Self::Storage(_) => ResponseError::KafkaStorageError,
            Self::Deleted => ResponseError::UnknownTopicOrPartition,
        }
    }
}

/// Why nothing could be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Before the log's start or after its end.
    #[error("offset {asked} is not within the log, which has {log_start} to {high_watermark}")]
    OutOfRange {
        /// Offset asked for.
        asked: i64,
        /// First offset there is.
        log_start: i64,
        /// Offset after the last one that may be read.
        high_watermark: i64,
    },
    /// The disk gave other bytes than were written.
    #[error(
        "{}: damaged at byte {position}, offset {offset}: {error}; restore the file from a copy, or delete the records before a later offset",
        file.display()
    )]
    Damaged {
        /// Segment file.
        file: PathBuf,
        /// Where in it.
        position: u64,
        /// First offset that cannot be read.
        offset: i64,
        /// What is wrong.
        error: BatchError,
    },
    /// The disk failed.
    #[error("storage failed: {0}")]
    Storage(String),
    /// The topic was deleted meanwhile.
    #[error("the topic was deleted")]
    Deleted,
}

impl ReadError {
    /// Kafka's error for it.
    pub fn response(&self) -> ResponseError {
        match self {
            Self::OutOfRange { .. } => ResponseError::OffsetOutOfRange,
            Self::Damaged { .. } => ResponseError::CorruptMessage,
            Self::Storage(_) => ResponseError::KafkaStorageError,
            Self::Deleted => ResponseError::UnknownTopicOrPartition,
        }
    }
}
