//! Who holds a batch up: by a row, by a table; with and without the plugin by which the server tells of tables.

use crate::contract::*;
use crate::held_up::held_up;
use crate::settings;
use kluster_node::dbms::{Dbms, Held};
use kluster_node::fault::Fault;
use kluster_test_servers::{MariaDbServer, until};
use std::sync::Arc;

/// A session that executes `lock` and then sleeps, as soon as it sleeps: its number. It ends with its server.
async fn holder(server: &Arc<MariaDbServer>, lock: &str) -> String {
    let (its, text) = (server.clone(), format!("{lock}; do sleep(100)"));
    tokio::spawn(async move { its.sql("shop", &text).await });
    let sleeper = "select id from information_schema.processlist where info like 'do sleep%'";
    let found = async || server.sql("shop", sleeper).await.unwrap().trim().to_owned();
    until("the holder sleeps", async || !found().await.is_empty()).await;
    found().await
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_holds_a_batch_up_is_named() {
    let server = Arc::new(MariaDbServer::start().await.unwrap());
    server.create_database("shop").await.unwrap();
    let mut db = Dbms::open(&settings(server.url("shop"))).await.unwrap();
    let create = ddl(&db, 0, "create table t (id int primary key, name varchar(20))");
    one(&mut db, create).await.unwrap();
    one(&mut db, work(1, "insert into t values (1, 'a')")).await.unwrap();
    let told = "metadata lock of shop.t, held by connection";
    let not_told = "(install soname 'metadata_lock_info' lets it); it may be connection";
    for (offset, plugin, lock, says) in [
        (
            2,
            false,
            "start transaction; update t set name = 'mine'",
            "waits for a lock in `shop`.`t`, held by connection",
        ),
        (3, false, "lock tables t write", not_told),
        (4, true, "lock tables t write", told),
    ] {
        if plugin {
            let shipped =
                "select count(*) from information_schema.all_plugins where plugin_library = 'metadata_lock_info.so'";
            // Not every build of the server has it.
            if server.sql("shop", shipped).await.unwrap().trim() == "0" {
                continue;
            }
            server.sql("shop", "install soname 'metadata_lock_info'").await.unwrap();
        }
        let sleeper = holder(&server, lock).await;
        let end = async |held: &Held| {
            for id in &held.by {
                server.sql("shop", &format!("kill {id}")).await.unwrap();
            }
        };
        let (held, ran) = held_up(&mut db, offset - 1, work(offset, "update t set name = 'b'"), end).await;
        assert_eq!(held.by, [sleeper.parse::<i64>().unwrap()], "{}", held.text);
        assert!(held.text.contains(says), "{}", held.text);
        assert!(held.text.contains(&format!("connection {sleeper} (user root, ")), "{}", held.text);
        assert!(held.text.ends_with(&format!("kill {sleeper}")), "{}", held.text);
        match ran {
            Ok(_) => assert_eq!(db.commit(&finish(Some(offset - 1), offset)).await, Ok(None)),
            // A row is waited for for 1 s at a time.
            Err(Fault::LockWait(_)) => drop(one(&mut db, work(offset, "select 1")).await.unwrap()),
            Err(fault) => panic!("{fault}"),
        }
    }
    db.close().await;
}
