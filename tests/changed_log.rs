//! The log changes under nodes that run: ALL is deleted and made again, loses its beginning or its end. Every node stops and names the reason
//! before it applies a record of the changed log.
//!
//! The records of the changed log reach beyond the place where the nodes read, which is what Kafka's client does not notice by itself: it
//! fetches on at its old offset. With SQLite: the checks are the node's own, not an adapter's. Neighbour: `wrong_log`, for nodes that start.
#![cfg(test)]

use kluster_client::Client;
use kluster_log::{Created, Log, LogSettings, NewRecord, TopicSettings};
use kluster_protocol::{Offset, Topic};
use kluster_test_servers::{record_skip, require};
use kluster_tests::cluster::{Cluster, Database, Kind, PATIENCE, copy_directory};
use tokio::task::JoinSet;

/// The exit code of a node whose ALL lane has stopped.
const STOPPED: i32 = 5;
/// Records beyond the old end of ALL.
const BEYOND: u64 = 200;

/// The nodes are held while the topic is made again, so that each finds its place in a log that is longer than the old one.
#[tokio::test(flavor = "multi_thread")]
async fn all_made_again_beyond_the_place_of_nodes_that_were_held() {
    require!(Kafka, KafkaTools);
    let mut cluster = three_nodes_with_a_table().await;
    let end = cluster.caught_up().await;
    cluster.nodes.iter().for_each(|node| node.signal("STOP"));
    make_again(&cluster).await;
    fill_beyond(&fresh(&cluster).await, end).await;
    cluster.nodes.iter().for_each(|node| node.signal("CONT"));
    all_stop(&mut cluster, "the topic ALL was deleted and made anew").await;
}

/// The nodes apply records all the time; the new topic is filled as fast as possible.
#[tokio::test(flavor = "multi_thread")]
async fn all_made_again_under_load() {
    require!(Kafka, KafkaTools);
    let mut cluster = three_nodes_with_a_table().await;
    let mut load = JoinSet::new();
    let client = cluster.client().await;
    load.spawn(async move {
        // Ends with the topic, or is ended.
        for id in 0.. {
            if client.execute("insert into t values ($1)").bind(id).logged().await.is_err() {
                return;
            }
        }
    });
    let begun = cluster.caught_up().await;
    cluster
        .heartbeats_until(|beats| beats.values().all(|beat| beat.applied > Some(Offset::new(begun.get() + 50))))
        .await;
    make_again(&cluster).await;
    load.shutdown().await;
    let end = cluster.heartbeats_until(|beats| beats.len() == 3).await;
    let end = end.values().filter_map(|beat| beat.applied).max().unwrap_or_default();
    fill_beyond(&fresh(&cluster).await, end).await;
    all_stop(&mut cluster, "the topic ALL was deleted and made anew").await;
}

/// A topic that is made again and stays empty stops the nodes as well, though no record comes.
#[tokio::test(flavor = "multi_thread")]
async fn all_made_again_and_empty() {
    require!(Kafka, KafkaTools);
    let mut cluster = three_nodes_with_a_table().await;
    make_again(&cluster).await;
    all_stop(&mut cluster, "the topic ALL was deleted and made anew").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_trimmed_beyond_the_place_of_a_node_that_was_held() {
    require!(Kafka, KafkaTools);
    let mut cluster = three_nodes_with_a_table().await;
    let end = cluster.caught_up().await;
    cluster.nodes.iter().for_each(|node| node.signal("STOP"));
    fill_beyond(cluster.log(), end).await;
    let start = cluster.log().range(Topic::All, 0).await.unwrap().end.get() - 1;
    cluster.trim(start).await;
    cluster.nodes.iter().for_each(|node| node.signal("CONT"));
    all_stop_having(&mut cluster, "it begins at", |_| true).await;
}

/// The broker comes back with an older state of its disk, and its log grows anew beyond the place where the node reads.
#[tokio::test(flavor = "multi_thread")]
async fn a_tail_that_was_lost_and_grew_anew() {
    require!(Kafka);
    let mut cluster = Cluster::on_a_log_of_its_own().await;
    let kafka = cluster.kafka();
    let Some(broker) = kafka.log() else { return record_skip("the broker's files must be files of this machine") };
    let broker = broker.parent().expect("the log lies in the broker's directory");
    let before = tempfile::tempdir().unwrap();
    cluster.add(Database::create(Kind::Sqlite).await);
    cluster.ready().await;
    create_table(&cluster.client().await).await;
    cluster.caught_up().await;
    kafka.kill9().await.unwrap();
    copy_directory(broker, before.path()).await;
    kafka.restart().await.unwrap();
    let client = cluster.client().await;
    for id in 0..5 {
        client.execute("insert into t values ($1)").bind(id).first().await.unwrap();
    }
    let end = cluster.caught_up().await;
    cluster.nodes[0].signal("STOP");
    kafka.kill9().await.unwrap();
    copy_directory(before.path(), broker).await;
    kafka.restart().await.unwrap();
    fill_beyond(&fresh(&cluster).await, end).await;
    cluster.nodes[0].signal("CONT");
    all_stop(&mut cluster, "is not the one that this database applied").await;
}

async fn three_nodes_with_a_table() -> Cluster {
    let cluster = Cluster::start(Kind::Sqlite, 3).await;
    create_table(&cluster.client().await).await;
    cluster
}

async fn create_table(client: &Client) {
    client.execute("create table t(id integer)").first().await.unwrap();
    client.execute("create table foreign_rows(id integer)").first().await.unwrap();
}

/// Deletes ALL and makes it again.
async fn make_again(cluster: &Cluster) {
    cluster.tool("kafka-topics", &["--delete", "--topic", &cluster.all()]).await;
    let again = async {
        // Until the broker has noticed, the old one is found.
        while cluster.log().create_topics(&TopicSettings::development()).await.unwrap()[0] != (Topic::All, Created::New)
        {
        }
    };
    tokio::time::timeout(PATIENCE, again).await.expect("the topic can be made anew");
}

/// A handle that knows nothing of the old topic.
async fn fresh(cluster: &Cluster) -> Log {
    let settings =
        LogSettings { topic_prefix: cluster.prefix().to_owned(), ..LogSettings::at(cluster.kafka().bootstrap()) };
    Log::connect(settings).await.unwrap()
}

/// Appends requests that no node may execute, until ALL reaches beyond `end`.
async fn fill_beyond(log: &Log, end: Offset) {
    let mut id = 0;
    loop {
        let request = serde_json::json!({
            "messageId": format!("foreign-{id}"), "clientId": "foreign", "sqlString": "insert into foreign_rows values (1)",
        });
        let record = NewRecord::of(serde_json::to_vec(&request).unwrap());
        if log.append(Topic::All, None, record).await.unwrap().offset.get() > end.get() + BEYOND {
            return;
        }
        id += 1;
    }
}

/// Every node ends with the code of a stopped one and these words, and has applied no foreign row.
async fn all_stop(cluster: &mut Cluster, words: &str) {
    all_stop_having(cluster, words, |rows| rows == "0").await;
}

async fn all_stop_having(cluster: &mut Cluster, words: &str, rows: impl Fn(&str) -> bool) {
    for node in &mut cluster.nodes {
        let ended = node.ended().await;
        assert_eq!(ended.code(), Some(STOPPED), "{}", node.last_words());
        assert!(node.words().contains(words), "{words:?} is missing in {}", node.last_words());
        let found = node.database().sql("select count(*) from foreign_rows").await;
        assert!(rows(found.trim()), "{} applied {found} foreign rows: {}", node.name(), node.last_words());
    }
}
