//! Reads of ONE: sessions of their own, as a role that may only read, each read in one read-only snapshot.
//!
//! ```text
//! begin read only · state row · statement … │ Sync │ rollback │ Sync │ discard all │ Sync        one round trip
//! ```
//! Neighbours: the ONE lane reads through [`Reads`]; `gather` writes rows, which leave as they come.
//!
//! Invariants
//! 1. The first query of the snapshot reads the state row; from then on the transaction cannot be made to write.
//! 2. A session goes back to the others only after all replies were taken and it was reset; a read that is dropped is cancelled in the server.
//! 3. No more than `max_reads` sessions are open.

use super::address::Address;
use super::connection::{CancelToken, Connection, Event, NO_PARAMS, Pipeline, Plan};
use super::error::{Error, PgError, Unsendable};
use super::errors;
use super::gather::{Shape, TypeBook};
use super::script::param;
use super::seat;
use super::types::TypeNames;
use crate::dbms::{Read, ReadError, ReadEvent, StateRow};
use kluster_protocol::{Cells, ErrorCode, MAX_ROW_BYTES, Offset, ResponseError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::Sender;
use tokio::time::Instant;

/// How much later than the server the node gives up: the server's own answer leaves the session whole.
const GRACE: Duration = Duration::from_secs(1);

/// The door for reads.
#[derive(Debug, Clone)]
pub struct Reads(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Its password changes when the ALL lane connects again.
    address: Mutex<Address>,
    free: Semaphore,
    idle: Mutex<Vec<Connection>>,
    book: Arc<TypeBook>,
}

/// A session on loan.
struct Lease<'a> {
    shared: &'a Shared,
    connection: Option<Connection>,
    cancel: CancelToken,
}

/// How far the replies of one read have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Begin,
    State,
    Timeout,
    Statement(usize),
}

impl Reads {
    /// A door to the server at `address`, for so many reads at once.
    pub fn new(address: Address, max_reads: usize, book: Arc<TypeBook>) -> Self {
        let (free, idle) = (Semaphore::new(max_reads.max(1)), Mutex::default());
        Self(Arc::new(Shared { address: Mutex::new(address), free, idle, book }))
    }

    /// The login has a new password; sessions that are open stay.
    pub fn set_address(&self, address: Address) {
        *lock(&self.0.address) = address;
    }

    /// As whom reads log in.
    pub fn address(&self) -> Address {
        lock(&self.0.address).clone()
    }

    /// Closes the sessions that nobody uses.
    pub async fn close(&self) {
        let idle = std::mem::take(&mut *lock(&self.0.idle));
        for connection in idle {
            connection.close().await;
        }
    }

    /// See [`crate::dbms::Reads::read`].
    pub async fn read(&self, read: &Read, events: &Sender<ReadEvent>) -> Result<(), ReadError> {
        let end = Instant::now() + read.timeout;
        // The semaphore is never closed.
        let permit = tokio::time::timeout_at(end, self.0.free.acquire()).await.map_err(|_| timed_out(read.timeout))?;
        let mut lease = self.0.lend().await.map_err(|error| ReadError::Lost(errors::lost_cause(&error).to_string()))?;
        let result = match tokio::time::timeout_at(end + GRACE, self.execute(&mut lease, read, events, end)).await {
            Ok(result) => result,
            // The server should have been quicker; what it still does is cancelled when the lease ends.
            Err(_) => Err(timed_out(read.timeout)),
        };
        if let Err(ReadError::Lost(_)) = result {
            // What ended this session has probably ended the idle ones too.
            lock(&self.0.idle).clear();
        }
        lease.give_back();
        drop(permit);
        result
    }

