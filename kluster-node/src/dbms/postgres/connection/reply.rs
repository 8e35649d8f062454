//! What the server answers to one statement: columns, rows, a command tag; and the state it is in after a Sync.
//!
//! Neighbours: `pipeline` makes these from messages; the adapter reads them, `value` turns cells into JSON.
//! Invariant: a [`Row`] was checked when it came, so that reading its cells cannot fail.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use fallible_iterator::FallibleIterator;
use postgres_protocol::message::backend::{DataRowBody, RowDescriptionBody};

use super::super::error::{Error, PgError};
use super::transport::not_understood;

/// Where the session stands, as ReadyForQuery says after each Sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransactionStatus {
    /// `I`: no transaction is open.
    Idle,
    /// `T`: inside a transaction.
    Open,
    /// `E`: inside a transaction that failed; only ROLLBACK (TO) is heard.
    Failed,
}

impl TransactionStatus {
    pub(super) fn from_byte(byte: u8) -> Result<Self, Error> {
        match byte {
            b'I' => Ok(Self::Idle),
            b'T' => Ok(Self::Open),
            b'E' => Ok(Self::Failed),
            other => Err(Error::Protocol(format!("unknown transaction status {other}"))),
        }
    }
}

/// The answer to a Sync.
#[derive(Debug)]
pub struct Ready {
    /// Where the session stands now.
    pub status: TransactionStatus,
    /// The Sync itself failed: outside BEGIN … COMMIT it commits what came before it, and that can be refused (deferred constraints).
    pub error: Option<Box<PgError>>,
}

/// One column of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// As in the query; may repeat.
    pub name: String,
    /// `pg_type.oid`; for a domain the type below it.
    pub type_oid: u32,
    /// The type's modifier (length, precision), −1 for none.
    pub type_modifier: i32,
}

/// The columns of a result; empty for statements without rows.
pub type Columns = Arc<[Column]>;

pub(super) fn columns(body: &RowDescriptionBody) -> Result<Columns, Error> {
    let fields = body.fields().map(|field| {
        let name = field.name().to_owned();
        Ok(Column { name, type_oid: field.type_oid(), type_modifier: field.type_modifier() })
    });
    Ok(fields.collect::<Vec<_>>().map_err(not_understood)?.into())
}

/// One row, cells in the server's text form, still in the buffer they came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row(Bytes);

impl Row {
    pub(super) fn check(body: &DataRowBody) -> Result<Self, Error> {
        let mut ranges = body.ranges();
        while ranges.next().map_err(not_understood)?.is_some() {}
        Ok(Self(body.buffer_bytes().clone()))
    }

    /// The cells in column order; `None` is NULL.
    pub fn cells(&self) -> Cells<'_> {
        Cells(&self.0)
    }

    /// One cell as text; `None` is NULL or no such column. (Sessions are UTF-8; what is not, in a SQL_ASCII database, is replaced.)
    pub fn text(&self, column: usize) -> Option<Cow<'_, str>> {
        self.cells().nth(column).flatten().map(String::from_utf8_lossy)
    }

    /// Bytes of all cells with their lengths.
    pub fn byte_len(&self) -> usize {
        self.0.len()
    }
}

/// Iterates over a row's cells.
#[derive(Debug, Clone)]
pub struct Cells<'a>(&'a [u8]);

impl<'a> Iterator for Cells<'a> {
    type Item = Option<&'a [u8]>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let Ok(length) = usize::try_from(self.0.get_i32()) else {
            return Some(None);
        };
        let (cell, rest) = self.0.split_at(length);
        self.0 = rest;
        Some(Some(cell))
    }
}

/// What the server says that it did: `INSERT 0 3`, `CREATE TABLE`, `ROLLBACK`; empty for an empty query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandTag(Box<str>);

impl CommandTag {
    pub(super) fn parse(tag: &str) -> Self {
        Self(tag.into())
    }

    /// The whole tag.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The words: `INSERT`, `CREATE TABLE`.
    pub fn verb(&self) -> &str {
        self.as_str().trim_end_matches(|c: char| c.is_ascii_digit() || c == ' ')
    }

    /// Rows inserted, matched or returned; `None` for statements that do not count.
    pub fn rows(&self) -> Option<u64> {
        self.as_str().rsplit_once(' ')?.1.parse().ok()
    }

    /// The text held no statement.
    pub fn is_empty_query(&self) -> bool {
        self.0.is_empty()
    }
}

/// What the next message of the server means.
#[derive(Debug)]
pub enum Event {
    /// The current statement gives rows (or, with no columns, none).
    Columns(Columns),
    /// A row of the current statement.
    Row(Row),
    /// A row above the connection's row limit; its content is gone.
    OversizedRow {
        /// Its size.
        bytes: usize,
    },
    /// The current statement succeeded; the next one is current now.
    Done(CommandTag),
    /// The current statement failed; the next one is current now.
    Failed(Box<PgError>),
    /// The current statement was not executed because an earlier one of its segment failed; the next one is current now.
    Skipped,
    /// A Sync is answered; a new segment begins.
    Ready(Ready),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_say_verb_and_count() {
        let read = |tag| {
            let tag = CommandTag::parse(tag);
            (tag.verb().to_owned(), tag.rows())
        };
        assert_eq!(read("INSERT 0 3"), ("INSERT".into(), Some(3)));
        assert_eq!(read("UPDATE 0"), ("UPDATE".into(), Some(0)));
        assert_eq!(read("SELECT 1000000"), ("SELECT".into(), Some(1_000_000)));
        assert_eq!(read("CREATE TABLE"), ("CREATE TABLE".into(), None));
        assert_eq!(read("ROLLBACK"), ("ROLLBACK".into(), None));
        assert_eq!(read(""), (String::new(), None));
        assert!(CommandTag::parse("").is_empty_query());
    }

    #[test]
    fn cells_are_read_in_order_with_nulls() {
        let row = Row(Bytes::from_static(b"\0\0\0\x02ab\xff\xff\xff\xff\0\0\0\0"));
        let cells: Vec<_> = row.cells().collect();
        assert_eq!(cells, [Some(&b"ab"[..]), None, Some(&b""[..])]);
        assert_eq!(row.text(0).as_deref(), Some("ab"));
        assert_eq!((row.text(1), row.text(3)), (None, None));
    }

    #[test]
    fn the_status_byte_is_checked() {
        assert_eq!(TransactionStatus::from_byte(b'E').unwrap(), TransactionStatus::Failed);
        assert!(TransactionStatus::from_byte(b'?').is_err());
    }
}
