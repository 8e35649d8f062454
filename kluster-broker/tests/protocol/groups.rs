//! The APIs of groups, each in every version that is served: what is asked and what comes back.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    ApiVersionsRequest, DeleteGroupsRequest, DeleteTopicsRequest, DescribeGroupsRequest, FindCoordinatorRequest,
    GroupId, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, ListGroupsRequest,
    OffsetCommitRequest, OffsetDeleteRequest, OffsetFetchRequest, SyncGroupRequest,
};
use kluster_broker::fault::Faults;

use crate::client::Client;
use crate::{create, open, serve, serve_with, text, topic_name};

/// Session timeout of members in tests, unless the test is about it.
pub const SESSION_MS: i32 = 30_000;

pub fn group_id(name: &str) -> GroupId {
    GroupId(text(name))
}

pub fn join_request(version: i16, group: &str, member_id: &str, instance: Option<&str>) -> JoinGroupRequest {
    let protocol = |name: &str| {
        JoinGroupRequestProtocol::default().with_name(text(name)).with_metadata(bytes::Bytes::from_static(b"about me"))
    };
    JoinGroupRequest::default()
        .with_group_id(group_id(group))
        .with_session_timeout_ms(SESSION_MS)
        .with_rebalance_timeout_ms(if version >= 1 { SESSION_MS } else { -1 })
        .with_member_id(text(member_id))
        .with_group_instance_id(instance.filter(|_| version >= 5).map(text))
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![protocol("range"), protocol("roundrobin")])
}

/// Joins as a new member; from version 4 on in two steps.
pub async fn join(client: &mut Client, version: i16, group: &str, instance: Option<&str>) -> JoinGroupResponse {
    let first = client.call(version, join_request(version, group, "", instance)).await;
    if first.error_code != ResponseError::MemberIdRequired.code() {
        return first;
    }
    assert!(version >= 4 && instance.is_none(), "version {version}");
    client.call(version, join_request(version, group, &first.member_id, instance)).await
}

/// The leader gives itself this.
pub async fn sync(
    client: &mut Client,
    version: i16,
    group: &str,
    joined: &JoinGroupResponse,
    instance: Option<&str>,
) -> i16 {
    let own = SyncGroupRequestAssignment::default()
        .with_member_id(joined.member_id.clone())
        .with_assignment(bytes::Bytes::from_static(b"all of it"));
    let request = SyncGroupRequest::default()
        .with_group_id(group_id(group))
        .with_generation_id(joined.generation_id)
        .with_member_id(joined.member_id.clone())
        .with_group_instance_id(instance.filter(|_| version >= 3).map(text))
        .with_protocol_type((version >= 5).then(|| text("consumer")))
        .with_protocol_name((version >= 5).then(|| text("range")))
        .with_assignments(vec![own]);
    let synced = client.call(version, request).await;
    if synced.error_code == 0 {
        assert_eq!(&synced.assignment[..], b"all of it");
        let protocol = synced.protocol_name.as_deref();
        assert_eq!(protocol, (version >= 5).then_some("range"), "version {version}");
    }
    synced.error_code
}

pub async fn heartbeat(client: &mut Client, version: i16, group: &str, member_id: &str, generation: i32) -> i16 {
    let request = HeartbeatRequest::default()
        .with_group_id(group_id(group))
        .with_generation_id(generation)
        .with_member_id(text(member_id));
    client.call(version, request).await.error_code
}

/// Commits one offset; generation −1 is that of nobody.
pub async fn commit(client: &mut Client, version: i16, group: &str, who: (&str, i32), at: (&str, i32, i64)) -> i16 {
    let (topic, index, offset) = at;
    let partition = OffsetCommitRequestPartition::default()
        .with_partition_index(index)
        .with_committed_offset(offset)
        .with_committed_leader_epoch(if version >= 6 { 0 } else { -1 })
        .with_committed_metadata(Some(text("note")));
    let topic = OffsetCommitRequestTopic::default().with_name(topic_name(topic)).with_partitions(vec![partition]);
    let request = OffsetCommitRequest::default()
        .with_group_id(group_id(group))
        .with_member_id(text(who.0))
        .with_generation_id_or_member_epoch(who.1)
        .with_topics(vec![topic]);
    client.call(version, request).await.topics[0].partitions[0].error_code
}

