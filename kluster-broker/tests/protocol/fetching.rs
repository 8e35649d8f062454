//! Fetch: what is read, how much, and how long it waits.

use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use kafka_protocol::ResponseError;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::{FetchRequest, MetadataRequest, ProduceRequest};

use kluster_broker::fault::disk::{DiskFaults, SyncPoint};

use crate::client::{Client, DEADLINE, batch, records};
use crate::producing::produce;
use crate::{serve, serve_with, topic_id, topic_name};

pub fn fetch_request(topic: &str, partition: i32, offset: i64) -> FetchRequest {
    let wanted = FetchPartition::default()
        .with_partition(partition)
        .with_current_leader_epoch(-1)
        .with_fetch_offset(offset)
        .with_partition_max_bytes(1_000_000);
    let topic = FetchTopic::default().with_topic(topic_name(topic)).with_partitions(vec![wanted]);
    FetchRequest::default()
        .with_replica_id((-1).into())
        .with_max_bytes(50_000_000)
        .with_session_epoch(-1)
        .with_topics(vec![topic])
}

async fn fetch(client: &mut Client, version: i16, mut request: FetchRequest) -> PartitionData {
    if version >= 13 {
        let name = request.topics[0].topic.to_string();
        request.topics[0].topic_id = topic_id(client, &name).await;
        request.topics[0].topic = topic_name("");
    }
    if version < 7 {
        request.session_epoch = -1;
    }
    let mut response = client.call(version, request).await;
    assert_eq!((response.error_code, response.session_id), (0, 0), "full fetches only");
    response.responses.remove(0).partitions.remove(0)
}

/// Everything in a partition, as offset and value.
pub async fn fetch_all(client: &mut Client, topic: &str, partition: i32) -> Vec<(i64, String)> {
    let mut all = Vec::new();
    loop {
        let next = all.last().map_or(0, |(offset, _)| offset + 1);
        let data = fetch(client, 12, fetch_request(topic, partition, next)).await;
        assert_eq!(data.error_code, 0);
        let more = records(&data.records.unwrap());
        if more.is_empty() {
            return all;
        }
        all.extend(more.into_iter().filter(|(offset, _)| *offset >= next));
    }
}

#[tokio::test]
async fn records_are_read_in_every_version() {
    let served = serve().await;
    let mut client = served.with_topic("read", 1).await;
    produce(&mut client, 9, "read", 0, batch(&["a", "b"])).await;
    produce(&mut client, 9, "read", 0, batch(&["c"])).await;
    for version in client.versions::<FetchRequest>().await {
        for isolation in [0, 1] {
            let request = fetch_request("read", 0, 1).with_isolation_level(isolation);
            let data = fetch(&mut client, version, request).await;
            let values: Vec<String> = records(&data.records.unwrap()).into_iter().map(|(_, value)| value).collect();
            assert_eq!(values, ["a", "b", "c"], "version {version}: whole batches, from the one with the offset on");
            assert_eq!((data.high_watermark, data.last_stable_offset), (3, 3));
            assert_eq!(data.aborted_transactions.is_some_and(|list| list.is_empty()), isolation == 1);
            if version >= 5 {
                assert_eq!(data.log_start_offset, 0);
            }
        }
    }
}

#[tokio::test]
async fn errors_are_told_in_every_version() {
    let served = serve().await;
    let mut client = served.with_topic("errors", 1).await;
    produce(&mut client, 9, "errors", 0, batch(&["a"])).await;
    for version in client.versions::<FetchRequest>().await {
        let started = Instant::now();
        let patient = |request: FetchRequest| request.with_max_wait_ms(10_000).with_min_bytes(1);
        let beyond = fetch(&mut client, version, patient(fetch_request("errors", 0, 2))).await;
        assert_eq!(beyond.error_code, ResponseError::OffsetOutOfRange.code(), "version {version}");
        let absent = fetch(&mut client, version, patient(fetch_request("errors", 7, 0))).await;
        assert_eq!(absent.error_code, ResponseError::UnknownTopicOrPartition.code());
        if version < 13 {
            let absent = fetch(&mut client, version, patient(fetch_request("absent", 0, 0))).await;
            assert_eq!(absent.error_code, ResponseError::UnknownTopicOrPartition.code());
        } else {
            let mut unknown = patient(fetch_request("", 0, 0));
            unknown.topics[0].topic_id = uuid::Uuid::from_u128(7);
            let answer = client.call(version, unknown).await;
            assert_eq!(answer.responses[0].partitions[0].error_code, ResponseError::UnknownTopicId.code());
        }
        if version >= 9 {
            let mut newer = patient(fetch_request("errors", 0, 0));
            newer.topics[0].partitions[0].current_leader_epoch = 5;
            let answer = fetch(&mut client, version, newer).await;
            assert_eq!(answer.error_code, ResponseError::UnknownLeaderEpoch.code());
        }
        assert!(started.elapsed() < Duration::from_secs(9), "an error is told at once");
    }
}

#[tokio::test]
async fn a_session_that_was_never_given_is_unknown() {
    let served = serve().await;
    let mut client = served.with_topic("session", 1).await;
    let request = fetch_request("session", 0, 0).with_session_id(9).with_session_epoch(3);
    assert_eq!(client.call(12, request).await.error_code, ResponseError::FetchSessionIdNotFound.code());
}

