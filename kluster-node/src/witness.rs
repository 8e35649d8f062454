//! Witness: what the others say of their chains and effects, and whether this node may go on beside them. No I/O.
//!
//! Neighbours: `watch` follows NODES and asks after each heartbeat; the node's own chains and effects are in `status`; `kluster_protocol::Shared` compares
//! the chains of two nodes, `growth` their effects.

pub mod entry;
mod finding;
mod growth;
pub mod mark;
mod narrow;
#[cfg(test)]
mod tests;
pub mod watch;

pub use finding::{Finding, Verdict};

use crate::effects::Run;
use crate::status::Status;
use finding::{Difference, Differing, Said};
use growth::Growth;
use kluster_protocol::{
    Chains, EffectsDetail, EffectsReport, Heartbeat, Membership, NodeId, NodeState, Offset, RunningEffects, Shared,
};
use mark::Marked;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// A node not heard of for so long counts as gone, as it does for clients and operators: five heartbeats.
pub const GONE_AFTER: Duration = Duration::from_secs(5);

/// As long as this node's own heartbeats did not come back this often, the log may be what is silent.
const GONE_BEATS: u64 = 5;

/// What the other nodes say of their chains.
///
/// The rule: a node whose chain differs from a voter's at a shared offset goes on only while a strict majority of the voters can still share its
/// chain there. When the voters that differ and those that will not be heard any more are half of the voters or more, it stops; while that is
/// open, it waits for their next heartbeats. So of three voters the one that differs stops and two go on; of two that differ both stop, for
/// nobody knows who is right; an observer that differs from a majority stops. Nodes without a vote stop nobody but themselves.
///
/// The same rule holds for effects, between nodes whose DBMS and means are the same: what is compared is how much the running digest grew between two
/// shared offsets. A voter whose effects are not compared with this node's counts as gone there, for it will not say whose effects are right.
///
/// - Of each node the newest heartbeat counts. That a node once agreed is remembered, for a chain that was shared cannot be unshared; that it
///   differed is forgotten when its database no longer goes so far (it was emptied) or agrees further on.
/// - The newest membership that any node says decides who votes; a chain is a fact whatever membership it was said under.
/// - Heartbeats of nodes that follow another topic ALL are not compared.
/// - A node counts as gone when it was not heard of for 5 s while this node's own heartbeats came back, or when it has stopped.
/// - A node that stopped for this and was started again on the same database stays stopped ([`Witness::marked`]): where the others have gone on,
///   there may be no shared offset left by which to tell.
#[derive(Debug)]
pub struct Witness {
    run: Run,
    topic_id: String,
    others: BTreeMap<NodeId, Other>,
    /// The newest membership heard of.
    membership: Membership,
    /// How many heartbeats of this node came back.
    own_beats: u64,
    listening: Heard,
    /// Why this node stopped before it was started again: by its state row, and by its own last heartbeat.
    marks: (Option<Marked>, Option<Marked>),
    /// What other nodes published of each offset.
    details: BTreeMap<NodeId, EffectsDetail>,
    /// From where on this node counts, and of which range it published its effects.
    published: Option<(Option<Offset>, Option<Offset>, Offset)>,
}

/// When something was heard: by time, and in heartbeats of this node.
#[derive(Debug, Clone, Copy)]
struct Heard {
    at: Instant,
    beats: u64,
}

/// Another node.
#[derive(Debug)]
struct Other {
    instance_id: String,
    chains: Chains,
    applied: Option<Offset>,
    stopped: bool,
    heard: Heard,
    by_chain: Compared,
    by_effects: Compared,
    effects: Option<EffectsReport>,
    growth: Growth,
}

/// How another node compares with this one, by chain or by effects.
#[derive(Debug, Clone, Copy, Default)]
struct Compared {
    /// The newest offset at which it had what this node has.
    agreed: Option<Offset>,
    /// The oldest offset at which it had something else.
    differs: Option<Difference>,
}

/// By what nodes are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Chain,
    Effects,
}

impl Witness {
    /// What this run of a node hears from now on, beside others that follow this topic ALL.
    pub fn new(run: Run, topic_id: String, now: Instant) -> Self {
        Self {
            run,
            topic_id,
            others: BTreeMap::new(),
            membership: Membership::default(),
            own_beats: 0,
            listening: Heard { at: now, beats: 0 },
            marks: (None, None),
            details: BTreeMap::new(),
            published: None,
        }
    }

    /// A heartbeat came.
    pub fn hear(&mut self, heartbeat: Heartbeat, now: Instant) {
        if !self.follows_same(&heartbeat) {
            return;
        }
        let heard = Heard { at: now, beats: self.own_beats };
        let chains = heartbeat.chains();
        if heartbeat.membership.version > self.membership.version {
            self.membership = heartbeat.membership;
        }
        if heartbeat.node_id == self.run.node {
            self.own_beats += 1;
            return;
        }
        let still = |before: Compared| Compared {
            differs: before.differs.filter(|difference| heartbeat.applied >= Some(difference.at)),
            ..before
        };
        let (by_chain, by_effects, growth) = match self.others.remove(&heartbeat.node_id) {
            Some(before) => (still(before.by_chain), still(before.by_effects), before.growth),
            None => Default::default(),
        };
        let growth = growth.of(&heartbeat.dbms);
        let stopped = matches!(heartbeat.state, NodeState::Stopped { .. });
        let (applied, effects) = (heartbeat.applied, heartbeat.effects);
        let instance_id = heartbeat.instance_id;
        let other = Other { instance_id, chains, applied, stopped, heard, by_chain, by_effects, effects, growth };
        self.others.insert(heartbeat.node_id, other);
    }

