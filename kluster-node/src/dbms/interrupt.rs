//! Interrupt: ends what the session that applies ALL is executing, from beside it. The statement then fails as a passing fault and its
//! transaction is rolled back; a statement that was quicker has ended, and nothing is ended in its place.
//!
//! Neighbours: the ALL lane sends it when a decision overrules the batch under way; each adapter asks its own server, by a session of its own.

use super::{mariadb, postgres, sqlite};

/// Ends what the session that applies ALL is executing. Cheap to clone.
#[derive(Debug, Clone)]
pub enum Interrupt {
    /// See [`super::Dbms::Postgres`].
    Postgres(postgres::Interrupt),
    /// See [`super::Dbms::MariaDb`]; none: there is no session.
    MariaDb(Option<Box<mariadb::Interrupt>>),
    /// See [`super::Dbms::Sqlite`].
    Sqlite(sqlite::Interrupt),
}

impl Interrupt {
    /// Asks the DBMS once. Where it cannot be asked the statement goes on, and the lane asks again.
    pub async fn send(&self) {
        let sent = match self {
            Self::Postgres(interrupt) => interrupt.cancel().await.map_err(|error| error.to_string()),
            Self::MariaDb(None) => Ok(()),
            Self::MariaDb(Some(interrupt)) => interrupt.send().await.map_err(|error| error.to_string()),
            Self::Sqlite(interrupt) => {
                interrupt.send();
                Ok(())
            }
        };
        if let Err(error) = sent {
            tracing::warn!(error, "the statement that is executing could not be ended yet");
        }
    }
}
