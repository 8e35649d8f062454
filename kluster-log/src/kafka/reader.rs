//! KafkaReader: follows partitions of a topic from explicit places. It never joins a group and never jumps.

use super::apart::Apart;
use super::context::Context;
use super::fault::{ReadFault, is_trouble, of_read};
use super::watchdog::{Look, Watchdog};
use super::{KafkaLog, record_of};
use crate::{LogError, Record, Trouble};
use futures_util::{FutureExt, StreamExt};
use kluster_protocol::{Offset, Topic};
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset as KafkaOffset, TopicPartitionList};
use std::collections::BTreeMap;
use std::time::Duration;

/// How often a topic that seems to be gone is looked for before that is believed: brokers that start know no topic for a moment.
const LOOKS: usize = 3;
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);

/// Reads from explicit places on.
#[derive(Debug)]
pub(crate) struct KafkaReader {
    log: KafkaLog,
    topic: Topic,
    consumer: Apart<StreamConsumer<Context>>,
    /// The next place of each partition.
    places: BTreeMap<u32, Offset>,
    /// An error that was taken from librdkafka and is not explained yet: the explanation may be cancelled, the error must stay.
    unexplained: Option<KafkaError>,
    ended: Option<LogError>,
    /// How often all brokers had been away when reading began; none: outages do not end this reader.
    outages: Option<u64>,
    watchdog: Watchdog,
}

/// A client that reads a topic from these places on.
fn assigned(
    log: &KafkaLog,
    topic: Topic,
    places: &BTreeMap<u32, Offset>,
) -> Result<Apart<StreamConsumer<Context>>, LogError> {
    let name = log.names().name(topic);
    let group = format!("{}{}.read", log.names().prefix, log.names().database);
    let consumer = log.consumer(&log.config().reader(&group), format!("read {name}"))?;
    let mut list = TopicPartitionList::with_capacity(places.len());
    let assigned = places.iter().try_for_each(|(partition, place)| {
        list.add_partition_offset(&name, *partition as i32, KafkaOffset::Offset(place.in_kafka() as i64))
    });
    let assigned = assigned.and_then(|()| consumer.assign(&list));
    assigned.map_err(|error| LogError::Settings(format!("{name} cannot be read from there: {error}")))?;
    Ok(consumer)
}

impl KafkaReader {
    /// Assigns the places; whether they exist was checked before.
    pub(super) fn new(log: KafkaLog, topic: Topic, from: Vec<(u32, Offset)>) -> Result<Self, LogError> {
        let places = from.into_iter().collect();
        let consumer = assigned(&log, topic, &places)?;
        let watchdog = Watchdog::default();
        Ok(Self { log, topic, consumer, places, unexplained: None, ended: None, outages: None, watchdog })
    }

    pub(crate) async fn next(&mut self) -> Result<Record, LogError> {
        loop {
            self.explain().await?;
            let look = || {
                let places = self.places.iter().map(|(partition, place)| (*partition, place.in_kafka() as i64));
                let trouble = self.consumer.context().watch().trouble();
                Look::new(self.log.config(), &self.log.names().name(self.topic), places.collect(), trouble)
            };
            let received = tokio::select! {
                biased;
                received = self.consumer.recv() => received.map(|message| record_of(&message)),
                stuck = self.watchdog.stuck(look) => {
                    if stuck {
                        self.make_anew()?;
                    }
                    continue;
                }
            };
            if let Some(record) = self.receive(received) {
                return Ok(record);
            }
        }
    }

    /// The client is stuck: another one reads on from the next places.
    fn make_anew(&mut self) -> Result<(), LogError> {
        tracing::warn!(topic = self.log.names().name(self.topic), "a reader of Kafka is stuck; making a new one");
        self.consumer = assigned(&self.log, self.topic, &self.places)?;
        // What the stuck client did not hear may have been an outage.
        self.outages = self.outages.map(|_| u64::MAX);
        Ok(())
    }

