//! Lost sessions, killed servers, locks held by others, and sessions that outlive their node.

use crate::contract::*;
use crate::{StopAt, killed_server, shared};
use kluster_node::dbms::{Dbms, DbmsSettings, ReadError, ReadEvent};
use kluster_node::fault::Fault;
use kluster_node::step::Step;
use kluster_test_servers::{PostgresServer, until};
use serde_json::json;

const ENDLESS: &str =
    "select count(*) from generate_series(1, 1000000) a, generate_series(1, 1000000) b where a + b < 0";

/// How many sessions of a login are executing something in this database.
fn running(kind: &str) -> String {
    format!(
        "select count(*) from pg_stat_activity where datname = current_database() and state = 'active' \
         and usename = 'kluster_{kind}_' || current_database()"
    )
}

async fn kill_sessions(place: &crate::Shared, kind: &str) {
    let kill = format!(
        "select count(pg_terminate_backend(pid)) > 0 from pg_stat_activity \
         where datname = current_database() and usename = 'kluster_{kind}_' || current_database()"
    );
    assert_eq!(place.sql(&kill).await, "t", "no session of {kind}");
}

#[tokio::test]
async fn a_killed_session_is_lost_and_made_anew() {
    let place = shared().await;
    let mut db = open(&place).await;
    for offset in 1..4 {
        let upsert = "insert into t values (1, 'a') on conflict (id) do update set name = 'b'";
        db.run(Some(at(offset - 1)), &[work(offset, upsert)]).await.unwrap();
        kill_sessions(&place, "app").await;
        let lost = db.commit(&finish(Some(offset - 1), offset)).await;
        assert!(matches!(lost, Err(Fault::Lost(_))), "{lost:?}");
        let lost = db.run(Some(at(offset - 1)), &[]).await;
        assert!(matches!(lost, Err(Fault::Lost(_))), "{lost:?}");
        db.recover().await.unwrap();
        assert_eq!(db.load().await.unwrap().unwrap().applied, at(offset - 1));
        one(&mut db, work(offset, "select 1")).await.unwrap();
    }
    assert_eq!(place.sql("select count(*) from t").await, "0");
    db.close().await;
}

#[tokio::test]
async fn the_owners_lost_session_is_made_anew_with_its_lock() {
    let place = shared().await;
    let mut db = open(&place).await;
    place
        .sql("select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and application_name = 'kluster-n1' and usename = 'postgres'")
        .await;
    assert!(matches!(db.load().await, Err(Fault::Lost(_))));
    db.recover().await.unwrap();
    one(&mut db, work(1, "insert into t values (1, 'a')")).await.unwrap();
    assert_eq!(place.sql("select count(*) from pg_locks where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())").await, "1");
    db.close().await;
}

