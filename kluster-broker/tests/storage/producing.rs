//! Idempotent producers across restarts, cuts and deletions; what they are within one run is tested beside `producers`.

use super::batches::{Store, all, batch, batch_of, files, joined, keyed, partition_dir, record, store};
use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::records::Record;

/// A batch of `count` records of producer 7.
fn produced(epoch: i16, sequence: i32, count: usize) -> Bytes {
    produced_by(7, epoch, sequence, count)
}

fn produced_by(producer_id: i64, producer_epoch: i16, sequence: i32, count: usize) -> Bytes {
    let one = Record { producer_id, producer_epoch, sequence, ..record("a") };
    batch_of(&vec![one; count])
}

#[tokio::test]
async fn a_batch_sent_again_is_stored_once_and_gives_the_first_offsets() {
    let it = Store::new(&[("message.timestamp.type", "LogAppendTime")]);
    let first = it.partition.append(produced(0, 0, 3), 50).unwrap();
    let again = it.partition.append(produced(0, 0, 3), 60).unwrap();
    assert!(again.duplicate && !first.duplicate);
    assert_eq!((again.base_offset, again.next_offset), (0, 3));
    assert_eq!(again.log_append_time, Some(50));
    it.partition.durable(again.next_offset).await.unwrap();
    assert_eq!(it.partition.offsets().log_end, 3);
}

#[tokio::test]
async fn producers_are_known_after_a_crash_and_after_a_clean_stop() {
    let mut it = Store::new(&[("segment.bytes", "300")]);
    for round in 0..6 {
        let sequence = round * 4;
        store(&it.partition, produced(0, sequence, 2)).await.unwrap();
        store(&it.partition, produced(0, sequence + 2, 2)).await.unwrap();
        if round % 2 == 0 {
            it.topics.close().await.unwrap();
        }
        it = it.restarted();
        let again = it.partition.append(produced(0, sequence, 2), 1000).unwrap();
        assert!(again.duplicate);
        assert_eq!(again.base_offset, i64::from(sequence));
        let gap = it.partition.append(produced(0, sequence + 5, 2), 1000).unwrap_err();
        assert_eq!(gap.response(), ResponseError::OutOfOrderSequenceNumber);
        let without_epoch = it.partition.append(produced(-1, sequence + 4, 2), 1000).unwrap_err();
        assert_eq!(without_epoch.response(), ResponseError::InvalidRecord);
    }
    assert_eq!(all(&it.partition).len(), 24);
}

#[tokio::test]
async fn producers_are_rebuilt_from_the_log_without_a_snapshot() {
    let it = Store::new(&[("segment.bytes", "300")]);
    for sequence in 0..10 {
        store(&it.partition, produced(3, sequence, 1)).await.unwrap();
    }
    it.topics.close().await.unwrap();
    let snapshot = partition_dir(&it.dir).join("producers.json");
    for content in [None, Some("not json")] {
        content
            .map_or_else(|| std::fs::remove_file(&snapshot).unwrap(), |text| std::fs::write(&snapshot, text).unwrap());
    }
    let it = it.restarted();
    assert!(it.partition.append(produced(3, 5, 1), 1000).unwrap().duplicate);
    let old = it.partition.append(produced(2, 10, 1), 1000).unwrap_err();
    assert_eq!(old.response(), ResponseError::InvalidProducerEpoch);
    store(&it.partition, produced(3, 10, 1)).await.unwrap();
}

#[tokio::test]
async fn what_was_cut_off_is_not_known_as_stored() {
    let it = Store::new(&[]);
    for sequence in 0..3 {
        store(&it.partition, produced(0, sequence, 1)).await.unwrap();
    }
    it.topics.close().await.unwrap();
    let log = files(&it.dir, "log").remove(0);
    let file = std::fs::File::options().write(true).open(&log).unwrap();
    file.set_len(file.metadata().unwrap().len() - 1).unwrap();
    let it = it.restarted();
    assert_eq!(it.partition.offsets().log_end, 2);
    assert!(it.partition.append(produced(0, 1, 1), 1000).unwrap().duplicate);
    // Others write where it was, and the log is longer than the snapshot knew when the next crash comes.
    for sequence in 0..3 {
        store(&it.partition, produced_by(8, 0, sequence, 1)).await.unwrap();
    }
    assert!(files(&it.dir, "index").is_empty(), "an index that knows more than there is");
    let it = it.restarted();
    let appended = store(&it.partition, produced(0, 2, 1)).await.unwrap();
    assert!(!appended.duplicate, "the snapshot knew the batch that was cut off");
    assert_eq!(appended.base_offset, 5);
}

#[tokio::test]
async fn a_producer_goes_on_after_compaction_took_its_last_batch_and_a_crash() {
    let settings = [("cleanup.policy", "compact"), ("segment.bytes", "400"), ("min.cleanable.dirty.ratio", "0")];
    let it = Store::new(&settings);
    let by = |producer_id, sequence, key: &str| {
        batch_of(&[Record { producer_id, producer_epoch: 0, sequence, ..keyed(key, Some("x")) }])
    };
    for (producer_id, sequence, key) in [(7, 0, "a"), (7, 1, "k"), (8, 0, "k")] {
        store(&it.partition, by(producer_id, sequence, key)).await.unwrap();
    }
    while files(&it.dir, "log").len() == 1 {
        store(&it.partition, batch_of(&[keyed("filler", Some("x"))])).await.unwrap();
    }
    it.topics.upkeep(1000);
    let it = it.restarted();
    assert_eq!(all(&it.partition)[1].0, 2, "the batch of sequence 1 is gone");
    assert!(it.partition.append(by(7, 1, "k"), 1000).unwrap().duplicate);
    assert!(!store(&it.partition, by(7, 2, "k")).await.unwrap().duplicate);
}

#[tokio::test]
async fn a_checkpoint_comes_after_so_many_bytes_in_whichever_segments_and_runs() {
    let it = Store::new(&[("segment.bytes", "16777216"), ("max.message.bytes", "2000000")]);
    let large = batch_of(&[record(&"x".repeat(1 << 20))]);
    let write = async |it: &Store, mib: usize| {
        for _ in 0..mib {
            it.partition.append(large.clone(), 1000).unwrap();
        }
        it.partition.durable(it.partition.offsets().log_end).await.unwrap();
        it.topics.upkeep(1000);
        partition_dir(&it.dir).join("producers.json").exists()
    };
    assert!(!write(&it, 40).await, "so little is read in no time");
    let it = it.restarted();
    assert!(write(&it, 30).await, "what was written before the crash counts");
    std::fs::remove_file(partition_dir(&it.dir).join("producers.json")).unwrap();
    assert!(!write(&it, 20).await, "it counts from the last one");
    assert!(write(&it, 50).await);
}

#[tokio::test]
async fn several_batches_of_which_one_may_have_been_stored_before_are_refused_whole() {
    let it = Store::new(&[]);
    store(&it.partition, produced(0, 0, 1)).await.unwrap();
    for both in [[produced(0, 0, 1), produced(0, 1, 1)], [batch(&["a"]), produced(0, 1, 1)]] {
        let error = it.partition.append(joined(&both), 1000).unwrap_err();
        assert_eq!(error.response(), ResponseError::InvalidRecord);
        assert_eq!(it.partition.offsets().log_end, 1);
    }
}
