//! Lanes: the tasks of a running node: both lanes, the sender of answers, the heartbeat, the HTTP port; started together, ended in order.
//!
//! Neighbours: [`super::Node`] hands over what it has opened.

use super::{Node, NodeError};
use crate::all_lane::{AllLane, Stopped};
use crate::answer::{self, Answers, Sender};
use crate::dbms::Dbms;
use crate::fault::{Cause, Fault};
use crate::heartbeat::Pulse;
use crate::membership::Joiner;
use crate::one_lane::OneLane;
use crate::report::Reporter;
use crate::status::{Away, Status};
use crate::waiting::Waiting;
use kluster_log::LogError;
use kluster_protocol::{ErrorClass, NodeState, Offset, Role};
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

/// Answers of this many batches may wait for the log; then the ALL lane waits too.
const OUTBOX: usize = 64;

/// The tasks of a node, each ended when dropped.
pub(super) struct Lanes {
    status: Status,
    reporter: Reporter,
    all: JoinSet<Result<Dbms, Stopped>>,
    answers: JoinSet<Result<(), LogError>>,
    one: (JoinSet<()>, CancellationToken),
    _pulse: JoinSet<()>,
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
        info: node.info(),
        http: node.http().map(|address| address.to_string()),
        clock: node.settings.clock.clone(),
    }
}

fn all_lane(node: Node, answers: mpsc::Sender<Answers>, reporter: Reporter) -> AllLane {
    let Node { settings, log, identity, dbms, status, .. } = node;
    AllLane {
        waiting: Waiting::new(dbms.locks(), status.clone(), reporter.clone()),
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

/// What ended first.
enum Ended {
    All(Result<Dbms, Stopped>),
    /// Without a report of its own.
    Broken(Cause),
    One(Result<(), JoinError>),
    Drained,
}

impl Lanes {
    /// Starts everything that a node does.
    pub(super) fn start(mut node: Node, drain: &CancellationToken) -> Self {
        let (name, status, log) = (node.settings.node_id.clone(), node.status.clone(), node.log.clone());
        let sender = Sender::new(log.clone(), node.partitions);
        let reporter = Reporter::new(log.clone(), name.clone(), node.settings.clock.clone());
        let (answers, outbox) = mpsc::channel(OUTBOX);
        let (one, pulse) = (one_lane(&node, sender.clone(), reporter.clone()), pulse(&node));
        let (voter, steps) = (node.settings.role == Role::Voter, node.settings.dbms.steps.clone());
        let group = log.names().group_of_all(&name);
        let http = std::mem::take(&mut node.http.1);
        let all = all_lane(node, answers, reporter.clone());
        Self {
            all: spawn(all.run(drain.clone())),
            answers: spawn(answer::run(outbox, sender, group, status.clone(), steps)),
            one: spawn_if(voter, one, drain.child_token()),
            _pulse: spawn(pulse.run(log, status.clone())),
            _http: http,
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
                    self.all.abort_all();
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
                Ended::Drained => {}
            }
        }
    }

    async fn next(&mut self, drain: &CancellationToken) -> Ended {
        tokio::select! {
            biased;
            Some(all) = self.all.join_next() => all.map_or_else(|panic| Ended::Broken(panicked("ALL", &panic)), Ended::All),
            Some(answers) = self.answers.join_next(), if !self.answers.is_empty() => match answers {
                Ok(Ok(())) => Ended::Drained,
                Ok(Err(error)) => Ended::Broken(Cause::new("responses", format!("answers cannot be sent: {error}"))),
                Err(panic) => Ended::Broken(panicked("answers", &panic)),
            },
            Some(one) = self.one.0.join_next(), if !self.one.0.is_empty() => Ended::One(one),
            else => { drain.cancelled().await; Ended::Drained }
        }
    }

    /// The ALL lane has stopped. Reads go on over the consistent prefix, unless this node alone is at fault; the node stays up to be asked why.
    async fn stopped(mut self, stopped: Stopped, drain: CancellationToken) -> Result<(), NodeError> {
        let code = stopped.fault.cause().code.clone();
        self.status.is(NodeState::Stopped { offset: stopped.offset, round: 0, code });
        if matches!(stopped.fault, Fault::Fatal(_)) {
            self.one.1.cancel();
        }
        drain.cancelled().await;
        finish(&mut self.answers).await;
        finish(&mut self.one.0).await;
        Err(stopped.into())
    }
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
