//! MemoryLog: a whole log in one process, for fast and seeded tests: topics, partitions, offsets, groups, and faults on command.
//!
//! Neighbours: the seam ([`crate::Log`]) above, nothing below.
//!
//! Invariants
//! 1. Deterministic: no randomness, no threads, no clock but the one given, no order of a hash map. The same calls give the same log.
//! 2. All clones see one log. A clone appends in one order with its origin; [`MemoryLog::user`] makes a handle of its own, whose crash is
//!    to drop it and its readers.
//! 3. Works on a single-threaded runtime with paused time; without delays on command it needs no timer.

mod append;
mod group;
mod hook;
mod outage;
mod reader;
mod store;
mod topics;

pub(crate) use group::MemoryGroupReader;
pub use hook::{AppendContext, AppendFault, AppendHook, Clock, ReadContext, ReadFault, ReadHook};
pub(crate) use reader::MemoryReader;

use crate::{LogError, LogIdentity, Range, Record, TopicSettings};
use append::Delayed;
use hook::Hooks;
use kluster_protocol::{Offset, Topic, TopicNames};
use outage::Outage;
use reader::Cursor;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use store::Store;
use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

/// A handle of the log in memory. See the module's invariants.
#[derive(Debug, Clone)]
pub struct MemoryLog {
    shared: Arc<Shared>,
    names: Arc<TopicNames>,
    user: Arc<str>,
    delayed: Arc<Mutex<Delayed>>,
}

struct Shared {
    store: Mutex<Store>,
    hooks: Mutex<Hooks>,
    outage: Mutex<Outage>,
    clock: Clock,
    /// One for each topic, in the order of [`Topic::EACH`].
    changed: [Arc<Notify>; Topic::EACH.len()],
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Default for MemoryLog {
    fn default() -> Self {
        Self::new()
    }
}

/// Making one.
impl MemoryLog {
    /// An empty log with the topics of [`TopicSettings::development`], on the machine's clock.
    pub fn new() -> Self {
        Self::with_clock(Arc::new(|| {
            let since = SystemTime::now().duration_since(UNIX_EPOCH);
            since.map_or(0, |since| since.as_millis() as i64)
        }))
    }

    /// The same on another clock, which stamps records as a broker's would (LogAppendTime).
    pub fn with_clock(clock: Clock) -> Self {
        let log = Self::without_topics(clock);
        log.create_topics(&TopicSettings::development());
        log
    }

    /// A log whose topics are not created yet.
    pub fn without_topics(clock: Clock) -> Self {
        let store = Store { cluster_id: "memory-cluster".to_owned(), ..Store::default() };
        let shared = Shared {
            store: Mutex::new(store),
            hooks: Mutex::default(),
            outage: Mutex::default(),
            clock,
            changed: std::array::from_fn(|_| Arc::new(Notify::new())),
        };
        Self { shared: Arc::new(shared), names: Arc::default(), user: "".into(), delayed: Arc::default() }
    }

    /// A handle of the same log for another user, who appears in the hooks' contexts and whose appends have an order of their own.
    #[must_use]
    pub fn user(&self, name: &str) -> Self {
        Self { user: name.into(), delayed: Arc::default(), ..self.clone() }
    }

    /// A handle of the same log that gives topics and groups these names. The memory log holds one database: names do not tell topics apart.
    #[must_use]
    pub fn named(&self, names: TopicNames) -> Self {
        Self { names: Arc::new(names), ..self.clone() }
    }
}

/// Faults on command and what checkers read.
impl MemoryLog {
    /// From now on this decides what goes wrong with each append of every handle.
    pub fn on_append(&self, hook: AppendHook) {
        self.hooks_mut().append = Some(hook);
    }

    /// From now on this decides what goes wrong with each delivery to every reader.
    pub fn on_read(&self, hook: ReadHook) {
        self.hooks_mut().read = Some(hook);
    }

    /// Nothing goes wrong from now on.
    pub fn clear_hooks(&self) {
        *self.hooks_mut() = Hooks::default();
    }

    /// The partition loses everything from `end` on, as by an unclean election.
    pub fn truncate(&self, topic: Topic, partition: u32, end: Offset) {
        self.change(topic, partition, |partition| partition.truncate(end.in_kafka()));
    }

    /// The partition loses everything before `start`, as by retention or DeleteRecords.
    pub fn trim(&self, topic: Topic, partition: u32, start: Offset) {
        self.change(topic, partition, |partition| partition.trim(start.in_kafka()));
    }

    /// The partition skips `count` offsets, as for the markers of foreign transactions.
    pub fn leave_hole(&self, topic: Topic, partition: u32, count: u64) {
        self.change(topic, partition, |partition| partition.end += count);
    }

    /// The topic is deleted and made again: empty, under another topic id, committed places gone.
    pub fn recreate(&self, topic: Topic) {
        let mut store = self.store();
        if let Some(old) = store.topics.remove(&topic) {
            store.make(topic, old.partitions.len() as u32, old.copies, old.settings);
        }
        drop(store);
        self.wake(topic);
    }

