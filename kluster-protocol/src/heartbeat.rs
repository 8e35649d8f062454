//! Heartbeat: what a node says of itself on NODES, keyed by its name, so that the newest one stands.

use crate::{Chain, EffectsReport, Halt, Membership, NodeId, Offset, Running};
use serde::{Deserialize, Serialize};

/// What a node says of itself, every second and at each change of state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Heartbeat {
    /// The node.
    pub node_id: NodeId,
    /// This run of the node's process: two at once under one name are two processes.
    pub instance_id: String,
    /// What it is doing.
    pub state: NodeState,
    /// Kafka's id of the topic ALL that it follows: nodes that follow another are not compared. Absent where the broker has none, and from nodes
    /// that did not say so yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic_id: Option<String>,
    /// The last offset of ALL that is in its database; absent before the first.
    pub applied: Option<Offset>,
    /// The chain there.
    pub chain: Option<Chain>,
    /// The chain at the last two multiples of 2^k for each k, so that two nodes that are not far apart share a point by which to compare.
    #[serde(default)]
    pub points: Vec<ChainPoint>,
    /// What it says of its effects; absent from nodes that do not say so yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effects: Option<EffectsReport>,
    /// The members as it knows them.
    pub membership: Membership,
    /// For how many offsets it remembers outcomes; absent before the first, and from nodes that did not say so yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<u64>,
    /// Where the node waits for a decision on DECISIONS; absent: it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub halt: Option<Halt>,
    /// The ALL lane obeys every decision below this place of DECISIONS: with `applied` it says which offsets are not committed against them, now
    /// or later. Absent before the lane has begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub obeys: Option<Offset>,
    /// The highest offset that this node may have applied, and answered, in a database that it no longer has; beyond `applied`. Absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub may_have_applied: Option<Offset>,
    /// What has been executing for some seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<Running>,
    /// The DBMS's name: `PostgreSQL`, `MariaDB`, `SQLite`.
    pub dbms: String,
    /// The DBMS's version.
    pub dbms_version: String,
    /// Kluster's version.
    pub version: String,
    /// The version of the rules over SQL.
    pub rule_set: u32,
    /// The address of its HTTP port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<String>,
    /// When this was said by the node's own clock, in milliseconds since 1970; for people only.
    pub at_ms: u64,
}

/// A node's state. What is not `ready` or `catchingUp` counts as gone for those who wait for all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum NodeState {
    /// Not yet at the log.
    Starting,
    /// Applying what it missed.
    CatchingUp,
    /// At the end of the log.
    Ready,
    /// Trying the record behind `applied` again: a passing fault.
    Retrying {
        /// Since when, in milliseconds since 1970.
        since_ms: u64,
        /// The DBMS's code, or what the fault is.
        code: String,
    },
    /// Stopped by a fault that needs a person; reads on ONE may go on.
    Stopped {
        /// The offset that was not applied.
        offset: Offset,
        /// How often a decision to retry has been followed.
        round: u32,
        /// The DBMS's code, or what the fault is.
        code: String,
    },
    /// Ending on request.
    Leaving,
}

/// The chain at an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainPoint {
    /// A multiple of a power of two.
    pub offset: Offset,
    /// The chain there.
    pub chain: Chain,
}

impl NodeState {
    /// The node's answers can be expected.
    pub fn is_live(&self) -> bool {
        match self {
            Self::Ready | Self::CatchingUp => true,
            Self::Starting | Self::Retrying { .. } | Self::Stopped { .. } | Self::Leaving => false,
        }
    }
}
