//! Reads: the door for ONE. A login that may only read, in a read-only snapshot whose first query reads the state row.
//!
//! Neighbours: the ONE lane, several at once; [`super::MariaDb`] tells it how to log in after each start; [`super::reading`] is one read.
//!
//! Invariants
//! 1. At most `max_reads` sessions at once; who comes later waits.
//! 2. A session is given to the next read only if this one ended in order and its text cannot have left anything in the session;
//!    else it is closed.

use super::accounts::Logins;
use super::batch::Batch;
use super::reading::{self, Reading};
use super::session::Session;
use super::settings::Settings;
use crate::dbms::{Read, ReadError, ReadEvent};
use sqlx::Connection;
use sqlx::mysql::MySqlConnectOptions;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::Sender;

/// How reads log in.
#[derive(Debug, Clone)]
pub struct Login {
    pub(super) options: MySqlConnectOptions,
    pub(super) settings: Settings,
    pub(super) secret: String,
    /// The `CALL` of the procedure that answers the state row.
    pub(super) applied: String,
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
    idle: Mutex<Vec<Idle>>,
    /// How often the schema has changed.
    schema: AtomicU64,
    places: Semaphore,
}

/// A session between two reads. What it prepared describes the columns that tables had when the schema had changed `schema` times.
#[derive(Debug)]
struct Idle {
    session: Session,
    schema: u64,
}

impl Reads {
    /// A door for at most `max_reads` at once.
    pub fn new(login: Login, max_reads: usize) -> Self {
        let places = Semaphore::new(max_reads.max(1));
        Self(Arc::new(Door { login: Mutex::new(login), idle: Mutex::default(), schema: AtomicU64::new(0), places }))
    }

    /// From now on sessions log in so; those of before are closed.
    pub fn log_in_as(&self, login: Login) {
        *held(&self.0.login) = login;
        held(&self.0.idle).clear();
    }

    /// Sessions that prepared statements before are not used again.
    pub fn schema_changed(&self) {
        self.0.schema.fetch_add(1, Ordering::Relaxed);
    }

    /// Closes idle sessions.
    pub async fn close(&self) {
        let idle = std::mem::take(&mut *held(&self.0.idle));
        for idle in idle {
            idle.session.close().await;
        }
    }

    /// See [`crate::dbms::Reads::read`].
    pub async fn read(&self, read: &Read, events: &Sender<ReadEvent>) -> Result<(), ReadError> {
        let _place = self.0.places.acquire().await.map_err(|_| ReadError::Abandoned)?;
        let login = held(&self.0.login).clone();
        let Idle { session, schema } = self.session(&login).await?;
        let mut reading = Reading::new(session, login);
        let said = reading.run(read, events).await;
        if let Ok(()) | Err(ReadError::Refused(_)) = &said
            && let Some(session) = reading.end()
        {
            let shared = !read.statements.iter().any(|statement| leaves_traces(&statement.sql));
            self.give_back(Idle { session, schema }, shared).await;
        }
        said
    }

    /// An idle session that still answers, or a new one.
    async fn session(&self, login: &Login) -> Result<Idle, ReadError> {
        let schema = self.0.schema.load(Ordering::Relaxed);
        loop {
            let idle = held(&self.0.idle).pop();
            let Some(mut idle) = idle else { break };
            if idle.schema != schema {
                idle.session.close().await;
            } else if idle.session.connection.ping().await.is_ok() {
                return Ok(idle);
            }
        }
        let session = Session::open(&login.options, &login.settings).await.map_err(reading::lost)?;
        Ok(Idle { session, schema })
    }

    async fn give_back(&self, mut idle: Idle, shared: bool) {
        if shared && !idle.session.is_full() && idle.session.run("rollback").await.is_ok() {
            held(&self.0.idle).push(idle);
        } else {
            idle.session.close().await;
        }
    }
}

/// Whether a text may leave something in its session: anything but a plain query, and queries with variables, locks or the like.
fn leaves_traces(sql: &str) -> bool {
    let lower = sql.to_lowercase();
    let word: String = lower.trim_start().chars().take_while(char::is_ascii_alphabetic).collect();
    let plain = ["select", "with", "values", "table", "show", "explain", "describe", "desc"].contains(&word.as_str());
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
        for plain in ["select 1", "  SELECT a from t", "with x as (select 1) select * from x", "values (1)"] {
            assert!(!leaves_traces(plain), "{plain}");
        }
        for other in
            ["select @a := 1", "set @a = 1", "(select 1)", "select get_lock('a', 1)", "/*! set x */ select 1", "do 1"]
        {
            assert!(leaves_traces(other), "{other}");
        }
    }
}
