//! The life of a request through ALL: given an id and `sinceOffset`, waited for, sent, sent again, and answered, refused, timed out or closed.

use crate::answers::{Ack, Answered, Tally, Verdict};
use crate::call::Call;
use crate::connection::reach;
use crate::parts::{Arrived, RawResponse};
use crate::pending::{Event, Inbox};
use crate::sending::{Placed, Sending};
use crate::{Client, ClientError, Ticket, VotersGone};
use kluster_protocol::{Body, NodeId, Offset, Request, RequestTopic};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// How long a voter that is gone may still have its answer under way, or come back: NODES and RESPONSES are read side by side.
const GRACE: Duration = Duration::from_secs(1);

/// One request under way through ALL.
#[derive(Debug)]
pub(crate) struct ThroughAll {
    client: Client,
    ticket: Ticket,
    /// When it began, if this is its first attempt: all its attempts lie behind what the log held then.
    began: Option<Instant>,
    inbox: Inbox,
    sending: Sending,
    pub(crate) deadline: Instant,
}

/// What happened to it.
#[derive(Debug)]
pub(crate) enum Step {
    /// It is in the log.
    Placed(Offset),
    /// A node sent an answer, or a part of one.
    Answer(Box<Arrived>),
    /// Voters came or went, or the time to look again has come.
    Recount,
}

impl ThroughAll {
    /// Prepares the request and waits for its answers from now on; it is sent by the first [`ThroughAll::next`].
    pub(crate) async fn begin(call: &Call, body: Body, deadline: Instant) -> Result<Self, ClientError> {
        let connection = call.client.connection();
        let began = Instant::now();
        let (ticket, first) = call.ticket(deadline).await?;
        let request = Request {
            message_id: ticket.message_id.clone(),
            client_id: connection.client_id.clone(),
            body,
            since_offset: ticket.since_offset,
            min_offset: None,
            timeout_ms: None,
            cells: call.cells,
        };
        let sending = Sending::new(connection.log.clone(), connection.record(&request)?);
        let mut inbox = connection.pending.open(true);
        if !inbox.expect(&ticket.message_id) {
            return Err(connection.closed(Some(ticket), sending.outcome()));
        }
        Ok(Self { client: call.client.clone(), ticket, began: first.then_some(began), inbox, sending, deadline })
    }

    /// What happens next, at the latest at `wake`. Ends with an error at the deadline. Cancel-safe.
    pub(crate) async fn next(&mut self, wake: Option<Instant>) -> Result<Step, ClientError> {
        loop {
            let step = tokio::select! {
                biased;
                event = self.inbox.next() => self.heard(event)?,
                sent = self.sending.step() => match sent {
                    Ok(placed) => Some(self.placed(&placed)),
                    Err(source) => return Err(self.refused_by_log(source)),
                },
                () = sleep_until(self.deadline) => return Err(self.timed_out()),
                () = reach(wake) => Some(Step::Recount),
            };
            if let Some(step) = step {
                return Ok(step);
            }
        }
    }

    fn heard(&mut self, event: Event) -> Result<Option<Step>, ClientError> {
        let connection = self.client.connection();
        match event {
            Event::Answer(arrived) if arrived.response.request_topic == RequestTopic::All => {
                if let Some(offset) = arrived.response.offset {
                    self.at(offset, self.began);
                }
                Ok(Some(Step::Answer(arrived)))
            }
            Event::Answer(_) => Ok(None),
            Event::Recount => Ok(Some(Step::Recount)),
            Event::Overflow => Err(ClientError::ResultTooLarge { limit: connection.options.max_result_bytes }),
            Event::Closed => Err(connection.closed(Some(self.ticket.clone()), self.sending.outcome())),
        }
    }

    fn placed(&self, placed: &Placed) -> Step {
        self.at(placed.offset, Some(placed.at));
        Step::Placed(placed.offset)
    }

    /// The request lies at this offset; the log ended before it at `when`.
    fn at(&self, offset: Offset, when: Option<Instant>) {
        self.client.session().see(offset);
        if let Some(when) = when {
            self.client.connection().end.learn(offset, when);
        }
    }

    fn refused_by_log(&self, source: kluster_log::LogError) -> ClientError {
        ClientError::Log { source, ticket: Some(self.ticket.clone()), outcome: self.sending.outcome() }
    }

    fn timed_out(&self) -> ClientError {
        ClientError::TimedOut { ticket: self.ticket.clone(), outcome: self.sending.outcome(), answered: Vec::new() }
    }

    /// It need not be sent again.
    pub(crate) fn enough(&mut self) {
        self.sending.enough();
    }

    /// Its id, and the offset below its attempts.
    pub(crate) fn ticket(&self) -> &Ticket {
        &self.ticket
    }

    /// Waits for enough answers: one whole answer, and who gave the same.
    pub(crate) async fn gather(&mut self, ack: Ack) -> Result<(RawResponse, Vec<Answered>), ClientError> {
        let mut tally = Tally::new(ack, self.client.connection().options.max_result_bytes);
        let mut grace = None;
        loop {
            let short = tally.out_of_reach(&self.client.connection().voters());
            match (short, grace) {
                (None, _) => grace = None,
                (Some(_), None) => grace = Some(Instant::now() + GRACE),
                (Some((wanted, missing)), Some(end)) if Instant::now() >= end => {
                    return Err(self.voters_gone(wanted, tally.answered(), missing));
                }
                (Some(_), Some(_)) => {}
            }
            match self.next(grace).await {
                Ok(Step::Answer(arrived)) => {
                    if let Some(verdict) = tally.add(*arrived) {
                        return self.conclude(verdict);
                    }
                }
                Ok(Step::Placed(_) | Step::Recount) => {}
                Err(error) => return Err(with_answered(error, &tally)),
            }
        }
    }

    fn conclude(&self, verdict: Verdict) -> Result<(RawResponse, Vec<Answered>), ClientError> {
        match verdict {
            Verdict::Done(answer, answered) => Ok((*answer, answered)),
            Verdict::Refused(error, offset, answered) => {
                let nodes = answered.into_iter().map(|answered| answered.node_id).collect();
                Err(ClientError::Refused { error, offset, nodes })
            }
            Verdict::NoVoters(answered) => Err(ClientError::NoVoters { ticket: self.ticket.clone(), answered }),
            Verdict::Diverged { offset, one, other } => Err(ClientError::Diverged {
                message_id: self.ticket.message_id.clone(),
                offset,
                one: Box::new(one),
                other: Box::new(other),
            }),
            Verdict::TooFew { wanted, answered } => Err(self.voters_gone(wanted, answered, Vec::new())),
            Verdict::TooLarge => {
                Err(ClientError::ResultTooLarge { limit: self.client.connection().options.max_result_bytes })
            }
        }
    }

    fn voters_gone(&self, wanted: u32, answered: Vec<Answered>, missing: Vec<(NodeId, String)>) -> ClientError {
        let outcome = self.sending.outcome();
        ClientError::VotersGone(Box::new(VotersGone {
            ticket: self.ticket.clone(),
            outcome,
            wanted,
            answered,
            missing,
        }))
    }
}

/// A deadline that passes tells who answered by then.
fn with_answered(error: ClientError, tally: &Tally) -> ClientError {
    match error {
        ClientError::TimedOut { ticket, outcome, .. } => ClientError::TimedOut {
            ticket,
            outcome,
            answered: tally.answered().into_iter().map(|answered| answered.node_id).collect(),
        },
        other => other,
    }
}
