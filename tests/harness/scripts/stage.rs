//! Stage: the cluster that a script plays on. Only starting, ending and looking into databases differ between kinds; the rest is done through the
//! log, which is a seam already.

use super::memory::{self, MemoryNode};
use super::watch;
use crate::cluster::{Cluster, Database, Kind, NodeProcess};
use kluster_log::{Log, MemoryLog};
use kluster_node::step::Step;
use std::collections::BTreeMap;

/// The kinds of cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Nodes in this process, on SQLite and a log in memory.
    Memory,
    /// Apache Kafka, and nodes as processes beside databases of this kind.
    Kafka(Kind),
}

/// A cluster.
pub enum Stage {
    /// See [`Place::Memory`].
    Memory(MemoryLog, Vec<MemoryNode>),
    /// See [`Place::Kafka`].
    Kafka(Box<Cluster>, Kind),
}

impl Stage {
    /// A cluster of so many nodes, all voters.
    pub async fn start(place: Place, count: usize) -> Self {
        match place {
            Place::Kafka(kind) => Self::Kafka(Box::new(Cluster::start(kind, count).await), kind),
            Place::Memory => {
                let log = memory::log();
                let mut nodes = Vec::new();
                for n in 1..=count {
                    nodes.push(MemoryNode::start(&format!("n{n}"), &log).await);
                }
                let stage = Self::Memory(log, nodes);
                watch::ready(&stage.log("script"), Default::default(), &stage.running()).await;
                stage
            }
        }
    }

    /// A handle of its log.
    pub fn log(&self, user: &str) -> Log {
        match self {
            Self::Memory(log, _) => Log::memory(log.user(user)),
            Self::Kafka(cluster, _) => cluster.log().clone(),
        }
    }

    /// The names of its nodes, and whether each runs.
    pub fn nodes(&self) -> Vec<(String, bool)> {
        match self {
            Self::Memory(_, nodes) => nodes.iter().map(|node| (node.name().to_owned(), node.runs())).collect(),
            Self::Kafka(cluster, _) => cluster.nodes.iter().map(|node| (node.name().to_owned(), node.runs())).collect(),
        }
    }

    /// The names of the nodes that run.
    pub fn running(&self) -> Vec<String> {
        self.nodes().into_iter().filter_map(|(name, runs)| runs.then_some(name)).collect()
    }

    /// Ends a node as `kill -9` does.
    pub async fn crash(&mut self, name: &str) {
        match self {
            Self::Memory(_, nodes) => in_memory(nodes, name).crash().await,
            Self::Kafka(cluster, _) => process(cluster, name).kill(),
        }
    }

    /// Ends a node when it next comes to this step. A process is told so by its environment, hence started anew before.
    pub async fn crash_at(&mut self, name: &str, step: Step) {
        let (log, since) = (self.log("script"), watch::now(&self.log("script")).await);
        match self {
            Self::Memory(_, nodes) => return in_memory(nodes, name).crash_at(step),
            Self::Kafka(cluster, _) => {
                let node = process(cluster, name);
                node.signal("TERM");
                node.ended().await;
                node.restart(&[("KLUSTER_TEST_STEP", &format!("{step:?}:1:kill"))]);
            }
        }
        watch::ready(&log, since, &[name.to_owned()]).await;
    }

    /// Waits until a node has ended at its step.
    pub async fn crashed(&mut self, name: &str) {
        match self {
            Self::Memory(_, nodes) => in_memory(nodes, name).crashed().await,
            Self::Kafka(cluster, _) => drop(process(cluster, name).ended().await),
        }
    }

    /// Starts a node on its own database, or a new one on an empty database.
    pub async fn start_node(&mut self, name: &str) {
        let known = self.nodes().iter().any(|(known, _)| known == name);
        match self {
            Self::Memory(log, nodes) if known => in_memory(nodes, name).restart(log).await,
            Self::Memory(log, nodes) => nodes.push(MemoryNode::start(name, log).await),
            Self::Kafka(cluster, _) if known => process(cluster, name).restart(&[]),
            Self::Kafka(cluster, kind) => {
                let node = NodeProcess::start(name, Database::create(*kind).await, &cluster.flags(), &[]);
                cluster.nodes.push(node);
            }
        }
    }

    /// Gives a node that does not run an empty database.
    pub async fn empty(&mut self, name: &str) {
        match self {
            Self::Memory(_, nodes) => in_memory(nodes, name).empty(Database::create(Kind::Sqlite).await),
            Self::Kafka(cluster, kind) => {
                let database = Database::create(*kind).await;
                process(cluster, name).empty(database);
            }
        }
    }

    /// Every table of a node, read past Kluster.
    pub async fn tables(&self, name: &str) -> BTreeMap<String, Vec<String>> {
        self.database(name).tables().await
    }

    /// Changes a node's data past Kluster.
    pub async fn alter(&self, name: &str, sql: &str) {
        self.database(name).sql(sql).await;
    }

    fn database(&self, name: &str) -> &Database {
        let database = match self {
            Self::Memory(_, nodes) => nodes.iter().find(|node| node.name() == name).map(MemoryNode::database),
            Self::Kafka(cluster, _) => cluster.nodes.iter().find(|node| node.name() == name).map(NodeProcess::database),
        };
        database.unwrap_or_else(|| panic!("there is no node {name}"))
    }
}

fn in_memory<'a>(nodes: &'a mut [MemoryNode], name: &str) -> &'a mut MemoryNode {
    nodes.iter_mut().find(|node| node.name() == name).unwrap_or_else(|| panic!("there is no node {name}"))
}

fn process<'a>(cluster: &'a mut Cluster, name: &str) -> &'a mut NodeProcess {
    cluster.nodes.iter_mut().find(|node| node.name() == name).unwrap_or_else(|| panic!("there is no node {name}"))
}
