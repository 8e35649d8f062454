//! Reader: one read-only connection, which runs one read at a time in one snapshot.
//!
//! Neighbours: `reads` lends readers; `guard` is on while user SQL runs.

use super::cell::{self, BindError};
use super::guard::Guard;
use super::pins::pin;
use super::session::state_row;
use super::{Read, ReadError, ReadEvent, WorkStatement, errors};
use crate::fault::{Class, Refusal};
use kluster_protocol::ErrorCode;
use rusqlite::{Connection, Error, OpenFlags};
use std::path::Path;
use std::time::{Duration, Instant};

/// Instructions of SQLite's virtual machine between two looks at the clock: some tens of microseconds.
const OPS_BETWEEN_LOOKS: i32 = 1000;

/// How long a reader waits for a lock, which WAL takes from readers only while a file is recovered or reset.
const BUSY: Duration = Duration::from_secs(1);

/// One read-only connection.
#[derive(Debug)]
pub(super) struct Reader {
    conn: Connection,
    guard: Guard,
}

impl Reader {
    /// Opens the file that a session has made.
    pub fn open(path: &Path, inline: bool) -> rusqlite::Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut conn = Connection::open_with_flags(path, flags)?;
        pin(&conn)?;
        conn.execute_batch("PRAGMA query_only = ON")?;
        if !inline {
            conn.busy_timeout(BUSY)?;
        }
        let guard = Guard::of_reads(&mut conn)?;
        Ok(Self { conn, guard })
    }

    /// Ends the snapshot.
    pub fn reset(&mut self) -> rusqlite::Result<()> {
        self.conn.progress_handler(0, None::<fn() -> bool>)?;
        match self.conn.is_autocommit() {
            true => Ok(()),
            false => self.conn.execute_batch("ROLLBACK"),
        }
    }

    /// Runs a read in one snapshot; `abandoned` is asked now and then whether anyone still waits.
    pub fn read(
        &mut self,
        read: &Read,
        abandoned: impl Fn() -> bool + Clone + Send + 'static,
        mut out: impl FnMut(ReadEvent) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        let deadline = Instant::now() + read.timeout;
        let stops = abandoned.clone();
        let look = move || stops() || Instant::now() >= deadline;
        self.conn.progress_handler(OPS_BETWEEN_LOOKS, Some(look)).map_err(|error| lost(&error))?;
        let ran = self.in_snapshot(read, &mut out);
        match ran {
            Err(Stop::Interrupted) if abandoned() => Err(ReadError::Abandoned),
            Err(Stop::Interrupted) => {
                let message = format!("the read took longer than {} ms", read.timeout.as_millis());
                Err(ReadError::Refused(Refusal::new(ErrorCode::TimedOut, message)))
            }
            Err(Stop::Error(error)) => Err(error),
            Ok(()) => Ok(()),
        }
    }

    fn in_snapshot(&self, read: &Read, out: &mut impl FnMut(ReadEvent) -> Result<(), ReadError>) -> Result<(), Stop> {
        self.conn.execute_batch("BEGIN").map_err(|error| own_stop(&error))?;
        let state = state_row(&self.conn).map_err(|error| own_stop(&error))?;
        out(ReadEvent::Snapshot(state))?;
        for (index, statement) in read.statements.iter().enumerate() {
            let ran = self.statement(statement, out);
            ran.map_err(|stop| match stop {
                Stop::Error(ReadError::Refused(mut refusal)) if read.statements.len() > 1 => {
                    refusal.statement_index = u32::try_from(index).ok();
                    Stop::Error(ReadError::Refused(refusal))
                }
                stop => stop,
            })?;
        }
        Ok(())
    }

    fn statement(
        &self,
        statement: &WorkStatement,
        out: &mut impl FnMut(ReadEvent) -> Result<(), ReadError>,
    ) -> Result<(), Stop> {
        let ran = self.as_user(statement, out);
        match (self.guard.take_denial(), ran) {
            (Some(denial), Ok(_) | Err(Stop::Error(ReadError::Refused(_)))) => {
                Err(refused(Refusal::new(denial.code, denial.message)))
            }
            (_, Err(stop)) => Err(stop),
            (None, Ok(rows)) => match statement.expect_rows {
                Some(expected) if expected != rows => {
                    let message = format!("expected {expected} rows, there were {rows}");
                    Err(refused(Refusal::new(ErrorCode::ExpectRows, message)))
                }
                _ => Ok(out(ReadEvent::Done { rows })?),
            },
        }
    }

    fn as_user(
        &self,
        statement: &WorkStatement,
        out: &mut impl FnMut(ReadEvent) -> Result<(), ReadError>,
    ) -> Result<u64, Stop> {
        let stop = |error: Error| user_stop(&error, &statement.sql);
        let user = self.guard.user();
        let mut prepared = self.conn.prepare(&statement.sql).map_err(stop)?;
        if !prepared.readonly() {
            let message = "reads do not write; send it to ALL";
            return Err(refused(Refusal::new(ErrorCode::ReadOnly, message)));
        }
        cell::bind(&mut prepared, &statement.params).map_err(|error| match error {
            BindError::Refused(refusal) => refused(refusal),
            BindError::Failed(error) => stop(error),
        })?;
        let columns = cell::columns(&prepared);
        if columns.is_empty() {
            return Err(refused(Refusal::new(ErrorCode::BadRequest, "the text holds no statement that returns rows")));
        }
        out(ReadEvent::Columns(columns.clone()))?;
        user.steps();
        let mut rows = prepared.raw_query();
        let mut count = 0;
        while let Some(row) = rows.next().map_err(stop)? {
            count += 1;
            let row = cell::row(&columns, row, statement.cells).map_err(|error| refused(error.refusal(count)))?;
            out(ReadEvent::Row(row))?;
        }
        Ok(count)
    }
}

/// Why a read ended early.
enum Stop {
    /// By the progress handler: too late, or nobody waits.
    Interrupted,
    Error(ReadError),
}

impl From<ReadError> for Stop {
    fn from(error: ReadError) -> Self {
        Self::Error(error)
    }
}

fn refused(refusal: Refusal) -> Stop {
    Stop::Error(ReadError::Refused(refusal))
}

/// The file failed, or is in the hands of someone else.
pub(super) fn lost(error: &Error) -> ReadError {
    ReadError::Lost(errors::cause(error).to_string())
}

fn is_interrupt(error: &Error) -> bool {
    errors::code(error) & 0xff == rusqlite::ffi::SQLITE_INTERRUPT
}

fn own_stop(error: &Error) -> Stop {
    if is_interrupt(error) { Stop::Interrupted } else { Stop::Error(lost(error)) }
}

/// What user SQL met. Only a file that fails is lost; for all else the answer is ERR.
fn user_stop(error: &Error, sql: &str) -> Stop {
    if is_interrupt(error) {
        return Stop::Interrupted;
    }
    match errors::class(error) {
        Class::Refused(code) | Class::RefusedAlone(code) => refused(errors::refusal(code, error, sql)),
        Class::Unknown => refused(errors::refusal(ErrorCode::Refused, error, sql)),
        Class::Transient | Class::LockWait | Class::RunAlone | Class::Lost | Class::DiskFull | Class::Fatal => {
            Stop::Error(lost(error))
        }
    }
}
