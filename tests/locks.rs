//! A session beside Kluster that locks a table of one node: that node waits without end, for nothing but the log decides an outcome, and says
//! so: at once in its heartbeats, soon on ERRORS with who it is and how to end it. The other node goes on.
#![cfg(test)]

use kluster_protocol::{ErrorClass, Heartbeat, NodeState, SystemError, Topic};
use kluster_test_servers::require;
use kluster_tests::cluster::{Cluster, Database, Kind, PATIENCE};

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_of_somebody_else_is_said_on_postgres() {
    require!(Kafka, Postgres);
    a_lock_of_somebody_else_is_said(Kind::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_of_somebody_else_is_said_on_mariadb() {
    require!(Kafka, MariaDb);
    a_lock_of_somebody_else_is_said(Kind::MariaDb).await;
}

async fn a_lock_of_somebody_else_is_said(kind: Kind) {
    let cluster = Cluster::start(kind, 2).await;
    let client = cluster.client().await;
    client.execute("create table counts(id integer)").all().await.expect("a table");
    let database = cluster.nodes[0].database().clone();
    let locked = lock(&database).await;
    client.execute("insert into counts values (1)").timeout(PATIENCE).first().await.expect("the other node answers");
    let waits = |state: &NodeState| matches!(state, NodeState::Retrying { code, .. } if code == "lock_wait");
    let beats = cluster.heartbeats_until(|beats| beats.get("n1").is_some_and(|beat| waits(&beat.state))).await;
    assert!(beats["n2"].state.is_live(), "{beats:#?}");
    let error = report(&cluster).await;
    assert_eq!((error.class, error.node_id.as_str()), (ErrorClass::Transient, "n1"));
    assert_eq!(error.offset, beats["n1"].applied.map(|applied| applied.next()));
    let (_, remedy) = error.message.rsplit_once(" by ").unwrap_or_else(|| panic!("{}", error.message));
    database.sql(remedy).await;
    assert!(locked.await.expect("the holder does not panic").is_err(), "it was to be ended by {remedy:?}");
    let goes_on = |beat: &Heartbeat| beat.state == NodeState::Ready && beat.applied >= error.offset;
    cluster.heartbeats_until(|beats| beats.get("n1").is_some_and(goes_on)).await;
    assert_eq!(cluster.same_everywhere().await["counts"], ["1"]);
}

/// A session that has locked the table and holds it until it is ended.
async fn lock(database: &Database) -> tokio::task::JoinHandle<Result<String, kluster_test_servers::ServerError>> {
    let (text, sleeps) = match database {
        Database::Postgres(..) => (
            "begin; lock table counts; select pg_sleep(100)",
            "select count(*) from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'",
        ),
        Database::MariaDb(..) => (
            "lock tables counts write; do sleep(100)",
            "select count(*) from information_schema.processlist where db = database() and info like 'do sleep%'",
        ),
        Database::Sqlite(..) => panic!("SQLite has no sessions"),
    };
    let its = database.clone();
    let locked = tokio::spawn(async move {
        match its {
            Database::Postgres(server, name) => server.sql(&name, text).await,
            Database::MariaDb(server, name) => server.sql(&name, text).await,
            Database::Sqlite(..) => panic!("SQLite has no sessions"),
        }
    });
    while database.sql(sleeps).await.trim() == "0" {}
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
