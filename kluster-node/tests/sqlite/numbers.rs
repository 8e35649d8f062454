//! Numbers that SQLite gives to rows: none by chance, and their end is no full disk.

use crate::contract::*;
use crate::threaded;
use kluster_protocol::ErrorCode;
use serde_json::json;

const LAST: i64 = i64::MAX;

#[tokio::test]
async fn no_row_has_the_rowid_behind_which_rows_are_numbered_by_chance() {
    let place = threaded().await;
    let mut db = open(&place).await;
    for (n, sql) in [
        "create table hidden (a text)",
        "create table ai (id integer primary key autoincrement, a text)",
        "create virtual table words using fts5 (a)",
        "create virtual table boxes using rtree (id, x0, x1)",
        "create table keyed (k integer, a text, primary key (k, a)) without rowid",
    ]
    .into_iter()
    .enumerate()
    {
        let create = ddl(&db, 1 + n as u64, sql);
        one(&mut db, create).await.unwrap();
    }
    one(&mut db, work(10, "insert into t values (1, 'a'), (9223372036854775806, 'b')")).await.unwrap();
    for (n, sql) in [
        format!("insert into t values ({LAST}, 'a')"),
        format!("insert or replace into t values ({LAST}, 'a')"),
        format!("update t set id = {LAST} where id = 1"),
        format!("insert into hidden (rowid, a) values ({LAST}, 'a')"),
        format!("insert into ai values ({LAST}, 'a')"),
        format!("insert into words (rowid, a) values ({LAST}, 'a')"),
        format!("insert into boxes values ({LAST}, 1, 2)"),
        // The next one that SQLite gives by itself.
        "insert into t (name) values ('c')".to_owned(),
    ]
    .iter()
    .enumerate()
    {
        let ran = one(&mut db, work(11 + n as u64, sql)).await;
        assert_eq!(code(&ran), Some(ErrorCode::InvalidValue), "{sql}: {ran:?}");
    }
    // A key that is no rowid may be as large as it likes.
    one(&mut db, work(30, &format!("insert into keyed values ({LAST}, 'a')"))).await.unwrap();
    let left = "select (select count(*) from t) + (select count(*) from hidden) + (select count(*) from ai) \
                + (select count(*) from words) + (select count(*) from boxes) n";
    assert_eq!(query(&mut db, 31, left).await, [json!({"n": 2})]);
    db.close().await;
}

#[tokio::test]
async fn the_end_of_autoincrement_is_no_full_disk() {
    let place = threaded().await;
    let mut db = open(&place).await;
    let create = ddl(&db, 1, "create table ai (id integer primary key autoincrement, a text)");
    one(&mut db, create).await.unwrap();
    one(&mut db, work(2, "insert into ai (a) values ('a')")).await.unwrap();
    for offset in [3, 4] {
        // Twice: the text is prepared again.
        let ran = one(&mut db, work(offset, &format!("update sqlite_sequence set seq = {LAST}"))).await;
        assert_eq!(code(&ran), Some(ErrorCode::InvalidState), "{ran:?}");
    }
    db.close().await;
    // A database from elsewhere may be there already.
    let file = rusqlite::Connection::open(place.settings().url.strip_prefix("sqlite:").unwrap()).unwrap();
    file.execute(&format!("update sqlite_sequence set seq = {LAST}"), []).unwrap();
    drop(file);
    let mut db = kluster_node::dbms::Dbms::open(&place.settings()).await.unwrap();
    let ran = one(&mut db, work(5, "insert into ai (a) values ('b')")).await;
    assert_eq!(code(&ran), Some(ErrorCode::InvalidState), "{ran:?}");
    one(&mut db, work(6, "update sqlite_sequence set seq = 7")).await.unwrap();
    assert_eq!(query(&mut db, 7, "insert into ai (a) values ('c') returning id").await, [json!({"id": 8})]);
    db.close().await;
}
