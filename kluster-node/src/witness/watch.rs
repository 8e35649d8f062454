//! Watch: follows NODES from its start, and stops this node when its chain is not the one that a majority of the voters can have.
//!
//! Neighbours: `node::lanes` reads the past before anything is served, then lets it run; the rule is the [`Witness`]'s.
//!
//! It judges after each heartbeat, this node's own included, which come every second: while the log gives nothing, nothing is judged, for then
//! silence says nothing of anybody.

use super::entry::{Entry, is_fingerprint};
use super::finding::{Finding, Verdict, still};
use super::mark::Marked;
use super::{GONE_AFTER, Witness};
use crate::all_lane::Stopped;
use crate::check::{Checks, Difference, is_report};
use crate::clerk::Hearing;
use crate::effects::Run;
use crate::fault::{Cause, Fault};
use crate::former;
use crate::report::Reporter;
use crate::state::{Diverged, State};
use crate::status::Status;
use kluster_log::{Log, LogError, NewRecord, Reader, Record};
use kluster_protocol::{EffectsDetail, ErrorClass, Heartbeat, Kind, NodeId, Offset, Topic, header};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout, timeout_at};

/// Records taken at once.
const BATCH: usize = 1000;
/// The end of NODES may be a marker that no record reaches: after so long without a record its past counts as read.
const QUIET: Duration = Duration::from_secs(2);
/// A node that cannot read the past of NODES for so long serves all the same, and compares as soon as it can.
const PAST: Duration = GONE_AFTER;
/// So long a node that must stop for its effects waits for another node's detail, which names the first offset: as long as a heartbeat. A node that is there
/// replies at once.
const NAMED_WITHIN: Duration = Duration::from_secs(1);
/// Before NODES is read anew after an error.
const PAUSE: Duration = Duration::from_secs(5);

/// Why this node must stop.
enum Found {
    /// Its chain is another.
    Chain(Finding),
    /// A check found other tables.
    Tables(Difference),
    /// Its surroundings are not those of the other members.
    Unlike(Cause),
}

/// This node must stop.
#[derive(Debug)]
pub struct Differs {
    /// Where, and why.
    pub stopped: Stopped,
    /// What the state row has to say of it; none: it says so already, or a check's report does.
    pub diverged: Option<Diverged>,
}

/// Who hears of what a watch finds.
pub struct Hears {
    /// People, by ERRORS.
    pub reporter: Reporter,
    /// Who decides on stuck offsets.
    pub hearing: Hearing,
    /// Who compares tables.
    pub checks: Checks,
    /// Who compares surroundings.
    pub entry: Entry,
}

/// Compares this node with the others.
pub struct Watch {
    node: NodeId,
    witness: Witness,
    log: Log,
    pub(super) status: Status,
    reporter: Reporter,
    checks: Checks,
    entry: Entry,
    /// Behind what was read before the node began to serve.
    reader: Option<Reader>,
    /// Who else wants to hear.
    hearing: Hearing,
    /// What was said last on ERRORS: whether it is open, and who differs.
    said: Option<(bool, Option<Offset>, BTreeSet<NodeId>)>,
    /// Until when a stop waits for the name of the first offset.
    names_until: Option<Instant>,
}

impl Watch {
    /// A watch for this run of a node, whose chains are in `status`.
    pub fn new(run: Run, topic_id: String, log: Log, status: Status, hears: Hears) -> Self {
        let node = run.node.clone();
        let witness = Witness::new(run, topic_id, Instant::now());
        let Hears { reporter, hearing, checks, entry } = hears;
        let (reader, said, names_until) = (None, None, None);
        Self { node, witness, log, status, reporter, checks, entry, reader, hearing, said, names_until }
    }

    /// The node's database holds this state.
    pub fn holds(&mut self, state: &State) {
        self.entry.knows(&state.membership);
        self.witness.remember_state(state);
    }

    /// Reads what NODES holds, and compares: before the node serves or says anything itself. Some: it must not.
    pub async fn begin(&mut self) -> Option<Differs> {
        let began = Instant::now();
        let mut unlike = None;
        match timeout(PAST, self.past()).await {
            Ok(Ok((reader, newest, end))) => {
                self.know_former(&newest, end, true);
                tracing::debug!(node = %self.node, nodes = newest.len(), took = ?began.elapsed(), "NODES is read");
                self.reader = Some(reader);
                newest.iter().for_each(|record| self.hear(record, true));
                unlike = self.enter().await;
            }
            Ok(Err(error)) => {
                tracing::warn!(node = %self.node, %error, "NODES cannot be read yet: serving without having compared")
            }
            Err(_) => tracing::warn!(node = %self.node, "NODES does not answer yet: serving without having compared"),
        }
        if let Some(cause) = unlike {
            return Some(self.stop_for(Found::Unlike(cause)).await);
        }
        if let Some(marked) = self.witness.marked(&self.status) {
            return Some(self.stays_stopped(marked).await);
        }
        if let Some(found) = self.checks.marked(&self.status) {
            let stopped = self.stop(found.at, found.cause).await;
            return Some(Differs { stopped, diverged: None });
        }
        self.checks.forget_former(&self.log, &self.status).await;
        match self.judge(false).await {
            Some(found) => Some(self.stop_for(found).await),
            None => None,
        }
    }

