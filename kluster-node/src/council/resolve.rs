//! Resolve: what a person may decide on an offset, and why not.
//!
//! A decision of a person is as safe as one of the rule, but for the voters that the person names as not to be waited for: these are down, were
//! never heard of at the offset, and are compared when they come back.

use super::{Council, Voice, names, stopped_at};
use kluster_protocol::{Decision, Decisions, NodeId, Offset, Ruling};
use std::collections::BTreeSet;

/// What a person wants decided.
#[derive(Debug, Clone)]
pub struct Wish {
    /// The offset.
    pub offset: Offset,
    /// How.
    pub ruling: Ruling,
    /// Voters that need not be heard.
    pub without: Vec<NodeId>,
    /// Who wants it.
    pub by: String,
}

impl Council {
    /// The decision that `wish` comes to; the error says in words why it may not be written, and what to do.
    ///
    /// `retry` is safe at any time: it opens the next round for those who wait. `error` wants every voter but those named stopped at the offset, or
    /// holding it back, in the open round; and nobody ever heard of at the offset or beyond. `hold` wants nobody heard of there. Who may have been there in a database that it no
    /// longer has must be named by `without`.
    pub fn resolve(&self, decisions: &Decisions, wish: Wish) -> Result<Decision, String> {
        let Wish { offset, ruling, without, by } = wish;
        if let Some(decision) = decisions.error(offset) {
            return Err(format!("offset {offset} is decided: error, by {}", decision.by));
        }
        let round = decisions.round(offset);
        let waits =
            self.voices.values().any(|voice| voice.heartbeat.halt.as_ref().is_some_and(|halt| halt.offset == offset));
        if !waits && ruling != Ruling::Hold && decisions.hold(offset).is_none() {
            return Err(format!("no node waits at offset {offset}: kluster-admin errors shows where nodes wait"));
        }
        let members: Vec<NodeId> = self.membership.voters.iter().chain(&self.membership.observers).cloned().collect();
        if let Some(stranger) = without.iter().find(|node| !members.contains(node)) {
            return Err(format!("{stranger}, named by --without, is no member: the members are {}", names(&members)));
        }
        let heard: Vec<NodeId> = self.voices.keys().cloned().collect();
        let passed = self.passed(offset, &heard);
        if ruling != Ruling::Retry && !passed.is_empty() {
            return Err(format!(
                "{} applied offset {offset}, so its outcome holds: mend the nodes that wait there, then kluster-admin resolve {offset} --as retry",
                names(&passed)
            ));
        }
        let cancels = ruling == Ruling::Hold || ruling == Ruling::Error && decisions.hold(offset).is_some();
        let unknown = self.may_have_passed(offset, &heard, &without);
        if cancels && !unknown.is_empty() {
            return Err(format!(
                "{0} had another database before and may have answered offset {offset} with it: wait until it has come there again, or decide all the same by --without {0}",
                names(&unknown)
            ));
        }
        let decided = |code, members| Decision { offset, round, ruling, code, by, members, without: without.clone() };
        match ruling {
            Ruling::Retry | Ruling::Hold => Ok(decided(None, Vec::new())),
            Ruling::Error => {
                let (stopped, codes) = self.stopped(offset, decisions, &without)?;
                let code = (codes.len() == 1).then(|| codes.into_iter().next()).flatten();
                Ok(decided(code, stopped))
            }
        }
    }

    /// The nodes that wait there, and their codes; every other voter must be named and gone.
    fn stopped(
        &self,
        offset: Offset,
        decisions: &Decisions,
        without: &[NodeId],
    ) -> Result<(Vec<NodeId>, BTreeSet<String>), String> {
        let round = decisions.round(offset);
        let (mut stopped, mut codes) = (Vec::new(), BTreeSet::new());
        for voter in &self.waited_for() {
            let voice = self.voices.get(voter);
            let gone = voice.is_none_or(|voice| voice.gone);
            let halt = voice.filter(|voice| !voice.gone).and_then(|voice| stopped_at(voice, offset, round));
            let holds = decisions
                .hold(offset)
                .is_some_and(|hold| voice.is_some_and(|voice| voice.heartbeat.obeys > Some(hold.at)));
            match (halt, holds) {
                (Some(halt), _) => {
                    codes.insert(halt.code.clone());
                    stopped.push(voter.clone());
                }
                (None, true) => stopped.push(voter.clone()),
                (None, false) if gone && without.contains(voter) => {}
                (None, false) if gone => {
                    return Err(format!(
                        "{voter} is gone, and what it did at offset {offset} is not known: start it, or decide without it by --without {voter} (where it applied the offset, it stops when it comes back)"
                    ));
                }
                (None, false) => {
                    return Err(format!(
                        "{voter} is up and does not wait at offset {offset} in round {round}: wait until it has come there, or stop it and name it by --without {voter}"
                    ));
                }
            }
        }
        match stopped.is_empty() {
            true => Err(format!("no voter waits at offset {offset}")),
            false => Ok((stopped, codes)),
        }
    }

    /// The voters, and every live node that has not joined yet: it may be executing the offset at
    /// this moment. Before the first join everyone who was heard of.
    fn waited_for(&self) -> Vec<NodeId> {
        let voters = &self.membership.voters;
        let joins = |node: &NodeId, voice: &Voice| !voice.gone && self.membership.role(node).is_none();
        let others = self.voices.iter().filter(|(node, voice)| voters.is_empty() || joins(node, voice));
        voters.iter().chain(others.map(|(node, _)| node)).cloned().collect()
    }
}