    async fn execute(
        &self,
        lease: &mut Lease<'_>,
        read: &Read,
        events: &Sender<ReadEvent>,
        end: Instant,
    ) -> Result<(), ReadError> {
        let Some(connection) = lease.connection.as_mut() else { return Err(ReadError::Lost("no session".to_owned())) };
        let mut pipeline = connection.pipeline().map_err(lost)?;
        let (parts, mut first_error) = queue(&mut pipeline, read, end.saturating_duration_since(Instant::now()));
        for part in parts {
            if let Some(error) = self.reply(&mut pipeline, part, read, events).await? {
                // Earlier than a statement that could not be sent.
                first_error = Some(error);
            }
        }
        // The snapshot ends, the session is reset; nothing of it can fail but with the session.
        while pipeline.next_event().await.map_err(lost)?.is_some() {}
        first_error.map_or(Ok(()), Err)
    }

    /// Takes the replies of one part and says what they are; a refusal is the read's.
    async fn reply(
        &self,
        pipeline: &mut Pipeline<'_>,
        part: Part,
        read: &Read,
        events: &Sender<ReadEvent>,
    ) -> Result<Option<ReadError>, ReadError> {
        let (mut shape, mut rows, mut state) = (None, 0, None);
        let cells = match part {
            Part::Statement(i) => read.statements[i].cells,
            _ => Cells::Plain,
        };
        loop {
            match pipeline.next_event().await.map_err(lost)? {
                Some(Event::Columns(columns)) if part.is_users() => {
                    let shaped =
                        self.0.book.shape(&columns, &TypeNames::default(), &self.address()).await.map_err(lost)?;
                    say(events, ReadEvent::Columns(shaped.columns())).await?;
                    shape = Some(shaped.with(cells));
                }
                Some(Event::Row(row)) => match &shape {
                    Some(shape) => {
                        rows += 1;
                        say(events, ReadEvent::Row(sendable(shape, &row)?)).await?;
                    }
                    None => state = state.or_else(|| state_row(&row)),
                },
                Some(Event::OversizedRow { .. }) => return Err(row_too_large()),
                Some(Event::Done(_)) => {
                    match part {
                        Part::State => say(events, ReadEvent::Snapshot(state)).await?,
                        Part::Statement(i) => {
                            expected(read, i, rows)?;
                            said(events, shape.is_some(), rows).await?;
                        }
                        Part::Begin | Part::Timeout => {}
                    }
                    return Ok(None);
                }
                Some(Event::Failed(error)) => return refused(&error, part, read).map(Some),
                Some(Event::Skipped) => return Ok(None),
                Some(Event::Columns(_)) => {}
                Some(Event::Ready(_)) | None => {
                    return Err(ReadError::Lost("replies do not fit what was sent".to_owned()));
                }
            }
        }
    }
}

/// A statement is done; one without columns has not said so yet.
async fn said(events: &Sender<ReadEvent>, columns: bool, rows: u64) -> Result<(), ReadError> {
    if !columns {
        say(events, ReadEvent::Columns(Vec::new())).await?;
    }
    say(events, ReadEvent::Done { rows }).await
}

impl Part {
    fn is_users(self) -> bool {
        matches!(self, Self::Statement(_))
    }
}

impl Shared {
    async fn lend(&self) -> Result<Lease<'_>, Error> {
        let idle = lock(&self.idle).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => {
                let address = lock(&self.address).clone();
                seat::connect(&address).await?
            }
        };
        Ok(Lease { shared: self, cancel: connection.cancel_token(), connection: Some(connection) })
    }
}

impl Lease<'_> {
    /// A session whose replies were all taken is idle and reset.
    fn give_back(mut self) {
        if let Some(connection) = self.connection.take_if(|connection| !connection.is_broken()) {
            lock(&self.shared.idle).push(connection);
        }
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let cancel = self.cancel.clone();
            runtime.spawn(async move {
                // If it cannot be reached, the closed socket ends the session when the server next writes to it.
                let _ = tokio::time::timeout(seat::CONNECT_TIMEOUT, cancel.cancel()).await;
                drop(connection);
            });
        }
    }
}

