//! Readers: records in order, from an explicit place ([`Reader`]) or shared among a group ([`GroupReader`]).
//!
//! Both are cancel-safe: a dropped future of theirs loses no record, so they may stand in a `select!`.

use crate::kafka::{KafkaGroupReader, KafkaReader};
use crate::memory::{MemoryGroupReader, MemoryReader};
use crate::{LogError, Record};
use std::time::Duration;

/// Why a reader gets nothing at present. It passes by itself; the reader keeps trying.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// For how long.
    pub lasting: Duration,
    /// What the client library says.
    pub reason: String,
}

/// Delivers records from explicit places on. Never moves by itself.
#[derive(Debug)]
pub struct Reader(ReaderKind);

#[derive(Debug)]
enum ReaderKind {
    Kafka(KafkaReader),
    Memory(MemoryReader),
}

impl Reader {
    pub(crate) fn kafka(reader: KafkaReader) -> Self {
        Self(ReaderKind::Kafka(reader))
    }

    pub(crate) fn memory(reader: MemoryReader) -> Self {
        Self(ReaderKind::Memory(reader))
    }

    /// From now on this reader ends, as [`LogError::Unreachable`], before the first record that comes after every broker was away: whoever came
    /// back may hold another log, and a comparison of what was read last must come first.
    #[must_use]
    pub fn ending_after_outages(mut self) -> Self {
        if let ReaderKind::Kafka(reader) = &mut self.0 {
            reader.end_after_outages();
        }
        self
    }

    /// Awaits the next record. An error is final for this reader: read anew.
    pub async fn next(&mut self) -> Result<Record, LogError> {
        match &mut self.0 {
            ReaderKind::Kafka(reader) => reader.next().await,
            ReaderKind::Memory(reader) => reader.next().await,
        }
    }

    /// Awaits at least one record, then takes what is there already, at most `max` (at least 1); never waits for more.
    pub async fn next_batch(&mut self, max: usize) -> Result<Vec<Record>, LogError> {
        match &mut self.0 {
            ReaderKind::Kafka(reader) => reader.next_batch(max).await,
            ReaderKind::Memory(reader) => reader.next_batch(max).await,
        }
    }

    /// The last stable offset has stayed behind the high watermark for this long (more than 10 s; Kafka only): somebody's open transaction
    /// holds everyone up, and that deserves an alarm.
    pub fn stalled_for(&self) -> Option<Duration> {
        match &self.0 {
            ReaderKind::Kafka(reader) => reader.stalled_for(),
            ReaderKind::Memory(reader) => reader.stalled_for(),
        }
    }

    /// Why nothing comes at present, if the broker is the reason.
    pub fn trouble(&self) -> Option<Trouble> {
        match &self.0 {
            ReaderKind::Kafka(reader) => reader.trouble(),
            ReaderKind::Memory(reader) => reader.trouble(),
        }
    }
}

/// A member of a group that shares a topic's partitions. Dropping it without [`GroupReader::leave`] is a crash: what was not committed is
/// delivered again, to whom the partition goes next.
#[derive(Debug)]
pub struct GroupReader(GroupKind);

#[derive(Debug)]
enum GroupKind {
    Kafka(KafkaGroupReader),
    Memory(MemoryGroupReader),
}

impl GroupReader {
    pub(crate) fn kafka(reader: KafkaGroupReader) -> Self {
        Self(GroupKind::Kafka(reader))
    }

    pub(crate) fn memory(reader: MemoryGroupReader) -> Self {
        Self(GroupKind::Memory(reader))
    }

    /// Awaits the next record of this member's partitions. Call it again within 5 minutes, else the group takes the member for dead. An error is
    /// final for this member: join again.
    pub async fn next(&mut self) -> Result<Record, LogError> {
        match &mut self.0 {
            GroupKind::Kafka(reader) => reader.next().await,
            GroupKind::Memory(reader) => reader.next().await,
        }
    }

    /// Marks a record as done, in any order. Each partition is committed, in the background, up to its first record not done.
    pub fn done(&mut self, record: &Record) {
        match &mut self.0 {
            GroupKind::Kafka(reader) => reader.done(record),
            GroupKind::Memory(reader) => reader.done(record),
        }
    }

    /// Commits what is done and gives the partitions to the other members at once.
    pub async fn leave(self) -> Result<(), LogError> {
        match self.0 {
            GroupKind::Kafka(reader) => reader.leave().await,
            GroupKind::Memory(reader) => reader.leave(),
        }
    }

    /// Why nothing comes at present, if the broker is the reason.
    pub fn trouble(&self) -> Option<Trouble> {
        match &self.0 {
            GroupKind::Kafka(reader) => reader.trouble(),
            GroupKind::Memory(reader) => reader.trouble(),
        }
    }

    /// How often a batch could not be decoded. A group does not end before it, for each member in turn would; a [`Reader`] does. A batch with a wrong
    /// checksum is passed over. One that cannot be decompressed holds up its partition, and counts again and again, until it is gone by retention or
    /// DeleteRecords; the other partitions are read on.
    pub fn undecodable(&self) -> u64 {
        match &self.0 {
            GroupKind::Kafka(reader) => reader.undecodable(),
            GroupKind::Memory(reader) => reader.undecodable(),
        }
    }
}
