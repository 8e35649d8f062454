//! Faults on command: each does what it says, to the requests that its rule means.

use std::time::{Duration, Instant};

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{
    AlterConfigsRequest, ApiVersionsRequest, CreatePartitionsRequest, DeleteTopicsRequest, FetchRequest,
    ListOffsetsRequest, MetadataRequest, ProduceRequest,
};
use kluster_broker::fault::Faults;

use crate::client::batch;
use crate::fetching::{fetch_all, fetch_request};
use crate::producing::{produce, produce_request};
use crate::{Served, serve_with};

async fn serve_faults(rules: &str) -> (Served, Faults) {
    let faults = Faults::parse(rules).unwrap();
    let given = faults.clone();
    (serve_with(|settings| settings.faults = given).await, faults)
}

#[tokio::test]
async fn a_request_is_refused_with_the_code_and_not_executed() {
    let (served, _) = serve_faults("Produce:reject=6@2").await;
    let mut client = served.with_topic("refuse", 1).await;
    assert_eq!(produce(&mut client, 9, "refuse", 0, batch(&["a"])).await.error_code, 0);
    let refused = produce(&mut client, 9, "refuse", 0, batch(&["b"])).await;
    assert_eq!(refused.error_code, ResponseError::NotLeaderOrFollower.code());
    assert_eq!(produce(&mut client, 9, "refuse", 0, batch(&["c"])).await.base_offset, 1);
}

#[tokio::test]
async fn every_api_can_refuse() {
    let (served, faults) = serve_faults("").await;
    let mut client = served.with_topic("refuse", 1).await;
    faults.add("*:reject=56".parse().unwrap());
    let storage = ResponseError::KafkaStorageError.code();
    let mut fetched = client.call(4, fetch_request("refuse", 0, 0)).await;
    assert_eq!(fetched.responses.remove(0).partitions[0].error_code, storage);
    assert_eq!(client.call(0, ApiVersionsRequest::default()).await.error_code, storage);
    client.call(2, AlterConfigsRequest::default()).await;
    client.call(3, CreatePartitionsRequest::default()).await;
    client.call(10, ListOffsetsRequest::default()).await;
    let names = vec![crate::topic_name("refuse")];
    let deleted = client.call(5, DeleteTopicsRequest::default().with_topic_names(names)).await;
    assert_eq!(deleted.responses[0].error_code, storage);
    faults.clear();
    assert!(fetch_all(&mut client, "refuse", 0).await.is_empty(), "the topic is still there");
}

#[tokio::test]
async fn a_request_that_is_executed_twice_is_stored_twice() {
    let (served, faults) = serve_faults("").await;
    let mut client = served.with_topic("twice", 1).await;
    let rule = faults.add("Produce:duplicate@1".parse().unwrap());
    assert_eq!(produce(&mut client, 9, "twice", 0, batch(&["a"])).await.base_offset, 1, "the second answer");
    assert_eq!(fetch_all(&mut client, "twice", 0).await.len(), 2);
    assert_eq!(faults.hits(rule), 1);
}

#[tokio::test]
async fn a_connection_is_closed_before_or_after() {
    for (effect, stored) in [("close-before", 0), ("close-after", 1)] {
        let (served, faults) = serve_faults("").await;
        let mut client = served.with_topic("close", 1).await;
        faults.add(format!("Produce:{effect}").parse().unwrap());
        client.send(9, &produce_request("close", 0, batch(&["a"]))).await;
        client.assert_closed().await;
        let mut other = served.client().await;
        assert_eq!(fetch_all(&mut other, "close", 0).await.len(), stored, "{effect}");
    }
}

#[tokio::test]
async fn a_lost_request_leaves_its_connection_silent() {
    let (served, faults) = serve_faults("").await;
    let mut client = served.with_topic("lost", 1).await;
    faults.add("Produce:drop@1".parse().unwrap());
    client.send(9, &produce_request("lost", 0, batch(&["a"]))).await;
    client.send(9, &MetadataRequest::default()).await;
    assert!(client.hears_nothing(Duration::from_millis(200)).await, "nothing is answered any more");
    let mut other = served.client().await;
    assert!(fetch_all(&mut other, "lost", 0).await.is_empty());
}

#[tokio::test]
async fn a_delay_holds_back_its_connection_only() {
    let (served, _) = serve_faults("Produce:delay=300ms@1").await;
    let mut client = served.with_topic("late", 1).await;
    let mut other = served.client().await;
    let started = Instant::now();
    let late = client.send(9, &produce_request("late", 0, batch(&["a"]))).await;
    let behind = client.send(9, &fetch_request("late", 0, 0).with_max_wait_ms(0)).await;
    other.call(12, MetadataRequest::default()).await;
    client.receive::<ProduceRequest>(9, late).await;
    assert!(started.elapsed() >= Duration::from_millis(300));
    let answer = client.receive::<FetchRequest>(9, behind).await;
    assert!(!answer.responses[0].partitions[0].records.as_ref().unwrap().is_empty(), "it was executed after the first");
}
