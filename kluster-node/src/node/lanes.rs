//! Lanes: the tasks of a running node: both lanes, the sender of answers, the heartbeat, the watch over the others' chains, the HTTP port; started
//! together, ended in order. Nothing is served before this node's chain was compared with what the others said last.
//!
//! Neighbours: [`super::Node`] hands over what it has opened.

use super::{Node, NodeError};
use crate::all_lane::{AllLane, Stopped};
use crate::answer::{self, Answers, Sender};
use crate::dbms::Dbms;
use crate::fault::{Cause, Fault};
use crate::heartbeat::Pulse;
use crate::http;
use crate::membership::Joiner;
use crate::one_lane::OneLane;
use crate::report::Reporter;
use crate::start;
use crate::status::Status;
use crate::waiting::Waiting;
use crate::witness::watch::Watch;
use kluster_log::LogError;
use kluster_protocol::{ErrorClass, NodeId, NodeState, Offset, Role};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Answers of this many batches may wait for the log; then the ALL lane waits too.
const OUTBOX: usize = 64;

/// A node that stops because it differs finishes the batch under way, so that its heartbeat says what its database holds; a batch that
/// somebody holds up is not waited for longer.
const LAST_BATCH: Duration = Duration::from_secs(5);

/// For so long a node that ends after it has stopped waits for the log to take its last heartbeat.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The tasks of a node, each ended when dropped.
pub(super) struct Lanes {
    name: NodeId,
    status: Status,
    reporter: Reporter,
    all: (JoinSet<Result<Dbms, Stopped>>, CancellationToken),
    answers: JoinSet<Result<(), LogError>>,
    one: (JoinSet<Result<(), LogError>>, CancellationToken),
    watch: JoinSet<Stopped>,
    _pulse: JoinSet<()>,
    said_stopped: CancellationToken,
    _http: JoinSet<std::io::Result<()>>,
}

