//! Settings: DescribeConfigs, AlterConfigs, IncrementalAlterConfigs.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::alter_configs_request as replace;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{DescribeConfigsResourceResult, DescribeConfigsResult};
use kafka_protocol::messages::incremental_alter_configs_request as change;
use kafka_protocol::messages::{AlterConfigsRequest, DescribeConfigsRequest, IncrementalAlterConfigsRequest};

use crate::client::Client;
use crate::{create, serve, text};

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

async fn describe(
    client: &mut Client,
    version: i16,
    kind: i8,
    name: &str,
    keys: Option<&[&str]>,
) -> DescribeConfigsResult {
    let keys = keys.map(|keys| keys.iter().map(|key| text(key)).collect());
    let resource = DescribeConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(name))
        .with_configuration_keys(keys);
    let request = DescribeConfigsRequest::default()
        .with_resources(vec![resource])
        .with_include_synonyms(true)
        .with_include_documentation(version >= 3);
    client.call(version, request).await.results.remove(0)
}

fn find<'a>(described: &'a DescribeConfigsResult, name: &str) -> &'a DescribeConfigsResourceResult {
    described.configs.iter().find(|config| &*config.name == name).unwrap_or_else(|| panic!("{name} is told"))
}

async fn value(client: &mut Client, topic: &str, name: &str) -> (String, i8) {
    let described = describe(client, 4, TOPIC, topic, None).await;
    let config = find(&described, name);
    (config.value.as_ref().unwrap().to_string(), config.config_source)
}

/// A change: setting, operation, value.
type Change<'a> = (&'a str, i8, Option<&'a str>);

async fn change(
    client: &mut Client,
    version: i16,
    resource: (i8, &str),
    changes: &[Change<'_>],
    validate_only: bool,
) -> i16 {
    let config = |(name, operation, value): &Change<'_>| {
        change::AlterableConfig::default()
            .with_name(text(name))
            .with_config_operation(*operation)
            .with_value(value.map(text))
    };
    let resource = change::AlterConfigsResource::default()
        .with_resource_type(resource.0)
        .with_resource_name(text(resource.1))
        .with_configs(changes.iter().map(config).collect());
    let request =
        IncrementalAlterConfigsRequest::default().with_resources(vec![resource]).with_validate_only(validate_only);
    client.call(version, request).await.responses.remove(0).error_code
}

async fn replace(
    client: &mut Client,
    version: i16,
    resource: (i8, &str),
    set: (&str, Option<&str>),
    validate_only: bool,
) -> i16 {
    let config = replace::AlterableConfig::default().with_name(text(set.0)).with_value(set.1.map(text));
    let resource = replace::AlterConfigsResource::default()
        .with_resource_type(resource.0)
        .with_resource_name(text(resource.1))
        .with_configs(vec![config]);
    let request = AlterConfigsRequest::default().with_resources(vec![resource]).with_validate_only(validate_only);
    client.call(version, request).await.responses.remove(0).error_code
}

#[tokio::test]
async fn a_topics_settings_are_told_in_every_version() {
    let served = serve().await;
    let mut client = served.client().await;
    create(&mut client, "told", 1, &[("retention.ms", "1000")]).await;
    for version in client.versions::<DescribeConfigsRequest>().await {
        let told = describe(&mut client, version, TOPIC, "told", None).await;
        assert_eq!(told.error_code, 0);
        let set = find(&told, "retention.ms");
        assert_eq!((set.value.as_deref(), set.config_source), (Some("1000"), 1), "version {version}");
        let synonyms: Vec<(&str, i8)> = set.synonyms.iter().map(|synonym| (&*synonym.name, synonym.source)).collect();
        assert_eq!(synonyms, [("retention.ms", 1), ("log.retention.ms", 5)]);
        let default = find(&told, "cleanup.policy");
        assert_eq!((default.value.as_deref(), default.config_source), (Some("delete"), 5));
        assert!(!default.read_only && !default.is_sensitive);
        if version >= 3 {
            assert_eq!((set.config_type, default.config_type), (5, 7), "long and list");
            assert!(set.documentation.is_some());
        }
        let one = describe(&mut client, version, TOPIC, "told", Some(&["segment.bytes", "no.such"])).await;
        assert_eq!(one.configs.iter().map(|config| &*config.name).collect::<Vec<_>>(), ["segment.bytes"]);
        let absent = describe(&mut client, version, TOPIC, "absent", None).await;
        assert_eq!(absent.error_code, ResponseError::UnknownTopicOrPartition.code());
        let other = describe(&mut client, version, 99, "x", None).await;
        assert_eq!(other.error_code, ResponseError::InvalidRequest.code());
    }
}

#[tokio::test]
async fn the_brokers_settings_are_told() {
    let served = serve().await;
    let mut client = served.client().await;
    for version in client.versions::<DescribeConfigsRequest>().await {
        let told = describe(&mut client, version, BROKER, "1", None).await;
        assert_eq!(find(&told, "log.dirs").value.as_deref(), served.dir.path().to_str());
        assert_eq!(find(&told, "log.retention.ms").value.as_deref(), Some("604800000"));
        assert!(told.configs.iter().all(|config| config.read_only));
        let other = describe(&mut client, version, BROKER, "7", None).await;
        assert_eq!(other.error_code, ResponseError::InvalidRequest.code());
    }
}

