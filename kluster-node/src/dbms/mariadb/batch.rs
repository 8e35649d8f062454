//! Batch: the transaction of the ALL lane. Claim, then each work under a savepoint; later state and outcomes, then COMMIT.
//!
//! Neighbours: [`super::app`] keeps the session and decides what a failure means for it; [`super::execution`] runs each statement.
//!
//! Invariants: nothing is sent before the claim's OK, for a SIGNAL leaves the transaction open and what follows would run; the secret
//! travels only as a param of a prepared CALL; a savepoint has a name that no user can guess, and if it cannot be released, a user's
//! statement has ended our transaction. Where the server writes a binary log, the savepoint's name tells whose rows follow it there.

use super::binlog::{Computed, Reached, SAVEPOINT};
use super::errors::{self, NO_SUCH_SAVEPOINT, Stop};
use super::execution;
use super::names::Names;
use super::session::{Session, params};
use crate::dbms::{Finish, Ran, Work};
use crate::fault::{Cause, Fault};
use crate::rows::Rows;
use crate::step::{Step, Steps};
use kluster_protocol::{Effects, Offset};

/// What the transactions of the ALL lane need.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Names of our procedures.
    pub names: Names,
    /// What our procedures want to see.
    pub secret: String,
    /// Where the follower of the binary log is.
    pub reached: Reached,
    /// What the digests of rows leave out, as the database's tables are now.
    pub computed: Computed,
    /// Where tests may stop the node.
    pub steps: Steps,
}

impl Batch {
    /// Opens the transaction and claims.
    pub async fn claim(&self, session: &mut Session, predecessor: Option<Offset>) -> Result<(), Fault> {
        session.tidy().await.map_err(errors::fault)?;
        session.run("start transaction").await.map_err(errors::fault)?;
        self.steps.reach(Step::Begun).await;
        let followed = self
            .reached
            .claimed(&self.computed)
            .map_err(|error| Fault::Fatal(Cause::new("claim", error.to_string())))?;
        self.call_claim(session, predecessor, &followed).await.map_err(errors::fault)?;
        self.steps.reach(Step::Claimed).await;
        Ok(())
    }

    async fn call_claim(
        &self,
        session: &mut Session,
        predecessor: Option<Offset>,
        followed: &str,
    ) -> Result<(), sqlx::Error> {
        let sql = format!("call {}(?, ?, ?)", self.names.own("claim"));
        let params = params![self.secret.as_str(), predecessor.map(Offset::get), followed];
        session.rows(sql, params).await.map(|_| ())
    }

    /// Executes each work under a savepoint of its own.
    pub async fn execute(&self, session: &mut Session, works: &[Work]) -> Result<Vec<Ran>, Fault> {
        let alone = works.len() == 1;
        let mut ran = Vec::with_capacity(works.len());
        let mut release = String::new();
        self.steps.reach(Step::Executing).await;
        for work in works {
            // One round trip ends the savepoint of the work before and makes the one of this.
            let savepoint = savepoint_name(work.offset);
            let clock = clock(work.time_ms);
            ours(session.run(format!("{release}{clock};savepoint {savepoint}")).await)?;
            let result = statements(session, work, alone).await;
            if matches!(result, Err(Stop::Refused(_))) {
                ours(session.run(format!("rollback to savepoint {savepoint}")).await)?;
            }
            ran.push(match result {
                Ok(rows) => Ok(rows),
                Err(Stop::Refused(refusal)) => Err(refusal),
                Err(Stop::Fault(fault)) => return Err(fault),
            });
            release = format!("release savepoint {savepoint};");
        }
        if !release.is_empty() {
            ours(session.run(release).await)?;
        }
        self.steps.reach(Step::Executed).await;
        Ok(ran)
    }

    /// Writes state and outcomes into the open transaction.
    pub async fn store(
        &self,
        session: &mut Session,
        finish: &Finish,
        returned: &[(Offset, Effects)],
    ) -> Result<(), Fault> {
        let returned = (!returned.is_empty()).then(|| serde_json::to_string(returned)).transpose();
        let returned = returned.map_err(|error| Fault::Fatal(Cause::new("effects", error.to_string())))?;
        self.call_finish(session, finish, returned).await.map_err(errors::fault)?;
        self.steps.reach(Step::Stored).await;
        Ok(())
    }

    async fn call_finish(
        &self,
        session: &mut Session,
        finish: &Finish,
        returned: Option<String>,
    ) -> Result<(), sqlx::Error> {
        let sql = format!("call {}(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", self.names.own("finish"));
        let outcomes = finish.outcomes.as_ref();
        let params = params![
            self.secret.as_str(),
            finish.predecessor.map(Offset::get),
            finish.applied.get(),
            finish.state.as_str(),
            outcomes.map(|row| row.first.get()),
            outcomes.map(|row| row.last.get()),
            outcomes.map(|row| row.outcomes.as_str()),
            outcomes.and_then(|row| row.rows.as_deref()),
            finish.prune_below.map(Offset::get),
            finish.drop_rows_below.map(Offset::get),
            returned,
        ];
        session.rows(sql, params).await.map(|_| ())
    }

    /// Commits. The error is still the server's: whether it is the outcome of a work is for the caller to say.
    pub async fn commit(&self, session: &mut Session) -> Result<(), sqlx::Error> {
        self.steps.reach(Step::Committing).await;
        session.run("commit").await?;
        self.steps.reach(Step::Committed).await;
        Ok(())
    }
}

async fn statements(session: &mut Session, work: &Work, alone: bool) -> Result<Vec<Rows>, Stop> {
    let mut budget = work.max_result_bytes;
    let mut results = Vec::with_capacity(work.statements.len());
    for (index, statement) in work.statements.iter().enumerate() {
        let rows = execution::collect(session, statement, index, &mut budget, alone).await;
        results.push(rows.map_err(|stop| at(stop, index, work.statements.len()))?);
    }
    Ok(results)
}

/// A refusal says which of several statements it is about.
pub fn at(stop: Stop, index: usize, statements: usize) -> Stop {
    match stop {
        Stop::Refused(refusal) if statements > 1 => {
            Stop::Refused(crate::fault::Refusal { statement_index: u32::try_from(index).ok(), ..refusal })
        }
        stop => stop,
    }
}

/// Sets the session's clock to the time of the work's record. Texts that read the clock are refused before they come here; what fills itself
/// gets this time, the same on every node: a `timestamp not null` that is given NULL, a DEFAULT of a table that was made elsewhere.
pub fn clock(time_ms: i64) -> String {
    // What every version can store. Zero would mean the server's own clock.
    let time_ms = time_ms.clamp(1000, i64::from(i32::MAX) * 1000);
    // Half a microsecond is added, for the server reads a binary fraction and cuts it.
    format!("set session timestamp = {}.{:03}0005", time_ms / 1000, time_ms % 1000)
}

/// The name of the savepoint of the work at `offset`.
pub fn savepoint_name(offset: Offset) -> String {
    format!("{SAVEPOINT}{offset}_{:032x}", rand::random::<u128>())
}

/// A statement about our own savepoint: one that is not there means that a user's statement has ended our transaction.
fn ours(result: Result<(), sqlx::Error>) -> Result<(), Fault> {
    result.map_err(|error| match errors::number(&error) {
        Some(NO_SUCH_SAVEPOINT) => Fault::Fatal(Cause::new(
            "canary",
            "canary: a statement ended the transaction it ran in, so it took effect without its offset; restore this node from a snapshot",
        )),
        _ => errors::fault(error),
    })
}
