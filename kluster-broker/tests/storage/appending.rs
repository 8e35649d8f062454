//! What may be appended, what it becomes, and what is refused with which of Kafka's errors.

use super::batches::{
    Store, as_if_compressed, batch, batch_of, joined, keyed, record, records, rewrite, store, values,
};
use bytes::{Bytes, BytesMut};
use kafka_protocol::error::ResponseError;
use kafka_protocol::records::{Record, TimestampType};
use kluster_broker::batch::{BatchHeader, check};

const NOW: i64 = 1_700_000_000_000;

fn changed(batch: &Bytes, change: impl FnOnce(&mut [u8])) -> Bytes {
    let mut bytes = BytesMut::from(&batch[..]);
    rewrite(&mut bytes, change);
    bytes.freeze()
}

/// The error of one append, which must store nothing.
fn refused(store: &Store, batches: Bytes) -> ResponseError {
    let error = store.partition.append(batches, NOW).unwrap_err();
    assert_eq!(store.partition.offsets().log_end, 0, "{error} must store nothing");
    error.response()
}

#[tokio::test]
async fn a_batch_is_kept_as_it_came_but_for_offset_and_epoch() {
    let it = Store::new(&[]);
    let sent = batch(&["a", "b", "c"]);
    for expected in [0, 3] {
        let appended = store(&it.partition, sent.clone()).await.unwrap();
        assert_eq!((appended.base_offset, appended.next_offset), (expected, expected + 3));
        assert_eq!((appended.log_append_time, appended.duplicate), (None, false));
        let kept = it.partition.read(expected, 1, true).unwrap();
        assert_eq!(kept[..8], expected.to_be_bytes());
        assert_eq!(kept[8..12], sent[8..12]);
        assert_eq!(kept[12..16], [0; 4]);
        assert_eq!(kept[16..], sent[16..]);
    }
}

#[tokio::test]
async fn the_brokers_time_replaces_the_records_and_the_checksum_is_right_again() {
    let it = Store::new(&[("message.timestamp.type", "LogAppendTime")]);
    let appended = it.partition.append(batch(&["a", "b"]), NOW).unwrap();
    assert_eq!(appended.log_append_time, Some(NOW));
    it.partition.durable(2).await.unwrap();
    let read = it.partition.read(0, 1 << 20, true).unwrap();
    assert_eq!(check(&read).unwrap().max_timestamp, NOW);
    for record in records(read) {
        assert_eq!(record.timestamp_type, TimestampType::LogAppend);
    }
    // As given, not made monotonic.
    assert_eq!(it.partition.append(batch(&["c"]), NOW - 5).unwrap().log_append_time, Some(NOW - 5));
}

#[tokio::test]
async fn several_batches_in_one_request_follow_each_other() {
    let it = Store::new(&[]);
    let appended = store(&it.partition, joined(&[batch(&["a", "b"]), batch(&["c"])])).await.unwrap();
    assert_eq!((appended.base_offset, appended.next_offset), (0, 3));
    let read = values(it.partition.read(0, 1 << 20, true).unwrap());
    assert_eq!(read, [(0, "a".into()), (1, "b".into()), (2, "c".into())]);
}

#[test]
fn what_is_no_whole_batch_of_format_2_is_refused() {
    let it = Store::new(&[]);
    let good = batch(&["a", "b"]);
    for magic in [0, 1, 3] {
        let old = changed(&good, |batch| batch[16] = magic);
        assert_eq!(refused(&it, old), ResponseError::UnsupportedForMessageFormat);
    }
    for byte in 17..good.len() {
        let mut flipped = BytesMut::from(&good[..]);
        flipped[byte] ^= 1;
        assert_eq!(refused(&it, flipped.freeze()), ResponseError::CorruptMessage, "byte {byte}");
    }
    for length in 1..good.len() {
        let error = refused(&it, good.slice(..length));
        assert!(matches!(error, ResponseError::CorruptMessage | ResponseError::InvalidRecord), "{length}: {error}");
    }
    assert_eq!(refused(&it, Bytes::new()), ResponseError::InvalidRecord);
    // The second of two batches being bad, the first is not stored either.
    let second_bad = joined(&[good.clone(), changed(&good, |batch| batch[60] = 9)]);
    assert_eq!(refused(&it, second_bad), ResponseError::InvalidRecord);
}

