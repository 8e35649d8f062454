//! State: what a node knows of itself and the cluster as of its applied offset; one row in its own database, written with the effects.
//!
//! Neighbours: the ALL lane moves it on record by record; `outcome` and the window hang on its low water.
//!
//! Invariants
//! 1. But for `node_id`, `halt`, `losses`, `effects` and `diverged`, the state at an offset is a function of the log up to it, so the same on every node.
//!    `effects` depend on the means as well, and on when the node began to count.
//! 2. `applied` and `low_water` only rise.

use kluster_log::Record;
use kluster_protocol::{
    Came, Chain, ChainPoint, CheckMark, Control, DEFAULT_WINDOW, Halt, Membership, NodeId, Offset, RecordHash,
    RunningEffects,
};
use serde::{Deserialize, Serialize};

/// The state row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// The node whose database this is.
    pub node_id: NodeId,
    /// Kafka's cluster id: binds the state to one Kafka.
    pub cluster_id: String,
    /// Kafka's id of the topic ALL, which a topic made anew under the same name does not share; empty where the broker has none.
    pub topic_id: String,
    /// The last record whose effects are in the database.
    pub applied: Offset,
    /// The hash of that record, compared with the record there on start.
    pub record_hash: RecordHash,
    /// The running hash of outcomes up to it.
    pub chain: Chain,
    /// The newest time of any record, in milliseconds since 1970: the log's clock made monotonic.
    pub clock_ms: i64,
    /// The version of the rules over SQL by which the records were judged.
    pub rule_set: u32,
    /// The members.
    pub membership: Membership,
    /// Outcomes below this are forgotten, whatever rows still lie there.
    pub low_water: Offset,
    /// Outcomes are remembered for this many offsets (W).
    pub window: u64,
    /// The chain at the last two multiples of 2^k for k = 8…40, for comparison with other nodes.
    pub points: Vec<ChainPoint>,
    /// The running digest of the rows changed, as far as they were counted when this was written; none: they are not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effects: Option<RunningEffects>,
    /// The newest check.
    #[serde(default)]
    pub check: CheckMark,
    /// The node could not execute the offset behind `applied`, and does not try again before that round is decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub halt: Option<Halt>,
    /// The database server was lost while it executed the offset behind `applied`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub losses: Option<Losses>,
    /// The node stopped because what it holds is not what the others hold. It does not continue on this database before that is resolved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diverged: Option<Diverged>,
}

/// Why a node stopped that differed from the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Diverged {
    /// The first offset known to differ.
    pub offset: Offset,
    /// The running digest with which it stopped, where its effects differed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effects: Option<RunningEffects>,
}

/// How often in a row the database server was lost while it executed one request alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Losses {
    /// The request.
    pub offset: Offset,
    /// How often.
    pub count: u32,
}

impl State {
    /// The state of a database that has applied nothing: what `node` at this log begins with.
    pub fn empty(node_id: NodeId, cluster_id: String, topic_id: String) -> Self {
        Self {
            node_id,
            cluster_id,
            topic_id,
            applied: Offset::ZERO,
            record_hash: RecordHash::default(),
            chain: Chain::default(),
            clock_ms: 0,
            rule_set: kluster_sql::RULE_SET_VERSION,
            membership: Membership::default(),
            low_water: Offset::ZERO,
            window: DEFAULT_WINDOW,
            points: Vec::new(),
            check: CheckMark::default(),
            halt: None,
            losses: None,
            effects: None,
            diverged: None,
        }
    }

    /// The oldest offset that dedupe looks at for a record at `offset`.
    pub fn floor(&self, offset: Offset) -> Offset {
        self.low_water.max(offset.back(self.window))
    }

