//! KafkaLog: the log on Apache Kafka, through librdkafka.
//!
//! Neighbours: the seam ([`crate::Log`]) above; below it `producer` appends, `reader` and `group` read, `ask` asks the brokers, `topics`
//! creates and checks. Nothing of librdkafka leaves this module.
//!
//! Invariants
//! 1. Nothing here blocks the async runtime: blocking calls run on threads for them, clients end apart.
//! 2. Offsets of the seam are Kafka's own in epoch 0.

mod apart;
mod ask;
mod config;
mod context;
mod fault;
mod group;
mod producer;
mod raw;
mod reader;
mod topics;
mod watch;
mod watchdog;

pub(crate) use group::KafkaGroupReader;
pub(crate) use reader::KafkaReader;

use crate::{Appended, LogError, LogIdentity, LogSettings, NewRecord, Range, Record};
use apart::Apart;
use ask::Asker;
use bytes::Bytes;
use config::{Config, refused};
use context::Context;
use futures_util::future::try_join_all;
use kluster_protocol::{Offset, Topic, TopicNames};
use producer::Producer;
use rdkafka::ClientConfig;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{CommitMode, Consumer, StreamConsumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::topic_partition_list::{Offset as KafkaOffset, TopicPartitionList};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A first answer that takes longer is not only slow.
const FIRST_LOOK: Duration = Duration::from_millis(1500);

/// The id of ALL is asked for this long, each broker for this long.
const IDENTIFIED_WITHIN: Duration = Duration::from_secs(5);
const ONE_LOOK: Duration = Duration::from_secs(2);
/// This many brokers in a row may name another one as the leader.
const LEADERS: usize = 3;
const UNKNOWN_LEADER: i32 = -1;

/// A handle of the log on Kafka. Clones share its clients.
#[derive(Debug, Clone)]
pub struct KafkaLog(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    names: TopicNames,
    bootstrap: String,
    deadline: Duration,
    config: Config,
    producer: Producer,
    asker: Asker,
    /// One client for each group whose places were asked for.
    groups: Mutex<BTreeMap<String, Asker>>,
    /// The broker that led ALL when it was asked last.
    leader: Arc<AtomicI32>,
}

impl KafkaLog {
    pub(crate) async fn connect(settings: LogSettings, waits: impl FnMut(&str)) -> Result<Self, LogError> {
        let config = Config::new(&settings)?;
        let log = Self(Arc::new(Inner {
            names: settings.names(),
            bootstrap: settings.brokers()?,
            deadline: settings.deadline,
            producer: Producer::new(config.clone())?,
            asker: Asker::new(&config, None, settings.deadline)?,
            config,
            groups: Mutex::default(),
            leader: Arc::new(AtomicI32::new(UNKNOWN_LEADER)),
        }));
        log.first_answer(settings.connecting, waits).await?;
        Ok(log)
    }

    /// Waits so long for any answer; while there is none, what keeps it back is looked at every 1.5 s, and said once.
    async fn first_answer(&self, patience: Duration, mut waits: impl FnMut(&str)) -> Result<(), LogError> {
        let (until, name) = (Instant::now() + patience, self.0.names.name(Topic::All));
        let mut said = false;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let reason = match self.metadata(&self.0.asker.within(left.min(FIRST_LOOK)), &name).await {
                // Whether the topics are there is asked by who needs them.
                Ok(_) | Err(LogError::MissingTopic { .. }) => return Ok(()),
                Err(LogError::Unreachable { reason, .. }) => reason,
                Err(error) => return Err(error),
            };
            if Instant::now() >= until {
                return Err(LogError::Unreachable { doing: format!("connecting to {}", self.0.bootstrap), reason });
            }
            if !std::mem::replace(&mut said, true) {
                waits(&format!(
                    "waiting for Kafka at {} (at most {} s): {reason}. Does it run there? Another address is given by --bootstrap",
                    self.0.bootstrap,
                    patience.as_secs()
                ));
            }
        }
    }

    pub(crate) fn names(&self) -> &TopicNames {
        &self.0.names
    }

    pub(crate) fn append_now(
        &self,
        topic: Topic,
        partition: Option<u32>,
        record: NewRecord,
    ) -> impl Future<Output = Result<Appended, LogError>> + Send + 'static + use<> {
        let handed = self.0.producer.hand_over(&self.0.names.name(topic), partition, &record);
        async move {
            let lost =
                |_| Err(LogError::OutcomeOpen { reason: "the producer was closed before the answer came".into() });
            handed?.await.unwrap_or_else(lost)
        }
    }

    pub(crate) async fn partitions(&self, topic: Topic) -> Result<u32, LogError> {
        Ok(self.metadata(&self.0.asker, &self.0.names.name(topic)).await?.partitions)
    }

    pub(crate) async fn range(&self, topic: Topic, partition: u32) -> Result<Range, LogError> {
        let name = self.0.names.name(topic);
        let doing = format!("asking for the range of {name}/{partition}");
        let question = {
            let name = name.clone();
            move |client: &rdkafka::consumer::BaseConsumer<Context>, timeout| {
                client.fetch_watermarks(&name, partition as i32, timeout)
            }
        };
        let (start, end) = self.0.asker.ask(doing, name, question).await?;
        Ok(Range { start: place(start), end: place(end) })
    }

    async fn range_reaching(&self, topic: Topic, partition: u32, place: Offset) -> Result<Range, LogError> {
        crate::log::reaching(place, || self.range(topic, partition)).await
    }

    pub(crate) async fn read_many(&self, topic: Topic, from: Vec<(u32, Offset)>) -> Result<KafkaReader, LogError> {
        try_join_all(from.iter().map(|(partition, place)| self.admit(topic, *partition, *place))).await?;
        KafkaReader::new(self.clone(), topic, from)
    }

    /// Whether a reader may start there.
    async fn admit(&self, topic: Topic, partition: u32, place: Offset) -> Result<(), LogError> {
        let range = self.range_reaching(topic, partition, place).await?;
        match range.admits(place) {
            true => Ok(()),
            false => Err(self.out_of_range(topic, partition, place, range)),
        }
    }

    pub(crate) async fn join(&self, topic: Topic, group: &str) -> Result<KafkaGroupReader, LogError> {
        // A member of a topic that is missing would wait without a word.
        self.partitions(topic).await?;
        KafkaGroupReader::new(self, topic, group)
    }

    pub(crate) async fn committed(
        &self,
        group: &str,
        topic: Topic,
        partition: u32,
    ) -> Result<Option<Offset>, LogError> {
        let name = self.0.names.name(topic);
        let doing = format!("asking for the place of group {group} in {name}/{partition}");
        let question = {
            let name = name.clone();
            move |client: &rdkafka::consumer::BaseConsumer<Context>, timeout| {
                let mut list = TopicPartitionList::with_capacity(1);
                list.add_partition(&name, partition as i32);
                let list = client.committed_offsets(list, timeout)?;
                let element = list.find_partition(&name, partition as i32);
                element.map_or(Ok(None), |element| element.error().map(|()| Some(element.offset())))
            }
        };
        let found = self.group(group)?.ask(doing, name, question).await?;
        Ok(match found {
            Some(KafkaOffset::Offset(next)) => Some(place(next)),
            _ => None,
        })
    }

    pub(crate) async fn commit(&self, group: &str, topic: Topic, partition: u32, next: Offset) -> Result<(), LogError> {
        let name = self.0.names.name(topic);
        let doing = format!("committing the place of group {group} in {name}/{partition}");
        let question = {
            let name = name.clone();
            move |client: &rdkafka::consumer::BaseConsumer<Context>, _| {
                let mut list = TopicPartitionList::with_capacity(1);
                list.add_partition_offset(&name, partition as i32, KafkaOffset::Offset(next.in_kafka() as i64))?;
                client.commit(&list, CommitMode::Sync)
            }
        };
        self.group(group)?.ask(doing, name, question).await
    }

    pub(crate) async fn identity(&self) -> Result<LogIdentity, LogError> {
        let name = self.0.names.name(Topic::All);
        // Says in its errors whether the broker is away or the topic missing, which the questions below do not.
        self.metadata(&self.0.asker, &name).await?;
        let question = move |client: &rdkafka::consumer::BaseConsumer<Context>, timeout| {
            Ok(client.client().fetch_cluster_id(timeout).unwrap_or_default())
        };
        let cluster_id = self.0.asker.ask("asking for the log's identity".to_owned(), name, question).await?;
        Ok(LogIdentity { cluster_id, topic_id: self.topic_id().await? })
    }

    /// Asks the broker that leads ALL, and no other: its view of the topics is never behind the log that it serves, another broker's may be.
    pub(crate) async fn topic_id(&self) -> Result<String, LogError> {
        let (name, leader) = (self.0.names.name(Topic::All), self.0.leader.clone());
        let question = {
            let name = name.clone();
            move |client: &rdkafka::consumer::BaseConsumer<Context>, left: Duration| {
                let described = as_led(client, &name, &leader, left.min(ONE_LOOK));
                if described.is_err() {
                    leader.store(UNKNOWN_LEADER, Ordering::Relaxed);
                }
                described
            }
        };
        let asker = self.0.asker.within(IDENTIFIED_WITHIN);
        asker.ask(format!("asking for the id of topic {name}"), name, question).await
    }
}

