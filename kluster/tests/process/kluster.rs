//! A process of `kluster`, and what lies in its directory.

use kluster_client::{Client, LogSettings, Options};
use kluster_log::Log;
use rand::RngExt;
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::Instant;

/// A condition that has not come true after this long never will.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Below the range from which the system takes ports for outgoing connections, so that a port is still free when a killed process comes back.
const PORTS: std::ops::Range<u16> = 15_000..32_000;

/// `kluster` with these words, in an environment without settings of its own.
pub fn command(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kluster"));
    command.args(words).stdin(Stdio::null()).kill_on_drop(true);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("KLUSTER_") && name != "KLUSTER_LOG") {
        command.env_remove(name);
    }
    command
}

/// A port that is free now.
pub fn free_port() -> u16 {
    let mut dice = rand::rng();
    let mut ports = std::iter::repeat_with(|| dice.random_range(PORTS));
    ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).unwrap()
}

/// A process that answers.
pub struct Running {
    child: Child,
    stdout: Lines<BufReader<ChildStdout>>,
    words: tempfile::NamedTempFile,
    /// Where its log is.
    pub bootstrap: String,
    /// How many nodes it says it has.
    pub nodes: usize,
    /// From its start to its ready line.
    pub took: Duration,
}

/// A process that does not answer yet.
pub struct Starting {
    child: Child,
    stdout: Lines<BufReader<ChildStdout>>,
    words: tempfile::NamedTempFile,
    begun: Instant,
}

/// `kluster up` in this directory, on this port.
pub fn start(dir: &Path, port: u16, flags: &[&str]) -> Starting {
    let (dir, port) = (dir.display().to_string(), port.to_string());
    let words = [&["up", "--dir", &dir, "--port", &port], flags].concat();
    Starting::of(&mut command(&words))
}

/// The same, when it answers.
pub async fn up(dir: &Path, port: u16, flags: &[&str]) -> Running {
    start(dir, port, flags).ready().await
}

impl Starting {
    /// Starts a command.
    pub fn of(command: &mut Command) -> Self {
        let words = tempfile::NamedTempFile::new().unwrap();
        let stderr = words.reopen().unwrap();
        let mut child = command.stdout(Stdio::piped()).stderr(stderr).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, stdout, words, begun: Instant::now() }
    }

    /// Waits for the ready line.
    pub async fn ready(mut self) -> Running {
        let line = tokio::time::timeout(PATIENCE, self.stdout.next_line()).await;
        let Ok(Ok(Some(line))) = line else { panic!("not ready: {line:?}\n{}", read(&self.words)) };
        let took = self.begun.elapsed();
        let mut fields = line.split(' ');
        assert_eq!(fields.next(), Some("ready"), "{line}");
        let fields: BTreeMap<&str, &str> = fields.map(|field| field.split_once('=').unwrap()).collect();
        let nodes = fields.get("nodes").map_or(0, |nodes| nodes.parse().unwrap());
        let Self { child, stdout, words, .. } = self;
        Running { child, stdout, words, bootstrap: fields["bootstrap"].to_owned(), nodes, took }
    }

    /// Kills it as `kill -9` does.
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Waits until it has ended by itself: its exit code and what it said on stderr.
    pub async fn fails(mut self) -> (i32, String) {
        let status = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        let Ok(Ok(status)) = status else { panic!("it did not end: {}", read(&self.words)) };
        (status.code().unwrap(), read(&self.words))
    }
}

impl Running {
    /// A client of its own connection.
    pub async fn client(&self) -> Client {
        let log = Log::connect(LogSettings::at(&self.bootstrap)).await.unwrap();
        Client::over(log, Options::default()).await.unwrap()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id().unwrap()
    }

    /// What it has said on stderr.
    pub fn words(&self) -> String {
        read(&self.words)
    }

    /// Waits until it has said this on stderr.
    pub async fn says(&self, text: &str) {
        let saying = async {
            let mut look = tokio::time::interval(Duration::from_millis(20));
            while !self.words().contains(text) {
                look.tick().await;
            }
        };
        assert!(tokio::time::timeout(PATIENCE, saying).await.is_ok(), "{text:?} is not said: {}", self.words());
    }

    /// Waits until it has used this much more of a processor.
    pub async fn works_for(&self, more: Duration) {
        let begun = self.used();
        let mut look = tokio::time::interval(Duration::from_millis(20));
        while self.used() < begun + more {
            look.tick().await;
        }
    }

    /// What it has used of processors, as /proc tells it in hundredths of a second.
    fn used(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        let ticks = fields.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum::<u64>();
        Duration::from_millis(10 * ticks)
    }

    /// Sends it a signal by name, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let status = std::process::Command::new("kill").args([format!("-{name}"), self.pid().to_string()]).status();
        assert!(status.unwrap().success());
    }

    /// Kills it as `kill -9` does.
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Waits until it has ended: how, what more it said on stdout, and all it said on stderr.
    pub async fn ended(mut self) -> (ExitStatus, Vec<String>, String) {
        let status = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        let Ok(Ok(status)) = status else { panic!("it did not end: {}", self.words()) };
        let mut more = Vec::new();
        while let Some(line) = self.stdout.next_line().await.unwrap() {
            more.push(line);
        }
        (status, more, read(&self.words))
    }

    /// Asks it to end in order; it does, and has said one line on stdout.
    pub async fn drained(self) {
        self.signal("TERM");
        let (status, more, words) = self.ended().await;
        assert!(status.success() && more.is_empty(), "{status}, {more:?}: {words}");
    }
}

fn read(words: &tempfile::NamedTempFile) -> String {
    std::fs::read_to_string(words.path()).unwrap()
}

/// The user's tables in the SQLite file of a node that does not run: each row a line, sorted.
pub fn tables(dir: &Path, node: &str) -> BTreeMap<String, Vec<String>> {
    let file = dir.join("databases/main").join(format!("{node}.db"));
    let database = rusqlite::Connection::open(file).unwrap();
    let names = "select name from sqlite_schema where type = 'table' and name not like 'kluster\\_%' escape '\\' and name not like 'sqlite%'";
    let mut names = database.prepare(names).unwrap();
    let names: Vec<String> = names.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    names.into_iter().map(|name| (name.clone(), rows(&database, &name))).collect()
}

fn rows(database: &rusqlite::Connection, table: &str) -> Vec<String> {
    let mut statement = database.prepare(&format!("select * from \"{table}\"")).unwrap();
    let width = statement.column_count();
    let line = |row: &rusqlite::Row<'_>| {
        let cells = (0..width).map(|n| format!("{:?}", row.get_ref(n).unwrap()));
        Ok(cells.collect::<Vec<_>>().join("|"))
    };
    let mut rows: Vec<String> = statement.query_map([], line).unwrap().map(Result::unwrap).collect();
    rows.sort();
    rows
}
