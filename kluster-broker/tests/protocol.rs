//! The broker over real sockets, asked by a small client of the protocol: what each API answers in its lowest and its highest version and those
//! between, how connections behave, what strangers can and can't do, what a restart keeps.

#![allow(clippy::unwrap_used, missing_docs)]

#[path = "protocol/absent.rs"]
mod absent;
#[path = "protocol/bounds.rs"]
mod bounds;
#[path = "protocol/client.rs"]
mod client;
#[path = "protocol/configs.rs"]
mod configs;
#[path = "protocol/connections.rs"]
mod connections;
#[path = "protocol/consoles.rs"]
mod consoles;
#[path = "protocol/consumers.rs"]
mod consumers;
#[path = "protocol/cooperative.rs"]
mod cooperative;
#[path = "protocol/faults.rs"]
mod faults;
#[path = "protocol/fetching.rs"]
mod fetching;
#[path = "protocol/full.rs"]
mod full;
#[path = "protocol/groups.rs"]
mod groups;
#[path = "protocol/offsets.rs"]
mod offsets;
#[path = "protocol/producing.rs"]
mod producing;
#[path = "protocol/starting.rs"]
mod starting;
#[path = "protocol/topics.rs"]
mod topics;

use client::Client;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::{CreateTopicsRequest, MetadataRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use kluster_broker::{Broker, BrokerSettings};
use tempfile::TempDir;
use uuid::Uuid;

/// A broker on a free port, with a directory of its own.
struct Served {
    broker: Broker,
    dir: TempDir,
}

async fn serve() -> Served {
    serve_with(|_| {}).await
}

async fn serve_with(change: impl FnOnce(&mut BrokerSettings)) -> Served {
    let dir = TempDir::new().unwrap();
    let broker = open(&dir, change).await;
    Served { broker, dir }
}

async fn open(dir: &TempDir, change: impl FnOnce(&mut BrokerSettings)) -> Broker {
    Broker::open(settings(dir, change)).await.unwrap()
}

fn settings(dir: &TempDir, change: impl FnOnce(&mut BrokerSettings)) -> BrokerSettings {
    let mut settings = BrokerSettings::new(dir.path());
    settings.listen.set_port(0);
    change(&mut settings);
    settings
}

impl Served {
    async fn client(&self) -> Client {
        Client::connect(self.broker.address()).await
    }

    /// A client, and a topic of that many partitions.
    async fn with_topic(&self, name: &str, partitions: i32) -> Client {
        let mut client = self.client().await;
        create(&mut client, name, partitions, &[]).await;
        client
    }
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn topic_name(name: &str) -> TopicName {
    TopicName(text(name))
}

fn creatable(name: &str, partitions: i32, configs: &[(&str, &str)]) -> CreatableTopic {
    let config = |(name, value): &(&str, &str)| {
        CreatableTopicConfig::default().with_name(text(name)).with_value(Some(text(value)))
    };
    CreatableTopic::default()
        .with_name(topic_name(name))
        .with_num_partitions(partitions)
        .with_replication_factor(1)
        .with_configs(configs.iter().map(config).collect())
}

async fn create(client: &mut Client, name: &str, partitions: i32, configs: &[(&str, &str)]) {
    let request = CreateTopicsRequest::default().with_topics(vec![creatable(name, partitions, configs)]);
    let response = client.call(7, request).await;
    assert_eq!(response.topics[0].error_code, 0, "{response:?}");
}

async fn topic_id(client: &mut Client, name: &str) -> Uuid {
    let asked =
        kafka_protocol::messages::metadata_request::MetadataRequestTopic::default().with_name(Some(topic_name(name)));
    client.call(12, MetadataRequest::default().with_topics(Some(vec![asked]))).await.topics[0].topic_id
}