/// The topic's id, in the words of the broker that leads it; empty where it knows no ids.
fn as_led(
    client: &rdkafka::consumer::BaseConsumer<Context>,
    name: &str,
    leader: &AtomicI32,
    timeout: Duration,
) -> Result<String, KafkaError> {
    for _ in 0..LEADERS {
        let asked = leader.load(Ordering::Relaxed);
        let described = raw::describe(client.client(), name, (asked != UNKNOWN_LEADER).then_some(asked), timeout)?;
        match described.leader {
            Some(leads) if leads == asked => return Ok(described.id.unwrap_or_default()),
            Some(leads) => leader.store(leads, Ordering::Relaxed),
            None => break,
        }
    }
    Err(KafkaError::MetadataFetch(RDKafkaErrorCode::LeaderNotAvailable))
}

/// For the parts.
impl KafkaLog {
    fn config(&self) -> &Config {
        &self.0.config
    }

    fn asker(&self) -> &Asker {
        &self.0.asker
    }

    fn deadline(&self) -> Duration {
        self.0.deadline
    }

    fn config_bootstrap(&self) -> &str {
        &self.0.bootstrap
    }

    fn consumer(&self, config: &ClientConfig, purpose: String) -> Result<Apart<StreamConsumer<Context>>, LogError> {
        let consumer = StreamConsumer::from_config_and_context(config, Context::new(purpose));
        consumer.map(Apart::new).map_err(|error| refused(&error))
    }

