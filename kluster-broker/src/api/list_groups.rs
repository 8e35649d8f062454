//! ListGroups: all groups, those with offsets only too; on request only those in some states or of some types.

use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::{GroupId, ListGroupsRequest, ListGroupsResponse};
use kafka_protocol::protocol::StrBytes;

use super::refuse::Refuse;
use super::{Answer, Call, wire};
use crate::coordinator::Listed;

/// The only type of group here: of the classic protocol.
const CLASSIC: &str = "classic";

pub(super) async fn answer(call: &Call, request: ListGroupsRequest) -> ListGroupsResponse {
    // As with Kafka, no filter lets everything through, and case does not matter.
    let passes =
        |filter: &[StrBytes], is: &str| filter.is_empty() || filter.iter().any(|one| one.eq_ignore_ascii_case(is));
    let groups = call.shared.coordinator.list().into_iter();
    let groups = groups.filter(|group| passes(&request.states_filter, group.state));
    let groups = groups.filter(|_| passes(&request.types_filter, CLASSIC));
    ListGroupsResponse::default().with_groups(groups.map(|group| listed(&group)).collect())
}

fn listed(group: &Listed) -> ListedGroup {
    ListedGroup::default()
        .with_group_id(GroupId(wire::text(&group.group)))
        .with_protocol_type(wire::text(&group.protocol_type))
        .with_group_state(wire::text(group.state))
        .with_group_type(wire::text(CLASSIC))
}

impl Refuse for ListGroupsRequest {
    fn refuse(self, code: i16, _version: i16) -> Answer<ListGroupsResponse> {
        ListGroupsResponse::default().with_error_code(code).into()
    }
}
