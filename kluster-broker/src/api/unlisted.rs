//! APIs that are not told of in ApiVersions. Who asks all the same gets UNSUPPORTED_VERSION where the answer has one place for it and its version
//! is known; so a client learns at once what is missing. Else the connection ends, as Apache Kafka's does.
//!
//! The request is not decoded: its header is enough.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::*;

use super::{Answer, Call, CallError, Reply, encode};

macro_rules! unlisted {
    ($($key:ident $request:ident $response:ident;)*) => {
        /// The answer that says that an API is not served.
        pub(super) fn answer(call: &Call) -> Result<Reply, CallError> {
            let code = ResponseError::UnsupportedVersion.code();
            match call.key {
                $(ApiKey::$key => encode::<$request>(call, Answer::Send($response::default().with_error_code(code))),)*
                _ => Err(CallError::Key(call.key as i16)),
            }
        }

        /// Whether such an answer can be written.
        pub(super) fn can_answer(key: ApiKey, version: i16) -> bool {
            let versions = key.valid_versions();
            matches!(key, $(ApiKey::$key)|*) && (versions.min..=versions.max).contains(&version)
        }
    };
}

unlisted! {
    AddOffsetsToTxn         AddOffsetsToTxnRequest           AddOffsetsToTxnResponse;
    EndTxn                  EndTxnRequest                    EndTxnResponse;
    Vote                    VoteRequest                      VoteResponse;
    BeginQuorumEpoch        BeginQuorumEpochRequest          BeginQuorumEpochResponse;
    EndQuorumEpoch          EndQuorumEpochRequest            EndQuorumEpochResponse;
    DescribeQuorum          DescribeQuorumRequest            DescribeQuorumResponse;
    AlterPartition          AlterPartitionRequest            AlterPartitionResponse;
    UpdateFeatures          UpdateFeaturesRequest            UpdateFeaturesResponse;
    Envelope                EnvelopeRequest                  EnvelopeResponse;
    FetchSnapshot           FetchSnapshotRequest             FetchSnapshotResponse;
    BrokerRegistration      BrokerRegistrationRequest        BrokerRegistrationResponse;
    BrokerHeartbeat         BrokerHeartbeatRequest           BrokerHeartbeatResponse;
    UnregisterBroker        UnregisterBrokerRequest          UnregisterBrokerResponse;
    AllocateProducerIds     AllocateProducerIdsRequest       AllocateProducerIdsResponse;
    ControllerRegistration  ControllerRegistrationRequest    ControllerRegistrationResponse;
    GetTelemetrySubscriptions GetTelemetrySubscriptionsRequest GetTelemetrySubscriptionsResponse;
    PushTelemetry           PushTelemetryRequest             PushTelemetryResponse;
    AssignReplicasToDirs    AssignReplicasToDirsRequest      AssignReplicasToDirsResponse;
    ShareGroupHeartbeat     ShareGroupHeartbeatRequest       ShareGroupHeartbeatResponse;
    ShareFetch              ShareFetchRequest                ShareFetchResponse;
    ShareAcknowledge        ShareAcknowledgeRequest          ShareAcknowledgeResponse;
    AddRaftVoter            AddRaftVoterRequest              AddRaftVoterResponse;
    RemoveRaftVoter         RemoveRaftVoterRequest           RemoveRaftVoterResponse;
    UpdateRaftVoter         UpdateRaftVoterRequest           UpdateRaftVoterResponse;
    AlterShareGroupOffsets  AlterShareGroupOffsetsRequest    AlterShareGroupOffsetsResponse;
    DeleteShareGroupOffsets DeleteShareGroupOffsetsRequest   DeleteShareGroupOffsetsResponse;
}
