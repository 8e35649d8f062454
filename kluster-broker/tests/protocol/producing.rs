//! Produce and InitProducerId.

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::PartitionProduceResponse;
use kafka_protocol::messages::{InitProducerIdRequest, MetadataRequest, ProduceRequest, ProducerId, TransactionalId};

use crate::client::{Client, batch, batch_of};
use crate::fetching::fetch_all;
use crate::{create, serve, text, topic_id, topic_name};

pub fn produce_request(topic: &str, partition: i32, records: Bytes) -> ProduceRequest {
    let data = PartitionProduceData::default().with_index(partition).with_records(Some(records));
    let topic = TopicProduceData::default().with_name(topic_name(topic)).with_partition_data(vec![data]);
    ProduceRequest::default().with_acks(-1).with_timeout_ms(5_000).with_topic_data(vec![topic])
}

pub async fn produce(
    client: &mut Client,
    version: i16,
    topic: &str,
    partition: i32,
    records: Bytes,
) -> PartitionProduceResponse {
    let mut request = produce_request(topic, partition, records);
    if version >= 13 {
        let id = topic_id(client, topic).await;
        request.topic_data[0].topic_id = id;
        request.topic_data[0].name = topic_name("");
    }
    let mut response = client.call(version, request).await;
    response.responses.remove(0).partition_responses.remove(0)
}

fn code(error: ResponseError) -> i16 {
    error.code()
}

#[tokio::test]
async fn records_are_stored_in_every_version() {
    let served = serve().await;
    let mut client = served.with_topic("all", 1).await;
    let mut expected = Vec::new();
    for (offset, version) in client.versions::<ProduceRequest>().await.enumerate() {
        let value = format!("version {version}");
        let stored = produce(&mut client, version, "all", 0, batch(&[&value])).await;
        assert_eq!((stored.error_code, stored.base_offset), (0, offset as i64), "version {version}: {stored:?}");
        assert_eq!(stored.log_append_time_ms, -1, "the topic has the producer's time");
        if version >= 5 {
            assert_eq!(stored.log_start_offset, 0);
        }
        expected.push((offset as i64, value));
    }
    assert_eq!(fetch_all(&mut client, "all", 0).await, expected);
}

#[tokio::test]
async fn the_brokers_time_is_told_where_the_topic_has_it() {
    let served = serve().await;
    let mut client = served.client().await;
    create(&mut client, "append-time", 1, &[("message.timestamp.type", "LogAppendTime")]).await;
    let stored = produce(&mut client, 9, "append-time", 0, batch(&["now"])).await;
    assert!(stored.log_append_time_ms > 1_700_000_000_000, "{stored:?}");
}

#[tokio::test]
async fn each_partition_has_its_own_answer() {
    let served = serve().await;
    let mut client = served.with_topic("own", 2).await;
    let data =
        |index: i32, records: Option<Bytes>| PartitionProduceData::default().with_index(index).with_records(records);
    let mut broken = batch(&["broken"]).to_vec();
    *broken.last_mut().unwrap() ^= 1;
    let known = vec![
        data(0, Some(batch(&["zero"]))),
        data(1, Some(broken.into())),
        data(2, Some(batch(&["none"]))),
        data(0, None),
        data(1, Some(batch(&["one"]))),
    ];
    let topics = vec![
        TopicProduceData::default().with_name(topic_name("own")).with_partition_data(known),
        TopicProduceData::default()
            .with_name(topic_name("absent"))
            .with_partition_data(vec![data(0, Some(batch(&["lost"])))]),
    ];
    let response = client.call(9, ProduceRequest::default().with_acks(1).with_topic_data(topics)).await;
    let codes = |topic: usize| -> Vec<i16> {
        response.responses[topic].partition_responses.iter().map(|partition| partition.error_code).collect()
    };
    let (corrupt, unknown) = (ResponseError::CorruptMessage.code(), ResponseError::UnknownTopicOrPartition.code());
    assert_eq!(codes(0), [0, corrupt, unknown, ResponseError::InvalidRecord.code(), 0]);
    assert_eq!(codes(1), [unknown]);
    assert!(response.responses[0].partition_responses[1].error_message.is_some());
    assert_eq!(fetch_all(&mut client, "own", 0).await, [(0, "zero".to_owned())]);
    assert_eq!(fetch_all(&mut client, "own", 1).await, [(0, "one".to_owned())]);
}

