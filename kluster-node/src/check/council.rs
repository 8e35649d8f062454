//! Council: what each node says of the newest check, and whether this node may go on beside them. No I/O.
//!
//! Neighbours: [`super::Checks`] holds it; whose voice counts and who is gone is the [`Witness`]'s to say.
//!
//! The rule is the witness's: of the voters, those with other sums differ, those with this node's sums share them, and those whose sums are not known
//! are gone or awaited. The node stops when those that share its sums or are awaited are no strict majority any more.

use super::Difference;
use crate::fault::Cause;
use crate::status::Status;
use crate::witness::Witness;
use kluster_protocol::check::{Step, differing, next_step, settled};
use kluster_protocol::{CheckMark, CheckReport, DIVERGED, NodeId, Progress};
use std::collections::{BTreeMap, BTreeSet};
use tokio::time::Instant;

/// Tables are named on ERRORS up to this many.
const NAMED: usize = 10;

/// The newest report of each node.
#[derive(Debug)]
pub struct Council {
    node: NodeId,
    topic_id: String,
    dbms: String,
    own: Option<CheckReport>,
    others: BTreeMap<NodeId, CheckReport>,
    /// What was judged last to differ: the check's number, who, and which tables.
    said: Option<(u64, BTreeSet<NodeId>, BTreeSet<String>)>,
}

/// A verdict, and whether it says something new.
#[derive(Debug)]
pub struct Judged {
    pub(super) difference: Difference,
    pub(super) is_new: bool,
}

impl Council {
    /// Nobody has said anything.
    pub fn new(node: NodeId, topic_id: String, dbms: String) -> Self {
        Self { node, topic_id, dbms, own: None, others: BTreeMap::new(), said: None }
    }

    /// A report came. Reports of nodes that follow another topic ALL are of another log.
    pub fn hear(&mut self, report: CheckReport, before: bool) {
        let theirs = report.topic_id.as_deref().unwrap_or_default();
        if theirs != self.topic_id && !theirs.is_empty() && !self.topic_id.is_empty() {
            return;
        }
        if report.node_id != self.node {
            self.others.insert(report.node_id.clone(), report);
        } else if before {
            self.own = Some(report);
        }
    }

    /// The number of the newest check that another node has said something of.
    pub fn newest(&self) -> u64 {
        self.others.values().map(|report| report.check.number).max().unwrap_or_default()
    }

    /// This node's own report.
    pub fn own(&self) -> Option<&CheckReport> {
        self.own.as_ref()
    }

    /// This node begins a check.
    pub fn begin(&mut self, check: CheckMark) {
        self.own = Some(CheckReport {
            node_id: self.node.clone(),
            topic_id: Some(self.topic_id.clone()).filter(|id| !id.is_empty()),
            dbms: self.dbms.clone(),
            form: 0,
            check,
            progress: Progress::Running { done: 0, of: 0 },
            tables: BTreeMap::new(),
            skipped: BTreeMap::new(),
            narrowed: BTreeMap::new(),
            differs: false,
        });
    }

    /// Changes the report of the check with this number, if that is still this node's own.
    pub fn update(&mut self, number: u64, change: impl FnOnce(&mut CheckReport)) -> Option<CheckReport> {
        let own = self.own.as_mut().filter(|own| own.check.number == number)?;
        change(own);
        Some(own.clone())
    }

    /// The reports that can be compared with this node's own, its own among them.
    fn comparable(&self) -> Vec<&CheckReport> {
        let Some(own) = self.own.as_ref().filter(|own| own.is_done()) else { return Vec::new() };
        let others = self.others.values().filter(|other| own.compares_with(other));
        std::iter::once(own).chain(others).collect()
    }

    /// What this node must say next so that what differs can be narrowed.
    pub fn next_step(&self) -> Option<Step> {
        let reports = self.comparable();
        next_step(reports.first()?, &reports)
    }

