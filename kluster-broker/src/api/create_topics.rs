//! CreateTopics: checked as Kafka checks them, each on its own; a topic's records have one copy, and a request for more is refused.

use std::collections::BTreeSet;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::create_topics_response::{CreatableTopicConfigs, CreatableTopicResult};
use kafka_protocol::messages::{CreateTopicsRequest, CreateTopicsResponse};

use super::wire::Refusal;
use super::{Call, wire};
use crate::broker::NODE_ID;
use crate::topics::{TopicInfo, Topics};

/// In place of a number: the broker's default.
const DEFAULT: i32 = -1;
/// From this version on the new topic is described in the answer.
const DESCRIBED: i16 = 5;
/// From this version on the answer has the topic's id.
const WITH_ID: i16 = 7;

pub(super) async fn answer(call: &Call, request: CreateTopicsRequest) -> CreateTopicsResponse {
    let (version, validate_only) = (call.version, request.validate_only);
    let default_partitions = call.shared.settings.default_partitions;
    let create = move |topics: &Topics| {
        let twice = named_twice(&request.topics);
        let create = |topic: CreatableTopic| {
            let created = if twice.contains(&topic.name.to_string()) {
                Err(Refusal::of(ResponseError::InvalidRequest, "the request names this topic twice"))
            } else {
                create(topics, &topic, default_partitions, validate_only)
            };
            result(topic, created, version)
        };
        request.topics.into_iter().map(create).collect()
    };
    CreateTopicsResponse::default().with_topics(wire::on_disk(call, create).await)
}

fn named_twice(topics: &[CreatableTopic]) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    topics.iter().map(|topic| topic.name.to_string()).filter(|name| !seen.insert(name.clone())).collect()
}

fn create(
    topics: &Topics,
    asked: &CreatableTopic,
    default_partitions: i32,
    validate_only: bool,
) -> Result<TopicInfo, Refusal> {
    let partitions = count(asked, default_partitions)?;
    let mut configs = Vec::new();
    for config in &asked.configs {
        let value = config.value.as_ref().ok_or_else(|| {
            Refusal::of(
                ResponseError::InvalidConfig,
                format!("configuration {} has a null value", config.name.as_str()),
            )
        })?;
        configs.push((config.name.to_string(), value.to_string()));
    }
    let created = if validate_only {
        topics.check_new(&asked.name, partitions, &configs)
    } else {
        topics.create(&asked.name, partitions, &configs)
    };
    created.map_err(Refusal::from)
}

/// How many partitions are asked for, by number or by naming where each one is to be.
fn count(asked: &CreatableTopic, default: i32) -> Result<i32, Refusal> {
    if asked.assignments.is_empty() {
        if !matches!(asked.replication_factor, 1 | -1) {
            let words = format!("replication factor {} on a single broker; ask for 1", asked.replication_factor);
            return Err(Refusal::of(ResponseError::InvalidReplicationFactor, words));
        }
        return Ok(if asked.num_partitions == DEFAULT { default } else { asked.num_partitions });
    }
    if asked.num_partitions != DEFAULT || asked.replication_factor != -1 {
        let words = "either assignments are given, or a number of partitions and a replication factor";
        return Err(Refusal::of(ResponseError::InvalidRequest, words));
    }
    let indexes: BTreeSet<i32> = asked.assignments.iter().map(|assigned| assigned.partition_index).collect();
    let here = asked.assignments.iter().all(|assigned| assigned.broker_ids == [NODE_ID]);
    let total = i32::try_from(asked.assignments.len()).unwrap_or(i32::MAX);
    if !here || !indexes.into_iter().eq(0..total) {
        let words = format!("assignments name each partition from 0 on once, on broker {}", *NODE_ID);
        return Err(Refusal::of(ResponseError::InvalidReplicaAssignment, words));
    }
    Ok(total)
}

fn result(asked: CreatableTopic, created: Result<TopicInfo, Refusal>, version: i16) -> CreatableTopicResult {
    let result = CreatableTopicResult::default().with_name(asked.name).with_error_message(None);
    let topic = match created {
        Err(refusal) => {
            return result.with_error_code(refusal.error.code()).with_error_message(wire::message(refusal.words));
        }
        Ok(topic) => topic,
    };
    let result = if version < WITH_ID { result } else { result.with_topic_id(topic.topic_id) };
    if version < DESCRIBED {
        return result;
    }
    let config = |entry: crate::topic_config::ConfigEntry| {
        CreatableTopicConfigs::default()
            .with_config_source(super::describe_configs::source(entry.explicit))
            .with_name(wire::text(entry.name))
            .with_value(Some(wire::text(&entry.value)))
    };
    let configs = topic.configs.entries().into_iter().map(config).collect();
    result.with_num_partitions(topic.partitions).with_replication_factor(1).with_configs(Some(configs))
}
