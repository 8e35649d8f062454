//! Reads: the door of ONE. Read-only connections, several at once, each read in one snapshot whose first query reads the state row.
//!
//! Neighbours: the ONE lane asks. A read runs on a blocking thread and waits while its receiver is behind; `inline`, it runs on the calling
//! thread, its rows go to memory and a spool file, and are sent when the snapshot has ended.

use super::address::Address;
use super::cell::{self, BindError};
use super::errors;
use super::guard::Guard;
use super::session::{pin, state_row};
use super::{Read, ReadError, ReadEvent, WorkStatement};
use crate::fault::{Class, Refusal};
use crate::rows::Rows;
use kluster_protocol::{Column, ErrorCode};
use rusqlite::{Connection, Error, OpenFlags};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Instructions of SQLite's virtual machine between two looks at the clock: some tens of microseconds.
const OPS_BETWEEN_LOOKS: i32 = 1000;

/// How long a reader waits for a lock, which WAL takes from readers only while a file is recovered or reset.
const BUSY: Duration = Duration::from_secs(1);

/// The door for reads.
#[derive(Debug, Clone)]
pub struct Reads {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    address: Address,
    inline: bool,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Reader>>,
}

impl Reads {
    pub(super) fn new(address: Address, max_reads: usize, inline: bool) -> Self {
        let permits = Arc::new(Semaphore::new(max_reads.max(1)));
        Self {
            inner: Arc::new(Inner {
                address,
                inline,
                permits,
                idle: Mutex::default(),
            }),
        }
    }

    /// See [`super::super::Reads::read`].
    pub async fn read(&self, read: &Read, events: &Sender<ReadEvent>) -> Result<(), ReadError> {
        let permit = self.inner.permits.clone().acquire_owned().await;
        let permit = permit.map_err(|_| ReadError::Lost("the door for reads is closed".into()))?;
        if self.inner.inline {
            return self.read_inline(read, events).await;
        }
        let (gone, _guard) = cancel_on_drop();
        let (inner, read, events) = (self.inner.clone(), read.clone(), events.clone());
        let runtime = tokio::runtime::Handle::current();
        let ran = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let closed = events.clone();
            let stops = gone.clone();
            inner.with_reader(|reader| {
                let send = |event| send(&runtime, &events, &gone, event);
                reader.read(&read, move || stops.is_cancelled() || closed.is_closed(), send)
            })
        });
        ran.await.map_err(|error| ReadError::Lost(error.to_string()))?
    }

    async fn read_inline(&self, read: &Read, events: &Sender<ReadEvent>) -> Result<(), ReadError> {
        let mut spooled = Spooled::default();
        let closed = events.clone();
        let ran = self
            .inner
            .with_reader(|reader| reader.read(read, move || closed.is_closed(), |event| spooled.add(event)));
        for (event, rows) in spooled.parts {
            let send = async |event| events.send(event).await.map_err(|_| ReadError::Abandoned);
            send(event).await?;
            for row in rows.into_rows().map_err(spool_error)? {
                send(ReadEvent::Row(row.map_err(spool_error)?)).await?;
            }
        }
        ran
    }
}

/// Events, each with the rows that follow it.
#[derive(Default)]
struct Spooled {
    parts: Vec<(ReadEvent, Rows)>,
}

impl Spooled {
    fn add(&mut self, event: ReadEvent) -> Result<(), ReadError> {
        match (event, self.parts.last_mut()) {
            (ReadEvent::Row(row), Some((_, rows))) => rows.push(row).map_err(spool_error),
            (event, _) => {
                self.parts.push((event, Rows::default()));
                Ok(())
            }
        }
    }
}

fn spool_error(error: std::io::Error) -> ReadError {
    ReadError::Lost(format!("the spool file of a large result: {error}"))
}

/// The token is cancelled when the guard is dropped, that is when nobody waits any more.
fn cancel_on_drop() -> (CancellationToken, DropGuard) {
    let token = CancellationToken::new();
    (token.clone(), token.drop_guard())
}

