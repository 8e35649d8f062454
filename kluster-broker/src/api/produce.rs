//! Produce: appends batches, and answers when they are durable. `acks` 1 and all are the same on one machine; with 0 nothing is answered, and a
//! failure closes the connection, as with Kafka.
//!
//! All partitions of a request are appended before the first of them is waited for, so that they share a flush.

use futures_util::future::join_all;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use kafka_protocol::messages::{ProduceRequest, ProduceResponse};

use super::wire::Refusal;
use super::{Answer, Call, wire};
use crate::broker::now_ms;
use crate::partition::{Appended, Partition};

/// From this version on topics are named by id.
const BY_ID: i16 = 13;
/// From this version on an error comes with words.
const WITH_MESSAGE: i16 = 8;

pub(super) async fn answer(call: &Call, request: ProduceRequest) -> Answer<ProduceResponse> {
    let acks = request.acks;
    let refusal = refusal(&request);
    let topics: Vec<Pending> =
        request.topic_data.into_iter().map(|topic| append_topic(call, topic, refusal.as_ref())).collect();
    let responses = join_all(topics.into_iter().map(|topic| topic.finish(call.version))).await;
    let failed =
        responses.iter().flat_map(|topic| &topic.partition_responses).any(|partition| partition.error_code != 0);
    match (acks, failed) {
        (0, true) => Answer::Close,
        (0, false) => Answer::Nothing,
        _ => Answer::Send(ProduceResponse::default().with_responses(responses)),
    }
}

/// What is wrong with the whole request.
fn refusal(request: &ProduceRequest) -> Option<Refusal> {
    if request.transactional_id.is_some() {
        return Some(Refusal::of(ResponseError::UnsupportedVersion, wire::NO_TRANSACTIONS));
    }
    let known = (-1..=1).contains(&request.acks);
    (!known).then(|| Refusal::of(ResponseError::InvalidRequiredAcks, "acks must be -1 (all), 0 or 1"))
}

/// A topic's partitions, appended or refused, not yet durable.
struct Pending {
    response: TopicProduceResponse,
    partitions: Vec<(i32, Result<Written, Refusal>)>,
}

/// Batches that were appended, and where.
struct Written {
    partition: Partition,
    appended: Appended,
}

fn append_topic(call: &Call, topic: TopicProduceData, refusal: Option<&Refusal>) -> Pending {
    let found = match refusal {
        Some(refusal) => Err(refusal.clone()),
        None => find(call, &topic),
    };
    let append = |data: PartitionProduceData| {
        let appended = found.clone().and_then(|name| append(call, &name, data.index, data.records));
        (data.index, appended)
    };
    let partitions = topic.partition_data.into_iter().map(append).collect();
    let response = TopicProduceResponse::default().with_name(topic.name).with_topic_id(topic.topic_id);
    Pending { response, partitions }
}

fn find(call: &Call, topic: &TopicProduceData) -> Result<String, Refusal> {
    let name = if call.version >= BY_ID { wire::name_of(call, topic.topic_id)? } else { topic.name.to_string() };
    if wire::is_internal(&name) {
        return Err(Refusal::of(ResponseError::InvalidTopicException, "this topic is the broker's own"));
    }
    Ok(name)
}

fn append(call: &Call, topic: &str, index: i32, records: Option<bytes::Bytes>) -> Result<Written, Refusal> {
    let partition = wire::partition(call, topic, index)?;
    let records = records.filter(|records| !records.is_empty());
    let records = records.ok_or_else(|| Refusal::of(ResponseError::InvalidRecord, "there is no record batch"))?;
    let appended = partition.append(records, now_ms())?;
    Ok(Written { partition, appended })
}

impl Pending {
    async fn finish(self, version: i16) -> TopicProduceResponse {
        let finish = |(index, appended)| async move {
            match stored(appended).await {
                Ok(written) => accepted(index, &written),
                Err(refusal) => refused(index, refusal, version),
            }
        };
        let partitions = join_all(self.partitions.into_iter().map(finish)).await;
        self.response.with_partition_responses(partitions)
    }
}

async fn stored(appended: Result<Written, Refusal>) -> Result<Written, Refusal> {
    let written = appended?;
    written.partition.durable(written.appended.next_offset).await?;
    Ok(written)
}

fn accepted(index: i32, Written { partition, appended }: &Written) -> PartitionProduceResponse {
    PartitionProduceResponse::default()
        .with_index(index)
        .with_base_offset(appended.base_offset)
        .with_log_append_time_ms(appended.log_append_time.unwrap_or(-1))
        .with_log_start_offset(partition.offsets().log_start)
}

fn refused(index: i32, refusal: Refusal, version: i16) -> PartitionProduceResponse {
    let response = PartitionProduceResponse::default()
        .with_index(index)
        .with_error_code(refusal.error.code())
        .with_base_offset(-1);
    if version < WITH_MESSAGE {
        return response;
    }
    response.with_error_message(wire::message(refusal.words))
}
