//! Nodes that agree by their chains and differ by the rows that their requests changed.

use super::*;
use kluster_protocol::{EffectsDetail, Kind, header};

/// A heartbeat that agrees by chain, with these effects.
fn changed(node: &str, at: u64, effects: &RunningEffects) -> Heartbeat {
    let report = Some(EffectsReport::of(effects));
    Heartbeat { effects: report, dbms: "PostgreSQL".into(), ..beat(node, at, right(at)) }
}

#[tokio::test(start_paused = true)]
async fn equal_chains_and_other_effects_stop_the_minority() {
    let (all, lost) = (&[(3, 3), (5, 5), (6, 6)][..], &[(3, 3), (5, 4), (6, 6)][..]);
    let mut n3 = Seat::of("n3", &THREE);
    n3.applies(7, right(7));
    n3.changed(None, lost, 7);
    assert_eq!(n3.hears(changed("n1", 7, &effects(None, all, 4))), "agrees", "up to 4 they do");
    assert_eq!(n3.hears(changed("n1", 7, &effects(None, all, 7))), "open");
    assert_eq!(n3.hears(changed("n2", 7, &effects(None, all, 6))), "stops");
    let mut n1 = Seat::of("n1", &THREE);
    n1.applies(7, right(7));
    n1.changed(None, all, 7);
    assert_eq!(n1.hears(changed("n3", 7, &effects(None, lost, 7))), "open");
    assert_eq!(n1.hears(changed("n2", 7, &effects(None, all, 7))), "outvoted");
}

#[tokio::test(start_paused = true)]
async fn nodes_that_began_to_count_at_unlike_offsets_compare_what_came_since() {
    let mut n1 = Seat::of("n1", &THREE);
    n1.applies(2000, right(2000));
    n1.changed(None, &[(3, 3), (1500, 15), (1900, 19)], 2000);
    let said = |each: &[(u64, u128)], through| changed("n2", through, &effects(Some(1000), each, through));
    assert_eq!(n1.hears(said(&[(1500, 15)], 1600)), "agrees");
    assert_eq!(n1.hears(said(&[(1500, 15), (1900, 19)], 1950)), "agrees");
    assert_eq!(n1.hears(said(&[(1500, 15), (1900, 18)], 1950)), "open");
    // It began anew, behind what differed: what was known of it says nothing any more.
    assert_eq!(n1.hears(changed("n2", 2000, &effects(Some(1950), &[], 2000))), "agrees");
}

#[tokio::test(start_paused = true)]
async fn who_began_later_is_compared_from_its_first_shared_point_on() {
    let mut n1 = Seat::of("n1", &THREE);
    n1.applies(2000, right(2000));
    n1.changed(None, &[(3, 3), (1100, 11), (1500, 15)], 2000);
    // Both 1280 and 1536 are in its points, and what it had at 1500 lies between.
    assert_eq!(n1.hears(changed("n2", 1600, &effects(Some(1200), &[(1500, 14)], 1600))), "open");
    assert_eq!(n1.hears(changed("n3", 1600, &effects(Some(1200), &[(1500, 15)], 1600))), "outvoted");
}

#[tokio::test(start_paused = true)]
async fn effects_of_another_kind_are_not_compared_and_have_no_say() {
    let mut n1 = Seat::of("n1", &THREE);
    n1.applies(7, right(7));
    n1.changed(None, &[(3, 3)], 7);
    let other_dbms = Heartbeat { dbms: "MariaDB".into(), ..changed("n2", 7, &effects(None, &[(3, 4)], 7)) };
    assert_eq!(n1.hears(other_dbms), "agrees");
    let mut other_means = effects(None, &[(3, 4)], 7);
    other_means.means = EffectsMeans::Wrapped;
    assert_eq!(n1.hears(changed("n2", 7, &other_means)), "agrees");
    assert_eq!(n1.hears(beat("n2", 7, right(7))), "agrees", "n2 says none");
    assert_eq!(n1.hears(changed("n3", 7, &effects(None, &[(3, 4)], 7))), "stops", "nobody can say who is right");
}

#[tokio::test(start_paused = true)]
async fn a_node_stopped_for_its_effects_stays_so_on_the_same_database() {
    let all = &[(3, 3)][..];
    let lost = effects(None, &[(3, 4)], 7);
    let report = EffectsReport { differs_at: Some(Offset::new(3)), ..EffectsReport::of(&lost) };
    let own = Heartbeat { effects: Some(report), ..stopped("n3", 7, right(7), DIVERGED) };
    for (theirs, marked) in [(effects(None, all, 7), true), (lost, false)] {
        let mut n3 = Seat::of("n3", &THREE);
        n3.applies(7, right(7));
        n3.witness.remember_own(&own);
        for node in ["n1", "n2"] {
            n3.witness.hear(changed(node, 7, &theirs), n3.now);
        }
        assert_eq!(n3.witness.marked(&n3.status).is_some(), marked, "equal chains clear no other effects");
    }
}

