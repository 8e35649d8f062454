//! Lanes: the tasks of a running node: both lanes, the sender of answers, the heartbeat, the watch over the others' chains, the HTTP port; started
//! together, ended in order. Nothing is served before this node's chain was compared with what the others said last.
//!
//! Neighbours: [`super::Node`] hands over what it has opened.

use super::{Node, NodeError};
use crate::all_lane::{AllLane, SameLog, Stopped};
use crate::answer::{self, Answers, Sender};
use crate::check::{Checker, Checks, LaneChecks, Proposer};
use crate::clerk::{Clerk, Hearing};
use crate::dbms::Dbms;
use crate::decisions::{Follower, Following};
use crate::effects::Run;
use crate::fault::{Cause, Fault};
use crate::heartbeat::Pulse;
use crate::membership::Joiner;
use crate::one_lane::OneLane;
use crate::report::Reporter;
use crate::start;
use crate::state::Diverged;
use crate::status::{Away, Status};
use crate::waiting::Waiting;
use crate::witness::entry::Entry;
use crate::witness::mark;
use crate::witness::watch::{Differs, Hears, Watch};
use kluster_log::{LogError, LogIdentity};
use kluster_protocol::{DIVERGED, ErrorClass, NodeId, NodeState, Offset, Role};
use std::convert::Infallible;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

/// Answers of this many batches may wait for the log; then the ALL lane waits too.
const OUTBOX: usize = 64;

/// A node that stops because it differs finishes the batch under way, so that its heartbeat says what its database holds; a batch that
/// somebody holds up is not waited for longer.
const LAST_BATCH: Duration = Duration::from_secs(5);

/// For so long a node that ends after it has stopped for its tables helps to find the rows that differ.
const LAST_ROWS: Duration = Duration::from_secs(10);

/// For so long a node that ends after it has stopped waits for the log to take its last heartbeat.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The tasks of a node, each ended when dropped.
pub(super) struct Lanes {
    name: NodeId,
    identity: LogIdentity,
    status: Status,
    reporter: Reporter,
    all: (JoinSet<Result<Dbms, Stopped>>, CancellationToken),
    answers: JoinSet<Result<(), LogError>>,
    one: (JoinSet<()>, CancellationToken),
    watch: JoinSet<Differs>,
    /// Follows DECISIONS, and writes what is agreed on.
    deciding: JoinSet<Infallible>,
    _following: JoinSet<()>,
    checker: JoinSet<()>,
    checks: Checks,
    _pulse: JoinSet<()>,
    _effects: JoinSet<()>,
    said_stopped: CancellationToken,
    _http: JoinSet<()>,
}

fn one_lane(node: &Node, sender: Sender, reporter: Reporter) -> OneLane {
    OneLane {
        node: node.settings.node_id.clone(),
        log: node.log.clone(),
        dialect: node.dbms.dialect(),
        reads: node.dbms.reads(),
        sender,
        status: node.status.clone(),
        reporter,
        max_reads: node.settings.dbms.max_reads,
    }
}

fn pulse(node: &Node) -> Pulse {
    Pulse {
        node: node.settings.node_id.clone(),
        instance_id: node.settings.instance_id.clone(),
        topic_id: node.identity.topic_id.clone(),
        info: node.info(),
        http: node.http().map(|address| address.to_string()),
        clock: node.settings.clock.clone(),
        said_stopped: CancellationToken::new(),
    }
}

