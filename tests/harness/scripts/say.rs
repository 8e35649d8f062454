//! Say: results as lines that are the same in every run and on every kind of cluster.

use super::answers::Answer;
use kluster_client::{Ack, ClientError, Done, Outcome, Rows};
use kluster_protocol::{ErrorClass, Heartbeat, NodeState, Offset, SystemError};
use std::collections::{BTreeMap, BTreeSet};

/// How a request ended.
pub fn done(ack: Ack, result: &Result<Done, ClientError>) -> Vec<String> {
    let done = match result {
        Ok(done) => done,
        Err(error) => return vec![ended(error)],
    };
    let by: Vec<&str> = done.answered.iter().map(|answered| answered.node_id.as_str()).collect();
    let by = match ack {
        Ack::All => by.join(" "),
        Ack::First | Ack::Nodes(_) | Ack::Quorum => by.len().to_string(),
    };
    let counts: Vec<String> = done.results.iter().map(|rows| rows.affected.to_string()).collect();
    let gone = if done.result_gone { " (rows not kept)" } else { "" };
    let mut lines = vec![format!("OK count={} answered by {by}{gone}", counts.join(","))];
    lines.extend(done.results.iter().flat_map(|rows| rows_of(rows).into_iter().map(|row| format!("  {row}"))));
    lines
}

/// The rows of a read.
pub fn rows_of(rows: &Rows) -> Vec<String> {
    rows.json.iter().map(|row| row.get().to_owned()).collect()
}

/// How a request ended without a result.
pub fn ended(error: &ClientError) -> String {
    match error {
        ClientError::Refused { error, .. } => match error.statement_index {
            None => format!("refused {}", error.code),
            Some(index) => format!("refused {} statement={index}", error.code),
        },
        ClientError::TimedOut { outcome: Outcome::Open, .. } => "timed out, outcome open".to_owned(),
        ClientError::TimedOut { outcome: Outcome::NoEffect, .. } => "timed out, no effect".to_owned(),
        ClientError::Diverged { .. } => "the nodes differ".to_owned(),
        ClientError::VotersGone(gone) => {
            let answered: Vec<&str> = gone.answered.iter().map(|answered| answered.node_id.as_str()).collect();
            let missing: Vec<&str> = gone.missing.iter().map(|(node, _)| node.as_str()).collect();
            format!("answered by {}; gone: {}", answered.join(" "), missing.join(" "))
        }
        other => panic!("no script expects this: {other}"),
    }
}

/// Each node's answer to a record at this offset.
pub fn answers(answers: &BTreeMap<String, Vec<Answer>>, record: Option<Offset>) -> Vec<String> {
    let line = |(node, parts): (&String, &Vec<Answer>)| {
        let answer = &parts[0];
        let recorded = if answer.offset < record { " (recorded)" } else { "" };
        match &answer.error {
            Some(error) => format!("{node} ERR {}{recorded}", error.code),
            None => format!("{node} OK count={}{recorded}{}", counts(answer), rows_of_answer(parts)),
        }
    };
    answers.iter().map(line).collect()
}

fn counts(answer: &Answer) -> String {
    match &answer.results {
        Some(results) => results.iter().map(|result| result.rows_affected.to_string()).collect::<Vec<_>>().join(","),
        None => answer.rows_affected.unwrap_or_default().to_string(),
    }
}

fn rows_of_answer(parts: &[Answer]) -> String {
    parts.iter().flat_map(|part| part.result.iter().flatten()).map(|row| format!(" {}", row.get())).collect()
}

/// Why nodes stopped, each said once.
pub fn fatal(errors: &[SystemError]) -> Vec<String> {
    let fatal = errors.iter().filter(|error| error.class == ErrorClass::Fatal);
    let lines: BTreeSet<String> =
        fatal.map(|error| format!("{} fatal {}", error.node_id, error.code.as_deref().unwrap_or_default())).collect();
    lines.into_iter().collect()
}

/// What each node says of itself once all that serve have applied the same.
pub fn status(
    nodes: &[(String, bool)],
    stopped: &BTreeMap<String, String>,
    beats: &BTreeMap<String, Heartbeat>,
) -> Vec<String> {
    let line = |(name, runs): &(String, bool)| {
        if let (true, Some(code)) = (runs, stopped.get(name)) {
            return format!("{name} stopped {code}");
        }
        let beat = &beats[name];
        let state = match (&beat.state, runs) {
            (_, false) => "down",
            (NodeState::Ready, true) => "ready",
            (other, true) => panic!("no script expects this: {name} is {other:?}"),
        };
        let voter = beat.membership.voters.contains(&beat.node_id);
        format!("{name} {state} {}", if voter { "voter" } else { "observer" })
    };
    let mut lines: Vec<String> = nodes.iter().map(line).collect();
    let running = nodes.iter().filter(|(name, runs)| *runs && !stopped.contains_key(name));
    let chains: BTreeSet<_> =
        running.map(|(name, _)| (beats[name].applied, beats[name].chain.map(|chain| chain.short()))).collect();
    lines.push(if chains.len() == 1 { "one chain".to_owned() } else { format!("the chains differ: {chains:?}") });
    lines
}

/// The tables, if all hold the same.
pub fn tables(all: &BTreeMap<String, BTreeMap<String, Vec<String>>>) -> Vec<String> {
    let mut each = all.values();
    let first = each.next().expect("at least one node runs");
    if let Some(other) = each.find(|other| *other != first) {
        return vec![format!("the tables differ: {first:?} and {other:?}")];
    }
    let mut lines = vec![format!("equal on {}", all.keys().cloned().collect::<Vec<_>>().join(" "))];
    for (name, rows) in first {
        lines.push(format!("  {name}:"));
        // psql and mariadb part columns in their own ways.
        lines.extend(rows.iter().map(|row| format!("    {}", row.replace(['\t', '|'], " "))));
    }
    lines
}
