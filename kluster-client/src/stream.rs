//! Streams: rows as their parts come.
//!
//! Invariant: from its first part on a stream belongs to one execution, that is to one node and one response `messageId`. It takes that
//! execution's parts in their order and nothing else, and ends in an error if they stop.

use crate::ClientError;
use crate::answers::{Ack, refusal};
use crate::call::Call;
use crate::parts::{Arrived, RawRow};
use crate::query::{Level, Query};
use crate::rows::decode_row;
use crate::through_all::{Step, ThroughAll};
use crate::through_one::{Seen, ThroughOne};
use futures_util::{Stream, StreamExt};
use kluster_protocol::{Body, MessageId, NodeId, Statement};
use serde::de::DeserializeOwned;
use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::time::Instant;

/// Rows as they come. It asks when it is first polled; after an error it ends.
#[must_use = "nothing is asked before the stream is polled"]
pub struct RowStream<T>(Pin<Box<dyn Stream<Item = Result<T, ClientError>> + Send>>);

impl<T: DeserializeOwned + Send + 'static> RowStream<T> {
    pub(crate) fn of(query: Query) -> Self {
        let rows = futures_util::stream::unfold(Some(Flow::new(query)), |flow| async {
            let mut flow = flow?;
            match flow.next_row().await {
                Ok(Some(row)) => Some((decode_row(&row), Some(flow))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        });
        Self(Box::pin(rows))
    }

    /// The next row; None at the end.
    pub async fn next(&mut self) -> Option<Result<T, ClientError>> {
        self.0.next().await
    }
}

impl<T> Stream for RowStream<T> {
    type Item = Result<T, ClientError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.as_mut().poll_next(context)
    }
}

impl<T> std::fmt::Debug for RowStream<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RowStream")
    }
}

/// A stream's state.
struct Flow {
    call: Call,
    statement: Statement,
    level: Level,
    source: Option<Source>,
    held: Option<Held>,
    rows: VecDeque<RawRow>,
    taken: u64,
}

/// The execution that the stream belongs to.
struct Held {
    node_id: NodeId,
    execution: MessageId,
    next: u32,
    ended: bool,
}

/// Where the parts come from.
enum Source {
    All(Box<ThroughAll>),
    One(Box<ThroughOne>),
}

impl Flow {
    fn new(query: Query) -> Self {
        let Query { call, statement, level } = query;
        Self { call, statement, level, source: None, held: None, rows: VecDeque::new(), taken: 0 }
    }

    async fn next_row(&mut self) -> Result<Option<RawRow>, ClientError> {
        while self.rows.is_empty() {
            if self.held.as_ref().is_some_and(|held| held.ended) {
                return Ok(None);
            }
            let arrived = self.arrived().await.map_err(|error| self.broken(error))?;
            self.take(arrived)?;
        }
        self.taken += 1;
        Ok(self.rows.pop_front())
    }

    /// What comes next; each part may take as long as a whole request.
    async fn arrived(&mut self) -> Result<Arrived, ClientError> {
        let deadline = Instant::now() + self.call.timeout();
        let source = match &mut self.source {
            Some(source) => source,
            none => none.insert(Source::begin(&self.call, self.statement.clone(), self.level, deadline).await?),
        };
        if self.held.is_some() {
            source.go_on_until(deadline);
        }
        source.next().await
    }

    fn take(&mut self, arrived: Arrived) -> Result<(), ClientError> {
        let response = arrived.response;
        let part = response.part.unwrap_or_default();
        match &mut self.held {
            None if !response.is_ok() => {
                let (error, offset) = (refusal(&response), response.offset);
                return Err(ClientError::Refused { error, offset, nodes: vec![response.node_id.clone()] });
            }
            // The rows of an earlier attempt are gone: asked anew, under a new id.
            None if response.result_gone => {
                self.source = None;
                return Ok(());
            }
            None if part > 0 => return Ok(()),
            None => {}
            Some(held) if (&held.node_id, &held.execution) != (&response.node_id, &response.message_id) => {
                return Ok(());
            }
            Some(held) if part < held.next => return Ok(()),
            Some(held) if part > held.next || !response.is_ok() => {
                let reason = format!("part {} is missing", held.next);
                return Err(self.broken_off(reason));
            }
            Some(_) => {}
        }
        let ended = response.part.is_none() || response.last_part;
        let (node_id, execution) = (response.node_id, response.message_id);
        self.held = Some(Held { node_id, execution, next: part + 1, ended });
        self.rows.extend(response.result.unwrap_or_default());
        Ok(())
    }

    fn broken(&self, error: ClientError) -> ClientError {
        match error {
            ClientError::TimedOut { .. } | ClientError::ResultTooLarge { .. } if self.held.is_some() => {
                let reason = match error {
                    ClientError::TimedOut { .. } => format!("no part came for {:?}", self.call.timeout()),
                    _ => "its parts came faster than they were taken".to_owned(),
                };
                self.broken_off(reason)
            }
            error => error,
        }
    }

    fn broken_off(&self, reason: String) -> ClientError {
        let node_id = self.held.as_ref().map_or_else(|| NodeId::from("?"), |held| held.node_id.clone());
        ClientError::StreamBroken { node_id, rows: self.taken, reason }
    }
}

impl Source {
    async fn begin(call: &Call, statement: Statement, level: Level, deadline: Instant) -> Result<Self, ClientError> {
        let seen = match level {
            Level::Eventual => Seen::Whatever,
            Level::Session => Seen::Session,
            Level::Strong => Seen::Everything,
            Level::Ordered(Ack::First) => {
                let through = ThroughAll::begin(call, Body::One(statement), deadline).await?;
                return Ok(Self::All(Box::new(through)));
            }
            Level::Ordered(_) => {
                let hint = "a stream comes from one node: ask for Level::Ordered(Ack::First), or fetch()";
                return Err(ClientError::Invalid(hint.to_owned()));
            }
        };
        Ok(Self::One(Box::new(ThroughOne::begin(call, statement, seen, deadline).await?)))
    }

    async fn next(&mut self) -> Result<Arrived, ClientError> {
        match self {
            Self::One(through) => through.next().await,
            Self::All(through) => loop {
                if let Step::Answer(arrived) = through.next(None).await? {
                    let members = arrived.response.members;
                    if members.voter || members.voters == 0 {
                        return Ok(*arrived);
                    }
                }
            },
        }
    }

    /// The first part is there: wait for the others, and ask no one else.
    fn go_on_until(&mut self, deadline: Instant) {
        match self {
            Self::One(through) => {
                through.enough();
                through.deadline = deadline;
            }
            Self::All(through) => {
                through.enough();
                through.deadline = deadline;
            }
        }
    }
}
