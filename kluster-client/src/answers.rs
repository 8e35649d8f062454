//! Answers: when a request has been answered by enough nodes. No I/O.
//!
//! Invariants
//! 1. Distinct nodes are counted, never messages: a node that answers again after a restart counts once.
//! 2. Only voters of one membership version count, against that version's number of voters, and only with the same outcome.
//! 3. Two answers at one offset with different chains end the wait: the nodes differ.

use crate::parts::{Arrived, Parts, RawResponse, RawRow};
use crate::voters::Voters;
use kluster_protocol::{ErrorCode, NodeId, Offset, Response, ResponseError};
use std::collections::BTreeMap;

/// How many answers make a request done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ack {
    /// The first complete answer of a voter. It trusts that one node.
    First,
    /// Equal answers of this many voters.
    Nodes(u32),
    /// Equal answers of more than half of the voters.
    Quorum,
    /// Equal answers of all voters.
    All,
}

/// One node's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// The node.
    pub node_id: NodeId,
    /// The request's offset in ALL as the node knows it.
    pub offset: Option<Offset>,
    /// The chain there: unlike chains, unlike data. Equal ones: equal outcomes and, on SQLite, equal changes of rows.
    pub chain: Option<String>,
}

/// How counting ends.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Executed: one whole answer, and who gave it.
    Done(Box<RawResponse>, Vec<Answered>),
    /// Refused by as many as were asked for.
    Refused(ResponseError, Option<Offset>, Vec<Answered>),
    /// There are no voters to count.
    NoVoters(Answered),
    /// Two nodes differ.
    Diverged { offset: Offset, one: Answered, other: Answered },
    /// More answers are wanted than there are voters.
    TooFew { wanted: u32, answered: Vec<Answered> },
    /// The result passes the memory allowed.
    TooLarge,
}

/// Counts the answers to one request.
#[derive(Debug)]
pub(crate) struct Tally {
    ack: Ack,
    parts: Parts,
    groups: Vec<Group>,
}

/// Answers that may be counted together.
#[derive(Debug)]
struct Group {
    version: u64,
    voters: u32,
    outcome: Result<(), ErrorCode>,
    nodes: BTreeMap<NodeId, Answered>,
    /// The first whole answer; the rows of the others are the same and not kept.
    answer: RawResponse,
}

impl Tally {
    pub(crate) fn new(ack: Ack, max_bytes: usize) -> Self {
        Self { ack, parts: Parts::new(max_bytes), groups: Vec::new() }
    }

    /// Takes a response; the verdict, if it brings one.
    pub(crate) fn add(&mut self, arrived: Arrived) -> Option<Verdict> {
        match self.parts.add(arrived) {
            Err(_) => Some(Verdict::TooLarge),
            Ok(None) => None,
            Ok(Some(whole)) => self.count(whole.response),
        }
    }

    fn count(&mut self, answer: RawResponse) -> Option<Verdict> {
        let (members, answered) = (answer.members, Answered::by(&answer));
        if !members.voter && members.voters > 0 {
            return None;
        }
        match self.ack {
            Ack::First => return Some(verdict(answer, vec![answered])),
            Ack::Nodes(_) | Ack::Quorum | Ack::All if members.voters == 0 => return Some(Verdict::NoVoters(answered)),
            Ack::Nodes(_) | Ack::Quorum | Ack::All => {}
        }
        if let Some(diverged) = self.differs(&answered) {
            return Some(diverged);
        }
        let wanted = self.ack.wanted(members.voters);
        let group = self.join(answer, answered);
        let have = self.groups[group].nodes.len() as u64;
        if have >= u64::from(wanted) {
            let group = self.groups.swap_remove(group);
            return Some(verdict(group.answer, group.nodes.into_values().collect()));
        }
        if wanted > members.voters && have >= u64::from(members.voters) {
            return Some(Verdict::TooFew { wanted, answered: self.answered() });
        }
        None
    }