    fn group(&self, group: &str) -> Result<Asker, LogError> {
        let mut groups = self.0.groups.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(asker) = groups.get(group) {
            return Ok(asker.clone());
        }
        let asker = Asker::new(&self.0.config, Some(group), self.0.deadline)?;
        groups.insert(group.to_owned(), asker.clone());
        Ok(asker)
    }

    fn out_of_range(&self, topic: Topic, partition: u32, asked: Offset, range: Range) -> LogError {
        let Range { start, end } = range;
        LogError::OutOfRange { topic: self.0.names.name(topic), partition, asked, start, end }
    }
}

/// Kafka's own offset as a place; its negative ones mean "none yet".
fn place(offset: i64) -> Offset {
    Offset::new(u64::try_from(offset).unwrap_or_default())
}

fn record_of(message: &BorrowedMessage<'_>) -> Record {
    let headers = message.headers().map_or_else(Vec::new, |headers| {
        let owned = |header: rdkafka::message::Header<'_, &[u8]>| {
            (header.key.to_owned(), Bytes::copy_from_slice(header.value.unwrap_or_default()))
        };
        headers.iter().map(owned).collect()
    });
    Record {
        partition: message.partition() as u32,
        offset: place(message.offset()),
        timestamp_ms: message.timestamp().to_millis().unwrap_or_default(),
        key: message.key().map(Bytes::copy_from_slice),
        headers,
        value: message.payload().map(Bytes::copy_from_slice),
    }
}
