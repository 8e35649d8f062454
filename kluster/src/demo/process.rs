//! process: a node of the demo from outside: started, watched, killed and brought back.

use super::node::{END, Said};
use crate::error::KlusterError;
use kluster_protocol::NodeId;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::watch;

/// A node's process, or the place of one that was killed.
#[derive(Debug)]
pub(super) struct Process {
    /// The node's name.
    pub(super) id: NodeId,
    file: PathBuf,
    bootstrap: String,
    child: Option<Child>,
    said: watch::Receiver<Said>,
}

impl Process {
    /// Starts a node on this file.
    pub(super) fn start(id: NodeId, file: PathBuf, bootstrap: &str) -> Result<Self, KlusterError> {
        let mut process =
            Self { id, file, bootstrap: bootstrap.to_owned(), child: None, said: watch::channel(Said::default()).1 };
        process.begin()?;
        Ok(process)
    }

    /// Starts it, for the first time or again.
    pub(super) fn begin(&mut self) -> Result<(), KlusterError> {
        let failed =
            |error: std::io::Error| KlusterError::Node(format!("{}: its process does not start: {error}", self.id));
        let words = File::options().create(true).append(true).open(self.words()).map_err(failed)?;
        let mut command = Command::new(std::env::current_exe().map_err(failed)?);
        command.arg("demo-node").args(["--bootstrap", &self.bootstrap, "--node-id", self.id.as_str(), "--file"]);
        command.arg(&self.file).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(words).kill_on_drop(true);
        // Ctrl-C is for the parent, which ends the others in order.
        command.process_group(0);
        let mut child = command.spawn().map_err(failed)?;
        let (says, said) = watch::channel(Said::default());
        if let Some(stdout) = child.stdout.take() {
            tokio::spawn(listen(stdout, says));
        }
        (self.child, self.said) = (Some(child), said);
        Ok(())
    }

    /// Its process id, while it runs.
    pub(super) fn pid(&self) -> Option<u32> {
        self.child.as_ref().and_then(Child::id)
    }

    /// What it said last.
    pub(super) fn said(&self) -> Said {
        *self.said.borrow()
    }

    /// Waits until it says something like this.
    pub(super) async fn says(&mut self, what: impl Fn(&Said) -> bool) -> Result<Said, KlusterError> {
        let said = self.said.wait_for(|said| said.stopped || what(said)).await.map(|said| *said);
        match said {
            Ok(said) if !said.stopped => Ok(said),
            Ok(_) | Err(_) => Err(KlusterError::Node(format!("{} ended by itself: {}", self.id, self.last_words()))),
        }
    }

    /// Ends it as `kill -9` does, and waits until it is gone.
    pub(super) async fn kill(&mut self) -> Result<(), KlusterError> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        let killed = child.kill().await;
        killed.map_err(|error| KlusterError::Node(format!("{} cannot be killed: {error}", self.id)))
    }

    /// Asks it to end in order, and waits until it has.
    pub(super) async fn end(mut self) {
        let Some(mut child) = self.child.take() else { return };
        if let Some(mut stdin) = child.stdin.take() {
            // Where it does not listen any more, it ends by itself.
            let _ = stdin.write_all(END.as_bytes()).await;
        }
        // Nothing depends on how it ended.
        let _ = child.wait().await;
    }

    /// Where it logs.
    fn words(&self) -> PathBuf {
        self.file.with_extension("log")
    }

    fn last_words(&self) -> String {
        last_line(&self.words()).unwrap_or_else(|| format!("it said nothing in {}", self.words().display()))
    }
}

fn last_line(path: &Path) -> Option<String> {
    let words = std::fs::read_to_string(path).ok()?;
    words.lines().last().map(str::to_owned)
}

async fn listen(stdout: ChildStdout, says: watch::Sender<Said>) {
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if let Some(said) = Said::parse(&line) {
            says.send_replace(said);
        }
    }
}