    fn differs(&self, answered: &Answered) -> Option<Verdict> {
        let others = self.groups.iter().flat_map(|group| group.nodes.values());
        let other = others.into_iter().find(|other| answered.contradicts(other))?;
        Some(Verdict::Diverged { offset: answered.offset?, one: other.clone(), other: answered.clone() })
    }

    /// Puts the answer to those that it may be counted with; says which.
    fn join(&mut self, answer: RawResponse, answered: Answered) -> usize {
        let (version, voters) = (answer.members.version, answer.members.voters);
        let outcome = outcome(&answer);
        let alike = |group: &Group| (group.version, group.voters, group.outcome) == (version, voters, outcome);
        let place = self.groups.iter().position(alike).unwrap_or_else(|| {
            self.groups.push(Group { version, voters, outcome, nodes: BTreeMap::new(), answer });
            self.groups.len() - 1
        });
        self.groups[place].nodes.insert(answered.node_id.clone(), answered);
        place
    }

    /// Who has answered so far.
    pub(crate) fn answered(&self) -> Vec<Answered> {
        let mut nodes: BTreeMap<&NodeId, &Answered> = BTreeMap::new();
        for (node, answered) in self.groups.iter().flat_map(|group| &group.nodes) {
            nodes.entry(node).or_insert(answered);
        }
        nodes.into_values().cloned().collect()
    }

    /// Who is missing, and why, if so many voters are gone that the count cannot be reached for now; and how many answers are wanted.
    pub(crate) fn out_of_reach(&self, voters: &Voters) -> Option<(u32, Vec<(NodeId, String)>)> {
        if self.ack == Ack::First {
            return None;
        }
        let newest = self.groups.iter().max_by_key(|group| group.version);
        let names = match newest {
            Some(group) => voters.of_version(group.version)?,
            None => voters.newest()?,
        };
        let wanted = self.ack.wanted(newest.map_or(names.len() as u32, |group| group.voters));
        let gone = |node: &&NodeId| {
            newest.is_none_or(|group| !group.nodes.contains_key(*node)) && voters.why_gone(node).is_some()
        };
        let missing: Vec<&NodeId> = names.iter().filter(gone).collect();
        if names.is_empty() || names.len() - missing.len() >= wanted as usize {
            return None;
        }
        let why = |node: &NodeId| voters.why_gone(node).unwrap_or_default();
        Some((wanted, missing.into_iter().map(|node| (node.clone(), why(node))).collect()))
    }
}

fn verdict(answer: RawResponse, answered: Vec<Answered>) -> Verdict {
    match answer.is_ok() {
        true => Verdict::Done(Box::new(answer), answered),
        false => Verdict::Refused(refusal(&answer), answer.offset, answered),
    }
}

/// Why it was refused. An answer that only has a result code is one of a foreign node.
pub(crate) fn refusal(answer: &Response<RawRow>) -> ResponseError {
    answer.error.clone().unwrap_or_else(|| ResponseError::new(ErrorCode::Other, answer.result_code.clone()))
}

fn outcome(answer: &RawResponse) -> Result<(), ErrorCode> {
    match answer.is_ok() {
        true => Ok(()),
        false => Err(refusal(answer).code),
    }
}

impl Ack {
    /// How many answers are wanted of `voters`.
    fn wanted(self, voters: u32) -> u32 {
        match self {
            Self::First => 1,
            Self::Nodes(count) => count.max(1),
            Self::Quorum => voters / 2 + 1,
            Self::All => voters,
        }
    }
}

impl Answered {
    pub(crate) fn by(answer: &RawResponse) -> Self {
        Self { node_id: answer.node_id.clone(), offset: answer.offset, chain: answer.chain.clone() }
    }

    /// At one offset there is one chain.
    pub(crate) fn contradicts(&self, other: &Self) -> bool {
        self.offset.is_some()
            && self.offset == other.offset
            && self.chain.is_some()
            && other.chain.is_some()
            && self.chain != other.chain
    }
}
