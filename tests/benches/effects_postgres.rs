//! What it costs PostgreSQL to have its effects compared: the rate of apply without, with the rows that statements return, and with the server's own log
//! followed as well. Rounds of the three alternate on one machine; medians are printed beside the target.
//!
//! `make bench`, or `cargo bench -p kluster-tests --bench effects-postgres`.

use kluster_node::dbms::{Dbms, DbmsSettings, Finish, How, OutcomeRow, Work, WorkStatement};
use kluster_node::effects::EffectsTrail;
use kluster_protocol::{Cells, MAX_BATCH, Offset, Param};
use kluster_test_servers::{PostgresOptions, PostgresServer};
use kluster_tests::target::{Measured, Target};
use serde_json::json;
use std::time::{Duration, Instant};

const ROUNDS: usize = 5;
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
        let rate = |took: &mut Vec<Duration>| works as f64 / median(took).as_secs_f64();
        let (off, returned, followed) = (rate(&mut off), rate(&mut returned), rate(&mut followed));
        println!("postgres, {size} in a batch: {off:.0}/s without effects");
        for (what, rate) in [("rows returned", returned), ("rows returned, log followed", followed)] {
            let ratio = Measured { figure: rate / off, unit: "of that", target: RATIO };
            println!("postgres, {size} in a batch, {what}: {rate:.0}/s, {ratio}");
        }
        println!(
            "postgres, {size} in a batch: the follower ends {:.0} ms later",
            median(&mut behind).as_secs_f64() * 1e3
        );
    }
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// Applies `works` inserts, `size` in a batch; how long it took, and how much later their effects were known.
async fn round(server: &PostgresServer, size: usize, works: u64, digests: bool) -> (Duration, Duration) {
    let database = server.new_database("bench").await.expect("a database can be created");
    let settings = DbmsSettings { effects: digests, ..DbmsSettings::at(server.url(&database), "n1") };
    let mut db = Dbms::open(&settings).await.expect("the database opens");
    let (trail, by) = (EffectsTrail::default(), db.effects());
    trail.holds("PostgreSQL", &by, by.resume(None, None).as_ref());
    let follower = db.effects_follower(trail.clone()).map(tokio::spawn);
    let create = work(0, How::Alone, "create table item (id bigint primary key, name varchar(40), n int)", &[]);
    apply(&mut db, None, &[create], &trail).await;
    let began = Instant::now();
    let mut applied = 0;
    while applied < works {
        let batch: Vec<Work> = (applied + 1..=works.min(applied + size as u64))
            .map(|id| {
                work(id, How::Batched, "insert into item values ($1, $2, $3)", &[json!(id), json!("Jan"), json!(7)])
            })
            .collect();
        apply(&mut db, Some(applied), &batch, &trail).await;
        applied += batch.len() as u64;
    }
    let took = began.elapsed();
    while follower.is_some() && trail.known_through() < Some(Offset::new(works)) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let late = began.elapsed() - took;
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

fn work(offset: u64, how: How, sql: &str, params: &[serde_json::Value]) -> Work {
    let params = params.iter().cloned().map(Param::from).collect();
    let statement = WorkStatement {
        sql: sql.into(),
        params,
        expect_rows: None,
        cells: Cells::Plain,
        edits: Default::default(),
        wants: Vec::new(),
    };
    Work { offset: Offset::new(offset), time_ms: 0, how, statements: vec![statement], max_result_bytes: 1 << 20 }
}

async fn apply(db: &mut Dbms, predecessor: Option<u64>, works: &[Work], trail: &EffectsTrail) {
    let predecessor = predecessor.map(Offset::new);
    let ran = db.run(predecessor, works).await.expect("the batch runs");
    assert!(ran.iter().all(Result::is_ok), "{ran:?}");
    let applied = works.last().expect("a batch has works").offset;
    // A state and outcomes as large as those of a node.
    let state = json!({"effects": trail.counted(), "rest": "s".repeat(4000)}).to_string();
    let row = OutcomeRow { first: works[0].offset, last: applied, outcomes: "o".repeat(150 * works.len()), rows: None };
    let finish = Finish { predecessor, applied, state, outcomes: Some(row), prune_below: None, drop_rows_below: None };
    assert_eq!(db.commit(&finish).await, Ok(None));
}
