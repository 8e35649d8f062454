//! What the design promises of one node: holes, alarms, observers, and refusals by place and time.

use crate::running::*;
use kluster_log::{Log, MemoryLog};
use kluster_node::node::{Node, NodeError, NodeSettings};
use kluster_node::step::Steps;
use kluster_protocol::{ErrorClass, NodeState, Role, Topic};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

#[tokio::test(start_paused = true)]
async fn holes_are_passed_and_counted() {
    let (memory, home) = (memory(), Home::new());
    let node = Running::ready(&memory, &home).await;
    node.applied(write(&memory, "a", "create table t(id integer)").await).await;
    memory.leave_hole(Topic::All, 0, 3);
    node.applied(write(&memory, "b", "insert into t values (1)").await).await;
    memory.leave_hole(Topic::All, 0, 4);
    let at = write(&memory, "c", "insert into t values (2)").await;
    node.applied(at).await;
    assert_eq!(node.status.now().holes, 7);
    node.end().await.unwrap();
    // The record at the applied offset is found again behind holes.
    let node = Running::ready(&memory, &home).await;
    assert_eq!(node.status.now().applied, Some(at));
    node.end().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_foreign_open_transaction_raises_one_alarm() {
    let (memory, home) = (memory(), Home::new());
    let node = Running::ready(&memory, &home).await;
    memory.stall(Some(Duration::from_secs(11)));
    let said = report(&memory, |error| error.code.as_deref() == Some("log_stalled")).await;
    assert_eq!(said.class, ErrorClass::Alarm);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(all(&memory, Topic::Errors).len(), 1, "said once");
    assert_eq!(node.status.now().state, NodeState::Ready);
    node.end().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_record_from_the_future_raises_an_alarm_and_nothing_else() {
    let epoch = Instant::now();
    let memory = MemoryLog::with_clock(Arc::new(move || epoch.elapsed().as_millis() as i64 + 6 * 60 * 1000));
    let home = Home::new();
    let node = Running::ready(&memory, &home).await;
    write(&memory, "a", "create table t(id integer)").await;
    assert_eq!(answer(&memory, "a").await["resultCode"], "OK");
    let said = report(&memory, |error| error.code.as_deref() == Some("clock_ahead")).await;
    assert_eq!(said.class, ErrorClass::Alarm);
    assert!(said.message.contains(" 360 s ahead"), "{}", said.message);
    assert_eq!(node.status.now().state, NodeState::Ready);
    node.end().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_observer_applies_and_is_silent() {
    let memory = memory();
    let (voters, observers) = (Home::new(), Home::new());
    let voter = Running::ready(&memory, &voters).await;
    let settings = NodeSettings { role: Role::Observer, ..observers.settings("n2", Steps::default()) };
    let observer = Running::start(&memory, settings).await;
    observer.until(|now| now.state == NodeState::Ready && !now.membership.observers.is_empty()).await;
    let mut at = write(&memory, "a", "create table t(id integer)").await;
    for id in 0..20 {
        at = write(&memory, &format!("w{id}"), &format!("insert into t values ({id})")).await;
        let read = json!({"messageId": format!("r{id}"), "clientId": "c", "sqlString": "select * from t"});
        ask(&memory, Topic::One, read).await;
    }
    observer.applied(at).await;
    voter.applied(at).await;
    assert_eq!(observer.status.now().chain, voter.status.now().chain);
    for id in 0..20 {
        answer(&memory, &format!("w{id}")).await;
        assert_eq!(answer(&memory, &format!("r{id}")).await["nodeId"], "n1", "each read is the voter's to answer");
    }
    let written: Vec<_> = all(&memory, Topic::Responses);
    assert!(written.iter().all(|response| response["nodeId"] == "n1"), "{written:#?}");
    observer.end().await.unwrap();
    voter.end().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_read_ahead_of_the_node_is_not_yet_answered_at_its_deadline() {
    let (memory, home) = (memory(), Home::new());
    let node = Running::ready(&memory, &home).await;
    let at = write(&memory, "a", "create table t(id integer)").await;
    let read = |id: &str, min: u64| json!({"messageId": id, "clientId": "c", "sqlString": "select 1", "minOffset": min, "timeoutMs": 700});
    ask(&memory, Topic::One, read("now", at.get())).await;
    assert_eq!(answer(&memory, "now").await["resultCode"], "OK");
    let begun = Instant::now();
    ask(&memory, Topic::One, read("late", at.get() + 1)).await;
    assert_eq!(answer(&memory, "late").await["error"]["code"], "not_yet");
    assert!(begun.elapsed() >= Duration::from_millis(700) && begun.elapsed() < Duration::from_secs(1));
    // One that comes in time is answered.
    ask(&memory, Topic::One, read("soon", at.get() + 1)).await;
    write(&memory, "b", "insert into t values (1)").await;
    assert_eq!(answer(&memory, "soon").await["resultCode"], "OK");
    node.end().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_since_offset_that_is_not_below_the_request_is_refused() {
    let (memory, home) = (memory(), Home::new());
    let node = Running::ready(&memory, &home).await;
    let next = write(&memory, "a", "create table t(id integer)").await.next().get();
    let insert = |id: &str, since: u64| json!({"messageId": id, "clientId": "c", "sqlString": "insert into t values (1)", "sinceOffset": since});
    ask(&memory, Topic::All, insert("same", next)).await;
    ask(&memory, Topic::All, insert("above", next + 9)).await;
    ask(&memory, Topic::All, insert("below", next + 1)).await;
    for id in ["same", "above"] {
        assert_eq!(answer(&memory, id).await["error"]["code"], "bad_since", "{id}");
    }
    assert_eq!(answer(&memory, "below").await["resultCode"], "OK");
    node.end().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn topics_whose_settings_are_hidden_need_trust() {
    let (memory, home) = (memory(), Home::new());
    memory.hide_settings(Topic::All, true);
    let settings = home.settings("n1", Steps::default());
    let refused = Node::start(settings.clone(), Log::memory(memory.user("n1"))).await.err();
    assert!(matches!(&refused, Some(NodeError::Topics(why)) if why.contains("--trust-topics")), "{refused:?}");
    let node = Running::start(&memory, NodeSettings { trust_topics: true, ..settings.clone() }).await;
    node.until(|now| now.state == NodeState::Ready).await;
    node.end().await.unwrap();
    // Trust is for what cannot be read, not for what is read to be wrong.
    memory.hide_settings(Topic::All, false);
    memory.set_setting(Topic::All, "retention.ms", "1000");
    let refused = Node::start(NodeSettings { trust_topics: true, ..settings }, Log::memory(memory.user("n1"))).await;
    assert!(matches!(refused.err(), Some(NodeError::Topics(_))));
}
