//! Entry: whether this node's surroundings are those of the cluster. It presents itself on NODES, is compared with the other members, and is then known by
//! what it was admitted with.
//!
//! Neighbours: `watch` reads NODES and asks before the node serves; `kluster_protocol::Fingerprints` is the rule; `kluster-admin doctor` shows the same
//! records to people.
//!
//! Invariants
//! 1. A node applies nothing and joins nothing before it was compared, but where NODES cannot be read: then it is compared as soon as it can.
//! 2. A node that is refused changes nothing for the others: they are compared with what members were admitted with.

use super::GONE_AFTER;
use crate::fault::Cause;
use kluster_log::{Log, LogError, NewRecord, Record};
use kluster_protocol::{
    Fingerprint, Fingerprints, Heartbeat, Kind, Membership, NodeId, Topic, UNLIKE, Unlike, Weight, admitted_key,
    header, presented_key,
};
use std::collections::BTreeMap;

/// A node is taken to be there for so long after its last word, in milliseconds by the log's clock. Longer than [`GONE_AFTER`]: one that starts is silent
/// between presenting itself and its first heartbeat.
const THERE_MS: i64 = 6 * GONE_AFTER.as_millis() as i64;

/// What is known of fingerprints.
#[derive(Debug)]
pub struct Entry {
    node: NodeId,
    topic_id: String,
    own: Fingerprint,
    heard: Fingerprints,
    /// The newest word of each node, by its record's timestamp.
    words: BTreeMap<NodeId, i64>,
    membership: Membership,
    admitted: bool,
}

/// Whether this is a record about fingerprints.
pub fn is_fingerprint(record: &Record) -> bool {
    record.header(header::KIND) == Some(Kind::FINGERPRINT.as_bytes())
}

/// The record by which something about fingerprints is said on NODES.
pub fn said(key: String, value: &impl serde::Serialize) -> NewRecord {
    let value = serde_json::to_vec(value).expect("names and texts can be written as JSON");
    NewRecord::of(value).keyed(key).header(header::KIND, Kind::FINGERPRINT)
}

impl Entry {
    /// The entry of a node with these surroundings, on the topic ALL with this id.
    pub fn new(node: NodeId, topic_id: String, own: Fingerprint) -> Self {
        let (heard, words, membership) = Default::default();
        Self { node, topic_id, own, heard, words, membership, admitted: false }
    }

    /// Says what this node's surroundings are, before NODES is read: so it hears itself behind everyone whom it is compared with.
    pub async fn present(&self, log: &Log) -> Result<(), LogError> {
        log.append(Topic::Nodes, None, said(presented_key(&self.node), &self.own)).await.map(drop)
    }

    /// Whether these records of NODES, the newest of each key, hold what this node presented.
    pub fn is_presented_in(&self, newest: &[Record]) -> bool {
        let key = presented_key(&self.node);
        let mine = newest.iter().find(|record| record.key.as_deref() == Some(key.as_bytes()));
        let mine = mine.and_then(|record| serde_json::from_slice::<Fingerprint>(record.value.as_deref()?).ok());
        mine.as_ref() == Some(&self.own)
    }

    /// Takes in a record about fingerprints.
    pub fn hear(&mut self, record: &Record) {
        let key = record.key.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
        let heard = self.heard.hear(&key, record.value.as_deref(), record.offset, record.timestamp_ms);
        if let Err(error) = heard {
            tracing::debug!(offset = %record.offset, %error, "a record about fingerprints cannot be read");
        }
    }

    /// Takes in a heartbeat, which came with this timestamp.
    pub fn hear_beat(&mut self, heartbeat: &Heartbeat, at_ms: i64) {
        if heartbeat.topic_id.as_ref().is_some_and(|topic| *topic != self.topic_id && !self.topic_id.is_empty()) {
            return;
        }
        self.words.insert(heartbeat.node_id.clone(), at_ms);
        self.knows(&heartbeat.membership);
    }

    /// The members, as somebody knows them.
    pub fn knows(&mut self, membership: &Membership) {
        if membership.version > self.membership.version {
            self.membership = membership.clone();
        }
    }

    /// Whether this node was admitted in this run.
    pub fn is_admitted(&self) -> bool {
        self.admitted
    }

    /// Judges by what was heard. Some: this node must not serve. None: it is admitted, and must say so.
    pub fn judge(&mut self) -> Option<Cause> {
        let now = self.heard.presented(&self.node).map_or(0, |presented| presented.at_ms);
        let is_there = |node: &NodeId| {
            let presented = self.heard.presented(node).map(|presented| presented.at_ms);
            let newest = presented.max(self.words.get(node).copied());
            newest.is_some_and(|at_ms| at_ms >= now - THERE_MS)
        };
        let unlike = self.heard.unlike(&self.node, &self.membership, is_there);
        self.admitted = unlike.is_empty();
        (!self.admitted).then(|| Cause::new(UNLIKE, refused(&unlike)))
    }

    /// Says that this node was admitted with what it has now.
    pub async fn say_admitted(&self, log: &Log) -> Result<(), LogError> {
        log.append(Topic::Nodes, None, said(admitted_key(&self.node), &self.own)).await.map(drop)
    }
}

/// What differs, from whom, and what to do.
fn refused(unlike: &[Unlike]) -> String {
    let mut by_difference: BTreeMap<String, (Weight, Vec<&NodeId>)> = BTreeMap::new();
    for Unlike { node, differences } in unlike {
        for difference in differences {
            by_difference.entry(difference.to_string()).or_insert((difference.weight, Vec::new())).1.push(node);
        }
    }
    let each = by_difference.iter().map(|(words, (_, nodes))| {
        let nodes: Vec<String> = nodes.iter().map(ToString::to_string).collect();
        format!("{words} on {}", nodes.join(", "))
    });
    let each: Vec<String> = each.collect();
    let only_versions = by_difference.values().all(|(weight, _)| *weight == Weight::Version);
    let advice = if only_versions {
        "install the same version, or admit this one for a time by kluster-admin doctor allow"
    } else {
        "make them equal and start this node again; kluster-admin doctor says how"
    };
    format!(
        "this node is not like the other members, so the same request could do something else here: {}; {advice}",
        each.join("; ")
    )
}
