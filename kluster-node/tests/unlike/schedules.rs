//! One log in unlike schedules: two nodes apply it in batches of unlike borders, restarted, rolled back, with their servers killed and their tables
//! vacuumed at unlike places. Chains, effects, tables and answers must be the same.

use crate::home::{Home, Server};
use crate::node::Node;
use crate::record::{pick, record};
use kluster_log::Record;
use kluster_protocol::Offset;
use kluster_sql::Dialect;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

/// Schedules that share two databases: each continues the log of the one before.
const SHARED: usize = 10;
/// Requests of one schedule.
const REQUESTS: usize = 40;

/// What happened in all schedules of a run.
#[derive(Debug, Default)]
pub struct Tally {
    /// Schedules.
    pub schedules: usize,
    /// Requests in their logs.
    pub requests: usize,
    /// Requests that were refused.
    pub refused: usize,
    /// Batches of two requests or more.
    pub batches: usize,
    /// Batches that were executed and rolled back.
    pub rollbacks: usize,
    /// Nodes that were closed and opened again.
    pub restarts: usize,
    /// Servers that were killed.
    pub kills: usize,
    /// Tables that were vacuumed, analysed or optimized.
    pub vacuums: usize,
    /// Records that had effects.
    pub effects: usize,
}

const SCHEMA: &[&str] = &[
    "create table account (id integer not null primary key, balance integer not null check (balance >= 0))",
    "create table entry (id varchar(40) not null primary key, n integer, due integer, at varchar(40))",
    "create table child (id integer not null primary key, account integer references account (id))",
    "create table job (id varchar(40) not null primary key, due integer, state varchar(20))",
    "insert into account values (0, 100), (1, 100), (2, 100), (3, 100)",
];

const TABLES: [&str; 4] = ["account", "entry", "child", "job"];

/// Runs this many schedules.
pub async fn run(dialect: Dialect, seed: u64, count: usize) -> Tally {
    let servers = Server::pair(dialect, false).await;
    let mut tally = Tally::default();
    while tally.schedules < count {
        let seed = seed + (tally.schedules / SHARED) as u64;
        history(&servers, seed, count - tally.schedules, &mut tally).await;
    }
    tally
}

/// Schedules over one log, from its first record on.
async fn history(servers: &[Server; 2], seed: u64, most: usize, tally: &mut Tally) {
    let mut rng = StdRng::seed_from_u64(seed);
    let homes = [Home::new(&servers[0], 0).await, Home::new(&servers[1], 1).await];
    let mut nodes = [Node::open(homes[0].settings()).await, Node::open(homes[1].settings()).await];
    let schema = SCHEMA.iter().map(|sql| json!({"sqlString": sql}));
    let mut log: Vec<Record> = (0..).zip(schema).map(|(n, body)| record(n, &format!("s{n}"), body)).collect();
    for node in &mut nodes {
        node.apply(&log, || 1).await.unwrap();
    }
    for schedule in 0..SHARED.min(most) {
        let from = log.len();
        extend(&mut rng, &mut log);
        for (n, (home, server)) in homes.iter().zip(servers).enumerate() {
            // One kill of each server in a history, at a place of its own.
            let kills = (schedule == SHARED.min(most) / 2 + n).then(|| rng.random_range(0..REQUESTS / 4));
            let [one, other] = nodes;
            let (node, rest) = if n == 0 { (one, other) } else { (other, one) };
            let node = Schedule { rng: &mut rng, home, server, kills, tally }.run(node, &log).await;
            nodes = if n == 0 { [node, rest] } else { [rest, node] };
        }
        let from = Offset::new(from as u64);
        same(&mut nodes, from, &format!("seed {seed}, schedule {schedule}"), tally).await;
        tally.schedules += 1;
        tally.requests += REQUESTS;
    }
    for node in nodes {
        tally.batches += node.counts.batches;
        tally.rollbacks += node.counts.rollbacks;
        node.close().await;
    }
}

/// How one node applies the next part of the log.
struct Schedule<'a, 'b> {
    rng: &'a mut StdRng,
    home: &'a Home<'b>,
    server: &'a Server,
    /// After this many batches the server is killed.
    kills: Option<usize>,
    tally: &'a mut Tally,
}

