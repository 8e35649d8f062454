//! A session beside Kluster that locks a table or a row of one node: that node waits without end, for nothing but the log decides an outcome,
//! and says so: at once in its heartbeats, soon on ERRORS with who it is and how to end it. The other node goes on.
#![cfg(test)]

use kluster_protocol::{ErrorClass, Heartbeat, NodeState, SystemError, Topic};
use kluster_test_servers::{require, until};
use kluster_tests::cluster::{Cluster, Database, Kind, PATIENCE};

/// What the session locks, and the write that must wait for it.
struct Held {
    postgres: &'static str,
    mariadb: &'static str,
    write: &'static str,
}

const TABLE: Held = Held {
    postgres: "lock table counts",
    mariadb: "lock tables counts write",
    write: "update counts set id = 2 where id = 1",
};
const ROW: Held = Held {
    postgres: "update counts set id = 9 where id = 1",
    mariadb: "start transaction; update counts set id = 9 where id = 1",
    write: "update counts set id = 2 where id = 1",
};

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_somebody_else_has_locked_is_said_on_postgres() {
    require!(Kafka, Postgres);
    a_lock_of_somebody_else_is_said(Kind::Postgres, TABLE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_somebody_else_has_locked_is_said_on_postgres() {
    require!(Kafka, Postgres);
    a_lock_of_somebody_else_is_said(Kind::Postgres, ROW).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_somebody_else_has_locked_is_said_on_mariadb() {
    require!(Kafka, MariaDb);
    a_lock_of_somebody_else_is_said(Kind::MariaDb, TABLE).await;
}

/// MariaDB ends the wait for a row after a second, again and again.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_somebody_else_has_locked_is_said_on_mariadb() {
    require!(Kafka, MariaDb);
    a_lock_of_somebody_else_is_said(Kind::MariaDb, ROW).await;
}

/// SQLite locks the whole file, and does not tell who.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_somebody_else_has_locked_is_said_on_sqlite() {
    require!(Kafka);
    let cluster = Cluster::start(Kind::Sqlite, 2).await;
    let client = cluster.client().await;
    client.execute("create table counts(id integer)").all().await.expect("a table");
    let Database::Sqlite(file, _) = cluster.nodes[0].database() else { panic!("it is SQLite") };
    let other = rusqlite::Connection::open(file).expect("the file can be opened");
    other.execute_batch("begin immediate").expect("nobody else writes");
    client.execute("insert into counts values (1)").timeout(PATIENCE).first().await.expect("the other node answers");
    let beats = cluster.heartbeats_until(|beats| beats.get("n1").is_some_and(|beat| waits(&beat.state))).await;
    assert!(beats["n2"].state.is_live(), "{beats:#?}");
    let error = report(&cluster).await;
    assert_eq!((error.class, error.node_id.as_str()), (ErrorClass::Transient, "n1"));
    assert_eq!(error.code.as_deref(), Some("lock_wait"));
    assert!(error.message.contains("somebody beside Kluster holds a lock"), "{}", error.message);
    other.execute_batch("rollback").expect("it holds the lock");
    cluster.heartbeats_until(|beats| beats.get("n1").is_some_and(|beat| goes_on(beat, &error))).await;
    assert_eq!(cluster.same_everywhere().await["counts"], ["1"]);
}

fn waits(state: &NodeState) -> bool {
    matches!(state, NodeState::Retrying { code, .. } if code == "lock_wait")
}

fn goes_on(beat: &Heartbeat, error: &SystemError) -> bool {
    beat.state == NodeState::Ready && beat.applied >= error.offset
}

async fn a_lock_of_somebody_else_is_said(kind: Kind, held: Held) {
    let cluster = Cluster::start(kind, 2).await;
    let client = cluster.client().await;
    client.execute("create table counts(id integer)").all().await.expect("a table");
    client.execute("insert into counts values (1)").all().await.expect("a row");
    let database = cluster.nodes[0].database().clone();
    let locked = lock(&database, &held).await;
    client.execute(held.write).timeout(PATIENCE).first().await.expect("the other node answers");
    let beats = cluster.heartbeats_until(|beats| beats.get("n1").is_some_and(|beat| waits(&beat.state))).await;
    assert!(beats["n2"].state.is_live(), "{beats:#?}");
    let error = report(&cluster).await;
    assert_eq!((error.class, error.node_id.as_str()), (ErrorClass::Transient, "n1"));
    assert_eq!(error.offset, beats["n1"].applied.map(|applied| applied.next()));
    let (_, remedy) = error.message.rsplit_once(" by ").unwrap_or_else(|| panic!("{}", error.message));
    database.sql(remedy).await;
    assert!(locked.await.expect("the holder does not panic").is_err(), "it was to be ended by {remedy:?}");
    cluster.heartbeats_until(|beats| beats.get("n1").is_some_and(|beat| goes_on(beat, &error))).await;
    assert_eq!(cluster.same_everywhere().await["counts"], ["2"]);
}

/// A session that has locked it and holds it until it is ended.
async fn lock(
    database: &Database,
    held: &Held,
) -> tokio::task::JoinHandle<Result<String, kluster_test_servers::ServerError>> {
    let (text, sleeps) = match database {
        Database::Postgres(..) => (
            format!("begin; {}; select pg_sleep(100)", held.postgres),
            "select count(*) from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'",
        ),
        Database::MariaDb(..) => (
            format!("{}; do sleep(100)", held.mariadb),
            "select count(*) from information_schema.processlist where db = database() and info like 'do sleep%'",
        ),
        Database::Sqlite(..) => panic!("SQLite has no sessions"),
    };
    let its = database.clone();
    let locked = tokio::spawn(async move {
        match its {
            Database::Postgres(server, name) => server.sql(&name, &text).await,
            Database::MariaDb(server, name) => server.sql(&name, &text).await,
            Database::Sqlite(..) => panic!("SQLite has no sessions"),
        }
    });
    until("the session holds its lock", async || database.sql(sleeps).await.trim() != "0").await;
    locked
}

/// The first report on ERRORS.
async fn report(cluster: &Cluster) -> SystemError {
    let start = cluster.log().range(Topic::Errors, 0).await.expect("ERRORS has a range").start;
    let mut errors = cluster.log().read(Topic::Errors, 0, start).await.expect("ERRORS can be read");
    let record = tokio::time::timeout(PATIENCE, errors.next()).await.expect("it is reported");
    let value = record.expect("ERRORS can be read").value.expect("a report has a body");
    serde_json::from_slice(&value).expect("a report")
}
