//! DescribeConfigs: the settings of topics and of the broker, by Kafka's names, with where each value comes from.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use kafka_protocol::messages::{DescribeConfigsRequest, DescribeConfigsResponse};

use super::wire::Refusal;
use super::{Call, wire};
use crate::broker::NODE_ID;
use crate::settings::BrokerSettings;
use crate::topic_config::{ConfigEntry, ConfigKind, TopicConfig};

// What a resource is (Kafka's ConfigResource.Type).
pub(super) const TOPIC: i8 = 2;
pub(super) const BROKER: i8 = 4;
pub(super) const BROKER_LOGGER: i8 = 8;
pub(super) const CLIENT_METRICS: i8 = 16;
pub(super) const GROUP: i8 = 32;

// Where a value comes from (Kafka's ConfigSource).
const SET_FOR_TOPIC: i8 = 1;
const SET_AT_START: i8 = 4;
const DEFAULT: i8 = 5;

/// From this version on an entry tells its type, and its meaning if that is asked for.
const TYPED: i16 = 3;

pub(super) async fn answer(call: &Call, request: DescribeConfigsRequest) -> DescribeConfigsResponse {
    let detail = Detail {
        synonyms: request.include_synonyms,
        documentation: request.include_documentation && call.version >= TYPED,
        typed: call.version >= TYPED,
    };
    let resources =
        wire::distinct(request.resources, |resource| (resource.resource_type, resource.resource_name.clone()));
    let results = resources.into_iter().map(|resource| describe(call, resource, &detail)).collect();
    DescribeConfigsResponse::default().with_results(results)
}

/// Where a topic's value comes from.
pub(super) fn source(explicit: bool) -> i8 {
    if explicit { SET_FOR_TOPIC } else { DEFAULT }
}

/// How much is told of each setting.
struct Detail {
    synonyms: bool,
    documentation: bool,
    typed: bool,
}

fn describe(call: &Call, resource: DescribeConfigsResource, detail: &Detail) -> DescribeConfigsResult {
    let result = DescribeConfigsResult::default()
        .with_error_message(None)
        .with_resource_type(resource.resource_type)
        .with_resource_name(resource.resource_name.clone());
    match entries(call, &resource, detail) {
        Ok(mut configs) => {
            if let Some(wanted) = resource.configuration_keys {
                configs.retain(|config| wanted.contains(&config.name));
            }
            result.with_configs(configs)
        }
        Err(refusal) => result.with_error_code(refusal.error.code()).with_error_message(wire::message(refusal.words)),
    }
}

fn entries(
    call: &Call,
    resource: &DescribeConfigsResource,
    detail: &Detail,
) -> Result<Vec<DescribeConfigsResourceResult>, Refusal> {
    match resource.resource_type {
        TOPIC => {
            let name = resource.resource_name.as_str();
            let topic = call.shared.topics.get(name).ok_or_else(|| Refusal::from(wire::unknown_name(name)))?;
            Ok(topic.configs.entries().iter().map(|entry| of_topic(entry, detail)).collect())
        }
        BROKER => {
            let name = resource.resource_name.as_str();
            if !name.is_empty() && name != NODE_ID.to_string() {
                let words = format!("there is one broker here, {}; {name:?} is none", *NODE_ID);
                return Err(Refusal::of(ResponseError::InvalidRequest, words));
            }
            // The empty name asks for what was set for all brokers while they run; that can't be done here.
            Ok(if name.is_empty() { Vec::new() } else { of_broker(call, detail) })
        }
        // They are there and have no settings of their own here.
        BROKER_LOGGER | CLIENT_METRICS | GROUP => Ok(Vec::new()),
        other => {
            let words = format!("settings of topics (2) and brokers (4) are told, not of type {other}");
            Err(Refusal::of(ResponseError::InvalidRequest, words))
        }
    }
}

fn of_topic(entry: &ConfigEntry, detail: &Detail) -> DescribeConfigsResourceResult {
    let synonym = |name: &str, value: &str, source: i8| {
        DescribeConfigsSynonym::default()
            .with_name(wire::text(name))
            .with_value(Some(wire::text(value)))
            .with_source(source)
    };
    let mut synonyms = Vec::new();
    if detail.synonyms {
        synonyms.extend(entry.explicit.then(|| synonym(entry.name, &entry.value, SET_FOR_TOPIC)));
        synonyms.extend(server_name(entry.name).map(|name| synonym(name, entry.default, DEFAULT)));
    }
    setting(entry.name, &entry.value, source(entry.explicit), Some(entry.kind), detail)
        .with_synonyms(synonyms)
        .with_documentation(detail.documentation.then(|| wire::text(entry.documentation)))
}

