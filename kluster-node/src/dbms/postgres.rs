//! The adapter for PostgreSQL 13 and newer.
//!
//! ```text
//! settings ─▶ seat: owner (lock, logins, schema) and app session
//! works ─▶ batch: claim, savepoints, statements in one pipeline ─▶ finish: state, outcomes, COMMIT in another        2 round trips a batch
//! reads ─▶ reads: sessions of a third login, one snapshot each
//! ```
//! In the order of the code below: what is taken at the start, the ALL lane's batch, recovery. Beside it: `connection` and what it needs
//! (`address`, `error`, `types`, `value`), `errors` (what a code means), `locks` (who holds a batch up), `snapshot` (what a check sums), `pins` (settings of sessions), `logins`, `schema.sql`.
//!
//! Invariants: those of [`super`]; and of the modules named.

pub mod address;
pub mod connection;
pub mod error;
pub mod types;
pub mod value;

mod batch;
mod changes;
mod decoded;
mod errors;
mod finish;
mod follower;
mod gather;
mod locks;
mod logins;
mod marks;
mod means;
mod net;
mod pins;
mod reads;
mod script;
mod seat;
mod snapshot;
mod surroundings;

use super::*;
use crate::fault::Cause;
use crate::step::Step;
use batch::{Batch, Bench};
use connection::{NO_PARAMS, Row, TransactionStatus};
use finish::{Finished, Open};
use gather::TypeBook;
use kluster_protocol::{Fingerprint, MAX_BATCH};
use means::Means;
use script::{Manner, Secrets};
use seat::Seat;
use std::sync::Arc;

pub use connection::CancelToken as Interrupt;
pub use locks::Locks;
pub use reads::Reads;
pub use snapshot::{Snapshot, Snapshots};

/// Constraints that are checked late, as far as the owner sees: what is committed.
const CHECKS_LATE: &str = "select exists (select from pg_catalog.pg_constraint where condeferrable)";

/// The database beside this node: its sessions, and what it knows of the schema.
#[derive(Debug)]
pub struct Postgres {
    seat: Seat,
    steps: Steps,
    info: Info,
    /// The savepoints' name: a secret of the process.
    savepoint: String,
    checks_late: bool,
    /// So many batches are still executed without prepared texts, because a user's text has taken some away.
    unprepared: usize,
    /// The transaction between `run` and `commit`.
    open: Option<Open>,
    book: Arc<TypeBook>,
    reads: Reads,
    /// How it is learnt which rows requests change.
    means: Means,
}

impl Postgres {
    /// See [`Dbms::open`].
    pub async fn open(settings: &DbmsSettings) -> Result<Self, OpenError> {
        let mut seat = Seat::take(settings).await?;
        let version = seat.owner.reported("server_version").unwrap_or_default().to_owned();
        let late = seat.owner.query(CHECKS_LATE, NO_PARAMS).await.map_err(logins::unusable)?;
        let book = Arc::new(TypeBook::new());
        let reads = Reads::new(pins::reading(seat.logins.read.clone(), seat.version), settings.max_reads, book.clone());
        Ok(Self {
            steps: settings.steps.clone(),
            info: Info { name: "PostgreSQL", version },
            savepoint: format!("kluster_{:032x}", rand::random::<u128>()),
            checks_late: late.rows.first().and_then(|row| row.text(0)).as_deref() == Some("t"),
            unprepared: 0,
            open: None,
            book,
            reads,
            means: Means::choose(&mut seat, settings.effects).await?,
            seat,
        })
    }

    /// See [`Dbms::info`].
    pub fn info(&self) -> Info {
        self.info.clone()
    }

    /// See [`Dbms::fingerprint`].
    pub async fn fingerprint(&mut self) -> Result<Fingerprint, Fault> {
        surroundings::read(&mut self.seat).await
    }

