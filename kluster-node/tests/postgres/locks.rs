//! Who holds a batch up: by a table, by a row, several at once.

use crate::contract::*;
use crate::held_up::held_up;
use crate::{Shared, shared};
use kluster_test_servers::until;

/// A session that executes `lock` in a transaction and then sleeps, as soon as it sleeps; it ends with its server.
async fn holder(place: &Shared, lock: &str) {
    let (server, database, text) =
        (place.server, place.database.clone(), format!("begin; {lock}; select pg_sleep(100)"));
    let before = sleepers(place).await;
    tokio::spawn(async move { server.sql(&database, &text).await });
    until("the holder sleeps", async || sleepers(place).await != before).await;
}

async fn sleepers(place: &Shared) -> String {
    place
        .sql(
            "select coalesce(string_agg(pid::text, ' ' order by pid), '') from pg_stat_activity \
              where datname = current_database() and wait_event = 'PgSleep'",
        )
        .await
}

#[tokio::test]
async fn whoever_holds_a_batch_up_is_named() {
    let place = shared().await;
    let mut db = open(&place).await;
    one(&mut db, work(1, "insert into t values (1, 'a')")).await.unwrap();
    for (offset, lock, waits) in [
        (2, "lock table t in access exclusive mode", "waits for a lock on public.t, held by session"),
        (3, "update t set name = 'mine'", "waits for a lock on transactionid, held by session"),
    ] {
        holder(&place, lock).await;
        let sleeper = sleepers(&place).await;
        let end = async |_: &_| drop(place.sql(&format!("select pg_terminate_backend({sleeper})")).await);
        let (held, ran) = held_up(&mut db, offset - 1, work(offset, "update t set name = 'b'"), end).await;
        assert_eq!(held.by, [sleeper.parse::<i64>().unwrap()]);
        assert!(held.text.starts_with(waits), "{}", held.text);
        assert!(held.text.contains("(user postgres, application \"psql\", active"), "{}", held.text);
        assert!(held.text.ends_with(&format!("select pg_terminate_backend({sleeper})")), "{}", held.text);
        assert!(ran.unwrap()[0].is_ok(), "the lock is gone, so the batch went on");
        assert_eq!(db.commit(&finish(Some(offset - 1), offset)).await, Ok(None));
    }
    for _ in 0..2 {
        holder(&place, "lock table t in share mode").await;
    }
    let end = async |held: &kluster_node::dbms::Held| {
        for pid in &held.by {
            place.sql(&format!("select pg_terminate_backend({pid})")).await;
        }
    };
    let (held, ran) = held_up(&mut db, 3, work(4, "update t set name = 'b'"), end).await;
    assert_eq!(held.by.len(), 2, "{}", held.text);
    ran.unwrap().remove(0).unwrap();
    db.close().await;
}
