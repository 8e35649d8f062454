//! Many statements in one flush, and their replies in order.
//!
//! ```text
//! queue ─▶ Parse? Bind Describe Execute │ sync ─▶ Sync │ next_event ─▶ flush, then one event per call
//! ```
//! A segment is what lies between two Syncs: when a statement fails, the server skips the rest of its segment.
//! Neighbours: `plans` says which texts are prepared, `copy` deals with COPY, `collect` gathers events into replies.
//! Invariant: [`Outstanding`] mirrors what the server still has to answer; if it is not empty when a pipeline is dropped, the
//! connection is broken.

mod copy;

use std::collections::VecDeque;
use std::io;

use bytes::{BufMut, BytesMut};
use postgres_protocol::IsNull;
use postgres_protocol::message::backend::Message;
use postgres_protocol::message::frontend::{self, BindError};

use super::super::error::{Error, PgError, Unsendable};
use super::Connection;
use super::plans::{Choice, Planned};
use super::reply::{CommandTag, Event, Ready, Row, TransactionStatus, columns};
use super::transport::{Incoming, not_understood};
use copy::Copying;

/// For statements without parameters.
pub const NO_PARAMS: [Option<&str>; 0] = [];

/// PostgreSQL's MaxAllocSize, less room for names.
const LARGEST_STATEMENT: usize = 1024 * 1024 * 1024 - 1024;

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
    /// The status to tell for a Sync that the server swallowed (see `copy`).
    carried: Option<TransactionStatus>,
    /// The Sync at the front has failed.
    sync_error: Option<Box<PgError>>,
    /// Counts segments as they are queued.
    segment: u64,
}

enum Expected {
    Statement(Statement),
    Close,
    Sync { swallowed: bool },
}

