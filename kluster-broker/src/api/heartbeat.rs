//! Heartbeat: a member lives; the answer tells whether it has to join again.

use kafka_protocol::messages::{HeartbeatRequest, HeartbeatResponse};

use super::member::identity;
use super::refuse::Refuse;
use super::{Answer, Call};

pub(super) async fn answer(call: &Call, request: HeartbeatRequest) -> HeartbeatResponse {
    let who = identity(&request.member_id, request.group_instance_id.as_ref());
    let alive = call.shared.coordinator.heartbeat(&request.group_id, &who, request.generation_id);
    HeartbeatResponse::default().with_error_code(alive.err().map_or(0, |error| error.code()))
}

impl Refuse for HeartbeatRequest {
    fn refuse(self, code: i16, _version: i16) -> Answer<HeartbeatResponse> {
        HeartbeatResponse::default().with_error_code(code).into()
    }
}
