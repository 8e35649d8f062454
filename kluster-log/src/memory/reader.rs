//! MemoryReader: follows partitions of the memory log from explicit places.

use super::MemoryLog;
use super::hook::{ReadContext, ReadFault, ReadHook};
use super::outage::unreachable;
use super::store::Stored;
use crate::{LogError, Record};
use kluster_protocol::{Offset, Topic};
use std::future::pending;
use tokio::time::{Instant, sleep_until};

/// Reads partitions of one topic, merged in the order in which records came.
#[derive(Debug)]
pub(crate) struct MemoryReader {
    pub(super) log: MemoryLog,
    pub(super) topic: Topic,
    pub(super) cursors: Vec<Cursor>,
    /// How often all readers had been ended when this one was made.
    born: u64,
    /// A group's: what cannot be decoded is passed over. How many that were.
    pub(super) undecodable: Option<u64>,
}

/// How far one partition is read.
#[derive(Debug)]
pub(super) struct Cursor {
    pub(super) partition: u32,
    pub(super) next: u64,
    /// The record that a hook has decided on, and when.
    judged: Option<Judged>,
}

#[derive(Debug, Clone, Copy)]
struct Judged {
    offset: u64,
    fault: ReadFault,
    at: Instant,
}

impl Cursor {
    pub(super) fn at(partition: u32, next: u64) -> Self {
        Self { partition, next, judged: None }
    }

    fn withheld_until(&self) -> Option<Instant> {
        match self.judged? {
            Judged { offset, fault: ReadFault::Delay(time), at } if offset >= self.next => Some(at + time),
            _ => None,
        }
    }

    fn fault_of(&self, offset: Offset) -> ReadFault {
        self.judged.filter(|judged| judged.offset == offset.get()).map_or(ReadFault::None, |judged| judged.fault)
    }
}

impl MemoryReader {
    pub(super) fn new(log: MemoryLog, topic: Topic, cursors: Vec<Cursor>) -> Self {
        let born = log.ends();
        Self { log, topic, cursors, born, undecodable: None }
    }

    pub(crate) fn trouble(&self) -> Option<crate::Trouble> {
        self.log.trouble()
    }

    pub(crate) fn stalled_for(&self) -> Option<std::time::Duration> {
        self.log.stalled_for()
    }

    pub(crate) async fn next(&mut self) -> Result<Record, LogError> {
        loop {
            let woken = self.log.woken(self.topic);
            if let Some(record) = self.take()? {
                return Ok(record);
            }
            self.wait(woken).await;
        }
    }

    pub(crate) async fn next_batch(&mut self, max: usize) -> Result<Vec<Record>, LogError> {
        let mut batch = vec![self.next().await?];
        while batch.len() < max {
            // An error here is found again by the next call; what was taken must not be lost with it.
            let Ok(Some(record)) = self.take() else { break };
            batch.push(record);
        }
        Ok(batch)
    }

    /// Waits until something changed or a withheld record is due.
    pub(super) async fn wait(&self, woken: tokio::sync::futures::OwnedNotified) {
        let due = self.cursors.iter().filter_map(Cursor::withheld_until).min();
        let due = async {
            match due {
                Some(due) => sleep_until(due).await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            () = woken => {}
            () = due => {}
        }
    }

    /// Takes the oldest record that is there and not withheld.
    pub(super) fn take(&mut self) -> Result<Option<Record>, LogError> {
        loop {
            if self.born != self.log.ends() {
                return Err(unreachable("reading", "ended on command"));
            }
            self.log.admits(self.topic)?;
            if self.log.is_away() {
                return Ok(None);
            }
            let Some((index, record)) = self.head()? else { return Ok(None) };
            let cursor = &mut self.cursors[index];
            match (cursor.fault_of(record.offset), &mut self.undecodable) {
                (ReadFault::Unreadable, Some(passed)) => {
                    *passed += 1;
                    cursor.next = record.offset.get() + 1;
                }
                (ReadFault::Unreadable, None) => {
                    return Err(unreachable("reading", "what lies there cannot be decoded"));
                }
                (ReadFault::Twice, _) => {
                    cursor.judged = cursor.judged.map(|judged| Judged { fault: ReadFault::None, ..judged });
                    return Ok(Some(record));
                }
                (ReadFault::None | ReadFault::Delay(_), _) => {
                    cursor.next = record.offset.get() + 1;
                    return Ok(Some(record));
                }
            }
        }
    }

    /// The oldest record that is there and not withheld, and whose turn it is.
    fn head(&mut self) -> Result<Option<(usize, Record)>, LogError> {
        if let Some(hook) = self.log.hooks().read {
            self.judge(&hook);
        }
        let store = self.log.store();
        let mut oldest: Option<(usize, &Stored)> = None;
        for (index, cursor) in self.cursors.iter().enumerate() {
            let Some(partition) = store.partition(self.topic, cursor.partition) else {
                return Err(self.log.missing(self.topic));
            };
            if !partition.range().admits(Offset::new(cursor.next)) {
                return Err(self.log.out_of_range(self.topic, cursor.partition, cursor.next, partition.range()));
            }
            let Some(stored) = partition.at_or_behind(cursor.next) else {
                continue;
            };
            let withheld = cursor.withheld_until().is_some_and(|until| until > Instant::now());
            if !withheld && oldest.is_none_or(|(_, other)| stored.sequence < other.sequence) {
                oldest = Some((index, stored));
            }
        }
        Ok(oldest.map(|(index, stored)| (index, stored.record.clone())))
    }

    /// Asks the hook about each partition's next record, once.
    fn judge(&mut self, hook: &ReadHook) {
        for cursor in &mut self.cursors {
            let head = {
                let store = self.log.store();
                let partition = store.partition(self.topic, cursor.partition);
                partition.and_then(|partition| partition.at_or_behind(cursor.next)).map(|stored| stored.record.offset)
            };
            let Some(offset) = head.filter(|head| cursor.judged.is_none_or(|judged| judged.offset != head.get()))
            else {
                continue;
            };
            let user = self.log.user.clone();
            let context = ReadContext { user, topic: self.topic, partition: cursor.partition, offset };
            let fault = hook(&context);
            cursor.judged = Some(Judged { offset: offset.get(), fault, at: Instant::now() });
        }
    }
}
