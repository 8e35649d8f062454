//! Ask: one request, from the moment it is sent until it is answered, or the wait is ended by hand.

use super::settings::{ReadLevel, Settings};
use super::ticket::{OpenRequest, SentTicket};
use super::trouble::Trouble;
use kluster_client::{Client, ClientError, Done, Logged, Outcome, Read, Rows, Ticket, VotersGone};

/// What came back.
#[derive(Debug, Clone)]
pub enum Reply {
    /// Of a read.
    Read(Read),
    /// Of a write.
    Done(Done),
    /// Of a write that waits for no node.
    Logged(Logged),
}

impl Reply {
    /// What each statement returned.
    pub fn results(&self) -> &[Rows] {
        match self {
            Self::Read(read) => std::slice::from_ref(&read.rows),
            Self::Done(done) => &done.results,
            Self::Logged(_) => &[],
        }
    }
}

/// A request without a good answer, and what is left open by it.
#[derive(Debug)]
pub struct Unanswered {
    /// Why.
    pub trouble: Trouble,
    /// What can be asked again.
    pub open: Option<OpenRequest>,
}

impl From<Trouble> for Unanswered {
    fn from(trouble: Trouble) -> Self {
        Self { trouble, open: None }
    }
}

/// Sends a read, and waits for its rows or until it is `ended` by hand, on the node that executes it too.
pub async fn read(
    client: &Client,
    settings: &Settings,
    sql: &str,
    ended: impl Future<Output = ()>,
) -> Result<Reply, Trouble> {
    let query = client.query(sql).level(settings.read.level(settings.ack)).timeout(settings.timeout);
    query.rows_until(ended).await.map(Reply::Read).map_err(|error| match (&error, settings.read) {
        (ClientError::Ended { .. }, ReadLevel::Ordered) => Trouble::interrupted(None).hinted(
            "every node executes it; `kluster-admin errors` shows one that takes long, `kluster-admin cancel` ends it",
        ),
        _ => Trouble::from(error),
    })
}

/// Sends what may have an effect, and waits for as many answers as the settings say, or until the wait is `ended` by hand.
///
/// Its ticket is settled before it is sent, so that a wait that is ended by hand can be taken up again.
pub async fn write(
    client: &Client,
    settings: &Settings,
    request: Request,
    ended: impl Future<Output = ()>,
) -> Result<Reply, Unanswered> {
    tokio::pin!(ended);
    let settled = tokio::select! {
        biased;
        () = &mut ended => return Err(Trouble::interrupted(None).into()),
        settled = request.settle(client, settings) => settled.map_err(Trouble::from)?,
    };
    let ((sending, ticket), again) = (settled, request.earlier.is_some());
    let trouble = tokio::select! {
        biased;
        () = &mut ended => Trouble::interrupted(Some(ticket.clone())),
        reply = sending.reply(settings) => match reply {
            Ok(reply) => return Ok(reply),
            Err(error) => Trouble::from(if again { reopened(error, &ticket) } else { error }),
        },
    };
    // What was refused, or is known to have no effect, need not be asked again.
    let open = trouble.ticket.is_some().then(|| OpenRequest {
        sent: SentTicket { client_id: client.id().clone(), ticket },
        statements: request.statements,
        list: request.list,
    });
    Err(Unanswered { trouble, open })
}

/// An attempt without any effect says nothing of the attempt before it.
fn reopened(error: ClientError, earlier: &Ticket) -> ClientError {
    let (ticket, outcome) = (earlier.clone(), Outcome::Open);
    match error {
        ClientError::TimedOut { answered, .. } => ClientError::TimedOut { ticket, outcome, answered },
        ClientError::Closed { .. } => ClientError::Closed { ticket: Some(ticket), outcome },
        ClientError::Log { source, .. } => ClientError::Log { source, ticket: Some(ticket), outcome },
        ClientError::VotersGone(gone) => ClientError::VotersGone(Box::new(VotersGone { outcome, ..*gone })),
        other => other,
    }
}

/// What is sent through ALL.
#[derive(Debug, Clone)]
pub struct Request {
    /// The statements.
    pub statements: Vec<String>,
    /// They are a transaction, even if it is only one.
    pub list: bool,
    /// An earlier attempt.
    pub earlier: Option<Ticket>,
}

enum Sending {
    One(kluster_client::Execute),
    List(kluster_client::Transaction),
}

impl Request {
    async fn settle(&self, client: &Client, settings: &Settings) -> Result<(Sending, Ticket), ClientError> {
        match (&self.statements[..], self.list) {
            ([sql], false) => {
                let execute = client.execute(sql).timeout(settings.timeout);
                let (execute, ticket) = match &self.earlier {
                    Some(ticket) => (execute.retry(ticket.clone()), ticket.clone()),
                    None => execute.ticketed().await?,
                };
                Ok((Sending::One(execute), ticket))
            }
            (statements, _) => {
                let transaction = client.transaction().timeout(settings.timeout);
                let transaction = statements.iter().fold(transaction, |list, sql| list.statement(sql));
                let (transaction, ticket) = match &self.earlier {
                    Some(ticket) => (transaction.retry(ticket.clone()), ticket.clone()),
                    None => transaction.ticketed().await?,
                };
                Ok((Sending::List(transaction), ticket))
            }
        }
    }
}

impl Sending {
    async fn reply(self, settings: &Settings) -> Result<Reply, ClientError> {
        match (self, settings.ack.ack()) {
            (Self::One(execute), Some(ack)) => execute.answered_by(ack).await.map(Reply::Done),
            (Self::One(execute), None) => execute.logged().await.map(Reply::Logged),
            (Self::List(list), Some(ack)) => list.answered_by(ack).await.map(Reply::Done),
            (Self::List(list), None) => list.logged().await.map(Reply::Logged),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::trouble::Kind;
    use kluster_client::LogError;

    #[test]
    fn a_retry_that_reaches_nobody_leaves_the_earlier_attempt_open() {
        let ticket = Ticket { message_id: "m1".into(), since_offset: None };
        let outcome = Outcome::NoEffect;
        let errors = [
            ClientError::TimedOut { ticket: ticket.clone(), outcome, answered: Vec::new() },
            ClientError::Closed { ticket: None, outcome },
            ClientError::Log { source: LogError::Closed, ticket: None, outcome },
        ];
        for error in errors {
            assert!(Trouble::from(error.clone()).ticket.is_none(), "{error}");
            let trouble = Trouble::from(reopened(error, &ticket));
            assert_eq!((trouble.kind, trouble.ticket.as_ref()), (Kind::Open, Some(&ticket)));
        }
    }
}
