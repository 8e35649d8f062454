//! nodes: several nodes in one process, each with its own lanes; they share one handle of the log, hence its connections.
//!
//! Neighbours: `plan` says which; `kluster-node` is what each of them is. They know nothing of each other but what the log says.

use super::directory::Described;
use super::plan::{Plan, PlannedNode};
use crate::error::KlusterError;
use futures_util::StreamExt;
use futures_util::future::select_all;
use futures_util::stream::FuturesUnordered;
use kluster_log::Log;
use kluster_node::dbms::DbmsSettings;
use kluster_node::membership;
use kluster_node::node::{Node, NodeError, NodeSettings};
use kluster_node::status::{Now, Status};
use kluster_protocol::{Control, DEFAULT_WINDOW, DIVERGED, NodeId, NodeState, Role, Topic};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// At most this many reads of ONE at once, in each node.
const MAX_READS: usize = 4;
/// Where people see what waits for them.
const ERRORS: &str = "`kluster-admin errors` shows what to do";
/// Whoever waits for nodes is told so often what for.
const STILL: Duration = Duration::from_secs(3);

/// What a node of this machine is told.
pub(crate) fn settings(id: &NodeId, url: &str) -> NodeSettings {
    NodeSettings {
        node_id: id.clone(),
        dbms: DbmsSettings {
            url: url.to_owned(),
            app_url: None,
            read_url: None,
            node_id: id.to_string(),
            max_reads: MAX_READS,
            inline: false,
            effects: true,
            steps: Default::default(),
        },
        role: Role::Voter,
        http: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
        trust_topics: false,
        development: true,
        clock: Arc::new(|| SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)),
        window: DEFAULT_WINDOW,
        declared: Vec::new(),
        check_every: Default::default(),
        max_batch: Default::default(),
        instance_id: uuid::Uuid::new_v4().to_string(),
    }
}

/// What a node that cannot go on means for whoever started it.
pub(crate) fn cannot_run(id: &NodeId, error: &NodeError) -> KlusterError {
    match error {
        NodeError::Log(error) => error.clone().into(),
        NodeError::Dbms(error) if error.to_string().contains("disk is full") => {
            KlusterError::DiskFull(format!("{id}: {error}; make room"))
        }
        error => KlusterError::Node(format!("{id}: {error}")),
    }
}

/// The nodes of this process.
pub(crate) struct Nodes {
    drain: CancellationToken,
    running: JoinSet<(NodeId, Result<(), NodeError>)>,
    starting: FuturesUnordered<oneshot::Receiver<Running>>,
    started: Vec<Running>,
}

/// A node that has opened its database.
#[derive(Debug)]
pub(crate) struct Running {
    /// What is remembered of it.
    pub(crate) described: Described,
    /// Its DBMS, with the version.
    pub(crate) dbms: String,
    /// Its HTTP port.
    pub(crate) http: Option<SocketAddr>,
    status: Status,
}

impl Nodes {
    /// Starts all that are planned.
    pub(crate) fn start(plan: &Plan, log: &Log) -> Self {
        let mut nodes = Self {
            drain: CancellationToken::new(),
            running: JoinSet::new(),
            starting: FuturesUnordered::new(),
            started: Vec::new(),
        };
        for node in &plan.nodes {
            let (said, started) = oneshot::channel();
            nodes.starting.push(started);
            let (node, log, drain) = (node.clone(), log.clone(), nodes.drain.clone());
            nodes.running.spawn(async move {
                let id = node.described.id.clone();
                (id, run(node, log, said, drain).await)
            });
        }
        nodes
    }

    /// Waits until each has opened its database; `each` hears of one after the other.
    pub(crate) async fn started(
        &mut self,
        mut each: impl FnMut(&Described) -> Result<(), KlusterError>,
    ) -> Result<(), KlusterError> {
        loop {
            tokio::select! {
                biased;
                Some(ended) = self.running.join_next() => return Err(ended_early(ended)),
                started = self.starting.next() => match started {
                    Some(Ok(running)) => {
                        each(&running.described)?;
                        self.started.push(running);
                    }
                    // Its task ends without having opened a database; what it ends with may be there a moment later.
                    Some(Err(_)) => return Err(self.next_ended().await),
                    None => break,
                },
                () = tokio::time::sleep(STILL) => {
                    let count = self.starting.len();
                    eprintln!("kluster: waiting for the databases of {count} nodes (KLUSTER_LOG=warn says why)");
                }
            }
        }
        self.started.sort_by_key(|node| (node.described.id.as_str().len(), node.described.id.clone()));
        Ok(())
    }

