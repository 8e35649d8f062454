//! AlterConfigs (all of a topic's settings replaced) and IncrementalAlterConfigs (some of them changed). The broker's own settings are given at
//! its start and can't be changed while it runs.

use std::collections::BTreeSet;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::alter_configs_response::AlterConfigsResourceResponse as Replaced;
use kafka_protocol::messages::incremental_alter_configs_request::AlterableConfig;
use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse as Changed;
use kafka_protocol::messages::{
    AlterConfigsRequest, AlterConfigsResponse, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::describe_configs::{BROKER, TOPIC};
use super::wire::Refusal;
use super::{Call, wire};
use crate::topic_config::{ConfigChange, TopicConfig};
use crate::topics::{TopicInfo, Topics};

pub(super) async fn replace(call: &Call, request: AlterConfigsRequest) -> AlterConfigsResponse {
    let validate_only = request.validate_only;
    let replace = move |topics: &Topics| {
        let replace = |resource: kafka_protocol::messages::alter_configs_request::AlterConfigsResource| {
            let pairs = resource
                .configs
                .iter()
                .map(|config| Ok((config.name.to_string(), given(&config.name, config.value.as_ref())?)));
            let done = pairs.collect::<Result<Vec<_>, Refusal>>().and_then(|configs| {
                let topic = topic(topics, resource.resource_type, &resource.resource_name)?;
                replace_one(topics, &topic, &configs, validate_only)
            });
            let (code, words) = outcome(done);
            Replaced::default()
                .with_error_code(code)
                .with_error_message(words)
                .with_resource_type(resource.resource_type)
                .with_resource_name(resource.resource_name)
        };
        request.resources.into_iter().map(replace).collect()
    };
    AlterConfigsResponse::default().with_responses(wire::on_disk(call, replace).await)
}

pub(super) async fn change(call: &Call, request: IncrementalAlterConfigsRequest) -> IncrementalAlterConfigsResponse {
    let validate_only = request.validate_only;
    let change = move |topics: &Topics| {
        let change = |resource: kafka_protocol::messages::incremental_alter_configs_request::AlterConfigsResource| {
            let done = changes(&resource.configs).and_then(|changes| {
                // Kafka's tools take settings away that they may have made: with the broker none is there, and none is left.
                let nothing_set = changes.iter().all(|(_, change)| *change == ConfigChange::Delete);
                if resource.resource_type == BROKER && nothing_set {
                    return Ok(());
                }
                let topic = topic(topics, resource.resource_type, &resource.resource_name)?;
                change_one(topics, &topic, &changes, validate_only)
            });
            let (code, words) = outcome(done);
            Changed::default()
                .with_error_code(code)
                .with_error_message(words)
                .with_resource_type(resource.resource_type)
                .with_resource_name(resource.resource_name)
        };
        request.resources.into_iter().map(change).collect()
    };
    IncrementalAlterConfigsResponse::default().with_responses(wire::on_disk(call, change).await)
}

fn outcome(done: Result<(), Refusal>) -> (i16, Option<StrBytes>) {
    done.map_or_else(|refusal| (refusal.error.code(), wire::message(refusal.words)), |()| (0, None))
}

fn topic(topics: &Topics, kind: i8, name: &str) -> Result<TopicInfo, Refusal> {
    let refused = |words: &str| Err(Refusal::of(ResponseError::InvalidRequest, words));
    match kind {
        TOPIC => topics.get(name).ok_or_else(|| wire::unknown_name(name).into()),
        BROKER => refused("the broker's settings are given at its start and can't be changed while it runs"),
        _ => refused("only the settings of topics (2) can be changed"),
    }
}

fn given(name: &str, value: Option<&StrBytes>) -> Result<String, Refusal> {
    let value = value.map(ToString::to_string);
    value.ok_or_else(|| Refusal::of(ResponseError::InvalidConfig, format!("configuration {name} has a null value")))
}

fn replace_one(
    topics: &Topics,
    topic: &TopicInfo,
    configs: &[(String, String)],
    validate_only: bool,
) -> Result<(), Refusal> {
    if validate_only {
        let pairs = configs.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        TopicConfig::parse(pairs).map_err(|error| Refusal::of(ResponseError::InvalidConfig, error))?;
    } else {
        topics.replace_configs(&topic.name, configs)?;
    }
    Ok(())
}

fn change_one(
    topics: &Topics,
    topic: &TopicInfo,
    changes: &[(String, ConfigChange)],
    validate_only: bool,
) -> Result<(), Refusal> {
    if validate_only {
        let changed = topic.configs.changed(changes.iter().map(|(name, change)| (name.as_str(), change)));
        changed.map_err(|error| Refusal::of(ResponseError::InvalidConfig, error))?;
    } else {
        topics.alter(&topic.name, changes)?;
    }
    Ok(())
}

/// The changes, each of another setting. The numbers are Kafka's `AlterConfigOp.OpType`.
fn changes(configs: &[AlterableConfig]) -> Result<Vec<(String, ConfigChange)>, Refusal> {
    let mut seen = BTreeSet::new();
    let mut changes = Vec::new();
    for config in configs {
        if !seen.insert(config.name.as_str()) {
            let words = format!("configuration {} is named twice", config.name.as_str());
            return Err(Refusal::of(ResponseError::InvalidRequest, words));
        }
        let value = || given(&config.name, config.value.as_ref());
        let change = match config.config_operation {
            0 => ConfigChange::Set(value()?),
            1 => ConfigChange::Delete,
            2 => ConfigChange::Append(value()?),
            3 => ConfigChange::Subtract(value()?),
            other => {
                let words = format!("operation {other} is none of set (0), delete (1), append (2), subtract (3)");
                return Err(Refusal::of(ResponseError::InvalidRequest, words));
            }
        };
        changes.push((config.name.to_string(), change));
    }
    Ok(changes)
}
