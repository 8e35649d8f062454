//! What strangers find: topics that are deleted from and compacted, and the table of what is served. Beside them a client that reads everything
//! that was stored, and holds each batch against its checksum.

use std::net::SocketAddr;
use std::time::Instant;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{
    ApiVersionsRequest, CreateTopicsRequest, FetchRequest, ListOffsetsRequest, MetadataRequest, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use kluster_broker::batch;
use uuid::Uuid;

use crate::client::{Client, DEADLINE};

/// Its segments are deleted.
pub const STRANGER: &str = "stranger";
/// Its segments are compacted, all the time.
pub const KEYED: &str = "keyed";
/// Made and deleted by strangers.
pub const FLEETING: &str = "fleeting";
/// Asks for the first offset.
const EARLIEST: i64 = -2;
/// Small segments, so that they are closed, deleted and compacted while strangers are at it.
const SEGMENT_BYTES: &str = "20000";

/// The topics as they are, and what is served.
pub struct World {
    pub served: Vec<ApiVersion>,
    ids: [(&'static str, Uuid); 2],
}

impl World {
    /// Makes the topics that a stranger has deleted, and looks.
    pub async fn of(address: SocketAddr) -> Self {
        let mut client = Client::connect(address).await;
        client.call(7, CreateTopicsRequest::default().with_topics(vec![topic(STRANGER), topic(KEYED)])).await;
        let served = client.call(3, ApiVersionsRequest::default()).await.api_keys;
        let mut ids = [(STRANGER, Uuid::nil()), (KEYED, Uuid::nil())];
        for (name, id) in &mut ids {
            let asked = MetadataRequestTopic::default().with_name(Some(topic_name(name)));
            let told = client.call(12, MetadataRequest::default().with_topics(Some(vec![asked]))).await;
            assert_eq!(told.topics[0].error_code, 0, "{name}");
            *id = told.topics[0].topic_id;
        }
        Self { served, ids }
    }

    /// The id of a topic.
    pub fn id(&self, name: &str) -> Uuid {
        self.ids.iter().find(|(known, _)| *known == name).unwrap().1
    }
}

fn topic(name: &str) -> CreatableTopic {
    let policy = if name == KEYED { "compact" } else { "delete" };
    let configs = [("cleanup.policy", policy), ("segment.bytes", SEGMENT_BYTES), ("min.cleanable.dirty.ratio", "0")];
    let config = |(name, value): (&'static str, &'static str)| {
        CreatableTopicConfig::default()
            .with_name(StrBytes::from_static_str(name))
            .with_value(Some(StrBytes::from_static_str(value)))
    };
    CreatableTopic::default()
        .with_name(topic_name(name))
        .with_num_partitions(1)
        .with_replication_factor(1)
        .with_configs(configs.map(config).into())
}

fn topic_name(name: &str) -> TopicName {
    TopicName(StrBytes::from_string(name.to_owned()))
}

/// Reads a topic from its first offset to its end, which it gives. What was stored is whole, whatever it holds.
pub async fn assert_readable(address: SocketAddr, name: &str) -> i64 {
    let until = Instant::now() + DEADLINE;
    loop {
        if let Some(end) = read_all(address, name).await {
            return end;
        }
        assert!(Instant::now() < until, "{name}: its start moves and moves");
    }
}

/// `None` where the topic's start was moved meanwhile: its retention is what strangers have made it.
async fn read_all(address: SocketAddr, name: &str) -> Option<i64> {
    let mut client = Client::connect(address).await;
    let asked = ListOffsetsPartition::default().with_timestamp(EARLIEST).with_current_leader_epoch(-1);
    let asked = ListOffsetsTopic::default().with_name(topic_name(name)).with_partitions(vec![asked]);
    let mut listed = client.call(6, ListOffsetsRequest::default().with_topics(vec![asked])).await;
    let first = listed.topics.remove(0).partitions.remove(0);
    assert_eq!(first.error_code, 0, "{name}");
    let mut next = first.offset;
    loop {
        let wanted = FetchPartition::default().with_fetch_offset(next).with_partition_max_bytes(1_000_000);
        let wanted = wanted.with_current_leader_epoch(-1);
        let wanted = FetchTopic::default().with_topic(topic_name(name)).with_partitions(vec![wanted]);
        let request = FetchRequest::default().with_max_bytes(1_000_000).with_session_epoch(-1);
        let mut answer = client.call(12, request.with_topics(vec![wanted])).await;
        let data = answer.responses.remove(0).partitions.remove(0);
        if data.error_code == ResponseError::OffsetOutOfRange.code() {
            return None;
        }
        assert_eq!(data.error_code, 0, "{name} at {next}");
        let mut rest = data.records.unwrap();
        if rest.is_empty() {
            assert_eq!(next, data.high_watermark, "{name} is read to its end");
            return Some(next);
        }
        while !rest.is_empty() {
            let header = batch::check(&rest).unwrap();
            assert!(header.next_offset() > next, "{name} at {next}");
            next = header.next_offset();
            drop(rest.split_to(header.size));
        }
    }
}
