//! The digest of the rows that requests change: the same where the rows are the same, another one where they differ, and no outcome changed by it.

use crate::contract::*;
use crate::{alone, shared};
use kluster_node::dbms::{Dbms, Ran};
use kluster_protocol::{Effects, ErrorCode};
use serde_json::json;

/// What a request changed.
fn effects(ran: &Ran) -> Effects {
    ran.as_ref().map_or(Effects::NONE, |rows| rows.iter().map(|rows| rows.effects).sum())
}

/// A node of its own whose table `t` was filled in this order, from offset 1 on; the next offset is 10.
async fn filled(order: &[u32]) -> (crate::Shared, Dbms) {
    let place = shared().await;
    let mut db = open(&place).await;
    for (n, id) in order.iter().enumerate() {
        let insert = format!("insert into t values ({id}, 'name {id}')");
        one(&mut db, work(n as u64 + 1, &insert)).await.unwrap();
    }
    one(&mut db, alone(9, "create table mark (id int, value int)")).await.unwrap();
    (place, db)
}

/// The effects of one statement on two nodes that met their rows in another order.
async fn on_unlike_nodes(sql: &str) -> (Effects, Effects) {
    let ((_one, mut one_db), (_other, mut other_db)) = (filled(&[1, 2, 3]).await, filled(&[3, 1, 2]).await);
    let ran = one(&mut one_db, work(10, sql)).await;
    let other = one(&mut other_db, work(10, sql)).await;
    assert!(ran.is_ok() && other.is_ok(), "{ran:?} {other:?}");
    let both = (effects(&ran), effects(&other));
    one_db.close().await;
    other_db.close().await;
    both
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_rows_have_the_same_effects_in_whatever_order_they_were_met() {
    for sql in [
        "update t set name = upper(name)",
        "insert into mark select id, 1 from t",
        "delete from t where id > 1",
        "with x as (select 2 as id) update t as target set name = 'x' from x where x.id = target.id",
        // Which of the joined rows is met is not stored.
        "update t set name = 'seen' from (values (1, 'a'), (1, 'b')) as v(id, label) where v.id = t.id",
    ] {
        let (one, other) = on_unlike_nodes(sql).await;
        assert_eq!(one, other, "{sql}");
        assert!(!one.is_none(), "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_that_follows_the_order_of_rows_is_a_difference_while_all_answers_are_the_same() {
    for sql in [
        "update t set name = v.name from t v where t.id = 1 and v.id > 0",
        "insert into mark select id, row_number() over () from t",
        "delete from t where ctid = (select min(ctid) from t)",
    ] {
        let (one, other) = on_unlike_nodes(sql).await;
        assert_ne!(one, other, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn effects_do_not_depend_on_batches_and_refused_requests_have_none() {
    let works = [
        bound(1, "insert into t values ($1, $2)", json!([1, "a"])),
        bound(2, "insert into t values ($1, $2)", json!([1, "b"])),
        work_of(3, vec![statement("insert into t values (3, 'c')"), statement("insert into t values (3, 'd')")]),
        work(4, "insert into t values (4, 'd') returning id, name"),
        work(5, "select * from t"),
        work(6, "update t set name = 'e'"),
    ];
    let mut all = Vec::new();
    for size in [1, 4, 6] {
        let mut db = open(&shared().await).await;
        let mut each = Vec::new();
        for batch in works.chunks(size) {
            each.extend(apply(&mut db, batch).await.iter().map(effects));
        }
        db.close().await;
        all.push(each);
    }
    assert_eq!(all[0], all[1]);
    assert_eq!(all[0], all[2]);
    let some: Vec<bool> = all[0].iter().map(|effects| !effects.is_none()).collect();
    assert_eq!(some, [true, false, false, true, false, true]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_return_its_rows_is_executed_as_it_was_written() {
    let place = shared().await;
    let mut db = open(&place).await;
    for (offset, sql) in [
        (1, "create table ruled (id int, name text)"),
        (2, "create rule to_t as on insert to ruled do instead insert into t values (new.id, new.name)"),
        (3, "create table hidden (id int primary key)"),
        (4, "alter table hidden enable row level security"),
        (5, "alter table hidden force row level security"),
        (6, "create policy writes on hidden for insert with check (true)"),
        (7, "create policy reads on hidden for select using (false)"),
    ] {
        one(&mut db, alone(offset, sql)).await.unwrap();
    }
    let ran = apply(
        &mut db,
        &[
            work(8, "insert into t values (1, 'before')"),
            work_of(
                9,
                vec![statement("insert into t values (2, 'with')"), statement("insert into ruled values (3, 'x')")],
            ),
            work(10, "insert into hidden values (1)"),
            work(11, "insert into nowhere values (1)"),
            work(12, "update t set name = 'b' where id = 1 returning id, oops"),
            work(13, "insert into t values (4, 'behind')"),
        ],
    )
    .await;
    let codes: Vec<_> = ran.iter().map(code).collect();
    let none = (None, None);
    assert_eq!((codes[0], codes[1]), none, "{ran:?}");
    assert_eq!((codes[2], codes[5]), none, "{ran:?}");
    assert_eq!((codes[3], codes[4]), (Some(ErrorCode::UndefinedTable), Some(ErrorCode::UndefinedColumn)));
    assert_eq!(ran[4].as_ref().unwrap_err().position, Some(52), "as in the text as written");
    let some: Vec<bool> = ran.iter().map(|ran| !effects(ran).is_none()).collect();
    assert_eq!(some, [true, true, false, false, false, true]);
    assert_eq!(place.sql("select string_agg(id::text, ',' order by id) from t").await, "1,2,3,4");
    assert_eq!(place.sql("select count(*) from hidden").await, "1");
    db.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_those_of_the_text_as_written() {
    let mut db = open(&shared().await).await;
    let ran = apply(
        &mut db,
        &[
            work(1, "insert into t select i, 'n' from generate_series(1, 5) as s(i); -- five"),
            work(2, "update t set name = 'm' where id > 2"),
            work(3, "delete from t where id = 5 returning id"),
            work(4, "insert into t values (1, 'x') on conflict do nothing"),
        ],
    )
    .await;
    let affected: Vec<u64> = ran.iter().map(|ran| ran.as_ref().unwrap()[0].affected).collect();
    assert_eq!(affected, [5, 3, 1, 0]);
    let columns: Vec<usize> = ran.iter().map(|ran| ran.as_ref().unwrap()[0].columns.len()).collect();
    assert_eq!(columns, [0, 0, 1, 0]);
    let mut ran = ran;
    assert_eq!(rows(ran.remove(2).unwrap().remove(0)), [json!({"id": 5})]);
    db.close().await;
}
