//! Source: one topic, first what it held when asked (its past), then what comes.
//!
//! Neighbours: `nodes`, `tail` and `load` read through it; below it `kluster_log::Reader`, which knows no end.

use kluster_log::{Log, LogError, Range, Reader, Record};
use kluster_protocol::{Offset, Topic};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::timeout;

/// The end of a partition may be a marker that no record reaches: after so long without a record the past counts as read.
const QUIET: Duration = Duration::from_secs(5);
/// Retention may remove the start of a partition between asking for it and reading from it; so often it is asked again.
const ATTEMPTS: usize = 3;

/// Where to read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// The oldest record there is.
    Beginning,
    /// Only what comes from now on.
    End,
    /// This place, or the next one there is; the end, where the place lies behind it.
    Place(Offset),
}

impl Start {
    fn in_range(self, range: Range) -> Offset {
        match self {
            Self::Beginning => range.start,
            Self::End => range.end,
            Self::Place(place) => place.clamp(range.start, range.end),
        }
    }
}

/// One topic being read.
#[derive(Debug)]
pub struct Source {
    /// The topic.
    pub topic: Topic,
    reader: Reader,
    /// Where each partition ended when asked, as long as it was not reached.
    ends: BTreeMap<u32, Offset>,
}

impl Source {
    /// Reads all partitions of `topic`.
    pub async fn open(log: &Log, topic: Topic, from: Start) -> Result<Self, LogError> {
        let mut attempt = 1;
        loop {
            match Self::try_open(log, topic, from).await {
                Err(LogError::OutOfRange { .. }) if attempt < ATTEMPTS => attempt += 1,
                opened => return opened,
            }
        }
    }

    async fn try_open(log: &Log, topic: Topic, from: Start) -> Result<Self, LogError> {
        let (mut places, mut ends) = (Vec::new(), BTreeMap::new());
        for partition in 0..log.partitions(topic).await? {
            let range = log.range(topic, partition).await?;
            let place = from.in_range(range);
            places.push((partition, place));
            if place < range.end {
                ends.insert(partition, range.end);
            }
        }
        let reader = log.read_many(topic, places).await?;
        Ok(Self { topic, reader, ends })
    }

    /// The next record of the past; None: the past is read.
    pub async fn past(&mut self) -> Result<Option<Record>, LogError> {
        if self.ends.is_empty() {
            return Ok(None);
        }
        match timeout(QUIET, self.reader.next()).await {
            Ok(record) => record.map(|record| Some(self.seen(record))),
            Err(_) => match self.reader.trouble() {
                Some(trouble) => {
                    let doing = format!("reading {}", self.topic);
                    Err(LogError::Unreachable { doing, reason: trouble.reason })
                }
                None => {
                    self.ends.clear();
                    Ok(None)
                }
            },
        }
    }

    /// Awaits the next record. Cancel-safe.
    pub async fn next(&mut self) -> Result<Record, LogError> {
        let record = self.reader.next().await?;
        Ok(self.seen(record))
    }

    fn seen(&mut self, record: Record) -> Record {
        if self.ends.get(&record.partition).is_some_and(|end| record.offset.next() >= *end) {
            self.ends.remove(&record.partition);
        }
        record
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kluster_log::{MemoryLog, NewRecord};

    async fn past(log: &Log, from: Start) -> Vec<u64> {
        let mut source = Source::open(log, Topic::All, from).await.unwrap();
        let mut offsets = Vec::new();
        while let Some(record) = source.past().await.unwrap() {
            offsets.push(record.offset.get());
        }
        offsets
    }

    #[tokio::test(start_paused = true)]
    async fn the_past_ends_where_the_topic_ended_even_at_a_hole() {
        let memory = MemoryLog::new();
        let log = Log::memory(memory.clone());
        assert_eq!(past(&log, Start::Beginning).await, [0; 0]);
        for _ in 0..4 {
            log.append(Topic::All, None, NewRecord::of("x")).await.unwrap();
        }
        memory.trim(Topic::All, 0, Offset::new(1));
        assert_eq!(past(&log, Start::Beginning).await, [1, 2, 3]);
        assert_eq!(past(&log, Start::Place(Offset::new(2))).await, [2, 3]);
        assert_eq!(past(&log, Start::Place(Offset::new(9))).await, [0; 0]);
        assert_eq!(past(&log, Start::End).await, [0; 0]);
        memory.leave_hole(Topic::All, 0, 2);
        assert_eq!(past(&log, Start::Beginning).await, [1, 2, 3]);
    }
}
