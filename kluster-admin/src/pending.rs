//! Pending: what is decided, and where nodes wait; the same view from which nodes judge.
//!
//! Neighbours: `errors` shows it, `resolve` and `cancel` ask it; the rule is `kluster_node::council`.

use crate::error::AdminError;
use crate::nodes::Nodes;
use crate::source::{Source, Start};
use kluster_log::{Log, LogError, Record};
use kluster_node::clerk;
use kluster_node::council::{Council, Voice};
use kluster_node::report::Clock;
use kluster_protocol::{Decision, Decisions, Topic};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// A decision that was written comes back within this time.
const BACK: Duration = Duration::from_secs(30);

/// What this tool signs by.
pub const BY: &str = "kluster-admin";

/// Heartbeats and decisions.
pub struct Pending {
    /// The heartbeats.
    pub nodes: Nodes,
    /// The decisions.
    pub decisions: Decisions,
    source: Source,
}

impl Pending {
    /// Reads NODES and DECISIONS to their ends, and listens for those who seem gone.
    pub async fn read(log: &Log, clock: &Clock) -> Result<Self, LogError> {
        let mut nodes = Nodes::read(log, clock).await?;
        nodes.listen().await?;
        let source = Source::open(log, Topic::Decisions, Start::Beginning).await?;
        let mut pending = Self { nodes, decisions: Decisions::default(), source };
        while let Some(record) = pending.source.past().await? {
            pending.take(&record);
        }
        Ok(pending)
    }

    /// What the members say.
    pub fn council(&self) -> Council {
        let voices = self.nodes.heard().map(|(node, heard)| {
            (node.clone(), Voice { heartbeat: heard.heartbeat.clone(), gone: self.nodes.is_silent(node) })
        });
        Council { membership: self.nodes.membership(), voices: voices.collect() }
    }

    /// Writes `decision` and waits until it is read back. An error: another one was first.
    pub async fn write(&mut self, log: &Log, decision: &Decision) -> Result<(), AdminError> {
        clerk::write(log, decision).await?;
        let deadline = Instant::now() + BACK;
        loop {
            match timeout_at(deadline, self.source.next()).await {
                Ok(record) => {
                    let record = record?;
                    let (valid, read) = self.take(&record);
                    match read {
                        Some(read) if read == *decision && valid => return Ok(()),
                        Some(read) if read.offset == decision.offset && valid => return Err(first(&read)),
                        _ => {}
                    }
                }
                Err(_) => {
                    return Err(AdminError::Open(
                        "the decision was written, and has not come back yet: kluster-admin errors shows whether it holds".into(),
                    ));
                }
            }
        }
    }

    /// Takes heartbeats and decisions until `done` or the time is up.
    pub async fn until(&mut self, time: Duration, done: impl Fn(&Self) -> bool) -> Result<bool, AdminError> {
        let deadline = Instant::now() + time;
        while !done(self) {
            let record = tokio::select! {
                heard = timeout_at(deadline, self.nodes.next()) => match heard {
                    Ok(heard) => { heard?; None }
                    Err(_) => return Ok(false),
                },
                record = self.source.next() => Some(record?),
            };
            if let Some(record) = record {
                self.take(&record);
            }
        }
        Ok(true)
    }

    fn take(&mut self, record: &Record) -> (bool, Option<Decision>) {
        self.decisions.pass(record.offset);
        let value = record.value.as_deref().unwrap_or_default();
        let decision = serde_json::from_slice::<Decision>(value).ok();
        let valid = decision.clone().is_some_and(|decision| self.decisions.take(record.offset, decision));
        (valid, decision)
    }
}

fn first(read: &Decision) -> AdminError {
    let ruling = serde_json::to_value(read.ruling).unwrap_or_default();
    AdminError::Refused(format!(
        "another decision on offset {} was first and holds: {} by {}",
        read.offset,
        ruling.as_str().unwrap_or_default(),
        read.by
    ))
}
