//! What goes wrong with topics, named for what the asker is told.

use crate::lock::LockError;
use crate::partition::PartitionError;
use crate::topic_config::InvalidConfig;
use kafka_protocol::error::ResponseError;
use std::io;
use std::path::PathBuf;

/// Why a data directory cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it, or it cannot be locked.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The file system refused, or the catalogue cannot be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Its words.
        source: io::Error,
    },
    /// Partitions without a catalogue: it was lost, and the topics' names and ids with it.
    #[error(
        "{} is missing, but there are partitions such as {}; restore that file from a copy, or move the partitions away to start empty",
        catalogue.display(), partition.display()
    )]
    NoCatalogue {
        /// The file that is missing.
        catalogue: PathBuf,
        /// A partition's directory.
        partition: PathBuf,
    },
    /// A setting in the catalogue is not one that this version knows.
    #[error("{}: topic {topic}: {error}", path.display())]
    Config {
        /// The catalogue.
        path: PathBuf,
        /// The topic.
        topic: String,
        /// What is wrong with it.
        error: InvalidConfig,
    },
    /// A partition's log is damaged.
    #[error(transparent)]
    Partition(#[from] PartitionError),
}

/// Why a topic was not created, changed or deleted.
#[derive(Debug, thiserror::Error)]
pub enum TopicError {
    /// There is one of that name.
    #[error("topic '{0}' already exists")]
    Exists(String),
    /// There is none of that name.
    #[error("there is no topic '{0}'")]
    Unknown(String),
    /// Kafka's rule for names.
    #[error("topic name '{0}' is illegal: 1 to 249 of a-z, A-Z, 0-9, '.', '_', '-', and neither '.' nor '..'")]
    Name(String),
    /// Too few or too many.
    #[error("{0}")]
    Partitions(String),
    /// Too many in all topics together.
    #[error(
        "{asked} more partitions are too many: there are {there}, and this broker serves {most} in all (max_partitions, and what its limit of open files leaves); delete topics, or take fewer partitions"
    )]
    TooManyPartitions {
        /// How many more.
        asked: i32,
        /// How many there are.
        there: usize,
        /// How many there may be.
        most: usize,
    },
    /// A setting is refused.
    #[error(transparent)]
    Config(#[from] InvalidConfig),
    /// The disk failed.
    #[error("storage failed: {}: {source}", path.display())]
    Storage {
        /// The file or directory.
        path: PathBuf,
        /// Its words.
        source: io::Error,
    },
    /// A new partition could not be made.
    #[error("storage failed: {0}")]
    Partition(#[from] PartitionError),
}

impl TopicError {
    /// Kafka's error for it.
    pub fn response(&self) -> ResponseError {
        match self {
            Self::Exists(_) => ResponseError::TopicAlreadyExists,
            Self::Unknown(_) => ResponseError::UnknownTopicOrPartition,
            Self::Name(_) => ResponseError::InvalidTopicException,
            Self::Partitions(_) => ResponseError::InvalidPartitions,
            // As Apache Kafka says when a request would make too many.
            Self::TooManyPartitions { .. } => ResponseError::PolicyViolation,
            Self::Config(_) => ResponseError::InvalidConfig,
            Self::Storage { .. } | Self::Partition(_) => ResponseError::KafkaStorageError,
        }
    }
}
