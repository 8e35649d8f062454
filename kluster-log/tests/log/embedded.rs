//! What only the embedded broker shows: what its own settings make of a database's topics.

use crate::kinds::created;
use futures_util::future::join_all;
use kluster_broker::{Broker, BrokerSettings};
use kluster_log::{Log, LogSettings, NewRecord};
use kluster_protocol::{Offset, Topic};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::{Instant, timeout};

const PATIENCE: Duration = Duration::from_secs(60);
/// A heartbeat of a large cluster.
const BEAT_BYTES: usize = 4_000;
/// All of them: 40 MB.
const BEATS: usize = 10_000;
/// The segment that grows and the one before it, each of 4 MiB, and the last heartbeat of each node.
const BOUND_BYTES: usize = 9 << 20;

/// A broker with the topics of a database, and its directory.
async fn broker() -> (Broker, TempDir, Log) {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = BrokerSettings::new(dir.path());
    settings.listen.set_port(0);
    let broker = Broker::open(settings).await.unwrap();
    let log = created(LogSettings::at(broker.address().to_string())).await;
    (broker, dir, log)
}

/// Bytes that someone reads who asks for the nodes.
async fn bytes_from_the_start(log: &Log) -> usize {
    let range = log.range(Topic::Nodes, 0).await.unwrap();
    let mut reader = log.read(Topic::Nodes, 0, range.start).await.unwrap();
    let mut bytes = 0;
    loop {
        let record = timeout(PATIENCE, reader.next()).await.unwrap().unwrap();
        bytes += record.value.unwrap_or_default().len();
        if record.offset.get() + 1 >= range.end.get() {
            return bytes;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_stays_small_however_long_nodes_beat() {
    let (_broker, _dir, log) = broker().await;
    let value = "x".repeat(BEAT_BYTES);
    for hundred in 0..BEATS / 100 {
        let beat = |number: usize| NewRecord::of(value.clone()).keyed(format!("n{}", (hundred + number) % 3));
        let beats = (0..100).map(|number| log.append_now(Topic::Nodes, Some(0), beat(number)));
        for appended in join_all(beats).await {
            appended.unwrap();
        }
    }
    let until = Instant::now() + PATIENCE;
    loop {
        let bytes = bytes_from_the_start(&log).await;
        if bytes < BOUND_BYTES {
            return;
        }
        assert!(Instant::now() < until, "{bytes} of {} bytes are still read", BEATS * BEAT_BYTES);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_says_whether_its_acknowledgements_wait_for_the_disk() {
    let (broker, _dir, log) = broker().await;
    // The first commit makes the topic of committed places.
    log.commit("readers", Topic::Errors, 0, Offset::ZERO).await.unwrap();
    let names: Vec<String> = Topic::EACH.map(|topic| log.names().name(topic)).into();
    let mut asked: Vec<_> = names.iter().map(|name| ResourceSpecifier::Topic(name)).collect();
    asked.push(ResourceSpecifier::Topic("__consumer_offsets"));
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", broker.address().to_string()).create().unwrap();
    let described = admin.describe_configs(&asked, &AdminOptions::new()).await.unwrap();
    let waits = described.into_iter().map(|topic| {
        let entry = topic.unwrap().entries.into_iter().find(|entry| entry.name == "flush.messages").unwrap();
        entry.value.unwrap() == "1"
    });
    let late = |topic: &Topic| matches!(topic, Topic::Responses | Topic::Nodes);
    let wanted: Vec<bool> = Topic::EACH.iter().map(|topic| !late(topic)).chain([true]).collect();
    assert_eq!(waits.collect::<Vec<_>>(), wanted, "{names:?} and the committed places");
}
