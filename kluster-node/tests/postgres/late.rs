//! What is seen late: constraints checked at the end, COMMIT that fails, plans that have grown old, errors that users forge.

use crate::contract::*;
use crate::{alone, shared};
use kluster_node::fault::Fault;
use kluster_protocol::ErrorCode;
use serde_json::json;

const LATE_KEY: &str =
    "alter table t add column parent int constraint to_parent references t deferrable initially deferred";

#[tokio::test]
async fn late_constraints_are_checked_before_the_outcome() {
    let place = shared().await;
    let mut db = open(&place).await;
    assert!(!db.checks_late());
    one(&mut db, alone(1, LATE_KEY)).await.unwrap();
    assert!(db.checks_late());
    let ran = one(&mut db, work(2, "insert into t values (1, 'a', 2)")).await;
    assert_eq!(code(&ran), Some(ErrorCode::ForeignKeyViolation), "{ran:?}");
    // Within one request it may hold only at the end.
    let both =
        work_of(3, vec![statement("insert into t values (1, 'a', 2)"), statement("insert into t values (2, 'b', 1)")]);
    one(&mut db, both).await.unwrap();
    db.close().await;
    let mut db = kluster_node::dbms::Dbms::open(&place.settings()).await.unwrap();
    assert!(db.checks_late(), "also after a restart");
    one(&mut db, alone(4, "alter table t drop constraint to_parent")).await.unwrap();
    assert!(!db.checks_late());
    db.close().await;
}

#[tokio::test]
async fn a_refused_commit_is_its_works_own_refusal_or_runs_alone() {
    let place = shared().await;
    let mut db = open(&place).await;
    // Behind the node's back, so that it does not check before the outcome.
    place.sql(LATE_KEY).await;
    let bad = || work(1, "insert into t values (1, 'a', 9)");
    db.run(Some(at(0)), &[bad(), work(2, "insert into t values (2, 'b', 2)")]).await.unwrap();
    let committed = db.commit(&finish(Some(0), 2)).await;
    assert!(matches!(committed, Err(Fault::RunAlone(_))), "{committed:?}");
    db.run(Some(at(0)), &[bad()]).await.unwrap();
    let refusal = db.commit(&finish(Some(0), 1)).await.unwrap().unwrap();
    assert_eq!(refusal.code, ErrorCode::ForeignKeyViolation);
    assert_eq!(db.load().await.unwrap().unwrap().applied, at(0), "nothing took effect");
    db.run(Some(at(0)), &[]).await.unwrap();
    assert_eq!(db.commit(&finish(Some(0), 1)).await, Ok(None));
    one(&mut db, work(2, "insert into t values (2, 'b', 2)")).await.unwrap();
    assert_eq!(query(&mut db, 3, "select id from t").await, [json!({"id": 2})]);
    db.close().await;
}

#[tokio::test]
async fn a_plan_that_has_grown_old_runs_alone_and_is_no_outcome() {
    let place = shared().await;
    let mut db = open(&place).await;
    let select = |offset| bound(offset, "select * from t where id >= $1", json!([0]));
    one(&mut db, select(1)).await.unwrap();
    place.sql("alter table t add column age int").await;
    let works = [work(2, "insert into t values (1, 'a', 2)"), select(3)];
    let ran = db.run(Some(at(1)), &works).await;
    assert!(matches!(ran, Err(Fault::RunAlone(_))), "{ran:?}");
    for work in works {
        assert!(one(&mut db, work).await.is_ok());
    }
    db.close().await;
}

