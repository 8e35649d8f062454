//! User SQL reaches neither Kluster's own tables nor the server, and changes no session for those behind it.

use crate::contract::*;
use crate::{alone, shared};
use kluster_node::dbms::{Dbms, ReadError, ReadEvent};
use kluster_node::fault::Fault;
use kluster_protocol::ErrorCode;
use serde_json::json;

#[tokio::test]
async fn user_sql_cannot_reach_state_or_server() {
    let place = shared().await;
    let mut db = open(&place).await;
    let mut offset = 1;
    for sql in [
        "select * from kluster_state.state",
        "update kluster_state.state set applied = 9",
        "delete from kluster_state.outcomes",
        "select hash from kluster_state.secret",
        "select * from kluster_state.held()",
        "create table kluster_state.mine (id int)",
        "drop table kluster_state.state",
        "drop schema kluster_state cascade",
        "create function kluster.now() returns int language sql as 'select 1'",
        "drop schema kluster",
        "create or replace function kluster_state.claim(secret text, predecessor bigint) returns void language sql as 'select'",
        "create trigger mine before update on kluster_state.state execute function suppress_redundant_updates_trigger()",
        "create role mine",
        "grant kluster_app_x to public",
        "alter role postgres password 'mine'",
        "alter system set fsync = off",
        "set session_replication_role = replica",
        "set session authorization postgres",
        "set role postgres",
        "select pg_read_file('/etc/passwd')",
        "select pg_terminate_backend(pid) from pg_stat_activity",
        "select pg_cancel_backend(pid) from pg_stat_activity",
        "select rolpassword from pg_authid",
        "select lo_import('/etc/passwd')",
        "create extension plpython3u",
        "create function f() returns void language c as 'x'",
    ] {
        let ran = one(&mut db, alone(offset, sql)).await;
        let python =
            place.server.sql("postgres", "select count(*) from pg_available_extensions where name = 'plpython3u'");
        let has_python = python.await.unwrap().trim() != "0";
        // A few things no transaction can do at all, or are not installed.
        let expected = match sql {
            "alter system set fsync = off" => ErrorCode::NotTransactional,
            "grant kluster_app_x to public" => ErrorCode::UndefinedObject,
            "create extension plpython3u" if !has_python => ErrorCode::NotSupported,
            _ => ErrorCode::PrivilegeViolation,
        };
        assert_eq!(code(&ran), Some(expected), "{sql}: {ran:?}");
        let (_, ended) = read(&db.reads(), &read_of(sql)).await;
        assert!(ended.is_err() || sql.contains("held()"), "{sql}");
        offset += 1;
    }
    for sql in [
        "select kluster_state.claim('guessed', 3)",
        "select kluster_state.finish('guessed', 3, 4, '', null, null, null, null, null, null)",
    ] {
        let ran = one(&mut db, work(offset, sql)).await;
        assert_eq!(code(&ran), Some(ErrorCode::Raised), "{sql}: {ran:?}");
        offset += 1;
    }
    assert_eq!(db.load().await.unwrap().unwrap().applied, at(offset - 1));
    db.close().await;
}

#[tokio::test]
async fn a_read_cannot_write_by_any_way() {
    let place = shared().await;
    let mut db = open(&place).await;
    one(&mut db, alone(1, "create sequence s")).await.unwrap();
    for (sql, expected) in [
        ("insert into t values (1, 'a')", ErrorCode::ReadOnly),
        ("create table u (id int)", ErrorCode::ReadOnly),
        ("create temp table u (id int)", ErrorCode::ReadOnly),
        ("select nextval('s')", ErrorCode::PrivilegeViolation),
        ("set transaction read write", ErrorCode::NotTransactional),
        ("select set_config('transaction_read_only', 'off', true)", ErrorCode::NotTransactional),
        ("do $$ begin update t set name = 'b'; end $$", ErrorCode::ReadOnly),
    ] {
        let (_, ended) = read(&db.reads(), &read_of(sql)).await;
        assert_eq!(refused_read(&ended), Some(expected), "{sql}: {ended:?}");
    }
    // Outside the snapshot the role itself may not write.
    let mut two = read_of("commit");
    two.statements.push(statement("insert into t values (1, 'a')"));
    let (_, ended) = read(&db.reads(), &two).await;
    assert_eq!(refused_read(&ended), Some(ErrorCode::PrivilegeViolation), "{ended:?}");
    assert_eq!(place.sql("select count(*) from t").await, "0");
    // Nothing of one read is left for the next.
    for sql in
        ["select set_config('search_path', 'nowhere', false)", "select pg_advisory_lock(1)", "prepare p as select 1"]
    {
        let (_, ended) = read(&db.reads(), &read_of(sql)).await;
        assert_eq!(ended, Ok(()), "{sql}");
    }
    for (sql, expected) in [
        ("select count(*)::text as n from t", "0"),
        ("select count(*)::text as n from pg_prepared_statements", "0"),
        ("select count(*)::text as n from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()", "0"),
        ("select current_setting('search_path') as n", "public"),
    ] {
        let (events, ended) = read(&db.reads(), &read_of(sql)).await;
        assert_eq!(ended, Ok(()), "{sql}");
        let row = events.iter().find_map(|event| match event {
            ReadEvent::Row(row) => Some(row.get().to_owned()),
            _ => None,
        });
        assert_eq!(row, Some(json!({"n": expected}).to_string()), "{sql}");
    }
    db.close().await;
}

