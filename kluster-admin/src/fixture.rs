//! A cluster for tests: a log in memory, a clock that the test moves, and heartbeats written by hand.

use crate::output::{Format, Output};
use kluster_log::{Log, MemoryLog, NewRecord};
use kluster_node::report::Clock;
use kluster_protocol::{
    Came, Chain, ChainPoint, EffectsReport, Heartbeat, Membership, NodeId, NodeState, Offset, RecordHash, Topic,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// 2026-03-04T05:06:07Z.
pub(crate) const START_MS: u64 = 1_772_600_767_000;

pub(crate) struct Cluster {
    pub(crate) memory: MemoryLog,
    pub(crate) log: Log,
    pub(crate) clock: Clock,
    now_ms: Arc<AtomicU64>,
}

impl Cluster {
    pub(crate) fn new() -> Self {
        Self::with(MemoryLog::with_clock)
    }

    pub(crate) fn without_topics() -> Self {
        Self::with(MemoryLog::without_topics)
    }

    fn with(make: impl Fn(kluster_log::Clock) -> MemoryLog) -> Self {
        let now_ms = Arc::new(AtomicU64::new(START_MS));
        let (ours, brokers) = (now_ms.clone(), now_ms.clone());
        let memory = make(Arc::new(move || brokers.load(Ordering::Relaxed) as i64));
        let clock: Clock = Arc::new(move || ours.load(Ordering::Relaxed));
        Self { log: Log::memory(memory.clone()), memory, clock, now_ms }
    }

    pub(crate) fn pass(&self, ms: u64) {
        self.now_ms.fetch_add(ms, Ordering::Relaxed);
    }

    pub(crate) async fn append(&self, topic: Topic, record: NewRecord) -> Offset {
        self.log.append(topic, None, record).await.unwrap().offset
    }

    pub(crate) async fn beat(&self, node: &Node) {
        let value = serde_json::to_vec(&node.0).unwrap();
        self.append(Topic::Nodes, NewRecord::of(value).keyed(node.0.node_id.to_string())).await;
    }

    /// Puts so many records into ALL.
    pub(crate) async fn fill(&self, count: u64) {
        for n in 0..count {
            self.append(Topic::All, NewRecord::of(format!(r#"{{"messageId":"m{n}","clientId":"c","sqlString":"x"}}"#)))
                .await;
        }
    }
}

/// A heartbeat under way.
#[derive(Clone)]
pub(crate) struct Node(pub(crate) Heartbeat);

/// A voter of n1, n2, n3 that has applied nothing.
pub(crate) fn node(name: &str) -> Node {
    Node(Heartbeat {
        node_id: name.into(),
        instance_id: format!("{name}-8a5c1be2-1111"),
        state: NodeState::Ready,
        topic_id: None,
        applied: None,
        chain: None,
        points: Vec::new(),
        effects: None,
        membership: members(3, &["n1", "n2", "n3"]),
        window: None,
        halt: None,
        obeys: None,
        may_have_applied: None,
        running: None,
        dbms: "SQLite".into(),
        dbms_version: "3.50".into(),
        version: "0.1.0".into(),
        rule_set: 1,
        http: None,
        at_ms: START_MS,
    })
}

impl Node {
    /// At this offset with the chain that everyone has there.
    pub(crate) fn applied(self, offset: u64) -> Self {
        self.on(offset, chain(offset))
    }

    pub(crate) fn on(mut self, offset: u64, chain: Chain) -> Self {
        (self.0.applied, self.0.chain) = (Some(Offset::new(offset)), Some(chain));
        self
    }

    pub(crate) fn point(mut self, offset: u64, chain: Chain) -> Self {
        self.0.points.push(ChainPoint { offset: Offset::new(offset), chain });
        self
    }

    pub(crate) fn state(mut self, state: NodeState) -> Self {
        self.0.state = state;
        self
    }

    pub(crate) fn members(mut self, membership: Membership) -> Self {
        self.0.membership = membership;
        self
    }

    pub(crate) fn window(mut self, window: u64) -> Self {
        self.0.window = Some(window);
        self
    }

    pub(crate) fn effects(mut self, effects: EffectsReport) -> Self {
        self.0.effects = Some(effects);
        self
    }

    pub(crate) fn dbms(mut self, name: &str) -> Self {
        self.0.dbms = name.into();
        self
    }
}

pub(crate) fn members(version: u64, voters: &[&str]) -> Membership {
    Membership { version, voters: voters.iter().map(|name| NodeId::from(*name)).collect(), observers: vec![] }
}

/// The chain that healthy nodes have at an offset.
pub(crate) fn chain(offset: u64) -> Chain {
    Chain::default().after(Offset::new(offset), &RecordHash::default(), Came::PASSED)
}

/// The chain of a node that went astray.
pub(crate) fn astray(offset: u64) -> Chain {
    Chain::default().after(Offset::new(offset), &RecordHash::default(), Came::Refused)
}

/// What a command wrote.
#[derive(Default)]
pub(crate) struct Written {
    pub(crate) data: Vec<u8>,
    pub(crate) notes: Vec<u8>,
}

impl Written {
    pub(crate) fn output(&mut self, format: Format) -> Output<'_> {
        Output::new(format, &mut self.data, &mut self.notes)
    }

    pub(crate) fn data(&self) -> String {
        String::from_utf8(self.data.clone()).unwrap()
    }

    pub(crate) fn notes(&self) -> String {
        String::from_utf8(self.notes.clone()).unwrap()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.data).unwrap()
    }
}
