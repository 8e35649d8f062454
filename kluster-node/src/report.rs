//! Report: what a halting or degraded node says on ERRORS and in its own log.
//!
//! Neighbours: the lanes report; operators read. It never holds secrets or the text of SQL, for no fault does.

use crate::fault::Cause;
use kluster_log::{Log, NewRecord};
use kluster_protocol::{ErrorClass, NodeId, Offset, SystemError, Topic};
use std::sync::Arc;

/// Milliseconds since 1970 by some clock: the machine's, or a simulation's.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Where reports go. Cheap to clone.
#[derive(Clone)]
pub struct Reporter {
    log: Log,
    node: NodeId,
    clock: Clock,
}

impl std::fmt::Debug for Reporter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reporter({})", self.node)
    }
}

impl Reporter {
    /// Reports of `node`.
    pub fn new(log: Log, node: NodeId, clock: Clock) -> Self {
        Self { log, node, clock }
    }

    /// Milliseconds since 1970.
    pub fn now_ms(&self) -> u64 {
        (self.clock)()
    }

    /// Says what is wrong. Where the log does not take it, the node's own log has it.
    pub async fn say(&self, class: ErrorClass, at: Option<(Offset, String)>, cause: &Cause) {
        let (offset, request_id) = at.unzip();
        let request_id = request_id.filter(|id| !id.is_empty());
        tracing::error!(node = %self.node, ?class, ?offset, request_id, code = cause.code, "{}", cause.message);
        let error = SystemError {
            node_id: self.node.clone(),
            class,
            offset,
            request_id,
            code: Some(cause.code.clone()),
            message: cause.message.clone(),
            since_ms: self.now_ms(),
        };
        let record = NewRecord::of(serde_json::to_vec(&error).expect("a report can be written as JSON"))
            .keyed(self.node.to_string());
        if let Err(error) = self.log.append(Topic::Errors, None, record).await {
            tracing::warn!(%error, "the report could not be sent to ERRORS");
        }
    }
}
