//! What comes to a group and what it answers. Plain values: the API files make them from requests and make responses from them.

use bytes::Bytes;
use kafka_protocol::ResponseError;
use std::time::Duration;

/// Who waits for the answer to a join or a sync. The coordinator gives each waiting request another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Token(pub(crate) u64);

/// Who speaks: the id that the coordinator gave and, of a static member, the name that its user gave.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Empty: the member has no id yet.
    pub(crate) member_id: String,
    /// `group.instance.id`: such a member keeps its place when it restarts.
    pub(crate) instance_id: Option<String>,
}

/// One way to share partitions that a member knows, with what it says to the leader about itself. The broker never looks into the metadata to
/// assign anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Protocol {
    /// `range`, `roundrobin`, `cooperative-sticky`, or any other name.
    pub(crate) name: String,
    /// For the leader.
    pub(crate) metadata: Bytes,
}

/// A wish to be in the next generation.
#[derive(Debug, Clone)]
pub(crate) struct Join {
    pub(crate) who: Identity,
    /// From the request's header; shown to whoever describes the group.
    pub(crate) client_id: String,
    /// Where the request came from; shown likewise.
    pub(crate) client_host: String,
    /// A member that says nothing for this long is removed.
    pub(crate) session_timeout: Duration,
    /// How long a rebalance waits for this member.
    pub(crate) rebalance_timeout: Duration,
    /// `consumer`, `connect`, or another; all members have the same.
    pub(crate) protocol_type: String,
    /// In the order in which the member likes them.
    pub(crate) protocols: Vec<Protocol>,
    /// From version 4 on a new member first gets its id and joins again with it, so that a lost answer leaves no member behind.
    pub(crate) id_first: bool,
    /// From version 9 on a leader can be told that the assignment stands.
    pub(crate) may_skip_assignment: bool,
}

/// A wish to know one's assignment; the leader's brings everybody's.
#[derive(Debug, Clone)]
pub(crate) struct Sync {
    pub(crate) who: Identity,
    pub(crate) generation: i32,
    /// Absent before version 5.
    pub(crate) protocol_type: Option<String>,
    /// Absent before version 5.
    pub(crate) protocol: Option<String>,
    /// Member id and assignment; counts from the leader only.
    pub(crate) assignments: Vec<(String, Bytes)>,
}

/// A member is in a generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Joined {
    pub(crate) generation: i32,
    pub(crate) protocol_type: String,
    pub(crate) protocol: String,
    /// Member id of the leader.
    pub(crate) leader: String,
    pub(crate) member_id: String,
    /// Everybody, for the leader; empty for all others.
    pub(crate) members: Vec<JoinedMember>,
    /// The leader need not assign anything.
    pub(crate) skip_assignment: bool,
}

/// What the leader is told of each member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JoinedMember {
    pub(crate) member_id: String,
    pub(crate) instance_id: Option<String>,
    /// Of the protocol that was selected.
    pub(crate) metadata: Bytes,
}

/// A join that did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JoinRefused {
    pub(crate) error: ResponseError,
    /// The id to join with, when the error is `MEMBER_ID_REQUIRED`; else the one that was sent.
    pub(crate) member_id: String,
}

/// The answer to a join.
pub(crate) type JoinAnswer = Result<Joined, JoinRefused>;

/// An assignment, as the leader made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Synced {
    pub(crate) protocol_type: String,
    pub(crate) protocol: String,
    /// Empty if the leader gave this member nothing.
    pub(crate) assignment: Bytes,
}

/// The answer to a sync.
pub(crate) type SyncAnswer = Result<Synced, ResponseError>;

/// Answers that are due now, each to the request that waits with this token.
#[derive(Debug, Default)]
pub(crate) struct Replies {
    pub(crate) joins: Vec<(Token, JoinAnswer)>,
    pub(crate) syncs: Vec<(Token, SyncAnswer)>,
}

impl Replies {
    pub(super) fn join(&mut self, to: Token, answer: JoinAnswer) {
        self.joins.push((to, answer));
    }

    pub(super) fn sync(&mut self, to: Token, answer: SyncAnswer) {
        self.syncs.push((to, answer));
    }
}
