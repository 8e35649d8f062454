//! Council: what the members say of an offset at which nodes wait, and what follows from it. No I/O.
//!
//! Neighbours: `clerk` hears the heartbeats and writes what is found here to DECISIONS; `kluster-admin` shows it to people and asks it before it
//! writes what a person decides.

use kluster_protocol::{
    CANCELLED, Decision, Decisions, Halt, Heartbeat, Hold, Membership, NodeId, NodeState, Offset, Ruling,
};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

mod resolve;
#[cfg(test)]
pub(crate) mod tests;

pub use resolve::Wish;

/// The newest heartbeat of a node.
#[derive(Debug, Clone)]
pub struct Voice {
    /// What it said.
    pub heartbeat: Heartbeat,
    /// It was not heard of for some seconds, so it may do anything by now but what it promised not to.
    pub gone: bool,
}

/// What the members say.
///
/// # When an error is decided without a person
/// Offset N is refused with a code when each live voter's newest heartbeat says that it is stopped at N in the open round r by that code, these
/// voters are a strict majority of all, and no voter, live or gone, was ever heard of at N or beyond.
///
/// So one voter that is all there are decides for itself. Who has no vote is not asked: observers, and live nodes that have not joined. They obey
/// when they come to N; one that is beyond N already differs by point 4 below. Before the first join nobody votes, so a person decides, and waits
/// for every live node.
///
/// # Why no live voter can then hold another outcome
/// 1. A node that says "stopped at N, round r" has that in its database, with its place in ALL, and does not execute N again before round r is
///    decided, a restart included.
/// 2. DECISIONS has one order, and of the records of round r the first holds ([`Decisions`]). So an `error` that is written here either ends
///    round r for everybody, or came behind a `retry` and says nothing.
/// 3. By 1 and 2 each of these voters writes the refusal as the outcome of N, and so does every node that comes to N later, for DECISIONS is read to
///    its end before a record is applied.
/// 4. A node that was not asked (gone, or without a vote) and has executed N with success holds another chain from N on: it is found by its
///    first heartbeat, and stops. It was a minority of the voters.
///
/// A node that fails alone (a killed backend, a full disk) therefore stays stopped: the others pass N, and a voter beyond N forbids the decision.
///
/// # When a held offset is cancelled
/// A `hold` at place h of DECISIONS keeps every node that obeys it from committing N in this round. A heartbeat with `obeys` > h and `applied` < N
/// is a promise of the ALL lane itself: it is made while nothing is being committed and with the state row claimed, so N is not
/// committed and will not be before the round ends. When each voter that was not named by `without` has promised this, these are a strict
/// majority, and no member was ever heard of at N or beyond, `error` follows. As soon as one was heard of there, `retry` follows:
/// the statement's own outcome holds. The same follows where a member that was not named by `without` may have applied N in a database that it no
/// longer has ([`crate::former`]): its answer may be with a client.
#[derive(Debug, Clone, Default)]
pub struct Council {
    /// The newest membership that anyone says.
    pub membership: Membership,
    /// Everyone who was heard of.
    pub voices: BTreeMap<NodeId, Voice>,
}

/// What follows at an offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// Everyone has said what is needed: this is to be written.
    Decide(Decision),
    /// It is decided, or nobody waits there.
    Nothing,
    /// These live voters have not come so far yet.
    Awaits(Vec<NodeId>),
    /// It is for a person.
    Person(Why),
}

/// Why members alone cannot decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// These have the offset in their databases.
    Passed(Vec<NodeId>),
    /// The codes differ.
    Unlike,
    /// These voters are gone, and the others are no strict majority; or they were needed.
    Gone(Vec<NodeId>),
    /// Nobody votes yet.
    NoVoters,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed(nodes) => write!(f, "{} applied it, so only the nodes that wait there fail", names(nodes)),
            Self::Unlike => f.write_str("the voters met unlike errors"),
            Self::Gone(nodes) => write!(f, "{} gone: start it, or decide without it", names(nodes)),
            Self::NoVoters => f.write_str("no node votes yet"),
        }
    }
}

/// Node names in a sentence.
pub fn names(nodes: &[NodeId]) -> String {
    nodes.iter().map(NodeId::as_str).collect::<Vec<_>>().join(", ")
}

impl Council {
    /// The offsets at which someone waits, or that are held back.
    pub fn offsets(&self, decisions: &Decisions) -> BTreeSet<Offset> {
        let halts = self.voices.values().filter_map(|voice| voice.heartbeat.halt.as_ref());
        let open = |halt: &&Halt| decisions.error(halt.offset).is_none();
        let holds = decisions.holds().map(|hold| hold.decision.offset);
        halts.filter(open).map(|halt| halt.offset).chain(holds).collect()
    }

    /// What follows at `offset`; a decision is signed by `by`.
    pub fn judge(&self, offset: Offset, decisions: &Decisions, by: &str) -> Finding {
        match (decisions.error(offset), decisions.hold(offset)) {
            (Some(_), _) => Finding::Nothing,
            (None, Some(hold)) => self.judge_hold(hold, by),
            (None, None) => self.judge_halts(offset, decisions.round(offset), by),
        }
    }

