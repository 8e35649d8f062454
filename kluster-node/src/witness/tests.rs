mod effects;

use super::entry::Entry;
use super::watch::{Hears, Watch};
use super::*;
use crate::effects::EffectsBy;
use crate::report::Reporter;
use crate::state::{Diverged, State};
use kluster_log::{Log, MemoryLog, NewRecord};
use kluster_protocol::{
    Came, Chain, ChainPoint, DIVERGED, Effects, EffectsMeans, ErrorClass, Fingerprint, RecordHash, RunningEffects,
    SystemError, Topic,
};
use std::sync::Arc;

const SECOND: Duration = Duration::from_secs(1);

/// The chain of those who did what the log says.
fn right(offset: u64) -> Chain {
    Chain::default().after(Offset::new(offset), &RecordHash::default(), Came::PASSED)
}

/// The chain of one who did something else.
fn wrong(offset: u64) -> Chain {
    Chain::default().after(Offset::new(offset), &RecordHash::default(), Came::Refused)
}

fn members(version: u64, voters: &[&str]) -> Membership {
    Membership { version, voters: voters.iter().map(|name| NodeId::from(*name)).collect(), observers: vec![] }
}

fn run(node: &str) -> Run {
    Run { node: node.into(), instance_id: "i".into() }
}

const THREE: [&str; 3] = ["n1", "n2", "n3"];

/// What a node says whose requests at these offsets had these effects.
fn effects(since: Option<u64>, each: &[(u64, u128)], through: u64) -> RunningEffects {
    let mut counted = RunningEffects::begin(EffectsMeans::Decoded, since.map(Offset::new));
    for (offset, effects) in each.iter().filter(|(offset, _)| *offset <= through) {
        counted.advance(Offset::new(*offset), Effects::from(*effects));
    }
    counted.advance(Offset::new(through), Effects::NONE);
    counted
}

/// A node among others, with a clock that its own heartbeats move.
struct Seat {
    witness: Witness,
    status: Status,
    state: State,
    now: Instant,
}

impl Seat {
    fn of(node: &str, voters: &[&str]) -> Self {
        let now = Instant::now();
        let witness = Witness::new(run(node), "topic".into(), now);
        let state = State::empty(node.into(), "kafka".into(), "topic".into());
        Self { witness, status: Status::default(), state: State { membership: members(3, voters), ..state }, now }
    }

    fn applies(&mut self, offset: u64, chain: Chain) {
        (self.state.applied, self.state.chain) = (Offset::new(offset), chain);
        self.status.applied(&self.state);
    }

    fn hears(&mut self, heartbeat: Heartbeat) -> &'static str {
        self.witness.hear(heartbeat, self.now);
        self.verdict()
    }

    /// Its DBMS learns, some time later, what its requests changed.
    fn changed(&mut self, since: Option<u64>, each: &[(u64, u128)], through: u64) {
        let begins = RunningEffects::begin(EffectsMeans::Decoded, since.map(Offset::new));
        self.status.effects().holds("PostgreSQL", &EffectsBy::Means(EffectsMeans::Decoded), Some(&begins));
        let each: Vec<_> = each.iter().map(|(at, effects)| (Offset::new(*at), Effects::from(*effects))).collect();
        self.status.effects().through(Offset::new(through), &each);
    }

    /// So many seconds pass; this node's own heartbeats come back.
    fn beats(&mut self, times: u32) -> &'static str {
        for _ in 0..times {
            self.now += SECOND;
            self.witness.hear(beat(self.witness.run.node.as_str(), 0, right(0)), self.now);
        }
        self.verdict()
    }

    fn verdict(&mut self) -> &'static str {
        match self.witness.judge(&self.status, self.now) {
            Verdict::Agrees => "agrees",
            Verdict::Outvoted(_) => "outvoted",
            Verdict::Open(_) => "open",
            Verdict::Stop(_) => "stops",
        }
    }
}

fn beat(node: &str, offset: u64, chain: Chain) -> Heartbeat {
    Heartbeat {
        node_id: node.into(),
        instance_id: "i".into(),
        state: NodeState::Ready,
        topic_id: Some("topic".into()),
        applied: Some(Offset::new(offset)),
        chain: Some(chain),
        points: vec![],
        effects: None,
        membership: members(3, &THREE),
        window: None,
        halt: None,
        obeys: None,
        may_have_applied: None,
        running: None,
        dbms: "SQLite".into(),
        dbms_version: "3".into(),
        version: "0".into(),
        rule_set: 1,
        http: None,
        at_ms: 0,
    }
}