/// What each request changed, as n1 and n2 have it, and as n3 does.
const ALL: &[(u64, u128)] = &[(3, 3), (5, 5), (6, 6)];
const LOST: &[(u64, u128)] = &[(3, 3), (5, 4), (6, 6)];

/// n3, whose effects at 5 are other ones, in a log in which all agreed at 4.
fn astray_at_5() -> Seat {
    let mut n3 = Seat::of("n3", &THREE);
    n3.applies(7, right(7));
    n3.changed(None, LOST, 7);
    assert_eq!(n3.hears(changed("n1", 7, &effects(None, ALL, 4))), "agrees");
    assert_eq!(n3.hears(changed("n1", 7, &effects(None, ALL, 7))), "open");
    n3
}

/// The detail that a node publishes which counts like this.
fn detail(node: &str, instance: &str, after: u64, through: u64, each: &[(u64, u128)]) -> EffectsDetail {
    let within = each.iter().filter(|(at, _)| *at > after && *at <= through);
    EffectsDetail {
        node_id: node.into(),
        instance_id: instance.into(),
        means: EffectsMeans::Decoded,
        since: None,
        after: Some(Offset::new(after)),
        running: effects(None, each, after).running,
        through: Offset::new(through),
        each: within.map(|(at, effects)| (Offset::new(*at), Effects::from(*effects))).collect(),
    }
}

/// The first offset named when n3 stops.
fn named(n3: &mut Seat) -> Option<u64> {
    n3.witness.hear(changed("n2", 7, &effects(None, ALL, 7)), n3.now);
    let Verdict::Stop(finding) = n3.witness.judge(&n3.status, n3.now) else { panic!("it goes on") };
    finding.first.map(Offset::get)
}

#[tokio::test(start_paused = true)]
async fn the_first_offset_is_named_from_what_both_publish_behind_the_last_at_which_they_agreed() {
    let mut n3 = astray_at_5();
    let published = n3.witness.detail(&n3.status).expect("it differs");
    assert_eq!(published, detail("n3", "i", 4, 7, LOST));
    assert_eq!(n3.witness.detail(&n3.status), None, "once");
    assert_eq!(named(&mut n3), None);
    n3.witness.hear_detail(detail("n1", "i", 4, 7, ALL));
    assert_eq!(named(&mut n3), Some(5));
}

#[tokio::test(start_paused = true)]
async fn what_does_not_reach_back_to_agreement_or_is_of_another_run_names_nothing() {
    for (why, stale) in [
        ("the beginning is missing", detail("n1", "i", 5, 7, &[(3, 3), (5, 5), (6, 7)])),
        ("another run", detail("n1", "before", 4, 7, &[(6, 6)])),
        (
            "counted from elsewhere on",
            EffectsDetail { since: Some(Offset::new(2)), ..detail("n1", "i", 4, 7, &[(6, 6)]) },
        ),
    ] {
        let mut n3 = astray_at_5();
        n3.witness.hear_detail(stale);
        assert_eq!(named(&mut n3), None, "{why}");
    }
}

#[tokio::test(start_paused = true)]
async fn details_that_agree_where_they_begin_need_no_heartbeat_that_agreed() {
    let mut n3 = Seat::of("n3", &THREE);
    n3.applies(7, right(7));
    n3.changed(None, LOST, 7);
    // As after a restart: what was heard before is not known.
    assert_eq!(n3.hears(changed("n1", 7, &effects(None, ALL, 7))), "open");
    n3.witness.hear_detail(detail("n1", "i", 4, 7, ALL));
    assert_eq!(named(&mut n3), Some(5));
    n3.witness.hear_detail(detail("n1", "i", 5, 7, ALL));
    assert_eq!(named(&mut n3), None, "at 5 they do not agree");
}

#[tokio::test(start_paused = true)]
async fn who_hears_a_detail_replies_with_its_own_and_not_to_replies() {
    let mut n1 = Seat::of("n1", &THREE);
    n1.applies(7, right(7));
    n1.changed(None, ALL, 7);
    assert_eq!(n1.hears(changed("n3", 7, &effects(None, LOST, 3))), "agrees");
    assert_eq!(n1.witness.detail(&n1.status), None, "nobody differs");
    n1.witness.hear_detail(detail("n3", "i", 4, 7, LOST));
    assert_eq!(n1.witness.detail(&n1.status), Some(detail("n1", "i", 4, 7, ALL)));
    n1.witness.hear_detail(detail("n3", "i", 4, 6, LOST));
    assert_eq!(n1.witness.detail(&n1.status), None);
    // n3 could not say so far back: a wider range is published once more.
    n1.witness.hear_detail(detail("n3", "i", 2, 7, LOST));
    assert_eq!(n1.witness.detail(&n1.status), Some(detail("n1", "i", 2, 7, ALL)));
}

