//! Nodes whose databases are unlike in all that a server may be unlike in, and one log: statements drawn from each DBMS's own lists ([`fuzz`]), and schedules
//! drawn at random ([`schedules`]).
//!
//! `make fuzz` and `make schedules` run many more than CI does. A run prints its seed and can be repeated by it: KLUSTER_UNLIKE_SEED.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod functions;
mod fuzz;
mod home;
mod node;
mod record;
mod schedules;
mod statements;

use kluster_sql::Dialect;
use record::number;
use std::time::Instant;

fn seed() -> u64 {
    number("KLUSTER_UNLIKE_SEED", 1) as u64
}

async fn statements(dialect: Dialect) {
    let (seed, count) = (seed(), number("KLUSTER_UNLIKE_STATEMENTS", 150));
    let started = Instant::now();
    let tally = fuzz::run(dialect, seed, count).await;
    println!(
        "fuzz {dialect:?}, seed {seed}: {} statements, {} executed, {} of {} functions called, tables compared {} times, \
         {} differences noticed, {} unnoticed, {} stops, {} s",
        tally.statements,
        tally.done,
        tally.called.len(),
        tally.functions,
        tally.compared,
        tally.noticed.len(),
        tally.unnoticed.len(),
        tally.stops.len(),
        started.elapsed().as_secs()
    );
    tally.noticed.iter().for_each(|sql| println!("noticed: {sql}"));
    tally.unnoticed.iter().for_each(|sql| println!("UNNOTICED: {sql}"));
    tally.stops.iter().for_each(|sql| println!("STOP: {sql}"));
    assert!(tally.stops.is_empty() && tally.unnoticed.is_empty(), "see above; seed {seed}");
    assert!(tally.statements >= count && tally.compared > 0, "{tally:?}");
    assert!(tally.done * 10 > tally.statements && tally.called.len() > 5, "hardly anything was executed: {tally:?}");
}

async fn one_log(dialect: Dialect) {
    let (seed, count) = (seed(), number("KLUSTER_UNLIKE_SCHEDULES", 20));
    let started = Instant::now();
    let tally = schedules::run(dialect, seed, count).await;
    println!("schedules {dialect:?}, seed {seed}: {tally:?}, {} s", started.elapsed().as_secs());
    assert!(tally.schedules >= count && tally.refused > 0 && tally.effects > 0, "{tally:?}");
    assert!(tally.batches > 0 && tally.rollbacks > 0 && tally.restarts > 0 && tally.vacuums > 0, "{tally:?}");
    assert_eq!(tally.kills > 0, dialect != Dialect::Sqlite, "{tally:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_statements() {
    statements(Dialect::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_statements() {
    statements(Dialect::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mariadb_statements() {
    statements(Dialect::MariaDb).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_schedules() {
    one_log(Dialect::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_schedules() {
    one_log(Dialect::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mariadb_schedules() {
    one_log(Dialect::MariaDb).await;
}
