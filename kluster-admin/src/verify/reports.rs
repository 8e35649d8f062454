//! Reports: what each node says of one check, from NODES.
//!
//! Neighbours: [`super::Verify`] waits for them, `picture` draws them.

use crate::source::{Source, Start};
use kluster_log::{Log, LogError, Record};
use kluster_protocol::check::{CheckReport, Progress, settled};
use kluster_protocol::{Kind, NodeId, Offset, Topic, header};
use std::collections::BTreeMap;

/// The newest report of each node.
pub(super) struct Reports {
    source: Source,
    heard: BTreeMap<NodeId, CheckReport>,
    /// Which check counts: the newest of this name.
    id: String,
}

impl Reports {
    /// Reads NODES from its start to its end.
    pub(super) async fn read(log: &Log) -> Result<Self, LogError> {
        let source = Source::open(log, Topic::Nodes, Start::Beginning).await?;
        let mut reports = Self { source, heard: BTreeMap::new(), id: String::new() };
        while let Some(record) = reports.source.past().await? {
            reports.hear(&record);
        }
        Ok(reports)
    }

    /// The check of this name counts.
    pub(super) fn follow(&mut self, id: String) {
        self.id = id;
    }

    /// The newest check counts.
    pub(super) fn follow_newest(&mut self) {
        let newest = self.heard.values().max_by_key(|report| report.check.number);
        self.id = newest.map(|report| report.check.id.clone()).unwrap_or_default();
    }

    /// Awaits the next record of NODES; true: it was a report. Cancel-safe.
    pub(super) async fn next(&mut self) -> Result<bool, LogError> {
        let record = self.source.next().await?;
        Ok(self.hear(&record))
    }

    fn hear(&mut self, record: &Record) -> bool {
        if record.header(header::KIND) != Some(Kind::CHECK.as_bytes()) {
            return false;
        }
        let Some(Ok(report)) = record.value.as_deref().map(serde_json::from_slice::<CheckReport>) else { return false };
        self.heard.insert(report.node_id.clone(), report);
        true
    }

    /// The reports on the check that counts, as it was repeated last.
    pub(super) fn newest(&self) -> Vec<&CheckReport> {
        let of_it = || self.heard.values().filter(|report| report.check.id == self.id);
        let number = of_it().map(|report| report.check.number).max();
        of_it().filter(|report| Some(report.check.number) == number).collect()
    }

    /// What this node says.
    pub(super) fn of(&self, node: &NodeId) -> Option<&CheckReport> {
        self.newest().into_iter().find(|report| report.node_id == *node)
    }

    /// The sums of all of these are known.
    pub(super) fn are_done(&self, nodes: &[NodeId]) -> bool {
        nodes.iter().all(|node| self.of(node).is_some_and(CheckReport::is_done))
    }

    /// One of these has given the check up: it will not be done any more.
    pub(super) fn is_given_up(&self, nodes: &[NodeId]) -> bool {
        nodes.iter().any(|node| self.of(node).is_some_and(CheckReport::is_given_up))
    }

    /// And what differs is narrowed as far as it can be; who differs from the majority has said that it stops.
    pub(super) fn are_settled(&self, nodes: &[NodeId]) -> bool {
        let reports: Vec<&CheckReport> =
            self.newest().into_iter().filter(|report| nodes.contains(&report.node_id)).collect();
        settled(&reports)
    }

    /// How far everyone is, on one line.
    pub(super) fn progress(&self, nodes: &[NodeId], offset: Offset) -> String {
        let each = nodes.iter().map(|node| {
            let said = match self.of(node).map(|report| &report.progress) {
                None => "not there yet".to_owned(),
                Some(Progress::Running { of: 0, .. }) => "begins".to_owned(),
                Some(Progress::Running { done, of }) => format!("{done} of {of} tables"),
                Some(Progress::Done) => "done".to_owned(),
                Some(Progress::Superseded) => "repeated behind a change of the schema".to_owned(),
                Some(Progress::Failed { reason }) => format!("failed: {reason}"),
            };
            format!("{node} {said}")
        });
        format!("check at offset {offset}: {}", each.collect::<Vec<_>>().join(", "))
    }
}
