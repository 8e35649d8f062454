//! Exactly once through kill -9 of everything at once: the log and all nodes die together, at any moment, again and again, while clients write.
//!
//! `KLUSTER_KILLS` is how often (30), `KLUSTER_TEST_SEED` repeats the choices of a run; where a kill hits is up to the machine.

use super::kluster::{PATIENCE, Running, free_port, start, tables};
use super::load::Load;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::cell::Cell;
use std::path::Path;
use std::time::Duration;

/// What a round looks at before it kills a process that is still starting.
const LOOK: Duration = Duration::from_millis(10);

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_doubled_by_kills() {
    exactly_once(&[], |_| {}).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_by_losses_of_power() {
    let (lost, losses) = (Cell::new(0), Cell::new(0));
    let cut = |dir: &Path| {
        let before = bytes(dir);
        losses.set(losses.get() + 1);
        match losses.get() % 2 {
            0 => kluster_broker::fault::disk::cut_to_synced(&dir.join("log")).unwrap(),
            _ => kluster_broker::fault::disk::tear_behind_synced(&dir.join("log"), losses.get()).unwrap(),
        }
        lost.set(lost.get() + before.saturating_sub(bytes(dir)));
    };
    exactly_once(&["--disk-faults", "power-loss-record"], cut).await;
    println!("{} bytes were lost with the power", lost.get());
    assert!(lost.get() > 0, "nothing was lost: this test has not shown what it should");
}

/// Kills and starts again, with `between` done to the files; in the end compares.
async fn exactly_once(flags: &[&str], between: impl Fn(&Path)) {
    let mut dice = dice();
    let dir = tempfile::tempdir().unwrap();
    let port = free_port();
    let running = start(dir.path(), port, flags).ready().await;
    let client = running.client().await;
    let mut load = Load::start(&client).await;
    let mut running = Some(running);
    let (mut serving, mut starting, mut slowest) = (0, 0, Duration::ZERO);
    while serving + starting < kills() {
        match running.take() {
            Some(process) => {
                load.goes_on(dice.random_range(1..40)).await;
                process.kill().await;
                serving += 1;
            }
            None => {
                killed_while_it_starts(&mut dice, dir.path(), port, flags).await;
                starting += 1;
            }
        }
        between(dir.path());
        // One of four dies again before it answers.
        if !dice.random_ratio(1, 4) {
            let process = start(dir.path(), port, flags).ready().await;
            slowest = slowest.max(process.took);
            running = Some(process);
        }
    }
    let running = match running {
        Some(running) => running,
        None => start(dir.path(), port, flags).ready().await,
    };
    let slowest = slowest.as_secs_f64();
    println!(
        "killed {serving} times while it served, {starting} times while it started; it answered again after {slowest:.2} s at most"
    );
    compare(running, load, dir.path()).await;
}

/// The size of the log's partitions.
fn bytes(dir: &Path) -> u64 {
    let partitions = std::fs::read_dir(dir.join("log")).unwrap().map(|entry| entry.unwrap().path());
    let files = partitions.filter(|path| path.is_dir()).flat_map(|path| std::fs::read_dir(path).unwrap());
    let logs = files.map(|file| file.unwrap().path()).filter(|path| path.extension().is_some_and(|end| end == "log"));
    logs.map(|path| path.metadata().unwrap().len()).sum()
}

/// Starts it and kills it after a while.
async fn killed_while_it_starts(dice: &mut StdRng, dir: &Path, port: u16, flags: &[&str]) {
    let starting = start(dir, port, flags);
    let mut look = tokio::time::interval(LOOK);
    for _ in 0..dice.random_range(1..60) {
        look.tick().await;
    }
    starting.kill().await;
}

/// Each acknowledged id is there once on every node, and no other.
async fn compare(running: Running, load: Load, dir: &Path) {
    let acknowledged = tokio::time::timeout(PATIENCE, load.finish()).await.expect("every write is answered in the end");
    let client = running.client().await;
    client.execute("create table last(id integer)").timeout(PATIENCE).all().await.unwrap();
    client.close();
    running.drained().await;
    let first = tables(dir, "n1");
    let ids = |table: &str| first[table].len();
    let mut counted: Vec<String> = acknowledged.iter().map(|id| format!("Integer({id})")).collect();
    counted.sort();
    assert_eq!(first["counts"], counted, "what was applied is not what was acknowledged");
    assert_eq!(ids("marks"), acknowledged.len());
    for node in ["n2", "n3"] {
        assert_eq!(tables(dir, node), first, "{node} differs from n1");
    }
    println!("{} ids acknowledged, each there once on 3 nodes", acknowledged.len());
}

fn kills() -> usize {
    std::env::var("KLUSTER_KILLS").map_or(30, |kills| kills.parse().expect("KLUSTER_KILLS is a number"))
}

fn dice() -> StdRng {
    let seed = std::env::var("KLUSTER_TEST_SEED")
        .map_or_else(|_| rand::random(), |seed| seed.parse().expect("KLUSTER_TEST_SEED is a number"));
    println!("KLUSTER_TEST_SEED={seed}");
    StdRng::seed_from_u64(seed)
}
