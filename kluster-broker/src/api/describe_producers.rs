//! DescribeProducers: the idempotent producers that a partition remembers. None of them is in a transaction.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_producers_response::{PartitionResponse, ProducerState, TopicResponse};
use kafka_protocol::messages::{DescribeProducersRequest, DescribeProducersResponse, ProducerId, TopicName};

use super::refuse::Refuse;
use super::room::{memory, with_memory};
use super::{Answer, Call, wire};
use crate::partition::{Partition, Produced};

/// A producer while it is described, and encoded.
const PRODUCER_BYTES: usize = 128;
/// Stands for: none.
const NONE: i32 = -1;

pub(super) async fn answer(call: &Call, request: DescribeProducersRequest) -> Answer<DescribeProducersResponse> {
    let mut asked = Vec::new();
    for topic in wire::distinct(request.topics, |topic| topic.name.clone()) {
        let indexes = wire::distinct(topic.partition_indexes, |index| *index);
        let find = |index| (index, wire::partition(call, &topic.name, index));
        let found: Vec<_> = indexes.into_iter().map(find).collect();
        asked.push((topic.name, found));
    }
    // A few bytes ask for tens of thousands of producers: memory for them is taken before they are copied.
    let partitions = asked.iter().flat_map(|(_, found)| found).filter_map(|(_, found)| found.as_ref().ok());
    let producers: usize = partitions.map(Partition::count_producers).sum();
    let memory = memory(call, producers * PRODUCER_BYTES).await;
    let topics = asked.into_iter().map(|(name, found)| {
        let partitions = found.into_iter().map(|(index, found)| describe(index, found)).collect();
        TopicResponse::default().with_name(name).with_partitions(partitions)
    });
    with_memory(DescribeProducersResponse::default().with_topics(topics.collect()), memory)
}

fn describe(index: i32, found: Result<Partition, ResponseError>) -> PartitionResponse {
    let response = PartitionResponse::default().with_partition_index(index);
    match found {
        Ok(partition) => response.with_active_producers(partition.producers().into_iter().map(producer).collect()),
        Err(error) => response.with_error_code(error.code()),
    }
}

fn producer(produced: Produced) -> ProducerState {
    ProducerState::default()
        .with_producer_id(ProducerId(produced.producer_id))
        .with_producer_epoch(produced.epoch.into())
        .with_last_sequence(produced.last_sequence.unwrap_or(NONE))
        .with_last_timestamp(produced.last_timestamp)
        .with_coordinator_epoch(NONE)
        .with_current_txn_start_offset(NONE.into())
}

impl Refuse for DescribeProducersRequest {
    fn refuse(self, code: i16, _version: i16) -> Answer<DescribeProducersResponse> {
        let topic = |(name, indexes): (TopicName, Vec<i32>)| {
            let refused = |index| PartitionResponse::default().with_partition_index(index).with_error_code(code);
            TopicResponse::default().with_name(name).with_partitions(indexes.into_iter().map(refused).collect())
        };
        let topics = self.topics.into_iter().map(|asked| topic((asked.name, asked.partition_indexes))).collect();
        DescribeProducersResponse::default().with_topics(topics).into()
    }
}
