//! What tools and consoles ask beside topics, records and groups, in every version: where partitions lie, who leads them, who writes into them,
//! what may be done, what has settings.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::alter_partition_reassignments_request::{ReassignablePartition, ReassignableTopic};
use kafka_protocol::messages::alter_replica_log_dirs_request::{AlterReplicaLogDir, AlterReplicaLogDirTopic};
use kafka_protocol::messages::describe_log_dirs_request::DescribableLogDirTopic;
use kafka_protocol::messages::describe_topic_partitions_request::TopicRequest as DescribedTopic;
use kafka_protocol::messages::elect_leaders_request::TopicPartitions;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::*;

use crate::client::{batch, batch_of};
use crate::producing::produce;
use crate::{serve, text, topic_name};

/// As Apache Kafka 4.3 without an authorizer answers.
const TOPIC_OPERATIONS: i32 = 3576;
const CLUSTER_OPERATIONS: i32 = 8096;
const GROUP_OPERATIONS: i32 = 3400;
const NOT_ASKED: i32 = i32::MIN;

fn code(error: ResponseError) -> i16 {
    error.code()
}

#[tokio::test]
async fn log_dirs_tell_the_real_sizes() {
    let served = serve().await;
    let mut client = served.with_topic("sized", 2).await;
    let sized = || DescribableLogDirTopic::default().with_topic(topic_name("sized")).with_partitions(vec![1, 7, 1]);
    let unknown = DescribableLogDirTopic::default().with_topic(topic_name("none")).with_partitions(vec![0]);
    for version in client.versions::<DescribeLogDirsRequest>().await {
        assert_eq!(produce(&mut client, 9, "sized", 1, batch(&["a value"])).await.error_code, 0);
        let request = DescribeLogDirsRequest::default().with_topics(Some(vec![sized(), unknown.clone()]));
        let told = client.call(version, request).await;
        assert_eq!((told.error_code, told.results.len()), (0, 1));
        let dir = &told.results[0];
        assert_eq!((dir.error_code, &*dir.log_dir), (0, served.dir.path().to_str().unwrap()));
        let found: Vec<_> = dir.topics.iter().map(|topic| (topic.name.as_str(), topic.partitions.len())).collect();
        assert_eq!(found, [("sized", 1)], "each partition once, and only those that there are");
        let file = served.dir.path().join("sized-1/00000000000000000000.log");
        let partition = &dir.topics[0].partitions[0];
        let size = i64::try_from(std::fs::metadata(file).unwrap().len()).unwrap();
        assert_eq!((partition.partition_index, partition.partition_size, partition.offset_lag), (1, size, 0));
        assert!(size > 0 && !partition.is_future_key);
        if version >= 4 {
            assert!(0 < dir.usable_bytes && dir.usable_bytes <= dir.total_bytes, "{dir:?}");
        }
        let all = client.call(version, DescribeLogDirsRequest::default().with_topics(None)).await;
        let of_sized = all.results[0].topics.iter().find(|topic| topic.name.as_str() == "sized").unwrap();
        assert_eq!(of_sized.partitions.len(), 2);
    }
    for version in client.versions::<AlterReplicaLogDirsRequest>().await {
        let to = |path: &str, topic: &str| {
            let topic = AlterReplicaLogDirTopic::default().with_name(topic_name(topic)).with_partitions(vec![0]);
            AlterReplicaLogDir::default().with_path(text(path)).with_topics(vec![topic])
        };
        let here = served.dir.path().to_str().unwrap();
        let dirs = vec![to(here, "sized"), to(here, "none"), to("/elsewhere", "sized")];
        let moved = client.call(version, AlterReplicaLogDirsRequest::default().with_dirs(dirs)).await;
        let codes: Vec<_> = moved.results.iter().map(|topic| topic.partitions[0].error_code).collect();
        let wanted = [0, code(ResponseError::UnknownTopicOrPartition), code(ResponseError::LogDirNotFound)];
        assert_eq!(codes, wanted, "version {version}");
    }
}

