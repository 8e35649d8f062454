//! What it costs PostgreSQL to have its effects compared: the rate of apply without, with the rows that statements return, and with the server's own log
//! followed as well. Rounds of the three alternate on one machine; medians are printed beside the target.
//!
//! `make bench`, or `cargo bench -p kluster-tests --bench effects-postgres`.

use kluster_node::dbms::{Dbms, DbmsSettings};
use kluster_protocol::MAX_BATCH;
use kluster_test_servers::{PostgresOptions, PostgresServer};
use kluster_tests::rounds::{self, ROUNDS, median};
use kluster_tests::target::{Measured, Target};
use std::time::Duration;

const WORKS: u64 = 12_000;
/// Of the rate without.
const RATIO: Target = Target::AtLeast(0.85);

#[tokio::main]
async fn main() {
    let plain = PostgresServer::start().await.expect("PostgreSQL starts");
    let settings =
        vec![("wal_level".to_owned(), "logical".to_owned()), ("kluster.effects".to_owned(), "decoded".to_owned())];
    let logical = PostgresServer::start_with(PostgresOptions { settings, ..Default::default() });
    let logical = logical.await.expect("PostgreSQL starts");
    for (size, works) in [(MAX_BATCH, WORKS), (1, WORKS / 6)] {
        let (mut off, mut returned, mut followed, mut behind) = (vec![], vec![], vec![], vec![]);
        for _ in 0..ROUNDS {
            off.push(round(&plain, size, works, false).await.0);
            returned.push(round(&plain, size, works, true).await.0);
            let (took, late) = round(&logical, size, works, true).await;
            followed.push(took);
            behind.push(late);
        }
        let rate = |took: Vec<Duration>| works as f64 / median(took).as_secs_f64();
        let (off, returned, followed) = (rate(off), rate(returned), rate(followed));
        println!("postgres, {size} in a batch: {off:.0}/s without effects");
        for (what, rate) in [("rows returned", returned), ("rows returned, log followed", followed)] {
            let ratio = Measured { figure: rate / off, unit: "of that", target: RATIO };
            println!("postgres, {size} in a batch, {what}: {rate:.0}/s, {ratio}");
        }
        println!("postgres, {size} in a batch: the follower ends {:.0} ms later", median(behind).as_secs_f64() * 1e3);
    }
}

/// Applies `works` inserts, `size` in a batch; how long it took, and how much later their effects were known.
async fn round(server: &PostgresServer, size: usize, works: u64, digests: bool) -> (Duration, Duration) {
    let database = server.new_database("bench").await.expect("a database can be created");
    let settings = DbmsSettings { effects: digests, ..DbmsSettings::at(server.url(&database), "n1") };
    let mut db = Dbms::open(&settings).await.expect("the database opens");
    let trail = rounds::begin(&mut db).await;
    let follower = db.effects_follower(trail.clone()).map(tokio::spawn);
    let took = rounds::inserts(&mut db, &trail, size, works).await;
    let late = if follower.is_some() { rounds::known(&trail, works).await } else { Duration::ZERO };
    if let Some(follower) = follower {
        follower.abort();
        // The server has room for ten slots only.
        let drop = "select pg_terminate_backend(active_pid) from pg_replication_slots where active; select pg_sleep(0.2); \
                    select pg_drop_replication_slot(slot_name) from pg_replication_slots where not active";
        server.sql(&database, drop).await.expect("the slot can be dropped");
    }
    db.close().await;
    (took, late)
}
