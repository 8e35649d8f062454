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
