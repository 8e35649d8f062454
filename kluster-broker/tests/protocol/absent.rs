//! What this broker does not have: logins, quotas, the newer group protocol, and APIs that it does not tell of. Each is answered at once, in every
//! version.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::alter_client_quotas_request::{EntityData, EntryData};
use kafka_protocol::messages::alter_user_scram_credentials_request::{
    ScramCredentialDeletion, ScramCredentialUpsertion,
};
use kafka_protocol::messages::describe_user_scram_credentials_request::UserName;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::Request;

use crate::client::{Client, frame};
use crate::{serve, text};

fn code(error: ResponseError) -> i16 {
    error.code()
}

#[tokio::test]
async fn there_are_no_acls() {
    let served = serve().await;
    let mut client = served.client().await;
    let disabled = code(ResponseError::SecurityDisabled);
    for version in client.versions::<DescribeAclsRequest>().await {
        let told = client.call(version, DescribeAclsRequest::default()).await;
        assert_eq!((told.error_code, told.resources.len()), (disabled, 0));
        assert!(told.error_message.unwrap().contains("Authorizer"));
    }
    for version in client.versions::<CreateAclsRequest>().await {
        let request = CreateAclsRequest::default().with_creations(vec![Default::default(); 2]);
        let codes: Vec<_> = client.call(version, request).await.results.iter().map(|made| made.error_code).collect();
        assert_eq!(codes, [disabled; 2]);
    }
    for version in client.versions::<DeleteAclsRequest>().await {
        let request = DeleteAclsRequest::default().with_filters(vec![Default::default()]);
        let codes: Vec<_> =
            client.call(version, request).await.filter_results.iter().map(|deleted| deleted.error_code).collect();
        assert_eq!(codes, [disabled]);
    }
}

#[tokio::test]
async fn there_are_no_logins() {
    let served = serve().await;
    let mut client = served.client().await;
    let state = code(ResponseError::IllegalSaslState);
    for version in client.versions::<SaslHandshakeRequest>().await {
        let request = SaslHandshakeRequest::default().with_mechanism(text("PLAIN"));
        assert_eq!(client.call(version, request).await.error_code, state);
    }
    for version in client.versions::<SaslAuthenticateRequest>().await {
        let told = client.call(version, SaslAuthenticateRequest::default()).await;
        assert_eq!(told.error_code, state);
        assert!(told.error_message.unwrap().contains("PLAINTEXT"));
    }
    let token = code(ResponseError::DelegationTokenRequestNotAllowed);
    for version in client.versions::<CreateDelegationTokenRequest>().await {
        assert_eq!(client.call(version, CreateDelegationTokenRequest::default()).await.error_code, token);
    }
    for version in client.versions::<RenewDelegationTokenRequest>().await {
        assert_eq!(client.call(version, RenewDelegationTokenRequest::default()).await.error_code, token);
    }
    for version in client.versions::<ExpireDelegationTokenRequest>().await {
        assert_eq!(client.call(version, ExpireDelegationTokenRequest::default()).await.error_code, token);
    }
    for version in client.versions::<DescribeDelegationTokenRequest>().await {
        assert_eq!(client.call(version, DescribeDelegationTokenRequest::default()).await.error_code, token);
    }
    let everyone = client.call(0, DescribeUserScramCredentialsRequest::default().with_users(None)).await;
    assert_eq!((everyone.error_code, everyone.results.len()), (0, 0));
    let named = vec![UserName::default().with_name(text("alice"))];
    let named = client.call(0, DescribeUserScramCredentialsRequest::default().with_users(Some(named))).await;
    let alice = &named.results[0];
    assert_eq!((&*alice.user, alice.error_code), ("alice", code(ResponseError::ResourceNotFound)));
    let request = AlterUserScramCredentialsRequest::default()
        .with_deletions(vec![ScramCredentialDeletion::default().with_name(text("bob"))])
        .with_upsertions(vec![ScramCredentialUpsertion::default().with_name(text("alice"))]);
    let altered = client.call(0, request).await;
    let refused: Vec<_> = altered.results.iter().map(|user| (&*user.user, user.error_code)).collect();
    let mechanism = code(ResponseError::UnsupportedSaslMechanism);
    assert_eq!(refused, [("bob", mechanism), ("alice", mechanism)]);
}

