//! Exactly once through kill -9: of nodes at any time and at each step of a batch, of the database servers beside them, and of the log; and
//! through restarts of the database servers in order.
//!
//! Clients write all the time (`cluster::Load`); in the end each acknowledged id is there once on every node, and the chains are one.
//! `KLUSTER_TEST_SEED` repeats the choices of a run; where its kills hit is up to the machine.
#![cfg(test)]

use kluster_node::step::Step;
use kluster_test_servers::{require, until};
use kluster_tests::cluster::{Cluster, Database, Kind, Load, NodeProcess, readyz};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::os::unix::process::ExitStatusExt;

const KILLS: usize = 8;
const SIGKILL: i32 = 9;

#[tokio::test(flavor = "multi_thread")]
async fn exactly_once_through_kills_of_sqlite_nodes() {
    require!(Kafka);
    exactly_once_through_kills_of_nodes(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exactly_once_through_kills_of_mariadb_nodes() {
    require!(Kafka, MariaDb);
    exactly_once_through_kills_of_nodes(Kind::MariaDb).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exactly_once_through_kills_of_postgres_nodes() {
    require!(Kafka, Postgres);
    exactly_once_through_kills_of_nodes(Kind::Postgres).await;
}

async fn exactly_once_through_kills_of_nodes(kind: Kind) {
    let mut cluster = Cluster::start(kind, 3).await;
    let mut load = Load::start(&cluster, 8).await;
    kill_at_any_time(&mut cluster, &mut load).await;
    kill_at_each_step(kind, &mut cluster, &mut load).await;
    if kind == Kind::MariaDb {
        kill_at_each_step_of_ddl(&mut cluster).await;
    }
    load.compare(&mut cluster).await;
}

/// One node after the other, in some order, each after some acknowledgements; some come back at once, some later.
async fn kill_at_any_time(cluster: &mut Cluster, load: &mut Load) {
    let seed = std::env::var("KLUSTER_TEST_SEED")
        .map_or_else(|_| rand::random(), |seed| seed.parse().expect("KLUSTER_TEST_SEED is a number"));
    println!("KLUSTER_TEST_SEED={seed}");
    let mut dice = StdRng::seed_from_u64(seed);
    for _ in 0..KILLS {
        load.goes_on(dice.random_range(1..60)).await;
        let victim = &mut cluster.nodes[dice.random_range(0..3)];
        victim.kill();
        load.goes_on(dice.random_range(0..30)).await;
        victim.restart(&[]);
    }
    cluster.caught_up().await;
}

/// The third node kills itself at its second batch, at each step that a batch of this kind passes.
async fn kill_at_each_step(kind: Kind, cluster: &mut Cluster, load: &mut Load) {
    for step in Step::EACH.into_iter().filter(|step| !is_of_ddl(*step)) {
        kills_itself(cluster, step, 2).await;
        load.goes_on(1).await;
    }
    println!("{kind:?}: killed at each step");
    cluster.nodes[2].restart(&[]);
    cluster.caught_up().await;
}

fn is_of_ddl(step: Step) -> bool {
    matches!(step, Step::Intended | Step::SelfCommitted)
}

async fn kills_itself(cluster: &mut Cluster, step: Step, count: u32) {
    let node = &mut cluster.nodes[2];
    node.kill();
    node.restart(&[("KLUSTER_TEST_STEP", &format!("{step:?}:{count}:kill"))]);
    let ended = node.ended().await;
    assert_eq!(ended.signal(), Some(SIGKILL), "at {step:?}: {ended}\n{}", node.last_words());
}

/// MariaDB's DDL commits by itself, without the offset: only its intent tells, after a kill, whether it was done.
async fn kill_at_each_step_of_ddl(cluster: &mut Cluster) {
    let client = cluster.client().await;
    for step in DDL {
        let (altered, ()) = tokio::join!(client.execute(ADD_INDEX).first(), kills_itself(cluster, step, 1));
        altered.expect("the other nodes answer");
    }
    cluster.nodes[2].restart(&[]);
    each_index_once(cluster).await;
}

/// The same while the server is killed and not the node, which goes on when the server is back.
async fn kill_the_server_at_each_step_of_ddl(cluster: &mut Cluster) {
    let client = cluster.client().await;
    for step in DDL {
        let node = &mut cluster.nodes[0];
        node.kill();
        node.restart(&[("KLUSTER_TEST_STEP", &format!("{step:?}:1:stop"))]);
        let altered = client.execute(ADD_INDEX);
        let (altered, ()) = tokio::join!(altered.first(), node.halted());
        altered.expect("the other node answers");
        node.database().kill_server().await;
        node.database().restart_server().await;
        node.signal("CONT");
        cluster.caught_up().await;
    }
    each_index_once(cluster).await;
}

const DDL: [Step; 2] = [Step::Intended, Step::SelfCommitted];
/// Without a name: done twice, it would make two.
const ADD_INDEX: &str = "alter table marks add index(writer)";

async fn each_index_once(cluster: &Cluster) {
    cluster.caught_up().await;
    let count = "select count(distinct index_name) from information_schema.statistics where table_schema = database() and column_name = 'writer'";
    for node in &cluster.nodes {
        assert_eq!(node.database().sql(count).await.trim(), DDL.len().to_string(), "{}", node.name());
    }
}

/// So that the server acknowledges commits which a kill takes back: the node's offset goes back with them, and the log is replayed.
const POSTGRES_LOSES: [(&str, &str); 5] = [
    ("synchronous_commit", "off"),
    ("wal_writer_delay", "10s"),
    ("wal_writer_flush_after", "1GB"),
    ("wal_buffers", "64MB"),
    ("autovacuum", "off"),
];
/// The same for MariaDB.
const MARIADB_LOSES: [(&str, &str); 2] =
    [("innodb_flush_log_at_trx_commit", "0"), ("innodb_flush_log_at_timeout", "60")];

#[tokio::test(flavor = "multi_thread")]
async fn exactly_once_through_kills_of_postgres() {
    require!(Kafka, Postgres);
    exactly_once_through_kills_of_the_server(Kind::Postgres, &POSTGRES_LOSES).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exactly_once_through_kills_of_mariadb() {
    require!(Kafka, MariaDb);
    exactly_once_through_kills_of_the_server(Kind::MariaDb, &MARIADB_LOSES).await;
}

async fn exactly_once_through_kills_of_the_server(kind: Kind, settings: &[(&str, &str)]) {
    let mut cluster = Cluster::without_nodes().await;
    cluster.add(Database::create_private(kind, settings).await);
    cluster.add(Database::create(kind).await);
    cluster.ready().await;
    let mut load = Load::start(&cluster, 8).await;
    for _ in 0..3 {
        load.goes_on(50).await;
        cluster.nodes[0].database().kill_server().await;
        load.goes_on(20).await;
        cluster.nodes[0].database().restart_server().await;
        cluster.caught_up().await;
    }
    // The server writes now and then, which may be just before the kill.
    let mut lost = 0;
    for _ in 0..6 {
        lost += commits_lost_by_a_kill(&mut cluster, &mut load).await;
        if lost > 0 {
            break;
        }
    }
    assert!(lost > 0, "the server lost nothing: this test has not shown what it should");
    if kind == Kind::MariaDb {
        kill_the_server_at_each_step_of_ddl(&mut cluster).await;
    }
    load.compare(&mut cluster).await;
}

/// Kills server and node together, and gives how many offsets the server went back behind what the node had said of itself.
async fn commits_lost_by_a_kill(cluster: &mut Cluster, load: &mut Load) -> u64 {
    load.goes_on(100).await;
    let end = cluster.caught_up().await;
    let said = cluster.heartbeats_until(|beats| beats.get("n1").is_some_and(|beat| beat.applied > Some(end))).await;
    let node = &mut cluster.nodes[0];
    node.database().kill_server().await;
    node.kill();
    node.database().restart_server().await;
    let held = node.database().applied().await;
    node.restart(&[]);
    cluster.caught_up().await;
    let said = said["n1"].applied.map_or(0, |at| at.get());
    println!("the node had said {said}, the server came back with {held}");
    said.saturating_sub(held)
}

#[tokio::test(flavor = "multi_thread")]
async fn exactly_once_through_restarts_of_postgres() {
    require!(Kafka, Postgres);
    exactly_once_through_restarts_of_the_server(Kind::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exactly_once_through_restarts_of_mariadb() {
    require!(Kafka, MariaDb);
    exactly_once_through_restarts_of_the_server(Kind::MariaDb).await;
}

/// An administrator restarts the server: sessions are told that it ends (57P01, 1053), and logins that it is not there yet (57P03).
async fn exactly_once_through_restarts_of_the_server(kind: Kind) {
    let mut cluster = Cluster::without_nodes().await;
    cluster.add(Database::create_private(kind, &[]).await);
    cluster.add(Database::create(kind).await);
    cluster.ready().await;
    let mut load = Load::start(&cluster, 8).await;
    for _ in 0..4 {
        load.goes_on(50).await;
        cluster.nodes[0].database().end_server().await;
        load.goes_on(20).await;
        cluster.nodes[0].database().restart_server().await;
        cluster.caught_up().await;
    }
    load.compare(&mut cluster).await;
}

/// The log itself is killed and comes back, soon or after a while: no node ends, and none has to be started again.
#[tokio::test(flavor = "multi_thread")]
async fn exactly_once_through_kills_of_the_log() {
    require!(Kafka);
    let mut cluster = Cluster::of_nodes_on_a_log_of_its_own(3).await;
    let ports = cluster.ports().await;
    let processes: Vec<u32> = cluster.nodes.iter().map(NodeProcess::id).collect();
    let mut load = Load::start(&cluster, 8).await;
    for _ in 0..4 {
        load.goes_on(50).await;
        cluster.kafka().kill9().await.expect("it can be killed");
        cluster.kafka().restart().await.expect("it comes back");
    }
    load.goes_on(50).await;
    cluster.kafka().kill9().await.expect("it can be killed");
    for port in &ports {
        let away = "HTTP/1.1 503 Service Unavailable";
        until("a node says that the log is away", async || {
            let said = readyz(port).await;
            said.starts_with(away) && said.ends_with("retrying: log_unreachable\n")
        })
        .await;
    }
    cluster.kafka().restart().await.expect("it comes back");
    load.goes_on(50).await;
    load.compare(&mut cluster).await;
    for port in &ports {
        until("a node is ready again", async || readyz(port).await.ends_with("\r\n\r\nready\n")).await;
    }
    assert_eq!(cluster.nodes.iter().map(NodeProcess::id).collect::<Vec<_>>(), processes);
}
