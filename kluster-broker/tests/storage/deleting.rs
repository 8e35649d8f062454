//! DeleteRecords and retention.

use super::batches::{Store, all, batch_of, files, record, store};
use kafka_protocol::error::ResponseError;
use kafka_protocol::records::Record;
use kluster_broker::fault::disk::DiskFaults;
use kluster_broker::partition::DeleteError;
use proptest::prelude::*;
use std::sync::Arc;

/// One record of this time and size.
fn timed(timestamp: i64, bytes: usize) -> bytes::Bytes {
    batch_of(&[Record { timestamp, ..record(&"x".repeat(bytes)) }])
}

/// Ten segments of two records each; offset n has time n.
async fn ten_segments(configs: &[(&str, &str)]) -> Store {
    ten_segments_with(configs, Arc::default()).await
}

async fn ten_segments_with(configs: &[(&str, &str)], faults: Arc<DiskFaults>) -> Store {
    let two = (timed(0, 10).len() * 2).to_string();
    let mut all = vec![("segment.bytes", two.as_str())];
    all.extend(configs);
    let it = Store::with_faults(&all, faults);
    for time in 0..20 {
        store(&it.partition, timed(time, 10)).await.unwrap();
    }
    assert_eq!(files(&it.dir, "log").len(), 10);
    it
}

fn first_left(store: &Store) -> i64 {
    all(&store.partition).first().map_or(-1, |(offset, _)| *offset)
}

#[tokio::test]
async fn records_before_an_offset_are_deleted_for_good() {
    let it = ten_segments(&[]).await;
    assert_eq!(it.partition.delete_before(7).unwrap(), 7);
    assert_eq!(it.partition.delete_before(3).unwrap(), 7, "the start never goes back");
    assert_eq!(files(&it.dir, "log").len(), 7, "whole segments are removed");
    assert_eq!(it.partition.read(6, 1, true).unwrap_err().response(), ResponseError::OffsetOutOfRange);
    let it = it.restarted();
    assert_eq!((it.partition.offsets().log_start, first_left(&it)), (7, 7));
    assert_eq!(it.partition.delete_before(-1).unwrap(), 20);
    let it = it.restarted();
    assert_eq!((it.partition.offsets().log_start, it.partition.offsets().log_end), (20, 20));
    assert_eq!(store(&it.partition, timed(20, 10)).await.unwrap().base_offset, 20);
}

#[tokio::test]
async fn what_cannot_be_deleted_is_refused() {
    let it = ten_segments(&[]).await;
    for offset in [21, -2] {
        let error = it.partition.delete_before(offset).unwrap_err();
        assert_eq!(error, DeleteError::OutOfRange { asked: offset, log_start: 0, high_watermark: 20 });
        assert_eq!(error.response(), ResponseError::OffsetOutOfRange);
    }
    let compacted = Store::new(&[("cleanup.policy", "compact")]);
    assert_eq!(compacted.partition.delete_before(0).unwrap_err().response(), ResponseError::PolicyViolation);
}

#[tokio::test]
async fn a_segment_goes_when_its_newest_record_is_too_old() {
    let it = ten_segments(&[("retention.ms", "100")]).await;
    // Segment k has times 2k and 2k + 1.
    for (now, first) in [(101, 0), (102, 2), (103, 2), (109, 8), (110, 10)] {
        it.topics.upkeep(now);
        assert_eq!(first_left(&it), first, "at {now}");
    }
    let it = it.restarted();
    assert_eq!((it.partition.offsets().log_start, first_left(&it)), (10, 10));
    it.topics.upkeep(120);
    assert_eq!(it.partition.offsets().log_start, 20, "the active segment is closed and goes too");
    assert_eq!(files(&it.dir, "log").len(), 1);
    assert_eq!(store(&it.partition, timed(500, 10)).await.unwrap().base_offset, 20);
    it.topics.upkeep(500);
    assert_eq!(first_left(&it), 20);
}

#[tokio::test]
async fn segments_go_while_what_is_left_is_as_large_as_the_limit() {
    let segment = timed(0, 10).len() * 2;
    let it = ten_segments(&[("retention.ms", "-1"), ("retention.bytes", &(3 * segment + 1).to_string())]).await;
    it.topics.upkeep(i64::MAX);
    assert_eq!(first_left(&it), 12, "four segments: three would be less than the limit");
    let it = ten_segments(&[("retention.ms", "-1")]).await;
    it.topics.upkeep(i64::MAX);
    assert_eq!(first_left(&it), 0);
}

