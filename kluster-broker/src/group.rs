//! A consumer group of the classic protocol as a state machine: events go in with the time they came at, answers come out. No I/O, no clock, no
//! chance: ids of new members are given to it.
//!
//! Neighbours: `coordinator` feeds it, keeps the time and delivers its answers; `event` has what comes and goes, `state` the states; `join`,
//! `rebalance`, `sync` and `leave` are the ways through them. What members may do and which error they get is Kafka's, since its clients count on it.
//!
//! Invariants (`proptests` checks all of them after every step of random histories; single cases are in `tests`)
//! 1. The generation only rises, and rises whenever the set of members that were told they are in it changes.
//! 2. In `Stable` every member has an assignment, made by the leader of this generation; nobody else gets `OK` to a sync.
//! 3. Each waiting join and sync is answered exactly once.
//! 4. The group settles: when nothing comes and time passes, nobody waits and it ends `Empty`. There is a deadline whenever somebody waits.
//! 5. A member that was removed is never answered `OK` again under its id.
//! 6. While a generation stands there is one leader, it is a member, and every member knows the protocol that was selected.
//! 7. Members and those who were promised an id are at most `Limits::members`, and none brings more than `Limits::member_bytes`.
//! 8. Instance ids are unique: the newest holder has the place, the earlier one is fenced.

mod event;
#[cfg(test)]
mod fixture;
mod join;
mod leave;
mod member;
#[cfg(test)]
mod proptests;
mod rebalance;
mod state;
mod subscription;
mod sync;
#[cfg(test)]
mod tests;

pub(crate) use event::{
    Identity, Join, JoinAnswer, JoinRefused, JoinedMember, Protocol, Replies, Sync, SyncAnswer, Token,
};
#[cfg(test)]
pub(crate) use event::{Joined, Synced};
pub(crate) use member::Member;

use kafka_protocol::ResponseError;
use state::State;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Kafka's protocol type of ordinary consumers; of it the broker knows how to read the subscribed topics.
pub(crate) const CONSUMER: &str = "consumer";

/// What bounds a group.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Members, and ids given to members that have not joined with them yet, in all.
    pub(crate) members: usize,
    /// Bytes of protocol names and metadata that one member may bring.
    pub(crate) member_bytes: usize,
    /// How long the first rebalance of an empty group waits for more members; zero: not at all.
    pub(crate) initial_delay: Duration,
}

/// One group.
#[derive(Debug)]
pub(crate) struct Group {
    limits: Limits,
    state: State,
    generation: i32,
    /// Of the members there are or, in an empty group, were last; none before the first member.
    protocol_type: Option<String>,
    /// The selected protocol; present while a generation stands.
    protocol: Option<String>,
    leader: Option<String>,
    members: BTreeMap<String, Member>,
    /// Ids that were given out and not joined with, and until when they are good.
    pending: BTreeMap<String, Instant>,
    replies: Replies,
}

impl Group {
    /// An empty group in generation 0.
    pub(crate) fn new(limits: Limits, now: Instant) -> Self {
        Self {
            limits,
            state: State::Empty { since: now },
            generation: 0,
            protocol_type: None,
            protocol: None,
            leader: None,
            members: BTreeMap::new(),
            pending: BTreeMap::new(),
            replies: Replies::default(),
        }
    }

    /// Answers that became due since this was asked last.
    pub(crate) fn take_replies(&mut self) -> Replies {
        std::mem::take(&mut self.replies)
    }

