//! LogError: why the log did not do what was asked, and what to do next.

use kluster_protocol::Offset;

/// Why the log did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// Passes by itself. Returned only by calls with a deadline: readers keep trying inside and show it as `trouble()`.
    #[error(
        "Kafka did not answer while {doing}: {reason}. Check that it runs and that its address (--bootstrap) is right; asking again is safe"
    )]
    Unreachable {
        /// What was asked.
        doing: String,
        /// What the client library says.
        reason: String,
    },
    /// The place to read from is not in the log (any more).
    #[error(
        "{topic}/{partition} has no place {asked}: it begins at {start} and ends before {end}. If it begins later, it was trimmed: restore a newer \
         snapshot; if it ends earlier, it lost its tail or is another log: compare cluster and topic id before going on"
    )]
    OutOfRange {
        /// The topic's name in Kafka.
        topic: String,
        /// The partition.
        partition: u32,
        /// The place asked for.
        asked: Offset,
        /// The first place that can be read.
        start: Offset,
        /// The place behind the last record.
        end: Offset,
    },
    /// Surely not in the log.
    #[error("the record has {bytes} bytes, a record has at most {limit}: send less at once")]
    TooLarge {
        /// Size of key, headers and value.
        bytes: usize,
        /// The largest size allowed.
        limit: usize,
    },
    /// The record is surely not in the log; sending it again is safe.
    #[error("not appended: {reason}. It is surely not in the log; sending it again is safe")]
    NotAppended {
        /// What the client library or the broker says.
        reason: String,
    },
    /// The record may be in the log, or come into it for a short while yet.
    #[error("outcome open: {reason}. The record may be in the log: send it again only under the same messageId")]
    OutcomeOpen {
        /// What the client library or the broker says.
        reason: String,
    },
    /// The topic does not exist, or may not be seen by this user.
    #[error(
        "there is no topic {name:?} (or it may not be seen): create the topics with `kluster-admin topics create`, or check --database and --topic-prefix"
    )]
    MissingTopic {
        /// Its name in Kafka.
        name: String,
    },
    /// The broker's access rules forbid it, or the login failed.
    #[error(
        "Kafka forbids {doing}: {reason}. Give this user the right by `kafka-acls`, or log in as another by --kafka-property"
    )]
    Denied {
        /// What was asked.
        doing: String,
        /// What the broker says.
        reason: String,
    },
    /// Settings that cannot hold; the text says which and what is expected.
    #[error("{0}")]
    Settings(String),
    /// The handle was closed.
    #[error("the log's handle is closed: connect again")]
    Closed,
}