#[tokio::test]
async fn reads_see_what_users_made_wherever_they_made_it() {
    let place = shared().await;
    let mut db = open(&place).await;
    for (offset, sql) in (1..).zip([
        "create schema shop",
        "create table shop.goods (id int primary key)",
        "create view v as select * from shop.goods",
    ]) {
        one(&mut db, alone(offset, sql)).await.unwrap();
    }
    for sql in ["select * from shop.goods", "select * from v"] {
        let (_, ended) = read(&db.reads(), &read_of(sql)).await;
        assert_eq!(ended, Ok(()), "{sql}");
    }
    db.close().await;
}

#[tokio::test]
async fn nothing_of_the_session_outlives_a_work_that_ran_alone() {
    let place = shared().await;
    let mut db = open(&place).await;
    let mut offset = 1;
    for sql in [
        "set search_path = nowhere",
        "set TimeZone = 'Europe/Berlin'",
        "set statement_timeout = 1",
        "set log_parameter_max_length_on_error = -1",
        "set synchronous_commit = on",
        "create temp table t (id int)",
        "prepare p as select 1",
        "declare c cursor with hold for select 1",
        "listen x",
        "select pg_advisory_lock(1)",
        "do $$ begin execute 'deallocate all'; end $$",
        "discard plans",
        "set local statement_timeout = 1",
        "set role none",
        "set transaction read only",
        "select set_config('transaction_read_only', 'on', false)",
        "set session characteristics as transaction read only",
    ] {
        let ran = one(&mut db, alone(offset, sql)).await;
        assert!(ran.is_ok(), "{sql}: {ran:?}");
        offset += 1;
    }
    let state = "select current_setting('search_path') as a, current_setting('TimeZone') as b, current_setting('statement_timeout') as c, \
                 current_setting('log_parameter_max_length_on_error') as d, current_setting('synchronous_commit') as e, \
                 (select count(*)::int from pg_cursors where name = 'c') as f, (select count(*)::int from pg_listening_channels()) as g, \
                 (select count(*)::int from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()) as h, \
                 (select count(*)::int from pg_prepared_statements where name = 'p') as i, \
                 (select relnamespace = 'public'::regnamespace from pg_class where oid = 't'::regclass) as j";
    assert_eq!(
        query(&mut db, offset, state).await,
        [json!({"a": "public", "b": "UTC", "c": "0", "d": "0", "e": "off", "f": 0, "g": 0, "h": 0, "i": 0, "j": true})]
    );
    db.close().await;
}