    async fn stays_stopped(&self, marked: Marked) -> Differs {
        let named = marked.diverged.as_ref().map(|diverged| diverged.offset);
        if let Some(Diverged { offset, effects: Some(_) }) = &marked.diverged {
            self.status.effects().differ_at(*offset);
        }
        let stopped = self.stop(named.unwrap_or(marked.at), still(&marked)).await;
        Differs { stopped, diverged: marked.diverged }
    }

    /// Follows NODES, reads anew after trouble, and says by `stops` when this node must stop. From then on it only hears: what differs is still
    /// narrowed to its rows.
    pub async fn run(mut self, stops: oneshot::Sender<Differs>) {
        let mut stops = Some(stops);
        loop {
            match self.follow(stops.is_some()).await {
                Ok(found) => {
                    let differs = self.stop_for(found).await;
                    if let Some(stops) = stops.take() {
                        // Nobody waits only where the node ends already.
                        let _ = stops.send(differs);
                    }
                }
                Err(error) => {
                    tracing::warn!(node = %self.node, %error, "NODES cannot be read: this node cannot tell whether it differs");
                    sleep(PAUSE).await;
                }
            }
        }
    }

    async fn follow(&mut self, judges: bool) -> Result<Found, LogError> {
        let mut reader = match self.reader.take() {
            Some(reader) => reader,
            None => {
                let (reader, newest, end) = self.past().await?;
                self.know_former(&newest, end, false);
                newest.iter().for_each(|record| self.hear(record, false));
                if judges && let Some(cause) = self.enter().await {
                    self.reader = Some(reader);
                    return Ok(Found::Unlike(cause));
                }
                reader
            }
        };
        loop {
            if judges && let Some(found) = self.judge(true).await {
                self.reader = Some(reader);
                return Ok(found);
            }
            self.publish_detail().await;
            let records = match self.names_until.filter(|_| judges) {
                None => reader.next_batch(BATCH).await?,
                Some(until) => timeout_at(until, reader.next_batch(BATCH)).await.unwrap_or(Ok(Vec::new()))?,
            };
            for record in records {
                self.hear(&record, false);
            }
        }
    }

    /// Publishes this node's effects of each offset where somebody's differ.
    async fn publish_detail(&mut self) {
        let Some(detail) = self.witness.detail(&self.status) else { return };
        let value = serde_json::to_vec(&detail).expect("a detail can be written as JSON");
        let record = NewRecord::of(value).keyed(EffectsDetail::key(&self.node)).header(header::KIND, Kind::EFFECTS);
        match timeout(NAMED_WITHIN, self.log.append(Topic::Nodes, None, record)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => {
                tracing::warn!(node = %self.node, %error, "the effects of each offset were not taken by the log")
            }
            Err(_) => tracing::warn!(node = %self.node, "the effects of each offset have not reached NODES yet"),
        }
    }

    /// Judges the node's surroundings, unless it was admitted in this run. Some: it must not serve.
    async fn enter(&mut self) -> Option<Cause> {
        if self.entry.is_admitted() {
            return None;
        }
        let refused = self.entry.judge();
        if refused.is_none()
            && let Err(error) = self.entry.say_admitted(&self.log).await
        {
            tracing::warn!(node = %self.node, %error, "with which surroundings this node was admitted was not taken by the log");
        }
        refused
    }

    /// Learns what this node may have applied in a database that it no longer has. `silent`: it has said nothing yet in this run; else its heartbeat of
    /// before may be gone.
    fn know_former(&self, newest: &[Record], end: Offset, silent: bool) {
        let now = self.status.now();
        if now.former_known {
            return;
        }
        let beats = newest.iter().filter(|record| record.header(header::KIND).is_none());
        let mut own = beats.filter_map(|record| serde_json::from_slice::<Heartbeat>(record.value.as_deref()?).ok());
        let said = own.find(|beat| beat.node_id == self.node && self.witness.follows_same(beat));
        let newest = match silent {
            true => former::may_have_applied(said.as_ref(), now.applied, end),
            false => former::anything(now.applied, end),
        };
        self.status.may_have_applied(newest);
    }

    /// The newest record of each node, a reader behind them, and where ALL ended after that. Older ones say nothing any more: a database may have been
    /// emptied since.
    async fn past(&self) -> Result<(Reader, Vec<Record>, Offset), LogError> {
        if !self.entry.is_admitted() {
            self.entry.present(&self.log).await?;
        }
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
        let newest: Vec<Record> = newest.into_values().collect();
        match self.entry.is_admitted() || self.entry.is_presented_in(&newest) {
            true => Ok((reader, newest, self.log.range(Topic::All, 0).await?.end)),
            false => {
                let (doing, reason) = (format!("reading {}", Topic::Nodes), "this node's own record did not come back");
                Err(LogError::Unreachable { doing, reason: reason.to_owned() })
            }
        }
    }