fn send(
    runtime: &tokio::runtime::Handle,
    events: &Sender<ReadEvent>,
    gone: &CancellationToken,
    event: ReadEvent,
) -> Result<(), ReadError> {
    match events.try_send(event) {
        Ok(()) => Ok(()),
        Err(TrySendError::Closed(_)) => Err(ReadError::Abandoned),
        Err(TrySendError::Full(event)) => runtime.block_on(async {
            tokio::select! {
                sent = events.send(event) => sent.map_err(|_| ReadError::Abandoned),
                () = gone.cancelled() => Err(ReadError::Abandoned),
            }
        }),
    }
}

impl Inner {
    /// Lends a reader that no one else has; it comes back unless its connection failed.
    fn with_reader(&self, read: impl FnOnce(&mut Reader) -> Result<(), ReadError>) -> Result<(), ReadError> {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let reader = idle().pop();
        let mut reader = match reader {
            Some(reader) => reader,
            None => Reader::open(&self.address.path, self.inline).map_err(|error| lost(&error))?,
        };
        let ran = read(&mut reader);
        if !matches!(ran, Err(ReadError::Lost(_))) && reader.reset().is_ok() {
            idle().push(reader);
        }
        ran
    }
}

/// One read-only connection.
#[derive(Debug)]
struct Reader {
    conn: Connection,
    guard: Guard,
}

impl Reader {
    fn open(path: &Path, inline: bool) -> rusqlite::Result<Self> {
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
    fn reset(&mut self) -> rusqlite::Result<()> {
        self.conn.progress_handler(0, None::<fn() -> bool>)?;
        match self.conn.is_autocommit() {
            true => Ok(()),
            false => self.conn.execute_batch("ROLLBACK"),
        }
    }

    /// Runs a read in one snapshot; `abandoned` is asked now and then whether anyone still waits.
    fn read(
        &mut self,
        read: &Read,
        abandoned: impl Fn() -> bool + Clone + Send + 'static,
        mut out: impl FnMut(ReadEvent) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        let deadline = Instant::now() + read.timeout;
        let stops = abandoned.clone();
        let look = move || stops() || Instant::now() >= deadline;
        self.conn
            .progress_handler(OPS_BETWEEN_LOOKS, Some(look))
            .map_err(|error| lost(&error))?;
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
        let _user = self.guard.user();
        let mut prepared = self.conn.prepare(&statement.sql).map_err(stop)?;
        if !prepared.readonly() {
            let message = "reads do not write; send it to ALL";
            return Err(refused(Refusal::new(ErrorCode::ReadOnly, message)));
        }
        cell::bind(&mut prepared, &statement.params).map_err(|error| match error {
            BindError::Refused(refusal) => refused(refusal),
            BindError::Failed(error) => stop(error),
        })?;
        let columns: Vec<Column> = cell::columns(&prepared);
        if columns.is_empty() {
            return Err(refused(Refusal::new(
                ErrorCode::BadRequest,
                "the text holds no statement that returns rows",
            )));
        }
        out(ReadEvent::Columns(columns.clone()))?;
        let mut rows = prepared.raw_query();
        let mut count = 0;
        while let Some(row) = rows.next().map_err(stop)? {
            out(ReadEvent::Row(cell::row(&columns, row).map_err(stop)?))?;
            count += 1;
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

fn lost(error: &Error) -> ReadError {
    ReadError::Lost(errors::cause(error).to_string())
}

fn is_interrupt(error: &Error) -> bool {
    errors::code(error) & 0xff == rusqlite::ffi::SQLITE_INTERRUPT
}

fn own_stop(error: &Error) -> Stop {
    if is_interrupt(error) {
        Stop::Interrupted
    } else {
        Stop::Error(lost(error))
    }
}

/// What user SQL met. Only a file that fails is lost; for all else the answer is ERR.
fn user_stop(error: &Error, sql: &str) -> Stop {
    if is_interrupt(error) {
        return Stop::Interrupted;
    }
    match errors::class(error) {
        Class::Refused(code) | Class::RefusedAlone(code) => refused(errors::refusal(code, error, sql)),
        Class::Unknown => refused(errors::refusal(ErrorCode::Refused, error, sql)),
        Class::Transient | Class::RunAlone | Class::Lost | Class::DiskFull | Class::Fatal => Stop::Error(lost(error)),
    }
}
