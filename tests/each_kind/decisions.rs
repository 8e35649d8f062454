//! Requests that no node can execute, that have no end, or that end their server, on real servers: refused or ended on all nodes alike, and in a
//! replay. The nodes run with `--exit-when-stopped`: who waits for a decision stays up.

use crate::admin::{REFUSED, run, text};
use kluster_log::NewRecord;
use kluster_protocol::{Heartbeat, Offset, Topic};
use kluster_test_servers::require;
use kluster_tests::cluster::{Cluster, Database, Kind, PATIENCE};
use kluster_tests::scripts::Answers;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

pub async fn send(cluster: &Cluster, id: &str, sql: &str) -> Offset {
    let request = json!({"messageId": id, "clientId": "test", "sqlString": sql});
    cluster.log().append(Topic::All, None, NewRecord::of(request.to_string())).await.expect("ALL takes it").offset
}

/// Waits until `nodes` nodes have answered `id` alike: refused with `code`, or OK. What one of them says.
pub async fn answered(answers: &mut Answers, id: &str, nodes: usize, code: Option<&str>) -> String {
    let given = answers.of(id, nodes).await;
    let last: Vec<_> = given.values().filter_map(|parts| parts.last()).collect();
    for answer in &last {
        assert_eq!(answer.error.as_ref().map(|error| error.code.as_str()), code, "{answer:?}");
        assert_eq!(answer.chain, last[0].chain, "{answer:?}");
    }
    last[0].error.as_ref().map(|error| error.message.clone()).unwrap_or_default()
}

/// The third node begins again with an empty database, and comes to the chain and the tables of the others.
async fn replays(cluster: &mut Cluster, kind: Kind) {
    let end = cluster.caught_up().await;
    let node = &mut cluster.nodes[2];
    node.kill();
    let killed_ms = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later").as_millis() as u64;
    node.empty(Database::create(kind).await);
    node.restart(&[]);
    // What it said before it was emptied is on NODES still.
    let again = |beat: &Heartbeat| beat.at_ms >= killed_ms && beat.applied >= Some(end);
    let level = |beats: &BTreeMap<String, Heartbeat>| {
        beats.get("n3").is_some_and(|beat| again(beat) && beat.applied == beats["n1"].applied)
    };
    let beats = cluster.heartbeats_until(level).await;
    assert_eq!(beats["n3"].chain, beats["n1"].chain);
    cluster.same_everywhere().await;
}

pub async fn an_unknown_error_of_all_is_refused_and_a_replay_obeys(kind: Kind) {
    let mut cluster = Cluster::start(kind, 3).await;
    for node in &mut cluster.nodes {
        node.kill();
        node.restart(&[("KLUSTER_TEST_FAULT", "XX999:stumble")]);
    }
    cluster.ready().await;
    let mut answers = Answers::from_now(cluster.log()).await;
    send(&cluster, "schema", "create table word (id integer primary key, text varchar(20))").await;
    send(&cluster, "bad", "insert into word values (1, 'stumble')").await;
    send(&cluster, "good", "insert into word values (2, 'walk')").await;
    let message = answered(&mut answers, "bad", 3, Some("decided")).await;
    assert!(message.contains("XX999"), "{message}");
    answered(&mut answers, "good", 3, None).await;
    let tables = cluster.same_everywhere().await;
    assert!(!tables["word"].concat().contains("stumble"), "{tables:?}");
    // On a database that could execute it.
    replays(&mut cluster, kind).await;
}

/// So many rows joined with themselves so often end in the life of no one.
const ENDLESS: &str = "insert into total select count(*) from n a, n b, n c, n d, n e, n f, n g, n h, n i where a.v + b.v + c.v + d.v + e.v + f.v + g.v + h.v + i.v < 0";

/// The tables of a request without an end, and that request; where it is.
async fn send_endless(cluster: &Cluster) -> Offset {
    send(cluster, "n", "create table n (v integer primary key)").await;
    send(cluster, "total", "create table total (v bigint primary key)").await;
    let rows: Vec<String> = (0..60).map(|n| format!("({n})")).collect();
    send(cluster, "rows", &format!("insert into n values {}", rows.join(", "))).await;
    send(cluster, "endless", ENDLESS).await
}

