//! Who may do what: nobody logs in here, and everybody may do everything. So there are no ACLs, no credentials and no tokens; each API says so
//! with the code that Apache Kafka has for it without an authorizer and without logins.
//!
//! Neighbours: `wire` has the operations that everybody may do.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::alter_user_scram_credentials_response::AlterUserScramCredentialsResult;
use kafka_protocol::messages::create_acls_response::AclCreationResult;
use kafka_protocol::messages::delete_acls_response::DeleteAclsFilterResult;
use kafka_protocol::messages::describe_user_scram_credentials_response::DescribeUserScramCredentialsResult;
use kafka_protocol::messages::{
    AlterUserScramCredentialsRequest, AlterUserScramCredentialsResponse, CreateAclsRequest, CreateAclsResponse,
    CreateDelegationTokenRequest, CreateDelegationTokenResponse, DeleteAclsRequest, DeleteAclsResponse,
    DescribeAclsRequest, DescribeAclsResponse, DescribeDelegationTokenRequest, DescribeDelegationTokenResponse,
    DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse, ExpireDelegationTokenRequest,
    ExpireDelegationTokenResponse, RenewDelegationTokenRequest, RenewDelegationTokenResponse, SaslAuthenticateRequest,
    SaslAuthenticateResponse, SaslHandshakeRequest, SaslHandshakeResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::refuse::Refuse;
use super::{Answer, Call, wire};

const NO_ACLS: &str = "No Authorizer is configured: this broker has no ACLs";
const NO_LOGINS: &str = "this broker has no logins: connect with security.protocol=PLAINTEXT";

/// Answers a request as one that is refused whole, always.
macro_rules! always_refused {
    ($($answer:ident: $request:ident => $response:ident, $error:ident;)*) => {$(
        pub(super) async fn $answer(call: &Call, request: $request) -> Answer<$response> {
            request.refuse(ResponseError::$error.code(), call.version)
        }
    )*};
}

always_refused! {
    describe_acls: DescribeAclsRequest => DescribeAclsResponse, SecurityDisabled;
    create_acls: CreateAclsRequest => CreateAclsResponse, SecurityDisabled;
    delete_acls: DeleteAclsRequest => DeleteAclsResponse, SecurityDisabled;
    alter_scram: AlterUserScramCredentialsRequest => AlterUserScramCredentialsResponse, UnsupportedSaslMechanism;
    create_token: CreateDelegationTokenRequest => CreateDelegationTokenResponse, DelegationTokenRequestNotAllowed;
    renew_token: RenewDelegationTokenRequest => RenewDelegationTokenResponse, DelegationTokenRequestNotAllowed;
    expire_token: ExpireDelegationTokenRequest => ExpireDelegationTokenResponse, DelegationTokenRequestNotAllowed;
    describe_tokens: DescribeDelegationTokenRequest => DescribeDelegationTokenResponse, DelegationTokenRequestNotAllowed;
    sasl_handshake: SaslHandshakeRequest => SaslHandshakeResponse, IllegalSaslState;
    sasl_authenticate: SaslAuthenticateRequest => SaslAuthenticateResponse, IllegalSaslState;
}

/// Nobody has credentials: all of them are none, and who is asked for by name is not found.
pub(super) async fn describe_scram(
    _call: &Call,
    request: DescribeUserScramCredentialsRequest,
) -> DescribeUserScramCredentialsResponse {
    let users = wire::distinct(request.users.unwrap_or_default(), |user| user.name.clone());
    let results = users.into_iter().map(|user| {
        let words = format!("Attempt to describe a user credential that does not exist: {}", user.name);
        DescribeUserScramCredentialsResult::default()
            .with_user(user.name)
            .with_error_code(ResponseError::ResourceNotFound.code())
            .with_error_message(wire::message(words))
    });
    DescribeUserScramCredentialsResponse::default().with_results(results.collect())
}

impl Refuse for DescribeAclsRequest {
    fn refuse(self, code: i16, _version: i16) -> Answer<DescribeAclsResponse> {
        DescribeAclsResponse::default().with_error_code(code).with_error_message(wire::message(NO_ACLS)).into()
    }
}

impl Refuse for CreateAclsRequest {
    fn refuse(self, code: i16, _version: i16) -> Answer<CreateAclsResponse> {
        let refused = AclCreationResult::default().with_error_code(code).with_error_message(wire::message(NO_ACLS));
        CreateAclsResponse::default().with_results(vec![refused; self.creations.len()]).into()
    }
}

impl Refuse for DeleteAclsRequest {
    fn refuse(self, code: i16, _version: i16) -> Answer<DeleteAclsResponse> {
        let refused =
            DeleteAclsFilterResult::default().with_error_code(code).with_error_message(wire::message(NO_ACLS));
        DeleteAclsResponse::default().with_filter_results(vec![refused; self.filters.len()]).into()
    }
}

impl Refuse for AlterUserScramCredentialsRequest {
    fn refuse(self, code: i16, _version: i16) -> Answer<AlterUserScramCredentialsResponse> {
        let deleted = self.deletions.into_iter().map(|deletion| deletion.name);
        let users = deleted.chain(self.upsertions.into_iter().map(|upsertion| upsertion.name)).collect();
        let refused = |user: StrBytes| {
            AlterUserScramCredentialsResult::default()
                .with_user(user)
                .with_error_code(code)
                .with_error_message(wire::message(NO_LOGINS))
        };
        let results = wire::distinct(users, StrBytes::clone).into_iter().map(refused).collect();
        AlterUserScramCredentialsResponse::default().with_results(results).into()
    }
}

impl Refuse for DescribeUserScramCredentialsRequest {
    fn refuse(self, code: i16, _version: i16) -> Answer<DescribeUserScramCredentialsResponse> {
        DescribeUserScramCredentialsResponse::default()
            .with_error_code(code)
            .with_error_message(wire::message(NO_LOGINS))
            .into()
    }
}

impl Refuse for SaslAuthenticateRequest {
    fn refuse(self, code: i16, _version: i16) -> Answer<SaslAuthenticateResponse> {
        SaslAuthenticateResponse::default().with_error_code(code).with_error_message(wire::message(NO_LOGINS)).into()
    }
}
