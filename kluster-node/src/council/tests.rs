//! The rule over heartbeats, also where they come from nodes that fail alone, are gone, or come back.

use super::*;
use kluster_protocol::{HELD, Heartbeat, NodeState};

const N: Offset = Offset::new(7);
const BEFORE: u64 = 6;

pub(crate) fn beat(node: &str, applied: u64) -> Heartbeat {
    Heartbeat {
        node_id: node.into(),
        instance_id: String::new(),
        state: NodeState::Ready,
        topic_id: None,
        applied: Some(Offset::new(applied)),
        chain: None,
        points: Vec::new(),
        effects: None,
        membership: members(),
        window: None,
        halt: None,
        obeys: None,
        may_have_applied: None,
        running: None,
        dbms: "SQLite".into(),
        dbms_version: String::new(),
        version: String::new(),
        rule_set: 1,
        http: None,
        at_ms: 0,
    }
}

fn members() -> Membership {
    Membership { version: 4, voters: ["n1", "n2", "n3"].map(NodeId::from).to_vec(), observers: vec!["o".into()] }
}

fn stopped(node: &str, round: u32, code: &str) -> Heartbeat {
    let halt =
        Halt { offset: N, round, code: code.into(), message: String::new(), request_id: String::new(), since_ms: 0 };
    let state = NodeState::Stopped { offset: N, round, code: code.into() };
    Heartbeat { halt: Some(halt), state, ..beat(node, BEFORE) }
}

/// A node that obeys the decision at place 0.
fn obeying(node: &str, applied: u64) -> Heartbeat {
    Heartbeat { obeys: Some(Offset::new(1)), ..beat(node, applied) }
}

fn council(heard: &[(Heartbeat, bool)]) -> Council {
    let voice = |(heartbeat, gone): &(Heartbeat, bool)| {
        (heartbeat.node_id.clone(), Voice { heartbeat: heartbeat.clone(), gone: *gone })
    };
    Council { membership: members(), voices: heard.iter().map(voice).collect() }
}

fn live(heard: [Heartbeat; 3]) -> Council {
    council(&heard.map(|heartbeat| (heartbeat, false)))
}

fn decided(records: &[(u32, Ruling, &[&str])]) -> Decisions {
    let mut decisions = Decisions::default();
    for (at, (round, ruling, without)) in records.iter().enumerate() {
        let without = without.iter().map(|node| NodeId::from(*node)).collect();
        let (by, members) = (String::new(), Vec::new());
        let decision = Decision { offset: N, round: *round, ruling: *ruling, code: None, by, members, without };
        decisions.take(Offset::new(at as u64), decision);
    }
    decisions
}

fn judge(council: &Council, decisions: &Decisions) -> Finding {
    council.judge(N, decisions, "n1")
}

fn error(round: u32, code: &str, members: &[&str]) -> Finding {
    Finding::Decide(Decision {
        offset: N,
        round,
        ruling: Ruling::Error,
        code: Some(code.into()),
        by: "n1".into(),
        members: members.iter().map(|node| NodeId::from(*node)).collect(),
        without: Vec::new(),
    })
}

#[test]
fn what_all_live_voters_say_alike_is_decided() {
    let open = Decisions::default();
    let all = live(["n1", "n2", "n3"].map(|node| stopped(node, 0, "54000")));
    assert_eq!(judge(&all, &open), error(0, "54000", &["n1", "n2", "n3"]));
    let two = council(&[(stopped("n1", 0, "a"), false), (stopped("n2", 0, "a"), false), (beat("n3", BEFORE), true)]);
    assert_eq!(judge(&two, &open), error(0, "a", &["n1", "n2"]));
    // Who has no vote is not asked, wherever it is.
    let mut watched = two.clone();
    watched.voices.insert("o".into(), Voice { heartbeat: beat("o", 9), gone: false });
    assert_eq!(judge(&watched, &open), error(0, "a", &["n1", "n2"]));
}

#[test]
fn one_voter_alone_decides_for_itself() {
    let mut alone = council(&[(stopped("n1", 0, "54000"), false)]);
    alone.membership = Membership { version: 1, voters: vec!["n1".into()], observers: Vec::new() };
    assert_eq!(judge(&alone, &Decisions::default()), error(0, "54000", &["n1"]));
}