/// The lane, and who sums what it pins.
fn all_lane(
    node: Node,
    answers: mpsc::Sender<Answers>,
    reporter: Reporter,
    decisions: Following,
    checks: Checks,
) -> (AllLane, Checker) {
    let Node { settings, log, identity, dbms, status, .. } = node;
    let interrupt = dbms.interrupt();
    let (checks, begun) = LaneChecks::new(checks, dbms.snapshots());
    let checker = checks.checker(begun, log.clone(), status.clone());
    let lane = AllLane {
        waiting: Waiting::new(dbms.locks(), checks.checks(), status.clone(), reporter.clone()),
        proposer: Proposer::new(settings.node_id.clone(), settings.check_every, reporter.now_ms()),
        checks,
        joiner: Joiner::new(settings.node_id.clone(), settings.role),
        node: settings.node_id,
        log,
        identity,
        dbms,
        answers,
        status,
        reporter,
        window: settings.window,
        max_batch: settings.max_batch,
        steps: settings.dbms.steps,
        stalled: false,
        decisions,
        sure: false,
        open: false,
        lost_at: None,
        split: false,
        interrupt,
        same_log: SameLog::default(),
    };
    (lane, checker)
}

/// Compares this node with what the others said last, before it serves. Some: it must not.
async fn compare(node: &mut Node, reporter: Reporter, hearing: Hearing, checks: Checks) -> (Watch, Option<Stopped>) {
    let topic_id = node.identity.topic_id.clone();
    let run = Run { node: node.settings.node_id.clone(), instance_id: node.settings.instance_id.clone() };
    let entry = Entry::new(run.node.clone(), topic_id.clone(), node.fingerprint.clone());
    let hears = Hears { reporter, hearing, checks, entry };
    let mut watch = Watch::new(run, topic_id, node.log.clone(), node.status.clone(), hears);
    let (name, status, identity) = (&node.settings.node_id, &node.status, &node.identity);
    // What can't be read now is said by the ALL lane, which reads it again.
    if let Ok(stored) = start::stored(&mut node.dbms, name, identity).await {
        let (by, applied) = (node.dbms.effects(), stored.as_ref().map(|state| state.applied));
        let counted = by.resume(stored.as_ref().and_then(|state| state.effects.clone()), applied);
        status.effects().holds(node.dbms.info().name, &by, counted.as_ref());
        if let Some(state) = stored {
            status.applied(&state);
            watch.holds(&state);
        }
    }
    match watch.begin().await {
        None => (watch, None),
        Some(differs) => {
            let (name, status, identity) = (&node.settings.node_id, &node.status, &node.identity);
            note(&mut node.dbms, name, identity, status, differs.diverged).await;
            (watch, Some(differs.stopped))
        }
    }
}

/// Puts into the database that the node has stopped because it differs. Where that fails, its last heartbeat tells it when it is started again.
async fn note(dbms: &mut Dbms, name: &NodeId, identity: &LogIdentity, status: &Status, diverged: Option<Diverged>) {
    let Some(diverged) = diverged else { return };
    match tokio::time::timeout(LAST_BATCH, mark::write(dbms, name, identity, status, diverged)).await {
        Ok(Ok(())) => {}
        Ok(Err(fault)) => tracing::warn!(node = %name, %fault, "that this node differs is not in its database"),
        Err(_) => tracing::warn!(node = %name, "that this node differs is not in its database: it does not answer"),
    }
}

fn spawn<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> JoinSet<T> {
    let mut set = JoinSet::new();
    set.spawn(task);
    set
}

fn spawn_if(wanted: bool, one: OneLane, drain: CancellationToken) -> (JoinSet<()>, CancellationToken) {
    let mut set = JoinSet::new();
    if wanted {
        set.spawn(one.run(drain.clone()));
    }
    (set, drain)
}

/// Follows NODES. The first task ends when this node must stop, the second hears on.
fn follow(watch: Watch) -> (JoinSet<Differs>, JoinSet<()>) {
    let (stops, stopped) = oneshot::channel();
    let stopped = async { stopped.await.expect("whoever follows NODES ends only with the node") };
    (spawn(stopped), spawn(watch.run(stops)))
}

/// What ended first.
enum Ended {
    All(Result<Dbms, Stopped>),
    /// Without a report of its own.
    Broken(Cause),
    One(Result<(), JoinError>),
    Differs(Differs),
    Checker(JoinError),
    Drained,
}

