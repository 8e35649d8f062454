//! Fault: what librdkafka's errors mean for whoever asked.

use crate::{LogError, MAX_RECORD_BYTES};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

/// The broker cannot be reached or used at present; it passes by itself.
pub(super) fn is_trouble(code: Code) -> bool {
    use Code::*;
    matches!(code, BrokerTransportFailure | AllBrokersDown | Resolve | SSL | Authentication | SaslAuthenticationFailed)
        || is_transient(code)
}

/// Asking again may help.
pub(super) fn is_transient(code: Code) -> bool {
    use Code::*;
    matches!(
        code,
        BrokerTransportFailure
            | AllBrokersDown
            | Resolve
            | OperationTimedOut
            | TimedOutQueue
            | WaitingForCoordinator
            | WaitCache
            | InProgress
            | Retry
            | Outdated
            | LeaderNotAvailable
            | NotLeaderForPartition
            | RequestTimedOut
            | BrokerNotAvailable
            | ReplicaNotAvailable
            | NetworkException
            | CoordinatorLoadInProgress
            | CoordinatorNotAvailable
            | NotCoordinator
            | NotController
            | KafkaStorageError
            | OffsetNotAvailable
            | FencedLeaderEpoch
            | UnknownLeaderEpoch
            | UnstableOffsetCommit
    )
}

pub(super) fn is_missing(code: Code) -> bool {
    matches!(code, Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition | Code::UnknownTopicId)
}

pub(super) fn is_denied(code: Code) -> bool {
    use Code::*;
    matches!(
        code,
        TopicAuthorizationFailed
            | GroupAuthorizationFailed
            | ClusterAuthorizationFailed
            | SaslAuthenticationFailed
            | Authentication
            | UnsupportedSASLMechanism
    )
}

/// An error of a call about `topic`.
pub(super) fn of_call(error: &KafkaError, doing: &str, topic: &str) -> LogError {
    let (doing, reason) = (doing.to_owned(), error.to_string());
    match error.rdkafka_error_code() {
        Some(code) if is_missing(code) => LogError::MissingTopic { name: topic.to_owned() },
        Some(code) if is_denied(code) => LogError::Denied { doing, reason },
        Some(Code::UnknownMemberId | Code::IllegalGeneration | Code::RebalanceInProgress) => {
            let reason = format!("{reason}; the group has live members, and only they may commit");
            LogError::Denied { doing, reason }
        }
        _ => LogError::Unreachable { doing, reason },
    }
}

/// An error of an append; `never_written`: librdkafka knows that the record did not reach the log.
pub(super) fn of_append(error: &KafkaError, topic: &str, bytes: usize, never_written: bool) -> LogError {
    let reason = error.to_string();
    match error.rdkafka_error_code() {
        Some(Code::MessageSizeTooLarge | Code::InvalidMessageSize | Code::MessageBatchTooLarge) => {
            LogError::TooLarge { bytes, limit: MAX_RECORD_BYTES }
        }
        Some(Code::UnknownTopic | Code::UnknownTopicOrPartition) => LogError::MissingTopic { name: topic.to_owned() },
        Some(code) if is_denied(code) => LogError::Denied { doing: format!("appending to {topic}"), reason },
        _ if never_written => LogError::NotAppended { reason },
        _ => LogError::OutcomeOpen { reason },
    }
}

/// An error of a read, by what the reader does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReadFault {
    /// Passes by itself.
    Wait,
    /// The place is gone.
    Gone,
    /// The topic is gone, unless the broker is only confused.
    Missing,
    /// The reader may not.
    Denied,
    /// librdkafka cannot decode a batch. One with a wrong checksum it passes over, one that it cannot decompress it asks for again and again; the error
    /// does not tell which. A reader ends before it.
    Undecodable,
    /// The client has ended itself: it must be made anew.
    Ended,
}

/// What an error of a read means.
pub(super) fn of_read(error: &KafkaError) -> ReadFault {
    use Code::*;
    if matches!(error, KafkaError::MessageConsumptionFatal(_)) {
        return ReadFault::Ended;
    }
    match error.rdkafka_error_code() {
        Some(AutoOffsetReset | OffsetOutOfRange | LogTruncation | NoOffset) => ReadFault::Gone,
        Some(code) if is_missing(code) => ReadFault::Missing,
        Some(TopicAuthorizationFailed) => ReadFault::Denied,
        Some(
            BadMessage
            | BadCompression
            | NotImplemented
            | InvalidMessage
            | InvalidMessageSize
            | Underflow
            | UnsupportedCompressionType
            | UnsupportedVersion,
        ) => ReadFault::Undecodable,
        Some(Fatal) => ReadFault::Ended,
        _ => ReadFault::Wait,
    }
}