/// All offsets of a group: topic, partition, offset.
pub async fn committed(client: &mut Client, group: &str) -> Vec<(String, i32, i64)> {
    let asked = OffsetFetchRequestGroup::default().with_group_id(group_id(group)).with_topics(None);
    let response = client.call(8, OffsetFetchRequest::default().with_groups(vec![asked])).await;
    let mut found = Vec::new();
    for topic in &response.groups[0].topics {
        for partition in &topic.partitions {
            found.push((topic.name.to_string(), partition.partition_index, partition.committed_offset));
        }
    }
    found
}

#[tokio::test]
async fn this_broker_coordinates_every_group_and_tells_librdkafka_of_transactions() {
    let served = serve().await;
    let mut client = served.client().await;
    let port = i32::from(served.broker.address().port());
    for version in client.versions::<FindCoordinatorRequest>().await {
        let ask = |kind: i8| match version {
            0..4 => FindCoordinatorRequest::default().with_key(text("g")).with_key_type(kind),
            _ => {
                let keys = vec![text("g"), text("h")];
                FindCoordinatorRequest::default().with_coordinator_keys(keys).with_key_type(kind)
            }
        };
        let found = client.call(version, ask(0)).await;
        if version < 4 {
            assert_eq!((found.error_code, found.node_id.0, &*found.host, found.port), (0, 1, "127.0.0.1", port));
        } else {
            let keys: Vec<&str> = found.coordinators.iter().map(|found| &*found.key).collect();
            assert_eq!(keys, ["g", "h"]);
            assert!(found.coordinators.iter().all(|found| (found.error_code, found.port) == (0, port)));
        }
        if version >= 1 {
            let software =
                ["kgo", "librdkafka"].map(|name| ApiVersionsRequest::default().with_client_software_name(text(name)));
            let [other, librdkafka] = software;
            client.call(3, other).await;
            let found = client.call(version, ask(1)).await;
            let codes = found.coordinators.iter().map(|found| found.error_code).chain([found.error_code]);
            assert!(codes.into_iter().all(|code| code == 0), "InitProducerId refuses the others: {found:?}");
            client.call(3, librdkafka).await;
            let refused = client.call(version, ask(1)).await;
            let (code, words) = match refused.coordinators.first() {
                Some(first) => (first.error_code, first.error_message.clone()),
                None => (refused.error_code, refused.error_message.clone()),
            };
            assert_eq!(code, ResponseError::TransactionalIdAuthorizationFailed.code());
            assert!(words.unwrap().contains("transaction"), "version {version}");
        }
    }
}

#[tokio::test]
async fn a_member_joins_syncs_beats_and_leaves_in_every_version() {
    let served = serve().await;
    let mut client = served.client().await;
    for version in client.versions::<JoinGroupRequest>().await {
        let group = format!("join-{version}");
        let joined = join(&mut client, version, &group, None).await;
        assert_eq!((joined.error_code, joined.generation_id), (0, 1), "version {version}");
        assert_eq!((&joined.leader, joined.protocol_name.as_deref()), (&joined.member_id, Some("range")));
        assert_eq!(joined.protocol_type.as_deref(), (version >= 7).then_some("consumer"));
        assert_eq!((joined.members.len(), &joined.members[0].metadata[..]), (1, &b"about me"[..]));
        let refused = client.call(version, join_request(version, "", "", None)).await;
        assert_eq!(refused.error_code, ResponseError::InvalidGroupId.code(), "version {version}");
    }
    let joined = join(&mut client, 9, "g", None).await;
    for version in client.versions::<SyncGroupRequest>().await {
        assert_eq!(sync(&mut client, version, "g", &joined, None).await, 0);
        let stale = JoinGroupResponse::default().with_member_id(joined.member_id.clone()).with_generation_id(7);
        let refused = sync(&mut client, version, "g", &stale, None).await;
        assert_eq!(refused, ResponseError::IllegalGeneration.code());
    }
    for version in client.versions::<HeartbeatRequest>().await {
        assert_eq!(heartbeat(&mut client, version, "g", &joined.member_id, 1).await, 0);
        let unknown = heartbeat(&mut client, version, "g", "nobody", 1).await;
        assert_eq!(unknown, ResponseError::UnknownMemberId.code());
    }
    for version in client.versions::<LeaveGroupRequest>().await {
        let group = format!("join-{version}");
        let member = client.call(5, DescribeGroupsRequest::default().with_groups(vec![group_id(&group)])).await.groups
            [0]
        .members[0]
            .member_id
            .clone();
        for expected in [0, ResponseError::UnknownMemberId.code()] {
            let leave = LeaveGroupRequest::default().with_group_id(group_id(&group));
            let leave = match version {
                0..3 => leave.with_member_id(member.clone()),
                _ => leave.with_members(vec![MemberIdentity::default().with_member_id(member.clone())]),
            };
            let left = client.call(version, leave).await;
            let code = left.members.first().map_or(left.error_code, |member| member.error_code);
            assert_eq!(code, expected, "version {version}");
        }
    }
}

