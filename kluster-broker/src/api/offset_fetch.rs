//! OffsetFetch: what groups have committed. Whether only stable offsets are wanted makes no difference: without transactions all are.

use std::collections::BTreeMap;

use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions, OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
};
use kafka_protocol::messages::{GroupId, OffsetFetchRequest, OffsetFetchResponse};

use super::refuse::Refuse;
use super::room::{memory, with_memory};
use super::{Answer, Call, wire};
use crate::offsets::{Committed, Offsets};

/// From this version on several groups are asked for at once.
const MANY: i16 = 8;

pub(super) async fn answer(call: &Call, request: OffsetFetchRequest) -> Answer<OffsetFetchResponse> {
    let groups = wire::distinct(groups(request, call.version), |group| group.group_id.clone());
    // Copies are made of what is found, so memory for the most there can be is taken before.
    let memory = memory(call, 2 * call.shared.coordinator.committed(Offsets::bytes)).await;
    let found = groups.into_iter().map(|group| fetch(call, group)).collect();
    with_memory(respond(found, call.version), memory)
}

/// All versions' requests in the newest form.
fn groups(request: OffsetFetchRequest, version: i16) -> Vec<OffsetFetchRequestGroup> {
    if version >= MANY {
        return request.groups;
    }
    let topics = request.topics.map(|topics| {
        let topic = |topic: OffsetFetchRequestTopic| {
            OffsetFetchRequestTopics::default().with_name(topic.name).with_partition_indexes(topic.partition_indexes)
        };
        topics.into_iter().map(topic).collect()
    });
    vec![OffsetFetchRequestGroup::default().with_group_id(request.group_id).with_topics(topics)]
}

fn fetch(call: &Call, asked: OffsetFetchRequestGroup) -> OffsetFetchResponseGroup {
    let coordinator = &call.shared.coordinator;
    let topics = match asked.topics {
        Some(topics) => coordinator.committed(|offsets| named(offsets, &asked.group_id, topics)),
        None => coordinator.committed(|offsets| all(offsets, &asked.group_id)),
    };
    OffsetFetchResponseGroup::default().with_group_id(asked.group_id).with_topics(topics)
}

fn named(offsets: &Offsets, group: &str, topics: Vec<OffsetFetchRequestTopics>) -> Vec<OffsetFetchResponseTopics> {
    let find = |topic: OffsetFetchRequestTopics| {
        let indexes = wire::distinct(topic.partition_indexes, |index| *index);
        let found = indexes.into_iter().map(|index| partition(index, offsets.get(group, &topic.name, index))).collect();
        OffsetFetchResponseTopics::default().with_partitions(found).with_name(topic.name)
    };
    wire::distinct(topics, |topic| topic.name.clone()).into_iter().map(find).collect()
}

fn all(offsets: &Offsets, group: &str) -> Vec<OffsetFetchResponseTopics> {
    let topic = |(name, of_topic): (&String, &BTreeMap<i32, Committed>)| {
        let found = of_topic.iter().map(|(index, committed)| partition(*index, Some(committed))).collect();
        OffsetFetchResponseTopics::default().with_name(wire::topic_name(name)).with_partitions(found)
    };
    offsets.of_group(group).into_iter().flatten().map(topic).collect()
}

/// Offset −1: there is none.
fn partition(index: i32, committed: Option<&Committed>) -> OffsetFetchResponsePartitions {
    let (offset, epoch) = committed.map_or((-1, -1), |committed| (committed.offset, committed.leader_epoch));
    let metadata = committed.map(|committed| committed.metadata.as_str()).unwrap_or_default();
    OffsetFetchResponsePartitions::default()
        .with_partition_index(index)
        .with_committed_offset(offset)
        .with_committed_leader_epoch(epoch)
        .with_metadata(Some(wire::text(metadata)))
}

fn respond(mut groups: Vec<OffsetFetchResponseGroup>, version: i16) -> OffsetFetchResponse {
    if version >= MANY {
        return OffsetFetchResponse::default().with_groups(groups);
    }
    let group = groups.pop().unwrap_or_default();
    let topic = |topic: OffsetFetchResponseTopics| {
        let partitions = topic.partitions.into_iter().map(older).collect();
        OffsetFetchResponseTopic::default().with_name(topic.name).with_partitions(partitions)
    };
    let topics = group.topics.into_iter().map(topic).collect();
    OffsetFetchResponse::default().with_topics(topics).with_error_code(group.error_code)
}

fn older(partition: OffsetFetchResponsePartitions) -> OffsetFetchResponsePartition {
    OffsetFetchResponsePartition::default()
        .with_partition_index(partition.partition_index)
        .with_committed_offset(partition.committed_offset)
        .with_committed_leader_epoch(partition.committed_leader_epoch)
        .with_metadata(partition.metadata)
        .with_error_code(partition.error_code)
}

impl Refuse for OffsetFetchRequest {
    fn refuse(self, code: i16, version: i16) -> Answer<OffsetFetchResponse> {
        let refused = |group: GroupId| OffsetFetchResponseGroup::default().with_group_id(group).with_error_code(code);
        let groups = groups(self, version).into_iter().map(|group| refused(group.group_id)).collect();
        respond(groups, version).into()
    }
}
