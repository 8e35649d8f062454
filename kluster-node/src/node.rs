//! Node: starts both lanes, the heartbeat and the HTTP port, and ends them in order.
//!
//! Neighbours: `main` and the tests start nodes; a simulation starts several in one process. A node never talks to a node.
//!
//! Dropping a running [`Node::run`] ends everything at once, as a crash would; `drain` ends it in order: the batch and the reads under way are
//! finished and answered.

use crate::all_lane::{AllLane, BatchLimit, Stopped};
use crate::answer::{self, Sender};
use crate::dbms::{Dbms, DbmsSettings, Info, OpenError};
use crate::fault::Cause;
use crate::heartbeat::Pulse;
use crate::membership::Joiner;
use crate::one_lane::OneLane;
use crate::report::{Clock, Reporter};
use crate::status::Status;
use crate::waiting::Waiting;
use crate::{fault::Fault, http};
use kluster_log::{Log, LogError, LogIdentity, TopicSettings};
use kluster_protocol::{ErrorClass, NodeId, NodeState, Role, Topic};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Answers of this many batches may wait for the log; then the ALL lane waits too.
const OUTBOX: usize = 64;

/// What a node is told.
#[derive(Clone)]
pub struct NodeSettings {
    /// Its name.
    pub node_id: NodeId,
    /// Its database.
    pub dbms: DbmsSettings,
    /// What it asks to be counted as.
    pub role: Role,
    /// Where its HTTP port is; none: nowhere.
    pub http: Option<SocketAddr>,
    /// Accept topics whose settings may not be read.
    pub trust_topics: bool,
    /// Accept topics with one replica.
    pub development: bool,
    /// Its own clock, for alarms and people only.
    pub clock: Clock,
    /// Outcomes are remembered for this many offsets; the same on every node of a cluster.
    pub window: u64,
    /// Batch borders, for tests.
    pub max_batch: BatchLimit,
    /// Names this run of the process.
    pub instance_id: String,
}

