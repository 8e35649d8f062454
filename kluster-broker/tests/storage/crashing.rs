//! The power-loss record: after any crash everything that was confirmed is there, and what is there is what was written, in order.

use super::batches::{Store, all, batch, batch_of, files, keyed, reopened, reopened_with, store};
use kluster_broker::fault::disk::{DiskFaults, cut_to_synced, tear_behind_synced};
use kluster_broker::topic_config::ConfigChange;
use kluster_broker::topics::Topics;
use std::fs;
use std::sync::Arc;

fn recorded(configs: &[(&str, &str)]) -> Store {
    Store::with_faults(configs, Arc::new(DiskFaults::default().with_power_loss_record()))
}

#[tokio::test]
async fn a_power_loss_takes_what_was_not_synced_and_nothing_else() {
    let it = recorded(&[("flush.messages", "1000")]);
    for value in ["a", "b"] {
        store(&it.partition, batch(&[value])).await.unwrap();
    }
    it.topics.create("synced", 1, &[]).unwrap();
    let synced = it.topics.partition("synced", 0).unwrap();
    store(&synced, batch(&["kept"])).await.unwrap();
    let dir = it.crash();
    drop(synced);
    cut_to_synced(dir.path()).unwrap();
    let topics = reopened(dir.path());
    assert!(
        all(&topics.partition("t", 0).unwrap()).is_empty(),
        "acknowledged without the disk, by the topic's setting"
    );
    assert_eq!(all(&topics.partition("synced", 0).unwrap()), [(0, "kept".into())]);
}

#[tokio::test]
async fn a_power_loss_that_keeps_some_pages_and_loses_others_takes_nothing_that_was_synced() {
    let mut partly = 0;
    for seed in 0..40 {
        let it = recorded(&[]);
        let value = |index: i32| format!("{index} {}", "x".repeat(index as usize * 977 % 9000));
        for index in 0..9 {
            store(&it.partition, batch(&[&value(index)])).await.unwrap();
        }
        it.topics.alter("t", &[("flush.messages".into(), ConfigChange::Set("1000".into()))]).unwrap();
        for index in 9..17 {
            store(&it.partition, batch(&[&value(index)])).await.unwrap();
        }
        let dir = it.crash();
        tear_behind_synced(dir.path(), seed).unwrap();
        let found = all(&Store::open(dir).partition);
        assert!((9..=17).contains(&found.len()), "seed {seed}: {} are left", found.len());
        let expected = (0..found.len()).map(|index| (index as i64, value(index as i32)));
        assert!(found.iter().cloned().eq(expected), "seed {seed}");
        partly += usize::from((10..17).contains(&found.len()));
    }
    assert!(partly > 5, "chance left no part");
}

#[tokio::test]
async fn without_a_power_loss_even_the_unsynced_survives_the_end_of_the_process() {
    let it = recorded(&[("flush.messages", "1000")]);
    store(&it.partition, batch(&["a"])).await.unwrap();
    let it = it.restarted();
    assert_eq!(all(&it.partition), [(0, "a".into())]);
}

#[tokio::test]
async fn what_a_start_shows_to_readers_is_durable() {
    let faults = || Arc::new(DiskFaults::default().with_power_loss_record());
    let it = Store::with_faults(&[("flush.messages", "1000")], faults());
    store(&it.partition, batch(&["a"])).await.unwrap();
    let dir = it.crash();
    let topics = reopened_with(dir.path(), faults());
    assert_eq!(all(&topics.partition("t", 0).unwrap()), [(0, "a".into())]);
    drop(topics);
    cut_to_synced(dir.path()).unwrap();
    assert_eq!(all(&reopened(dir.path()).partition("t", 0).unwrap()), [(0, "a".into())]);
}

#[tokio::test]
async fn topics_segments_and_log_starts_that_were_answered_survive_a_power_loss() {
    let it = recorded(&[("segment.bytes", "200")]);
    for index in 0..20 {
        store(&it.partition, batch(&[&format!("v{index}")])).await.unwrap();
    }
    it.partition.delete_before(9).unwrap();
    it.topics.create("u", 2, &[]).unwrap();
    it.topics.add_partitions("u", 4).unwrap();
    let id = it.topics.next_producer_id().unwrap();
    let dir = it.crash();
    cut_to_synced(dir.path()).unwrap();
    let topics = reopened(dir.path());
    let partition = topics.partition("t", 0).unwrap();
    assert_eq!((partition.offsets().log_start, partition.offsets().log_end), (9, 20));
    assert_eq!(all(&partition).len(), 11);
    assert_eq!(topics.get("u").unwrap().partitions, 4);
    assert!(topics.next_producer_id().unwrap() > id);
}

#[tokio::test]
async fn a_power_loss_after_compaction_finds_the_compacted_log() {
    let settings = [("cleanup.policy", "compact"), ("segment.bytes", "300"), ("min.cleanable.dirty.ratio", "0")];
    let it = recorded(&settings);
    for index in 0..30 {
        let one = keyed(&format!("k{}", index % 5), Some(&format!("v{index}")));
        store(&it.partition, batch_of(&[one])).await.unwrap();
    }
    it.topics.upkeep(1000);
    let expected = all(&it.partition);
    assert!(expected.len() < 15);
    let dir = it.crash();
    cut_to_synced(dir.path()).unwrap();
    assert_eq!(all(&reopened(dir.path()).partition("t", 0).unwrap()), expected);
}

#[tokio::test]
async fn a_rename_or_removal_without_a_sync_of_the_directory_is_undone() {
    let it = recorded(&[]);
    store(&it.partition, batch(&["a"])).await.unwrap();
    // The catalogue as it is before and after one more topic, the directory not synced: what `replace` would leave at the worst moment.
    let dir = it.crash();
    let catalogue = dir.path().join("topics.json");
    let before = fs::read(&catalogue).unwrap();
    fs::write(dir.path().join("topics.json.before"), &before).unwrap();
    fs::rename(dir.path().join("topics.json.synced"), dir.path().join("topics.json.before.synced")).unwrap();
    fs::write(&catalogue, "half a cata").unwrap();
    fs::write(dir.path().join("topics.json.synced"), format!("-{:020}", 11)).unwrap();
    let log = files(&dir, "log").remove(0);
    fs::rename(&log, format!("{}.removed", log.display())).unwrap();
    fs::rename(format!("{}.synced", log.display()), format!("{}.removed.synced", log.display())).unwrap();
    cut_to_synced(dir.path()).unwrap();
    assert_eq!(fs::read(&catalogue).unwrap(), before);
    assert_eq!(all(&reopened(dir.path()).partition("t", 0).unwrap()), [(0, "a".into())]);
}

#[test]
fn a_topic_whose_creation_was_never_answered_may_be_gone_and_can_be_created() {
    let dir = tempfile::tempdir().unwrap();
    let faults: DiskFaults = "power-loss-record".parse().unwrap();
    let topics = Topics::open(dir.path(), Arc::new(faults)).unwrap();
    drop(topics);
    fs::create_dir(dir.path().join("t-0")).unwrap();
    fs::write(dir.path().join("t-0.synced"), format!("-{:020}", 0)).unwrap();
    cut_to_synced(dir.path()).unwrap();
    assert!(!dir.path().join("t-0").exists());
    reopened(dir.path()).create("t", 1, &[]).unwrap();
}
