//! CreatePartitions: more partitions for a topic that exists; fewer never.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::{CreatePartitionsRequest, CreatePartitionsResponse};

use super::wire::Refusal;
use super::{Call, wire};
use crate::broker::NODE_ID;
use crate::topics::Topics;

pub(super) async fn answer(call: &Call, request: CreatePartitionsRequest) -> CreatePartitionsResponse {
    let validate_only = request.validate_only;
    let extend = move |topics: &Topics| {
        let extend = |asked: CreatePartitionsTopic| {
            let extended = extend(topics, &asked, validate_only);
            let result = CreatePartitionsTopicResult::default().with_name(asked.name);
            match extended {
                Ok(()) => result,
                Err(refusal) => {
                    result.with_error_code(refusal.error.code()).with_error_message(wire::message(refusal.words))
                }
            }
        };
        request.topics.into_iter().map(extend).collect()
    };
    CreatePartitionsResponse::default().with_results(wire::on_disk(call, extend).await)
}

fn extend(topics: &Topics, asked: &CreatePartitionsTopic, validate_only: bool) -> Result<(), Refusal> {
    let topic = topics.get(&asked.name).ok_or(ResponseError::UnknownTopicOrPartition)?;
    if wire::is_internal(&topic.name) {
        return Err(Refusal::of(ResponseError::InvalidTopicException, "this topic is the broker's own"));
    }
    if asked.count <= topic.partitions {
        let words = format!("the topic has {} partitions; the number can only grow", topic.partitions);
        return Err(Refusal::of(ResponseError::InvalidPartitions, words));
    }
    if let Some(assignments) = &asked.assignments {
        let more = usize::try_from(asked.count - topic.partitions).unwrap_or_default();
        if assignments.len() != more || assignments.iter().any(|assigned| assigned.broker_ids != [NODE_ID]) {
            let words = format!("assignments name broker {} once for each of the {more} new partitions", *NODE_ID);
            return Err(Refusal::of(ResponseError::InvalidReplicaAssignment, words));
        }
    }
    if !validate_only {
        topics.add_partitions(&topic.name, asked.count)?;
    }
    Ok(())
}
