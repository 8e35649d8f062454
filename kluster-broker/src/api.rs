//! Kafka's APIs: which are served, in which versions, and who answers. One file each: decode, do, encode.
//!
//! The table is what ApiVersions tells. An ApiVersions that is too new gets the table in the oldest form. A request whose key is not in the
//! table is answered with UNSUPPORTED_VERSION where that can be written (`unlisted`); another, and one whose version is not in the table, ends
//! the connection, as with Kafka. Versions reach as far down as `kafka-protocol` decodes (that is, Kafka 2.1 and what came before it in each
//! API), so that old clients are served, and as far up as the clients of Kafka 4 ask.
//!
//! In the table, and answered with nothing or a refusal, is what Apache Kafka also tells of when it is switched off there: the newer group
//! protocol, ACLs, credentials, tokens, quotas, transactions by name. Tools and consoles go on from there. Not in the table on purpose: what a
//! transactional producer does after FindCoordinator and InitProducerId, which refuse it; share groups; clients' metrics; what brokers say to
//! each other. A client that asks for the table takes another way or says what is missing.

mod alter_configs;
mod consumer_protocol;
mod create_partitions;
mod create_topics;
mod delete_groups;
mod delete_records;
mod delete_topics;
mod describe_cluster;
mod describe_configs;
mod describe_groups;
mod describe_producers;
mod describe_topic_partitions;
mod describe_transactions;
mod fetch;
mod find_coordinator;
mod heartbeat;
mod init_producer_id;
mod join_group;
mod leader_epoch;
mod leave_group;
mod list_config_resources;
mod list_groups;
mod list_offsets;
mod log_dirs;
mod member;
mod metadata;
mod offset_commit;
mod offset_delete;
mod offset_fetch;
mod peer;
mod produce;
mod quotas;
mod reassignments;
mod refuse;
mod room;
mod security;
mod shapes;
mod sync_group;
mod unlisted;
mod versions;
mod wire;

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{
    AlterClientQuotasRequest, AlterConfigsRequest, AlterPartitionReassignmentsRequest, AlterReplicaLogDirsRequest,
    AlterUserScramCredentialsRequest, ApiKey, ApiVersionsRequest, ConsumerGroupDescribeRequest,
    ConsumerGroupHeartbeatRequest, CreateAclsRequest, CreateDelegationTokenRequest, CreatePartitionsRequest,
    CreateTopicsRequest, DeleteAclsRequest, DeleteGroupsRequest, DeleteRecordsRequest, DeleteTopicsRequest,
    DescribeAclsRequest, DescribeClientQuotasRequest, DescribeClusterRequest, DescribeConfigsRequest,
    DescribeDelegationTokenRequest, DescribeGroupsRequest, DescribeLogDirsRequest, DescribeProducersRequest,
    DescribeTopicPartitionsRequest, DescribeTransactionsRequest, DescribeUserScramCredentialsRequest,
    ElectLeadersRequest, ExpireDelegationTokenRequest, FetchRequest, FindCoordinatorRequest, HeartbeatRequest,
    IncrementalAlterConfigsRequest, InitProducerIdRequest, JoinGroupRequest, LeaveGroupRequest,
    ListConfigResourcesRequest, ListGroupsRequest, ListOffsetsRequest, ListPartitionReassignmentsRequest,
    ListTransactionsRequest, MetadataRequest, OffsetCommitRequest, OffsetDeleteRequest, OffsetFetchRequest,
    OffsetForLeaderEpochRequest, ProduceRequest, RenewDelegationTokenRequest, SaslAuthenticateRequest,
    SaslHandshakeRequest, SyncGroupRequest,
};
use kafka_protocol::protocol::{Decodable, Request};
use tokio::sync::OwnedSemaphorePermit;

use crate::broker::Shared;
use crate::frame;
use crate::frame::head::Head;
use crate::frame::shape::{Malformed, Shape};
use refuse::Refuse;

pub(crate) use fetch::LARGEST_ANSWER;
pub(crate) use peer::Peer;

/// A request that is about to be answered: everything about it but its body.
pub(crate) struct Call {
    pub(crate) shared: Arc<Shared>,
    pub(crate) key: ApiKey,
    pub(crate) version: i16,
    /// What the client calls itself; "" when it does not.
    pub(crate) client_id: String,
    pub(crate) peer: Arc<Peer>,
    /// Of all arrays in its body.
    pub(crate) elements: usize,
    /// Of the whole request.
    pub(crate) bytes: usize,
    correlation_id: i32,
}

