//! Compaction: what stays, when it runs, and that no moment of a crash loses a key's last record.

use super::batches::{
    Store, all_records, as_if_compressed, batch, batch_of, copied, files, keyed, partition_dir, record, records,
    reopened, reopened_with, store,
};
use bytes::Bytes;
use kafka_protocol::records::Record;
use kluster_broker::batch::BatchHeader;
use kluster_broker::fault::disk::DiskFaults;
use kluster_broker::partition::Partition;
use kluster_broker::topic_config::ConfigChange;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;

/// Small segments, compacted as soon as anything is new.
const EAGER: [(&str, &str); 3] =
    [("cleanup.policy", "compact"), ("segment.bytes", "400"), ("min.cleanable.dirty.ratio", "0")];

fn eager(more: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
    EAGER.iter().chain(more).copied().collect()
}

/// Everything that may be read: offset, key, value.
pub fn kept(partition: &Partition) -> Vec<(i64, String, Option<String>)> {
    let text = |bytes: Bytes| String::from_utf8(bytes.to_vec()).unwrap();
    let kept = |record: Record| (record.offset, record.key.map_or_else(String::new, text), record.value.map(text));
    all_records(partition).into_iter().map(kept).collect()
}

/// What a reader from the start holds at the end: a tombstone takes the key away.
pub fn replayed(partition: &Partition) -> BTreeMap<String, String> {
    let mut state = BTreeMap::new();
    for (_, key, value) in kept(partition) {
        match value {
            Some(value) => state.insert(key, value),
            None => state.remove(&key),
        };
    }
    state
}

/// Closes the active segment by writing a key of its own until another file appears.
async fn roll(it: &Store) {
    let before = files(&it.dir, "log").last().cloned();
    while files(&it.dir, "log").last().cloned() == before {
        store(&it.partition, batch_of(&[keyed("filler", Some("x"))])).await.unwrap();
    }
}

#[tokio::test]
async fn the_last_record_of_each_key_stays_at_its_offset_with_its_time() {
    let it = Store::new(&eager(&[]));
    let timed = |key: &str, value: &str, timestamp| Record { timestamp, ..keyed(key, Some(value)) };
    store(&it.partition, batch_of(&[timed("a", "1", 10), timed("b", "1", 20), timed("a", "2", 30)])).await.unwrap();
    store(&it.partition, batch_of(&[timed("c", "1", 5), timed("a", "3", 40)])).await.unwrap();
    roll(&it).await;
    let end = it.partition.offsets();
    it.topics.upkeep(1000);
    assert_eq!(it.partition.offsets(), end, "offsets never change");
    let read = records(it.partition.read(0, 1 << 20, true).unwrap());
    let of =
        |record: &Record| (record.offset, record.timestamp, record.key.clone().unwrap(), record.value.clone().unwrap());
    let expected = [(1, 20, "b", "1"), (3, 5, "c", "1"), (4, 40, "a", "3")];
    let expected = expected.map(|(offset, time, key, value)| (offset, time, Bytes::from(key), Bytes::from(value)));
    assert_eq!(read[..3].iter().map(of).collect::<Vec<_>>(), expected);
    let again = kept(&it.partition);
    let it = it.restarted();
    assert_eq!(kept(&it.partition), again);
}

#[tokio::test]
async fn the_active_segment_is_never_compacted_and_small_segments_become_one() {
    let it = Store::new(&eager(&[]));
    for round in 0..40 {
        store(&it.partition, batch_of(&[keyed("a", Some(&format!("{round}")))])).await.unwrap();
    }
    let segments = files(&it.dir, "log");
    assert!(segments.len() > 5);
    let active = fs::read(segments.last().unwrap()).unwrap();
    it.topics.upkeep(1000);
    let after = files(&it.dir, "log");
    assert_eq!(after.len(), 2, "{after:?}");
    assert_eq!(fs::read(after.last().unwrap()).unwrap(), active);
    assert_eq!(replayed(&it.partition), BTreeMap::from([("a".into(), "39".into())]));
    assert!(!files(&it.dir, "index").is_empty());
    // Reading from where records went gives what follows.
    assert!(records(it.partition.read(3, 1, true).unwrap())[0].offset > 3);
}

#[tokio::test]
async fn a_tombstone_stays_for_its_time_after_compaction_first_met_it() {
    let it = Store::new(&eager(&[("delete.retention.ms", "100")]));
    let a = |partition: &Partition| kept(partition).into_iter().filter(|(_, key, _)| key == "a").collect::<Vec<_>>();
    store(&it.partition, batch_of(&[keyed("a", Some("1")), keyed("b", Some("1"))])).await.unwrap();
    store(&it.partition, batch_of(&[Record { timestamp: 30, ..keyed("a", None) }, keyed("c", Some("1"))]))
        .await
        .unwrap();
    roll(&it).await;
    it.topics.upkeep(1000);
    assert_eq!(a(&it.partition), [(2, "a".into(), None)]);
    let tombstone = records(it.partition.read(2, 1, true).unwrap()).remove(0);
    assert_eq!((tombstone.timestamp, tombstone.delete_horizon), (30, true), "its time is as it was");
    for (now, left) in [(1099, 1), (1100, 0)] {
        roll(&it).await;
        it.topics.upkeep(now);
        assert_eq!(a(&it.partition).len(), left, "at {now}");
    }
    let state = replayed(&it.partition);
    assert_eq!(state.keys().collect::<Vec<_>>(), ["b", "c", "filler"]);
}

