//! Reports: what each node says of one check, from NODES.
//!
//! Neighbours: [`super::Verify`] waits for them, `picture` draws them.

use crate::source::{Source, Start};
use kluster_log::{Log, LogError, Record};
use kluster_protocol::check::{CheckReport, Progress, settled};
use kluster_protocol::{CheckMark, Kind, NodeId, Offset, Topic, header};
use std::collections::BTreeMap;

/// The newest report of each node.
pub(super) struct Reports {
    source: Source,
    /// Of whichever check.
    heard: BTreeMap<NodeId, CheckReport>,
    /// Of the check that counts.
    counted: BTreeMap<NodeId, CheckReport>,
    /// Which check counts: the newest of this name.
    id: String,
    /// Where it was asked for, or asked for again.
    at: Offset,
}

impl Reports {
    /// Reads NODES from its start to its end.
    pub(super) async fn read(log: &Log) -> Result<Self, LogError> {
        let source = Source::open(log, Topic::Nodes, Start::Beginning).await?;
        let mut reports =
            Self { source, heard: BTreeMap::new(), counted: BTreeMap::new(), id: String::new(), at: Offset::new(0) };
        while let Some(record) = reports.source.past().await? {
            reports.hear(&record);
        }
        Ok(reports)
    }

    /// The check of this name, asked for at this offset, counts.
    pub(super) fn follow(&mut self, id: String, at: Offset) {
        (self.id, self.at) = (id, at);
        self.counted = self
            .heard
            .iter()
            .filter(|(_, report)| report.check.id == self.id)
            .map(|(node, report)| (node.clone(), report.clone()))
            .collect();
    }

    /// The newest check counts.
    pub(super) fn follow_newest(&mut self) {
        let newest = self.heard.values().map(|report| &report.check).max_by_key(|check| check.number);
        if let Some(CheckMark { id, offset, .. }) = newest.cloned() {
            self.follow(id, offset);
        }
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
        if report.check.id == self.id {
            self.at = self.at.max(report.check.offset);
            self.counted.insert(report.node_id.clone(), report.clone());
        }
        self.heard.insert(report.node_id.clone(), report);
        true
    }

    /// The check that has taken the place of the one that counts: the nodes do one at a time, and the newest.
    pub(super) fn superseded_by(&self) -> Option<&CheckMark> {
        let checks = self.heard.values().map(|report| &report.check);
        checks.filter(|check| check.id != self.id && check.offset > self.at).max_by_key(|check| check.number)
    }

    /// The reports on the check that counts, as it was repeated last.
    pub(super) fn newest(&self) -> Vec<&CheckReport> {
        let number = self.counted.values().map(|report| report.check.number).max();
        self.counted.values().filter(|report| Some(report.check.number) == number).collect()
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
        let compared = |report: &&CheckReport| reports[0].compares_with(report);
        reports.is_empty() || settled(&reports.iter().copied().filter(compared).collect::<Vec<_>>())
    }

    /// How far everyone is, on one line.
    pub(super) fn progress(&self, nodes: &[NodeId], offset: Offset) -> String {
        let each = nodes.iter().map(|node| {
            let said = match self.of(node).map(|report| &report.progress) {
                None => "not there yet".to_owned(),
                Some(Progress::Running { of: 0, .. }) => "begins".to_owned(),
                Some(Progress::Running { done, of }) => format!("{done} of {of} tables"),
                Some(Progress::Done) => "done".to_owned(),
                Some(Progress::Superseded) => "superseded by a change of the schema, repeated behind it".to_owned(),
                Some(Progress::Failed { reason }) => format!("failed: {reason}"),
            };
            format!("{node} {said}")
        });
        format!("check at offset {offset}: {}", each.collect::<Vec<_>>().join(", "))
    }
}
