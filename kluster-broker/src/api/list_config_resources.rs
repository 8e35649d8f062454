//! ListConfigResources: what has settings, that is the topics and the broker. There are no subscriptions to clients' metrics, and no group has
//! settings of its own.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::list_config_resources_response::ConfigResource;
use kafka_protocol::messages::{ListConfigResourcesRequest, ListConfigResourcesResponse};

use super::describe_configs::{BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP, TOPIC};
use super::{Call, wire};
use crate::broker::NODE_ID;

/// All types, in the order in which they are told.
const TYPES: [i8; 5] = [CLIENT_METRICS, GROUP, BROKER, BROKER_LOGGER, TOPIC];

pub(super) async fn answer(call: &Call, request: ListConfigResourcesRequest) -> ListConfigResourcesResponse {
    let response = ListConfigResourcesResponse::default();
    // Version 0 asks for subscriptions to clients' metrics only, and names no type.
    if call.version == 0 {
        return response;
    }
    let wanted = request.resource_types;
    if wanted.iter().any(|wanted| !TYPES.contains(wanted)) {
        return response.with_error_code(ResponseError::UnsupportedVersion.code());
    }
    let asked = TYPES.into_iter().filter(|kind| wanted.is_empty() || wanted.contains(kind));
    response.with_config_resources(asked.flat_map(|kind| resources(call, kind)).collect())
}

fn resources(call: &Call, kind: i8) -> Vec<ConfigResource> {
    let resource = |name: &str| ConfigResource::default().with_resource_type(kind).with_resource_name(wire::text(name));
    match kind {
        TOPIC => call.shared.topics.list().iter().map(|topic| resource(&topic.name)).collect(),
        BROKER => vec![resource(&NODE_ID.0.to_string())],
        _ => Vec::new(),
    }
}