    pub(crate) async fn next_batch(&mut self, max: usize) -> Result<Vec<Record>, LogError> {
        let mut batch = vec![self.next().await?];
        while batch.len() < max && self.unexplained.is_none() && self.ended.is_none() {
            let buffered = self.consumer.stream().next().now_or_never().flatten();
            let Some(received) = buffered.map(|received| received.map(|message| record_of(&message))) else {
                break;
            };
            batch.extend(self.receive(received));
        }
        Ok(batch)
    }

    pub(crate) fn stalled_for(&self) -> Option<Duration> {
        self.consumer.context().watch().stalled_for()
    }

    pub(crate) fn trouble(&self) -> Option<Trouble> {
        self.consumer.context().watch().trouble()
    }

    pub(crate) fn end_after_outages(&mut self) {
        self.outages = Some(self.consumer.context().outages());
    }

    /// Events come in the order of the records, so what follows an outage is never taken for what came before it.
    fn outlived_an_outage(&self) -> bool {
        self.outages.is_some_and(|outages| outages != self.consumer.context().outages())
    }

    fn receive(&mut self, received: Result<Record, KafkaError>) -> Option<Record> {
        match received {
            Ok(_) if self.outlived_an_outage() => {
                let reason = "every broker was away meanwhile; the record read last is compared before reading goes on";
                self.ended = Some(LogError::Unreachable { doing: self.doing(), reason: reason.to_owned() });
                None
            }
            Ok(record) => {
                self.consumer.context().well();
                self.watchdog.well();
                self.places.insert(record.partition, record.offset.next());
                Some(record)
            }
            Err(error) => {
                self.unexplained = Some(error);
                None
            }
        }
    }

    /// Decides what the last error means: to wait on, or the end of this reader.
    async fn explain(&mut self) -> Result<(), LogError> {
        if let Some(end) = &self.ended {
            return Err(end.clone());
        }
        let Some(error) = self.unexplained.clone() else {
            return Ok(());
        };
        let end = match of_read(&error) {
            ReadFault::Wait => {
                if error.rdkafka_error_code().is_some_and(is_trouble) {
                    self.consumer.context().troubled(&error.to_string());
                }
                None
            }
            ReadFault::Gone => self.gone(&error).await,
            ReadFault::Missing => self.missing().await,
            ReadFault::Denied => Some(LogError::Denied { doing: self.doing(), reason: error.to_string() }),
            ReadFault::Undecodable => Some(self.unreadable(&error)),
            ReadFault::Ended => Some(LogError::Unreachable { doing: self.doing(), reason: error.to_string() }),
        };
        self.unexplained = None;
        match end {
            Some(end) => {
                self.ended = Some(end.clone());
                Err(end)
            }
            None => Ok(()),
        }
    }

    /// Which place is gone. librdkafka does not say, so each partition's range is compared.
    async fn gone(&self, error: &KafkaError) -> Option<LogError> {
        for (partition, place) in &self.places {
            match self.log.range_reaching(self.topic, *partition, *place).await {
                Ok(range) if range.admits(*place) => {}
                Ok(range) => return Some(self.log.out_of_range(self.topic, *partition, *place, range)),
                Err(end) => return Some(end),
            }
        }
        Some(self.unreadable(error))
    }

    async fn missing(&self) -> Option<LogError> {
        for look in 0..LOOKS {
            match self.log.partitions(self.topic).await {
                Ok(_) => return None,
                Err(end) if look + 1 == LOOKS => return Some(end),
                Err(_) => tokio::time::sleep(BETWEEN_LOOKS).await,
            }
        }
        None
    }

    fn unreadable(&self, error: &KafkaError) -> LogError {
        let reason = format!(
            "{error}: what lies there cannot be decoded (a compression unknown here, or damage) and is not passed over; read anew from where \
             this reader ended"
        );
        LogError::Unreachable { doing: self.doing(), reason }
    }

    fn doing(&self) -> String {
        format!("reading {}", self.log.names().name(self.topic))
    }
}
