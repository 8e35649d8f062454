//! Tests of the council and the proposer: whose sums stop whom, what a restart remembers, and who asks for checks.

use super::*;
use crate::state::State;
use kluster_log::MemoryLog;
use kluster_protocol::check::{CheckMark, Progress, Sum};
use kluster_protocol::{DIVERGED, Heartbeat, Membership, NodeState};
use std::collections::BTreeMap;
use std::time::Duration;

const THREE: [&str; 3] = ["n1", "n2", "n3"];

fn mark(number: u64) -> CheckMark {
    CheckMark { number, id: format!("c{number}"), offset: Offset::new(10 * number), ..CheckMark::default() }
}

fn report(node: &str, number: u64, sum: i128) -> CheckReport {
    CheckReport {
        node_id: node.into(),
        topic_id: None,
        dbms: "SQLite".into(),
        form: 0,
        check: mark(number),
        progress: Progress::Done,
        tables: BTreeMap::from([("person".to_owned(), Sum { rows: 1, sum })]),
        skipped: BTreeMap::new(),
        narrowed: BTreeMap::new(),
        differs: false,
    }
}

/// n1 at offset 10, a voter of three.
fn status() -> Status {
    let status = Status::default();
    let mut state = State::empty("n1".into(), "k".into(), "t".into());
    state.applied = Offset::new(10);
    state.membership = Membership { version: 3, voters: THREE.map(Into::into).to_vec(), observers: vec![] };
    status.applied(&state);
    status
}

struct Seat {
    council: Council,
    witness: Witness,
    status: Status,
}

impl Seat {
    /// n1, whose sums are 1.
    fn n1() -> Self {
        let mut council = Council::new("n1".into(), "t".into(), "SQLite".into());
        council.hear(report("n1", 1, 1), true);
        let witness = Witness::new(
            crate::effects::Run { node: "n1".into(), instance_id: "i".into() },
            "t".into(),
            Instant::now(),
        );
        Self { council, witness, status: status() }
    }

