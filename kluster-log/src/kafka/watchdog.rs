//! Watchdog: finds a client of librdkafka that gets nothing through while a fresh one can. Such a client is made anew.
//!
//! librdkafka 2.12 was seen to stay without a connection, or to time out every record, long after the brokers were well for all others: after
//! pauses of a single broker in quick succession, and after a broker was fenced again and again. Neighbours: `reader`, `group`, `producer` and
//! `ask` keep a [`Patience`] each.
//!
//! Invariants
//! 1. A client is made anew only after a fresh one was answered, so that an outage makes no clients.
//! 2. Looks become rarer, up to [`RARELY`], until something gets through again.

use super::config::Config;
use super::context::Context;
use crate::Trouble;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

/// A client that got nothing through for this long may be stuck. Longer than the election of a leader and a session of a broker (9 s).
pub(super) const STUCK: Duration = Duration::from_secs(15);
/// Looks become rarer, up to this.
const RARELY: Duration = Duration::from_secs(120);
/// A fresh client that is not answered by then is not better.
const ANSWERED: Duration = Duration::from_secs(5);

/// When a client is to be looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    since: Instant,
    pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { since: Instant::now(), pause: STUCK }
    }
}

impl Patience {
    /// Something got through.
    pub(super) fn well(&mut self) {
        *self = Self::default();
    }

    /// It was looked at. Where the look before was long ago, this is another trouble.
    pub(super) fn looked(&mut self) {
        let pause = if self.since.elapsed() > 2 * RARELY { STUCK } else { self.pause };
        *self = Self { since: Instant::now(), pause: (pause * 2).min(RARELY) };
    }

    pub(super) fn is_due(&self) -> bool {
        self.since.elapsed() >= self.pause
    }

    /// Waits until it is to be looked at. Cancel-safe.
    async fn ends(&self) {
        sleep_until(self.since + self.pause).await;
    }
}

/// A look by a fresh client at what a reader should have got: the topic and its next places.
#[derive(Debug)]
pub(super) struct Look {
    config: Config,
    topic: String,
    places: Vec<(u32, i64)>,
    /// The reader's own trouble has lasted.
    troubled: bool,
}

impl Look {
    pub(super) fn new(config: &Config, topic: &str, places: Vec<(u32, i64)>, trouble: Option<Trouble>) -> Self {
        let troubled = trouble.is_some_and(|trouble| trouble.lasting >= STUCK);
        Self { config: config.clone(), topic: topic.to_owned(), places, troubled }
    }

    /// Whether a fresh client is answered, and either finds records that the reader did not get, or the reader has been in trouble. Blocks.
    fn finds(&self) -> bool {
        let Some(client) = fresh(&self.config) else { return false };
        if self.places.is_empty() {
            return self.troubled && client.fetch_metadata(Some(&self.topic), ANSWERED).is_ok();
        }
        let mut ahead = false;
        for (partition, place) in &self.places {
            match client.fetch_watermarks(&self.topic, *partition as i32, ANSWERED) {
                Ok((_, end)) => ahead |= end > *place,
                Err(_) => return false,
            }
        }
        ahead || self.troubled
    }
}

/// The watch over one reader.
#[derive(Debug, Default)]
pub(super) struct Watchdog {
    patience: Patience,
    looking: Option<JoinHandle<bool>>,
}

impl Watchdog {
    /// Something was read: what is being looked for is no question any more.
    pub(super) fn well(&mut self) {
        self.patience.well();
        self.looking = None;
    }

    /// Waits until the reader is due for a look, and looks. True: it is stuck. Cancel-safe.
    pub(super) async fn stuck(&mut self, look: impl FnOnce() -> Look) -> bool {
        let looking = match &mut self.looking {
            Some(looking) => looking,
            none => {
                self.patience.ends().await;
                let look = look();
                none.insert(tokio::task::spawn_blocking(move || look.finds()))
            }
        };
        let found = looking.await.unwrap_or(false);
        self.looking = None;
        self.patience.looked();
        found
    }
}

/// Whether a fresh client is answered about a topic. Blocks.
pub(super) fn is_answered(config: &Config, topic: &str) -> bool {
    fresh(config).is_some_and(|client| client.fetch_metadata(Some(topic), ANSWERED).is_ok())
}

fn fresh(config: &Config) -> Option<BaseConsumer<Context>> {
    BaseConsumer::from_config_and_context(&config.asker(None), Context::new("look")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn looks_become_rarer_until_something_gets_through() {
        let began = Instant::now();
        let mut patience = Patience::default();
        let mut looks = Vec::new();
        for _ in 0..6 {
            assert!(!patience.is_due());
            patience.ends().await;
            assert!(patience.is_due());
            looks.push(began.elapsed().as_secs());
            patience.looked();
        }
        assert_eq!(looks, [15, 45, 105, 225, 345, 465]);
        patience.well();
        let began = Instant::now();
        patience.ends().await;
        assert_eq!(began.elapsed(), STUCK);
    }
}