#[test]
fn counts_and_offsets_that_disagree_are_refused() {
    let it = Store::new(&[]);
    let good = batch(&["a", "b"]);
    type Change = fn(&mut [u8]);
    let wrong: [(&str, Change); 6] = [
        ("last offset delta", |batch| batch[26] = 7),
        ("negative last offset delta", |batch| batch[23] = 0xff),
        ("count", |batch| batch[60] = 1),
        ("no records", |batch| (batch[60], batch[26]) = (0, 0)),
        ("first record's offset delta", |batch| batch[64] = 4),
        ("record's length", |batch| batch[61] = 100),
    ];
    for (what, change) in wrong {
        assert_eq!(refused(&it, changed(&good, change)), ResponseError::InvalidRecord, "{what}");
    }
}

#[test]
fn transactions_control_records_and_claims_of_the_broker_are_refused() {
    let it = Store::new(&[]);
    let good = batch(&["a"]);
    let attribute = |bit: u8| changed(&good, |batch| batch[22] |= bit);
    assert_eq!(refused(&it, attribute(1 << 4)), ResponseError::UnsupportedVersion);
    assert_eq!(refused(&it, attribute(1 << 5)), ResponseError::InvalidRecord);
    assert_eq!(refused(&it, attribute(1 << 6)), ResponseError::InvalidRecord);
    assert_eq!(refused(&it, attribute(1 << 3)), ResponseError::InvalidTimestamp);
    let without_sequence = changed(&good, |batch| batch[43..51].copy_from_slice(&7_i64.to_be_bytes()));
    assert_eq!(refused(&it, without_sequence), ResponseError::InvalidRecord);
}

#[test]
fn a_batch_above_the_limit_is_refused_and_one_at_the_limit_is_not() {
    let good = batch(&["a"]);
    let limit = good.len();
    let it = Store::new(&[("max.message.bytes", &limit.to_string())]);
    assert_eq!(refused(&it, batch(&["ab"])), ResponseError::MessageTooLarge);
    it.partition.append(good, NOW).unwrap();
}

#[test]
fn a_compacted_topic_takes_no_record_without_a_key() {
    let it = Store::new(&[("cleanup.policy", "compact")]);
    assert_eq!(refused(&it, batch_of(&[keyed("k", Some("a")), record("b")])), ResponseError::InvalidRecord);
    it.partition.append(batch_of(&[keyed("k", Some("a")), keyed("l", None)]), NOW).unwrap();
    it.partition.append(as_if_compressed(&batch(&["opaque"])), NOW).unwrap();
}

#[test]
fn a_time_too_far_from_the_brokers_is_refused() {
    let limits = [("message.timestamp.after.max.ms", "100"), ("message.timestamp.before.max.ms", "200")];
    let it = Store::new(&limits);
    let at = |timestamp| batch_of(&[Record { timestamp, ..record("a") }]);
    assert_eq!(refused(&it, at(NOW + 101)), ResponseError::InvalidTimestamp);
    assert_eq!(refused(&it, at(NOW - 201)), ResponseError::InvalidTimestamp);
    it.partition.append(at(NOW + 100), NOW).unwrap();
    it.partition.append(at(NOW - 200), NOW).unwrap();
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_refused_or_stored_without_panic(mut bytes: Vec<u8>, like_a_batch: bool) {
        let it = Store::new(&[]);
        if like_a_batch && bytes.len() > 61 {
            let length = (bytes.len() - 12) as i32;
            bytes[8..12].copy_from_slice(&length.to_be_bytes());
            bytes[16] = 2;
            rewrite(&mut bytes, |_| {});
            assert!(BatchHeader::parse(&bytes).is_ok());
        }
        let _ = it.partition.append(bytes.into(), NOW);
    }
}
