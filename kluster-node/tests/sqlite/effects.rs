//! What a request changed, as SQLite tells it.

use super::contract::*;
use super::threaded;
use kluster_node::dbms::Dbms;
use kluster_protocol::Effects;

/// The effects of one statement.
async fn effects(db: &mut Dbms, offset: u64, sql: &str) -> Effects {
    let rows = one(db, work(offset, sql)).await.unwrap_or_else(|refusal| panic!("{sql}: {refusal:?}"));
    rows.iter().map(|rows| rows.effects).sum()
}

async fn defines(db: &mut Dbms, offset: u64, sql: &str) -> Effects {
    let ddl = ddl(db, offset, sql);
    one(db, ddl).await.unwrap_or_else(|refusal| panic!("{sql}: {refusal:?}")).iter().map(|rows| rows.effects).sum()
}

/// Two databases that answer alike and hold unlike rows, and the statement whose effects tell them apart.
#[tokio::test]
async fn what_answers_alike_and_changes_other_rows_has_other_effects() {
    let apart = [
        ("update t set name = 'x' where id = 1", "an old value"),
        ("delete from t", "a DELETE of everything"),
        ("insert into t select id + 10, name from t", "INSERT … SELECT"),
        ("insert or replace into t values (1, 'x')", "what REPLACE removes"),
        ("insert into t values (1, 'x') on conflict (id) do update set name = t.name || 'x'", "an upsert"),
        ("update t set id = id where id = 1 returning name", "what is returned"),
        ("insert into watched values (1)", "a trigger"),
        ("delete from parent", "a cascade"),
    ];
    for (sql, why) in apart {
        let (one_place, other_place) = (threaded().await, threaded().await);
        let (mut one, mut other) = (open(&one_place).await, open(&other_place).await);
        for (db, name) in [(&mut one, "a"), (&mut other, "b")] {
            defines(db, 1, "create table watched (id integer)").await;
            defines(db, 2, "create table parent (id integer primary key, name text)").await;
            defines(db, 3, "create table child (name text, parent integer references parent (id) on delete cascade)")
                .await;
            defines(db, 4, "create trigger w after insert on watched begin update t set name = name || 'w'; end").await;
            effects(db, 5, &format!("insert into t values (1, '{name}')")).await;
            effects(db, 6, "insert into parent values (1, 'p')").await;
            effects(db, 7, &format!("insert into child values ('{name}', 1)")).await;
        }
        let (one, other) = (effects(&mut one, 8, sql).await, effects(&mut other, 8, sql).await);
        assert!(!one.is_none() && one != other, "{why}: {sql}");
    }
}

#[tokio::test]
async fn the_same_rows_have_the_same_effects_in_any_order_and_shape() {
    let (one_place, other_place) = (threaded().await, threaded().await);
    let (mut one, mut other) = (open(&one_place).await, open(&other_place).await);
    assert_eq!(
        effects(&mut one, 1, "insert into t values (1, 'a'), (2, 'b')").await,
        effects(&mut other, 1, "insert into t values (2, 'b'), (1, 'a')").await,
    );
    // A row that was written before a column was added is as one that was written behind it.
    effects(&mut one, 2, "insert into t values (3, 'c')").await;
    defines(&mut one, 3, "alter table t add column age integer default 7").await;
    effects(&mut other, 2, "delete from t where id = 9").await;
    defines(&mut other, 3, "alter table t add column age integer default 7").await;
    effects(&mut other, 4, "insert into t (id, name) values (3, 'c')").await;
    let touch = "update t set name = 'd' where id = 3";
    assert_eq!(effects(&mut one, 5, touch).await, effects(&mut other, 5, touch).await);
    assert_eq!(effects(&mut one, 6, "delete from t").await, effects(&mut other, 6, "delete from t").await);
}

#[tokio::test]
async fn the_order_of_rows_matters_only_where_it_is_stored() {
    let mut each = Vec::new();
    for rows in ["(1, 1), (1, 2), (1, 3), (2, 4)", "(2, 4), (1, 3), (1, 2), (1, 1)"] {
        let place = threaded().await;
        let mut db = open(&place).await;
        defines(&mut db, 1, "create table queue (k int, v int)").await;
        defines(&mut db, 2, "create table copy (k int, v int, place int)").await;
        defines(&mut db, 3, "create table total (n int)").await;
        let counts = "create trigger counts after insert on copy begin update total set n = n + new.v * n; end";
        defines(&mut db, 4, counts).await;
        effects(&mut db, 5, "insert into total values (1)").await;
        let queue = effects(&mut db, 6, &format!("insert into queue values {rows}")).await;
        let copied = effects(&mut db, 7, "insert into copy (k, v) select k, v from queue").await;
        let places = "create trigger places after insert on copy begin update copy set place = (select count(*) from copy) where rowid = new.rowid; end";
        defines(&mut db, 8, places).await;
        let placed = effects(&mut db, 9, "insert into copy (k, v) select k, v from queue").await;
        // What came and went again within a request is no effect.
        let nothing = effects(&mut db, 10, "update total set n = n").await;
        each.push((queue, copied, placed, nothing));
    }
    let (one, other) = (each[0], each[1]);
    assert_eq!((one.0, one.1), (other.0, other.1), "a total kept by a trigger, row by row");
    assert_ne!(one.2, other.2, "numbered in the order of rows");
    assert!(one.3.is_none() && !one.1.is_none());
}

#[tokio::test]
async fn a_table_made_of_a_select_counts_its_rows_and_one_that_is_there_none() {
    let place = threaded().await;
    let mut db = open(&place).await;
    effects(&mut db, 1, "insert into t values (1, 'a')").await;
    let of_one = defines(&mut db, 2, "create table \"a \"\"copy\" as select name from t").await;
    assert!(!of_one.is_none());
    assert!(defines(&mut db, 3, "create table if not exists \"a \"\"copy\" as select name from t").await.is_none());
    effects(&mut db, 4, "update t set name = 'b'").await;
    defines(&mut db, 5, "drop table \"a \"\"copy\"").await;
    assert_ne!(defines(&mut db, 6, "create table \"a \"\"copy\" as select name from t").await, of_one);
}

#[tokio::test]
async fn what_is_rolled_back_and_what_is_only_read_does_not_count() {
    let place = threaded().await;
    let mut db = open(&place).await;
    let works = [
        work(1, "insert into t values (1, 'a'), (2, 'b'), (1, 'c')"),
        work(2, "insert into t values (5, 'e')"),
        work(3, "select * from t"),
    ];
    let ran = apply(&mut db, &works).await;
    assert!(ran[0].is_err());
    let place = threaded().await;
    let mut alone = open(&place).await;
    let right = effects(&mut alone, 2, "insert into t values (5, 'e')").await;
    assert_eq!(ran[1].as_ref().unwrap()[0].effects, right);
    assert!(ran[2].as_ref().unwrap()[0].effects.is_none());
}