impl Lanes {
    /// Starts everything that a node does, once it was compared with the others.
    pub(super) async fn start(mut node: Node, drain: &CancellationToken) -> Self {
        let (name, status, log) = (node.settings.node_id.clone(), node.status.clone(), node.log.clone());
        let sender = Sender::new(log.clone(), node.partitions);
        let reporter = Reporter::new(log.clone(), name.clone(), node.settings.clock.clone());
        let hearing = Hearing::new(name.clone(), node.identity.topic_id.clone());
        let checks = Checks::new(name.clone(), node.identity.topic_id.clone(), node.info().name.to_owned());
        let (watch, stopped) = compare(&mut node, reporter.clone(), hearing.clone(), checks.clone()).await;
        let serves = stopped.is_none();
        let (answers, outbox) = mpsc::channel(OUTBOX);
        let (one, pulse) = (one_lane(&node, sender.clone(), reporter.clone()), pulse(&node));
        let (voter, steps) = (node.settings.role == Role::Voter, node.settings.dbms.steps.clone());
        let group = log.names().group_of_all(&name);
        let identity = node.identity.clone();
        let http = std::mem::take(&mut node.http.1);
        let mut effects = JoinSet::new();
        if let Some(follower) = node.dbms.effects_follower(status.effects().clone()).filter(|_| serves) {
            effects.spawn(follower);
        }
        let (follower, decisions) = Follower::new(name.clone(), log.clone(), reporter.clone());
        let clerk = Clerk { node: name.clone(), log: log.clone(), hearing, decisions: decisions.clone() };
        let (all, checker) = all_lane(node, answers, reporter.clone(), decisions, checks.clone());
        let lane_drain = drain.child_token();
        let mut deciding = spawn(follower.run());
        if serves {
            deciding.spawn(clerk.run());
        }
        let (all, (watch, following)) = match stopped {
            None => (spawn(all.run(lane_drain.clone())), follow(watch)),
            Some(stopped) => {
                // Before the first heartbeat: what the node is known by when it is started again must not be said over.
                status.is(state(&stopped));
                (spawn(async { Err(stopped) }), (JoinSet::new(), JoinSet::new()))
            }
        };
        Self {
            all: (all, lane_drain),
            answers: spawn(answer::run(outbox, sender, group, status.clone(), steps)),
            one: spawn_if(voter && serves, one, drain.child_token()),
            watch,
            deciding,
            _following: following,
            checker: spawn(checker.run()),
            checks,
            said_stopped: pulse.said_stopped.clone(),
            _effects: effects,
            _pulse: spawn(pulse.run(log, status.clone())),
            _http: http,
            name,
            identity,
            status,
            reporter,
        }
    }

    /// Waits until it was drained, or until the ALL lane has stopped and it was drained.
    pub(super) async fn run(mut self, drain: CancellationToken) -> Result<(), NodeError> {
        loop {
            match self.next(&drain).await {
                Ended::All(Ok(dbms)) => {
                    self.status.is(NodeState::Leaving);
                    finish(&mut self.answers).await;
                    finish(&mut self.one.0).await;
                    dbms.close().await;
                    return Ok(());
                }
                Ended::All(Err(stopped)) => return self.stopped(stopped, drain).await,
                Ended::Broken(cause) => {
                    let offset = self.status.now().applied.map_or(Offset::ZERO, Offset::next);
                    self.reporter.say(ErrorClass::Fatal, Some((offset, String::new())), &cause, None).await;
                    self.all.0.abort_all();
                    let stopped = Stopped { offset, fault: Fault::Fatal(cause) };
                    return self.stopped(stopped, drain).await;
                }
                Ended::One(Ok(())) => {}
                Ended::One(Err(panic)) => {
                    let cause = panicked("ONE", &panic);
                    let since_ms = self.reporter.now_ms();
                    self.status.reads_are(Some(Away { since_ms, code: cause.code.clone() }));
                    self.reporter.say(ErrorClass::Alarm, None, &cause, None).await;
                }
                Ended::Differs(differs) => return self.differs(differs, drain).await,
                Ended::Checker(panic) => {
                    let cause = panicked("checks", &panic);
                    self.reporter.say(ErrorClass::Alarm, None, &cause, None).await;
                }
                Ended::Drained => {}
            }
        }
    }

