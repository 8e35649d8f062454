//! Watch: waits for what nodes say of themselves on NODES.

use crate::cluster::PATIENCE;
use kluster_log::Log;
use kluster_protocol::{Heartbeat, NodeState, Offset, SystemError, Topic};
use std::collections::BTreeMap;

/// Where NODES ends now.
pub async fn now(log: &Log) -> Offset {
    log.range(Topic::Nodes, 0).await.expect("NODES has a range").end
}

/// Follows the heartbeats from `since` on until `enough`, and gives the newest of each node.
pub async fn until(
    log: &Log,
    since: Offset,
    enough: impl Fn(&BTreeMap<String, Heartbeat>) -> bool,
) -> BTreeMap<String, Heartbeat> {
    let mut reader = log.read(Topic::Nodes, 0, since).await.expect("NODES can be read");
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
    let ended = tokio::time::timeout(PATIENCE, following).await;
    assert!(ended.is_ok(), "the cluster did not get there: {beats:#?}");
    beats
}

/// Waits until each of these nodes has said since then that it is ready and a voter.
pub async fn ready(log: &Log, since: Offset, names: &[String]) {
    let voter = |beat: &Heartbeat| beat.state == NodeState::Ready && beat.membership.voters.contains(&beat.node_id);
    until(log, since, |beats| names.iter().all(|name| beats.get(name).is_some_and(voter))).await;
}

/// Waits until each of these nodes has applied what ALL holds now and is ready for more; gives what they then say of themselves.
pub async fn caught_up(log: &Log, names: &[String]) -> BTreeMap<String, Heartbeat> {
    let start = log.range(Topic::Nodes, 0).await.expect("NODES has a range").start;
    let end = log.range(Topic::All, 0).await.expect("ALL has a range").end;
    let there = |beat: &Heartbeat| beat.state == NodeState::Ready && beat.applied.is_some_and(|at| at.next() >= end);
    until(log, start, |beats| names.iter().all(|name| beats.get(name).is_some_and(there))).await
}

/// Waits until the node's newest word since then is that it has stopped; gives why.
pub async fn stopped(log: &Log, since: Offset, name: &str) -> String {
    let why = |beats: &BTreeMap<String, Heartbeat>| match &beats.get(name)?.state {
        NodeState::Stopped { code, .. } => Some(code.clone()),
        _ => None,
    };
    let beats = until(log, since, |beats| why(beats).is_some()).await;
    why(&beats).expect("it was just seen")
}

/// What ERRORS holds now.
pub async fn errors(log: &Log) -> Vec<SystemError> {
    let range = log.range(Topic::Errors, 0).await.expect("ERRORS has a range");
    let mut reader = log.read(Topic::Errors, 0, range.start).await.expect("ERRORS can be read");
    let mut errors = Vec::new();
    let mut next = range.start;
    while next < range.end {
        let record = reader.next().await.expect("ERRORS can be read");
        next = record.offset.next();
        errors.push(serde_json::from_slice(record.value.as_deref().unwrap_or_default()).expect("a report"));
    }
    errors
}