/// What follows for the connection.
pub(crate) enum Reply {
    /// This is written. The memory is given back afterwards.
    Send { frame: BytesMut, memory: Option<OwnedSemaphorePermit> },
    /// The client wants no answer.
    Nothing,
    /// The client wants no answer, but must learn that something failed: the connection ends.
    Close,
    /// A fault rule ends the connection.
    Fault,
}

/// What an API gives back: mostly just its response.
pub(crate) enum Answer<R> {
    Send(R),
    /// With the memory that its records take until they are written.
    Sized(R, OwnedSemaphorePermit),
    Nothing,
    Close,
}

impl<R> From<R> for Answer<R> {
    fn from(response: R) -> Self {
        Self::Send(response)
    }
}

/// Why a request ends its connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    #[error("a request's header is malformed: {0}")]
    Header(#[source] Malformed),
    #[error("API key {0} ({name}) is not served", name = name(*.0))]
    Key(i16),
    #[error("{key:?} version {version} is not served; versions {min} to {max} are")]
    Version { key: ApiKey, version: i16, min: i16, max: i16 },
    #[error("a {key:?} request of version {version} is malformed: {reason}")]
    Malformed { key: ApiKey, version: i16, reason: String },
    #[error("the answer to {key:?} version {version} can't be written: {reason}; this is a mistake of the broker")]
    Answer { key: ApiKey, version: i16, reason: String },
}

fn name(key: i16) -> String {
    ApiKey::try_from(key).map_or_else(|()| "unknown".to_owned(), |key| format!("{key:?}"))
}

/// An API that is served.
pub(crate) struct Served {
    pub(crate) key: ApiKey,
    pub(crate) min: i16,
    pub(crate) max: i16,
    shape: Shape,
}

impl Served {
    /// What its versions hold.
    #[cfg(test)]
    pub(crate) fn shape(&self) -> &Shape {
        &self.shape
    }
}

macro_rules! apis {
    ($($key:ident $min:literal ..= $max:literal $shape:ident $request:ident $answer:path;)*) => {
        /// The table: what ApiVersions tells.
        pub(crate) const SERVED: &[Served] =
            &[$(Served { key: ApiKey::$key, min: $min, max: $max, shape: shapes::$shape }),*];

        /// Decodes a request, has it answered, encodes the answer.
        async fn dispatch(call: &Call, body: Bytes) -> Result<Reply, CallError> {
            match call.key {
                $(ApiKey::$key => {
                    let request = decode::<$request>(call, body)?;
                    encode::<$request>(call, $answer(call, request).await.into())
                })*
                _ => unlisted::answer(call),
            }
        }

        /// Decodes a request and refuses it whole, with one error code.
        pub(crate) fn refuse(call: &Call, body: Bytes, code: i16) -> Result<Reply, CallError> {
            match call.key {
                $(ApiKey::$key => {
                    let request = decode::<$request>(call, body)?;
                    encode::<$request>(call, request.refuse(code, call.version))
                })*
                _ => unlisted::answer(call),
            }
        }
    };
}

