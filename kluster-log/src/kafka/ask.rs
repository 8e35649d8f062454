//! Ask: questions to the brokers with a deadline. librdkafka's calls block, so they run on Tokio's threads for blocking work.

use super::apart::Apart;
use super::config::{Config, refused};
use super::context::Context;
use super::fault::{is_transient, of_call};
use crate::LogError;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Before the same question is asked again.
const PAUSE: Duration = Duration::from_millis(100);
/// A client that got no answer for this long is made anew.
const SILENT: Duration = Duration::from_secs(10);
/// Events that a client which fetches nothing may have waiting: log lines, errors.
const EVENTS: usize = 64;

/// A client that only asks, as one group or as none. It is made anew where no question was answered for [`SILENT`].
#[derive(Debug, Clone)]
pub(super) struct Asker {
    shared: Arc<Shared>,
    deadline: Duration,
}

#[derive(Debug)]
struct Shared {
    config: Config,
    group: Option<String>,
    client: Mutex<Arc<Apart<BaseConsumer<Context>>>>,
    /// Since when no question was answered.
    silent: Mutex<Option<Instant>>,
}

impl Shared {
    fn client(&self) -> Arc<Apart<BaseConsumer<Context>>> {
        self.client.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn is_answered(&self) {
        *self.silent.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// A question asked at `asked` was not answered. Nothing is lost with a client that only asks, so it needs no proof that it is stuck.
    fn is_not_answered(&self, asked: Instant) {
        let mut silent = self.silent.lock().unwrap_or_else(PoisonError::into_inner);
        if silent.get_or_insert(asked).elapsed() < SILENT {
            return;
        }
        *silent = None;
        match make(&self.config, self.group.as_deref()) {
            Ok(client) => *self.client.lock().unwrap_or_else(PoisonError::into_inner) = client,
            Err(error) => tracing::warn!(%error, "no new client for questions to Kafka"),
        }
    }
}

fn make(config: &Config, group: Option<&str>) -> Result<Arc<Apart<BaseConsumer<Context>>>, LogError> {
    let context = Context::new(group.map_or_else(|| "ask".to_owned(), |group| format!("ask as group {group}")));
    let client = BaseConsumer::from_config_and_context(&config.asker(group), context);
    Ok(Arc::new(Apart::new(client.map_err(|error| refused(&error))?)))
}

impl Asker {
    pub(super) fn new(config: &Config, group: Option<&str>, deadline: Duration) -> Result<Self, LogError> {
        let client = Mutex::new(make(config, group)?);
        let shared =
            Shared { config: config.clone(), group: group.map(str::to_owned), client, silent: Mutex::default() };
        Ok(Self { shared: Arc::new(shared), deadline })
    }

    /// The same client for questions that wait so long.
    pub(super) fn within(&self, deadline: Duration) -> Self {
        Self { deadline, ..self.clone() }
    }

    /// Asks until there is an answer, an error that stays, or the deadline. `doing` and `topic` are for the error.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        doing: String,
        topic: String,
        question: impl Fn(&BaseConsumer<Context>, Duration) -> Result<T, KafkaError> + Send + 'static,
    ) -> Result<T, LogError> {
        let (shared, asked, deadline) = (self.shared.clone(), Instant::now(), self.deadline);
        let asking = tokio::task::spawn_blocking(move || {
            let client = shared.client();
            let answer = insist(&client, asked + deadline, question);
            for _ in 0..EVENTS {
                // Fetches nothing; serves log lines and errors, which would pile up.
                let _ = client.poll(Duration::ZERO);
            }
            match answer {
                Ok(answer) => {
                    client.context().well();
                    shared.is_answered();
                    Ok(answer)
                }
                Err(error) => {
                    let error = explained(of_call(&error, &doing, &topic), client.context());
                    match &error {
                        LogError::Unreachable { .. } => shared.is_not_answered(asked),
                        _ => shared.is_answered(),
                    }
                    Err(error)
                }
            }
        });
        // The runtime ends: there is nobody left to answer.
        asking.await.unwrap_or(Err(LogError::Closed))
    }
}

/// "Timed out" is what a call says; why no broker could be reached (its name, its certificate, our password) is told by the way.
fn explained(error: LogError, context: &Context) -> LogError {
    match (error, context.watch().trouble()) {
        (LogError::Unreachable { doing, reason }, Some(trouble)) => {
            LogError::Unreachable { doing, reason: format!("{reason} ({})", trouble.reason) }
        }
        (error, _) => error,
    }
}

fn insist<T>(
    client: &BaseConsumer<Context>,
    until: Instant,
    question: impl Fn(&BaseConsumer<Context>, Duration) -> Result<T, KafkaError>,
) -> Result<T, KafkaError> {
    loop {
        let left = until.saturating_duration_since(Instant::now()).max(PAUSE);
        match question(client, left) {
            Err(error) if error.rdkafka_error_code().is_some_and(is_transient) && Instant::now() + PAUSE < until => {
                thread::sleep(PAUSE);
            }
            answer => return answer,
        }
    }
}
