//! Session: the one connection that writes. It claims, stores and commits.
//!
//! Neighbours: `seat` calls it, `execute` goes on between claim and store. Kluster's own statements carry a secret comment, so that user
//! SQL of the same text never finds them in the cache of prepared statements, where it would pass by the authorizer.

use super::effects::Counter;
use super::errors;
use super::ffi;
use super::guard::Guard;
use super::{Finish, OpenError, OutcomeRow, StateRow};
use super::{pins, tables};
use crate::fault::{Cause, Class, Fault, Refusal};
use kluster_protocol::Offset;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params};
use std::path::Path;

/// The one connection that writes.
#[derive(Debug)]
pub(super) struct Session {
    pub conn: Connection,
    pub guard: Guard,
    /// Counts what user SQL changes; none: nobody asks.
    pub counter: Option<Counter>,
    pub own: OwnSql,
}

/// Kluster's own statements of every batch, with the secret inside.
#[derive(Debug)]
pub(super) struct OwnSql {
    pub savepoint: String,
    pub release: String,
    pub rollback_to: String,
    begin: String,
    commit: String,
    claim: String,
    state: String,
    outcomes: String,
    prune: String,
    drop_rows: String,
    pub schema: String,
}

impl OwnSql {
    fn new() -> Self {
        let secret = format!("{:032x}", rand::random::<u128>());
        let own = |sql: &str| format!("/*{secret}*/ {sql}");
        Self {
            savepoint: format!("SAVEPOINT kluster_{secret}"),
            release: format!("RELEASE kluster_{secret}"),
            rollback_to: format!("ROLLBACK TO kluster_{secret}"),
            begin: own("BEGIN IMMEDIATE"),
            commit: own("COMMIT"),
            claim: own("SELECT applied FROM kluster_state WHERE id = 1"),
            state: own("UPDATE kluster_state SET applied = ?1, state = ?2 WHERE id = 1"),
            outcomes: own("INSERT INTO kluster_outcomes (first, last, outcomes, rows) VALUES (?1, ?2, ?3, ?4)"),
            prune: own("DELETE FROM kluster_outcomes WHERE last < ?1"),
            schema: own("PRAGMA schema_version"),
            drop_rows: own("UPDATE kluster_outcomes SET rows = NULL WHERE last < ?1 AND rows IS NOT NULL"),
        }
    }
}

impl Session {
    /// Opens the file, pins every setting, makes or checks Kluster's own tables, and sets the guard.
    pub fn connect(path: &Path, node_id: &str, effects: bool) -> Result<Self, OpenError> {
        let failed = |error| errors::open_error(path, &error);
        ffi::set_time().map_err(failed)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut conn = Connection::open_with_flags_and_vfs(path, flags, ffi::VFS).map_err(failed)?;
        pins::pin(&conn).map_err(failed)?;
        let encoding = pins::encoding(&conn).map_err(failed)?;
        if encoding != "UTF-8" {
            return Err(OpenError::Unusable(format!(
                "{} is in {encoding}; a node's file is in UTF-8, for the encoding decides the order of texts: dump it, and read the dump into a new file",
                path.display()
            )));
        }
        pins::journal(&conn).map_err(failed)?;
        if !tables::has_tables(&conn).map_err(failed)? {
            tables::make_tables(&conn, node_id).map_err(failed)?;
        }
        tables::check_owner(&conn, path, node_id)?;
        let guard = Guard::of_writes(&mut conn).map_err(failed)?;
        let counter = effects.then(|| Counter::of(&conn));
        Ok(Self { conn, guard, counter, own: OwnSql::new() })
    }

    /// A transaction is open.
    pub fn is_open(&self) -> bool {
        !self.conn.is_autocommit()
    }

