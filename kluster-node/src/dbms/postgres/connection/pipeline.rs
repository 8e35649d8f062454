//! Many statements in one flush, and their replies in order.
//!
//! ```text
//! queue ─▶ Parse? Bind Describe Execute │ sync ─▶ Sync │ next_event ─▶ flush, then one event per call
//! ```
//! A segment is what lies between two Syncs: when a statement fails, the server skips the rest of its segment.
//! Neighbours: `plans` says which texts are prepared, `statement` writes messages, `copy` keeps COPY out, `collect` gathers events into replies.
//! Invariant: [`Outstanding`] mirrors what the server still has to answer; if it is not empty when a pipeline is dropped, the
//! connection is broken.

mod copy;
mod statement;

use std::collections::VecDeque;

use postgres_protocol::message::backend::Message;
use postgres_protocol::message::frontend;

use super::super::error::{Error, PgError, Unsendable};
use super::Connection;
use super::plans::{Choice, Planned};
use super::reply::{CommandTag, Event, Ready, Row, TransactionStatus, columns};
use super::transport::{Incoming, not_understood};

/// For statements without parameters.
pub const NO_PARAMS: [Option<&str>; 0] = [];

/// Whether a text is worth keeping prepared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    /// Comes often: parsed once, then known by name.
    Keep,
    /// Comes once, or must not outlive its execution.
    Once,
}

/// What the server still has to answer.
#[derive(Default)]
pub(super) struct Outstanding {
    queue: VecDeque<Expected>,
    /// A statement of the current segment failed: the server skips up to the Sync.
    skipping: bool,
    /// The Sync at the front has failed.
    sync_error: Option<Box<PgError>>,
    /// Counts segments as they are queued.
    segment: u64,
}

enum Expected {
    Statement {
        /// Its Parse under a name is not answered yet.
        parsing: Option<Planned>,
    },
    Close,
    Sync,
}

/// Statements on their way; borrowed from its connection.
pub struct Pipeline<'a> {
    pub(super) connection: &'a mut Connection,
}

impl<'a> Pipeline<'a> {
    pub(super) fn new(connection: &'a mut Connection) -> Self {
        Self { connection }
    }

    /// Adds one statement; parameters are text of unspecified type, `None` is NULL. Nothing is sent yet.
    ///
    /// # Errors
    /// [`Unsendable`]: nothing was added, the pipeline can be used on.
    pub fn queue<P, T>(&mut self, sql: &str, plan: Plan, params: P) -> Result<(), Unsendable>
    where
        P: IntoIterator<Item = Option<T>>,
        T: AsRef<[u8]>,
    {
        statement::check(sql)?;
        self.close_surplus_plans();
        let Connection { plans, replies, transport, .. } = &mut *self.connection;
        let choice = match plan {
            Plan::Keep => plans.choose(sql, replies.segment),
            Plan::Once => Choice::Unnamed,
        };
        let start = transport.outgoing.len();
        let written = statement::write(sql, &choice, params, &mut transport.outgoing);
        let parsing = if let Choice::New(planned) = choice { Some(planned) } else { None };
        if let Err(unsendable) = written {
            transport.outgoing.truncate(start);
            parsing.iter().for_each(|planned| plans.failed(planned));
            return Err(unsendable);
        }
        replies.queue.push_back(Expected::Statement { parsing });
        Ok(())
    }

    /// Ends the segment: the server answers with [`Event::Ready`] and hears again after a failure.
    pub fn sync(&mut self) {
        let Connection { replies, transport, .. } = &mut *self.connection;
        frontend::sync(&mut transport.outgoing);
        replies.queue.push_back(Expected::Sync);
        replies.segment += 1;
    }

    /// Sends what is queued (ending the last segment) and gives the next event; `None` when everything is answered. Dropping the
    /// future loses nothing.
    ///
    /// # Errors
    /// The connection is lost; whether the statements without an answer took effect is open.
    pub async fn next_event(&mut self) -> Result<Option<Event>, Error> {
        if self.connection.broken {
            return Err(Error::Broken);
        }
        if !self.connection.replies.ends_with_sync() {
            self.sync();
        }
        let event = self.connection.next_event().await;
        if event.is_err() {
            self.connection.broken = true;
        }
        event
    }

    /// A Close that were skipped behind a failure would leave its plan in the server, so it goes first in a segment.
    fn close_surplus_plans(&mut self) {
        let Connection { plans, replies, transport, .. } = &mut *self.connection;
        if !replies.ends_with_sync() {
            return;
        }
        for name in plans.take_surplus() {
            frontend::close(b'S', &name, &mut transport.outgoing).expect("names are made here, without zero bytes");
            replies.queue.push_back(Expected::Close);
        }
    }
}

