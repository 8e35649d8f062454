//! Finish: state and outcomes written in the transaction of the effects, and COMMIT; one round trip.
//!
//! ```text
//! (reset all · late constraints? · schema changed)? · mark? · finish · commit │ Sync │ (discard all)? │ Sync
//! in brackets: after a work that ran alone
//! ```
//! Neighbours: `batch` came before; `postgres` keeps what the answer says.
//! Invariant: COMMIT is executed only after finish has succeeded, for the server skips it otherwise; its tag is looked at.

use super::connection::{Connection, NO_PARAMS, Pipeline, Plan, Reply, Segment};
use super::error::{Error, PgError};
use super::errors::{self, Stop};
use super::marks::{PREFIX, WRITE};
use crate::dbms::Finish;
use crate::fault::{Cause, Fault, Refusal};
use kluster_protocol::Offset;

/// Our replies are a few bytes.
const REPLY_BYTES: usize = 4096;

/// What `commit` came to.
#[derive(Debug)]
pub enum Finished {
    /// It is committed.
    Committed {
        /// After a work that ran alone: the schema holds a constraint that is checked late.
        checks_late: Option<bool>,
    },
    /// COMMIT was refused for a deterministic reason, and the batch was one work.
    Refused(Refusal),
}

/// How many works the transaction holds, and of what kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Open {
    /// How many.
    pub works: usize,
    /// The one work ran alone and may have changed schema and session.
    pub alone: bool,
}

/// Finishes and commits. `mark`: the batch's mark in the server's log.
pub async fn commit(
    app: &mut Connection,
    secret: &str,
    finish: &Finish,
    open: Open,
    mark: Option<&str>,
) -> Result<Finished, Fault> {
    let mut pipeline = app.pipeline().map_err(lost)?;
    if open.alone {
        // Whatever the work set is gone before a statement of ours carries the secret.
        queue(&mut pipeline, "reset all")?;
        queue(&mut pipeline, "select exists (select from pg_catalog.pg_constraint where condeferrable)")?;
        let applied = finish.applied.to_string();
        bound(&mut pipeline, "select kluster_state.schema_changed($1, $2)", &[Some(secret), Some(&applied)])?;
    }
    if let Some(mark) = mark {
        bound(&mut pipeline, WRITE, &[Some(PREFIX), Some(mark)])?;
    }
    let params = params(secret, finish);
    let text = "select kluster_state.finish($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    bound(&mut pipeline, text, &params.each_ref().map(Option::as_deref))?;
    queue(&mut pipeline, "commit")?;
    pipeline.sync();
    if open.alone {
        queue(&mut pipeline, "discard all")?;
        pipeline.sync();
    }
    let committed = pipeline.collect(REPLY_BYTES).await.map_err(lost)?;
    if open.alone {
        let discarded = pipeline.collect(REPLY_BYTES).await.map_err(lost)?;
        read_discard(&discarded);
    }
    drop(pipeline);
    read_commit(committed, open)
}

fn queue(pipeline: &mut Pipeline<'_>, text: &str) -> Result<(), Fault> {
    pipeline.queue(text, Plan::Once, NO_PARAMS).map_err(|error| errors::connection_fault(&Error::Unsendable(error)))
}

fn bound(pipeline: &mut Pipeline<'_>, text: &str, params: &[Option<&str>]) -> Result<(), Fault> {
    let queued = pipeline.queue(text, Plan::Once, params.iter().copied());
    queued.map_err(|error| errors::connection_fault(&Error::Unsendable(error)))
}

fn lost(error: Error) -> Fault {
    errors::connection_fault(&error)
}

fn params(secret: &str, finish: &Finish) -> [Option<String>; 10] {
    let number = |offset: Offset| offset.to_string();
    let outcomes = finish.outcomes.as_ref();
    [
        Some(secret.to_owned()),
        finish.predecessor.map(number),
        Some(number(finish.applied)),
        Some(finish.state.clone()),
        outcomes.map(|row| number(row.first)),
        outcomes.map(|row| number(row.last)),
        outcomes.map(|row| row.outcomes.clone()),
        outcomes.and_then(|row| row.rows.clone()),
        finish.prune_below.map(number),
        finish.drop_rows_below.map(number),
    ]
}

fn read_commit(segment: Segment, open: Open) -> Result<Finished, Fault> {
    let mut replies = segment.replies.into_iter().rev();
    let commit = replies.next();
    // The first failure is the reason of all that was skipped.
    let mut checks_late = None;
    for reply in replies.rev() {
        match reply {
            Reply::Failed(error) => return Err(errors::own_fault(&error)),
            Reply::Done(rows) if open.alone => {
                checks_late = checks_late.or(rows.rows.first().and_then(|row| row.text(0)).map(|cell| cell == "t"));
            }
            Reply::Done(_) | Reply::Skipped => {}
        }
    }
    match commit {
        Some(Reply::Done(rows)) if rows.tag.as_str() == "COMMIT" => Ok(Finished::Committed { checks_late }),
        Some(Reply::Done(rows)) => {
            let message = format!("COMMIT was answered by {}: the transaction had failed unseen", rows.tag.as_str());
            Err(Fault::Fatal(Cause::new("commit", message)))
        }
        Some(Reply::Failed(error)) => refused_commit(&error, open),
        Some(Reply::Skipped) | None => Err(Fault::Lost(Cause::new("protocol", "COMMIT was not answered"))),
    }
}

/// COMMIT itself has failed: a constraint or trigger that was checked only then.
fn refused_commit(error: &PgError, open: Open) -> Result<Finished, Fault> {
    match errors::stop(error, open.works <= 1, false) {
        Stop::Refused(refusal) if open.works == 1 => Ok(Finished::Refused(refusal)),
        Stop::Refused(_) | Stop::Fault(Fault::Unknown(_)) if open.works > 1 => {
            Err(Fault::RunAlone(errors::cause(error)))
        }
        Stop::Refused(_) => Err(Fault::Unknown(errors::cause(error))),
        Stop::Fault(fault) => Err(fault),
    }
}

/// It cleans up behind what is committed already; a session that stays as it is can only be one that is lost, and the next call shows that.
fn read_discard(segment: &Segment) {
    if let Some(Reply::Failed(error)) = segment.replies.first() {
        tracing::warn!(sqlstate = error.sqlstate, "the session could not be reset behind a work that ran alone");
    }
}
