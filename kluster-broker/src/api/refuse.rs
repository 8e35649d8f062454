//! A request refused whole: the same error code in each place where its answer has room for one. Fault rules refuse so.

use bytes::Bytes;
use kafka_protocol::messages::alter_configs_response::AlterConfigsResourceResponse as Replaced;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::create_topics_response::CreatableTopicResult;
use kafka_protocol::messages::delete_records_response::{DeleteRecordsPartitionResult, DeleteRecordsTopicResult};
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::describe_configs_response::DescribeConfigsResult;
use kafka_protocol::messages::describe_topic_partitions_response::DescribeTopicPartitionsResponseTopic;
use kafka_protocol::messages::fetch_response::{FetchableTopicResponse, PartitionData};
use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse as Changed;
use kafka_protocol::messages::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use kafka_protocol::messages::metadata_response::MetadataResponseTopic;
use kafka_protocol::messages::offset_for_leader_epoch_response::{EpochEndOffset, OffsetForLeaderTopicResult};
use kafka_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::Request;

use super::Answer;

/// A request that can be refused whole.
pub(super) trait Refuse: Request {
    /// The answer that says so, in a version.
    fn refuse(self, code: i16, version: i16) -> Answer<Self::Response>;
}

/// Answers with one error code for all.
macro_rules! with_one_code {
    ($($request:ident => $response:ident),* $(,)?) => {$(
        impl Refuse for $request {
            fn refuse(self, code: i16, _version: i16) -> Answer<$response> {
                $response::default().with_error_code(code).into()
            }
        }
    )*};
}

with_one_code! {
    ApiVersionsRequest => ApiVersionsResponse,
    InitProducerIdRequest => InitProducerIdResponse,
    DescribeClusterRequest => DescribeClusterResponse,
    ListPartitionReassignmentsRequest => ListPartitionReassignmentsResponse,
    ListConfigResourcesRequest => ListConfigResourcesResponse,
    ListTransactionsRequest => ListTransactionsResponse,
    SaslHandshakeRequest => SaslHandshakeResponse,
    CreateDelegationTokenRequest => CreateDelegationTokenResponse,
    RenewDelegationTokenRequest => RenewDelegationTokenResponse,
    ExpireDelegationTokenRequest => ExpireDelegationTokenResponse,
    DescribeDelegationTokenRequest => DescribeDelegationTokenResponse,
}

impl Refuse for ProduceRequest {
    fn refuse(self, code: i16, _version: i16) -> Answer<ProduceResponse> {
        if self.acks == 0 {
            return Answer::Close;
        }
        let topic = |topic: produce_request::TopicProduceData| {
            let partition = |partition: produce_request::PartitionProduceData| {
                PartitionProduceResponse::default()
                    .with_index(partition.index)
                    .with_error_code(code)
                    .with_base_offset(-1)
            };
            let partitions = topic.partition_data.into_iter().map(partition).collect();
            TopicProduceResponse::default()
                .with_name(topic.name)
                .with_topic_id(topic.topic_id)
                .with_partition_responses(partitions)
        };
        ProduceResponse::default().with_responses(self.topic_data.into_iter().map(topic).collect()).into()
    }
}

impl Refuse for FetchRequest {
    fn refuse(self, code: i16, _version: i16) -> Answer<FetchResponse> {
        let topic = |topic: fetch_request::FetchTopic| {
            let partition = |partition: fetch_request::FetchPartition| {
                PartitionData::default()
                    .with_partition_index(partition.partition)
                    .with_error_code(code)
                    .with_high_watermark(-1)
                    .with_records(Some(Bytes::new()))
            };
            FetchableTopicResponse::default()
                .with_topic(topic.topic)
                .with_topic_id(topic.topic_id)
                .with_partitions(topic.partitions.into_iter().map(partition).collect())
        };
        FetchResponse::default().with_responses(self.topics.into_iter().map(topic).collect()).into()
    }
}

impl Refuse for ListOffsetsRequest {
    fn refuse(self, code: i16, _version: i16) -> Answer<ListOffsetsResponse> {
        let topic = |topic: list_offsets_request::ListOffsetsTopic| {
            let partition = |partition: list_offsets_request::ListOffsetsPartition| {
                ListOffsetsPartitionResponse::default()
                    .with_partition_index(partition.partition_index)
                    .with_error_code(code)
            };
            let partitions = topic.partitions.into_iter().map(partition).collect();
            ListOffsetsTopicResponse::default().with_name(topic.name).with_partitions(partitions)
        };
        ListOffsetsResponse::default().with_topics(self.topics.into_iter().map(topic).collect()).into()
    }
}

impl Refuse for MetadataRequest {
    fn refuse(self, code: i16, _version: i16) -> Answer<MetadataResponse> {
        let topic = |topic: metadata_request::MetadataRequestTopic| {
            MetadataResponseTopic::default().with_error_code(code).with_name(topic.name).with_topic_id(topic.topic_id)
        };
        let topics = self.topics.unwrap_or_default().into_iter().map(topic).collect();
        MetadataResponse::default().with_topics(topics).into()
    }
}

