//! Execute and Transaction: requests that write, and how many nodes must have done them.

use crate::answers::Ack;
use crate::call::Call;
use crate::param::Param;
use crate::through_all::{Step, ThroughAll};
use crate::{Client, ClientError, Done, Ticket};
use kluster_protocol::{Body, MessageId, Offset, Statement};
use std::time::Duration;
use tokio::time::Instant;

/// One statement to execute on every node. Nothing is sent before one of its answers ([`Execute::first`], …) is awaited.
#[derive(Debug, Clone)]
#[must_use = "nothing is sent before first(), nodes(), quorum(), all() or logged() is awaited"]
pub struct Execute {
    call: Call,
    statement: Statement,
}

/// Statements that take effect together or not at all, in their order. Nothing is sent before one of its answers is awaited.
#[derive(Debug, Clone)]
#[must_use = "nothing is sent before first(), nodes(), quorum(), all() or logged() is awaited"]
pub struct Transaction {
    call: Call,
    statements: Vec<Statement>,
    misuse: Option<&'static str>,
}

/// A request that is durable and ordered in the log: it will be executed, or refused, alike by every node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    /// The request's id.
    pub message_id: MessageId,
    /// Its place in ALL.
    pub offset: Offset,
}

impl Execute {
    pub(crate) fn new(client: &Client, sql: String) -> Self {
        Self { call: Call::of(client), statement: Statement::new(sql) }
    }

    /// The value of the next `$n`.
    pub fn bind(mut self, value: impl Into<Param>) -> Self {
        self.statement.params.push(value.into().0);
        self
    }

    fn body(self) -> Result<(Call, Body), ClientError> {
        Ok((self.call, Body::One(self.statement)))
    }
}

impl Transaction {
    pub(crate) fn new(client: &Client) -> Self {
        Self { call: Call::of(client), statements: Vec::new(), misuse: None }
    }

    /// One more statement.
    pub fn statement(mut self, sql: impl Into<String>) -> Self {
        self.statements.push(Statement::new(sql));
        self
    }

    /// The value of the next `$n` of the latest statement.
    pub fn bind(mut self, value: impl Into<Param>) -> Self {
        let value = value.into().0;
        match self.statements.last_mut() {
            Some(statement) => statement.params.push(value),
            None => self.misuse = Some("bind() stands before the first statement()"),
        }
        self
    }

    /// A guard: unless the latest statement matches (or returns) exactly so many rows, the whole transaction is refused.
    pub fn expect_rows(mut self, count: u64) -> Self {
        match self.statements.last_mut() {
            Some(statement) => statement.expect_rows = Some(count),
            None => self.misuse = Some("expect_rows() stands before the first statement()"),
        }
        self
    }

    fn body(self) -> Result<(Call, Body), ClientError> {
        match self.misuse {
            Some(misuse) => Err(ClientError::Invalid(misuse.to_owned())),
            None if self.statements.is_empty() => {
                Err(ClientError::Invalid("a transaction has at least one statement()".to_owned()))
            }
            None => Ok((self.call, Body::List { statements: self.statements })),
        }
    }
}

/// What both are asked with and waited for by.
macro_rules! asking {
    ($kind:ident) => {
        impl $kind {
            /// How long it waits; else [`crate::Options::timeout`].
            pub fn timeout(mut self, timeout: Duration) -> Self {
                self.call.timeout = Some(timeout);
                self
            }

            /// Names the request. Two requests of one client under one id are executed once; without a `since_offset` that holds for as long as
            /// the cluster remembers outcomes, 2¹⁸ offsets unless configured otherwise.
            pub fn message_id(mut self, id: impl Into<MessageId>) -> Self {
                self.call.message_id = Some(id.into());
                self
            }

            /// An offset below every attempt of this request, the same on all of them: makes a retry safe for ever. A wrong one can make a retry
            /// execute twice.
            pub fn since_offset(mut self, offset: Offset) -> Self {
                self.call.since_offset = Some(offset);
                self
            }

            /// Asks again what an earlier attempt left open ([`ClientError::ticket`]). The statements must be the same.
            pub fn retry(mut self, ticket: Ticket) -> Self {
                self.call.message_id = Some(ticket.message_id);
                self.call.since_offset = ticket.since_offset;
                self
            }

            /// Settles id and `since_offset` now, before anything is sent, so that a caller who stops waiting by dropping the future can still
            /// ask again ([`Self::retry`]).
            pub async fn ticketed(self) -> Result<(Self, Ticket), ClientError> {
                let deadline = Instant::now() + self.call.timeout();
                let (ticket, _) = self.call.ticket(deadline).await?;
                Ok((self.retry(ticket.clone()), ticket))
            }

            /// Waits until it is durable and ordered in the log, and for no node.
            pub async fn logged(self) -> Result<Logged, ClientError> {
                let (call, body) = self.body()?;
                logged(call, body).await
            }

            /// Waits for the first complete answer of a voter. This trusts that one node; should another differ within a minute,
            /// [`Client::alarms`] says so.
            pub async fn first(self) -> Result<Done, ClientError> {
                self.answered_by(Ack::First).await
            }

            /// Waits for equal answers of this many voters.
            pub async fn nodes(self, count: u32) -> Result<Done, ClientError> {
                self.answered_by(Ack::Nodes(count)).await
            }

            /// Waits for equal answers of more than half of the voters.
            pub async fn quorum(self) -> Result<Done, ClientError> {
                self.answered_by(Ack::Quorum).await
            }

            /// Waits for equal answers of all voters. Ends early with [`ClientError::VotersGone`] while one of them is gone.
            pub async fn all(self) -> Result<Done, ClientError> {
                self.answered_by(Ack::All).await
            }

            /// Waits for as many equal answers as `ack` says.
            pub async fn answered_by(self, ack: Ack) -> Result<Done, ClientError> {
                let (call, body) = self.body()?;
                answered_by(call, body, ack).await
            }
        }
    };
}

asking!(Execute);
asking!(Transaction);

async fn logged(call: Call, body: Body) -> Result<Logged, ClientError> {
    let deadline = Instant::now() + call.timeout();
    let mut through = ThroughAll::begin(&call, body, deadline).await?;
    loop {
        let offset = match through.next(None).await? {
            Step::Placed(offset) => Some(offset),
            Step::Answer(arrived) => arrived.response.offset,
            Step::Recount => None,
        };
        if let Some(offset) = offset {
            return Ok(Logged { message_id: through.ticket().message_id.clone(), offset });
        }
    }
}

async fn answered_by(call: Call, body: Body, ack: Ack) -> Result<Done, ClientError> {
    let deadline = Instant::now() + call.timeout();
    let mut through = ThroughAll::begin(&call, body, deadline).await?;
    let (answer, answered) = through.gather(ack).await?;
    Ok(Done::of(through.ticket().message_id.clone(), answer, answered))
}
