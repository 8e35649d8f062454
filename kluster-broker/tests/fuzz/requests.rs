//! Valid requests of each API that the broker tells of, in each version that it tells of.

use std::collections::BTreeSet;

use bytes::Bytes;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Message, Request, StrBytes};

use crate::client::try_frame;
use crate::wild::keyed_batch;
use crate::world::{FLEETING, KEYED, STRANGER, World};

fn text(text: &'static str) -> StrBytes {
    StrBytes::from_static_str(text)
}

fn topic() -> TopicName {
    TopicName(text(STRANGER))
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

/// Frames of valid requests, for the topics that there are.
pub fn valid(world: &World) -> Vec<Vec<u8>> {
    let mut frames = Frames { world, frames: Vec::new(), written: BTreeSet::new() };
    frames.of_topics();
    frames.of_records();
    frames.of_settings();
    frames.of_members();
    frames.of_offsets();
    frames.of_consoles();
    frames.of_security();
    frames.assert_all();
    frames.frames
}

struct Frames<'a> {
    world: &'a World,
    frames: Vec<Vec<u8>>,
    /// Which versions of which APIs are among them.
    written: BTreeSet<(i16, i16)>,
}

impl Frames<'_> {
    /// In each version that is served and can carry it.
    fn add<R: Request>(&mut self, request: R) {
        let served = self.world.served.iter().find(|api| api.api_key == R::KEY).unwrap();
        for version in served.min_version..=served.max_version {
            if let Some(frame) = try_frame(1, version, &request) {
                self.frames.push(frame.to_vec());
                self.written.insert((R::KEY, version));
            }
        }
    }

    /// Nothing that is served is left out, but for versions that exist in the table only (the old ones of Produce).
    fn assert_all(&self) {
        for api in &self.world.served {
            for version in api.min_version..=api.max_version {
                let only_told = api.api_key == ProduceRequest::KEY && version < ProduceRequest::VERSIONS.min;
                assert!(only_told || self.written.contains(&(api.api_key, version)), "{api:?} version {version}");
            }
        }
    }

    fn of_topics(&mut self) {
        let asked = metadata_request::MetadataRequestTopic::default().with_name(Some(topic()));
        self.add(MetadataRequest::default().with_topics(Some(vec![asked])));
        self.add(ApiVersionsRequest::default());
        let config = create_topics_request::CreatableTopicConfig::default()
            .with_name(text("retention.ms"))
            .with_value(Some(text("-1")));
        let made = create_topics_request::CreatableTopic::default()
            .with_name(TopicName(text(FLEETING)))
            .with_num_partitions(1)
            .with_replication_factor(1)
            .with_configs(vec![config]);
        self.add(CreateTopicsRequest::default().with_topics(vec![made.clone()]).with_validate_only(true));
        self.add(CreateTopicsRequest::default().with_topics(vec![made]));
        self.add(DeleteTopicsRequest::default().with_topic_names(vec![TopicName(text(FLEETING))]));
        let gone = delete_topics_request::DeleteTopicState::default().with_name(Some(TopicName(text(FLEETING))));
        self.add(DeleteTopicsRequest::default().with_topics(vec![gone]));
        let more = create_partitions_request::CreatePartitionsTopic::default().with_name(topic()).with_count(2);
        self.add(CreatePartitionsRequest::default().with_topics(vec![more.clone()]).with_validate_only(true));
        let more = more.with_name(TopicName(text(FLEETING)));
        self.add(CreatePartitionsRequest::default().with_topics(vec![more]));
        self.add(DescribeClusterRequest::default());
        let described = describe_topic_partitions_request::TopicRequest::default().with_name(topic());
        let cursor = describe_topic_partitions_request::Cursor::default().with_topic_name(topic());
        let described =
            DescribeTopicPartitionsRequest::default().with_topics(vec![described]).with_cursor(Some(cursor));
        self.add(described);
    }

    fn of_records(&mut self) {
        for name in [STRANGER, KEYED] {
            let mut produced = produce(name, keyed_batch());
            produced.topic_data[0].topic_id = self.world.id(name);
            self.add(produced);
            let wanted = fetch_request::FetchPartition::default().with_partition_max_bytes(1_000);
            let wanted = fetch_request::FetchTopic::default()
                .with_topic(TopicName(text(name)))
                .with_topic_id(self.world.id(name))
                .with_partitions(vec![wanted]);
            let fetch = FetchRequest::default().with_max_bytes(1_000).with_max_wait_ms(10).with_min_bytes(1);
            self.add(fetch.with_topics(vec![wanted]));
        }
        let listed = list_offsets_request::ListOffsetsPartition::default().with_timestamp(-1);
        let listed = list_offsets_request::ListOffsetsTopic::default().with_name(topic()).with_partitions(vec![listed]);
        self.add(ListOffsetsRequest::default().with_topics(vec![listed]));
        let deleted = delete_records_request::DeleteRecordsPartition::default().with_offset(1);
        let deleted =
            delete_records_request::DeleteRecordsTopic::default().with_name(topic()).with_partitions(vec![deleted]);
        self.add(DeleteRecordsRequest::default().with_topics(vec![deleted]));
        self.add(InitProducerIdRequest::default().with_transactional_id(None));
        let ended = offset_for_leader_epoch_request::OffsetForLeaderPartition::default();
        let ended = offset_for_leader_epoch_request::OffsetForLeaderTopic::default()
            .with_topic(topic())
            .with_partitions(vec![ended]);
        self.add(OffsetForLeaderEpochRequest::default().with_topics(vec![ended]));
    }

    fn of_settings(&mut self) {
        let described = describe_configs_request::DescribeConfigsResource::default()
            .with_resource_type(4)
            .with_resource_name(text("1"))
            .with_configuration_keys(None);
        self.add(DescribeConfigsRequest::default().with_resources(vec![described]));
        let config = alter_configs_request::AlterableConfig::default().with_name(text("retention.ms"));
        let altered = alter_configs_request::AlterConfigsResource::default()
            .with_resource_type(2)
            .with_resource_name(text(STRANGER))
            .with_configs(vec![config]);
        self.add(AlterConfigsRequest::default().with_resources(vec![altered]));
        let config = incremental_alter_configs_request::AlterableConfig::default().with_name(text("retention.ms"));
        let altered = incremental_alter_configs_request::AlterConfigsResource::default()
            .with_resource_type(2)
            .with_resource_name(text(STRANGER))
            .with_configs(vec![config]);
        self.add(IncrementalAlterConfigsRequest::default().with_resources(vec![altered]));
    }

    fn of_members(&mut self) {
        self.add(FindCoordinatorRequest::default().with_key(text("strangers")));
        self.add(FindCoordinatorRequest::default().with_coordinator_keys(vec![text("strangers")]));
        let protocol = join_group_request::JoinGroupRequestProtocol::default().with_name(text("range")).with_metadata(
            Bytes::from_static(&[0, 1, 0, 0, 0, 1, 0, 8, b's', b't', b'r', b'a', b'n', b'g', b'e', b'r', 0, 0]),
        );
        let join = JoinGroupRequest::default()
            .with_group_id(group())
            .with_session_timeout_ms(10_000)
            .with_rebalance_timeout_ms(10_000)
            .with_protocol_type(text("consumer"))
            .with_protocols(vec![protocol]);
        self.add(join.with_group_instance_id(None));
        let assigned = sync_group_request::SyncGroupRequestAssignment::default()
            .with_member_id(text("m"))
            .with_assignment(Bytes::from_static(b"mine"));
        let sync = SyncGroupRequest::default().with_group_id(group()).with_generation_id(1).with_member_id(text("m"));
        self.add(sync.with_assignments(vec![assigned]));
        let beat = HeartbeatRequest::default().with_group_id(group()).with_generation_id(1).with_member_id(text("m"));
        self.add(beat);
        self.add(LeaveGroupRequest::default().with_group_id(group()).with_member_id(text("m")));
        let leaving = leave_group_request::MemberIdentity::default().with_member_id(text("m"));
        self.add(LeaveGroupRequest::default().with_group_id(group()).with_members(vec![leaving]));
        self.add(DescribeGroupsRequest::default().with_groups(vec![group()]));
        self.add(ListGroupsRequest::default());
        self.add(DeleteGroupsRequest::default().with_groups_names(vec![group()]));
    }

    fn of_offsets(&mut self) {
        let committed = offset_commit_request::OffsetCommitRequestPartition::default()
            .with_committed_offset(7)
            .with_committed_metadata(Some(text("note")));
        let committed = offset_commit_request::OffsetCommitRequestTopic::default()
            .with_name(topic())
            .with_partitions(vec![committed]);
        let commit = OffsetCommitRequest::default().with_group_id(group()).with_generation_id_or_member_epoch(-1);
        self.add(commit.with_topics(vec![committed]));
        let asked =
            offset_fetch_request::OffsetFetchRequestTopic::default().with_name(topic()).with_partition_indexes(vec![0]);
        let asked = OffsetFetchRequest::default().with_group_id(group()).with_topics(Some(vec![asked]));
        self.add(asked);
        let asked = offset_fetch_request::OffsetFetchRequestTopics::default()
            .with_name(topic())
            .with_partition_indexes(vec![0]);
        let asked = offset_fetch_request::OffsetFetchRequestGroup::default()
            .with_group_id(group())
            .with_topics(Some(vec![asked]));
        self.add(OffsetFetchRequest::default().with_groups(vec![asked]));
        let deleted = offset_delete_request::OffsetDeleteRequestPartition::default();
        let deleted = offset_delete_request::OffsetDeleteRequestTopic::default()
            .with_name(topic())
            .with_partitions(vec![deleted]);
        self.add(OffsetDeleteRequest::default().with_group_id(group()).with_topics(vec![deleted]));
    }

    fn of_consoles(&mut self) {
        let dirs =
            describe_log_dirs_request::DescribableLogDirTopic::default().with_topic(topic()).with_partitions(vec![0]);
        self.add(DescribeLogDirsRequest::default().with_topics(Some(vec![dirs])));
        let moved = alter_replica_log_dirs_request::AlterReplicaLogDirTopic::default()
            .with_name(topic())
            .with_partitions(vec![0]);
        let dir = alter_replica_log_dirs_request::AlterReplicaLogDir::default().with_topics(vec![moved]);
        self.add(AlterReplicaLogDirsRequest::default().with_dirs(vec![dir.with_path(text("/nowhere"))]));
        let elected = elect_leaders_request::TopicPartitions::default().with_topic(topic()).with_partitions(vec![0, 1]);
        self.add(ElectLeadersRequest::default().with_topic_partitions(Some(vec![elected])));
        let partition =
            alter_partition_reassignments_request::ReassignablePartition::default().with_replicas(Some(vec![2.into()]));
        let reassigned = alter_partition_reassignments_request::ReassignableTopic::default()
            .with_name(topic())
            .with_partitions(vec![partition]);
        self.add(AlterPartitionReassignmentsRequest::default().with_topics(vec![reassigned]));
        let listed = list_partition_reassignments_request::ListPartitionReassignmentsTopics::default()
            .with_name(topic())
            .with_partition_indexes(vec![0]);
        self.add(ListPartitionReassignmentsRequest::default().with_topics(Some(vec![listed])));
        let producers =
            describe_producers_request::TopicRequest::default().with_name(topic()).with_partition_indexes(vec![0]);
        self.add(DescribeProducersRequest::default().with_topics(vec![producers]));
        self.add(DescribeTransactionsRequest::default().with_transactional_ids(vec![TransactionalId(text("t"))]));
        self.add(ListTransactionsRequest::default().with_state_filters(vec![text("Ongoing")]));
        self.add(ListConfigResourcesRequest::default());
        let component = describe_client_quotas_request::ComponentData::default().with_entity_type(text("user"));
        self.add(DescribeClientQuotasRequest::default().with_components(vec![component]));
        let entity = alter_client_quotas_request::EntityData::default().with_entity_type(text("user"));
        let op = alter_client_quotas_request::OpData::default().with_key(text("producer_byte_rate"));
        let entry = alter_client_quotas_request::EntryData::default().with_entity(vec![entity]).with_ops(vec![op]);
        self.add(AlterClientQuotasRequest::default().with_entries(vec![entry]));
        let beat = ConsumerGroupHeartbeatRequest::default().with_group_id(group());
        self.add(beat.with_subscribed_topic_names(Some(vec![topic()])));
        self.add(ConsumerGroupDescribeRequest::default().with_group_ids(vec![group()]));
    }

    fn of_security(&mut self) {
        self.add(DescribeAclsRequest::default());
        self.add(CreateAclsRequest::default().with_creations(vec![Default::default()]));
        self.add(DeleteAclsRequest::default().with_filters(vec![Default::default()]));
        self.add(SaslHandshakeRequest::default().with_mechanism(text("PLAIN")));
        self.add(SaslAuthenticateRequest::default().with_auth_bytes(Bytes::from_static(b"\0a\0b")));
        self.add(CreateDelegationTokenRequest::default());
        self.add(RenewDelegationTokenRequest::default());
        self.add(ExpireDelegationTokenRequest::default());
        self.add(DescribeDelegationTokenRequest::default());
        let user = describe_user_scram_credentials_request::UserName::default().with_name(text("u"));
        self.add(DescribeUserScramCredentialsRequest::default().with_users(Some(vec![user])));
        let upsertion = alter_user_scram_credentials_request::ScramCredentialUpsertion::default().with_name(text("u"));
        self.add(AlterUserScramCredentialsRequest::default().with_upsertions(vec![upsertion]));
    }
}
