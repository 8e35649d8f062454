//! The topic of committed offsets: changes are appended as one batch, become visible when they are durable, and are read back at start.
//!
//! Invariants (tests below)
//! 1. Changes take effect in the order of their records, whichever of their writers hears first that they are durable.
//! 2. A change takes effect when it is durable even if nobody waits for it any more.

use super::record::{self, Foreign};
use super::{Change, Offsets, Place, TOPIC};
use crate::batch;
use crate::partition::{AppendError, Partition, ReadError};
use crate::topics::{TopicError, Topics};
use bytes::Bytes;
use std::collections::VecDeque;

/// One batch holds one commit, so one commit is at most so large.
const MAX_BATCH_BYTES: usize = 4 << 20;
/// Small segments, for only whole ones are compacted, and everything is read at start.
const SEGMENT_BYTES: usize = 8 << 20;
/// How much is read at a time at start.
const READ_BYTES: usize = 1 << 20;

/// Why the committed offsets can't be had.
#[derive(Debug, thiserror::Error)]
pub enum OffsetsError {
    /// Their topic can't be created.
    #[error("committed offsets: {0}")]
    Topic(#[from] TopicError),
    /// Their topic can't be read.
    #[error("committed offsets: {0}")]
    Read(#[from] ReadError),
}

/// All committed offsets and their topic.
#[derive(Debug)]
pub(crate) struct Store {
    partition: Partition,
    offsets: Offsets,
    /// Written and not known to be durable, with the offset that follows them in the topic.
    under_way: VecDeque<(i64, Vec<Change>)>,
}

impl Store {
    /// Opens the topic, which is created where there is none, and reads it. Blocks on the disk.
    ///
    /// # Errors
    /// The topic can't be created or read.
    pub(crate) fn open(topics: &Topics) -> Result<Self, OffsetsError> {
        let partition = match topics.partition(TOPIC, 0) {
            Some(partition) => partition,
            None => create(topics)?,
        };
        let mut offsets = Offsets::default();
        read(&partition, |change| offsets.apply(change))?;
        Ok(Self { partition, offsets, under_way: VecDeque::new() })
    }

    /// Writes these changes, and tells what to wait for with [`Partition::durable`] before they are answered.
    ///
    /// # Errors
    /// Nothing was written.
    pub(crate) fn write(&mut self, changes: Vec<Change>, now_ms: i64) -> Result<i64, AppendError> {
        let batch = record::encode(&changes, now_ms).map_err(|error| AppendError::Storage(error.to_string()))?;
        let appended = self.partition.append(batch, now_ms)?;
        self.under_way.push_back((appended.next_offset, changes));
        Ok(appended.next_offset)
    }

    /// Forgets what is committed at the chosen places, and what is under way to be: whatever is forgotten later in the log stays so.
    pub(crate) fn forgetting(&mut self, chosen: impl Fn(&Place) -> bool) -> Vec<Change> {
        let mut places: Vec<Place> = self.offsets().places().filter(&chosen).collect();
        for (place, committed) in self.under_way.iter().flat_map(|(_, changes)| changes) {
            if committed.is_some() && chosen(place) && !places.contains(place) {
                places.push(place.clone());
            }
        }
        places.into_iter().map(|place| (place, None)).collect()
    }

    /// Is a change of this place not durable yet?
    pub(crate) fn is_under_way(&self, place: &Place) -> bool {
        self.under_way.iter().flat_map(|(_, changes)| changes).any(|(changed, _)| changed == place)
    }

    /// The topic's partition.
    pub(crate) fn partition(&self) -> &Partition {
        &self.partition
    }

    /// What is durable.
    pub(crate) fn offsets(&mut self) -> &Offsets {
        if !self.under_way.is_empty() {
            let durable = self.partition.offsets().high_watermark;
            while let Some((_, changes)) = self.under_way.pop_front_if(|(next, _)| *next <= durable) {
                changes.into_iter().for_each(|change| self.offsets.apply(change));
            }
        }
        &self.offsets
    }
}

fn create(topics: &Topics) -> Result<Partition, OffsetsError> {
    let configs = [
        ("cleanup.policy", "compact".to_owned()),
        ("segment.bytes", SEGMENT_BYTES.to_string()),
        ("max.message.bytes", MAX_BATCH_BYTES.to_string()),
    ];
    topics.create(TOPIC, 1, &configs.map(|(name, value)| (name.to_owned(), value)))?;
    topics.partition(TOPIC, 0).ok_or_else(|| TopicError::Unknown(TOPIC.to_owned()).into())
}

/// Everything that is there, in order. A record that is not understood, from another version of the broker, is passed by and said.
fn read(partition: &Partition, mut each: impl FnMut(Change)) -> Result<(), ReadError> {
    let mut from = partition.offsets().log_start;
    let end = partition.offsets().high_watermark;
    while from < end {
        let batches = partition.read(from, READ_BYTES, true)?;
        let mut at = 0;
        while let Ok(header) = batch::check(&batches[at..]) {
            let batch = batches.slice(at..at + header.size);
            at += header.size;
            from = header.next_offset();
            for change in changes_of(batch, header.base_offset) {
                each(change);
            }
        }
        if at == 0 {
            break; // nothing more below the high watermark: compaction may leave no record there
        }
    }
    Ok(())
}

fn changes_of(batch: Bytes, base_offset: i64) -> Vec<Change> {
    let passed_by =
        |reason: Foreign| tracing::warn!(%reason, base_offset, "a record of {TOPIC} is no committed offset; passed by");
    let changes = record::decode(batch).map_err(&passed_by).unwrap_or_default();
    changes.into_iter().filter_map(|change| change.map_err(&passed_by).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{committed, place};
    use super::*;
    use std::path::Path;
    use std::time::{Duration, Instant};

    const GROUP: &str = "g";

    fn open(dir: &Path) -> (Topics, Store) {
        let topics = Topics::open(dir, Default::default()).unwrap();
        let store = Store::open(&topics).unwrap();
        (topics, store)
    }

    fn commit(store: &mut Store, partition: i32, offset: i64) -> i64 {
        store.write(vec![(place(GROUP, "t", partition), Some(committed(offset, 1)))], 1).unwrap()
    }

    fn offset(store: &mut Store, partition: i32) -> Option<i64> {
        store.offsets().get(GROUP, "t", partition).map(|committed| committed.offset)
    }

    #[tokio::test]
    async fn what_was_written_is_there_once_durable_and_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let (topics, mut store) = open(dir.path());
        commit(&mut store, 0, 5);
        commit(&mut store, 1, 6);
        let forget = vec![(place(GROUP, "t", 1), None), (place(GROUP, "t", 9), None)];
        store.write(forget, 1).unwrap();
        let next = commit(&mut store, 0, 7);
        store.partition().durable(next).await.unwrap();
        assert_eq!((offset(&mut store, 0), offset(&mut store, 1)), (Some(7), None));
        topics.close().await.unwrap();
        drop((topics, store));
        let (_topics, mut store) = open(dir.path());
        assert_eq!((offset(&mut store, 0), offset(&mut store, 1)), (Some(7), None));
    }

    #[tokio::test]
    async fn changes_take_effect_in_the_order_of_their_records() {
        let dir = tempfile::tempdir().unwrap();
        let (_topics, mut store) = open(dir.path());
        let (first, second) = (commit(&mut store, 0, 5), commit(&mut store, 0, 4));
        store.partition().durable(second).await.unwrap(); // and the first one's writer went away
        assert!(first < second);
        assert_eq!(offset(&mut store, 0), Some(4));
    }

    #[tokio::test]
    async fn a_commit_too_large_for_a_batch_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (_topics, mut store) = open(dir.path());
        let metadata = "m".repeat(30_000);
        let change = |partition| {
            (
                place(GROUP, "t", partition),
                Some(super::super::Committed { metadata: metadata.clone(), ..committed(1, 1) }),
            )
        };
        let refused = store.write((0..200).map(change).collect(), 1);
        assert!(matches!(refused, Err(AppendError::TooLarge { .. })), "{refused:?}");
        assert_eq!(store.offsets().groups().count(), 0);
    }

    #[tokio::test]
    async fn thousands_of_commits_are_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let (topics, mut store) = open(dir.path());
        for offset in 0..5_000 {
            commit(&mut store, (offset % 50) as i32, offset);
        }
        topics.close().await.unwrap();
        drop((topics, store));
        let (_topics, mut store) = open(dir.path());
        assert!((0..50).all(|partition| offset(&mut store, partition) == Some(4_950 + i64::from(partition))));
    }

