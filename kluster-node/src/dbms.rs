//! Dbms: the database beside this node, behind everything the lanes may ask of it. One adapter per DBMS; a closed set, so an enum.
//!
//! Neighbours: the ALL lane drives [`Dbms`], the ONE lane [`Reads`]; below it the adapters, the only files that name a database driver.
//!
//! What every adapter keeps
//! 1. [`Dbms::run`] opens the batch's transaction with the **claim**: it locks the one state row and raises unless its applied offset is the
//!    predecessor given. Nothing of the batch is sent to MariaDB and SQLite before the claim's success, and nothing commits without it.
//! 2. [`Dbms::commit`] writes state and outcomes in the transaction of the effects, and COMMIT is executed only after every statement before it
//!    has succeeded. MariaDB and SQLite are sent it only then; PostgreSQL is sent it in one pipeline behind the write of state and outcomes, and
//!    skips it, as all up to the next Sync, where that write failed.
//! 3. Each work runs under a savepoint of its own; a refused one is rolled back to it and the batch goes on.
//! 4. After any [`Fault`] no transaction of this adapter is open, unless the connection is lost.
//! 5. User SQL can reach neither Kluster's own tables nor the server.

mod interrupt;
mod keys;
mod locks;
pub mod mariadb;
pub mod postgres;
pub mod snapshot;
pub mod sqlite;

use crate::effects::{EffectsBy, EffectsFollower, EffectsTrail};
use crate::fault::{Fault, Refusal};
use crate::rows::Rows;
use crate::step::Steps;
pub use interrupt::Interrupt;
use keys::Completed;
use kluster_protocol::{Cells, Effects, ErrorCode, Fingerprint, Number, Offset, Param};
use kluster_sql::{Dialect, Edits, Keys, Want};
pub use locks::{Held, Locks};
pub use snapshot::{Snapshot, SnapshotError, Snapshots};
use std::time::Duration;

/// So many reads of ONE at once, unless told otherwise: more than two processors have use for, few enough for any server.
pub const DEFAULT_READS: usize = 8;

/// How to reach the DBMS.
#[derive(Debug, Clone)]
pub struct DbmsSettings {
    /// `postgres://`, `mysql://` (or `mariadb://`) or `sqlite:` address of the owner's login.
    pub url: String,
    /// The login for user SQL, where the owner's may not create it.
    pub app_url: Option<String>,
    /// The login for reads on ONE, where the owner's may not create it.
    pub read_url: Option<String>,
    /// The name of this node: kept in the state, so that a database is not taken for another node's by mistake.
    pub node_id: String,
    /// At most this many reads of ONE at once.
    pub max_reads: usize,
    /// SQLite: run on the calling thread instead of one of its own, for simulations on one thread.
    pub inline: bool,
    /// SQLite and PostgreSQL: changed rows are digested. False only to measure what that costs: nodes must be alike in it.
    pub effects: bool,
    /// Where tests may stop the node.
    pub steps: Steps,
}

impl DbmsSettings {
    /// The database of `node_id` at this address, and everything else by default: the node makes its logins, on threads of its own.
    pub fn at(url: impl Into<String>, node_id: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            app_url: None,
            read_url: None,
            node_id: node_id.into(),
            max_reads: DEFAULT_READS,
            inline: false,
            effects: true,
            steps: Steps::default(),
        }
    }
}

/// What the DBMS is, for heartbeats and people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// `PostgreSQL`, `MariaDB` or `SQLite`.
    pub name: &'static str,
    /// Its version in its own words.
    pub version: String,
}

/// Why a database cannot be opened: what was wrong and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// It does not answer (yet).
    #[error("the database does not answer: {0}")]
    Unreachable(String),
    /// It cannot be used as it is: a wrong address, version, setting or privilege.
    #[error("the database cannot be used: {0}")]
    Unusable(String),
}

/// One request to execute: what ran through admission.
#[derive(Debug, Clone, PartialEq)]
pub struct Work {
    /// Its place in ALL; names its savepoint.
    pub offset: Offset,
    /// The time of the log at its record, in milliseconds since 1970. It never falls from one offset to the next. MariaDB's columns that fill
    /// themselves get it.
    pub time_ms: i64,
    /// Whether it may share a transaction with others.
    pub how: How,
    /// The statements, executed in order; the first that fails refuses the whole request.
    pub statements: Vec<WorkStatement>,
    /// Rows of each statement are collected up to this many bytes over all; beyond it the request is refused as `result_too_large`.
    pub max_result_bytes: u64,
}