/// n3 by its log: its heartbeats and the others', with what each published.
async fn publish(memory: &MemoryLog, detail: &EffectsDetail) {
    let record = NewRecord::of(serde_json::to_vec(detail).unwrap()).keyed(EffectsDetail::key(&detail.node_id));
    Log::memory(memory.clone()).append(Topic::Nodes, None, record.header(header::KIND, Kind::EFFECTS)).await.unwrap();
}

fn watch(memory: &MemoryLog, seat: Seat) -> Watch {
    let log = Log::memory(memory.clone());
    let reporter = Reporter::new(log.clone(), "n3".into(), Arc::new(|| 0));
    let hearing = crate::clerk::Hearing::new("n3".into(), "topic".into());
    let checks = crate::check::Checks::new("n3".into(), "topic".into(), "PostgreSQL".into());
    let entry = Entry::new("n3".into(), "topic".into(), Fingerprint::default());
    Watch::new(run("n3"), "topic".into(), log, seat.status, Hears { reporter, hearing, checks, entry })
}

fn published(memory: &MemoryLog) -> Vec<EffectsDetail> {
    let records = memory.records(Topic::Nodes, 0).into_iter();
    let details = records.filter(|record| record.header(header::KIND) == Some(Kind::EFFECTS.as_bytes()));
    details.map(|record| serde_json::from_slice(&record.value.unwrap()).unwrap()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_node_that_stops_for_its_effects_publishes_them_and_names_the_first_offset() {
    for replies in [true, false] {
        let memory = MemoryLog::new();
        say(&memory, &changed("n1", 7, &effects(None, ALL, 4))).await;
        let mut n3 = watch(&memory, {
            let mut seat = Seat::of("n3", &THREE);
            seat.applies(7, right(7));
            seat.changed(None, LOST, 7);
            seat
        });
        let status = n3.status.clone();
        assert!(n3.begin().await.is_none());
        let (stops, stopped) = tokio::sync::oneshot::channel();
        let watching = tokio::spawn(n3.run(stops));
        let began = Instant::now();
        for node in ["n1", "n2"] {
            say(&memory, &changed(node, 7, &effects(None, ALL, 7))).await;
        }
        if replies {
            while published(&memory).is_empty() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            for node in ["n1", "n2"] {
                publish(&memory, &detail(node, "i", 4, 7, ALL)).await;
            }
        }
        let differs = stopped.await.unwrap();
        assert_eq!(published(&memory)[0].node_id, "n3".into());
        // Who agreed nowhere before has only the whole range to compare.
        let named = if replies { 5 } else { 7 };
        assert!(began.elapsed() <= if replies { SECOND / 2 } else { SECOND }, "{:?}", began.elapsed());
        let diverged = differs.diverged.expect("for the state row");
        assert_eq!((diverged.offset.get(), diverged.effects.is_some()), (named, true));
        assert_eq!(status.effects().report().unwrap().differs_at, Some(Offset::new(named)));
        let error = memory.records(Topic::Errors, 0).pop().unwrap().value.unwrap();
        let error: SystemError = serde_json::from_slice(&error).unwrap();
        assert_eq!((error.class, error.offset), (ErrorClass::Fatal, Some(Offset::new(named))));
        let words = "the first request that changed other rows is the one at offset 5";
        assert_eq!(error.message.contains(words), replies, "{}", error.message);
        watching.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn the_state_row_holds_a_node_back_without_its_heartbeat() {
    let all = effects(None, ALL, 7);
    let lost = effects(None, LOST, 7);
    let diverged = |effects: Option<&RunningEffects>| Diverged { offset: Offset::new(5), effects: effects.cloned() };
    // What it stopped for, what the others say, whether it stays stopped.
    for (ours, theirs, stays) in [(Some(&lost), &all, true), (Some(&lost), &lost, false), (None, &all, false)] {
        let mut n3 = Seat::of("n3", &THREE);
        n3.applies(7, right(7));
        n3.witness.remember_state(&State { diverged: Some(diverged(ours)), ..n3.state.clone() });
        // What was said of another state is not what counts.
        n3.witness.remember_own(&stopped("n3", 9, wrong(9), DIVERGED));
        for node in ["n1", "n2"] {
            n3.witness.hear(changed(node, 7, theirs), n3.now);
        }
        let marked = n3.witness.marked(&n3.status);
        assert_eq!(marked.is_some(), stays);
        let offset = marked.and_then(|marked| marked.diverged).map(|diverged| diverged.offset.get());
        assert_eq!(offset, stays.then_some(5));
    }
    // Where nobody else says anything it stays stopped, too.
    let memory = MemoryLog::new();
    let mut seat = Seat::of("n3", &THREE);
    seat.applies(7, right(7));
    let state = State { diverged: Some(diverged(Some(&lost))), ..seat.state.clone() };
    let mut alone = watch(&memory, seat);
    alone.holds(&state);
    let differs = alone.begin().await.expect("it stays stopped");
    assert!(differs.stopped.fault.to_string().contains("from offset 5 on"), "{}", differs.stopped.fault);
}
