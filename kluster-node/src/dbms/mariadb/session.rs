//! Session: one connection to the server with the settings on which results depend, and the few ways in which we speak over it.
//!
//! Neighbours: `settings` lists what is set; the owner, the lane of ALL and the reads each hold sessions.
//! Invariant: a session whose future was dropped half-way is never used again, for its bytes would be out of step. So whoever uses one
//! takes it out of where it is kept and puts it back only when done.

use super::settings::Settings;
use futures_util::TryStreamExt;
use sqlx::mysql::{MySqlArguments, MySqlConnectOptions, MySqlConnection, MySqlRow};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, Row};
use std::io::{Error, ErrorKind};
use std::time::Duration;
use tokio::time::timeout;

/// A session keeps at most this many statements prepared between batches, see [`Session::tidy`].
const KEPT: usize = 1000;

/// A server that does not answer a login for so long is taken as not there.
const LOGIN_PATIENCE: Duration = Duration::from_secs(30);

/// One connection to the server.
#[derive(Debug)]
pub struct Session {
    /// The driver's connection, for statements of users.
    pub connection: MySqlConnection,
    /// The server's number for it.
    pub id: u64,
}

impl Session {
    /// Logs in and sets what results depend on.
    pub async fn open(login: &MySqlConnectOptions, settings: &Settings) -> Result<Self, sqlx::Error> {
        // Statements are never logged by the driver: they hold users' data and our secret. What it would set by itself, `settings` sets.
        let login = login.clone().disable_statement_logging();
        let login = login
            .pipes_as_concat(false)
            .no_engine_substitution(false)
            .timezone(None)
            .statement_cache_capacity(2 * KEPT)
            .set_names(false);
        let connection =
            timeout(LOGIN_PATIENCE, login.connect()).await.map_err(|_| Error::from(ErrorKind::TimedOut))??;
        let mut session = Self { connection, id: 0 };
        for sql in settings.statements() {
            session.run(sql.clone()).await?;
        }
        session.id =
            session.one("select cast(connection_id() as unsigned)", MySqlArguments::default()).await?.try_get(0)?;
        Ok(session)
    }

    /// Runs our own text, which may be several statements and whose rows nobody wants.
    pub async fn run(&mut self, sql: impl Into<String>) -> Result<(), sqlx::Error> {
        self.connection.execute(AssertSqlSafe(sql.into())).await.map(|_| ())
    }

    /// Rows of our own statement, prepared on the server.
    pub async fn rows(&mut self, sql: impl Into<String>, params: MySqlArguments) -> Result<Vec<MySqlRow>, sqlx::Error> {
        let query = sqlx::query_with(AssertSqlSafe(sql.into()), params);
        self.connection.fetch(query).try_collect().await
    }

    /// The first row of our own statement.
    pub async fn one(&mut self, sql: impl Into<String>, params: MySqlArguments) -> Result<MySqlRow, sqlx::Error> {
        self.rows(sql, params).await?.into_iter().next().ok_or(sqlx::Error::RowNotFound)
    }

    /// Lets go of prepared statements when there are many. All at once and not one by one as the cache would: nothing answers to it, and
    /// without TCP_NODELAY, which the driver does not set, what is sent next waits some 40 ms for the server's delayed acknowledgement.
    pub async fn tidy(&mut self) -> Result<(), sqlx::Error> {
        match self.is_full() {
            true => self.connection.clear_cached_statements().await,
            false => Ok(()),
        }
    }

    /// As many statements are kept prepared as should be.
    pub fn is_full(&self) -> bool {
        self.connection.cached_statements_size() >= KEPT
    }

    /// Says goodbye; the server ends the session at once.
    pub async fn close(self) {
        if let Err(error) = self.connection.close().await {
            tracing::debug!(%error, "a session was gone before it was closed");
        }
    }
}

/// Params of one of our own calls.
macro_rules! params {
    () => {
        sqlx::mysql::MySqlArguments::default()
    };
    ($($value:expr),+ $(,)?) => {{
        let mut params = sqlx::mysql::MySqlArguments::default();
        $(sqlx::Arguments::add(&mut params, $value).map_err(sqlx::Error::Encode)?;)+
        params
    }};
}
pub(super) use params;
