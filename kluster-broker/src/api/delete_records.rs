//! DeleteRecords: moves the start of a log up. −1 stands for its end.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::delete_records_response::{DeleteRecordsPartitionResult, DeleteRecordsTopicResult};
use kafka_protocol::messages::{DeleteRecordsRequest, DeleteRecordsResponse};

use super::{Call, wire};
use crate::topics::Topics;

pub(super) async fn answer(call: &Call, request: DeleteRecordsRequest) -> DeleteRecordsResponse {
    let delete = move |topics: &Topics| request.topics.into_iter().map(|topic| delete_from(topics, topic)).collect();
    DeleteRecordsResponse::default().with_topics(wire::on_disk(call, delete).await)
}

fn delete_from(topics: &Topics, topic: DeleteRecordsTopic) -> DeleteRecordsTopicResult {
    let delete = |asked: &DeleteRecordsPartition| {
        let result = DeleteRecordsPartitionResult::default().with_partition_index(asked.partition_index);
        match delete(topics, &topic.name, asked) {
            Ok(low_watermark) => result.with_low_watermark(low_watermark),
            Err(error) => result.with_low_watermark(-1).with_error_code(error.code()),
        }
    };
    let partitions = topic.partitions.iter().map(delete).collect();
    DeleteRecordsTopicResult::default().with_name(topic.name).with_partitions(partitions)
}

fn delete(topics: &Topics, topic: &str, asked: &DeleteRecordsPartition) -> Result<i64, ResponseError> {
    if wire::is_internal(topic) {
        return Err(ResponseError::InvalidTopicException);
    }
    let partition = topics.partition(topic, asked.partition_index).ok_or(ResponseError::UnknownTopicOrPartition)?;
    partition.delete_before(asked.offset).map_err(|error| error.response())
}
