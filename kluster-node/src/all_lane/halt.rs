//! Halt: where the ALL lane waits for a decision: at an offset that it cannot execute, and at one that is held back.
//!
//! Neighbours: `go_on` asks before each batch what keeps its first record back; `decisions` tells what is decided; `council` is the rule by which
//! nodes decide themselves.
//!
//! Invariants
//! 1. A node that says that it is stopped at an offset has that in its database, written behind the claim, and does not execute the offset again
//!    before the round is decided, a restart included. (Only a database that has applied nothing yet has no row to hold it.)
//! 2. `obeys` is said only while nothing is being committed and no earlier session of this node can commit; and a batch is committed only after
//!    a look at what is decided by then, with nothing said in between. So who says `obeys` and `applied` keeps both, also of what it executes.
//! 3. A decided offset is never executed.

use super::again::request_id;
use super::{AllLane, Stopped};
use crate::dbms::Finish;
use crate::fault::{Cause, Fault};
use crate::retry::Retry;
use crate::start::Held;
use crate::state::Losses;
use kluster_log::Record;
use kluster_protocol::{
    CANCELLED, DIVERGED, Decision, Decisions, ErrorClass, HELD, Halt, NodeId, NodeState, Offset, SERVER_LOST,
};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// A request during whose execution the server was lost so often is not executed again without a decision.
const LOSSES: u32 = 3;

impl AllLane {
    /// How many of the next records nothing keeps back.
    pub(super) fn free(&self, held: &Held, records: &[Record]) -> usize {
        let decisions = self.decisions.now();
        let kept = |record: &Record| keeps_back(held, &decisions, record.offset);
        records.iter().position(kept).unwrap_or(records.len())
    }

    /// The first record is kept back: waits until it may go on. False: what the database holds must be read again.
    pub(super) async fn kept_back(
        &mut self,
        held: &Held,
        record: &Record,
        retry: &mut Retry,
        drain: &CancellationToken,
    ) -> Result<bool, Stopped> {
        if let Err(fault) = self.confirm(held).await {
            self.after(fault, None, 0, retry, drain).await?;
            return Ok(false);
        }
        let offset = record.offset;
        let round = self.decisions.now().round(offset);
        let halt = match held.state.halt.clone().filter(|halt| halt.offset == offset && halt.round == round) {
            Some(halt) => halt,
            None => Halt {
                offset,
                round,
                code: HELD.to_owned(),
                message: "held back until it is decided whether it is cancelled".to_owned(),
                request_id: request_id(record),
                since_ms: self.reporter.now_ms(),
            },
        };
        tracing::warn!(node = %self.node, %offset, round, code = halt.code, "waiting for a decision");
        let state = NodeState::Stopped { offset, round, code: halt.code.clone() };
        self.status.halts(Some(halt.clone()), state);
        if !self.decided(held, offset, drain).await {
            // What is held back is no trouble of this node's.
            return match halt.is_hold() {
                true => Ok(false),
                false => Err(Stopped { offset, fault: Fault::Unknown(waiting(halt)) }),
            };
        }
        self.status.halts(None, NodeState::CatchingUp);
        retry.begin_again();
        Ok(true)
    }

    /// Waits until nothing keeps `offset` back. False: the node drains.
    async fn decided(&mut self, held: &Held, offset: Offset, drain: &CancellationToken) -> bool {
        loop {
            let decisions = self.decisions.now();
            self.status.obeys(decisions.next());
            if !keeps_back(held, &decisions, offset) {
                return true;
            }
            tokio::select! {
                biased;
                () = drain.cancelled() => return false,
                () = self.decisions.changed() => {}
            }
        }
    }

    /// The request at `record` cannot be executed: that is put into the database, so that it is not executed again before it is decided.
    pub(super) async fn halt(
        &mut self,
        held: &mut Held,
        record: &Record,
        cause: &Cause,
        retry: &mut Retry,
    ) -> Result<(), Fault> {
        let since_ms = retry.lasting.goes_on(&self.reporter, Duration::ZERO);
        let round = self.decisions.now().round(record.offset);
        held.state.halt = Some(Halt {
            offset: record.offset,
            round,
            code: cause.code.clone(),
            message: cause.message.clone(),
            request_id: request_id(record),
            since_ms,
        });
        self.note(held).await
    }

