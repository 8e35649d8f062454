//! Topics: Metadata, CreateTopics, DeleteTopics, CreatePartitions, DescribeTopicPartitions, DescribeCluster.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::create_partitions_request::{CreatePartitionsAssignment, CreatePartitionsTopic};
use kafka_protocol::messages::create_topics_request::{CreatableReplicaAssignment, CreatableTopic};
use kafka_protocol::messages::create_topics_response::CreatableTopicResult;
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::describe_topic_partitions_request::{Cursor, TopicRequest};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{
    BrokerId, CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest, DescribeClusterRequest,
    DescribeTopicPartitionsRequest, MetadataRequest,
};
use uuid::Uuid;

use crate::client::Client;
use crate::{creatable, create, serve, serve_with, topic_id, topic_name};

pub async fn delete(client: &mut Client, name: &str) {
    let request = DeleteTopicsRequest::default().with_topic_names(vec![topic_name(name)]);
    assert_eq!(client.call(5, request).await.responses[0].error_code, 0);
}

async fn create_one(
    client: &mut Client,
    version: i16,
    topic: CreatableTopic,
    validate_only: bool,
) -> CreatableTopicResult {
    let request = CreateTopicsRequest::default().with_topics(vec![topic]).with_validate_only(validate_only);
    client.call(version, request).await.topics.remove(0)
}

fn named(name: &str) -> MetadataRequestTopic {
    MetadataRequestTopic::default().with_name(Some(topic_name(name)))
}

async fn names(client: &mut Client) -> Vec<String> {
    let all = client.call(12, MetadataRequest::default().with_topics(None)).await;
    let names = all.topics.iter().map(|topic| topic.name.as_ref().unwrap().to_string());
    names.filter(|name| !name.starts_with("__")).collect()
}

#[tokio::test]
async fn metadata_names_broker_and_topics_in_every_version() {
    let served = serve().await;
    let mut client = served.with_topic("known", 3).await;
    for version in client.versions::<MetadataRequest>().await {
        let asked =
            MetadataRequest::default().with_topics(Some(vec![named("known"), named("absent"), named("no/name")]));
        let asked = if version < 4 { asked.with_allow_auto_topic_creation(true) } else { asked };
        let told = client.call(version, asked).await;
        assert_eq!(told.brokers.len(), 1);
        assert_eq!(told.brokers[0].port, i32::from(served.broker.address().port()));
        assert_eq!(&*told.brokers[0].host, "127.0.0.1");
        let codes: Vec<i16> = told.topics.iter().map(|topic| topic.error_code).collect();
        let (unknown, illegal) = (ResponseError::UnknownTopicOrPartition, ResponseError::InvalidTopicException);
        assert_eq!(codes, [0, unknown.code(), illegal.code()], "version {version}");
        let leaders: Vec<i32> = told.topics[0].partitions.iter().map(|partition| *partition.leader_id).collect();
        assert_eq!(leaders, [*told.brokers[0].node_id; 3]);
        if version >= 1 {
            assert_eq!(told.controller_id, told.brokers[0].node_id);
        }
        if version >= 2 {
            assert!(told.cluster_id.is_some_and(|id| !id.is_empty()));
        }
        assert_eq!(told.topics[0].topic_id.is_nil(), version < 10);
    }
    assert_eq!(names(&mut client).await, ["known"], "asking creates nothing");
}

#[tokio::test]
async fn metadata_finds_topics_by_id_and_lists_all() {
    let served = serve().await;
    let mut client = served.with_topic("by-id", 1).await;
    create(&mut client, "second", 1, &[]).await;
    let id = topic_id(&mut client, "by-id").await;
    for version in [12, 13] {
        let by_id = |id: Uuid| MetadataRequestTopic::default().with_topic_id(id).with_name(None);
        let asked = MetadataRequest::default().with_topics(Some(vec![by_id(id), by_id(Uuid::from_u128(7))]));
        let told = client.call(version, asked).await;
        assert_eq!(told.topics[0].name.as_ref().unwrap().as_str(), "by-id");
        assert_eq!(told.topics[1].error_code, ResponseError::UnknownTopicId.code());
    }
    assert_eq!(names(&mut client).await, ["by-id", "second"]);
    let oldest = client.call(0, MetadataRequest::default().with_topics(Some(Vec::new()))).await;
    assert!(oldest.topics.len() >= 2, "version 0 asks for all with an empty list");
    let none = client.call(12, MetadataRequest::default().with_topics(Some(Vec::new()))).await;
    assert!(none.topics.is_empty());
}

#[tokio::test]
async fn a_topic_is_created_by_asking_only_where_that_is_set() {
    let served = serve_with(|settings| {
        settings.auto_create_topics = true;
        settings.default_partitions = 4;
    })
    .await;
    let mut client = served.client().await;
    let asked = MetadataRequest::default().with_topics(Some(vec![named("asked")]));
    let refused = client.call(12, asked.clone().with_allow_auto_topic_creation(false)).await;
    assert_eq!(refused.topics[0].error_code, ResponseError::UnknownTopicOrPartition.code());
    let made = client.call(12, asked.with_allow_auto_topic_creation(true)).await;
    assert_eq!((made.topics[0].error_code, made.topics[0].partitions.len()), (0, 4));
}

