//! Reads that their client gives up, on a node that can execute one read at a time.

use crate::decisions::send;
use kluster_client::{Client, ClientError, Read};
use kluster_test_servers::until;
use kluster_tests::cluster::{Cluster, Database, Kind, NodeProcess};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// So many rows joined with themselves so often end in the life of no one.
const ENDLESS: &str = "select count(*) as many from n a, n b, n c, n d, n e, n f, n g, n h, n i where a.v + b.v + c.v + d.v + e.v + f.v + g.v + h.v + i.v < 0";

/// A read that is under way, and what gives it up.
struct UnderWay {
    read: JoinHandle<Result<Read, ClientError>>,
    give_up: oneshot::Sender<()>,
}

impl UnderWay {
    /// Begins it; it is in the log.
    async fn begin(cluster: &Cluster, client: &Client, sql: &str) -> Self {
        let (give_up, given_up) = oneshot::channel();
        let query = client.query(sql).eventual().timeout(Duration::from_secs(25));
        let read = tokio::spawn(query.rows_until(async { given_up.await.expect("it is kept until it is given up") }));
        cluster.asked(sql).await;
        Self { read, give_up }
    }

    /// Gives it up, and the node has ended it.
    async fn ends(self) {
        self.give_up.send(()).expect("the read is still waited for");
        let ended = self.read.await.expect("no panic");
        assert!(matches!(&ended, Err(ClientError::Ended { node: Some(node) }) if node.as_str() == "n1"), "{ended:?}");
    }
}

pub async fn a_read_that_is_given_up_ends_on_its_node(kind: Kind) {
    let mut cluster = Cluster::without_nodes().await;
    let flags = [cluster.flags(), vec!["--max-reads".to_owned(), "1".to_owned()]].concat();
    cluster.nodes.push(NodeProcess::start("n1", Database::create(kind).await, &flags, &[]));
    cluster.ready().await;
    send(&cluster, "n", "create table n (v integer primary key)").await;
    let rows: Vec<String> = (0..60).map(|n| format!("({n})")).collect();
    send(&cluster, "rows", &format!("insert into n values {}", rows.join(", "))).await;
    let client = cluster.client().await;
    client.execute("create table settled (a integer primary key)").all().await.expect("what was sent before is done");

    let running = UnderWay::begin(&cluster, &client, ENDLESS).await;
    let short = || client.query("select 1 as one").eventual().timeout(Duration::from_secs(1)).rows();
    until("the only session is busy", async || matches!(short().await, Err(ClientError::TimedOut { .. }))).await;
    // One that waits is ended where it waits; the others go on.
    let waiting = UnderWay::begin(&cluster, &client, &ENDLESS.replace("many", "waiting")).await;
    let behind = UnderWay::begin(&cluster, &client, "select count(*) as many from n").await;
    waiting.ends().await;
    assert!(!running.read.is_finished());
    running.ends().await;
    let rows = behind.read.await.expect("no panic").expect("the session is free").rows;
    assert_eq!(rows.decode::<(i64,)>().expect("a number"), [(60,)]);
    is_idle(cluster.nodes[0].database(), kind).await;
}

/// Nothing of the ended reads is executed in the server.
async fn is_idle(database: &Database, kind: Kind) {
    let asked = match kind {
        Kind::Postgres => {
            "select count(*) from pg_stat_activity where state = 'active' and query like '%a.v + b.v%' and pid <> pg_backend_pid()"
        }
        Kind::MariaDb => {
            "select count(*) from information_schema.processlist where info like '%a.v + b.v%' and id <> connection_id()"
        }
        Kind::Sqlite => return,
    };
    until("the server has ended it", async || database.sql(asked).await.trim() == "0").await;
}