    /// Opens a directory that a thread of its last user may still hold for a moment.
    fn reopened(dir: &Path) -> (Topics, Store) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while Topics::open(dir, Default::default()).map(drop).is_err() {
            assert!(Instant::now() < deadline, "somebody still has the directory");
            std::thread::yield_now();
        }
        open(dir)
    }

    #[tokio::test]
    async fn the_topic_rolls_is_compacted_and_is_read_back_after_a_crash_and_a_stop() {
        let dir = tempfile::tempdir().unwrap();
        let (mut topics, mut store) = open(dir.path());
        let metadata = "m".repeat(30_000);
        for offset in 0..900 {
            let note = super::super::Committed { metadata: metadata.clone(), ..committed(offset, 1) };
            store.write(vec![(place(GROUP, "t", (offset % 10) as i32), Some(note))], 1).unwrap();
        }
        let end = store.write(vec![(place(GROUP, "t", 9), None)], 1).unwrap();
        store.partition().durable(end).await.unwrap();
        let before = store.partition().size_bytes();
        assert!(before > 3 * SEGMENT_BYTES as u64, "{before} bytes are too few segments");
        topics.upkeep(2);
        let after = store.partition().size_bytes();
        assert!(after < SEGMENT_BYTES as u64 + 20 * 30_100, "{after} bytes of {before} are left: not compacted");
        for clean in [false, true] {
            if clean {
                topics.close().await.unwrap();
            }
            drop((topics, store));
            (topics, store) = reopened(dir.path());
            let found: Vec<Option<i64>> = (0..10).map(|partition| offset(&mut store, partition)).collect();
            let expected: Vec<Option<i64>> = (0..10).map(|last| (last < 9).then_some(890 + last)).collect();
            assert_eq!(found, expected, "after a clean stop: {clean}");
            assert_eq!(store.partition().offsets().log_end, end);
        }
    }
}
