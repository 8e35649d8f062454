//! Start: finds the place in ALL where this database goes on, and refuses a log that is not the one its state comes from.
//!
//! Neighbours: the ALL lane starts here, and comes back here whenever it no longer knows what its database holds.
//!
//! Invariant: reading goes on at the record behind the applied offset, and only after the record *at* the applied offset was read again and
//! its hash was found equal. That catches another log, a rewritten one and a truncated one without asking the broker anything special.

use crate::dbms::Dbms;
use crate::fault::{Cause, Fault};
use crate::outcome::{KeptByOffset, StoredOutcome, Window};
use crate::state::State;
use kluster_log::{Log, LogError, LogIdentity, Reader};
use kluster_protocol::{DEFAULT_WINDOW, MAX_KEPT_BYTES, NodeId, Offset, Topic};
use std::time::Duration;

/// What heartbeats and reports call a log that does not answer.
pub const LOG_UNREACHABLE: &str = "log_unreachable";

/// The log is away when no broker that serves the topic could be reached for so long: longer than it takes to see that another one does (5 s).
pub const LOG_AWAY: Duration = Duration::from_secs(6);

/// The record at the applied offset comes within this time, or the log is taken for unreachable and asked anew.
const FIRST_RECORD: Duration = Duration::from_secs(20);

/// How many outcome rows are read at a time.
const PAGE: usize = 200;

/// What the database holds: where to go on, and what is remembered.
#[derive(Debug)]
pub struct Held {
    /// The state; `fresh` tells whether anything was ever applied.
    pub state: State,
    /// Nothing was ever applied.
    pub fresh: bool,
    /// The keys of the last W offsets.
    pub window: Window,
}

/// Reads the state that the database holds, if it ever applied anything; it must be this node's at this log.
pub async fn stored(dbms: &mut Dbms, node: &NodeId, identity: &LogIdentity) -> Result<Option<State>, Fault> {
    let Some(row) = dbms.load().await? else { return Ok(None) };
    let state: State = serde_json::from_str(&row.state).map_err(|error| unreadable("state row", &error))?;
    if state.applied != row.applied {
        let message = format!(
            "the state row says {} and its state says {}: it was changed by hand; restore this node",
            row.applied, state.applied
        );
        return Err(Fault::Fatal(Cause::new("state_row", message)));
    }
    belongs(&state, node, identity)?;
    Ok(Some(state))
}

/// Reads state and window from the database. A database that is new will remember outcomes for `window` offsets.
pub async fn load(dbms: &mut Dbms, node: &NodeId, identity: &LogIdentity, window: u64) -> Result<Held, Fault> {
    let by = dbms.effects();
    let Some(mut state) = stored(dbms, node, identity).await? else {
        let empty = State::empty(node.clone(), identity.cluster_id.clone(), identity.topic_id.clone());
        let state = State { window, effects: by.resume(None, None), ..empty };
        return Ok(Held { state, fresh: true, window: Window::default() });
    };
    state.effects = by.resume(state.effects.take(), Some(state.applied));
    // Whoever begins to apply was found to agree with the others after all.
    state.diverged = None;
    let mut window = Window::default();
    let floor = state.floor(state.applied.next());
    let span = state.applied.next().get().saturating_sub(floor.get());
    window.reserve(span.min(DEFAULT_WINDOW) as usize);
    let mut from = floor;
    loop {
        let rows = dbms.outcome_rows(from, PAGE).await?;
        let Some(last) = rows.last().map(|row| row.last) else { break };
        for row in rows {
            let outcomes: Vec<StoredOutcome<'_>> =
                serde_json::from_str(&row.outcomes).map_err(|error| unreadable("outcome row", &error))?;
            let kept = kept_rows(row.rows.as_deref())?;
            for outcome in outcomes.iter().filter(|outcome| outcome.offset >= floor) {
                window.remember_stored(outcome, kept.get(&outcome.offset).map_or(0, |kept| kept_bytes(kept)));
            }
        }
        from = last.next();
    }
    window.forget(floor, MAX_KEPT_BYTES as u64);
    Ok(Held { state, fresh: false, window })
}

/// The rows kept in an outcome row.
pub fn kept_rows(json: Option<&str>) -> Result<KeptByOffset, Fault> {
    match json {
        None => Ok(KeptByOffset::new()),
        Some(json) => serde_json::from_str(json).map_err(|error| unreadable("kept rows", &error)),
    }
}

/// What kept rows count for: as when they were first counted.
fn kept_bytes(kept: &[crate::outcome::KeptRows]) -> u64 {
    let bytes: u64 = kept.iter().flat_map(|kept| &kept.rows).map(|row| row.get().len() as u64 + 1).sum();
    bytes.max(1)
}

