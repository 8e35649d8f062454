//! What a request costs: latency of one at a time beside two bare Kafka hops and one transaction of the same DBMS, throughput of many at once, and
//! the memory of a node meanwhile. Everything is measured in one run on one machine; the ratios are what counts.
//!
//! `make bench`, or `cargo bench -p kluster-tests --bench requests -- postgres sqlite mariadb` for some kinds only.

use futures_util::stream::{self, StreamExt};
use kluster_log::{Log, NewRecord};
use kluster_node::dbms::postgres::{address::Address, connection::Connection};
use kluster_protocol::Topic;
use kluster_tests::cluster::{Cluster, Database, Kind};
use sqlx::mysql::MySqlConnection;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};
use std::time::{Duration, Instant};

const ONE_AT_A_TIME: usize = 1000;
const REQUESTS: usize = 200_000;
const IN_FLIGHT: usize = 1000;
const ROWS: u64 = 1_000_000;

#[tokio::main]
async fn main() {
    let asked: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let kinds = [("sqlite", Kind::Sqlite), ("postgres", Kind::Postgres), ("mariadb", Kind::MariaDb)];
    let baseline = Cluster::without_nodes().await;
    let hops = Figures::of(two_hops(baseline.log()).await);
    println!("two bare Kafka hops                        {hops}");
    for (name, kind) in kinds.into_iter().filter(|(name, _)| asked.is_empty() || asked.iter().any(|kind| kind == name))
    {
        measure(name, kind, &hops).await;
    }
}

async fn measure(name: &str, kind: Kind, hops: &Figures) {
    let transaction = Figures::of(transactions(kind).await);
    println!("{name}: one bare transaction                {transaction}");
    for nodes in [1, 3] {
        let cluster = Cluster::start(kind, nodes).await;
        let client = cluster.client().await;
        client
            .execute("create table item(id integer primary key, name varchar(40))")
            .all()
            .await
            .expect("the table is created");
        let mut took = Vec::new();
        for id in 0..ONE_AT_A_TIME {
            let began = Instant::now();
            client
                .execute("insert into item values ($1, $2)")
                .bind(id as i64)
                .bind("Jan")
                .first()
                .await
                .expect("executed");
            took.push(began.elapsed());
        }
        let figures = Figures::of(took);
        let ratio = figures.p50.as_secs_f64() / (hops.p50 + transaction.p50).as_secs_f64();
        println!("{name}, {nodes} nodes: request to first answer        {figures}   {ratio:.1}x of hops + transaction");
        if nodes == 3 {
            under_load(name, &cluster, &client).await;
        }
    }
}

/// Many requests at once, then one large result; how fast, and what the nodes' memory came to.
async fn under_load(name: &str, cluster: &Cluster, client: &kluster_client::Client) {
    let began = Instant::now();
    let mut asked = stream::iter(0..REQUESTS)
        .map(|id| {
            let request =
                client.execute("insert into item values ($1, $2)").bind((ONE_AT_A_TIME + id) as i64).bind("Jan");
            async move { request.timeout(Duration::from_secs(300)).first().await.expect("executed") }
        })
        .buffer_unordered(IN_FLIGHT);
    while asked.next().await.is_some() {}
    let rate = REQUESTS as f64 / began.elapsed().as_secs_f64();
    cluster.caught_up().await;
    let all = REQUESTS as f64 / began.elapsed().as_secs_f64();
    println!(
        "{name}, 3 nodes: {REQUESTS} requests, {IN_FLIGHT} in flight: {rate:.0}/s to the first answer, {all:.0}/s on all nodes"
    );
    println!("{name}: memory of each node after that          {}", memory(cluster));
    let began = Instant::now();
    let sql = "select a.id as a, b.id as b, a.name from item a cross join (select id from item where id < 1000) b where a.id < 1000";
    let mut rows = client.query(sql).timeout(Duration::from_secs(300)).stream::<(i64, i64, String)>();
    let mut count = 0;
    while let Some(row) = rows.next().await {
        row.expect("a row");
        count += 1;
    }
    assert_eq!(count, ROWS);
    println!(
        "{name}: {ROWS} rows streamed in {:.1} s; memory       {}",
        began.elapsed().as_secs_f64(),
        memory(cluster)
    );
}

