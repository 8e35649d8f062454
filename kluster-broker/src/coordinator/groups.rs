//! All groups: which there are, when each wants to be woken, who waits for which answer, and how much memory they take. Still without I/O.
//!
//! Invariants
//! 1. Whatever happens to a group happens through [`Groups::with`], so its answers are delivered and its deadline is known.
//! 2. A group that came into being for an event that failed is gone after it.

use super::GroupSettings;
use crate::group::{Group, JoinAnswer, Limits, Replies, SyncAnswer, Token};
use kafka_protocol::ResponseError;
use std::collections::{BTreeSet, HashMap};
use std::time::Instant;
use tokio::sync::oneshot;

/// A rough price of a group beside its name and members.
const OVERHEAD_BYTES: usize = 512;

#[derive(Debug)]
pub(super) struct Groups {
    limits: Limits,
    max_groups: usize,
    max_bytes: usize,
    slots: HashMap<String, Slot>,
    /// Deadline and name of each group that has one.
    due: BTreeSet<(Instant, String)>,
    bytes: usize,
    tokens: u64,
    joins: HashMap<Token, oneshot::Sender<JoinAnswer>>,
    syncs: HashMap<Token, oneshot::Sender<SyncAnswer>>,
}

#[derive(Debug)]
struct Slot {
    group: Group,
    due: Option<Instant>,
    bytes: usize,
}

impl Groups {
    pub(super) fn new(settings: &GroupSettings) -> Self {
        let limits = Limits {
            members: settings.max_members,
            member_bytes: settings.max_member_bytes,
            initial_delay: settings.initial_rebalance_delay,
        };
        Self {
            limits,
            max_groups: settings.max_groups,
            max_bytes: settings.max_bytes,
            slots: HashMap::new(),
            due: BTreeSet::new(),
            bytes: 0,
            tokens: 0,
            joins: HashMap::new(),
            syncs: HashMap::new(),
        }
    }

    /// Does something with a group, if there is one of this name.
    pub(super) fn with<R>(&mut self, name: &str, event: impl FnOnce(&mut Group) -> R) -> Option<R> {
        let Self { slots, due, bytes, joins, syncs, .. } = self;
        let slot = slots.get_mut(name)?;
        let before = (slot.group.state(), slot.group.generation());
        let result = event(&mut slot.group);
        let after = (slot.group.state(), slot.group.generation());
        if before != after {
            let members = slot.group.members().count();
            tracing::debug!(
                group = name,
                from = before.0,
                to = after.0,
                generation = after.1,
                members,
                "group moved on"
            );
        }
        deliver(slot.group.take_replies(), joins, syncs);
        let next = slot.group.next_deadline();
        if next != slot.due {
            slot.due.map(|earlier| due.remove(&(earlier, name.to_owned())));
            next.map(|next| due.insert((next, name.to_owned())));
            slot.due = next;
        }
        let now_takes = OVERHEAD_BYTES + name.len() + slot.group.bytes();
        *bytes = *bytes + now_takes - std::mem::replace(&mut slot.bytes, now_takes);
        Some(result)
    }

    /// As [`Groups::with`], of a group that is created if there is none. One that remains unused is not kept.
    pub(super) fn with_new<R>(&mut self, now: Instant, name: &str, event: impl FnOnce(&mut Group) -> R) -> Option<R> {
        let existed = self.slots.contains_key(name);
        self.create(now, name);
        let result = self.with(name, event);
        let unused = |slot: &Slot| slot.group.protocol_type().is_none() && slot.group.idle_since().is_some();
        if !existed && self.slots.get(name).is_some_and(unused) {
            self.remove(name);
        }
        result
    }

    /// An empty group, if there is none of this name.
    pub(super) fn create(&mut self, now: Instant, name: &str) {
        if !self.slots.contains_key(name) {
            self.slots.insert(name.to_owned(), Slot { group: Group::new(self.limits, now), due: None, bytes: 0 });
            self.with(name, |_| ());
        }
    }

    /// May there be one more group?
    ///
    /// # Errors
    /// `POLICY_VIOLATION`: a client does not try that again by itself.
    pub(super) fn check_one_more(&self) -> Result<(), ResponseError> {
        if self.slots.len() < self.max_groups {
            return Ok(());
        }
        tracing::warn!(groups = self.slots.len(), "a group is refused: there are as many as there may be");
        Err(ResponseError::PolicyViolation)
    }

