//! Nodes beside MariaDB compare what their requests changed, by the servers' binary logs.

#![cfg(test)]

use kluster_protocol::{EffectsMeans, Heartbeat, NodeState, Offset};
use kluster_test_servers::require;
use kluster_tests::cluster::{Cluster, Database, Kind};

const SCHEMA: &[&str] = &[
    "create table queue (k int, v int)",
    "create table copy (k int, v int, place int)",
    "create trigger places before insert on copy for each row set new.place = (select count(*) from copy)",
    "create table other (id int primary key, n int)",
];

/// How far a node's effects are counted.
fn counted(beat: &Heartbeat) -> Option<Offset> {
    let effects = beat.effects.as_ref()?;
    assert_eq!(effects.means, EffectsMeans::Binlog, "{effects:?}");
    effects.at
}

#[tokio::test(flavor = "multi_thread")]
async fn a_difference_behind_equal_answers_is_found() {
    require!(Kafka, MariaDb);
    let mut cluster = Cluster::without_nodes().await;
    for _ in 0..3 {
        cluster.add(Database::create_on_mariadb_with_binary_log().await);
    }
    cluster.ready().await;
    let client = cluster.client().await;
    for sql in SCHEMA {
        client.execute(*sql).all().await.unwrap();
    }
    // As if n3 had been restored from a dump: the same rows, in another order.
    for node in &cluster.nodes {
        let rows = if node.name() == "n3" { "(2, 2), (1, 1)" } else { "(1, 1), (2, 2)" };
        node.database().sql(&format!("insert into queue values {rows}")).await;
    }
    let same = client.execute("insert into other select v, k from queue").all().await.unwrap();
    let end = same.offset.unwrap();
    cluster
        .heartbeats_until(|beats| ["n1", "n2", "n3"].iter().all(|name| beats.get(*name).and_then(counted) >= Some(end)))
        .await;
    // The trigger numbers the rows as they come.
    let unlike = client.execute("insert into copy (k, v) select k, v from queue").all().await.unwrap();
    let at = unlike.offset.unwrap();
    client.execute("insert into other values (7, 7)").first().await.unwrap();
    let stopped = |beat: &Heartbeat| matches!(&beat.state, NodeState::Stopped { code, .. } if code == "diverged");
    let beats = cluster.heartbeats_until(|beats| beats.get("n3").is_some_and(stopped)).await;
    assert!(counted(&beats["n3"]) >= Some(at), "{:#?}", beats["n3"]);
    // The others go on.
    let after = client.execute("insert into other values (8, 8)").first().await.unwrap().offset.unwrap();
    cluster
        .heartbeats_until(|beats| ["n1", "n2"].iter().all(|name| beats.get(*name).and_then(counted) >= Some(after)))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_server_writes_no_log_the_heartbeat_says_so() {
    require!(Kafka, MariaDb);
    let cluster = Cluster::start(Kind::MariaDb, 1).await;
    let beats = cluster.heartbeats_until(|beats| beats.get("n1").is_some_and(|beat| beat.effects.is_some())).await;
    let effects = beats["n1"].effects.as_ref().unwrap();
    assert_eq!(effects.means, EffectsMeans::None);
    assert!(effects.why.as_ref().is_some_and(|why| why.contains("log_bin = ON")), "{effects:?}");
}