    /// Waits until each is at the end of the log, and all of them count. Ends where any of them stops: the others could wait for it without end.
    pub(crate) async fn joined(&mut self) -> Result<(), KlusterError> {
        let names: Vec<NodeId> = self.started.iter().map(|node| node.described.id.clone()).collect();
        loop {
            let waiting = self.started.iter().find(|node| !has_joined(&node.status.now(), &names));
            let Some(node) = waiting else { return Ok(()) };
            let (id, mut changes) = (node.described.id.clone(), node.status.watch());
            let change = changes.wait_for(|now| has_joined(now, &names));
            let any_stops = select_all(self.started.iter().map(|node| Box::pin(stops(node))));
            tokio::select! {
                biased;
                Some(ended) = self.running.join_next() => return Err(ended_early(ended)),
                (why, ..) = any_stops => return Err(KlusterError::Node(why)),
                now = tokio::time::timeout(STILL, change) => {
                    if now.is_err() {
                        eprintln!("kluster: waiting for {id}: {}", words(&node.status.now()));
                    }
                }
            }
        }
    }

    /// Takes a node that is not started any more out of the members, where `plan` allows it.
    pub(crate) async fn take_out(&mut self, node: &NodeId, plan: &Plan, log: &Log) -> Result<(), KlusterError> {
        let Some(first) = self.started.first() else { return Ok(()) };
        let mut changes = first.status.watch();
        let mut asked_at = None;
        loop {
            let members = changes.borrow_and_update().membership.clone();
            if members.role(node).is_none() {
                return Ok(());
            }
            if !plan.without.contains(node) {
                return Err(still_counts(node, plan));
            }
            if asked_at != Some(members.version) {
                let leave = Control::Leave { node_id: node.clone(), replaces: members.version };
                log.append(Topic::All, None, membership::control(&leave)).await?;
                asked_at = Some(members.version);
            }
            tokio::select! {
                biased;
                Some(ended) = self.running.join_next() => return Err(ended_early(ended)),
                why = stops(first) => return Err(KlusterError::Node(why)),
                // The status lives as long as `self`.
                changed = tokio::time::timeout(STILL, changes.changed()) => {
                    if changed.is_err() {
                        eprintln!("kluster: waiting until {node} is no member any more");
                    }
                }
            }
        }
    }

    /// What the next node ends with, while none was asked to.
    async fn next_ended(&mut self) -> KlusterError {
        match self.running.join_next().await {
            Some(ended) => ended_early(ended),
            None => KlusterError::Node("all nodes have ended before they were asked to".to_owned()),
        }
    }

    /// Those that run.
    pub(crate) fn each(&self) -> &[Running] {
        &self.started
    }

    /// Says whenever a node stops or is well again; never ends.
    pub(crate) async fn watch(&self) {
        let watches = self.started.iter().map(|node| watch(&node.described.id, node.status.clone()));
        futures_util::future::join_all(watches).await;
        std::future::pending::<()>().await;
    }

    /// Ends all in order: what is under way is finished and answered. Tells of those that had stopped before.
    pub(crate) async fn drain(mut self) -> Result<(), KlusterError> {
        self.drain.cancel();
        let mut first = Ok(());
        while let Some(ended) = self.running.join_next().await {
            if let Err(error) = outcome(ended)
                && first.is_ok()
            {
                first = Err(error);
            }
        }
        first
    }
}

/// The life of one node.
async fn run(
    node: PlannedNode,
    log: Log,
    said: oneshot::Sender<Running>,
    drain: CancellationToken,
) -> Result<(), NodeError> {
    let starting = Node::start(settings(&node.described.id, &node.url), log);
    let started = tokio::select! {
        biased;
        () = drain.cancelled() => return Ok(()),
        started = starting => started?,
    };
    let info = started.info();
    let running = Running {
        described: node.described,
        dbms: format!("{} {}", info.name, info.version),
        http: started.http(),
        status: started.status(),
    };
    // Nobody listens where the command ends already.
    let _ = said.send(running);
    started.run(drain).await
}

type Ended = Result<(NodeId, Result<(), NodeError>), tokio::task::JoinError>;

fn outcome(ended: Ended) -> Result<(), KlusterError> {
    match ended {
        Ok((id, ran)) => ran.map_err(|error| cannot_run(&id, &error)),
        Err(panic) => Err(KlusterError::Node(format!("a bug in Kluster ended a node: {panic}; please report it"))),
    }
}

fn ended_early(ended: Ended) -> KlusterError {
    outcome(ended).err().unwrap_or_else(|| KlusterError::Node("a node ended before it was asked to".to_owned()))
}

fn has_joined(now: &Now, names: &[NodeId]) -> bool {
    now.state == NodeState::Ready && names.iter().all(|name| now.membership.voters.contains(name))
}

/// Why a node does not go on, if so. One that waits for a decision goes on by it.
fn stopped(now: &Now) -> Option<String> {
    match &now.state {
        _ if !now.has_stopped() => None,
        NodeState::Stopped { offset, code, .. } if code == DIVERGED => Some(format!(
            "stopped at offset {offset} ({code}): its data are not what the others hold; empty its database, and it refills from the log"
        )),
        NodeState::Stopped { offset, code, .. } => Some(format!("stopped at offset {offset} ({code})")),
        _ => None,
    }
}