#[tokio::test]
async fn plans_that_a_function_took_away_are_made_again() {
    let place = shared().await;
    let mut db = open(&place).await;
    let function =
        "create function tidy() returns int language plpgsql as $$ begin execute 'deallocate all'; return 1; end $$";
    one(&mut db, alone(1, function)).await.unwrap();
    let insert = |offset: u64| bound(offset, "insert into t values ($1, 'a')", json!([offset]));
    one(&mut db, insert(2)).await.unwrap();
    let works = [insert(3), work(4, "select tidy()"), insert(5)];
    let ran = db.run(Some(at(2)), &works).await;
    assert!(matches!(ran, Err(Fault::RunAlone(_))), "{ran:?}");
    for work in works {
        let ran = one(&mut db, work).await;
        assert!(ran.is_ok(), "{ran:?}");
    }
    // And in a batch again, once nobody tidies any more.
    assert!(apply(&mut db, &[insert(6), insert(7)]).await.iter().all(Result::is_ok));
    assert_eq!(query(&mut db, 8, "select count(*)::int as n from t").await, [json!({"n": 5})]);
    db.close().await;
}

#[tokio::test]
async fn a_users_raise_is_a_refusal_whatever_code_it_forges() {
    let place = shared().await;
    let mut db = open(&place).await;
    let function = "create function fail(c text) returns int language plpgsql as $$ begin raise exception 'mine' using errcode = c; end $$";
    one(&mut db, alone(1, function)).await.unwrap();
    for (offset, forged) in (2..).zip(["40001", "53100", "57P01", "KL001", "KL002", "XX001", "25P02", "P0001"]) {
        let ran = one(&mut db, bound(offset, "select fail($1)", json!([forged]))).await;
        assert_eq!(code(&ran), Some(ErrorCode::Raised), "{forged}: {ran:?}");
        let mut wanted = read_of("select fail($1)");
        wanted.statements[0].params = vec![json!(forged).into()];
        let (_, ended) = read(&db.reads(), &wanted).await;
        assert_eq!(refused_read(&ended), Some(ErrorCode::Raised), "{forged}: {ended:?}");
    }
    db.close().await;
}

#[tokio::test]
async fn what_depends_on_the_batch_is_decided_alone() {
    let place = shared().await;
    let mut db = open(&place).await;
    one(&mut db, alone(1, "create type mood as enum ('ok')")).await.unwrap();
    let list =
        |offset| work_of(offset, vec![statement("alter type mood add value 'bad'"), statement("select 'bad'::mood")]);
    let ran = db.run(Some(at(1)), &[work(2, "select 1"), list(3)]).await;
    assert!(matches!(ran, Err(Fault::RunAlone(_))), "{ran:?}");
    let refusal = one(&mut db, list(2)).await.unwrap_err();
    assert_eq!((refusal.code, refusal.statement_index), (ErrorCode::InvalidState, Some(1)));
    db.close().await;
}

#[tokio::test]
async fn large_results_in_a_batch_run_alone() {
    let place = shared().await;
    let mut db = open(&place).await;
    let large = |offset| kluster_node::dbms::Work {
        max_result_bytes: 1000,
        ..work(offset, "select * from generate_series(1, 1000)")
    };
    let ran = db
        .run(
            Some(at(0)),
            &[work(1, "insert into t values (1, 'a')"), large(2), work(3, "insert into t values (3, 'a')")],
        )
        .await;
    assert!(matches!(ran, Err(Fault::RunAlone(_))), "{ran:?}");
    one(&mut db, work(1, "insert into t values (1, 'a')")).await.unwrap();
    assert_eq!(code(&one(&mut db, large(2)).await), Some(ErrorCode::ResultTooLarge));
    // A single row that no record can carry.
    let row = kluster_node::dbms::Work { max_result_bytes: 1 << 30, ..work(3, "select repeat('x', 20000000) as x") };
    assert_eq!(code(&one(&mut db, row).await), Some(ErrorCode::ResultTooLarge));
    let (_, ended) = read(&db.reads(), &read_of("select repeat('x', 20000000) as x")).await;
    assert_eq!(refused_read(&ended), Some(ErrorCode::ResultTooLarge));
    assert_eq!(query(&mut db, 4, "select id from t").await, [json!({"id": 1})]);
    db.close().await;
}