#[tokio::test]
async fn a_static_member_that_restarts_keeps_its_assignment_and_fences_the_old_one() {
    let served = serve().await;
    let mut client = served.client().await;
    for version in [5, 9] {
        let group = format!("static-{version}");
        let instance = Some("instance");
        let joined = join(&mut client, version, &group, instance).await;
        assert_eq!(joined.members[0].group_instance_id.as_deref(), instance);
        assert_eq!(sync(&mut client, 5, &group, &joined, instance).await, 0);
        let back = join(&mut client, version, &group, instance).await;
        assert_eq!((back.error_code, back.generation_id), (0, joined.generation_id), "no rebalance");
        assert_eq!(back.skip_assignment, version == 9);
        assert_eq!(sync(&mut client, 5, &group, &back, instance).await, 0);
        let fenced = sync(&mut client, 5, &group, &joined, instance).await;
        assert_eq!(fenced, ResponseError::FencedInstanceId.code());
    }
}

#[tokio::test]
async fn offsets_are_committed_and_fetched_in_every_version() {
    let served = serve().await;
    let mut client = served.with_topic("t", 2).await;
    for version in client.versions::<OffsetCommitRequest>().await {
        let group = format!("commit-{version}");
        let at = ("t", 1, 40 + i64::from(version));
        assert_eq!(commit(&mut client, version, &group, ("", -1), at).await, 0);
        assert_eq!(committed(&mut client, &group).await, [("t".to_owned(), 1, 40 + i64::from(version))]);
        let unknown = ResponseError::UnknownTopicOrPartition.code();
        assert_eq!(commit(&mut client, version, &group, ("", -1), ("t", 2, 1)).await, unknown);
        let stranger = commit(&mut client, version, &group, ("nobody", 3), at).await;
        assert_eq!(stranger, ResponseError::UnknownMemberId.code());
    }
    for version in client.versions::<OffsetFetchRequest>().await {
        let request = if version < 8 {
            let topic =
                OffsetFetchRequestTopic::default().with_name(topic_name("t")).with_partition_indexes(vec![0, 1]);
            OffsetFetchRequest::default().with_group_id(group_id("commit-9")).with_topics(Some(vec![topic]))
        } else {
            let topic =
                OffsetFetchRequestTopics::default().with_name(topic_name("t")).with_partition_indexes(vec![0, 1]);
            let group = |name| {
                OffsetFetchRequestGroup::default().with_group_id(group_id(name)).with_topics(Some(vec![topic.clone()]))
            };
            OffsetFetchRequest::default().with_groups(vec![group("never"), group("commit-9")])
        };
        let response = client.call(version, request).await;
        let found: Vec<(i32, i64, i32, String)> = if version < 8 {
            let partitions = response.topics[0].partitions.iter();
            partitions
                .map(|p| {
                    (
                        p.partition_index,
                        p.committed_offset,
                        p.committed_leader_epoch,
                        p.metadata.as_deref().unwrap().to_owned(),
                    )
                })
                .collect()
        } else {
            assert!(response.groups[0].topics[0].partitions.iter().all(|partition| partition.committed_offset == -1));
            let partitions = response.groups[1].topics[0].partitions.iter();
            partitions
                .map(|p| {
                    (
                        p.partition_index,
                        p.committed_offset,
                        p.committed_leader_epoch,
                        p.metadata.as_deref().unwrap().to_owned(),
                    )
                })
                .collect()
        };
        let epoch = if version >= 5 { 0 } else { -1 };
        assert_eq!(found, [(0, -1, -1, String::new()), (1, 49, epoch, "note".to_owned())], "version {version}");
    }
}

