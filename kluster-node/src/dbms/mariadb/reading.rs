//! Reading: one read of ONE over one session: a read-only snapshot whose first query reads the state row, then the statements.
//!
//! Neighbours: [`super::reads`] gives it a session and takes it back. Invariants: the DBMS itself ends a statement that takes too long;
//! a read whose future is dropped ends in the server too: its session is killed, not left to find out when it next writes.

use super::batch;
use super::errors::{self, Stop};
use super::execution::{self, Execution, Failed};
use super::owner::state_row;
use super::reads::Login;
use super::session::{Session, params};
use super::settings::Settings;
use crate::dbms::{Read, ReadError, ReadEvent, StateRow, WorkStatement};
use crate::fault::{Fault, Refusal};
use kluster_protocol::ErrorCode;
use tokio::sync::mpsc::Sender;
use tokio::time::Instant;

/// A read under way. Dropped with its session, it has the server end that session.
pub struct Reading {
    session: Option<Session>,
    login: Login,
}

impl Reading {
    /// A read over this session.
    pub fn new(session: Session, login: Login) -> Self {
        Self { session: Some(session), login }
    }

    /// The session of a read that ended in order.
    pub fn end(&mut self) -> Option<Session> {
        self.session.take()
    }

    /// Executes `read` and says what it returns.
    pub async fn run(&mut self, read: &Read, events: &Sender<ReadEvent>) -> Result<(), ReadError> {
        let login = &self.login;
        let Some(session) = &mut self.session else {
            return Err(ReadError::Lost("no session".to_owned()));
        };
        let deadline = Instant::now() + read.timeout;
        session.run("start transaction with consistent snapshot, read only").await.map_err(lost)?;
        let state = applied(session, login).await.map_err(lost)?;
        say(events, ReadEvent::Snapshot(state)).await?;
        for (index, statement) in read.statements.iter().enumerate() {
            let told = tell(session, statement, deadline, events).await;
            told.map_err(|error| at(error, index, read.statements.len()))?;
        }
        Ok(())
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        let (Some(session), Ok(runtime)) = (self.session.take(), tokio::runtime::Handle::try_current()) else {
            return;
        };
        let (id, login) = (session.id, self.login.clone());
        // Closed first: if the session was idle, it is gone before it can be killed.
        drop(session);
        runtime.spawn(async move {
            let killed =
                async { Session::open(&login.options, &Settings::none()).await?.run(format!("kill {id}")).await };
            if let Err(error) = killed.await {
                tracing::debug!(%error, "an abandoned read was over before it was ended");
            }
        });
    }
}

async fn applied(session: &mut Session, login: &Login) -> Result<Option<StateRow>, sqlx::Error> {
    let row = session.one(login.applied.as_str(), params![login.secret.as_str()]).await?;
    state_row(&row)
}

/// Executes one statement and says what it returns.
async fn tell(
    session: &mut Session,
    statement: &WorkStatement,
    deadline: Instant,
    events: &Sender<ReadEvent>,
) -> Result<(), ReadError> {
    let left = deadline.saturating_duration_since(Instant::now()).as_secs_f64();
    // 0 would mean no limit.
    session.run(format!("set session max_statement_time = {:.3}", left.max(0.001))).await.map_err(lost)?;
    let mut execution = Execution::start(session, statement).await.map_err(|failed| match failed {
        Failed::Refused(refusal) => ReadError::Refused(refusal),
        Failed::Met(error) => ended(error),
    })?;
    let mut row = execution.next().await.map_err(ended)?;
    say(events, ReadEvent::Columns(execution.columns().to_vec())).await?;
    while let Some(text) = row {
        say(events, ReadEvent::Row(text)).await?;
        row = execution.next().await.map_err(ended)?;
    }
    let rows = execution.affected();
    execution::check_rows(statement.expect_rows, rows).map_err(ReadError::Refused)?;
    say(events, ReadEvent::Done { rows }).await
}

async fn say(events: &Sender<ReadEvent>, event: ReadEvent) -> Result<(), ReadError> {
    events.send(event).await.map_err(|_| ReadError::Abandoned)
}

fn at(error: ReadError, index: usize, statements: usize) -> ReadError {
    match error {
        ReadError::Refused(refusal) => refused(batch::at(Stop::Refused(refusal), index, statements)),
        error => error,
    }
}

/// The connection is gone, or there is none.
pub fn lost(error: sqlx::Error) -> ReadError {
    ReadError::Lost(errors::fault(error).to_string())
}

fn ended(error: sqlx::Error) -> ReadError {
    // By number first: what stops the ALL lane is only an answer here.
    let number = errors::server_error(&error).map(|error| (error.number(), errors::refusal(error)));
    let code = |number: u16, refusal: &Refusal| match number {
        1290 | 1792 | 1836 => Some(ErrorCode::ReadOnly),
        1142 | 1143 if !refusal.message.starts_with("SELECT") => Some(ErrorCode::ReadOnly),
        1317 | 1969 | 3024 => Some(ErrorCode::TimedOut),
        _ => None,
    };
    match number {
        Some((number, refusal)) => match code(number, &refusal) {
            Some(code) => ReadError::Refused(Refusal { code, ..refusal }),
            None => match errors::stop(error, true) {
                Stop::Fault(Fault::Lost(cause)) => ReadError::Lost(cause.to_string()),
                Stop::Fault(_) => ReadError::Refused(refusal),
                Stop::Refused(refusal) => ReadError::Refused(refusal),
            },
        },
        None => ReadError::Lost(error.to_string()),
    }
}

fn refused(stop: Stop) -> ReadError {
    match stop {
        Stop::Refused(refusal) => ReadError::Refused(refusal),
        Stop::Fault(fault) => ReadError::Lost(fault.to_string()),
    }
}