    /// This node's chain is not that of the others: nothing more is served.
    async fn differs(mut self, differs: Differs, drain: CancellationToken) -> Result<(), NodeError> {
        let Differs { stopped, diverged } = differs;
        self.one.1.cancel();
        self.all.1.cancel();
        match tokio::time::timeout(LAST_BATCH, self.all.0.join_next()).await {
            Ok(Some(Ok(Ok(mut dbms)))) => {
                note(&mut dbms, &self.name, &self.identity, &self.status, diverged).await;
                dbms.close().await;
            }
            Ok(_) => {}
            Err(_) => self.all.0.abort_all(),
        }
        let offset = self.status.now().applied.map_or(stopped.offset, Offset::next);
        self.stopped(Stopped { offset, ..stopped }, drain).await
    }

    async fn next(&mut self, drain: &CancellationToken) -> Ended {
        tokio::select! {
            biased;
            Some(all) = self.all.0.join_next() => all.map_or_else(|panic| Ended::Broken(panicked("ALL", &panic)), Ended::All),
            Some(watch) = self.watch.join_next() => watch.map_or_else(|panic| Ended::Broken(panicked("NODES", &panic)), Ended::Differs),
            Some(Err(panic)) = self.deciding.join_next() => Ended::Broken(panicked("DECISIONS", &panic)),
            Some(answers) = self.answers.join_next(), if !self.answers.is_empty() => match answers {
                Ok(Ok(())) => Ended::Drained,
                Ok(Err(error)) => Ended::Broken(Cause::new("responses", format!("answers cannot be sent: {error}"))),
                Err(panic) => Ended::Broken(panicked("answers", &panic)),
            },
            Some(one) = self.one.0.join_next(), if !self.one.0.is_empty() => Ended::One(one),
            Some(checker) = self.checker.join_next(), if !self.checker.is_empty() => checker.map_or_else(Ended::Checker, |()| Ended::Drained),
            else => { drain.cancelled().await; Ended::Drained }
        }
    }

    /// The ALL lane has stopped. Reads go on over the consistent prefix, unless this node alone is at fault; the node stays up to be asked why.
    async fn stopped(mut self, stopped: Stopped, drain: CancellationToken) -> Result<(), NodeError> {
        if matches!(stopped.fault, Fault::Fatal(_)) {
            // No decision mends it, so it waits for none any more.
            self.status.halts(None, state(&stopped));
            self.one.1.cancel();
        } else if self.status.now().halt.is_none() {
            self.status.is(state(&stopped));
        }
        drain.cancelled().await;
        finish(&mut self.answers).await;
        finish(&mut self.one.0).await;
        if stopped.fault.cause().code == DIVERGED {
            // The rows that differ are found by this node and the others together.
            let _ = tokio::time::timeout(LAST_ROWS, self.checks.idle()).await;
        }
        // By its last heartbeat others know at once that it is gone, and it knows itself when it is started again.
        let _ = tokio::time::timeout(LAST_WORDS, self.said_stopped.cancelled()).await;
        Err(stopped.into())
    }
}

fn state(stopped: &Stopped) -> NodeState {
    NodeState::Stopped { offset: stopped.offset, round: 0, code: stopped.fault.cause().code.clone() }
}

/// The panic's own words stay in this process's log: they may hold what a user wrote.
fn panicked(lane: &str, panic: &JoinError) -> Cause {
    tracing::error!(%panic, "a lane ended");
    let message =
        format!("a bug in Kluster ended the lane of {lane}; please report it with this node's log, which says where");
    Cause::new("panic", message)
}

async fn finish<T: 'static>(tasks: &mut JoinSet<T>) {
    while tasks.join_next().await.is_some() {}
}
