//! ConsumerGroupHeartbeat and ConsumerGroupDescribe, of the newer protocol of groups, which this broker does not have. They are told of in
//! ApiVersions and refused all the same, as Apache Kafka does with that protocol off: librdkafka waits in silence for a broker that tells of
//! them, and Java's tools ask again in the old way when they are refused.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::consumer_group_describe_response::DescribedGroup;
use kafka_protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse, GroupId,
};

use super::refuse::Refuse;
use super::{Answer, Call, wire};

const CLASSIC_ONLY: &str = "this broker has the classic group protocol only: set group.protocol=classic";

pub(super) async fn heartbeat(
    call: &Call,
    request: ConsumerGroupHeartbeatRequest,
) -> Answer<ConsumerGroupHeartbeatResponse> {
    request.refuse(ResponseError::UnsupportedVersion.code(), call.version)
}

pub(super) async fn describe(
    call: &Call,
    request: ConsumerGroupDescribeRequest,
) -> Answer<ConsumerGroupDescribeResponse> {
    request.refuse(ResponseError::UnsupportedVersion.code(), call.version)
}

impl Refuse for ConsumerGroupHeartbeatRequest {
    fn refuse(self, code: i16, _version: i16) -> Answer<ConsumerGroupHeartbeatResponse> {
        ConsumerGroupHeartbeatResponse::default()
            .with_error_code(code)
            .with_error_message(wire::message(CLASSIC_ONLY))
            .into()
    }
}

impl Refuse for ConsumerGroupDescribeRequest {
    fn refuse(self, code: i16, _version: i16) -> Answer<ConsumerGroupDescribeResponse> {
        let refused = |group: GroupId| {
            DescribedGroup::default()
                .with_group_id(group)
                .with_error_code(code)
                .with_error_message(wire::message(CLASSIC_ONLY))
        };
        let groups = wire::distinct(self.group_ids, GroupId::clone).into_iter().map(refused).collect();
        ConsumerGroupDescribeResponse::default().with_groups(groups).into()
    }
}