apis! {
    // Versions 0 to 2 can't be decoded any more, but librdkafka takes a lowest version above 2 for a broker that knows no compression;
    // Apache Kafka 4 tells 0 for the same reason.
    Produce                 0..=13 PRODUCE                   ProduceRequest                 produce::answer;
    Fetch                   4..=18 FETCH                     FetchRequest                   fetch::answer;
    ListOffsets             1..=10 LIST_OFFSETS              ListOffsetsRequest             list_offsets::answer;
    Metadata                0..=13 METADATA                  MetadataRequest                metadata::answer;
    ApiVersions             0..=4  API_VERSIONS              ApiVersionsRequest             versions::answer;
    CreateTopics            2..=7  CREATE_TOPICS             CreateTopicsRequest            create_topics::answer;
    DeleteTopics            1..=6  DELETE_TOPICS             DeleteTopicsRequest            delete_topics::answer;
    DeleteRecords           0..=2  DELETE_RECORDS            DeleteRecordsRequest           delete_records::answer;
    InitProducerId          0..=5  INIT_PRODUCER_ID          InitProducerIdRequest          init_producer_id::answer;
    OffsetForLeaderEpoch    2..=4  OFFSET_FOR_LEADER_EPOCH   OffsetForLeaderEpochRequest    leader_epoch::answer;
    DescribeConfigs         1..=4  DESCRIBE_CONFIGS          DescribeConfigsRequest         describe_configs::answer;
    AlterConfigs            0..=2  ALTER_CONFIGS             AlterConfigsRequest            alter_configs::replace;
    CreatePartitions        0..=3  CREATE_PARTITIONS         CreatePartitionsRequest        create_partitions::answer;
    IncrementalAlterConfigs 0..=1  INCREMENTAL_ALTER_CONFIGS IncrementalAlterConfigsRequest alter_configs::change;
    DescribeCluster         0..=2  DESCRIBE_CLUSTER          DescribeClusterRequest         describe_cluster::answer;
    DescribeTopicPartitions 0..=0  DESCRIBE_TOPIC_PARTITIONS DescribeTopicPartitionsRequest describe_topic_partitions::answer;
    FindCoordinator         0..=6  FIND_COORDINATOR          FindCoordinatorRequest         find_coordinator::answer;
    JoinGroup               0..=9  JOIN_GROUP                JoinGroupRequest               join_group::answer;
    SyncGroup               0..=5  SYNC_GROUP                SyncGroupRequest               sync_group::answer;
    Heartbeat               0..=4  HEARTBEAT                 HeartbeatRequest               heartbeat::answer;
    LeaveGroup              0..=5  LEAVE_GROUP               LeaveGroupRequest              leave_group::answer;
    OffsetCommit            2..=9  OFFSET_COMMIT             OffsetCommitRequest            offset_commit::answer;
    OffsetFetch             1..=9  OFFSET_FETCH              OffsetFetchRequest             offset_fetch::answer;
    DescribeGroups          0..=6  DESCRIBE_GROUPS           DescribeGroupsRequest          describe_groups::answer;
    ListGroups              0..=5  LIST_GROUPS               ListGroupsRequest              list_groups::answer;
    DeleteGroups            0..=2  DELETE_GROUPS             DeleteGroupsRequest            delete_groups::answer;
    OffsetDelete            0..=0  OFFSET_DELETE             OffsetDeleteRequest            offset_delete::answer;
    ConsumerGroupHeartbeat  0..=1  CONSUMER_GROUP_HEARTBEAT  ConsumerGroupHeartbeatRequest  consumer_protocol::heartbeat;
    ConsumerGroupDescribe   0..=1  CONSUMER_GROUP_DESCRIBE   ConsumerGroupDescribeRequest   consumer_protocol::describe;
    DescribeLogDirs         1..=4  DESCRIBE_LOG_DIRS         DescribeLogDirsRequest         log_dirs::describe;
    AlterReplicaLogDirs     1..=2  ALTER_REPLICA_LOG_DIRS    AlterReplicaLogDirsRequest     log_dirs::alter;
    ElectLeaders            0..=2  ELECT_LEADERS             ElectLeadersRequest            reassignments::elect;
    AlterPartitionReassignments 0..=1 ALTER_PARTITION_REASSIGNMENTS AlterPartitionReassignmentsRequest reassignments::alter;
    ListPartitionReassignments  0..=0 LIST_PARTITION_REASSIGNMENTS  ListPartitionReassignmentsRequest  reassignments::list;
    DescribeProducers       0..=0  DESCRIBE_PRODUCERS        DescribeProducersRequest       describe_producers::answer;
    DescribeTransactions    0..=0  DESCRIBE_TRANSACTIONS     DescribeTransactionsRequest    describe_transactions::describe;
    ListTransactions        0..=2  LIST_TRANSACTIONS         ListTransactionsRequest        describe_transactions::list;
    ListConfigResources     0..=1  LIST_CONFIG_RESOURCES     ListConfigResourcesRequest     list_config_resources::answer;
    DescribeClientQuotas    0..=1  DESCRIBE_CLIENT_QUOTAS    DescribeClientQuotasRequest    quotas::describe;
    AlterClientQuotas       0..=1  ALTER_CLIENT_QUOTAS       AlterClientQuotasRequest       quotas::alter;
    DescribeAcls            1..=3  DESCRIBE_ACLS             DescribeAclsRequest            security::describe_acls;
    CreateAcls              1..=3  CREATE_ACLS               CreateAclsRequest              security::create_acls;
    DeleteAcls              1..=3  DELETE_ACLS               DeleteAclsRequest              security::delete_acls;
    SaslHandshake           0..=1  SASL_HANDSHAKE            SaslHandshakeRequest           security::sasl_handshake;
    SaslAuthenticate        0..=2  SASL_AUTHENTICATE         SaslAuthenticateRequest        security::sasl_authenticate;
    CreateDelegationToken   1..=3  CREATE_DELEGATION_TOKEN   CreateDelegationTokenRequest   security::create_token;
    RenewDelegationToken    1..=2  RENEW_DELEGATION_TOKEN    RenewDelegationTokenRequest    security::renew_token;
    ExpireDelegationToken   1..=2  EXPIRE_DELEGATION_TOKEN   ExpireDelegationTokenRequest   security::expire_token;
    DescribeDelegationToken 1..=3  DESCRIBE_DELEGATION_TOKEN DescribeDelegationTokenRequest security::describe_tokens;
    DescribeUserScramCredentials 0..=0 DESCRIBE_USER_SCRAM_CREDENTIALS DescribeUserScramCredentialsRequest security::describe_scram;
    AlterUserScramCredentials    0..=0 ALTER_USER_SCRAM_CREDENTIALS    AlterUserScramCredentialsRequest    security::alter_scram;
}