#[tokio::test]
async fn all_offsets_of_a_group_are_fetched_where_no_topic_is_named() {
    let served = serve().await;
    let mut client = served.with_topic("t", 2).await;
    create(&mut client, "u", 1, &[]).await;
    for at in [("t", 0, 1), ("t", 1, 2), ("u", 0, 3)] {
        assert_eq!(commit(&mut client, 9, "g", ("", -1), at).await, 0);
    }
    for version in [2, 5, 7] {
        let all = OffsetFetchRequest::default().with_group_id(group_id("g")).with_topics(None);
        let response = client.call(version, all).await;
        let topics: Vec<(String, usize)> =
            response.topics.iter().map(|topic| (topic.name.to_string(), topic.partitions.len())).collect();
        assert_eq!(topics, [("t".to_owned(), 2), ("u".to_owned(), 1)]);
    }
    assert_eq!(committed(&mut client, "g").await.len(), 3);
}

#[tokio::test]
async fn groups_are_listed_and_described_in_every_version() {
    let served = serve().await;
    let mut client = served.with_topic("t", 1).await;
    commit(&mut client, 9, "simple", ("", -1), ("t", 0, 1)).await;
    let joined = join(&mut client, 9, "alive", Some("instance")).await;
    sync(&mut client, 5, "alive", &joined, Some("instance")).await;
    for version in client.versions::<ListGroupsRequest>().await {
        let listed = client.call(version, ListGroupsRequest::default()).await;
        let names: Vec<(&str, &str)> = listed.groups.iter().map(|g| (&**g.group_id, &*g.protocol_type)).collect();
        assert_eq!(names, [("alive", "consumer"), ("simple", "")]);
        assert_eq!(&*listed.groups[0].group_state, if version >= 4 { "Stable" } else { "" });
        assert_eq!(&*listed.groups[0].group_type, if version >= 5 { "classic" } else { "" });
        if version >= 4 {
            let filter = vec![text("empty"), text("dead")];
            let listed = client.call(version, ListGroupsRequest::default().with_states_filter(filter)).await;
            assert_eq!(listed.groups.iter().map(|group| &**group.group_id).collect::<Vec<_>>(), ["simple"]);
        }
        if version >= 5 {
            for (of_type, count) in [("Classic", 2), ("consumer", 0)] {
                let filter = ListGroupsRequest::default().with_types_filter(vec![text(of_type)]);
                assert_eq!(client.call(version, filter).await.groups.len(), count);
            }
        }
    }
    for version in client.versions::<DescribeGroupsRequest>().await {
        let groups = ["alive", "simple", "never"].map(group_id).to_vec();
        let request =
            DescribeGroupsRequest::default().with_groups(groups).with_include_authorized_operations(version >= 3);
        let described = client.call(version, request).await.groups;
        let states: Vec<(&str, i16)> = described.iter().map(|group| (&*group.group_state, group.error_code)).collect();
        let missing = if version >= 6 { ResponseError::GroupIdNotFound.code() } else { 0 };
        assert_eq!(states, [("Stable", 0), ("Empty", 0), ("Dead", missing)], "version {version}");
        let member = &described[0].members[0];
        assert_eq!((&*member.client_id, &*member.client_host), ("test", "/127.0.0.1"));
        assert_eq!((&member.member_metadata[..], &member.member_assignment[..]), (&b"about me"[..], &b"all of it"[..]));
        assert_eq!(member.group_instance_id.as_deref(), (version >= 4).then_some("instance"));
        assert_eq!((&*described[0].protocol_type, &*described[0].protocol_data), ("consumer", "range"));
        assert_eq!(described[0].authorized_operations, if version >= 3 { 3400 } else { i32::MIN });
    }
}

