//! Single histories of a group, one promise each.

use super::fixture::{LIMITS, REBALANCE, SESSION, Stage, again, dynamic, fixed, protocols};
use super::*;
use ResponseError::*;
use bytes::Bytes;

const MOMENT: Duration = Duration::from_millis(1);

fn instance(name: &str) -> Identity {
    Identity { member_id: String::new(), instance_id: Some(name.to_owned()) }
}

// Joining

#[test]
fn a_first_member_is_in_generation_one_at_once_and_leads() {
    let mut stage = Stage::new();
    let token = stage.join(dynamic("a"));
    let joined = stage.joined(token);
    assert_eq!((joined.generation, joined.leader.as_str(), joined.member_id.as_str()), (1, "a-1", "a-1"));
    assert_eq!((joined.protocol_type.as_str(), joined.protocol.as_str()), ("consumer", "range"));
    let metadata = Bytes::from_static(b"about range");
    assert_eq!(joined.members, [JoinedMember { member_id: "a-1".to_owned(), instance_id: None, metadata }]);
    let sync = stage.sync("a-1", 1, &[("a-1", "all of it")]);
    assert_eq!(stage.assignment(sync), Ok("all of it".to_owned()));
    assert_eq!(stage.group.state(), "Stable");
}

#[test]
fn from_version_four_the_id_comes_first() {
    let mut stage = Stage::new();
    let join = Join { id_first: true, ..dynamic("a") };
    let first = stage.join(join.clone());
    let refused = stage.joins[&first].clone().expect_err("an id, and no more");
    assert_eq!(refused, JoinRefused { error: MemberIdRequired, member_id: "a-1".to_owned() });
    let second = stage.join(again(join, "a-1"));
    assert_eq!(stage.joined(second).member_id, "a-1");
}

#[test]
fn an_id_that_is_never_used_expires_and_lets_the_others_go_on() {
    let mut stage = Stage::new();
    let (ids, generation) = stage.stable(&["a"]);
    let promised = stage.join(Join { id_first: true, ..dynamic("b") });
    assert_eq!(stage.refused(promised), MemberIdRequired);
    let rejoin = stage.join(again(dynamic("a"), &ids[0]));
    assert!(stage.waits_to_join(rejoin), "the one that was promised an id is waited for");
    stage.pass(SESSION);
    assert_eq!(stage.joined(rejoin).generation, generation + 1);
    let late = stage.join(again(dynamic("b"), "b-3"));
    assert_eq!(stage.refused(late), UnknownMemberId);
}

#[test]
fn a_second_member_makes_a_generation_of_two() {
    let mut stage = Stage::new();
    let (ids, generation) = stage.stable(&["a"]);
    let b = stage.join(dynamic("b"));
    assert!(stage.waits_to_join(b));
    assert_eq!(stage.heartbeat(&ids[0], generation), Err(RebalanceInProgress));
    let a = stage.join(again(dynamic("a"), &ids[0]));
    let (a, b) = (stage.joined(a), stage.joined(b));
    assert_eq!((a.generation, b.generation), (2, 2));
    assert_eq!((a.leader.clone(), b.leader.clone()), (ids[0].clone(), ids[0].clone()));
    assert_eq!((a.members.len(), b.members.len()), (2, 0), "only the leader is told of the members");
    let waiting = stage.sync(&b.member_id, 2, &[]);
    assert!(stage.waits_to_sync(waiting), "until the leader has spoken");
    let leading = stage.sync(&a.member_id, 2, &[(&a.member_id, "left"), (&b.member_id, "right")]);
    assert_eq!(stage.assignment(leading), Ok("left".to_owned()));
    assert_eq!(stage.assignment(waiting), Ok("right".to_owned()));
    assert_eq!(stage.heartbeat(&ids[0], 2), Ok(()));
}

#[test]
fn a_member_the_leader_does_not_name_gets_an_empty_assignment() {
    let mut stage = Stage::new();
    let join = stage.join(dynamic("a"));
    let id = stage.joined(join).member_id;
    let sync = stage.sync(&id, 1, &[("somebody else", "all")]);
    assert_eq!(stage.assignment(sync), Ok(String::new()));
}