#[tokio::test]
async fn objects_of_users_never_stand_in_for_ours() {
    let place = shared().await;
    let mut db = open(&place).await;
    let mut offset = 1;
    for sql in [
        "create function public.sha256(bytea) returns bytea language sql as $$ select ''::bytea $$",
        "create function public.convert_to(text, name) returns bytea language sql as $$ select ''::bytea $$",
        "create function public.set_config(text, text, boolean) returns text language sql as $$ select '' $$",
        "create function public.never(bigint, bigint) returns boolean language sql as $$ select false $$",
        "create operator public.= (leftarg = bigint, rightarg = bigint, function = public.never)",
        "create temp table state (id int, applied bigint, state text)",
        "create table public.pg_constraint (condeferrable boolean)",
    ] {
        let ran = one(&mut db, alone(offset, sql)).await;
        assert!(ran.is_ok(), "{sql}: {ran:?}");
        offset += 1;
    }
    one(&mut db, work(offset, "insert into t values (1, 'a')")).await.unwrap();
    let ran = db.run(Some(at(999)), &[]).await;
    assert!(matches!(ran, Err(Fault::ClaimRaised(_))), "{ran:?}");
    db.close().await;
    let db = Dbms::open(&place.settings()).await.unwrap();
    let (_, ended) = read(&db.reads(), &read_of("select id from t")).await;
    assert_eq!(ended, Ok(()));
    db.close().await;
}

#[tokio::test]
async fn a_changed_login_locks_nobody_out_for_long() {
    let place = shared().await;
    let mut db = open(&place).await;
    let role = format!("kluster_app_{}", place.database);
    let mut offset = 1;
    for sql in [
        format!("do $$ begin execute 'alter role {role} password ''mine'''; end $$"),
        format!("alter role {role} set search_path = nowhere"),
        format!("alter role {role} in database {} set default_transaction_read_only = on", place.database),
    ] {
        let ran = one(&mut db, alone(offset, &sql)).await;
        assert!(ran.is_ok(), "{sql}: {ran:?}");
        offset += 1;
    }
    db.recover().await.unwrap();
    // Of this login only: other tests set what they need on the same server. What is left is the node's own.
    let settings = format!(
        "select coalesce(string_agg(array_to_string(setconfig, ','), ';'), '') from pg_db_role_setting \
         where setrole = '{role}'::regrole"
    );
    assert_eq!(place.sql(&settings).await, "session_replication_role=origin,max_stack_depth=2MB");
    one(&mut db, work(offset, "insert into t values (1, 'a')")).await.unwrap();
    db.close().await;
}

#[tokio::test]
async fn a_statement_that_ends_our_transaction_is_fatal() {
    let place = shared().await;
    for sql in ["commit", "rollback", "commit and chain", "rollback and chain", "prepare transaction 'x'"] {
        let mut db = Dbms::open(&place.settings()).await.unwrap();
        let predecessor = db.load().await.unwrap().map(|row| row.applied);
        let ran = db.run(predecessor, &[work(7, sql), work(8, "select 1")]).await;
        match sql {
            // max_prepared_transactions is 0.
            "prepare transaction 'x'" => assert!(ran.is_err(), "{ran:?}"),
            _ => assert!(matches!(&ran, Err(Fault::Fatal(cause)) if cause.code == "canary"), "{sql}: {ran:?}"),
        }
        db.close().await;
    }
}

#[tokio::test]
async fn one_text_is_one_statement_and_copy_is_refused() {
    let place = shared().await;
    let mut db = open(&place).await;
    for (offset, sql, expected) in [
        (1, "insert into t values (1, 'a'); commit; delete from t", ErrorCode::SyntaxError),
        (2, "copy t from stdin", ErrorCode::Copy),
        (3, "vacuum t", ErrorCode::NotTransactional),
        (4, "do $$ begin commit; end $$", ErrorCode::TransactionControl),
        (5, "select 'a\0b'", ErrorCode::InvalidValue),
    ] {
        let ran = one(&mut db, work(offset, sql)).await;
        assert_eq!(code(&ran), Some(expected), "{ran:?}");
    }
    // Behind a statement that went through, and before works that go on.
    let list = work_of(
        6,
        vec![statement("insert into t values (1, 'a')"), statement("copy t from stdin"), statement("select 1")],
    );
    let ran = apply(&mut db, &[list, work(7, "insert into t values (2, 'b')")]).await;
    let refusal = ran[0].as_ref().unwrap_err();
    assert_eq!((refusal.code, refusal.statement_index), (ErrorCode::Copy, Some(1)));
    assert!(ran[1].is_ok());
    assert_eq!(query(&mut db, 8, "select id from t").await, [json!({"id": 2})]);
    let (_, ended) = read(&db.reads(), &read_of("copy t to stdout")).await;
    assert!(matches!(ended, Err(ReadError::Refused(refusal)) if refusal.code == ErrorCode::Copy));
    db.close().await;
}
