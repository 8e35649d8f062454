//! Load: clients that write unique ids all the time and remember which were acknowledged, so that a test can break things meanwhile and
//! compare in the end.
//!
//! Neighbours: a test runs one on a [`Cluster`] while it kills its parts.
//!
//! Each id goes into two tables in one request: `marks`, where it is a key, and `counts`, which has no key and so shows what was applied
//! twice. Some requests are sent twice under one messageId, some are refused.

use super::{Cluster, PATIENCE};
use kluster_client::{Client, ClientError, ErrorCode, Ticket, Transaction};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// An attempt that is not answered by then is sent again.
const ATTEMPT: Duration = Duration::from_secs(10);

/// Clients that write.
pub struct Load {
    acknowledged: watch::Sender<Vec<i64>>,
    enough: CancellationToken,
    writers: JoinSet<()>,
}

impl Load {
    /// Creates the tables and starts so many writers.
    pub async fn start(cluster: &Cluster, writers: i64) -> Self {
        let client = cluster.client().await;
        client.execute("create table marks(id integer primary key, writer integer)").first().await.expect("a table");
        client.execute("create table counts(id integer)").first().await.expect("a table");
        let mut load = Self {
            acknowledged: watch::Sender::new(Vec::new()),
            enough: CancellationToken::new(),
            writers: JoinSet::new(),
        };
        for writer in 0..writers {
            let (client, acknowledged, enough) = (client.clone(), load.acknowledged.clone(), load.enough.clone());
            load.writers.spawn(async move {
                for id in (writer..).step_by(writers as usize).take_while(|_| !enough.is_cancelled()) {
                    mark(&client, id, writer).await;
                    acknowledged.send_modify(|ids| ids.push(id));
                }
            });
        }
        load
    }

    /// Waits until so many more ids are acknowledged.
    pub async fn goes_on(&mut self, more: usize) {
        let mut ids = self.acknowledged.subscribe();
        let wanted = ids.borrow().len() + more;
        let going = async {
            tokio::select! {
                reached = ids.wait_for(|ids| ids.len() >= wanted) => drop(reached.expect("the sender lives")),
                Some(ended) = self.writers.join_next() => panic!("a writer ended: {ended:?}"),
            }
        };
        let going = tokio::time::timeout(PATIENCE, going).await;
        assert!(going.is_ok(), "{more} more acknowledgements did not come");
    }

    /// Ends the writers and compares: on every node each acknowledged id is there once, and no other; the nodes live, alike.
    pub async fn compare(mut self, cluster: &mut Cluster) -> BTreeMap<String, Vec<String>> {
        self.enough.cancel();
        while let Some(ended) = self.writers.join_next().await {
            ended.expect("a writer does not panic");
        }
        let tables = cluster.same_everywhere().await;
        let mut acknowledged: Vec<String> = self.acknowledged.borrow().iter().map(i64::to_string).collect();
        acknowledged.sort();
        assert_eq!(tables["counts"], acknowledged, "what was applied is not what was acknowledged");
        assert_eq!(tables["marks"].len(), acknowledged.len());
        for node in &mut cluster.nodes {
            assert!(node.lives(), "{}", node.last_words());
        }
        println!("{} ids acknowledged, each there once on {} nodes", acknowledged.len(), cluster.nodes.len());
        tables
    }
}

/// Writes one id until it is acknowledged. Every 8th is sent twice in a row under one messageId; one of 8 again under another, which is refused.
async fn mark(client: &Client, id: i64, writer: i64) {
    let request = || {
        let marks = client.transaction().statement("insert into marks values ($1, $2)").bind(id).bind(writer);
        marks.statement("insert into counts values ($1)").bind(id).timeout(ATTEMPT)
    };
    match id % 8 {
        0 => {
            let named = || request().message_id(format!("mark-{id}").as_str());
            // Whether this one is in the log or not: the next has the same id.
            let _ = named().logged().await;
            until_acknowledged(named).await;
        }
        1 => {
            until_acknowledged(request).await;
            assert!(!is_applied(request).await, "{id} was written twice");
        }
        _ => until_acknowledged(request).await,
    }
}

async fn until_acknowledged(request: impl Fn() -> Transaction) {
    assert!(is_applied(request).await, "a write was refused");
}

/// Sends it until the outcome is known: whether it took effect, or was refused because the id is there.
async fn is_applied(request: impl Fn() -> Transaction) -> bool {
    let mut ticket: Option<Ticket> = None;
    loop {
        let attempt = match ticket.take() {
            None => request(),
            Some(ticket) => request().retry(ticket),
        };
        match attempt.first().await {
            Ok(_) => return true,
            Err(ClientError::Refused { error, .. }) => {
                assert_eq!(error.code, ErrorCode::UniqueViolation, "{}", error.message);
                return false;
            }
            Err(error) => match error.ticket() {
                Some(open) => ticket = Some(open.clone()),
                None => panic!("{error}"),
            },
        }
    }
}