#[tokio::test]
async fn nothing_is_moved_and_nothing_elected() {
    let served = serve().await;
    let mut client = served.with_topic("led", 1).await;
    for version in client.versions::<ListPartitionReassignmentsRequest>().await {
        let listed = client.call(version, ListPartitionReassignmentsRequest::default().with_topics(None)).await;
        assert_eq!((listed.error_code, listed.topics.len()), (0, 0));
    }
    for version in client.versions::<AlterPartitionReassignmentsRequest>().await {
        let mut reassign = async |topic: &str, replicas: Option<Vec<BrokerId>>| {
            let partition = ReassignablePartition::default().with_replicas(replicas);
            let topic = ReassignableTopic::default().with_name(topic_name(topic)).with_partitions(vec![partition]);
            let request = AlterPartitionReassignmentsRequest::default().with_topics(vec![topic]);
            let mut answer = client.call(version, request).await;
            let partition = answer.responses.remove(0).partitions.remove(0);
            (partition.error_code, partition.error_message.map(|words| words.to_string()).unwrap_or_default())
        };
        assert_eq!(reassign("led", Some(vec![1.into()])).await, (0, String::new()), "there it is already");
        let (refused, words) = reassign("led", Some(vec![1.into(), 2.into()])).await;
        assert_eq!(refused, code(ResponseError::InvalidReplicaAssignment));
        assert!(words.contains("[1, 2]") && words.contains("one broker"), "{words}");
        assert_eq!(reassign("led", None).await.0, code(ResponseError::NoReassignmentInProgress));
        assert_eq!(reassign("none", None).await.0, code(ResponseError::UnknownTopicOrPartition));
    }
    for version in client.versions::<ElectLeadersRequest>().await {
        let asked = TopicPartitions::default().with_topic(topic_name("led")).with_partitions(vec![0, 5]);
        let request = ElectLeadersRequest::default().with_topic_partitions(Some(vec![asked]));
        let elected = client.call(version, request.clone()).await;
        let codes: Vec<_> =
            elected.replica_election_results[0].partition_result.iter().map(|partition| partition.error_code).collect();
        let wanted = [ResponseError::ElectionNotNeeded, ResponseError::UnknownTopicOrPartition].map(code);
        assert_eq!((elected.error_code, &codes[..]), (0, &wanted[..]));
        if version >= 1 {
            let unknown = client.call(version, request.with_election_type(9)).await;
            assert_eq!(unknown.error_code, code(ResponseError::InvalidRequest));
        }
        let all = client.call(version, ElectLeadersRequest::default().with_topic_partitions(None)).await;
        assert_eq!((all.error_code, all.replica_election_results.len()), (0, 0));
    }
}

#[tokio::test]
async fn producers_are_told_with_their_last_record() {
    let served = serve().await;
    let mut client = served.with_topic("written", 1).await;
    assert_eq!(produce(&mut client, 9, "written", 0, batch(&["of no producer"])).await.error_code, 0);
    for (producer, epoch, sequence, time) in [(7, 0, 0, 100), (7, 0, 2, 200), (3, 4, 0, 50)] {
        let records = batch_of(time, producer, epoch, sequence, &["a", "b"]);
        assert_eq!(produce(&mut client, 9, "written", 0, records).await.error_code, 0);
    }
    let asked = describe_producers_request::TopicRequest::default()
        .with_name(topic_name("written"))
        .with_partition_indexes(vec![0, 8]);
    let told = client.call(0, DescribeProducersRequest::default().with_topics(vec![asked])).await;
    let [known, unknown] = &told.topics[0].partitions[..] else { panic!("{told:?}") };
    assert_eq!((known.error_code, unknown.error_code), (0, code(ResponseError::UnknownTopicOrPartition)));
    let producers: Vec<_> = known
        .active_producers
        .iter()
        .map(|producer| {
            (*producer.producer_id, producer.producer_epoch, producer.last_sequence, producer.last_timestamp)
        })
        .collect();
    assert_eq!(producers, [(3, 4, 1, 50), (7, 0, 3, 200)]);
    let first = &known.active_producers[0];
    assert_eq!((first.coordinator_epoch, first.current_txn_start_offset), (-1, -1), "no transaction is open");
}

