//! What goes wrong on a PostgreSQL connection: a statement refused by the server (the session lives on), or the connection itself.
//!
//! Neighbours: `connection` produces these, the adapter classifies a [`PgError`] by its SQLSTATE and routine.
//! Invariant: every [`Error`] for which [`Error::is_connection_lost`] holds leaves its connection broken.

use std::fmt;
use std::io;

use fallible_iterator::FallibleIterator;
use postgres_protocol::message::backend::ErrorFields;

/// The server's report on one statement, or its last words before it ends a session (fields of ErrorResponse, PostgreSQL
/// documentation 55.8).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PgError {
    /// `ERROR`, `FATAL` or `PANIC`, never localised.
    pub severity: String,
    /// Five characters, for example `23505`.
    pub sqlstate: String,
    /// In the language of the server's `lc_messages`: for people, never for decisions.
    pub message: String,
    /// More about this one failure, for example the duplicate key's value.
    pub detail: Option<String>,
    /// What the server advises to do.
    pub hint: Option<String>,
    /// Where in the statement, in characters, from 1.
    pub position: Option<u32>,
    /// The function in the server's source that reported the error: `exec_stmt_raise` marks a user's own RAISE.
    pub routine: Option<String>,
    /// The file of the server's source with that function, without its directory.
    pub file: Option<String>,
    /// Schema of the table, type or constraint at fault.
    pub schema: Option<String>,
    /// Table at fault.
    pub table: Option<String>,
    /// Column at fault.
    pub column: Option<String>,
    /// Data type at fault.
    pub data_type: Option<String>,
    /// Constraint at fault.
    pub constraint: Option<String>,
}

impl PgError {
    /// Reads the fields of an ErrorResponse. CONTEXT, file and line are left out: they may repeat values or SQL.
    pub fn parse(mut fields: ErrorFields<'_>) -> io::Result<Self> {
        let mut error = Self::default();
        while let Some(field) = fields.next()? {
            let text = String::from_utf8_lossy(field.value_bytes()).into_owned();
            error.set(field.type_(), text);
        }
        Ok(error)
    }

    /// The server ends the session after such an error.
    pub fn ends_session(&self) -> bool {
        matches!(self.severity.as_str(), "FATAL" | "PANIC")
    }

    fn set(&mut self, field: u8, text: String) {
        match field {
            // 'S' is the localised severity; 'V' follows it and is stable.
            b'S' if self.severity.is_empty() => self.severity = text,
            b'V' => self.severity = text,
            b'C' => self.sqlstate = text,
            b'M' => self.message = text,
            b'D' => self.detail = Some(text),
            b'H' => self.hint = Some(text),
            b'P' => self.position = text.parse().ok(),
            b'R' => self.routine = Some(text),
            b'F' => self.file = Some(text),
            b's' => self.schema = Some(text),
            b't' => self.table = Some(text),
            b'c' => self.column = Some(text),
            b'd' => self.data_type = Some(text),
            b'n' => self.constraint = Some(text),
            _ => {}
        }
    }
}