#[derive(Default)]
struct Statement {
    /// Its Parse under a name is not answered yet.
    parsing: Option<Planned>,
    copying: Option<Copying>,
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
        if sql.as_bytes().contains(&0) {
            return Err(Unsendable::ZeroByte);
        }
        if sql.len() > LARGEST_STATEMENT {
            return Err(Unsendable::TooLarge);
        }
        self.close_surplus_plans();
        let Connection { plans, replies, transport, .. } = &mut *self.connection;
        let choice = match plan {
            Plan::Keep => plans.choose(sql, replies.segment),
            Plan::Once => Choice::Unnamed,
        };
        let start = transport.outgoing.len();
        let written = write_statement(sql, &choice, params, &mut transport.outgoing);
        let parsing = if let Choice::New(planned) = choice { Some(planned) } else { None };
        if let Err(unsendable) = written {
            transport.outgoing.truncate(start);
            parsing.iter().for_each(|planned| plans.failed(planned));
            return Err(unsendable);
        }
        replies.queue.push_back(Expected::Statement(Statement { parsing, copying: None }));
        Ok(())
    }

    /// Ends the segment: the server answers with [`Event::Ready`] and hears again after a failure.
    pub fn sync(&mut self) {
        let Connection { replies, transport, .. } = &mut *self.connection;
        frontend::sync(&mut transport.outgoing);
        replies.queue.push_back(Expected::Sync { swallowed: false });
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
        matches!(self.queue.back(), None | Some(Expected::Sync { .. }))
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

    /// What the server will not answer because of an earlier failure.
    fn event_without_message(&mut self) -> Option<Event> {
        let Outstanding { queue, skipping, carried, .. } = &mut self.replies;
        match queue.front_mut()? {
            Expected::Statement(statement) if *skipping => {
                if let Some(planned) = statement.parsing.take() {
                    self.plans.failed(&planned);
                }
                queue.pop_front();
                Some(Event::Skipped)
            }
            Expected::Sync { .. } => carried.take().map(|status| self.ready(status)),
            Expected::Statement(_) | Expected::Close => None,
        }
    }

    fn interpret(&mut self, incoming: Incoming) -> Result<Option<Event>, Error> {
        let message = match incoming {
            Incoming::Message(message) => message,
            Incoming::OversizedRow { bytes } => return Ok(Some(Event::OversizedRow { bytes })),
        };
        match (message, self.replies.queue.front_mut()) {
            (Message::DataRow(body), Some(Expected::Statement(_))) => Ok(Some(Event::Row(Row::check(&body)?))),
            (Message::ErrorResponse(body), Some(_)) => Ok(self.failed(Self::refusal(&body)?)),
            (Message::ReadyForQuery(body), Some(Expected::Sync { .. })) => {
                Ok(Some(self.ready(TransactionStatus::from_byte(body.status())?)))
            }
            (Message::CloseComplete, Some(Expected::Close)) => {
                self.replies.queue.pop_front();
                Ok(None)
            }
            (message, Some(Expected::Statement(statement))) => match message {
                Message::ParseComplete => {
                    if let Some(planned) = statement.parsing.take() {
                        self.plans.parsed(&planned);
                    }
                    Ok(None)
                }
                Message::BindComplete | Message::NoData | Message::CopyData(_) | Message::CopyDone => Ok(None),
                Message::RowDescription(body) => Ok(Some(Event::Columns(columns(&body)?))),
                Message::CommandComplete(body) => {
                    let tag = CommandTag::parse(body.tag().map_err(not_understood)?);
                    Ok(Some(self.done(tag)))
                }
                Message::EmptyQueryResponse => Ok(Some(self.done(CommandTag::parse("")))),
                Message::CopyInResponse(_) => {
                    statement.copying = Some(Copying::In);
                    self.refuse_copy_in();
                    Ok(None)
                }
                Message::CopyOutResponse(_) => {
                    statement.copying = Some(Copying::Out);
                    Ok(None)
                }
                _ => Err(Error::Protocol("a message that answers no statement".to_owned())),
            },
            _ => Err(Error::Protocol("a message that does not fit the outstanding replies".to_owned())),
        }
    }

    fn done(&mut self, tag: CommandTag) -> Event {
        match self.replies.queue.pop_front() {
            Some(Expected::Statement(Statement { copying: Some(copying), .. })) => Event::Failed(copying.error()),
            _ => Event::Done(tag),
        }
    }

    /// The current statement, or the Sync itself, has failed.
    fn failed(&mut self, error: Box<PgError>) -> Option<Event> {
        match self.replies.queue.front_mut() {
            Some(Expected::Statement(statement)) => {
                if let Some(planned) = statement.parsing.take() {
                    self.plans.failed(&planned);
                }
                let error = statement.copying.map_or(error, |copying| copying.error());
                self.replies.queue.pop_front();
                self.replies.skipping = true;
                Some(Event::Failed(error))
            }
            _ => {
                self.replies.sync_error = Some(error);
                None
            }
        }
    }

    fn ready(&mut self, status: TransactionStatus) -> Event {
        match self.replies.queue.pop_front() {
            Some(Expected::Sync { swallowed: true }) => self.replies.carried = Some(status),
            _ => self.replies.skipping = false,
        }
        self.session.status = status;
        if self.replies.queue.is_empty() {
            self.transport.settle();
        }
        Event::Ready(Ready { status, error: self.replies.sync_error.take() })
    }
}

fn write_statement<P, T>(sql: &str, choice: &Choice, params: P, out: &mut BytesMut) -> Result<(), Unsendable>
where
    P: IntoIterator<Item = Option<T>>,
    T: AsRef<[u8]>,
{
    let start = out.len();
    let too_large = |_: io::Error| Unsendable::TooLarge;
    let name: &str = match choice {
        Choice::Unnamed => "",
        Choice::New(planned) => &planned.name,
        Choice::Known(name) => name,
    };
    if !matches!(choice, Choice::Known(_)) {
        frontend::parse(name, sql, [], out).map_err(too_large)?;
    }
    let mut count = 0_usize;
    let put = |param: Option<T>, out: &mut BytesMut| {
        count += 1;
        let Some(text) = param else { return Ok(IsNull::Yes) };
        out.put_slice(text.as_ref());
        Ok(IsNull::No)
    };
    // No formats given: text for all parameters and all columns.
    let bound = frontend::bind("", name, [], params, put, [], out);
    if count > usize::from(u16::MAX) {
        return Err(Unsendable::TooManyParams);
    }
    match bound {
        Ok(()) if out.len() - start <= LARGEST_STATEMENT => {}
        Ok(()) | Err(BindError::Conversion(_) | BindError::Serialization(_)) => return Err(Unsendable::TooLarge),
    }
    frontend::describe(b'P', "", out).map_err(too_large)?;
    frontend::execute("", 0, out).map_err(too_large)
}
