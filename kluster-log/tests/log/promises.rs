//! The promises. Each gets a log of its own with four partitions in ONE and RESPONSES.

use bytes::Bytes;
use futures_util::future::join_all;
use kluster_log::{Created, GroupReader, Log, LogError, MAX_RECORD_BYTES, NewRecord, Range, Record, TopicSettings};
use kluster_protocol::{Offset, Topic, partition_of};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::timeout;

/// Longer than a group takes to notice a lost member.
const PATIENCE: Duration = Duration::from_secs(60);

fn numbered(number: usize) -> NewRecord {
    NewRecord::of(number.to_string())
}

fn text(record: &Record) -> String {
    String::from_utf8(record.value.clone().unwrap_or_default().to_vec()).unwrap()
}

async fn append_all(log: &Log, topic: Topic, partition: Option<u32>, count: usize) {
    let all = (0..count).map(|number| log.append_now(topic, partition, numbered(number)));
    for appended in join_all(all).await {
        appended.unwrap();
    }
}

pub async fn records_keep_their_order(log: Log) {
    append_all(&log, Topic::All, Some(0), 500).await;
    let mut reader = log.read(Topic::All, 0, Offset::ZERO).await.unwrap();
    for number in 0..500 {
        let record = timeout(PATIENCE, reader.next()).await.unwrap().unwrap();
        assert_eq!(text(&record), number.to_string());
        assert_eq!((record.partition, record.offset), (0, Offset::new(number)));
    }
    assert!(reader.trouble().is_none() && reader.stalled_for().is_none());
}

pub async fn a_record_comes_back_as_it_was(log: Log) {
    let full = NewRecord::of("value")
        .keyed("key")
        .header("a", "1")
        .header("b", Bytes::from_static(&[0, 255]))
        .header("a", "2");
    let tombstone = NewRecord { key: Some("key".into()), ..NewRecord::default() };
    let empty = NewRecord::of("");
    for record in [&full, &tombstone, &empty] {
        log.append(Topic::Errors, Some(0), record.clone()).await.unwrap();
    }
    let mut reader = log.read(Topic::Errors, 0, Offset::ZERO).await.unwrap();
    for wanted in [full, tombstone, empty] {
        let record = timeout(PATIENCE, reader.next()).await.unwrap().unwrap();
        assert_eq!((&record.key, &record.value, &record.headers), (&wanted.key, &wanted.value, &wanted.headers));
        assert!(record.timestamp_ms > 1_500_000_000_000);
    }
}

pub async fn a_key_decides_the_partition(log: Log) {
    assert_eq!(log.partitions(Topic::Responses).await.unwrap(), 4);
    for key in ["a", "b", "c", "client-7", ""] {
        let appended = log.append(Topic::Responses, None, NewRecord::of("x").keyed(key)).await.unwrap();
        assert_eq!(appended.partition, partition_of(key.as_bytes(), 4), "{key:?}");
    }
    let mut used = BTreeSet::new();
    for number in 0..100 {
        used.insert(log.append(Topic::One, None, numbered(number)).await.unwrap().partition);
    }
    assert_eq!(used.len(), 4, "records without a key are spread");
    let error = log.append(Topic::All, Some(1), numbered(0)).await.unwrap_err();
    assert!(matches!(error, LogError::NotAppended { .. }), "{error}");
}

pub async fn the_largest_record_passes_and_a_larger_one_does_not(log: Log) {
    let largest = NewRecord::of(vec![b'x'; MAX_RECORD_BYTES - 10]).keyed("0123456789");
    let appended = log.append(Topic::All, None, largest).await.unwrap();
    assert_eq!(appended.offset, Offset::ZERO);
    let larger = NewRecord::of(vec![b'x'; MAX_RECORD_BYTES + 1]);
    let error = log.append(Topic::All, None, larger).await.unwrap_err();
    assert_eq!(error, LogError::TooLarge { bytes: MAX_RECORD_BYTES + 1, limit: MAX_RECORD_BYTES });
    log.append(Topic::All, None, numbered(1)).await.unwrap();
    let mut reader = log.read(Topic::All, 0, Offset::ZERO).await.unwrap();
    let record = timeout(PATIENCE, reader.next()).await.unwrap().unwrap();
    assert_eq!(record.value.unwrap().len(), MAX_RECORD_BYTES - 10);
    assert_eq!(text(&timeout(PATIENCE, reader.next()).await.unwrap().unwrap()), "1");
}

