//! Where a batch ends decides nothing: nodes that cut one log into batches of 1, of 7, of 60 and at random come to one chain and the same tables,
//! and give the same answers. `tests/batch_borders.rs` asks the same of SQLite in far more histories.

use kluster_log::NewRecord;
use kluster_protocol::{Offset, Topic};
use kluster_tests::cluster::{Cluster, Database, Kind, NodeProcess, PATIENCE};
use kluster_tests::scripts::Answer;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// So many requests stand in the log before a node reads it, so that batches are full.
const REQUESTS: usize = 400;

/// What caps the batches of each node.
const CAPS: [&str; 4] = ["1", "7", "60", "seed:2"];

pub async fn batch_borders_decide_nothing(kind: Kind) {
    // Another run may draw another history; its number is in the message of whatever fails.
    let seed = std::env::var("KLUSTER_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let mut cluster = Cluster::without_nodes().await;
    let partitions = cluster.log().partitions(Topic::Responses).await.expect("RESPONSES has partitions");
    let start: Vec<_> = (0..partitions).map(|partition| (partition, Offset::ZERO)).collect();
    let requests = drawn(seed);
    for request in &requests {
        let record = NewRecord::of(request.to_string());
        cluster.log().append(Topic::All, None, record).await.expect("ALL takes a record");
    }
    for (n, cap) in CAPS.into_iter().enumerate() {
        let (name, database) = (format!("n{}", n + 1), Database::create(kind).await);
        let node = NodeProcess::start(&name, database, &cluster.flags(), &[("KLUSTER_TEST_BATCH", cap)]);
        cluster.nodes.push(node);
    }
    cluster.ready().await;
    let tables = cluster.same_everywhere().await;
    assert!(tables["entry"].len() > 20, "seed {seed}: hardly anything was written: {tables:?}");
    let mut batches = Vec::new();
    for node in &cluster.nodes {
        batches.push(node.database().batches().await);
    }
    assert!(
        batches[0] > batches[1] && batches[1] > batches[2],
        "the borders are not what they were to be: {batches:?}"
    );
    let answers = all_answers(&cluster, &start, requests.len() * CAPS.len()).await;
    let mut each = answers.iter();
    let (first, same) = each.next().expect("a node has answered");
    for (node, answers) in each {
        same.iter()
            .zip(answers)
            .for_each(|(one, other)| assert_eq!(one, other, "seed {seed}: {first} and {node} differ"));
        assert_eq!((same.len(), answers.len()), (requests.len(), requests.len()), "seed {seed}: {first} and {node}");
    }
    let refused = same.iter().filter(|answer| answer.contains("\"error\"")).count();
    assert!(refused > 20, "seed {seed}: hardly anything was refused");
}

/// The next so many answers, by node, each node's sorted.
async fn all_answers(cluster: &Cluster, start: &[(u32, Offset)], count: usize) -> BTreeMap<String, Vec<String>> {
    let mut reader = cluster.log().read_many(Topic::Responses, start.to_vec()).await.expect("RESPONSES can be read");
    let mut answers: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let reading = async {
        for _ in 0..count {
            let record = reader.next().await.expect("RESPONSES can be read");
            let answer: Answer =
                serde_json::from_slice(record.value.as_deref().unwrap_or_default()).expect("a response");
            answers.entry(answer.node_id.to_string()).or_default().push(said(answer));
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("every node answers every request");
    answers.values_mut().for_each(|answers| answers.sort());
    answers
}

/// An answer without what is the node's own: its name, the answer's id, and the DBMS's words, in which the database's name may stand.
fn said(answer: Answer) -> String {
    let mut answer = Answer { message_id: "".into(), node_id: "".into(), result_code: String::new(), ..answer };
    if let Some(error) = &mut answer.error {
        error.message.clear();
    }
    serde_json::to_string(&answer).expect("an answer can be written")
}

/// Requests drawn from `seed`: writes, guarded lists, refusals of every kind, definitions now and then, and some requests twice.
fn drawn(seed: u64) -> Vec<Value> {
    let mut rng = StdRng::seed_from_u64(seed);
    let accounts = (0..6).map(|n| format!("({n}, 100)")).collect::<Vec<_>>().join(", ");
    let mut bodies = vec![
        one("create table account(id integer primary key, balance integer not null check (balance >= 0))", json!([])),
        one(&format!("insert into account values {accounts}"), json!([])),
        one("create table entry(id varchar(80) primary key, n integer not null)", json!([])),
        one("create table child(id integer primary key, account integer references account(id))", json!([])),
    ];
    let mut requests = Vec::new();
    while requests.len() < REQUESTS {
        let body = if bodies.is_empty() { next(&mut rng) } else { bodies.remove(0) };
        let mut request = body;
        request["messageId"] = json!(format!("r{}", requests.len()));
        request["clientId"] = json!("c");
        requests.push(request);
        if rng.random_bool(0.1) {
            requests.push(requests[rng.random_range(0..requests.len())].clone());
        }
    }
    requests
}

fn next(rng: &mut StdRng) -> Value {
    let (small, large) = (rng.random_range(0..3), rng.random_range(0..60));
    match rng.random_range(0..100) {
        0..45 => one("insert into entry(id, n) values ($1, $2)", json!([format!("e{large}"), small])),
        45..60 => transfer(rng),
        60..66 => one("update entry set n = n + $1 where n = $2", json!([1, small])),
        66..70 => one("delete from entry where id = $1", json!([format!("e{large}")])),
        70..76 => one("insert into entry values ($1, 0) returning id, n", json!([format!("r{large}")])),
        76..80 => one("select id, n from entry where n = $1 order by id", json!([small])),
        80..84 => one("insert into child values ($1, $2)", json!([large, rng.random_range(0..9)])),
        84..88 => one("insert into entry(id, n) values ($1, null)", json!([format!("x{large}")])),
        88..90 => one("selec nonsense", json!([])),
        90..92 => one("select nothing from nowhere", json!([])),
        92..96 => one(&format!("create table t{small}(a integer)"), json!([])),
        96..98 => one(&format!("drop table t{small}"), json!([])),
        _ => one("rollback", json!([])),
    }
}

fn one(sql: &str, params: Value) -> Value {
    json!({"sqlString": sql, "params": params})
}

/// Moves money; the guard refuses an account that does not exist, the check one that would be overdrawn.
fn transfer(rng: &mut StdRng) -> Value {
    let amount = rng.random_range(1..90);
    let mut half = |sign: char, highest| {
        let sql = format!("update account set balance = balance {sign} $1 where id = $2");
        json!({"sqlString": sql, "params": [amount, rng.random_range(0..highest)], "expectRows": 1})
    };
    json!({"statements": [half('-', 6), half('+', 7)]})
}
