//! Metadata: the broker, its topics, and that it leads them all.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{BrokerId, MetadataRequest, MetadataResponse, TopicName};
use tracing::warn;
use uuid::Uuid;

use super::{Call, wire};
use crate::broker::{LEADER_EPOCH, NODE_ID};
use crate::topics::{TopicInfo, Topics};

pub(super) async fn answer(call: &Call, request: MetadataRequest) -> MetadataResponse {
    let auto_create =
        call.shared.settings.auto_create_topics && (call.version < 4 || request.allow_auto_topic_creation);
    let operations = wire::operations(request.include_topic_authorized_operations, wire::TOPIC_OPERATIONS);
    let topics: Vec<MetadataResponseTopic> = match request.topics {
        // Version 0 has no null: there an empty list asks for all.
        None => all(call),
        Some(named) if named.is_empty() && call.version == 0 => all(call),
        Some(named) => {
            let named = wire::distinct(named, |topic| (topic.name.clone(), topic.topic_id));
            let default_partitions = auto_create.then_some(call.shared.settings.default_partitions);
            let find =
                move |topics: &Topics| named.into_iter().map(|topic| find(topics, topic, default_partitions)).collect();
            // Only what may create waits for the disk.
            if auto_create { wire::on_disk(call, find).await } else { find(&call.shared.topics) }
        }
    };
    let allowed = |topic: MetadataResponseTopic| topic.with_topic_authorized_operations(operations);
    let topics = topics.into_iter().map(allowed).collect();
    let of_cluster = request.include_cluster_authorized_operations;
    let (host, port) = call.shared.advertised();
    let broker = MetadataResponseBroker::default().with_node_id(NODE_ID).with_host(wire::text(host)).with_port(port);
    MetadataResponse::default()
        .with_brokers(vec![broker])
        .with_cluster_id(Some(wire::text(&call.shared.topics.cluster_id())))
        .with_controller_id(NODE_ID)
        .with_cluster_authorized_operations(wire::operations(of_cluster, wire::CLUSTER_OPERATIONS))
        .with_topics(topics)
}

fn all(call: &Call) -> Vec<MetadataResponseTopic> {
    call.shared.topics.list().iter().map(known).collect()
}

fn find(topics: &Topics, asked: MetadataRequestTopic, default_partitions: Option<i32>) -> MetadataResponseTopic {
    let Some(name) = asked.name else {
        let found = topics.by_id(asked.topic_id);
        return found
            .map_or_else(|| missing(ResponseError::UnknownTopicId, None, asked.topic_id), |topic| known(&topic));
    };
    if let Some(topic) = topics.get(&name) {
        return known(&topic);
    }
    let Some(partitions) = default_partitions else {
        return missing(wire::unknown_name(&name), Some(name), Uuid::nil());
    };
    match topics.create(&name, partitions, &[]) {
        Ok(topic) => known(&topic),
        Err(reason) => {
            warn!(topic = %name.as_str(), %reason, "a topic can't be created");
            missing(reason.response(), Some(name), Uuid::nil())
        }
    }
}

fn missing(error: ResponseError, name: Option<TopicName>, topic_id: Uuid) -> MetadataResponseTopic {
    MetadataResponseTopic::default().with_error_code(error.code()).with_name(name).with_topic_id(topic_id)
}

fn known(topic: &TopicInfo) -> MetadataResponseTopic {
    MetadataResponseTopic::default()
        .with_name(Some(wire::topic_name(&topic.name)))
        .with_topic_id(topic.topic_id)
        .with_is_internal(wire::is_internal(&topic.name))
        .with_partitions((0..topic.partitions).map(partition).collect())
}

fn partition(index: i32) -> MetadataResponsePartition {
    let replicas: Vec<BrokerId> = vec![NODE_ID];
    MetadataResponsePartition::default()
        .with_partition_index(index)
        .with_leader_id(NODE_ID)
        .with_leader_epoch(LEADER_EPOCH)
        .with_replica_nodes(replicas.clone())
        .with_isr_nodes(replicas)
}
