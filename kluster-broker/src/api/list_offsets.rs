//! ListOffsets: where a log starts and ends, and the first record of a time.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use kafka_protocol::messages::{ListOffsetsRequest, ListOffsetsResponse};

use super::{Call, wire};
use crate::partition::Partition;

// What a timestamp below zero asks for (Kafka's ListOffsetsRequest).
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
/// The earliest that is not in remote storage alone; there is none.
const EARLIEST_LOCAL: i64 = -4;
/// The latest in remote storage; there is none.
const LATEST_TIERED: i64 = -5;
/// Answers that there is no such offset or time.
const NONE: i64 = -1;

pub(super) async fn answer(call: &Call, request: ListOffsetsRequest) -> ListOffsetsResponse {
    let topics = request.topics.into_iter().map(|topic| list_topic(call, topic)).collect();
    ListOffsetsResponse::default().with_topics(topics)
}

fn list_topic(call: &Call, topic: ListOffsetsTopic) -> ListOffsetsTopicResponse {
    let list = |asked: &ListOffsetsPartition| {
        let found =
            wire::partition(call, &topic.name, asked.partition_index).and_then(|partition| list(&partition, asked));
        let response = ListOffsetsPartitionResponse::default().with_partition_index(asked.partition_index);
        match found {
            Ok((offset, timestamp, epoch)) => {
                let response = response.with_offset(offset).with_timestamp(timestamp);
                // Before version 4 there is no epoch.
                if call.version < 4 { response } else { response.with_leader_epoch(epoch) }
            }
            Err(error) => response.with_error_code(error.code()).with_offset(NONE).with_timestamp(NONE),
        }
    };
    let partitions = topic.partitions.iter().map(list).collect();
    ListOffsetsTopicResponse::default().with_name(topic.name).with_partitions(partitions)
}

fn list(partition: &Partition, asked: &ListOffsetsPartition) -> Result<(i64, i64, i32), ResponseError> {
    wire::check_epoch(partition, asked.current_leader_epoch)?;
    let epoch = partition.leader_epoch();
    let offsets = partition.offsets();
    let found = match asked.timestamp {
        LATEST => Some((offsets.high_watermark, NONE)),
        EARLIEST | EARLIEST_LOCAL => Some((offsets.log_start, NONE)),
        MAX_TIMESTAMP => partition.newest_time().map_err(|error| error.response())?,
        LATEST_TIERED => None,
        time if time >= 0 => partition.offset_for_time(time).map_err(|error| error.response())?,
        _ => return Err(ResponseError::InvalidRequest),
    };
    Ok(found.map_or((NONE, NONE, -1), |(offset, timestamp)| (offset, timestamp, epoch)))
}
