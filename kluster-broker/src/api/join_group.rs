//! JoinGroup: a member wants to be in the next generation. The answer may take as long as a rebalance.

use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::{JoinGroupRequest, JoinGroupResponse};

use super::member::{copied, identity, milliseconds};
use super::refuse::Refuse;
use super::room::sized;
use super::{Answer, Call, wire};
use crate::group::{Join, JoinAnswer, JoinedMember, Protocol};

/// From this version on a new member gets its id first.
const ID_FIRST: i16 = 4;
/// From this version on an error comes without a protocol's name.
const NO_NAME: i16 = 7;
/// From this version on a leader can be told to leave the assignment as it is.
const SKIP_ASSIGNMENT: i16 = 9;

pub(super) async fn answer(call: &Call, request: JoinGroupRequest) -> Answer<JoinGroupResponse> {
    let group = request.group_id.to_string();
    let answer = call.shared.coordinator.join(&group, join(call, request)).await;
    sized(call, respond(answer, call.version)).await
}

fn join(call: &Call, request: JoinGroupRequest) -> Join {
    let session_timeout = milliseconds(request.session_timeout_ms);
    // Version 0 has one timeout for both.
    let has_own = request.rebalance_timeout_ms > 0;
    Join {
        who: identity(&request.member_id, request.group_instance_id.as_ref()),
        client_id: call.client_id.clone(),
        client_host: format!("/{}", call.peer.address.ip()),
        session_timeout,
        rebalance_timeout: if has_own { milliseconds(request.rebalance_timeout_ms) } else { session_timeout },
        protocol_type: request.protocol_type.to_string(),
        protocols: request.protocols.iter().map(protocol).collect(),
        id_first: call.version >= ID_FIRST,
        may_skip_assignment: call.version >= SKIP_ASSIGNMENT,
    }
}

fn protocol(protocol: &JoinGroupRequestProtocol) -> Protocol {
    Protocol { name: protocol.name.to_string(), metadata: copied(&protocol.metadata) }
}

fn respond(answer: JoinAnswer, version: i16) -> JoinGroupResponse {
    match answer {
        Ok(joined) => JoinGroupResponse::default()
            .with_generation_id(joined.generation)
            .with_protocol_type(Some(wire::text(&joined.protocol_type)))
            .with_protocol_name(Some(wire::text(&joined.protocol)))
            .with_leader(wire::text(&joined.leader))
            .with_member_id(wire::text(&joined.member_id))
            .with_members(joined.members.iter().map(member).collect())
            .with_skip_assignment(joined.skip_assignment),
        Err(refused) => refusal(refused.error.code(), version).with_member_id(wire::text(&refused.member_id)),
    }
}

fn member(member: &JoinedMember) -> JoinGroupResponseMember {
    JoinGroupResponseMember::default()
        .with_member_id(wire::text(&member.member_id))
        .with_group_instance_id(member.instance_id.as_deref().map(wire::text))
        .with_metadata(member.metadata.clone())
}

fn refusal(code: i16, version: i16) -> JoinGroupResponse {
    let protocol_name = (version < NO_NAME).then(Default::default);
    JoinGroupResponse::default().with_error_code(code).with_generation_id(-1).with_protocol_name(protocol_name)
}

impl Refuse for JoinGroupRequest {
    fn refuse(self, code: i16, version: i16) -> Answer<JoinGroupResponse> {
        refusal(code, version).with_member_id(self.member_id).into()
    }
}
