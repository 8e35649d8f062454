//! OffsetForLeaderEpoch: where a leader's time ended, by which a consumer finds out that its log was cut. One machine leads for ever, so the
//! answer is the log's end.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic};
use kafka_protocol::messages::offset_for_leader_epoch_response::{EpochEndOffset, OffsetForLeaderTopicResult};
use kafka_protocol::messages::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};

use super::{Call, wire};

/// Neither an epoch nor an offset.
const NONE: (i32, i64) = (-1, -1);

pub(super) async fn answer(call: &Call, request: OffsetForLeaderEpochRequest) -> OffsetForLeaderEpochResponse {
    let topics = request.topics.into_iter().map(|topic| topic_ends(call, topic)).collect();
    OffsetForLeaderEpochResponse::default().with_topics(topics)
}

fn topic_ends(call: &Call, topic: OffsetForLeaderTopic) -> OffsetForLeaderTopicResult {
    let end = |asked: &OffsetForLeaderPartition| {
        let found = end(call, &topic.topic, asked);
        let (epoch, offset) = found.unwrap_or(NONE);
        EpochEndOffset::default()
            .with_error_code(found.err().map_or(0, |error| error.code()))
            .with_partition(asked.partition)
            .with_leader_epoch(epoch)
            .with_end_offset(offset)
    };
    let partitions = topic.partitions.iter().map(end).collect();
    OffsetForLeaderTopicResult::default().with_topic(topic.topic).with_partitions(partitions)
}

fn end(call: &Call, topic: &str, asked: &OffsetForLeaderPartition) -> Result<(i32, i64), ResponseError> {
    let partition = wire::partition(call, topic, asked.partition)?;
    wire::check_epoch(&partition, asked.current_leader_epoch)?;
    // As Kafka: of an epoch that has not come nothing is known.
    let known = asked.leader_epoch <= partition.leader_epoch();
    Ok(known.then(|| partition.epoch_end(asked.leader_epoch)).flatten().unwrap_or(NONE))
}
