//! What a request may cost beyond its own bytes: elements of arrays, descriptions of one thing, records on their way out.

use std::time::Duration;

use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{DescribeConfigsRequest, FetchRequest, MetadataRequest};

use crate::client::batch;
use crate::fetching::fetch_request;
use crate::producing::produce;
use crate::{serve, serve_with, text, topic_name};

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
    let mut deaf = served.client().await;
    // More than the sockets between take; the rest stays with the broker.
    for _ in 0..10 {
        deaf.send(12, &all).await;
    }
    let deadline = tokio::time::Instant::now() + crate::client::DEADLINE;
    let (mut waiting, correlation) = loop {
        let mut waiting = served.client().await;
        let correlation = waiting.send(12, &all).await;
        if waiting.hears_nothing(Duration::from_millis(200)).await {
            break (waiting, correlation);
        }
        assert!(tokio::time::Instant::now() < deadline, "the memory is used up");
    };
    drop(deaf);
    let answer = waiting.receive::<FetchRequest>(12, correlation).await;
    assert!(answer.responses[0].partitions[0].records.as_ref().unwrap().len() > 1_000_000);
}