#[test]
fn the_protocol_that_most_like_best_and_all_know_is_selected() {
    let with = |client: &str, names: &[&str]| Join { protocols: protocols(names), ..dynamic(client) };
    let select = |members: &[Join]| {
        let mut stage = Stage::new();
        stage.stable_of(members.to_vec());
        stage.group.settled_protocol().map(str::to_owned)
    };
    let a = with("a", &["range", "roundrobin", "cooperative-sticky"]);
    let b = with("b", &["cooperative-sticky", "roundrobin"]);
    let c = with("c", &["roundrobin", "cooperative-sticky"]);
    assert_eq!(select(std::slice::from_ref(&a)).as_deref(), Some("range"));
    assert_eq!(select(&[a.clone(), b.clone()]).as_deref(), Some("roundrobin"), "equal votes: as the leader likes");
    let (d, e) = (b.clone(), b.clone());
    assert_eq!(select(&[a, b, c, d, e]).as_deref(), Some("cooperative-sticky"));
}

#[test]
fn a_member_with_whom_no_protocol_is_left_is_refused() {
    let mut stage = Stage::new();
    let (ids, _) = stage.stable(&["a"]);
    let stranger = stage.join(Join { protocols: protocols(&["sticky"]), ..dynamic("b") });
    assert_eq!(stage.refused(stranger), InconsistentGroupProtocol);
    let connect = stage.join(Join { protocol_type: "connect".to_owned(), ..dynamic("b") });
    assert_eq!(stage.refused(connect), InconsistentGroupProtocol);
    let none = stage.join(Join { protocols: Vec::new(), ..dynamic("b") });
    assert_eq!(stage.refused(none), InconsistentGroupProtocol);
    assert_eq!(stage.group.state(), "Stable", "the others notice nothing");
    let alone = stage.join(again(Join { protocols: protocols(&["sticky"]), ..dynamic("a") }, &ids[0]));
    assert_eq!(stage.joined(alone).protocol, "sticky", "who is alone may change its mind");
}

#[test]
fn a_join_whose_answer_was_lost_gets_it_again() {
    let mut stage = Stage::new();
    let first = stage.join(dynamic("a"));
    let joined = stage.joined(first);
    let second = stage.join(again(dynamic("a"), &joined.member_id));
    assert_eq!(stage.joined(second), joined);
}

#[test]
fn in_a_stable_group_only_the_leader_or_news_make_a_new_generation() {
    let mut stage = Stage::new();
    let (ids, generation) = stage.stable(&["a", "b"]);
    let same = stage.join(again(dynamic("b"), &ids[1]));
    assert_eq!(stage.joined(same).generation, generation);
    let news = stage.join(again(Join { protocols: protocols(&["range"]), ..dynamic("b") }, &ids[1]));
    assert!(stage.waits_to_join(news));
    let leader = stage.join(again(dynamic("a"), &ids[0]));
    assert_eq!((stage.joined(news).generation, stage.joined(leader).generation), (generation + 1, generation + 1));

    let mut stage = Stage::new();
    let (ids, generation) = stage.stable(&["a", "b"]);
    let leader = stage.join(again(dynamic("a"), &ids[0]));
    assert!(stage.waits_to_join(leader));
    assert_eq!(stage.heartbeat(&ids[1], generation), Err(RebalanceInProgress));
}

#[test]
fn a_second_join_or_sync_of_one_member_ends_the_first() {
    let mut stage = Stage::new();
    let (ids, _) = stage.stable(&["a", "b"]);
    let news = Join { protocols: protocols(&["range"]), ..dynamic("b") };
    let first = stage.join(again(news.clone(), &ids[1]));
    let second = stage.join(again(news, &ids[1]));
    assert_eq!(stage.refused(first), RebalanceInProgress);
    let leader = stage.join(again(dynamic("a"), &ids[0]));
    let generation = stage.joined(leader).generation;
    assert_eq!(stage.joined(second).generation, generation);
    let first = stage.sync(&ids[1], generation, &[]);
    let second = stage.sync(&ids[1], generation, &[]);
    assert_eq!(stage.assignment(first), Err(RebalanceInProgress));
    stage.sync(&ids[0], generation, &[(&ids[1], "b's")]);
    assert_eq!(stage.assignment(second), Ok("b's".to_owned()));
}

