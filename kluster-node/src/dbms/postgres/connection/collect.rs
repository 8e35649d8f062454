//! The events of a segment gathered into replies.
//!
//! Neighbours: built on `pipeline`'s events; the adapter uses it wherever a result fits into memory.
//! Invariant: per statement at most the caller's limit of bytes is kept; the rest is read and dropped, and said to be.

use super::super::error::{Error, PgError};
use super::Connection;
use super::pipeline::{Pipeline, Plan};
use super::reply::{Columns, CommandTag, Event, Ready, Row};

/// The whole answer to one statement.
#[derive(Debug)]
pub enum Reply {
    /// It succeeded.
    Done(Rows),
    /// The server refused it.
    Failed(Box<PgError>),
    /// Not executed, because an earlier statement of the segment failed.
    Skipped,
}

impl Reply {
    /// The rows, or the refusal.
    ///
    /// # Errors
    /// [`Error::Server`]; a skipped statement is the caller's mistake and gives [`Error::Protocol`].
    pub fn into_rows(self) -> Result<Rows, Error> {
        match self {
            Self::Done(rows) => Ok(rows),
            Self::Failed(error) => Err(Error::Server(error)),
            Self::Skipped => Err(Error::Protocol("the statement was skipped behind a failed one".to_owned())),
        }
    }
}

/// What a successful statement gave.
#[derive(Debug)]
pub struct Rows {
    /// Empty if the statement returns no rows.
    pub columns: Columns,
    /// All rows, or the first ones if `bytes` exceeds the limit.
    pub rows: Vec<Row>,
    /// Bytes of all rows, the dropped ones included.
    pub bytes: usize,
    /// The limit was exceeded: `rows` is not the whole result.
    pub truncated: bool,
    /// What the statement did.
    pub tag: CommandTag,
}

/// The replies up to one Sync.
#[derive(Debug)]
pub struct Segment {
    /// One per statement queued, in order.
    pub replies: Vec<Reply>,
    /// The answer to the Sync.
    pub ready: Ready,
}

/// A reply that is still coming in.
#[derive(Default)]
struct Gathering {
    columns: Columns,
    rows: Vec<Row>,
    bytes: usize,
    truncated: bool,
}

impl Gathering {
    fn keep(&mut self, row: Row, limit: usize) {
        self.bytes += row.byte_len();
        if self.bytes > limit {
            self.truncated = true;
        } else {
            self.rows.push(row);
        }
    }

    fn drop_row(&mut self, bytes: usize) {
        self.bytes += bytes;
        self.truncated = true;
    }

    fn finish(self, tag: CommandTag) -> Rows {
        let Self { columns, rows, bytes, truncated } = self;
        Rows { columns, rows, bytes, truncated, tag }
    }
}

impl Pipeline<'_> {
    /// Sends what is queued and gathers the replies up to the next Sync, keeping at most `limit` bytes of rows per statement.
    ///
    /// # Errors
    /// The connection is lost. A refused statement is a [`Reply::Failed`], not an error.
    pub async fn collect(&mut self, limit: usize) -> Result<Segment, Error> {
        let mut replies = Vec::new();
        let mut current = Gathering::default();
        loop {
            match self.next_event().await? {
                Some(Event::Columns(columns)) => current.columns = columns,
                Some(Event::Row(row)) => current.keep(row, limit),
                Some(Event::OversizedRow { bytes }) => current.drop_row(bytes),
                Some(Event::Done(tag)) => replies.push(Reply::Done(std::mem::take(&mut current).finish(tag))),
                Some(Event::Failed(error)) => {
                    current = Gathering::default();
                    replies.push(Reply::Failed(error));
                }
                Some(Event::Skipped) => replies.push(Reply::Skipped),
                Some(Event::Ready(ready)) => return Ok(Segment { replies, ready }),
                None => {
                    let ready = Ready { status: self.connection.transaction_status(), error: None };
                    return Ok(Segment { replies, ready });
                }
            }
        }
    }
}

impl Connection {
    /// One statement in a segment of its own, its rows in memory: for Kluster's own questions with small answers.
    ///
    /// # Errors
    /// [`Error::Server`] if it is refused, also by the commit that the Sync is outside a transaction.
    pub async fn query<P, T>(&mut self, sql: &str, params: P) -> Result<Rows, Error>
    where
        P: IntoIterator<Item = Option<T>>,
        T: AsRef<[u8]>,
    {
        let mut pipeline = self.pipeline()?;
        pipeline.queue(sql, Plan::Once, params)?;
        let Segment { replies, ready } = pipeline.collect(usize::MAX).await?;
        let reply = replies.into_iter().next().ok_or_else(|| Error::Protocol("no reply to a statement".to_owned()))?;
        let rows = reply.into_rows()?;
        ready.error.map_or(Ok(rows), |error| Err(Error::Server(error)))
    }
}
