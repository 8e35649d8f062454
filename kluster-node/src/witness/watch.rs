//! Watch: follows NODES from its start, and stops this node when its chain is not the one that a majority of the voters can have.
//!
//! Neighbours: `node::lanes` reads the past before anything is served, then lets it run; the rule is the [`Witness`]'s.
//!
//! It judges after each heartbeat, this node's own included, which come every second: while the log gives nothing, nothing is judged, for then
//! silence says nothing of anybody.

use super::finding::{Finding, Verdict, still};
use super::{GONE_AFTER, Witness};
use crate::all_lane::Stopped;
use crate::clerk::Hearing;
use crate::fault::{Cause, Fault};
use crate::report::Reporter;
use crate::status::Status;
use kluster_log::{Log, LogError, Reader, Record};
use kluster_protocol::{ErrorClass, Heartbeat, NodeId, Offset, Topic};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// Records taken at once.
const BATCH: usize = 1000;
/// The end of NODES may be a marker that no record reaches: after so long without a record its past counts as read.
const QUIET: Duration = Duration::from_secs(2);
/// A node that cannot read the past of NODES for so long serves all the same, and compares as soon as it can.
const PAST: Duration = GONE_AFTER;
/// Before NODES is read anew after an error.
const PAUSE: Duration = Duration::from_secs(5);

/// Compares this node with the others.
pub struct Watch {
    node: NodeId,
    witness: Witness,
    log: Log,
    status: Status,
    reporter: Reporter,
    /// Behind what was read before the node began to serve.
    reader: Option<Reader>,
    /// Who else wants to hear.
    hearing: Hearing,
    /// What was said last on ERRORS: whether it is open, and who differs.
    said: Option<(bool, BTreeSet<NodeId>)>,
}

impl Watch {
    /// A watch for `node`, whose chains are in `status`.
    pub fn new(node: NodeId, topic_id: String, log: Log, status: Status, reporter: Reporter, hearing: Hearing) -> Self {
        let witness = Witness::new(node.clone(), topic_id, Instant::now());
        Self { node, witness, log, status, reporter, reader: None, hearing, said: None }
    }

    /// Reads what NODES holds, and compares: before the node serves or says anything itself. Some: it must not.
    pub async fn begin(&mut self) -> Option<Stopped> {
        let began = Instant::now();
        match timeout(PAST, self.past()).await {
            Ok(Ok((reader, newest))) => {
                tracing::debug!(node = %self.node, nodes = newest.len(), took = ?began.elapsed(), "NODES is read");
                self.reader = Some(reader);
                newest.iter().for_each(|record| self.hear(record, true));
            }
            Ok(Err(error)) => {
                tracing::warn!(node = %self.node, %error, "NODES cannot be read yet: serving without having compared")
            }
            Err(_) => tracing::warn!(node = %self.node, "NODES does not answer yet: serving without having compared"),
        }
        if let Some((at, chain)) = self.witness.marked(&self.status) {
            return Some(self.stop(at, still(at, chain)).await);
        }
        match self.judge().await {
            Some(finding) => Some(self.stop(finding.at, finding.stops()).await),
            None => None,
        }
    }

    /// Follows NODES until this node must stop; reads anew after trouble.
    pub async fn run(mut self) -> Stopped {
        loop {
            match self.follow().await {
                Ok(finding) => return self.stop(finding.at, finding.stops()).await,
                Err(error) => {
                    tracing::warn!(node = %self.node, %error, "NODES cannot be read: this node cannot tell whether it differs");
                    sleep(PAUSE).await;
                }
            }
        }
    }

    async fn follow(&mut self) -> Result<Finding, LogError> {
        let mut reader = match self.reader.take() {
            Some(reader) => reader,
            None => {
                let (reader, newest) = self.past().await?;
                newest.iter().for_each(|record| self.hear(record, false));
                reader
            }
        };
        loop {
            if let Some(finding) = self.judge().await {
                return Ok(finding);
            }
            for record in reader.next_batch(BATCH).await? {
                self.hear(&record, false);
            }
        }
    }

    /// The newest record of each node, and a reader behind them. Older ones say nothing any more: a database may have been emptied since.
    async fn past(&self) -> Result<(Reader, Vec<Record>), LogError> {
        let (mut from, mut ends) = (Vec::new(), BTreeMap::new());
        for partition in 0..self.log.partitions(Topic::Nodes).await? {
            let range = self.log.range(Topic::Nodes, partition).await?;
            from.push((partition, range.start));
            if range.start < range.end {
                ends.insert(partition, range.end);
            }
        }
        let mut reader = self.log.read_many(Topic::Nodes, from).await?;
        let mut newest = BTreeMap::new();
        while !ends.is_empty() {
            let records = match (timeout(QUIET, reader.next_batch(BATCH)).await, reader.trouble()) {
                (Ok(records), _) => records?,
                (Err(_), None) => break,
                (Err(_), Some(trouble)) => {
                    let doing = format!("reading {}", Topic::Nodes);
                    return Err(LogError::Unreachable { doing, reason: trouble.reason });
                }
            };
            for record in records {
                ends.retain(|partition, end| *partition != record.partition || record.offset.next() < *end);
                newest.insert(record.key.clone(), record);
            }
        }
        Ok((reader, newest.into_values().collect()))
    }

    /// `before`: before this run of the node said anything.
    fn hear(&mut self, record: &Record, before: bool) {
        let Some(value) = &record.value else {
            let name = record.key.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
            let name = NodeId::new(name);
            self.hearing.forget(&name);
            return self.witness.forget(&name);
        };
        let heartbeat = serde_json::from_slice::<Heartbeat>(value);
        if let Ok(heartbeat) = &heartbeat {
            self.hearing.hear(heartbeat, Instant::now());
        }
        match heartbeat {
            Ok(heartbeat) if before && heartbeat.node_id == self.node => self.witness.remember_own(&heartbeat),
            Ok(heartbeat) => self.witness.hear(heartbeat, Instant::now()),
            Err(error) => tracing::debug!(offset = %record.offset, %error, "a record of NODES is no heartbeat"),
        }
    }

    /// Some: this node must stop. What else there is to say is said once.
    async fn judge(&mut self) -> Option<Finding> {
        let (open, finding) = match self.witness.judge(&self.status, Instant::now()) {
            Verdict::Agrees => {
                self.said = None;
                return None;
            }
            Verdict::Stop(finding) => return Some(finding),
            Verdict::Open(finding) => (true, finding),
            Verdict::Outvoted(finding) => (false, finding),
        };
        let saying = Some((open, finding.differing.iter().map(|differing| differing.node.clone()).collect()));
        if self.said != saying {
            self.said = saying;
            self.reporter.say(ErrorClass::Alarm, Some((finding.at, String::new())), &finding.goes_on(), None).await;
        }
        None
    }

    async fn stop(&self, at: Offset, cause: Cause) -> Stopped {
        self.reporter.say(ErrorClass::Fatal, Some((at, String::new())), &cause, None).await;
        Stopped { offset: self.status.now().applied.map_or(Offset::ZERO, Offset::next), fault: Fault::Fatal(cause) }
    }
}