/// Whether a work may share its transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// Plain DML and reads: may share a transaction with its neighbours.
    Batched,
    /// Runs alone in its transaction; the session is reset behind it.
    Alone,
    /// MariaDB: commits by itself; runs alone under an intent.
    SelfCommitting,
}

/// One statement of a work.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkStatement {
    /// The text, params as `$1`, `$2`, …
    pub sql: String,
    /// Their values.
    pub params: Vec<Param>,
    /// Rows matched or returned must be this many.
    pub expect_rows: Option<u64>,
    /// The form of each cell of its rows.
    pub cells: Cells,
    /// What was put into the text, so that places in the DBMS's errors are those of the text as it was written.
    pub edits: Edits,
    /// Keys of tables that must be put into the text before it is executed.
    pub wants: Vec<Want>,
}

/// What one work came to: the rows of each of its statements, or the refusal that is its outcome.
pub type Ran = Result<Vec<Rows>, Refusal>;

/// The digests of the rows that a batch's works returned, of those that returned any.
fn effects_of(works: &[Work], ran: &[Ran]) -> Vec<(Offset, Effects)> {
    let of = |(work, ran): (&Work, &Ran)| {
        let effects: Effects = ran.as_ref().ok()?.iter().map(|rows| rows.effects).sum();
        (!effects.is_none()).then_some((work.offset, effects))
    };
    works.iter().zip(ran).filter_map(of).collect()
}

/// What is written with the effects of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finish {
    /// The applied offset that the claim found; none: this is the first batch.
    pub predecessor: Option<Offset>,
    /// The applied offset after this batch.
    pub applied: Offset,
    /// The state after this batch, as JSON.
    pub state: String,
    /// The outcomes of this batch, if it has any.
    pub outcomes: Option<OutcomeRow>,
    /// Outcome rows whose last offset lies below this are deleted.
    pub prune_below: Option<Offset>,
    /// Kept rows of outcome rows whose last offset lies below this are dropped.
    pub drop_rows_below: Option<Offset>,
}

/// The outcomes of one batch as stored: one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutcomeRow {
    /// The batch's first offset.
    pub first: Offset,
    /// The batch's last offset.
    pub last: Offset,
    /// The outcomes, as JSON.
    pub outcomes: String,
    /// Rows that the outcomes returned, as JSON; none: nothing was returned, or it was dropped.
    pub rows: Option<String>,
}

/// What the database holds of Kluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateRow {
    /// The applied offset.
    pub applied: Offset,
    /// The state there, as JSON.
    pub state: String,
}

/// What is refused where the DBMS has no type that holds a number of the params exactly.
fn inexact(number: &Number) -> Refusal {
    let message = format!(
        "the number {} would be rounded here; send it as a string, which a decimal or text column keeps whole",
        number.as_str()
    );
    Refusal::new(ErrorCode::InvalidValue, message)
}

/// The database beside this node.
#[derive(Debug)]
pub enum Dbms {
    /// PostgreSQL 13 or newer.
    Postgres(Box<postgres::Postgres>),
    /// MariaDB 10.6 or newer.
    MariaDb(Box<mariadb::MariaDb>),
    /// The SQLite that is built in.
    Sqlite(Box<sqlite::Sqlite>),
}

macro_rules! each {
    ($self:ident, $db:ident => $does:expr) => {
        match $self {
            Self::Postgres($db) => $does,
            Self::MariaDb($db) => $does,
            Self::Sqlite($db) => $does,
        }
    };
}

impl Dbms {
    /// Connects, makes the logins, creates or migrates Kluster's own tables, and takes the session lock that keeps a second process away.
    pub async fn open(settings: &DbmsSettings) -> Result<Self, OpenError> {
        match settings.url.split(':').next().unwrap_or_default() {
            "postgres" | "postgresql" => Ok(Self::Postgres(Box::new(postgres::Postgres::open(settings).await?))),
            "mysql" | "mariadb" => Ok(Self::MariaDb(Box::new(mariadb::MariaDb::open(settings).await?))),
            "sqlite" => Ok(Self::Sqlite(Box::new(sqlite::Sqlite::open(settings).await?))),
            scheme => Err(OpenError::Unusable(format!(
                "{scheme:?} is no known kind of database; use postgres://, mysql:// or sqlite:"
            ))),
        }
    }

