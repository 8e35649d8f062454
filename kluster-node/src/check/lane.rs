//! Lane: what the ALL lane does for checks: pins a snapshot right behind a check's record, and makes it give way to changes of the schema.
//!
//! Neighbours: the ALL lane calls it between two batches; the [`super::Checker`] takes what was pinned.

use super::run::{Begun, Checker};
use super::{Checks, Running, held};
use crate::dbms::{How, Snapshot, SnapshotError, Snapshots, Work};
use crate::state::State;
use kluster_protocol::CheckMark;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// The lane waits no longer for a snapshot to be pinned; the check has then failed.
const PINNED_WITHIN: Duration = Duration::from_secs(5);

/// The ALL lane's side of checks.
#[derive(Debug)]
pub struct LaneChecks {
    checks: Checks,
    snapshots: Snapshots,
    begun: mpsc::UnboundedSender<Begun>,
    /// The newest check that this node has seen to; none: it has just started.
    seen: Option<u64>,
}

impl LaneChecks {
    /// The lane's side, and the checker's.
    pub fn new(checks: Checks, snapshots: Snapshots) -> (Self, mpsc::UnboundedReceiver<Begun>) {
        let (begun, next) = mpsc::unbounded_channel();
        (Self { checks, snapshots, begun, seen: None }, next)
    }

    /// The lane has applied what `state` says and nothing beyond it: begins the check that stands at this very offset.
    pub async fn applied(&mut self, state: &State) {
        let check = &state.check;
        let here = check.offset == state.applied;
        let seen = match self.seen {
            Some(seen) => seen,
            None => self.resumed(check, here),
        };
        self.seen = Some(seen.max(check.number));
        // A node that catches up passes over checks that the others have left behind.
        if check.number <= seen || held(&self.checks.0.council).newest() > check.number {
            return;
        }
        let pinned = match here {
            true => timeout(PINNED_WITHIN, self.snapshots.pin(state.applied))
                .await
                .unwrap_or_else(|_| Err(SnapshotError(format!("no snapshot within {} s", PINNED_WITHIN.as_secs())))),
            false => Err(SnapshotError("the node was started again behind this offset".to_owned())),
        };
        let give_way = CancellationToken::new();
        let sessions = pinned.as_ref().map(Snapshot::sessions).unwrap_or_default();
        *held(&self.checks.0.running) = Some(Running { give_way: give_way.clone(), sessions });
        self.checks.0.busy.send_replace(true);
        // The receiver ends only with the node.
        let _ = self.begun.send(Begun { check: check.clone(), pinned, give_way });
    }

    /// Which checks count as seen to by this node, which has just started: the newest does if its sums are known, or if nobody compares them.
    fn resumed(&self, check: &CheckMark, here: bool) -> u64 {
        let council = held(&self.checks.0.council);
        let done = council.own().is_some_and(|own| own.check.number == check.number && own.is_done());
        match !done && (here || council.newest() == check.number) {
            true => check.number.saturating_sub(1),
            false => check.number,
        }
    }

    /// These works come next: those that may change the schema must not wait for a snapshot.
    pub fn make_way(&self, works: &[Work]) {
        if self.snapshots.hold_up_schema_changes() && works.iter().any(may_change_schema) {
            self.checks.give_way();
        }
    }

    /// What the lane's calls may come to wait for.
    pub fn checks(&self) -> Checks {
        self.checks.clone()
    }

    /// The checker of these checks.
    pub fn checker(
        &self,
        next: mpsc::UnboundedReceiver<Begun>,
        log: kluster_log::Log,
        status: crate::status::Status,
    ) -> Checker {
        Checker::new(self.checks.clone(), next, log, status)
    }
}

/// A CALL or DO that changes the schema all the same makes the check give way once it is found to wait for it (`waiting`).
fn may_change_schema(work: &Work) -> bool {
    let word =
        |sql: &str| sql.trim_start().chars().take_while(char::is_ascii_alphabetic).collect::<String>().to_lowercase();
    work.how != How::Batched
        && work.statements.iter().any(|statement| !["call", "do"].contains(&word(&statement.sql).as_str()))
}
