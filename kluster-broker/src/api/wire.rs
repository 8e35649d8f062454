//! What several APIs say in the same way.

use std::collections::BTreeSet;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::TopicName;
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::Call;
use crate::partition::{AppendError, Partition};
use crate::topics::{TopicError, Topics, check_name};

/// The topic of committed offsets. Clients may read it and not write it.
pub(super) const OFFSETS_TOPIC: &str = "__consumer_offsets";
/// What is said to a transactional producer.
pub(super) const NO_TRANSACTIONS: &str =
    "this broker has no transactions; leave transactional.id unset, or use Apache Kafka";

/// All that everybody may do to a topic, as bits of Kafka's AclOperation: read (3), write, create, delete, alter, describe (8), describe
/// settings (10), alter settings (11).
pub(super) const TOPIC_OPERATIONS: i32 = 0b1101_1111_1000;
/// All that everybody may do to the cluster: create (5), alter (7), describe, act as a broker, describe settings, alter settings, write
/// idempotently (12).
pub(super) const CLUSTER_OPERATIONS: i32 = 0b1_1111_1010_0000;
/// All that everybody may do to a group: read (3), delete (6), describe (8), describe settings (10), alter settings (11).
pub(super) const GROUP_OPERATIONS: i32 = 0b1101_0100_1000;
/// Nobody asked what may be done.
pub(super) const NO_OPERATIONS: i32 = i32::MIN;

/// What may be done, where somebody asked.
pub(super) fn operations(asked: bool, all: i32) -> i32 {
    if asked { all } else { NO_OPERATIONS }
}

pub(super) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// A message beside an error code.
pub(super) fn message(reason: impl ToString) -> Option<StrBytes> {
    Some(StrBytes::from_string(reason.to_string()))
}

pub(super) fn topic_name(name: &str) -> TopicName {
    TopicName(text(name))
}

pub(super) fn is_internal(name: &str) -> bool {
    name == OFFSETS_TOPIC
}

/// The name of a topic that is named by id.
pub(super) fn name_of(call: &Call, id: Uuid) -> Result<String, ResponseError> {
    call.shared.topics.name_of(id).ok_or(ResponseError::UnknownTopicId)
}

/// A partition by its topic's name.
pub(super) fn partition(call: &Call, topic: &str, index: i32) -> Result<Partition, ResponseError> {
    call.shared.topics.partition(topic, index).ok_or(ResponseError::UnknownTopicOrPartition)
}

/// A client may say which leader epoch it believes in; −1 says nothing. There is one epoch only.
pub(super) fn check_epoch(partition: &Partition, believed: i32) -> Result<(), ResponseError> {
    let epoch = partition.leader_epoch();
    match believed {
        -1 => Ok(()),
        older if older < epoch => Err(ResponseError::FencedLeaderEpoch),
        newer if newer > epoch => Err(ResponseError::UnknownLeaderEpoch),
        _ => Ok(()),
    }
}

/// Why a thing was not done: a code, and words for people.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    pub(super) error: ResponseError,
    pub(super) words: String,
}

impl Refusal {
    pub(super) fn of(error: ResponseError, words: impl ToString) -> Self {
        Self { error, words: words.to_string() }
    }
}

impl From<ResponseError> for Refusal {
    fn from(error: ResponseError) -> Self {
        Self::of(error, error)
    }
}

impl From<AppendError> for Refusal {
    fn from(error: AppendError) -> Self {
        Self::of(error.response(), &error)
    }
}

impl From<TopicError> for Refusal {
    fn from(error: TopicError) -> Self {
        Self::of(error.response(), &error)
    }
}

/// The error for a topic that there is not: an illegal name is told apart.
pub(super) fn unknown_name(name: &str) -> ResponseError {
    check_name(name).err().map_or(ResponseError::UnknownTopicOrPartition, |error| error.response())
}

/// Each thing once: a request of few bytes that names one large thing a thousand times must not make a thousand descriptions of it.
pub(super) fn distinct<T, K: Ord>(things: Vec<T>, key: impl Fn(&T) -> K) -> Vec<T> {
    let mut seen = BTreeSet::new();
    things.into_iter().filter(|thing| seen.insert(key(thing))).collect()
}

/// Does what waits for the disk on a thread that may wait.
pub(super) async fn on_disk<T, F>(call: &Call, work: F) -> T
where
    T: Send + 'static,
    F: FnOnce(&Topics) -> T + Send + 'static,
{
    let topics = call.shared.topics.clone();
    let done = tokio::task::spawn_blocking(move || work(&topics)).await;
    done.unwrap_or_else(|panicked| std::panic::resume_unwind(panicked.into_panic()))
}