fn starting(node: &str) -> Heartbeat {
    Heartbeat { state: NodeState::Starting, applied: None, chain: None, ..beat(node, 0, right(0)) }
}

fn stopped(node: &str, offset: u64, chain: Chain, code: &str) -> Heartbeat {
    let state = NodeState::Stopped { offset: Offset::new(offset + 1), round: 0, code: code.into() };
    Heartbeat { state, ..beat(node, offset, chain) }
}

#[tokio::test(start_paused = true)]
async fn of_three_the_one_that_differs_stops_and_two_go_on() {
    let mut n2 = Seat::of("n2", &THREE);
    n2.applies(7, wrong(7));
    assert_eq!(n2.hears(beat("n1", 7, right(7))), "open", "n3 may have this chain too");
    assert_eq!(n2.hears(beat("n3", 6, right(6))), "open");
    assert_eq!(n2.hears(beat("n3", 7, right(7))), "stops");
    let mut n1 = Seat::of("n1", &THREE);
    n1.applies(7, right(7));
    assert_eq!(n1.hears(beat("n2", 7, wrong(7))), "open");
    assert_eq!(n1.hears(beat("n3", 7, right(7))), "outvoted");
    n1.applies(9, right(9));
    assert_eq!(n1.hears(stopped("n2", 7, wrong(7), DIVERGED)), "outvoted");
    // What was shared stays shared, whoever goes or starts again behind.
    assert_eq!(n1.beats(10), "outvoted");
    assert_eq!(n1.hears(starting("n3")), "outvoted");
}

#[tokio::test(start_paused = true)]
async fn of_two_that_differ_nobody_is_right() {
    let two = ["n1", "n2"];
    let said = |node, chain| Heartbeat { membership: members(3, &two), ..beat(node, 7, chain) };
    let mut n1 = Seat::of("n1", &two);
    n1.applies(7, right(7));
    assert_eq!(n1.hears(said("n2", wrong(7))), "stops");
    let mut n2 = Seat::of("n2", &two);
    n2.applies(7, wrong(7));
    assert_eq!(n2.hears(said("n1", right(7))), "stops");
}

#[tokio::test(start_paused = true)]
async fn who_is_gone_can_vouch_for_nobody_and_who_is_late_is_awaited() {
    let mut n1 = Seat::of("n1", &THREE);
    n1.applies(7, right(7));
    n1.hears(beat("n3", 5, right(5)));
    assert_eq!(n1.hears(beat("n2", 7, wrong(7))), "open");
    assert_eq!(n1.beats(4), "open", "n3 is not gone yet");
    n1.now += 60 * SECOND;
    assert_eq!(n1.verdict(), "open", "the log may be what is silent");
    assert_eq!(n1.beats(1), "stops", "no majority can have this chain: n2 differs and n3 is gone");
    let mut n1 = Seat::of("n1", &THREE);
    n1.applies(7, right(7));
    n1.hears(beat("n2", 7, wrong(7)));
    assert_eq!(n1.hears(stopped("n3", 5, right(5), "XX000")), "stops", "n3 will not get there");
    let mut n1 = Seat::of("n1", &THREE);
    n1.applies(7, right(7));
    assert_eq!(n1.beats(60), "agrees", "silence alone says nothing of the data");
}

#[tokio::test(start_paused = true)]
async fn only_voters_stop_a_voter_and_an_observer_that_differs_from_them_stops() {
    let mut n1 = Seat::of("n1", &THREE);
    n1.applies(7, right(7));
    for observer in ["o1", "o2", "o3"] {
        assert_eq!(n1.hears(beat(observer, 7, wrong(7))), "agrees");
    }
    let mut observer = Seat::of("o1", &THREE);
    observer.applies(7, wrong(7));
    assert_eq!(observer.hears(beat("n1", 7, right(7))), "open");
    assert_eq!(observer.hears(beat("n2", 7, wrong(7))), "open");
    assert_eq!(observer.hears(beat("n3", 7, right(7))), "stops");
    // Before anybody votes nobody is outvoted.
    let mut first = Seat::of("n1", &[]);
    first.applies(7, wrong(7));
    let alone = Heartbeat { membership: members(0, &[]), ..beat("n2", 7, right(7)) };
    assert_eq!(first.hears(alone), "agrees");
}

#[tokio::test(start_paused = true)]
async fn nodes_that_share_no_place_compare_at_their_points() {
    let mut n2 = Seat::of("n2", &THREE);
    let point = |chain| vec![ChainPoint { offset: Offset::new(256), chain }];
    n2.state.points = point(wrong(256));
    n2.applies(300, wrong(300));
    let other = |node, at| Heartbeat { points: point(right(256)), ..beat(node, at, right(at)) };
    assert_eq!(n2.hears(other("n1", 900)), "open");
    assert_eq!(n2.hears(other("n3", 511)), "stops");
}

