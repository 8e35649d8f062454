//! The present as text: what the rules cannot see in a text is fenced in the session, where the server has the set of abbreviations for it.

use crate::contract::*;
use crate::{alone, shared};
use kluster_protocol::ErrorCode;
use kluster_test_servers::record_skip;
use serde_json::json;

const FENCE: &str = "select count(*) from pg_ls_dir((select setting from pg_config where name = 'SHAREDIR') || '/timezonesets') f where f = 'kluster'";

/// Abbreviations decide which instant a text is, so no server's own set counts.
#[tokio::test]
async fn the_set_of_abbreviations_is_pinned() {
    let place = shared().await;
    place.sql(&format!("alter database {} set timezone_abbreviations = 'India'", place.database)).await;
    let expected = if place.sql(FENCE).await == "1" { "kluster" } else { "Default" };
    let mut db = open(&place).await;
    let asked = "select current_setting('timezone_abbreviations') a, '2024-01-01 10:00 IST'::timestamptz t";
    let found = query(&mut db, 1, asked).await;
    assert_eq!(found, [json!({"a": expected, "t": "2024-01-01T08:00:00Z"})]);
    let (events, ended) = read(&db.reads(), &read_of("select 'now'::timestamptz is not null n")).await;
    assert!(ended.is_ok(), "one node answers a read, by its own clock: {events:?} {ended:?}");
    db.close().await;
}

#[tokio::test]
async fn words_for_the_present_are_no_times_however_they_come_about() {
    let place = shared().await;
    if place.sql(FENCE).await != "1" {
        return record_skip("the server has no set of abbreviations that fences the clock (docs/sql-rules.md)");
    }
    let mut db = open(&place).await;
    for (n, sql) in [
        "create table at (id int, t timestamptz default ('no' || 'w')::timestamptz, r tstzrange)",
        "create function stamp() returns trigger language plpgsql as $$ begin new.t := lower('NOW'); return new; end $$",
        "create table stamped (id int, t timestamptz)",
        "create trigger stamp before insert on stamped for each row execute function stamp()",
    ]
    .into_iter()
    .enumerate()
    {
        one(&mut db, alone(1 + n as u64, sql)).await.unwrap();
    }
    one(&mut db, work(9, "insert into t values (1, 'now'), (2, '2024-02-29 10:00 CET')")).await.unwrap();
    for (n, sql) in [
        "insert into at (id) values (1)",
        "insert into at values (1, ('to' || 'day')::timestamptz)",
        "insert into at select 1, name::timestamptz from t where id = 1",
        "insert into at values (1, ('tomor' || 'row')::date)",
        "insert into at values (1, ('yester' || 'day 10:00')::timestamp)",
        "insert into at values (1, null, ('[no' || 'w,infinity)')::tstzrange)",
        "insert into at select * from jsonb_populate_record(null::at, '{\"id\": 1, \"t\": \"now\"}')",
        "insert into stamped values (1)",
        "do $$ begin execute 'insert into at values (1, ''no' || 'w'')'; end $$",
    ]
    .into_iter()
    .enumerate()
    {
        let ran = one(&mut db, alone(10 + n as u64, sql)).await;
        assert_eq!(code(&ran), Some(ErrorCode::InvalidValue), "{sql}: {ran:?}");
    }
    // Times are what they were, abbreviations of zones too.
    one(&mut db, work(30, "insert into at select 2, name::timestamptz from t where id = 2")).await.unwrap();
    assert_eq!(query(&mut db, 31, "select id, t from at").await, [json!({"id": 2, "t": "2024-02-29T09:00:00Z"})]);
    assert!(query(&mut db, 32, "select id from stamped").await.is_empty());
    db.close().await;
}

/// SQL/JSON of PostgreSQL 17: an error on the way to a time is NULL where nothing else is asked for.
#[tokio::test]
async fn json_becomes_no_present_time() {
    let place = shared().await;
    let version: u32 = place.sql("show server_version_num").await.parse().unwrap();
    if version < 170_000 {
        return;
    }
    if place.sql(FENCE).await != "1" {
        return record_skip("the server has no set of abbreviations that fences the clock (docs/sql-rules.md)");
    }
    let mut db = open(&place).await;
    one(&mut db, alone(1, "create table at (id int, t timestamptz)")).await.unwrap();
    for (n, value) in [
        "json_value('\"now\"', '$' returning timestamptz)",
        "json_value('{\"a\": \"today\"}', '$.a' returning timestamptz)",
        "json_query('\"tomorrow\"', '$' returning timestamptz omit quotes)",
        "(select x from json_table('[\"yesterday\"]', '$[*]' columns (x timestamptz path '$')) as j)",
        "jsonb_path_query_first_tz('\"now\"', '$.timestamp_tz()', silent => true)::text::timestamptz",
        "jsonb_path_query_first_tz('\"now\"', '$.datetime()', silent => true)::text::timestamptz",
    ]
    .into_iter()
    .enumerate()
    {
        let sql = format!("insert into at select {n}, {value}");
        one(&mut db, work(2 + n as u64, &sql)).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }
    let rows = query(&mut db, 20, "select count(*) as all, count(t) as times from at").await;
    assert_eq!(rows, [json!({"all": 6, "times": 0})]);
    for (n, sql) in [
        "insert into at select 7, json_value('\"now\"', '$' returning timestamptz error on error)",
        "insert into at select 7, jsonb_path_query_first_tz('\"now\"', '$.timestamp_tz()')::text::timestamptz",
        "insert into at select 7, x from json_table('[\"now\"]', '$[*]' columns (x timestamptz path '$' error on error)) as j",
    ]
    .into_iter()
    .enumerate()
    {
        let ran = one(&mut db, work(30 + n as u64, sql)).await;
        assert_eq!(code(&ran), Some(ErrorCode::InvalidValue), "{sql}: {ran:?}");
    }
    // A time without a zone is one of the session's zone, which the node pins.
    let path = "insert into at select 8, (jsonb_path_query_first_tz('\"2024-02-29 10:00:00\"', '$.timestamp_tz()') #>> '{}')::timestamptz";
    one(&mut db, work(40, path)).await.unwrap();
    assert_eq!(query(&mut db, 41, "select t from at where id = 8").await, [json!({"t": "2024-02-29T10:00:00Z"})]);
    db.close().await;
}