#[tokio::test]
async fn groups_and_offsets_are_deleted_in_every_version() {
    let served = serve().await;
    let mut client = served.with_topic("t", 1).await;
    join(&mut client, 9, "alive", None).await;
    for version in client.versions::<DeleteGroupsRequest>().await {
        commit(&mut client, 9, "simple", ("", -1), ("t", 0, 1)).await;
        let names = ["simple", "alive", "never"].map(group_id).to_vec();
        let deleted = client.call(version, DeleteGroupsRequest::default().with_groups_names(names)).await.results;
        let codes: Vec<i16> = deleted.iter().map(|result| result.error_code).collect();
        assert_eq!(codes, [0, ResponseError::NonEmptyGroup.code(), ResponseError::GroupIdNotFound.code()]);
        assert!(committed(&mut client, "simple").await.is_empty());
    }
    commit(&mut client, 9, "simple", ("", -1), ("t", 0, 1)).await;
    let delete = |group: &str| {
        let partition = OffsetDeleteRequestPartition::default().with_partition_index(0);
        let topic = OffsetDeleteRequestTopic::default().with_name(topic_name("t")).with_partitions(vec![partition]);
        OffsetDeleteRequest::default().with_group_id(group_id(group)).with_topics(vec![topic])
    };
    let deleted = client.call(0, delete("simple")).await;
    assert_eq!((deleted.error_code, deleted.topics[0].partitions[0].error_code), (0, 0));
    assert!(committed(&mut client, "simple").await.is_empty());
    let in_use = client.call(0, delete("alive")).await; // its metadata is none that could be read, so it may read anything
    assert_eq!(in_use.topics[0].partitions[0].error_code, ResponseError::GroupSubscribedToTopic.code());
    assert_eq!(client.call(0, delete("never")).await.error_code, ResponseError::GroupIdNotFound.code());
}

#[tokio::test]
async fn a_topic_that_is_made_again_begins_without_offsets() {
    let served = serve().await;
    let mut client = served.with_topic("t", 1).await;
    create(&mut client, "other", 1, &[]).await;
    commit(&mut client, 9, "g", ("", -1), ("t", 0, 9)).await;
    commit(&mut client, 9, "g", ("", -1), ("other", 0, 9)).await;
    let deleted = client.call(5, DeleteTopicsRequest::default().with_topic_names(vec![topic_name("t")])).await;
    assert_eq!(deleted.responses[0].error_code, 0);
    create(&mut client, "t", 1, &[]).await;
    assert_eq!(committed(&mut client, "g").await, [("other".to_owned(), 0, 9)]);
}

#[tokio::test]
async fn offsets_outlive_a_restart_and_members_join_again() {
    let served = serve().await;
    let mut client = served.with_topic("t", 1).await;
    let joined = join(&mut client, 9, "g", None).await;
    sync(&mut client, 5, "g", &joined, None).await;
    let who = (&*joined.member_id, joined.generation_id);
    assert_eq!(commit(&mut client, 9, "g", who, ("t", 0, 42)).await, 0);
    served.broker.stop().await.unwrap();

    let broker = open(&served.dir, |_| {}).await;
    let mut client = Client::connect(broker.address()).await;
    assert_eq!(committed(&mut client, "g").await, [("t".to_owned(), 0, 42)]);
    let unknown = ResponseError::UnknownMemberId.code();
    assert_eq!(heartbeat(&mut client, 4, "g", who.0, who.1).await, unknown);
    assert_eq!(commit(&mut client, 9, "g", who, ("t", 0, 43)).await, unknown, "an old member can't commit");
    let back = join(&mut client, 9, "g", None).await;
    assert_eq!(sync(&mut client, 5, "g", &back, None).await, 0);
    let who = (&*back.member_id, back.generation_id);
    assert_eq!(commit(&mut client, 9, "g", who, ("t", 0, 43)).await, 0);
}