#[tokio::test]
async fn a_full_disk_gets_room_by_retention_and_by_deleting_records() {
    for by_request in [false, true] {
        let segment = (timed(0, 10).len() * 2).to_string();
        let faults = Arc::new(DiskFaults::default());
        let settings = [("retention.ms", "-1"), ("retention.bytes", segment.as_str())];
        let it = ten_segments_with(&settings, Arc::clone(&faults)).await;
        faults.set_space(Some(0));
        if by_request {
            it.partition.delete_before(18).unwrap_err(); // the room that this gave is not room for the test's disk
        } else {
            it.topics.upkeep(0);
        }
        assert_eq!(files(&it.dir, "log").len(), 1);
        assert_eq!((it.partition.offsets().log_start, first_left(&it)), (18, 18));
        assert_eq!(it.partition.read(17, 1, true).unwrap_err().response(), ResponseError::OffsetOutOfRange);
        let it = it.restarted();
        assert_eq!((it.partition.offsets().log_start, first_left(&it)), (18, 18));
        assert_eq!(it.partition.delete_before(19).unwrap(), 19);
        assert_eq!(it.restarted().partition.offsets().log_start, 19);
    }
}

#[tokio::test]
async fn a_compacted_topic_loses_nothing_by_age_unless_it_deletes_too() {
    let it = ten_segments(&[("retention.ms", "1"), ("cleanup.policy", "delete")]).await;
    let alter = |policy: &str| {
        use kluster_broker::topic_config::ConfigChange;
        it.topics.alter("t", &[("cleanup.policy".into(), ConfigChange::Set(policy.into()))]).unwrap();
    };
    alter("compact");
    it.topics.upkeep(1_000_000);
    assert_eq!(it.partition.offsets().log_start, 0);
    alter("compact,delete");
    it.topics.upkeep(1_000_000);
    assert_eq!(it.partition.offsets().log_start, 20);
}

#[tokio::test]
async fn a_segment_is_closed_when_its_first_record_is_too_old() {
    let it = Store::new(&[("segment.ms", "100")]);
    for time in [0, 100, 101, 201, 202] {
        store(&it.partition, timed(time, 10)).await.unwrap();
    }
    assert_eq!(files(&it.dir, "log").len(), 3);
    let it = it.restarted();
    store(&it.partition, timed(302, 10)).await.unwrap();
    store(&it.partition, timed(303, 10)).await.unwrap();
    assert_eq!(files(&it.dir, "log").len(), 4, "the first record's time is known after a start");
}

/// One limit or none: with both, a young segment may go by size and an old one behind it by age.
fn limits() -> impl Strategy<Value = (Option<i64>, Option<u64>)> {
    prop_oneof![
        (0..1000_i64).prop_map(|limit| (Some(limit), None)),
        (0..8000_u64).prop_map(|limit| (None, Some(limit))),
        Just((None, None)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn retention_never_removes_what_it_must_keep(
        records in prop::collection::vec((0..1000_i64, 1..200_usize), 1..60),
        segment_bytes in 200..2000_u64,
        (retention_ms, retention_bytes) in limits(),
        now in 0..2000_i64,
        restart: bool,
    ) {
        let text = |limit: Option<i64>| limit.unwrap_or(-1).to_string();
        let it = Store::new(&[
            ("segment.bytes", &segment_bytes.to_string()),
            ("retention.ms", &text(retention_ms)),
            ("retention.bytes", &text(retention_bytes.map(|bytes| bytes as i64))),
        ]);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        for (time, bytes) in &records {
            it.partition.append(timed(*time, *bytes), 1000).unwrap();
        }
        runtime.block_on(it.partition.durable(records.len() as i64)).unwrap();
        let before = it.partition.size_bytes();
        it.topics.upkeep(now);
        let after = it.partition.size_bytes();
        let it = if restart { it.restarted() } else { it };
        let start = it.partition.offsets().log_start;
        let left: Vec<i64> = all(&it.partition).iter().map(|(offset, _)| *offset).collect();
        prop_assert_eq!(&left, &(start..records.len() as i64).collect::<Vec<_>>());
        let young = |(time, _): &(i64, usize)| retention_ms.is_none_or(|limit| now - time <= limit);
        let gone = &records[..start as usize];
        match retention_bytes {
            Some(limit) => prop_assert!(gone.is_empty() || after >= limit, "{after} bytes are left of {before}"),
            None => prop_assert!(!gone.iter().any(young), "{start} records went"),
        }
        // And not too little went.
        prop_assert!(left.is_empty() || records[start as usize..].iter().any(young), "only old records are left");
    }
}
