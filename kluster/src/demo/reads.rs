//! reads: somebody reads all the time, and checks that each read sees every order that was acknowledged before it began.

use super::orders::{Orders, Times};
use crate::error::KlusterError;
use kluster_client::{Client, LogSettings, Options};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Reads at once: where one waits for a node that is gone, the other goes on.
const AT_ONCE: usize = 2;

/// Reads that go on until enough were answered.
pub(super) struct Reads {
    took: watch::Sender<Vec<Duration>>,
    enough: CancellationToken,
    readers: JoinSet<Result<(), KlusterError>>,
}

impl Reads {
    /// Begins to read what `orders` writes.
    pub(super) async fn start(settings: &LogSettings, orders: &Orders) -> Result<Self, KlusterError> {
        let client = Client::connect_with(settings.clone(), Options::default()).await;
        let client = client.map_err(|error| KlusterError::Log(error.to_string()))?;
        let mut reads =
            Self { took: watch::Sender::default(), enough: CancellationToken::new(), readers: JoinSet::new() };
        for _ in 0..AT_ONCE {
            let (client, took, enough) = (client.clone(), reads.took.clone(), reads.enough.clone());
            let acknowledged = orders.acknowledged();
            reads.readers.spawn(async move {
                while !enough.is_cancelled() {
                    let (before, begun) = (acknowledged(), Instant::now());
                    let count = client.query("select count(*) from orders").strong().fetch_one::<usize>().await;
                    let count =
                        count.map_err(|error| KlusterError::NotTrue(format!("a read was not answered: {error}")))?;
                    if count < before {
                        return Err(KlusterError::NotTrue(format!(
                            "a strong read saw {count} orders, though {before} were acknowledged before it began"
                        )));
                    }
                    took.send_modify(|took| took.push(begun.elapsed()));
                }
                Ok(())
            });
        }
        Ok(reads)
    }

    /// Waits until so many were answered, then for those under way. How many were answered, and how long they took.
    pub(super) async fn finish(mut self, count: usize) -> Result<(usize, Times), KlusterError> {
        let mut took = self.took.subscribe();
        tokio::select! {
            biased;
            Some(ended) = self.readers.join_next() => ended.map_err(|panic| KlusterError::NotTrue(panic.to_string()))??,
            // The sender lives as long as `self`.
            _ = took.wait_for(|took| took.len() >= count) => {}
        }
        self.enough.cancel();
        while let Some(ended) = self.readers.join_next().await {
            ended.map_err(|panic| KlusterError::NotTrue(panic.to_string()))??;
        }
        let took = self.took.borrow();
        Ok((took.len(), Times::of(&took)))
    }
}