#[tokio::test(start_paused = true)]
async fn a_node_is_compared_where_it_was_a_moment_ago() {
    let mut n1 = Seat::of("n1", &THREE);
    (1..=2 * 1024).for_each(|offset| n1.applies(offset, right(offset)));
    assert_eq!(n1.hears(beat("n2", 2000, wrong(2000))), "open");
    assert_eq!(n1.hears(beat("n3", 2001, right(2001))), "outvoted", "who agrees further on agreed there");
    assert_eq!(n1.hears(beat("n2", 5, wrong(5))), "agrees", "emptied: what it said before is no fact any more");
}

#[tokio::test(start_paused = true)]
async fn an_emptied_node_counts_by_what_it_says_now() {
    let mut n1 = Seat::of("n1", &THREE);
    n1.applies(7, right(7));
    n1.hears(beat("n3", 7, right(7)));
    assert_eq!(n1.hears(stopped("n2", 7, wrong(7), DIVERGED)), "outvoted");
    assert_eq!(n1.hears(starting("n2")), "agrees");
    assert_eq!(n1.hears(beat("n2", 7, right(7))), "agrees");
    // The other two differ now, and are the majority.
    assert_eq!(n1.hears(beat("n2", 7, wrong(7))), "outvoted");
    assert_eq!(n1.hears(beat("n3", 7, wrong(7))), "stops");
}

#[tokio::test(start_paused = true)]
async fn another_log_says_nothing_and_the_newest_membership_says_who_votes() {
    let mut n2 = Seat::of("n2", &THREE);
    n2.applies(7, wrong(7));
    for node in ["n1", "n3"] {
        let elsewhere = Heartbeat { topic_id: Some("another".into()), ..beat(node, 7, right(7)) };
        assert_eq!(n2.hears(elsewhere), "agrees");
    }
    // What it knows of itself is old: by now n1 does not vote, and n4, n5 do.
    let newer = |node, chain| Heartbeat { membership: members(9, &["n2", "n4", "n5"]), ..beat(node, 7, chain) };
    assert_eq!(n2.hears(newer("n1", right(7))), "agrees");
    assert_eq!(n2.hears(newer("n4", right(7))), "open");
    assert_eq!(
        n2.hears(Heartbeat { topic_id: None, ..newer("n5", right(7)) }),
        "stops",
        "an older Kluster names no topic"
    );
}

#[tokio::test(start_paused = true)]
async fn who_stopped_for_it_stays_stopped_until_its_database_is_another() {
    let restarted = |applied: u64, chain: Chain| {
        let mut n2 = Seat::of("n2", &THREE);
        n2.applies(applied, chain);
        n2.witness.remember_own(&stopped("n2", 7, wrong(7), DIVERGED));
        n2
    };
    let is_marked = |seat: &mut Seat| seat.witness.marked(&seat.status).is_some();
    // The others have gone far, and share no offset with it.
    let mut same = restarted(7, wrong(7));
    same.hears(beat("n1", 9000, right(9000)));
    assert_eq!(same.hears(beat("n3", 9000, right(9000))), "agrees");
    assert!(is_marked(&mut same));
    assert!(!is_marked(&mut restarted(3, right(3))), "restored from before");
    assert!(!is_marked(&mut restarted(7, right(7))), "refilled");
    let mut emptied = restarted(7, wrong(7));
    emptied.status = Status::default();
    assert!(!is_marked(&mut emptied));
    // A person took it out, or a majority turned out to be where it is.
    let mut left = restarted(7, wrong(7));
    left.hears(Heartbeat { membership: members(4, &["n1", "n3"]), ..beat("n1", 9000, right(9000)) });
    assert!(!is_marked(&mut left));
    let mut cleared = restarted(7, wrong(7));
    cleared.hears(beat("n1", 7, wrong(7)));
    assert!(!is_marked(&mut cleared));
    let mut other = restarted(7, wrong(7));
    other.witness.remember_own(&stopped("n2", 7, wrong(7), "XX000"));
    assert!(!is_marked(&mut other), "stopped for something else");
}

