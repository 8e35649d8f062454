//! What a request may cost beyond its own bytes: elements of arrays, descriptions of one thing, records on their way out; and for how long.

use std::time::Duration;

use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{DescribeConfigsRequest, FetchRequest, MetadataRequest};

use crate::client::{Client, DEADLINE, batch};
use crate::fetching::fetch_request;
use crate::producing::produce;
use crate::{Served, create, serve, serve_with, text, topic_name};

fn asking_for(topics: usize) -> MetadataRequest {
    let asked = |index| MetadataRequestTopic::default().with_name(Some(topic_name(&format!("topic-{index}"))));
    MetadataRequest::default().with_topics(Some((0..topics).map(asked).collect()))
}

#[tokio::test]
async fn requests_of_many_elements_are_answered_up_to_a_bound() {
    let served = serve().await;
    let mut client = served.client().await;
    for version in [9, 1] {
        for topics in [1_000, 1_001, 19_000] {
            let answer = client.call(version, asking_for(topics)).await;
            assert_eq!(answer.topics.len(), topics);
        }
    }
    client.send(9, &asking_for(20_001)).await;
    client.assert_closed().await;
}

#[tokio::test]
async fn large_requests_of_many_connections_take_turns() {
    let served = serve().await;
    let mut clients = Vec::new();
    for _ in 0..12 {
        let mut client = served.client().await;
        let correlation = client.send(9, &asking_for(15_000)).await;
        clients.push((client, correlation));
    }
    for (client, correlation) in &mut clients {
        let answer = client.receive::<MetadataRequest>(9, *correlation).await;
        assert_eq!(answer.topics.len(), 15_000);
    }
}

#[tokio::test]
async fn one_thing_named_often_is_described_once() {
    let served = serve().await;
    let mut client = served.with_topic("often", 100).await;
    let resource = DescribeConfigsResource::default()
        .with_resource_type(2)
        .with_resource_name(text("often"))
        .with_configuration_keys(None);
    let request = DescribeConfigsRequest::default().with_resources(vec![resource; 5_000]);
    assert_eq!(client.call(4, request).await.results.len(), 1);
    let asked = MetadataRequestTopic::default().with_name(Some(topic_name("often")));
    let request = MetadataRequest::default().with_topics(Some(vec![asked; 5_000]));
    assert_eq!(client.call(9, request).await.topics.len(), 1);
}

/// Fills the memory for answers with what nobody takes; gives those who take nothing, and one whose request waits behind them.
async fn use_up(served: &Served, request: &FetchRequest) -> (Vec<Client>, Client, i32) {
    let mut deaf = Vec::new();
    let deadline = tokio::time::Instant::now() + DEADLINE;
    loop {
        // More than the sockets between take; the rest stays with the broker.
        let mut client = served.client().await;
        for _ in 0..10 {
            client.send(12, request).await;
        }
        deaf.push(client);
        let mut waiting = served.client().await;
        let correlation = waiting.send(12, request).await;
        if waiting.hears_nothing(Duration::from_millis(200)).await {
            return (deaf, waiting, correlation);
        }
        assert!(tokio::time::Instant::now() < deadline, "the memory is used up");
    }
}

#[tokio::test]
async fn records_that_nobody_takes_hold_up_only_so_much_memory() {
    // The least that can be had: one answer's worth.
    let served = serve_with(|settings| settings.answer_memory_bytes = 0).await;
    let mut client = served.with_topic("out", 1).await;
    for _ in 0..10 {
        assert_eq!(produce(&mut client, 9, "out", 0, batch(&[&"x".repeat(1_000_000)])).await.error_code, 0);
    }
    let mut all = fetch_request("out", 0, 0);
    all.topics[0].partitions[0].partition_max_bytes = i32::MAX;
    let (deaf, mut waiting, correlation) = use_up(&served, &all).await;
    drop(deaf);
    let answer = waiting.receive::<FetchRequest>(12, correlation).await;
    assert!(answer.responses[0].partitions[0].records.as_ref().unwrap().len() > 1_000_000);
}