impl Refuse for CreateTopicsRequest {
    fn refuse(self, code: i16, _version: i16) -> Answer<CreateTopicsResponse> {
        let topic = |topic: create_topics_request::CreatableTopic| {
            CreatableTopicResult::default().with_name(topic.name).with_error_code(code)
        };
        CreateTopicsResponse::default().with_topics(self.topics.into_iter().map(topic).collect()).into()
    }
}

impl Refuse for DeleteTopicsRequest {
    fn refuse(self, code: i16, _version: i16) -> Answer<DeleteTopicsResponse> {
        let refused = DeletableTopicResult::default().with_error_code(code);
        let by_state = self.topics.into_iter().map(|topic| (topic.name, topic.topic_id));
        let by_name = self.topic_names.into_iter().map(|name| (Some(name), uuid::Uuid::nil()));
        let topics = by_state.chain(by_name).map(|(name, id)| refused.clone().with_name(name).with_topic_id(id));
        DeleteTopicsResponse::default().with_responses(topics.collect()).into()
    }
}

impl Refuse for DeleteRecordsRequest {
    fn refuse(self, code: i16, _version: i16) -> Answer<DeleteRecordsResponse> {
        let topic = |topic: delete_records_request::DeleteRecordsTopic| {
            let partition = |partition: delete_records_request::DeleteRecordsPartition| {
                DeleteRecordsPartitionResult::default()
                    .with_partition_index(partition.partition_index)
                    .with_low_watermark(-1)
                    .with_error_code(code)
            };
            let partitions = topic.partitions.into_iter().map(partition).collect();
            DeleteRecordsTopicResult::default().with_name(topic.name).with_partitions(partitions)
        };
        DeleteRecordsResponse::default().with_topics(self.topics.into_iter().map(topic).collect()).into()
    }
}

impl Refuse for OffsetForLeaderEpochRequest {
    fn refuse(self, code: i16, _version: i16) -> Answer<OffsetForLeaderEpochResponse> {
        let topic = |topic: offset_for_leader_epoch_request::OffsetForLeaderTopic| {
            let partition = |partition: offset_for_leader_epoch_request::OffsetForLeaderPartition| {
                EpochEndOffset::default().with_partition(partition.partition).with_error_code(code)
            };
            let partitions = topic.partitions.into_iter().map(partition).collect();
            OffsetForLeaderTopicResult::default().with_topic(topic.topic).with_partitions(partitions)
        };
        OffsetForLeaderEpochResponse::default().with_topics(self.topics.into_iter().map(topic).collect()).into()
    }
}

impl Refuse for DescribeConfigsRequest {
    fn refuse(self, code: i16, _version: i16) -> Answer<DescribeConfigsResponse> {
        let resource = |resource: describe_configs_request::DescribeConfigsResource| {
            DescribeConfigsResult::default()
                .with_error_code(code)
                .with_resource_type(resource.resource_type)
                .with_resource_name(resource.resource_name)
        };
        DescribeConfigsResponse::default().with_results(self.resources.into_iter().map(resource).collect()).into()
    }
}

impl Refuse for AlterConfigsRequest {
    fn refuse(self, code: i16, _version: i16) -> Answer<AlterConfigsResponse> {
        let resource = |resource: alter_configs_request::AlterConfigsResource| {
            Replaced::default()
                .with_error_code(code)
                .with_resource_type(resource.resource_type)
                .with_resource_name(resource.resource_name)
        };
        AlterConfigsResponse::default().with_responses(self.resources.into_iter().map(resource).collect()).into()
    }
}

impl Refuse for IncrementalAlterConfigsRequest {
    fn refuse(self, code: i16, _version: i16) -> Answer<IncrementalAlterConfigsResponse> {
        let resource = |resource: incremental_alter_configs_request::AlterConfigsResource| {
            Changed::default()
                .with_error_code(code)
                .with_resource_type(resource.resource_type)
                .with_resource_name(resource.resource_name)
        };
        let resources = self.resources.into_iter().map(resource).collect();
        IncrementalAlterConfigsResponse::default().with_responses(resources).into()
    }
}

impl Refuse for CreatePartitionsRequest {
    fn refuse(self, code: i16, _version: i16) -> Answer<CreatePartitionsResponse> {
        let topic = |topic: create_partitions_request::CreatePartitionsTopic| {
            CreatePartitionsTopicResult::default().with_name(topic.name).with_error_code(code)
        };
        CreatePartitionsResponse::default().with_results(self.topics.into_iter().map(topic).collect()).into()
    }
}

impl Refuse for DescribeTopicPartitionsRequest {
    fn refuse(self, code: i16, _version: i16) -> Answer<DescribeTopicPartitionsResponse> {
        let topic = |topic: describe_topic_partitions_request::TopicRequest| {
            DescribeTopicPartitionsResponseTopic::default().with_name(Some(topic.name)).with_error_code(code)
        };
        DescribeTopicPartitionsResponse::default().with_topics(self.topics.into_iter().map(topic).collect()).into()
    }
}