#[tokio::test]
async fn topics_are_created_in_every_version() {
    let served = serve().await;
    let mut client = served.client().await;
    for version in client.versions::<CreateTopicsRequest>().await {
        let name = format!("version-{version}");
        let asked = creatable(&name, 2, &[("retention.ms", "-1")]);
        let checked = create_one(&mut client, version, asked.clone(), true).await;
        assert_eq!(checked.error_code, 0);
        assert!(!names(&mut client).await.contains(&name), "validate_only makes nothing");
        let made = create_one(&mut client, version, asked.clone(), false).await;
        assert_eq!((made.error_code, made.error_message.as_deref()), (0, None), "version {version}");
        assert_eq!(made.topic_id.is_nil(), version < 7);
        if version >= 5 {
            assert_eq!((made.num_partitions, made.replication_factor), (2, 1));
            let configs = made.configs.unwrap();
            let retention = configs.iter().find(|config| &*config.name == "retention.ms").unwrap();
            assert_eq!(retention.value.as_deref(), Some("-1"));
        }
        for validate_only in [false, true] {
            let again = create_one(&mut client, version, asked.clone(), validate_only).await;
            assert_eq!(again.error_code, ResponseError::TopicAlreadyExists.code());
            assert!(again.error_message.is_some());
        }
    }
}

#[tokio::test]
async fn wrong_topics_are_refused_with_their_reason() {
    let served = serve().await;
    let mut client = served.client().await;
    let refused = [
        (creatable("no/name", 1, &[]), ResponseError::InvalidTopicException),
        (creatable("", 1, &[]), ResponseError::InvalidTopicException),
        (creatable("x", 0, &[]), ResponseError::InvalidPartitions),
        (creatable("x", -2, &[]), ResponseError::InvalidPartitions),
        (creatable("x", 1, &[]).with_replication_factor(3), ResponseError::InvalidReplicationFactor),
        (creatable("x", 1, &[("no.such.setting", "1")]), ResponseError::InvalidConfig),
        (creatable("x", 1, &[("retention.ms", "soon")]), ResponseError::InvalidConfig),
        (assigned("x", &[(0, &[2])]), ResponseError::InvalidReplicaAssignment),
        (assigned("x", &[(1, &[1])]), ResponseError::InvalidReplicaAssignment),
        (assigned("x", &[(0, &[1])]).with_num_partitions(1), ResponseError::InvalidRequest),
    ];
    for version in [2, 7] {
        for validate_only in [false, true] {
            for (topic, error) in &refused {
                let answer = create_one(&mut client, version, topic.clone(), validate_only).await;
                assert_eq!(answer.error_code, error.code(), "{topic:?}");
                assert!(answer.error_message.is_some_and(|words| !words.is_empty()));
            }
        }
    }
    let twice = CreateTopicsRequest::default().with_topics(vec![creatable("x", 1, &[]), creatable("x", 1, &[])]);
    let answer = client.call(7, twice).await;
    assert!(answer.topics.iter().all(|topic| topic.error_code == ResponseError::InvalidRequest.code()));
    assert!(names(&mut client).await.is_empty());
}

fn assigned(name: &str, assignments: &[(i32, &[i32])]) -> CreatableTopic {
    let assignment = |(index, brokers): &(i32, &[i32])| {
        CreatableReplicaAssignment::default()
            .with_partition_index(*index)
            .with_broker_ids(brokers.iter().copied().map(BrokerId).collect())
    };
    CreatableTopic::default()
        .with_name(topic_name(name))
        .with_num_partitions(-1)
        .with_replication_factor(-1)
        .with_assignments(assignments.iter().map(assignment).collect())
}

#[tokio::test]
async fn numbers_left_open_are_the_brokers() {
    let served = serve_with(|settings| settings.default_partitions = 3).await;
    let mut client = served.client().await;
    let open = creatable("open", -1, &[]).with_replication_factor(-1);
    let made = create_one(&mut client, 5, open, false).await;
    assert_eq!((made.num_partitions, made.replication_factor), (3, 1));
    let made = create_one(&mut client, 5, assigned("assigned", &[(0, &[1]), (1, &[1])]), false).await;
    assert_eq!((made.error_code, made.num_partitions), (0, 2));
}

#[tokio::test]
async fn topics_are_deleted_by_name_and_by_id() {
    let served = serve().await;
    let mut client = served.client().await;
    for version in client.versions::<DeleteTopicsRequest>().await {
        create(&mut client, "doomed", 1, &[]).await;
        let id = topic_id(&mut client, "doomed").await;
        let by_name = |name: &str| DeleteTopicState::default().with_name(Some(topic_name(name)));
        let by_id = |id: Uuid| DeleteTopicState::default().with_name(None).with_topic_id(id);
        let request = if version >= 6 {
            DeleteTopicsRequest::default().with_topics(vec![by_id(id), by_name("absent"), by_id(Uuid::from_u128(7))])
        } else {
            DeleteTopicsRequest::default().with_topic_names(vec![topic_name("doomed"), topic_name("absent")])
        };
        let answer = client.call(version, request).await;
        let codes: Vec<i16> = answer.responses.iter().map(|topic| topic.error_code).collect();
        let (by_name, by_id) = (ResponseError::UnknownTopicOrPartition.code(), ResponseError::UnknownTopicId.code());
        assert_eq!(codes, [0, by_name, by_id][..codes.len()], "version {version}");
        assert_eq!(answer.responses[0].name.as_ref().unwrap().as_str(), "doomed");
        assert!(names(&mut client).await.is_empty());
    }
}

