//! A node started on a log that is not the one its database follows, or on topics that cannot keep the promises, ends with a message that says
//! what is wrong and what to do, and with its documented exit code.
//!
//! With SQLite: the checks are the node's own, not an adapter's.
#![cfg(test)]

use kluster_client::Client;
use kluster_log::{Created, TopicSettings};
use kluster_protocol::{SystemError, Topic};
use kluster_test_servers::{record_skip, require};
use kluster_tests::cluster::{Cluster, Database, Kind, NodeProcess, PATIENCE, copy_directory};

/// The log or its topics cannot be used.
const TOPICS: i32 = 3;
/// The ALL lane stopped.
const STOPPED: i32 = 5;

#[tokio::test(flavor = "multi_thread")]
async fn two_partitions_of_all() {
    require!(Kafka, KafkaTools);
    let cluster = Cluster::without_nodes().await;
    cluster.tool("kafka-topics", &["--alter", "--topic", &cluster.all(), "--partitions", "2"]).await;
    let mut node = NodeProcess::start("n1", Database::create(Kind::Sqlite).await, &cluster.flags(), &[]);
    ends(&mut node, TOPICS, &["partition count is 2, must be 1", "To mend: "]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_of_all_that_lose_or_misdate_records() {
    require!(Kafka, KafkaTools);
    let cluster = Cluster::without_nodes().await;
    let settings =
        "retention.ms=3600000,retention.bytes=1000000,cleanup.policy=compact,message.timestamp.type=CreateTime";
    alter(&cluster, settings).await;
    let database = Database::create(Kind::Sqlite).await;
    let mut node = NodeProcess::start("n1", database, &cluster.flags(), &[]);
    let found = [
        "retention.ms is 3600000, must be -1",
        "retention.bytes is 1000000, must be -1",
        "cleanup.policy is compact, must be delete",
        "message.timestamp.type is CreateTime, must be LogAppendTime",
        "To mend: ",
    ];
    ends(&mut node, TOPICS, &found).await;
    alter(&cluster, "retention.ms=-1,retention.bytes=-1,cleanup.policy=delete,message.timestamp.type=LogAppendTime")
        .await;
    node.restart(&[]);
    node.says("started").await;
}

async fn alter(cluster: &Cluster, settings: &str) {
    let topic = cluster.all();
    let arguments = ["--alter", "--entity-type", "topics", "--entity-name", &topic, "--add-config", settings];
    cluster.tool("kafka-configs", &arguments).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_trimmed_beyond_the_applied_offset() {
    require!(Kafka, KafkaTools);
    let (mut cluster, client) = a_node_with_data().await;
    cluster.nodes[0].kill();
    log(&client, 4).await;
    let start = cluster.log().range(Topic::All, 0).await.unwrap().end.get() - 1;
    cluster.trim(start).await;
    cluster.nodes[0].restart(&[]);
    let found = format!("the log begins at offset {start}, but this database has applied only");
    ends(&mut cluster.nodes[0], STOPPED, &[&found, "restore this node from a newer snapshot"]).await;
    let mut empty = NodeProcess::start("n2", Database::create(Kind::Sqlite).await, &cluster.flags(), &[]);
    ends(&mut empty, STOPPED, &["and this database is empty", "restore this node from a snapshot"]).await;
    let errors = cluster.log().range(Topic::Errors, 0).await.unwrap();
    let mut errors = cluster.log().read(Topic::Errors, 0, errors.start).await.unwrap();
    for name in ["n1", "n2"] {
        let said = errors.next().await.unwrap().value.unwrap();
        let said: SystemError = serde_json::from_slice(&said).unwrap();
        assert_eq!((said.node_id.as_str(), said.code.as_deref()), (name, Some("log_trimmed")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_made_anew() {
    require!(Kafka, KafkaTools);
    let (mut cluster, _client) = a_node_with_data().await;
    cluster.nodes[0].kill();
    cluster.tool("kafka-topics", &["--delete", "--topic", &cluster.all()]).await;
    let anew = async {
        // Until the broker has noticed, the old one is found.
        while cluster.log().create_topics(&TopicSettings::development()).await.unwrap()[0] != (Topic::All, Created::New)
        {
        }
    };
    tokio::time::timeout(PATIENCE, anew).await.expect("the topic can be made anew");
    cluster.nodes[0].restart(&[]);
    ends(&mut cluster.nodes[0], STOPPED, &["the topic ALL was deleted and made anew", "restore the topic, or begin"])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_nodes_database() {
    require!(Kafka);
    let (mut cluster, _client) = a_node_with_data().await;
    cluster.nodes[0].kill();
    let database = cluster.nodes[0].database().clone();
    let mut other = NodeProcess::start("n2", database, &cluster.flags(), &[]);
    let ended = other.ended().await;
    assert!(matches!(ended.code(), Some(4 | STOPPED)), "{ended}: {}", other.last_words());
    assert!(other.words().contains("belongs to node"), "{}", other.last_words());
}

/// Another Kafka; and a Kafka whose disk was put back to an older state, first shorter than what the node has applied, then grown anew.
#[tokio::test(flavor = "multi_thread")]
async fn another_kafka_and_one_that_lost_its_tail() {
    require!(Kafka);
    let (mut cluster, _client) = a_node_with_data().await;
    let mut other = Cluster::on_a_log_of_its_own().await;
    let kafka = other.kafka();
    cluster.nodes[0].kill();
    let mut strayed = NodeProcess::start("n1", cluster.nodes[0].database().clone(), &other.flags(), &[]);
    ends(&mut strayed, STOPPED, &["this database follows the log of Kafka cluster", "correct --bootstrap"]).await;

    let Some(broker) = kafka.log() else { return record_skip("the broker's files must be files of this machine") };
    let broker = broker.parent().expect("the log lies in the broker's directory");
    let before = tempfile::tempdir().unwrap();
    other.add(Database::create(Kind::Sqlite).await);
    other.ready().await;
    let client = other.client().await;
    fill(&client).await;
    other.nodes[0].kill();
    kafka.kill9().await.unwrap();
    copy_directory(broker, before.path()).await;
    kafka.restart().await.unwrap();
    log(&other.client().await, 5).await;
    other.nodes[0].restart(&[]);
    other.caught_up().await;
    other.nodes[0].kill();
    kafka.kill9().await.unwrap();
    copy_directory(before.path(), broker).await;
    kafka.restart().await.unwrap();
    other.nodes[0].restart(&[]);
    ends(
        &mut other.nodes[0],
        STOPPED,
        &["the log ends at offset", "the log lost its tail or is another one", "restore"],
    )
    .await;
    log(&other.client().await, 8).await;
    other.nodes[0].restart(&[]);
    ends(&mut other.nodes[0], STOPPED, &["is not the one that this database applied", "restore"]).await;
}

async fn a_node_with_data() -> (Cluster, Client) {
    let cluster = Cluster::start(Kind::Sqlite, 1).await;
    let client = cluster.client().await;
    fill(&client).await;
    (cluster, client)
}

async fn fill(client: &Client) {
    client.execute("create table t(id integer)").first().await.unwrap();
    for id in 1..=3 {
        client.execute("insert into t values ($1)").bind(id).first().await.unwrap();
    }
}

/// Puts requests into the log that no node need have applied.
async fn log(client: &Client, count: i64) {
    for id in 0..count {
        client.execute("insert into t values ($1)").bind(100 + id).logged().await.unwrap();
    }
}

/// It ends with this code, and its log holds all these words.
async fn ends(node: &mut NodeProcess, code: i32, words: &[&str]) {
    let ended = node.ended().await;
    assert_eq!(ended.code(), Some(code), "{}", node.last_words());
    for text in words {
        assert!(node.words().contains(text), "{text:?} is missing in {}", node.last_words());
    }
}
