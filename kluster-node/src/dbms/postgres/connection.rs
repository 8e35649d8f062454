//! One session with a PostgreSQL server, spoken in text and pipelined: Kluster's own, because no client gives all of text in both
//! directions, our own Sync points, the command tag and the transaction status.
//!
//! ```text
//! Address ─▶ transport (socket) ─▶ handshake (login) ─▶ Connection
//! pipeline: queue, queue, …, sync ─▶ one flush ─▶ events, or collected replies        script: Kluster's own DDL, simple protocol
//! stream: what the server decodes of its own log
//! ```
//! Neighbours: the adapter owns connections; `error` says what can go wrong; `value` turns cells into JSON.
//! Invariants
//! 1. User SQL goes through the extended protocol only ([`Connection::pipeline`], [`Connection::query`]): the server then refuses
//!    more than one command in one text.
//! 2. A call that is dropped with replies outstanding leaves the connection broken, never out of step.
//! 3. Memory is bounded by the caller's limits and by one row; rows are read from the socket only when asked for.

mod cancel;
mod collect;
mod handshake;
mod pipeline;
mod plans;
mod reply;
mod script;
mod stream;
mod transport;

use postgres_protocol::message::backend::Message;
use postgres_protocol::message::frontend;

pub use cancel::CancelToken;
pub use collect::{Reply, Rows, Segment};
pub use pipeline::{NO_PARAMS, Pipeline, Plan};
pub use reply::{Cells, Column, Columns, CommandTag, Event, Ready, Row, TransactionStatus};
pub use stream::{Said, Stream};

use super::address::Address;
use super::error::{Error, PgError};
use handshake::Session;
use plans::Plans;
use transport::{Incoming, Transport, not_understood};

/// Prepared texts kept per session.
const DEFAULT_PLANS: usize = 256;
/// A row above this many bytes is thrown away while it comes in, unless the connection is told another limit.
const DEFAULT_ROW_LIMIT: usize = 256 * 1024 * 1024;

/// A session. Dropping it closes the socket; the server then rolls back what is open.
pub struct Connection {
    address: Address,
    transport: Transport,
    session: Session,
    plans: Plans,
    replies: pipeline::Outstanding,
    broken: bool,
}

impl Connection {
    /// Opens a session. Waits as long as the server takes: wrap it in a timeout.
    ///
    /// # Errors
    /// [`Error::Unreachable`], [`Error::Login`], or [`Error::SessionEnded`] with the server's refusal.
    pub async fn connect(address: &Address) -> Result<Self, Error> {
        let mut transport = Transport::open(address, DEFAULT_ROW_LIMIT).await?;
        let session = handshake::log_in(&mut transport, address).await?;
        let (plans, replies) = (Plans::new(DEFAULT_PLANS), pipeline::Outstanding::default());
        Ok(Self { address: address.clone(), transport, session, plans, replies, broken: false })
    }

    /// Starts queueing statements. All replies must be taken before the pipeline is dropped, else the connection is broken.
    ///
    /// # Errors
    /// [`Error::Broken`].
    pub fn pipeline(&mut self) -> Result<Pipeline<'_>, Error> {
        if self.broken {
            return Err(Error::Broken);
        }
        Ok(Pipeline::new(self))
    }

    /// The connection is of no use any more.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// Where the session stood at its last Sync.
    pub fn transaction_status(&self) -> TransactionStatus {
        self.session.status
    }

    /// The server process behind this session (`pg_stat_activity.pid`), to wait until it is gone.
    pub fn process_id(&self) -> i32 {
        self.session.process_id
    }

    /// Lets another task cancel what this session executes.
    pub fn cancel_token(&self) -> CancelToken {
        CancelToken::new(self.address.clone(), self.session.process_id, self.session.secret_key)
    }

    /// A setting that the server reports by itself: `server_version`, `TimeZone`, `DateStyle`, `IntervalStyle`,
    /// `standard_conforming_strings`, `client_encoding`, `server_encoding`, …
    pub fn reported(&self, setting: &str) -> Option<&str> {
        self.session.reported.get(setting).map(String::as_str)
    }

    /// Forgets all prepared texts; the server is told before the next statement. After schema changes, and after SQL that may itself
    /// have prepared or deallocated.
    pub fn clear_plans(&mut self) {
        self.plans.clear();
    }

    /// Keeps at most this many prepared texts; 0 prepares nothing under a name.
    pub fn set_plan_limit(&mut self, plans: usize) {
        self.plans.clear();
        self.plans.set_capacity(plans);
    }

    /// Rows above this many bytes come as [`Event::OversizedRow`].
    pub fn set_row_limit(&mut self, bytes: usize) {
        self.transport.row_limit = bytes;
    }

    /// Says goodbye and closes the socket. An error is of no interest: the session ends either way.
    pub async fn close(mut self) {
        frontend::terminate(&mut self.transport.outgoing);
        if self.transport.send().await.is_ok() {
            self.transport.closed().await;
        }
    }

    /// The next message that answers something: notices and reports are taken out, a fatal error becomes the call's error.
    async fn receive(&mut self) -> Result<Incoming, Error> {
        loop {
            match self.transport.receive().await? {
                Incoming::Message(Message::NoticeResponse(body)) => {
                    // The text may hold users' data.
                    let notice = PgError::parse(body.fields()).map_err(not_understood)?;
                    tracing::debug!(severity = notice.severity, sqlstate = notice.sqlstate, "notice dropped");
                }
                Incoming::Message(Message::ParameterStatus(body)) => {
                    let name = body.name().map_err(not_understood)?.to_owned();
                    self.session.reported.insert(name, body.value().map_err(not_understood)?.to_owned());
                }
                Incoming::Message(Message::NotificationResponse(_)) => {}
                other => return Ok(other),
            }
        }
    }

    /// Reads an ErrorResponse; one that ends the session is the call's error.
    fn refusal(body: &postgres_protocol::message::backend::ErrorResponseBody) -> Result<Box<PgError>, Error> {
        let error = Box::new(PgError::parse(body.fields()).map_err(not_understood)?);
        if error.ends_session() { Err(Error::SessionEnded(error)) } else { Ok(error) }
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("address", &self.address)
            .field("process_id", &self.session.process_id)
            .field("status", &self.session.status)
            .field("broken", &self.broken)
            .finish_non_exhaustive()
    }
}
