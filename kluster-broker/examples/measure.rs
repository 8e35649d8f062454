//! What a broker on this machine and disk takes for a record: `cargo run --release -p kluster-broker --example measure -- DIR` makes a broker in
//! DIR, speaks to it over sockets, and prints latencies and the rate of many producers that each await one record at a time. Everything is
//! acknowledged after fdatasync.

#![allow(clippy::unwrap_used)]

#[allow(dead_code)]
#[path = "../tests/protocol/client.rs"]
mod client;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use client::{Client, batch};
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{CreateTopicsRequest, FetchRequest, ProduceRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use kluster_broker::{Broker, BrokerSettings};

const ROUNDS: usize = 3_000;
const PRODUCERS: usize = 64;
const PRODUCING: Duration = Duration::from_secs(4);

#[tokio::main]
async fn main() {
    let dir = std::env::args().nth(1).filter(|dir| !dir.starts_with('-')).expect("usage: measure DIR");
    let mut settings = BrokerSettings::new(dir);
    settings.listen.set_port(0);
    let broker = Broker::open(settings).await.unwrap();
    let address = broker.address();
    latencies(address).await;
    many_producers(address).await;
    broker.stop().await.unwrap();
}

fn name(topic: &'static str) -> TopicName {
    TopicName(StrBytes::from_static_str(topic))
}

async fn create(client: &mut Client, topic: &'static str) {
    let topic = CreatableTopic::default().with_name(name(topic)).with_num_partitions(1).with_replication_factor(1);
    client.call(5, CreateTopicsRequest::default().with_topics(vec![topic])).await;
}

fn produce(topic: &'static str, records: Bytes) -> ProduceRequest {
    let data = PartitionProduceData::default().with_records(Some(records));
    let topic = TopicProduceData::default().with_name(name(topic)).with_partition_data(vec![data]);
    ProduceRequest::default().with_transactional_id(None).with_acks(-1).with_topic_data(vec![topic])
}

fn fetch(topic: &'static str, offset: usize) -> FetchRequest {
    let wanted = FetchPartition::default()
        .with_fetch_offset(i64::try_from(offset).unwrap())
        .with_partition_max_bytes(1 << 20)
        .with_current_leader_epoch(-1);
    let topic = FetchTopic::default().with_topic(name(topic)).with_partitions(vec![wanted]);
    FetchRequest::default().with_max_wait_ms(10_000).with_min_bytes(1).with_max_bytes(1 << 20).with_topics(vec![topic])
}

/// From sending a record until it is acknowledged, and until a consumer that waits for it has it.
async fn latencies(address: SocketAddr) {
    let (mut producer, mut consumer) = (Client::connect(address).await, Client::connect(address).await);
    create(&mut producer, "latency").await;
    let (mut acknowledged, mut consumed) = (Vec::new(), Vec::new());
    let value = "x".repeat(200);
    for round in 0..ROUNDS {
        let waiting = consumer.send(12, &fetch("latency", round)).await;
        let request = produce("latency", batch(&[&value]));
        let started = Instant::now();
        let sent = producer.send(9, &request).await;
        let (ack, got) = tokio::join!(
            async {
                producer.receive::<ProduceRequest>(9, sent).await;
                started.elapsed()
            },
            async {
                let answer = consumer.receive::<FetchRequest>(12, waiting).await;
                assert!(answer.responses[0].partitions[0].records.as_ref().is_some_and(|records| !records.is_empty()));
                started.elapsed()
            }
        );
        acknowledged.push(ack);
        consumed.push(got);
    }
    for (what, mut times) in [("acknowledged", acknowledged), ("consumed", consumed)] {
        times.sort_unstable();
        let at = |part: usize| times[times.len() * part / 1000];
        println!("{what}: p50 {:?}, p90 {:?}, p99 {:?}, p99.9 {:?}", at(500), at(900), at(990), at(999));
    }
}

/// Producers on a connection each, which await each record before they send the next.
async fn many_producers(address: SocketAddr) {
    create(&mut Client::connect(address).await, "group").await;
    let value = "x".repeat(200);
    let request = produce("group", batch(&[&value]));
    let started = Instant::now();
    let producers: Vec<_> = (0..PRODUCERS)
        .map(|_| {
            let request = request.clone();
            tokio::spawn(async move {
                let mut client = Client::connect(address).await;
                let mut sent = 0_u32;
                while started.elapsed() < PRODUCING {
                    client.call(9, request.clone()).await;
                    sent += 1;
                }
                sent
            })
        })
        .collect();
    let mut sent = 0;
    for producer in producers {
        sent += producer.await.unwrap();
    }
    let rate = f64::from(sent) / started.elapsed().as_secs_f64();
    println!("{PRODUCERS} producers, one record each at a time: {rate:.0} records/s");
}