pub async fn readers_start_where_they_are_told(log: Log) {
    append_all(&log, Topic::All, Some(0), 10).await;
    let range = log.range(Topic::All, 0).await.unwrap();
    assert_eq!(range, Range { start: Offset::ZERO, end: Offset::new(10) });
    let mut behind = log.read(Topic::All, 0, range.end).await.unwrap();
    let mut middle = log.read(Topic::All, 0, Offset::new(7)).await.unwrap();
    assert_eq!(text(&timeout(PATIENCE, middle.next()).await.unwrap().unwrap()), "7");
    let appended = log.append(Topic::All, Some(0), numbered(10)).await.unwrap();
    let record = timeout(PATIENCE, behind.next()).await.unwrap().unwrap();
    assert_eq!((record.offset, text(&record)), (appended.offset, "10".to_owned()));
}

pub async fn a_batch_takes_what_is_there(log: Log) {
    append_all(&log, Topic::All, Some(0), 100).await;
    let mut reader = log.read(Topic::All, 0, Offset::ZERO).await.unwrap();
    let (mut seen, mut batches) = (0, 0);
    while seen < 100 {
        let batch = timeout(PATIENCE, reader.next_batch(60)).await.unwrap().unwrap();
        assert!(!batch.is_empty() && batch.len() <= 60);
        for record in batch {
            assert_eq!(record.offset, Offset::new(seen));
            seen += 1;
        }
        batches += 1;
    }
    assert!(batches < 50, "{batches} batches for 100 records");
}

pub async fn a_dropped_read_loses_nothing(log: Log) {
    let mut reader = log.read(Topic::All, 0, Offset::ZERO).await.unwrap();
    let mut seen = 0;
    for number in 0..20 {
        // Sometimes before, sometimes after the record is there.
        if let Ok(record) = timeout(Duration::from_micros(300), reader.next()).await {
            assert_eq!(record.unwrap().offset, Offset::new(seen));
            seen += 1;
        }
        log.append(Topic::All, Some(0), numbered(number)).await.unwrap();
    }
    while seen < 20 {
        let record = timeout(PATIENCE, reader.next()).await.unwrap().unwrap();
        assert_eq!(record.offset, Offset::new(seen));
        seen += 1;
    }
}

pub async fn many_partitions_are_merged(log: Log) {
    for partition in 0..4 {
        append_all(&log, Topic::Responses, Some(partition), 25).await;
    }
    let from = (0..4).map(|partition| (partition, Offset::new(u64::from(partition)))).collect();
    let mut reader = log.read_many(Topic::Responses, from).await.unwrap();
    let mut next = [0, 1, 2, 3];
    for _ in 0..94 {
        let record = timeout(PATIENCE, reader.next()).await.unwrap().unwrap();
        let expected = &mut next[record.partition as usize];
        assert_eq!(record.offset, Offset::new(*expected));
        *expected += 1;
    }
    assert_eq!(next, [25; 4]);
}

pub async fn a_place_outside_is_refused(log: Log) {
    append_all(&log, Topic::All, Some(0), 3).await;
    let error = log.read(Topic::All, 0, Offset::new(9)).await.unwrap_err();
    let LogError::OutOfRange { asked, start, end, partition, .. } = &error else { panic!("{error}") };
    assert_eq!((*asked, *start, *end, *partition), (Offset::new(9), Offset::ZERO, Offset::new(3), 0));
    let error = log.read(Topic::All, 5, Offset::ZERO).await.unwrap_err();
    assert!(matches!(error, LogError::MissingTopic { .. }), "{error}");
}

pub async fn committed_places_are_kept_by_group(log: Log) {
    let names = log.names();
    let (one, other) = (names.group_of_all(&"n1".into()), names.group_of_all(&"n2".into()));
    assert_eq!(log.committed(&one, Topic::All, 0).await.unwrap(), None);
    log.commit(&one, Topic::All, 0, Offset::new(5)).await.unwrap();
    log.commit(&other, Topic::All, 0, Offset::new(7)).await.unwrap();
    log.commit(&one, Topic::All, 0, Offset::new(6)).await.unwrap();
    assert_eq!(log.committed(&one, Topic::All, 0).await.unwrap(), Some(Offset::new(6)));
    assert_eq!(log.committed(&other, Topic::All, 0).await.unwrap(), Some(Offset::new(7)));
}

