//! Call: what every request is asked with, whatever it asks: by whom, under which id, and until when.

use crate::{Client, ClientError, Outcome, Ticket};
use kluster_protocol::{Cells, MAX_ID_BYTES, MessageId, Offset};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// What a request is asked with.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) client: Client,
    pub(crate) timeout: Option<Duration>,
    /// Given by the caller: perhaps an earlier attempt bore it.
    pub(crate) message_id: Option<MessageId>,
    pub(crate) since_offset: Option<Offset>,
    pub(crate) cells: Cells,
}

impl Call {
    pub(crate) fn of(client: &Client) -> Self {
        Self { client: client.clone(), timeout: None, message_id: None, since_offset: None, cells: Cells::Plain }
    }

    /// How long it waits.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout.unwrap_or(self.client.connection().options.timeout)
    }

    /// The request's id and the offset below all its attempts; true: this is the first attempt.
    ///
    /// Under an id that the caller gave, an earlier attempt may lie in the log already, and what is known now may lie above it: then there is
    /// no such offset unless the caller gives one too.
    pub(crate) async fn ticket(&self, deadline: Instant) -> Result<(Ticket, bool), ClientError> {
        let given = |message_id: &MessageId| Ticket { message_id: message_id.clone(), since_offset: self.since_offset };
        if let Some(id) = &self.message_id {
            return check_id("a message id", id.as_str()).map(|()| (given(id), false));
        }
        let message_id = self.client.connection().options.ids.message();
        if self.since_offset.is_some() {
            return Ok((given(&message_id), false));
        }
        let since_offset = self.since(&message_id, deadline).await?;
        Ok((Ticket { message_id, since_offset }, true))
    }

    async fn since(&self, id: &MessageId, deadline: Instant) -> Result<Option<Offset>, ClientError> {
        let connection = self.client.connection();
        let ticket = || Ticket { message_id: id.clone(), since_offset: None };
        let timed_out = || ClientError::TimedOut { ticket: ticket(), outcome: Outcome::NoEffect, answered: Vec::new() };
        loop {
            let asked = tokio::select! {
                biased;
                () = connection.stop.cancelled() => return Err(connection.closed(Some(ticket()), Outcome::NoEffect)),
                asked = timeout_at(deadline, connection.end.since(&connection.log)) => asked,
            };
            match asked {
                Ok(Ok(since)) => return Ok(since),
                Err(_) => return Err(timed_out()),
                Ok(Err(kluster_log::LogError::Unreachable { .. })) if Instant::now() < deadline => {
                    tokio::time::sleep(crate::sending::pause(0)).await;
                }
                Ok(Err(source)) => {
                    return Err(ClientError::Log { source, ticket: Some(ticket()), outcome: Outcome::NoEffect });
                }
            }
        }
    }
}

/// The protocol's rule for ids.
pub(crate) fn check_id(what: &str, id: &str) -> Result<(), ClientError> {
    match id.len() {
        1..=MAX_ID_BYTES => Ok(()),
        length => Err(ClientError::Invalid(format!("{what} has 1 to {MAX_ID_BYTES} bytes, this one {length}"))),
    }
}
