//! A real cluster: Apache Kafka, real databases, and nodes as processes of their own, which a test can stop, kill and start again.
//!
//! Neighbours: `kluster-test-servers` supplies the servers; every test gets topics under a prefix of its own on the process's one Kafka, and
//! databases of its own, so tests run side by side.

mod database;
mod load;
mod own_log;
mod plain_load;
mod process;
mod relay;
mod small_disk;

pub use database::{Database, Kind};
pub use load::Load;
pub use own_log::{copy_directory, readyz};
pub use plain_load::load_past_kluster;
pub use process::{NodeProcess, binary, signal};
pub use relay::Relay;
pub use small_disk::SmallDisk;

use kluster_client::{Client, Options};
use kluster_log::{Log, LogSettings, TopicSettings};
use kluster_protocol::{Heartbeat, NodeState, Offset, Topic};
use kluster_test_servers::{KafkaServer, shared_kafka, until};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// A condition that has not come true after this long never will.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A cluster of one kind of database.
pub struct Cluster {
    /// Its nodes, in the order of their names n1, n2, …
    pub nodes: Vec<NodeProcess>,
    kafka: &'static KafkaServer,
    prefix: String,
    log: Log,
}

impl Cluster {
    /// Starts `count` nodes beside empty databases of `kind` and waits until all have joined.
    pub async fn start(kind: Kind, count: usize) -> Self {
        let mut cluster = Self::without_nodes().await;
        for _ in 0..count {
            cluster.add(Database::create(kind).await);
        }
        cluster.ready().await;
        cluster
    }

    /// Starts one more node, beside this database.
    pub fn add(&mut self, database: Database) -> &mut NodeProcess {
        self.add_with(database, &[])
    }

    /// The same, with these flags more.
    pub fn add_with(&mut self, database: Database, flags: &[&str]) -> &mut NodeProcess {
        let name = format!("n{}", self.nodes.len() + 1);
        let more = flags.iter().map(|flag| (*flag).to_owned());
        let flags: Vec<String> = self.flags().into_iter().chain(more).collect();
        self.nodes.push(NodeProcess::start(&name, database, &flags, &[]));
        self.nodes.last_mut().expect("it was just added")
    }

    /// Topics under a fresh prefix, and no node yet.
    pub async fn without_nodes() -> Self {
        Self::on(shared_kafka().await).await
    }

    /// The same on a Kafka of the test's own.
    pub async fn on(kafka: &'static KafkaServer) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let prefix = format!("t{}-{}-", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let log = Log::connect(settings(kafka, &prefix)).await.expect("Kafka can be reached");
        log.create_topics(&TopicSettings::development()).await.expect("topics can be created");
        Self { nodes: Vec::new(), kafka, prefix, log }
    }

    /// Flags by which a node or a tool finds this cluster.
    pub fn flags(&self) -> Vec<String> {
        ["--bootstrap", self.kafka.bootstrap(), "--topic-prefix", &self.prefix].map(str::to_owned).to_vec()
    }