    /// Everyone in `voters` has done this check, and all that differs is narrowed: the snapshot is of no use any more.
    pub fn is_over(&self, voters: &[NodeId]) -> bool {
        let reports = self.comparable();
        let done = |voter: &NodeId| reports.iter().any(|report| report.node_id == *voter);
        !reports.is_empty() && voters.iter().all(done) && settled(&reports)
    }

    /// Whether this node may go on.
    pub(super) fn judge(&mut self, witness: &Witness, status: &Status, now: Instant) -> Option<Judged> {
        let reports = self.comparable();
        let own = *reports.first()?;
        let voters = witness.newest(status).voters;
        let (mut sharing, mut open, mut others, mut tables) = (0, 0, BTreeSet::new(), BTreeSet::new());
        for voter in &voters {
            match reports.iter().find(|report| report.node_id == *voter) {
                Some(report) => match differing(&[own, report]) {
                    unlike if unlike.is_empty() => sharing += 1,
                    unlike => {
                        others.insert(voter.clone());
                        tables.extend(unlike.into_iter().map(str::to_owned));
                    }
                },
                None if witness.has_gone(voter, status, now) => {}
                None => open += 1,
            }
        }
        if others.is_empty() {
            self.said = None;
            return None;
        }
        let stops = 2 * (sharing + open) <= voters.len();
        let ending = match stops {
            true if 2 * others.len() > voters.len() => {
                format!("this database is not what the majority of voters holds: this node has stopped. {}", remedy())
            }
            true => format!(
                "no majority of voters can be known to hold what this database holds, so nobody knows who is right: this node has stopped. {}",
                remedy()
            ),
            false if 2 * sharing > voters.len() => {
                "a majority of voters holds what this node holds, so it goes on; who differs stops".to_owned()
            }
            false => "until the other voters have done the check, this node goes on".to_owned(),
        };
        let check = &own.check;
        let names: Vec<&str> = others.iter().map(NodeId::as_str).collect();
        let message = format!(
            "check {} at offset {}: {} differ from {}'s (of {} voters); {ending}; kluster-admin verify --last shows the rows",
            check.id,
            check.offset,
            named(&tables),
            names.join("'s and "),
            voters.len()
        );
        let difference = Difference { at: check.offset, stops, cause: Cause::new(DIVERGED, message) };
        let said = Some((check.number, others, tables));
        let is_new = self.said != said;
        self.said = said;
        Some(Judged { difference, is_new })
    }

    /// This node has stopped for its sums: its report says so from now on.
    pub(super) fn stopped(&mut self) -> Option<CheckReport> {
        let own = self.own.as_mut()?;
        own.differs = true;
        Some(own.clone())
    }

    /// See [`super::Checks::marked`]. A node that is no member any more is not held to what it said as one.
    pub(super) fn marked(&self, status: &Status) -> Option<Difference> {
        let own = self.own.as_ref().filter(|own| own.differs)?;
        let now = status.now();
        if now.applied < Some(own.check.offset) || now.membership.role(&self.node).is_none() {
            return None;
        }
        let message = format!(
            "this node stopped before because check {} at offset {} found its tables unlike the others', and its database is still the one of then: it stays \
             stopped. {}. If it is this database that is right, take the node out by kluster-admin leave before it is started again",
            own.check.id,
            own.check.offset,
            remedy()
        );
        Some(Difference { at: own.check.offset, stops: true, cause: Cause::new(DIVERGED, message) })
    }

    /// See [`super::Checks::forget_former`].
    pub(super) fn forget_former(&mut self, status: &Status) -> Option<NodeId> {
        let own = self.own.as_ref()?;
        let now = status.now();
        let emptied = now.applied < Some(own.check.offset);
        let left = own.differs && now.membership.role(&self.node).is_none();
        (emptied || left).then(|| {
            self.own = None;
            self.node.clone()
        })
    }
}

fn named(tables: &BTreeSet<String>) -> String {
    let names: Vec<&str> = tables.iter().take(NAMED).map(String::as_str).collect();
    match tables.len() - names.len() {
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
    }
}

fn remedy() -> &'static str {
    "Find out whose rows are wrong, empty that database, and start its node: it refills from the log"
}
