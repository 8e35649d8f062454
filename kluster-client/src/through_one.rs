//! The life of a read through ONE: sent to whichever node is free, asked again under a new id while no node gives an answer. Reads are harmless,
//! so several attempts may be under way at once; the first answer counts.

use crate::call::Call;
use crate::connection::reach;
use crate::parts::Arrived;
use crate::pending::{Event, Inbox};
use crate::sending::{Flying, pause};
use crate::{Client, ClientError, Outcome, Ticket};
use kluster_log::{Appended, LogError, NewRecord};
use kluster_protocol::{
    Cells, EndRead, ErrorCode, Kind, MessageId, Offset, Request, RequestTopic, Statement, Topic, header,
};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until, timeout_at};

/// A read without a sign of an answer is asked of another node after this time; doubled by each silent attempt, for the read may only be slow.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a read must have seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    /// Anything.
    Whatever,
    /// What this session has seen.
    Session,
    /// All that was acknowledged before the read began.
    Everything,
}

/// One read under way through ONE.
pub(crate) struct ThroughOne {
    client: Client,
    statement: Statement,
    cells: Cells,
    min_offset: Option<Offset>,
    inbox: Inbox,
    /// The newest attempt's id.
    last: MessageId,
    flying: Option<Flying>,
    /// The attempts that are in the log, and in which partition.
    attempts: Vec<(MessageId, u32)>,
    /// Nobody wants the rows any more.
    ended: bool,
    /// When it is asked again.
    again: Option<Instant>,
    patience: Duration,
    /// Nothing was heard of the newest attempt.
    silent: bool,
    failures: u32,
    pub(crate) deadline: Instant,
}

impl ThroughOne {
    /// Finds the offset that the node must have applied; the read is sent by the first [`ThroughOne::next`].
    pub(crate) async fn begin(
        call: &Call,
        statement: Statement,
        seen: Seen,
        deadline: Instant,
    ) -> Result<Self, ClientError> {
        let client = call.client.clone();
        let min_offset = match seen {
            Seen::Whatever => None,
            Seen::Session => client.session().seen(),
            Seen::Everything => Some(barrier(&client, deadline).await?),
        };
        let inbox = client.connection().pending.open(false);
        Ok(Self {
            client,
            statement,
            cells: call.cells,
            min_offset,
            inbox,
            last: MessageId::new(String::new()),
            flying: None,
            attempts: Vec::new(),
            ended: false,
            again: Some(Instant::now()),
            patience: PATIENCE,
            silent: false,
            failures: 0,
            deadline,
        })
    }