#[test]
fn a_live_node_that_has_not_joined_is_not_asked_by_the_rule_but_by_a_person() {
    let mut met = live(["n1", "n2", "n3"].map(|node| stopped(node, 0, "54000")));
    // Wherever it is: before the offset, or beyond it.
    for applied in [BEFORE, 9] {
        met.voices.insert("new".into(), Voice { heartbeat: beat("new", applied), gone: false });
        assert_eq!(judge(&met, &Decisions::default()), error(0, "54000", &["n1", "n2", "n3"]));
    }
    let wish = || Wish { offset: N, ruling: Ruling::Error, without: Vec::new(), by: "me".into() };
    let refused = met.resolve(&Decisions::default(), wish()).unwrap_err();
    assert!(refused.contains("new applied offset 7"), "{refused}");
    met.voices.insert("new".into(), Voice { heartbeat: beat("new", BEFORE), gone: false });
    let refused = met.resolve(&Decisions::default(), wish()).unwrap_err();
    assert!(refused.contains("new is up and does not wait at offset 7"), "{refused}");
}

#[test]
fn one_node_that_fails_alone_waits_and_nothing_is_decided() {
    let open = Decisions::default();
    let alone = live([stopped("n1", 0, "57P01"), beat("n2", 9), beat("n3", BEFORE)]);
    assert_eq!(judge(&alone, &open), Finding::Person(Why::Passed(vec!["n2".into()])));
    // Not even where the others have not come so far yet.
    let first = live([stopped("n1", 0, "57P01"), beat("n2", BEFORE), beat("n3", BEFORE)]);
    assert_eq!(judge(&first, &open), Finding::Awaits(vec!["n2".into(), "n3".into()]));
}

#[test]
fn a_voter_that_was_ever_heard_of_beyond_forbids_the_decision() {
    let gone = council(&[(stopped("n1", 0, "a"), false), (stopped("n2", 0, "a"), false), (beat("n3", 7), true)]);
    assert_eq!(judge(&gone, &Decisions::default()), Finding::Person(Why::Passed(vec!["n3".into()])));
}

#[test]
fn unlike_codes_and_a_missing_majority_are_for_a_person() {
    let open = Decisions::default();
    let unlike = live([stopped("n1", 0, "a"), stopped("n2", 0, "b"), stopped("n3", 0, "a")]);
    assert_eq!(judge(&unlike, &open), Finding::Person(Why::Unlike));
    let lonely = council(&[(stopped("n1", 0, "a"), false), (stopped("n2", 0, "a"), true)]);
    assert_eq!(judge(&lonely, &open), Finding::Person(Why::Gone(vec!["n2".into(), "n3".into()])));
    let mut nobody = live(["n1", "n2", "n3"].map(|node| stopped(node, 0, "a")));
    nobody.membership = Membership::default();
    assert_eq!(judge(&nobody, &open), Finding::Person(Why::NoVoters));
}

#[test]
fn a_heartbeat_of_an_earlier_round_or_of_a_hold_says_nothing() {
    let retried = decided(&[(0, Ruling::Retry, &[])]);
    let mixed = live([stopped("n1", 1, "a"), stopped("n2", 1, "a"), stopped("n3", 0, "a")]);
    assert_eq!(judge(&mixed, &retried), Finding::Awaits(vec!["n3".into()]));
    let all = live(["n1", "n2", "n3"].map(|node| stopped(node, 1, "a")));
    assert_eq!(judge(&all, &retried), error(1, "a", &["n1", "n2", "n3"]));
    let held = live([stopped("n1", 0, "a"), stopped("n2", 0, "a"), stopped("n3", 0, HELD)]);
    assert_eq!(judge(&held, &Decisions::default()), Finding::Awaits(vec!["n3".into()]));
    assert_eq!(judge(&all, &decided(&[(0, Ruling::Error, &[])])), Finding::Nothing);
}