#[test]
fn a_full_group_refuses_new_members_and_keeps_its_own() {
    let mut stage = Stage::with(Limits { members: 2, ..LIMITS });
    let (ids, generation) = stage.stable(&["a", "b"]);
    let third = stage.join(dynamic("c"));
    assert_eq!(stage.refused(third), GroupMaxSizeReached);
    assert_eq!(stage.heartbeat(&ids[0], generation), Ok(()));
    stage.leave(&[Identity::member(&ids[1])]);
    let promised = stage.join(Join { id_first: true, ..dynamic("c") });
    assert_eq!(stage.refused(promised), MemberIdRequired);
    let fourth = stage.join(dynamic("d"));
    assert_eq!(stage.refused(fourth), GroupMaxSizeReached, "a promised id counts");
}

#[test]
fn metadata_beyond_the_limit_is_refused() {
    let mut stage = Stage::new();
    let long = Protocol { name: "range".to_owned(), metadata: Bytes::from(vec![0; LIMITS.member_bytes]) };
    let token = stage.join(Join { protocols: vec![long], ..dynamic("a") });
    assert_eq!(stage.refused(token), MessageTooLarge);
    let many = Protocol { name: "range".to_owned(), metadata: Bytes::new() };
    let token = stage.join(Join { protocols: vec![many; 51], ..dynamic("a") });
    assert_eq!(stage.refused(token), InvalidRequest);
    assert_eq!(stage.group.bytes(), 0);
}

// The first rebalance of an empty group

#[test]
fn with_an_initial_delay_members_gather() {
    let delay = Duration::from_secs(3);
    let mut stage = Stage::with(Limits { initial_delay: delay, ..LIMITS });
    let a = stage.join(dynamic("a"));
    stage.pass(delay - MOMENT);
    let b = stage.join(dynamic("b"));
    stage.pass(MOMENT);
    assert!(stage.waits_to_join(a), "b came, so there is more time");
    let c = stage.join(dynamic("c"));
    stage.pass(delay);
    assert!(stage.waits_to_join(a), "and c");
    stage.pass(delay);
    let generations = [a, b, c].map(|token| stage.joined(token).generation);
    assert_eq!(generations, [1, 1, 1]);
}

#[test]
fn gathering_ends_with_the_rebalance_timeout_whoever_comes() {
    let delay = Duration::from_secs(3);
    let mut stage = Stage::with(Limits { initial_delay: delay, members: 1000, ..LIMITS });
    let first = stage.join(dynamic("m"));
    let began = stage.now;
    while stage.waits_to_join(first) {
        assert!(stage.now - began <= REBALANCE);
        stage.join(dynamic("m"));
        stage.pass(Duration::from_secs(1));
    }
    assert!(stage.now - began >= REBALANCE);
}

// Sync and heartbeat

#[test]
fn a_sync_or_heartbeat_of_the_wrong_generation_or_member_is_refused() {
    let mut stage = Stage::new();
    let (ids, generation) = stage.stable(&["a"]);
    let old = stage.sync(&ids[0], generation - 1, &[]);
    assert_eq!(stage.assignment(old), Err(IllegalGeneration));
    let unknown = stage.sync("nobody", generation, &[]);
    assert_eq!(stage.assignment(unknown), Err(UnknownMemberId));
    assert_eq!(stage.heartbeat(&ids[0], generation + 1), Err(IllegalGeneration));
    assert_eq!(stage.heartbeat("", generation), Err(UnknownMemberId));
    let sync = |protocol_type: &str, protocol: &str| Sync {
        who: Identity::member("a-1"),
        generation,
        protocol_type: Some(protocol_type.to_owned()),
        protocol: Some(protocol.to_owned()),
        assignments: Vec::new(),
    };
    let wrong = [stage.sync_as(sync("connect", "range")), stage.sync_as(sync("consumer", "roundrobin"))];
    assert_eq!(
        wrong.map(|token| stage.assignment(token)),
        [Err(InconsistentGroupProtocol), Err(InconsistentGroupProtocol)]
    );
    let right = stage.sync_as(sync("consumer", "range"));
    assert_eq!(stage.assignment(right), Ok("mine".to_owned()));
}

