//! LeaveGroup: members go, or an administrator sends them away.

use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::{LeaveGroupRequest, LeaveGroupResponse};

use super::member::identity;
use super::refuse::Refuse;
use super::{Answer, Call};
use crate::group::Identity;

/// From this version on several members may leave at once.
const MANY: i16 = 3;

pub(super) async fn answer(call: &Call, request: LeaveGroupRequest) -> LeaveGroupResponse {
    let one = || vec![MemberIdentity::default().with_member_id(request.member_id.clone())];
    let leaving = if call.version >= MANY { request.members } else { one() };
    let who: Vec<Identity> =
        leaving.iter().map(|member| identity(&member.member_id, member.group_instance_id.as_ref())).collect();
    let left = match call.shared.coordinator.leave(&request.group_id, &who) {
        Ok(left) => left,
        Err(error) => return LeaveGroupResponse::default().with_error_code(error.code()),
    };
    let codes: Vec<i16> = left.into_iter().map(|left| left.err().map_or(0, |error| error.code())).collect();
    if call.version < MANY {
        return LeaveGroupResponse::default().with_error_code(codes.first().copied().unwrap_or_default());
    }
    let members = leaving.into_iter().zip(codes).map(|(member, code)| {
        MemberResponse::default()
            .with_member_id(member.member_id)
            .with_group_instance_id(member.group_instance_id)
            .with_error_code(code)
    });
    LeaveGroupResponse::default().with_members(members.collect())
}

impl Refuse for LeaveGroupRequest {
    fn refuse(self, code: i16, _version: i16) -> Answer<LeaveGroupResponse> {
        LeaveGroupResponse::default().with_error_code(code).into()
    }
}