fn unreadable(what: &str, error: &serde_json::Error) -> Fault {
    Fault::Fatal(Cause::new(
        "state_unreadable",
        format!("the {what} in this database cannot be read ({error}); restore this node"),
    ))
}

fn belongs(state: &State, node: &NodeId, identity: &LogIdentity) -> Result<(), Fault> {
    let refuse = |code: &str, message: String| Err(Fault::Fatal(Cause::new(code, message)));
    if state.node_id != *node {
        return refuse(
            "other_node",
            format!(
                "this database belongs to node {}, not to {node}; start it with --node-id {}, or give {node} a database of its own",
                state.node_id, state.node_id
            ),
        );
    }
    if state.cluster_id != identity.cluster_id {
        return refuse(
            "other_cluster",
            format!(
                "this database follows the log of Kafka cluster {}, but the bootstrap address leads to {}; correct --bootstrap, or restore this node from a snapshot of that cluster",
                state.cluster_id, identity.cluster_id
            ),
        );
    }
    same_topic(&state.topic_id, &identity.topic_id)
}

/// Refuses a topic ALL that is not the one followed until now. Where one of the ids is empty (a broker that knows none), nothing is compared.
pub fn same_topic(followed: &str, found: &str) -> Result<(), Fault> {
    if followed == found || followed.is_empty() || found.is_empty() {
        return Ok(());
    }
    let message = format!(
        "the topic ALL was deleted and made anew: this database follows topic id {followed}, the broker has {found}; restore the topic, or begin a new cluster with empty databases"
    );
    Err(Fault::Fatal(Cause::new("other_topic", message)))
}

/// Opens ALL behind the applied offset, after reading the record there again. Also gives where the log ends now: a node that has come so far
/// has caught up.
pub async fn open(log: &Log, held: &Held) -> Result<(Reader, Offset), Fault> {
    let reached = if held.fresh { Offset::ZERO } else { held.state.applied.next() };
    let range = log.range_reaching(Topic::All, 0, reached).await.map_err(log_fault)?;
    if held.fresh {
        if range.start > Offset::ZERO {
            let message = format!(
                "the log begins at offset {}, and this database is empty: what came before is gone; restore this node from a snapshot at or behind that offset",
                range.start
            );
            return Err(Fault::Fatal(Cause::new("log_trimmed", message)));
        }
        let reader = log.read(Topic::All, 0, range.start).await.map_err(log_fault)?.ending_after_outages();
        return Ok((reader, range.end));
    }
    let applied = held.state.applied;
    if applied < range.start {
        let message = format!(
            "the log begins at offset {}, but this database has applied only {applied}: what lies between is gone; restore this node from a newer snapshot",
            range.start
        );
        return Err(Fault::Fatal(Cause::new("log_trimmed", message)));
    }
    if applied >= range.end {
        let message = format!(
            "the log ends at offset {}, but this database has applied {applied}: the log lost its tail or is another one; restore the log, or restore this node from a snapshot below that offset",
            range.end
        );
        return Err(Fault::Fatal(Cause::new("log_truncated", message)));
    }
    let mut reader = log.read(Topic::All, 0, applied).await.map_err(log_fault)?.ending_after_outages();
    let Ok(record) = tokio::time::timeout(FIRST_RECORD, reader.next()).await else {
        let reason = reader.trouble().map_or_else(|| "no record came".to_owned(), |trouble| trouble.reason);
        return Err(log_fault(LogError::Unreachable { doing: format!("reading ALL at {applied}"), reason }));
    };
    let record = record.map_err(log_fault)?;
    if record.offset != applied || record.hash() != held.state.record_hash {
        let message = format!(
            "the record at offset {applied} is not the one that this database applied (found offset {}): the log was rewritten or is another one; restore the log, or restore this node",
            record.offset
        );
        return Err(Fault::Fatal(Cause::new("log_rewritten", message)));
    }
    Ok((reader, range.end))
}

/// What a trouble of the log means for the lane.
pub fn log_fault(error: LogError) -> Fault {
    let cause = |code: &str| Cause::new(code, error.to_string());
    match &error {
        LogError::Unreachable { .. } => Fault::Transient(cause(LOG_UNREACHABLE)),
        // Brokers that start know no topic for a moment; one that is gone stays gone.
        LogError::MissingTopic { .. } => Fault::Transient(cause("log_missing")),
        LogError::OutOfRange { .. } => Fault::Fatal(cause("log_out_of_range")),
        _ => Fault::Fatal(cause("log")),
    }
}
