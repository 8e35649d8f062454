//! Session: the one connection that writes. It makes Kluster's own tables, claims, stores and commits.
//!
//! Neighbours: `seat` calls it, `execute` goes on between claim and store. Kluster's own statements carry a secret comment, so that user
//! SQL of the same text never finds them in the cache of prepared statements, where it would pass by the authorizer.

use super::errors;
use super::ffi;
use super::guard::Guard;
use super::{Finish, OpenError, OutcomeRow, StateRow};
use crate::fault::{Cause, Class, Fault, Refusal};
use kluster_protocol::{MAX_PARAMS, MAX_REQUEST_BYTES, Offset};
use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params};
use std::path::Path;

/// The version of Kluster's own tables.
const SCHEMA_VERSION: i64 = 1;

/// Kluster's own tables. `rows` is pruned apart from its row, hence the second index.
const TABLES: &str = "
    CREATE TABLE kluster_schema (id INTEGER PRIMARY KEY CHECK (id = 1), version INTEGER NOT NULL, node_id TEXT);
    CREATE TABLE kluster_state (id INTEGER PRIMARY KEY CHECK (id = 1), applied INTEGER, state TEXT);
    CREATE TABLE kluster_outcomes (first INTEGER PRIMARY KEY, last INTEGER NOT NULL, outcomes TEXT NOT NULL, rows TEXT);
    CREATE UNIQUE INDEX kluster_outcomes_last ON kluster_outcomes (last);
    CREATE INDEX kluster_outcomes_rows ON kluster_outcomes (last) WHERE rows IS NOT NULL;
    INSERT INTO kluster_state (id) VALUES (1);";

/// How many names [`TABLES`] makes: user SQL that leaves another count has made one of ours its own.
pub(super) const OWN_NAMES: i64 = 5;

/// Distinct texts kept prepared; a batch has at most 60 works.
const CACHED_STATEMENTS: usize = 256;

