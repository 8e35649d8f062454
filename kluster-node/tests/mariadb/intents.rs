//! Statements that commit by themselves take effect exactly once, wherever the node stops.

use crate::contract::*;
use crate::{Shared, StopAt, shared};
use kluster_node::dbms::{Dbms, DbmsSettings, How, Ran, Work};
use kluster_node::fault::Fault;
use kluster_node::step::Step;
use kluster_protocol::{DIVERGED, ErrorCode};
use kluster_test_servers::until;

fn committing(offset: u64, sql: &str) -> Work {
    Work { how: How::SelfCommitting, ..work(offset, sql) }
}

/// Applies a work as the ALL lane would, from a node that is stopped at `step` and then gone.
async fn stopped_at(place: &Shared, step: Step, predecessor: u64, work: &Work) {
    let (steps, mut stopped) = StopAt::steps(step);
    let mut db = Dbms::open(&DbmsSettings { steps, ..place.settings() }).await.unwrap();
    let apply = async {
        db.run(Some(at(predecessor)), std::slice::from_ref(work)).await.unwrap();
        db.commit(&finish(Some(predecessor), work.offset.get())).await.unwrap();
    };
    tokio::select! {
        () = apply => panic!("{step:?} was not reached"),
        told = stopped.recv() => told.unwrap(),
    }
}

/// Goes on as the ALL lane does after a start: from the state row.
async fn goes_on(place: &Shared, predecessor: u64, work: &Work) -> Option<Ran> {
    let mut db = Dbms::open(&place.settings()).await.unwrap();
    let applied = db.load().await.unwrap().unwrap().applied;
    let ran = (applied == at(predecessor)).then_some(());
    let ran = match ran {
        Some(()) => Some(one(&mut db, work.clone()).await),
        None => None,
    };
    assert_eq!(db.load().await.unwrap().unwrap().applied, work.offset);
    db.close().await;
    ran
}

const STEPS: [Step; 9] = [
    Step::Begun,
    Step::Claimed,
    Step::Intended,
    Step::Executing,
    Step::SelfCommitted,
    Step::Stored,
    Step::Committing,
    Step::Committed,
    Step::Claimed,
];

