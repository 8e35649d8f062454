//! Idempotent producers: what each has stored last, so that a batch sent twice is stored once and a lost one is noticed.
//!
//! No I/O here. The state is rebuilt at start from the snapshot that `checkpoint` writes and the batches after it.

use super::AppendError;
use crate::batch::BatchHeader;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Batches remembered of each producer: as many as a client may have in flight (max.in.flight.requests.per.connection with idempotence).
const REMEMBERED: usize = 5;
/// After so long without a batch a producer is forgotten. Kafka's producer.id.expiration.ms.
const EXPIRES_AFTER_MS: i64 = 86_400_000;
/// Producers remembered of one partition; beyond, those that have been silent longest are forgotten early. Bounds memory (some 300 bytes each).
const MOST_PRODUCERS: usize = 20_000;
/// Producers remembered of all partitions together. Beyond, a new one of a partition takes the place of that partition's most silent ones.
const MOST_IN_ALL: usize = 100_000;
/// So many of each partition are remembered however many there are in all.
const ALWAYS: usize = 100;

/// A batch that was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stored {
    first_sequence: i32,
    last_sequence: i32,
    pub base_offset: i64,
    pub next_offset: i64,
    /// Largest timestamp, which LogAppendTime gives to all records.
    pub timestamp: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Producer {
    epoch: i16,
    /// When it last stored a batch, in milliseconds.
    last_seen: i64,
    batches: VecDeque<Stored>,
}

/// What a partition remembers of an idempotent producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Produced {
    pub producer_id: i64,
    pub epoch: i16,
    /// Of its last record.
    pub last_sequence: Option<i32>,
    /// The largest of its last batch, in milliseconds.
    pub last_timestamp: i64,
}

/// The producers of one partition, by id.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Producers(HashMap<i64, Producer>);

/// The producers of one partition, counted among those of all.
#[derive(Debug, Default)]
pub(super) struct Counted {
    count: usize,
    in_all: Arc<AtomicUsize>,
}

impl Counted {
    /// None yet.
    pub fn among(in_all: &Arc<AtomicUsize>) -> Self {
        Self { count: 0, in_all: Arc::clone(in_all) }
    }

    /// Whether there are as many in all as there may be.
    pub fn full(&self) -> bool {
        self.in_all.load(Ordering::Relaxed) >= MOST_IN_ALL
    }

    /// So many are these now.
    pub fn are(&mut self, count: usize) {
        self.in_all.fetch_add(count, Ordering::Relaxed);
        self.in_all.fetch_sub(std::mem::replace(&mut self.count, count), Ordering::Relaxed);
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.are(0);
    }
}

/// The sequence number `count` after `sequence`: from the largest it goes on at 0.
fn sequence_after(sequence: i32, count: i32) -> i32 {
    let sum = i64::from(sequence) + i64::from(count);
    i32::try_from(sum % (i64::from(i32::MAX) + 1)).unwrap_or_default()
}

impl Producers {
    /// Whether the batch may be stored: None; or was stored before, and where.
    ///
    /// # Errors
    /// It does not follow the producer's last one, or a newer instance has written.
    pub fn check(&self, header: &BatchHeader) -> Result<Option<Stored>, AppendError> {
        let Some(producer) = self.0.get(&header.producer_id).filter(|_| header.producer_id >= 0) else {
            return Ok(None); // unknown ones begin anywhere, as in Kafka: what they wrote before may have expired
        };
        let (producer_id, found) = (header.producer_id, header.base_sequence);
        if header.producer_epoch < producer.epoch {
            let (current, found) = (producer.epoch, header.producer_epoch);
            return Err(AppendError::InvalidProducerEpoch { producer_id, current, found });
        }
        let newer = header.producer_epoch > producer.epoch;
        let last = sequence_after(found, header.last_offset_delta);
        let same = |stored: &&Stored| stored.first_sequence == found && stored.last_sequence == last;
        if let Some(stored) = producer.batches.iter().find(same).filter(|_| !newer) {
            return Ok(Some(*stored));
        }
        let expected = match producer.batches.back() {
            Some(stored) if !newer => sequence_after(stored.last_sequence, 1),
            _ => 0,
        };
        if found == expected { Ok(None) } else { Err(AppendError::OutOfOrderSequence { producer_id, expected, found }) }
    }

