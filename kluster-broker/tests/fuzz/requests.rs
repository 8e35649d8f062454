//! A valid request of each API, in the lowest and the highest version.

use bytes::Bytes;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Request, StrBytes};

use crate::client::{batch, frame};

fn text(text: &'static str) -> StrBytes {
    StrBytes::from_static_str(text)
}

fn topic() -> TopicName {
    TopicName(text("stranger"))
}

fn group() -> GroupId {
    GroupId(text("strangers"))
}

pub fn produce(name: &'static str, records: Bytes) -> ProduceRequest {
    let data = produce_request::PartitionProduceData::default().with_records(Some(records));
    let topic =
        produce_request::TopicProduceData::default().with_name(TopicName(text(name))).with_partition_data(vec![data]);
    ProduceRequest::default().with_transactional_id(None).with_acks(-1).with_topic_data(vec![topic])
}

/// Frames of valid requests.
pub fn valid() -> Vec<Vec<u8>> {
    let mut frames = Frames(Vec::new());
    frames.of_topics();
    frames.of_records();
    frames.of_settings();
    frames.of_members();
    frames.of_offsets();
    frames.0
}

struct Frames(Vec<Vec<u8>>);

impl Frames {
    /// In these versions. What a version can't carry is left to the others.
    fn add<R: Request>(&mut self, versions: [i16; 2], request: R) {
        for version in versions {
            self.0.push(frame(1, version, &request).to_vec());
        }
    }

    fn of_topics(&mut self) {
        let asked = metadata_request::MetadataRequestTopic::default().with_name(Some(topic()));
        self.add([4, 13], MetadataRequest::default().with_topics(Some(vec![asked])));
        self.add([0, 2], ApiVersionsRequest::default());
        let config = create_topics_request::CreatableTopicConfig::default()
            .with_name(text("retention.ms"))
            .with_value(Some(text("-1")));
        let made = create_topics_request::CreatableTopic::default()
            .with_name(topic())
            .with_num_partitions(1)
            .with_replication_factor(1)
            .with_configs(vec![config]);
        self.add([2, 7], CreateTopicsRequest::default().with_topics(vec![made]).with_validate_only(true));
        self.add([1, 5], DeleteTopicsRequest::default().with_topic_names(vec![topic()]));
        let more = create_partitions_request::CreatePartitionsTopic::default().with_name(topic()).with_count(2);
        self.add([0, 3], CreatePartitionsRequest::default().with_topics(vec![more]).with_validate_only(true));
        self.add([0, 2], DescribeClusterRequest::default());
        let described = describe_topic_partitions_request::TopicRequest::default().with_name(topic());
        let cursor = describe_topic_partitions_request::Cursor::default().with_topic_name(topic());
        let described =
            DescribeTopicPartitionsRequest::default().with_topics(vec![described]).with_cursor(Some(cursor));
        self.add([0, 0], described);
    }

    fn of_records(&mut self) {
        self.add([3, 12], produce("stranger", batch(&["a", "b"])));
        let wanted = fetch_request::FetchPartition::default().with_partition_max_bytes(1_000);
        let wanted = fetch_request::FetchTopic::default().with_topic(topic()).with_partitions(vec![wanted]);
        let fetch = FetchRequest::default().with_max_bytes(1_000).with_max_wait_ms(10).with_min_bytes(1);
        self.add([4, 12], fetch.with_topics(vec![wanted]));
        let listed = list_offsets_request::ListOffsetsPartition::default().with_timestamp(-1);
        let listed = list_offsets_request::ListOffsetsTopic::default().with_name(topic()).with_partitions(vec![listed]);
        self.add([1, 9], ListOffsetsRequest::default().with_topics(vec![listed]));
        let deleted = delete_records_request::DeleteRecordsPartition::default().with_offset(1);
        let deleted =
            delete_records_request::DeleteRecordsTopic::default().with_name(topic()).with_partitions(vec![deleted]);
        self.add([0, 2], DeleteRecordsRequest::default().with_topics(vec![deleted]));
        self.add([0, 2], InitProducerIdRequest::default().with_transactional_id(None));
        let ended = offset_for_leader_epoch_request::OffsetForLeaderPartition::default();
        let ended = offset_for_leader_epoch_request::OffsetForLeaderTopic::default()
            .with_topic(topic())
            .with_partitions(vec![ended]);
        self.add([3, 4], OffsetForLeaderEpochRequest::default().with_topics(vec![ended]));
    }

