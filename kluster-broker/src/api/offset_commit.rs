//! OffsetCommit: how far a group has read. A retention time in the request (versions 2 to 4) is ignored, as by newer Kafka: the broker's holds.

use kafka_protocol::messages::offset_commit_request::OffsetCommitRequestTopic;
use kafka_protocol::messages::offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic};
use kafka_protocol::messages::{OffsetCommitRequest, OffsetCommitResponse};

use super::member::identity;
use super::refuse::Refuse;
use super::{Answer, Call};
use crate::coordinator::Commit;

pub(super) async fn answer(call: &Call, request: OffsetCommitRequest) -> OffsetCommitResponse {
    let who = identity(&request.member_id, request.group_instance_id.as_ref());
    let commits = request.topics.iter().flat_map(commits).collect();
    let coordinator = &call.shared.coordinator;
    match coordinator.commit(&request.group_id, &who, request.generation_id_or_member_epoch, commits).await {
        Err(error) => respond(request.topics, std::iter::repeat(error.code())),
        Ok(each) => respond(request.topics, each.into_iter().map(|one| one.err().map_or(0, |error| error.code()))),
    }
}

fn commits(topic: &OffsetCommitRequestTopic) -> impl Iterator<Item = Commit> {
    topic.partitions.iter().map(|partition| Commit {
        topic: topic.name.to_string(),
        partition: partition.partition_index,
        offset: partition.committed_offset,
        leader_epoch: partition.committed_leader_epoch,
        metadata: partition.committed_metadata.as_deref().unwrap_or_default().to_owned(),
    })
}

/// One code for each partition, in the order in which they were asked.
fn respond(topics: Vec<OffsetCommitRequestTopic>, codes: impl IntoIterator<Item = i16>) -> OffsetCommitResponse {
    let mut codes = codes.into_iter();
    let topic = |topic: OffsetCommitRequestTopic| {
        let partitions = topic.partitions.into_iter().zip(&mut codes).map(|(partition, code)| {
            let index = partition.partition_index;
            OffsetCommitResponsePartition::default().with_partition_index(index).with_error_code(code)
        });
        OffsetCommitResponseTopic::default().with_partitions(partitions.collect()).with_name(topic.name)
    };
    OffsetCommitResponse::default().with_topics(topics.into_iter().map(topic).collect())
}

impl Refuse for OffsetCommitRequest {
    fn refuse(self, code: i16, _version: i16) -> Answer<OffsetCommitResponse> {
        respond(self.topics, std::iter::repeat(code)).into()
    }
}
