//! Decision: what becomes of an offset of ALL at which nodes cannot go on, as written on DECISIONS; and what all decisions amount to.
//!
//! Neighbours: nodes and operators write [`Decision`]s; every node reads them to their end before it applies a record, and follows them.
//!
//! An offset is tried in **rounds**, counted from 0. In a round each node executes the request, or is stopped at it. A decision names its round and
//! ends it: `retry` opens the next round, `error` ends all rounds. `hold` ends no round; it keeps every node from committing the offset in it.

use crate::{NodeId, Offset};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The code of a decision that ended a running statement on demand, and of a node that waits for it.
pub const CANCELLED: &str = "cancelled";

/// The code of a node that holds an offset back until it is decided whether it is cancelled.
pub const HELD: &str = "held";

/// The code of a node whose database server was lost again and again while it executed one request.
pub const SERVER_LOST: &str = "server_lost";

/// A record of DECISIONS; its key is the offset in decimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// The offset of ALL that it is about.
    pub offset: Offset,
    /// The round that it is about; in any other it says nothing.
    pub round: u32,
    /// What is decided.
    #[serde(rename = "as")]
    pub ruling: Ruling,
    /// The DBMS's code that the members met alike, or [`CANCELLED`]; absent: they met unlike ones, and a person decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Who wrote it: a node that applied the rule, or an operator's tool.
    pub by: String,
    /// The voters whose word it rests on: each was stopped at the offset in that round, or held it back.
    #[serde(default)]
    pub members: Vec<NodeId>,
    /// Voters that need not be heard, named by a person.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub without: Vec<NodeId>,
}

/// What is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Ruling {
    /// The request is refused on every node, and has no effect. Final.
    Error,
    /// Every node executes the request again: the next round begins.
    Retry,
    /// No node commits the offset in this round until `error` or `retry` follows.
    Hold,
}

/// What has been decided on one offset.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ruled {
    /// The round that is open.
    pub round: u32,
    /// The offset is held back in this round, by the decision at this place of DECISIONS.
    pub held: Option<Hold>,
    /// It is refused for ever.
    pub error: Option<Decision>,
}

/// A hold that is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Its place on DECISIONS.
    pub at: Offset,
    /// The decision.
    pub decision: Decision,
}

/// What all decisions so far amount to: a function of the records of DECISIONS in their order, so the same for everyone who has read as far.
///
/// Per offset the first valid record wins: a record is valid only in the round that is open, and none is valid behind an `error`. So an `error`
/// written for a round that a `retry` has ended, however late it arrives, says nothing; and what was final once stays final.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Decisions {
    ruled: BTreeMap<Offset, Ruled>,
    next: Offset,
}

impl Decisions {
    /// Takes in the record at `at`. False: it says nothing, for it is not of the open round.
    pub fn take(&mut self, at: Offset, decision: Decision) -> bool {
        self.pass(at);
        let ruled = self.ruled.entry(decision.offset).or_default();
        if ruled.error.is_some() || decision.round != ruled.round {
            return false;
        }
        match decision.ruling {
            Ruling::Error => (ruled.held, ruled.error) = (None, Some(decision)),
            Ruling::Retry => (ruled.held, ruled.round) = (None, ruled.round + 1),
            Ruling::Hold if ruled.held.is_some() => return false,
            Ruling::Hold => ruled.held = Some(Hold { at, decision }),
        }
        true
    }

    /// The record at `at` was read, whatever it holds.
    pub fn pass(&mut self, at: Offset) {
        self.next = self.next.max(at.next());
    }

    /// Every record of DECISIONS below this place is read.
    pub fn next(&self) -> Offset {
        self.next
    }

    /// What is decided on `offset`; None: nothing was ever said of it.
    pub fn on(&self, offset: Offset) -> Option<&Ruled> {
        self.ruled.get(&offset)
    }

    /// The round that is open at `offset`.
    pub fn round(&self, offset: Offset) -> u32 {
        self.on(offset).map_or(0, |ruled| ruled.round)
    }

    /// The decision that refuses `offset`, if there is one.
    pub fn error(&self, offset: Offset) -> Option<&Decision> {
        self.on(offset)?.error.as_ref()
    }

    /// The hold that is open at `offset`, if there is one.
    pub fn hold(&self, offset: Offset) -> Option<&Hold> {
        self.on(offset)?.held.as_ref()
    }

