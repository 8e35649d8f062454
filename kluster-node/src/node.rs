//! Node: checks the log, opens the database, and runs until it is told to end.
//!
//! Neighbours: `lanes` is what runs; `main` and the tests start nodes; a simulation starts several in one process. A node never talks to a node.
//!
//! Dropping a running [`Node::run`] ends everything at once, as a crash would; `drain` ends it in order: the batch and the reads under way are
//! finished and answered.

mod lanes;

use crate::all_lane::{BatchLimit, Stopped};
use crate::check::CheckEvery;
use crate::dbms::{Dbms, DbmsSettings, Info, OpenError};
use crate::fault::{Cause, Fault};
use crate::http;
use crate::report::Clock;
use crate::status::Status;
use kluster_log::{Log, LogError, LogIdentity, TopicSettings};
use kluster_protocol::{DEFAULT_WINDOW, Fingerprint, NodeId, NodeState, Role, Topic};
use lanes::Lanes;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// A node that is told to end has ended after this long, whatever it waits for: a log that takes nothing, a lock, a long statement. What it
/// leaves undone is what a crash would leave.
pub const DRAINS_WITHIN: Duration = Duration::from_secs(20);

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
    /// What else must be equal on all nodes, which Kluster does not see: items of the fingerprint, by name.
    pub declared: Vec<(String, String)>,
    /// When this node asks for a check.
    pub check_every: CheckEvery,
    /// Batch borders, for tests.
    pub max_batch: BatchLimit,
    /// Names this run of the process.
    pub instance_id: String,
}

impl NodeSettings {
    /// A voter beside this database, on the machine's clock; everything else by default.
    pub fn of(dbms: DbmsSettings) -> Self {
        Self {
            node_id: NodeId::new(dbms.node_id.clone()),
            dbms,
            role: Role::Voter,
            http: None,
            trust_topics: false,
            development: false,
            clock: Arc::new(|| {
                SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
            }),
            window: DEFAULT_WINDOW,
            declared: Vec::new(),
            check_every: CheckEvery::default(),
            max_batch: BatchLimit::default(),
            instance_id: uuid::Uuid::new_v4().to_string(),
        }
    }
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
    fingerprint: Fingerprint,
    status: Status,
    /// Where its HTTP port is, and who serves it.
    http: (Option<SocketAddr>, JoinSet<()>),
}

impl Node {
    /// Opens the HTTP port, which answers from now on; checks the topics and opens the database. Waits while either does not answer.
    pub async fn start(settings: NodeSettings, log: Log) -> Result<Self, NodeError> {
        let status = Status::default();
        let http = serve(&settings, &status).await?;
        check_topics(&log, &settings).await?;
        let identity =
            patiently("the log", || log.identity(), |error| matches!(error, LogError::Unreachable { .. })).await?;
        let partitions = log.partitions(Topic::Responses).await?;
        let open = || opened(&settings.dbms);
        let (dbms, mut fingerprint) =
            patiently("the database", open, |error| matches!(error, OpenError::Unreachable(_))).await?;
        for (name, value) in &settings.declared {
            fingerprint.set(format!("declared {name}"), value);
        }
        Ok(Self { settings, log, identity, partitions, dbms, fingerprint, status, http })
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
        self.http.0
    }

    /// Where it says what it is doing.
    pub fn status(&self) -> Status {
        self.status.clone()
    }

    /// Ends at most [`DRAINS_WITHIN`] after `drain`. Runs until drained (`Ok`) or until the ALL lane stops, as it does when this node turns out to differ from the others. After an unknown fault reads go on until `drain`; after a fatal one nothing does, and
    /// the node stays up to be asked why.
    pub async fn run(self, drain: CancellationToken) -> Result<(), NodeError> {
        let status = self.status.clone();
        let running = async { Lanes::start(self, &drain).await.run(drain.clone()).await };
        let overdue = async {
            drain.cancelled().await;
            tokio::time::sleep(DRAINS_WITHIN).await;
        };
        tokio::select! {
            biased;
            ended = running => ended,
            () = overdue => overdue_in(&status),
        }
    }
}

/// What was not done in time is done by the next start.
fn overdue_in(status: &Status) -> Result<(), NodeError> {
    let seconds = DRAINS_WITHIN.as_secs();
    tracing::warn!(
        "not drained within {seconds} s: ending now; the next start undoes what is not committed and answers what was not answered"
    );
    match status.now().state {
        NodeState::Stopped { offset, code, .. } => {
            let cause = Cause::new(code, format!("not drained within {seconds} s either"));
            Err(NodeError::Stopped(Stopped { offset, fault: Fault::Fatal(cause) }))
        }
        _ => Ok(()),
    }
}

/// The database and its surroundings.
async fn opened(settings: &DbmsSettings) -> Result<(Dbms, Fingerprint), OpenError> {
    let mut dbms = Dbms::open(settings).await?;
    match dbms.fingerprint().await {
        Ok(fingerprint) => Ok((dbms, fingerprint)),
        Err(Fault::Lost(cause) | Fault::Transient(cause)) => Err(OpenError::Unreachable(cause.to_string())),
        Err(fault) => Err(OpenError::Unusable(format!("cannot ask for its surroundings: {}", fault.cause()))),
    }
}

async fn serve(settings: &NodeSettings, status: &Status) -> Result<(Option<SocketAddr>, JoinSet<()>), NodeError> {
    let mut serving = JoinSet::new();
    let Some(address) = settings.http else { return Ok((None, serving)) };
    let (listener, bound) = http::bind(address).await.map_err(|error| NodeError::Http(address, error))?;
    let (node, status) = (settings.node_id.clone(), status.clone());
    serving.spawn(async move {
        if let Err(error) = http::serve(listener, node, status).await {
            tracing::error!(%error, "the HTTP port ended");
        }
    });
    Ok((Some(bound), serving))
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