/// Why a node could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The log cannot be used.
    #[error("{0}")]
    Log(#[from] LogError),
    /// The topics are not as they must be.
    #[error("{0}")]
    Topics(String),
    /// The database cannot be used.
    #[error("{0}")]
    Dbms(#[from] OpenError),
    /// The HTTP port cannot be bound.
    #[error("the HTTP port {0} cannot be bound: {1}; choose another by --http")]
    Http(SocketAddr, std::io::Error),
    /// The ALL lane stopped.
    #[error("{0}")]
    Stopped(#[from] Stopped),
}

/// A node that is ready to run.
pub struct Node {
    settings: NodeSettings,
    log: Log,
    identity: LogIdentity,
    partitions: u32,
    dbms: Dbms,
    status: Status,
    listener: Option<(tokio::net::TcpListener, SocketAddr)>,
}

impl Node {
    /// Checks the topics and opens the database. Waits while either does not answer.
    pub async fn start(settings: NodeSettings, log: Log) -> Result<Self, NodeError> {
        check_topics(&log, &settings).await?;
        let identity =
            patiently("the log", || log.identity(), |error| matches!(error, LogError::Unreachable { .. })).await?;
        let partitions = log.partitions(Topic::Responses).await?;
        let listener = match settings.http {
            Some(address) => Some(http::bind(address).await.map_err(|error| NodeError::Http(address, error))?),
            None => None,
        };
        let open = || Dbms::open(&settings.dbms);
        let dbms = patiently("the database", open, |error| matches!(error, OpenError::Unreachable(_))).await?;
        Ok(Self { settings, log, identity, partitions, dbms, status: Status::default(), listener })
    }

    /// Its database, before it runs.
    pub fn dbms(&self) -> &Dbms {
        &self.dbms
    }

    /// What its database is.
    pub fn info(&self) -> Info {
        self.dbms.info()
    }

    /// Where its HTTP port is.
    pub fn http(&self) -> Option<SocketAddr> {
        self.listener.as_ref().map(|(_, address)| *address)
    }

    /// Where it says what it is doing.
    pub fn status(&self) -> Status {
        self.status.clone()
    }

    /// Runs until drained (`Ok`) or until the ALL lane stops. After an unknown fault reads go on until `drain`; after a fatal one nothing does, and
    /// the node stays up to be asked why.
    pub async fn run(self, drain: CancellationToken) -> Result<(), NodeError> {
        let Self { settings, log, identity, partitions, dbms, status, listener } = self;
        let node = settings.node_id.clone();
        let for_lanes = status.clone();
        let sender = Sender::new(log.clone(), partitions);
        let reporter = Reporter::new(log.clone(), node.clone(), settings.clock.clone());
        let one = OneLane {
            node: node.clone(),
            log: log.clone(),
            dialect: dbms.dialect(),
            reads: dbms.reads(),
            sender: sender.clone(),
            status: status.clone(),
            max_reads: settings.dbms.max_reads,
        };
        let pulse = Pulse {
            node: node.clone(),
            instance_id: settings.instance_id.clone(),
            info: dbms.info(),
            http: listener.as_ref().map(|(_, address)| address.to_string()),
            clock: settings.clock.clone(),
        };
        let (answers, outbox) = mpsc::channel(OUTBOX);
        let group = log.names().group_of_all(&node);
        let waiting = Waiting::new(dbms.locks(), status.clone(), reporter.clone());
        let all = AllLane {
            node: node.clone(),
            log: log.clone(),
            identity,
            dbms,
            answers,
            status: status.clone(),
            reporter: reporter.clone(),
            waiting,
            joiner: Joiner::new(node.clone(), settings.role),
            window: settings.window,
            max_batch: settings.max_batch.clone(),
            steps: settings.dbms.steps.clone(),
            stalled: false,
        };
        let lanes = Lanes {
            all: spawn(all.run(drain.clone())),
            answers: spawn(answer::run(outbox, sender, group, status.clone(), settings.dbms.steps.clone())),
            one: spawn_if(settings.role == Role::Voter, one, drain.child_token()),
            _pulse: spawn(pulse.run(log.clone(), status.clone())),
            _http: spawn(async move {
                match listener {
                    Some((listener, _)) => http::serve(listener, node, status.clone()).await,
                    None => Ok(()),
                }
            }),
        };
        lanes.run(&settings, &reporter, &for_lanes, drain).await
    }
}

/// The tasks of a node, each ended when dropped.
struct Lanes {
    all: JoinSet<Result<Dbms, Stopped>>,
    answers: JoinSet<Result<(), LogError>>,
    one: (JoinSet<Result<(), LogError>>, CancellationToken),
    _pulse: JoinSet<()>,
    _http: JoinSet<std::io::Result<()>>,
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
    Drained,
}

impl Lanes {
    async fn run(
        mut self,
        settings: &NodeSettings,
        reporter: &Reporter,
        status: &Status,
        drain: CancellationToken,
    ) -> Result<(), NodeError> {
        loop {
            match self.next(&drain).await {
                Ended::All(Ok(dbms)) => {
                    status.is(NodeState::Leaving);
                    finish(&mut self.answers).await;
                    finish(&mut self.one.0).await;
                    dbms.close().await;
                    return Ok(());
                }
                Ended::All(Err(stopped)) => return self.stopped(stopped, status, drain).await,
                Ended::Answers(error) => {
                    let cause = Cause::new("responses", format!("answers cannot be sent: {error}"));
                    reporter.say(ErrorClass::Fatal, None, &cause).await;
                    self.all.abort_all();
                    let offset = status.now().applied.unwrap_or_default().next();
                    let stopped = Stopped { offset, fault: Fault::Fatal(cause) };
                    return self.stopped(stopped, status, drain).await;
                }
                Ended::One(result) => {
                    if let Err(error) = result {
                        tracing::error!(node = %settings.node_id, %error, "the lane of reads ended; writes go on");
                    }
                }
                Ended::Drained => {}
            }
        }
    }

    async fn next(&mut self, drain: &CancellationToken) -> Ended {
        tokio::select! {
            biased;
            Some(all) = self.all.join_next() => Ended::All(all.unwrap_or_else(|panic| Err(panicked(&panic)))),
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
    async fn stopped(mut self, stopped: Stopped, status: &Status, drain: CancellationToken) -> Result<(), NodeError> {
        let code = stopped.fault.cause().code.clone();
        status.is(NodeState::Stopped { offset: stopped.offset, round: 0, code });
        if matches!(stopped.fault, Fault::Fatal(_)) {
            self.one.1.cancel();
        }
        drain.cancelled().await;
        finish(&mut self.answers).await;
        finish(&mut self.one.0).await;
        Err(stopped.into())
    }
}

fn panicked(panic: &tokio::task::JoinError) -> Stopped {
    let cause = Cause::new("panic", format!("a bug in Kluster ended the ALL lane: {panic}; please report it"));
    Stopped { offset: kluster_protocol::Offset::ZERO, fault: Fault::Fatal(cause) }
}

async fn finish<T: 'static>(tasks: &mut JoinSet<T>) {
    while tasks.join_next().await.is_some() {}
}

/// A node refuses topics on which a promise would not hold, and says how to mend them.
async fn check_topics(log: &Log, settings: &NodeSettings) -> Result<(), NodeError> {
    let wanted = if settings.development { TopicSettings::development() } else { TopicSettings::default() };
    let check =
        patiently("the log", || log.check_topics(&wanted), |error| matches!(error, LogError::Unreachable { .. }))
            .await?;
    let refusals = check.refusals(settings.trust_topics);
    for finding in &check.findings {
        tracing::warn!(node = %settings.node_id, "{finding}");
    }
    match refusals.is_empty() {
        true => Ok(()),
        false => Err(NodeError::Topics(refusals.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))),
    }
}

/// Tries until it works, or fails for a reason that does not pass.
async fn patiently<T, E: std::fmt::Display, F: Future<Output = Result<T, E>>>(
    what: &str,
    mut attempt: impl FnMut() -> F,
    passes: impl Fn(&E) -> bool,
) -> Result<T, E> {
    let mut pause = Duration::from_millis(100);
    loop {
        match attempt().await {
            Err(error) if passes(&error) => {
                tracing::warn!(%error, "waiting for {what}");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(2));
            }
            result => return result,
        }
    }
}
