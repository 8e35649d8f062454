//! The ALL lane: applies every record of ALL to this node's database, in order, exactly once. `one_lane` is its parallel sister.
//!
//! read → admit and plan (`plan`) → run in one transaction behind the claim (`dbms`) → settle → commit → answer (`answer`)
//!
//! Invariants
//! 1. Records are applied in offset order, one batch at a time; every record's offset rises. (scenario `same_everywhere`)
//! 2. Applied offset, chain and outcomes are committed in the transaction of the effects, so a record that is delivered again is not applied
//!    again. (scenario `exactly_once`; the simulation crashes at every step)
//! 3. Nothing is passed over: a passing fault waits, a refusal is an outcome, any other fault stops with the offset unmoved.
//! 4. Where a batch ends decides nothing. (property test `batch_borders`)

use crate::answer::{Answers, Outgoing};
use crate::dbms::{Dbms, Finish, OutcomeRow};
use crate::fault::{Cause, Fault};
use crate::membership::Joiner;
use crate::outcome::{KeptByOffset, Outcome};
use crate::plan::{Plan, Settled};
use crate::report::Reporter;
use crate::retry::{Retry, Verdict};
use crate::start::{self, Held};
use crate::status::Status;
use crate::step::{Step, Steps};
use kluster_log::{Log, LogIdentity, Reader, Record};
use kluster_protocol::{ErrorClass, MAX_BATCH, MAX_KEPT_BYTES, NodeId, NodeState, Offset, Request, Topic};
use std::collections::VecDeque;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Records are read this many at a time: a few batches.
const READ: usize = 4 * MAX_BATCH;

/// Old outcome rows are deleted each time the low water has risen by this part of the window.
const PRUNE_PART: u64 = 64;

/// A record's time this far ahead of the node's own clock raises an alarm, and nothing else.
const AHEAD_MS: i64 = 5 * 60 * 1000;

/// What the lane is made of.
#[derive(Debug)]
pub struct AllLane {
    /// This node.
    pub node: NodeId,
    /// The log.
    pub log: Log,
    /// Which log it is.
    pub identity: LogIdentity,
    /// The database.
    pub dbms: Dbms,
    /// Where answers go.
    pub answers: mpsc::Sender<Answers>,
    /// Where the node says what it is doing.
    pub status: Status,
    /// Where trouble is reported.
    pub reporter: Reporter,
    /// Makes this node a member once it has caught up.
    pub joiner: Joiner,
    /// Outcomes are remembered for this many offsets, where the database is new.
    pub window: u64,
    /// At most this many works a batch; for tests with random batch borders.
    pub max_batch: BatchLimit,
    /// Where tests may stop the node.
    pub steps: Steps,
    /// A foreign transaction keeps records back, and this was said.
    pub stalled: bool,
}

/// How many works the next batch may have.
#[derive(Clone)]
pub struct BatchLimit(pub std::sync::Arc<dyn Fn() -> usize + Send + Sync>);

impl Default for BatchLimit {
    fn default() -> Self {
        Self(std::sync::Arc::new(|| MAX_BATCH))
    }
}

impl std::fmt::Debug for BatchLimit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BatchLimit")
    }
}

/// Why the lane stopped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("stopped at offset {offset}: {fault}")]
pub struct Stopped {
    /// The offset that was not applied.
    pub offset: Offset,
    /// What stopped it.
    pub fault: Fault,
}

impl AllLane {
    /// Runs until `drain` is cancelled (then `Ok`) or the node must stop. The current batch is finished first.
    pub async fn run(mut self, drain: CancellationToken) -> Result<Dbms, Stopped> {
        let result = self.follow(&drain).await;
        result.map(|()| self.dbms)
    }

    /// Loads what the database holds and follows the log from there; again from the top whenever that is no longer known.
    async fn follow(&mut self, drain: &CancellationToken) -> Result<(), Stopped> {
        let mut retry = Retry::default();
        loop {
            let Some((mut held, mut reader, end)) = self.begin(&mut retry, drain).await? else { return Ok(()) };
            self.go_on(&mut held, &mut reader, end, &mut retry, drain).await?;
            if drain.is_cancelled() {
                return Ok(());
            }
        }
    }

    /// What the database holds, the log behind it, and where the log ended just now.
    async fn begin(
        &mut self,
        retry: &mut Retry,
        drain: &CancellationToken,
    ) -> Result<Option<(Held, Reader, Offset)>, Stopped> {
        loop {
            let began = async {
                let held = start::load(&mut self.dbms, &self.node, &self.identity, self.window).await?;
                let (reader, end) = start::open(&self.log, &held).await?;
                Ok((held, reader, end))
            };
            match began.await {
                Ok((held, reader, end)) => {
                    if !held.fresh {
                        self.status.applied(&held.state);
                    }
                    if let Err(fault) = self.answer_again(&held).await {
                        self.after(fault, None, 0, retry, drain).await?;
                        continue;
                    }
                    return Ok(Some((held, reader, end)));
                }
                Err(fault) => self.after(fault, None, 0, retry, drain).await?,
            }
            if drain.is_cancelled() {
                return Ok(None);
            }
        }
    }

