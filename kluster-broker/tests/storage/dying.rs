//! The disk dies at every single change that a deed makes, one after the other: whatever the moment, the next start finds the old or the new.

use super::batches::{Store, all, batch, batch_of, copied, files, keyed, reopened, reopened_with, store};
use super::compacting::{kept, replayed};
use kluster_broker::fault::disk::{DiskFaults, cut_to_synced};
use kluster_broker::topics::Topics;
use std::sync::Arc;
use tempfile::TempDir;

fn recording() -> Arc<DiskFaults> {
    Arc::new(DiskFaults::default().with_power_loss_record())
}

/// Does the deed on copies of a directory, the disk dying one change later each time, with and without a loss of power; then starts again.
fn at_every_moment(dir: &TempDir, deed: impl Fn(&Topics), found: impl Fn(&Topics, &TempDir, &str)) {
    for power_loss in [false, true] {
        for changes in 0.. {
            let (copied, faults) = (copied(dir), recording());
            let topics = reopened_with(copied.path(), Arc::clone(&faults));
            faults.set_changes(Some(changes));
            deed(&topics);
            let done = faults.changes_left() > 0;
            drop(topics);
            if power_loss {
                cut_to_synced(copied.path()).unwrap();
            }
            let moment = format!("after {changes} changes, power loss {power_loss}");
            found(&reopened(copied.path()), &copied, &moment);
            if done {
                assert!(changes > 3, "the deed does nothing");
                break;
            }
        }
    }
}

#[tokio::test]
async fn compaction_leaves_the_old_or_the_new() {
    let settings = [
        ("cleanup.policy", "compact"),
        ("segment.bytes", "400"),
        ("min.cleanable.dirty.ratio", "0"),
        ("delete.retention.ms", "0"),
    ];
    let it = Store::with_faults(&settings, recording());
    let write = |round: i32| {
        let value = (round % 5 != 0).then(|| format!("v{round}"));
        batch_of(&[keyed(&format!("k{}", round % 13), value.as_deref())])
    };
    for round in 0..40 {
        store(&it.partition, write(round)).await.unwrap();
    }
    it.topics.upkeep(1000); // so that there are tombstones whose time has come
    for round in 40..80 {
        store(&it.partition, write(round)).await.unwrap();
    }
    let (before, expected) = (kept(&it.partition), replayed(&it.partition));
    let dir = it.crash();
    let compacted = {
        let copied = copied(&dir);
        let topics = reopened(copied.path());
        topics.upkeep(2000);
        kept(&topics.partition("t", 0).unwrap())
    };
    assert!(compacted.len() + 10 < before.len() && compacted.iter().any(|(_, _, value)| value.is_none()));
    let found = |topics: &Topics, _: &TempDir, moment: &str| {
        let partition = topics.partition("t", 0).unwrap();
        assert_eq!(replayed(&partition), expected, "{moment}");
        let found = kept(&partition);
        assert!(found.is_sorted_by(|one, next| one.0 < next.0), "{moment}: twice");
        assert!(found.iter().all(|record| before.contains(record)), "{moment}: changed");
        topics.upkeep(2000);
        let again = kept(&partition);
        assert!(again.len() <= compacted.len() && replayed(&partition) == expected, "{moment}: not compacted again");
    };
    at_every_moment(&dir, |topics| topics.upkeep(2000), found);
}

#[tokio::test]
async fn deleting_records_moves_the_start_once_and_loses_none_behind_it() {
    let it = Store::with_faults(&[("segment.bytes", "200")], recording());
    for index in 0..20 {
        store(&it.partition, batch(&[&format!("v{index}")])).await.unwrap();
    }
    let written = all(&it.partition);
    let dir = it.crash();
    let answered = std::cell::Cell::new(false);
    let deed = |topics: &Topics| answered.set(topics.partition("t", 0).unwrap().delete_before(13).is_ok());
    let found = |topics: &Topics, dir: &TempDir, moment: &str| {
        let partition = topics.partition("t", 0).unwrap();
        let start = partition.offsets().log_start;
        assert!(start == 13 || (start == 0 && !answered.get()), "{moment}: {start}");
        assert_eq!(all(&partition), written[start as usize..], "{moment}");
        let first: i64 = files(dir, "log")[0].file_stem().unwrap().to_str().unwrap().parse().unwrap();
        assert!(start == 0 || first > 10, "{moment}: segments before the start are still there");
    };
    at_every_moment(&dir, deed, found);
}

#[test]
fn a_new_segment_and_a_stop_lose_nothing_that_was_confirmed() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let it = Store::with_faults(&[("segment.bytes", "200")], recording());
    runtime.block_on(store(&it.partition, batch(&["first"]))).unwrap();
    let dir = it.crash();
    let confirmed = std::cell::Cell::new(0);
    let deed = |topics: &Topics| {
        let partition = topics.partition("t", 0).unwrap();
        let stored = |_: &i32| runtime.block_on(store(&partition, batch(&["more"]))).is_ok();
        confirmed.set(1 + (0..8).take_while(stored).count());
        let _ = runtime.block_on(topics.close()); // says so where the disk is dead
    };
    let found = |topics: &Topics, _: &TempDir, moment: &str| {
        let count = all(&topics.partition("t", 0).unwrap()).len();
        assert!(count >= confirmed.get(), "{moment}: {count} of {}", confirmed.get());
    };
    at_every_moment(&dir, deed, found);
}

#[tokio::test]
async fn topics_come_grow_and_go_whole() {
    let it = Store::with_faults(&[], recording());
    store(&it.partition, batch(&["kept"])).await.unwrap();
    it.topics.create("old", 2, &[]).unwrap();
    let dir = it.crash();
    let answered = std::cell::Cell::new([false; 3]);
    let deed = |topics: &Topics| {
        answered.set([
            topics.create("new", 2, &[]).is_ok(),
            topics.add_partitions("t", 3).is_ok(),
            topics.delete("old").is_ok(),
        ]);
    };
    let found = |topics: &Topics, _: &TempDir, moment: &str| {
        let [created, grown, deleted] = answered.get();
        let count = |name: &str| topics.get(name).map_or(0, |topic| topic.partitions);
        assert!(count("new") == 2 || (count("new") == 0 && !created), "{moment}");
        assert!(count("t") == 3 || (count("t") == 1 && !grown), "{moment}");
        assert!(count("old") == 0 || (count("old") == 2 && !deleted), "{moment}");
        assert_eq!(all(&topics.partition("t", 0).unwrap()), [(0, "kept".into())], "{moment}");
        let _ = topics.create("new", 2, &[]);
        let _ = topics.add_partitions("t", 3);
        let _ = topics.delete("old");
        assert_eq!([count("new"), count("t"), count("old")], [2, 3, 0], "{moment}: and it goes on");
    };
    at_every_moment(&dir, deed, found);
}