    /// Notes a batch that was stored.
    pub fn add(&mut self, header: &BatchHeader, now_ms: i64) {
        if header.producer_id < 0 {
            return;
        }
        if self.0.len() >= MOST_PRODUCERS && !self.0.contains_key(&header.producer_id) {
            self.forget_silent(MOST_PRODUCERS / 10);
        }
        let new = || Producer { epoch: header.producer_epoch, last_seen: now_ms, batches: VecDeque::new() };
        let producer = self.0.entry(header.producer_id).or_insert_with(new);
        if producer.epoch != header.producer_epoch {
            *producer = new();
        }
        producer.last_seen = now_ms;
        if producer.batches.len() == REMEMBERED {
            producer.batches.pop_front();
        }
        producer.batches.push_back(Stored {
            first_sequence: header.base_sequence,
            last_sequence: sequence_after(header.base_sequence, header.last_offset_delta),
            base_offset: header.base_offset,
            next_offset: header.next_offset(),
            timestamp: header.max_timestamp,
        });
    }

    /// Forgets those that have been silent for a day.
    pub fn expire(&mut self, now_ms: i64) {
        self.0.retain(|_, producer| now_ms.saturating_sub(producer.last_seen) < EXPIRES_AFTER_MS);
    }

    /// All of them, by rising id.
    pub fn describe(&self) -> Vec<Produced> {
        let described = self.0.iter().map(|(producer_id, producer)| {
            let last = producer.batches.back();
            Produced {
                producer_id: *producer_id,
                epoch: producer.epoch,
                last_sequence: last.map(|stored| stored.last_sequence),
                last_timestamp: last.map_or(producer.last_seen, |stored| stored.timestamp),
            }
        });
        let mut described: Vec<_> = described.collect();
        described.sort_unstable_by_key(|produced| produced.producer_id);
        described
    }

    /// How many are remembered.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// So that one more takes no more room: forgets the tenth that has been silent longest, unless these are few or it is known.
    pub fn make_room_for(&mut self, producer_id: i64) {
        if producer_id >= 0 && self.0.len() >= ALWAYS && !self.0.contains_key(&producer_id) {
            self.forget_silent((self.0.len() / 10).max(1));
        }
    }

    /// Forgets those that have been silent longest, but for a few.
    pub fn forget_all_but_few(&mut self) {
        self.forget_silent(self.0.len().saturating_sub(ALWAYS));
    }

