//! One node alone is faulty: its disk is full, its sessions are ended, it lacks an extension. It waits or stops, the others go on, and it comes back
//! once it is mended.

use crate::decisions::{answered, send};
use kluster_protocol::{DIVERGED, Heartbeat, NodeState, Offset};
use kluster_test_servers::{record_beyond_setup, require};
use kluster_tests::cluster::{Cluster, Database, Kind, SmallDisk};
use kluster_tests::scripts::Answers;
use std::collections::BTreeMap;

/// The disk has room for a server, and no more.
fn megabytes(kind: Kind) -> u32 {
    match kind {
        Kind::Sqlite => 24,
        Kind::Postgres => 160,
        Kind::MariaDb => 320,
    }
}

/// How each DBMS calls a disk without room. MariaDB's server may end itself where it finds none.
fn full(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Sqlite => &["13", "778"],
        Kind::Postgres => &["53100"],
        Kind::MariaDb => &["1114", "1021", SERVER_AWAY],
    }
}

/// What a node says whose server is away.
const SERVER_AWAY: &str = "connection";

fn first(beats: &BTreeMap<String, Heartbeat>) -> Option<&Heartbeat> {
    beats.get("n1")
}

pub async fn one_node_with_a_full_disk_waits_and_the_others_go_on(kind: Kind) {
    let disk = match SmallDisk::mount(megabytes(kind)) {
        Ok(disk) => disk,
        Err(reason) => return record_beyond_setup(&reason),
    };
    let mut cluster = Cluster::without_nodes().await;
    cluster.add(Database::create_in(disk.path(), kind).await);
    for _ in 0..2 {
        cluster.add(Database::create(kind).await);
    }
    cluster.ready().await;
    let mut answers = Answers::from_now(cluster.log()).await;
    let text = if kind == Kind::MariaDb { "longtext" } else { "text" };
    send(&cluster, "schema", &format!("create table page (id integer primary key, words {text})")).await;
    answered(&mut answers, "schema", 3, None).await;
    disk.fill();
    let mut last = Offset::ZERO;
    for id in 0..40 {
        let words = format!("{id}").repeat(100_000);
        last = send(&cluster, &format!("page-{id}"), &format!("insert into page values ({id}, '{words}')")).await;
    }
    // Two of three have answered the last, while the first waits for room.
    answered(&mut answers, "page-39", 2, None).await;
    let waits = |beat: &Heartbeat| matches!(&beat.state, NodeState::Retrying { code, .. } if full(kind).contains(&code.as_str()));
    let beats = cluster.heartbeats_until(|beats| first(beats).is_some_and(waits)).await;
    assert!(beats["n1"].applied < Some(last), "{beats:?}");
    assert!(cluster.nodes[0].lives(), "it waits for room");
    disk.make_room();
    if matches!(&beats["n1"].state, NodeState::Retrying { code, .. } if code == SERVER_AWAY) {
        cluster.nodes[0].database().restart_server().await;
    }
    answered(&mut answers, "page-39", 3, None).await;
    assert_eq!(cluster.same_everywhere().await["page"].len(), 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_node_whose_postgres_sessions_are_ended_makes_them_anew() {
    require!(Kafka, Postgres);
    sessions_are_ended(Kind::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_node_whose_mariadb_sessions_are_ended_makes_them_anew() {
    require!(Kafka, MariaDb);
    sessions_are_ended(Kind::MariaDb).await;
}

async fn sessions_are_ended(kind: Kind) {
    let cluster = Cluster::start(kind, 3).await;
    let mut answers = Answers::from_now(cluster.log()).await;
    send(&cluster, "schema", "create table t (id integer primary key)").await;
    for round in 0..5 {
        for id in round * 20..round * 20 + 20 {
            send(&cluster, &format!("row-{id}"), &format!("insert into t values ({id})")).await;
        }
        // The node may just be making them anew.
        while cluster.nodes[0].database().end_sessions().await == 0 {}
        // The others do not wait for it.
        answered(&mut answers, &format!("row-{}", round * 20 + 19), 2, None).await;
    }
    answered(&mut answers, "row-99", 3, None).await;
    assert_eq!(cluster.same_everywhere().await["t"].len(), 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_node_that_lacks_an_extension_stops_and_the_others_go_on() {
    require!(Kafka, Postgres);
    const EXTENSION: &str = "create extension citext";
    let mut cluster = Cluster::start(Kind::Postgres, 3).await;
    let mut answers = Answers::from_now(cluster.log()).await;
    // The operator has forgotten one node.
    for node in &cluster.nodes[1..] {
        node.database().sql(EXTENSION).await;
    }
    send(&cluster, "schema", "create table t (id integer primary key, name citext)").await;
    send(&cluster, "row", "insert into t values (1, 'Jan')").await;
    let stopped = |beat: &Heartbeat| matches!(&beat.state, NodeState::Stopped { code, .. } if code == DIVERGED);
    cluster.heartbeats_until(|beats| first(beats).is_some_and(stopped)).await;
    assert_eq!(cluster.nodes[0].ended().await.code(), Some(5));
    send(&cluster, "more", "insert into t values (2, 'Eva')").await;
    answered(&mut answers, "more", 2, None).await;
    let mended = Database::create(Kind::Postgres).await;
    mended.sql(EXTENSION).await;
    cluster.nodes[0].empty(mended);
    cluster.nodes[0].restart(&[]);
    send(&cluster, "last", "insert into t values (3, 'Ida')").await;
    answered(&mut answers, "last", 3, None).await;
    assert_eq!(cluster.same_everywhere().await["t"], ["1|Jan", "2|Eva", "3|Ida"]);
}
