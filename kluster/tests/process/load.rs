//! Clients that write unique ids all the time, ask again under the same id until each is acknowledged, and remember which were.
//!
//! Each id goes into two tables in one request: `marks`, where it is a key, and `counts`, which has no key and so shows what was applied twice.

use super::kluster::PATIENCE;
use kluster_client::{Client, ClientError, Ticket};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// An attempt that is not answered by then is asked again.
const ATTEMPT: Duration = Duration::from_secs(3);
const WRITERS: i64 = 8;

pub struct Load {
    acknowledged: watch::Sender<Vec<i64>>,
    enough: CancellationToken,
    writers: JoinSet<()>,
}

impl Load {
    /// Creates the tables and starts the writers.
    pub async fn start(client: &Client) -> Self {
        client.execute("create table marks(id integer primary key, writer integer)").first().await.unwrap();
        client.execute("create table counts(id integer)").first().await.unwrap();
        let mut load =
            Self { acknowledged: watch::Sender::default(), enough: CancellationToken::new(), writers: JoinSet::new() };
        for writer in 0..WRITERS {
            let (client, acknowledged, enough) = (client.clone(), load.acknowledged.clone(), load.enough.clone());
            load.writers.spawn(async move {
                for id in (writer..).step_by(WRITERS as usize).take_while(|_| !enough.is_cancelled()) {
                    mark(&client, id, writer).await;
                    acknowledged.send_modify(|ids| ids.push(id));
                }
            });
        }
        load
    }

    /// Waits until so many more ids are acknowledged.
    pub async fn goes_on(&mut self, more: usize) {
        let mut acknowledged = self.acknowledged.subscribe();
        let wanted = acknowledged.borrow().len() + more;
        let going = async {
            tokio::select! {
                biased;
                ended = self.writers.join_next() => panic!("a writer ended: {ended:?}"),
                enough = acknowledged.wait_for(|ids| ids.len() >= wanted) => drop(enough.unwrap()),
            }
        };
        assert!(tokio::time::timeout(PATIENCE, going).await.is_ok(), "{more} more acknowledgements did not come");
    }

    /// Ends the writers; what was acknowledged, sorted.
    pub async fn finish(mut self) -> Vec<i64> {
        self.enough.cancel();
        while let Some(ended) = self.writers.join_next().await {
            ended.unwrap();
        }
        let mut acknowledged = self.acknowledged.borrow().clone();
        acknowledged.sort_unstable();
        acknowledged
    }
}

/// Writes one id until it is acknowledged.
async fn mark(client: &Client, id: i64, writer: i64) {
    let mut ticket: Option<Ticket> = None;
    loop {
        let marks = client.transaction().statement("insert into marks values ($1, $2)").bind(id).bind(writer);
        let request = marks.statement("insert into counts values ($1)").bind(id).timeout(ATTEMPT);
        let attempt = match ticket.take() {
            None => request,
            Some(ticket) => request.retry(ticket),
        };
        match attempt.first().await {
            Ok(_) => return,
            Err(error @ ClientError::Refused { .. }) => panic!("{id}: {error}"),
            Err(error) => match error.ticket() {
                Some(open) => ticket = Some(open.clone()),
                None => panic!("{id}: {error}"),
            },
        }
    }
}