    /// The Kafka it runs on.
    pub fn kafka(&self) -> &'static KafkaServer {
        self.kafka
    }

    /// What stands before the name of each of its topics.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Its log.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Waits until a read whose text holds `words` is in ONE.
    pub async fn asked(&self, words: &str) {
        until("the read comes into the log", async || self.holds_read(words).await).await;
    }

    async fn holds_read(&self, words: &str) -> bool {
        let partitions = self.log.partitions(Topic::One).await.expect("ONE is there");
        for partition in 0..partitions {
            let range = self.log.range(Topic::One, partition).await.expect("ONE has a range");
            let mut reader = self.log.read(Topic::One, partition, range.start).await.expect("ONE can be read");
            let mut next = range.start;
            while next < range.end {
                let record = reader.next().await.expect("ONE can be read");
                next = record.offset.next();
                if String::from_utf8_lossy(record.value.as_deref().unwrap_or_default()).contains(words) {
                    return true;
                }
            }
        }
        false
    }

    /// A client of its own connection.
    pub async fn client(&self) -> Client {
        let log = Log::connect(settings(self.kafka, &self.prefix)).await.expect("Kafka can be reached");
        Client::over(log, Options::default()).await.expect("a client can connect")
    }

    /// Waits until every node that runs is at the end of the log and all of them are voters.
    pub async fn ready(&self) {
        let running: Vec<&str> = self.nodes.iter().filter(|node| node.runs()).map(NodeProcess::name).collect();
        self.heartbeats_until(|beats| {
            running.iter().all(|name| {
                beats.get(*name).is_some_and(|beat| {
                    beat.state == NodeState::Ready && beat.membership.voters.len() >= self.nodes.len()
                })
            })
        })
        .await;
    }

    /// Waits until every node that runs has applied the end of the log, and gives it.
    pub async fn caught_up(&self) -> Offset {
        let end = self.log.range(Topic::All, 0).await.expect("ALL has a range").end;
        let running: Vec<&str> = self.nodes.iter().filter(|node| node.runs()).map(NodeProcess::name).collect();
        let beats = self
            .heartbeats_until(|beats| {
                running
                    .iter()
                    .all(|name| beats.get(*name).is_some_and(|beat| beat.applied.is_some_and(|at| at.next() >= end)))
            })
            .await;
        beats.values().filter_map(|beat| beat.applied).max().unwrap_or_default()
    }

    /// Follows the heartbeats until `enough`, and gives the newest of each node.
    pub async fn heartbeats_until(
        &self,
        enough: impl Fn(&BTreeMap<String, Heartbeat>) -> bool,
    ) -> BTreeMap<String, Heartbeat> {
        let start = self.log.range(Topic::Nodes, 0).await.expect("NODES has a range").start;
        let mut reader = self.log.read(Topic::Nodes, 0, start).await.expect("NODES can be read");
        let mut beats = BTreeMap::new();
        let following = async {
            while !enough(&beats) {
                let record = reader.next().await.expect("NODES can be read");
                // Reports of checks are no heartbeats.
                if record.header(kluster_protocol::header::KIND).is_some() || record.value.is_none() {
                    continue;
                }
                let beat: Heartbeat =
                    serde_json::from_slice(record.value.as_deref().unwrap_or_default()).expect("a heartbeat");
                beats.insert(beat.node_id.to_string(), beat);
            }
        };
        if tokio::time::timeout(PATIENCE, following).await.is_err() {
            let logs: Vec<String> = self.nodes.iter().map(NodeProcess::last_words).collect();
            panic!("the cluster did not get there: {beats:#?}\n{}", logs.join("\n"));
        }
        beats
    }

    /// Waits until all nodes have applied the end of the log, where their chains must be one.
    pub async fn one_chain(&self) {
        let end = self.log.range(Topic::All, 0).await.expect("ALL has a range").end;
        let names: Vec<&str> = self.nodes.iter().map(NodeProcess::name).collect();
        let level = |beats: &BTreeMap<String, Heartbeat>| {
            let places: BTreeSet<_> = names.iter().map(|name| beats.get(*name).and_then(|beat| beat.applied)).collect();
            places.len() == 1 && places.first().is_some_and(|at| at.is_some_and(|at| at.next() >= end))
        };
        let beats = self.heartbeats_until(level).await;
        let chains: BTreeSet<_> = names.iter().map(|name| format!("{:?}", beats[*name].chain)).collect();
        assert_eq!(chains.len(), 1, "the chains differ: {beats:#?}");
    }

    /// Every node holds the same tables, and the same chain; gives the tables.
    pub async fn same_everywhere(&self) -> BTreeMap<String, Vec<String>> {
        self.caught_up().await;
        self.one_chain().await;
        let mut first: Option<(&str, BTreeMap<String, Vec<String>>)> = None;
        for node in &self.nodes {
            let tables = node.database().tables().await;
            match &first {
                None => first = Some((node.name(), tables)),
                Some((name, same)) => assert_eq!(*same, tables, "{name} and {} differ", node.name()),
            }
        }
        first.map(|(_, tables)| tables).unwrap_or_default()
    }
}

/// How the cluster with this prefix is reached.
fn settings(kafka: &KafkaServer, prefix: &str) -> LogSettings {
    LogSettings { topic_prefix: prefix.to_owned(), ..LogSettings::at(kafka.bootstrap()) }
}