    /// When [`Group::tick`] has something to do, unless an event comes first.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let members = self.members.values().filter_map(Member::due);
        members.chain(self.pending.values().copied()).chain(self.state.until()).min()
    }

    /// A sign of life.
    ///
    /// # Errors
    /// `REBALANCE_IN_PROGRESS` asks the member to join again; all others say that it is not in this generation.
    pub(crate) fn heartbeat(&mut self, now: Instant, who: &Identity, generation: i32) -> Result<(), ResponseError> {
        self.check_member(who)?;
        self.check_generation(generation)?;
        self.touch(now, &who.member_id);
        match self.state {
            State::PreparingRebalance { .. } => Err(ResponseError::RebalanceInProgress),
            _ => Ok(()),
        }
    }

    /// May these offsets be committed? A member may until the next generation begins; whoever is no member (generation −1, no ids) may while
    /// the group is empty.
    ///
    /// # Errors
    /// As [`Group::heartbeat`]; and `REBALANCE_IN_PROGRESS` between a member's join and its assignment.
    pub(crate) fn check_commit(&mut self, now: Instant, who: &Identity, generation: i32) -> Result<(), ResponseError> {
        if self.state == State::Dead {
            return Err(ResponseError::CoordinatorNotAvailable);
        }
        if generation < 0 && self.is_empty() {
            return Ok(());
        }
        self.check_member(who)?;
        self.check_generation(generation)?;
        self.touch(now, &who.member_id);
        match self.state {
            State::CompletingRebalance { .. } => Err(ResponseError::RebalanceInProgress),
            _ => Ok(()),
        }
    }

    /// The group serves no more: whoever waits is sent to look for another coordinator, and so is everybody after.
    pub(crate) fn drain(&mut self) {
        for (id, member) in &mut self.members {
            member.refuse(ResponseError::CoordinatorNotAvailable, id, &mut self.replies);
        }
        self.members.clear();
        self.pending.clear();
        self.state = State::Dead;
    }

    /// Kafka's name of the state.
    pub(crate) fn state(&self) -> &'static str {
        self.state.name()
    }

    /// No members.
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self.state, State::Empty { .. })
    }

    /// Since when there are no members and nobody who was asked to come back with an id.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        match self.state {
            State::Empty { since } if self.pending.is_empty() => Some(since),
            _ => None,
        }
    }

    pub(crate) fn generation(&self) -> i32 {
        self.generation
    }

    /// `consumer`, or another, or none if it never had a member.
    pub(crate) fn protocol_type(&self) -> Option<&str> {
        self.protocol_type.as_deref()
    }

    /// The protocol that was selected, once everybody has an assignment.
    pub(crate) fn settled_protocol(&self) -> Option<&str> {
        if matches!(self.state, State::Stable { .. }) { self.protocol.as_deref() } else { None }
    }

    /// All members with their ids.
    pub(crate) fn members(&self) -> impl Iterator<Item = (&str, &Member)> {
        self.members.iter().map(|(id, member)| (id.as_str(), member))
    }

    /// Bytes of memory, roughly.
    pub(crate) fn bytes(&self) -> usize {
        let members: usize = self.members.iter().map(|(id, member)| id.len() + member.bytes()).sum();
        members + self.pending.keys().map(|id| id.len() + 64).sum::<usize>()
    }

    /// Bytes of memory that this join adds, roughly: one who is a member already takes most of them.
    pub(crate) fn grows_by(&self, join: &Join) -> usize {
        let holder = join.who.instance_id.as_deref().and_then(|instance| self.holder(instance));
        let member = self.members.get(holder.unwrap_or(&join.who.member_id));
        member.map_or(join.bytes(), |member| member.grows_by(join))
    }

    /// Is this one a member? Its instance id, if it has one, says more than its id.
    fn check_member(&self, who: &Identity) -> Result<(), ResponseError> {
        if self.state == State::Dead {
            return Err(ResponseError::CoordinatorNotAvailable);
        }
        if let Some(instance) = &who.instance_id {
            match self.holder(instance) {
                None => return Err(ResponseError::UnknownMemberId),
                Some(holder) if holder != who.member_id => return Err(ResponseError::FencedInstanceId),
                Some(_) => {}
            }
        }
        if self.members.contains_key(&who.member_id) { Ok(()) } else { Err(ResponseError::UnknownMemberId) }
    }

    fn check_generation(&self, generation: i32) -> Result<(), ResponseError> {
        if generation == self.generation { Ok(()) } else { Err(ResponseError::IllegalGeneration) }
    }

    /// The member id that has this instance id.
    fn holder(&self, instance: &str) -> Option<&str> {
        let mut members = self.members.iter();
        members.find(|(_, member)| member.instance_id.as_deref() == Some(instance)).map(|(id, _)| id.as_str())
    }

    fn touch(&mut self, now: Instant, member_id: &str) {
        if let Some(member) = self.members.get_mut(member_id) {
            member.touch(now);
        }
    }
}
