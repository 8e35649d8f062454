//! Orphans: what a process of a node left in its database when it was killed, stopped or cut off, and two processes of one node.
//!
//! In each scenario one request must take effect once, whoever applies it. Its first process is stopped (SIGSTOP) at `Step::Committing`: every
//! statement has replied, the claim is held, and COMMIT is not sent.
//!
//! A new process tells the sessions of its predecessor to end and waits until they are gone, before it reads the state row. So a claim meets
//! another process's claim only where that fails to see a session; `a_claim_of_before_raises` makes one that no process knows of.
#![cfg(test)]

mod scripted;

use kluster_client::Client;
use kluster_test_servers::{record_skip, require};
use kluster_tests::cluster::{Cluster, Database, Kind, NodeProcess, PATIENCE, signal};
use scripted::Refused;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;
use tokio::task::JoinHandle;

/// The second COMMIT after the start: that of the second write.
const STOP: (&str, &str) = ("KLUSTER_TEST_STEP", "Committing:2:stop");

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_is_refused_on_sqlite() {
    require!(Kafka);
    a_second_process_is_refused(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_is_refused_on_mariadb() {
    require!(Kafka, MariaDb);
    a_second_process_is_refused(Kind::MariaDb).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_is_refused_on_postgres() {
    require!(Kafka, Postgres);
    a_second_process_is_refused(Kind::Postgres).await;
}

/// While the first process is stopped before COMMIT, a second cannot start; the first goes on and commits. Stopped there again and then killed,
/// it leaves nothing, and its successor applies the request.
async fn a_second_process_is_refused(kind: Kind) {
    let (mut cluster, client) = one_node(kind).await;
    let database = cluster.nodes[0].database().clone();
    let open = stopped_before_commit(&mut cluster, &client, 1).await;
    let mut second = NodeProcess::start("n1", database, &cluster.flags(), &[]);
    let ended = second.ended().await;
    assert_eq!(ended.code(), Some(4), "{}", second.last_words());
    assert!(second.words().contains("another"), "{}", second.last_words());
    cluster.nodes[0].signal("CONT");
    open.await.expect("the write is answered");
    let open = stopped_before_commit(&mut cluster, &client, 3).await;
    cluster.nodes[0].kill();
    cluster.nodes[0].restart(&[]);
    open.await.expect("the write is answered");
    each_once(&mut cluster, 1..=4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_lost_its_lock_stops_on_mariadb() {
    require!(Kafka, MariaDb);
    a_process_that_lost_its_lock_stops(Kind::MariaDb).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_lost_its_lock_stops_on_postgres() {
    require!(Kafka, Postgres);
    a_process_that_lost_its_lock_stops(Kind::Postgres).await;
}

/// The server drops the stopped process's session with the lock, as after a cut of the network, and keeps the one with the open transaction. A
/// second process takes the lock, ends that session and applies the request and more, in batches of its own; then the first goes on: its
/// COMMIT reaches nobody, it finds the lock taken, and it stops.
async fn a_process_that_lost_its_lock_stops(kind: Kind) {
    let (mut cluster, client) = one_node(kind).await;
    let database = cluster.nodes[0].database().clone();
    let open = stopped_before_commit(&mut cluster, &client, 1).await;
    end_session_with_lock(&database).await;
    for id in 3..6 {
        insert(&client, id).logged().await.expect("the log takes it");
    }
    let mut second = NodeProcess::start("n1", database, &cluster.flags(), &[]);
    open.await.expect("the second process answers");
    write(&client, 6).await;
    cluster.nodes[0].signal("CONT");
    let ended = cluster.nodes[0].ended().await;
    assert_eq!(ended.code(), Some(5), "{}", cluster.nodes[0].last_words());
    assert!(cluster.nodes[0].words().contains("another process"), "{}", cluster.nodes[0].last_words());
    write(&client, 7).await;
    assert!(second.lives(), "{}", second.last_words());
    second.kill();
    cluster.nodes[0].restart(&[]);
    each_once(&mut cluster, 1..=7).await;
}

async fn end_session_with_lock(database: &Database) {
    let ended = match database {
        Database::Postgres(..) => {
            let sql = "select count(pg_terminate_backend(pid)) from pg_stat_activity \
                       where usename = current_user and datname = current_database() and application_name like 'kluster-%'";
            database.sql(sql).await.trim().to_owned()
        }
        Database::MariaDb(_, name) => {
            let hash = Sha256::digest(name).iter().take(16).fold("kluster.".to_owned(), |mut hash, byte| {
                write!(hash, "{byte:02x}").expect("a text can be written");
                hash
            });
            let holder = database.sql(&format!("select is_used_lock('{hash}')")).await;
            database.sql(&format!("kill {holder}")).await;
            "1".to_owned()
        }
        Database::Sqlite(..) => panic!("SQLite has no sessions"),
    };
    assert_eq!(ended, "1", "the session with the lock");
}

/// PostgreSQL: COMMIT is on its way to a session that does not read (SIGSTOP of the server's process) when the node is killed. The restarted
/// node waits until that session is gone; whether the COMMIT came through or not, the request takes effect once.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_on_its_way_is_waited_for() {
    require!(Kafka, Postgres);
    let (mut cluster, client) = one_node(Kind::Postgres).await;
    let database = cluster.nodes[0].database().clone();
    let Some(port) = local_port(&database).await else { return };
    let open = stopped_before_commit(&mut cluster, &client, 1).await;
    let session = "select pid from pg_stat_activity where usename like 'kluster_app%' and datname = current_database()";
    let session: u32 = database.sql(session).await.trim().parse().expect("one session of user SQL");
    signal(session, "STOP");
    cluster.nodes[0].signal("CONT");
    until("COMMIT has arrived", || unread(port)).await;
    cluster.nodes[0].kill();
    cluster.nodes[0].restart(&[]);
    until("the restarted node has told the session to end", || is_told_to_end(session)).await;
    assert!(
        !cluster.nodes[0].words().rsplit("a test stops").next().unwrap_or_default().contains("started"),
        "it did not wait"
    );
    signal(session, "CONT");
    open.await.expect("the write is answered");
    each_once(&mut cluster, 1..=2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_of_before_raises_on_mariadb() {
    require!(Kafka, MariaDb);
    a_claim_of_before_raises(Kind::MariaDb).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_of_before_raises_on_postgres() {
    require!(Kafka, Postgres);
    a_claim_of_before_raises(Kind::Postgres).await;
}

/// A scripted session sends BEGIN, claim, work and COMMIT at once, as the killed process would have, and the server does not get to read them
/// before the restarted node has applied that work and more in a batch of another size. Then it does: the claim raises, once because of the
/// new process's secret, and once, with its own secret put back, because of the applied offset.
async fn a_claim_of_before_raises(kind: Kind) {
    let (mut cluster, client) = one_node(kind).await;
    let database = cluster.nodes[0].database().clone();
    if kind == Kind::Postgres && local_port(&database).await.is_none() {
        return;
    }
    write(&client, 1).await;
    cluster.nodes[0].kill();
    let applied = database.applied().await;
    scripted::set_secret(&database).await;
    let by_secret = scripted::send(&database, applied, "insert into counts values (2)").await;
    let by_offset = scripted::send(&database, applied, "insert into counts values (2)").await;
    for id in 2..5 {
        insert(&client, id).logged().await.expect("the log takes it");
    }
    cluster.nodes[0].restart(&[]);
    cluster.caught_up().await;
    assert_eq!(by_secret.goes_on().await, Refused::AnotherProcess);
    scripted::set_secret(&database).await;
    assert_eq!(by_offset.goes_on().await, Refused::AppliedMovedOn);
    cluster.nodes[0].kill();
    cluster.nodes[0].restart(&[]);
    write(&client, 5).await;
    each_once(&mut cluster, 1..=5).await;
}

/// The server's port, where its processes are processes of this machine.
async fn local_port(database: &Database) -> Option<u16> {
    let Database::Postgres(server, _) = database else { panic!("PostgreSQL is meant") };
    if server.id().await.is_none() {
        record_skip("the server's processes must be processes of this machine");
        return None;
    }
    Some(server.port())
}

fn unread(port: u16) -> bool {
    unread_sessions(port) > 0
}

/// How many of the server's sessions have been sent what they have not read, by the kernel's own table.
fn unread_sessions(port: u16) -> usize {
    let connections = std::fs::read_to_string("/proc/net/tcp").expect("Linux shows its connections");
    let waits = |line: &&str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [_, local, _, "01", queues, ..] = fields[..] else { return false };
        local.ends_with(&format!(":{port:04X}")) && !queues.ends_with(":00000000")
    };
    connections.lines().filter(waits).count()
}

/// SIGTERM waits for the stopped process.
fn is_told_to_end(process: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let pending = status.lines().find_map(|line| line.strip_prefix("ShdPnd:")).unwrap_or_default();
    u64::from_str_radix(pending.trim(), 16).is_ok_and(|signals| signals & (1 << 14) != 0)
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let waiting = async {
        let mut look = tokio::time::interval(Duration::from_millis(10));
        while !condition() {
            look.tick().await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, waiting).await.is_ok(), "not so: {what}");
}

async fn one_node(kind: Kind) -> (Cluster, Client) {
    let cluster = Cluster::start(kind, 1).await;
    let client = cluster.client().await;
    client.execute("create table counts(id integer)").first().await.expect("a table");
    (cluster, client)
}

/// Restarts the node, writes `id`, and gives the write of the id behind it, at whose COMMIT the node has stopped.
async fn stopped_before_commit(cluster: &mut Cluster, client: &Client, id: i64) -> JoinHandle<()> {
    let node = &mut cluster.nodes[0];
    node.kill();
    node.restart(&[STOP]);
    write(client, id).await;
    let client = client.clone();
    let open = tokio::spawn(async move { write(&client, id + 1).await });
    node.halted().await;
    open
}

fn insert(client: &Client, id: i64) -> kluster_client::Execute {
    client.execute("insert into counts values ($1)").bind(id).timeout(PATIENCE)
}

/// Writes an id; while no node lives, it is asked again.
async fn write(client: &Client, id: i64) {
    let mut attempt = insert(client, id);
    while let Err(error) = attempt.first().await {
        let ticket = error.ticket().unwrap_or_else(|| panic!("{error}")).clone();
        attempt = insert(client, id).retry(ticket);
    }
}

async fn each_once(cluster: &mut Cluster, ids: std::ops::RangeInclusive<i64>) {
    let tables: BTreeMap<String, Vec<String>> = cluster.same_everywhere().await;
    assert_eq!(tables["counts"], ids.map(|id| id.to_string()).collect::<Vec<_>>());
    assert!(cluster.nodes[0].lives(), "{}", cluster.nodes[0].last_words());
}