#[tokio::test]
async fn what_was_answered_is_there_after_the_broker_is_dropped() {
    let served = serve().await;
    let mut client = served.with_topic("t", 1).await;
    for offset in 1..=20 {
        assert_eq!(commit(&mut client, 9, "g", ("", -1), ("t", 0, offset)).await, 0);
    }
    drop(served.broker);
    client.assert_closed().await;
    let deadline = std::time::Instant::now() + crate::client::DEADLINE;
    let broker = loop {
        match kluster_broker::Broker::open(crate::settings(&served.dir, |_| {})).await {
            Ok(broker) => break broker,
            Err(reason) => assert!(std::time::Instant::now() < deadline, "{reason}"),
        }
        tokio::task::yield_now().await;
    };
    let mut client = Client::connect(broker.address()).await;
    assert_eq!(committed(&mut client, "g").await, [("t".to_owned(), 0, 20)]);
}

#[tokio::test]
async fn every_group_api_can_refuse_in_every_version() {
    let faults = Faults::default();
    let given = faults.clone();
    let served = serve_with(|settings| settings.faults = given).await;
    let mut client = served.with_topic("t", 1).await;
    let code = ResponseError::NotCoordinator.code();
    let rules = ["FindCoordinator", "JoinGroup", "SyncGroup", "Heartbeat", "LeaveGroup", "OffsetCommit", "OffsetFetch"];
    for api in rules.into_iter().chain(["DescribeGroups", "ListGroups", "DeleteGroups", "OffsetDelete"]) {
        faults.add(format!("{api}:reject={code}").parse().unwrap());
    }
    for version in client.versions::<FindCoordinatorRequest>().await {
        let keys = if version >= 4 { vec![text("g")] } else { Vec::new() };
        let found = client.call(version, FindCoordinatorRequest::default().with_coordinator_keys(keys)).await;
        assert_eq!(found.coordinators.first().map_or(found.error_code, |first| first.error_code), code);
    }
    for version in client.versions::<JoinGroupRequest>().await {
        assert_eq!(client.call(version, join_request(version, "g", "", None)).await.error_code, code);
    }
    for version in client.versions::<SyncGroupRequest>().await {
        assert_eq!(client.call(version, SyncGroupRequest::default()).await.error_code, code);
    }
    for version in client.versions::<HeartbeatRequest>().await {
        assert_eq!(heartbeat(&mut client, version, "g", "m", 1).await, code);
    }
    for version in client.versions::<LeaveGroupRequest>().await {
        assert_eq!(client.call(version, LeaveGroupRequest::default()).await.error_code, code);
    }
    for version in client.versions::<OffsetCommitRequest>().await {
        assert_eq!(commit(&mut client, version, "g", ("", -1), ("t", 0, 1)).await, code);
    }
    for version in client.versions::<OffsetFetchRequest>().await {
        let groups = if version >= 8 { vec![OffsetFetchRequestGroup::default()] } else { Vec::new() };
        let refused = client.call(version, OffsetFetchRequest::default().with_groups(groups)).await;
        let told = refused.groups.first().map_or(refused.error_code, |group| group.error_code);
        assert_eq!(told, if version >= 2 { code } else { 0 }, "version {version}");
    }
    for version in client.versions::<DescribeGroupsRequest>().await {
        let request = DescribeGroupsRequest::default().with_groups(vec![group_id("g")]);
        assert_eq!(client.call(version, request).await.groups[0].error_code, code);
    }
    for version in client.versions::<ListGroupsRequest>().await {
        assert_eq!(client.call(version, ListGroupsRequest::default()).await.error_code, code);
    }
    for version in client.versions::<DeleteGroupsRequest>().await {
        let request = DeleteGroupsRequest::default().with_groups_names(vec![group_id("g")]);
        assert_eq!(client.call(version, request).await.results[0].error_code, code);
    }
    assert_eq!(client.call(0, OffsetDeleteRequest::default()).await.error_code, code);
    faults.clear();
    assert!(client.call(5, ListGroupsRequest::default()).await.groups.is_empty(), "nothing was executed");
}
