//! InitProducerId: a number for an idempotent producer that no other ever had. A transactional producer is refused
//! (`find_coordinator` says why so).

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse, ProducerId};
use tracing::warn;

use super::{Call, wire};
use crate::topics::Topics;

pub(super) async fn answer(call: &Call, request: InitProducerIdRequest) -> InitProducerIdResponse {
    let response = InitProducerIdResponse::default();
    let refused = |error: ResponseError| {
        InitProducerIdResponse::default()
            .with_error_code(error.code())
            .with_producer_id(ProducerId(-1))
            .with_producer_epoch(-1)
    };
    if request.transactional_id.is_some() {
        return refused(ResponseError::UnsupportedVersion);
    }
    match wire::on_disk(call, Topics::next_producer_id).await {
        Ok(id) => response.with_producer_id(ProducerId(id)).with_producer_epoch(0),
        Err(reason) => {
            warn!(%reason, "no producer id can be given");
            refused(ResponseError::KafkaStorageError)
        }
    }
}
