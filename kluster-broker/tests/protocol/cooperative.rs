//! Incremental rebalances (cooperative-sticky): members keep what they go on reading, and what changes hands is given up in a first round and
//! handed out in a second. No partition has two owners, and what is kept is read and committed all the time.

use std::collections::BTreeSet;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{JoinGroupRequest, JoinGroupResponse, SyncGroupRequest};
use tokio::time::Instant;

use crate::client::{Client, DEADLINE};
use crate::groups::{SESSION_MS, commit, group_id, heartbeat};
use crate::{Served, serve, text};

const GROUP: &str = "cooperating";
const PARTITIONS: u8 = 6;
const STRATEGY: &str = "cooperative-sticky";

struct Member {
    client: Client,
    id: String,
    generation: i32,
    owned: BTreeSet<u8>,
}

impl Member {
    /// One that the group has given an id, and that has not joined.
    async fn of(served: &Served) -> Self {
        let mut member =
            Self { client: served.client().await, id: String::new(), generation: -1, owned: BTreeSet::new() };
        let correlation = member.send_join().await;
        let joined = member.client.receive::<JoinGroupRequest>(9, correlation).await;
        assert_eq!(joined.error_code, ResponseError::MemberIdRequired.code());
        member.id = joined.member_id.to_string();
        member
    }

    async fn send_join(&mut self) -> i32 {
        let protocol =
            JoinGroupRequestProtocol::default().with_name(text(STRATEGY)).with_metadata(subscription(&self.owned));
        let request = JoinGroupRequest::default()
            .with_group_id(group_id(GROUP))
            .with_session_timeout_ms(SESSION_MS)
            .with_rebalance_timeout_ms(SESSION_MS)
            .with_member_id(text(&self.id))
            .with_protocol_type(text("consumer"))
            .with_protocols(vec![protocol]);
        self.client.send(9, &request).await
    }

    async fn beat(&mut self) -> i16 {
        heartbeat(&mut self.client, 4, GROUP, &self.id, self.generation).await
    }

    /// Until its heartbeat says that the group wants everybody to join again.
    async fn hears_of_a_rebalance(&mut self) {
        let until = Instant::now() + DEADLINE;
        while self.beat().await != ResponseError::RebalanceInProgress.code() {
            assert!(Instant::now() < until, "the others hear of a rebalance");
        }
    }

    /// What it owns it reads and commits, whatever the group is doing.
    async fn commits_what_it_owns(&mut self) {
        for partition in self.owned.clone() {
            let who = (&*self.id, self.generation);
            let code = commit(&mut self.client, 9, GROUP, who, ("t", i32::from(partition), 7)).await;
            assert_eq!(code, 0, "partition {partition}");
        }
    }
}

/// Kafka's ConsumerProtocolSubscription, version 1: topics, user data, and the partitions that the member owns.
fn subscription(owned: &BTreeSet<u8>) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_slice(b"\0\x01\0\0\0\x01\0\x01t\xff\xff\xff\xff\0\0\0\x01\0\x01t");
    bytes.put_i32(i32::try_from(owned.len()).unwrap());
    owned.iter().for_each(|partition| bytes.put_i32(i32::from(*partition)));
    bytes.freeze()
}

fn owned(metadata: &Bytes) -> BTreeSet<u8> {
    let mut rest = metadata.slice(20..);
    (0..rest.get_i32()).map(|_| u8::try_from(rest.get_i32()).unwrap()).collect()
}

/// What Kafka's CooperativeStickyAssignor does: everybody keeps up to a fair share, and what nobody owns goes to those who have less.
fn assign(joined: &JoinGroupResponse) -> Vec<(String, BTreeSet<u8>)> {
    let share = usize::from(PARTITIONS) / joined.members.len().max(1);
    let claims = joined.members.iter().map(|member| (member.member_id.to_string(), owned(&member.metadata)));
    let mut shares: Vec<(String, BTreeSet<u8>)> = claims.collect();
    let claimed: BTreeSet<u8> = shares.iter().flat_map(|(_, owned)| owned.clone()).collect();
    let mut free = (0..PARTITIONS).filter(|partition| !claimed.contains(partition));
    for (_, kept) in &mut shares {
        *kept = std::mem::take(kept).into_iter().take(share).collect();
        while kept.len() < share
            && let Some(partition) = free.next()
        {
            kept.insert(partition);
        }
    }
    shares
}