    pub(super) fn remove(&mut self, name: &str) {
        let Some(slot) = self.slots.remove(name) else { return };
        self.bytes -= slot.bytes;
        slot.due.map(|due| self.due.remove(&(due, name.to_owned())));
    }

    pub(super) fn get(&self, name: &str) -> Option<&Group> {
        self.slots.get(name).map(|slot| &slot.group)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&String, &Group)> {
        self.slots.iter().map(|(name, slot)| (name, &slot.group))
    }

    /// May something of this size come in?
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        self.bytes + bytes <= self.max_bytes
    }

    /// Where the answer to a join will come.
    pub(super) fn await_join(&mut self) -> (Token, oneshot::Receiver<JoinAnswer>) {
        let (token, (sender, receiver)) = (self.token(), oneshot::channel());
        self.joins.insert(token, sender);
        (token, receiver)
    }

    /// Where the answer to a sync will come.
    pub(super) fn await_sync(&mut self) -> (Token, oneshot::Receiver<SyncAnswer>) {
        let (token, (sender, receiver)) = (self.token(), oneshot::channel());
        self.syncs.insert(token, sender);
        (token, receiver)
    }

    fn token(&mut self) -> Token {
        self.tokens += 1;
        Token(self.tokens)
    }

    /// When the next group wants to be woken.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|(due, _)| *due)
    }

    /// Wakes every group whose time has come.
    pub(super) fn tick(&mut self, now: Instant) {
        let due: Vec<String> =
            self.due.iter().take_while(|(due, _)| *due <= now).map(|(_, name)| name.clone()).collect();
        for name in due {
            self.with(&name, |group| group.tick(now));
        }
    }

    /// Answers all who wait; nothing is served any more.
    pub(super) fn drain(&mut self) {
        let names: Vec<String> = self.slots.keys().cloned().collect();
        for name in names {
            self.with(&name, Group::drain);
        }
    }
}

/// Whoever went away meanwhile gets nothing.
fn deliver(
    replies: Replies,
    joins: &mut HashMap<Token, oneshot::Sender<JoinAnswer>>,
    syncs: &mut HashMap<Token, oneshot::Sender<SyncAnswer>>,
) {
    for (token, answer) in replies.joins {
        if let Some(waiter) = joins.remove(&token) {
            let _ = waiter.send(answer);
        }
    }
    for (token, answer) in replies.syncs {
        if let Some(waiter) = syncs.remove(&token) {
            let _ = waiter.send(answer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::{Identity, Join, Protocol};
    use bytes::Bytes;
    use std::time::Duration;

    fn join(client: &str) -> Join {
        Join {
            who: Identity::default(),
            client_id: client.to_owned(),
            client_host: String::new(),
            session_timeout: Duration::from_secs(10),
            rebalance_timeout: Duration::from_secs(10),
            protocol_type: "consumer".to_owned(),
            protocols: vec![Protocol { name: "range".to_owned(), metadata: Bytes::from_static(&[0; 100]) }],
            id_first: false,
            may_skip_assignment: false,
        }
    }

    #[test]
    fn nothing_of_a_group_stays_when_it_goes() {
        let mut groups = Groups::new(&GroupSettings::default());
        let began = Instant::now();
        for (index, name) in ["one", "two", "one"].into_iter().enumerate() {
            let (token, _answer) = groups.await_join();
            groups.with_new(began, name, |group| group.join(began, token, join("a"), &format!("id-{index}")));
        }
        assert_eq!(groups.due.len(), 2, "one deadline for each group");
        assert!(groups.bytes > 300);
        for name in ["one", "two"] {
            let members: Vec<String> = groups.slots[name].group.members().map(|(id, _)| id.to_owned()).collect();
            for id in members {
                groups.with(name, |group| group.leave(began, &[Identity::member(&id)]));
            }
        }
        assert_eq!((groups.next_due(), groups.joins.len()), (None, 0), "all have left, and all were answered");
        groups.with("one", |group| {
            group.join(began, Token(9), Join { id_first: true, ..join("b") }, "promised");
        });
        assert!(groups.next_due().is_some());
        groups.remove("one");
        groups.remove("two");
        assert_eq!((groups.next_due(), groups.bytes), (None, 0));
    }
}
