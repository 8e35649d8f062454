//! Groups at work: consumers that share six partitions join, leave, die, and find the broker restarted.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    DescribeGroupsRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, SyncGroupRequest,
};
use tokio::time::timeout;

use crate::client::{Client, DEADLINE};
use crate::groups::{SESSION_MS, commit, committed, group_id, heartbeat};
use crate::{Served, open, serve, serve_with, text};

const GROUP: &str = "shared";
const PARTITIONS: u8 = 6;

/// A member that shares partitions as Kafka's consumers do: whoever leads assigns.
struct Consumer {
    client: Client,
    strategies: Vec<&'static str>,
    session_ms: i32,
    id: String,
    generation: i32,
    strategy: String,
    partitions: Vec<u8>,
}

impl Consumer {
    async fn of(served: &Served, strategies: &[&'static str]) -> Self {
        Self {
            client: served.client().await,
            strategies: strategies.to_vec(),
            session_ms: SESSION_MS,
            id: String::new(),
            generation: -1,
            strategy: String::new(),
            partitions: Vec::new(),
        }
    }

    /// Until this consumer is in a stable generation of `members` members.
    async fn settle(&mut self, members: usize) {
        loop {
            if self.join().await && self.stays(members).await {
                return;
            }
        }
    }

    /// Joins and syncs once; false if a rebalance came between.
    async fn join(&mut self) -> bool {
        let protocol = |name: &&str| {
            let metadata = Bytes::from_static(b"\0\0\0\0\0\x01\0\x01t\xff\xff\xff\xff"); // subscribes to t
            JoinGroupRequestProtocol::default().with_name(text(name)).with_metadata(metadata)
        };
        let request = JoinGroupRequest::default()
            .with_group_id(group_id(GROUP))
            .with_session_timeout_ms(self.session_ms)
            .with_rebalance_timeout_ms(SESSION_MS)
            .with_member_id(text(&self.id))
            .with_protocol_type(text("consumer"))
            .with_protocols(self.strategies.iter().map(protocol).collect());
        let joined = self.client.call(9, request).await;
        match ResponseError::try_from_code(joined.error_code) {
            None => self.sync(joined).await,
            Some(ResponseError::MemberIdRequired) => {
                self.id = joined.member_id.to_string();
                false
            }
            Some(ResponseError::UnknownMemberId) => {
                self.id.clear();
                false
            }
            Some(error) => panic!("{error}"),
        }
    }

    async fn sync(&mut self, joined: JoinGroupResponse) -> bool {
        self.id = joined.member_id.to_string();
        self.generation = joined.generation_id;
        self.strategy = joined.protocol_name.as_deref().unwrap().to_owned();
        let request = SyncGroupRequest::default()
            .with_group_id(group_id(GROUP))
            .with_generation_id(self.generation)
            .with_member_id(text(&self.id))
            .with_protocol_type(Some(text("consumer")))
            .with_protocol_name(joined.protocol_name.clone())
            .with_assignments(assign(&joined));
        let synced = self.client.call(5, request).await;
        self.partitions = synced.assignment.to_vec();
        match ResponseError::try_from_code(synced.error_code) {
            None => true,
            Some(ResponseError::RebalanceInProgress | ResponseError::IllegalGeneration) => false,
            Some(ResponseError::UnknownMemberId) => {
                self.id.clear();
                false
            }
            Some(error) => panic!("{error}"),
        }
    }

    /// Beats until the group is stable with that many members (true) or wants everybody to join again (false).
    async fn stays(&mut self, members: usize) -> bool {
        loop {
            let code = heartbeat(&mut self.client, 4, GROUP, &self.id, self.generation).await;
            match ResponseError::try_from_code(code) {
                None => {}
                Some(ResponseError::RebalanceInProgress | ResponseError::IllegalGeneration) => return false,
                Some(ResponseError::UnknownMemberId) => {
                    self.id.clear();
                    return false;
                }
                Some(error) => panic!("{error}"),
            }
            let (state, present) = describe(&mut self.client).await;
            if state == "Stable" && present.len() == members {
                return true;
            }
        }
    }

    async fn leave(mut self) {
        let leaving = vec![MemberIdentity::default().with_member_id(text(&self.id))];
        let request = LeaveGroupRequest::default().with_group_id(group_id(GROUP)).with_members(leaving);
        assert_eq!(self.client.call(5, request).await.members[0].error_code, 0);
    }
}

/// What the leader does, under the strategy that the broker selected; nothing, for everybody else.
fn assign(joined: &JoinGroupResponse) -> Vec<SyncGroupRequestAssignment> {
    let members: BTreeSet<&str> = joined.members.iter().map(|member| &*member.member_id).collect();
    let mut shares: BTreeMap<&str, Vec<u8>> = members.iter().map(|member| (*member, Vec::new())).collect();
    for partition in 0..PARTITIONS {
        let (count, all) = (members.len(), usize::from(PARTITIONS));
        let owner = match (count, joined.protocol_name.as_deref()) {
            (0, _) => break,
            (_, Some("range")) => usize::from(partition) / all.div_ceil(count),
            _ => usize::from(partition) % count,
        };
        shares.get_mut(members.iter().nth(owner).unwrap()).unwrap().push(partition);
    }
    let assignment = |(member, share): (&str, Vec<u8>)| {
        SyncGroupRequestAssignment::default().with_member_id(text(member)).with_assignment(share.into())
    };
    shares.into_iter().map(assignment).collect()
}

async fn describe(client: &mut Client) -> (String, Vec<String>) {
    let request = DescribeGroupsRequest::default().with_groups(vec![group_id(GROUP)]);
    let described = client.call(5, request).await.groups.remove(0);
    (described.group_state.to_string(), described.members.iter().map(|member| member.member_id.to_string()).collect())
}

/// All of them, at the same time, until they are one stable generation that shares all partitions.
async fn settle(consumers: &mut [Consumer]) {
    let members = consumers.len();
    let settled = join_all(consumers.iter_mut().map(|consumer| consumer.settle(members)));
    timeout(DEADLINE, settled).await.expect("the group settles");
    let generations: BTreeSet<i32> = consumers.iter().map(|consumer| consumer.generation).collect();
    assert_eq!(generations.len(), 1, "one generation");
    let mut shared: Vec<u8> = consumers.iter().flat_map(|consumer| consumer.partitions.clone()).collect();
    shared.sort_unstable();
    assert_eq!(shared, (0..PARTITIONS).collect::<Vec<_>>(), "each partition has one owner");
    assert!(consumers.iter().all(|consumer| consumer.partitions.len() == usize::from(PARTITIONS) / members));
}

async fn three(served: &Served, strategies: &[&'static str]) -> Vec<Consumer> {
    let mut consumers = Vec::new();
    for _ in 0..3 {
        consumers.push(Consumer::of(served, strategies).await);
    }
    settle(&mut consumers).await;
    consumers
}

#[tokio::test]
async fn three_members_share_by_range_and_go_on_when_one_leaves_or_joins() {
    let served = serve().await;
    let mut consumers = three(&served, &["range", "roundrobin"]).await;
    assert!(consumers.iter().all(|consumer| consumer.strategy == "range"));
    assert!(consumers.iter().all(|consumer| consumer.partitions[1] == consumer.partitions[0] + 1), "neighbours");
    let before = consumers[0].generation;
    consumers.remove(1).leave().await;
    settle(&mut consumers).await;
    assert!(consumers[0].generation > before);
    consumers.push(Consumer::of(&served, &["range"]).await);
    settle(&mut consumers).await;
    for consumer in consumers.drain(..) {
        consumer.leave().await;
    }
    assert_eq!(describe(&mut served.client().await).await, ("Empty".to_owned(), Vec::new()));
}

#[tokio::test]
async fn the_strategy_is_one_that_all_know() {
    let served = serve().await;
    let mut consumers = vec![
        Consumer::of(&served, &["range", "roundrobin"]).await,
        Consumer::of(&served, &["cooperative-sticky", "roundrobin"]).await,
        Consumer::of(&served, &["roundrobin", "range"]).await,
    ];
    settle(&mut consumers).await;
    assert!(consumers.iter().all(|consumer| consumer.strategy == "roundrobin"));
    assert!(consumers.iter().all(|consumer| consumer.partitions[1] == consumer.partitions[0] + 3), "every third");
}

#[tokio::test]
async fn a_member_that_dies_is_replaced_when_its_session_ends() {
    let session = Duration::from_millis(700);
    let served = serve_with(|settings| settings.groups.min_session_timeout = session).await;
    let mut consumers = vec![Consumer::of(&served, &["range"]).await, Consumer::of(&served, &["range"]).await];
    let mut mortal = Consumer::of(&served, &["range"]).await;
    mortal.session_ms = session.as_millis() as i32;
    consumers.push(mortal);
    settle(&mut consumers).await;
    let dead = consumers.pop().unwrap();
    let (id, generation, died) = (dead.id.clone(), dead.generation, Instant::now());
    drop(dead);
    settle(&mut consumers).await;
    assert!(died.elapsed() >= session / 2, "its connection's end alone does not end its session");
    let zombie = heartbeat(&mut consumers[0].client, 4, GROUP, &id, generation).await;
    assert_eq!(zombie, ResponseError::UnknownMemberId.code());
}

#[tokio::test]
async fn a_member_whose_partitions_were_taken_can_commit_no_more() {
    let served = serve().await;
    served.with_topic("t", 6).await;
    let mut consumers = three(&served, &["range"]).await;
    let (old, generation) = (consumers[2].id.clone(), consumers[2].generation);
    let first = &mut consumers[0];
    let who = (&*first.id, first.generation);
    assert_eq!(commit(&mut first.client, 9, GROUP, who, ("t", 0, 5)).await, 0);
    consumers.remove(2).leave().await;
    settle(&mut consumers).await;
    let client = &mut consumers[0].client;
    let refused = commit(client, 9, GROUP, (&old, generation), ("t", 0, 1)).await;
    assert_eq!(refused, ResponseError::UnknownMemberId.code());
    assert_eq!(committed(client, GROUP).await, [("t".to_owned(), 0, 5)]);
}

#[tokio::test]
async fn after_a_restart_the_members_come_back_and_read_on() {
    let served = serve().await;
    served.with_topic("t", 6).await;
    let mut consumers = three(&served, &["roundrobin"]).await;
    for consumer in &mut consumers {
        let who = (&*consumer.id, consumer.generation);
        for partition in &consumer.partitions {
            let at = ("t", i32::from(*partition), 100 + i64::from(*partition));
            assert_eq!(commit(&mut consumer.client, 9, GROUP, who, at).await, 0);
        }
    }
    let address = served.broker.address();
    served.broker.stop().await.unwrap();
    let broker = open(&served.dir, |settings| settings.listen = address).await;
    for consumer in &mut consumers {
        consumer.client = Client::connect(broker.address()).await;
    }
    settle(&mut consumers).await;
    let found: Vec<i64> = committed(&mut consumers[0].client, GROUP).await.iter().map(|at| at.2).collect();
    assert_eq!(found, [100, 101, 102, 103, 104, 105]);
}

#[tokio::test]
async fn a_stop_answers_whoever_waits_to_join() {
    let served = serve().await;
    let mut first = Consumer::of(&served, &["range"]).await;
    settle(std::slice::from_mut(&mut first)).await;
    let mut second = served.client().await;
    let waiting = crate::groups::join_request(3, GROUP, "", None);
    let correlation = second.send(3, &waiting).await;
    while describe(&mut first.client).await.0 == "Stable" {}
    let stopping = Instant::now();
    let (stopped, answer) = tokio::join!(served.broker.stop(), second.receive::<JoinGroupRequest>(3, correlation));
    stopped.unwrap();
    assert_eq!(answer.error_code, ResponseError::CoordinatorNotAvailable.code());
    assert!(stopping.elapsed() < Duration::from_secs(4), "it did not wait for the rebalance: {:?}", stopping.elapsed());
}
