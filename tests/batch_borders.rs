//! Where a batch ends decides nothing: nodes that cut the same log into batches of 1, of 7, of 60 and at random come to the same chain and the
//! same tables, and give the same answers, also where outcomes leave the window inside a batch.

#![cfg(test)]

use kluster_log::{Log, MemoryLog, NewRecord, TopicSettings};
use kluster_node::all_lane::BatchLimit;
use kluster_node::node::{Node, NodeSettings};
use kluster_node::step::Steps;
use kluster_protocol::{Chain, ClientId, DEFAULT_WINDOW, MessageId, NodeState, Response, Role, Topic};
use kluster_tests::inline;
use kluster_tests::sim::{Body, Op, Tables, next, schema, tables_of};
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// A request that asks `body`.
fn request(id: &str, body: &Body) -> NewRecord {
    let statements: Vec<_> = body
        .statements
        .iter()
        .map(|(sql, params, expect)| match expect {
            Some(count) => json!({"sqlString": sql, "params": params, "expectRows": count}),
            None => json!({"sqlString": sql, "params": params}),
        })
        .collect();
    let mut request = if body.list { json!({"statements": statements}) } else { statements[0].clone() };
    request["messageId"] = json!(MessageId::new(id));
    request["clientId"] = json!(ClientId::new("c"));
    NewRecord::of(request.to_string())
}

/// `count` requests drawn from `seed`, some of them twice.
fn drawn(seed: u64, count: usize) -> Vec<NewRecord> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut bodies: Vec<(String, Body)> =
        schema().into_iter().enumerate().map(|(n, body)| (format!("s{n}"), body)).collect();
    while bodies.len() < count {
        let id = format!("r{}", bodies.len());
        if let Op::Write(body) = next(&mut rng, &id) {
            bodies.push((id, body));
        }
        if rng.random_bool(0.1) {
            let again = rng.random_range(0..bodies.len());
            bodies.push(bodies[again].clone());
        }
    }
    bodies.iter().map(|(id, body)| request(id, body)).collect()
}

/// What one node made of a log.
#[derive(Debug)]
struct Came {
    chain: Chain,
    tables: Tables,
    /// Every answer with its offset, in an order that hangs on nothing.
    answers: Vec<(u64, String)>,
}

impl Came {
    /// Panics with the first difference, and only that: every later chain differs too.
    fn must_be(&self, other: &Self, between: &str) {
        for (one, another) in self.answers.iter().zip(&other.answers) {
            assert_eq!(one, another, "answers differ between {between}");
        }
        assert_eq!(self.answers.len(), other.answers.len(), "an answer comes twice: {between}");
        assert_eq!(self.tables, other.tables, "tables differ between {between}");
        assert_eq!(self.chain, other.chain, "chains differ between {between}");
    }
}

/// Lets a node apply a log of these requests in batches of at most `limit()`, remembering outcomes for `window` offsets. Each node has a log of
/// its own, so that none sees another's join record; what is asked is the same.
async fn applied(
    requests: &[NewRecord],
    window: u64,
    limit: impl Fn() -> usize + Send + Sync + 'static,
) -> (Came, MemoryLog) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("node.db");
    let log = MemoryLog::with_clock(Arc::new(|| 0));
    for request in requests {
        Log::memory(log.clone()).append(Topic::All, None, request.clone()).await.unwrap();
    }
    // The node's own question to be counted is the record behind them.
    let chain = apply(&log, &file, requests.len() as u64 + 1, window, limit).await;
    let mut answers: Vec<(u64, String)> = values(&log).map(|value| (offset(&value), text(value))).collect();
    answers.sort();
    (Came { chain, tables: tables_of(&file), answers }, log)
}

fn offset(answer: &[u8]) -> u64 {
    let answer: Response = serde_json::from_slice(answer).unwrap();
    answer.offset.unwrap().get()
}

fn text(answer: Vec<u8>) -> String {
    String::from_utf8(answer).unwrap()
}

/// What RESPONSES holds.
fn values(log: &MemoryLog) -> impl Iterator<Item = Vec<u8>> {
    let partitions = TopicSettings::development().partitions;
    let records = (0..partitions).flat_map(|partition| log.records(Topic::Responses, partition));
    records.map(|record| record.value.expect("an answer has a body").to_vec())
}