#[tokio::test]
async fn there_are_no_quotas() {
    let served = serve().await;
    let mut client = served.client().await;
    for version in client.versions::<DescribeClientQuotasRequest>().await {
        let told = client.call(version, DescribeClientQuotasRequest::default()).await;
        assert_eq!((told.error_code, told.entries), (0, Some(Vec::new())));
    }
    for version in client.versions::<AlterClientQuotasRequest>().await {
        let user = EntityData::default().with_entity_type(text("user")).with_entity_name(Some(text("alice")));
        let entry = EntryData::default().with_entity(vec![user]);
        let told = client.call(version, AlterClientQuotasRequest::default().with_entries(vec![entry])).await;
        let [entry] = &told.entries[..] else { panic!("{told:?}") };
        assert_eq!(entry.error_code, code(ResponseError::InvalidRequest));
        assert!(entry.error_message.as_ref().unwrap().contains("no quotas"));
        assert_eq!(entry.entity[0].entity_name.as_deref(), Some("alice"));
    }
}

#[tokio::test]
async fn the_newer_group_protocol_is_told_of_and_refused() {
    let served = serve().await;
    let mut client = served.client().await;
    let unsupported = code(ResponseError::UnsupportedVersion);
    for version in client.versions::<ConsumerGroupHeartbeatRequest>().await {
        let told = client.call(version, ConsumerGroupHeartbeatRequest::default()).await;
        assert_eq!(told.error_code, unsupported);
        assert!(told.error_message.unwrap().contains("group.protocol=classic"));
    }
    for version in client.versions::<ConsumerGroupDescribeRequest>().await {
        let request = ConsumerGroupDescribeRequest::default().with_group_ids(vec![GroupId(text("g"))]);
        let told = client.call(version, request).await;
        assert_eq!((told.groups[0].error_code, &*told.groups[0].group_id.0), (unsupported, "g"));
    }
}

/// Each version of an API that the broker does not tell of; its answers' codes.
async fn codes<R: Request + Default>(client: &mut Client, told_code: impl Fn(&R::Response) -> i16) -> Vec<i16> {
    let told = client.call(3, ApiVersionsRequest::default()).await;
    assert!(told.api_keys.iter().all(|api| api.api_key != R::KEY), "it is not listed");
    let mut codes = Vec::new();
    for version in R::VERSIONS.min..=R::VERSIONS.max {
        let answer = client.call(version, R::default()).await;
        codes.push(told_code(&answer));
    }
    codes
}

#[tokio::test]
async fn an_api_that_is_not_listed_is_answered_where_its_answer_has_a_place_for_a_code() {
    let served = serve().await;
    let mut client = served.client().await;
    let unsupported = code(ResponseError::UnsupportedVersion);
    let all = [
        codes::<GetTelemetrySubscriptionsRequest>(&mut client, |told| told.error_code).await,
        codes::<PushTelemetryRequest>(&mut client, |told| told.error_code).await,
        codes::<EndTxnRequest>(&mut client, |told| told.error_code).await,
        codes::<DescribeQuorumRequest>(&mut client, |told| told.error_code).await,
        codes::<UpdateFeaturesRequest>(&mut client, |told| told.error_code).await,
        codes::<UnregisterBrokerRequest>(&mut client, |told| told.error_code).await,
        codes::<ShareGroupHeartbeatRequest>(&mut client, |told| told.error_code).await,
    ];
    assert!(all.iter().all(|codes| !codes.is_empty() && codes.iter().all(|code| *code == unsupported)), "{all:?}");
    // An answer of another shape would be misread: as with Apache Kafka, the connection ends.
    client.write(&frame(1, 1, &WriteTxnMarkersRequest::default())).await.unwrap();
    client.assert_closed().await;
}
