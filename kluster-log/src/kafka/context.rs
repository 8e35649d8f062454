//! Context: what librdkafka tells a client by the way: log lines, errors, statistics, rebalances, delivery reports.

use super::fault::{self, is_trouble};
use super::raw::surely_not_written;
use super::watch::Watch;
use crate::progress::Progress;
use crate::{Appended, LogError};
use kluster_protocol::Offset;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::ProducerContext;
use rdkafka::topic_partition_list::TopicPartitionList;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// One client's ear.
#[derive(Debug)]
pub(super) struct Context {
    /// What the client does, for log lines.
    purpose: String,
    watch: Mutex<Watch>,
    /// Of a group's member.
    progress: Mutex<Progress>,
    /// How often every broker was away.
    outages: AtomicU64,
    /// Of a producer: since when a record waits that was handed over, and no record was answered.
    waits: Mutex<Option<Instant>>,
}

impl Context {
    pub(super) fn new(purpose: impl Into<String>) -> Self {
        Self {
            purpose: purpose.into(),
            watch: Mutex::default(),
            progress: Mutex::default(),
            waits: Mutex::default(),
            outages: AtomicU64::new(0),
        }
    }

    pub(super) fn watch(&self) -> MutexGuard<'_, Watch> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A record was handed over. For how long none was answered.
    pub(super) fn handed_over(&self) -> Duration {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(Instant::now).elapsed()
    }

    /// For how long no record was answered, where one waits.
    pub(super) fn waiting(&self) -> Duration {
        let waits = *self.waits.lock().unwrap_or_else(PoisonError::into_inner);
        waits.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// A broker has answered a record.
    fn answered(&self) {
        *self.waits.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// How often every broker was away, as far as events were heard.
    pub(super) fn outages(&self) -> u64 {
        self.outages.load(Ordering::Relaxed)
    }

    /// The broker cannot be used at present.
    pub(super) fn troubled(&self, reason: &str) {
        if self.watch().troubled(reason) {
            tracing::warn!(purpose = self.purpose, reason, "Kafka cannot be reached; trying on");
        }
    }

    /// The broker answers.
    pub(super) fn well(&self) {
        if let Some(lasted) = self.watch().well() {
            tracing::info!(purpose = self.purpose, seconds = lasted.as_secs_f64(), "Kafka is back");
        }
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, fac: &str, text: &str) {
        let purpose = self.purpose.as_str();
        match (level, fac) {
            // Lost connections are told by `error`, once; a setting for the other kind of client is meant for that one.
            (_, "FAIL" | "ERROR" | "CONFWARN") => tracing::debug!(target: "librdkafka", purpose, fac, text),
            (RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical, _) => {
                tracing::error!(target: "librdkafka", purpose, fac, text);
            }
            (RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning, _) => {
                tracing::warn!(target: "librdkafka", purpose, fac, text);
            }
            _ => tracing::debug!(target: "librdkafka", purpose, fac, text),
        }
    }

    fn stats_raw(&self, statistics: &[u8]) {
        let connected = self.watch().statistics(statistics);
        if connected {
            self.well();
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
            self.outages.fetch_add(1, Ordering::Relaxed);
        }
        match error.rdkafka_error_code() {
            // Said behind the reason why each of them is down, which says more.
            Some(RDKafkaErrorCode::AllBrokersDown) if self.watch().trouble().is_some() => {}
            Some(code) if is_trouble(code) => self.troubled(reason),
            _ => tracing::debug!(target: "librdkafka", purpose = self.purpose, %error, reason),
        }
    }
}

impl ConsumerContext for Context {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(partitions) => {
                tracing::debug!(purpose = self.purpose, count = partitions.count(), "partitions assigned");
            }
            Rebalance::Revoke(partitions) => {
                tracing::debug!(purpose = self.purpose, count = partitions.count(), "partitions revoked");
                let mut progress = self.progress();
                for element in partitions.elements() {
                    progress.forget(element.partition() as u32);
                }
            }
            Rebalance::Error(error) => tracing::warn!(purpose = self.purpose, %error, "rebalance failed"),
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        if let Err(error) = result {
            tracing::debug!(purpose = self.purpose, %error, "commit failed; the next one covers it");
        }
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = Box<oneshot::Sender<Result<Appended, LogError>>>;

    fn delivery(&self, result: &DeliveryResult<'_>, answer: Self::DeliveryOpaque) {
        let appended = match result {
            Ok(message) => {
                self.well();
                self.answered();
                match u64::try_from(message.offset()) {
                    Ok(offset) => Ok(Appended { partition: message.partition() as u32, offset: Offset::new(offset) }),
                    // The broker knows a duplicate of a retry, but no longer its place.
                    Err(_) => {
                        Err(LogError::OutcomeOpen { reason: "it is in the log, but the broker forgot where".into() })
                    }
                }
            }
            Err((error, message)) => {
                let size = message.key_len() + message.payload_len();
                let error = fault::of_append(error, message.topic(), size, surely_not_written(message));
                if !matches!(error, LogError::NotAppended { .. } | LogError::OutcomeOpen { .. }) {
                    self.answered();
                }
                Err(error)
            }
        };
        // Nobody waits for the answer any more: the record is in the log all the same.
        let _ = answer.send(appended);
    }
}
