//! Where logs start and end: ListOffsets, DeleteRecords, OffsetForLeaderEpoch.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::list_offsets_response::ListOffsetsPartitionResponse;
use kafka_protocol::messages::offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic};
use kafka_protocol::messages::offset_for_leader_epoch_response::EpochEndOffset;
use kafka_protocol::messages::{DeleteRecordsRequest, ListOffsetsRequest, OffsetForLeaderEpochRequest};

use crate::client::{Client, batch, batch_at};
use crate::producing::produce;
use crate::{serve, topic_name};

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const T: i64 = 1_700_000_000_000;

async fn list(
    client: &mut Client,
    version: i16,
    topic: &str,
    partition: i32,
    timestamp: i64,
) -> ListOffsetsPartitionResponse {
    let asked = ListOffsetsPartition::default()
        .with_partition_index(partition)
        .with_current_leader_epoch(-1)
        .with_timestamp(timestamp);
    let asked = ListOffsetsTopic::default().with_name(topic_name(topic)).with_partitions(vec![asked]);
    let request = ListOffsetsRequest::default().with_replica_id((-1).into()).with_topics(vec![asked]);
    client.call(version, request).await.topics.remove(0).partitions.remove(0)
}

async fn delete(client: &mut Client, version: i16, topic: &str, partition: i32, offset: i64) -> (i64, i16) {
    let asked = DeleteRecordsPartition::default().with_partition_index(partition).with_offset(offset);
    let asked = DeleteRecordsTopic::default().with_name(topic_name(topic)).with_partitions(vec![asked]);
    let answer = client.call(version, DeleteRecordsRequest::default().with_topics(vec![asked])).await;
    let result = &answer.topics[0].partitions[0];
    (result.low_watermark, result.error_code)
}

#[tokio::test]
async fn offsets_are_found_in_every_version() {
    let served = serve().await;
    let mut client = served.with_topic("times", 1).await;
    for step in 0..3 {
        produce(&mut client, 9, "times", 0, batch_at(T + 10 * step, &["x"])).await;
    }
    for version in client.versions::<ListOffsetsRequest>().await {
        let mut at = async |timestamp| {
            let found = list(&mut client, version, "times", 0, timestamp).await;
            assert_eq!(found.error_code, 0);
            (found.offset, found.timestamp)
        };
        assert_eq!(at(LATEST).await, (3, -1), "version {version}");
        assert_eq!(at(EARLIEST).await, (0, -1));
        assert_eq!(at(0).await, (0, T));
        assert_eq!(at(T + 10).await, (1, T + 10));
        assert_eq!(at(T + 11).await, (2, T + 20));
        assert_eq!(at(T + 21).await, (-1, -1), "nothing is as new as that");
        if version >= 7 {
            assert_eq!(at(MAX_TIMESTAMP).await, (2, T + 20));
        }
        let absent = list(&mut client, version, "times", 1, LATEST).await;
        assert_eq!(absent.error_code, ResponseError::UnknownTopicOrPartition.code());
        let absent = list(&mut client, version, "absent", 0, LATEST).await;
        assert_eq!(absent.error_code, ResponseError::UnknownTopicOrPartition.code());
    }
}

#[tokio::test]
async fn an_empty_log_has_no_newest_record() {
    let served = serve().await;
    let mut client = served.with_topic("empty", 1).await;
    for timestamp in [MAX_TIMESTAMP, 0] {
        let found = list(&mut client, 10, "empty", 0, timestamp).await;
        assert_eq!((found.error_code, found.offset), (0, -1));
    }
}

#[tokio::test]
async fn records_are_deleted_before_an_offset_in_every_version() {
    let served = serve().await;
    let mut client = served.with_topic("trim", 1).await;
    for _ in 0..10 {
        produce(&mut client, 9, "trim", 0, batch(&["x"])).await;
    }
    let mut start = 0;
    for version in client.versions::<DeleteRecordsRequest>().await {
        start += 2;
        assert_eq!(delete(&mut client, version, "trim", 0, start).await, (start, 0));
        assert_eq!(list(&mut client, 5, "trim", 0, EARLIEST).await.offset, start);
        assert_eq!(delete(&mut client, version, "trim", 0, start - 1).await, (start, 0), "a log's start never falls");
        let (_, beyond) = delete(&mut client, version, "trim", 0, 11).await;
        assert_eq!(beyond, ResponseError::OffsetOutOfRange.code());
        let (_, absent) = delete(&mut client, version, "trim", 1, 1).await;
        assert_eq!(absent, ResponseError::UnknownTopicOrPartition.code());
    }
    let data = crate::fetching::fetch_request("trim", 0, 0);
    let answer = client.call(12, data).await;
    assert_eq!(answer.responses[0].partitions[0].error_code, ResponseError::OffsetOutOfRange.code());
    assert_eq!(delete(&mut client, 2, "trim", 0, -1).await, (10, 0), "−1 is the end");
    assert_eq!(list(&mut client, 5, "trim", 0, EARLIEST).await.offset, 10);
}

#[tokio::test]
async fn the_one_epoch_ends_at_the_logs_end() {
    let served = serve().await;
    let mut client = served.with_topic("epoch", 1).await;
    produce(&mut client, 9, "epoch", 0, batch(&["a", "b"])).await;
    for version in client.versions::<OffsetForLeaderEpochRequest>().await {
        let mut end = async |topic: &str, believed: i32, epoch: i32| -> EpochEndOffset {
            let asked = OffsetForLeaderPartition::default()
                .with_partition(0)
                .with_current_leader_epoch(believed)
                .with_leader_epoch(epoch);
            let asked = OffsetForLeaderTopic::default().with_topic(topic_name(topic)).with_partitions(vec![asked]);
            let request = OffsetForLeaderEpochRequest::default().with_replica_id((-1).into()).with_topics(vec![asked]);
            client.call(version, request).await.topics.remove(0).partitions.remove(0)
        };
        let known = end("epoch", -1, 0).await;
        assert_eq!((known.error_code, known.leader_epoch, known.end_offset), (0, 0, 2), "version {version}");
        let later = end("epoch", -1, 9).await;
        assert_eq!((later.error_code, later.leader_epoch, later.end_offset), (0, -1, -1));
        assert_eq!(end("epoch", 9, 0).await.error_code, ResponseError::UnknownLeaderEpoch.code());
        assert_eq!(end("absent", -1, 0).await.error_code, ResponseError::UnknownTopicOrPartition.code());
    }
}
