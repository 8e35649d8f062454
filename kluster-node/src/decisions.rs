//! Decisions: follows DECISIONS from its start, and tells the ALL lane what is decided.
//!
//! Neighbours: `kluster_protocol::Decisions` says what the records amount to; the ALL lane waits until the past is read, and obeys.
//!
//! Invariant: nothing is told before DECISIONS was read to the end that it had when this node began; so a replay knows every decision before it
//! reaches the offset.

use crate::fault::Cause;
use crate::report::Reporter;
use kluster_log::{Log, LogError, Reader, Record};
use kluster_protocol::{Decision, Decisions, ErrorClass, NodeId, Offset, Topic};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// Records taken at once.
const BATCH: usize = 1000;
/// The end of DECISIONS may be a marker that no record reaches: after so long without a record its past counts as read.
const QUIET: Duration = Duration::from_secs(2);
/// Before DECISIONS is read anew after an error.
const PAUSE: Duration = Duration::from_secs(1);

/// What is decided, as far as it is read. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Following(watch::Receiver<Option<Arc<Decisions>>>);

impl Following {
    /// Waits until the past is read.
    pub async fn begun(&mut self) {
        // The follower ends only with the node.
        let _ = self.0.wait_for(Option::is_some).await;
    }

    /// What is decided now.
    pub fn now(&self) -> Arc<Decisions> {
        self.0.borrow().clone().unwrap_or_default()
    }

    /// Waits until something more is read. Cancel-safe.
    pub async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Follows DECISIONS.
pub struct Follower {
    node: NodeId,
    log: Log,
    reporter: Reporter,
    decisions: Decisions,
    told: watch::Sender<Option<Arc<Decisions>>>,
}

impl Follower {
    /// A follower for `node`, and where it tells what it reads.
    pub fn new(node: NodeId, log: Log, reporter: Reporter) -> (Self, Following) {
        let (told, following) = watch::channel(None);
        (Self { node, log, reporter, decisions: Decisions::default(), told }, Following(following))
    }

    /// Follows until dropped; reads anew after trouble, from where it was.
    pub async fn run(mut self) -> Infallible {
        loop {
            let error = match self.follow().await {
                Err(error) => error,
                Ok(never) => match never {},
            };
            tracing::warn!(node = %self.node, %error, "DECISIONS cannot be read");
            sleep(PAUSE).await;
        }
    }

    async fn follow(&mut self) -> Result<Infallible, LogError> {
        let range = self.log.range(Topic::Decisions, 0).await?;
        let from = self.decisions.next().max(range.start);
        let mut reader = self.log.read(Topic::Decisions, 0, from).await?;
        while self.decisions.next().max(range.start) < range.end {
            let Some(records) = past(&mut reader).await? else { break };
            self.take(records).await;
        }
        loop {
            self.told.send_replace(Some(Arc::new(self.decisions.clone())));
            let records = reader.next_batch(BATCH).await?;
            self.take(records).await;
        }
    }

    async fn take(&mut self, records: Vec<Record>) {
        for record in records {
            self.decisions.pass(record.offset);
            match record.value.as_deref().map(serde_json::from_slice::<Decision>) {
                Some(Ok(decision)) => {
                    let valid = self.decisions.take(record.offset, decision.clone());
                    tracing::info!(node = %self.node, at = %record.offset, valid, ?decision, "a decision");
                }
                _ => self.unreadable(record.offset).await,
            }
        }
    }

    /// No node can read it, so it says nothing to anyone; who wrote it should know.
    async fn unreadable(&self, at: Offset) {
        let message = format!(
            "the record at offset {at} of DECISIONS is no decision and is passed over; kluster-admin resolve writes decisions"
        );
        self.reporter.say(ErrorClass::Alarm, None, &Cause::new("bad_decision", message), None).await;
    }
}

/// The next records of the past; None: there are none.
async fn past(reader: &mut Reader) -> Result<Option<Vec<Record>>, LogError> {
    match (timeout(QUIET, reader.next_batch(BATCH)).await, reader.trouble()) {
        (Ok(records), _) => records.map(Some),
        (Err(_), None) => Ok(None),
        (Err(_), Some(trouble)) => {
            Err(LogError::Unreachable { doing: format!("reading {}", Topic::Decisions), reason: trouble.reason })
        }
    }
}
