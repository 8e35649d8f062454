//! Check: sums this node's tables at the offset of a check's record, and holds the sums against the other nodes'.
//!
//! ```text
//! ALL lane: record applied ─▶ snapshot pinned ─▶ applies on
//!                                   └─▶ checker (`run`): sums ─▶ report on NODES ─▶ what differs is narrowed to its rows
//! NODES ─▶ `witness::watch` ─▶ council: who says what ─▶ verdict by the witness's rule ─▶ the node stops, or not
//! ```
//! Neighbours: the ALL lane begins checks and makes them give way ([`LaneChecks`]); `dbms::Snapshot` sums; `kluster_protocol::check` compares.
//!
//! Invariants
//! 1. A check decides no outcome and never stops the ALL lane for longer than a snapshot takes to be pinned; where that fails, the check has
//!    failed and the lane goes on.
//! 2. A change of the schema is never kept waiting by a check: the check ends, says so, and is asked for again.
//! 3. Only sums of one check, of one kind of DBMS and of one log are compared; a node that has none is awaited, not judged.

mod council;
mod every;
mod lane;
mod run;
#[cfg(test)]
mod tests;

pub use council::Council;
pub use every::{CheckEvery, OFFSETS, OFTENER, Proposer, SECONDS};
pub use lane::LaneChecks;
pub use run::{Begun, Checker};

use crate::fault::Cause;
use crate::status::Status;
use crate::witness::Witness;
use council::Judged;
use kluster_log::{Log, LogError, NewRecord, Record};
use kluster_protocol::check::report_key;
use kluster_protocol::{CheckReport, Control, Kind, NodeId, Offset, Topic, header};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// What the parts of a node share of its checks. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Checks(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    council: Mutex<Council>,
    /// Somebody's report is new.
    news: Notify,
    running: Mutex<Option<Running>>,
    /// A check is under way, or what it found is being narrowed.
    busy: watch::Sender<bool>,
}

/// A snapshot under way.
#[derive(Debug, Clone)]
struct Running {
    /// Cancelled: the snapshot must go.
    give_way: CancellationToken,
    sessions: Vec<i64>,
}

/// What follows from the reports of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Where the tables differ.
    pub at: Offset,
    /// No majority of the voters can hold what this node holds: it must stop.
    pub stops: bool,
    /// What is said on ERRORS: check, offset, tables and nodes, and no value of a row.
    pub cause: Cause,
}

impl Checks {
    /// The checks of `node`, which follows the topic ALL of this id beside a DBMS of this name.
    pub fn new(node: NodeId, topic_id: String, dbms: String) -> Self {
        let council = Mutex::new(Council::new(node, topic_id, dbms));
        let busy = watch::Sender::new(false);
        Self(Arc::new(Shared { council, news: Notify::new(), running: Mutex::default(), busy }))
    }

    /// Another node's report came, or, `before` this run of the node said anything, its own.
    pub fn hear(&self, record: &Record, before: bool) {
        let Some(value) = &record.value else { return };
        match serde_json::from_slice::<CheckReport>(value) {
            Ok(report) => {
                held(&self.0.council).hear(report, before);
                self.0.news.notify_waiters();
            }
            Err(error) => tracing::debug!(offset = %record.offset, %error, "a report of a check cannot be read"),
        }
    }

    /// What the newest check says of this node; none: nothing that differs. Said once for each set of reports.
    pub fn judge(&self, witness: &Witness, status: &Status, now: Instant) -> Option<Difference> {
        let mut council = held(&self.0.council);
        let judged = council.judge(witness, status, now)?;
        let Judged { difference, is_new } = judged;
        (is_new || difference.stops).then_some(difference)
    }

    /// Before the node serves: its own last report says that it had stopped, and its database is still the one of then. What to say.
    pub fn marked(&self, status: &Status) -> Option<Difference> {
        held(&self.0.council).marked(status)
    }

    /// The node's own report, from its last run, is of a database that is no longer there.
    pub async fn forget_former(&self, log: &Log, status: &Status) {
        let node = held(&self.0.council).forget_former(status);
        if let Some(node) = node
            && let Err(error) = log.append(Topic::Nodes, None, NewRecord::default().keyed(report_key(&node))).await
        {
            tracing::warn!(%node, %error, "the report of this node's former database could not be taken back");
        }
    }

    /// Says that this node has stopped for its tables.
    pub async fn say_stopped(&self, log: &Log) -> Result<(), LogError> {
        let report = held(&self.0.council).stopped();
        match report {
            Some(report) => publish(log, &report).await,
            None => Ok(()),
        }
    }

    /// Waits until no check is under way and what the last one found is narrowed.
    pub async fn idle(&self) {
        // The sender is here.
        let _ = self.0.busy.subscribe().wait_for(|busy| !busy).await;
    }

    /// The snapshot under way must go, if there is one.
    pub fn give_way(&self) {
        if let Some(running) = &*held(&self.0.running) {
            running.give_way.cancel();
        }
    }

    /// The snapshot under way must go if one of these sessions is one of its own.
    pub fn give_way_if(&self, sessions: &[i64]) {
        let running = held(&self.0.running);
        if let Some(running) = &*running
            && running.sessions.iter().any(|session| sessions.contains(session))
        {
            running.give_way.cancel();
        }
    }
}

/// Whether a record of NODES is a report of a check; else it is a heartbeat, or the end of one.
pub fn is_report(record: &Record) -> bool {
    record.header(header::KIND) == Some(Kind::CHECK.as_bytes())
        || record.value.is_none() && record.key.as_deref().is_some_and(|key| key.starts_with(b"check/"))
}

async fn publish(log: &Log, report: &CheckReport) -> Result<(), LogError> {
    let value = serde_json::to_vec(report).expect("a report can be written as JSON");
    let record = NewRecord::of(value).keyed(report_key(&report.node_id)).header(header::KIND, Kind::CHECK);
    log.append(Topic::Nodes, None, record).await.map(drop)
}

/// The record that asks for a check: again, where `replaces` names the number of the newest.
pub fn ask(id: String, replaces: Option<u64>, attempt: u32) -> Control {
    Control::Check { id, replaces, attempt }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while one of these is held; if it did, the value would still be whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
