//! Nodes: what the nodes said of themselves last, read from NODES, and whose heartbeat is gone.

use crate::error::AdminError;
use crate::output::Output;
use crate::source::{Source, Start};
use kluster_log::{Log, LogError, Record};
use kluster_node::report::Clock;
use kluster_protocol::{DEFAULT_WINDOW, Fingerprints, Heartbeat, Kind, Membership, NodeId, Topic, header};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// A node not heard of for so long counts as gone: five heartbeats.
pub const GONE_AFTER: Duration = Duration::from_secs(5);
/// How long a node is listened for: it beats every second.
const LISTEN: Duration = Duration::from_millis(2500);

/// The newest heartbeat of a node.
#[derive(Debug, Clone)]
pub struct Heard {
    /// What it said.
    pub heartbeat: Heartbeat,
    /// When the log took it, in milliseconds since 1970 by the broker's clock.
    timestamp_ms: u64,
    /// When it came, if it came while this command was listening: no clock of another machine is needed for its age then.
    live: Option<Instant>,
}

/// The newest heartbeat of each node.
pub struct Nodes {
    source: Source,
    heard: BTreeMap<NodeId, Heard>,
    fingerprints: Fingerprints,
    clock: Clock,
    /// The newest time that the broker gave: its clock is at least there.
    broker_ms: u64,
    past_read: bool,
    unreadable: u64,
}

impl Nodes {
    /// Reads NODES from its start to its end.
    pub async fn read(log: &Log, clock: &Clock) -> Result<Self, LogError> {
        let source = Source::open(log, Topic::Nodes, Start::Beginning).await?;
        let (heard, fingerprints, clock) = (BTreeMap::new(), Fingerprints::default(), clock.clone());
        let mut nodes = Self { source, heard, fingerprints, clock, broker_ms: 0, past_read: false, unreadable: 0 };
        while let Some(record) = nodes.source.past().await? {
            nodes.hear(&record);
        }
        nodes.past_read = true;
        Ok(nodes)
    }

    /// What was said of fingerprints.
    pub fn fingerprints(&self) -> &Fingerprints {
        &self.fingerprints
    }

    /// Awaits the next heartbeat. Cancel-safe.
    pub async fn next(&mut self) -> Result<(), LogError> {
        let record = self.source.next().await?;
        self.hear(&record);
        Ok(())
    }

    /// Listens for those who seem gone, at most 2.5 s: this machine's clock may only be ahead of the broker's.
    pub async fn listen(&mut self) -> Result<(), LogError> {
        self.listen_until(|_| true).await
    }

    /// Listens until nobody who is expected seems gone and `settled` holds, at most 2.5 s.
    pub async fn listen_until(&mut self, settled: impl Fn(&Self) -> bool) -> Result<(), LogError> {
        let deadline = Instant::now() + LISTEN;
        while self.expected().iter().any(|node| self.is_silent(node)) || !settled(self) {
            match timeout_at(deadline, self.next()).await {
                Ok(heard) => heard?,
                Err(_) => break,
            }
        }
        Ok(())
    }

    /// The newest heartbeats by the nodes' names.
    pub fn heard(&self) -> impl Iterator<Item = (&NodeId, &Heard)> {
        self.heard.iter()
    }

    /// The newest heartbeat of one node.
    pub fn of(&self, node: &NodeId) -> Option<&Heard> {
        self.heard.get(node)
    }

    /// The members as the node with the newest version knows them.
    pub fn membership(&self) -> Membership {
        let memberships = self.heard.values().map(|heard| &heard.heartbeat.membership);
        memberships.max_by_key(|membership| membership.version).cloned().unwrap_or_default()
    }

    /// For how many offsets every one of those who should be heard of remembers outcomes: the fewest that any of them says, or what a new cluster
    /// has if none does.
    pub fn window(&self) -> u64 {
        let expected = self.expected();
        let heard = self.heard.iter().filter(|(node, _)| expected.contains(node));
        heard.filter_map(|(_, heard)| heard.heartbeat.window).min().unwrap_or(DEFAULT_WINDOW)
    }

    /// Those who should be heard of: the members, or before the first join everyone who ever was.
    pub fn expected(&self) -> BTreeSet<NodeId> {
        let members = self.membership();
        match members.voters.is_empty() && members.observers.is_empty() {
            true => self.heard.keys().cloned().collect(),
            false => members.voters.into_iter().chain(members.observers).collect(),
        }
    }

