//! User SQL reaches neither Kluster's own tables nor the server.

use crate::contract::*;
use crate::shared;
use kluster_node::dbms::{Dbms, How, Work};
use kluster_node::fault::Fault;
use kluster_protocol::ErrorCode;
use serde_json::json;

fn committing(offset: u64, sql: &str) -> Work {
    Work { how: How::SelfCommitting, ..work(offset, sql) }
}

#[tokio::test]
async fn user_sql_cannot_reach_state_or_server() {
    let place = shared().await;
    let mut db = open(&place).await;
    let state = format!("kluster_state_{}", place.database);
    let denied = [
        format!("select * from {state}.state"),
        format!("update {state}.state set applied = 9"),
        format!("delete from {state}.outcomes"),
        format!("insert into {state}.intent values (1, 1, '')"),
        format!("select secret_hash from {state}.process"),
        "select * from mysql.user".to_owned(),
        "select load_file('/etc/passwd') from mysql.proc".to_owned(),
    ];
    let mut offset = 1;
    for sql in denied {
        let ran = one(&mut db, work(offset, &sql)).await;
        assert_eq!(code(&ran), Some(ErrorCode::PrivilegeViolation), "{sql}: {ran:?}");
        let (_, ended) = read(&db.reads(), &read_of(&sql)).await;
        assert!(ended.is_err(), "{sql}");
        offset += 1;
    }
    for sql in [
        format!("create table {state}.mine (id int)"),
        format!("drop table {state}.state"),
        format!("drop database {state}"),
        "create database mine_too".to_owned(),
        "create user me identified by 'x'".to_owned(),
        format!("grant all on {state}.* to current_user()"),
        "set global max_connections = 5".to_owned(),
        format!("create trigger t1 before insert on {state}.state for each row set @a = 1"),
    ] {
        let ran = one(&mut db, committing(offset, &sql)).await;
        assert_eq!(code(&ran), Some(ErrorCode::PrivilegeViolation), "{sql}: {ran:?}");
        offset += 1;
    }
    for sql in [
        format!("call {state}.claim('guessed', 3, null)"),
        format!("call {state}.finish('guessed', 3, 4, '', null, null, null, null, null, null, null)"),
        format!("call {state}.intend('guessed', 3, '')"),
    ] {
        let ran = one(&mut db, work(offset, &sql)).await;
        assert_eq!(code(&ran), Some(ErrorCode::Raised), "{sql}: {ran:?}");
        offset += 1;
    }
    let (_, ended) = read(&db.reads(), &read_of(&format!("call {state}.applied('guessed')"))).await;
    assert!(ended.is_err());
    let ran = one(&mut db, work(offset, &format!("call {state}.applied('guessed')"))).await;
    assert_eq!(code(&ran), Some(ErrorCode::PrivilegeViolation), "{ran:?}");
    assert_eq!(db.load().await.unwrap().unwrap().applied, at(offset));
    db.close().await;
}

#[tokio::test]
async fn a_procedure_of_the_user_runs_with_the_users_rights() {
    let place = shared().await;
    let mut db = open(&place).await;
    let state = format!("kluster_state_{}", place.database);
    let body =
        format!("create procedure reach() sql security definer begin update {state}.state set applied = 99; end");
    one(&mut db, committing(1, &body)).await.unwrap();
    let ran = one(&mut db, work(2, "call reach()")).await;
    assert_eq!(code(&ran), Some(ErrorCode::PrivilegeViolation), "{ran:?}");
    let body = "create trigger no before insert on t for each row signal sqlstate '45000' set message_text = 'mine'";
    one(&mut db, committing(3, body)).await.unwrap();
    let ran = one(&mut db, work(4, "insert into t values (1, 'a')")).await;
    assert_eq!(code(&ran), Some(ErrorCode::Raised), "{ran:?}");
    db.close().await;
}

#[tokio::test]
async fn a_changed_password_locks_nobody_out_for_long() {
    let place = shared().await;
    let mut db = open(&place).await;
    let ran = one(&mut db, committing(1, "set password = password('mine')")).await;
    assert!(ran.is_ok(), "{ran:?}");
    let lost = db.run(Some(at(1)), &[]).await;
    assert!(matches!(lost, Err(Fault::Lost(_))), "{lost:?}");
    db.recover().await.unwrap();
    one(&mut db, work(2, "insert into t values (1, 'a')")).await.unwrap();
    db.close().await;
}

#[tokio::test]
async fn a_statement_that_ends_our_transaction_is_fatal() {
    let place = shared().await;
    for sql in ["commit", "rollback", "create table gone (id int)", "start transaction"] {
        let mut db = Dbms::open(&place.settings()).await.unwrap();
        let predecessor = db.load().await.unwrap().map(|row| row.applied);
        let ran = db.run(predecessor, &[work(7, sql), work(8, "select 1")]).await;
        assert!(matches!(&ran, Err(Fault::Fatal(cause)) if cause.code == "canary"), "{sql}: {ran:?}");
        db.close().await;
    }
}

#[tokio::test]
async fn one_text_is_one_statement() {
    let place = shared().await;
    let mut db = open(&place).await;
    let ran = one(&mut db, work(1, "insert into t values (1, 'a'); commit; delete from t")).await;
    assert_eq!(code(&ran), Some(ErrorCode::SyntaxError), "{ran:?}");
    assert_eq!(query(&mut db, 2, "select count(*) as n from t").await, [json!({"n": 0})]);
    db.close().await;
}
