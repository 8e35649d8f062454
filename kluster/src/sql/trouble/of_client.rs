//! What the client library says, as a trouble.

use super::{Kind, Trouble};
use kluster_client::{ClientError, ErrorCode, LogError, NodeId, Offset, Outcome, ResponseError, Ticket, VotersGone};

impl From<ClientError> for Trouble {
    fn from(error: ClientError) -> Self {
        let message = error.to_string();
        match error {
            ClientError::Refused { error, offset, nodes } => Self::by_nodes(error, offset, nodes),
            ClientError::TimedOut { ticket, outcome, answered } => {
                let answers = match answered.len() {
                    0 => "no answer in time".to_owned(),
                    _ => format!("only {} answered in time", joined(&answered)),
                };
                Self::unanswered(answers, Some(ticket), outcome)
            }
            ClientError::NoVoters { ticket, .. } => Self::new(Kind::Open, message)
                .hinted("\\ack first trusts the one that answers")
                .with(|facts| facts.ticket = Some(ticket)),
            ClientError::Diverged { .. } => Self::new(Kind::Differ, message),
            ClientError::VotersGone(gone) => {
                let message = match are_silent(&gone) {
                    true => format!("{message} (do the nodes run? Then the log takes no records: is its disk full?)"),
                    false => message,
                };
                let trouble = Self::new(Kind::Open, message);
                match gone.answered.is_empty() && gone.outcome == Outcome::Open {
                    true => trouble.with(|facts| facts.ticket = Some(gone.ticket)),
                    false => trouble.hinted("\\nodes shows who is there; \\ack first or quorum waits for fewer"),
                }
            }
            ClientError::Closed { ticket, outcome } => {
                Self::unanswered("the connection was closed".to_owned(), ticket, outcome)
            }
            ClientError::Log { source, ticket, outcome } => match source {
                LogError::Settings(what) => Self::new(Kind::Settings, what),
                source if outcome == Outcome::Open => Self::unanswered(source.to_string(), ticket, outcome),
                source => Self::new(Kind::Log, source.to_string()),
            },
            ClientError::Ended { .. } => Self::new(Kind::Interrupted, message),
            ClientError::ResultTooLarge { limit } => {
                let message = format!("the result has more than {} MiB, and a prompt holds it in memory", limit >> 20);
                Self::of(Kind::Refused, ErrorCode::ResultTooLarge.as_str(), message)
                    .hinted("ask for less at once: with LIMIT, or by ranges of the key")
            }
            ClientError::Invalid(what) => Self::new(Kind::Settings, what),
            ClientError::StreamBroken { .. }
            | ClientError::ResultGone
            | ClientError::NoRow
            | ClientError::Decode(_) => Self::new(Kind::Refused, message),
        }
    }
}

impl Trouble {
    pub(super) fn unanswered(what: String, ticket: Option<Ticket>, outcome: Outcome) -> Self {
        match (outcome, ticket) {
            (Outcome::Open, Some(ticket)) => {
                let id = &ticket.message_id;
                let message = format!("{what}; the outcome of request {id} is open: it may take effect or not");
                Self::new(Kind::Open, message).with(|facts| facts.ticket = Some(ticket))
            }
            (Outcome::Open, None) => Self::new(Kind::Open, format!("{what}; the outcome is open")),
            (Outcome::NoEffect, _) => Self::new(Kind::Open, format!("{what}; it has no effect"))
                .hinted("is a node running? \\nodes, or kluster-admin status, shows them"),
        }
    }

    fn by_nodes(error: ResponseError, offset: Option<Offset>, nodes: Vec<NodeId>) -> Self {
        // What the rules refuse has the way out behind its message already.
        Self::of(Kind::Refused, error.code.as_str(), error.message).with(|facts| {
            facts.sql_state = error.sql_state;
            facts.position = error.position.and_then(|position| usize::try_from(position).ok());
            facts.statement_index = error.statement_index.and_then(|index| usize::try_from(index).ok());
            facts.hint = hint_of(error.code).map(str::to_owned);
            (facts.nodes, facts.offset) = (nodes, offset);
        })
    }
}

/// Nobody answers, and nobody says why: so it is with nodes that are gone, and with a log that takes neither requests nor heartbeats.
fn are_silent(gone: &VotersGone) -> bool {
    gone.answered.is_empty() && gone.missing.iter().all(|(_, why)| why.contains("heard of"))
}

/// What helps against a refusal by the DBMS or a node, where the message alone does not say it.
fn hint_of(code: ErrorCode) -> Option<&'static str> {
    match code {
        ErrorCode::NotYet => Some("the node is behind what this session has seen: ask again, or \\read eventual"),
        ErrorCode::Expired => Some("the request is older than what outcomes are remembered for: look at the data"),
        ErrorCode::Unavailable => Some("the node's database does not answer: ask again; \\nodes shows who is there"),
        ErrorCode::ResultTooLarge => Some("ask for less at once: with LIMIT, or by ranges of the key"),
        _ => None,
    }
}

fn joined(nodes: &[NodeId]) -> String {
    nodes.iter().map(NodeId::as_str).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_takes_nothing_is_thought_of_when_all_are_silent() {
        let ticket = Ticket { message_id: "m1".into(), since_offset: None };
        let gone = |why: [&str; 2]| {
            let missing = [("n1".into(), why[0].to_owned()), ("n2".into(), why[1].to_owned())];
            let (answered, outcome) = (Vec::new(), Outcome::Open);
            let gone = VotersGone { ticket: ticket.clone(), outcome, wanted: 2, answered, missing: missing.into() };
            Trouble::from(ClientError::VotersGone(Box::new(gone))).text()
        };
        let silent = gone(["not heard of for 5s", "never heard of"]);
        assert!(silent.contains("is its disk full?"), "{silent}");
        let stopped = gone(["not heard of for 5s", "stopped at offset 7: 53100"]);
        assert!(!stopped.contains("is its disk full?"), "{stopped}");
    }
}