    /// Forgets so many that have been silent longest.
    fn forget_silent(&mut self, count: usize) {
        let mut seen: Vec<i64> = self.0.values().map(|producer| producer.last_seen).collect();
        let Some(last) = count.checked_sub(1).filter(|last| *last < seen.len()) else { return };
        let (_, limit, _) = seen.select_nth_unstable(last);
        let limit = *limit;
        let mut left = count;
        self.0.retain(|_, producer| {
            let forget = producer.last_seen <= limit && left > 0;
            left -= usize::from(forget);
            !forget
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Backing, Flushers, Partition};
    use super::*;
    use crate::disk::Disk;
    use crate::lock::DirectoryLock;
    use crate::topic_config::TopicConfig;
    use kafka_protocol::records::{Compression, Record, RecordBatchEncoder, RecordEncodeOptions, TimestampType};

    fn header(epoch: i16, sequence: i32, count: i32, base_offset: i64) -> BatchHeader {
        BatchHeader {
            base_offset,
            size: 100,
            magic: 2,
            crc: 0,
            attributes: 0,
            last_offset_delta: count - 1,
            base_timestamp: 5,
            max_timestamp: 5,
            producer_id: 7,
            producer_epoch: epoch,
            base_sequence: sequence,
            records: count,
        }
    }

    /// Stores batches of 10 records from `sequence` on, one after the other.
    fn stored(producers: &mut Producers, epoch: i16, sequence: i32, batches: i32) {
        for index in 0..batches {
            let at = sequence_after(sequence, 10 * index);
            let header = header(epoch, at, 10, i64::from(10 * index));
            assert_eq!(producers.check(&header), Ok(None));
            producers.add(&header, 0);
        }
    }

    #[test]
    fn the_last_five_batches_are_known_again() {
        let mut producers = Producers::default();
        stored(&mut producers, 0, 0, 7);
        for batch in 2..7 {
            let again = producers.check(&header(0, 10 * batch, 10, 0)).unwrap().unwrap();
            assert_eq!((again.base_offset, again.next_offset), (i64::from(10 * batch), i64::from(10 * batch + 10)));
        }
        let forgotten = producers.check(&header(0, 10, 10, 0));
        assert_eq!(forgotten, Err(AppendError::OutOfOrderSequence { producer_id: 7, expected: 70, found: 10 }));
    }

    #[test]
    fn a_gap_is_refused_and_so_is_an_old_epoch() {
        let mut producers = Producers::default();
        stored(&mut producers, 3, 0, 1);
        assert!(matches!(producers.check(&header(3, 20, 10, 0)), Err(AppendError::OutOfOrderSequence { .. })));
        assert!(matches!(producers.check(&header(2, 10, 10, 0)), Err(AppendError::InvalidProducerEpoch { .. })));
        assert!(matches!(producers.check(&header(4, 10, 10, 0)), Err(AppendError::OutOfOrderSequence { .. })));
        stored(&mut producers, 4, 0, 1);
        assert!(matches!(producers.check(&header(3, 10, 10, 0)), Err(AppendError::InvalidProducerEpoch { .. })));
    }

    #[test]
    fn sequences_go_on_at_zero_after_the_largest() {
        let mut producers = Producers::default();
        stored(&mut producers, 0, i32::MAX - 14, 4);
        assert_eq!(sequence_after(i32::MAX, 1), 0);
        let across = producers.check(&header(0, i32::MAX - 4, 10, 0)).unwrap();
        assert_eq!(across.map(|stored| stored.base_offset), Some(10));
    }

    #[test]
    fn the_silent_are_forgotten_after_a_day_and_when_there_are_too_many() {
        let mut producers = Producers::default();
        stored(&mut producers, 0, 0, 1);
        producers.expire(EXPIRES_AFTER_MS - 1);
        assert_eq!(producers.0.len(), 1);
        producers.expire(EXPIRES_AFTER_MS);
        assert_eq!(producers.0.len(), 0);
        for id in 0..=MOST_PRODUCERS as i64 {
            producers.add(&BatchHeader { producer_id: id, ..header(0, 0, 1, 0) }, id);
        }
        assert_eq!(producers.0.len(), MOST_PRODUCERS - MOST_PRODUCERS / 10 + 1);
        assert!(producers.0.contains_key(&(MOST_PRODUCERS as i64)) && !producers.0.contains_key(&0));
    }
    #[test]
    fn when_there_are_too_many_in_all_each_partition_keeps_a_few() {
        let in_all = Arc::default();
        let mut elsewhere = Counted::among(&in_all);
        elsewhere.are(MOST_IN_ALL);
        let (mut producers, mut counted) = (Producers::default(), Counted::among(&in_all));
        for id in 0..10 * ALWAYS as i64 {
            assert!(counted.full());
            producers.make_room_for(id);
            producers.add(&BatchHeader { producer_id: id, ..header(0, 0, 1, 0) }, id);
            counted.are(producers.count());
            assert!(producers.count() <= ALWAYS && producers.0.contains_key(&id));
        }
        assert!(producers.count() >= ALWAYS - ALWAYS / 10, "and no fewer than these: {}", producers.count());
        drop(elsewhere);
        assert!(!counted.full());
        drop(counted);
        assert_eq!(in_all.load(Ordering::Relaxed), 0);
    }
    /// A batch of one record, of this producer.
    fn produced(producer_id: i64) -> bytes::Bytes {
        let mut bytes = bytes::BytesMut::new();
        let options = RecordEncodeOptions { version: 2, compression: Compression::None };
        let record = Record {
            transactional: false,
            control: false,
            delete_horizon: false,
            partition_leader_epoch: -1,
            producer_id,
            producer_epoch: 0,
            timestamp_type: TimestampType::Creation,
            offset: 0,
            sequence: 0,
            timestamp: 0,
            key: None,
            value: None,
            headers: Default::default(),
        };
        RecordBatchEncoder::encode(&mut bytes, &[record], &options).unwrap();
        bytes.freeze()
    }

    #[test]
    fn a_partition_counts_its_producers_among_those_of_all() {
        let dir = tempfile::tempdir().unwrap();
        let (in_all, lock) = (Arc::<AtomicUsize>::default(), Arc::new(DirectoryLock::take(dir.path()).unwrap()));
        let (flushers, upkeep) = (Flushers::default(), Arc::default());
        let backing = Backing { disk: Disk::default(), flushers, upkeep, producers: Arc::clone(&in_all), lock };
        let open = || Partition::open(dir.path(), &backing, TopicConfig::default()).unwrap();
        let partition = open();
        for id in 0..300 {
            partition.append(produced(id), 0).unwrap();
        }
        assert_eq!(in_all.load(Ordering::Relaxed), 300);
        in_all.fetch_add(MOST_IN_ALL, Ordering::Relaxed);
        for id in 300..600 {
            partition.append(produced(id), 0).unwrap();
        }
        assert!(in_all.load(Ordering::Relaxed) <= MOST_IN_ALL + 300, "they are full, and take no more");
        partition.close().unwrap();
        drop(partition);
        while in_all.load(Ordering::Relaxed) > MOST_IN_ALL {
            std::thread::yield_now(); // a thread that has just synced may keep the partition for a moment more
        }
        let partition = open();
        let few = in_all.load(Ordering::Relaxed) - MOST_IN_ALL;
        assert!((ALWAYS / 2..=ALWAYS).contains(&few), "a start remembers a few of them: {few}");
        partition.upkeep(EXPIRES_AFTER_MS).unwrap();
        assert_eq!(in_all.load(Ordering::Relaxed), MOST_IN_ALL, "they are forgotten");
    }
}