#[test]
fn a_held_offset_is_cancelled_once_every_voter_has_promised() {
    let held = decided(&[(0, Ruling::Hold, &[])]);
    let all = live(["n1", "n2", "n3"].map(|node| obeying(node, BEFORE)));
    assert_eq!(judge(&all, &held), error(0, CANCELLED, &["n1", "n2", "n3"]));
    let late = live([obeying("n1", BEFORE), obeying("n2", 3), beat("n3", 3)]);
    assert_eq!(judge(&late, &held), Finding::Awaits(vec!["n3".into()]));
    // What a node promised it keeps, though it is gone by now.
    let gone = council(&[(obeying("n1", 6), false), (obeying("n2", 6), false), (obeying("n3", 6), true)]);
    assert_eq!(judge(&gone, &held), error(0, CANCELLED, &["n1", "n2", "n3"]));
    let mut watched = all.clone();
    watched.voices.insert("o".into(), Voice { heartbeat: beat("o", BEFORE), gone: false });
    assert_eq!(judge(&watched, &held), Finding::Awaits(vec!["o".into()]));
}

#[test]
fn a_held_offset_that_anyone_has_passed_keeps_its_own_outcome() {
    let held = decided(&[(0, Ruling::Hold, &["n3"])]);
    for passed in ["n3", "o"] {
        let mut council = live([obeying("n1", BEFORE), obeying("n2", BEFORE), beat("n3", BEFORE)]);
        council.voices.insert(passed.into(), Voice { heartbeat: beat(passed, 7), gone: true });
        let Finding::Decide(found) = judge(&council, &held) else { panic!("it is decided") };
        assert_eq!((found.ruling, found.round), (Ruling::Retry, 0));
    }
}

#[test]
fn a_voter_that_is_gone_without_a_promise_must_be_named() {
    let heard = [(obeying("n1", 6), false), (obeying("n2", 6), false), (beat("n3", 6), true)];
    assert_eq!(
        judge(&council(&heard), &decided(&[(0, Ruling::Hold, &[])])),
        Finding::Person(Why::Gone(vec!["n3".into()]))
    );
    let Finding::Decide(found) = judge(&council(&heard), &decided(&[(0, Ruling::Hold, &["n3"])])) else {
        panic!("it is decided")
    };
    assert_eq!((found.ruling, found.without), (Ruling::Error, vec!["n3".into()]));
    // Naming never makes a minority decide.
    let few = decided(&[(0, Ruling::Hold, &["n2", "n3"])]);
    assert!(matches!(judge(&council(&heard[..1]), &few), Finding::Person(Why::Gone(_))));
}

/// What it answered with the database that it lost may be with a client, and nobody remembers it.
#[test]
fn where_a_member_may_have_been_in_a_lost_database_its_outcome_holds() {
    let refills = Heartbeat { may_have_applied: Some(N), ..obeying("n3", 2) };
    let heard = [obeying("n1", BEFORE), obeying("n2", BEFORE), refills.clone()];
    let Finding::Decide(found) = judge(&live(heard.clone()), &decided(&[(0, Ruling::Hold, &[])])) else {
        panic!("not decided")
    };
    assert_eq!((found.ruling, found.members), (Ruling::Retry, vec!["n3".into()]));
    // A person who knows better names it.
    let Finding::Decide(found) = judge(&live(heard), &decided(&[(0, Ruling::Hold, &["n3"])])) else {
        panic!("not decided")
    };
    assert_eq!((found.ruling, found.code.as_deref()), (Ruling::Error, Some(CANCELLED)));

    // What all meet alike now is no cancel: a request that fails so has failed before.
    let open = Decisions::default();
    let third = Heartbeat { may_have_applied: Some(N), ..stopped("n3", 0, "XX1") };
    let alike = live([stopped("n1", 0, "XX1"), stopped("n2", 0, "XX1"), third]);
    assert_eq!(judge(&alike, &open), error(0, "XX1", &["n1", "n2", "n3"]));

    let wish = |without: &[&str]| Wish {
        offset: N,
        ruling: Ruling::Hold,
        without: without.iter().map(|node| NodeId::from(*node)).collect(),
        by: "me".into(),
    };
    let council = live([obeying("n1", BEFORE), obeying("n2", BEFORE), refills]);
    let refused = council.resolve(&open, wish(&[])).unwrap_err();
    assert!(refused.contains("n3 had another database before") && refused.contains("--without n3"), "{refused}");
    assert!(council.resolve(&open, wish(&["n3"])).is_ok());
}
