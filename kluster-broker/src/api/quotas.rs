//! DescribeClientQuotas and AlterClientQuotas: there are none, and none can be set.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::alter_client_quotas_response::{EntityData, EntryData};
use kafka_protocol::messages::{
    AlterClientQuotasRequest, AlterClientQuotasResponse, DescribeClientQuotasRequest, DescribeClientQuotasResponse,
};

use super::refuse::Refuse;
use super::{Answer, Call, wire};

const NO_QUOTAS: &str = "this broker has no quotas";

pub(super) async fn describe(_call: &Call, _request: DescribeClientQuotasRequest) -> DescribeClientQuotasResponse {
    DescribeClientQuotasResponse::default().with_entries(Some(Vec::new()))
}

pub(super) async fn alter(call: &Call, request: AlterClientQuotasRequest) -> Answer<AlterClientQuotasResponse> {
    request.refuse(ResponseError::InvalidRequest.code(), call.version)
}

impl Refuse for DescribeClientQuotasRequest {
    fn refuse(self, code: i16, _version: i16) -> Answer<DescribeClientQuotasResponse> {
        DescribeClientQuotasResponse::default().with_error_code(code).with_entries(None).into()
    }
}

impl Refuse for AlterClientQuotasRequest {
    fn refuse(self, code: i16, _version: i16) -> Answer<AlterClientQuotasResponse> {
        let refused = |entry: kafka_protocol::messages::alter_client_quotas_request::EntryData| {
            let entity = entry.entity.into_iter().map(|entity| {
                EntityData::default().with_entity_type(entity.entity_type).with_entity_name(entity.entity_name)
            });
            EntryData::default()
                .with_error_code(code)
                .with_error_message(wire::message(NO_QUOTAS))
                .with_entity(entity.collect())
        };
        AlterClientQuotasResponse::default().with_entries(self.entries.into_iter().map(refused).collect()).into()
    }
}
