//! Errors that are a statement's or a row's own are answers, whatever class of codes PostgreSQL has for them.

use crate::contract::*;
use crate::{alone, shared};
use kluster_protocol::ErrorCode;
use std::collections::BTreeSet;

/// Texts that fill what they are stored in: their length, and that they do not compress.
const RANDOM: &str = "select string_agg(md5(i::text), '' order by i) from generate_series(1, 120) i";

#[tokio::test]
async fn limits_of_the_program_are_answers() {
    let place = shared().await;
    let mut db = open(&place).await;
    let page = ddl(&db, 1, "create table page (id int primary key, url text unique)");
    one(&mut db, page).await.unwrap();
    let columns = |what: &str| (0..1500).map(|n| what.replace('#', &n.to_string())).collect::<Vec<_>>().join(", ");
    let wide = ddl(&db, 2, &format!("create table wide ({})", columns("c# text")));
    one(&mut db, wide).await.unwrap();
    let nested = "[".repeat(100_000) + &"]".repeat(100_000);
    let refused = [
        (format!("insert into page select 1, ({RANDOM})"), ErrorCode::InvalidValue, "54000"),
        (format!("insert into wide values ({})", columns("'1234567890'")), ErrorCode::InvalidValue, "54000"),
        (
            "select length(to_tsvector('simple', string_agg(md5(i::text), ' '))) from generate_series(1, 60000) i"
                .into(),
            ErrorCode::InvalidValue,
            "54000",
        ),
        ("select chr(0)".into(), ErrorCode::InvalidValue, "54000"),
        ("select length(lpad('x', 1073741824))".into(), ErrorCode::InvalidValue, "54000"),
        ("select '{{{{{{{1}}}}}}}'::int[]".into(), ErrorCode::InvalidValue, "54000"),
        (format!("select '{nested}'::json is null"), ErrorCode::InvalidStatement, "54001"),
    ];
    for (n, (sql, expected, state)) in refused.into_iter().enumerate() {
        let refusal = one(&mut db, work(3 + n as u64, &sql)).await.unwrap_err();
        assert_eq!((refusal.code, refusal.sql_state.as_deref()), (expected, Some(state)), "{refusal:?}");
    }
    let too_many = ddl(&db, 20, &format!("create table wider ({}, {})", columns("a# int"), columns("b# int")));
    assert_eq!(code(&one(&mut db, too_many).await), Some(ErrorCode::InvalidStatement));
    db.close().await;
}

#[tokio::test]
async fn recursion_without_end_ends_at_one_depth() {
    let place = shared().await;
    // The server's own setting does not count.
    place.sql(&format!("alter database {} set max_stack_depth = '1MB'", place.database)).await;
    let mut db = open(&place).await;
    let texts = [
        "create function f(i int) returns int language plpgsql as $$ begin return f(i + 1); end $$",
        "create function touch() returns trigger language plpgsql as $$ begin update t set name = 'x'; return new; end $$",
        "create trigger touch before update on t for each row execute function touch()",
    ];
    for (n, sql) in texts.into_iter().enumerate() {
        one(&mut db, alone(1 + n as u64, sql)).await.unwrap();
    }
    one(&mut db, work(5, "insert into t values (1, 'a')")).await.unwrap();
    for (n, sql) in ["select f(1)", "update t set name = 'b'"].into_iter().enumerate() {
        let refusal = one(&mut db, work(6 + n as u64, sql)).await.unwrap_err();
        assert_eq!((refusal.code, refusal.sql_state.as_deref()), (ErrorCode::InvalidStatement, Some("54001")), "{sql}");
    }
    assert_eq!(query(&mut db, 8, "select name, current_setting('max_stack_depth') d from t").await[0]["d"], "2MB");
    db.close().await;
}

#[tokio::test]
async fn internal_codes_of_a_statements_own_are_answers() {
    let place = shared().await;
    let mut db = open(&place).await;
    for (n, (sql, expected)) in [
        ("select xpath('//[', '<a/>'::xml)", ErrorCode::InvalidValue),
        ("select xpath_exists('//a:b', '<a/>'::xml)", ErrorCode::InvalidValue),
        ("select setweight('a'::tsvector, 'z')", ErrorCode::InvalidValue),
    ]
    .into_iter()
    .enumerate()
    {
        let ran = one(&mut db, work(1 + n as u64, sql)).await;
        assert_eq!(code(&ran), Some(expected), "{sql}: {ran:?}");
    }
    for (n, template) in ["simple, stopwords", "synonym, synonyms"].into_iter().enumerate() {
        let create = format!("create text search dictionary d (template = {template} = 'no_such_file')");
        let refusal = one(&mut db, alone(10 + n as u64, &create)).await.unwrap_err();
        assert_eq!(refusal.code, ErrorCode::UndefinedObject, "{create}: {refusal:?}");
        assert!(!refusal.message.contains('/'), "the path is one server's own: {}", refusal.message);
    }
    db.close().await;
}

/// A server with a code that the table does not know has a version that nobody has looked at yet.
#[tokio::test]
async fn the_server_has_no_code_that_the_table_does_not_know() {
    let place = shared().await;
    let list =
        place.sql("select pg_read_file(setting || '/errcodes.txt') from pg_config where name = 'SHAREDIR'").await;
    let is_code = |word: &&str| word.len() == 5 && word.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase());
    let codes = |text: &str| -> BTreeSet<String> {
        let first = |line: &str| line.split_whitespace().next().filter(is_code).map(str::to_owned);
        text.lines().filter(|line| !line.starts_with("Section")).filter_map(first).collect()
    };
    let known = codes(include_str!("../../src/dbms/postgres/sqlstates.txt"));
    let server = codes(&list);
    assert!(server.len() > 200, "{list}");
    let unknown: Vec<_> = server.difference(&known).collect();
    assert!(unknown.is_empty(), "add to sqlstates.txt and classify: {unknown:?}");
}
