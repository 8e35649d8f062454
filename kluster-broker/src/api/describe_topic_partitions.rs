//! DescribeTopicPartitions: topics and their partitions by pages, in the order of names, from a cursor on.

use kafka_protocol::messages::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponsePartition as PartitionRow, DescribeTopicPartitionsResponseTopic as TopicRow,
};
use kafka_protocol::messages::{DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse};

use super::{Call, wire};
use crate::broker::{LEADER_EPOCH, NODE_ID};
use crate::topics::TopicInfo;

/// Partitions of one page at most (Kafka's `max.request.partition.size.limit`, same default).
const PAGE: usize = 2_000;

pub(super) async fn answer(call: &Call, request: DescribeTopicPartitionsRequest) -> DescribeTopicPartitionsResponse {
    let (from, mut from_partition) =
        request.cursor.map_or((String::new(), 0), |cursor| (cursor.topic_name.to_string(), cursor.partition_index));
    let mut names: Vec<String> = if request.topics.is_empty() {
        call.shared.topics.list().into_iter().map(|topic| topic.name).collect()
    } else {
        request.topics.iter().map(|topic| topic.name.to_string()).collect()
    };
    names.sort_unstable();
    names.dedup();
    let mut room = usize::try_from(request.response_partition_limit).unwrap_or_default().clamp(1, PAGE);
    let mut rows = Vec::new();
    for name in names.into_iter().filter(|name| *name >= from) {
        let first = if name == from { std::mem::take(&mut from_partition).max(0) } else { 0 };
        if room == 0 {
            return page(rows, Some((name, first)));
        }
        let Some(topic) = call.shared.topics.get(&name) else {
            let error = wire::unknown_name(&name).code();
            rows.push(TopicRow::default().with_error_code(error).with_name(Some(wire::topic_name(&name))));
            continue;
        };
        let last = topic.partitions.min(first.saturating_add(i32::try_from(room).unwrap_or(i32::MAX)));
        room -= usize::try_from(last - first).unwrap_or_default();
        rows.push(row(&topic, first, last));
        if last < topic.partitions {
            return page(rows, Some((name, last)));
        }
    }
    page(rows, None)
}

fn page(rows: Vec<TopicRow>, next: Option<(String, i32)>) -> DescribeTopicPartitionsResponse {
    let cursor = |(name, partition): (String, i32)| {
        Cursor::default().with_topic_name(wire::topic_name(&name)).with_partition_index(partition)
    };
    DescribeTopicPartitionsResponse::default().with_topics(rows).with_next_cursor(next.map(cursor))
}

fn row(topic: &TopicInfo, first: i32, last: i32) -> TopicRow {
    let partition = |index| {
        PartitionRow::default()
            .with_partition_index(index)
            .with_leader_id(NODE_ID)
            .with_leader_epoch(LEADER_EPOCH)
            .with_replica_nodes(vec![NODE_ID])
            .with_isr_nodes(vec![NODE_ID])
            // Kafka's own tools take null for a mistake.
            .with_eligible_leader_replicas(Some(Vec::new()))
            .with_last_known_elr(Some(Vec::new()))
    };
    TopicRow::default()
        .with_name(Some(wire::topic_name(&topic.name)))
        .with_topic_id(topic.topic_id)
        .with_topic_authorized_operations(wire::TOPIC_OPERATIONS)
        .with_is_internal(wire::is_internal(&topic.name))
        .with_partitions((first..last).map(partition).collect())
}
