//! Faults on command: each does what it says, on a single-threaded runtime with paused time.

use kluster_log::{AppendFault, Log, LogError, MemoryLog, NewRecord, ReadFault, Record, TopicSettings};
use kluster_protocol::{Offset, Topic};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tokio::time::{Instant, timeout};

const SECOND: Duration = Duration::from_secs(1);

fn texts(records: &[Record]) -> Vec<&str> {
    records.iter().map(|record| std::str::from_utf8(record.value.as_deref().unwrap()).unwrap()).collect()
}

/// A log on which records that say so go wrong in this way.
fn faulty(word: &'static str, fault: AppendFault) -> (MemoryLog, Log) {
    let memory = MemoryLog::new();
    memory.on_append(Arc::new(move |context| match context.record.value.as_deref() == Some(word.as_bytes()) {
        true => fault,
        false => AppendFault::None,
    }));
    (memory.clone(), Log::memory(memory))
}

async fn append(log: &Log, text: &'static str) -> Result<u64, LogError> {
    log.append(Topic::All, None, NewRecord::of(text)).await.map(|appended| appended.offset.get())
}

#[tokio::test(start_paused = true)]
async fn appends_are_lost_doubled_and_unanswered() {
    for (fault, answer, kept) in [
        (AppendFault::None, "Ok", &["bad", "good"][..]),
        (AppendFault::Lose, "NotAppended", &["good"]),
        (AppendFault::LoseOpen, "OutcomeOpen", &["good"]),
        (AppendFault::LoseAck, "OutcomeOpen", &["bad", "good"]),
        (AppendFault::Duplicate, "Ok(1)", &["bad", "bad", "good"]),
    ] {
        let (memory, log) = faulty("bad", fault);
        let answered = format!("{:?}", append(&log, "bad").await.map_err(|error| format!("{error:?}")));
        assert!(answered.contains(answer), "{fault:?}: {answered}");
        append(&log, "good").await.unwrap();
        assert_eq!(texts(&memory.records(Topic::All, 0)), kept, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_delayed_append_keeps_the_order_of_its_handle_only() {
    let (memory, log) = faulty("late", AppendFault::Delay(SECOND));
    let other = Log::memory(memory.user("other"));
    drop(log.append_now(Topic::All, None, NewRecord::of("late"))); // nobody waits for it
    let behind = log.append_now(Topic::All, None, NewRecord::of("behind"));
    append(&other, "other").await.unwrap();
    let begun = Instant::now();
    assert_eq!(behind.await.unwrap().offset, Offset::new(2));
    assert_eq!(begun.elapsed(), SECOND);
    assert_eq!(texts(&memory.records(Topic::All, 0)), ["other", "late", "behind"]);
}

#[tokio::test(start_paused = true)]
async fn a_held_answer_comes_later_than_the_record() {
    let (_, log) = faulty("held", AppendFault::HoldAck(SECOND));
    let held = log.append_now(Topic::All, None, NewRecord::of("held"));
    let mut reader = log.read(Topic::All, 0, Offset::ZERO).await.unwrap();
    let begun = Instant::now();
    reader.next().await.unwrap();
    assert_eq!(begun.elapsed(), Duration::ZERO);
    held.await.unwrap();
    assert_eq!(begun.elapsed(), SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_delayed_read_holds_up_one_reader() {
    let memory = MemoryLog::new();
    let slow = Log::memory(memory.user("slow"));
    let fast = Log::memory(memory.user("fast"));
    memory.on_read(Arc::new(|context| match &*context.user == "slow" && context.offset == Offset::ZERO {
        true => ReadFault::Delay(SECOND),
        false => ReadFault::None,
    }));
    append(&fast, "a").await.unwrap();
    append(&fast, "b").await.unwrap();
    let mut slow = slow.read(Topic::All, 0, Offset::ZERO).await.unwrap();
    let mut fast = fast.read(Topic::All, 0, Offset::ZERO).await.unwrap();
    let begun = Instant::now();
    assert_eq!(texts(&fast.next_batch(9).await.unwrap()), ["a", "b"]);
    assert_eq!(begun.elapsed(), Duration::ZERO);
    // Cancelled while it is withheld: nothing is lost, and the delay is not begun anew.
    timeout(SECOND / 2, slow.next()).await.unwrap_err();
    assert_eq!(texts(&slow.next_batch(9).await.unwrap()), ["a", "b"]);
    assert_eq!(begun.elapsed(), SECOND);
}

#[tokio::test(start_paused = true)]
async fn what_was_cut_off_is_out_of_range() {
    let memory = MemoryLog::new();
    let log = Log::memory(memory.clone());
    for text in ["a", "b", "c", "d"] {
        append(&log, text).await.unwrap();
    }
    let mut behind = log.read(Topic::All, 0, Offset::new(4)).await.unwrap();
    let mut before = log.read(Topic::All, 0, Offset::new(0)).await.unwrap();
    memory.truncate(Topic::All, 0, Offset::new(3));
    memory.trim(Topic::All, 0, Offset::new(1));
    let error = behind.next().await.unwrap_err();
    assert!(matches!(error, LogError::OutOfRange { asked, end, .. } if (asked.get(), end.get()) == (4, 3)), "{error}");
    let error = before.next().await.unwrap_err();
    assert!(
        matches!(error, LogError::OutOfRange { asked, start, .. } if (asked.get(), start.get()) == (0, 1)),
        "{error}"
    );
    assert_eq!(texts(&memory.records(Topic::All, 0)), ["b", "c"]);
    assert_eq!(append(&log, "e").await.unwrap(), 3, "the end's offset is given again, as Kafka does");
}

#[tokio::test(start_paused = true)]
async fn holes_are_passed() {
    let memory = MemoryLog::new();
    let log = Log::memory(memory.clone());
    append(&log, "a").await.unwrap();
    memory.leave_hole(Topic::All, 0, 2);
    append(&log, "b").await.unwrap();
    let mut reader = log.read(Topic::All, 0, Offset::new(1)).await.unwrap();
    assert_eq!(reader.next().await.unwrap().offset, Offset::new(3));
    assert_eq!(log.range(Topic::All, 0).await.unwrap().end, Offset::new(4));
}

#[tokio::test(start_paused = true)]
async fn another_log_has_another_identity() {
    let memory = MemoryLog::new();
    let log = Log::memory(memory.clone());
    append(&log, "a").await.unwrap();
    let before = log.identity().await.unwrap();
    log.commit("g", Topic::All, 0, Offset::new(1)).await.unwrap();
    memory.recreate(Topic::All);
    memory.set_cluster_id("another");
    let after = log.identity().await.unwrap();
    assert!(before.topic_id != after.topic_id && after.cluster_id == "another");
    assert_eq!(log.range(Topic::All, 0).await.unwrap().end, Offset::ZERO);
    assert_eq!(log.committed("g", Topic::All, 0).await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn the_clock_given_stamps_records() {
    let clock = Arc::new(AtomicI64::new(7));
    let memory = MemoryLog::with_clock({
        let clock = clock.clone();
        Arc::new(move || clock.load(Ordering::Relaxed))
    });
    let log = Log::memory(memory.clone());
    append(&log, "a").await.unwrap();
    clock.store(9, Ordering::Relaxed);
    append(&log, "b").await.unwrap();
    let times: Vec<_> = memory.records(Topic::All, 0).iter().map(|record| record.timestamp_ms).collect();
    assert_eq!(times, [7, 9]);
}

#[tokio::test(start_paused = true)]
async fn wrong_settings_are_found() {
    let memory = MemoryLog::without_topics(Arc::new(|| 0));
    let log = Log::memory(memory.clone());
    let wanted = TopicSettings::development();
    let error = append(&log, "a").await.unwrap_err();
    assert!(matches!(error, LogError::MissingTopic { .. }), "{error}");
    assert_eq!(log.check_topics(&wanted).await.unwrap().refusals(true).len(), Topic::EACH.len());
    log.create_topics(&wanted).await.unwrap();
    assert_eq!(log.check_topics(&wanted).await.unwrap().findings, []);
    memory.set_setting(Topic::All, "cleanup.policy", "compact");
    memory.set_setting(Topic::One, "retention.ms", "1");
    memory.hide_settings(Topic::Decisions, true);
    let check = log.check_topics(&wanted).await.unwrap();
    assert_eq!(check.findings.len(), 3);
    assert_eq!((check.refusals(false).len(), check.refusals(true).len()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_log_that_is_away_says_so_and_comes_back_whole() {
    let memory = MemoryLog::new();
    let log = Log::memory(memory.clone());
    append(&log, "before").await.unwrap();
    let mut reader = log.read(Topic::All, 0, Offset::ZERO).await.unwrap();
    let group = log.join(Topic::All, "g").await.unwrap();
    memory.go_away();
    assert!(timeout(SECOND, reader.next()).await.is_err());
    assert_eq!(reader.trouble().unwrap().lasting, SECOND);
    assert!(group.trouble().is_some());
    assert!(matches!(append(&log, "during").await, Err(LogError::NotAppended { .. })));
    let asked = log.range(Topic::All, 0).await.unwrap_err();
    assert!(matches!(asked, LogError::Unreachable { .. }), "{asked}");
    assert!(matches!(log.read(Topic::All, 0, Offset::ZERO).await, Err(LogError::Unreachable { .. })));
    memory.come_back();
    assert_eq!(texts(&[reader.next().await.unwrap()]), ["before"]);
    assert_eq!((reader.trouble(), group.trouble()), (None, None));
}

#[tokio::test(start_paused = true)]
async fn readers_are_ended_and_refused() {
    let memory = MemoryLog::new();
    let log = Log::memory(memory.clone());
    let mut reader = log.read(Topic::All, 0, Offset::ZERO).await.unwrap();
    let mut group = log.join(Topic::All, "g").await.unwrap();
    memory.end_readers();
    assert!(matches!(reader.next().await, Err(LogError::Unreachable { .. })));
    assert!(matches!(group.next().await, Err(LogError::Unreachable { .. })));
    let mut reader = log.read(Topic::All, 0, Offset::ZERO).await.unwrap();
    let error = LogError::MissingTopic { name: "ALL".into() };
    memory.refuse(Topic::All, Some(error.clone()));
    assert_eq!(reader.next().await.unwrap_err(), error);
    assert_eq!(log.range(Topic::All, 0).await.unwrap_err(), error);
    assert_eq!(log.join(Topic::All, "g").await.unwrap_err(), error);
    memory.refuse(Topic::All, None);
    append(&log, "a").await.unwrap();
    assert_eq!(texts(&[reader.next().await.unwrap()]), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn a_record_comes_twice_or_cannot_be_decoded() {
    let memory = MemoryLog::new();
    let log = Log::memory(memory.clone());
    for text in ["a", "b", "c"] {
        append(&log, text).await.unwrap();
    }
    let at = |offset: u64, fault: ReadFault| {
        memory.on_read(Arc::new(move |context| match context.offset.get() == offset {
            true => fault,
            false => ReadFault::None,
        }));
    };
    at(1, ReadFault::Twice);
    let mut reader = log.read(Topic::All, 0, Offset::ZERO).await.unwrap();
    assert_eq!(texts(&reader.next_batch(9).await.unwrap()), ["a", "b", "b", "c"]);
    at(1, ReadFault::Unreadable);
    let mut reader = log.read(Topic::All, 0, Offset::ZERO).await.unwrap();
    assert_eq!(texts(&reader.next_batch(9).await.unwrap()), ["a"]);
    assert!(matches!(reader.next().await, Err(LogError::Unreachable { .. })), "a reader ends before it");
    let mut group = log.join(Topic::All, "g").await.unwrap();
    assert_eq!(texts(&[group.next().await.unwrap(), group.next().await.unwrap()]), ["a", "c"]);
    assert_eq!(group.undecodable(), 1, "a group passes over it");
}

#[tokio::test(start_paused = true)]
async fn an_end_that_is_too_early_is_believed_at_the_third_look() {
    let memory = MemoryLog::new();
    let log = Log::memory(memory.clone());
    append(&log, "a").await.unwrap();
    memory.hide_end(2, Offset::ZERO);
    assert_eq!(log.range_reaching(Topic::All, 0, Offset::new(1)).await.unwrap().end, Offset::new(1));
    memory.hide_end(3, Offset::ZERO);
    assert_eq!(log.range_reaching(Topic::All, 0, Offset::new(1)).await.unwrap().end, Offset::ZERO);
    assert_eq!(log.range(Topic::All, 0).await.unwrap().end, Offset::new(1), "nothing is hidden any more");
}