/// The largest resident memory of each node so far, in MB (`VmHWM` of proc(5)).
fn memory(cluster: &Cluster) -> String {
    let peak = |id: u32| {
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0 kB").trim().to_owned();
        line.trim_end_matches(" kB").parse::<u64>().unwrap_or_default() / 1024
    };
    cluster.nodes.iter().map(|node| format!("{} MB", peak(node.id()))).collect::<Vec<_>>().join(", ")
}

/// A record into one topic, read there, and another into a second topic, read there: what no system on Kafka can go below.
async fn two_hops(log: &Log) -> Vec<Duration> {
    let end = |topic| async move { log.range(topic, 0).await.expect("the topic has a range").end };
    let mut there = log.read(Topic::One, 0, end(Topic::One).await).await.expect("ONE can be read");
    let mut back = log.read(Topic::Responses, 0, end(Topic::Responses).await).await.expect("RESPONSES can be read");
    let echo = log.clone();
    let echoing = tokio::spawn(async move {
        while let Ok(record) = there.next().await {
            let echoed = NewRecord { value: record.value, ..NewRecord::default() };
            drop(tokio::spawn(echo.append_now(Topic::Responses, Some(0), echoed)));
        }
    });
    let mut took = Vec::new();
    for _ in 0..ONE_AT_A_TIME {
        let began = Instant::now();
        drop(tokio::spawn(log.append_now(Topic::One, Some(0), NewRecord::of(vec![b'x'; 200]))));
        back.next().await.expect("the echo comes");
        took.push(began.elapsed());
    }
    echoing.abort();
    took
}

/// One insert in a transaction of its own, as durable as a node's.
async fn transactions(kind: Kind) -> Vec<Duration> {
    let database = Database::create(kind).await;
    match &database {
        Database::Postgres(..) => {
            let address = Address::parse(&database.url()).expect("an address");
            let mut session = Connection::connect(&address).await.expect("PostgreSQL answers");
            session
                .execute_script(
                    "set synchronous_commit = off; create table item(id integer primary key, name varchar(40))",
                )
                .await
                .expect("set up");
            let mut took = Vec::new();
            for id in 0..ONE_AT_A_TIME {
                let began = Instant::now();
                session
                    .execute_script(&format!("begin; insert into item values ({id}, 'Jan'); commit"))
                    .await
                    .expect("executed");
                took.push(began.elapsed());
            }
            took
        }
        Database::Sqlite(file, _) => {
            let session = rusqlite::Connection::open(file).expect("the file opens");
            session.execute_batch("pragma journal_mode = wal; pragma synchronous = normal; create table item(id integer primary key, name text)").expect("set up");
            let insert = |id: usize| {
                let began = Instant::now();
                session
                    .execute_batch(&format!("begin; insert into item values ({id}, 'Jan'); commit"))
                    .expect("executed");
                began.elapsed()
            };
            (0..ONE_AT_A_TIME).map(insert).collect()
        }
        Database::MariaDb(..) => {
            let mut session = MySqlConnection::connect(&database.url()).await.expect("MariaDB answers");
            session
                .execute("create table item(id integer primary key, name varchar(40))")
                .await
                .expect("the table is created");
            let mut took = Vec::new();
            for id in 0..ONE_AT_A_TIME {
                let script = AssertSqlSafe(format!("begin; insert into item values ({id}, 'Jan'); commit"));
                let began = Instant::now();
                session.execute(script).await.expect("executed");
                took.push(began.elapsed());
            }
            took
        }
    }
}

/// The middle and the tail of what was measured.
struct Figures {
    p50: Duration,
    p99: Duration,
}

impl Figures {
    fn of(mut took: Vec<Duration>) -> Self {
        took.sort();
        let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize];
        Self { p50: at(0.5), p99: at(0.99) }
    }
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "p50 {:>7.3} ms  p99 {:>7.3} ms", self.p50.as_secs_f64() * 1e3, self.p99.as_secs_f64() * 1e3)
    }
}
