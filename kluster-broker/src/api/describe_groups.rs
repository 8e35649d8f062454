//! DescribeGroups: state, members and assignments.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::messages::{DescribeGroupsRequest, DescribeGroupsResponse, GroupId};

use super::refuse::Refuse;
use super::room::sized;
use super::{Answer, Call, wire};
use crate::coordinator::{Described, DescribedMember};

/// From this version on a group that is not there is an error; before, it is described as dead.
const NOT_FOUND: i16 = 6;

pub(super) async fn answer(call: &Call, request: DescribeGroupsRequest) -> Answer<DescribeGroupsResponse> {
    let version = call.version;
    let operations = wire::operations(request.include_authorized_operations, wire::GROUP_OPERATIONS);
    let describe = |group: GroupId| {
        let described = match call.shared.coordinator.describe(&group) {
            Some(described) => known(&described),
            None => unknown(version),
        };
        described.with_group_id(group).with_authorized_operations(operations)
    };
    let groups = wire::distinct(request.groups, GroupId::clone).into_iter().map(describe).collect();
    sized(call, DescribeGroupsResponse::default().with_groups(groups)).await
}

fn known(group: &Described) -> DescribedGroup {
    DescribedGroup::default()
        .with_group_state(wire::text(group.state))
        .with_protocol_type(wire::text(&group.protocol_type))
        .with_protocol_data(wire::text(&group.protocol))
        .with_members(group.members.iter().map(member).collect())
}

fn member(member: &DescribedMember) -> DescribedGroupMember {
    DescribedGroupMember::default()
        .with_member_id(wire::text(&member.member_id))
        .with_group_instance_id(member.instance_id.as_deref().map(wire::text))
        .with_client_id(wire::text(&member.client_id))
        .with_client_host(wire::text(&member.client_host))
        .with_member_metadata(member.metadata.clone())
        .with_member_assignment(member.assignment.clone())
}

fn unknown(version: i16) -> DescribedGroup {
    let dead = DescribedGroup::default().with_group_state(wire::text("Dead"));
    if version < NOT_FOUND {
        return dead;
    }
    dead.with_error_code(ResponseError::GroupIdNotFound.code())
        .with_error_message(wire::message("there is no such group"))
}

impl Refuse for DescribeGroupsRequest {
    fn refuse(self, code: i16, _version: i16) -> Answer<DescribeGroupsResponse> {
        let refused = |group: GroupId| DescribedGroup::default().with_group_id(group).with_error_code(code);
        DescribeGroupsResponse::default().with_groups(self.groups.into_iter().map(refused).collect()).into()
    }
}
