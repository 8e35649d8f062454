//! Reading from an offset and from a time.

use super::batches::{Store, all, as_if_compressed, batch, batch_of, files, record, store, values};
use kafka_protocol::error::ResponseError;
use kafka_protocol::records::Record;
use kluster_broker::partition::ReadError;

/// A store of segments with some batches each, every batch of three records.
async fn segmented(configs: &[(&str, &str)], batches: i64) -> Store {
    let mut all = vec![("segment.bytes", "400"), ("index.interval.bytes", "150")];
    all.extend(configs);
    let it = Store::new(&all);
    for index in 0..batches {
        let value = |place: i64| format!("v{}", 3 * index + place);
        store(&it.partition, batch(&[&value(0), &value(1), &value(2)])).await.unwrap();
    }
    it
}

#[tokio::test]
async fn every_offset_is_found_in_every_segment() {
    let it = segmented(&[], 40).await;
    assert!(files(&it.dir, "log").len() > 5);
    for from in 0..120 {
        let read = values(it.partition.read(from, 1, true).unwrap());
        let first = from / 3 * 3;
        assert_eq!(read, [first, first + 1, first + 2].map(|offset| (offset, format!("v{offset}"))));
    }
    assert!(it.partition.read(120, 1 << 20, true).unwrap().is_empty());
    for out in [-1, 121] {
        let error = it.partition.read(out, 1 << 20, true).unwrap_err();
        assert_eq!(error.response(), ResponseError::OffsetOutOfRange);
        assert_eq!(error, ReadError::OutOfRange { asked: out, log_start: 0, high_watermark: 120 });
    }
}

#[tokio::test]
async fn as_much_is_read_as_fits_and_one_batch_where_one_must_be() {
    let it = Store::new(&[]);
    let size = batch(&["a"]).len();
    for value in ["a", "b", "c"] {
        store(&it.partition, batch(&[value])).await.unwrap();
    }
    let count = |max_bytes, at_least_one| values(it.partition.read(0, max_bytes, at_least_one).unwrap()).len();
    assert_eq!([count(0, false), count(size - 1, false), count(size, false)], [0, 0, 1]);
    assert_eq!([count(0, true), count(1, true), count(2 * size, true)], [1, 1, 2]);
    assert_eq!([count(3 * size - 1, true), count(3 * size, true), count(usize::MAX, true)], [2, 3, 3]);
}

#[tokio::test]
async fn nothing_is_passed_over_because_it_does_not_fit() {
    let it = segmented(&[], 10).await;
    assert!(it.partition.read(4, 10, false).unwrap().is_empty());
    assert_eq!(all(&it.partition).len(), 30);
}

#[tokio::test]
async fn the_offset_of_a_time_is_exact_inside_a_batch() {
    let it = Store::new(&[("segment.bytes", "300"), ("index.interval.bytes", "100")]);
    // Offset n has time 10 n, but for offset 7, which is early.
    let time = |offset: i64| if offset == 7 { 5 } else { 10 * offset };
    for first in (0..30).step_by(3) {
        let timed = |offset| Record { timestamp: time(offset), ..record("a") };
        let records = [timed(first), timed(first + 1), timed(first + 2)];
        it.partition.append(batch_of(&records), 1000).unwrap();
    }
    it.partition.durable(30).await.unwrap();
    for asked in 0..=290 {
        let expected = (0..30).find(|offset| time(*offset) >= asked).map(|offset| (offset, time(offset)));
        assert_eq!(it.partition.offset_for_time(asked).unwrap(), expected, "time {asked}");
    }
    assert_eq!(it.partition.offset_for_time(291).unwrap(), None);
    assert_eq!(it.partition.newest_time().unwrap(), Some((29, 290)));
    it.partition.delete_before(5).unwrap();
    assert_eq!(it.partition.offset_for_time(0).unwrap(), Some((5, 50)));
}

#[tokio::test]
async fn the_offset_of_a_time_is_the_batchs_where_the_broker_set_it_or_it_is_compressed() {
    let it = Store::new(&[("message.timestamp.type", "LogAppendTime")]);
    it.partition.append(batch(&["a", "b"]), 100).unwrap();
    it.partition.append(batch(&["c", "d"]), 200).unwrap();
    it.partition.durable(4).await.unwrap();
    assert_eq!(it.partition.offset_for_time(101).unwrap(), Some((2, 200)));
    let it = Store::new(&[]);
    assert_eq!(it.partition.offset_for_time(0).unwrap(), None);
    assert_eq!(it.partition.newest_time().unwrap(), None);
    let timed = |timestamp| Record { timestamp, ..record("a") };
    store(&it.partition, as_if_compressed(&batch_of(&[timed(10), timed(20)]))).await.unwrap();
    assert_eq!(it.partition.offset_for_time(15).unwrap(), Some((0, 15)));
}

#[tokio::test]
async fn damage_is_never_read_and_the_error_says_where() {
    let it = segmented(&[("index.interval.bytes", "1")], 40).await;
    let log = files(&it.dir, "log").remove(1);
    let mut bytes = std::fs::read(&log).unwrap();
    let size = batch(&["v10", "v10", "v10"]).len();
    bytes[size + 70] ^= 1;
    std::fs::write(&log, bytes).unwrap();
    let base: i64 = log.file_stem().unwrap().to_str().unwrap().parse().unwrap();
    let error = it.partition.read(base + 3, 1 << 20, true).unwrap_err();
    assert_eq!(error.response(), ResponseError::CorruptMessage);
    let text = error.to_string();
    assert!(text.contains(log.to_str().unwrap()), "{text}");
    assert!(text.contains(&format!("byte {size}")) && text.contains(&format!("offset {}", base + 3)), "{text}");
    // Before and after it everything is there.
    assert_eq!(values(it.partition.read(base, 1 << 20, true).unwrap()).len(), 3);
    assert_eq!(values(it.partition.read(base + 6, 1, true).unwrap())[0].0, base + 6);
    assert_eq!(values(it.partition.read(0, 1, true).unwrap())[0].0, 0);
}

#[tokio::test]
async fn a_reader_waits_on_the_high_watermark() {
    let it = Store::new(&[]);
    let mut watch = it.partition.watch();
    let partition = it.partition.clone();
    let reader = tokio::spawn(async move {
        watch.wait_for(|high_watermark| *high_watermark > 0).await.unwrap();
        values(partition.read(0, 1 << 20, true).unwrap())
    });
    store(&it.partition, batch(&["a"])).await.unwrap();
    assert_eq!(reader.await.unwrap(), [(0, "a".into())]);
}
