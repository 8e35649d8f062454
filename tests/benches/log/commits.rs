//! Group commit: many writers, each waiting for its own record or transaction to be on the disk.

use super::wire::{Connection, PRODUCE, RECORD_BYTES, frame, is_stored, produce};
use bytes::Bytes;
use kafka_protocol::messages::ApiKey;
use kluster_test_servers::{KafkaServer, PostgresOptions, PostgresServer};
use std::fmt::{self, Display};
use std::io::Write;
use std::process::Command;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

const WRITERS: usize = 64;
const LASTING: Duration = Duration::from_secs(8);

/// How many commits, and how long one took.
pub struct Commits {
    pub rate: f64,
    p50: Duration,
    p99: Duration,
}

impl Display for Commits {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:.0}/s with {WRITERS} writers, p50 {:.2?}, p99 {:.2?}", self.rate, self.p50, self.p99)
    }
}

impl Commits {
    fn of(mut took: Vec<Duration>) -> Self {
        took.sort_unstable();
        let at = |part: f64| took.get((took.len() as f64 * part) as usize).copied().unwrap_or_default();
        Self { rate: took.len() as f64 / LASTING.as_secs_f64(), p50: at(0.5), p99: at(0.99) }
    }
}

/// Each writer has a connection of its own, on which one request is under way.
pub async fn by_log(server: &KafkaServer, setting: (&str, &str)) -> Commits {
    let frame = frame(ApiKey::Produce, PRODUCE, &produce(&super::topic(server, setting)));
    let mut writers = JoinSet::new();
    for _ in 0..WRITERS {
        writers.spawn(write_for_a_while(server.bootstrap().to_owned(), frame.clone()));
    }
    Commits::of(writers.join_all().await.concat())
}

async fn write_for_a_while(bootstrap: String, frame: Bytes) -> Vec<Duration> {
    let mut server = Connection::open(&bootstrap).await;
    let (mut took, began) = (Vec::new(), Instant::now());
    while began.elapsed() < LASTING {
        let sent = Instant::now();
        server.send(&frame).await;
        let answer = server.answer(ApiKey::Produce, PRODUCE).await;
        took.push(sent.elapsed());
        assert!(is_stored(&answer), "{answer:?}");
    }
    took
}

/// pgbench with one insert of the same size in each transaction, every COMMIT on the disk.
pub async fn by_postgres() -> Commits {
    let options = PostgresOptions { fsync: true, ..PostgresOptions::default() };
    let server = PostgresServer::start_with(options).await.expect("PostgreSQL starts");
    let database = server.new_database("bench").await.expect("a database");
    server.sql(&database, "create table record(value text)").await.expect("a table");
    let script = format!("insert into record values ('{}');", "x".repeat(RECORD_BYTES));
    let directory = tempfile::tempdir().expect("a directory");
    let mut file = std::fs::File::create(directory.path().join("insert.sql")).expect("a file");
    file.write_all(script.as_bytes()).expect("a file");
    let (writers, seconds) = (WRITERS.to_string(), LASTING.as_secs().to_string());
    let mut pgbench = Command::new("pgbench");
    pgbench.args([
        "--client",
        &writers,
        "--jobs",
        "2",
        "--time",
        &seconds,
        "--no-vacuum",
        "--protocol",
        "prepared",
        "--log",
    ]);
    pgbench.args(["--file", "insert.sql"]).arg(server.url(&database)).current_dir(directory.path());
    super::said(pgbench);
    Commits::of(pgbench_times(directory.path()))
}

/// The third column of pgbench's logs: how long a transaction took, in µs.
fn pgbench_times(directory: &std::path::Path) -> Vec<Duration> {
    let files = std::fs::read_dir(directory).expect("a directory").flatten().map(|entry| entry.path());
    let logs = files.filter(|path| path.to_string_lossy().contains("pgbench_log"));
    let text: String = logs.map(|path| std::fs::read_to_string(path).expect("a log")).collect();
    let micros = text.lines().filter_map(|line| line.split(' ').nth(2)?.parse().ok());
    micros.map(Duration::from_micros).collect()
}
