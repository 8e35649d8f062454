//! A node as a process of its own.

use super::{Database, PATIENCE};
use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// How often a process is looked at: the system tells nobody when one stops.
const LOOK: Duration = Duration::from_millis(20);

/// A node's process, or the place of one that ended.
pub struct NodeProcess {
    name: String,
    database: Database,
    flags: Vec<String>,
    child: Option<Child>,
    words: tempfile::NamedTempFile,
}

impl NodeProcess {
    /// Starts it, with these variables in its environment.
    pub fn start(name: &str, database: Database, flags: &[String], environment: &[(&str, &str)]) -> Self {
        let words = tempfile::NamedTempFile::new().expect("a file can be created");
        let mut node = Self { name: name.to_owned(), database, flags: flags.to_vec(), child: None, words };
        node.restart(environment);
        node
    }

    /// Starts it again on the same database.
    pub fn restart(&mut self, environment: &[(&str, &str)]) {
        let log = File::options().append(true).open(self.words.path()).expect("the log can be written");
        let url = self.database.url();
        let child = Command::new(binary("kluster-node"))
            .args(["--node-id", &self.name, "--dbms", &url, "--development", "--exit-when-stopped"])
            .args(&self.flags)
            .envs(environment.iter().copied())
            .env("KLUSTER_LOG", std::env::var("KLUSTER_LOG").unwrap_or_else(|_| "info".into()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        self.child = Some(child.expect("kluster-node starts"));
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its database.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Puts another database in the place of its own, while it does not run.
    pub fn empty(&mut self, database: Database) {
        assert!(self.child.is_none(), "{} runs", self.name);
        self.database = database;
    }

    /// It was started and not killed or seen to end since.
    pub fn runs(&self) -> bool {
        self.child.is_some()
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    /// Ends it as `kill -9` does.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("a process can be killed");
            child.wait().expect("a process can be awaited");
        }
    }

    /// Sends it a signal by name, such as `TERM`, `STOP` or `CONT`.
    pub fn signal(&self, name: &str) {
        signal(self.id(), name);
    }

    /// It has not ended by itself.
    pub fn lives(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| child.try_wait().expect("a process can be looked at").is_none())
    }

    /// Waits until it has ended by itself.
    pub async fn ended(&mut self) -> ExitStatus {
        let waiting = async {
            let mut look = tokio::time::interval(LOOK);
            loop {
                let child = self.child.as_mut().expect("the node runs");
                match child.try_wait().expect("a process can be looked at") {
                    Some(status) => return status,
                    None => look.tick().await,
                };
            }
        };
        // Not a thread that waits: a test that fails here would wait for that thread, and so for ever.
        let Ok(status) = tokio::time::timeout(PATIENCE, waiting).await else {
            panic!("{} did not end: {}", self.name, self.last_words());
        };
        self.child = None;
        status
    }

    /// Waits until it has stopped itself at a step.
    pub async fn halted(&self) {
        let id = self.id();
        self.until("stop itself", || is_stopped(id)).await;
    }

    /// Waits until it has said `text` in its log.
    pub async fn says(&self, text: &str) {
        self.until(&format!("say {text:?}"), || self.words().contains(text)).await;
    }

    async fn until(&self, what: &str, condition: impl Fn() -> bool) {
        let waiting = async {
            let mut look = tokio::time::interval(LOOK);
            while !condition() {
                look.tick().await;
            }
        };
        if tokio::time::timeout(PATIENCE, waiting).await.is_err() {
            panic!("{} did not {what}: {}", self.name, self.last_words());
        }
    }

    /// All that it has said in its log.
    pub fn words(&self) -> String {
        std::fs::read_to_string(self.words.path()).unwrap_or_default()
    }

    /// The end of its log.
    pub fn last_words(&self) -> String {
        let words = self.words();
        let lines: Vec<&str> = words.lines().rev().take(25).collect();
        format!("--- {}\n{}", self.name, lines.into_iter().rev().collect::<Vec<_>>().join("\n"))
    }
}

impl Drop for NodeProcess {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A signal has stopped the process where it was.
fn is_stopped(process: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T'))
}

/// Sends a process a signal by name.
pub fn signal(process: u32, name: &str) {
    let status = Command::new("kill").args([format!("-{name}"), process.to_string()]).status();
    assert!(status.expect("kill runs").success(), "process {process} takes no {name}");
}

/// A binary under test: cargo builds the bins of this package before it runs its tests. Tests and benches lie in `deps` below it.
pub fn binary(name: &str) -> PathBuf {
    let here = std::env::current_exe().expect("a program knows its own file");
    let directory = here.parent().expect("a file lies in a directory");
    let bins = if directory.ends_with("deps") { directory.parent().expect("deps lies in target") } else { directory };
    bins.join(name.replace("kluster-", "") + "-under-test")
}
