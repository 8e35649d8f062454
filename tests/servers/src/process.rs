//! One running server process under its watchdog: started, awaited, disturbed, ended.
//!
//! Invariant: no server outlives the test process, however that ends: the watchdog (a shell, `watchdog.sh`) holds the reading end
//! of a pipe whose writing end only this process has.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::account::Account;
use crate::error::{During, ServerError, tail};
use crate::home;

/// Generous: a loaded machine with two cores starts several JVMs at once.
const READY_WITHIN: Duration = Duration::from_secs(90);
/// A killed process is gone within milliseconds, unless the disk blocks it.
const GONE_WITHIN: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(10);

/// How to start a server, the same at every start.
#[derive(Debug, Clone)]
pub(crate) struct Launch {
    /// The kind of server, for messages.
    pub(crate) server: &'static str,
    /// Program and arguments.
    pub(crate) command: Vec<OsString>,
    /// Additional environment.
    pub(crate) environment: Vec<(String, String)>,
    /// Removed at the end.
    pub(crate) home: PathBuf,
    /// Whom it runs as; None is ourselves.
    pub(crate) account: Option<Account>,
    /// What ends it at once and leaves nothing behind (`KILL`; for PostgreSQL `QUIT`, which frees its shared memory).
    pub(crate) parting_signal: &'static str,
    /// What its administrator ends it with, in order (PostgreSQL: the fast shutdown).
    pub(crate) orderly_signal: Signal,
    /// In the log as soon as the server answers; empty: do not wait.
    pub(crate) ready_line: &'static str,
}

impl Launch {
    /// Where the server's output goes, of all its starts.
    pub(crate) fn log(&self) -> PathBuf {
        self.home.join("server.log")
    }
}

/// A server process and its watchdog.
#[derive(Debug)]
pub(crate) struct Process {
    launch: Launch,
    watchdog: Child,
    lifeline: Option<ChildStdin>,
    server: Pid,
    /// Length of the log before this start.
    log_start: u64,
}

impl Process {
    /// Starts the server; it is not ready yet.
    pub(crate) fn spawn(launch: &Launch) -> Result<Self, ServerError> {
        let log_start = std::fs::metadata(launch.log()).map_or(0, |data| data.len());
        let mut watchdog = watchdog_of(launch).spawn().during(format!("starting the watchdog of {}", launch.server))?;
        let lifeline = watchdog.stdin.take();
        let server = server_pid(&mut watchdog)?;
        Ok(Self { launch: launch.clone(), watchdog, lifeline, server, log_start })
    }

