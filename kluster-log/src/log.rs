//! Log: the seam. Everything Kluster may ask of its log, answered by Kafka or by memory.

use crate::{
    Appended, GroupReader, KafkaLog, LogError, LogSettings, MAX_RECORD_BYTES, MemoryLog, NewRecord, Reader, TopicCheck,
    TopicSettings,
};
use futures_util::future::{Either, ready};
use kluster_protocol::{Offset, Topic, TopicNames};
use std::future::Future;
use std::time::Duration;

/// A log: six topics of one database. Cheap to clone; clones share one producer, hence one order of appends.
#[derive(Debug, Clone)]
pub enum Log {
    /// Apache Kafka, or whatever speaks its protocol.
    Kafka(KafkaLog),
    /// A whole log in this process.
    Memory(MemoryLog),
}

/// A place behind the end is looked up again so often: a new leader may not know its end yet.
const LOOKS: usize = 3;
const BETWEEN_LOOKS: Duration = Duration::from_millis(300);

/// Asks for a range until it reaches to `place`; the last look counts.
pub(crate) async fn reaching<F: Future<Output = Result<Range, LogError>>>(
    place: Offset,
    ask: impl Fn() -> F,
) -> Result<Range, LogError> {
    for _ in 1..LOOKS {
        let range = ask().await?;
        if place <= range.end {
            return Ok(range);
        }
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
    ask().await
}

/// The places of a partition that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// The first place that can be read.
    pub start: Offset,
    /// The place behind the last record that readers see (they read committed records only).
    pub end: Offset,
}

impl Range {
    /// Whether a reader may start at `place`: in the range or just behind it.
    pub fn admits(&self, place: Offset) -> bool {
        self.start <= place && place <= self.end
    }
}

/// Names one log: a node's database belongs to exactly one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogIdentity {
    /// Kafka's cluster id.
    pub cluster_id: String,
    /// ALL's topic id, a UUID as text; empty when the broker can't tell.
    pub topic_id: String,
}

/// What became of a topic that should exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// It was made now.
    New,
    /// It was there; its settings were left as they are.
    Existed,
}

impl Log {
    /// Connects to Kafka and waits for its first answer; `settings.connecting` at most, then [`LogError::Unreachable`]. A wait of more than
    /// 1.5 s is said in the log lines.
    pub async fn connect(settings: LogSettings) -> Result<Self, LogError> {
        Self::connect_saying(settings, |wait| tracing::warn!("{wait}")).await
    }

    /// The same; a wait of more than 1.5 s is said, once, to `waits`: for whom and why, and what to do.
    pub async fn connect_saying(settings: LogSettings, waits: impl FnMut(&str)) -> Result<Self, LogError> {
        Ok(Self::Kafka(KafkaLog::connect(settings, waits).await?))
    }

    /// The log in this process.
    pub fn memory(log: MemoryLog) -> Self {
        Self::Memory(log)
    }

    /// What topics and groups are called.
    pub fn names(&self) -> &TopicNames {
        match self {
            Self::Kafka(log) => log.names(),
            Self::Memory(log) => log.names(),
        }
    }

    /// Appends a record and answers when it is durable and ordered. Partition `None`: the key decides ([`kluster_protocol::partition_of`]),
    /// records without a key are spread.
    ///
    /// Dropping the future does not take the record back.
    pub async fn append(&self, topic: Topic, partition: Option<u32>, record: NewRecord) -> Result<Appended, LogError> {
        self.append_now(topic, partition, record).await
    }

