//! Heartbeat: says on NODES what the node is doing, every second and at each change of state.
//!
//! Neighbours: reads `status`; clients and operators read NODES.

use crate::dbms::Info;
use crate::report::Clock;
use crate::start::{LOG_AWAY, LOG_UNREACHABLE};
use crate::status::{Away, Status};
use kluster_log::{Log, NewRecord};
use kluster_protocol::{EffectsReport, Heartbeat, NodeId, NodeState, Topic};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often a node says that it lives.
pub const EVERY: Duration = Duration::from_secs(1);

/// What does not change while the node runs.
pub struct Pulse {
    /// This node.
    pub node: NodeId,
    /// This run of its process.
    pub instance_id: String,
    /// Kafka's id of the topic ALL; empty where the broker has none.
    pub topic_id: String,
    /// Its DBMS.
    pub info: Info,
    /// The address of its HTTP port.
    pub http: Option<String>,
    /// The node's own clock.
    pub clock: Clock,
    /// Cancelled once the log has taken that the node has stopped.
    pub said_stopped: CancellationToken,
}

impl Pulse {
    /// Beats until dropped.
    pub async fn run(self, log: Log, status: Status) {
        let mut changes = status.watch();
        loop {
            let now = changes.borrow_and_update().clone();
            let (said, members) = (now.state.clone(), now.membership.version);
            let (halt, obeys, running) = (now.halt.clone(), now.obeys, now.running.is_some());
            let beat = self.beat(&log, now, status.effects().report());
            match self.heard(beat, &status).await {
                Ok(()) if matches!(said, NodeState::Stopped { .. }) => self.said_stopped.cancel(),
                Ok(()) => {}
                Err(error) => tracing::warn!(node = %self.node, %error, "the heartbeat was not taken by the log"),
            }
            let news = changes.wait_for(|now| {
                let lane = now.halt != halt || now.obeys != obeys || now.running.is_some() != running;
                now.state != said || now.membership.version != members || lane
            });
            let _ = tokio::time::timeout(EVERY, news).await;
        }
    }

    /// Awaits a heartbeat; one that the log has not taken for [`LOG_AWAY`] makes the node unready until one is taken.
    async fn heard(
        &self,
        beat: impl Future<Output = Result<(), kluster_log::LogError>>,
        status: &Status,
    ) -> Result<(), kluster_log::LogError> {
        let since_ms = (self.clock)();
        let unheard = || Some(Away { since_ms, code: LOG_UNREACHABLE.to_owned() });
        tokio::pin!(beat);
        let taken = match tokio::time::timeout(LOG_AWAY, &mut beat).await {
            Ok(taken) => taken,
            Err(_) => {
                if status.now().unheard.is_none() {
                    status.is_unheard(unheard());
                }
                beat.await
            }
        };
        match &taken {
            Ok(()) => status.is_unheard(None),
            Err(_) if status.now().unheard.is_none() => status.is_unheard(unheard()),
            Err(_) => {}
        }
        taken
    }

    async fn beat(
        &self,
        log: &Log,
        now: crate::status::Now,
        effects: Option<EffectsReport>,
    ) -> Result<(), kluster_log::LogError> {
        let heartbeat = Heartbeat {
            node_id: self.node.clone(),
            instance_id: self.instance_id.clone(),
            state: now.state,
            topic_id: Some(self.topic_id.clone()).filter(|id| !id.is_empty()),
            applied: now.applied,
            chain: now.chain,
            points: now.points,
            effects,
            membership: now.membership,
            window: now.window,
            halt: now.halt,
            obeys: now.obeys,
            may_have_applied: now.may_have_applied.filter(|newest| now.applied < Some(*newest)),
            running: now.running,
            dbms: self.info.name.to_owned(),
            dbms_version: self.info.version.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            rule_set: kluster_sql::RULE_SET_VERSION,
            http: self.http.clone(),
            at_ms: (self.clock)(),
        };
        let value = serde_json::to_vec(&heartbeat).expect("a heartbeat can be written as JSON");
        log.append(Topic::Nodes, None, NewRecord::of(value).keyed(self.node.to_string())).await.map(drop)
    }
}
