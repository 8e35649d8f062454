//! MemoryGroupReader: a member of a group on the memory log. Partitions go round among the live members in the order in which they joined;
//! what a member has done is committed when it asks for the next record or leaves, so that a crash in between delivers it again.

use super::MemoryLog;
use super::reader::{Cursor, MemoryReader};
use crate::progress::Progress;
use crate::{LogError, Record};
use kluster_protocol::Topic;
use std::collections::BTreeMap;

/// A live member.
#[derive(Debug)]
pub(crate) struct MemoryGroupReader {
    group: String,
    member: u64,
    /// Of the assignment that `reader` follows.
    generation: u64,
    reader: MemoryReader,
    progress: Progress,
    /// Done and not yet committed.
    places: BTreeMap<u32, u64>,
}

impl MemoryGroupReader {
    pub(super) fn join(log: MemoryLog, topic: Topic, group: &str) -> Self {
        let member = {
            let mut store = log.store();
            let state = store.group(group, topic);
            state.joined += 1;
            state.generation += 1;
            let member = state.joined;
            state.members.push(member);
            member
        };
        log.wake(topic);
        let mut reader = MemoryReader::new(log, topic, Vec::new());
        reader.undecodable = Some(0);
        let group = group.to_owned();
        Self { group, member, generation: 0, reader, progress: Progress::default(), places: BTreeMap::new() }
    }

    pub(crate) async fn next(&mut self) -> Result<Record, LogError> {
        loop {
            let woken = self.reader.log.woken(self.reader.topic);
            self.commit();
            self.follow_group();
            self.skip_what_is_gone();
            if let Some(record) = self.reader.take()? {
                self.progress.delivered(record.partition, record.offset.get());
                return Ok(record);
            }
            self.reader.wait(woken).await;
        }
    }

    pub(crate) fn trouble(&self) -> Option<crate::Trouble> {
        self.reader.trouble()
    }

    pub(crate) fn undecodable(&self) -> u64 {
        self.reader.undecodable.unwrap_or_default()
    }

    pub(crate) fn done(&mut self, record: &Record) {
        if let Some(place) = self.progress.done(record.partition, record.offset.get()) {
            self.places.insert(record.partition, place);
        }
    }

    pub(crate) fn leave(mut self) -> Result<(), LogError> {
        self.commit();
        Ok(())
    }

    /// Commits what is done of partitions that are still this member's.
    fn commit(&mut self) {
        if self.places.is_empty() {
            return;
        }
        let mut store = self.reader.log.store();
        let state = store.group(&self.group, self.reader.topic);
        for (partition, place) in std::mem::take(&mut self.places) {
            if state.owner(partition) == Some(self.member) {
                state.committed.insert(partition, place);
            }
        }
    }

    /// Takes over the partitions of the newest assignment; those kept are read on.
    fn follow_group(&mut self) {
        let mut store = self.reader.log.store();
        let count = store.topics.get(&self.reader.topic).map_or(0, |topic| topic.partitions.len() as u32);
        let state = store.group(&self.group, self.reader.topic);
        if state.generation == self.generation {
            return;
        }
        self.generation = state.generation;
        let mine = |partition: &u32| state.owner(*partition) == Some(self.member);
        let before = std::mem::take(&mut self.reader.cursors);
        let (kept, lost): (Vec<_>, Vec<_>) = before.into_iter().partition(|cursor| mine(&cursor.partition));
        lost.iter().for_each(|cursor| self.progress.forget(cursor.partition));
        self.reader.cursors = kept;
        for partition in (0..count).filter(mine) {
            if !self.reader.cursors.iter().any(|cursor| cursor.partition == partition) {
                let place = state.committed.get(&partition).copied().unwrap_or_default();
                self.reader.cursors.push(Cursor::at(partition, place));
            }
        }
        self.reader.cursors.sort_by_key(|cursor| cursor.partition);
    }

    /// A group reads on at the start where its place was trimmed or lost, as its readers on Kafka do.
    fn skip_what_is_gone(&mut self) {
        let store = self.reader.log.store();
        for cursor in &mut self.reader.cursors {
            let Some(partition) = store.partition(self.reader.topic, cursor.partition) else {
                continue;
            };
            if !(partition.start..=partition.end).contains(&cursor.next) {
                *cursor = Cursor::at(cursor.partition, partition.start);
            }
        }
    }
}

impl Drop for MemoryGroupReader {
    fn drop(&mut self) {
        let topic = self.reader.topic;
        {
            let mut store = self.reader.log.store();
            let state = store.group(&self.group, topic);
            state.members.retain(|member| *member != self.member);
            state.generation += 1;
        }
        self.reader.log.wake(topic);
    }
}