    /// The SQL it speaks.
    pub fn dialect(&self) -> Dialect {
        match self {
            Self::Postgres(_) => Dialect::Postgres,
            Self::MariaDb(_) => Dialect::MariaDb,
            Self::Sqlite(_) => Dialect::Sqlite,
        }
    }

    /// What it is.
    pub fn info(&self) -> Info {
        each!(self, db => db.info())
    }

    /// What of its surroundings can change what a request does.
    pub async fn fingerprint(&mut self) -> Result<Fingerprint, Fault> {
        let mut fingerprint = each!(self, db => db.fingerprint().await)?;
        fingerprint.set(Fingerprint::DBMS, self.info().name);
        fingerprint.set("rules over SQL", kluster_sql::RULE_SET_VERSION.to_string());
        Ok(fingerprint)
    }

    /// The state row; none: the database has never applied anything.
    pub async fn load(&mut self) -> Result<Option<StateRow>, Fault> {
        each!(self, db => db.load().await)
    }

    /// Outcome rows whose last offset is at least `from`, in order, at most `limit`.
    pub async fn outcome_rows(&mut self, from: Offset, limit: usize) -> Result<Vec<OutcomeRow>, Fault> {
        each!(self, db => db.outcome_rows(from, limit).await)
    }

    /// The outcome row of the batch that `offset` was in.
    pub async fn outcome_row(&mut self, offset: Offset) -> Result<Option<OutcomeRow>, Fault> {
        let row = self.outcome_rows(offset, 1).await?.into_iter().next();
        Ok(row.filter(|row| row.first <= offset))
    }

    /// Opens the batch's transaction with the claim of `predecessor`, then executes each work under a savepoint. `works` may be empty.
    /// A work that is not [`How::Batched`] comes alone. The transaction stays open for [`Dbms::commit`].
    pub async fn run(&mut self, predecessor: Option<Offset>, works: &[Work]) -> Result<Vec<Ran>, Fault> {
        let completed;
        let works = match keys::complete(self, works).await? {
            Completed::AsTheyAre => works,
            Completed::Works(works) => {
                completed = works;
                &completed
            }
            Completed::Refused(refusal) => {
                each!(self, db => db.run(predecessor, &[]).await)?;
                return Ok(vec![Err(refusal)]);
            }
        };
        each!(self, db => db.run(predecessor, works).await)
    }

    /// The keys of a table, its primary key first; none: it has no key, or is no table.
    async fn keys(&mut self, table: &[String]) -> Result<Keys, Fault> {
        match self {
            // Its rows are ordered by themselves, see `kluster_sql`.
            Self::Postgres(_) => Ok(Keys::new()),
            Self::MariaDb(db) => db.keys(table).await,
            Self::Sqlite(db) => db.keys(table).await,
        }
    }

    /// Writes `finish` and commits. `Ok(Some(refusal))`: COMMIT itself was refused for a deterministic reason and the batch was one
    /// work alone; nothing took effect, and the caller commits the refusal in a transaction of its own.
    pub async fn commit(&mut self, finish: &Finish) -> Result<Option<Refusal>, Fault> {
        each!(self, db => db.commit(finish).await)
    }

    /// After [`Fault::Lost`]: connects again and waits until the old session is gone, so that the state row can be trusted.
    pub async fn recover(&mut self) -> Result<(), Fault> {
        each!(self, db => db.recover().await)
    }

    /// The schema holds a constraint that is checked late, so each work must run alone for its refusal to be its own.
    pub fn checks_late(&self) -> bool {
        each!(self, db => db.checks_late())
    }

    /// By which means it learns which rows a request changed. Those that know it in the transaction set [`Rows::effects`].
    pub fn effects(&self) -> EffectsBy {
        each!(self, db => db.effects())
    }

    /// Follows the DBMS's own log from where the trail ends, where that is the means: it tells the trail until it is dropped.
    pub fn effects_follower(&self, trail: EffectsTrail) -> Option<EffectsFollower> {
        each!(self, db => db.effects_follower(trail))
    }