#[tokio::test(start_paused = true)]
async fn what_it_says_names_both_chains_and_what_to_do() {
    let mut n2 = Seat::of("n2", &THREE);
    n2.applies(7, wrong(7));
    n2.hears(beat("n1", 7, right(7)));
    n2.hears(beat("n3", 7, right(7)));
    let Verdict::Stop(finding) = n2.witness.judge(&n2.status, n2.now) else { panic!() };
    let cause = finding.stops();
    assert_eq!(cause.code, "diverged");
    let expected = format!(
        "at offset 7 this node has chain {0}, n1 has {1}; at offset 7 this node has chain {0}, n3 has {1}; with the same chain: n2 (of 3 voters); this database is not what the majority of voters holds",
        wrong(7),
        right(7)
    );
    assert!(cause.message.starts_with(&expected), "{}", cause.message);
    assert!(cause.message.contains("empty that database, and start its node"), "{}", cause.message);
}

/// n2 with the wrong chain at 7, and the log that it follows.
fn astray(memory: &MemoryLog) -> Watch {
    let mut n2 = Seat::of("n2", &THREE);
    n2.applies(7, wrong(7));
    let log = Log::memory(memory.clone());
    let reporter = Reporter::new(log.clone(), "n2".into(), Arc::new(|| 0));
    let hearing = crate::clerk::Hearing::new("n2".into(), "topic".into());
    let checks = crate::check::Checks::new("n2".into(), "topic".into(), "SQLite".into());
    let entry = Entry::new("n2".into(), "topic".into(), Fingerprint::default());
    Watch::new(run("n2"), "topic".into(), log, n2.status, Hears { reporter, hearing, checks, entry })
}

async fn say(memory: &MemoryLog, heartbeat: &Heartbeat) {
    let record = NewRecord::of(serde_json::to_vec(heartbeat).unwrap()).keyed(heartbeat.node_id.to_string());
    Log::memory(memory.clone()).append(Topic::Nodes, None, record).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn before_it_serves_it_is_compared_with_what_each_node_said_last() {
    let memory = MemoryLog::new();
    for node in ["n1", "n3"] {
        say(&memory, &beat(node, 7, right(7))).await;
    }
    let stopped = astray(&memory).begin().await.unwrap().stopped;
    assert_eq!((stopped.offset.get(), stopped.fault.cause().code.as_str()), (8, "diverged"));
    let error = memory.records(Topic::Errors, 0).pop().unwrap().value.unwrap();
    let error: SystemError = serde_json::from_slice(&error).unwrap();
    assert_eq!((error.class, error.offset, error.request_id), (ErrorClass::Fatal, Some(Offset::new(7)), None));
    // Emptied since: what lies further back in NODES is no fact any more.
    say(&memory, &starting("n3")).await;
    assert!(astray(&memory).begin().await.is_none());
    say(&memory, &stopped_here()).await;
    assert!(astray(&memory).begin().await.is_some(), "it stopped for that before");
}

fn stopped_here() -> Heartbeat {
    stopped("n2", 7, wrong(7), DIVERGED)
}

#[tokio::test(start_paused = true)]
async fn trouble_of_the_log_does_not_end_the_watch() {
    let memory = MemoryLog::new();
    say(&memory, &beat("n1", 6, right(6))).await;
    let mut watch = astray(&memory);
    assert!(watch.begin().await.is_none());
    let (stops, stopped) = tokio::sync::oneshot::channel();
    let watching = tokio::spawn(watch.run(stops));
    memory.recreate(Topic::Nodes);
    for node in ["n1", "n3"] {
        tokio::time::advance(SECOND).await;
        say(&memory, &beat(node, 7, right(7))).await;
    }
    let stopped = tokio::time::timeout(60 * SECOND, stopped).await.expect("it reads anew").unwrap().stopped;
    assert_eq!(stopped.fault.cause().code, "diverged");
    assert!(!watching.is_finished(), "it hears on");
    watching.abort();
}

#[tokio::test(start_paused = true)]
async fn while_it_is_open_who_is_right_it_goes_on_and_says_so_once() {
    let memory = MemoryLog::new();
    let mut watch = astray(&memory);
    assert!(watch.begin().await.is_none());
    let (stops, mut stopped) = tokio::sync::oneshot::channel();
    let watching = tokio::spawn(watch.run(stops));
    for _ in 0..3 {
        say(&memory, &beat("n1", 7, right(7))).await;
        tokio::time::sleep(SECOND).await;
    }
    assert!(stopped.try_recv().is_err());
    let alarms = memory.records(Topic::Errors, 0);
    assert_eq!(alarms.len(), 1);
    let alarm: SystemError = serde_json::from_slice(alarms[0].value.as_deref().unwrap()).unwrap();
    assert_eq!((alarm.class, alarm.code.as_deref()), (ErrorClass::Alarm, Some("diverged")));
    assert!(alarm.message.contains("until n3 has said its chain there, this node goes on"), "{}", alarm.message);
    watching.abort();
}
