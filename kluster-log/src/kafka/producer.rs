//! Producer: hands records to librdkafka in the order of the calls, and is made anew after an error that ends it.

use super::apart::Apart;
use super::config::{Config, refused};
use super::context::Context;
use super::fault;
use super::watchdog::{Patience, STUCK, is_answered};
use crate::{Appended, LogError, NewRecord};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, PurgeConfig};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::oneshot;

type Answer = oneshot::Receiver<Result<Appended, LogError>>;

/// The one producer of a log's handles. It is made anew after an error that ends it, and where it gets nothing through for [`STUCK`] while a
/// fresh client is answered. What waited in it then fails at once as not appended, or as open where it was under way.
#[derive(Debug, Clone)]
pub(super) struct Producer(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    config: Config,
    // Held while a record is handed over, which never blocks: so the order of calls is one order.
    inner: Mutex<Apart<Polled>>,
    patience: Mutex<Patience>,
    looking: AtomicBool,
}

impl Producer {
    pub(super) fn new(config: Config) -> Result<Self, LogError> {
        let inner = Mutex::new(make(&config)?);
        let patience = Mutex::default();
        Ok(Self(Arc::new(Shared { config, inner, patience, looking: AtomicBool::new(false) })))
    }

    /// Hands the record over; its answer comes when Kafka's has.
    pub(super) fn hand_over(
        &self,
        topic: &str,
        partition: Option<u32>,
        record: &NewRecord,
    ) -> Result<Answer, LogError> {
        let mut inner = self.0.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = send(&inner, topic, partition, record);
        // A full buffer is a record that waits, too.
        if inner.producer.context().handed_over() >= STUCK {
            self.look(topic);
        }
        let refusal = match sent {
            Ok(answer) => return Ok(answer),
            Err(refusal) => refusal,
        };
        if refusal.rdkafka_error_code() != Some(RDKafkaErrorCode::Fatal) {
            return Err(fault::of_append(&refusal, topic, record.bytes(), true));
        }
        tracing::warn!(error = %refusal, "Kafka's producer ended itself; making a new one");
        *inner = make(&self.0.config)?;
        send(&inner, topic, partition, record)
            .map_err(|refusal| fault::of_append(&refusal, topic, record.bytes(), true))
    }

    /// Looks on a thread, one at a time, whether a fresh client is answered; then this one is stuck.
    fn look(&self, topic: &str) {
        let is_due = self.0.patience().is_due();
        if !is_due || self.0.looking.swap(true, Ordering::AcqRel) {
            return;
        }
        let (shared, topic) = (self.0.clone(), topic.to_owned());
        let looks = std::thread::Builder::new().name("log-look".to_owned()).spawn(move || {
            if is_answered(&shared.config, &topic) {
                shared.make_anew();
            }
            shared.patience().looked();
            shared.looking.store(false, Ordering::Release);
        });
        if let Err(error) = looks {
            self.0.looking.store(false, Ordering::Release);
            tracing::warn!(%error, "no thread to look after Kafka's producer");
        }
    }
}

impl Shared {
    fn patience(&self) -> MutexGuard<'_, Patience> {
        self.patience.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn make_anew(&self) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.producer.context().waiting() < STUCK {
            // It got something through meanwhile.
            return;
        }
        match make(&self.config) {
            Ok(made) => {
                tracing::warn!("Kafka's producer is stuck; making a new one");
                inner.producer.purge(PurgeConfig::default().queue().inflight());
                *inner = made;
            }
            Err(error) => tracing::warn!(%error, "no new producer for Kafka"),
        }
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