/// Queues the whole read. A statement that cannot be sent ends it there.
fn queue(pipeline: &mut Pipeline<'_>, read: &Read, left: Duration) -> (Vec<Part>, Option<ReadError>) {
    let timeout = left.as_millis().clamp(1, i32::MAX as u128).to_string();
    let own = [
        (Part::Begin, "begin isolation level repeatable read read only", None),
        (Part::State, "select applied, state from kluster_state.held()", None),
        (Part::Timeout, "select pg_catalog.set_config('statement_timeout', $1, true)", Some(timeout)),
    ];
    let (mut parts, mut error) = (Vec::new(), None);
    for (part, text, param) in own {
        match pipeline.queue(text, Plan::Once, param.iter().map(Some)) {
            Ok(()) => parts.push(part),
            Err(unsendable) => error = Some(refused_before(unsendable, 0, 1)),
        }
    }
    for (i, statement) in read.statements.iter().enumerate() {
        match pipeline.queue(&statement.sql, Plan::Once, statement.params.iter().map(param)) {
            Ok(()) => parts.push(Part::Statement(i)),
            Err(unsendable) => {
                error = Some(refused_before(unsendable, i, read.statements.len()));
                break;
            }
        }
    }
    for end in ["rollback", "discard all"] {
        pipeline.sync();
        // Fixed texts can be sent.
        let _ = pipeline.queue(end, Plan::Once, NO_PARAMS);
    }
    (parts, error)
}

fn refused_before(unsendable: Unsendable, statement: usize, statements: usize) -> ReadError {
    let refusal = errors::unsendable(unsendable);
    ReadError::Refused(ResponseError { statement_index: index(statement, statements), ..refusal })
}

fn index(statement: usize, statements: usize) -> Option<u32> {
    (statements > 1).then(|| u32::try_from(statement).unwrap_or(u32::MAX))
}

fn expected(read: &Read, statement: usize, rows: u64) -> Result<(), ReadError> {
    match read.statements[statement].expect_rows {
        Some(expected) if expected != rows => {
            let message = format!("{rows} rows were returned where expectRows is {expected}");
            let refusal = ResponseError::new(ErrorCode::ExpectRows, message);
            Err(ReadError::Refused(ResponseError {
                statement_index: index(statement, read.statements.len()),
                ..refusal
            }))
        }
        _ => Ok(()),
    }
}

/// What a failed part means: a user's statement has its answer; where one of ours fails, the read can be tried again.
fn refused(error: &PgError, part: Part, read: &Read) -> Result<ReadError, ReadError> {
    let Part::Statement(i) = part else { return Err(ReadError::Lost(errors::cause(error).to_string())) };
    Ok(match errors::read_error(error) {
        ReadError::Refused(refusal) => {
            ReadError::Refused(ResponseError { statement_index: index(i, read.statements.len()), ..refusal })
        }
        lost => lost,
    })
}

fn sendable(shape: &Shape, row: &super::connection::Row) -> Result<Box<serde_json::value::RawValue>, ReadError> {
    Some(shape.row(row)).filter(|row| row.get().len() <= MAX_ROW_BYTES).ok_or_else(row_too_large)
}

fn row_too_large() -> ReadError {
    let message = format!(
        "a row is larger than {MAX_ROW_BYTES} bytes, which no record can carry; ask for fewer columns, or for parts of values"
    );
    ReadError::Refused(ResponseError::new(ErrorCode::ResultTooLarge, message))
}

fn timed_out(timeout: Duration) -> ReadError {
    let message = format!("the read took longer than {} ms", timeout.as_millis());
    ReadError::Refused(ResponseError::new(ErrorCode::TimedOut, message))
}

/// `applied` and `state`.
pub fn state_row(row: &super::connection::Row) -> Option<StateRow> {
    let applied = Offset::new(row.text(0)?.parse().ok()?);
    Some(StateRow { applied, state: row.text(1)?.into_owned() })
}

async fn say(events: &Sender<ReadEvent>, event: ReadEvent) -> Result<(), ReadError> {
    events.send(event).await.map_err(|_| ReadError::Abandoned)
}

fn lost(error: Error) -> ReadError {
    ReadError::Lost(errors::lost_cause(&error).to_string())
}

fn lock<T>(shared: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Each is changed in one step, so a panic elsewhere leaves it whole.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