impl fmt::Display for PgError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.severity, self.sqlstate, self.message)?;
        if let Some(detail) = &self.detail {
            write!(f, " ({detail})")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "; hint: {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for PgError {}

/// Why a call on a connection did not give its result.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server refused a statement. The connection can be used on.
    #[error("{0}")]
    Server(#[source] Box<PgError>),
    /// The statement cannot be put into a message. Nothing was sent; the connection can be used on.
    #[error(transparent)]
    Unsendable(#[from] Unsendable),
    /// The server refused the login or ended the session.
    #[error("PostgreSQL ended the session: {0}")]
    SessionEnded(#[source] Box<PgError>),
    /// Nobody listens at the address.
    #[error("cannot reach PostgreSQL at {place}: {source}; check that the server runs and listens there")]
    Unreachable {
        /// Host and port, or the socket's path.
        place: String,
        /// The operating system's reason.
        source: io::Error,
    },
    /// The server asks for a login method that this connection does not speak, or failed to prove itself.
    #[error("cannot log in to PostgreSQL as {user}: {reason}")]
    Login {
        /// The login's name.
        user: String,
        /// What was asked and what to do.
        reason: String,
    },
    /// Reading or writing failed; whether the last statements took effect is open.
    #[error("connection to PostgreSQL lost: {0}")]
    Io(#[from] io::Error),
    /// The server closed the connection without a word (crash, kill); whether the last statements took effect is open.
    #[error("connection to PostgreSQL lost: closed by the server")]
    Closed,
    /// The server sent what the protocol does not allow here.
    #[error("PostgreSQL's answer was not understood: {0}; is a PostgreSQL server behind this address?")]
    Protocol(String),
    /// The connection failed before, or a call on it was abandoned while replies were outstanding. Open a new one.
    #[error("this PostgreSQL connection is broken by an earlier failure or an abandoned call; open a new one")]
    Broken,
}

impl Error {
    /// The connection is dead (or never came to be); otherwise only this one call failed.
    pub fn is_connection_lost(&self) -> bool {
        !matches!(self, Self::Server(_) | Self::Unsendable(_))
    }
}

/// Why a statement cannot be sent at all. The same on every node, for it depends on the statement alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unsendable {
    /// The protocol ends texts with a zero byte.
    #[error("the SQL text contains a zero byte, which PostgreSQL cannot take; remove it")]
    ZeroByte,
    /// COPY speaks with the client in ways that end a pipelined session.
    #[error("COPY cannot be used here; use INSERT with several rows, or SELECT")]
    Copy,
    /// The protocol counts parameters in 16 bits.
    #[error("a statement takes at most 65535 parameters; split it")]
    TooManyParams,
    /// One message is at most 1 GiB (PostgreSQL's MaxAllocSize).
    #[error("the statement with its parameters exceeds 1 GiB, PostgreSQL's limit for one message; split it")]
    TooLarge,
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::{BufMut, BytesMut};
    use postgres_protocol::message::backend::Message;

    fn error_response(fields: &[(u8, &str)]) -> PgError {
        let mut body = BytesMut::new();
        for (field, text) in fields {
            body.put_u8(*field);
            body.put_slice(text.as_bytes());
            body.put_u8(0);
        }
        body.put_u8(0);
        let mut message = BytesMut::new();
        message.put_u8(b'E');
        message.put_i32(i32::try_from(body.len()).unwrap() + 4);
        message.put_slice(&body);
        match Message::parse(&mut message).unwrap() {
            Some(Message::ErrorResponse(body)) => PgError::parse(body.fields()).unwrap(),
            _ => panic!("not an ErrorResponse"),
        }
    }

    #[test]
    fn fields_are_read_and_the_severity_is_the_one_that_is_not_localised() {
        let error = error_response(&[
            (b'S', "FEHLER"),
            (b'V', "ERROR"),
            (b'C', "23505"),
            (b'M', "duplicate key"),
            (b'D', "Key (id)=(1) already exists."),
            (b'W', "context that is never kept"),
            (b'P', "12"),
            (b's', "public"),
            (b't', "person"),
            (b'n', "person_pkey"),
            (b'R', "_bt_check_unique"),
        ]);
        assert_eq!(error.severity, "ERROR");
        assert_eq!(error.sqlstate, "23505");
        assert_eq!(error.position, Some(12));
        assert_eq!(error.table.as_deref(), Some("person"));
        assert_eq!(error.constraint.as_deref(), Some("person_pkey"));
        assert_eq!(error.routine.as_deref(), Some("_bt_check_unique"));
        assert!(!error.ends_session());
        assert_eq!(error.to_string(), "ERROR 23505: duplicate key (Key (id)=(1) already exists.)");
    }

    #[test]
    fn fatal_and_panic_end_the_session() {
        assert!(error_response(&[(b'S', "FATAL"), (b'C', "57P01")]).ends_session());
        assert!(error_response(&[(b'V', "PANIC")]).ends_session());
    }
}
