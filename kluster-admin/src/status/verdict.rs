//! Verdict: what a picture amounts to, in one line; what troubles there are; and the exit code.

use super::picture::{Drawn, Picture};
use crate::agreement::Agreement;
use crate::error::AdminError;
use crate::output::Tone;
use crate::show;
use kluster_protocol::{DIVERGED, NodeId, NodeState, Offset, Role};

/// What a picture amounts to.
#[derive(Debug)]
pub(super) struct Verdict {
    kind: Kind,
    pub(super) text: String,
    /// Members that need a person, one line each.
    pub(super) troubles: Vec<String>,
    /// What to do where nodes differ.
    remedy: &'static str,
}

/// While those that differ may go on, every write may make it worse.
const STOP: &str = "Stop writing, and keep the databases as they are until it is known why";
/// Once the others go on without the one that differed.
const REFILL: &str =
    "Keep its database until it is known why, then empty it and start the node: it refills from the log";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Nobody differs and every voter is live.
    Healthy,
    /// Nobody differs, but a voter is not live, or nobody was ever heard of.
    Trouble,
    /// Nodes differ, or one has stopped because it did.
    Differ,
}

/// Judges a picture.
pub(super) fn of(picture: &Picture) -> Verdict {
    let troubles: Vec<String> = picture.nodes.iter().filter_map(trouble).collect();
    let differs = picture.nodes.iter().any(|node| matches!(node.agreement, Agreement::Differs { .. }));
    let (kind, text) = match () {
        () if picture.nodes.is_empty() => (
            Kind::Trouble,
            "no node was ever heard of: start one with kluster-node, or check --database and --topic-prefix".to_owned(),
        ),
        () if differs => (Kind::Differ, difference(picture)),
        () if picture.nodes.iter().any(has_differed) => (Kind::Differ, quarantine(picture)),
        () if troubles.is_empty() => (Kind::Healthy, sameness(picture)),
        () => (Kind::Trouble, sameness(picture)),
    };
    let remedy = if differs { STOP } else { REFILL };
    Verdict { kind, text, troubles, remedy }
}

impl Verdict {
    pub(super) fn word(&self) -> &'static str {
        match self.kind {
            Kind::Healthy => "healthy",
            Kind::Trouble => "trouble",
            Kind::Differ => "differ",
        }
    }

    pub(super) fn tone(&self) -> Tone {
        match self.kind {
            Kind::Healthy => Tone::Good,
            Kind::Trouble => Tone::Warning,
            Kind::Differ => Tone::Bad,
        }
    }

    pub(super) fn result(self) -> Result<(), AdminError> {
        match self.kind {
            Kind::Healthy => Ok(()),
            Kind::Trouble => Err(AdminError::Finding(self.troubles.into_iter().next().unwrap_or(self.text))),
            Kind::Differ => Err(AdminError::Differ(format!("{}. {}", self.text, self.remedy))),
        }
    }
}

/// It stopped because it differed, and the others may have gone on to where nothing is left to compare.
fn has_differed(node: &Drawn) -> bool {
    let state = node.heartbeat.as_ref().map(|beat| &beat.state);
    matches!(state, Some(NodeState::Stopped { code, .. }) if code == DIVERGED)
}

fn quarantine(picture: &Picture) -> String {
    let stopped = || picture.nodes.iter().filter(|node| has_differed(node));
    let who: Vec<NodeId> = stopped().map(|node| node.name.clone()).collect();
    let effects = stopped().filter_map(|node| node.heartbeat.as_ref()?.effects.as_ref());
    match effects.filter_map(|effects| effects.differs_at).min() {
        None => format!("{} stopped because its data are not those of the others", names(&who)),
        Some(at) => format!(
            "{} stopped because its data are not those of the others: the request at offset {at} changed other rows there",
            names(&who)
        ),
    }
}

/// Why a voter's answers can't be expected. Observers are not awaited, and who left is no longer expected.
fn trouble(node: &Drawn) -> Option<String> {
    if node.role != Some(Role::Voter) {
        return None;
    }
    let name = &node.name;
    let start = format!("start it, or take it out with kluster-admin leave {name}");
    let Some(beat) = &node.heartbeat else {
        return Some(format!("voter {name} was never heard of on NODES: {start}"));
    };
    match beat.state {
        NodeState::Leaving => Some(format!("voter {name} was stopped, heard of {}: {start}", node.heard())),
        _ if node.gone => Some(format!("voter {name} is gone, heard of {}: {start}", node.heard())),
        NodeState::Ready | NodeState::CatchingUp => None,
        NodeState::Starting => Some(format!("voter {name} is starting: its own log says what it waits for")),
        NodeState::Stopped { .. } if beat.halt.is_some() => {
            Some(format!("voter {name} {}: kluster-admin errors shows what to do", show::doing(beat)))
        }
        NodeState::Retrying { .. } | NodeState::Stopped { .. } => {
            let state = show::doing(beat);
            Some(format!("voter {name} is {state}: kluster-admin tail errors --from beginning says why"))
        }
    }
}

fn sameness(picture: &Picture) -> String {
    let who = members(picture);
    let (mut newest, mut unknown) = (None::<Offset>, Vec::new());
    for (node, agreement) in &picture.comparison.nodes {
        match agreement {
            Agreement::Agrees { at } => newest = Some(newest.map_or(*at, |newest| newest.min(*at))),
            Agreement::Unknown | Agreement::Differs { .. } => unknown.push(node.clone()),
        }
    }
    match (newest, unknown.is_empty()) {
        (Some(at), true) => format!("{who}, one chain at offset {at}"),
        (Some(at), false) => {
            format!("{who}, one chain at offset {at}; {} shares no offset with the others yet", names(&unknown))
        }
        (None, _) if unknown.len() < 2 => format!("{who}, nothing to compare with"),
        (None, _) => format!("{who}, no offset shared to compare chains at yet"),
    }
}

fn members(picture: &Picture) -> String {
    let (voters, observers) = (picture.members.voters.len(), picture.members.observers.len());
    match (voters, observers) {
        (0, 0) => format!("no voters yet, {}", show::count(picture.nodes.len(), "node")),
        (_, 0) => show::count(voters, "voter"),
        (_, _) => format!("{} and {}", show::count(voters, "voter"), show::count(observers, "observer")),
    }
}

fn difference(picture: &Picture) -> String {
    let astray = picture.nodes.iter().filter_map(|node| match node.agreement {
        Agreement::Differs { after, at } => Some((&node.name, after, at)),
        Agreement::Agrees { .. } | Agreement::Unknown => None,
    });
    let astray: Vec<_> = astray.collect();
    if picture.comparison.majority {
        let each = astray.iter().map(|(name, after, at)| {
            format!("{name} differs from {} since {}", names(&picture.comparison.reference), place(*after, *at))
        });
        return each.collect::<Vec<_>>().join("; ");
    }
    let who: Vec<NodeId> = astray.iter().map(|(name, _, _)| (*name).clone()).collect();
    let at = astray.iter().map(|(_, _, at)| *at).min().unwrap_or_default();
    let after = astray.iter().filter_map(|(_, after, _)| *after).filter(|after| *after < at).max();
    format!("{} differ since {}", names(&who), place(after, at))
}

fn place(after: Option<Offset>, at: Offset) -> String {
    match after {
        Some(after) => format!("between offsets {after} and {at}"),
        None => format!("offset {at} or before"),
    }
}

fn names(nodes: &[NodeId]) -> String {
    nodes.iter().map(NodeId::as_str).collect::<Vec<_>>().join(", ")
}