    /// Reads and applies until drained, or until the database's place must be read again.
    async fn go_on(
        &mut self,
        held: &mut Held,
        reader: &mut Reader,
        end: Offset,
        retry: &mut Retry,
        drain: &CancellationToken,
    ) -> Result<(), Stopped> {
        let mut pending: VecDeque<Record> = VecDeque::new();
        loop {
            if pending.is_empty() {
                let Some(records) = self.read(held, reader, drain).await? else { return Ok(()) };
                self.check_order(held, &records)?;
                pending = records.into();
                self.steps.reach(Step::Fetched).await;
            }
            let before = held.state.applied;
            match self.apply(held, pending.make_contiguous(), retry.batch_limit(&self.max_batch)).await {
                Ok(count) => {
                    pending.drain(..count);
                    retry.passed();
                    match held.state.applied.next() >= end {
                        true => self.caught_up(held).await,
                        false => self.status.is(NodeState::CatchingUp),
                    }
                }
                Err(fault) => {
                    // Where the batch went through and only its answers did not, they are found again from the stored outcomes.
                    let reload = matches!(fault, Fault::Lost(_) | Fault::ClaimRaised(_)) || held.state.applied != before;
                    let count = pending.len();
                    self.after(fault, pending.front(), count, retry, drain).await?;
                    if reload || drain.is_cancelled() {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// The next records; none: the node drains. While it waits at the end of the log, the node is ready and may ask to be counted.
    async fn read(
        &mut self,
        held: &Held,
        reader: &mut Reader,
        drain: &CancellationToken,
    ) -> Result<Option<Vec<Record>>, Stopped> {
        let at = if held.fresh { Offset::ZERO } else { held.state.applied.next() };
        // A reader that has waited this long while the log is up has read all there is, holes at the end included.
        let idle = Duration::from_millis(300);
        loop {
            let waited = tokio::select! {
                biased;
                () = drain.cancelled() => return Ok(None),
                records = tokio::time::timeout(idle, reader.next_batch(READ)) => records,
            };
            match waited {
                Ok(Ok(records)) => return Ok(Some(records)),
                Ok(Err(error)) => {
                    let fault = start::log_fault(error);
                    self.reporter.say(ErrorClass::Fatal, Some((at, String::new())), fault.cause()).await;
                    return Err(Stopped { offset: at, fault });
                }
                Err(_idle) => {
                    self.alarm_if_stalled(reader).await;
                    self.caught_up(held).await;
                }
            }
        }
    }

    /// The node is at the end of the log, and may ask to be counted.
    async fn caught_up(&mut self, held: &Held) {
        self.status.is(NodeState::Ready);
        self.joiner.ask(&self.log, &held.state.membership).await;
    }

    /// Somebody's open transaction keeps records from every reader: someone should look. Said once.
    async fn alarm_if_stalled(&mut self, reader: &Reader) {
        let stalled = reader.stalled_for().is_some();
        if stalled && !self.stalled {
            let message = "a foreign transaction on ALL has been open for more than 10 s, and nothing behind it can be read; end it, or abort it by kafka-transactions";
            self.reporter.say(ErrorClass::Alarm, None, &Cause::new("log_stalled", message)).await;
        }
        self.stalled = stalled;
    }

    /// Every record's offset must rise; a hole is legal, and counted.
    fn check_order(&self, held: &Held, records: &[Record]) -> Result<(), Stopped> {
        let mut expected = if held.fresh { Offset::ZERO } else { held.state.applied.next() };
        for record in records {
            if record.offset < expected {
                let message = format!("the log delivered offset {} where {expected} or later was due; restart this node", record.offset);
                return Err(Stopped { offset: expected, fault: Fault::Fatal(Cause::new("log_order", message)) });
            }
            if record.offset > expected {
                let count = record.offset.get() - expected.get();
                tracing::info!(from = %expected, count, "a hole in the log: a transaction's marker or an aborted foreign transaction");
                self.status.hole(count);
            }
            expected = record.offset.next();
        }
        Ok(())
    }

    /// Applies the next batch of `records` in one transaction and hands its answers on. How many records it applied.
    async fn apply(&mut self, held: &mut Held, records: &[Record], max: usize) -> Result<usize, Fault> {
        let max = if self.dbms.checks_late() { 1 } else { max };
        let plan = Plan::cut(self.dbms.dialect(), &held.state, &held.window, records, max)?;
        let (mut count, newest_ms) = (plan.len(), plan.newest_ms());
        let predecessor = (!held.fresh).then_some(held.state.applied);
        let ran = self.dbms.run(predecessor, &plan.works).await?;
        let settled = plan.settle(&held.state, ran);
        let finish = self.finish(predecessor, held, &settled)?;
        let settled = match self.dbms.commit(&finish).await? {
            None => settled,
            // COMMIT itself refused the one work: its refusal is the outcome, written in a transaction of its own.
            Some(refusal) => {
                let plan = Plan::cut(self.dbms.dialect(), &held.state, &held.window, records, 1)?;
                count = plan.len();
                self.dbms.run(predecessor, &[]).await?;
                let refused = plan.settle(&held.state, vec![Err(refusal)]);
                let finish = self.finish(predecessor, held, &refused)?;
                self.dbms.commit(&finish).await?;
                refused
            }
        };
        self.absorb(held, settled, newest_ms).await?;
        Ok(count)
    }

    /// What is written with the effects.
    fn finish(&self, predecessor: Option<Offset>, held: &Held, settled: &Settled) -> Result<Finish, Fault> {
        let json = |error: serde_json::Error| Fault::Fatal(Cause::new("state_unwritable", error.to_string()));
        let outcomes: Vec<&Outcome> = settled.outcomes.iter().map(|(outcome, _)| outcome).collect();
        let row = match (outcomes.first(), outcomes.last()) {
            (Some(first), Some(last)) => Some(OutcomeRow {
                first: first.offset,
                last: last.offset,
                outcomes: serde_json::to_string(&outcomes).map_err(json)?,
                rows: kept(&settled.kept).map_err(json)?,
            }),
            _ => None,
        };
        let prune = self.prunes(held, settled);
        Ok(Finish {
            predecessor,
            applied: settled.state.applied,
            state: serde_json::to_string(&settled.state).map_err(json)?,
            outcomes: row,
            prune_below: prune,
            drop_rows_below: prune.and(held.window.oldest_kept()),
        })
    }

    /// Below which outcome rows may go, now and then. What a record of this batch may repeat lies above the low water before it, and what a
    /// record that is not answered yet may repeat lies within the window before that record.
    fn prunes(&self, held: &Held, settled: &Settled) -> Option<Offset> {
        let (before, after) = (held.state.low_water, settled.state.low_water);
        let every = (settled.state.window / PRUNE_PART).max(1);
        let answered = self.status.now().answered?.back(settled.state.window);
        (after.get() / every > before.get() / every).then_some(before.min(answered))
    }

    /// What was committed becomes what is held, and its answers go out.
    async fn absorb(&mut self, held: &mut Held, settled: Settled, newest_ms: i64) -> Result<(), Fault> {
        let ahead = newest_ms - self.reporter.now_ms() as i64;
        if ahead > AHEAD_MS {
            let cause = Cause::new("clock_ahead", format!("a record's time lies {} s ahead of this node's clock; check the brokers' clocks", ahead / 1000));
            self.reporter.say(ErrorClass::Alarm, None, &cause).await;
        }
        held.state = settled.state;
        held.fresh = false;
        self.status.applied(&held.state);
        let mut outgoing = Vec::with_capacity(settled.outcomes.len());
        for (outcome, answer) in settled.outcomes {
            let answered = match (outcome.repeats, answer) {
                (Some(first), _) => self.repeat(first, &outcome, held.window.keeps_rows(first)).await?,
                (None, answer) => Some(Outgoing::fresh(&self.node, &outcome, answer)),
            };
            if answers_count(&outcome) {
                outgoing.extend(answered);
            }
            held.window.remember(&outcome, settled.kept_bytes.get(&outcome.offset).copied().unwrap_or_default());
            held.window.forget(outcome.offset.back(held.state.window).max(held.state.low_water), MAX_KEPT_BYTES as u64);
        }
        let answers = Answers { outgoing, next: held.state.applied.next() };
        // The receiver ends only with the node.
        let _ = self.answers.send(answers).await;
        Ok(())
    }

    /// The stored outcome at `first`, addressed to who asked again.
    async fn repeat(&mut self, first: Offset, asked: &Outcome, rows_kept: bool) -> Result<Option<Outgoing>, Fault> {
        let Some(row) = self.dbms.outcome_row(first).await? else { return Ok(None) };
        let outcomes: Vec<Outcome> = parse(&row)?;
        let Some(stored) = outcomes.into_iter().find(|outcome| outcome.offset == first) else { return Ok(None) };
        let kept = match rows_kept {
            true => start::kept_rows(row.rows.as_deref())?.remove(&first),
            false => None,
        };
        Ok(Some(Outgoing::stored(&self.node, &stored, kept, asked)))
    }

    /// Sends again what may never have been answered: every outcome from the group's committed offset on.
    async fn answer_again(&mut self, held: &Held) -> Result<(), Fault> {
        if held.fresh {
            return Ok(());
        }
        let group = self.log.names().group_of_all(&self.node);
        let hint = self.log.committed(&group, Topic::All, 0).await.map_err(start::log_fault)?;
        let mut from = hint.unwrap_or(Offset::ZERO).max(held.state.floor(held.state.applied));
        while from <= held.state.applied {
            let Some(row) = self.dbms.outcome_rows(from, 1).await?.into_iter().next() else { break };
            let kept = start::kept_rows(row.rows.as_deref())?;
            let mut outgoing = Vec::new();
            for outcome in parse(&row)?.into_iter().filter(|outcome| outcome.offset >= from && answers_count(outcome)) {
                match outcome.repeats {
                    Some(first) => outgoing.extend(self.repeat(first, &outcome, held.window.keeps_rows(first)).await?),
                    None => outgoing.push(Outgoing::stored(&self.node, &outcome, kept.get(&outcome.offset).cloned(), &outcome)),
                }
            }
            tracing::info!(from = %row.first, to = %row.last, answers = outgoing.len(), "answers that may not have left are sent again");
            let _ = self.answers.send(Answers { outgoing, next: row.last.next() }).await;
            from = row.last.next();
        }
        Ok(())
    }

    /// Does what a fault asks for: wait and go on, or stop.
    async fn after(
        &mut self,
        fault: Fault,
        first: Option<&Record>,
        records: usize,
        retry: &mut Retry,
        drain: &CancellationToken,
    ) -> Result<(), Stopped> {
        self.steps.meet(&fault);
        let offset = first.map(|record| record.offset);
        let offset = offset.unwrap_or_else(|| self.status.now().applied.map_or(Offset::ZERO, Offset::next));
        let request_id = first.map(request_id).unwrap_or_default();
        match retry.judge(fault, records) {
            Verdict::Again(pause, cause) => {
                tracing::warn!(node = %self.node, %offset, %cause, "trying again");
                if pause >= Retry::WORTH_SAYING {
                    self.status.is(NodeState::Retrying { since_ms: retry.since(&self.reporter), code: cause.code.clone() });
                }
                if pause >= Retry::WORTH_REPORTING {
                    self.reporter.say(ErrorClass::Transient, Some((offset, request_id)), &cause).await;
                }
                wait(pause, drain).await;
            }
            Verdict::Recover(cause) => {
                tracing::warn!(node = %self.node, %offset, %cause, "connecting to the database again");
                let since_ms = retry.since(&self.reporter);
                self.status.is(NodeState::Retrying { since_ms, code: cause.code });
                self.recover(retry, drain).await;
            }
            Verdict::Stop(class, fault) => {
                self.reporter.say(class, Some((offset, request_id)), fault.cause()).await;
                return Err(Stopped { offset, fault });
            }
        }
        Ok(())
    }

    async fn recover(&mut self, retry: &mut Retry, drain: &CancellationToken) {
        while !drain.is_cancelled() {
            match self.dbms.recover().await {
                Ok(()) => return,
                Err(fault) => {
                    tracing::warn!(node = %self.node, cause = %fault.cause(), "the database does not answer yet");
                    wait(retry.pause(), drain).await;
                }
            }
        }
    }
}

/// Before the first voter every node answers; then voters do, and observers are silent.
fn answers_count(outcome: &Outcome) -> bool {
    outcome.members.voter || outcome.members.voters == 0
}

/// What the sender of a record calls it, for people.
fn request_id(record: &Record) -> String {
    match Request::parse(record.value.as_deref()) {
        Ok(request) => request.message_id.to_string(),
        Err(bad) => bad.message_id.map_or_else(|| format!("@{}", record.offset), |id| id.to_string()),
    }
}

fn parse(row: &OutcomeRow) -> Result<Vec<Outcome>, Fault> {
    let unreadable = |error: serde_json::Error| {
        let message = format!("the outcomes of offsets {} to {} cannot be read ({error}); restore this node", row.first, row.last);
        Fault::Fatal(Cause::new("state_unreadable", message))
    };
    serde_json::from_str(&row.outcomes).map_err(unreadable)
}

async fn wait(pause: Duration, drain: &CancellationToken) {
    tokio::select! {
        biased;
        () = drain.cancelled() => {}
        () = tokio::time::sleep(pause) => {}
    }
}

fn kept(kept: &KeptByOffset) -> Result<Option<String>, serde_json::Error> {
    match kept.is_empty() {
        true => Ok(None),
        false => serde_json::to_string(kept).map(Some),
    }
}
