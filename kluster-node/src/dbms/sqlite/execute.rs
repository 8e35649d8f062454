//! Execute: the works of a batch, each under a savepoint, in the transaction that the claim opened.
//!
//! Neighbours: `session` claimed before and stores behind; `guard` is on while user SQL is prepared and stepped.

use super::cell::{self, BindError};
use super::effects::Counter;
use super::errors;
use super::session::Session;
use super::tables::OWN_NAMES;
use super::{How, Ran, Work, WorkStatement};
use crate::fault::{Cause, Class, Fault, Refusal};
use crate::rows::Rows;
use kluster_protocol::{Cells, ErrorCode, Offset};
use rusqlite::{CachedStatement, Error, ffi};

/// Finds user objects under Kluster's names, and foreign keys to Kluster's tables, whose updates they would make fail.
const TOUCHES_OWN: &str = r#"
    SELECT (SELECT count(*) FROM sqlite_schema WHERE name LIKE 'kluster\_%' ESCAPE '\') <> ?1
        OR EXISTS (SELECT 1 FROM sqlite_schema AS t JOIN pragma_foreign_key_list(t.name) AS f
                   WHERE t.type = 'table' AND f."table" LIKE 'kluster\_%' ESCAPE '\')"#;

/// Why a work did not go through.
enum Stop {
    Refused(Refusal),
    Fault(Fault),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl Session {
    /// Executes works in the open transaction; after a fault none is open.
    pub fn execute(&self, predecessor: Option<Offset>, works: &[Work]) -> Result<Vec<Ran>, Fault> {
        if !self.is_open() {
            return Err(Fault::Transient(Cause::new("no_transaction", "the transaction of this batch is gone")));
        }
        let ran = works.iter().map(|work| self.work(predecessor, work, works.len() == 1));
        ran.collect::<Result<_, _>>().map_err(|fault| self.fail(fault))
    }

    fn work(&self, predecessor: Option<Offset>, work: &Work, alone: bool) -> Result<Ran, Fault> {
        self.savepoint_step(&self.own.savepoint)?;
        let ran = match self.statements(work).and_then(|rows| self.check_late(rows)) {
            Ok(rows) => {
                self.savepoint_step(&self.own.release)?;
                Ok(rows)
            }
            Err(Stop::Fault(fault)) => return Err(fault),
            Err(Stop::Refused(refusal)) if self.is_open() => {
                self.savepoint_step(&self.own.rollback_to)?;
                self.savepoint_step(&self.own.release)?;
                Err(refusal)
            }
            // OR ROLLBACK and RAISE(ROLLBACK) took the whole transaction: only alone do they take no neighbour with them.
            Err(Stop::Refused(refusal)) if !alone => {
                return Err(Fault::RunAlone(Cause::new("rolled_back", refusal.message)));
            }
            Err(Stop::Refused(refusal)) => {
                self.claim(predecessor)?;
                Err(refusal)
            }
        };
        if work.how != How::Batched {
            // Columns of a statement that is kept prepared would be those of the schema before.
            self.conn.flush_prepared_statement_cache();
        }
        Ok(ran)
    }

    fn statements(&self, work: &Work) -> Result<Vec<Rows>, Stop> {
        let mut budget = work.max_result_bytes;
        let mut results = Vec::with_capacity(work.statements.len());
        for (index, statement) in work.statements.iter().enumerate() {
            // What changes the schema runs alone.
            let schema = (work.how != How::Batched).then(|| self.schema_version()).transpose()?;
            let rows = self.statement(index, statement, schema, budget).map_err(|stop| match stop {
                Stop::Refused(mut refusal) if work.statements.len() > 1 => {
                    refusal.statement_index = u32::try_from(index).ok();
                    Stop::Refused(refusal)
                }
                stop => stop,
            })?;
            budget -= rows.bytes();
            results.push(rows);
        }
        Ok(results)
    }

    fn statement(
        &self,
        index: usize,
        statement: &WorkStatement,
        schema: Option<i64>,
        budget: u64,
    ) -> Result<Rows, Stop> {
        if let Some(counter) = &self.counter {
            counter.begin();
        }
        let ran = self.as_user(index, statement, budget);
        if let Some(denial) = self.guard.take_denial() {
            // Whatever the statement made of it, unless the file itself failed.
            if !matches!(
                ran,
                Err(Stop::Fault(Fault::DiskFull(_) | Fault::Fatal(_) | Fault::Transient(_) | Fault::LockWait(_)))
            ) {
                return Err(Stop::Refused(Refusal::new(denial.code, denial.message)));
            }
        }
        let mut ran = match ran {
            Err(Stop::Fault(Fault::DiskFull(_))) if self.numbers_are_used_up()? => {
                return Err(Stop::Refused(no_number_left()));
            }
            ran => ran?,
        };
        if self.guard.wrote_numbers() && self.numbers_are_used_up()? {
            return Err(Stop::Refused(no_number_left()));
        }
        if self.guard.was_ddl() {
            self.conn.flush_prepared_statement_cache();
            self.check_own()?;
        }
        if let Some(counter) = &self.counter {
            if self.guard.was_ddl() && schema != Some(self.schema_version()?) {
                self.count_made(counter)?;
            }
            ran.effects = counter.take()?;
        }
        match statement.expect_rows {
            Some(expected) if expected != ran.affected => Err(Stop::Refused(Refusal::new(
                ErrorCode::ExpectRows,
                format!("expected {expected} rows, there were {}", ran.affected),
            ))),
            _ => Ok(ran),
        }
    }

    /// Rises with each change of the schema.
    fn schema_version(&self) -> Result<i64, Stop> {
        match self.conn.prepare_cached(&self.own.schema).and_then(|mut own| own.query_row([], |row| row.get(0))) {
            Ok(version) => Ok(version),
            Err(error) => Err(Stop::Fault(errors::own_fault(&error))),
        }
    }

    /// Counts the rows in the tables that the statement made: CREATE TABLE … AS SELECT writes them where no hook sees it.
    fn count_made(&self, counter: &Counter) -> Result<(), Stop> {
        let made = std::mem::take(&mut *self.guard.made());
        let count = |table: &str| -> rusqlite::Result<()> {
            let mut all = self.conn.prepare(&format!("SELECT * FROM main.\"{}\"", table.replace('"', "\"\"")))?;
            let mut rows = all.query([])?;
            while let Some(row) = rows.next()? {
                counter.left(table, row)?;
            }
            Ok(())
        };
        made.iter().try_for_each(|table| count(table)).map_err(|error| Stop::Fault(errors::own_fault(&error)))
    }

    /// Prepares and steps user SQL as the user.
    fn as_user(&self, index: usize, statement: &WorkStatement, budget: u64) -> Result<Rows, Stop> {
        let stop = |error: Error| match stop(&error, &statement.sql) {
            Stop::Refused(refusal) => {
                let position = refusal.position.map(|position| statement.edits.place(position));
                Stop::Refused(Refusal { position, ..refusal })
            }
            stop => stop,
        };
        let user = self.guard.user();
        let mut prepared = self.conn.prepare_cached(&statement.sql).map_err(stop)?;
        cell::bind(&mut prepared, &statement.params).map_err(|error| match error {
            BindError::Refused(refusal) => Stop::Refused(refusal),
            BindError::Failed(error) => stop(error),
        })?;
        user.steps();
        let ran = self.collect(&mut prepared, index, statement.cells, budget).map_err(|failure| match failure {
            Failure::Sqlite(error) => no_statement(&error, &prepared).unwrap_or_else(|| stop(error)),
            Failure::Spool(error) => Stop::Fault(Fault::of_spool(&error)),
            Failure::Refused(refusal) => Stop::Refused(refusal),
            Failure::TooLarge => Stop::Refused(Refusal::new(
                ErrorCode::ResultTooLarge,
                "the result is larger than the cluster allows; ask for fewer rows",
            )),
        });
        // The authorizer is asked only when a text is prepared.
        if self.guard.was_ddl() || self.guard.wrote_numbers() {
            prepared.discard();
        }
        ran
    }

    fn collect(
        &self,
        prepared: &mut CachedStatement<'_>,
        index: usize,
        cells: Cells,
        budget: u64,
    ) -> Result<Rows, Failure> {
        let columns = cell::columns(prepared);
        let is_write = !prepared.readonly();
        if columns.is_empty() {
            let before = self.conn.total_changes();
            let mut rows = prepared.raw_query();
            while rows.next().map_err(Failure::Sqlite)?.is_some() {}
            // What changes no row (DDL, a DROP … IF EXISTS of nothing) leaves the count of the statement before, which may be one of ours.
            let counts = is_write && !self.guard.was_ddl() && self.conn.total_changes() != before;
            return Ok(Rows::affected(if counts { self.conn.changes() } else { 0 }));
        }
        let mut collected = Rows::of(columns);
        let mut rows = prepared.raw_query();
        while let Some(row) = rows.next().map_err(Failure::Sqlite)? {
            collected.affected += 1;
            if let Some(counter) = self.counter.as_ref().filter(|_| is_write) {
                counter.returned(index, row).map_err(Failure::Sqlite)?;
            }
            let row = cell::row(&collected.columns, row, cells)
                .map_err(|error| Failure::Refused(error.refusal(collected.affected)))?;
            collected.push(row).map_err(Failure::Spool)?;
            if collected.bytes() > budget {
                return Err(Failure::TooLarge);
            }
        }
        Ok(collected)
    }

    /// A deferred foreign key that this work left open is this work's refusal: before it there was none.
    fn check_late(&self, rows: Vec<Rows>) -> Result<Vec<Rows>, Stop> {
        match self.has_deferred_violations()? {
            false => Ok(rows),
            true => {
                let message = "FOREIGN KEY constraint failed at the end of the request";
                Err(Stop::Refused(Refusal::new(ErrorCode::ForeignKeyViolation, message)))
            }
        }
    }

    /// Whether AUTOINCREMENT has no number left for some table: SQLite then says `SQLITE_FULL`, as for a full disk.
    fn numbers_are_used_up(&self) -> Result<bool, Fault> {
        let count = |sql: &str| self.conn.query_row(sql, [], |row| row.get::<_, i64>(0));
        let own = |error| errors::own_fault(&error);
        if count("SELECT count(*) FROM sqlite_schema WHERE name = 'sqlite_sequence'").map_err(own)? == 0 {
            return Ok(false);
        }
        let used_up = count("SELECT count(*) FROM sqlite_sequence WHERE seq >= 9223372036854775807").map_err(own)?;
        Ok(used_up > 0)
    }

    fn check_own(&self) -> Result<(), Stop> {
        let touched = self.conn.query_row(TOUCHES_OWN, [OWN_NAMES], |row| row.get::<_, bool>(0));
        match touched.map_err(|error| errors::own_fault(&error))? {
            false => Ok(()),
            true => Err(Stop::Refused(Refusal::new(
                ErrorCode::KlusterSchema,
                "names that begin with kluster_ are Kluster's own; no object may be called so or refer to one",
            ))),
        }
    }

    fn savepoint_step(&self, sql: &str) -> Result<(), Fault> {
        self.own_step(sql).map_err(|error| match errors::own_fault(&error) {
            Fault::Fatal(cause) if cause.message.contains("no such savepoint") => {
                Fault::Fatal(Cause::new("canary", "user SQL ended the transaction of its batch"))
            }
            fault => fault,
        })
    }
}

/// Why a statement did not return all its rows.
enum Failure {
    Sqlite(Error),
    Spool(std::io::Error),
    TooLarge,
    Refused(Refusal),
}

fn stop(error: &Error, sql: &str) -> Stop {
    let cause = || errors::cause(error);
    Stop::Fault(match errors::class(error) {
        Class::Refused(code) | Class::RefusedAlone(code) => return Stop::Refused(errors::refusal(code, error, sql)),
        Class::Transient | Class::RunAlone => Fault::Transient(cause()),
        Class::LockWait => Fault::LockWait(cause()),
        Class::Lost => Fault::Lost(cause()),
        Class::DiskFull => Fault::DiskFull(cause()),
        Class::Fatal => Fault::Fatal(cause()),
        Class::Unknown => Fault::Unknown(cause()),
    })
}

fn no_number_left() -> Refusal {
    let message =
        "sqlite_sequence is at 9223372036854775807, behind which AUTOINCREMENT has no number for a row; set it lower";
    Refusal::new(ErrorCode::InvalidState, message)
}

/// A text of spaces and comments prepares to nothing, which cannot be stepped.
fn no_statement(error: &Error, prepared: &CachedStatement<'_>) -> Option<Stop> {
    let nothing = errors::code(error) == ffi::SQLITE_MISUSE && prepared.expanded_sql().is_none();
    nothing.then(|| Stop::Refused(Refusal::new(ErrorCode::BadRequest, "the text holds no statement")))
}
