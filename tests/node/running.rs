//! A node in this process, and what it says: its status, what it sends, what it serves by HTTP.

use kluster_log::{Log, MemoryLog, NewRecord};
use kluster_node::dbms::Dbms;
use kluster_node::dbms::sqlite::Orphan;
use kluster_node::node::{Node, NodeError, NodeSettings};
use kluster_node::status::{Now, Status};
use kluster_node::step::Steps;
use kluster_protocol::{NodeState, Offset, SystemError, Topic};
use kluster_tests::inline;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

/// Of the clock that stands still: what has not come by then never comes.
pub const PATIENCE: Duration = Duration::from_secs(3600);

/// A log whose clock is Tokio's, as the nodes' is.
pub fn memory() -> MemoryLog {
    let epoch = Instant::now();
    MemoryLog::with_clock(Arc::new(move || epoch.elapsed().as_millis() as i64))
}

/// The place of a node's database.
pub struct Home(tempfile::TempDir);

impl Home {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn file(&self) -> PathBuf {
        self.0.path().join("node.db")
    }

    /// The settings of a voter here.
    pub fn settings(&self, name: &str, steps: Steps) -> NodeSettings {
        inline(name, format!("sqlite:{}", self.file().display()), steps)
    }
}

/// A node that runs.
pub struct Running {
    pub status: Status,
    pub http: Option<SocketAddr>,
    drain: CancellationToken,
    life: JoinHandle<Result<(), NodeError>>,
}

impl Running {
    /// Starts node n1 and waits until it is ready and a voter.
    pub async fn ready(memory: &MemoryLog, home: &Home) -> Self {
        let node = Self::start(memory, home.settings("n1", Steps::default())).await;
        node.until(|now| now.state == NodeState::Ready && !now.membership.voters.is_empty()).await;
        node
    }

    /// The same with a hand on the node's session with its database.
    pub async fn ready_with_session(memory: &MemoryLog, home: &Home) -> (Self, Orphan) {
        let log = Log::memory(memory.user("n1"));
        let node = Node::start(home.settings("n1", Steps::default()), log).await.unwrap();
        let Dbms::Sqlite(db) = node.dbms() else { panic!("it is SQLite") };
        let session = db.orphan();
        let node = Self::run(node);
        node.until(|now| now.state == NodeState::Ready && !now.membership.voters.is_empty()).await;
        (node, session)
    }

    pub async fn start(memory: &MemoryLog, settings: NodeSettings) -> Self {
        let log = Log::memory(memory.user(settings.node_id.as_str()));
        Self::run(Node::start(settings, log).await.unwrap())
    }

    pub fn run(node: Node) -> Self {
        let (status, http, drain) = (node.status(), node.http(), CancellationToken::new());
        let life = tokio::spawn(node.run(drain.clone()));
        Self { status, http, drain, life }
    }

    /// Waits until its status is so.
    pub async fn until(&self, condition: impl FnMut(&Now) -> bool) -> Now {
        let mut watch = self.status.watch();
        match timeout(PATIENCE, watch.wait_for(condition)).await {
            Ok(now) => now.unwrap().clone(),
            Err(_) => panic!("the node did not get there: {:?}", self.status.now()),
        }
    }

    /// Waits until it has applied this offset.
    pub async fn applied(&self, offset: Offset) {
        self.until(|now| now.applied >= Some(offset)).await;
    }

    /// Waits until it has stopped; why.
    pub async fn stopped(&self) -> String {
        let now = self.until(|now| matches!(now.state, NodeState::Stopped { .. })).await;
        let NodeState::Stopped { code, .. } = now.state else { unreachable!("it was waited for") };
        code
    }

    /// Ends it in order.
    pub async fn end(self) -> Result<(), NodeError> {
        self.drain.cancel();
        timeout(PATIENCE, self.life).await.expect("it ends").unwrap()
    }

    /// What it answers to `GET path`: status and body.
    pub async fn get(&self, path: &str) -> (u16, String) {
        get(self.http.unwrap(), path).await
    }
}

/// What is answered there to `GET path`: status and body.
pub async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// Asks on ALL; where it lies there.
pub async fn write(memory: &MemoryLog, id: &str, sql: &str) -> Offset {
    ask(memory, Topic::All, json!({"messageId": id, "clientId": "c", "sqlString": sql})).await
}

/// Appends a request.
pub async fn ask(memory: &MemoryLog, topic: Topic, request: Value) -> Offset {
    let record = NewRecord::of(serde_json::to_vec(&request).unwrap());
    Log::memory(memory.user("client")).append(topic, None, record).await.unwrap().offset
}

/// Waits for the first answer to this request.
pub async fn answer(memory: &MemoryLog, id: &str) -> Value {
    found(memory, Topic::Responses, |response| response["requestId"] == id).await
}

/// Waits for the first report that is so.
pub async fn report(memory: &MemoryLog, wanted: impl Fn(&SystemError) -> bool) -> SystemError {
    let read = |value: &Value| serde_json::from_value::<SystemError>(value.clone()).unwrap();
    read(&found(memory, Topic::Errors, |value| wanted(&read(value))).await)
}

/// Everything on a topic.
pub fn all(memory: &MemoryLog, topic: Topic) -> Vec<Value> {
    let records = (0..8).flat_map(|partition| memory.records(topic, partition));
    records.map(|record| serde_json::from_slice(&record.value.unwrap()).unwrap()).collect()
}

pub async fn found(memory: &MemoryLog, topic: Topic, wanted: impl Fn(&Value) -> bool) -> Value {
    let mut look = tokio::time::interval(Duration::from_millis(50));
    let looking = async {
        loop {
            look.tick().await;
            if let Some(found) = all(memory, topic).into_iter().find(&wanted) {
                return found;
            }
        }
    };
    let found = timeout(PATIENCE, looking).await;
    found.unwrap_or_else(|_| panic!("it is not on {topic:?}: {:#?}", all(memory, topic)))
}
