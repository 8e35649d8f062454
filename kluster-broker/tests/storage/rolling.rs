//! Closing a segment and beginning the next, when the disk refuses a part of it.

use super::batches::{Store, all, batch, files, partition_dir, store, try_reopened};
use kluster_broker::fault::disk::DiskFaults;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;

/// The changes of a roll before the one that makes the new segment's name durable: the fdatasync and the new file.
const BEFORE_THE_NAME: u64 = 2;

fn large() -> bytes::Bytes {
    batch(&["too large for what is left of the segment, so that the next one is begun"])
}

fn numbered(values: &[&str]) -> Vec<(i64, String)> {
    values.iter().enumerate().map(|(offset, value)| (offset as i64, (*value).to_owned())).collect()
}

fn segment(dir: &TempDir, base_offset: i64) -> PathBuf {
    partition_dir(dir).join(format!("{base_offset:020}.log"))
}

/// One record is stored, and the roll for the next one fails as told.
async fn failed_roll(fail: impl FnOnce(&DiskFaults)) -> (Store, Arc<DiskFaults>) {
    let faults = Arc::new(DiskFaults::default());
    let it = Store::with_faults(&[("segment.bytes", "200")], Arc::clone(&faults));
    store(&it.partition, batch(&["a"])).await.unwrap();
    fail(&faults);
    store(&it.partition, large()).await.unwrap_err();
    (it, faults)
}

#[tokio::test]
async fn what_is_stored_after_a_roll_failed_is_there_after_a_crash() {
    let (it, _) = failed_roll(|faults| faults.fail_change(BEFORE_THE_NAME + 1)).await;
    assert_eq!(store(&it.partition, batch(&["b"])).await.unwrap().base_offset, 1, "it fits the old segment");
    let it = it.restarted();
    assert_eq!(all(&it.partition), numbered(&["a", "b"]));
    assert_eq!(store(&it.partition, batch(&["c"])).await.unwrap().base_offset, 2);
    let it = it.restarted();
    assert_eq!(all(&it.partition), numbered(&["a", "b", "c"]));
}

#[tokio::test]
async fn nothing_is_stored_where_the_file_of_a_failed_roll_cannot_be_removed() {
    let (it, faults) = failed_roll(|faults| faults.set_changes(Some(BEFORE_THE_NAME))).await;
    faults.set_changes(None);
    store(&it.partition, batch(&["b"])).await.unwrap_err();
    let it = it.restarted();
    assert_eq!(all(&it.partition), numbered(&["a"]));
    assert_eq!(store(&it.partition, batch(&["b"])).await.unwrap().base_offset, 1);
}

#[tokio::test]
async fn an_empty_segment_that_the_one_before_grew_over_is_no_end_of_the_log() {
    for torn in [0, 1] {
        let it = Store::new(&[]);
        for value in ["a", "b", "c"] {
            store(&it.partition, batch(&[value])).await.unwrap();
        }
        let dir = it.crash();
        // As a power failure brings it back. The last record of the one before may be torn.
        let log = fs::File::options().write(true).open(segment(&dir, 0)).unwrap();
        log.set_len(log.metadata().unwrap().len() - torn).unwrap();
        let left = 3 - torn as usize;
        for base in [2, 3] {
            fs::write(segment(&dir, base), []).unwrap();
        }
        let it = Store::open(dir);
        assert_eq!(all(&it.partition), numbered(&["a", "b", "c"][..left]), "torn by {torn}");
        assert_eq!(files(&it.dir, "log").len(), 1);
        assert_eq!(store(&it.partition, batch(&["d"])).await.unwrap().base_offset, left as i64);
        assert_eq!(all(&it.restarted().partition).len(), left + 1);
    }
}

#[tokio::test]
async fn records_in_two_segments_at_the_same_offsets_are_refused_not_removed() {
    let it = Store::new(&[("segment.bytes", "200")]);
    for _ in 0..3 {
        store(&it.partition, large()).await.unwrap();
    }
    let dir = it.crash();
    assert_eq!(files(&dir, "log").len(), 3);
    // What an earlier version of the broker left: the first segment has grown over the base of the others.
    let (first, good) = (segment(&dir, 0), fs::read(segment(&dir, 0)).unwrap());
    let mut grown = batch(&["x", "y"]).to_vec();
    grown[..8].copy_from_slice(&1_i64.to_be_bytes());
    fs::write(&first, [&good[..], &grown].concat()).unwrap();
    files(&dir, "index").iter().for_each(|index| fs::remove_file(index).unwrap());
    fs::remove_file(segment(&dir, 2)).unwrap();
    let text = try_reopened(dir.path()).unwrap_err().to_string();
    assert!(text.contains(segment(&dir, 1).to_str().unwrap()) && text.contains("before offset 3"), "{text}");
    // And in the middle.
    fs::write(segment(&dir, 4), []).unwrap();
    let mut longer = batch(&["p", "q", "r"]).to_vec();
    longer[..8].copy_from_slice(&1_i64.to_be_bytes());
    fs::write(segment(&dir, 1), longer).unwrap();
    let text = try_reopened(dir.path()).unwrap_err().to_string();
    assert!(text.contains(segment(&dir, 1).to_str().unwrap()), "{text}");
    assert!(segment(&dir, 1).exists(), "it was removed");
    // What is in both is no loss.
    fs::write(segment(&dir, 1), &grown).unwrap();
    fs::write(segment(&dir, 3), []).unwrap();
    fs::remove_file(segment(&dir, 4)).unwrap();
    let it = Store::open(dir);
    assert_eq!(all(&it.partition).len(), 3);
    assert!(!segment(&it.dir, 1).exists());
}
