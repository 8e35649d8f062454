//! ClientError: why a request has no good answer, named for what the caller can do next.

use crate::answers::Answered;
use kluster_log::LogError;
use kluster_protocol::{MessageId, NodeId, Offset, ResponseError};
use std::fmt;

/// What is known of the effect of a request that got no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It may take effect, now or later. Ask again with its [`Ticket`]: it is executed once all the same.
    Open,
    /// It surely has no effect: it never reached the log, or it only read.
    NoEffect,
}

/// What a retry must repeat so that the request is executed once: give it to [`Execute::retry`](crate::Execute::retry).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    /// The request's id.
    pub message_id: MessageId,
    /// The offset below every attempt, where one was known.
    pub since_offset: Option<Offset>,
}

/// Why a request has no good answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ClientError {
    /// Every node refuses it alike: it had no effect, and asking again changes nothing while the data stay as they are.
    #[error("refused as {}{}: {}", error.code, at(offset), error.message)]
    Refused {
        /// Why.
        error: ResponseError,
        /// The request's offset in ALL; for reads on ONE the offset that the node had applied.
        offset: Option<Offset>,
        /// Who refused it; when it stands in ALL, the other nodes refuse it too.
        nodes: Vec<NodeId>,
    },
    /// The answers that were asked for did not come before the deadline.
    #[error("request {}: no answer in time{}; {}", ticket.message_id, from(answered), next(*outcome))]
    TimedOut {
        /// Names the request on a retry.
        ticket: Ticket,
        /// Whether it can have taken effect.
        outcome: Outcome,
        /// Who answered by then.
        answered: Vec<NodeId>,
    },
    /// No node has joined the cluster as a voter yet, so there is nothing to count; the request was answered by one node all the same.
    #[error(
        "request {}: answered by {}, but the cluster has no voters yet: only first() works before the first node has joined", ticket.message_id,
        answered.node_id
    )]
    NoVoters {
        /// Names the request.
        ticket: Ticket,
        /// The answer that came.
        answered: Answered,
    },
    /// Two nodes answered one request at one offset with different chains: their data differ. Stop writing and compare the nodes.
    #[error(
        "request {message_id}: nodes {} and {} differ at offset {offset}: stop writing, and keep the databases as they are until it is known why (kluster-admin status shows who differs)",
        one.node_id, other.node_id
    )]
    Diverged {
        /// The request.
        message_id: MessageId,
        /// Where they differ.
        offset: Offset,
        /// One answer.
        one: Box<Answered>,
        /// The answer that differs from it.
        other: Box<Answered>,
    },
    /// Too many voters are gone for the number of answers asked for. Those who are gone catch up when they come back.
    #[error("{0}")]
    VotersGone(Box<VotersGone>),
    /// The client was closed while the request waited.
    #[error("the client was closed{}", what_of(ticket, *outcome))]
    Closed {
        /// Names the request on a retry, where there was one.
        ticket: Option<Ticket>,
        /// Whether it can have taken effect.
        outcome: Outcome,
    },
    /// The log refuses, and trying again does not help.
    #[error("{source}{}", what_of(ticket, *outcome))]
    Log {
        /// What the log says.
        source: LogError,
        /// Names the request on a retry, where there was one.
        ticket: Option<Ticket>,
        /// Whether it can have taken effect.
        outcome: Outcome,
    },
    /// The read was given up by [`crate::Query::rows_until`]; a read has no effect.
    #[error("{}", ended(node.as_ref()))]
    Ended {
        /// The node that has ended it. None: no node said so in time, or nothing was sent.
        node: Option<NodeId>,
    },
    /// The result does not fit the memory that a request may take; it took effect all the same if it wrote.
    #[error("the result has more than {limit} bytes: read it with stream(), or raise Options::max_result_bytes")]
    ResultTooLarge {
        /// `Options::max_result_bytes`.
        limit: usize,
    },
    /// A stream ended in the middle: what was delivered is right, but not all. Start the read again.
    #[error("the result of node {node_id} broke off after {rows} rows: {reason}; start the read again")]
    StreamBroken {
        /// The node that was answering.
        node_id: NodeId,
        /// How many rows had been delivered.
        rows: u64,
        /// Why.
        reason: String,
    },
    /// The request took effect, and what it returned was not kept.
    #[error("the request was executed by an earlier attempt and its rows were not kept: read the data anew")]
    ResultGone,
    /// The result has no row.
    #[error("the result has no row, one was asked for")]
    NoRow,
    /// A row does not fit the type it was asked as.
    #[error("{0}")]
    Decode(String),
    /// The call itself is wrong; nothing was sent.
    #[error("{0}")]
    Invalid(String),
}

/// Who answered and who could not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VotersGone {
    /// Names the request on a retry.
    pub ticket: Ticket,
    /// Whether the request can have taken effect.
    pub outcome: Outcome,
    /// How many answers were wanted.
    pub wanted: u32,
    /// Who answered. If anybody did, the request is executed (or refused) everywhere.
    pub answered: Vec<Answered>,
    /// Who did not, and why no answer is expected of it.
    pub missing: Vec<(NodeId, String)>,
}

impl fmt::Display for VotersGone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nodes: Vec<NodeId> = self.answered.iter().map(|answered| answered.node_id.clone()).collect();
        let missing: Vec<String> = self.missing.iter().map(|(node, why)| format!("{node} ({why})")).collect();
        write!(f, "request {}: {} answers were wanted{}, ", self.ticket.message_id, self.wanted, from(&nodes))?;
        match missing.is_empty() {
            true => f.write_str("and there are no more voters"),
            false => write!(f, "and no more will come for now: {}", missing.join(", ")),
        }?;
        match nodes.is_empty() {
            true => write!(f, "; {}", next(self.outcome)),
            false => f.write_str("; it is decided, and the others will follow"),
        }
    }
}

impl ClientError {
    /// What a retry must repeat, where the request had been given an id.
    pub fn ticket(&self) -> Option<&Ticket> {
        match self {
            Self::TimedOut { ticket, .. } | Self::NoVoters { ticket, .. } => Some(ticket),
            Self::VotersGone(gone) => Some(&gone.ticket),
            Self::Closed { ticket, .. } | Self::Log { ticket, .. } => ticket.as_ref(),
            _ => None,
        }
    }

    pub(crate) fn log(source: LogError) -> Self {
        Self::Log { source, ticket: None, outcome: Outcome::NoEffect }
    }
}

fn ended(node: Option<&NodeId>) -> String {
    match node {
        Some(node) => format!("the read was ended on node {node}"),
        None => "the read was given up; if a node executes it, it ends when its time is over".to_owned(),
    }
}

fn at(offset: &Option<Offset>) -> String {
    offset.map(|offset| format!(" at offset {offset}")).unwrap_or_default()
}

fn from(answered: &[NodeId]) -> String {
    let names: Vec<&str> = answered.iter().map(NodeId::as_str).collect();
    match names.is_empty() {
        true => String::new(),
        false => format!(" (answered: {})", names.join(", ")),
    }
}

fn next(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Open => "it may have taken effect: ask again with the same ticket, it is executed once",
        Outcome::NoEffect => "it has no effect",
    }
}

fn what_of(ticket: &Option<Ticket>, outcome: Outcome) -> String {
    ticket.as_ref().map(|ticket| format!("; request {}: {}", ticket.message_id, next(outcome))).unwrap_or_default()
}