    /// `before`: before this run of the node said anything.
    fn hear(&mut self, record: &Record, before: bool) {
        if is_report(record) {
            return self.checks.hear(record, before);
        }
        if is_fingerprint(record) {
            return self.entry.hear(record);
        }
        if record.header(header::KIND) == Some(Kind::EFFECTS.as_bytes()) {
            return self.hear_detail(record);
        }
        let Some(value) = &record.value else {
            let name = record.key.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
            let name = NodeId::new(name);
            self.hearing.forget(&name);
            return self.witness.forget(&name);
        };
        let heartbeat = serde_json::from_slice::<Heartbeat>(value);
        if let Ok(heartbeat) = &heartbeat {
            self.hearing.hear(heartbeat, Instant::now());
            self.entry.hear_beat(heartbeat, record.timestamp_ms);
        }
        match heartbeat {
            Ok(heartbeat) if before && heartbeat.node_id == self.node => self.witness.remember_own(&heartbeat),
            Ok(heartbeat) => self.witness.hear(heartbeat, Instant::now()),
            Err(error) => tracing::debug!(offset = %record.offset, %error, "a record of NODES is no heartbeat"),
        }
    }

    fn hear_detail(&mut self, record: &Record) {
        let Some(value) = &record.value else { return };
        match serde_json::from_slice::<EffectsDetail>(value) {
            Ok(detail) => self.witness.hear_detail(detail),
            Err(error) => {
                tracing::debug!(offset = %record.offset, %error, "the effects of each offset of a node cannot be read")
            }
        }
    }

    /// Some: this node must stop. What else there is to say is said once. `follows`: what others reply comes.
    async fn judge(&mut self, follows: bool) -> Option<Found> {
        if let Some(found) = self.judge_chains(follows).await {
            return Some(Found::Chain(found));
        }
        if self.names_until.is_some() {
            // It stops in a moment, and says more then.
            return None;
        }
        let difference = self.checks.judge(&self.witness, &self.status, Instant::now())?;
        if difference.stops {
            return Some(Found::Tables(difference));
        }
        self.reporter.say(ErrorClass::Alarm, Some((difference.at, String::new())), &difference.cause, None).await;
        None
    }

    async fn judge_chains(&mut self, follows: bool) -> Option<Finding> {
        let now = Instant::now();
        let (open, finding) = match self.witness.judge(&self.status, now) {
            Verdict::Agrees => {
                (self.said, self.names_until) = (None, None);
                return None;
            }
            Verdict::Stop(finding) => {
                let until = *self.names_until.get_or_insert(now + NAMED_WITHIN);
                let waits = follows && now < until && self.witness.awaits_detail(&finding, &self.status);
                return (!waits).then_some(finding);
            }
            Verdict::Open(finding) => (true, finding),
            Verdict::Outvoted(finding) => (false, finding),
        };
        self.names_until = None;
        let differing = finding.differing.iter().map(|differing| differing.node.clone()).collect();
        let saying = Some((open, finding.first, differing));
        if self.said != saying {
            self.said = saying;
            let at = (finding.named(), String::new());
            self.reporter.say(ErrorClass::Alarm, Some(at), &finding.goes_on(), None).await;
        }
        None
    }

    async fn stop_for(&self, found: Found) -> Differs {
        match found {
            Found::Chain(finding) => {
                let offset = finding.named();
                let by_effects = finding.is_of_effects() || finding.first.is_some();
                if by_effects {
                    self.status.effects().differ_at(offset);
                }
                let stopped = self.stop(offset, finding.stops()).await;
                let effects = self.status.effects().counted().filter(|_| by_effects);
                Differs { stopped, diverged: Some(Diverged { offset, effects }) }
            }
            Found::Tables(difference) => {
                if let Ok(Err(error)) = timeout(QUIET, self.checks.say_stopped(&self.log)).await {
                    tracing::warn!(node = %self.node, %error, "that this node has stopped for its tables was not taken by the log");
                }
                let stopped = self.stop(difference.at, difference.cause).await;
                Differs { stopped, diverged: None }
            }
            Found::Unlike(cause) => {
                let at = self.status.now().applied.map_or(Offset::ZERO, Offset::next);
                Differs { stopped: self.stop(at, cause).await, diverged: None }
            }
        }
    }

    async fn stop(&self, at: Offset, cause: Cause) -> Stopped {
        self.reporter.say(ErrorClass::Fatal, Some((at, String::new())), &cause, None).await;
        Stopped { offset: self.status.now().applied.map_or(Offset::ZERO, Offset::next), fault: Fault::Fatal(cause) }
    }
}