    fn hears(&mut self, report: CheckReport) -> Option<Difference> {
        self.council.hear(report, false);
        self.council.judge(&self.witness, &self.status, Instant::now()).map(|judged| judged.difference)
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_alone_stops_and_who_is_with_the_majority_goes_on() {
    let mut minority = Seat::n1();
    let open = minority.hears(report("n2", 1, 2)).unwrap();
    assert!(!open.stops, "n3 may share its sums");
    let found = minority.hears(report("n3", 1, 2)).unwrap();
    assert!(found.stops && found.cause.code == DIVERGED);
    for word in ["c1", "offset 10", "person", "n2", "n3"] {
        assert!(found.cause.message.contains(word), "{}", found.cause.message);
    }
    let mut majority = Seat::n1();
    assert_eq!(majority.hears(report("n2", 1, 1)), None);
    assert!(!majority.hears(report("n3", 1, 2)).unwrap().stops);
}

#[tokio::test(start_paused = true)]
async fn only_like_is_compared() {
    let mut seat = Seat::n1();
    assert_eq!(seat.hears(report("n2", 2, 2)), None, "another check");
    assert_eq!(seat.hears(CheckReport { dbms: "MariaDB".into(), ..report("n2", 1, 2) }), None);
    assert_eq!(seat.hears(CheckReport { form: 1, ..report("n2", 1, 2) }), None);
    assert_eq!(seat.hears(CheckReport { topic_id: Some("other".into()), ..report("n2", 1, 2) }), None);
    assert_eq!(seat.hears(CheckReport { progress: Progress::Superseded, ..report("n2", 1, 2) }), None);
    let skipped = BTreeMap::from([("person".to_owned(), "why".to_owned())]);
    let not_compared = CheckReport { skipped, tables: BTreeMap::new(), ..report("n2", 1, 2) };
    assert_eq!(seat.hears(not_compared), None, "what one node cannot sum is not compared");
}

#[tokio::test(start_paused = true)]
async fn of_two_that_differ_while_the_third_is_gone_both_stop() {
    let mut seat = Seat::n1();
    let mut beat = |at: Duration| {
        let heartbeat = Heartbeat { membership: Membership::default(), ..heartbeat("n1") };
        seat.witness.hear(heartbeat, Instant::now() + at);
    };
    (1..10).for_each(|second| beat(Duration::from_secs(second)));
    seat.council.hear(report("n2", 1, 2), false);
    let late = Instant::now() + Duration::from_secs(10);
    assert!(seat.council.judge(&seat.witness, &seat.status, late).unwrap().difference.stops);
}

fn heartbeat(node: &str) -> Heartbeat {
    let state = serde_json::to_value(NodeState::Ready).unwrap();
    serde_json::from_value(serde_json::json!({
        "nodeId": node, "instanceId": "i", "state": state, "applied": 10, "chain": null,
        "membership": {"version": 0, "voters": [], "observers": []},
        "dbms": "SQLite", "dbmsVersion": "3", "version": "0", "ruleSet": 1, "atMs": 0
    }))
    .unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_node_that_stopped_stays_stopped_on_that_database_only() {
    let mut seat = Seat::n1();
    assert_eq!(seat.council.marked(&seat.status), None);
    let said = seat.council.stopped().unwrap();
    assert!(said.differs);
    let mut again = Seat::n1();
    again.council.hear(said.clone(), true);
    assert!(again.council.marked(&again.status).unwrap().cause.message.contains("stays stopped"));
    assert_eq!(again.council.forget_former(&again.status), None);
    // Emptied, it begins anew.
    again.status = Status::default();
    assert_eq!(again.council.marked(&again.status), None);
    assert_eq!(again.council.forget_former(&again.status), Some("n1".into()));
    assert!(again.council.own().is_none());
}

#[tokio::test(start_paused = true)]
async fn voters_ask_one_after_the_other_and_once_for_each_check() {
    let memory = MemoryLog::new();
    let log = Log::memory(memory.clone());
    let mut state = State::empty("n2".into(), "k".into(), "t".into());
    state.membership = Membership { version: 3, voters: THREE.map(Into::into).to_vec(), observers: vec![] };
    let every = CheckEvery { offsets: Some(100), seconds: Some(60) };
    let mut first = Proposer::new("n1".into(), every, 0);
    let mut second = Proposer::new("n2".into(), every, 0);
    let mut stranger = Proposer::new("n9".into(), every, 0);
    let records = || memory.records(Topic::All, 0).len();
    state.applied = Offset::new(99);
    first.ask(&log, &state, 59_999, true).await;
    assert_eq!(records(), 0, "not due");
    state.applied = Offset::new(100);
    for _ in 0..3 {
        second.ask(&log, &state, 0, true).await;
        stranger.ask(&log, &state, 0, true).await;
        assert_eq!(records(), 0, "the first voter's turn");
    }
    first.ask(&log, &state, 0, true).await;
    first.ask(&log, &state, 0, true).await;
    assert_eq!(records(), 1, "asked once");
    tokio::time::advance(Duration::from_secs(3)).await;
    second.ask(&log, &state, 0, true).await;
    assert_eq!(records(), 2, "the first may not have got through");
    // Of the two records one changes something.
    for record in memory.records(Topic::All, 0) {
        state.control(&serde_json::from_slice(record.value.as_deref().unwrap()).unwrap());
    }
    assert_eq!(state.check.number, 1);
    first.ask(&log, &state, 59_999, true).await;
    assert_eq!(records(), 2);
    first.ask(&log, &state, 60_000, true).await;
    assert_eq!(records(), 3, "by time");
    let never = CheckEvery { offsets: Some(0), seconds: Some(0) };
    state.applied = Offset::new(1 << 30);
    Proposer::new("n1".into(), never, 0).ask(&log, &state, u64::MAX, true).await;
    assert_eq!(records(), 3);
    // By default sooner where effects are not compared.
    state.applied = state.check.offset;
    let mut usual = Proposer::new("n1".into(), CheckEvery::default(), 0);
    let part = SECONDS / OFTENER * 1000;
    usual.ask(&log, &state, part, true).await;
    assert_eq!(records(), 3);
    usual.ask(&log, &state, part, false).await;
    assert_eq!(records(), 4);
}
