//! Script: a cluster whose nodes are played by the test. It reads ALL and ONE, and writes RESPONSES and NODES as the test dictates.
#![allow(dead_code, reason = "each test target uses its part of the script")]
#![allow(clippy::unwrap_used, reason = "all of this is test code")]

use kluster_client::{Client, ClientError, ErrorCode, Ids, Offset, Options, ResponseError, Row};
use kluster_log::{AppendContext, AppendFault, Log, MemoryLog, NewRecord, Reader, Record};
use kluster_protocol::{
    Column, Control, Heartbeat, Kind, Members, Membership, NodeId, NodeState, Request, RequestTopic, Response, Topic,
    header,
};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Beyond every deadline of a test; time is paused.
const HOUR: Duration = Duration::from_secs(3600);

/// A log, and the places up to which the test has read what clients asked.
pub struct Script {
    pub memory: MemoryLog,
    pub log: Log,
    all: Reader,
    one: Reader,
}

/// What a client asked.
#[derive(Debug, Clone)]
pub struct Asked {
    pub record: Record,
    pub topic: RequestTopic,
    pub request: Option<Request>,
}

impl Script {
    pub async fn new() -> Self {
        let memory = MemoryLog::with_clock(Arc::new(|| 0));
        let log = Log::memory(memory.clone());
        let partitions = log.partitions(Topic::One).await.unwrap();
        let from = (0..partitions).map(|partition| (partition, Offset::ZERO)).collect();
        let all = log.read(Topic::All, 0, Offset::ZERO).await.unwrap();
        let one = log.read_many(Topic::One, from).await.unwrap();
        Self { memory, log, all, one }
    }

    /// A client whose ids are m1, m2, …
    pub async fn client(&self) -> Client {
        self.client_with(Options::default()).await
    }

    pub async fn client_with(&self, options: Options) -> Client {
        let next = AtomicU64::new(1);
        let ids = Ids::made_by(move || format!("m{}", next.fetch_add(1, Ordering::Relaxed)));
        let options = Options { client_id: Some("c1".into()), ids, ..options };
        Client::over(Log::memory(self.memory.user("client")), options).await.unwrap()
    }

    /// The next record of ALL.
    pub async fn all(&mut self) -> Asked {
        let record = timeout(HOUR, self.all.next()).await.expect("nothing comes on ALL");
        Asked::of(record.unwrap(), RequestTopic::All)
    }

    /// The next record of ONE.
    pub async fn one(&mut self) -> Asked {
        let record = timeout(HOUR, self.one.next()).await.expect("nothing comes on ONE");
        Asked::of(record.unwrap(), RequestTopic::One)
    }

    /// Nothing comes on ALL for so long.
    pub async fn all_stays_quiet(&mut self, time: Duration) {
        assert!(timeout(time, self.all.next()).await.is_err(), "something came on ALL");
    }

    /// A record of somebody else in ALL.
    pub async fn fill(&mut self) -> Offset {
        let placed = self.log.append(Topic::All, Some(0), NewRecord::of("filler")).await.unwrap();
        self.all.next().await.unwrap();
        placed.offset
    }

    /// Sends an answer to where the request wants it.
    pub async fn say(&self, asked: &Asked, answer: Answer) {
        let response = answer.0;
        let record = NewRecord::of(serde_json::to_vec(&response).unwrap());
        self.log.append(Topic::Responses, Some(asked.reply_partition()), record).await.unwrap();
    }

    /// Says what a node says of itself; the voters are n1, n2, n3 of version 3.
    pub async fn beat(&self, node: &str, state: NodeState) {
        self.beat_of(node, state, None, None).await;
    }

    pub async fn beat_of(
        &self,
        node: &str,
        state: NodeState,
        applied: Option<Offset>,
        chain: Option<kluster_protocol::Chain>,
    ) {
        let voters = ["n1", "n2", "n3"].map(NodeId::from).to_vec();
        let heartbeat = Heartbeat {
            node_id: node.into(),
            instance_id: "i".into(),
            state,
            topic_id: None,
            applied,
            chain,
            points: vec![],
            effects: None,
            window: None,
            membership: Membership { version: 3, voters, observers: vec![] },
            halt: None,
            obeys: None,
            may_have_applied: None,
            running: None,
            dbms: "SQLite".into(),
            dbms_version: "3".into(),
            version: "0".into(),
            rule_set: 1,
            http: None,
            at_ms: 0,
        };
        let record = NewRecord::of(serde_json::to_vec(&heartbeat).unwrap()).keyed(node.to_owned());
        self.log.append(Topic::Nodes, None, record).await.unwrap();
    }

