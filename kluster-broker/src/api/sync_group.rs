//! SyncGroup: a member asks for its assignment; the leader brings everybody's.

use kafka_protocol::messages::{SyncGroupRequest, SyncGroupResponse};
use kafka_protocol::protocol::StrBytes;

use super::member::{copied, identity};
use super::refuse::Refuse;
use super::room::sized;
use super::{Answer, Call, wire};
use crate::group::Sync;

pub(super) async fn answer(call: &Call, request: SyncGroupRequest) -> Answer<SyncGroupResponse> {
    let assignments = request.assignments.iter();
    let sync = Sync {
        who: identity(&request.member_id, request.group_instance_id.as_ref()),
        generation: request.generation_id,
        protocol_type: request.protocol_type.as_ref().map(StrBytes::to_string),
        protocol: request.protocol_name.as_ref().map(StrBytes::to_string),
        assignments: assignments.map(|of| (of.member_id.to_string(), copied(&of.assignment))).collect(),
    };
    let response = match call.shared.coordinator.sync(&request.group_id, sync).await {
        Ok(synced) => SyncGroupResponse::default()
            .with_protocol_type(Some(wire::text(&synced.protocol_type)))
            .with_protocol_name(Some(wire::text(&synced.protocol)))
            .with_assignment(synced.assignment),
        Err(error) => SyncGroupResponse::default().with_error_code(error.code()),
    };
    sized(call, response).await
}

impl Refuse for SyncGroupRequest {
    fn refuse(self, code: i16, _version: i16) -> Answer<SyncGroupResponse> {
        SyncGroupResponse::default().with_error_code(code).into()
    }
}
