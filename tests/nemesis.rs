//! Nemesis: the single broker of a cluster is held (SIGSTOP) under load: for 14 s and, after some seconds, for 3 s more; or for so long that it
//! is fenced, three times in a row. Kafka's client was seen to stay without a connection after exactly that. Every node recovers by itself: none
//! is started again.
//!
//! `KLUSTER_NEMESIS_ROUNDS` (default 2: one of each) says how often; `make nemesis` runs the long form.
#![cfg(test)]

use kluster_test_servers::{require, until};
use kluster_tests::cluster::{Cluster, Load, NodeProcess, readyz};
use std::time::Duration;

/// For how long the broker is held in a round, and for how long it runs behind each. Its session ends after 9 s.
fn holds(round: u64) -> Vec<(Duration, Duration)> {
    let seconds = Duration::from_secs;
    match round % 2 {
        1 => vec![(seconds(14), seconds(2 + round * 3 % 7)), (seconds(3), Duration::ZERO)],
        _ => vec![(seconds(10), seconds(1)), (seconds(10), seconds(1)), (seconds(10), Duration::ZERO)],
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_recover_from_a_broker_that_was_held_twice() {
    require!(Kafka);
    let rounds =
        std::env::var("KLUSTER_NEMESIS_ROUNDS").map_or(2, |rounds| rounds.parse().expect("a number of rounds"));
    let mut cluster = Cluster::of_nodes_on_a_log_of_its_own(3).await;
    let ports = cluster.ports().await;
    let processes: Vec<u32> = cluster.nodes.iter().map(NodeProcess::id).collect();
    let mut load = Load::start(&cluster, 8).await;
    for round in 1..=rounds {
        load.goes_on(50).await;
        for (held, then) in holds(round) {
            cluster.kafka().stop().await.expect("it can be held");
            tokio::time::sleep(held).await;
            cluster.kafka().cont().await.expect("it goes on");
            tokio::time::sleep(then).await;
        }
        let back = tokio::time::Instant::now();
        for port in &ports {
            until("a node is ready again", async || readyz(port).await.ends_with("\r\n\r\nready\n")).await;
        }
        load.goes_on(50).await;
        let anew: usize =
            cluster.nodes.iter().map(|node| node.words().matches("is stuck; making a new one").count()).sum();
        println!(
            "round {round}: all nodes are ready and answer after {:?}; clients made anew until now: {anew}",
            back.elapsed()
        );
    }
    load.compare(&mut cluster).await;
    assert_eq!(cluster.nodes.iter().map(NodeProcess::id).collect::<Vec<_>>(), processes);
}

/// A node that is told to end while the log takes nothing ends within its bound, and what it had not answered is answered by the next start.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_ends_in_time_while_the_log_takes_nothing() {
    require!(Kafka);
    let mut cluster = Cluster::of_nodes_on_a_log_of_its_own(1).await;
    let mut load = Load::start(&cluster, 8).await;
    load.goes_on(50).await;
    cluster.kafka().stop().await.expect("it can be held");
    let told = std::time::Instant::now();
    cluster.nodes[0].signal("TERM");
    let ended = cluster.nodes[0].ended().await;
    let bound = kluster_node::node::DRAINS_WITHIN + Duration::from_secs(5);
    assert!(ended.success() && told.elapsed() < bound, "{ended} after {:?}", told.elapsed());
    cluster.kafka().cont().await.expect("it goes on");
    cluster.nodes[0].restart(&[]);
    load.goes_on(50).await;
    load.compare(&mut cluster).await;
}
