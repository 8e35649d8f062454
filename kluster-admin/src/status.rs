//! status: who the members are, what they do, how far they are, and whether they hold the same data.
//!
//! In the order of the data: `nodes` are read → `picture` draws them, as a table or JSON → `verdict` and exit code.

mod picture;
mod verdict;

use crate::error::AdminError;
use crate::nodes::Nodes;
use crate::output::Output;
use kluster_log::Log;
use kluster_node::report::Clock;
use kluster_protocol::Topic;
use picture::Picture;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// How often `--watch` looks anew.
const EVERY: Duration = Duration::from_secs(1);

/// The manual of the command.
pub const MANUAL: &str = "\
Show members, what they do, how far they are, and whether their chains agree.

Reads the newest heartbeats on NODES and the end of ALL. A chain is a running hash of outcomes: nodes with the same chain at an offset did the \
same up to it. Nodes are compared where they are and at the offsets whose chains they keep (multiples of 256); AGREEMENT shows the newest \
offset at which a node's chain is that of the others, or between which two offsets it went astray. LAG counts the records that a node had not \
applied of those in ALL when the command began. HEARD is the age of the heartbeat; without one for 5 s a node counts as gone.

A busy or incomplete cluster is listened to for up to 2.5 s. Exit code 3: nodes differ, observers included; else 1: a voter is not live (gone, \
stopped, retrying, starting), or no node was ever heard of.";

/// What `status` is asked with.
#[derive(Debug, Clone, clap::Args)]
pub struct Status {
    /// Look anew every second until Ctrl-C; the exit code is that of the last look
    #[arg(long)]
    pub watch: bool,
}

impl Status {
    /// Reads NODES and the end of ALL, and shows what they say.
    pub async fn run(
        &self,
        log: &Log,
        clock: &Clock,
        output: &mut Output<'_>,
        stop: &CancellationToken,
    ) -> Result<(), AdminError> {
        let database = log.names().database.as_str();
        // The end before the heartbeats: lag says what a node had not applied of what was there.
        let mut all = log.range(Topic::All, 0).await?;
        let mut nodes = Nodes::read(log, clock).await?;
        // Heartbeats of different moments show a busy cluster at different offsets, so a newer one is waited for.
        nodes.listen_until(|nodes| Picture::of(nodes, all, database).is_settled()).await?;
        loop {
            let picture = Picture::of(&nodes, all, database);
            let verdict = verdict::of(&picture);
            if self.watch {
                output.clear()?;
            }
            match output.is_json() {
                true if self.watch => output.json_line(&picture.json(&verdict))?,
                true => output.json(&picture.json(&verdict))?,
                false => picture.show(&verdict, output)?,
            }
            nodes.note(output)?;
            all = log.range(Topic::All, 0).await?;
            if !self.watch || follow(&mut nodes, stop).await? {
                return verdict.result();
            }
        }
    }
}

/// Takes heartbeats for a second; true: told to stop.
async fn follow(nodes: &mut Nodes, stop: &CancellationToken) -> Result<bool, AdminError> {
    let next_look = Instant::now() + EVERY;
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(true),
            () = sleep_until(next_look) => return Ok(false),
            heard = nodes.next() => heard?,
        }
    }
}

#[cfg(test)]
mod tests;