#[test]
fn whoever_waits_for_an_assignment_learns_of_the_next_rebalance_at_once() {
    let mut stage = Stage::new();
    let (ids, _) = stage.stable(&["a", "b"]);
    let leader = stage.join(again(dynamic("a"), &ids[0]));
    stage.join(again(dynamic("b"), &ids[1]));
    let generation = stage.joined(leader).generation;
    let waiting = stage.sync(&ids[1], generation, &[]);
    stage.join(dynamic("c"));
    assert_eq!(stage.assignment(waiting), Err(RebalanceInProgress));
    let leading = stage.sync(&ids[0], generation, &[(&ids[1], "too late")]);
    assert_eq!(stage.assignment(leading), Err(RebalanceInProgress));
}

// Time

#[test]
fn a_silent_member_is_removed_after_its_session_timeout() {
    let mut stage = Stage::new();
    let (ids, generation) = stage.stable(&["a", "b"]);
    stage.pass(SESSION - MOMENT);
    assert_eq!(stage.heartbeat(&ids[0], generation), Ok(()));
    stage.pass(MOMENT);
    assert_eq!(stage.heartbeat(&ids[0], generation), Err(RebalanceInProgress));
    assert_eq!(stage.heartbeat(&ids[1], generation), Err(UnknownMemberId));
    let rejoin = stage.join(again(dynamic("a"), &ids[0]));
    assert_eq!(stage.joined(rejoin).members.len(), 1);
}

#[test]
fn a_member_that_does_not_join_again_in_time_is_removed() {
    let mut stage = Stage::new();
    let (ids, generation) = stage.stable(&["a", "b"]);
    let rejoin = stage.join(again(dynamic("a"), &ids[0]));
    for _ in 0..REBALANCE.as_secs() - 1 {
        stage.pass(Duration::from_secs(1));
        assert_eq!(stage.heartbeat(&ids[1], generation), Err(RebalanceInProgress), "alive, but not coming");
    }
    assert!(stage.waits_to_join(rejoin));
    stage.pass(Duration::from_secs(1));
    assert_eq!(stage.joined(rejoin).members.len(), 1);
    assert_eq!(stage.heartbeat(&ids[1], generation), Err(UnknownMemberId));
}

#[test]
fn a_leader_that_never_syncs_loses_its_place() {
    let mut stage = Stage::new();
    let (ids, _) = stage.stable(&["a", "b"]);
    let leader = stage.join(again(dynamic("a"), &ids[0]));
    stage.join(again(dynamic("b"), &ids[1]));
    let generation = stage.joined(leader).generation;
    let waiting = stage.sync(&ids[1], generation, &[]);
    for _ in 0..REBALANCE.as_secs() {
        assert!(stage.waits_to_sync(waiting));
        assert_eq!(stage.heartbeat(&ids[0], generation), Ok(()), "alive, but not leading");
        stage.pass(Duration::from_secs(1));
    }
    assert_eq!(stage.assignment(waiting), Err(RebalanceInProgress));
    let rejoin = stage.join(again(dynamic("b"), &ids[1]));
    assert_eq!(stage.joined(rejoin).leader, ids[1]);
    assert_eq!(stage.heartbeat(&ids[0], generation), Err(UnknownMemberId));
}

#[test]
fn a_member_that_never_asks_for_its_assignment_is_removed() {
    let mut stage = Stage::new();
    let (ids, _) = stage.stable(&["a", "b"]);
    let leader = stage.join(again(dynamic("a"), &ids[0]));
    stage.join(again(dynamic("b"), &ids[1]));
    let generation = stage.joined(leader).generation;
    stage.sync(&ids[0], generation, &[]);
    for _ in 0..REBALANCE.as_secs() {
        assert_eq!(stage.heartbeat(&ids[0], generation), Ok(()));
        assert_eq!(stage.heartbeat(&ids[1], generation), Ok(()));
        stage.pass(Duration::from_secs(1));
    }
    assert_eq!(stage.heartbeat(&ids[1], generation), Err(UnknownMemberId));
    assert_eq!(stage.heartbeat(&ids[0], generation), Err(RebalanceInProgress));
}