    fn of_settings(&mut self) {
        let described = describe_configs_request::DescribeConfigsResource::default()
            .with_resource_type(4)
            .with_resource_name(text("1"))
            .with_configuration_keys(None);
        self.add([1, 4], DescribeConfigsRequest::default().with_resources(vec![described]));
        let config = alter_configs_request::AlterableConfig::default().with_name(text("retention.ms"));
        let altered = alter_configs_request::AlterConfigsResource::default()
            .with_resource_type(2)
            .with_resource_name(text("stranger"))
            .with_configs(vec![config]);
        self.add([0, 2], AlterConfigsRequest::default().with_resources(vec![altered]));
        let config = incremental_alter_configs_request::AlterableConfig::default().with_name(text("retention.ms"));
        let altered = incremental_alter_configs_request::AlterConfigsResource::default()
            .with_resource_type(2)
            .with_resource_name(text("stranger"))
            .with_configs(vec![config]);
        self.add([0, 1], IncrementalAlterConfigsRequest::default().with_resources(vec![altered]));
    }

    fn of_members(&mut self) {
        self.add([0, 2], FindCoordinatorRequest::default().with_key(text("strangers")));
        self.add([4, 6], FindCoordinatorRequest::default().with_coordinator_keys(vec![text("strangers")]));
        let protocol = join_group_request::JoinGroupRequestProtocol::default().with_name(text("range")).with_metadata(
            Bytes::from_static(&[0, 1, 0, 0, 0, 1, 0, 8, b's', b't', b'r', b'a', b'n', b'g', b'e', b'r', 0, 0]),
        );
        let join = JoinGroupRequest::default()
            .with_group_id(group())
            .with_session_timeout_ms(10_000)
            .with_rebalance_timeout_ms(10_000)
            .with_protocol_type(text("consumer"))
            .with_protocols(vec![protocol]);
        self.add([1, 7], join.with_group_instance_id(None));
        let assigned = sync_group_request::SyncGroupRequestAssignment::default()
            .with_member_id(text("m"))
            .with_assignment(Bytes::from_static(b"mine"));
        let sync = SyncGroupRequest::default().with_group_id(group()).with_generation_id(1).with_member_id(text("m"));
        self.add([0, 4], sync.with_assignments(vec![assigned]));
        let beat = HeartbeatRequest::default().with_group_id(group()).with_generation_id(1).with_member_id(text("m"));
        self.add([0, 4], beat);
        self.add([0, 2], LeaveGroupRequest::default().with_group_id(group()).with_member_id(text("m")));
        self.add([0, 6], DescribeGroupsRequest::default().with_groups(vec![group()]));
        self.add([0, 3], ListGroupsRequest::default());
        self.add([0, 2], DeleteGroupsRequest::default().with_groups_names(vec![group()]));
    }

    fn of_offsets(&mut self) {
        let committed = offset_commit_request::OffsetCommitRequestPartition::default()
            .with_committed_offset(7)
            .with_committed_metadata(Some(text("note")));
        let committed = offset_commit_request::OffsetCommitRequestTopic::default()
            .with_name(topic())
            .with_partitions(vec![committed]);
        let commit = OffsetCommitRequest::default().with_group_id(group()).with_generation_id_or_member_epoch(-1);
        self.add([2, 9], commit.with_topics(vec![committed]));
        let asked =
            offset_fetch_request::OffsetFetchRequestTopic::default().with_name(topic()).with_partition_indexes(vec![0]);
        let asked = OffsetFetchRequest::default().with_group_id(group()).with_topics(Some(vec![asked]));
        self.add([1, 7], asked);
        let deleted = offset_delete_request::OffsetDeleteRequestPartition::default();
        let deleted = offset_delete_request::OffsetDeleteRequestTopic::default()
            .with_name(topic())
            .with_partitions(vec![deleted]);
        self.add([0, 0], OffsetDeleteRequest::default().with_group_id(group()).with_topics(vec![deleted]));
    }
}