fn one_lane(node: &Node, sender: Sender) -> OneLane {
    OneLane {
        node: node.settings.node_id.clone(),
        log: node.log.clone(),
        dialect: node.dbms.dialect(),
        reads: node.dbms.reads(),
        sender,
        status: node.status.clone(),
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

async fn http(listener: Option<(TcpListener, SocketAddr)>, name: NodeId, status: Status) -> std::io::Result<()> {
    match listener {
        Some((listener, _)) => http::serve(listener, name, status).await,
        None => Ok(()),
    }
}

/// Compares this node with what the others said last, before it serves. Some: it must not.
async fn compare(node: &mut Node, reporter: Reporter) -> (Watch, Option<Stopped>) {
    let (name, status, identity) = (&node.settings.node_id, &node.status, &node.identity);
    // What can't be read now is said by the ALL lane, which reads it again.
    if let Ok(Some(state)) = start::stored(&mut node.dbms, name, identity).await {
        status.applied(&state);
    }
    let topic_id = identity.topic_id.clone();
    let mut watch = Watch::new(name.clone(), topic_id, node.log.clone(), status.clone(), reporter);
    let stopped = watch.begin().await;
    (watch, stopped)
}

fn spawn<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> JoinSet<T> {
    let mut set = JoinSet::new();
    set.spawn(task);
    set
}

fn spawn_if(
    wanted: bool,
    one: OneLane,
    drain: CancellationToken,
) -> (JoinSet<Result<(), LogError>>, CancellationToken) {
    let mut set = JoinSet::new();
    if wanted {
        set.spawn(one.run(drain.clone()));
    }
    (set, drain)
}

/// What ended first.
enum Ended {
    All(Result<Dbms, Stopped>),
    Answers(LogError),
    One(Result<(), LogError>),
    Differs(Stopped),
    Drained,
}

impl Lanes {
    /// Starts everything that a node does, once it was compared with the others.
    pub(super) async fn start(mut node: Node, drain: &CancellationToken) -> Self {
        let (name, status, log) = (node.settings.node_id.clone(), node.status.clone(), node.log.clone());
        let sender = Sender::new(log.clone(), node.partitions);
        let reporter = Reporter::new(log.clone(), name.clone(), node.settings.clock.clone());
        let (watch, stopped) = compare(&mut node, reporter.clone()).await;
        let serves = stopped.is_none();
        let (answers, outbox) = mpsc::channel(OUTBOX);
        let (one, pulse) = (one_lane(&node, sender.clone()), pulse(&node));
        let (voter, steps) = (node.settings.role == Role::Voter, node.settings.dbms.steps.clone());
        let group = log.names().group_of_all(&name);
        let http = http(node.listener.take(), name.clone(), status.clone());
        let (all, lane_drain) = (all_lane(node, answers, reporter.clone()), drain.child_token());
        let (all, watch) = match stopped {
            None => (spawn(all.run(lane_drain.clone())), spawn(watch.run())),
            Some(stopped) => {
                // Before the first heartbeat: what the node is known by when it is started again must not be said over.
                status.is(state(&stopped));
                (spawn(async { Err(stopped) }), JoinSet::new())
            }
        };
        Self {
            all: (all, lane_drain),
            answers: spawn(answer::run(outbox, sender, group, status.clone(), steps)),
            one: spawn_if(voter && serves, one, drain.child_token()),
            watch,
            said_stopped: pulse.said_stopped.clone(),
            _pulse: spawn(pulse.run(log, status.clone())),
            _http: spawn(http),
            name,
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
                Ended::Answers(error) => {
                    let cause = Cause::new("responses", format!("answers cannot be sent: {error}"));
                    self.reporter.say(ErrorClass::Fatal, None, &cause).await;
                    self.all.0.abort_all();
                    let offset = self.status.now().applied.unwrap_or_default().next();
                    let stopped = Stopped { offset, fault: Fault::Fatal(cause) };
                    return self.stopped(stopped, drain).await;
                }
                Ended::One(result) => {
                    if let Err(error) = result {
                        tracing::error!(node = %self.name, %error, "the lane of reads ended; writes go on");
                    }
                }
                Ended::Differs(stopped) => return self.differs(stopped, drain).await,
                Ended::Drained => {}
            }
        }
    }

    /// This node's chain is not that of the others: nothing more is served.
    async fn differs(mut self, stopped: Stopped, drain: CancellationToken) -> Result<(), NodeError> {
        self.one.1.cancel();
        self.all.1.cancel();
        match tokio::time::timeout(LAST_BATCH, self.all.0.join_next()).await {
            Ok(Some(Ok(Ok(dbms)))) => dbms.close().await,
            Ok(_) => {}
            Err(_) => self.all.0.abort_all(),
        }
        let offset = self.status.now().applied.map_or(stopped.offset, Offset::next);
        self.stopped(Stopped { offset, ..stopped }, drain).await
    }

    async fn next(&mut self, drain: &CancellationToken) -> Ended {
        tokio::select! {
            biased;
            Some(all) = self.all.0.join_next() => Ended::All(all.unwrap_or_else(|panic| Err(panicked(&panic)))),
            Some(watch) = self.watch.join_next() => match watch {
                Ok(stopped) => Ended::Differs(stopped),
                Err(panic) => Ended::Differs(panicked(&panic)),
            },
            Some(answers) = self.answers.join_next(), if !self.answers.is_empty() => match answers {
                Ok(Ok(())) => Ended::Drained,
                Ok(Err(error)) => Ended::Answers(error),
                Err(panic) => Ended::Answers(LogError::Settings(panic.to_string())),
            },
            Some(one) = self.one.0.join_next(), if !self.one.0.is_empty() => {
                Ended::One(one.unwrap_or_else(|panic| Err(LogError::Settings(panic.to_string()))))
            }
            else => { drain.cancelled().await; Ended::Drained }
        }
    }

    /// The ALL lane has stopped. Reads go on over the consistent prefix, unless this node alone is at fault; the node stays up to be asked why.
    async fn stopped(mut self, stopped: Stopped, drain: CancellationToken) -> Result<(), NodeError> {
        self.status.is(state(&stopped));
        if matches!(stopped.fault, Fault::Fatal(_)) {
            self.one.1.cancel();
        }
        drain.cancelled().await;
        finish(&mut self.answers).await;
        finish(&mut self.one.0).await;
        // By its last heartbeat others know at once that it is gone, and it knows itself when it is started again.
        let _ = tokio::time::timeout(LAST_WORDS, self.said_stopped.cancelled()).await;
        Err(stopped.into())
    }
}

fn state(stopped: &Stopped) -> NodeState {
    NodeState::Stopped { offset: stopped.offset, round: 0, code: stopped.fault.cause().code.clone() }
}

fn panicked(panic: &tokio::task::JoinError) -> Stopped {
    let cause = Cause::new("panic", format!("a bug in Kluster ended what this node does: {panic}; please report it"));
    Stopped { offset: Offset::ZERO, fault: Fault::Fatal(cause) }
}

async fn finish<T: 'static>(tasks: &mut JoinSet<T>) {
    while tasks.join_next().await.is_some() {}
}