/// Runs a node until it has applied so many records and answered them; gives its chain there.
async fn apply(
    log: &MemoryLog,
    file: &Path,
    records: u64,
    window: u64,
    limit: impl Fn() -> usize + Send + Sync + 'static,
) -> Chain {
    let settings = NodeSettings {
        role: Role::Observer,
        clock: Arc::new(|| 0),
        window,
        max_batch: BatchLimit(Arc::new(limit)),
        ..inline("n1", format!("sqlite:{}", file.display()), Steps::default())
    };
    let node = Node::start(settings, Log::memory(log.user("n1"))).await.unwrap();
    let mut status = node.status().watch();
    let drain = CancellationToken::new();
    let running = tokio::spawn(node.run(drain.clone()));
    let there = status.wait_for(|now| {
        assert!(!matches!(now.state, NodeState::Stopped { .. }), "{now:?}");
        now.applied.is_some_and(|applied| applied.next().get() >= records)
    });
    let chain = there.await.unwrap().chain.unwrap();
    drain.cancel();
    running.await.unwrap().unwrap();
    chain
}

/// Windows from one so small that most repeats lie behind it to the usual one.
fn windows() -> impl Strategy<Value = u64> {
    prop_oneof![1..150_u64, Just(DEFAULT_WINDOW)]
}

async fn borders_decide_nothing(seed: u64, window: u64) {
    let requests = drawn(seed, 120);
    let rng = Arc::new(Mutex::new(StdRng::seed_from_u64(seed)));
    let (first, _) = applied(&requests, window, || 1).await;
    for limit in [Some(7), Some(60), None] {
        let rng = rng.clone();
        let draw = move || limit.unwrap_or_else(|| rng.lock().unwrap().random_range(1..=60));
        let (came, _) = applied(&requests, window, draw).await;
        first.must_be(&came, &format!("batches of 1 and of {limit:?}"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn batch_borders(seed in any::<u64>(), window in windows()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            tokio::time::timeout(Duration::from_secs(3600), borders_decide_nothing(seed, window)).await.unwrap();
        });
    }
}

const WINDOW: u64 = 20;

fn write(id: &str, sql: &str) -> NewRecord {
    request(id, &Body { statements: vec![(sql.to_owned(), Vec::new(), None)], list: false })
}

/// At offset 1 a request with rows to return, `distance` behind it the same once more, and enough before and behind that to fill a batch of 60
/// whose end lies where the first is forgotten in any case. Its answers, given by a node with batches of at most `limit`.
async fn answers_to_a_repeat(distance: u64, limit: usize) -> Vec<Response> {
    let again = write("again", "insert into entry values ('again') returning id");
    let filler = |n: u64| write(&format!("f{n}"), &format!("insert into entry values ('f{n}')"));
    let mut requests = vec![write("table", "create table entry(id text primary key)"), again.clone()];
    requests.extend((1..distance).map(filler));
    requests.push(again);
    requests.extend((distance..2 * WINDOW).map(filler));
    let (_, log) = applied(&requests, WINDOW, move || limit).await;
    let answers = values(&log).map(|value| serde_json::from_slice(&value).unwrap());
    answers.filter(|answer: &Response| answer.request_id == "again").collect()
}

#[tokio::test(start_paused = true)]
async fn rows_are_kept_to_the_last_offset_of_the_window() {
    for limit in [1, 60] {
        let answers = answers_to_a_repeat(WINDOW, limit).await;
        assert_eq!(answers.len(), 2, "{answers:#?}");
        for answer in answers {
            assert!(!answer.result_gone, "batches of {limit}: the repeat was told that its rows are gone");
            assert_eq!(json!(answer.result), json!([{"id": "again"}]));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn behind_the_window_a_request_is_executed_again_also_in_one_batch() {
    for limit in [1, 60] {
        let codes: Vec<String> =
            answers_to_a_repeat(WINDOW + 1, limit).await.into_iter().map(|answer| answer.result_code).collect();
        assert_eq!(codes, ["OK", "ERR: UNIQUE constraint failed: entry.id"], "batches of {limit}");
    }
}