/// What a node waits for that people decide, and where they see it; or why it tries again.
fn trouble(now: &Now) -> Option<String> {
    let (offset, code) = match (&now.halt, &now.state) {
        (Some(halt), _) if halt.is_hold() => {
            let offset = halt.offset;
            return Some(format!("holds offset {offset} back until it is decided whether it is cancelled: {ERRORS}"));
        }
        (Some(halt), _) => (halt.offset, &halt.code),
        (None, NodeState::Retrying { code, .. }) => return Some(format!("tries again ({code}): the others go on")),
        (None, _) => return None,
    };
    Some(format!("waits for a decision at offset {offset} ({code}): {ERRORS}"))
}

/// Waits until this node does not go on; who, and why.
async fn stops(node: &Running) -> String {
    let mut changes = node.status.watch();
    loop {
        if let Some(why) = stopped(&changes.borrow_and_update()) {
            return format!("{} {why}", node.described.id);
        }
        // The status lives as long as the node's place in the list.
        let _ = changes.changed().await;
    }
}

fn words(now: &Now) -> String {
    let doing = trouble(now).unwrap_or_else(|| kluster_node::http::word(&now.state).to_owned());
    match now.applied {
        Some(applied) => format!("{doing}, offset {applied} is applied"),
        None => doing,
    }
}

/// What a person is told of one node while it serves.
async fn watch(id: &NodeId, status: Status) {
    let mut changes = status.watch();
    let mut told = None;
    loop {
        let now = changes.borrow_and_update().clone();
        if let Some(why) = stopped(&now) {
            return eprintln!(
                "kluster: {id} {why}: the others go on. `kluster-admin tail` shows the reason; mend it and start again"
            );
        }
        let trouble = trouble(&now);
        match &trouble {
            Some(trouble) if told.as_ref() != Some(trouble) => eprintln!("kluster: {id} {trouble}"),
            None if told.is_some() && now.state == NodeState::Ready => eprintln!("kluster: {id} is well again"),
            _ => {}
        }
        if trouble.is_some() || now.state == NodeState::Ready {
            told = trouble;
        }
        let (state, halt) = (now.state, now.halt);
        if changes.wait_for(|now| now.state != state || now.halt != halt).await.is_err() {
            return;
        }
    }
}

fn still_counts(node: &NodeId, plan: &Plan) -> KlusterError {
    let count = plan.nodes.len();
    let absent: Vec<String> = plan.absent.iter().map(|node| format!("--without {node}")).collect();
    KlusterError::OtherCluster(format!(
        "{node} counts in this cluster and is not to be started: start it too (--nodes {}), or take it out of the members: kluster up --nodes {count} {}",
        count + plan.absent.len(),
        absent.join(" ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kluster_protocol::{HELD, Halt, Offset};

    fn now(code: &str, waits: bool) -> Now {
        let (offset, round, status) = (Offset::new(7), 0, Status::default());
        let (message, request_id) = (String::new(), String::new());
        let halt = Halt { offset, round, code: code.into(), message, request_id, since_ms: 0 };
        status.halts(waits.then_some(halt), NodeState::Stopped { offset, round, code: code.into() });
        status.now()
    }

    /// The end of its word is met before the end of its task: no cluster without nodes begins to serve.
    #[tokio::test]
    async fn a_node_that_opens_no_database_ends_the_start() {
        let (said, started) = oneshot::channel();
        let (drain, started_by_none) = (CancellationToken::new(), Vec::new());
        let (starting, mut running) = (FuturesUnordered::from_iter([started]), JoinSet::new());
        drop::<oneshot::Sender<Running>>(said);
        running.spawn(async {
            tokio::task::yield_now().await;
            (NodeId::new("n1".to_owned()), Err(NodeError::Topics("gone".to_owned())))
        });
        let mut nodes = Nodes { drain, running, starting, started: started_by_none };
        let ended = nodes.started(|_| Ok(())).await.unwrap_err();
        assert!(ended.to_string().contains("gone"), "{ended}");
    }

    #[test]
    fn held_waiting_and_stopped_are_told_apart() {
        let held = now(HELD, true);
        assert_eq!(stopped(&held), None);
        let words =
            "holds offset 7 back until it is decided whether it is cancelled: `kluster-admin errors` shows what to do";
        assert_eq!(trouble(&held).unwrap(), words);
        let waits = now("54000", true);
        assert_eq!(stopped(&waits), None);
        let words = "waits for a decision at offset 7 (54000): `kluster-admin errors` shows what to do";
        assert_eq!(trouble(&waits).unwrap(), words);
        let ended = now("54000", false);
        assert_eq!((stopped(&ended).unwrap().as_str(), trouble(&ended)), ("stopped at offset 7 (54000)", None));
    }
}
