//! DescribeCluster: one broker, which is its own controller.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::{BrokerId, DescribeClusterRequest, DescribeClusterResponse};

use super::{Call, wire};
use crate::broker::NODE_ID;

/// The kind of endpoint that is described: brokers. The other kind, controllers, has no door of its own here.
const BROKERS: i8 = 1;

pub(super) async fn answer(call: &Call, request: DescribeClusterRequest) -> DescribeClusterResponse {
    let endpoint = if call.version >= 1 { request.endpoint_type } else { BROKERS };
    let operations = wire::operations(request.include_cluster_authorized_operations, wire::CLUSTER_OPERATIONS);
    let response = DescribeClusterResponse::default()
        .with_cluster_authorized_operations(operations)
        .with_endpoint_type(endpoint)
        .with_cluster_id(wire::text(&call.shared.topics.cluster_id()));
    if endpoint != BROKERS {
        return response
            .with_error_code(ResponseError::UnsupportedEndpointType.code())
            .with_error_message(wire::message("only brokers are described here"))
            .with_controller_id(BrokerId(-1));
    }
    let (host, port) = call.shared.advertised();
    let broker = DescribeClusterBroker::default().with_broker_id(NODE_ID).with_host(wire::text(host)).with_port(port);
    response.with_controller_id(NODE_ID).with_brokers(vec![broker])
}
