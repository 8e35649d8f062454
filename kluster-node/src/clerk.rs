//! Clerk: hears the heartbeats, and writes to DECISIONS what the council finds.
//!
//! Neighbours: `witness::watch` follows NODES and lets the clerk hear; `council` is the rule; `decisions` reads what is written.
//!
//! Any number of clerks may write the same: of a round the first record holds. To spare records they write one after the other, in the order of
//! their names, and who reads a decision meanwhile writes none.

use crate::council::{Council, Finding, Voice};
use crate::decisions::Following;
use kluster_log::{Log, LogError, NewRecord};
use kluster_protocol::{Decision, Decisions, Heartbeat, NodeId, Topic};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

/// A node not heard of for so long counts as gone, as it does everywhere.
const GONE_AFTER: Duration = crate::witness::GONE_AFTER;
/// As long as this node's own heartbeats did not come back this often, the log may be what is silent.
const GONE_BEATS: u64 = 5;
/// Each clerk waits so much longer than the one before it.
const TURN: Duration = Duration::from_millis(200);

/// What was heard on NODES. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Hearing(Arc<(Mutex<Heard>, Notify)>);

#[derive(Debug)]
struct Heard {
    node: NodeId,
    topic_id: String,
    newest: BTreeMap<NodeId, (Heartbeat, Instant, u64)>,
    own_beats: u64,
}

impl Hearing {
    /// What `node` hears from now on, of nodes that follow this topic ALL.
    pub fn new(node: NodeId, topic_id: String) -> Self {
        let heard = Heard { node, topic_id, newest: BTreeMap::new(), own_beats: 0 };
        Self(Arc::new((Mutex::new(heard), Notify::new())))
    }

    /// A heartbeat came.
    pub fn hear(&self, heartbeat: &Heartbeat, now: Instant) {
        let mut heard = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        let theirs = heartbeat.topic_id.as_deref().unwrap_or_default();
        if theirs != heard.topic_id && !theirs.is_empty() && !heard.topic_id.is_empty() {
            return;
        }
        heard.own_beats += u64::from(heartbeat.node_id == heard.node);
        let beats = heard.own_beats;
        heard.newest.insert(heartbeat.node_id.clone(), (heartbeat.clone(), now, beats));
        drop(heard);
        self.0.1.notify_one();
    }

    /// A node was forgotten by who keeps NODES.
    pub fn forget(&self, node: &NodeId) {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).newest.remove(node);
    }

    /// What the members say just now.
    pub fn council(&self, now: Instant) -> Council {
        let heard = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        let memberships = heard.newest.values().map(|(heartbeat, ..)| &heartbeat.membership);
        let membership = memberships.max_by_key(|membership| membership.version).cloned().unwrap_or_default();
        let voice = |(heartbeat, at, beats): &(Heartbeat, Instant, u64)| Voice {
            heartbeat: heartbeat.clone(),
            gone: now >= *at + GONE_AFTER && heard.own_beats >= *beats + GONE_BEATS,
        };
        let voices = heard.newest.iter().map(|(node, heard)| (node.clone(), voice(heard))).collect();
        Council { membership, voices }
    }

    /// Some node waits for a decision: only then there is anything to judge.
    fn is_quiet(&self) -> bool {
        let heard = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        heard.newest.values().all(|(heartbeat, ..)| heartbeat.halt.is_none())
    }
}

/// Writes what the council finds.
pub struct Clerk {
    /// This node.
    pub node: NodeId,
    /// Where decisions are written.
    pub log: Log,
    /// What was heard.
    pub hearing: Hearing,
    /// What is decided.
    pub decisions: Following,
}

impl Clerk {
    /// Writes until dropped.
    pub async fn run(mut self) -> Infallible {
        self.decisions.begun().await;
        loop {
            let decisions = self.decisions.now();
            if !self.hearing.is_quiet() || decisions.holds().next().is_some() {
                self.write_found(&decisions).await;
            }
            tokio::select! {
                () = self.hearing.0.1.notified() => {}
                () = self.decisions.changed() => {}
            }
        }
    }

    async fn write_found(&self, decisions: &Decisions) {
        let council = self.hearing.council(Instant::now());
        for offset in council.offsets(decisions) {
            let Finding::Decide(found) = council.judge(offset, decisions, self.node.as_str()) else { continue };
            sleep(TURN * self.turn(&council)).await;
            // What holds may have changed meanwhile.
            let (council, decisions) = (self.hearing.council(Instant::now()), self.decisions.now());
            let Finding::Decide(again) = council.judge(offset, &decisions, self.node.as_str()) else { continue };
            if (again.round, again.ruling) != (found.round, found.ruling) {
                continue;
            }
            match write(&self.log, &again).await {
                Ok(()) => tracing::warn!(node = %self.node, decision = ?again, "decided"),
                // It is judged again at the next heartbeat.
                Err(error) => tracing::warn!(node = %self.node, %error, "a decision could not be written yet"),
            }
        }
    }

    fn turn(&self, council: &Council) -> u32 {
        let live = council
            .membership
            .voters
            .iter()
            .filter(|voter| council.voices.get(*voter).is_some_and(|voice| !voice.gone) || **voter == self.node);
        live.take_while(|voter| **voter != self.node).count() as u32
    }
}

/// Appends `decision` to DECISIONS.
///
/// # Errors
/// The log does not take it; whether it lies there is open then, and to write it again does no harm.
pub async fn write(log: &Log, decision: &Decision) -> Result<(), LogError> {
    let value = serde_json::to_vec(decision).expect("a decision can be written as JSON");
    log.append(Topic::Decisions, Some(0), NewRecord::of(value).keyed(decision.offset.to_string())).await.map(drop)
}