/// What `kluster-admin` says, once that is `enough`.
async fn says(cluster: &Cluster, command: &str, enough: impl Fn(&str) -> bool) -> String {
    let asked = Instant::now();
    loop {
        let said = text(&run(cluster, &[command]).stdout);
        if enough(&said) {
            return said;
        }
        assert!(asked.elapsed() < PATIENCE, "{said}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

pub async fn a_request_without_an_end_is_cancelled_on_all_nodes_alike(kind: Kind) {
    let mut cluster = Cluster::start(kind, 3).await;
    let mut answers = Answers::from_now(cluster.log()).await;
    let at = send_endless(&cluster).await;
    send(&cluster, "behind", "insert into total values (7)").await;
    let executes = format!("has been executing offset {at} (request endless)");
    let status = says(&cluster, "status", |status| status.matches(&executes).count() == 3).await;
    assert!(status.contains(&format!("kluster-admin cancel {at} ends it on all nodes")), "{status}");
    let cancelled = run(&cluster, &["cancel", &at.to_string(), "--yes"]);
    assert!(cancelled.status.success(), "{} {}", text(&cancelled.stdout), text(&cancelled.stderr));
    answered(&mut answers, "endless", 3, Some("cancelled")).await;
    answered(&mut answers, "behind", 3, None).await;
    let again = run(&cluster, &["cancel", &at.to_string(), "--yes"]);
    assert_eq!(again.status.code(), Some(REFUSED), "{}", text(&again.stderr));
    replays(&mut cluster, kind).await;
    let errors = run(&cluster, &["errors"]);
    assert_eq!(text(&errors.stdout), "no node waits for a decision\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_lost_postgres_three_times_is_not_executed_again() {
    require!(Kafka, Postgres);
    lost_again_and_again(Kind::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_lost_mariadb_three_times_is_not_executed_again() {
    require!(Kafka, MariaDb);
    lost_again_and_again(Kind::MariaDb).await;
}

/// One of two voters is down, so the other cannot decide alone. The count outlives the node.
async fn lost_again_and_again(kind: Kind) {
    let mut cluster = Cluster::without_nodes().await;
    cluster.add(Database::create_private(kind, &[]).await);
    cluster.add(Database::create(kind).await);
    cluster.ready().await;
    let mut answers = Answers::from_now(cluster.log()).await;
    cluster.nodes[1].kill();
    let at = send_endless(&cluster).await;
    let mut since_ms = runs_since(&cluster, at, 0).await;
    for lost in 1..=3 {
        cluster.nodes[0].database().kill_server().await;
        cluster.nodes[0].database().restart_server().await;
        if lost < 3 {
            since_ms = runs_since(&cluster, at, since_ms).await;
        }
        if lost == 2 {
            cluster.nodes[0].kill();
            cluster.nodes[0].restart(&[]);
            since_ms = runs_since(&cluster, at, since_ms).await;
        }
    }
    let errors = says(&cluster, "errors", |errors| errors.contains("n2 gone")).await;
    assert!(errors.contains("server_lost") && errors.contains("was lost 3 times in a row"), "{errors}");
    let offset = at.to_string();
    assert!(errors.contains(&format!("kluster-admin resolve {offset} --as error")), "{errors}");
    assert!(text(&run(&cluster, &["status"]).stdout).contains("kluster-admin errors"), "status says where to look");
    // Started again, it waits on: it does not execute the request.
    cluster.nodes[0].kill();
    cluster.nodes[0].restart(&[]);
    says(&cluster, "errors", |errors| errors.contains("server_lost") && errors.contains("n2 gone")).await;
    let refused = run(&cluster, &["resolve", &offset, "--as", "error", "--yes"]);
    assert_eq!(refused.status.code(), Some(REFUSED), "{}", text(&refused.stderr));
    let resolved = run(&cluster, &["resolve", &offset, "--as", "error", "--without", "n2", "--yes"]);
    assert!(resolved.status.success(), "{}", text(&resolved.stderr));
    let message = answered(&mut answers, "endless", 1, Some("decided")).await;
    assert!(message.contains("server_lost"), "{message}");
    // The other comes to the offset, and obeys: what it would execute has no end.
    cluster.nodes[1].restart(&[]);
    send(&cluster, "behind", "insert into total values (7)").await;
    answered(&mut answers, "endless", 2, Some("decided")).await;
    answered(&mut answers, "behind", 2, None).await;
    assert_eq!(cluster.same_everywhere().await["total"], ["7"]);
}

/// Waits until the request executes anew, and gives since when.
async fn runs_since(cluster: &Cluster, at: Offset, before_ms: u64) -> u64 {
    let since = |beat: &Heartbeat| {
        let running = beat.running.as_ref().filter(|running| running.offset == at);
        running.map(|running| running.since_ms).filter(|since_ms| *since_ms > before_ms)
    };
    let beats = cluster.heartbeats_until(|beats| beats.values().any(|beat| since(beat).is_some())).await;
    beats.values().find_map(since).unwrap_or_default()
}