/// Decodes a request, has it answered, encodes the answer, which keeps the memory that it takes until it is written.
pub(crate) async fn answer(call: &Call, body: Bytes) -> Result<Reply, CallError> {
    let granted = room::memory(call, room::most(call)).await;
    Ok(room::fitted(dispatch(call, body).await?, granted))
}

impl Call {
    /// Reads the header off a frame, and walks what follows.
    ///
    /// # Errors
    /// When it can't be read, names what is not served, or claims what is not there.
    pub(crate) fn open(shared: &Arc<Shared>, peer: &Arc<Peer>, frame: &mut Bytes) -> Result<Self, CallError> {
        let head = Head::read(frame).map_err(CallError::Header)?;
        let key = ApiKey::try_from(head.api_key).map_err(|()| CallError::Key(head.api_key))?;
        let version = head.version;
        let mut call = Self {
            shared: Arc::clone(shared),
            key,
            version,
            client_id: String::new(),
            peer: Arc::clone(peer),
            elements: 0,
            bytes: frame.len(),
            correlation_id: head.correlation_id,
        };
        let Some(served) = SERVED.iter().find(|served| served.key == key) else {
            return if unlisted::can_answer(key, version) { Ok(call) } else { Err(CallError::Key(head.api_key)) };
        };
        let Served { min, max, .. } = *served;
        if (min..=max).contains(&version) {
            call.client_id = head.take_off(key, frame).map_err(CallError::Header)?;
            call.elements = served.shape.walk(frame, version).map_err(|reason| call.malformed(reason))?.elements;
        } else if key == ApiKey::ApiVersions {
            // Answered without being understood.
            call.version = versions::UNKNOWN;
            frame.clear();
        } else {
            return Err(CallError::Version { key, version, min, max });
        }
        Ok(call)
    }

    fn malformed(&self, reason: impl ToString) -> CallError {
        CallError::Malformed { key: self.key, version: self.version, reason: reason.to_string() }
    }
}

fn decode<R: Request>(call: &Call, mut body: Bytes) -> Result<R, CallError> {
    <R as Decodable>::decode(&mut body, call.version.max(0)).map_err(|reason| call.malformed(reason))
}

fn encode<R: Request>(call: &Call, answer: Answer<R::Response>) -> Result<Reply, CallError> {
    let (response, memory) = match answer {
        Answer::Send(response) => (response, None),
        Answer::Sized(response, memory) => (response, Some(memory)),
        Answer::Nothing => return Ok(Reply::Nothing),
        Answer::Close => return Ok(Reply::Close),
    };
    let frame = frame::encode(call.correlation_id, call.version.max(0), &response)
        .map_err(|reason| CallError::Answer { key: call.key, version: call.version, reason })?;
    Ok(Reply::Send { frame, memory })
}