#[tokio::test]
async fn a_killed_server_is_lost_and_what_was_committed_is_there() {
    // With synchronous_commit off a kill takes back what the server's writer has not written yet; that is replayed.
    killed_server(PostgresServer::start().await.unwrap(), "checkpoint").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_outlives_its_node_never_commits() {
    for step in [Step::Claimed, Step::Executed, Step::Stored, Step::Committing] {
        let place = shared().await;
        open(&place).await.close().await;
        let (steps, mut stopped) = StopAt::steps(step);
        let settings = DbmsSettings { steps, ..place.settings() };
        let mut orphan = Dbms::open(&settings).await.unwrap();
        let insert = "insert into t select coalesce(max(id), 0) + 1, 'a' from t";
        let running = tokio::spawn(async move {
            orphan.run(Some(at(0)), &[work(1, insert)]).await?;
            orphan.commit(&finish(Some(0), 1)).await
        });
        stopped.recv().await.unwrap();
        // The node is gone for the server: its lock with it. Its session lives on, the transaction open.
        place
            .sql("select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and application_name = 'kluster-n1' and usename = 'postgres'")
            .await;
        let sessions = "select count(*) from pg_stat_activity where usename = 'kluster_app_' || current_database()";
        assert_eq!(place.sql(sessions).await, "1");
        let mut db = Dbms::open(&place.settings()).await.unwrap();
        one(&mut db, work(1, insert)).await.unwrap();
        assert_eq!(place.sql(sessions).await, "1", "only the new node's");
        assert_eq!(place.sql("select count(*) from t").await, "1");
        running.abort();
        db.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_waits_for_another_claimant_and_then_raises() {
    let place = shared().await;
    let mut db = open(&place).await;
    let other = place.sql(
        "begin; select id from kluster_state.state for update; \
         do $$ begin while not exists (select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()) \
         loop perform pg_stat_clear_snapshot(); end loop; end $$; \
         update kluster_state.state set applied = 1; insert into t values (1, 'other'); commit",
    );
    let locked = "select count(*) from pg_locks where locktype = 'relation' and mode = 'RowShareLock' \
                  and relation = 'kluster_state.state'::regclass";
    let claim = async {
        until("the other claimant has the lock", async || place.sql(locked).await != "0").await;
        db.run(Some(at(0)), &[work(1, "insert into t values (1, 'mine')")]).await
    };
    let (_, ran) = tokio::join!(other, claim);
    assert!(matches!(ran, Err(Fault::ClaimRaised(_))), "{ran:?}");
    assert_eq!(query(&mut db, 2, "select name from t").await, [json!({"name": "other"})]);
    db.close().await;
}

#[tokio::test]
async fn a_second_process_takes_the_secret_with_it() {
    let place = shared().await;
    let mut db = open(&place).await;
    place.sql("update kluster_state.secret set hash = sha256('another')").await;
    assert!(matches!(db.run(Some(at(0)), &[]).await, Err(Fault::ClaimRaised(_))));
    db.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_statement_is_tried_again() {
    let place = shared().await;
    let mut db = open(&place).await;
    let cancel = async {
        until("the statement runs", async || place.sql(&running("app")).await != "0").await;
        place.sql("select pg_cancel_backend(pid) from pg_stat_activity where usename = 'kluster_app_' || current_database()").await;
    };
    let works = [work(1, "insert into t values (1, 'a')"), work(2, ENDLESS), work(3, "insert into t values (2, 'a')")];
    let (ran, ()) = tokio::join!(db.run(Some(at(0)), &works), cancel);
    assert!(matches!(ran, Err(Fault::Transient(_))), "{ran:?}");
    one(&mut db, work(1, "insert into t values (1, 'a')")).await.unwrap();
    db.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abandoned_read_is_ended_in_the_server() {
    let place = shared().await;
    let db = open(&place).await;
    let (sender, mut events) = tokio::sync::mpsc::channel(8);
    let reads = db.reads();
    let reading = tokio::spawn(async move { reads.read(&read_of(ENDLESS), &sender).await });
    until("the read runs", async || place.sql(&running("read")).await != "0").await;
    reading.abort();
    until("the read is ended in the server", async || place.sql(&running("read")).await == "0").await;
    assert!(!matches!(events.recv().await, Some(ReadEvent::Row(_))));
    db.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_whose_session_is_killed_is_lost() {
    let place = shared().await;
    let db = open(&place).await;
    let reads = db.reads();
    // Three sessions lie idle when the server ends them all; the next read must not meet them one by one.
    let one = read_of("select 1");
    let (a, b, c) = tokio::join!(read(&reads, &one), read(&reads, &one), read(&reads, &one));
    assert!([a, b, c].iter().all(|(_, ended)| ended.is_ok()));
    let killed = async {
        until("the read runs", async || place.sql(&running("read")).await != "0").await;
        kill_sessions(&place, "read").await;
    };
    let endless = read_of(ENDLESS);
    let ((_, ended), ()) = tokio::join!(read(&reads, &endless), killed);
    assert!(matches!(ended, Err(ReadError::Lost(_))), "{ended:?}");
    for _ in 0..3 {
        let (_, ended) = read(&reads, &read_of("select 1")).await;
        assert_eq!(ended, Ok(()));
    }
    db.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ddl_gets_through_beside_reads() {
    let place = shared().await;
    let mut db = open(&place).await;
    one(&mut db, work(1, "insert into t values (1, 'a')")).await.unwrap();
    let reads = db.reads();
    let slow = read_of("select pg_sleep(1)::text, t.* from t");
    let alter = async {
        until("the read runs", async || place.sql(&running("read")).await != "0").await;
        let alter = ddl(&db, 2, "alter table t add column age int");
        one(&mut db, alter).await
    };
    let ((_, ended), altered) = tokio::join!(read(&reads, &slow), alter);
    assert_eq!(ended, Ok(()));
    assert!(altered.is_ok());
    db.close().await;
}
