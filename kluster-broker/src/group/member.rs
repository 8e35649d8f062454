//! One member of a group: what it said when it joined, what it waits for, and until when it is believed to live.

use super::event::{Identity, Join, JoinRefused, JoinedMember, Protocol, Replies, Synced, Token};
use bytes::Bytes;
use kafka_protocol::ResponseError;
use std::time::{Duration, Instant};

/// A member whose first join waits longer than this is removed: its client may have gone while it waited, and nothing but an answer
/// would show it. Kafka's `group.coordinator` uses the same 5 minutes.
pub(super) const NEW_MEMBER_TIMEOUT: Duration = Duration::from_secs(300);

/// A rough price of a member beside the bytes that it brought.
const OVERHEAD_BYTES: usize = 256;

#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) instance_id: Option<String>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    session_timeout: Duration,
    pub(super) rebalance_timeout: Duration,
    /// In the order in which the member likes them.
    pub(super) protocols: Vec<Protocol>,
    /// The leader's for this generation, in a stable group.
    pub(crate) assignment: Bytes,
    /// It has asked for its assignment in this generation.
    pub(super) synced: bool,
    /// The join that waits.
    pub(super) joining: Option<Token>,
    /// The sync that waits.
    pub(super) syncing: Option<Token>,
    /// No join of it was answered yet.
    new: bool,
    /// When it spoke last, or was answered last.
    heard: Instant,
}

impl Member {
    pub(super) fn new(join: Join, now: Instant) -> Self {
        Self {
            instance_id: join.who.instance_id,
            client_id: join.client_id,
            client_host: join.client_host,
            session_timeout: join.session_timeout,
            rebalance_timeout: join.rebalance_timeout,
            protocols: join.protocols,
            assignment: Bytes::new(),
            synced: false,
            joining: None,
            syncing: None,
            new: true,
            heard: now,
        }
    }

    /// The newest join says what holds.
    pub(super) fn update(&mut self, join: Join, now: Instant) {
        self.client_id = join.client_id;
        self.client_host = join.client_host;
        self.session_timeout = join.session_timeout;
        self.rebalance_timeout = join.rebalance_timeout;
        self.protocols = join.protocols;
        self.heard = now;
    }

    /// A sign of life.
    pub(super) fn touch(&mut self, now: Instant) {
        self.heard = now;
    }

    /// It lives on as if it had been here before: it replaces a static member, or its join was answered.
    pub(super) fn settled(&mut self) {
        self.new = false;
    }

    /// When the member is removed unless it speaks; none while it waits for an answer, since then it is the group that owes the next word.
    pub(super) fn due(&self) -> Option<Instant> {
        match (self.joining, self.syncing) {
            (Some(_), _) if self.new => Some(self.heard + NEW_MEMBER_TIMEOUT),
            (None, None) => Some(self.heard + self.session_timeout),
            _ => None,
        }
    }

    /// Waits with this join. An earlier one that still waits is of a connection that was given up.
    pub(super) fn wait_to_join(&mut self, token: Token, member_id: &str, replies: &mut Replies) {
        if let Some(earlier) = self.joining.replace(token) {
            let member_id = member_id.to_owned();
            replies.join(earlier, Err(JoinRefused { error: ResponseError::RebalanceInProgress, member_id }));
        }
    }

    /// Waits with this sync; an earlier one as above.
    pub(super) fn wait_to_sync(&mut self, token: Token, replies: &mut Replies) {
        if let Some(earlier) = self.syncing.replace(token) {
            replies.sync(earlier, Err(ResponseError::RebalanceInProgress));
        }
    }

    /// Nothing waits any more: whatever did gets this error.
    pub(super) fn refuse(&mut self, error: ResponseError, member_id: &str, replies: &mut Replies) {
        if let Some(token) = self.joining.take() {
            replies.join(token, Err(JoinRefused { error, member_id: member_id.to_owned() }));
        }
        self.refuse_sync(error, replies);
    }

    /// As [`Member::refuse`], for a sync only; false if none waits.
    pub(super) fn refuse_sync(&mut self, error: ResponseError, replies: &mut Replies) -> bool {
        let Some(token) = self.syncing.take() else { return false };
        replies.sync(token, Err(error));
        true
    }

    pub(super) fn knows(&self, protocol: &str) -> bool {
        self.protocols.iter().any(|known| known.name == protocol)
    }

    /// What it says about itself under this protocol; empty if it does not know it.
    pub(crate) fn metadata(&self, protocol: &str) -> Bytes {
        self.protocols
            .iter()
            .find(|known| known.name == protocol)
            .map(|known| known.metadata.clone())
            .unwrap_or_default()
    }

    pub(super) fn for_leader(&self, member_id: &str, protocol: &str) -> JoinedMember {
        let (instance_id, metadata) = (self.instance_id.clone(), self.metadata(protocol));
        JoinedMember { member_id: member_id.to_owned(), instance_id, metadata }
    }

    pub(super) fn synced(&self, protocol_type: String, protocol: String) -> Synced {
        Synced { protocol_type, protocol, assignment: self.assignment.clone() }
    }

    /// Bytes of memory that it takes more when it has joined anew, roughly.
    pub(super) fn grows_by(&self, join: &Join) -> usize {
        let takes = join.client_id.len() + join.client_host.len() + protocol_bytes(&join.protocols);
        let took = self.client_id.len() + self.client_host.len() + protocol_bytes(&self.protocols);
        takes.saturating_sub(took)
    }

    /// Bytes of memory, roughly.
    pub(super) fn bytes(&self) -> usize {
        let names = self.client_id.len() + self.client_host.len() + self.instance_id.as_ref().map_or(0, String::len);
        OVERHEAD_BYTES + names + protocol_bytes(&self.protocols) + self.assignment.len()
    }
}

/// Bytes that these protocols bring into memory.
pub(super) fn protocol_bytes(protocols: &[Protocol]) -> usize {
    protocols.iter().map(|protocol| protocol.name.len() + protocol.metadata.len()).sum()
}

impl Join {
    /// Bytes of memory that the member would take, roughly; its name is part of its id too.
    pub(crate) fn bytes(&self) -> usize {
        let names = 2 * self.client_id.len() + self.client_host.len() + self.who.member_id.len();
        let instance = 2 * self.who.instance_id.as_ref().map_or(0, String::len);
        OVERHEAD_BYTES + names + instance + protocol_bytes(&self.protocols)
    }
}

impl Identity {
    #[cfg(test)]
    pub(crate) fn member(member_id: &str) -> Self {
        Self { member_id: member_id.to_owned(), instance_id: None }
    }
}