/// One rebalance, which `first` asks for. Afterwards each member owns what it was assigned.
async fn round(members: &mut [Member], first: usize) {
    let mut joining = vec![(first, members[first].send_join().await)];
    for (index, member) in members.iter_mut().enumerate().filter(|(index, _)| *index != first) {
        member.hears_of_a_rebalance().await;
        member.commits_what_it_owns().await;
        joining.push((index, member.send_join().await));
    }
    let mut syncing = Vec::new();
    for (index, correlation) in joining {
        let joined = members[index].client.receive::<JoinGroupRequest>(9, correlation).await;
        assert_eq!((joined.error_code, joined.protocol_name.as_deref()), (0, Some(STRATEGY)));
        members[index].generation = joined.generation_id;
        let assignment = |(id, share): (String, BTreeSet<u8>)| {
            let share: Vec<u8> = share.into_iter().collect();
            SyncGroupRequestAssignment::default().with_member_id(text(&id)).with_assignment(share.into())
        };
        let request = SyncGroupRequest::default()
            .with_group_id(group_id(GROUP))
            .with_generation_id(joined.generation_id)
            .with_member_id(text(&members[index].id))
            .with_protocol_type(Some(text("consumer")))
            .with_protocol_name(Some(text(STRATEGY)))
            .with_assignments(assign(&joined).into_iter().map(assignment).collect());
        syncing.push((index, members[index].client.send(5, &request).await));
    }
    for (index, correlation) in syncing {
        let synced = members[index].client.receive::<SyncGroupRequest>(5, correlation).await;
        assert_eq!(synced.error_code, 0);
        members[index].owned = synced.assignment.iter().copied().collect();
    }
    let all: Vec<u8> = members.iter().flat_map(|member| member.owned.clone()).collect();
    assert_eq!(all.len(), all.iter().collect::<BTreeSet<_>>().len(), "no partition has two owners");
}

#[tokio::test]
async fn what_changes_hands_is_given_up_in_one_round_and_handed_out_in_the_next() {
    let served = serve().await;
    served.with_topic("t", i32::from(PARTITIONS)).await;
    let mut members = vec![Member::of(&served).await];
    round(&mut members, 0).await;
    assert_eq!(members[0].owned.len(), usize::from(PARTITIONS));
    for newcomer in 1..3 {
        let before: Vec<BTreeSet<u8>> = members.iter().map(|member| member.owned.clone()).collect();
        let generation = members[0].generation;
        members.push(Member::of(&served).await);
        round(&mut members, newcomer).await;
        assert!(members[newcomer].owned.is_empty(), "what it shall have was not given up yet");
        for (member, before) in members.iter().zip(&before) {
            assert!(member.owned.is_subset(before) && member.owned.len() < before.len(), "given up, nothing gained");
        }
        let kept: Vec<BTreeSet<u8>> = members.iter().map(|member| member.owned.clone()).collect();
        // Whoever gave something up joins again: the leader, whom the group follows at once.
        round(&mut members, 0).await;
        assert_eq!(members[0].generation, generation + 2, "two rounds");
        for (member, kept) in members.iter().zip(&kept) {
            assert!(member.owned.is_superset(kept), "what was kept in the first round stays in the second");
            assert_eq!(member.owned.len(), usize::from(PARTITIONS) / (newcomer + 1));
        }
    }
    for member in &mut members {
        assert_eq!(member.beat().await, 0, "and there is no third round");
        member.commits_what_it_owns().await;
    }
}
