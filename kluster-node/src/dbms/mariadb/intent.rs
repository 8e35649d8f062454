//! Intent: how a statement that commits by itself (DDL) takes effect exactly once, though it cannot share a transaction with its offset.
//!
//! ```text
//! transaction: claim, intent(offset, fingerprint); flushed     run
//! the statement                                                run
//! transaction: claim, state, outcome, intent deleted           commit
//! ```
//! A node that restarts in between finds the intent. If the fingerprint is what it was, the statement was not executed or changed
//! nothing, and is executed (again) with the same outcome; if it differs, it was executed. DDL of InnoDB is atomic over a crash since
//! MariaDB 10.6, so there is nothing between. Rows affected are 0, for a node that finds the effect cannot know them.
//!
//! Neighbours: [`super::app`] calls [`run`]. Invariant: the session that may have been executing the statement is gone before the
//! fingerprint is compared; opening and recovering see to that.

use super::batch::{Batch, clock, savepoint_name};
use super::errors::{self, Stop};
use super::execution;
use super::owner::Owner;
use super::session::{Session, params};
use crate::dbms::{Ran, Work};
use crate::fault::{Cause, Fault, Refusal};
use crate::rows::Rows;
use crate::step::Step;
use kluster_protocol::{ErrorCode, Offset};
use sqlx::Row;

/// A statement that commits by itself, announced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// Its place in ALL.
    pub offset: Offset,
    /// What the database was before it.
    pub fingerprint: String,
}

impl Owner {
    /// The intent that the database holds.
    pub async fn intent(&mut self, batch: &Batch) -> Result<Option<Intent>, sqlx::Error> {
        let sql = format!("select `offset`, fingerprint from {}", batch.names.own("intent"));
        let rows = self.session.rows(sql, params![]).await?;
        let intent = |row: &sqlx::mysql::MySqlRow| {
            Ok(Intent { offset: Offset::new(row.try_get(0)?), fingerprint: row.try_get(1)? })
        };
        rows.first().map(intent).transpose()
    }
}

/// Whether these works can run while `intent` is open: only the one that it announces, or nothing at all (it was given up by a decision).
pub fn check(intent: Option<&Intent>, works: &[Work]) -> Result<(), Fault> {
    match (intent, works) {
        (None, _) | (Some(_), []) => Ok(()),
        (Some(intent), [work]) if work.offset == intent.offset => Ok(()),
        (Some(intent), [work, ..]) => Err(Fault::Fatal(Cause::new(
            "intent",
            format!(
                "the statement at offset {} was begun here and not finished, and now offset {} is to run: this database was restored or \
                 changed by hand, or the log is another; restore this node from a snapshot",
                intent.offset, work.offset
            ),
        ))),
    }
}

/// The database is what it was before the statement that `intent` announces.
pub async fn is_unchanged(batch: &Batch, owner: &mut Owner, intent: &Intent) -> Result<bool, Fault> {
    let found = owner.fingerprint(&batch.names.database, &batch.names.in_dictionary()).await;
    Ok(found.map_err(errors::fault)? == intent.fingerprint)
}

/// A work of several statements cannot be taken back as a whole when one of them commits by itself.
pub fn refusal(work: &Work) -> Option<Refusal> {
    (work.statements.len() != 1).then(|| {
        let message =
            "a statement that changes the schema commits by itself here and must be the only one of its request";
        Refusal::new(ErrorCode::NotTransactional, message)
    })
}

/// Executes `work` under an intent. `open`: the intent found in the database. The answer is the work's outcome; the intent stays open
/// until the outcome is committed.
pub async fn run(
    batch: &Batch,
    owner: &mut Owner,
    session: &mut Session,
    predecessor: Option<Offset>,
    work: &Work,
    open: &mut Option<Intent>,
) -> Result<Ran, Fault> {
    let (database, in_dictionary) = (&batch.names.database, batch.names.in_dictionary());
    let fingerprint = owner.fingerprint(database, &in_dictionary).await.map_err(errors::fault)?;
    match open {
        None => announce(batch, owner, session, predecessor, Intent { offset: work.offset, fingerprint }, open).await?,
        Some(intent) => {
            // Only the claim says that no other process has gone on from here.
            batch.claim(session, predecessor).await?;
            if intent.fingerprint != fingerprint {
                session.run("rollback").await.map_err(errors::fault)?;
                return Ok(Ok(vec![Rows::affected(0)]));
            }
            mark(session, intent.offset).await?;
            session.run("commit").await.map_err(errors::fault)?;
        }
    }
    batch.steps.reach(Step::Executing).await;
    let ran = execute(session, work).await?;
    batch.steps.reach(Step::SelfCommitted).await;
    Ok(ran)
}

async fn announce(
    batch: &Batch,
    owner: &mut Owner,
    session: &mut Session,
    predecessor: Option<Offset>,
    intent: Intent,
    open: &mut Option<Intent>,
) -> Result<(), Fault> {
    batch.claim(session, predecessor).await?;
    mark(session, intent.offset).await?;
    write(batch, session, &intent).await.map_err(errors::fault)?;
    session.run("commit").await.map_err(errors::fault)?;
    *open = Some(intent);
    owner.flush().await.map_err(errors::fault)?;
    batch.steps.reach(Step::Intended).await;
    Ok(())
}

/// Tells the binary log, where there is one, whose rows this session writes next: those of a CREATE TABLE … SELECT.
async fn mark(session: &mut Session, offset: Offset) -> Result<(), Fault> {
    session.run(format!("savepoint {}", savepoint_name(offset))).await.map_err(errors::fault)
}

async fn write(batch: &Batch, session: &mut Session, intent: &Intent) -> Result<(), sqlx::Error> {
    let sql = format!("call {}(?, ?, ?)", batch.names.own("intend"));
    let params = params![batch.secret.as_str(), intent.offset.get(), intent.fingerprint.as_str()];
    session.rows(sql, params).await.map(|_| ())
}

async fn execute(session: &mut Session, work: &Work) -> Result<Ran, Fault> {
    let mut budget = work.max_result_bytes;
    let Some(statement) = work.statements.first() else {
        return Ok(Ok(Vec::new()));
    };
    session.run(clock(work.time_ms)).await.map_err(errors::fault)?;
    match execution::collect(session, statement, 0, &mut budget, true).await {
        Ok(_) => Ok(Ok(vec![Rows::affected(0)])),
        Err(Stop::Refused(refusal)) => Ok(Err(refusal)),
        Err(Stop::Fault(fault)) => Err(fault),
    }
}
