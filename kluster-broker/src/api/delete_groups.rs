//! DeleteGroups: groups without members, with their offsets.

use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::{DeleteGroupsRequest, DeleteGroupsResponse, GroupId};

use super::refuse::Refuse;
use super::{Answer, Call};

pub(super) async fn answer(call: &Call, request: DeleteGroupsRequest) -> DeleteGroupsResponse {
    let names: Vec<String> = request.groups_names.iter().map(|group| group.to_string()).collect();
    let deleted = call.shared.coordinator.delete_groups(&names).await;
    let codes = deleted.into_iter().map(|deleted| deleted.err().map_or(0, |error| error.code()));
    respond(request.groups_names, codes)
}

fn respond(groups: Vec<GroupId>, codes: impl IntoIterator<Item = i16>) -> DeleteGroupsResponse {
    let result = |(group, code)| DeletableGroupResult::default().with_group_id(group).with_error_code(code);
    DeleteGroupsResponse::default().with_results(groups.into_iter().zip(codes).map(result).collect())
}

impl Refuse for DeleteGroupsRequest {
    fn refuse(self, code: i16, _version: i16) -> Answer<DeleteGroupsResponse> {
        respond(self.groups_names, std::iter::repeat(code)).into()
    }
}