#[tokio::test]
async fn compressed_batches_stay_whole_and_keep_the_tombstones_after_them() {
    let it = Store::new(&eager(&[("delete.retention.ms", "0")]));
    let opaque = as_if_compressed(&batch_of(&[keyed("a", Some("1"))]));
    store(&it.partition, opaque.clone()).await.unwrap();
    store(&it.partition, batch_of(&[keyed("a", Some("2"))])).await.unwrap();
    store(&it.partition, batch_of(&[keyed("a", None)])).await.unwrap();
    for now in [1000, 2000, 3000] {
        roll(&it).await;
        it.topics.upkeep(now);
    }
    let first = it.partition.read(0, 1, true).unwrap();
    assert_eq!(first[16..], opaque[16..]);
    let second = records(it.partition.read(1, 1, true).unwrap()).remove(0);
    assert_eq!((second.offset, second.value), (2, None), "a reader of the compressed batch still hears that a is gone");
}

#[tokio::test]
async fn compaction_waits_until_enough_is_new_and_old_enough() {
    let it = Store::new(&[
        ("cleanup.policy", "compact"),
        ("segment.bytes", "400"),
        ("min.cleanable.dirty.ratio", "0.9"),
        ("min.compaction.lag.ms", "100"),
        ("max.compaction.lag.ms", "100000"),
    ]);
    let size = |it: &Store| it.partition.size_bytes();
    let write = |key: String| batch_of(&[Record { timestamp: 1000, ..keyed(&key, Some("1")) }]);
    for index in 0..40 {
        store(&it.partition, write(format!("k{index}"))).await.unwrap();
    }
    let all = size(&it);
    it.topics.upkeep(1099);
    assert_eq!(files(&it.dir, "log").len(), files(&it.dir, "index").len() + 1);
    for index in 0..40 {
        store(&it.partition, write(format!("k{index}"))).await.unwrap();
    }
    let twice = size(&it);
    it.topics.upkeep(1099);
    assert_eq!(size(&it), twice, "too young");
    it.topics.upkeep(1100);
    assert!(size(&it) < twice && size(&it) >= all);
    let compacted = size(&it);
    roll(&it).await;
    let rolled = size(&it);
    it.topics.upkeep(1200);
    assert_eq!(size(&it), rolled, "too little is new");
    it.topics.upkeep(1000 + 100_001);
    assert!(size(&it) < rolled && size(&it) >= compacted - 1000, "too old to wait for more");
}

#[tokio::test]
async fn records_without_a_key_go_when_the_policy_becomes_compact() {
    let it = Store::new(&[("segment.bytes", "400")]);
    for index in 0..20 {
        let records = [record("no key"), keyed(&format!("k{index}"), Some("1"))];
        store(&it.partition, batch_of(&records)).await.unwrap();
    }
    let changes = [("cleanup.policy", "compact"), ("min.cleanable.dirty.ratio", "0")];
    let changes = changes.map(|(name, value)| (name.to_owned(), ConfigChange::Set(value.to_owned())));
    it.topics.alter("t", &changes).unwrap();
    it.topics.upkeep(1000);
    let left = kept(&it.partition);
    let active = base_of(files(&it.dir, "log").last().unwrap());
    assert!(left.iter().all(|(offset, key, _)| !key.is_empty() || *offset >= active));
    assert_eq!(left.iter().filter(|(_, key, _)| !key.is_empty()).count(), 20);
    store(&it.partition, batch(&["refused"])).await.unwrap_err();
}

#[tokio::test]
async fn a_crash_between_the_rename_and_the_removals_leaves_nothing_twice() {
    let it = half_compacted(60).await;
    let expected = replayed(&it.partition);
    let old: Vec<_> = files(&it.dir, "log").iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    it.topics.upkeep(1000);
    let compacted = kept(&it.partition);
    let dir = it.crash();
    let gone: Vec<_> = old.iter().filter(|(path, _)| !path.exists()).collect();
    assert!(gone.len() > 3);
    // The segments are removed from the front: any number of the last ones may be left.
    for left in 0..=gone.len() {
        gone[gone.len() - left..].iter().for_each(|(path, bytes)| fs::write(path, bytes).unwrap());
        let _ = fs::remove_file(partition_dir(&dir).join("partition.json"));
        let topics = reopened(dir.path());
        let partition = topics.partition("t", 0).unwrap();
        assert_eq!(replayed(&partition), expected, "{left} segments left");
        let covered = gone.iter().filter(|(path, _)| path.exists() && base_of(path) < end_of_first(&dir)).count();
        assert_eq!(covered, 0, "of {left} segments left");
        topics.upkeep(2000);
        assert_eq!(kept(&partition), compacted, "{left} segments left");
    }
}