    /// See [`Dbms::load`].
    pub async fn load(&mut self) -> Result<Option<StateRow>, Fault> {
        if self.seat.app.is_broken() {
            // What the server still does in that session may change the state row after it was read.
            return Err(Fault::Lost(Cause::new(
                "connection",
                "the session that applies was left in the middle of a call",
            )));
        }
        let rows = self.ask("select applied, state from kluster_state.state where applied is not null", &[]).await?;
        Ok(rows.first().and_then(reads::state_row))
    }

    /// See [`Dbms::outcome_rows`].
    pub async fn outcome_rows(&mut self, from: Offset, limit: usize) -> Result<Vec<OutcomeRow>, Fault> {
        let sql = "select first, last, outcomes, rows from kluster_state.outcomes where last >= $1::bigint order by last limit $2::bigint";
        let rows = self.ask(sql, &[from.to_string(), limit.to_string()]).await?;
        rows.iter().map(|row| outcome_row(row).ok_or_else(unreadable)).collect()
    }

    /// A question of Kluster's own, as owner.
    async fn ask(&mut self, sql: &str, params: &[String]) -> Result<Vec<Row>, Fault> {
        let rows = self.seat.owner.query(sql, params.iter().map(Some)).await;
        Ok(rows.map_err(|error| errors::connection_fault(&error))?.rows)
    }

    /// See [`Dbms::run`].
    pub async fn run(&mut self, predecessor: Option<Offset>, works: &[Work]) -> Result<Vec<Ran>, Fault> {
        self.end_transaction().await?;
        let ran = self.run_batch(predecessor, works).await;
        match &ran {
            Ok(_) => self.steps.reach(Step::Executed).await,
            Err(Fault::RunAlone(_)) => self.distrust_plans(),
            Err(_) => {}
        }
        if ran.is_err() {
            self.end_transaction().await?;
        }
        ran
    }

    async fn run_batch(&mut self, predecessor: Option<Offset>, works: &[Work]) -> Result<Vec<Ran>, Fault> {
        let alone = works.first().is_some_and(|work| work.how != How::Batched);
        let prepare = !alone && self.unprepared == 0;
        let manner = Manner {
            predecessor,
            check_late: alone || self.checks_late,
            prepare,
            digests: self.means.digests(),
            marks: self.means.marks().is_some(),
        };
        let open = Some(Open { works: works.len(), alone });
        self.open = open;
        let mut ran = Batch::new(works, manner).run(&mut self.bench()).await?;
        if let [Err(refusal)] = ran.as_mut_slice()
            && batch::is_too_large(refusal)
        {
            // The work may have been released before its result was seen: the transaction begins anew, without it.
            self.end_transaction().await?;
            Batch::new(&[], manner).run(&mut self.bench()).await?;
        }
        self.open = open;
        self.means.ran(works, &ran);
        Ok(ran)
    }

