//! AlterPartitionReassignments, ListPartitionReassignments and ElectLeaders: the only broker has every partition and leads it, so nothing is ever
//! on its way and no election is needed.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::alter_partition_reassignments_request::ReassignablePartition;
use kafka_protocol::messages::alter_partition_reassignments_response::{
    ReassignablePartitionResponse, ReassignableTopicResponse,
};
use kafka_protocol::messages::elect_leaders_response::{PartitionResult, ReplicaElectionResult};
use kafka_protocol::messages::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse, ElectLeadersRequest, ElectLeadersResponse,
    ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse, TopicName,
};

use super::refuse::Refuse;
use super::wire::{self, Refusal};
use super::{Answer, Call};
use crate::broker::NODE_ID;

/// Kinds of elections: of the preferred replica, and of any.
const ELECTIONS: std::ops::RangeInclusive<i8> = 0..=1;

pub(super) async fn list(
    _call: &Call,
    _request: ListPartitionReassignmentsRequest,
) -> ListPartitionReassignmentsResponse {
    ListPartitionReassignmentsResponse::default()
}

pub(super) async fn alter(
    call: &Call,
    request: AlterPartitionReassignmentsRequest,
) -> AlterPartitionReassignmentsResponse {
    respond(request, |topic, asked| reassign(call, topic, asked))
}

fn reassign(call: &Call, topic: &TopicName, asked: &ReassignablePartition) -> Result<(), Refusal> {
    wire::partition(call, topic, asked.partition_index)?;
    match &asked.replicas {
        None => Err(Refusal::of(ResponseError::NoReassignmentInProgress, "no reassignment is in progress")),
        Some(replicas) if **replicas == [NODE_ID] => Ok(()),
        Some(replicas) => {
            let asked: Vec<i32> = replicas.iter().map(|replica| replica.0).collect();
            let words = format!("replicas {asked:?}: there is one broker, {}, and it has every partition", NODE_ID.0);
            Err(Refusal::of(ResponseError::InvalidReplicaAssignment, words))
        }
    }
}

fn respond(
    request: AlterPartitionReassignmentsRequest,
    done: impl Fn(&TopicName, &ReassignablePartition) -> Result<(), Refusal>,
) -> AlterPartitionReassignmentsResponse {
    let mut responses = Vec::new();
    for topic in request.topics {
        let partition = |asked: &ReassignablePartition| {
            let response = ReassignablePartitionResponse::default().with_partition_index(asked.partition_index);
            match done(&topic.name, asked) {
                Ok(()) => response.with_error_message(None),
                Err(refusal) => {
                    response.with_error_code(refusal.error.code()).with_error_message(wire::message(refusal.words))
                }
            }
        };
        let partitions = topic.partitions.iter().map(partition).collect();
        responses.push(ReassignableTopicResponse::default().with_partitions(partitions).with_name(topic.name));
    }
    AlterPartitionReassignmentsResponse::default()
        .with_allow_replication_factor_change(request.allow_replication_factor_change)
        .with_responses(responses)
}

pub(super) async fn elect(call: &Call, request: ElectLeadersRequest) -> ElectLeadersResponse {
    if !ELECTIONS.contains(&request.election_type) {
        return ElectLeadersResponse::default().with_error_code(ResponseError::InvalidRequest.code());
    }
    // Of all partitions only those are told that had an election: none.
    let topics = request.topic_partitions.unwrap_or_default().into_iter().map(|topic| {
        let result = |index: &i32| {
            let (error, words) = match wire::partition(call, &topic.topic, *index) {
                Ok(_) => (ResponseError::ElectionNotNeeded, "the only broker leads it"),
                Err(error) => (error, "there is no such partition"),
            };
            PartitionResult::default()
                .with_partition_id(*index)
                .with_error_code(error.code())
                .with_error_message(wire::message(words))
        };
        let results = topic.partitions.iter().map(result).collect();
        ReplicaElectionResult::default().with_partition_result(results).with_topic(topic.topic)
    });
    ElectLeadersResponse::default().with_replica_election_results(topics.collect())
}

impl Refuse for AlterPartitionReassignmentsRequest {
    fn refuse(self, code: i16, _version: i16) -> Answer<AlterPartitionReassignmentsResponse> {
        AlterPartitionReassignmentsResponse::default().with_error_code(code).into()
    }
}

impl Refuse for ElectLeadersRequest {
    fn refuse(self, code: i16, version: i16) -> Answer<ElectLeadersResponse> {
        if version >= 1 {
            return ElectLeadersResponse::default().with_error_code(code).into();
        }
        let refused = |topic: kafka_protocol::messages::elect_leaders_request::TopicPartitions| {
            let result = |index: &i32| PartitionResult::default().with_partition_id(*index).with_error_code(code);
            let results = topic.partitions.iter().map(result).collect();
            ReplicaElectionResult::default().with_partition_result(results).with_topic(topic.topic)
        };
        let results = self.topic_partitions.unwrap_or_default().into_iter().map(refused).collect();
        ElectLeadersResponse::default().with_replica_election_results(results).into()
    }
}
