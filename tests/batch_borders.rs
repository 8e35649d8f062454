//! Where a batch ends decides nothing: nodes that cut the same log into batches of 1, of 7, of 60 and at random come to the same chain and the
//! same tables.

#![cfg(test)]

use kluster_log::{Log, MemoryLog, NewRecord};
use kluster_node::all_lane::BatchLimit;
use kluster_node::dbms::DbmsSettings;
use kluster_node::node::{Node, NodeSettings};
use kluster_node::step::Steps;
use kluster_protocol::{Chain, ClientId, DEFAULT_WINDOW, MessageId, NodeState, Role, Topic};
use kluster_tests::sim::{Body, Op, next, schema, tables_of};
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

/// A log of `count` requests drawn from `seed`, some of them twice.
async fn fill(log: &Log, seed: u64, count: usize) {
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
    for (id, body) in &bodies {
        log.append(Topic::All, None, request(id, body)).await.unwrap();
    }
}

/// Lets one node apply the whole log in batches of at most `limit()`; gives its chain at the end of these records.
async fn apply(
    log: &MemoryLog,
    name: &str,
    file: &Path,
    records: u64,
    limit: impl Fn() -> usize + Send + Sync + 'static,
) -> Chain {
    let settings = NodeSettings {
        node_id: name.into(),
        dbms: DbmsSettings {
            url: format!("sqlite:{}", file.display()),
            app_url: None,
            read_url: None,
            node_id: name.to_owned(),
            max_reads: 1,
            inline: true,
            steps: Steps::default(),
        },
        role: Role::Observer,
        http: None,
        trust_topics: false,
        development: true,
        clock: Arc::new(|| 0),
        window: DEFAULT_WINDOW,
        max_batch: BatchLimit(Arc::new(limit)),
        instance_id: String::new(),
    };
    let node = Node::start(settings, Log::memory(log.user(name))).await.unwrap();
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

async fn borders_decide_nothing(seed: u64) {
    let directory = tempfile::tempdir().unwrap();
    let rng = Arc::new(Mutex::new(StdRng::seed_from_u64(seed)));
    let mut first = None;
    for (n, limit) in [Some(1), Some(7), Some(60), None].into_iter().enumerate() {
        // A log of its own for each node, so that none sees the other's join record; what is asked is the same.
        let log = MemoryLog::with_clock(Arc::new(|| 0));
        fill(&Log::memory(log.clone()), seed, 120).await;
        // The node's own question to be counted is the record behind them.
        let records = log.records(Topic::All, 0).len() as u64 + 1;
        let file = directory.path().join(format!("n{n}.db"));
        let rng = rng.clone();
        let draw = move || limit.unwrap_or_else(|| rng.lock().unwrap().random_range(1..=60));
        let chain = apply(&log, "n1", &file, records, draw).await;
        let tables = tables_of(&file);
        match &first {
            None => first = Some((chain, tables)),
            Some((same, alike)) => {
                assert_eq!(*alike, tables, "seed {seed}, batches of {limit:?}");
                assert_eq!(*same, chain, "seed {seed}, batches of {limit:?}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn batch_borders(seed in any::<u64>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async { tokio::time::timeout(Duration::from_secs(3600), borders_decide_nothing(seed)).await }).unwrap();
    }
}