#[test]
fn a_new_member_that_is_not_answered_for_five_minutes_is_removed() {
    let patient = Duration::from_secs(3600);
    let mut stage = Stage::new();
    let (ids, generation) = stage.stable_of(vec![Join { rebalance_timeout: patient, ..dynamic("a") }]);
    let new = stage.join(dynamic("b"));
    for _ in 0..300 {
        assert!(stage.waits_to_join(new));
        assert_eq!(stage.heartbeat(&ids[0], generation), Err(RebalanceInProgress));
        stage.pass(Duration::from_secs(1));
    }
    assert_eq!(stage.refused(new), UnknownMemberId);
}

#[test]
fn a_group_that_all_have_left_in_silence_ends_empty() {
    let mut stage = Stage::new();
    stage.stable(&["a", "b", "c"]);
    stage.pass(SESSION);
    assert_eq!((stage.group.state(), stage.group.next_deadline()), ("Empty", None));
    assert_eq!(stage.group.protocol_type(), Some("consumer"));
}

// Leaving

#[test]
fn leaving_says_of_each_what_came_of_it() {
    let mut stage = Stage::new();
    let (ids, _) = stage.stable_of(vec![dynamic("a"), fixed("s1"), fixed("s2")]);
    stage.join(Join { id_first: true, ..dynamic("p") });
    let pending = stage.joins.values().find_map(|answer| answer.as_ref().err()).expect("a promise").member_id.clone();
    let wrong = Identity { member_id: ids[0].clone(), instance_id: Some("s2".to_owned()) };
    let leaving = [
        Identity::member(&ids[0]),
        instance("s1"),
        wrong,
        Identity::member("x"),
        instance("s9"),
        Identity::member(&pending),
    ];
    let expected = [Ok(()), Ok(()), Err(FencedInstanceId), Err(UnknownMemberId), Err(UnknownMemberId), Ok(())];
    assert_eq!(stage.leave(&leaving), expected);
    assert_eq!(stage.group.members().map(|(id, _)| id).collect::<Vec<_>>(), [&ids[2]]);
    assert_eq!(stage.group.state(), "PreparingRebalance");
}

#[test]
fn when_the_last_member_leaves_the_group_is_empty_at_once() {
    let mut stage = Stage::new();
    let (ids, generation) = stage.stable(&["a"]);
    assert_eq!(stage.leave(&[Identity::member(&ids[0])]), [Ok(())]);
    assert_eq!((stage.group.state(), stage.group.generation()), ("Empty", generation + 1));
    assert_eq!(stage.group.next_deadline(), None);
}

#[test]
fn who_is_removed_while_it_waits_is_told() {
    let mut stage = Stage::new();
    let (ids, _) = stage.stable(&["a", "b", "c"]);
    let leaving = stage.join(again(dynamic("a"), &ids[0]));
    stage.leave(&[Identity::member(&ids[0])]);
    assert_eq!(stage.refused(leaving), UnknownMemberId);
    let joins = [1, 2].map(|member| stage.join(again(dynamic("m"), &ids[member])));
    let generation = stage.joined(joins[0]).generation;
    let (leader, follower) = if stage.joined(joins[0]).leader == ids[1] { (1, 2) } else { (2, 1) };
    let waiting = stage.sync(&ids[follower], generation, &[]);
    stage.leave(&[Identity::member(&ids[follower])]);
    assert_eq!(stage.assignment(waiting), Err(UnknownMemberId));
    assert_eq!(stage.heartbeat(&ids[leader], generation), Err(RebalanceInProgress));
}

// Static members

