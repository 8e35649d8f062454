//! The ALL lane: applies every record of ALL to this node's database, in order, exactly once. `one_lane` is its parallel sister.
//!
//! read → admit and plan (`plan`) → run in one transaction behind the claim (`dbms`) → settle → commit → answer (`answer`)
//!
//! Invariants
//! 1. Records are applied in offset order, one batch at a time; every record's offset rises. (scenario `same_everywhere`)
//! 2. Applied offset, chain and outcomes are committed in the transaction of the effects, so a record that is delivered again is not applied
//!    again. (scenario `exactly_once`; the simulation crashes at every step)
//! 3. Nothing is passed over: a passing fault waits, a refusal is an outcome, any other fault stops with the offset unmoved.
//! 4. What is decided on DECISIONS is obeyed: see `halt`.
//! 5. Where a batch ends decides nothing. (property test `batch_borders`)

mod again;
mod apply;
mod halt;
mod long;
mod same_log;

use crate::answer::Answers;
use crate::check::{LaneChecks, Proposer};
use crate::dbms::{Dbms, Interrupt, OutcomeRow};
use crate::decisions::Following;
use crate::fault::{Cause, Fault};
use crate::membership::Joiner;
use crate::outcome::Outcome;
use crate::report::Reporter;
use crate::retry::Retry;
use crate::start::{self, Held};
use crate::status::Status;
use crate::step::{Step, Steps};
use crate::waiting::Waiting;
use kluster_log::{Log, LogError, LogIdentity, Reader, Record, Trouble};
use kluster_protocol::{ErrorClass, MAX_BATCH, NodeId, NodeState, Offset};
pub use same_log::SameLog;
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
    /// Tells people when a batch waits for somebody else's lock.
    pub waiting: Waiting,
    /// Makes this node a member once it has caught up.
    pub joiner: Joiner,
    /// Begins checks.
    pub checks: LaneChecks,
    /// Asks for checks when it is time.
    pub proposer: Proposer,
    /// Outcomes are remembered for this many offsets, where the database is new.
    pub window: u64,
    /// At most this many works a batch; for tests with random batch borders.
    pub max_batch: BatchLimit,
    /// Where tests may stop the node.
    pub steps: Steps,
    /// A foreign transaction keeps records back, and this was said.
    pub stalled: bool,
    /// What is decided on offsets.
    pub decisions: Following,
    /// Since the state row was read, a claim of this session went through: no earlier session of this node can commit any more.
    pub sure: bool,
    /// A batch was executed and given up: its transaction is still open.
    pub open: bool,
    /// The server was lost while it executed the request at this offset alone.
    pub lost_at: Option<Offset>,
    /// The batch has been executing for some seconds, and is ended to be executed again record by record.
    pub split: bool,
    /// Ends what the database executes in this moment.
    pub interrupt: Interrupt,
    /// Whether ALL is known to be the topic that this database follows.
    pub same_log: SameLog,
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
        (self.sure, self.open, self.interrupt) = (false, false, self.dbms.interrupt());
        tokio::select! {
            biased;
            () = drain.cancelled() => return Ok(None),
            () = self.decisions.begun() => {}
        }
        loop {
            let began = async {
                let held = start::load(&mut self.dbms, &self.node, &self.identity, self.window).await?;
                let opened = tokio::select! {
                    biased;
                    () = drain.cancelled() => return Ok(None),
                    opened = self.open_reader(&held) => opened?,
                };
                Ok(Some((held, opened)))
            };
            match began.await {
                Ok(None) => return Ok(None),
                Ok(Some((held, (reader, end)))) => {
                    let by = self.dbms.effects();
                    self.status.effects().holds(self.dbms.info().name, &by, held.state.effects.as_ref());
                    if !held.fresh {
                        self.status.applied(&held.state);
                        self.checks.applied(&held.state).await;
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

    /// A reader behind the applied offset, once the topic and the record there were found to be those of the state row.
    async fn open_reader(&mut self, held: &Held) -> Result<(Reader, Offset), Fault> {
        self.check_topic().await?;
        start::open(&self.log, held).await
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
                let Some(records) = self.read(held, reader, retry, drain).await? else { return Ok(()) };
                if let Err(stopped) = self.check_order(held, &records) {
                    return Err(self
                        .stop(ErrorClass::Fatal, (stopped.offset, String::new()), stopped.fault, None)
                        .await);
                }
                self.same_log.has_read(&records);
                pending = records.into();
                self.steps.reach(Step::Fetched).await;
            }
            if let Some(first) = pending.front().cloned()
                && !self.count_losses(held, &first, retry, drain).await?
            {
                return Ok(());
            }
            let before = held.state.applied;
            let limit = retry.batch_limit(&self.max_batch);
            let records = pending.make_contiguous();
            // Alone is alone: what fails then is the one record's.
            let free = self.free(held, records).min(if retry.is_alone() { 1 } else { usize::MAX });
            if free == 0 {
                let first = records[0].clone();
                if !self.kept_back(held, &first, retry, drain).await? {
                    return Ok(());
                }
                continue;
            }
            match self.apply(held, &records[..free], limit).await {
                // A decision came before it was committed, or it took so long that each record is to be seen alone.
                Ok(0) if std::mem::take(&mut self.split) => retry.run_alone(free),
                Ok(0) => {}
                Ok(count) => {
                    pending.drain(..count);
                    self.checks.applied(&held.state).await;
                    retry.passed().over(&self.reporter).await;
                    self.waiting.passed();
                    match held.state.applied.next() >= end {
                        true => self.caught_up(held).await,
                        false => self.status.is(NodeState::CatchingUp),
                    }
                }
                Err(fault) => {
                    // Where the batch went through and only its answers did not, they are found again from the stored outcomes.
                    let applied = held.state.applied != before;
                    let reload = matches!(fault, Fault::Lost(_) | Fault::ClaimRaised(_)) || applied;
                    let count = pending.len();
                    if matches!(fault, Fault::Lost(_)) {
                        retry.run_alone(count);
                    }
                    match self.after(fault, pending.front(), count, retry, drain).await {
                        Ok(()) => {}
                        Err(Stopped { fault: Fault::Unknown(cause), .. }) if free == 1 && !applied => {
                            let first = pending[0].clone();
                            if let Err(fault) = self.halt(held, &first, &cause, retry).await {
                                self.after(fault, None, 0, retry, drain).await?;
                                return Ok(());
                            }
                        }
                        Err(stopped) => return Err(stopped),
                    }
                    if reload || drain.is_cancelled() {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// The next records; none: the node drains, or the reader ended and another must be opened. While it waits at the end of the log, the node is
    /// ready and may ask to be counted.
    async fn read(
        &mut self,
        held: &Held,
        reader: &mut Reader,
        retry: &mut Retry,
        drain: &CancellationToken,
    ) -> Result<Option<Vec<Record>>, Stopped> {
        // A reader that has waited this long while the log is up has read all there is, holes at the end included.
        let idle = Duration::from_millis(300);
        loop {
            if let Err(fault) = self.obey(held).await {
                self.after(fault, None, 0, retry, drain).await?;
                return Ok(None);
            }
            let waited = tokio::select! {
                biased;
                () = drain.cancelled() => return Ok(None),
                () = self.decisions.changed() => continue,
                records = tokio::time::timeout(idle, reader.next_batch(READ)) => records,
            };
            match waited {
                Ok(Ok(records)) => return Ok(Some(records)),
                Ok(Err(error)) => {
                    let fault = self.reason_of(error).await;
                    self.after(fault, None, 0, retry, drain).await?;
                    return Ok(None);
                }
                Err(_idle) => {
                    if let Err(fault) = self.check_topic_idle().await {
                        self.after(fault, None, 0, retry, drain).await?;
                        return Ok(None);
                    }
                    self.alarm_if_stalled(reader).await;
                    match reader.trouble() {
                        None => {
                            retry.idle().over(&self.reporter).await;
                            self.caught_up(held).await;
                        }
                        Some(trouble) if trouble.lasting >= start::LOG_AWAY => self.log_is_away(retry, &trouble).await,
                        Some(_) => {}
                    }
                }
            }
        }
    }

    /// The reader gets nothing and tries on by itself; that is said as long as it lasts.
    async fn log_is_away(&self, retry: &mut Retry, trouble: &Trouble) {
        let cause =
            start::log_fault(LogError::Unreachable { doing: "reading ALL".into(), reason: trouble.reason.clone() });
        let code = cause.cause().code.clone();
        let since_ms = retry.lasting.goes_on(&self.reporter, trouble.lasting);
        self.status.is(NodeState::Retrying { since_ms, code });
        retry.lasting.report(&self.reporter, ErrorClass::Transient, None, cause.cause(), Duration::ZERO).await;
    }

    /// The node is at the end of the log, and may ask to be counted.
    async fn caught_up(&mut self, held: &Held) {
        self.status.is(NodeState::Ready);
        self.joiner.ask(&self.log, &held.state.membership).await;
        let compared = self.status.effects().kind().is_some_and(|(_, means, _)| means.compares());
        self.proposer.ask(&self.log, &held.state, self.reporter.now_ms(), compared).await;
    }

    /// Somebody's open transaction keeps records from every reader: someone should look. Said once.
    async fn alarm_if_stalled(&mut self, reader: &Reader) {
        let stalled = reader.stalled_for().is_some();
        if stalled && !self.stalled {
            let message = "a foreign transaction on ALL has been open for more than 10 s, and nothing behind it can be read; end it, or abort it by kafka-transactions";
            let since_ms =
                reader.stalled_for().map(|time| self.reporter.now_ms().saturating_sub(time.as_millis() as u64));
            self.reporter.say(ErrorClass::Alarm, None, &Cause::new("log_stalled", message), since_ms).await;
        }
        self.stalled = stalled;
    }

    /// Every record's offset must rise; a hole is legal, and counted.
    fn check_order(&self, held: &Held, records: &[Record]) -> Result<(), Stopped> {
        let mut expected = if held.fresh { Offset::ZERO } else { held.state.applied.next() };
        for record in records {
            if record.offset < expected {
                let message = format!(
                    "the log delivered offset {} where {expected} or later was due; restart this node",
                    record.offset
                );
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
}

/// Before the first voter every node answers; then voters do, and observers are silent.
fn answers_count(outcome: &Outcome) -> bool {
    outcome.members.voter || outcome.members.voters == 0
}

fn parse(row: &OutcomeRow) -> Result<Vec<Outcome>, Fault> {
    let unreadable = |error: serde_json::Error| {
        let message = format!(
            "the outcomes of offsets {} to {} cannot be read ({error}); restore this node",
            row.first, row.last
        );
        Fault::Fatal(Cause::new("state_unreadable", message))
    };
    serde_json::from_str(&row.outcomes).map_err(unreadable)
}