/// Reads with all members at once until this member has read `count` records or none came for a while; what is read is done.
async fn next_done(reader: &mut GroupReader) -> Record {
    let record = reader.next().await.unwrap();
    reader.done(&record);
    record
}

pub async fn a_group_shares_partitions_and_takes_over(log: Log) {
    let group = log.names().group_of_one();
    let mut first = log.join(Topic::One, &group).await.unwrap();
    let mut second = log.join(Topic::One, &group).await.unwrap();
    let (mut firsts, mut seconds) = (BTreeSet::new(), BTreeSet::new());
    let mut number = 0;
    // Until the group has settled: both members read, and each its own partitions.
    timeout(PATIENCE, async {
        while firsts.len() != 2 || seconds.len() != 2 || !firsts.is_disjoint(&seconds) {
            if firsts.len() > 2 || seconds.len() > 2 {
                (firsts, seconds) = (BTreeSet::new(), BTreeSet::new());
            }
            let partition = number as u32 % 4;
            let appended = log.append(Topic::One, Some(partition), numbered(number)).await.unwrap();
            number += 1;
            loop {
                let record = tokio::select! {
                    record = next_done(&mut first) => { firsts.insert(record.partition); record }
                    record = next_done(&mut second) => { seconds.insert(record.partition); record }
                };
                if (record.partition, record.offset) == (appended.partition, appended.offset) {
                    break;
                }
            }
        }
    })
    .await
    .unwrap();
    first.leave().await.unwrap();
    let places = join_all((0..4).map(|partition| log.append(Topic::One, Some(partition), numbered(0)))).await;
    let mut wanted: BTreeSet<_> =
        places.into_iter().map(|place| place.unwrap()).map(|at| (at.partition, at.offset)).collect();
    timeout(PATIENCE, async {
        while !wanted.is_empty() {
            let record = next_done(&mut second).await;
            assert!(wanted.remove(&(record.partition, record.offset)), "done before, delivered again: {record:?}");
        }
    })
    .await
    .unwrap();
    second.leave().await.unwrap();
    assert!(log.committed(&group, Topic::One, 3).await.unwrap().is_some());
}

pub async fn a_dropped_member_is_delivered_again(log: Log) {
    append_all(&log, Topic::One, Some(2), 3).await;
    let group = log.names().group_of_one();
    let mut first = log.join(Topic::One, &group).await.unwrap();
    let taken = timeout(PATIENCE, first.next()).await.unwrap().unwrap();
    let done = timeout(PATIENCE, first.next()).await.unwrap().unwrap();
    first.done(&done); // Out of order: the first is still open, so nothing may be committed.
    drop(first);
    let mut second = log.join(Topic::One, &group).await.unwrap();
    for wanted in ["0", "1", "2"] {
        let record = timeout(PATIENCE, second.next()).await.unwrap().unwrap();
        assert_eq!(text(&record), wanted);
    }
    assert_eq!(taken.offset, Offset::ZERO);
}

pub async fn topics_are_created_once(log: Log) {
    let wanted = TopicSettings::development();
    let again = log.create_topics(&wanted).await.unwrap();
    assert_eq!(again, Topic::EACH.map(|topic| (topic, Created::Existed)));
    assert_eq!(log.check_topics(&wanted).await.unwrap().findings, []);
    let findings = log.check_topics(&TopicSettings { partitions: 4, ..TopicSettings::default() }).await.unwrap();
    let copies = findings.refusals(true).into_iter().any(|finding| finding.setting == "replication factor");
    assert!(copies, "one copy will not do outside development: {findings:?}");
}

pub async fn the_log_names_itself(log: Log) {
    let identity = log.identity().await.unwrap();
    assert!(!identity.cluster_id.is_empty() && !identity.topic_id.is_empty(), "{identity:?}");
    assert_eq!(log.identity().await.unwrap(), identity);
}