#[tokio::test(flavor = "multi_thread")]
async fn ddl_takes_effect_once_wherever_the_node_stops() {
    let place = shared().await;
    let mut db = open(&place).await;
    one(&mut db, committing(1, "create table a (id int primary key, x int)")).await.unwrap();
    one(&mut db, committing(2, "create table b (id int primary key, x int)")).await.unwrap();
    one(&mut db, work(3, "insert into a values (1, 1)")).await.unwrap();
    db.close().await;
    let mut offset = 3;
    for (n, step) in STEPS.into_iter().enumerate() {
        // Twice the same would make two indexes; an exchange done twice would undo itself.
        for sql in ["alter table a add index (x)", "rename table a to c, b to a, c to b"] {
            let work = committing(offset + 1, sql);
            stopped_at(&place, step, offset, &work).await;
            if let Some(ran) = goes_on(&place, offset, &work).await {
                assert_eq!(ran.unwrap()[0].affected, 0);
            }
            offset += 1;
        }
        let full = if n % 2 == 0 { "b" } else { "a" };
        assert_eq!(place.sql(&format!("select count(*) from {full}")).await, "1", "after {step:?}");
    }
    let indexes = "select count(distinct table_name, index_name) from information_schema.statistics \
                   where table_schema = database() and table_name in ('a', 'b') and index_name <> 'PRIMARY'";
    assert_eq!(place.sql(indexes).await, STEPS.len().to_string());
    let state = format!("select count(*) from kluster_state_{}.intent", place.database);
    assert_eq!(place.sql(&state).await, "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_ddl_is_refused_again() {
    let place = shared().await;
    open(&place).await.close().await;
    let work = committing(1, "create table t (id int)");
    for step in [Step::Intended, Step::SelfCommitted, Step::Committing] {
        stopped_at(&place, step, 0, &work).await;
    }
    let ran = goes_on(&place, 0, &work).await.unwrap();
    assert_eq!(code(&ran), Some(ErrorCode::DuplicateObject));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_intent_of_another_offset_stops_the_node() {
    let place = shared().await;
    open(&place).await.close().await;
    stopped_at(&place, Step::Intended, 0, &committing(1, "create table u (id int)")).await;
    let mut db = Dbms::open(&place.settings()).await.unwrap();
    let ran = db.run(Some(at(0)), &[work(2, "select 1")]).await;
    assert!(matches!(&ran, Err(Fault::Fatal(cause)) if cause.message.contains("offset 1")), "{ran:?}");
    // Given up by a decision before it took effect: the offset is passed without a work, and the intent with it.
    db.run(Some(at(0)), &[]).await.unwrap();
    db.commit(&finish(Some(0), 1)).await.unwrap();
    one(&mut db, work(2, "select 1")).await.unwrap();
    db.close().await;
}

/// A decision says that the statement has no effect anywhere. A node on which it had one differs.
#[tokio::test]
async fn a_statement_that_took_effect_cannot_be_given_up() {
    let place = shared().await;
    open(&place).await.close().await;
    stopped_at(&place, Step::SelfCommitted, 0, &committing(1, "create table u (id int)")).await;
    let mut db = Dbms::open(&place.settings()).await.unwrap();
    db.run(Some(at(0)), &[]).await.unwrap();
    let ended = db.commit(&finish(Some(0), 1)).await;
    assert!(matches!(&ended, Err(Fault::Fatal(cause)) if cause.code == DIVERGED), "{ended:?}");
    db.close().await;
}

#[tokio::test]
async fn a_statement_that_commits_stands_alone_in_its_request() {
    let place = shared().await;
    let mut db = open(&place).await;
    let two = Work {
        how: How::SelfCommitting,
        ..work_of(1, vec![statement("create table u (id int)"), statement("drop table t")])
    };
    assert_eq!(code(&one(&mut db, two).await), Some(ErrorCode::NotTransactional));
    assert_eq!(place.sql("show tables").await, "t");
    one(&mut db, committing(2, "truncate table t")).await.unwrap();
    one(&mut db, committing(3, "create table if not exists t (id int)")).await.unwrap();
    assert_eq!(code(&one(&mut db, committing(4, "create tabel u (id int)")).await), Some(ErrorCode::SyntaxError));
    one(&mut db, committing(5, "create or replace procedure p() begin select 1; select 2; end")).await.unwrap();
    one(&mut db, committing(6, "create view w as select id from t")).await.unwrap();
    db.close().await;
}

/// Each would be refused or undo itself if it were executed twice: so each must be seen in the fingerprint.
const CHANGES: &[&str] = &[
    "create table x (id int primary key, a int, b varchar(9))",
    "create table y (id int primary key) comment 'y'",
    "alter table x add column c int",
    "alter table x rename column c to d",
    "alter table x drop column d",
    "alter table x change a e bigint",
    "alter table x change e a int",
    "create index by_b on x (b)",
    "alter table x rename index by_b to b_by",
    "drop index b_by on x",
    "alter table x add constraint positive check (a > 0)",
    "alter table x drop constraint positive",
    "alter table x add constraint to_y foreign key (a) references y (id)",
    "alter table x drop foreign key to_y",
    "create view w as select id from x",
    "drop view w",
    "create trigger before_x before insert on x for each row set new.a = 1",
    "drop trigger before_x",
    "create procedure p() begin end",
    "drop procedure p",
    "create function f() returns int deterministic return 1",
    "drop function f",
    "create sequence s nocache",
    "drop sequence s",
    "alter table x partition by range (id) (partition low values less than (10))",
    "alter table x add partition (partition high values less than (20))",
    "alter table x drop partition high",
    "rename table x to z",
    "drop table z",
];

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_change_is_seen() {
    let place = shared().await;
    open(&place).await.close().await;
    for (n, sql) in CHANGES.iter().enumerate() {
        let work = committing(n as u64 + 1, sql);
        stopped_at(&place, Step::SelfCommitted, n as u64, &work).await;
        let ran = goes_on(&place, n as u64, &work).await.unwrap();
        assert!(ran.is_ok(), "{sql}: {ran:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_in_the_middle_of_ddl_goes_on_with_it() {
    let server = kluster_test_servers::MariaDbServer::start().await.unwrap();
    server.create_database("shop").await.unwrap();
    let mut db = Dbms::open(&crate::settings(server.url("shop"))).await.unwrap();
    one(&mut db, committing(0, "create table t (id int primary key, x int)")).await.unwrap();
    one(&mut db, work(1, "insert into t select seq, seq from seq_1_to_300000")).await.unwrap();
    let copy = committing(2, "alter table t add index (x), algorithm = copy");
    let running = "select count(*) from information_schema.processlist where info like 'alter table t%'";
    let kill = async {
        until("it runs", async || server.sql("shop", running).await.unwrap().trim_end() != "0").await;
        server.kill9().await.unwrap();
    };
    let (ran, ()) = tokio::join!(db.run(Some(at(1)), std::slice::from_ref(&copy)), kill);
    assert!(matches!(ran, Err(Fault::Lost(_))), "{ran:?}");
    server.restart().await.unwrap();
    db.recover().await.unwrap();
    assert_eq!(db.load().await.unwrap().unwrap().applied, at(1));
    assert!(one(&mut db, copy).await.is_ok());
    let indexes = "select count(distinct index_name) from information_schema.statistics where table_name = 't'";
    assert_eq!(server.sql("shop", indexes).await.unwrap().trim_end(), "2");
    db.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ddl_that_outlives_its_node_is_ended_before_it_is_judged() {
    let place = shared().await;
    let mut db = open(&place).await;
    one(&mut db, work(1, "insert into t select seq, seq from seq_1_to_300000")).await.unwrap();
    let copy = committing(2, "alter table t add index (name), algorithm = copy");
    let running =
        "select count(*) from information_schema.processlist where db = database() and info like 'alter table t%'";
    tokio::select! {
        ran = db.run(Some(at(1)), std::slice::from_ref(&copy)) => panic!("{ran:?}"),
        () = until("it runs", async || place.sql(running).await != "0") => {}
    }
    assert!(matches!(db.load().await, Err(Fault::Lost(_))));
    db.recover().await.unwrap();
    assert_eq!(place.sql(running).await, "0");
    assert!(one(&mut db, copy).await.is_ok());
    let indexes =
        "select count(distinct index_name) from information_schema.statistics where table_schema = database()";
    assert_eq!(place.sql(indexes).await, "2");
    db.close().await;
}