/// Segments in each of which one key stays, half of them compacted: the next compaction finds small ones and puts them together.
async fn half_compacted(rounds: usize) -> Store {
    let it = Store::new(&eager(&[]));
    for phase in 0..2 {
        for round in 0..rounds {
            let key = if round % 5 == 0 { format!("{phase}-{round}") } else { "often".into() };
            store(&it.partition, batch_of(&[keyed(&key, Some("x"))])).await.unwrap();
        }
        if phase == 0 {
            it.topics.upkeep(1000);
        }
    }
    it
}

#[tokio::test]
async fn a_compaction_that_fails_at_any_moment_leaves_no_segment_behind_after_the_next_round() {
    let dir = half_compacted(20).await.crash();
    for nth in 1.. {
        let (dir, faults) = (copied(&dir), Arc::new(DiskFaults::default()));
        let topics = reopened_with(dir.path(), Arc::clone(&faults));
        faults.fail_change(nth);
        topics.upkeep(1000);
        let all_done = faults.fails_later();
        faults.fail_change(0);
        topics.upkeep(1000);
        let partition = topics.partition("t", 0).unwrap();
        let ended = partition.append(batch_of(&[keyed("a", Some("last"))]), 1000).is_err(); // by a failed fdatasync
        let lengths: Vec<u64> = files(&dir, "log").iter().map(|log| fs::metadata(log).unwrap().len()).collect();
        let left = lengths.contains(&0) || lengths.iter().sum::<u64>() != partition.size_bytes();
        assert!(ended || !left, "change {nth}: {lengths:?} are more than the log's {} bytes", partition.size_bytes());
        if all_done {
            assert!(nth > 10, "the compaction does nothing");
            return;
        }
    }
}

fn base_of(log: &Path) -> i64 {
    log.file_stem().unwrap().to_str().unwrap().parse().unwrap()
}

/// The offset after the last batch of the first log file.
fn end_of_first(dir: &TempDir) -> i64 {
    let bytes = fs::read(&files(dir, "log")[0]).unwrap();
    let (mut at, mut end) = (0, 0);
    while let Some(header) = bytes.get(at..).and_then(|rest| BatchHeader::parse(rest).ok()) {
        (at, end) = (at + header.size, header.next_offset());
    }
    end
}

/// What a producer writes; None: a tombstone.
type Write = (u8, Option<u8>);

#[derive(Debug, Clone)]
enum Step {
    /// One batch of these.
    Write(Vec<Write>),
    /// A round of upkeep, so much later.
    Upkeep(i64),
    /// A crash and a start.
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let write = prop::collection::vec((0..8_u8, prop::option::weighted(0.8, any::<u8>())), 1..5);
    prop_oneof![6 => write.prop_map(Step::Write), 2 => (0..80_i64).prop_map(Step::Upkeep), 1 => Just(Step::Restart)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn compaction_keeps_the_newest_value_of_every_key(
        steps in prop::collection::vec(step(), 1..80),
        ratio in prop::sample::select(vec!["0", "0.3", "0.7"]),
        policy in prop::sample::select(vec!["compact", "compact,delete"]),
    ) {
        let configs = [
            ("cleanup.policy", policy), ("segment.bytes", "300"), ("index.interval.bytes", "100"), ("retention.ms", "-1"),
            ("min.cleanable.dirty.ratio", ratio), ("delete.retention.ms", "100"),
        ];
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut it = Store::new(&configs);
        let mut written = Vec::new();
        let mut now = 1000;
        for step in &steps {
            match step {
                Step::Write(writes) => {
                    let as_record = |(key, value): &Write| {
                        keyed(&format!("k{key}"), value.map(|value| format!("v{value}")).as_deref())
                    };
                    let records: Vec<Record> = writes.iter().map(as_record).collect();
                    runtime.block_on(store(&it.partition, batch_of(&records))).unwrap();
                    written.extend(writes.iter().map(|(key, value)| (format!("k{key}"), value.map(|value| format!("v{value}")))));
                }
                Step::Upkeep(later) => {
                    now += later;
                    it.topics.upkeep(now);
                }
                Step::Restart => it = it.restarted(),
            }
            let mut expected = BTreeMap::new();
            for (key, value) in &written {
                match value {
                    Some(value) => expected.insert(key.clone(), value.clone()),
                    None => expected.remove(key),
                };
            }
            prop_assert_eq!(replayed(&it.partition), expected);
            prop_assert_eq!(it.partition.offsets().log_end, written.len() as i64);
            for (offset, key, value) in kept(&it.partition) {
                prop_assert_eq!(&written[offset as usize], &(key, value), "offset {} is another record", offset);
            }
        }
    }
}
