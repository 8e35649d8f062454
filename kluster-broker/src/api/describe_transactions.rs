//! DescribeTransactions and ListTransactions: there are none.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_transactions_response::TransactionState;
use kafka_protocol::messages::{
    DescribeTransactionsRequest, DescribeTransactionsResponse, ListTransactionsRequest, ListTransactionsResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::refuse::Refuse;
use super::{Answer, Call};

/// The states that a transaction can be in, as clients name them in a filter.
const STATES: [&str; 8] = [
    "Empty",
    "Ongoing",
    "PrepareCommit",
    "PrepareAbort",
    "CompleteCommit",
    "CompleteAbort",
    "Dead",
    "PrepareEpochFence",
];

pub(super) async fn describe(
    call: &Call,
    request: DescribeTransactionsRequest,
) -> Answer<DescribeTransactionsResponse> {
    request.refuse(ResponseError::TransactionalIdNotFound.code(), call.version)
}

/// None. Filters by states that there are not are named, as Apache Kafka does.
pub(super) async fn list(_call: &Call, request: ListTransactionsRequest) -> ListTransactionsResponse {
    let unknown = |state: &StrBytes| !STATES.contains(&state.as_str());
    let unknown = request.state_filters.into_iter().filter(unknown).collect();
    ListTransactionsResponse::default().with_unknown_state_filters(unknown)
}

impl Refuse for DescribeTransactionsRequest {
    fn refuse(self, code: i16, _version: i16) -> Answer<DescribeTransactionsResponse> {
        let refused = |id| TransactionState::default().with_transactional_id(id).with_error_code(code);
        let states = self.transactional_ids.into_iter().map(refused).collect();
        DescribeTransactionsResponse::default().with_transaction_states(states).into()
    }
}