    fn judge_halts(&self, offset: Offset, round: u32, by: &str) -> Finding {
        let voters = &self.membership.voters;
        if !self.voices.values().any(|voice| stopped_at(voice, offset, round).is_some()) {
            return Finding::Nothing;
        }
        if voters.is_empty() {
            return Finding::Person(Why::NoVoters);
        }
        let passed = self.passed(offset, voters);
        if !passed.is_empty() {
            return Finding::Person(Why::Passed(passed));
        }
        let (mut stopped, mut awaited, mut gone, mut codes) = (Vec::new(), Vec::new(), Vec::new(), BTreeSet::new());
        for voter in voters {
            match self.voices.get(voter).filter(|voice| !voice.gone) {
                None => gone.push(voter.clone()),
                Some(voice) => match stopped_at(voice, offset, round) {
                    Some(halt) => {
                        codes.insert(halt.code.clone());
                        stopped.push(voter.clone());
                    }
                    None => awaited.push(voter.clone()),
                },
            }
        }
        match () {
            () if codes.len() > 1 => Finding::Person(Why::Unlike),
            () if !awaited.is_empty() => Finding::Awaits(awaited),
            () if stopped.len() * 2 <= voters.len() => Finding::Person(Why::Gone(gone)),
            () => {
                let (code, ruling) = (codes.pop_first(), Ruling::Error);
                let by = by.to_owned();
                Finding::Decide(Decision { offset, round, ruling, code, by, members: stopped, without: Vec::new() })
            }
        }
    }

    fn judge_hold(&self, hold: &Hold, by: &str) -> Finding {
        let Decision { offset, round, without, .. } = &hold.decision;
        let decided = |ruling, code, members| {
            let without = without.clone();
            Finding::Decide(Decision {
                offset: *offset,
                round: *round,
                ruling,
                code,
                by: by.to_owned(),
                members,
                without,
            })
        };
        let members: Vec<NodeId> = self.membership.voters.iter().chain(&self.membership.observers).cloned().collect();
        let mut passed = self.passed(*offset, &members);
        passed.extend(self.may_have_passed(*offset, &members, without));
        if !passed.is_empty() {
            return decided(Ruling::Retry, None, passed);
        }
        let (mut holding, mut awaited, mut gone) = (Vec::new(), Vec::new(), Vec::new());
        for voter in self.membership.voters.iter().filter(|voter| !without.contains(voter)) {
            match self.voices.get(voter) {
                // What it promised before it was gone it keeps.
                Some(voice) if voice.heartbeat.obeys > Some(hold.at) => holding.push(voter.clone()),
                Some(voice) if !voice.gone => awaited.push(voter.clone()),
                _ => gone.push(voter.clone()),
            }
        }
        let observers = self.membership.observers.iter().filter(|observer| {
            let live = |voice: &&Voice| !voice.gone && !is_at_fault(&voice.heartbeat);
            self.voices.get(*observer).filter(live).is_some_and(|voice| voice.heartbeat.obeys <= Some(hold.at))
        });
        awaited.extend(observers.cloned());
        match () {
            () if !awaited.is_empty() => Finding::Awaits(awaited),
            () if !gone.is_empty() || holding.len() * 2 <= self.membership.voters.len() => {
                Finding::Person(Why::Gone(gone))
            }
            () => decided(Ruling::Error, Some(CANCELLED.to_owned()), holding),
        }
    }

    /// Who of `nodes` may have applied `offset` in a database that it no longer has, but for those that a person named.
    pub fn may_have_passed(&self, offset: Offset, nodes: &[NodeId], without: &[NodeId]) -> Vec<NodeId> {
        let may = |node: &&NodeId| {
            let voice = self.voices.get(*node).filter(|_| !without.contains(node));
            voice.is_some_and(|voice| voice.heartbeat.may_have_applied >= Some(offset))
        };
        nodes.iter().filter(may).cloned().collect()
    }

    /// Who of `nodes` was ever heard of at `offset` or beyond.
    pub fn passed(&self, offset: Offset, nodes: &[NodeId]) -> Vec<NodeId> {
        let has = |node: &&NodeId| {
            self.voices.get(*node).is_some_and(|voice| voice.heartbeat.applied.is_some_and(|applied| applied >= offset))
        };
        nodes.iter().filter(has).cloned().collect()
    }
}

/// Where a node is stopped by an error of its own, in this round.
pub fn stopped_at(voice: &Voice, offset: Offset, round: u32) -> Option<&Halt> {
    let halt = voice.heartbeat.halt.as_ref()?;
    (halt.offset == offset && halt.round == round && !halt.is_hold()).then_some(halt)
}

/// The node has stopped by what no decision can mend.
fn is_at_fault(heartbeat: &Heartbeat) -> bool {
    matches!(heartbeat.state, NodeState::Stopped { .. }) && heartbeat.halt.is_none()
}
