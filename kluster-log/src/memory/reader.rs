//! MemoryReader: follows partitions of the memory log from explicit places.

use super::MemoryLog;
use super::hook::{ReadContext, ReadFault, ReadHook};
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
}

/// How far one partition is read.
#[derive(Debug)]
pub(super) struct Cursor {
    pub(super) partition: u32,
    pub(super) next: u64,
    /// The record that a hook has decided on, and until when it is withheld.
    judged: Option<(u64, Option<Instant>)>,
}

impl Cursor {
    pub(super) fn at(partition: u32, next: u64) -> Self {
        Self { partition, next, judged: None }
    }

    fn withheld_until(&self) -> Option<Instant> {
        self.judged.and_then(|(offset, until)| until.filter(|_| offset >= self.next))
    }
}

impl MemoryReader {
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
        let Some((index, stored)) = oldest else { return Ok(None) };
        let record = stored.record.clone();
        self.cursors[index].next = record.offset.get() + 1;
        Ok(Some(record))
    }

    /// Asks the hook about each partition's next record, once.
    fn judge(&mut self, hook: &ReadHook) {
        for cursor in &mut self.cursors {
            let head = {
                let store = self.log.store();
                let partition = store.partition(self.topic, cursor.partition);
                partition.and_then(|partition| partition.at_or_behind(cursor.next)).map(|stored| stored.record.offset)
            };
            let Some(offset) = head.filter(|head| cursor.judged.is_none_or(|(judged, _)| judged != head.get())) else {
                continue;
            };
            let user = self.log.user.clone();
            let context = ReadContext { user, topic: self.topic, partition: cursor.partition, offset };
            let until = match hook(&context) {
                ReadFault::None => None,
                ReadFault::Delay(time) => Some(Instant::now() + time),
            };
            cursor.judged = Some((offset.get(), until));
        }
    }
}