#[tokio::test]
async fn settings_are_changed_one_by_one() {
    let served = serve().await;
    let mut client = served.with_topic("change", 1).await;
    let topic = (TOPIC, "change");
    let set = [("retention.ms", SET, Some("5")), ("cleanup.policy", APPEND, Some("compact"))];
    let undo = [("retention.ms", DELETE, None), ("cleanup.policy", DELETE, None)];
    for version in client.versions::<IncrementalAlterConfigsRequest>().await {
        assert_eq!(change(&mut client, version, topic, &set, true).await, 0);
        assert_eq!(value(&mut client, "change", "retention.ms").await, ("604800000".to_owned(), 5), "only checked");
        assert_eq!(change(&mut client, version, topic, &set, false).await, 0);
        let subtract = [("cleanup.policy", SUBTRACT, Some("delete"))];
        assert_eq!(change(&mut client, version, topic, &subtract, false).await, 0);
        assert_eq!(value(&mut client, "change", "retention.ms").await, ("5".to_owned(), 1));
        assert_eq!(value(&mut client, "change", "cleanup.policy").await, ("compact".to_owned(), 1));
        assert_eq!(change(&mut client, version, topic, &undo, false).await, 0);
        assert_eq!(value(&mut client, "change", "retention.ms").await, ("604800000".to_owned(), 5));
    }
}

#[tokio::test]
async fn wrong_changes_are_refused_and_change_nothing() {
    let served = serve().await;
    let mut client = served.with_topic("wrong", 1).await;
    let topic = (TOPIC, "wrong");
    let right = ("segment.ms", SET, Some("7"));
    let wrong: [(_, &[Change<'_>], _); 7] = [
        (topic, &[right, ("retention.ms", SET, Some("soon"))], ResponseError::InvalidConfig),
        (topic, &[right, ("no.such", SET, Some("1"))], ResponseError::InvalidConfig),
        (topic, &[right, ("retention.ms", SET, None)], ResponseError::InvalidConfig),
        (topic, &[right, ("retention.ms", 9, Some("1"))], ResponseError::InvalidRequest),
        (topic, &[right, right], ResponseError::InvalidRequest),
        ((BROKER, "1"), &[right], ResponseError::InvalidRequest),
        ((TOPIC, "absent"), &[right], ResponseError::UnknownTopicOrPartition),
    ];
    for version in client.versions::<IncrementalAlterConfigsRequest>().await {
        for validate_only in [true, false] {
            for (resource, changes, error) in wrong {
                let code = change(&mut client, version, resource, changes, validate_only).await;
                assert_eq!(code, error.code(), "{changes:?}");
            }
        }
    }
    assert_eq!(value(&mut client, "wrong", "segment.ms").await, ("604800000".to_owned(), 5));
}

#[tokio::test]
async fn settings_are_replaced_all_at_once() {
    let served = serve().await;
    let mut client = served.client().await;
    create(&mut client, "replace", 1, &[("retention.ms", "1"), ("segment.ms", "2")]).await;
    let topic = (TOPIC, "replace");
    let wrong = [
        (topic, ("retention.ms", Some("soon")), ResponseError::InvalidConfig),
        (topic, ("retention.ms", None), ResponseError::InvalidConfig),
        ((BROKER, "1"), ("log.retention.ms", Some("1")), ResponseError::InvalidRequest),
        ((TOPIC, "absent"), ("retention.ms", Some("1")), ResponseError::UnknownTopicOrPartition),
    ];
    for version in client.versions::<AlterConfigsRequest>().await {
        for (resource, set, error) in wrong {
            for validate_only in [true, false] {
                assert_eq!(replace(&mut client, version, resource, set, validate_only).await, error.code(), "{set:?}");
            }
        }
        let retention = (i64::from(version) + 10).to_string();
        let set = ("retention.ms", Some(retention.as_str()));
        assert_eq!(replace(&mut client, version, topic, set, true).await, 0);
        assert_ne!(value(&mut client, "replace", "retention.ms").await.0, retention, "only checked");
        assert_eq!(replace(&mut client, version, topic, set, false).await, 0);
        assert_eq!(value(&mut client, "replace", "retention.ms").await, (retention, 1));
        assert_eq!(
            value(&mut client, "replace", "segment.ms").await,
            ("604800000".to_owned(), 5),
            "not named, not set"
        );
    }
}

#[tokio::test]
async fn of_the_broker_only_settings_that_nobody_made_can_be_taken_away() {
    let served = serve().await;
    let mut client = served.client().await;
    let throttle = |operation, value| ("leader.replication.throttled.rate", operation, value);
    for version in client.versions::<IncrementalAlterConfigsRequest>().await {
        let gone = change(&mut client, version, (BROKER, "1"), &[throttle(DELETE, None)], false).await;
        assert_eq!(gone, 0, "kafka-reassign-partitions --verify does so");
        let set = change(&mut client, version, (BROKER, "1"), &[throttle(SET, Some("1"))], false).await;
        assert_eq!(set, ResponseError::InvalidRequest.code());
    }
}
