//! Locks: who holds up the session that applies ALL, so that a person can be told. Nobody's session is ended from here: who may lock a table
//! beside Kluster is for the operator to say.
//!
//! Neighbours: `waiting` asks while a batch takes long; each adapter looks in its own server, by a session of its own.

use super::{mariadb, postgres};

/// Asks a server who holds what the session that applies ALL waits for. Cheap to clone.
#[derive(Debug, Clone)]
pub enum Locks {
    /// See [`super::Dbms::Postgres`].
    Postgres(postgres::Locks),
    /// See [`super::Dbms::MariaDb`].
    MariaDb(Box<mariadb::Locks>),
    /// SQLite: a lock of another process is an error at once ([`crate::fault::Fault::LockWait`]), and nobody can be asked who holds it.
    None,
}

/// What a batch waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The server's numbers of the sessions that hold it; none: the server does not tell.
    pub by: Vec<i64>,
    /// What is waited for, who holds it, and how to end that.
    pub text: String,
}

impl Locks {
    /// A batch can come to wait for somebody else's lock.
    pub fn can_hold_up(&self) -> bool {
        !matches!(self, Self::None)
    }

    /// What the session that applies ALL waits for just now; none: for no lock, or the server cannot be asked.
    pub async fn held(&self) -> Option<Held> {
        match self {
            Self::Postgres(locks) => locks.held().await.unwrap_or_else(|error| not_told(&error)),
            Self::MariaDb(locks) => locks.held().await.unwrap_or_else(|error| not_told(&error)),
            Self::None => None,
        }
    }
}

fn not_told(error: &dyn std::error::Error) -> Option<Held> {
    tracing::debug!(%error, "the server did not tell who holds locks");
    None
}