    /// The cluster calls itself so from now on, as if the address led to another.
    pub fn set_cluster_id(&self, id: &str) {
        id.clone_into(&mut self.store().cluster_id);
    }

    /// Changes a setting of a topic behind Kluster's back.
    pub fn set_setting(&self, topic: Topic, setting: &str, value: &str) {
        if let Some(found) = self.store().topics.get_mut(&topic) {
            found.settings.insert(setting.to_owned(), value.to_owned());
        }
    }

    /// Whether the topic's settings may be read.
    pub fn hide_settings(&self, topic: Topic, hidden: bool) {
        if let Some(found) = self.store().topics.get_mut(&topic) {
            found.settings_hidden = hidden;
        }
    }

    /// Everything in a partition, for checkers.
    pub fn records(&self, topic: Topic, partition: u32) -> Vec<Record> {
        let store = self.store();
        let found = store.partition(topic, partition);
        found.map_or_else(Vec::new, |found| found.records.iter().map(|stored| stored.record.clone()).collect())
    }

    fn change(&self, topic: Topic, partition: u32, change: impl FnOnce(&mut store::Partition)) {
        if let Some(partition) = self.store().partition_mut(topic, partition) {
            change(partition);
        }
        self.wake(topic);
    }
}

/// What the seam asks.
impl MemoryLog {
    pub(crate) fn names(&self) -> &TopicNames {
        &self.names
    }

    pub(crate) fn partitions(&self, topic: Topic) -> Result<u32, LogError> {
        self.reach("asking for partitions")?;
        let store = self.store();
        let found = store.topics.get(&topic).map(|topic| topic.partitions.len() as u32);
        found.ok_or_else(|| self.missing(topic))
    }

    pub(crate) fn range(&self, topic: Topic, partition: u32) -> Result<Range, LogError> {
        self.reach("asking for a range")?;
        self.admits(topic)?;
        self.real_range(topic, partition).map(|range| self.told(range))
    }

    fn real_range(&self, topic: Topic, partition: u32) -> Result<Range, LogError> {
        let store = self.store();
        store.partition(topic, partition).map(store::Partition::range).ok_or_else(|| self.missing(topic))
    }

    pub(crate) fn read_many(&self, topic: Topic, from: Vec<(u32, Offset)>) -> Result<MemoryReader, LogError> {
        for (partition, place) in &from {
            self.reach("opening a reader")?;
            let range = self.real_range(topic, *partition)?;
            if !range.admits(*place) {
                return Err(self.out_of_range(topic, *partition, place.in_kafka(), range));
            }
        }
        let cursors = from.iter().map(|(partition, place)| Cursor::at(*partition, place.in_kafka())).collect();
        Ok(MemoryReader::new(self.clone(), topic, cursors))
    }

    pub(crate) fn join(&self, topic: Topic, group: &str) -> Result<MemoryGroupReader, LogError> {
        self.partitions(topic)?;
        self.admits(topic)?;
        Ok(MemoryGroupReader::join(self.clone(), topic, group))
    }

    pub(crate) fn committed(&self, group: &str, topic: Topic, partition: u32) -> Result<Option<Offset>, LogError> {
        self.reach("asking for a group's place")?;
        self.real_range(topic, partition)?;
        let mut store = self.store();
        Ok(store.group(group, topic).committed.get(&partition).copied().map(Offset::new))
    }

    pub(crate) fn commit(&self, group: &str, topic: Topic, partition: u32, next: Offset) -> Result<(), LogError> {
        self.reach("committing a group's place")?;
        self.real_range(topic, partition)?;
        self.store().group(group, topic).committed.insert(partition, next.in_kafka());
        Ok(())
    }

    pub(crate) fn identity(&self) -> Result<LogIdentity, LogError> {
        self.reach("asking for the log's identity")?;
        let store = self.store();
        let all = store.topics.get(&Topic::All).ok_or_else(|| self.missing(Topic::All))?;
        Ok(LogIdentity { cluster_id: store.cluster_id.clone(), topic_id: all.id.clone() })
    }
}

/// For the parts.
impl MemoryLog {
    fn store(&self) -> MutexGuard<'_, Store> {
        self.shared.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hooks(&self) -> Hooks {
        self.hooks_mut().clone()
    }

    fn hooks_mut(&self) -> MutexGuard<'_, Hooks> {
        self.shared.hooks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes everyone who waits for the topic.
    fn wake(&self, topic: Topic) {
        self.shared.changed[topic as usize].notify_waiters();
    }

    /// Completes at the next change of the topic after this call.
    fn woken(&self, topic: Topic) -> OwnedNotified {
        self.shared.changed[topic as usize].clone().notified_owned()
    }

    fn missing(&self, topic: Topic) -> LogError {
        LogError::MissingTopic { name: self.names.name(topic) }
    }

    fn out_of_range(&self, topic: Topic, partition: u32, asked: u64, range: Range) -> LogError {
        let Range { start, end } = range;
        LogError::OutOfRange { topic: self.names.name(topic), partition, asked: Offset::new(asked), start, end }
    }
}
