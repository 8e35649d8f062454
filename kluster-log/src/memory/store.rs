//! Store: what the memory log holds. Plain data without waiting; offsets here are "Kafka's own".

use crate::{NewRecord, Range, Record};
use kluster_protocol::{Offset, Topic};
use std::collections::{BTreeMap, VecDeque};

/// Everything in the log.
#[derive(Debug, Default)]
pub(super) struct Store {
    pub(super) cluster_id: String,
    pub(super) topics: BTreeMap<Topic, TopicStore>,
    pub(super) groups: BTreeMap<(String, Topic), Group>,
    /// Topics made so far, so that each gets another id.
    pub(super) made: u64,
    /// Appends so far: merges partitions in the order in which their records came.
    pub(super) sequence: u64,
}

/// One topic.
#[derive(Debug, Default)]
pub(super) struct TopicStore {
    pub(super) id: String,
    pub(super) partitions: Vec<Partition>,
    pub(super) settings: BTreeMap<String, String>,
    pub(super) settings_hidden: bool,
    pub(super) copies: u32,
    /// Where the next record without key and partition goes.
    pub(super) spread: u32,
}

/// One partition.
#[derive(Debug, Default)]
pub(super) struct Partition {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) records: VecDeque<Stored>,
}

/// A record and when it came, counted over all partitions.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) sequence: u64,
    pub(super) record: Record,
}

/// A consumer group's state for one topic.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// Live members in the order in which they joined.
    pub(super) members: Vec<u64>,
    /// Members so far, so that each gets another number.
    pub(super) joined: u64,
    /// Rises with each change of members.
    pub(super) generation: u64,
    pub(super) committed: BTreeMap<u32, u64>,
}

impl Store {
    /// Makes the topic anew: another id, empty, committed places gone, settings kept.
    pub(super) fn make(&mut self, topic: Topic, partitions: u32, copies: u32, settings: BTreeMap<String, String>) {
        self.made += 1;
        let made = TopicStore {
            id: format!("memory-topic-{}", self.made),
            partitions: (0..partitions).map(|_| Partition::default()).collect(),
            settings,
            copies,
            ..TopicStore::default()
        };
        self.topics.insert(topic, made);
        for ((_, of), group) in &mut self.groups {
            if *of == topic {
                group.committed.clear();
            }
        }
    }

    /// Appends a record; None: there is no such partition.
    pub(super) fn append(
        &mut self,
        topic: Topic,
        partition: u32,
        record: NewRecord,
        timestamp_ms: i64,
    ) -> Option<Offset> {
        self.sequence += 1;
        let sequence = self.sequence;
        let place = self.partition_mut(topic, partition)?;
        let offset = Offset::new(place.end);
        let NewRecord { key, headers, value } = record;
        let record = Record { partition, offset, timestamp_ms, key, headers, value };
        place.records.push_back(Stored { sequence, record });
        place.end += 1;
        Some(offset)
    }

    pub(super) fn partition(&self, topic: Topic, partition: u32) -> Option<&Partition> {
        self.topics.get(&topic)?.partitions.get(partition as usize)
    }

    pub(super) fn partition_mut(&mut self, topic: Topic, partition: u32) -> Option<&mut Partition> {
        self.topics.get_mut(&topic)?.partitions.get_mut(partition as usize)
    }

    pub(super) fn group(&mut self, group: &str, topic: Topic) -> &mut Group {
        self.groups.entry((group.to_owned(), topic)).or_default()
    }
}

impl Partition {
    pub(super) fn range(&self) -> Range {
        Range { start: Offset::new(self.start), end: Offset::new(self.end) }
    }

    /// The first record at or behind a place.
    pub(super) fn at_or_behind(&self, place: u64) -> Option<&Stored> {
        let index = self.records.partition_point(|stored| stored.record.offset.get() < place);
        self.records.get(index)
    }

    /// Removes everything from `end` on.
    pub(super) fn truncate(&mut self, end: u64) {
        self.records.retain(|stored| stored.record.offset.get() < end);
        self.end = self.end.min(end);
        self.start = self.start.min(self.end);
    }

    /// Removes everything before `start`.
    pub(super) fn trim(&mut self, start: u64) {
        self.start = self.start.max(start.min(self.end));
        while self.records.front().is_some_and(|first| first.record.offset.get() < self.start) {
            self.records.pop_front();
        }
    }
}

impl Group {
    /// Whose partition it is: they go round among the members.
    pub(super) fn owner(&self, partition: u32) -> Option<u64> {
        let count = self.members.len();
        if count == 0 { None } else { self.members.get(partition as usize % count).copied() }
    }
}
