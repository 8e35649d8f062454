//! Voters: who they are and who of them is gone, by what the nodes said on NODES. No I/O.

use kluster_protocol::{Heartbeat, NodeId, NodeState};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// Membership versions kept beside the newest, for answers that were counted under them.
const VERSIONS: usize = 16;

/// Who the voters are and who of them is gone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Voters {
    /// The voters' names by membership version.
    lists: BTreeMap<u64, Vec<NodeId>>,
    /// Why no answer is expected of a node.
    gone: BTreeMap<NodeId, String>,
}

impl Voters {
    /// The voters as of a version, if a node has said it.
    pub(crate) fn of_version(&self, version: u64) -> Option<&[NodeId]> {
        self.lists.get(&version).map(Vec::as_slice)
    }

    /// The voters as of the newest version known.
    pub(crate) fn newest(&self) -> Option<&[NodeId]> {
        self.lists.last_key_value().map(|(_, names)| names.as_slice())
    }

    /// Why no answer is expected of this node now, if so. A node never heard of may be there all the same.
    pub(crate) fn why_gone(&self, node: &NodeId) -> Option<String> {
        self.gone.get(node).cloned()
    }
}

/// The newest heartbeat of each node, and when it came. A heartbeat that lay in the topic before is of unknown age: it counts from when it was
/// read.
#[derive(Debug)]
pub(crate) struct Heartbeats {
    gone_after: Duration,
    since: Instant,
    nodes: BTreeMap<NodeId, Heard>,
    lists: BTreeMap<u64, Vec<NodeId>>,
}

#[derive(Debug)]
struct Heard {
    at: Instant,
    state: NodeState,
    /// It waits for a decision.
    waits: bool,
}

impl Heartbeats {
    /// Listening from now on.
    pub(crate) fn new(gone_after: Duration, now: Instant) -> Self {
        Self { gone_after, since: now, nodes: BTreeMap::new(), lists: BTreeMap::new() }
    }

    /// A heartbeat came.
    pub(crate) fn hear(&mut self, heartbeat: Heartbeat, now: Instant) {
        self.lists.insert(heartbeat.membership.version, heartbeat.membership.voters);
        while self.lists.len() > VERSIONS {
            self.lists.pop_first();
        }
        self.nodes
            .insert(heartbeat.node_id, Heard { at: now, state: heartbeat.state, waits: heartbeat.halt.is_some() });
    }

    /// The node's record was taken out of the topic.
    pub(crate) fn forget(&mut self, node: &NodeId) {
        self.nodes.remove(node);
    }

    /// What holds now.
    pub(crate) fn voters(&self, now: Instant) -> Voters {
        let gone = self.nodes.iter().filter_map(|(node, heard)| Some((node.clone(), self.why_gone(heard, now)?)));
        let mut gone: BTreeMap<NodeId, String> = gone.collect();
        if now >= self.since + self.gone_after {
            let unheard = self.lists.values().flatten().filter(|node| !self.nodes.contains_key(*node));
            gone.extend(unheard.map(|node| (node.clone(), "never heard of".to_owned())));
        }
        Voters { lists: self.lists.clone(), gone }
    }

    /// When the next node will be gone unless it is heard of.
    pub(crate) fn next_silence(&self, now: Instant) -> Option<Instant> {
        let heard = self.nodes.values().map(|heard| heard.at);
        heard.chain([self.since]).map(|at| at + self.gone_after).filter(|at| *at > now).min()
    }

    fn why_gone(&self, heard: &Heard, now: Instant) -> Option<String> {
        match &heard.state {
            NodeState::Stopped { offset, code, .. } if heard.waits => {
                Some(format!("waits for a decision at offset {offset}: {code}"))
            }
            NodeState::Stopped { offset, code, .. } => Some(format!("stopped at offset {offset}: {code}")),
            NodeState::Retrying { code, .. } => Some(format!("retrying: {code}")),
            NodeState::Starting => Some("starting".to_owned()),
            NodeState::Leaving => Some("leaving".to_owned()),
            NodeState::Ready | NodeState::CatchingUp if now >= heard.at + self.gone_after => {
                Some(format!("not heard of for {:?}", self.gone_after))
            }
            NodeState::Ready | NodeState::CatchingUp => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kluster_protocol::{Membership, Offset};

    fn heartbeat(node: &str, version: u64, voters: &[&str], state: NodeState) -> Heartbeat {
        Heartbeat {
            node_id: node.into(),
            instance_id: "i".into(),
            state,
            topic_id: None,
            applied: None,
            chain: None,
            points: vec![],
            effects: None,
            window: None,
            membership: Membership {
                version,
                voters: voters.iter().map(|name| NodeId::from(*name)).collect(),
                observers: vec![],
            },
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
        }
    }

    #[tokio::test(start_paused = true)]
    async fn silence_and_trouble_count_as_gone() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut heartbeats = Heartbeats::new(5 * second, start);
        heartbeats.hear(heartbeat("n1", 3, &["n1", "n2", "n3"], NodeState::Ready), start + second);
        let stopped = NodeState::Stopped { offset: Offset::new(7), round: 0, code: "53100".into() };
        heartbeats.hear(heartbeat("n2", 3, &["n1", "n2", "n3"], stopped), start + second);
        let why = |at: Instant, node: &str| heartbeats.voters(at).why_gone(&node.into());
        assert_eq!(why(start + 2 * second, "n1"), None);
        assert_eq!(why(start + 2 * second, "n2").unwrap(), "stopped at offset 7: 53100");
        assert_eq!(why(start + 2 * second, "n3"), None, "its heartbeat may be about to be read");
        assert_eq!(why(start + 5 * second, "n3").unwrap(), "never heard of");
        assert_eq!(why(start + 5 * second, "n1"), None);
        assert_eq!(heartbeats.next_silence(start + 5 * second), Some(start + 6 * second));
        assert_eq!(why(start + 6 * second, "n1").unwrap(), "not heard of for 5s");
        assert_eq!(heartbeats.voters(start).newest().unwrap().len(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn older_memberships_are_kept_for_a_while() {
        let now = Instant::now();
        let mut heartbeats = Heartbeats::new(Duration::from_secs(5), now);
        for version in 1..=20 {
            heartbeats.hear(heartbeat("n1", version, &["n1"], NodeState::Ready), now);
        }
        assert!(heartbeats.voters(now).of_version(20).is_some());
        assert!(heartbeats.voters(now).of_version(5).is_some());
        assert!(heartbeats.voters(now).of_version(4).is_none());
    }
}