#[tokio::test]
async fn sizes_are_bounded_but_a_first_batch_always_comes() {
    let served = serve().await;
    let mut client = served.with_topic("size", 1).await;
    for value in ["a", "b", "c"] {
        produce(&mut client, 9, "size", 0, batch(&[&value.repeat(1_000)])).await;
    }
    let read = |data: PartitionData| records(&data.records.unwrap()).len();
    let mut tiny = fetch_request("size", 0, 0);
    tiny.topics[0].partitions[0].partition_max_bytes = 1;
    assert_eq!(read(fetch(&mut client, 12, tiny).await), 1);
    assert_eq!(read(fetch(&mut client, 12, fetch_request("size", 0, 0).with_max_bytes(1)).await), 1);
    assert_eq!(read(fetch(&mut client, 12, fetch_request("size", 0, 0).with_max_bytes(2_500)).await), 2);
    let mut two = fetch_request("size", 0, 0).with_max_bytes(1);
    let again = two.topics[0].partitions[0].clone();
    two.topics[0].partitions.push(again);
    let answer = client.call(12, two).await;
    let lengths: Vec<usize> =
        answer.responses[0].partitions.iter().map(|data| records(data.records.as_ref().unwrap()).len()).collect();
    assert_eq!(lengths, [1, 0], "one batch for the whole answer");
}

#[tokio::test]
async fn a_fetch_waits_its_time_and_no_longer() {
    let served = serve().await;
    let mut client = served.with_topic("wait", 1).await;
    let started = Instant::now();
    let request = fetch_request("wait", 0, 0).with_max_wait_ms(300).with_min_bytes(1);
    let data = fetch(&mut client, 12, request).await;
    assert_eq!(data.records.unwrap().len(), 0);
    assert!(started.elapsed() >= Duration::from_millis(300), "{:?}", started.elapsed());
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_waiting_fetch_wakes_when_any_of_its_partitions_gets_a_record() {
    let served = serve().await;
    let mut producer = served.with_topic("wake", 3).await;
    let mut consumer = served.client().await;
    for partition in 0..3 {
        let mut request = fetch_request("wake", 0, 0).with_max_wait_ms(15_000).with_min_bytes(1);
        for other in 1..3 {
            let mut wanted = request.topics[0].partitions[0].clone();
            wanted.partition = other;
            request.topics[0].partitions.push(wanted);
        }
        for wanted in &mut request.topics[0].partitions {
            // The records of earlier rounds are behind.
            wanted.fetch_offset = i64::from(wanted.partition < partition);
        }
        let correlation = consumer.send(12, &request).await;
        let started = Instant::now();
        produce(&mut producer, 9, "wake", partition, batch(&["come"])).await;
        let answer = consumer.receive::<FetchRequest>(12, correlation).await;
        assert!(started.elapsed() < Duration::from_secs(5), "it woke long before its time was over");
        let got = &answer.responses[0].partitions[usize::try_from(partition).unwrap()];
        assert_eq!(records(got.records.as_ref().unwrap()).len(), 1);
    }
}

#[tokio::test]
async fn a_fetch_that_comes_between_write_and_flush_wakes_too() {
    let (entered, has_entered) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let released = Mutex::new(released);
    let disk = DiskFaults::default().with_sync_hook(move |point, path| {
        if point == SyncPoint::Before && path.to_string_lossy().contains("between-0") {
            let _ = entered.send(());
            let _ = released.lock().unwrap().recv();
        }
        Ok(())
    });
    let served = serve_with(|settings| settings.disk_faults = Arc::new(disk)).await;
    let mut producer = served.with_topic("between", 1).await;
    let mut consumer = served.client().await;
    let written = producer.send(9, &crate::producing::produce_request("between", 0, batch(&["come"]))).await;
    tokio::task::spawn_blocking(move || has_entered.recv_timeout(DEADLINE).unwrap()).await.unwrap();
    let request = fetch_request("between", 0, 0).with_max_wait_ms(15_000).with_min_bytes(1);
    let correlation = consumer.send(12, &request).await;
    // The broker runs on this thread: when it has answered a later request, the fetch has read nothing and waits.
    served.client().await.call(12, MetadataRequest::default()).await;
    let started = Instant::now();
    drop(release);
    producer.receive::<ProduceRequest>(9, written).await;
    let answer = consumer.receive::<FetchRequest>(12, correlation).await;
    assert!(started.elapsed() < Duration::from_secs(5), "it woke when the record was durable");
    assert_eq!(records(answer.responses[0].partitions[0].records.as_ref().unwrap()).len(), 1);
}

#[tokio::test]
async fn a_fetch_for_much_waits_until_there_is_much() {
    let served = serve().await;
    let mut producer = served.with_topic("much", 1).await;
    let mut consumer = served.client().await;
    let request = fetch_request("much", 0, 0).with_max_wait_ms(15_000).with_min_bytes(5_000);
    let correlation = consumer.send(12, &request).await;
    for _ in 0..10 {
        produce(&mut producer, 9, "much", 0, batch(&[&"x".repeat(600)])).await;
    }
    let answer = consumer.receive::<FetchRequest>(12, correlation).await;
    let got = answer.responses[0].partitions[0].records.as_ref().unwrap().len();
    assert!(got >= 5_000, "{got} bytes");
}

#[tokio::test]
async fn a_deleted_topic_ends_the_wait_for_it() {
    let served = serve().await;
    let mut admin = served.with_topic("gone", 1).await;
    let mut consumer = served.client().await;
    let request = fetch_request("gone", 0, 0).with_max_wait_ms(15_000).with_min_bytes(1);
    let correlation = consumer.send(12, &request).await;
    let started = Instant::now();
    crate::topics::delete(&mut admin, "gone").await;
    let answer = consumer.receive::<FetchRequest>(12, correlation).await;
    assert!(started.elapsed() < Duration::from_secs(10));
    assert_eq!(answer.responses[0].partitions[0].error_code, ResponseError::UnknownTopicOrPartition.code());
}
