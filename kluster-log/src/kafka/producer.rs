//! Producer: hands records to librdkafka in the order of the calls, and is made anew after an error that ends it.

use super::apart::Apart;
use super::config::{Config, refused};
use super::context::Context;
use super::fault;
use crate::{Appended, LogError, NewRecord};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::oneshot;

type Answer = oneshot::Receiver<Result<Appended, LogError>>;

/// The one producer of a log's handles.
#[derive(Debug)]
pub(super) struct Producer {
    config: Config,
    // Held while a record is handed over, which never blocks: so the order of calls is one order.
    inner: Mutex<Apart<Polled>>,
}

impl Producer {
    pub(super) fn new(config: Config) -> Result<Self, LogError> {
        let inner = Mutex::new(make(&config)?);
        Ok(Self { config, inner })
    }

    /// Hands the record over; its answer comes when Kafka's has.
    pub(super) fn hand_over(
        &self,
        topic: &str,
        partition: Option<u32>,
        record: &NewRecord,
    ) -> Result<Answer, LogError> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let refusal = match send(&inner, topic, partition, record) {
            Ok(answer) => return Ok(answer),
            Err(refusal) => refusal,
        };
        if refusal.rdkafka_error_code() != Some(RDKafkaErrorCode::Fatal) {
            return Err(fault::of_append(&refusal, topic, record.bytes(), true));
        }
        tracing::warn!(error = %refusal, "Kafka's producer ended itself; making a new one");
        *inner = make(&self.config)?;
        send(&inner, topic, partition, record)
            .map_err(|refusal| fault::of_append(&refusal, topic, record.bytes(), true))
    }
}

fn make(config: &Config) -> Result<Apart<Polled>, LogError> {
    let producer = BaseProducer::from_config_and_context(&config.producer(), Context::new("append"));
    let polled = Polled::new(producer.map_err(|error| refused(&error))?);
    polled.map(Apart::new).map_err(|error| LogError::Settings(format!("no thread for Kafka's producer: {error}")))
}

/// A producer and the thread that hears what became of its records.
///
/// librdkafka's binding has one too, but each of its polls spins for the last part of a millisecond, and it polls ten times a second: almost 1 % of
/// a core for nothing.
struct Polled {
    producer: Arc<BaseProducer<Context>>,
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What is heard comes at once, however long a poll lasts; its end is waited for when the producer ends, which nobody waits for.
const POLL: Duration = Duration::from_secs(1);

impl Polled {
    fn new(producer: BaseProducer<Context>) -> std::io::Result<Self> {
        let (producer, end) = (Arc::new(producer), Arc::new(AtomicBool::new(false)));
        let (polled, ended) = (producer.clone(), end.clone());
        let thread = std::thread::Builder::new().name("log-producer".to_owned()).spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                polled.poll(POLL);
            }
        })?;
        Ok(Self { producer, end, thread: Some(thread) })
    }
}

impl Drop for Polled {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        if let Some(Err(panic)) = self.thread.take().map(JoinHandle::join) {
            tracing::error!(?panic, "the thread of Kafka's producer ended before it");
        }
    }
}

fn send(producer: &Polled, topic: &str, partition: Option<u32>, record: &NewRecord) -> Result<Answer, KafkaError> {
    let (answer, answered) = oneshot::channel();
    let mut message = BaseRecord::<[u8], [u8], _>::with_opaque_to(topic, Box::new(answer));
    message.partition = partition.map(|partition| partition as i32);
    message.key = record.key.as_deref();
    message.payload = record.value.as_deref();
    if !record.headers.is_empty() {
        let headers = OwnedHeaders::new_with_capacity(record.headers.len());
        let with = |headers: OwnedHeaders, (name, value): &(String, bytes::Bytes)| {
            headers.insert(Header { key: name, value: Some(value.as_ref()) })
        };
        message.headers = Some(record.headers.iter().fold(headers, with));
    }
    producer.producer.send(message).map(|()| answered).map_err(|(error, _)| error)
}
