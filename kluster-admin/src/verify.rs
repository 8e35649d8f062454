//! verify: has every node sum its schema and tables at one offset, and shows what differs, down to the rows.
//!
//! In the order of the data: a check's record goes to ALL → `reports` of the nodes come from NODES → `picture` draws them → exit code.
//!
//! Nodes narrow by themselves what differs, each from the others' reports, and put the rows into their own: this tool asks nobody but the log.

mod picture;
mod reports;
#[cfg(test)]
mod tests;

use crate::error::AdminError;
use crate::nodes::Nodes;
use crate::output::Output;
use kluster_log::Log;
use kluster_node::{check, membership, report::Clock};
use kluster_protocol::{MessageId, NodeId, Offset, Topic};
use picture::Picture;
use reports::Reports;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

/// What differs is narrowed within this time after the last news, or is shown as far as it is known.
const NARROWED: Duration = Duration::from_secs(15);

/// The manual of the command.
pub const MANUAL: &str = "\
Compare schema and tables of all nodes at one offset.

A record in ALL asks every node to sum its schema and each of its tables as of that very record: from a snapshot, while it goes on applying. A \
change of the schema that comes meanwhile goes first; the check is superseded and repeated by itself, behind it. A newer check supersedes one \
that is not done: it is then named, and --last shows what it found. Tables that differ are narrowed to the rows, which \
are shown side by side, one line for each node. Values of rows travel on NODES for this, cut to 200 characters, and stay there until the next \
check.

A node whose tables are not those of a strict majority of the voters stops as diverged. Nodes make such a check by themselves as well (their \
setting --check-offsets and --check-seconds); --last shows what the newest check found, whoever asked for it.

Exit codes: 0 all voters hold the same; 3 tables differ; 6 a voter has not done the check (gone, not in \
time, or superseded); else those of kluster-admin.";

/// What `verify` is asked with.
#[derive(Debug, Clone, clap::Args)]
pub struct Verify {
    /// Show at most so many rows of each table that differs
    #[arg(long, value_name = "COUNT", default_value_t = 20)]
    pub rows: usize,
    /// Wait at most so long for the nodes, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    pub timeout: u64,
    /// Ask for no check: show what the newest one found
    #[arg(long)]
    pub last: bool,
}

impl Verify {
    /// Asks for a check, waits for it and shows what it found.
    pub async fn run(
        &self,
        log: &Log,
        clock: &Clock,
        output: &mut Output<'_>,
        stop: &CancellationToken,
    ) -> Result<(), AdminError> {
        let mut nodes = Nodes::read(log, clock).await?;
        nodes.listen().await?;
        let voters = nodes.membership().voters;
        if voters.is_empty() {
            return Err(AdminError::Finding("no node is a voter yet: there is nothing to compare".to_owned()));
        }
        let mut reports = Reports::read(log).await?;
        if self.last {
            reports.follow_newest();
        } else {
            let id = MessageId::fresh().to_string();
            let record = membership::control(&check::ask(id.clone(), None, 0));
            let offset = log.append(Topic::All, None, record).await?.offset;
            reports.follow(id, offset);
            let live: Vec<NodeId> = voters.iter().filter(|voter| nodes.is_live(voter)).cloned().collect();
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                waited = self.wait(&mut reports, &live, offset, output) => waited?,
            }
        }
        let picture = Picture::of(&reports, &voters, self.rows);
        match output.is_json() {
            true => output.json(&picture.json())?,
            false => picture.show(output)?,
        }
        picture.result()
    }

    /// Until those have done the check, and what differs is narrowed; or until it has taken too long.
    async fn wait(
        &self,
        reports: &mut Reports,
        live: &[NodeId],
        offset: Offset,
        output: &mut Output<'_>,
    ) -> Result<(), AdminError> {
        let end = Instant::now() + Duration::from_secs(self.timeout);
        let mut narrowed = None;
        let mut said = String::new();
        loop {
            if reports.are_done(live) {
                if reports.are_settled(live) {
                    return Ok(());
                }
                narrowed = narrowed.or(Some(Instant::now() + NARROWED));
            }
            if reports.is_given_up(live) || reports.superseded_by().is_some() {
                return Ok(());
            }
            if output.progress {
                let line = reports.progress(live, offset);
                if line != said {
                    output.note(&line)?;
                    said = line;
                }
            }
            match timeout_at(end.min(narrowed.unwrap_or(end)), reports.next()).await {
                Ok(news) => {
                    // Each node has some steps to make.
                    if news? {
                        narrowed = None;
                    }
                }
                Err(_) => return Ok(()),
            }
        }
    }
}
