//! DeleteTopics: by name or by id.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::{DeleteTopicsRequest, DeleteTopicsResponse, TopicName};

use super::wire::Refusal;
use super::{Call, wire};
use crate::topics::Topics;

/// From this version on topics are named by name or id.
const BY_ID: i16 = 6;
/// From this version on an error comes with words.
const WITH_MESSAGE: i16 = 5;

pub(super) async fn answer(call: &Call, request: DeleteTopicsRequest) -> DeleteTopicsResponse {
    let version = call.version;
    let by_name = |name: TopicName| DeleteTopicState::default().with_name(Some(name));
    let asked: Vec<DeleteTopicState> =
        if version >= BY_ID { request.topics } else { request.topic_names.into_iter().map(by_name).collect() };
    let delete = move |topics: &Topics| asked.into_iter().map(|topic| delete(topics, topic, version)).collect();
    let results: Vec<DeletableTopicResult> = wire::on_disk(call, delete).await;
    for deleted in results.iter().filter(|result| result.error_code == 0).filter_map(|result| result.name.as_ref()) {
        // A failure is said in the log; the topic is gone all the same.
        let _ = call.shared.coordinator.forget_topic(deleted).await;
    }
    DeleteTopicsResponse::default().with_responses(results)
}

fn delete(topics: &Topics, asked: DeleteTopicState, version: i16) -> DeletableTopicResult {
    let result = DeletableTopicResult::default();
    let (result, found) = match asked.name {
        Some(name) => {
            let found = topics.get(&name).ok_or(ResponseError::UnknownTopicOrPartition);
            (result.with_name(Some(name)), found)
        }
        None => {
            let found = topics.by_id(asked.topic_id).ok_or(ResponseError::UnknownTopicId);
            let name = found.as_ref().ok().map(|topic| wire::topic_name(&topic.name));
            (result.with_topic_id(asked.topic_id).with_name(name), found)
        }
    };
    let deleted = found.map_err(Refusal::from).and_then(|topic| {
        if wire::is_internal(&topic.name) {
            return Err(Refusal::of(ResponseError::InvalidTopicException, "this topic is the broker's own"));
        }
        topics.delete(&topic.name)?;
        Ok(topic.topic_id)
    });
    match deleted {
        Ok(id) if version >= BY_ID => result.with_topic_id(id),
        Ok(_) => result,
        Err(refusal) if version >= WITH_MESSAGE => {
            result.with_error_code(refusal.error.code()).with_error_message(wire::message(refusal.words))
        }
        Err(refusal) => result.with_error_code(refusal.error.code()),
    }
}