#[tokio::test]
async fn a_topic_made_again_has_another_id() {
    let served = serve().await;
    let mut client = served.with_topic("again", 1).await;
    let first = topic_id(&mut client, "again").await;
    delete(&mut client, "again").await;
    create(&mut client, "again", 1, &[]).await;
    assert_ne!(topic_id(&mut client, "again").await, first);
}

#[tokio::test]
async fn partitions_only_grow() {
    let served = serve().await;
    let mut client = served.with_topic("grows", 1).await;
    for version in client.versions::<CreatePartitionsRequest>().await {
        let count = i32::from(version) + 2;
        let topic =
            |name: &str, count: i32| CreatePartitionsTopic::default().with_name(topic_name(name)).with_count(count);
        let wrong = CreatePartitionsAssignment::default().with_broker_ids(vec![BrokerId(9)]);
        let request = CreatePartitionsRequest::default().with_topics(vec![
            topic("grows", count - 1).with_assignments(None),
            topic("absent", 2).with_assignments(None),
            topic("grows", count).with_assignments(Some(vec![wrong])),
        ]);
        let answer = client.call(version, request).await;
        let codes: Vec<i16> = answer.results.iter().map(|topic| topic.error_code).collect();
        let (fewer, absent) = (ResponseError::InvalidPartitions.code(), ResponseError::UnknownTopicOrPartition.code());
        assert_eq!(codes, [fewer, absent, ResponseError::InvalidReplicaAssignment.code()]);
        for (validate_only, expected) in [(true, count - 1), (false, count)] {
            let request = CreatePartitionsRequest::default()
                .with_topics(vec![topic("grows", count).with_assignments(None)])
                .with_validate_only(validate_only);
            assert_eq!(client.call(version, request).await.results[0].error_code, 0);
            let told = client.call(12, MetadataRequest::default().with_topics(Some(vec![named("grows")]))).await;
            assert_eq!(told.topics[0].partitions.len(), usize::try_from(expected).unwrap());
        }
    }
}

#[tokio::test]
async fn topics_are_described_by_pages() {
    let served = serve().await;
    let mut client = served.client().await;
    for (name, partitions) in [("a", 2), ("b", 3), ("c", 1)] {
        create(&mut client, name, partitions, &[]).await;
    }
    let mut cursor = None;
    let mut told = Vec::new();
    let asked = ["c", "absent", "b", "a"].map(|name| TopicRequest::default().with_name(topic_name(name)));
    loop {
        let request = DescribeTopicPartitionsRequest::default()
            .with_topics(asked.to_vec())
            .with_response_partition_limit(2)
            .with_cursor(cursor);
        let page = client.call(0, request).await;
        let rows = page.topics.iter().flat_map(|topic| {
            let name = topic.name.as_ref().unwrap().to_string();
            if topic.error_code != 0 {
                assert_eq!(topic.error_code, ResponseError::UnknownTopicOrPartition.code());
                return vec![(name, -1)];
            }
            topic.partitions.iter().map(|partition| (name.clone(), partition.partition_index)).collect()
        });
        let rows: Vec<(String, i32)> = rows.collect();
        assert!(rows.iter().filter(|(_, partition)| *partition >= 0).count() <= 2, "{rows:?}");
        told.extend(rows);
        let Some(next) = page.next_cursor else { break };
        cursor = Some(Cursor::default().with_topic_name(next.topic_name).with_partition_index(next.partition_index));
    }
    let row = |name: &str, partition| (name.to_owned(), partition);
    let all = [row("a", 0), row("a", 1), row("absent", -1), row("b", 0), row("b", 1), row("b", 2), row("c", 0)];
    assert_eq!(told, all);
}

#[tokio::test]
async fn the_cluster_is_one_broker() {
    let served = serve_with(|settings| settings.advertised = Some(("broker.example".to_owned(), 4711))).await;
    let mut client = served.client().await;
    for version in client.versions::<DescribeClusterRequest>().await {
        let told = client.call(version, DescribeClusterRequest::default()).await;
        assert_eq!((told.error_code, told.brokers.len()), (0, 1));
        assert_eq!((&*told.brokers[0].host, told.brokers[0].port), ("broker.example", 4711));
        assert_eq!(told.controller_id, told.brokers[0].broker_id);
        assert!(!told.cluster_id.is_empty());
        if version >= 1 {
            let controllers = client.call(version, DescribeClusterRequest::default().with_endpoint_type(2)).await;
            assert_eq!(controllers.error_code, ResponseError::UnsupportedEndpointType.code());
        }
    }
}
