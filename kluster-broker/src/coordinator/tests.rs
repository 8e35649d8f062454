//! The coordinator on a real directory. Where a test passes time it stands still otherwise, so nothing waits for the disk in it.

use super::*;
use crate::fault::disk::{DiskFaults, SyncPoint};
use crate::group::{Identity, Join, JoinRefused, Joined, Protocol, Sync, Synced};
use crate::offsets::Committed;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;
use tempfile::TempDir;

const GROUP: &str = "g";
const SESSION: Duration = Duration::from_secs(10);

struct Place {
    dir: TempDir,
    settings: GroupSettings,
}

impl Place {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), settings: GroupSettings::default() }
    }

    fn open(&self) -> (Topics, Coordinator) {
        let topics = Topics::open(self.dir.path(), Default::default()).unwrap();
        if topics.get("t").is_none() {
            topics.create("t", 4, &[]).unwrap();
        }
        let coordinator = Coordinator::open(&topics, self.settings.clone()).unwrap();
        (topics, coordinator)
    }
}

/// Runs the timer until it is dropped.
struct Running(CancellationToken);

impl Running {
    fn of(coordinator: &Coordinator) -> Self {
        let (stop, coordinator) = (CancellationToken::new(), coordinator.clone());
        let until = stop.clone();
        tokio::spawn(async move { coordinator.run(until).await });
        Self(stop)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

fn member(client: &str, id: &str) -> Join {
    Join {
        who: Identity::member(id),
        client_id: client.to_owned(),
        client_host: "/127.0.0.1".to_owned(),
        session_timeout: SESSION,
        rebalance_timeout: SESSION,
        protocol_type: "consumer".to_owned(),
        protocols: vec![Protocol { name: "range".to_owned(), metadata: subscription("t") }],
        id_first: false,
        may_skip_assignment: false,
    }
}

fn subscription(topic: &str) -> Bytes {
    let mut bytes = vec![0, 0, 0, 0, 0, 1, 0, topic.len() as u8];
    bytes.extend(topic.as_bytes());
    bytes.into()
}

fn sync(joined: &Joined) -> Sync {
    let assignment = |id: &str| (id.to_owned(), Bytes::from(format!("for {id}")));
    Sync {
        who: Identity::member(&joined.member_id),
        generation: joined.generation,
        protocol_type: None,
        protocol: None,
        assignments: joined.members.iter().map(|member| assignment(&member.member_id)).collect(),
    }
}

async fn join_alone(coordinator: &Coordinator) -> Joined {
    let joined = coordinator.join(GROUP, member("a", "")).await.unwrap();
    coordinator.sync(GROUP, sync(&joined)).await.unwrap();
    joined
}

fn commit_of(topic: &str, partition: i32, offset: i64) -> Commit {
    Commit { topic: topic.to_owned(), partition, offset, leader_epoch: 0, metadata: "note".to_owned() }
}

async fn commit(coordinator: &Coordinator, group: &str, partition: i32, offset: i64) {
    let commits = vec![commit_of("t", partition, offset)];
    assert_eq!(coordinator.commit(group, &Identity::default(), -1, commits).await, Ok(vec![Ok(())]));
}

fn offset(coordinator: &Coordinator, group: &str, partition: i32) -> Option<i64> {
    coordinator.committed(|offsets| offsets.get(group, "t", partition).map(|committed| committed.offset))
}

/// All that a group has committed.
fn all(coordinator: &Coordinator, group: &str) -> BTreeMap<String, BTreeMap<i32, Committed>> {
    coordinator.committed(|offsets| offsets.of_group(group).cloned().unwrap_or_default())
}

fn names(coordinator: &Coordinator) -> Vec<String> {
    coordinator.list().into_iter().map(|listed| listed.group).collect()
}

// Members

#[tokio::test(start_paused = true)]
async fn two_members_share_a_generation_and_one_that_falls_silent_is_removed() {
    let (_topics, coordinator) = Place::new().open();
    let _running = Running::of(&coordinator);
    let a = join_alone(&coordinator).await;
    let second = tokio::spawn({
        let coordinator = coordinator.clone();
        async move {
            let joined = coordinator.join(GROUP, member("b", "")).await.unwrap();
            let synced = coordinator.sync(GROUP, sync(&joined)).await;
            (joined, synced)
        }
    });
    tokio::task::yield_now().await;
    let who = Identity::member(&a.member_id);
    assert_eq!(coordinator.heartbeat(GROUP, &who, a.generation), Err(ResponseError::RebalanceInProgress));
    let again = coordinator.join(GROUP, member("a", &a.member_id)).await.unwrap();
    coordinator.sync(GROUP, sync(&again)).await.unwrap();
    let (b, synced) = second.await.unwrap();
    assert_eq!((again.generation, again.members.len()), (b.generation, 2));
    let assignment = Bytes::from(format!("for {}", b.member_id));
    assert_eq!(synced, Ok(Synced { protocol_type: "consumer".to_owned(), protocol: "range".to_owned(), assignment }));

    let began = tokio::time::Instant::now();
    while coordinator.describe(GROUP).unwrap().members.len() == 2 {
        assert!(began.elapsed() <= SESSION + Duration::from_secs(1), "b is silent");
        let _ = coordinator.heartbeat(GROUP, &who, b.generation);
        tokio::time::advance(Duration::from_secs(1)).await;
        tokio::task::yield_now().await;
    }
    assert!(began.elapsed() >= SESSION);
    let last = coordinator.join(GROUP, member("a", &a.member_id)).await.unwrap();
    assert_eq!(last.members.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_timer_wakes_for_what_became_due_sooner_than_it_sleeps() {
    let (_topics, coordinator) = Place::new().open();
    let _running = Running::of(&coordinator);
    tokio::task::yield_now().await; // it sleeps until the next look at retention, in minutes
    join_alone(&coordinator).await;
    let waiting = coordinator.join(GROUP, member("b", "")).await; // answered when a's session ends
    assert_eq!(waiting.unwrap().members.len(), 1);
}

#[tokio::test]
async fn a_drain_answers_all_who_wait() {
    let (_topics, coordinator) = Place::new().open();
    let a = join_alone(&coordinator).await;
    let waiting = tokio::spawn({
        let coordinator = coordinator.clone();
        async move { coordinator.join(GROUP, member("b", "")).await }
    });
    while coordinator.describe(GROUP).unwrap().state == "Stable" {
        tokio::task::yield_now().await;
    }
    coordinator.drain();
    let refused = |member_id: &str| {
        Err(JoinRefused { error: ResponseError::CoordinatorNotAvailable, member_id: member_id.to_owned() })
    };
    let answer = waiting.await.unwrap();
    assert_eq!(answer.unwrap_err().error, ResponseError::CoordinatorNotAvailable);
    assert_eq!(coordinator.join("another", member("c", "")).await, refused(""));
    let who = Identity::member(&a.member_id);
    assert_eq!(coordinator.heartbeat(GROUP, &who, a.generation), Err(ResponseError::CoordinatorNotAvailable));
    let late = coordinator.commit(GROUP, &Identity::default(), -1, vec![commit_of("t", 0, 1)]).await;
    assert_eq!(late, Err(ResponseError::CoordinatorNotAvailable));
}

#[tokio::test]
async fn requests_that_cannot_be_served_leave_nothing_behind() {
    let (_topics, coordinator) = Place::new().open();
    let error = |answer: crate::group::JoinAnswer| answer.unwrap_err().error;
    assert_eq!(error(coordinator.join("", member("a", "")).await), ResponseError::InvalidGroupId);
    let long = "g".repeat(MAX_GROUP_ID_BYTES + 1);
    assert_eq!(error(coordinator.join(&long, member("a", "")).await), ResponseError::InvalidGroupId);
    for session_timeout in [Duration::ZERO, Duration::from_secs(5), Duration::from_secs(3600)] {
        let join = Join { session_timeout, ..member("a", "") };
        assert_eq!(error(coordinator.join(GROUP, join).await), ResponseError::InvalidSessionTimeout);
    }
    let known = member("a", "a-1");
    assert_eq!(error(coordinator.join(GROUP, known).await), ResponseError::UnknownMemberId);
    let none = Join { protocols: Vec::new(), ..member("a", "") };
    assert_eq!(error(coordinator.join(GROUP, none).await), ResponseError::InconsistentGroupProtocol);
    let who = Identity::member("a-1");
    assert_eq!(coordinator.heartbeat(GROUP, &who, 1), Err(ResponseError::UnknownMemberId));
    assert_eq!(coordinator.leave(GROUP, std::slice::from_ref(&who)), Ok(vec![Err(ResponseError::UnknownMemberId)]));
    let unknown =
        Sync { who: who.clone(), generation: 1, protocol_type: None, protocol: None, assignments: Vec::new() };
    assert_eq!(coordinator.sync(GROUP, unknown).await, Err(ResponseError::UnknownMemberId));
    let refused = coordinator.commit(GROUP, &who, 1, vec![commit_of("t", 0, 1)]).await;
    assert_eq!(refused, Err(ResponseError::IllegalGeneration));
    let nowhere = coordinator.commit(GROUP, &Identity::default(), -1, vec![commit_of("none", 0, 1)]).await;
    assert_eq!(nowhere, Ok(vec![Err(ResponseError::UnknownTopicOrPartition)]));
    assert_eq!(names(&coordinator), Vec::<String>::new());
    assert_eq!(coordinator.describe(GROUP), None);
}

#[tokio::test]
async fn groups_and_their_memory_are_bounded() {
    let mut place = Place::new();
    place.settings.max_groups = 2;
    place.settings.max_bytes = 6000;
    let (_topics, coordinator) = place.open();
    commit(&coordinator, "one", 0, 1).await;
    commit(&coordinator, "two", 0, 1).await;
    let third = coordinator.commit("three", &Identity::default(), -1, vec![commit_of("t", 0, 1)]).await;
    assert_eq!(third, Err(ResponseError::PolicyViolation));
    assert_eq!(coordinator.join("three", member("a", "")).await.unwrap_err().error, ResponseError::PolicyViolation);
    let large = Protocol { name: "range".to_owned(), metadata: Bytes::from(vec![0; 3500]) };
    let join = |client: &str| Join { protocols: vec![large.clone()], ..member(client, "") };
    let joined = coordinator.join("one", join("a")).await.unwrap();
    assert_eq!(coordinator.join("two", join("b")).await.unwrap_err().error, ResponseError::PolicyViolation);
    let assignments = vec![(joined.member_id.clone(), Bytes::from(vec![0; 3500]))];
    let large = Sync { assignments, ..sync(&joined) };
    assert_eq!(coordinator.sync("one", large).await, Err(ResponseError::PolicyViolation));
    coordinator.leave("one", &[Identity::member(&joined.member_id)]).unwrap();
    assert!(coordinator.join("two", join("b")).await.is_ok(), "there is room again");

    let mut accepted = 0;
    for partition in 0..4 {
        let note = Commit { metadata: "m".repeat(2500), ..commit_of("t", partition, 1) };
        let result = coordinator.commit("one", &Identity::default(), -1, vec![note]).await;
        match result.unwrap()[..] {
            [Ok(())] => accepted += 1,
            [Err(error)] => assert_eq!(error, ResponseError::PolicyViolation),
            _ => panic!("one result"),
        }
    }
    assert_eq!(accepted, 2, "of 4, in 6000 bytes");
}

#[tokio::test]
async fn at_the_bound_of_memory_what_replaces_and_does_not_grow_is_taken() {
    let mut place = Place::new();
    place.settings.max_bytes = 6000;
    let (_topics, coordinator) = place.open();
    let join = |id: &str, bytes: usize| {
        let protocols = vec![Protocol { name: "range".to_owned(), metadata: Bytes::from(vec![0; bytes]) }];
        coordinator.join(GROUP, Join { protocols, ..member("a", id) })
    };
    let joined = join("", 3500).await.unwrap();
    assert!(join(&joined.member_id, 3500).await.is_ok(), "a member joins again");
    assert_eq!(join(&joined.member_id, 7000).await.unwrap_err().error, ResponseError::PolicyViolation);

    let commit = async |partition, offset, bytes: usize| {
        let note = Commit { metadata: "m".repeat(bytes), ..commit_of("t", partition, offset) };
        coordinator.commit("other", &Identity::default(), -1, vec![note]).await.unwrap()[0]
    };
    assert_eq!([commit(0, 1, 2800).await, commit(1, 1, 2800).await], [Ok(()); 2]);
    assert_eq!(commit(2, 1, 2800).await, Err(ResponseError::PolicyViolation));
    assert_eq!(commit(0, 2, 2800).await, Ok(()), "it replaces");
    assert_eq!(commit(0, 3, 4000).await, Err(ResponseError::PolicyViolation));
    assert_eq!(offset(&coordinator, "other", 0), Some(2));
}

// Offsets

#[tokio::test]
async fn offsets_outlive_a_restart_and_members_do_not() {
    let place = Place::new();
    let (topics, coordinator) = place.open();
    let joined = join_alone(&coordinator).await;
    let who = Identity::member(&joined.member_id);
    let commits = vec![commit_of("t", 0, 42), commit_of("t", 3, 7)];
    assert_eq!(coordinator.commit(GROUP, &who, joined.generation, commits).await, Ok(vec![Ok(()), Ok(())]));
    topics.close().await.unwrap();
    drop((topics, coordinator));

    let (_topics, coordinator) = place.open();
    assert_eq!(offset(&coordinator, GROUP, 0), Some(42));
    let all = all(&coordinator, GROUP);
    assert_eq!(all["t"].keys().copied().collect::<Vec<_>>(), [0, 3]);
    assert_eq!((all["t"][&0].metadata.as_str(), all["t"][&0].leader_epoch), ("note", 0));
    assert_eq!(coordinator.describe(GROUP).unwrap().state, "Empty");
    assert_eq!(coordinator.heartbeat(GROUP, &who, joined.generation), Err(ResponseError::UnknownMemberId));
    let zombie = coordinator.commit(GROUP, &who, joined.generation, vec![commit_of("t", 0, 43)]).await;
    assert_eq!(zombie, Err(ResponseError::UnknownMemberId));
    assert_eq!(offset(&coordinator, GROUP, 0), Some(42));
}

#[tokio::test]
async fn each_partition_of_a_commit_has_its_own_result() {
    let (_topics, coordinator) = Place::new().open();
    let long = Commit { metadata: "m".repeat(4097), ..commit_of("t", 1, 1) };
    let commits = vec![commit_of("t", 0, 1), long, commit_of("t", 4, 1), commit_of("none", 0, 1), commit_of("t", 2, 5)];
    let results = coordinator.commit(GROUP, &Identity::default(), -1, commits).await.unwrap();
    let unknown = Err(ResponseError::UnknownTopicOrPartition);
    assert_eq!(results, [Ok(()), Err(ResponseError::OffsetMetadataTooLarge), unknown, unknown, Ok(())]);
    let offsets = [0, 1, 2].map(|partition| offset(&coordinator, GROUP, partition));
    assert_eq!(offsets, [Some(1), None, Some(5)]);
}

#[tokio::test]
async fn whoever_is_no_member_sets_offsets_of_an_idle_group_only() {
    let (_topics, coordinator) = Place::new().open();
    let joined = join_alone(&coordinator).await;
    let refused = coordinator.commit(GROUP, &Identity::default(), -1, vec![commit_of("t", 0, 9)]).await;
    assert_eq!(refused, Err(ResponseError::UnknownMemberId));
    coordinator.leave(GROUP, &[Identity::member(&joined.member_id)]).unwrap();
    commit(&coordinator, GROUP, 0, 9).await;
    assert_eq!(offset(&coordinator, GROUP, 0), Some(9));
}

#[tokio::test]
async fn only_empty_groups_are_deleted_and_with_them_their_offsets() {
    let place = Place::new();
    let (topics, coordinator) = place.open();
    commit(&coordinator, "simple", 0, 1).await;
    commit(&coordinator, "kept", 0, 1).await;
    join_alone(&coordinator).await;
    let asked = ["simple", GROUP, "never"].map(str::to_owned);
    let results = coordinator.delete_groups(&asked).await;
    assert_eq!(results, [Ok(()), Err(ResponseError::NonEmptyGroup), Err(ResponseError::GroupIdNotFound)]);
    assert_eq!(names(&coordinator), [GROUP, "kept"]);
    assert_eq!(offset(&coordinator, "simple", 0), None);
    topics.close().await.unwrap();
    drop((topics, coordinator));
    let (_topics, coordinator) = place.open();
    assert_eq!(names(&coordinator), ["kept"]);
}

#[tokio::test]
async fn offsets_of_a_topic_in_use_are_not_deleted() {
    let place = Place::new();
    let (topics, coordinator) = place.open();
    topics.create("unread", 1, &[]).unwrap();
    let nobody = coordinator.delete_offsets(GROUP, &[("t".to_owned(), 0)]).await;
    assert_eq!(nobody, Err(ResponseError::GroupIdNotFound));
    let joined = join_alone(&coordinator).await;
    let who = Identity::member(&joined.member_id);
    let commits = vec![commit_of("t", 0, 1), commit_of("unread", 0, 1)];
    coordinator.commit(GROUP, &who, joined.generation, commits).await.unwrap();
    let places = [("t", 0), ("unread", 0), ("none", 0)].map(|(topic, partition)| (topic.to_owned(), partition));
    let results = coordinator.delete_offsets(GROUP, &places).await.unwrap();
    let expected = [Err(ResponseError::GroupSubscribedToTopic), Ok(()), Err(ResponseError::UnknownTopicOrPartition)];
    assert_eq!(results, expected);
    assert_eq!(all(&coordinator, GROUP).keys().collect::<Vec<_>>(), ["t"]);
    coordinator.leave(GROUP, &[who]).unwrap();
    assert_eq!(coordinator.delete_offsets(GROUP, &[("t".to_owned(), 0)]).await, Ok(vec![Ok(())]));
    assert!(all(&coordinator, GROUP).is_empty());

    let connect = Join { protocol_type: "connect".to_owned(), ..member("c", "") };
    coordinator.join("connect", connect).await.unwrap();
    let refused = coordinator.delete_offsets("connect", &[("t".to_owned(), 0)]).await;
    assert_eq!(refused, Err(ResponseError::NonEmptyGroup));
}

#[tokio::test]
async fn a_deleted_topic_takes_its_offsets_along() {
    let place = Place::new();
    let (topics, coordinator) = place.open();
    topics.create("other", 1, &[]).unwrap();
    for group in ["g", "h"] {
        let commits = vec![commit_of("t", 0, 1), commit_of("t", 1, 1), commit_of("other", 0, 1)];
        coordinator.commit(group, &Identity::default(), -1, commits).await.unwrap();
    }
    topics.delete("t").unwrap();
    coordinator.forget_topic("t").await.unwrap();
    for group in ["g", "h"] {
        assert_eq!(all(&coordinator, group).keys().collect::<Vec<_>>(), ["other"]);
    }
}

#[tokio::test]
async fn offsets_unused_for_the_retention_time_are_forgotten() {
    let mut place = Place::new();
    (place.settings.offsets_retention, place.settings.retention_check) = (Duration::ZERO, Duration::ZERO);
    let (topics, coordinator) = place.open();
    topics.create("unread", 1, &[]).unwrap();
    commit(&coordinator, "idle", 0, 1).await;
    let joined = join_alone(&coordinator).await;
    let who = Identity::member(&joined.member_id);
    let commits = vec![commit_of("t", 0, 1), commit_of("unread", 0, 1)];
    coordinator.commit(GROUP, &who, joined.generation, commits).await.unwrap();
    coordinator.forget_unused().await;
    assert_eq!(all(&coordinator, GROUP).keys().collect::<Vec<_>>(), ["t"], "what its members read stays");
    assert_eq!(offset(&coordinator, "idle", 0), None);
    coordinator.forget_unused().await;
    assert_eq!(names(&coordinator), [GROUP], "and a group of which nothing is left goes too");
    coordinator.leave(GROUP, &[who]).unwrap();
    coordinator.forget_unused().await;
    coordinator.forget_unused().await;
    assert_eq!(names(&coordinator), Vec::<String>::new());
}

#[tokio::test]
async fn offsets_stay_for_the_retention_time_after_their_commit_and_after_the_last_member() {
    let (_topics, coordinator) = Place::new().open();
    commit(&coordinator, "committed", 0, 1).await;
    let place = crate::offsets::Place { group: "left".to_owned(), topic: "t".to_owned(), partition: 0 };
    let long_ago = Committed { offset: 1, leader_epoch: 0, metadata: String::new(), at_ms: 0 };
    let written = {
        let mut state = coordinator.state();
        state.groups.create(now(), "left"); // just now
        (state.store.write(vec![(place, Some(long_ago))], 0).unwrap(), state.store.partition().clone())
    };
    written.1.durable(written.0).await.unwrap();
    coordinator.forget_unused().await;
    assert_eq!([offset(&coordinator, "committed", 0), offset(&coordinator, "left", 0)], [Some(1), Some(1)]);
}

// The disk

fn faulty(place: &Place, faults: &Arc<DiskFaults>) -> (Topics, Coordinator) {
    let topics = Topics::open(place.dir.path(), Arc::clone(faults)).unwrap();
    let coordinator = Coordinator::open(&topics, place.settings.clone()).unwrap();
    (topics, coordinator)
}

#[tokio::test]
async fn a_commit_is_visible_when_it_is_durable_and_no_sooner() {
    let place = Place::new();
    drop(place.open());
    let (go, gate) = std::sync::mpsc::channel::<()>();
    let (gate, closed) = (Mutex::new(gate), Arc::new(AtomicBool::new(false)));
    let hook = {
        let closed = Arc::clone(&closed);
        move |point: SyncPoint, _: &std::path::Path| {
            if point == SyncPoint::Before && closed.load(SeqCst) {
                let _ = gate.lock().unwrap().recv_timeout(Duration::from_secs(20));
            }
            Ok(())
        }
    };
    let (_topics, coordinator) = faulty(&place, &Arc::new(DiskFaults::default().with_sync_hook(hook)));
    commit(&coordinator, GROUP, 0, 1).await;
    closed.store(true, SeqCst);
    let (who, commits) = (Identity::default(), vec![commit_of("t", 0, 2)]);
    let mut waiting = std::pin::pin!(coordinator.commit(GROUP, &who, -1, commits));
    let answered = tokio::select! {
        biased;
        _ = &mut waiting => true,
        () = tokio::task::yield_now() => false,
    };
    assert!(!answered, "the disk has not answered");
    assert_eq!(offset(&coordinator, GROUP, 0), Some(1));
    closed.store(false, SeqCst);
    go.send(()).unwrap();
    assert_eq!(waiting.await, Ok(vec![Ok(())]));
    assert_eq!(offset(&coordinator, GROUP, 0), Some(2));
}

#[tokio::test]
async fn a_commit_that_waits_for_the_disk_is_forgotten_with_its_topic_its_group_or_by_name() {
    for way in 0..3 {
        let place = Place::new();
        drop(place.open());
        let (go, gate) = std::sync::mpsc::channel::<()>();
        let (gate, closed) = (Mutex::new(gate), Arc::new(AtomicBool::new(false)));
        let hook = {
            let closed = Arc::clone(&closed);
            move |point: SyncPoint, path: &std::path::Path| {
                let committing = path.to_string_lossy().contains(crate::offsets::TOPIC);
                if point == SyncPoint::Before && committing && closed.load(SeqCst) {
                    let _ = gate.lock().unwrap().recv_timeout(Duration::from_secs(20));
                }
                Ok(())
            }
        };
        let (topics, coordinator) = faulty(&place, &Arc::new(DiskFaults::default().with_sync_hook(hook)));
        closed.store(true, SeqCst);
        let who = Identity::default();
        let mut waiting = std::pin::pin!(coordinator.commit(GROUP, &who, -1, vec![commit_of("t", 0, 2)]));
        tokio::select! {
            biased;
            _ = &mut waiting => panic!("the disk has not answered"),
            () = tokio::task::yield_now() => {}
        }
        let forget = async {
            match way {
                0 => {
                    topics.delete("t").unwrap();
                    coordinator.forget_topic("t").await.unwrap();
                }
                1 => assert_eq!(coordinator.delete_groups(&[GROUP.to_owned()]).await, [Ok(())]),
                _ => {
                    let places = [("t".to_owned(), 0)];
                    assert_eq!(coordinator.delete_offsets(GROUP, &places).await, Ok(vec![Ok(())]));
                }
            }
        };
        let open = async {
            closed.store(false, SeqCst);
            drop(go);
        };
        let (committed, (), ()) = tokio::join!(waiting, forget, open);
        assert_eq!(committed, Ok(vec![Ok(())]));
        assert_eq!(offset(&coordinator, GROUP, 0), None, "way {way}");
    }
}

#[tokio::test]
async fn a_full_disk_refuses_commits_and_takes_them_again_when_there_is_space() {
    let place = Place::new();
    drop(place.open());
    let faults = Arc::new(DiskFaults::default());
    let (_topics, coordinator) = faulty(&place, &faults);
    commit(&coordinator, GROUP, 0, 1).await;
    faults.set_space(Some(10));
    for group in [GROUP, "new"] {
        let refused = coordinator.commit(group, &Identity::default(), -1, vec![commit_of("t", 0, 2)]).await;
        assert_eq!(refused, Err(ResponseError::CoordinatorNotAvailable), "the client tries again");
    }
    let deleted = coordinator.delete_groups(&[GROUP.to_owned()]).await;
    assert_eq!(deleted, [Err(ResponseError::CoordinatorNotAvailable)]);
    assert_eq!((offset(&coordinator, GROUP, 0), names(&coordinator)), (Some(1), vec![GROUP.to_owned()]));
    faults.set_space(None);
    commit(&coordinator, GROUP, 0, 3).await;
    assert_eq!(offset(&coordinator, GROUP, 0), Some(3));
}

#[tokio::test]
async fn a_commit_that_may_be_lost_is_neither_answered_nor_visible() {
    let place = Place::new();
    drop(place.open());
    let failing = Arc::new(AtomicBool::new(false));
    let hook = {
        let failing = Arc::clone(&failing);
        move |point: SyncPoint, _: &std::path::Path| match (point, failing.load(SeqCst)) {
            (SyncPoint::Before, true) => Err(std::io::Error::other("the disk is broken")),
            _ => Ok(()),
        }
    };
    let (_topics, coordinator) = faulty(&place, &Arc::new(DiskFaults::default().with_sync_hook(hook)));
    commit(&coordinator, GROUP, 0, 1).await;
    failing.store(true, SeqCst);
    let refused = coordinator.commit(GROUP, &Identity::default(), -1, vec![commit_of("t", 0, 2)]).await;
    assert_eq!(refused, Err(ResponseError::CoordinatorNotAvailable));
    assert_eq!(offset(&coordinator, GROUP, 0), Some(1));
}