    /// Decides what goes wrong with the client's n-th append to a topic, counted from 0.
    pub fn faults(&self, topic: Topic, faults: &[AppendFault]) {
        let faults = faults.to_vec();
        let count = AtomicU64::new(0);
        self.memory.on_append(Arc::new(move |context: &AppendContext| {
            if context.topic != topic || &*context.user != "client" {
                return AppendFault::None;
            }
            let n = count.fetch_add(1, Ordering::Relaxed) as usize;
            faults.get(n).copied().unwrap_or_default()
        }));
    }
}

impl Asked {
    fn of(record: Record, topic: RequestTopic) -> Self {
        let request = Request::parse(record.value.as_deref()).ok();
        Self { record, topic, request }
    }

    pub fn id(&self) -> &str {
        self.request().message_id.as_str()
    }

    pub fn request(&self) -> &Request {
        self.request.as_ref().expect("a request")
    }

    pub fn is_barrier(&self) -> bool {
        let kind = Kind::from_header(self.record.header(header::KIND));
        kind == Kind::Control
            && serde_json::from_slice::<Control>(self.record.value.as_ref().unwrap()).unwrap() == Control::Barrier
    }

    pub fn reply_partition(&self) -> u32 {
        let header = self.record.header(header::REPLY_PARTITION).expect("says where its answer goes");
        std::str::from_utf8(header).unwrap().parse().unwrap()
    }

    /// An OK of a voter among three, under the membership version 3, without rows.
    pub fn by(&self, node: &str) -> Answer {
        let execution = format!("{node}-{}", self.record.offset);
        Answer(Response {
            message_id: execution.as_str().into(),
            node_id: node.into(),
            request_id: self.id().to_owned(),
            request_topic: self.topic,
            result_code: Response::<Row>::OK.to_owned(),
            result: Some(vec![]),
            columns: vec![],
            rows_affected: Some(1),
            results: None,
            offset: Some(self.record.offset),
            chain: Some("aa".to_owned()),
            members: Members { version: 3, voter: true, voters: 3 },
            error: None,
            result_gone: false,
            part: None,
            last_part: false,
        })
    }
}

/// An answer being written.
#[derive(Debug, Clone)]
pub struct Answer(pub Response);

impl Answer {
    pub fn members(mut self, version: u64, voter: bool, voters: u32) -> Self {
        self.0.members = Members { version, voter, voters };
        self
    }

    pub fn chain(mut self, chain: &str) -> Self {
        self.0.chain = Some(chain.to_owned());
        self
    }

    pub fn at(mut self, offset: u64) -> Self {
        self.0.offset = Some(Offset::new(offset));
        self
    }

    /// Rows with the one column n.
    pub fn rows(mut self, numbers: impl IntoIterator<Item = i64>) -> Self {
        let row = |n: i64| match json!({ "n": n }) {
            Value::Object(row) => row,
            _ => unreachable!(),
        };
        self.0.result = Some(numbers.into_iter().map(row).collect());
        self.0.columns = vec![Column { name: "n".into(), type_name: "int8".into() }];
        self
    }

    pub fn part(mut self, part: u32, last: bool) -> Self {
        (self.0.part, self.0.last_part) = (Some(part), last);
        self
    }

    /// Another execution of the same request.
    pub fn execution(mut self, name: &str) -> Self {
        self.0.message_id = name.into();
        self
    }

    pub fn gone(mut self) -> Self {
        self.0.result_gone = true;
        self
    }

    pub fn refused(mut self, code: ErrorCode) -> Self {
        let error = ResponseError::new(code, "no");
        (self.0.result_code, self.0.result, self.0.rows_affected) = (error.result_code(), None, None);
        self.0.error = Some(error);
        self
    }
}

/// Runs beside the test.
pub fn start<T: Send + 'static>(
    request: impl Future<Output = Result<T, ClientError>> + Send + 'static,
) -> JoinHandle<Result<T, ClientError>> {
    tokio::spawn(request)
}

/// Lets everything run that can.
pub async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}
