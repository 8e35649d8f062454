//! Finding: who differs from this node, and what follows for it, in words that a person can act on.

use super::mark::Marked;
use crate::fault::Cause;
use crate::state::Diverged;
use kluster_protocol::{Chain, DIVERGED, Effects, NodeId, Offset};
use std::fmt;

/// What a node does beside the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// No voter is known to differ: it goes on.
    Agrees,
    /// A strict majority of the voters has its chain: it goes on, and who differs should stop.
    Outvoted(Finding),
    /// Whether a majority has its chain is not known yet: it goes on until it is.
    Open(Finding),
    /// No majority can have its chain: it stops.
    Stop(Finding),
}

/// Who differs from this node, and who does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The newest offset of those below: everyone who differs, differs there.
    pub at: Offset,
    /// The first offset at which this node's requests changed other rows than those of a voter below, once both have published their detail.
    pub first: Option<Offset>,
    /// How many voters there are.
    pub voters: usize,
    /// Voters with another chain, or other effects.
    pub differing: Vec<Differing>,
    /// Voters with what this node has there, itself among them where it votes.
    pub sharing: Vec<NodeId>,
    /// Voters that will not say what they have there.
    pub gone: Vec<NodeId>,
    /// Voters that have not said it yet.
    pub awaited: Vec<NodeId>,
}

/// A voter with another chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Differing {
    /// The voter.
    pub node: NodeId,
    /// Where, and how.
    pub difference: Difference,
}

/// What two nodes compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// A chain.
    Chain(Chain),
    /// A running digest of effects.
    Effects(Effects),
}

impl Said {
    fn word(self) -> &'static str {
        match self {
            Self::Chain(_) => "chain",
            Self::Effects(_) => "effects",
        }
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chain(chain) => write!(f, "{chain}"),
            Self::Effects(effects) => write!(f, "{effects}"),
        }
    }
}

/// Two chains, or two running digests of effects, at one offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Difference {
    /// The oldest shared offset at which it is known to differ.
    pub at: Offset,
    /// What this node has there.
    pub ours: Said,
    /// What the voter has there.
    pub theirs: Said,
}

impl Finding {
    /// Whether so many are a strict majority of the voters.
    pub(super) fn is_majority(&self, count: usize) -> bool {
        count * 2 > self.voters
    }

    /// The offset by which the difference is named: the first that is known.
    pub fn named(&self) -> Offset {
        let shared = self.differing.iter().map(|differing| differing.difference.at).min();
        self.first.or(shared).unwrap_or(self.at)
    }

    /// The rows that requests changed are what differs.
    pub fn is_of_effects(&self) -> bool {
        self.differing.iter().any(|differing| matches!(differing.difference.ours, Said::Effects(_)))
    }

    /// What a node that stops for this says.
    pub fn stops(&self) -> Cause {
        let what = match self.is_majority(self.differing.len()) {
            true => "this database is not what the majority of voters holds",
            false => {
                "no majority of voters can be known to hold what this database holds, so nobody knows who is right"
            }
        };
        self.cause(&format!("{what}: this node has stopped. {}", remedy()))
    }

    /// What a node that goes on says.
    pub fn goes_on(&self) -> Cause {
        let what = match self.awaited.is_empty() {
            true => format!("a majority of voters has this node's {}, so it goes on; who differs stops", self.word()),
            false => format!("until {} has said its {} there, this node goes on", names(&self.awaited), self.word()),
        };
        self.cause(&what)
    }

    /// What differs.
    fn word(&self) -> &'static str {
        self.differing.first().map_or("chain", |differing| differing.difference.ours.word())
    }

    fn cause(&self, what: &str) -> Cause {
        let each = self.differing.iter().map(|Differing { node, difference: Difference { at, ours, theirs } }| {
            format!("at offset {at} this node has {} {ours}, {node} has {theirs}", ours.word())
        });
        let mut message = each.collect::<Vec<_>>().join("; ");
        if let Some(first) = self.first {
            message.push_str(&format!("; the first request that changed other rows is the one at offset {first}"));
        }
        let same = format!("with the same {}", self.word());
        for (who, what) in [(&self.sharing, same.as_str()), (&self.gone, "gone")] {
            if !who.is_empty() {
                message.push_str(&format!("; {what}: {}", names(who)));
            }
        }
        Cause::new(DIVERGED, format!("{message} (of {} voters); {what}", self.voters))
    }
}

/// What a node says that was started again on the database with which it had stopped.
pub(super) fn still(marked: &Marked) -> Cause {
    let Marked { at, chain, diverged } = marked;
    let what = match diverged {
        Some(Diverged { offset, effects: Some(_) }) => {
            format!("its requests from offset {offset} on had changed other rows than those of the others")
        }
        Some(Diverged { offset, effects: None }) => format!("its chain was not that of the others at offset {offset}"),
        None => "its chain was not that of the others".to_owned(),
    };
    Cause::new(
        DIVERGED,
        format!(
            "this node stopped before because {what}, and its database is still the one of then (chain {chain} at offset {at}): it stays stopped. {} If it is this database that is right, take the node out by kluster-admin leave before it is started again",
            remedy()
        ),
    )
}

fn remedy() -> &'static str {
    "Find out by comparing the tables whose data are wrong, empty that database, and start its node: it refills from the log."
}

fn names(nodes: &[NodeId]) -> String {
    nodes.iter().map(NodeId::as_str).collect::<Vec<_>>().join(", ")
}
