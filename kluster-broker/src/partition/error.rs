//! What goes wrong in a partition, named for what the asker is told.

use crate::batch::BatchError;
use kafka_protocol::error::ResponseError;
use std::io;
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
    /// What only a broker writes.
    #[error("clients may not write control records")]
    Control,
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
            Self::Control | Self::Batch(BatchError::Invalid(_)) => ResponseError::InvalidRecord,
            Self::Batch(BatchError::Truncated { .. } | BatchError::Checksum { .. }) => ResponseError::CorruptMessage,
            Self::Transactional => ResponseError::UnsupportedVersion,
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

/// Why a partition cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum PartitionError {
    /// The file system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Its words.
        source: io::Error,
    },
    /// What lies before good batches is no batch: not a torn end, which would be cut, but damage.
    #[error(
        "{}: damaged at byte {position}, offset {offset}: {error}; records follow{}, so that it is no torn end and is not cut. Restore the file \
         from a copy; or give up its records from offset {offset} on: truncate -s {position} {}",
        file.display(), valid_again.map_or_else(String::new, |byte| format!(" from byte {byte}")), file.display()
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
        /// Where in the same file good batches begin again.
        valid_again: Option<u64>,
    },
    /// Two segments hold records of the same offsets, and compaction did not do it.
    #[error(
        "{}: begins before offset {end}, where the segment before it ends; which of their records hold cannot be known. Restore the files from a \
         copy; or move this one away, and with it give up its records",
        file.display()
    )]
    Overlap {
        /// Segment file.
        file: PathBuf,
        /// Offset after the last record of the segment before it.
        end: i64,
    },
}

impl From<PartitionError> for ReadError {
    fn from(error: PartitionError) -> Self {
        match error {
            PartitionError::Io { .. } | PartitionError::Overlap { .. } => Self::Storage(error.to_string()),
            PartitionError::Damaged { file, position, offset, error, .. } => {
                Self::Damaged { file, position, offset, error }
            }
        }
    }
}

impl From<PartitionError> for AppendError {
    fn from(error: PartitionError) -> Self {
        Self::Storage(error.to_string())
    }
}

/// Why records were not deleted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeleteError {
    /// Beyond the high watermark, or no offset.
    #[error("offset {asked} is not within the log, which has {log_start} to {high_watermark}")]
    OutOfRange {
        /// Offset asked for.
        asked: i64,
        /// First offset there is.
        log_start: i64,
        /// Offset after the last one that may be read.
        high_watermark: i64,
    },
    /// A compacted topic keeps the last record of each key.
    #[error("records of a topic can be deleted only if its cleanup.policy has 'delete'")]
    Policy,
    /// The disk failed.
    #[error("storage failed: {0}")]
    Storage(String),
    /// The topic was deleted meanwhile.
    #[error("the topic was deleted")]
    Deleted,
}

impl From<AppendError> for DeleteError {
    fn from(error: AppendError) -> Self {
        if error == AppendError::Deleted { Self::Deleted } else { Self::Storage(error.to_string()) }
    }
}

impl DeleteError {
    /// Kafka's error for it.
    pub fn response(&self) -> ResponseError {
        match self {
            Self::OutOfRange { .. } => ResponseError::OffsetOutOfRange,
            Self::Policy => ResponseError::PolicyViolation,
            Self::Storage(_) => ResponseError::KafkaStorageError,
            Self::Deleted => ResponseError::UnknownTopicOrPartition,
        }
    }
}
