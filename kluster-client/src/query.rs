//! Query: reads, and what they must have seen.

use crate::answers::{Ack, refusal};
use crate::call::Call;
use crate::param::Param;
use crate::parts::{Parts, RawResponse};
use crate::rows::decode_row;
use crate::stream::RowStream;
use crate::through_all::ThroughAll;
use crate::through_one::{Seen, ThroughOne};
use crate::{Client, ClientError, Read};
use kluster_protocol::{Body, Cells, Statement};
use serde::de::DeserializeOwned;
use std::pin::Pin;
use std::time::Duration;
use tokio::time::Instant;

/// For so long a read that was given up waits for what its node says.
const ENDED_WITHIN: Duration = Duration::from_secs(2);

/// What a read must have seen. From weak and fast to strong and dear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Level {
    /// One node, as far as it has come.
    Eventual,
    /// One node that has come as far as this handle has seen: it reads its own writes, and never goes back.
    #[default]
    Session,
    /// One node that has applied every write acknowledged anywhere before the read began (linearizable).
    Strong,
    /// The read goes through the log like a write and is executed by every node at the same place in the order; so many must answer alike.
    Ordered(Ack),
}

/// A read. Nothing is sent before [`Query::fetch`], [`Query::rows`] or the like is awaited. Unless told otherwise it is a `session` read.
#[derive(Debug, Clone)]
#[must_use = "nothing is sent before fetch(), fetch_one(), fetch_optional(), rows() or stream() is awaited"]
pub struct Query {
    pub(crate) call: Call,
    pub(crate) statement: Statement,
    pub(crate) level: Level,
}

impl Query {
    pub(crate) fn new(client: &Client, sql: String) -> Self {
        Self { call: Call::of(client), statement: Statement::new(sql), level: Level::default() }
    }

    /// The value of the next `$n`.
    pub fn bind(mut self, value: impl Into<Param>) -> Self {
        self.statement.params.push(value.into().0);
        self
    }

    /// How long it waits; else [`crate::Options::timeout`]. A stream waits so long for each of its parts.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.call.timeout = Some(timeout);
        self
    }

    /// The form of each cell: [`Cells::Typed`] names the type of each value, which SQLite does not
    /// give by column. Default: [`Cells::Plain`].
    pub fn cells(mut self, cells: Cells) -> Self {
        self.call.cells = cells;
        self
    }

    /// What it must have seen.
    pub fn level(mut self, level: Level) -> Self {
        self.level = level;
        self
    }

    /// [`Level::Eventual`].
    pub fn eventual(self) -> Self {
        self.level(Level::Eventual)
    }

    /// [`Level::Session`].
    pub fn session(self) -> Self {
        self.level(Level::Session)
    }

    /// [`Level::Strong`].
    pub fn strong(self) -> Self {
        self.level(Level::Strong)
    }

    /// [`Level::Ordered`], answered by the first voter.
    pub fn ordered(self) -> Self {
        self.level(Level::Ordered(Ack::First))
    }

    /// Every row as a `T`: a struct or map takes columns by name, a tuple by place, a single value the only column.
    pub async fn fetch<T: DeserializeOwned>(self) -> Result<Vec<T>, ClientError> {
        self.rows().await?.rows.decode()
    }

    /// The first row; [`ClientError::NoRow`] where there is none.
    pub async fn fetch_one<T: DeserializeOwned>(self) -> Result<T, ClientError> {
        self.fetch_optional().await?.ok_or(ClientError::NoRow)
    }

    /// The first row, if there is one.
    pub async fn fetch_optional<T: DeserializeOwned>(self) -> Result<Option<T>, ClientError> {
        self.rows().await?.rows.json.first().map(decode_row).transpose()
    }

    /// The rows as they came, with their columns, and what they are as of.
    pub async fn rows(self) -> Result<Read, ClientError> {
        self.rows_until(std::future::pending()).await
    }

    /// The same, until the read is given up: when `ended` completes first, the node that executes the read, or has it waiting, is told to end it, and
    /// what it says is awaited for two seconds. A read that is only dropped is executed to its end, or until its own time is over.
    ///
    /// [`Level::Ordered`] is executed by every node: only the wait ends, and an operator can end the request (`kluster-admin cancel`).
    ///
    /// # Errors
    /// [`ClientError::Ended`] where it was given up and no rows came all the same; else those of [`Query::rows`].
    pub async fn rows_until(self, ended: impl Future<Output = ()>) -> Result<Read, ClientError> {
        tokio::pin!(ended);
        let deadline = Instant::now() + self.call.timeout();
        let answer = match self.level {
            Level::Eventual => self.through_one(Seen::Whatever, deadline, ended).await?,
            Level::Session => self.through_one(Seen::Session, deadline, ended).await?,
            Level::Strong => self.through_one(Seen::Everything, deadline, ended).await?,
            Level::Ordered(ack) => tokio::select! {
                biased;
                () = ended => return Err(ClientError::Ended { node: None }),
                answer = self.through_all(ack, deadline) => answer?,
            },
        };
        Ok(Read::of(answer))
    }

    /// The rows as their parts come, for results larger than memory. A stream that breaks after its first row ends in
    /// [`ClientError::StreamBroken`] and never goes on at another node.
    pub fn stream<T: DeserializeOwned + Send + 'static>(self) -> RowStream<T> {
        RowStream::of(self)
    }

    async fn through_one(
        self,
        seen: Seen,
        deadline: Instant,
        mut ended: Pin<&mut impl Future<Output = ()>>,
    ) -> Result<RawResponse, ClientError> {
        let limit = self.call.client.connection().options.max_result_bytes;
        let mut parts = Parts::new(limit);
        let mut through = tokio::select! {
            biased;
            () = &mut ended => return Err(ClientError::Ended { node: None }),
            through = ThroughOne::begin(&self.call, self.statement, seen, deadline) => through?,
        };
        let mut given_up = false;
        loop {
            let arrived = tokio::select! {
                biased;
                () = &mut ended, if !given_up => {
                    given_up = true;
                    match through.end(ENDED_WITHIN).await {
                        true => continue,
                        false => return Err(ClientError::Ended { node: None }),
                    }
                }
                arrived = through.next() => match arrived {
                    Err(ClientError::TimedOut { .. }) if given_up => return Err(ClientError::Ended { node: None }),
                    arrived => arrived?,
                },
            };
            match parts.add(arrived) {
                Err(_) => return Err(ClientError::ResultTooLarge { limit }),
                Ok(Some(whole)) if whole.response.is_ok() => return Ok(whole.response),
                Ok(Some(whole)) => return Err(unread(whole.response, given_up)),
                Ok(None) => {}
            }
        }
    }

    async fn through_all(self, ack: Ack, deadline: Instant) -> Result<RawResponse, ClientError> {
        loop {
            let body = Body::One(self.statement.clone());
            let mut through = ThroughAll::begin(&self.call, body, deadline).await?;
            let (answer, _) = through.gather(ack).await?;
            // An attempt before was executed and its rows are gone: a read may simply be asked anew, under a new id.
            if !answer.result_gone {
                return Ok(answer);
            }
        }
    }
}

/// What a node said instead of rows. A read that was given up is ended, whatever kept it from being answered.
fn unread(response: RawResponse, given_up: bool) -> ClientError {
    let (error, node) = (refusal(&response), response.node_id);
    match given_up {
        true => ClientError::Ended { node: Some(node) },
        false => ClientError::Refused { error, offset: response.offset, nodes: vec![node] },
    }
}