    /// The node's record was taken out of NODES.
    pub fn forget(&mut self, node: &NodeId) {
        self.others.remove(node);
        self.details.remove(node);
    }

    /// Whether this node, whose chains and effects are in `status`, may go on.
    pub fn judge(&mut self, status: &Status, now: Instant) -> Verdict {
        for other in self.others.values_mut() {
            other.compare(status);
        }
        match self.judge_by(By::Chain, status, now) {
            Verdict::Agrees => self.judge_by(By::Effects, status, now),
            Verdict::Stop(finding) => Verdict::Stop(finding),
            by_chain => match self.judge_by(By::Effects, status, now) {
                Verdict::Stop(finding) => Verdict::Stop(finding),
                _ => by_chain,
            },
        }
    }

    fn judge_by(&self, by: By, status: &Status, now: Instant) -> Verdict {
        let membership = self.newest(status);
        let differing = membership.voters.iter().filter_map(|name| {
            Some(Differing { node: name.clone(), difference: self.others.get(name)?.compared(by).differs? })
        });
        let differing: Vec<Differing> = differing.collect();
        // The newest: whoever differs before differs there too, and only who agrees there or further on shares what this node has.
        let Some(at) = differing.iter().map(|differing| differing.difference.at).max() else { return Verdict::Agrees };
        let differs = |name: &&NodeId| differing.iter().any(|differing| differing.node == **name);
        let (mut sharing, mut gone, mut awaited) = (Vec::new(), Vec::new(), Vec::new());
        for name in membership.voters.iter().filter(|name| !differs(name)) {
            match self.others.get(name) {
                _ if *name == self.run.node => sharing.push(name.clone()),
                Some(other) if other.compared(by).agreed >= Some(at) => sharing.push(name.clone()),
                Some(other) if by == By::Effects && !other.says_effects(status) => gone.push(name.clone()),
                other if self.is_gone(other, status, now) => gone.push(name.clone()),
                _ => awaited.push(name.clone()),
            }
        }
        let voters = membership.voters.len();
        let first = differing.iter().filter_map(|differing| self.first(&differing.node, status)).min();
        let finding = Finding { at, first, voters, differing, sharing, gone, awaited };
        match () {
            () if !finding.is_majority(finding.sharing.len() + finding.awaited.len()) => Verdict::Stop(finding),
            () if !finding.is_majority(finding.sharing.len()) => Verdict::Open(finding),
            () => Verdict::Outvoted(finding),
        }
    }

    /// The newest membership that any node says.
    pub fn newest(&self, status: &Status) -> Membership {
        let own = status.now().membership;
        if own.version >= self.membership.version { own } else { self.membership.clone() }
    }

    fn follows_same(&self, heartbeat: &Heartbeat) -> bool {
        let theirs = heartbeat.topic_id.as_deref().unwrap_or_default();
        theirs == self.topic_id || theirs.is_empty() || self.topic_id.is_empty()
    }

    /// The voter says nothing any more, or has stopped no further on than this node is.
    pub fn has_gone(&self, node: &NodeId, status: &Status, now: Instant) -> bool {
        *node != self.run.node && self.is_gone(self.others.get(node), status, now)
    }

    /// It will not say any more which chain it has where this node differs.
    fn is_gone(&self, other: Option<&Other>, status: &Status, now: Instant) -> bool {
        let heard = other.map_or(self.listening, |other| other.heard);
        let silent = now >= heard.at + GONE_AFTER && self.own_beats >= heard.beats + GONE_BEATS;
        // Where it stopped further on, this node will still come to one of its points.
        silent || other.is_some_and(|other| other.stopped && other.applied <= status.now().applied)
    }
}

impl Other {
    fn compared(&self, by: By) -> Compared {
        match by {
            By::Chain => self.by_chain,
            By::Effects => self.by_effects,
        }
    }

    /// Compares it with this node as it is now.
    fn compare(&mut self, status: &Status) {
        let shared = Shared::of(|offset| status.chain_at(offset), &self.chains);
        self.by_chain.takes(shared, |at| {
            let ours = status.chain_at(at).expect("it was just compared");
            (Said::Chain(ours), Said::Chain(self.chains[&at]))
        });
        let Some(report) = &self.effects else { return };
        if !self.growth.follows(status.effects(), report) {
            self.by_effects = Compared::default();
        }
        let (shared, at_other) = self.growth.shared(status.effects(), report);
        self.by_effects.takes(shared, |_| at_other.expect("it was just compared"));
    }

    /// It says effects that can be compared with this node's.
    fn says_effects(&self, status: &Status) -> bool {
        self.effects.as_ref().is_some_and(|report| self.growth.is_same_kind(status.effects(), report))
    }

    /// It says the running digest with which this node stopped.
    fn shares_effects(&self, ours: &RunningEffects) -> bool {
        let Some(theirs) =
            self.effects.as_ref().filter(|theirs| (theirs.means, theirs.since) == (ours.means, ours.since))
        else {
            return false;
        };
        theirs.digests().any(|point| Some(point.offset) == ours.at && point.running == ours.running)
    }
}

impl Compared {
    /// Takes in what two nodes share now; `said`: what each has at an offset at which they differ.
    fn takes(&mut self, shared: Shared, said: impl FnOnce(Offset) -> (Said, Said)) {
        if let Some(at) = shared.newest_equal {
            self.agreed = self.agreed.max(Some(at));
            self.differs = self.differs.filter(|difference| difference.at > at);
        }
        if let Some(at) = shared.oldest_other {
            self.agreed = self.agreed.filter(|agreed| *agreed < at);
            if self.differs.is_none_or(|difference| at < difference.at) {
                let (ours, theirs) = said(at);
                self.differs = Some(Difference { at, ours, theirs });
            }
        }
    }
}