/// Limits that decide outcomes and are therefore the same on every node; beyond them a request is refused.
const LIMITS: [(Limit, i32); 10] = [
    (Limit::SQLITE_LIMIT_LENGTH, 256 * 1024 * 1024),
    (Limit::SQLITE_LIMIT_SQL_LENGTH, MAX_REQUEST_BYTES as i32),
    (Limit::SQLITE_LIMIT_COLUMN, 2000),
    (Limit::SQLITE_LIMIT_EXPR_DEPTH, 1000),
    (Limit::SQLITE_LIMIT_COMPOUND_SELECT, 500),
    (Limit::SQLITE_LIMIT_FUNCTION_ARG, 127),
    (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 50_000),
    (Limit::SQLITE_LIMIT_VARIABLE_NUMBER, MAX_PARAMS as i32),
    (Limit::SQLITE_LIMIT_TRIGGER_DEPTH, 1000),
    (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
];

/// Settings that decide outcomes, and those that let a commit be lazy: what a crash takes back is replayed.
const PINS: &str = "
    PRAGMA synchronous = NORMAL;
    PRAGMA foreign_keys = ON;
    PRAGMA recursive_triggers = OFF;
    PRAGMA ignore_check_constraints = OFF;
    PRAGMA case_sensitive_like = OFF;
    PRAGMA reverse_unordered_selects = OFF;
    PRAGMA automatic_index = ON;
    PRAGMA trusted_schema = OFF;
    PRAGMA cell_size_check = ON;
    PRAGMA threads = 0;";

/// Switches of the connection, for the same reason: double quotes are names, and the schema is written by DDL only.
const SWITCHES: [(DbConfig, bool); 6] = [
    (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
    (DbConfig::SQLITE_DBCONFIG_DQS_DML, false),
    (DbConfig::SQLITE_DBCONFIG_DQS_DDL, false),
    (DbConfig::SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER, false),
    (DbConfig::SQLITE_DBCONFIG_LEGACY_ALTER_TABLE, false),
    (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
];

/// The one connection that writes.
#[derive(Debug)]
pub(super) struct Session {
    pub conn: Connection,
    pub guard: Guard,
    pub own: OwnSql,
}

/// Kluster's own statements of every batch, with the secret inside.
#[derive(Debug)]
pub(super) struct OwnSql {
    pub savepoint: String,
    pub release: String,
    pub rollback_to: String,
    claim: String,
    state: String,
    outcomes: String,
    prune: String,
    drop_rows: String,
}

impl OwnSql {
    fn new() -> Self {
        let secret = format!("{:032x}", rand::random::<u128>());
        let own = |sql: &str| format!("/*{secret}*/ {sql}");
        Self {
            savepoint: format!("SAVEPOINT kluster_{secret}"),
            release: format!("RELEASE kluster_{secret}"),
            rollback_to: format!("ROLLBACK TO kluster_{secret}"),
            claim: own("SELECT applied FROM kluster_state WHERE id = 1"),
            state: own("UPDATE kluster_state SET applied = ?1, state = ?2 WHERE id = 1"),
            outcomes: own("INSERT INTO kluster_outcomes (first, last, outcomes, rows) VALUES (?1, ?2, ?3, ?4)"),
            prune: own("DELETE FROM kluster_outcomes WHERE last < ?1"),
            drop_rows: own("UPDATE kluster_outcomes SET rows = NULL WHERE last < ?1 AND rows IS NOT NULL"),
        }
    }
}

impl Session {
    /// Opens the file, pins every setting, makes or checks Kluster's own tables, and sets the guard.
    pub fn connect(path: &Path, node_id: &str) -> Result<Self, OpenError> {
        let failed = |error| errors::open_error(path, &error);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut conn = Connection::open_with_flags(path, flags).map_err(failed)?;
        pin(&conn).map_err(failed)?;
        journal(&conn).map_err(failed)?;
        if !has_tables(&conn).map_err(failed)? {
            make_tables(&conn, node_id).map_err(failed)?;
        }
        check_owner(&conn, path, node_id)?;
        let guard = Guard::of_writes(&mut conn).map_err(failed)?;
        Ok(Self {
            conn,
            guard,
            own: OwnSql::new(),
        })
    }

    /// A transaction is open.
    pub fn is_open(&self) -> bool {
        !self.conn.is_autocommit()
    }

    /// Rolls back what an abandoned call left open.
    pub fn clear(&self) -> Result<(), Fault> {
        match self.is_open() {
            true => self
                .conn
                .execute_batch("ROLLBACK")
                .map_err(|error| errors::own_fault(&error)),
            false => Ok(()),
        }
    }

    /// `fault`, with no transaction open any more.
    pub fn fail(&self, fault: Fault) -> Fault {
        self.clear().err().unwrap_or(fault)
    }

    /// The state row; `clear`: nobody waits for a transaction that is open.
    pub fn read_state(&self, clear: bool) -> Result<Option<StateRow>, Fault> {
        if clear {
            self.clear()?;
        }
        state_row(&self.conn).map_err(|error| self.fail(errors::own_fault(&error)))
    }

    /// See [`super::Dbms::outcome_rows`].
    pub fn outcome_rows(&self, clear: bool, from: Offset, limit: usize) -> Result<Vec<OutcomeRow>, Fault> {
        if clear {
            self.clear()?;
        }
        let sql = "SELECT first, last, outcomes, rows FROM kluster_outcomes WHERE last >= ?1 ORDER BY last LIMIT ?2";
        let mut rows = self.conn.prepare(sql).map_err(|error| errors::own_fault(&error))?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = rows.query_map(params![number(from), limit], outcome_row);
        rows.and_then(Iterator::collect)
            .map_err(|error| self.fail(errors::own_fault(&error)))
    }

    /// Opens a transaction with the write lock and raises unless the state row is where the caller left it.
    pub fn claim(&self, predecessor: Option<Offset>) -> Result<(), Fault> {
        self.clear()?;
        self.conn
            .execute_batch("BEGIN IMMEDIATE")
            .map_err(|error| errors::own_fault(&error))?;
        self.check_claim(predecessor).map_err(|fault| self.fail(fault))
    }

    fn check_claim(&self, predecessor: Option<Offset>) -> Result<(), Fault> {
        let applied = self.conn.prepare_cached(&self.own.claim).and_then(|mut claim| {
            claim
                .query_row([], |row| row.get::<_, Option<i64>>(0))
                .map(|applied| applied.map(offset))
        });
        match applied.map_err(|error| errors::own_fault(&error))? {
            applied if applied == predecessor => Ok(()),
            applied => {
                let at = |offset: Option<Offset>| offset.map_or("nothing".to_owned(), |offset| offset.to_string());
                let said = format!(
                    "it has applied {}, this node left it at {}",
                    at(applied),
                    at(predecessor)
                );
                Err(Fault::ClaimRaised(Cause::new("claim", said)))
            }
        }
    }

    /// Writes state and outcomes in the open transaction.
    pub fn store(&self, finish: &Finish) -> Result<(), Fault> {
        if !self.is_open() {
            return Err(Fault::Transient(Cause::new(
                "no_transaction",
                "the transaction of this batch is gone",
            )));
        }
        self.write_finish(finish)
            .map_err(|error| self.fail(errors::own_fault(&error)))
    }

    fn write_finish(&self, finish: &Finish) -> rusqlite::Result<()> {
        let own = |sql: &str| self.conn.prepare_cached(sql);
        own(&self.own.state)?.execute(params![number(finish.applied), finish.state])?;
        if let Some(row) = &finish.outcomes {
            own(&self.own.outcomes)?.execute(params![number(row.first), number(row.last), row.outcomes, row.rows])?;
        }
        if let Some(below) = finish.prune_below {
            own(&self.own.prune)?.execute(params![number(below)])?;
        }
        if let Some(below) = finish.drop_rows_below {
            own(&self.own.drop_rows)?.execute(params![number(below)])?;
        }
        Ok(())
    }

    /// Commits a transaction of so many works. A refusal that only COMMIT finds belongs to the work that was alone in it.
    pub fn commit(&self, works: usize) -> Result<Option<Refusal>, Fault> {
        let Err(error) = self.conn.execute_batch("COMMIT") else {
            return Ok(None);
        };
        self.clear()?;
        match (errors::class(&error), works) {
            (Class::Refused(code) | Class::RefusedAlone(code), 1) => Ok(Some(errors::refusal(code, &error, ""))),
            (Class::Refused(_) | Class::RefusedAlone(_), _) => Err(Fault::RunAlone(errors::cause(&error))),
            _ => Err(errors::own_fault(&error)),
        }
    }

    /// A deferred foreign key waits for a row that is not there.
    pub fn has_deferred_violations(&self) -> Result<bool, Fault> {
        ffi::deferred_foreign_keys(&self.conn).map_err(|error| errors::own_fault(&error))
    }
}

/// The state row of the snapshot that `conn` sees.
pub(super) fn state_row(conn: &Connection) -> rusqlite::Result<Option<StateRow>> {
    let sql = "SELECT applied, state FROM kluster_state WHERE id = 1 AND applied IS NOT NULL";
    conn.query_row(sql, [], |row| {
        Ok(StateRow {
            applied: offset(row.get(0)?),
            state: row.get(1)?,
        })
    })
    .optional()
}

fn outcome_row(row: &Row<'_>) -> rusqlite::Result<OutcomeRow> {
    Ok(OutcomeRow {
        first: offset(row.get(0)?),
        last: offset(row.get(1)?),
        outcomes: row.get(2)?,
        rows: row.get(3)?,
    })
}

/// Settings, switches and limits that writer and readers share.
pub(super) fn pin(conn: &Connection) -> rusqlite::Result<()> {
    // A lock is never waited for: on one thread the holder could not go on.
    conn.busy_timeout(std::time::Duration::ZERO)?;
    conn.execute_batch(PINS)?;
    for (switch, on) in SWITCHES {
        conn.set_db_config(switch, on)?;
    }
    for (limit, most) in LIMITS {
        conn.set_limit(limit, most)?;
    }
    conn.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
    Ok(())
}

fn journal(conn: &Connection) -> rusqlite::Result<()> {
    let mode = |sql| conn.query_row(sql, [], |row| row.get::<_, String>(0));
    if mode("PRAGMA journal_mode")? != "wal" {
        conn.execute_batch("PRAGMA encoding = 'UTF-8'")?;
        mode("PRAGMA journal_mode = WAL")?;
    }
    Ok(())
}

fn has_tables(conn: &Connection) -> rusqlite::Result<bool> {
    conn.table_exists(Some("main"), "kluster_schema")
}

fn make_tables(conn: &Connection, node_id: &str) -> rusqlite::Result<()> {
    conn.execute_batch("BEGIN IMMEDIATE")?;
    let made = conn.execute_batch(TABLES).and_then(|()| {
        let sql = "INSERT INTO kluster_schema (id, version, node_id) VALUES (1, ?1, ?2)";
        conn.execute(sql, params![SCHEMA_VERSION, node_id])
    });
    match made {
        Ok(_) => conn.execute_batch("COMMIT"),
        Err(error) => conn.execute_batch("ROLLBACK").and(Err(error)),
    }
}

/// The tables are of a version that this node knows, and of this node; a restored snapshot has no owner yet and becomes this node's.
fn check_owner(conn: &Connection, path: &Path, node_id: &str) -> Result<(), OpenError> {
    let failed = |error| errors::open_error(path, &error);
    let sql = "SELECT version, node_id, (SELECT encoding FROM pragma_encoding) FROM kluster_schema WHERE id = 1";
    let found = conn.query_row(sql, [], |row| {
        Ok((
            row.get::<_, i64>(0)?,
            row.get::<_, Option<String>>(1)?,
            row.get::<_, String>(2)?,
        ))
    });
    let (version, owner, encoding) = found.map_err(failed)?;
    let path = path.display();
    if version != SCHEMA_VERSION {
        return Err(OpenError::Unusable(format!(
            "{path} holds Kluster's tables of version {version}, this node knows {SCHEMA_VERSION}; use the version that wrote them"
        )));
    }
    if encoding != "UTF-8" {
        return Err(OpenError::Unusable(format!(
            "{path} has the encoding {encoding}; only UTF-8 makes all nodes alike"
        )));
    }
    match owner {
        Some(owner) if owner != node_id => Err(OpenError::Unusable(format!(
            "{path} belongs to node {owner:?}, this is node {node_id:?}; give each node a file of its own"
        ))),
        Some(_) => Ok(()),
        None => conn
            .execute("UPDATE kluster_schema SET node_id = ?1", params![node_id])
            .map(drop)
            .map_err(failed),
    }
}

/// Offsets fit: 2⁴⁰ records an epoch leave 2²³ epochs below 2⁶³.
fn number(offset: Offset) -> i64 {
    i64::try_from(offset.get()).unwrap_or(i64::MAX)
}

fn offset(number: i64) -> Offset {
    Offset::new(u64::try_from(number).unwrap_or_default())
}