    /// Hands the record to the producer now, so that the order of calls on one handle is the order in the log, and gives a future of its
    /// place.
    pub fn append_now(
        &self,
        topic: Topic,
        partition: Option<u32>,
        record: NewRecord,
    ) -> impl Future<Output = Result<Appended, LogError>> + Send + 'static + use<> {
        let bytes = record.bytes();
        if bytes > MAX_RECORD_BYTES {
            return Either::Left(ready(Err(LogError::TooLarge { bytes, limit: MAX_RECORD_BYTES })));
        }
        Either::Right(match self {
            Self::Kafka(log) => Either::Left(log.append_now(topic, partition, record)),
            Self::Memory(log) => Either::Right(log.append_now(topic, partition, record)),
        })
    }

    /// How many partitions the topic has.
    pub async fn partitions(&self, topic: Topic) -> Result<u32, LogError> {
        match self {
            Self::Kafka(log) => log.partitions(topic).await,
            Self::Memory(log) => log.partitions(topic),
        }
    }

    /// The places of a partition that can be read now.
    pub async fn range(&self, topic: Topic, partition: u32) -> Result<Range, LogError> {
        match self {
            Self::Kafka(log) => log.range(topic, partition).await,
            Self::Memory(log) => log.range(topic, partition),
        }
    }

    /// The same for who knows that the partition reaches to `place`: an end before it is believed only at the third look, for a new leader may not
    /// know its end yet.
    pub async fn range_reaching(&self, topic: Topic, partition: u32, place: Offset) -> Result<Range, LogError> {
        reaching(place, || self.range(topic, partition)).await
    }

    /// Reads one partition from an explicit place; [`LogError::OutOfRange`] when it lies outside the partition's range.
    pub async fn read(&self, topic: Topic, partition: u32, from: Offset) -> Result<Reader, LogError> {
        self.read_many(topic, vec![(partition, from)]).await
    }

    /// Reads several partitions of a topic from explicit places, merged: in order within each partition, in no promised order between them.
    pub async fn read_many(&self, topic: Topic, from: Vec<(u32, Offset)>) -> Result<Reader, LogError> {
        match self {
            Self::Kafka(log) => Ok(Reader::kafka(log.read_many(topic, from).await?)),
            Self::Memory(log) => Ok(Reader::memory(log.read_many(topic, from)?)),
        }
    }

    /// Shares the topic's partitions with the other members of the group. Partitions without a committed place are read from their start.
    pub async fn join(&self, topic: Topic, group: &str) -> Result<GroupReader, LogError> {
        match self {
            Self::Kafka(log) => Ok(GroupReader::kafka(log.join(topic, group).await?)),
            Self::Memory(log) => Ok(GroupReader::memory(log.join(topic, group)?)),
        }
    }

    /// The group's committed place (the place behind the last done) of a partition.
    pub async fn committed(&self, group: &str, topic: Topic, partition: u32) -> Result<Option<Offset>, LogError> {
        match self {
            Self::Kafka(log) => log.committed(group, topic, partition).await,
            Self::Memory(log) => log.committed(group, topic, partition),
        }
    }

    /// Commits the group's place of a partition. Kafka allows it only while no member has joined the group.
    pub async fn commit(&self, group: &str, topic: Topic, partition: u32, next: Offset) -> Result<(), LogError> {
        match self {
            Self::Kafka(log) => log.commit(group, topic, partition, next).await,
            Self::Memory(log) => log.commit(group, topic, partition, next),
        }
    }

    /// What binds a node's state to this one log.
    pub async fn identity(&self) -> Result<LogIdentity, LogError> {
        match self {
            Self::Kafka(log) => log.identity().await,
            Self::Memory(log) => log.identity(),
        }
    }

    /// ALL's topic id as the broker that leads ALL knows it now; empty when the broker can't tell. A topic id never comes back: where it is the one
    /// that was found earlier, all that was read from ALL before this call comes from that topic. Waits at most 5 s.
    ///
    /// # Errors
    /// [`LogError::MissingTopic`] and [`LogError::Unreachable`].
    pub async fn topic_id(&self) -> Result<String, LogError> {
        match self {
            Self::Kafka(log) => log.topic_id().await,
            Self::Memory(log) => log.identity().map(|identity| identity.topic_id),
        }
    }

    /// Creates the topics that are missing, with the settings of [`TopicSettings`]; those that exist are left alone.
    pub async fn create_topics(&self, wanted: &TopicSettings) -> Result<Vec<(Topic, Created)>, LogError> {
        match self {
            Self::Kafka(log) => log.create_topics(wanted).await,
            Self::Memory(log) => Ok(log.create_topics(wanted)),
        }
    }

    /// Compares every topic's settings with what Kluster's promises need.
    pub async fn check_topics(&self, wanted: &TopicSettings) -> Result<TopicCheck, LogError> {
        match self {
            Self::Kafka(log) => log.check_topics(wanted).await,
            Self::Memory(log) => log.check_topics(wanted),
        }
    }
}