    /// Moves on over one record that came to this.
    pub fn advance(&mut self, record: &Record, hash: RecordHash, came: Came<'_>) {
        self.applied = record.offset;
        self.record_hash = hash;
        self.chain = self.chain.after(record.offset, &hash, came);
        self.clock_ms = self.clock_ms.max(record.timestamp_ms);
        self.low_water = self.floor(record.offset);
        self.halt = self.halt.take().filter(|halt| halt.offset > record.offset);
        self.losses = self.losses.filter(|losses| losses.offset > record.offset);
        self.note_point();
    }

    /// Applies the content of the control record at the applied offset.
    pub fn control(&mut self, control: &Control) {
        self.membership.apply(control);
        let Control::Check { id, replaces, attempt } = control else { return };
        let newest = &self.check;
        let is_new = replaces.map_or(newest.number == 0 || newest.id != *id, |number| number == newest.number);
        if is_new {
            let (number, attempt) = (newest.number + 1, *attempt);
            self.check = CheckMark { number, id: id.clone(), offset: self.applied, attempt, at_ms: self.clock_ms };
        }
    }

    /// Keeps the chain at the last two multiples of 2^k, for k = 8…40. A hole may take the multiple itself; then no node has it.
    fn note_point(&mut self) {
        let number = self.applied.get();
        if !number.is_multiple_of(256) {
            return;
        }
        self.points.insert(0, ChainPoint { offset: self.applied, chain: self.chain });
        let mut seen = [0_u8; 41];
        self.points.retain(|point| {
            let mut wanted = false;
            for (k, seen) in seen.iter_mut().enumerate().skip(8) {
                if point.offset.get().is_multiple_of(1 << k) && *seen < 2 {
                    *seen += 1;
                    wanted = true;
                }
            }
            wanted
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(offset: u64, timestamp_ms: i64) -> Record {
        let offset = Offset::new(offset);
        Record { partition: 0, offset, timestamp_ms, key: None, headers: vec![], value: None }
    }

    fn state() -> State {
        State::empty("n1".into(), "k".into(), "t".into())
    }

    #[test]
    fn clock_never_goes_back_and_low_water_only_rises() {
        let mut state = State { window: 10, ..state() };
        for (offset, time, clock, low) in [(5, 100, 100, 0), (30, 50, 100, 20), (31, 200, 200, 21)] {
            let record = record(offset, time);
            state.advance(&record, record.hash(), Came::PASSED);
            assert_eq!((state.clock_ms, state.low_water.get()), (clock, low));
        }
        state.window = 1000;
        assert_eq!(state.floor(Offset::new(40)).get(), 21);
    }

    #[test]
    fn of_the_checks_that_replace_one_the_first_holds() {
        let mut state = state();
        let mut check = |offset: u64, id: &str, replaces: Option<u64>| {
            let record = record(offset, offset as i64);
            state.advance(&record, record.hash(), Came::PASSED);
            state.control(&Control::Check { id: id.to_owned(), replaces, attempt: 0 });
            (state.check.number, state.check.id.clone(), state.check.offset.get())
        };
        assert_eq!(check(3, "a", Some(0)), (1, "a".into(), 3));
        assert_eq!(check(4, "b", Some(0)), (1, "a".into(), 3), "stale");
        assert_eq!(check(5, "c", None), (2, "c".into(), 5), "in any case");
        assert_eq!(check(6, "c", None), (2, "c".into(), 5), "a resent one");
        assert_eq!(check(7, "c", Some(2)), (3, "c".into(), 7), "repeated");
    }

    #[test]
    fn any_two_nodes_share_a_point() {
        let at = |last: u64| {
            let mut state = state();
            (0..=last).for_each(|n| {
                let record = record(n, 0);
                state.advance(&record, record.hash(), Came::PASSED);
            });
            state
        };
        let (behind, ahead) = (at(700), at(5000));
        assert!(ahead.points.len() <= 66);
        let shared = ahead.points.iter().filter(|point| behind.points.contains(point)).count();
        assert!(shared > 0, "{:?} {:?}", behind.points, ahead.points);
    }
}