impl Drop for Pipeline<'_> {
    fn drop(&mut self) {
        if !self.connection.replies.queue.is_empty() {
            self.connection.broken = true;
        }
    }
}

impl Outstanding {
    /// Nothing is queued behind the last Sync.
    fn ends_with_sync(&self) -> bool {
        matches!(self.queue.back(), None | Some(Expected::Sync))
    }
}

impl Connection {
    async fn next_event(&mut self) -> Result<Option<Event>, Error> {
        while !self.replies.queue.is_empty() {
            if let Some(event) = self.event_without_message() {
                return Ok(Some(event));
            }
            let incoming = self.receive().await?;
            if let Some(event) = self.interpret(incoming)? {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    /// What the server will not answer because an earlier statement of the segment failed.
    fn event_without_message(&mut self) -> Option<Event> {
        if !self.replies.skipping {
            return None;
        }
        match self.replies.queue.front_mut()? {
            Expected::Statement { parsing } => {
                parsing.take().iter().for_each(|planned| self.plans.failed(planned));
                self.replies.queue.pop_front();
                Some(Event::Skipped)
            }
            Expected::Close | Expected::Sync => None,
        }
    }

    fn interpret(&mut self, incoming: Incoming) -> Result<Option<Event>, Error> {
        let message = match incoming {
            Incoming::Message(message) => message,
            Incoming::OversizedRow { bytes } => return Ok(Some(Event::OversizedRow { bytes })),
            Incoming::CopyBoth => return Err(Error::Protocol("a stream that nobody asked for".to_owned())),
        };
        match (message, self.replies.queue.front_mut()) {
            (Message::ErrorResponse(body), Some(Expected::Statement { .. } | Expected::Sync)) => {
                Ok(self.failed(Self::refusal(&body)?))
            }
            (Message::ReadyForQuery(body), Some(Expected::Sync)) => {
                Ok(Some(self.ready(TransactionStatus::from_byte(body.status())?)))
            }
            (Message::CloseComplete, Some(Expected::Close)) => {
                self.replies.queue.pop_front();
                Ok(None)
            }
            (message, Some(Expected::Statement { .. })) => self.interpret_reply(message),
            _ => Err(Error::Protocol("a message that does not fit the outstanding replies".to_owned())),
        }
    }

    /// A message that can only answer the statement at the front.
    fn interpret_reply(&mut self, message: Message) -> Result<Option<Event>, Error> {
        match message {
            Message::DataRow(body) => Ok(Some(Event::Row(Row::check(&body)?))),
            Message::RowDescription(body) => Ok(Some(Event::Columns(columns(&body)?))),
            Message::BindComplete | Message::NoData => Ok(None),
            Message::ParseComplete => {
                if let Some(planned) = self.parsing() {
                    self.plans.parsed(&planned);
                }
                Ok(None)
            }
            Message::CommandComplete(body) => {
                self.replies.queue.pop_front();
                Ok(Some(Event::Done(CommandTag::parse(body.tag().map_err(not_understood)?))))
            }
            Message::EmptyQueryResponse => {
                self.replies.queue.pop_front();
                Ok(Some(Event::Done(CommandTag::parse(""))))
            }
            _ => Err(Error::Protocol("a message that answers no statement".to_owned())),
        }
    }

    /// The current statement, or the Sync itself, has failed.
    fn failed(&mut self, error: Box<PgError>) -> Option<Event> {
        if matches!(self.replies.queue.front(), Some(Expected::Sync)) {
            self.replies.sync_error = Some(error);
            return None;
        }
        if let Some(planned) = self.parsing() {
            self.plans.failed(&planned);
        }
        self.replies.queue.pop_front();
        self.replies.skipping = true;
        Some(Event::Failed(error))
    }

    /// The plan of the current statement whose Parse is being answered.
    fn parsing(&mut self) -> Option<Planned> {
        match self.replies.queue.front_mut()? {
            Expected::Statement { parsing } => parsing.take(),
            Expected::Close | Expected::Sync => None,
        }
    }

    fn ready(&mut self, status: TransactionStatus) -> Event {
        self.replies.queue.pop_front();
        self.replies.skipping = false;
        self.session.status = status;
        if self.replies.queue.is_empty() {
            self.transport.settle();
        }
        Event::Ready(Ready { status, error: self.replies.sync_error.take() })
    }
}
