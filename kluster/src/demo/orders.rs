//! orders: several clients order at once and remember what was acknowledged, and how long each answer took.

use super::shop::Order;
use crate::error::KlusterError;
use futures_util::{StreamExt, stream};
use kluster_client::{Client, ClientError, ErrorCode, LogSettings, Options};
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Each client is a program of its own: its own connections, its own session.
pub(super) const CLIENTS: usize = 4;
/// Orders of one client that wait for their answers at once.
const AT_ONCE: usize = 4;
/// An order that is not answered by then is asked again, under the same name.
const PATIENCE: Duration = Duration::from_secs(10);

/// What has come of the orders so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Ledger {
    /// The numbers of acknowledged orders.
    pub(super) acknowledged: Vec<String>,
    /// Orders refused by the guard.
    pub(super) sold_out: usize,
    /// How long each answer took.
    pub(super) took: Vec<Duration>,
}

/// A place in the ledger.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    acknowledged: usize,
    sold_out: usize,
    answered: usize,
    at: Instant,
}

/// Clients that order all the time.
pub(super) struct Orders {
    ledger: Arc<Mutex<Ledger>>,
    answered: watch::Sender<usize>,
    enough: CancellationToken,
    clients: JoinSet<Result<(), KlusterError>>,
}

impl Orders {
    /// Starts the clients.
    pub(super) async fn start(settings: &LogSettings) -> Result<Self, KlusterError> {
        let mut orders = Self {
            ledger: Arc::default(),
            answered: watch::Sender::new(0),
            enough: CancellationToken::new(),
            clients: JoinSet::new(),
        };
        for number in 1..=CLIENTS {
            let client = Client::connect_with(settings.clone(), Options::default()).await;
            let client = client.map_err(|error| KlusterError::Log(error.to_string()))?;
            let (ledger, answered, enough) = (orders.ledger.clone(), orders.answered.clone(), orders.enough.clone());
            orders.clients.spawn(async move {
                let mut dice = StdRng::seed_from_u64(number as u64);
                let wishes = (1..).map(move |count| Order::wished(format!("c{number}-{count:06}"), &mut dice));
                let wishes = stream::iter(wishes.take_while(move |_| !enough.is_cancelled()));
                let mut answers = wishes.map(|order| place(&client, order, &ledger)).buffer_unordered(AT_ONCE);
                while let Some(placed) = answers.next().await {
                    placed?;
                    answered.send_modify(|count| *count += 1);
                }
                Ok(())
            });
        }
        Ok(orders)
    }

    /// Where the ledger stands.
    pub(super) fn mark(&self) -> Mark {
        let ledger = lock(&self.ledger);
        let (acknowledged, sold_out) = (ledger.acknowledged.len(), ledger.sold_out);
        Mark { acknowledged, sold_out, answered: ledger.took.len(), at: Instant::now() }
    }

    /// Waits until so many more were answered since the mark. Ends with an error when a client had to give up.
    pub(super) async fn answered(&mut self, since: &Mark, count: usize) -> Result<(), KlusterError> {
        let mut answered = self.answered.subscribe();
        let enough = answered.wait_for(|answered| *answered >= since.answered + count);
        tokio::select! {
            biased;
            Some(ended) = self.clients.join_next() => match ended {
                Ok(Err(error)) => Err(error),
                _ => Err(KlusterError::NotTrue("a client ended before it was asked to".to_owned())),
            },
            // The sender lives as long as `self`.
            _ = enough => Ok(()),
        }
    }

    /// Tells how many orders are acknowledged by now.
    pub(super) fn acknowledged(&self) -> impl Fn() -> usize + Send + use<> {
        let ledger = self.ledger.clone();
        move || lock(&ledger).acknowledged.len()
    }

    /// What has come since the mark.
    pub(super) fn since(&self, mark: &Mark) -> Figures {
        let ledger = lock(&self.ledger);
        Figures {
            acknowledged: ledger.acknowledged.len() - mark.acknowledged,
            sold_out: ledger.sold_out - mark.sold_out,
            times: Times::of(&ledger.took[mark.answered..]),
            lasted: mark.at.elapsed(),
        }
    }

    /// Lets no order begin any more, waits for those under way, and gives the ledger.
    pub(super) async fn finish(mut self) -> Result<Ledger, KlusterError> {
        self.enough.cancel();
        while let Some(ended) = self.clients.join_next().await {
            ended.map_err(|panic| KlusterError::NotTrue(panic.to_string()))??;
        }
        Ok(lock(&self.ledger).clone())
    }
}

fn lock(ledger: &Mutex<Ledger>) -> MutexGuard<'_, Ledger> {
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Places one order, however often it must be asked for; under one name it takes effect once.
async fn place(client: &Client, order: Order, ledger: &Mutex<Ledger>) -> Result<(), KlusterError> {
    let begun = Instant::now();
    let mut request = order.request(client);
    loop {
        let answer = request.timeout(PATIENCE).first().await;
        let mut ledger = lock(ledger);
        match answer {
            Ok(_) => ledger.acknowledged.push(order.number),
            Err(ClientError::Refused { error, .. }) if error.code == ErrorCode::ExpectRows => ledger.sold_out += 1,
            Err(error) => match error.ticket() {
                Some(ticket) => {
                    request = order.request(client).retry(ticket.clone());
                    continue;
                }
                None => return Err(KlusterError::NotTrue(format!("order {}: {error}", order.number))),
            },
        }
        ledger.took.push(begun.elapsed());
        return Ok(());
    }
}

/// What came of the orders in one chapter.
#[derive(Debug, Clone, Copy)]
pub(super) struct Figures {
    /// Orders acknowledged.
    pub(super) acknowledged: usize,
    /// Orders refused by the guard.
    pub(super) sold_out: usize,
    /// How long the answers took.
    pub(super) times: Times,
    /// How long the chapter lasted.
    pub(super) lasted: Duration,
}

impl Figures {
    /// Acknowledged orders in a second.
    pub(super) fn each_second(&self) -> f64 {
        self.acknowledged as f64 / self.lasted.as_secs_f64().max(0.001)
    }
}

/// How long answers took.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Times {
    /// Half of them took no longer.
    pub(super) median: Duration,
    /// None took longer.
    pub(super) slowest: Duration,
}

impl Times {
    /// Of these answers.
    pub(super) fn of(took: &[Duration]) -> Self {
        let mut took = took.to_vec();
        took.sort_unstable();
        let median = took.get(took.len() / 2).copied().unwrap_or_default();
        Self { median, slowest: took.last().copied().unwrap_or_default() }
    }
}

impl std::fmt::Display for Times {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ms = |time: Duration| time.as_secs_f64() * 1000.0;
        write!(f, "median {:.1} ms, slowest {:.0} ms", ms(self.median), ms(self.slowest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_of_what_was_measured() {
        let times = Times::of(&[30, 10, 20].map(Duration::from_millis));
        assert_eq!(times.to_string(), "median 20.0 ms, slowest 30 ms");
        assert_eq!(Times::of(&[]).to_string(), "median 0.0 ms, slowest 0 ms");
    }
}
