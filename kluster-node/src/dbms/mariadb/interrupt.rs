//! Interrupt: ends the statement that the session of user SQL is executing.
//!
//! Neighbours: `dbms::Interrupt`; it logs in as the account of that session, which may end its own statements without any privilege.

use super::session::{Session, params};
use super::settings::Settings;
use sqlx::Row;
use sqlx::mysql::MySqlConnectOptions;

/// See [`crate::dbms::Interrupt`].
#[derive(Debug, Clone)]
pub struct Interrupt {
    app: MySqlConnectOptions,
}

impl Interrupt {
    /// Of the session that logs in so.
    pub(super) fn new(app: MySqlConnectOptions) -> Self {
        Self { app }
    }

    /// Tells the server once.
    pub async fn send(&self) -> Result<(), sqlx::Error> {
        let mut session = Session::open(&self.app, &Settings::none()).await?;
        let sql = "select cast(id as unsigned) from information_schema.processlist \
                   where user = ? and db = database() and id <> connection_id()";
        let rows = session.rows(sql, params![self.app.get_username()]).await?;
        for row in &rows {
            let id: u64 = row.try_get(0)?;
            // It may have ended by itself.
            let _ = session.run(format!("kill query {id}")).await;
        }
        session.close().await;
        Ok(())
    }
}
