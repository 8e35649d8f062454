//! The log goes away, readers end, locks are held: the node goes on by itself, and says so meanwhile.

use crate::running::*;
use kluster_log::{LogError, MemoryLog, ReadFault};
use kluster_node::step::{Step, Steps, Watch};
use kluster_protocol::{ErrorClass, NodeState, Offset, SystemError, Topic};
use serde_json::json;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

fn retries(state: &NodeState, wanted: &str) -> bool {
    matches!(state, NodeState::Retrying { code, .. } if code == wanted)
}

fn read(id: &str) -> serde_json::Value {
    json!({"messageId": id, "clientId": "c", "sqlString": "select count(*) as n from t"})
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_ended_is_opened_anew() {
    let (memory, home) = (memory(), Home::new());
    let node = Running::ready(&memory, &home).await;
    for round in 0..5 {
        memory.end_readers();
        let at = write(&memory, &format!("w{round}"), &format!("create table t{round}(id integer)")).await;
        node.applied(at).await;
        memory.end_readers();
        node.until(|now| now.state == NodeState::Ready).await;
    }
    node.end().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_end_before_the_applied_offset_is_looked_up_again() {
    let (memory, home) = (memory(), Home::new());
    let node = Running::ready(&memory, &home).await;
    node.applied(write(&memory, "a", "create table t(id integer)").await).await;
    node.end().await.unwrap();
    memory.hide_end(2, Offset::ZERO);
    let node = Running::ready(&memory, &home).await;
    node.end().await.unwrap();
    // An end that stays is believed.
    memory.hide_end(u32::MAX, Offset::ZERO);
    let node = Running::start(&memory, home.settings("n1", Steps::default())).await;
    assert_eq!(node.stopped().await, "log_truncated");
}

#[tokio::test(start_paused = true)]
async fn a_log_that_is_away_is_waited_for_and_said() {
    let (memory, home) = (memory(), Home::new());
    let epoch = Instant::now();
    let node = Running::ready(&memory, &home).await;
    let gone_ms = epoch.elapsed().as_millis() as u64;
    memory.go_away();
    node.until(|now| retries(&now.state, "log_unreachable")).await;
    tokio::time::advance(Duration::from_secs(1800)).await;
    // Also while it opens its reader anew.
    memory.end_readers();
    tokio::time::advance(Duration::from_secs(1800)).await;
    memory.come_back();
    let at = write(&memory, "a", "create table t(id integer)").await;
    node.applied(at).await;
    node.until(|now| now.state == NodeState::Ready && now.reads_away.is_none()).await;
    // ERRORS could not be told before.
    let said = report(&memory, |error| error.code.as_deref() == Some("log_unreachable")).await;
    assert_eq!(said.class, ErrorClass::Alarm);
    assert!(said.message.starts_with("over after 3"), "{}", said.message);
    assert!(said.since_ms.abs_diff(gone_ms) < 1000, "{} since {gone_ms}", said.since_ms);
    node.end().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_node_ends_in_order_while_the_log_is_away() {
    let (memory, home) = (memory(), Home::new());
    let node = Running::ready(&memory, &home).await;
    memory.go_away();
    memory.end_readers();
    node.until(|now| retries(&now.state, "log_unreachable")).await;
    node.end().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn reads_join_again_and_say_that_they_are_away() {
    let (memory, home) = (memory(), Home::new());
    let node = Running::ready(&memory, &home).await;
    write(&memory, "a", "create table t(id integer)").await;
    ask(&memory, Topic::One, read("r1")).await;
    assert_eq!(answer(&memory, "r1").await["resultCode"], "OK");
    let denied = LogError::Denied { doing: "reading ONE".into(), reason: "on command".into() };
    memory.refuse(Topic::One, Some(denied));
    let now = node.until(|now| now.reads_away.is_some()).await;
    assert_eq!(now.state, NodeState::Ready, "writes go on");
    let said = report(&memory, |error| error.message.starts_with("reads of ONE are not answered")).await;
    assert_eq!((said.class, said.code.as_deref()), (ErrorClass::Transient, Some("log")));
    memory.refuse(Topic::One, None);
    ask(&memory, Topic::One, read("r2")).await;
    assert_eq!(answer(&memory, "r2").await["resultCode"], "OK");
    node.until(|now| now.reads_away.is_none()).await;
    node.end().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_record_of_one_that_cannot_be_decoded_is_passed_over_and_counted() {
    let (memory, home) = (memory(), Home::new());
    let node = Running::ready(&memory, &home).await;
    write(&memory, "a", "create table t(id integer)").await;
    memory.on_read(Arc::new(|context| match (context.topic, context.offset) {
        (Topic::One, Offset::ZERO) => ReadFault::Unreadable,
        _ => ReadFault::None,
    }));
    for id in 0..20 {
        ask(&memory, Topic::One, read(&format!("r{id}"))).await;
    }
    let now = node.until(|now| now.reads_undecodable > 0).await;
    let answered = (0..20).map(|id| format!("r{id}"));
    let unanswered = memory_firsts(&memory);
    assert_eq!(now.reads_undecodable, unanswered.len() as u64);
    for id in answered.filter(|id| !unanswered.contains(id)) {
        assert_eq!(answer(&memory, &id).await["resultCode"], "OK");
    }
    assert_eq!(report(&memory, |error| error.code.as_deref() == Some("undecodable")).await.class, ErrorClass::Alarm);
    node.end().await.unwrap();
}

/// The ids of the requests that lie at the start of their partition of ONE.
fn memory_firsts(memory: &MemoryLog) -> Vec<String> {
    let firsts = (0..8).filter_map(|partition| memory.records(Topic::One, partition).into_iter().next());
    let ids = firsts.map(|record| serde_json::from_slice::<serde_json::Value>(&record.value.unwrap()).unwrap());
    ids.map(|request| request["messageId"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_record_of_all_that_cannot_be_decoded_is_never_passed_over() {
    let (memory, home) = (memory(), Home::new());
    let node = Running::ready(&memory, &home).await;
    let end = memory.records(Topic::All, 0).len() as u64;
    memory.on_read(Arc::new(move |context| match (context.topic, context.offset.get()) {
        (Topic::All, at) if at == end => ReadFault::Unreadable,
        _ => ReadFault::None,
    }));
    let at = write(&memory, "a", "create table t(id integer)").await;
    let said = report(&memory, |error| error.code.as_deref() == Some("log_unreachable")).await;
    assert_eq!((said.class, said.offset), (ErrorClass::Transient, Some(at)));
    assert!(node.status.now().applied < Some(at));
    // It was damage on the way, not in the log.
    memory.clear_hooks();
    node.applied(at).await;
    node.end().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_file_that_another_process_has_locked_is_waited_for_without_end() {
    let (memory, home) = (memory(), Home::new());
    let epoch = Instant::now();
    let node = Running::ready(&memory, &home).await;
    let other = rusqlite::Connection::open(home.file()).unwrap();
    other.execute_batch("begin immediate").unwrap();
    let locked_ms = epoch.elapsed().as_millis() as u64;
    let at = write(&memory, "a", "create table t(id integer)").await;
    node.until(|now| retries(&now.state, "lock_wait")).await;
    for said in reports(&memory, "lock_wait", 10).await {
        assert_eq!((said.class, said.offset, said.request_id.as_deref()), (ErrorClass::Transient, Some(at), Some("a")));
        assert!(said.since_ms.abs_diff(locked_ms) < 1000, "{} since {locked_ms}", said.since_ms);
    }
    assert!(epoch.elapsed() > Duration::from_secs(300), "longer than any fault that passes may last");
    other.execute_batch("rollback").unwrap();
    node.applied(at).await;
    node.end().await.unwrap();
}

/// Waits until so many reports have this code.
async fn reports(memory: &MemoryLog, code: &str, count: usize) -> Vec<SystemError> {
    let found = || -> Vec<SystemError> {
        let errors = all(memory, Topic::Errors).into_iter().filter(|error| error["code"] == code);
        errors.map(|error| serde_json::from_value(error).unwrap()).collect()
    };
    report(memory, |error| error.code.as_deref() == Some(code) && found().len() >= count).await;
    found()
}

/// It lasts longer than any fault that passes may, and is told each minute.
#[tokio::test(start_paused = true)]
async fn a_database_that_is_down_is_reported_as_long_as_it_lasts() {
    let (memory, home) = (memory(), Home::new());
    let epoch = Instant::now();
    let (node, session) = Running::ready_with_session(&memory, &home).await;
    session.rollback();
    let other = rusqlite::Connection::open(home.file()).unwrap();
    other.execute_batch("pragma locking_mode = exclusive; begin exclusive").unwrap();
    let down_ms = epoch.elapsed().as_millis() as u64;
    let at = write(&memory, "a", "create table t(id integer)").await;
    node.until(|now| retries(&now.state, "open")).await;
    for said in reports(&memory, "open", 5).await {
        assert_eq!((said.class, said.offset, said.request_id.as_deref()), (ErrorClass::Transient, Some(at), Some("a")));
        assert!(said.since_ms.abs_diff(down_ms) < 1000, "{} since {down_ms}", said.since_ms);
    }
    assert!(epoch.elapsed() > Duration::from_secs(240) && epoch.elapsed() < Duration::from_secs(300));
    drop(other);
    node.applied(at).await;
    node.until(|now| now.state == NodeState::Ready).await;
    node.end().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_is_tried_again_every_5_s_and_resumes_by_itself() {
    let (memory, home) = (memory(), Home::new());
    let (node, session) = Running::ready_with_session(&memory, &home).await;
    node.applied(write(&memory, "t", "create table t(text text)").await).await;
    session.limit_pages(1).unwrap();
    let insert = format!("insert into t values ('{}')", "x".repeat(100_000));
    let at = write(&memory, "a", &insert).await;
    node.until(|now| retries(&now.state, "13")).await;
    for said in reports(&memory, "13", 5).await {
        assert_eq!((said.class, said.offset, said.request_id.as_deref()), (ErrorClass::Transient, Some(at), Some("a")));
    }
    session.limit_pages(1 << 30).unwrap();
    let resumed = Instant::now();
    node.applied(at).await;
    assert!(resumed.elapsed() <= Duration::from_secs(5), "{:?}", resumed.elapsed());
    assert_eq!(answer(&memory, "a").await["resultCode"], "OK");
    node.end().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_stays_missing_stops_all_and_reads_go_on() {
    let (memory, home) = (memory(), Home::new());
    let node = Running::ready(&memory, &home).await;
    node.applied(write(&memory, "a", "create table t(id integer)").await).await;
    memory.refuse(Topic::All, Some(LogError::MissingTopic { name: "ALL".into() }));
    assert_eq!(node.stopped().await, "log_missing");
    let said = report(&memory, |error| error.class == ErrorClass::Unknown).await;
    assert_eq!(said.code.as_deref(), Some("log_missing"));
    ask(&memory, Topic::One, read("r1")).await;
    assert_eq!(answer(&memory, "r1").await["resultCode"], "OK");
    assert!(node.end().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_topic_made_again_stops_the_node_before_it_applies_anything() {
    let (memory, home) = (memory(), Home::new());
    let node = Running::ready(&memory, &home).await;
    let at = write(&memory, "a", "create table t(id integer)").await;
    node.applied(at).await;
    memory.recreate(Topic::All);
    // Beyond the node's place: its reader finds them.
    memory.leave_hole(Topic::All, 0, at.next().get());
    write(&memory, "b", "insert into t values (1)").await;
    assert_eq!(node.stopped().await, "other_topic");
    assert_eq!(node.status.now().applied, Some(at));
    assert!(all(&memory, Topic::Responses).iter().all(|response| response["requestId"] != "b"));
    assert_eq!(report(&memory, |error| error.class == ErrorClass::Fatal).await.code.as_deref(), Some("other_topic"));
    assert!(node.end().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_fatal_fault_stops_both_lanes() {
    let (memory, home) = (memory(), Home::new());
    let node = Running::ready(&memory, &home).await;
    node.applied(write(&memory, "a", "create table t(id integer)").await).await;
    ask(&memory, Topic::One, read("r1")).await;
    answer(&memory, "r1").await;
    memory.refuse(Topic::All, Some(LogError::Denied { doing: "reading ALL".into(), reason: "on command".into() }));
    assert_eq!(node.stopped().await, "log");
    assert_eq!(report(&memory, |error| error.class == ErrorClass::Fatal).await.code.as_deref(), Some("log"));
    ask(&memory, Topic::One, read("r2")).await;
    tokio::time::advance(Duration::from_secs(60)).await;
    assert!(all(&memory, Topic::Responses).iter().all(|response| response["requestId"] != "r2"));
    assert!(node.end().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_log_that_goes_back_stops_the_node_which_says_so() {
    let (memory, home) = (memory(), Home::new());
    let node = Running::ready(&memory, &home).await;
    let next = memory.records(Topic::All, 0).len() as u64;
    memory.on_read(Arc::new(move |context| match (context.topic, context.offset.get()) {
        (Topic::All, at) if at == next => ReadFault::Twice,
        _ => ReadFault::None,
    }));
    let at = write(&memory, "a", "create table t(id integer)").await;
    assert_eq!(node.stopped().await, "log_order");
    let said = report(&memory, |error| error.class == ErrorClass::Fatal).await;
    assert_eq!((said.code.as_deref(), said.offset), (Some("log_order"), Some(at.next())));
    assert_eq!(said.request_id, None);
    assert!(node.end().await.is_err());
}

struct Panics;

impl Watch for Panics {
    fn reached(&self, step: Step) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        assert_ne!(step, Step::Executed, "as this test wants, with the words of a user");
        Box::pin(async {})
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_stops_the_node_which_says_so_without_its_words() {
    let (memory, home) = (memory(), Home::new());
    let node = Running::start(&memory, home.settings("n1", Steps::watched(Arc::new(Panics)))).await;
    assert_eq!(node.stopped().await, "panic");
    let said = report(&memory, |error| error.class == ErrorClass::Fatal).await;
    assert_eq!(said.code.as_deref(), Some("panic"));
    assert!(!said.message.contains("the words of a user"), "{}", said.message);
    assert!(node.end().await.is_err());
}
