//! KafkaGroupReader: a member of a consumer group. librdkafka assigns partitions and commits in the background what was stored as done.

use super::apart::Apart;
use super::config::Config;
use super::context::Context;
use super::fault::{ReadFault, is_trouble, of_read};
use super::watchdog::{Look, Watchdog};
use super::{KafkaLog, record_of};
use crate::{LogError, Record, Trouble};
use kluster_protocol::Topic;
use rdkafka::consumer::{CommitMode, Consumer, StreamConsumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset as KafkaOffset, TopicPartitionList};

/// A live member.
#[derive(Debug)]
pub(crate) struct KafkaGroupReader {
    name: String,
    group: String,
    consumer: Apart<StreamConsumer<Context>>,
    /// Places whose content could not be decoded.
    undecodable: u64,
    config: Config,
    watchdog: Watchdog,
}

/// The next places of the partitions that this member has read from.
fn places(consumer: &StreamConsumer<Context>) -> Vec<(u32, i64)> {
    let Ok(positions) = consumer.position() else { return Vec::new() };
    let place = |element: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| match element.offset() {
        KafkaOffset::Offset(next) => Some((element.partition() as u32, next)),
        _ => None,
    };
    positions.elements().iter().filter_map(place).collect()
}

impl KafkaGroupReader {
    pub(super) fn new(log: &KafkaLog, topic: Topic, group: &str) -> Result<Self, LogError> {
        let name = log.names().name(topic);
        let consumer = log.consumer(&log.config().member(group), format!("read {name} as group {group}"))?;
        let subscribed = consumer.subscribe(&[&name]);
        subscribed.map_err(|error| LogError::Settings(format!("group {group} cannot read {name}: {error}")))?;
        let (config, watchdog) = (log.config().clone(), Watchdog::default());
        Ok(Self { name, group: group.to_owned(), consumer, undecodable: 0, config, watchdog })
    }

    pub(crate) async fn next(&mut self) -> Result<Record, LogError> {
        loop {
            let look = || {
                let trouble = self.consumer.context().watch().trouble();
                Look::new(&self.config, &self.name, places(&self.consumer), trouble)
            };
            let received = tokio::select! {
                biased;
                received = self.consumer.recv() => received.map(|message| record_of(&message)),
                stuck = self.watchdog.stuck(look) => match stuck {
                    true => return Err(self.is_stuck()),
                    false => continue,
                }
            };
            match received {
                Ok(record) => {
                    self.watchdog.well();
                    let context = self.consumer.context();
                    context.well();
                    context.progress().delivered(record.partition, record.offset.in_kafka());
                    return Ok(record);
                }
                Err(error) => self.explain(&error)?,
            }
        }
    }

    pub(crate) fn done(&mut self, record: &Record) {
        let place = self.consumer.context().progress().done(record.partition, record.offset.in_kafka());
        let Some(place) = place else { return };
        let mut list = TopicPartitionList::with_capacity(1);
        let partition = record.partition as i32;
        let stored = list
            .add_partition_offset(&self.name, partition, KafkaOffset::Offset(place as i64))
            .and_then(|()| self.consumer.store_offsets(&list));
        if let Err(error) = stored {
            // The partition was taken away in this moment; its next owner reads the record again.
            tracing::debug!(group = self.group, partition, place, %error, "progress not kept");
        }
    }

    pub(crate) async fn leave(self) -> Result<(), LogError> {
        let Self { name, group, consumer, .. } = self;
        let (done, left) = tokio::sync::oneshot::channel();
        // A thread of its own: librdkafka may wait without end for a coordinator that is gone, and a runtime does not end before its threads for
        // blocking work do.
        let leaving = std::thread::Builder::new().name("log-leave".to_owned()).spawn(move || {
            let committed = consumer.commit_consumer_state(CommitMode::Sync);
            consumer.end();
            let result = match committed {
                Ok(()) => Ok(()),
                Err(error) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::NoOffset) => Ok(()),
                Err(error) => Err(super::fault::of_call(&error, &format!("leaving group {group}"), &name)),
            };
            // Who left may have given up waiting.
            let _ = done.send(result);
        });
        leaving.map_err(|error| LogError::Settings(format!("no thread to leave a group of Kafka: {error}")))?;
        left.await.unwrap_or(Err(LogError::Closed))
    }

    pub(crate) fn trouble(&self) -> Option<Trouble> {
        self.consumer.context().watch().trouble()
    }

    pub(crate) fn undecodable(&self) -> u64 {
        self.undecodable
    }

    fn is_stuck(&self) -> LogError {
        let doing = format!("reading {} as group {}", self.name, self.group);
        LogError::Unreachable { doing, reason: "this member gets nothing, and a fresh client is answered".to_owned() }
    }

    fn explain(&mut self, error: &KafkaError) -> Result<(), LogError> {
        let (doing, reason) = (format!("reading {} as group {}", self.name, self.group), error.to_string());
        let code = error.rdkafka_error_code();
        match of_read(error) {
            ReadFault::Denied => return Err(LogError::Denied { doing, reason }),
            ReadFault::Ended => return Err(LogError::Unreachable { doing, reason }),
            ReadFault::Undecodable => {
                self.undecodable += 1;
                // Said once: it may come back with each fetch.
                if self.undecodable == 1 {
                    tracing::error!(group = self.group, reason, "a batch cannot be decoded");
                }
            }
            ReadFault::Missing => {
                return Err(LogError::MissingTopic { name: self.name.clone() });
            }
            ReadFault::Gone | ReadFault::Wait => {}
        }
        if code == Some(RDKafkaErrorCode::GroupAuthorizationFailed) {
            return Err(LogError::Denied { doing, reason });
        }
        if code.is_some_and(is_trouble) {
            self.consumer.context().troubled(&reason);
        }
        Ok(())
    }
}
