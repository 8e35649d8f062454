//! A full disk: a clear error to producers, reads go on, and writing goes on by itself when there is room.

use super::batches::{Store, all, batch, files, store};
use kafka_protocol::error::ResponseError;
use kluster_broker::fault::disk::DiskFaults;
use kluster_broker::partition::AppendError;
use std::sync::Arc;

#[tokio::test]
async fn a_full_disk_refuses_writes_whole_and_takes_them_again_when_there_is_room() {
    let faults = Arc::new(DiskFaults::default());
    let it = Store::with_faults(&[], Arc::clone(&faults));
    store(&it.partition, batch(&["before"])).await.unwrap();
    let size = it.partition.size_bytes();
    for room in [0, 1, 40, 61] {
        faults.set_space(Some(room));
        let error = it.partition.append(batch(&["too much"]), 0).unwrap_err();
        assert!(matches!(error, AppendError::DiskFull(_)), "{error}");
        assert_eq!(error.response(), ResponseError::KafkaStorageError);
        let length = std::fs::metadata(&files(&it.dir, "log")[0]).unwrap().len();
        assert_eq!((it.partition.size_bytes(), length), (size, size), "a part of the batch is left");
        assert_eq!(all(&it.partition), [(0, "before".into())]);
    }
    faults.set_space(None);
    store(&it.partition, batch(&["after"])).await.unwrap();
    let it = it.restarted();
    assert_eq!(all(&it.partition), [(0, "before".into()), (1, "after".into())]);
}

#[tokio::test]
async fn a_full_disk_makes_no_topic_and_no_new_segment_and_loses_none() {
    let faults = Arc::new(DiskFaults::default());
    let it = Store::with_faults(&[("segment.bytes", "100")], Arc::clone(&faults));
    store(&it.partition, batch(&["before"])).await.unwrap();
    faults.set_space(Some(0));
    it.topics.create("u", 1, &[]).unwrap_err();
    assert!(it.topics.get("u").is_none());
    it.topics.delete("t").unwrap_err();
    it.partition.append(batch(&["rolls"]), 0).unwrap_err();
    assert!(files(&it.dir, "index").is_empty(), "the closed segment's index found no room");
    assert_eq!(all(&it.partition), [(0, "before".into())], "reads go on");
    faults.set_space(None);
    it.topics.create("u", 1, &[]).unwrap();
    store(&it.partition, batch(&["after"])).await.unwrap();
    let it = it.restarted();
    assert_eq!(all(&it.partition), [(0, "before".into()), (1, "after".into())]);
    assert!(it.topics.get("u").is_some());
}