#[test]
fn a_static_member_that_restarts_keeps_its_place_and_fences_the_old_one() {
    let mut stage = Stage::new();
    let (ids, generation) = stage.stable_of(vec![dynamic("a"), fixed("s")]);
    let back = stage.join(fixed("s"));
    let joined = stage.joined(back);
    assert_eq!(joined.generation, generation, "no rebalance");
    assert_ne!(joined.member_id, ids[1]);
    let sync = stage.sync(&joined.member_id, generation, &[]);
    assert_eq!(stage.assignment(sync), Ok("mine".to_owned()));
    let old = Identity { member_id: ids[1].clone(), instance_id: Some("s".to_owned()) };
    assert_eq!(stage.group.heartbeat(stage.now, &old, generation), Err(FencedInstanceId));
    assert_eq!(stage.group.check_commit(stage.now, &old, generation), Err(FencedInstanceId));
    assert_eq!(stage.heartbeat(&ids[1], generation), Err(UnknownMemberId));
    let rejoin = stage.join(again(fixed("s"), &ids[1]));
    assert_eq!(stage.refused(rejoin), FencedInstanceId);
}

#[test]
fn a_static_leader_that_restarts_is_told_to_skip_the_assignment_or_not_that_it_leads() {
    let mut stage = Stage::new();
    let (ids, _) = stage.stable_of(vec![fixed("s"), dynamic("a")]);
    let back = stage.join(fixed("s"));
    let joined = stage.joined(back);
    assert!(joined.skip_assignment);
    assert_eq!((joined.leader.clone(), joined.members.len()), (joined.member_id.clone(), 2));
    let back = stage.join(Join { may_skip_assignment: false, ..fixed("s") });
    let older = stage.joined(back);
    assert!(!older.skip_assignment);
    assert_eq!((older.leader, older.members.len()), (joined.member_id, 0), "the id before the present one");
    assert_eq!(stage.group.members().count(), ids.len());
}

#[test]
fn a_static_member_that_restarts_during_a_rebalance_ends_its_earlier_join_and_sync() {
    let mut stage = Stage::new();
    let (ids, _) = stage.stable_of(vec![dynamic("a"), fixed("s")]);
    let news = Join { protocols: protocols(&["range"]), ..fixed("s") };
    let earlier = stage.join(again(news, &ids[1]));
    let back = stage.join(fixed("s"));
    assert_eq!(stage.refused(earlier), FencedInstanceId);
    let leader = stage.join(again(dynamic("a"), &ids[0]));
    let generation = stage.joined(leader).generation;
    let waiting = stage.sync(&stage.joined(back).member_id, generation, &[]);
    let back = stage.join(fixed("s"));
    assert_eq!(stage.assignment(waiting), Err(FencedInstanceId));
    assert!(stage.waits_to_join(back), "the leader may have been told of the old id, so there is another generation");
    assert_eq!(stage.group.state(), "PreparingRebalance");
}

#[test]
fn a_static_member_that_is_away_keeps_its_place_for_its_session() {
    let mut stage = Stage::new();
    let patient = Join { session_timeout: REBALANCE * 3, ..fixed("s") };
    let (ids, _) = stage.stable_of(vec![dynamic("a"), patient]);
    let leader = stage.join(again(dynamic("a"), &ids[0]));
    stage.pass(REBALANCE);
    assert_eq!(stage.joined(leader).members.len(), 2, "it did not join, and is in");

    let mut stage = Stage::new();
    let (ids, _) = stage.stable_of(vec![dynamic("a"), fixed("s")]);
    let leader = stage.join(again(dynamic("a"), &ids[0]));
    stage.pass(SESSION);
    assert_eq!(stage.joined(leader).members.len(), 1, "its session ended first");
}

#[test]
fn while_a_static_leader_is_away_another_leads() {
    let mut stage = Stage::new();
    let patient = Join { session_timeout: REBALANCE * 3, ..fixed("s") };
    let (ids, _) = stage.stable_of(vec![patient, dynamic("a")]);
    let news = Join { protocols: protocols(&["range"]), ..dynamic("a") };
    let waiting = stage.join(again(news, &ids[1]));
    stage.pass(REBALANCE);
    let joined = stage.joined(waiting);
    assert_eq!((joined.leader.as_str(), joined.members.len()), (ids[1].as_str(), 2));
    let sync = stage.sync(&ids[1], joined.generation, &[(&ids[1], "half"), (&ids[0], "half")]);
    assert_eq!(stage.assignment(sync), Ok("half".to_owned()));
}

