//! OffsetDelete: a group forgets what it has read of topics that it reads no more.

use kafka_protocol::messages::offset_delete_request::OffsetDeleteRequestTopic;
use kafka_protocol::messages::offset_delete_response::{OffsetDeleteResponsePartition, OffsetDeleteResponseTopic};
use kafka_protocol::messages::{OffsetDeleteRequest, OffsetDeleteResponse};

use super::refuse::Refuse;
use super::{Answer, Call};

pub(super) async fn answer(call: &Call, request: OffsetDeleteRequest) -> OffsetDeleteResponse {
    let places: Vec<(String, i32)> = request.topics.iter().flat_map(places).collect();
    match call.shared.coordinator.delete_offsets(&request.group_id, &places).await {
        Err(error) => OffsetDeleteResponse::default().with_error_code(error.code()),
        Ok(each) => respond(request.topics, each.into_iter().map(|one| one.err().map_or(0, |error| error.code()))),
    }
}

fn places(topic: &OffsetDeleteRequestTopic) -> impl Iterator<Item = (String, i32)> {
    topic.partitions.iter().map(|partition| (topic.name.to_string(), partition.partition_index))
}

/// One code for each partition, in the order in which they were asked.
fn respond(topics: Vec<OffsetDeleteRequestTopic>, mut codes: impl Iterator<Item = i16>) -> OffsetDeleteResponse {
    let topic = |topic: OffsetDeleteRequestTopic| {
        let partitions = topic.partitions.into_iter().zip(&mut codes).map(|(partition, code)| {
            let index = partition.partition_index;
            OffsetDeleteResponsePartition::default().with_partition_index(index).with_error_code(code)
        });
        OffsetDeleteResponseTopic::default().with_partitions(partitions.collect()).with_name(topic.name)
    };
    OffsetDeleteResponse::default().with_topics(topics.into_iter().map(topic).collect())
}

impl Refuse for OffsetDeleteRequest {
    fn refuse(self, code: i16, _version: i16) -> Answer<OffsetDeleteResponse> {
        OffsetDeleteResponse::default().with_error_code(code).into()
    }
}
