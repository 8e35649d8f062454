//! SystemError: what a halting or degraded node says on ERRORS. It never carries secrets or the text of SQL.

use crate::{NodeId, Offset};
use serde::{Deserialize, Serialize};

/// The code of a node whose chain is not that of the others: on ERRORS, and in the heartbeat of one that has stopped for it.
pub const DIVERGED: &str = "diverged";

/// What a halting or degraded node says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SystemError {
    /// The node.
    pub node_id: NodeId,
    /// What follows for the node.
    pub class: ErrorClass,
    /// The offset that could not be applied, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<Offset>,
    /// The `messageId` of the request there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The DBMS's code, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// What is wrong and what to do.
    pub message: String,
    /// Since when, in milliseconds since 1970 by the node's own clock.
    pub since_ms: u64,
}

/// What follows for the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ErrorClass {
    /// It works on, and someone should look.
    Alarm,
    /// It tries again by itself.
    Transient,
    /// Only this node fails: it has stopped both lanes.
    Fatal,
    /// Whether other nodes fail too is not known: ALL has stopped, reads go on.
    Unknown,
}