    /// The next answer, or part of one, that is not asked again. Ends with an error at the deadline. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Result<Arrived, ClientError> {
        loop {
            if self.again.is_some_and(|again| again <= Instant::now()) {
                self.ask()?;
            }
            tokio::select! {
                biased;
                event = self.inbox.next() => {
                    if let Some(arrived) = self.heard(event)? {
                        return Ok(arrived);
                    }
                }
                result = landing(&mut self.flying) => self.landed(result)?,
                () = sleep_until(self.deadline) => return Err(timed_out(&self.last)),
                () = reach(self.again) => {}
            }
        }
    }

    /// Asks under a new id.
    fn ask(&mut self) -> Result<(), ClientError> {
        let connection = self.client.connection();
        self.last = connection.options.ids.message();
        let left = self.deadline.saturating_duration_since(Instant::now());
        let request = Request {
            min_offset: self.min_offset,
            timeout_ms: Some(left.as_millis() as u64),
            cells: self.cells,
            ..Request::new(self.last.clone(), connection.client_id.clone(), self.statement.clone())
        };
        let record = connection.record(&request)?;
        if !self.inbox.expect(&self.last) {
            return Err(self.closed());
        }
        self.flying = Some(Box::pin(connection.log.append_now(Topic::One, None, record)));
        if self.silent {
            self.patience *= 2;
        }
        self.silent = true;
        self.again = Some(Instant::now() + self.patience);
        Ok(())
    }

    fn landed(&mut self, result: Result<Appended, LogError>) -> Result<(), ClientError> {
        match result {
            Ok(appended) => {
                self.failures = 0;
                self.attempts.push((self.last.clone(), appended.partition));
            }
            Err(LogError::NotAppended { .. } | LogError::OutcomeOpen { .. } | LogError::Unreachable { .. }) => {
                self.ask_soon();
            }
            Err(source) => {
                let ticket = Some(ticket(&self.last));
                return Err(ClientError::Log { source, ticket, outcome: Outcome::NoEffect });
            }
        }
        Ok(())
    }

    fn ask_soon(&mut self) {
        self.silent = false;
        self.ask_at(Instant::now() + pause(self.failures));
        self.failures += 1;
    }

    fn ask_at(&mut self, again: Instant) {
        self.again = (!self.ended).then_some(again);
    }

    fn heard(&mut self, event: Event) -> Result<Option<Arrived>, ClientError> {
        match event {
            Event::Answer(arrived) => Ok(self.answered(*arrived)),
            Event::Recount => Ok(None),
            Event::Overflow => {
                Err(ClientError::ResultTooLarge { limit: self.client.connection().options.max_result_bytes })
            }
            Event::Closed => Err(self.closed()),
        }
    }

    fn answered(&mut self, arrived: Arrived) -> Option<Arrived> {
        let response = &arrived.response;
        if response.request_topic != RequestTopic::One {
            return None;
        }
        let code = response.error.as_ref().map(|error| error.code);
        if !self.ended && matches!(code, Some(ErrorCode::NotYet | ErrorCode::Unavailable)) {
            self.ask_soon();
            return None;
        }
        if let Some(offset) = response.offset {
            self.client.session().see(offset);
        }
        self.silent = false;
        self.ask_at(Instant::now() + self.patience); // parts come: the node is at it
        Some(arrived)
    }

    /// Gives it up: whoever has taken it is told to end it, and [`ThroughOne::next`] waits so long for what they say. False: it is not in the log, and
    /// nobody will say anything.
    pub(crate) async fn end(&mut self, within: Duration) -> bool {
        self.ended = true;
        self.again = None;
        self.deadline = self.deadline.min(Instant::now() + within);
        if self.flying.is_some()
            && let Ok(Ok(appended)) = timeout_at(self.deadline, landing(&mut self.flying)).await
        {
            self.attempts.push((self.last.clone(), appended.partition));
        }
        let connection = self.client.connection();
        let ends = self.attempts.drain(..).map(|(message_id, partition)| {
            let end = EndRead { client_id: connection.client_id.clone(), ends: message_id };
            // A struct of two texts.
            let value = serde_json::to_vec(&end).unwrap_or_default();
            let record = NewRecord::of(value).header(header::KIND, Kind::END_READ);
            connection.log.append_now(Topic::One, Some(partition), record)
        });
        // A record that is not taken ends nothing, and nobody waits for it longer.
        let told = timeout_at(self.deadline, futures_util::future::join_all(ends)).await;
        told.is_ok_and(|told| told.iter().any(Result::is_ok))
    }

    /// It is not asked again.
    pub(crate) fn enough(&mut self) {
        self.again = None;
    }

    fn closed(&self) -> ClientError {
        self.client.connection().closed(Some(ticket(&self.last)), Outcome::NoEffect)
    }
}

/// The append's end; never without one. Cancel-safe.
async fn landing(flying: &mut Option<Flying>) -> Result<Appended, LogError> {
    let Some(append) = flying else {
        return std::future::pending().await;
    };
    let result = append.await;
    *flying = None;
    result
}

/// The offset of a barrier that is handed over from now on.
async fn barrier(client: &Client, deadline: Instant) -> Result<Offset, ClientError> {
    let connection = client.connection();
    let (asked, answer) = oneshot::channel();
    let closed = || connection.closed(None, Outcome::NoEffect);
    connection.barriers.send(asked).map_err(|_| closed())?;
    let answered = tokio::select! {
        biased;
        () = connection.stop.cancelled() => return Err(closed()),
        answered = timeout_at(deadline, answer) => answered,
    };
    match answered {
        Ok(Ok(Ok(offset))) => {
            client.session().see(offset);
            Ok(offset)
        }
        Ok(Ok(Err(error))) => Err(ClientError::log(error)),
        Ok(Err(_)) => Err(closed()),
        Err(_) => Err(timed_out(&MessageId::from("(barrier)"))),
    }
}

fn ticket(id: &MessageId) -> Ticket {
    Ticket { message_id: id.clone(), since_offset: None }
}

fn timed_out(id: &MessageId) -> ClientError {
    ClientError::TimedOut { ticket: ticket(id), outcome: Outcome::NoEffect, answered: Vec::new() }
}
