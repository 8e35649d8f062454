//! Waiting: tells people when a batch waits for a lock that somebody else holds: a heartbeat that says so at once, and a report on ERRORS that
//! says who it is.
//!
//! Neighbours: the ALL lane lets its calls of the database pass through here; `dbms::Locks` asks the server.
//!
//! Invariant: nothing is decided here. No time limit holds in ALL, so the batch goes on waiting, and when the lock is gone it goes on. Where the DBMS
//! ends the wait (MariaDB's rows after 1 s), the same batch is tried again, for ever (`retry`).

use crate::check::Checks;
use crate::dbms::{Held, Locks};
use crate::fault::Cause;
use crate::report::{Lasting, Reporter};
use crate::retry::LOCK_WAIT;
use crate::status::Status;
use kluster_protocol::{ErrorClass, NodeState, Offset};
use std::convert::Infallible;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// A call that takes this long is looked into, and again after as long. Below MariaDB's lock timeout of 1 s.
const LOOK: Duration = Duration::from_millis(500);
/// Looks become rarer, up to this.
const RARELY: Duration = Duration::from_secs(5);

/// Watches over the calls of the ALL lane.
#[derive(Debug)]
pub struct Waiting {
    locks: Locks,
    checks: Checks,
    status: Status,
    reporter: Reporter,
    since: Option<Since>,
}

/// A wait, over all attempts at the same batch.
#[derive(Debug)]
struct Since {
    began: Instant,
    since_ms: u64,
    /// Who held it when it was reported, and when.
    said: Option<(Vec<i64>, Instant)>,
}

impl Waiting {
    /// Waits for locks that `locks` knows about, which `checks` may hold, said by `status` and `reporter`.
    pub fn new(locks: Locks, checks: Checks, status: Status, reporter: Reporter) -> Self {
        Self { locks, checks, status, reporter, since: None }
    }

    /// Awaits a call of the database about the batch that begins `at` this offset and request.
    pub async fn over<T>(&mut self, at: Option<(Offset, String)>, call: impl Future<Output = T>) -> T {
        if !self.locks.can_hold_up() {
            return call.await;
        }
        tokio::select! {
            biased;
            done = call => done,
            never = self.watch(at) => match never {},
        }
    }

    /// Whether a wait that has lasted so long is reported from here, with who holds the lock; else nobody can be told who.
    pub fn tells(&self, lasted: Duration) -> bool {
        let said = self.since.as_ref().is_some_and(|since| since.said.is_some());
        self.locks.can_hold_up() && (said || lasted < 3 * Lasting::WORTH_REPORTING)
    }

    /// The batch went through.
    pub fn passed(&mut self) {
        if let Some(since) = self.since.take() {
            tracing::info!(seconds = since.began.elapsed().as_secs(), "the lock that was waited for is gone");
        }
    }

    async fn watch(&mut self, at: Option<(Offset, String)>) -> Infallible {
        let mut pause = LOOK;
        loop {
            sleep(pause).await;
            pause = (pause * 2).min(RARELY);
            if let Some(held) = self.locks.held().await {
                // A check of ours never keeps a batch waiting.
                self.checks.give_way_if(&held.by);
                self.say(&at, held).await;
            }
        }
    }

    async fn say(&mut self, at: &Option<(Offset, String)>, held: Held) {
        let now = Instant::now();
        let since_ms = self.reporter.now_ms();
        let since = self.since.get_or_insert(Since { began: now, since_ms, said: None });
        if !matches!(self.status.now().state, NodeState::Retrying { .. }) {
            self.status.is(NodeState::Retrying { since_ms: since.since_ms, code: LOCK_WAIT.to_owned() });
        }
        let known = since.said.as_ref().is_some_and(|(by, when)| *by == held.by && when.elapsed() < Lasting::REMIND);
        if known || since.began.elapsed() < Lasting::WORTH_REPORTING {
            return;
        }
        since.said = Some((held.by, now));
        let (waited, since_ms) = (since.began.elapsed().as_secs(), since.since_ms);
        let cause = Cause::new(LOCK_WAIT, format!("for {waited} s the database {}", held.text));
        self.reporter.say(ErrorClass::Transient, at.clone(), &cause, Some(since_ms)).await;
    }
}
