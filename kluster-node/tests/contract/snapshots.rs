//! Snapshots: what a check sums while the ALL lane applies on.

use super::*;
use kluster_node::dbms::snapshot::{Parts, Snapshot, Table};
use kluster_protocol::check::{MAX_LISTED, Sum, prefix};

async fn table(snapshot: &mut Snapshot) -> Table {
    let tables = snapshot.tables().await.unwrap();
    let names: Vec<&str> = tables.iter().map(|table| table.name.trim_start_matches("public.")).collect();
    assert_eq!(names, ["t"], "Kluster's own tables are not summed");
    tables.into_iter().next().unwrap()
}

/// A snapshot is of one offset, whatever is applied after it; its sums are those of its rows.
pub async fn a_snapshot_keeps_its_offset_while_others_are_applied(place: &impl Place) {
    let mut db = open(place).await;
    let insert = format!("insert into t select i, 'n' from ({}) as s", numbers(&db, 1000));
    one(&mut db, work(1, &insert)).await.unwrap();
    let door = db.snapshots();
    let mut snapshot = door.pin(at(1)).await.unwrap();
    let before = table(&mut snapshot).await;
    // Applied while the snapshot is there, and none of it is in the snapshot.
    one(&mut db, work(2, "update t set name = 'm' where id = 500")).await.unwrap();
    one(&mut db, work(3, "delete from t where id = 1")).await.unwrap();
    let total = snapshot.total(&before).await.unwrap();
    assert_eq!(total.rows, 1000);
    // The parts make up the whole, at each depth.
    let parts = snapshot.sums(&before, &Parts::whole()).await.unwrap();
    let whole = |sums: &kluster_protocol::check::Sums| {
        let mut whole = Sum::default();
        sums.values().for_each(|sum| whole += *sum);
        whole
    };
    assert_eq!(whole(&parts), total);
    let (first, sum) = parts.iter().max_by_key(|(_, sum)| sum.rows).unwrap();
    let deeper = snapshot.sums(&before, &Parts::of([first.clone()].into())).await.unwrap();
    assert_eq!(whole(&deeper), *sum);
    let deepest = deeper.keys().next().unwrap().clone();
    let rows = snapshot.rows(&before, &Parts::of([deepest.clone()].into()), MAX_LISTED).await.unwrap();
    assert_eq!(rows.len() as u64, deeper[&deepest].rows);
    assert!(rows.iter().all(|row| prefix(row.hash as i64, 2) == deepest && row.values[1].as_deref() == Some("n")));
    let first = snapshot.rows(&before, &Parts::whole(), 10).await.unwrap();
    assert!(first.len() == 10 && first.is_sorted_by_key(|row| row.hash), "{first:?}");
    snapshot.end().await;

    let mut after = door.pin(at(3)).await.unwrap();
    let changed = table(&mut after).await;
    let total_after = after.total(&changed).await.unwrap();
    assert!(total_after.rows == 999 && total_after.sum != total.sum);
    after.end().await;
    let error = door.pin(at(2)).await.unwrap_err();
    assert!(error.to_string().contains("not offset 2"), "{error}");
    db.close().await;
}

/// Values that look alike and NULL have unlike sums, and a changed schema is another one.
pub async fn sums_tell_unlike_rows_and_schemas_apart(place: &impl Place) {
    let mut db = open(place).await;
    let add = ddl(&db, 1, "alter table t add word varchar(40)");
    one(&mut db, add).await.unwrap();
    let door = db.snapshots();
    let mut seen = std::collections::BTreeSet::new();
    let mut offset = 1;
    let rows =
        ["null, null", "'', null", "null, ''", "'a', 'bc'", "'ab', 'c'", "'ab#1', 'c'", "'NULL', null", "'-', ''"];
    for row in rows {
        offset += 2;
        one(&mut db, work(offset - 1, "delete from t")).await.unwrap();
        one(&mut db, work(offset, &format!("insert into t (id, name, word) values (1, {row})"))).await.unwrap();
        let mut snapshot = door.pin(at(offset)).await.unwrap();
        let table = table(&mut snapshot).await;
        assert!(seen.insert(snapshot.total(&table).await.unwrap().sum), "{row} has the sum of another row");
        snapshot.end().await;
    }
    let mut schemas = Vec::new();
    for sql in [
        "create index by_word on t (word)",
        "drop index by_word",
        "create view v as select id from t",
        "create or replace view v as select id, word from t",
    ] {
        let sql = match (db.dialect(), sql) {
            (Dialect::MariaDb, "drop index by_word") => "drop index by_word on t",
            (Dialect::Sqlite, sql) if sql.starts_with("create or replace") => "create view w as select word from t",
            _ => sql,
        };
        offset += 1;
        let change = ddl(&db, offset, sql);
        one(&mut db, change).await.unwrap();
        let mut snapshot = door.pin(at(offset)).await.unwrap();
        let objects = snapshot.objects().await.unwrap();
        assert_eq!(objects, snapshot.objects().await.unwrap());
        schemas.push(objects);
        snapshot.end().await;
    }
    let unlike: std::collections::BTreeSet<_> = schemas.iter().collect();
    assert_eq!(unlike.len(), schemas.len());
    db.close().await;
}

/// A snapshot that is dropped lets a change of the schema through, also one that waits for it already.
pub async fn a_dropped_snapshot_gives_way_to_schema_changes(place: &impl Place) {
    let mut db = open(place).await;
    one(&mut db, work(1, "insert into t values (1, 'a')")).await.unwrap();
    let mut snapshot = db.snapshots().pin(at(1)).await.unwrap();
    let table = table(&mut snapshot).await;
    snapshot.total(&table).await.unwrap();
    let holds_up = db.snapshots().hold_up_schema_changes();
    let locks = db.locks();
    let sessions = snapshot.sessions();
    let change = ddl(&db, 2, "alter table t add word varchar(40)");
    let mut change = Box::pin(one(&mut db, change));
    if holds_up {
        // Until the server says that the change waits for one of these very sessions.
        let waits = async {
            loop {
                if let Some(held) = locks.held().await
                    && sessions.iter().any(|session| held.by.contains(session))
                {
                    break;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            ran = &mut change => panic!("it did not wait: {ran:?}"),
            () = waits => {}
        }
    }
    drop(snapshot);
    let ran = tokio::time::timeout(Duration::from_secs(30), change).await.expect("it goes through");
    ran.unwrap();
    db.close().await;
}
