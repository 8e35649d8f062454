//! Membership, from the node's side: once it has caught up, a node asks in the log to be counted.
//!
//! Neighbours: the ALL lane asks whenever it waits at the end of the log; `kluster_protocol::Membership` says what the records amount to.

use kluster_log::{Log, NewRecord};
use kluster_protocol::{Control, Kind, Membership, NodeId, Role, Topic, header};

/// Asks for this node's place in the cluster.
#[derive(Debug)]
pub struct Joiner {
    node: NodeId,
    role: Role,
    asked_at: Option<u64>,
}

impl Joiner {
    /// A node that is to be counted as `role`.
    pub fn new(node: NodeId, role: Role) -> Self {
        Self { node, role, asked_at: None }
    }

    /// Asks, unless the node is what it is to be, or has asked at this version already. A stale question changes nothing: another node was
    /// faster, and it is asked again at the version that this brought.
    pub async fn ask(&mut self, log: &Log, membership: &Membership) {
        if membership.role(&self.node) == Some(self.role) || self.asked_at == Some(membership.version) {
            return;
        }
        let join = Control::Join { node_id: self.node.clone(), role: self.role, replaces: membership.version };
        match log.append(Topic::All, None, control(&join)).await {
            Ok(appended) => {
                tracing::info!(node = %self.node, version = membership.version, offset = %appended.offset, "asked to be counted");
                self.asked_at = Some(membership.version);
            }
            Err(error) => tracing::warn!(node = %self.node, %error, "could not ask to be counted yet"),
        }
    }
}

/// The record that carries `control`.
pub fn control(control: &Control) -> NewRecord {
    let value = serde_json::to_vec(control).expect("a control record can be written as JSON");
    NewRecord::of(value).header(header::KIND, Kind::CONTROL)
}