impl Schedule<'_, '_> {
    async fn run(self, mut node: Node, log: &[Record]) -> Node {
        let Self { rng, home, server, kills, tally } = self;
        let mut batches = 0;
        while let [first, ..] = node.rest(log) {
            let from = first.offset.get() as usize;
            let size = rng.random_range(1..=12);
            match rng.random_range(0..20) {
                0..3 => node.roll_back(log, size).await,
                3 => {
                    node = node.restarted().await;
                    tally.restarts += 1;
                }
                4 => {
                    home.vacuum(pick(rng, &TABLES)).await;
                    tally.vacuums += 1;
                }
                _ => {}
            }
            if kills == Some(batches) && server.kill().await {
                tally.kills += 1;
            }
            batches += 1;
            node.apply(&log[..(from + size).min(log.len())], || size).await.unwrap();
        }
        node
    }
}

async fn same(nodes: &mut [Node; 2], from: Offset, what: &str, tally: &mut Tally) {
    let after = from.back(1);
    let effects = [nodes[0].effects(after).await, nodes[1].effects(after).await];
    let answers = [nodes[0].outcomes(from).await.unwrap(), nodes[1].outcomes(from).await.unwrap()];
    for (one, other) in answers[0].values().zip(answers[1].values()) {
        let said = |outcome: &kluster_node::outcome::Outcome| {
            let code = outcome.error.as_ref().map(|error| error.code);
            (outcome.offset, outcome.request_id.clone(), code, outcome.counts.clone(), outcome.repeats)
        };
        assert_eq!(said(one), said(other), "{what}: answers");
    }
    assert_eq!(answers[0].len(), answers[1].len(), "{what}: count of answers");
    assert_eq!(effects[0], effects[1], "{what}: effects");
    for table in TABLES {
        assert_eq!(nodes[0].table(table).await, nodes[1].table(table).await, "{what}: {table}");
    }
    assert_eq!(nodes[0].state.chain, nodes[1].state.chain, "{what}: chains");
    tally.effects += effects[0].len();
    tally.refused += answers[0].values().filter(|outcome| outcome.error.is_some()).count();
}

/// The next requests of a log: writes, guarded lists, refusals, definitions, and some requests twice.
fn extend(rng: &mut StdRng, log: &mut Vec<Record>) {
    let end = log.len() + REQUESTS;
    while log.len() < end {
        let offset = log.len() as u64;
        let again = rng.random_bool(0.08) && log.len() > 10;
        let next = match again {
            true => Record { offset: Offset::new(offset), ..pick(rng, log) },
            false => record(offset, &format!("r{offset}"), body(rng, offset)),
        };
        log.push(next);
    }
}

fn one(sql: impl Into<String>, params: Value) -> Value {
    json!({"sqlString": sql.into(), "params": params})
}

fn body(rng: &mut StdRng, n: u64) -> Value {
    let (small, large) = (rng.random_range(0..4), rng.random_range(0..60));
    let other = (small + 1) % 4;
    match rng.random_range(0..100) {
        0..30 => one("insert into entry values ($1, $2, $3, 'x')", json!([format!("e{large}"), small, other])),
        30..38 => one("update entry set n = n + 1, at = $1 where due = $2", json!([format!("at {n}"), small])),
        38..43 => one("delete from entry where id = $1", json!([format!("e{large}")])),
        43..50 => json!({"statements": [
            {"sqlString": "update account set balance = balance - $1 where id = $2", "params": [large, small], "expectRows": 1},
            {"sqlString": "update account set balance = balance + $1 where id = $2", "params": [large, other], "expectRows": 1},
            {"sqlString": "insert into entry values ($1, $2, 0, 'transfer')", "params": [format!("t{n}"), large]},
        ]}),
        50..58 => one("insert into job values ($1, $2, 'free')", json!([format!("j{n}"), small])),
        58..66 => one(
            "update job set state = 'taken' where id in (select id from (select id from job where state = 'free' order by due limit 1) as x)",
            json!([]),
        ),
        66..72 => one("insert into child values ($1, $2)", json!([n, large / 8])),
        72..78 => one("insert into entry values ($1, 0, 0, 'r') returning id, n", json!([format!("e{large}")])),
        78..83 => one("select count(*) from entry where n > $1", json!([small])),
        83..87 => one("insert into nowhere values (1)", json!([])),
        87..90 => one("update account set balance = balance - 1000", json!([])),
        90..93 => one("insert into entry (id) select 'copy' || id from account", json!([])),
        93..95 => one(format!("create table made{n} (id integer)"), json!([])),
        95..97 => one(format!("create index made_by{n} on entry (due)"), json!([])),
        97..98 => one(format!("drop table made{large}"), json!([])),
        _ => one("delete from job where state = 'taken'", json!([])),
    }
}
