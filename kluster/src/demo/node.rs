//! node: what runs in a node's process of the demo. It says on stdout how far it is. Told so on stdin it ends in order; it ends at once when
//! stdin does, for then its parent is gone, and the log with it.

use crate::error::KlusterError;
use crate::signals::Signals;
use crate::up::nodes::{cannot_run, settings};
use kluster_log::{Log, LogSettings};
use kluster_node::node::Node;
use kluster_node::status::{Now, Status};
use kluster_protocol::{NodeId, NodeState};
use std::io::Write;
use std::path::PathBuf;
use tokio_util::sync::CancellationToken;

/// What a node is told on stdin to end in order.
pub(super) const END: &str = "end\n";

/// `kluster demo-node`.
#[derive(Debug, Clone, clap::Args)]
pub struct DemoNode {
    /// The node's name
    #[arg(long, value_name = "NAME")]
    pub node_id: String,
    /// Its SQLite file
    #[arg(long, value_name = "FILE")]
    pub file: PathBuf,
}

impl DemoNode {
    /// Runs the node until its parent or a signal ends it.
    pub async fn run(&self, log: &LogSettings, signals: &Signals) -> Result<(), KlusterError> {
        let drain = CancellationToken::new();
        let (with_parent, signals) = (drain.clone(), signals.clone());
        // A thread, for a runtime would wait at its end for a read that blocks.
        std::thread::spawn(move || {
            let mut told = String::new();
            match std::io::stdin().read_line(&mut told) {
                Ok(_) if told == END => with_parent.cancel(),
                _ => std::process::exit(1),
            }
        });
        let with_signal = drain.clone();
        tokio::spawn(async move {
            signals.asked_to_end().await;
            with_signal.cancel();
        });
        let id = NodeId::new(self.node_id.clone());
        let log = Log::connect(log.clone()).await?;
        let node = Node::start(settings(&id, &format!("sqlite:{}", self.file.display())), log).await;
        let node = node.map_err(|error| cannot_run(&id, &error))?;
        tokio::spawn(say(node.status()));
        node.run(drain).await.map_err(|error| cannot_run(&id, &error))
    }
}

/// Says each change on stdout; a change that comes while one is said replaces it.
async fn say(status: Status) {
    let mut changes = status.watch();
    loop {
        let line = Said::of(&changes.borrow_and_update()).line();
        let mut stdout = std::io::stdout();
        if writeln!(stdout, "{line}").and_then(|()| stdout.flush()).is_err() || changes.changed().await.is_err() {
            return;
        }
    }
}

/// What a node says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Said {
    /// It is at the end of the log.
    pub(super) ready: bool,
    /// It has stopped for good.
    pub(super) stopped: bool,
    /// The place behind its applied offset.
    pub(super) next: u64,
    /// How many voters it knows.
    pub(super) voters: usize,
}

impl Said {
    fn of(now: &Now) -> Self {
        Self {
            ready: now.state == NodeState::Ready,
            stopped: matches!(now.state, NodeState::Stopped { .. }),
            next: now.applied.map_or(0, |applied| applied.next().get()),
            voters: now.membership.voters.len(),
        }
    }

    fn line(self) -> String {
        let word = match self {
            Self { stopped: true, .. } => "stopped",
            Self { ready: true, .. } => "ready",
            _ => "behind",
        };
        format!("{word} {} {}", self.next, self.voters)
    }

    /// Reads a line of a node.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let word = words.next()?;
        let (next, voters) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        Some(Self { ready: word == "ready", stopped: word == "stopped", next, voters })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_understood() {
        for (ready, stopped) in [(false, false), (true, false), (false, true)] {
            let said = Said { ready, stopped, next: 17, voters: 3 };
            assert_eq!(Said::parse(&said.line()), Some(said));
        }
        assert_eq!(Said::parse("a line of something else"), None);
    }
}
