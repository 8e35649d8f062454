//! Ask: questions to the brokers with a deadline. librdkafka's calls block, so they run on Tokio's threads for blocking work.

use super::apart::Apart;
use super::config::{Config, refused};
use super::context::Context;
use super::fault::{is_transient, of_call};
use crate::LogError;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// Before the same question is asked again.
const PAUSE: Duration = Duration::from_millis(100);
/// Events that a client which fetches nothing may have waiting: log lines, errors.
const EVENTS: usize = 64;

/// A client that only asks, as one group or as none.
#[derive(Debug, Clone)]
pub(super) struct Asker {
    client: Arc<Apart<BaseConsumer<Context>>>,
    deadline: Duration,
}

impl Asker {
    pub(super) fn new(config: &Config, group: Option<&str>, deadline: Duration) -> Result<Self, LogError> {
        let context = Context::new(group.map_or_else(|| "ask".to_owned(), |group| format!("ask as group {group}")));
        let client = BaseConsumer::from_config_and_context(&config.asker(group), context);
        let client = client.map_err(|error| refused(&error))?;
        Ok(Self { client: Arc::new(Apart::new(client)), deadline })
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
        let (client, until) = (self.client.clone(), Instant::now() + self.deadline);
        let asked = tokio::task::spawn_blocking(move || {
            let answer = insist(&client, until, question);
            for _ in 0..EVENTS {
                // Fetches nothing; serves log lines and errors, which would pile up.
                let _ = client.poll(Duration::ZERO);
            }
            match answer {
                Ok(answer) => {
                    client.context().well();
                    Ok(answer)
                }
                Err(error) => Err(explained(of_call(&error, &doing, &topic), client.context())),
            }
        });
        // The runtime ends: there is nobody left to answer.
        asked.await.unwrap_or(Err(LogError::Closed))
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