    fn bench(&mut self) -> Bench<'_> {
        Bench {
            app: &mut self.seat.app,
            book: &self.book,
            reads: &self.reads,
            secrets: Secrets { secret: &self.seat.secret, savepoint: &self.savepoint, marks: self.means.marks() },
            steps: &self.steps,
        }
    }

    /// Rolls back what is open: after a fault, or because a caller went away between `run` and `commit`.
    async fn end_transaction(&mut self) -> Result<(), Fault> {
        let alone = self.open.take().is_some_and(|open| open.alone);
        if self.seat.app.is_broken() || self.seat.app.transaction_status() == TransactionStatus::Idle {
            return Ok(());
        }
        let rolled_back = self.seat.app.query("rollback", NO_PARAMS).await;
        rolled_back.map_err(|error| Fault::Lost(errors::lost_cause(&error)))?;
        if alone {
            let reset = self.seat.app.query("discard all", NO_PARAMS).await;
            reset.map_err(|error| Fault::Lost(errors::lost_cause(&error)))?;
            self.forget_schema();
        }
        Ok(())
    }

    /// See [`Dbms::commit`].
    pub async fn commit(&mut self, finish: &Finish) -> Result<Option<Refusal>, Fault> {
        let Some(open) = self.open.take() else {
            return Err(Fault::Fatal(Cause::new(
                "no_transaction",
                "commit without a batch that was run: a mistake in the node",
            )));
        };
        // Both before the one message that stores and commits: between the two there is nothing that a node could do.
        self.steps.reach(Step::Stored).await;
        self.steps.reach(Step::Committing).await;
        let mark = self.means.mark(finish);
        let finished = finish::commit(&mut self.seat.app, &self.seat.secret, finish, open, mark.as_deref()).await;
        if open.alone {
            self.forget_schema();
        }
        match finished {
            Ok(Finished::Committed { checks_late }) => {
                self.checks_late = checks_late.unwrap_or(self.checks_late);
                if open.alone {
                    self.means.schema_changed(finish.applied);
                }
                self.unprepared = self.unprepared.saturating_sub(1);
                self.steps.reach(Step::Committed).await;
                Ok(None)
            }
            Ok(Finished::Refused(refusal)) => Ok(Some(refusal)),
            Err(fault) => {
                self.open = Some(open);
                self.end_transaction().await?;
                Err(fault)
            }
        }
    }

    /// Names of texts and types may mean something else now.
    fn forget_schema(&mut self) {
        self.seat.app.clear_plans();
        self.book.clear();
    }

    fn distrust_plans(&mut self) {
        self.forget_schema();
        self.unprepared = MAX_BATCH;
    }

    /// See [`Dbms::recover`].
    pub async fn recover(&mut self) -> Result<(), Fault> {
        self.open = None;
        self.seat.regain().await.map_err(seat::fault)?;
        self.book.clear();
        self.reads.set_address(pins::reading(self.seat.logins.read.clone(), self.seat.version));
        // A schema change may have been committed unseen.
        let late = self.ask(CHECKS_LATE, &[]).await?;
        self.checks_late = late.first().and_then(|row| row.text(0)).as_deref() == Some("t");
        self.means.regain(&mut self.seat).await.map_err(seat::fault)?;
        Ok(())
    }

    /// See [`Dbms::checks_late`].
    pub fn checks_late(&self) -> bool {
        self.checks_late
    }

    /// See [`Dbms::effects`].
    pub fn effects(&self) -> EffectsBy {
        self.means.by()
    }

    /// See [`Dbms::effects_follower`].
    pub fn effects_follower(&self, trail: EffectsTrail) -> Option<EffectsFollower> {
        let follower = self.means.follower(&self.seat)?;
        Some(Box::pin(follower.run(trail)))
    }

    /// See [`Dbms::reads`].
    pub fn reads(&self) -> Reads {
        self.reads.clone()
    }

    /// See [`Dbms::snapshots`].
    pub fn snapshots(&self) -> Snapshots {
        Snapshots::new(pins::checking(self.seat.owner_address.clone(), self.seat.version))
    }

    /// See [`Dbms::locks`].
    pub fn locks(&self) -> Locks {
        Locks::new(self.seat.owner_address.clone(), self.seat.logins.app.user.clone())
    }

    /// See [`Dbms::interrupt`].
    pub fn interrupt(&self) -> Interrupt {
        self.seat.app.cancel_token()
    }

    /// See [`Dbms::close`].
    pub async fn close(self) {
        self.reads.close().await;
        self.seat.leave().await;
    }
}

fn outcome_row(row: &Row) -> Option<OutcomeRow> {
    let offset = |column| Some(Offset::new(row.text(column)?.parse().ok()?));
    Some(OutcomeRow {
        first: offset(0)?,
        last: offset(1)?,
        outcomes: row.text(2)?.into_owned(),
        rows: row.text(3).map(std::borrow::Cow::into_owned),
    })
}

fn unreadable() -> Fault {
    Fault::Fatal(Cause::new(
        "state",
        "an outcome row in kluster_state.outcomes cannot be read; restore this node from a snapshot",
    ))
}