    /// For how long the node was not heard of; None: it never was.
    pub fn silence(&self, node: &NodeId) -> Option<Duration> {
        let heard = self.heard.get(node)?;
        Some(heard.live.map_or_else(
            || Duration::from_millis((self.clock)().max(self.broker_ms).saturating_sub(heard.timestamp_ms)),
            |at| at.elapsed(),
        ))
    }

    /// The node's heartbeat is gone, or it never had one.
    pub fn is_silent(&self, node: &NodeId) -> bool {
        self.silence(node).is_none_or(|silence| silence >= GONE_AFTER)
    }

    /// The node is heard of, and its answers can be expected.
    pub fn is_live(&self, node: &NodeId) -> bool {
        !self.is_silent(node) && self.heard.get(node).is_some_and(|heard| heard.heartbeat.state.is_live())
    }

    /// Says so if records of NODES could not be read.
    pub fn note(&self, output: &mut Output) -> Result<(), AdminError> {
        match self.unreadable {
            0 => Ok(()),
            count => Ok(output.note(&format!(
                "{count} records of NODES are no heartbeats this version can read: is a newer Kluster, or something else, writing there?"
            ))?),
        }
    }

    fn hear_fingerprint(&mut self, record: &Record) {
        let key = record.key.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
        let heard = self.fingerprints.hear(&key, record.value.as_deref(), record.offset, record.timestamp_ms);
        self.unreadable += u64::from(heard.is_err());
    }

    fn hear(&mut self, record: &Record) {
        let timestamp_ms = u64::try_from(record.timestamp_ms).unwrap_or_default();
        self.broker_ms = self.broker_ms.max(timestamp_ms);
        if let Some(kind) = record.header(header::KIND) {
            // Reports of checks are read by `verify`.
            if kind == Kind::FINGERPRINT.as_bytes() {
                self.hear_fingerprint(record);
            }
            return;
        }
        let Some(value) = &record.value else {
            let key = record.key.as_deref().unwrap_or_default();
            self.heard.remove(&NodeId::new(String::from_utf8_lossy(key)));
            return;
        };
        let Ok(heartbeat) = serde_json::from_slice::<Heartbeat>(value) else {
            self.unreadable += 1;
            return;
        };
        let live = self.past_read.then(Instant::now);
        self.heard.insert(heartbeat.node_id.clone(), Heard { heartbeat, timestamp_ms, live });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Cluster, node};
    use kluster_log::NewRecord;

    #[tokio::test(start_paused = true)]
    async fn the_newest_heartbeat_stands_and_silence_is_measured() {
        let cluster = Cluster::new();
        cluster.beat(&node("n1").applied(1)).await;
        cluster.beat(&node("n2")).await;
        cluster.pass(4_000);
        cluster.beat(&node("n1").applied(2)).await;
        cluster.append(Topic::Nodes, NewRecord::of("nonsense").keyed("n9")).await;
        cluster.pass(2_000);
        let nodes = Nodes::read(&cluster.log, &cluster.clock).await.unwrap();
        assert_eq!(nodes.of(&"n1".into()).unwrap().heartbeat.applied.unwrap().get(), 2);
        assert_eq!(nodes.silence(&"n1".into()), Some(Duration::from_secs(2)));
        assert!(nodes.is_silent(&"n2".into()) && !nodes.is_silent(&"n1".into()) && nodes.is_silent(&"n3".into()));
        assert_eq!(nodes.unreadable, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn who_beats_while_listened_to_is_not_gone_whatever_the_clocks_say() {
        let cluster = Cluster::new();
        cluster.beat(&node("n1")).await;
        cluster.pass(3_600_000);
        let mut nodes = Nodes::read(&cluster.log, &cluster.clock).await.unwrap();
        assert!(nodes.is_silent(&"n1".into()));
        let (listened, ()) = tokio::join!(nodes.listen(), async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            cluster.beat(&node("n1")).await;
        });
        listened.unwrap();
        assert!(nodes.is_live(&"n1".into()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_tombstone_forgets_a_node() {
        let cluster = Cluster::new();
        cluster.beat(&node("n1")).await;
        cluster.append(Topic::Nodes, NewRecord::default().keyed("n1")).await;
        let nodes = Nodes::read(&cluster.log, &cluster.clock).await.unwrap();
        assert_eq!(nodes.heard().count(), 0);
    }
}
