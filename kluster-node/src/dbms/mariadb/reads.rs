//! Reads: the door for ONE. A login that may only read, in a read-only snapshot whose first query reads the state row.
//!
//! Neighbours: the ONE lane, several at once; [`super::MariaDb`] tells it how to log in after each start.
//!
//! Invariants
//! 1. At most `max_reads` sessions at once; who comes later waits.
//! 2. A session is given to the next read only if this one ended in order and its text cannot have left anything in the session;
//!    else it is closed.
//! 3. A read whose future is dropped ends in the server too: its session is killed, not left to find out when it next writes.

use super::accounts::Logins;
use super::batch::{self, Batch};
use super::errors::{self, Stop};
use super::execution::{self, Execution, Failed};
use super::owner::state_row;
use super::session::{Session, params};
use super::settings::Settings;
use crate::dbms::{Read, ReadError, ReadEvent, StateRow, WorkStatement};
use crate::fault::Refusal;
use kluster_protocol::ErrorCode;
use sqlx::Connection;
use sqlx::mysql::MySqlConnectOptions;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::Sender;
use tokio::time::Instant;

/// How reads log in.
#[derive(Debug, Clone)]
pub struct Login {
    options: MySqlConnectOptions,
    settings: Settings,
    secret: String,
    /// `CALL` of the procedure that answers the state row.
    applied: String,
}

impl Login {
    /// The login for reads among `logins`.
    pub fn new(logins: &Logins, batch: &Batch) -> Self {
        let (options, settings) = logins.read.clone();
        Self {
            options,
            settings,
            secret: batch.secret.clone(),
            applied: format!("call {}(?)", batch.names.own("applied")),
        }
    }
}

/// The door for reads of ONE. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Reads(Arc<Door>);

#[derive(Debug)]
struct Door {
    login: Mutex<Login>,
    idle: Mutex<Vec<Session>>,
    places: Semaphore,
}

impl Reads {
    /// A door for at most `max_reads` at once.
    pub fn new(login: Login, max_reads: usize) -> Self {
        let places = Semaphore::new(max_reads.max(1));
        Self(Arc::new(Door {
            login: Mutex::new(login),
            idle: Mutex::new(Vec::new()),
            places,
        }))
    }

    /// From now on sessions log in so; those of before are closed.
    pub fn log_in_as(&self, login: Login) {
        *held(&self.0.login) = login;
        held(&self.0.idle).clear();
    }

    /// Closes idle sessions.
    pub async fn close(&self) {
        let idle = std::mem::take(&mut *held(&self.0.idle));
        for session in idle {
            session.close().await;
        }
    }

    /// See [`crate::dbms::Reads::read`].
    pub async fn read(&self, read: &Read, events: &Sender<ReadEvent>) -> Result<(), ReadError> {
        let _place = self.0.places.acquire().await.map_err(|_| ReadError::Abandoned)?;
        let login = held(&self.0.login).clone();
        let mut reading = self.session(&login).await?;
        let said = reading.run(&login, read, events).await;
        let in_order = matches!(said, Ok(()) | Err(ReadError::Refused(_)));
        if let Some(session) = reading.session.take() {
            match in_order && !read.statements.iter().any(|statement| leaves_traces(&statement.sql)) {
                true => self.give_back(session).await,
                false if in_order => session.close().await,
                false => reading.session = Some(session),
            }
        }
        said
    }

    /// An idle session that still answers, or a new one.
    async fn session(&self, login: &Login) -> Result<Reading, ReadError> {
        loop {
            let idle = held(&self.0.idle).pop();
            let Some(mut session) = idle else { break };
            if session.connection.ping().await.is_ok() {
                return Ok(Reading {
                    session: Some(session),
                    login: login.clone(),
                });
            }
        }
        let session = Session::open(&login.options, &login.settings).await.map_err(lost)?;
        Ok(Reading {
            session: Some(session),
            login: login.clone(),
        })
    }

    async fn give_back(&self, mut session: Session) {
        // A prepared statement of before would describe the columns that a table had then.
        let clean = async {
            session.run("rollback").await?;
            session.connection.clear_cached_statements().await
        };
        if clean.await.is_ok() {
            held(&self.0.idle).push(session);
        }
    }
}

/// A read under way. Dropped with its session, it has the server end that session.
struct Reading {
    session: Option<Session>,
    login: Login,
}

impl Reading {
    async fn run(&mut self, login: &Login, read: &Read, events: &Sender<ReadEvent>) -> Result<(), ReadError> {
        let Some(session) = &mut self.session else {
            return Err(ReadError::Lost("no session".to_owned()));
        };
        let deadline = Instant::now() + read.timeout;
        session
            .run("start transaction with consistent snapshot, read only")
            .await
            .map_err(lost)?;
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
            let killed = async {
                Session::open(&login.options, &Settings::none())
                    .await?
                    .run(format!("kill {id}"))
                    .await
            };
            if let Err(error) = killed.await {
                tracing::debug!(%error, "an abandoned read was over before it was ended");
            }
        });
    }
}

async fn applied(session: &mut Session, login: &Login) -> Result<Option<StateRow>, sqlx::Error> {
    let row = session
        .one(login.applied.as_str(), params![login.secret.as_str()])
        .await?;
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
    session
        .run(format!("set session max_statement_time = {:.3}", left.max(0.001)))
        .await
        .map_err(lost)?;
    let mut execution = Execution::start(session, statement)
        .await
        .map_err(|failed| match failed {
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

fn lost(error: sqlx::Error) -> ReadError {
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
                Stop::Fault(crate::fault::Fault::Lost(cause)) => ReadError::Lost(cause.to_string()),
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

/// Whether a text may leave something in its session: anything but a plain query, and queries with variables, locks or the like.
fn leaves_traces(sql: &str) -> bool {
    let lower = sql.to_lowercase();
    let word: String = lower
        .trim_start()
        .chars()
        .take_while(char::is_ascii_alphabetic)
        .collect();
    let plain = [
        "select", "with", "values", "table", "show", "explain", "describe", "desc",
    ]
    .contains(&word.as_str());
    !plain
        || ["@", "/*", "lock", "last_", "lastval", "setval", "found_rows", "rand"]
            .iter()
            .any(|sign| lower.contains(sign))
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while one of these is held; if it did, the value would still be whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_queries_share_a_session() {
        for plain in [
            "select 1",
            "  SELECT a from t",
            "with x as (select 1) select * from x",
            "values (1)",
        ] {
            assert!(!leaves_traces(plain), "{plain}");
        }
        for other in [
            "select @a := 1",
            "set @a = 1",
            "(select 1)",
            "select get_lock('a', 1)",
            "/*! set x */ select 1",
            "do 1",
        ] {
            assert!(leaves_traces(other), "{other}");
        }
    }
}