    /// Where the server was lost while it executed the first record alone, that is counted in the database; lost too often, the record is not
    /// executed again. False: what the database holds must be read again.
    pub(super) async fn count_losses(
        &mut self,
        held: &mut Held,
        first: &Record,
        retry: &mut Retry,
        drain: &CancellationToken,
    ) -> Result<bool, Stopped> {
        let losses = held.state.losses.filter(|losses| losses.offset == first.offset);
        if losses.is_some() {
            retry.run_alone(1);
        }
        let Some(lost_at) = self.lost_at else { return Ok(true) };
        if lost_at > first.offset {
            return Ok(true);
        }
        self.lost_at = None;
        if lost_at < first.offset {
            return Ok(true);
        }
        let losses = Losses { offset: lost_at, count: losses.map_or(0, |losses| losses.count) + 1 };
        held.state.losses = Some(losses);
        let noted = match losses.count < LOSSES {
            true => self.note(held).await,
            false => {
                let cause = server_lost(lost_at);
                let at = (lost_at, request_id(first));
                self.stop(ErrorClass::Unknown, at, Fault::Unknown(cause.clone()), None).await;
                held.state.losses = None;
                self.halt(held, first, &cause, retry).await
            }
        };
        match noted {
            Ok(()) => Ok(true),
            Err(fault) => {
                self.lost_at = Some(lost_at);
                self.after(fault, None, 0, retry, drain).await?;
                Ok(false)
            }
        }
    }

    /// Says that the lane obeys what is decided, where that may be said: see the invariants.
    pub(super) async fn obey(&mut self, held: &Held) -> Result<(), Fault> {
        let decisions = self.decisions.now();
        let next = (!held.fresh).then_some(held.state.applied);
        if !self.sure && decisions.holds().any(|hold| Some(hold.decision.offset) > next) {
            self.confirm(held).await?;
        }
        if self.sure {
            self.status.obeys(decisions.next());
        }
        Ok(())
    }

    /// Makes sure that no earlier session of this node can still commit, and that this one has no transaction open.
    async fn confirm(&mut self, held: &Held) -> Result<(), Fault> {
        match self.sure && !self.open {
            true => Ok(()),
            false => self.note(held).await,
        }
    }

    /// Writes the state row as it is held, behind the claim.
    async fn note(&mut self, held: &Held) -> Result<(), Fault> {
        let predecessor = (!held.fresh).then_some(held.state.applied);
        self.open = true;
        self.dbms.run(predecessor, &[]).await?;
        if let Some(applied) = predecessor {
            let json = |error: serde_json::Error| Fault::Fatal(Cause::new("state_unwritable", error.to_string()));
            let finish = Finish {
                predecessor,
                applied,
                state: serde_json::to_string(&held.state).map_err(json)?,
                outcomes: None,
                prune_below: None,
                drop_rows_below: None,
            };
            if let Some(refusal) = self.dbms.commit(&finish).await? {
                return Err(Fault::Unknown(Cause::new("state_unwritable", refusal.message)));
            }
            self.open = false;
        }
        self.sure = true;
        Ok(())
    }

    /// A node whose own error at a decided offset is not the one that was agreed on without it does not hold the data that the others hold.
    pub(super) fn check_decided(&self, held: &Held, offset: Offset) -> Result<(), Fault> {
        let decisions = self.decisions.now();
        let (Some(decision), Some(halt)) = (decisions.error(offset), &held.state.halt) else { return Ok(()) };
        match halt.offset == offset && contradicts(decision, halt, &self.node) {
            false => Ok(()),
            true => Err(Fault::Fatal(Cause::new(
                DIVERGED,
                format!(
                    "at offset {offset} this node met {}, and the others, who decided without it, met {}: its database is not what they hold; empty it, and start the node: it refills from the log",
                    halt.code,
                    decision.code.as_deref().unwrap_or_default()
                ),
            ))),
        }
    }
}

/// What a node that ends while it waits says of it.
fn waiting(halt: Halt) -> Cause {
    let message =
        format!("{}; the node waited there for a decision and will wait again: see kluster-admin errors", halt.message);
    Cause::new(halt.code, message)
}

fn server_lost(offset: Offset) -> Cause {
    let message = format!(
        "the database server was lost {LOSSES} times in a row while it executed this request, so it is not executed again: look for the reason in the server's log; kluster-admin resolve {offset} --as error refuses the request on every node, --as retry executes it again"
    );
    Cause::new(SERVER_LOST, message)
}

/// Whether `offset` may not be executed now.
fn keeps_back(held: &Held, decisions: &Decisions, offset: Offset) -> bool {
    if decisions.error(offset).is_some() {
        return false;
    }
    let round = decisions.round(offset);
    let halted = held.state.halt.as_ref().is_some_and(|halt| halt.offset == offset && halt.round == round);
    halted || decisions.hold(offset).is_some()
}

fn contradicts(decision: &Decision, halt: &Halt, node: &NodeId) -> bool {
    let agreed = decision.code.as_ref().filter(|code| *code != CANCELLED);
    agreed.is_some_and(|code| *code != halt.code) && halt.round == decision.round && !decision.members.contains(node)
}
