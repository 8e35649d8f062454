//! Lost sessions, killed servers, locks held by others, and sessions that outlive their node.

use crate::contract::*;
use crate::{StopAt, killed_server, shared};
use kluster_node::dbms::{Dbms, DbmsSettings, ReadError, ReadEvent};
use kluster_node::fault::Fault;
use kluster_node::step::Step;
use kluster_protocol::ErrorCode;
use kluster_test_servers::{MariaDbServer, until};

const SESSIONS: &str =
    "select count(*) from information_schema.processlist where db = database() and user like 'kluster_app%'";

async fn kill_sessions(place: &crate::Shared, user: &str) {
    let list = format!(
        "select concat('kill ', id, ';') from information_schema.processlist where user = '{user}_{}'",
        place.database
    );
    let kills = place.sql(&list).await;
    assert!(!kills.is_empty(), "no session of {user}");
    place.sql(&kills).await;
}

#[tokio::test]
async fn a_killed_session_is_lost_and_made_anew() {
    let place = shared().await;
    let mut db = open(&place).await;
    for offset in 1..4 {
        db.run(
            Some(at(offset - 1)),
            &[work(offset, "insert into t values (1, 'a') on duplicate key update name = 'b'")],
        )
        .await
        .unwrap();
        kill_sessions(&place, "kluster_app").await;
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
async fn a_killed_server_is_lost_and_what_was_committed_is_there() {
    killed_server(MariaDbServer::start().await.unwrap(), "select 1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_outlives_its_node_never_commits() {
    for step in [Step::Claimed, Step::Executed, Step::Stored, Step::Committing] {
        let place = shared().await;
        open(&place).await.close().await;
        let (steps, mut stopped) = StopAt::steps(step);
        let mut orphan = Dbms::open(&DbmsSettings { steps, ..place.settings() }).await.unwrap();
        let insert = "insert into t select coalesce(max(id), 0) + 1, 'a' from t";
        let running = tokio::spawn(async move {
            orphan.run(Some(at(0)), &[work(1, insert)]).await?;
            orphan.commit(&finish(Some(0), 1)).await
        });
        stopped.recv().await.unwrap();
        // The node is gone for the server: its lock with it. Its session lives on, the transaction open.
        let lock = place.sql(&format!("select is_used_lock('{}')", lock_of(&place.database))).await;
        place.sql(&format!("kill {lock}")).await;
        assert_eq!(place.sql(SESSIONS).await, "1");
        let mut db = Dbms::open(&place.settings()).await.unwrap();
        one(&mut db, work(1, insert)).await.unwrap();
        assert_eq!(place.sql(SESSIONS).await, "1", "only the new node's");
        assert_eq!(place.sql("select count(*) from t").await, "1");
        running.abort();
        db.close().await;
    }
}

/// The name of the session lock, as the adapter makes it.
fn lock_of(database: &str) -> String {
    use sha2::{Digest, Sha256};
    format!("kluster.{}", hex::encode(&Sha256::digest(database)[..16]))
}

#[tokio::test]
async fn a_lock_held_by_another_passes() {
    let place = shared().await;
    let mut db = open(&place).await;
    one(&mut db, work(1, "insert into t values (1, 'a')")).await.unwrap();
    let locked = place.server.sql(&place.database, "start transaction; update t set name = 'mine'; do sleep(100)");
    let update = async {
        // As soon as the row is locked.
        let holder = "select id from information_schema.processlist where info like 'do sleep%' and db = database()";
        until("the row is locked", async || !place.sql(holder).await.is_empty()).await;
        let ran = db.run(Some(at(1)), &[work(2, "update t set name = 'b'")]).await;
        place.sql(&format!("kill {}", place.sql(holder).await)).await;
        ran
    };
    let (_, ran) = tokio::join!(locked, update);
    assert!(matches!(ran, Err(Fault::LockWait(_))), "{ran:?}");
    one(&mut db, work(2, "update t set name = 'b'")).await.unwrap();
    assert_eq!(place.sql("select name from t").await, "b");
    db.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abandoned_read_is_ended_in_the_server() {
    let place = shared().await;
    let db = open(&place).await;
    let endless = read_of("select count(*) from seq_1_to_1000000 a, seq_1_to_1000000 b where a.seq + b.seq < 0");
    let (sender, mut events) = tokio::sync::mpsc::channel(8);
    let reads = db.reads();
    let reading = tokio::spawn(async move { reads.read(&endless, &sender).await });
    assert!(matches!(events.recv().await, Some(ReadEvent::Snapshot(_))));
    let running = "select count(*) from information_schema.processlist where db = database() and info like '%seq_1_to%' \
                   and user like 'kluster_read%'";
    until("the read runs", async || place.sql(running).await != "0").await;
    reading.abort();
    until("the read is ended in the server", async || place.sql(running).await == "0").await;
    db.close().await;
}

#[tokio::test]
async fn a_read_whose_session_is_killed_is_lost() {
    let place = shared().await;
    let db = open(&place).await;
    let slow = read_of("select count(*) from seq_1_to_1000000 a, seq_1_to_1000000 b where a.seq + b.seq < 0");
    let reads = db.reads();
    let killed = async {
        let running = "select count(*) from information_schema.processlist where db = database() and info like '%seq_1_to%' \
                       and user like 'kluster_read%'";
        until("the read runs", async || place.sql(running).await != "0").await;
        kill_sessions(&place, "kluster_read").await;
    };
    let ((_, ended), ()) = tokio::join!(read(&reads, &slow), killed);
    assert!(matches!(ended, Err(ReadError::Lost(_))), "{ended:?}");
    let (_, ended) = read(&reads, &read_of("select 1")).await;
    assert_eq!(ended, Ok(()));
    db.close().await;
}

#[tokio::test]
async fn ddl_gets_through_beside_reads() {
    let place = shared().await;
    let mut db = open(&place).await;
    one(&mut db, work(1, "insert into t values (1, 'a')")).await.unwrap();
    let reads = db.reads();
    let slow = read_of("select sleep(1), t.* from t");
    let alter = async {
        let running = "select count(*) from information_schema.processlist where db = database() and info like '%sleep(1)%' \
                       and user like 'kluster_read%'";
        until("the read runs", async || place.sql(running).await != "0").await;
        let alter = ddl(&db, 2, "alter table t add column age int");
        one(&mut db, alter).await
    };
    let ((_, ended), altered) = tokio::join!(read(&reads, &slow), alter);
    assert_eq!(ended, Ok(()));
    assert!(altered.is_ok());
    db.close().await;
}

#[tokio::test]
async fn a_statements_own_mistake_is_an_answer_whatever_its_number() {
    let place = shared().await;
    let mut db = open(&place).await;
    let refused = [
        ("select rank() over w from t", ErrorCode::InvalidStatement),
        (
            "select sum(id) over (order by id, name range between 1 preceding and current row) from t",
            ErrorCode::InvalidStatement,
        ),
        ("with a as (select 1), a as (select 2) select * from a", ErrorCode::InvalidStatement),
        ("select id from t where match(name) against ('x')", ErrorCode::InvalidStatement),
        ("select id from t partition (nowhere)", ErrorCode::InvalidStatement),
        ("select ntile(0) over (order by id) from t", ErrorCode::InvalidValue),
        // json_query and json_value answer NULL on some versions.
        ("insert into t values (json_extract('[1]', '$[0'), 'x')", ErrorCode::InvalidValue),
    ];
    one(&mut db, work(1, "insert into t values (1, 'a')")).await.unwrap();
    for (n, (sql, expected)) in refused.into_iter().enumerate() {
        let ran = one(&mut db, work(2 + n as u64, sql)).await;
        assert_eq!(code(&ran), Some(expected), "{sql}: {ran:?}");
    }
    let definitions = [
        "create function f() returns int begin declare a int; declare a int; return 1; end",
        "create function f() returns int begin end",
        "create procedure p() begin declare exit handler for sqlstate '00000' begin end; end",
        "create table p (a int) partition by range (a) (partition x values less than (5), partition y values less than (2))",
        "create table p (a int, b int as (a + 1) virtual, primary key (b))",
        "alter table t add fulltext (id)",
    ];
    for (n, sql) in definitions.into_iter().enumerate() {
        let work = ddl(&db, 20 + n as u64, sql);
        let ran = one(&mut db, work).await;
        assert_eq!(code(&ran), Some(ErrorCode::InvalidStatement), "{sql}: {ran:?}");
    }
    assert_eq!(query(&mut db, 40, "select id from t").await.len(), 1);
    db.close().await;
}