    /// The door for reads of ONE.
    pub fn reads(&self) -> Reads {
        match self {
            Self::Postgres(db) => Reads::Postgres(db.reads()),
            Self::MariaDb(db) => Reads::MariaDb(db.reads()),
            Self::Sqlite(db) => Reads::Sqlite(db.reads()),
        }
    }

    /// Pins what a check sums.
    pub fn snapshots(&self) -> Snapshots {
        match self {
            Self::Postgres(db) => Snapshots::Postgres(db.snapshots()),
            Self::MariaDb(db) => Snapshots::MariaDb(Box::new(db.snapshots())),
            Self::Sqlite(db) => Snapshots::Sqlite(db.snapshots()),
        }
    }

    /// Tells who holds what a batch waits for.
    pub fn locks(&self) -> Locks {
        match self {
            Self::Postgres(db) => Locks::Postgres(db.locks()),
            Self::MariaDb(db) => Locks::MariaDb(Box::new(db.locks())),
            Self::Sqlite(_) => Locks::None,
        }
    }

    /// Ends what the session of this moment is executing; after [`Dbms::recover`] it is another one.
    pub fn interrupt(&self) -> Interrupt {
        match self {
            Self::Postgres(db) => Interrupt::Postgres(db.interrupt()),
            Self::MariaDb(db) => Interrupt::MariaDb(db.interrupt().map(Box::new)),
            Self::Sqlite(db) => Interrupt::Sqlite(db.interrupt()),
        }
    }

    /// Ends the session in an orderly way and gives the session lock back.
    pub async fn close(self) {
        match self {
            Self::Postgres(db) => db.close().await,
            Self::MariaDb(db) => db.close().await,
            Self::Sqlite(db) => db.close().await,
        }
    }
}

/// The door for reads of ONE: separate, read-only sessions, several at once. Cheap to clone.
#[derive(Debug, Clone)]
pub enum Reads {
    /// See [`Dbms::Postgres`].
    Postgres(postgres::Reads),
    /// See [`Dbms::MariaDb`].
    MariaDb(mariadb::Reads),
    /// See [`Dbms::Sqlite`].
    Sqlite(sqlite::Reads),
}

/// A read to execute in one read-only snapshot.
#[derive(Debug, Clone, PartialEq)]
pub struct Read {
    /// The statements, in order, all in one snapshot.
    pub statements: Vec<WorkStatement>,
    /// How long they may take together, for the DBMS to end them by itself; the caller gives up a little later in any case.
    pub timeout: Duration,
}

/// What a read says as it goes on, in this order: `Snapshot`, then for each statement `Columns`, any number of `Row`, `Done`.
#[derive(Debug)]
pub enum ReadEvent {
    /// The state row that the snapshot holds; none: nothing was ever applied.
    Snapshot(Option<StateRow>),
    /// A statement's columns.
    Columns(Vec<kluster_protocol::Column>),
    /// One row as JSON text: an object of the unique column names.
    Row(Box<serde_json::value::RawValue>),
    /// The statement is done.
    Done {
        /// Rows returned.
        rows: u64,
    },
}

/// Why a read failed. None of these stops a node.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ReadError {
    /// The DBMS refused it, or it took too long (`timed_out`): the answer is ERR.
    #[error("{}", .0.message)]
    Refused(Refusal),
    /// The connection was lost, or there is none: it may be tried again.
    #[error("connection lost: {0}")]
    Lost(String),
    /// Who asked is gone: the receiver of events was dropped.
    #[error("nobody waits for this read")]
    Abandoned,
}

impl Reads {
    /// Executes a read in a read-only snapshot and sends what it says to `events`, waiting while the receiver is behind. Dropping the
    /// future ends the read in the DBMS too and never leaves a session that others would find in a transaction.
    pub async fn read(&self, read: &Read, events: &tokio::sync::mpsc::Sender<ReadEvent>) -> Result<(), ReadError> {
        match self {
            Self::Postgres(db) => db.read(read, events).await,
            Self::MariaDb(db) => db.read(read, events).await,
            Self::Sqlite(db) => db.read(read, events).await,
        }
    }
}
