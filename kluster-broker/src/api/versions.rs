//! ApiVersions: which APIs are served, in which versions. The first request of almost every client.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};

use super::{Call, SERVED};

/// Stands for a version of ApiVersions that is newer than ours: the one request that is answered without being understood.
pub(super) const UNKNOWN: i16 = -1;

pub(super) async fn answer(call: &Call, request: ApiVersionsRequest) -> ApiVersionsResponse {
    call.peer.told(&request);
    let told = |served: &super::Served| {
        ApiVersion::default().with_api_key(served.key as i16).with_min_version(served.min).with_max_version(served.max)
    };
    let error = if call.version == UNKNOWN { ResponseError::UnsupportedVersion.code() } else { 0 };
    ApiVersionsResponse::default().with_error_code(error).with_api_keys(SERVED.iter().map(told).collect())
}