    /// The holds that are open.
    pub fn holds(&self) -> impl Iterator<Item = &Hold> {
        self.ruled.values().filter_map(|ruled| ruled.held.as_ref())
    }

    /// The offsets on which something was said, in order.
    pub fn each(&self) -> impl Iterator<Item = (Offset, &Ruled)> {
        self.ruled.iter().map(|(offset, ruled)| (*offset, ruled))
    }
}

/// A node is stopped at an offset, and waits for a decision on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Halt {
    /// The offset of ALL that is not applied.
    pub offset: Offset,
    /// The round in which the node stopped there: it does not execute the offset again before this round is decided.
    pub round: u32,
    /// The DBMS's code; [`HELD`]: the offset is held back; [`SERVER_LOST`]: the server was lost again and again.
    pub code: String,
    /// The DBMS's message. Never the text of SQL.
    pub message: String,
    /// What the request there is called by its sender.
    pub request_id: String,
    /// Since when, in milliseconds since 1970 by the node's own clock.
    pub since_ms: u64,
}

impl Halt {
    /// The node holds the offset back on demand; it did not fail.
    pub fn is_hold(&self) -> bool {
        self.code == HELD
    }
}

/// A request that has been executing for some seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Running {
    /// Its offset of ALL.
    pub offset: Offset,
    /// What it is called by its sender.
    pub request_id: String,
    /// Since when, in milliseconds since 1970 by the node's own clock.
    pub since_ms: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decision(round: u32, ruling: Ruling) -> Decision {
        let offset = Offset::new(7);
        Decision { offset, round, ruling, code: None, by: "n1".into(), members: vec![], without: vec![] }
    }

    fn told(records: &[(u32, Ruling)]) -> (Decisions, Vec<bool>) {
        let mut decisions = Decisions::default();
        let records = records.iter().enumerate();
        let valid =
            records.map(|(at, (round, ruling))| decisions.take(Offset::new(at as u64), decision(*round, *ruling)));
        let valid = valid.collect();
        (decisions, valid)
    }

    #[test]
    fn decisions_keep_their_published_form() {
        for json in [
            r#"{"offset":7,"round":0,"as":"error","code":"54000","by":"n1","members":["n1","n2"]}"#,
            r#"{"offset":7,"round":1,"as":"retry","by":"kluster-admin","members":[]}"#,
            r#"{"offset":7,"round":0,"as":"hold","by":"kluster-admin","members":[],"without":["n3"]}"#,
        ] {
            let decision: Decision = serde_json::from_str(json).unwrap();
            assert_eq!(serde_json::to_string(&decision).unwrap(), json);
        }
        let typed = r#"{"offset":7,"round":0,"as":"retry","by":"me"}"#;
        assert_eq!(
            serde_json::from_str::<Decision>(typed).unwrap(),
            Decision { by: "me".into(), ..decision(0, Ruling::Retry) }
        );
    }

    #[test]
    fn the_first_of_a_round_holds_and_an_error_is_final() {
        use Ruling::*;
        let (decisions, valid) = told(&[(0, Error), (0, Retry), (1, Retry), (0, Hold), (0, Error)]);
        assert_eq!(valid, [true, false, false, false, false]);
        assert!(decisions.error(Offset::new(7)).is_some());
        assert_eq!((decisions.round(Offset::new(7)), decisions.next()), (0, Offset::new(5)));
        assert_eq!(decisions.on(Offset::new(8)), None);
    }

    #[test]
    fn an_error_that_comes_behind_the_retry_of_its_round_says_nothing() {
        use Ruling::*;
        let (decisions, valid) = told(&[(0, Hold), (0, Retry), (0, Error), (1, Hold)]);
        assert_eq!(valid, [true, true, false, true]);
        assert_eq!(decisions.error(Offset::new(7)), None);
        assert_eq!(decisions.hold(Offset::new(7)).unwrap().at, Offset::new(3));
        assert_eq!(decisions.round(Offset::new(7)), 1);
        assert_eq!(decisions.holds().count(), 1);
    }

    #[test]
    fn a_decision_on_a_round_to_come_says_nothing() {
        let (decisions, valid) = told(&[(1, Ruling::Error), (2, Ruling::Retry)]);
        assert_eq!(valid, [false, false]);
        assert_eq!(decisions.round(Offset::new(7)), 0);
    }
}