fn setting(
    name: &str,
    value: &str,
    source: i8,
    kind: Option<ConfigKind>,
    detail: &Detail,
) -> DescribeConfigsResourceResult {
    let setting = DescribeConfigsResourceResult::default()
        .with_name(wire::text(name))
        .with_value(Some(wire::text(value)))
        .with_config_source(source)
        .with_documentation(None);
    match kind {
        Some(kind) if detail.typed => setting.with_config_type(kind as i8),
        _ => setting,
    }
}

/// The broker's settings: what it was started with, and what topics get when they set nothing.
fn of_broker(call: &Call, detail: &Detail) -> Vec<DescribeConfigsResourceResult> {
    let (host, port) = call.shared.advertised();
    let settings = &call.shared.settings;
    let started = started_with(settings, &format!("PLAINTEXT://{host}:{port}"));
    let started = started
        .into_iter()
        .map(|(name, value, kind)| setting(name, &value, SET_AT_START, Some(kind), detail).with_read_only(true));
    let defaults = TopicConfig::default().entries();
    let defaults = defaults.iter().filter_map(|entry| {
        let name = server_name(entry.name)?;
        Some(setting(name, entry.default, DEFAULT, Some(entry.kind), detail).with_read_only(true))
    });
    started.chain(defaults).collect()
}

fn started_with(settings: &BrokerSettings, advertised: &str) -> Vec<(&'static str, String, ConfigKind)> {
    vec![
        ("advertised.listeners", advertised.to_owned(), ConfigKind::String),
        ("auto.create.topics.enable", settings.auto_create_topics.to_string(), ConfigKind::Boolean),
        ("broker.id", NODE_ID.to_string(), ConfigKind::Int),
        ("default.replication.factor", "1".to_owned(), ConfigKind::Int),
        ("listeners", format!("PLAINTEXT://{}", settings.listen), ConfigKind::String),
        ("log.dirs", settings.dir.display().to_string(), ConfigKind::String),
        ("max.connections", settings.max_connections.to_string(), ConfigKind::Int),
        ("node.id", NODE_ID.to_string(), ConfigKind::Int),
        ("num.partitions", settings.default_partitions.to_string(), ConfigKind::Int),
        ("offsets.topic.replication.factor", "1".to_owned(), ConfigKind::Int),
        ("queued.max.request.bytes", settings.request_memory_bytes.to_string(), ConfigKind::Long),
        ("socket.request.max.bytes", settings.max_frame_bytes.to_string(), ConfigKind::Int),
    ]
}

/// The broker's name for a topic's setting (Kafka's `ServerTopicConfigSynonyms`).
fn server_name(name: &str) -> Option<&'static str> {
    Some(match name {
        "cleanup.policy" => "log.cleanup.policy",
        "compression.type" => "compression.type",
        "delete.retention.ms" => "log.cleaner.delete.retention.ms",
        "file.delete.delay.ms" => "log.segment.delete.delay.ms",
        "flush.messages" => "log.flush.interval.messages",
        "flush.ms" => "log.flush.interval.ms",
        "index.interval.bytes" => "log.index.interval.bytes",
        "max.compaction.lag.ms" => "log.cleaner.max.compaction.lag.ms",
        "max.message.bytes" => "message.max.bytes",
        "message.timestamp.after.max.ms" => "log.message.timestamp.after.max.ms",
        "message.timestamp.before.max.ms" => "log.message.timestamp.before.max.ms",
        "message.timestamp.type" => "log.message.timestamp.type",
        "min.cleanable.dirty.ratio" => "log.cleaner.min.cleanable.ratio",
        "min.compaction.lag.ms" => "log.cleaner.min.compaction.lag.ms",
        "min.insync.replicas" => "min.insync.replicas",
        "preallocate" => "log.preallocate",
        "retention.bytes" => "log.retention.bytes",
        "retention.ms" => "log.retention.ms",
        "segment.bytes" => "log.segment.bytes",
        "segment.index.bytes" => "log.index.size.max.bytes",
        "segment.jitter.ms" => "log.roll.jitter.ms",
        "segment.ms" => "log.roll.ms",
        "unclean.leader.election.enable" => "unclean.leader.election.enable",
        _ => return None,
    })
}