    /// Waits until the log says that the server answers.
    pub(crate) async fn ready(&self) -> Result<(), ServerError> {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            if self.said_since_start().contains(self.launch.ready_line) {
                return Ok(());
            }
            if !self.is_running() {
                return Err(self.not_ready("it ended".to_owned()));
            }
            if Instant::now() > deadline {
                return Err(self.not_ready(format!("no line {:?} within {READY_WITHIN:?}", self.launch.ready_line)));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// False from the moment the server has ended.
    pub(crate) fn is_running(&self) -> bool {
        is_running(self.server)
    }

    /// The process id of the server itself.
    pub(crate) fn id(&self) -> u32 {
        self.server.as_raw_nonzero().get().unsigned_abs()
    }

    /// Stops the server and all its processes where they are; they keep their connections.
    pub(crate) fn stop(&self) {
        // The parent first: it must not start new ones meanwhile.
        send(self.server, Signal::STOP);
        self.signal_all(Signal::STOP);
    }

    /// Lets a stopped server go on.
    pub(crate) fn cont(&self) {
        self.signal_all(Signal::CONT);
    }

    /// Kills the server and all its processes, as a crash of the machine's software would. Its files stay.
    pub(crate) async fn kill9(self) -> Result<(), ServerError> {
        send(self.server, Signal::STOP);
        let family = family(self.server);
        family.iter().for_each(|member| send(*member, Signal::KILL));
        self.gone(&family).await
    }

    /// Ends the server as its administrator does: sessions are told, data are written. Its files stay.
    pub(crate) async fn end(self) -> Result<(), ServerError> {
        send(self.server, self.launch.orderly_signal);
        let server = [self.server];
        self.gone(&server).await
    }

    async fn gone(mut self, family: &[Pid]) -> Result<(), ServerError> {
        let deadline = Instant::now() + GONE_WITHIN;
        while family.iter().any(|member| is_running(*member)) {
            if Instant::now() > deadline {
                return Err(self.not_ready("it was told to, but does not end".to_owned()));
            }
            tokio::time::sleep(POLL).await;
        }
        self.retire()
    }

    /// Ends the watchdog of a dead server, and leaves the files for the next start.
    fn retire(&mut self) -> Result<(), ServerError> {
        if let Some(mut lifeline) = self.lifeline.take() {
            lifeline.write_all(b"keep\n").during("speaking to a watchdog")?;
        }
        self.watchdog.wait().during("waiting for a watchdog").map(|_| ())
    }

    fn signal_all(&self, signal: Signal) {
        family(self.server).into_iter().for_each(|member| send(member, signal));
    }

    fn said_since_start(&self) -> String {
        let mut said = Vec::new();
        let read = File::open(self.launch.log()).and_then(|mut log| {
            log.seek(SeekFrom::Start(self.log_start))?;
            log.read_to_end(&mut said)
        });
        if read.is_ok() { String::from_utf8_lossy(&said).into_owned() } else { String::new() }
    }

    fn not_ready(&self, why: String) -> ServerError {
        let tail = tail(&self.said_since_start());
        ServerError::NotReady { server: self.launch.server, why, log: self.launch.log().display().to_string(), tail }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Without a word: the watchdog ends the server and removes its directory; wait, so that it is gone when we say so.
        if self.lifeline.take().is_some() {
            let _ = self.watchdog.wait();
        }
    }
}

fn watchdog_of(launch: &Launch) -> Command {
    let removed = if home::kept() { Path::new("") } else { launch.home.as_path() };
    let mut command = Command::new("sh");
    command.args(["-c", include_str!("watchdog.sh"), "watchdog", launch.parting_signal]);
    command.arg(removed).arg(launch.log()).args(&launch.command);
    command.envs(launch.environment.iter().cloned()).current_dir(&launch.home);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    // Its own group: Ctrl-C at the terminal ends the tests, and the watchdog then cleans up.
    command.process_group(0);
    if let Some(account) = launch.account {
        account.runs(&mut command);
    }
    command
}

/// The first line that the watchdog says.
fn server_pid(watchdog: &mut Child) -> Result<Pid, ServerError> {
    let mut line = String::new();
    if let Some(stdout) = watchdog.stdout.take() {
        BufReader::new(stdout).read_line(&mut line).during("hearing a watchdog")?;
    }
    let pid = line.trim().parse().ok().and_then(Pid::from_raw);
    pid.ok_or_else(|| ServerError::Missing(format!("a watchdog said {line:?}, not a process id: does `sh` work here?")))
}

fn send(process: Pid, signal: Signal) {
    // Gone already is as good.
    let _ = kill_process(process, signal);
}

/// The server and its children (PostgreSQL's sessions), as /proc shows them.
fn family(server: Pid) -> Vec<Pid> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = processes.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?));
    ids.filter(|id| *id == server || status_field(*id, "PPid:") == Some(server.to_string())).collect()
}

/// A zombie has ended; the watchdog keeps it, so that its id cannot become another's.
fn is_running(process: Pid) -> bool {
    status_field(process, "State:").is_some_and(|state| !state.starts_with(['Z', 'X']))
}

fn status_field(process: Pid, name: &str) -> Option<String> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim().to_owned())
}