#[tokio::test]
async fn a_batch_larger_than_what_was_asked_for_is_accounted_too() {
    let served = serve_with(|settings| settings.answer_memory_bytes = 0).await;
    let mut client = served.client().await;
    create(&mut client, "large", 1, &[("max.message.bytes", "30000000")]).await;
    // The second is larger than all the memory: it takes all of it.
    for bytes in [5_000_000, 20_000_000] {
        assert_eq!(produce(&mut client, 9, "large", 0, batch(&[&"x".repeat(bytes)])).await.error_code, 0);
    }
    for (offset, bytes) in [(0, 5_000_000), (1, 20_000_000)] {
        let mut one_byte = fetch_request("large", 0, offset).with_max_bytes(1);
        one_byte.topics[0].partitions[0].partition_max_bytes = 1;
        let (deaf, mut waiting, correlation) = use_up(&served, &one_byte).await;
        drop(deaf);
        let answer = waiting.receive::<FetchRequest>(12, correlation).await;
        let records = answer.responses[0].partitions[0].records.as_ref().unwrap().len();
        assert!((bytes..bytes + 1_000).contains(&records), "{records}");
    }
}

#[tokio::test]
async fn a_description_of_everything_waits_for_memory() {
    let served = serve_with(|settings| settings.answer_memory_bytes = 0).await;
    let mut client = served.with_topic("wide", 150).await;
    create(&mut client, "out", 1, &[]).await;
    for _ in 0..10 {
        assert_eq!(produce(&mut client, 9, "out", 0, batch(&[&"x".repeat(1_000_000)])).await.error_code, 0);
    }
    let mut all = fetch_request("out", 0, 0);
    all.topics[0].partitions[0].partition_max_bytes = i32::MAX;
    let (deaf, waiting, _) = use_up(&served, &all).await;
    let correlation = client.send(12, &MetadataRequest::default().with_topics(None)).await;
    assert!(client.hears_nothing(Duration::from_millis(200)).await, "it holds nothing while it waits");
    drop((deaf, waiting));
    let told = client.receive::<MetadataRequest>(12, correlation).await;
    assert_eq!(told.topics.iter().find(|topic| topic.name == Some(topic_name("wide"))).unwrap().partitions.len(), 150);
}

/// Claims a request of so many bytes and sends it byte by byte, until the broker ends the connection.
async fn trickle(mut client: Client, claim: u32) {
    client.write(&claim.to_be_bytes()).await.unwrap();
    while client.hears_nothing(Duration::from_millis(20)).await {
        if client.write(b"x").await.is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn a_trickle_does_not_hold_the_memory_of_requests() {
    let served = serve_with(|settings| {
        settings.max_frame_bytes = 1_000_000;
        settings.request_memory_bytes = 1_000_000;
        settings.stall = Duration::from_millis(300);
        settings.least_rate = 2_000_000;
    })
    .await;
    let mut honest = served.with_topic("honest", 1).await;
    let trickles: Vec<_> = {
        let mut clients = Vec::new();
        for _ in 0..3 {
            clients.push(served.client().await);
        }
        clients.into_iter().map(|client| tokio::spawn(trickle(client, 990_000))).collect()
    };
    let stored = produce(&mut honest, 9, "honest", 0, batch(&[&"x".repeat(500_000)])).await;
    assert_eq!(stored.error_code, 0);
    for trickle in trickles {
        tokio::time::timeout(DEADLINE, trickle).await.expect("it is ended").unwrap();
    }
}

#[tokio::test]
async fn who_takes_answers_too_slowly_is_left() {
    let served = serve_with(|settings| {
        settings.stall = Duration::from_secs(1);
        settings.least_rate = 16_000_000;
    })
    .await;
    let mut client = served.with_topic("slow", 1).await;
    for _ in 0..10 {
        assert_eq!(produce(&mut client, 9, "slow", 0, batch(&[&"x".repeat(1_000_000)])).await.error_code, 0);
    }
    let mut all = fetch_request("slow", 0, 0);
    all.topics[0].partitions[0].partition_max_bytes = i32::MAX;
    let mut slow = Client::connect_narrow(served.broker.address()).await;
    for _ in 0..10 {
        slow.send(12, &all).await;
    }
    // An eighth of the least rate, and never a second without a byte.
    let mut pace = tokio::time::interval(Duration::from_millis(100));
    let ended = async {
        loop {
            pace.tick().await;
            if slow.take(200_000).await == 0 {
                return;
            }
        }
    };
    tokio::time::timeout(DEADLINE, ended).await.expect("the connection ends");
}
