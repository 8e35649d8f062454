//! Control records: what the cluster says about itself, in ALL, where it has a place in the order. And what they amount to: membership.

use crate::NodeId;
use serde::{Deserialize, Serialize};

/// A control record: a record of ALL with the header `kluster-kind: control`. It advances the applied offset like any record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "control", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Control {
    /// A node asks to be counted.
    Join {
        /// The node.
        node_id: NodeId,
        /// What it will be.
        role: Role,
        /// The version of the membership that the writer saw; where it is not the current one, the record changes nothing.
        replaces: u64,
    },
    /// A node is no longer to be counted.
    Leave {
        /// The node.
        node_id: NodeId,
        /// The version of the membership that the writer saw; where it is not the current one, the record changes nothing.
        replaces: u64,
    },
    /// Nothing but an offset: a strong read waits for it.
    Barrier,
    /// Every node is to sum its tables as of this record, so that they can be compared.
    Check {
        /// The check's name, at most 200 bytes. A record that names the newest check again and replaces nothing changes nothing.
        id: String,
        /// The number of the check that the writer saw as the newest; where it is not, the record changes nothing. Absent: the check is made
        /// in any case.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        replaces: Option<u64>,
        /// How often the check was repeated before.
        #[serde(default, skip_serializing_if = "is_zero")]
        attempt: u32,
    },
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// What a node is in the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Role {
    /// Its answers are awaited and counted.
    Voter,
    /// It applies the log, and nobody waits for it.
    Observer,
}

/// The members as of an offset: a function of the control records up to it, so the same on every node.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Membership {
    /// Rises by one with each change.
    pub version: u64,
    /// Those whose answers count, by name.
    pub voters: Vec<NodeId>,
    /// Those who only follow, by name.
    pub observers: Vec<NodeId>,
}

impl Membership {
    /// Applies a control record. A stale one, or one that says what holds already, changes nothing.
    pub fn apply(&mut self, control: &Control) {
        let (node, role, replaces) = match control {
            Control::Join { node_id, role, replaces } => (node_id, Some(*role), *replaces),
            Control::Leave { node_id, replaces } => (node_id, None, *replaces),
            Control::Barrier | Control::Check { .. } => return,
        };
        if replaces != self.version || self.role(node) == role {
            return;
        }
        self.voters.retain(|voter| voter != node);
        self.observers.retain(|observer| observer != node);
        let list = match role {
            Some(Role::Voter) => Some(&mut self.voters),
            Some(Role::Observer) => Some(&mut self.observers),
            None => None,
        };
        if let Some(list) = list {
            list.push(node.clone());
            list.sort();
        }
        self.version += 1;
    }

    /// What this node is, if a member.
    pub fn role(&self, node: &NodeId) -> Option<Role> {
        match () {
            () if self.voters.contains(node) => Some(Role::Voter),
            () if self.observers.contains(node) => Some(Role::Observer),
            () => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn join(node: &str, role: Role, replaces: u64) -> Control {
        Control::Join { node_id: node.into(), role, replaces }
    }

    #[test]
    fn stale_and_empty_changes_change_nothing() {
        let mut members = Membership::default();
        members.apply(&join("n2", Role::Voter, 0));
        members.apply(&join("n1", Role::Voter, 1));
        members.apply(&join("n3", Role::Voter, 1)); // stale
        members.apply(&join("n1", Role::Voter, 2)); // holds already
        assert_eq!(members, Membership { version: 2, voters: vec!["n1".into(), "n2".into()], observers: vec![] });
        members.apply(&join("n1", Role::Observer, 2));
        members.apply(&Control::Leave { node_id: "n2".into(), replaces: 3 });
        members.apply(&Control::Leave { node_id: "n9".into(), replaces: 4 });
        assert_eq!(members, Membership { version: 4, voters: vec![], observers: vec!["n1".into()] });
    }

    #[test]
    fn control_keeps_its_published_form() {
        for json in [
            r#"{"control":"join","nodeId":"n1","role":"voter","replaces":0}"#,
            r#"{"control":"leave","nodeId":"n1","replaces":4}"#,
            r#"{"control":"barrier"}"#,
            r#"{"control":"check","id":"c1"}"#,
            r#"{"control":"check","id":"c1","replaces":3,"attempt":1}"#,
        ] {
            let control: Control = serde_json::from_str(json).unwrap();
            assert_eq!(serde_json::to_string(&control).unwrap(), json);
        }
    }
}