    /// Rolls back what an abandoned call left open.
    pub fn clear(&self) -> Result<(), Fault> {
        match self.is_open() {
            true => self.conn.execute_batch("ROLLBACK").map_err(|error| errors::own_fault(&error)),
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
        rows.and_then(Iterator::collect).map_err(|error| self.fail(errors::own_fault(&error)))
    }

    /// Opens a transaction with the write lock and raises unless the state row is where the caller left it.
    pub fn claim(&self, predecessor: Option<Offset>) -> Result<(), Fault> {
        self.clear()?;
        self.own_step(&self.own.begin).map_err(|error| errors::own_fault(&error))?;
        self.check_claim(predecessor).map_err(|fault| self.fail(fault))
    }

    /// Runs a statement of Kluster's own that returns nothing.
    pub fn own_step(&self, sql: &str) -> rusqlite::Result<()> {
        self.conn.prepare_cached(sql)?.execute([]).map(drop)
    }

    fn check_claim(&self, predecessor: Option<Offset>) -> Result<(), Fault> {
        let applied = self.conn.prepare_cached(&self.own.claim).and_then(|mut claim| {
            claim.query_row([], |row| row.get::<_, Option<i64>>(0)).map(|applied| applied.map(offset))
        });
        match applied.map_err(|error| errors::own_fault(&error))? {
            applied if applied == predecessor => Ok(()),
            applied => {
                let at = |offset: Option<Offset>| offset.map_or("nothing".to_owned(), |offset| offset.to_string());
                let said = format!("it has applied {}, this node left it at {}", at(applied), at(predecessor));
                Err(Fault::ClaimRaised(Cause::new("claim", said)))
            }
        }
    }

    /// Writes state and outcomes in the open transaction.
    pub fn store(&self, finish: &Finish) -> Result<(), Fault> {
        if !self.is_open() {
            return Err(Fault::Transient(Cause::new("no_transaction", "the transaction of this batch is gone")));
        }
        self.write_finish(finish).map_err(|error| self.fail(errors::own_fault(&error)))
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
        let Err(error) = self.own_step(&self.own.commit) else {
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
    conn.query_row(sql, [], |row| Ok(StateRow { applied: offset(row.get(0)?), state: row.get(1)? })).optional()
}

fn outcome_row(row: &Row<'_>) -> rusqlite::Result<OutcomeRow> {
    Ok(OutcomeRow { first: offset(row.get(0)?), last: offset(row.get(1)?), outcomes: row.get(2)?, rows: row.get(3)? })
}

/// Offsets fit: 2⁴⁰ records an epoch leave 2²³ epochs below 2⁶³.
fn number(offset: Offset) -> i64 {
    i64::try_from(offset.get()).unwrap_or(i64::MAX)
}

fn offset(number: i64) -> Offset {
    Offset::new(u64::try_from(number).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::super::{How, Work, WorkStatement};
    use super::*;

    #[test]
    fn a_full_disk_rolls_back_and_is_no_outcome() {
        let dir = tempfile::tempdir().unwrap();
        let session = Session::connect(&dir.path().join("a.db"), "n1", true).unwrap();
        session.conn.execute_batch("CREATE TABLE t (b); PRAGMA max_page_count = 20").unwrap();
        let statement = WorkStatement {
            sql: "insert into t values (zeroblob(100000))".into(),
            params: vec![],
            expect_rows: None,
            cells: Default::default(),
            edits: Default::default(),
            wants: Vec::new(),
        };
        let work = Work {
            offset: Offset::ZERO,
            time_ms: 0,
            how: How::Batched,
            statements: vec![statement],
            max_result_bytes: 1 << 20,
        };
        session.claim(None).unwrap();
        let fault = session.execute(None, &[work]).unwrap_err();
        assert!(matches!(fault, Fault::DiskFull(_)), "{fault}");
        assert!(!session.is_open());
    }

    #[test]
    fn a_session_waits_for_no_lock() {
        let dir = tempfile::tempdir().unwrap();
        let open = || Session::connect(&dir.path().join("a.db"), "n1", true).unwrap();
        let (first, second) = (open(), open());
        first.claim(None).unwrap();
        assert!(matches!(second.claim(None), Err(Fault::LockWait(_))));
        let finish = Finish {
            predecessor: None,
            applied: Offset::new(3),
            state: "{}".into(),
            outcomes: None,
            prune_below: None,
            drop_rows_below: None,
        };
        first.store(&finish).unwrap();
        assert_eq!(first.commit(0), Ok(None));
        assert!(matches!(second.claim(None), Err(Fault::ClaimRaised(_))));
        second.claim(Some(Offset::new(3))).unwrap();
    }
}
