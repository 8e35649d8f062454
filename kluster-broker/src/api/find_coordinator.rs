//! FindCoordinator: this broker coordinates every group. Transactions it does not have, nor share groups.
//!
//! Where each client best learns that there are no transactions was tried out. InitProducerId's UNSUPPORTED_VERSION is final for all of them but
//! librdkafka, and their words for it are plain; so they find this broker here. kafkajs and sarama make "no group coordinator" or seconds of
//! waiting of any refusal here. librdkafka takes that code for a passing one, wherever it comes from, and asks again until its time is out;
//! final for it are codes about authorization only, and here it prints the broker's words beside.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::{BrokerId, FindCoordinatorRequest, FindCoordinatorResponse};
use kafka_protocol::protocol::StrBytes;

use super::refuse::Refuse;
use super::wire::{self, Refusal};
use super::{Answer, Call};
use crate::broker::NODE_ID;

/// From this version on several keys are asked for at once.
const MANY: i16 = 4;
const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;

pub(super) async fn answer(call: &Call, request: FindCoordinatorRequest) -> FindCoordinatorResponse {
    let found = match request.key_type {
        GROUP => Ok(()),
        TRANSACTION if !call.peer.is_librdkafka() => Ok(()),
        TRANSACTION => Err(Refusal::of(ResponseError::TransactionalIdAuthorizationFailed, wire::NO_TRANSACTIONS)),
        other => {
            Err(Refusal::of(ResponseError::InvalidRequest, format!("there is no coordinator of key type {other}")))
        }
    };
    let (host, port) = call.shared.advertised();
    let keys = if call.version >= MANY { request.coordinator_keys } else { vec![request.key] };
    let found = keys.into_iter().map(|key| match &found {
        Ok(()) => {
            Coordinator::default().with_key(key).with_node_id(NODE_ID).with_host(wire::text(host)).with_port(port)
        }
        Err(refusal) => unknown(key, refusal.error.code()).with_error_message(wire::message(&refusal.words)),
    });
    respond(found.collect(), call.version)
}

impl Refuse for FindCoordinatorRequest {
    fn refuse(self, code: i16, version: i16) -> Answer<FindCoordinatorResponse> {
        let keys = if version >= MANY { self.coordinator_keys } else { vec![self.key] };
        respond(keys.into_iter().map(|key| unknown(key, code)).collect(), version).into()
    }
}

fn unknown(key: StrBytes, code: i16) -> Coordinator {
    Coordinator::default().with_key(key).with_node_id(BrokerId(-1)).with_port(-1).with_error_code(code)
}

fn respond(mut found: Vec<Coordinator>, version: i16) -> FindCoordinatorResponse {
    if version >= MANY {
        return FindCoordinatorResponse::default().with_coordinators(found);
    }
    let Coordinator { node_id, host, port, error_code, error_message, .. } = found.pop().unwrap_or_default();
    FindCoordinatorResponse::default()
        .with_error_code(error_code)
        .with_error_message(error_message)
        .with_node_id(node_id)
        .with_host(host)
        .with_port(port)
}
