//! Exactly once through kill -9 of everything at once: the log and all nodes die together, at any moment, again and again, while clients write.
//!
//! A loss of power takes more: every file of the log is cut back to its last sync, and a node's SQLite file, which commits without one, goes back
//! to a state that it had some commits before. (What the file system itself loses or reorders is not imitated.)
//!
//! `KLUSTER_KILLS` is how often (30), `KLUSTER_TEST_SEED` repeats the choices of a run; where a kill hits is up to the machine.

use super::kluster::{PATIENCE, Running, free_port, start, tables};
use super::load::Load;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::path::{Path, PathBuf};
use std::time::Duration;

const NODES: [&str; 3] = ["n1", "n2", "n3"];
/// What a round looks at before it kills a process that is still starting.
const LOOK: Duration = Duration::from_millis(10);

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_doubled_by_kills() {
    exactly_once(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_by_losses_of_power() {
    let mut power = Power::default();
    exactly_once(Some(&mut power)).await;
    let Power { cut, rows, .. } = power;
    println!("{cut} bytes of the log and {rows} rows of databases were lost with the power");
    assert!(cut > 0 && rows > 0, "{cut} bytes and {rows} rows were lost: this test has not shown what it should");
}

/// Kills and starts again, perhaps with a loss of power between; in the end compares.
async fn exactly_once(mut power: Option<&mut Power>) {
    let flags: &[&str] = if power.is_some() { &["--disk-faults", "power-loss-record"] } else { &[] };
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
                if let Some(power) = &mut power {
                    load.goes_on(dice.random_range(1..10)).await;
                    power.reaches_the_disk(dir.path(), NODES[dice.random_range(0..NODES.len())]);
                }
                load.goes_on(dice.random_range(1..40)).await;
                process.kill().await;
                serving += 1;
            }
            None => {
                killed_while_it_starts(&mut dice, dir.path(), port, flags).await;
                starting += 1;
            }
        }
        if let Some(power) = &mut power {
            power.fails(dir.path());
        }
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

/// What of the files is on the disk, and what was lost with the power so far.
#[derive(Default)]
struct Power {
    /// A node, and its database as it was when it last reached the disk.
    synced: Option<(&'static str, tempfile::TempDir)>,
    /// How often.
    losses: u64,
    /// Bytes of the log.
    cut: u64,
    /// Rows of databases.
    rows: i64,
}

impl Power {
    /// What this node has committed until now is on the disk; what it commits from now on is not.
    fn reaches_the_disk(&mut self, dir: &Path, node: &'static str) {
        let kept = tempfile::tempdir().unwrap();
        let database = rusqlite::Connection::open(database(dir, node)).unwrap();
        database.busy_timeout(PATIENCE).unwrap();
        // One transaction, so the copy is what the file was between two commits.
        database.execute("vacuum into ?1", [kept.path().join("copy").to_str().unwrap()]).unwrap();
        self.synced = Some((node, kept));
    }

    /// The power fails: nothing is left but what was on the disk.
    fn fails(&mut self, dir: &Path) {
        let before = bytes(dir);
        self.losses += 1;
        let log = dir.join("log");
        // In turn: all that was not synced is gone, or any pages of it.
        match self.losses % 2 {
            0 => kluster_broker::fault::disk::cut_to_synced(&log).unwrap(),
            _ => kluster_broker::fault::disk::tear_behind_synced(&log, self.losses).unwrap(),
        }
        self.cut += before.saturating_sub(bytes(dir));
        let Some((node, kept)) = self.synced.take() else { return };
        let (now, file) = (marks(&database(dir, node)), database(dir, node));
        for beside in ["-wal", "-shm"] {
            let beside = format!("{}{beside}", file.display());
            if Path::new(&beside).exists() {
                std::fs::remove_file(beside).unwrap();
            }
        }
        std::fs::copy(kept.path().join("copy"), &file).unwrap();
        self.rows += now - marks(&file);
    }
}

fn database(dir: &Path, node: &str) -> PathBuf {
    dir.join("databases/main").join(format!("{node}.db"))
}

/// How many ids a database holds.
fn marks(file: &Path) -> i64 {
    let database = rusqlite::Connection::open(file).unwrap();
    database.query_row("select count(*) from marks", [], |row| row.get(0)).unwrap()
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