#[test]
fn a_group_of_static_members_that_are_all_away_ends_empty() {
    let mut stage = Stage::new();
    let brief = Duration::from_millis(1);
    let (ids, _) = stage.stable_of(vec![
        Join { rebalance_timeout: brief, ..fixed("s") },
        Join { rebalance_timeout: brief, ..fixed("t") },
    ]);
    let news = Join { protocols: protocols(&["range"]), rebalance_timeout: brief, ..fixed("s") };
    let waiting = stage.join(again(news, &ids[0]));
    stage.leave(&[instance("s")]);
    assert_eq!(stage.refused(waiting), UnknownMemberId);
    stage.pass(SESSION);
    assert_eq!((stage.group.state(), stage.group.next_deadline()), ("Empty", None));
}

// Commits, topics, the end

#[test]
fn members_commit_in_their_generation_and_others_while_the_group_is_empty() {
    let mut stage = Stage::new();
    let nobody = Identity::default();
    let commit = |stage: &mut Stage, who: &Identity, generation| stage.group.check_commit(stage.now, who, generation);
    assert_eq!(commit(&mut stage, &nobody, -1), Ok(()));
    let (ids, generation) = stage.stable(&["a", "b"]);
    let a = Identity::member(&ids[0]);
    assert_eq!(commit(&mut stage, &nobody, -1), Err(UnknownMemberId));
    assert_eq!(commit(&mut stage, &a, generation), Ok(()));
    assert_eq!(commit(&mut stage, &a, generation - 1), Err(IllegalGeneration));
    assert_eq!(commit(&mut stage, &a, -1), Err(IllegalGeneration));
    let leader = stage.join(again(dynamic("a"), &ids[0]));
    assert_eq!(commit(&mut stage, &a, generation), Ok(()), "what was read before the partitions go");
    stage.join(again(dynamic("b"), &ids[1]));
    let generation = stage.joined(leader).generation;
    assert_eq!(commit(&mut stage, &a, generation), Err(RebalanceInProgress));
    stage.leave(&[a.clone(), Identity::member(&ids[1])]);
    assert_eq!(commit(&mut stage, &a, generation), Err(UnknownMemberId));
    assert_eq!(commit(&mut stage, &nobody, -1), Ok(()));
}

#[test]
fn a_commit_is_a_sign_of_life() {
    let mut stage = Stage::new();
    let (ids, generation) = stage.stable(&["a"]);
    stage.pass(SESSION - MOMENT);
    assert_eq!(stage.group.check_commit(stage.now, &Identity::member(&ids[0]), generation), Ok(()));
    stage.pass(SESSION - MOMENT);
    assert_eq!(stage.heartbeat(&ids[0], generation), Ok(()));
}

#[test]
fn only_consumers_are_known_to_subscribe() {
    let mut stage = Stage::new();
    assert!(!stage.group.is_subscribed("t"), "nobody is there");
    stage.stable(&["a"]);
    assert!(stage.group.is_subscribed("t"), "metadata that cannot be read: better keep");
    let mut stage = Stage::new();
    stage.stable_of(vec![Join { protocol_type: "connect".to_owned(), ..dynamic("a") }]);
    assert!(!stage.group.is_subscribed("t"));
}

#[test]
fn a_drained_group_answers_all_who_wait_and_all_who_come() {
    let mut stage = Stage::new();
    let (ids, generation) = stage.stable(&["a", "b"]);
    let join = stage.join(dynamic("c"));
    stage.drain();
    assert_eq!(stage.refused(join), CoordinatorNotAvailable);
    let join = stage.join(dynamic("d"));
    assert_eq!(stage.refused(join), CoordinatorNotAvailable);
    assert_eq!(stage.heartbeat(&ids[0], generation), Err(CoordinatorNotAvailable));
    assert_eq!(stage.group.leave(stage.now, &[Identity::member(&ids[0])]), Err(CoordinatorNotAvailable));
    assert_eq!(stage.group.check_commit(stage.now, &Identity::default(), -1), Err(CoordinatorNotAvailable));
    let sync = stage.sync(&ids[0], generation, &[]);
    assert_eq!(stage.assignment(sync), Err(CoordinatorNotAvailable));
    assert_eq!((stage.group.state(), stage.group.next_deadline()), ("Dead", None));
}