#[tokio::test]
async fn there_are_no_transactions_to_describe() {
    let served = serve().await;
    let mut client = served.client().await;
    let ids = vec![TransactionalId(text("mine"))];
    let told = client.call(0, DescribeTransactionsRequest::default().with_transactional_ids(ids)).await;
    let state = &told.transaction_states[0];
    assert_eq!((&*state.transactional_id.0, state.error_code), ("mine", code(ResponseError::TransactionalIdNotFound)));
    for version in client.versions::<ListTransactionsRequest>().await {
        let filters = vec![text("Ongoing"), text("Dreaming")];
        let listed = client.call(version, ListTransactionsRequest::default().with_state_filters(filters)).await;
        assert_eq!((listed.error_code, listed.transaction_states.len()), (0, 0));
        assert_eq!(listed.unknown_state_filters, [text("Dreaming")]);
    }
}

#[tokio::test]
async fn everybody_may_do_everything_and_is_told_so_when_asked() {
    let served = serve().await;
    let mut client = served.with_topic("open", 1).await;
    for version in client.versions::<MetadataRequest>().await.filter(|version| *version >= 8) {
        for asked in [true, false] {
            let topic = MetadataRequestTopic::default().with_name(Some(topic_name("open")));
            let mut request = MetadataRequest::default()
                .with_topics(Some(vec![topic]))
                .with_include_topic_authorized_operations(asked);
            if version <= 10 {
                request = request.with_include_cluster_authorized_operations(asked);
            }
            let told = client.call(version, request).await;
            let of = |all| if asked { all } else { NOT_ASKED };
            assert_eq!(told.topics[0].topic_authorized_operations, of(TOPIC_OPERATIONS), "version {version}");
            if version <= 10 {
                assert_eq!(told.cluster_authorized_operations, of(CLUSTER_OPERATIONS), "version {version}");
            }
        }
    }
    for version in client.versions::<DescribeClusterRequest>().await {
        for (asked, wanted) in [(true, CLUSTER_OPERATIONS), (false, NOT_ASKED)] {
            let request = DescribeClusterRequest::default().with_include_cluster_authorized_operations(asked);
            assert_eq!(client.call(version, request).await.cluster_authorized_operations, wanted);
        }
    }
    let topic = DescribedTopic::default().with_name(topic_name("open"));
    let request = DescribeTopicPartitionsRequest::default().with_topics(vec![topic]).with_response_partition_limit(9);
    assert_eq!(client.call(0, request).await.topics[0].topic_authorized_operations, TOPIC_OPERATIONS);
    for version in client.versions::<DescribeGroupsRequest>().await.filter(|version| *version >= 3) {
        for (asked, wanted) in [(true, GROUP_OPERATIONS), (false, NOT_ASKED)] {
            let request = DescribeGroupsRequest::default()
                .with_groups(vec![GroupId(text("g"))])
                .with_include_authorized_operations(asked);
            assert_eq!(client.call(version, request).await.groups[0].authorized_operations, wanted);
        }
    }
}

#[tokio::test]
async fn what_has_settings_is_listed() {
    let served = serve().await;
    let mut client = served.with_topic("set", 1).await;
    let metrics = client.call(0, ListConfigResourcesRequest::default()).await;
    assert_eq!((metrics.error_code, metrics.config_resources.len()), (0, 0));
    let mut list = async |types: &[i8]| {
        let request = ListConfigResourcesRequest::default().with_resource_types(types.to_vec());
        let told = client.call(1, request).await;
        let found = told.config_resources.into_iter().filter(|found| !found.resource_name.starts_with("__"));
        (told.error_code, found.map(|found| (found.resource_type, found.resource_name.to_string())).collect::<Vec<_>>())
    };
    let (broker, topic) = ((4, "1".to_owned()), (2, "set".to_owned()));
    assert_eq!(list(&[]).await, (0, vec![broker.clone(), topic.clone()]));
    assert_eq!(list(&[2]).await, (0, vec![topic]));
    assert_eq!(list(&[4, 16, 32]).await, (0, vec![broker]));
    assert_eq!(list(&[99]).await, (code(ResponseError::UnsupportedVersion), vec![]));
    for (kind, wanted) in [(8, 0), (16, 0), (32, 0), (99, code(ResponseError::InvalidRequest))] {
        let resource = describe_configs_request::DescribeConfigsResource::default()
            .with_resource_type(kind)
            .with_resource_name(text("any"));
        let told = client.call(4, DescribeConfigsRequest::default().with_resources(vec![resource])).await;
        assert_eq!((told.results[0].error_code, told.results[0].configs.len()), (wanted, 0), "type {kind}");
    }
}