#[tokio::test]
async fn whole_requests_are_refused_in_the_lowest_and_the_highest_version() {
    let served = serve().await;
    let mut client = served.with_topic("refused", 1).await;
    for version in [3, 12] {
        let wrong = produce_request("refused", 0, batch(&["x"])).with_acks(2);
        let answer = client.call(version, wrong).await;
        assert_eq!(answer.responses[0].partition_responses[0].error_code, code(ResponseError::InvalidRequiredAcks));
        let transactional =
            produce_request("refused", 0, batch(&["x"])).with_transactional_id(Some(TransactionalId(text("bank"))));
        let answer = client.call(version, transactional).await;
        let refused = code(ResponseError::UnsupportedVersion);
        assert_eq!(answer.responses[0].partition_responses[0].error_code, refused);
    }
    let mut unknown = produce_request("", 0, batch(&["x"]));
    unknown.topic_data[0].topic_id = uuid::Uuid::from_u128(7);
    let answer = client.call(13, unknown).await;
    assert_eq!(answer.responses[0].partition_responses[0].error_code, code(ResponseError::UnknownTopicId));
    assert!(fetch_all(&mut client, "refused", 0).await.is_empty(), "nothing was stored");
}

#[tokio::test]
async fn without_acks_there_is_no_answer_and_a_failure_ends_the_connection() {
    let served = serve().await;
    let mut client = served.with_topic("silent", 1).await;
    for value in ["one", "two"] {
        client.send(9, &produce_request("silent", 0, batch(&[value])).with_acks(0)).await;
    }
    // The next answer is that of the next request that wants one.
    client.call(9, MetadataRequest::default()).await;
    assert_eq!(fetch_all(&mut client, "silent", 0).await, [(0, "one".to_owned()), (1, "two".to_owned())]);
    client.send(9, &produce_request("absent", 0, batch(&["lost"])).with_acks(0)).await;
    client.assert_closed().await;
}

#[tokio::test]
async fn a_message_over_the_topics_bound_is_refused() {
    let served = serve().await;
    let mut client = served.client().await;
    create(&mut client, "small", 1, &[("max.message.bytes", "1000")]).await;
    let large = produce(&mut client, 9, "small", 0, batch(&[&"x".repeat(1_000)])).await;
    assert_eq!(large.error_code, code(ResponseError::MessageTooLarge));
    assert_eq!(produce(&mut client, 9, "small", 0, batch(&["fits"])).await.error_code, 0);
}

#[tokio::test]
async fn an_idempotent_producer_gets_an_id_and_repeats_are_stored_once() {
    let served = serve().await;
    let mut client = served.with_topic("once", 1).await;
    let mut given = Vec::new();
    for version in client.versions::<InitProducerIdRequest>().await {
        let answer = client.call(version, InitProducerIdRequest::default().with_transactional_id(None)).await;
        assert_eq!((answer.error_code, answer.producer_epoch), (0, 0), "version {version}");
        assert!(!given.contains(&*answer.producer_id), "an id is given once");
        given.push(*answer.producer_id);
        let transactional = InitProducerIdRequest::default().with_transactional_id(Some(TransactionalId(text("bank"))));
        let refused = client.call(version, transactional).await;
        assert_eq!(refused.error_code, code(ResponseError::UnsupportedVersion));
        assert_eq!(refused.producer_id, ProducerId(-1));
    }
    let id = given[0];
    let first = batch_of(1_700_000_000_000, id, 0, 0, &["a", "b"]);
    assert_eq!(produce(&mut client, 9, "once", 0, first.clone()).await.base_offset, 0);
    let again = produce(&mut client, 9, "once", 0, first).await;
    assert_eq!((again.error_code, again.base_offset), (0, 0), "the first one's offset");
    let gap = produce(&mut client, 9, "once", 0, batch_of(1_700_000_000_000, id, 0, 5, &["gap"])).await;
    assert_eq!(gap.error_code, code(ResponseError::OutOfOrderSequenceNumber));
    let next = produce(&mut client, 9, "once", 0, batch_of(1_700_000_000_000, id, 0, 2, &["c"])).await;
    assert_eq!((next.error_code, next.base_offset), (0, 2));
}
