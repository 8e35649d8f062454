//! Topics: created with the settings they need, and looked up again to be checked.

use super::KafkaLog;
use super::apart::Apart;
use super::ask::Asker;
use super::config::refused;
use super::context::Context;
use super::fault::{is_denied, is_transient, of_call};
use crate::check::{Checker, Found};
use crate::wanted::wanted;
use crate::{Created, LogError, TopicCheck, TopicSettings};
use kluster_protocol::Topic;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::Metadata;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Between two looks whether a new topic is known to the brokers.
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

impl KafkaLog {
    pub(crate) async fn create_topics(&self, settings: &TopicSettings) -> Result<Vec<(Topic, Created)>, LogError> {
        let all: Vec<_> = Topic::EACH.iter().map(|topic| wanted(*topic, settings)).collect();
        let values: Vec<Vec<String>> =
            all.iter().map(|each| each.iter().map(crate::wanted::Wanted::creation).collect()).collect();
        let names = Topic::EACH.map(|topic| self.names().name(topic));
        let mut topics = Vec::new();
        for (index, topic) in Topic::EACH.into_iter().enumerate() {
            let partitions = settings.partitions_of(topic) as i32;
            let new = NewTopic::new(&names[index], partitions, TopicReplication::Fixed(settings.copies() as i32));
            let each = all[index].iter().zip(&values[index]);
            topics.push(each.fold(new, |new, (wanted, value)| new.set(wanted.setting, value)));
        }
        let created = self.created(&topics, settings).await?;
        self.await_topics(&names).await?;
        Ok(created)
    }

    /// Asks until it is done, or refused: brokers of a Kafka that is starting join one after the other.
    async fn created(
        &self,
        topics: &[NewTopic<'_>],
        settings: &TopicSettings,
    ) -> Result<Vec<(Topic, Created)>, LogError> {
        let until = tokio::time::Instant::now() + self.deadline();
        let (mut new, mut told) = (BTreeSet::new(), false);
        loop {
            let results = self.admin()?.create_topics(topics, &self.options()).await;
            let results = results.map_err(|error| of_call(&error, "creating topics", ""))?;
            let too_few = results.iter().any(lacks_brokers);
            let each = Topic::EACH.into_iter().zip(results);
            if !too_few || tokio::time::Instant::now() >= until {
                let as_said = |(topic, result)| match created_of(result, settings)? {
                    // This call made it, before there were brokers enough for the others.
                    Created::Existed if new.contains(&topic) => Ok((topic, Created::New)),
                    created => Ok((topic, created)),
                };
                return each.map(as_said).collect();
            }
            if !std::mem::replace(&mut told, true) {
                tracing::warn!("waiting for more brokers: {} copies are wanted of each topic", settings.copies());
            }
            new.extend(each.filter_map(|(topic, result)| result.is_ok().then_some(topic)));
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
    }

    /// Waits until the brokers know the topics and who leads them.
    async fn await_topics(&self, names: &[String]) -> Result<(), LogError> {
        let until = tokio::time::Instant::now() + self.deadline();
        for name in names {
            loop {
                let missing = match self.metadata(self.asker(), name).await {
                    Ok(found) if found.led => break,
                    Ok(_) => LogError::MissingTopic { name: name.clone() },
                    Err(error @ LogError::MissingTopic { .. }) => error,
                    Err(error) => return Err(error),
                };
                if tokio::time::Instant::now() >= until {
                    return Err(missing);
                }
                tokio::time::sleep(BETWEEN_LOOKS).await;
            }
        }
        Ok(())
    }

    pub(crate) async fn check_topics(&self, settings: &TopicSettings) -> Result<TopicCheck, LogError> {
        let mut found = BTreeMap::new();
        for topic in Topic::EACH {
            match self.metadata(self.asker(), &self.names().name(topic)).await {
                Ok(shape) => drop(found.insert(topic, shape)),
                Err(LogError::MissingTopic { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let configs = self.configs(found.keys().copied().collect()).await?;
        let bootstrap = self.config_bootstrap();
        let check = |topic: Topic| {
            let name = self.names().name(topic);
            let found = found.get(&topic).map(|shape| Found {
                partitions: shape.partitions,
                copies: shape.copies,
                settings: configs.get(&topic).cloned(),
            });
            Checker { topic, name: &name, bootstrap, settings }.findings(found.as_ref())
        };
        Ok(TopicCheck { findings: Topic::EACH.into_iter().flat_map(check).collect() })
    }

    /// The settings of the topics that may be read.
    async fn configs(&self, topics: Vec<Topic>) -> Result<BTreeMap<Topic, BTreeMap<String, String>>, LogError> {
        let names: Vec<_> = topics.iter().map(|topic| self.names().name(*topic)).collect();
        let specifiers: Vec<_> = names.iter().map(|name| ResourceSpecifier::Topic(name)).collect();
        if specifiers.is_empty() {
            return Ok(BTreeMap::new());
        }
        let described = self.admin()?.describe_configs(&specifiers, &self.options()).await;
        let described = match described {
            Ok(described) => described,
            Err(error) if error.rdkafka_error_code().is_some_and(may_not_read) => return Ok(BTreeMap::new()),
            Err(error) => return Err(of_call(&error, "reading the topics' settings", "")),
        };
        let mut configs = BTreeMap::new();
        for (topic, described) in topics.into_iter().zip(described) {
            match described {
                Ok(resource) => {
                    let value = |entry: rdkafka::admin::ConfigEntry| Some((entry.name, entry.value?));
                    configs.insert(topic, resource.entries.into_iter().filter_map(value).collect());
                }
                Err(code) if is_transient(code) => {
                    return Err(of_call(&KafkaError::AdminOp(code), "reading the topics' settings", topic.word()));
                }
                Err(_) => {}
            }
        }
        Ok(configs)
    }

    /// A topic's partitions and copies.
    /// What the brokers say of a topic, asked by `asker`.
    pub(super) async fn metadata(&self, asker: &Asker, name: &str) -> Result<Shape, LogError> {
        let topic = name.to_owned();
        let question = move |client: &rdkafka::consumer::BaseConsumer<Context>, timeout| {
            shape_of(&client.fetch_metadata(Some(&topic), timeout)?, &topic)
        };
        asker.ask(format!("looking for topic {name}"), name.to_owned(), question).await
    }

    fn admin(&self) -> Result<Apart<AdminClient<Context>>, LogError> {
        let admin = AdminClient::from_config_and_context(&self.config().asker(None), Context::new("topics"));
        admin.map(Apart::new).map_err(|error| refused(&error))
    }

    fn options(&self) -> AdminOptions {
        AdminOptions::new().request_timeout(Some(self.deadline())).operation_timeout(Some(self.deadline()))
    }
}

/// What metadata says about a topic.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) partitions: u32,
    /// The fewest copies of any partition.
    copies: u32,
    /// Every partition has a leader.
    led: bool,
}

fn shape_of(metadata: &Metadata, name: &str) -> Result<Shape, KafkaError> {
    let missing = KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopicOrPartition);
    let topic = metadata.topics().iter().find(|topic| topic.name() == name).ok_or(missing.clone())?;
    if let Some(error) = topic.error() {
        return Err(KafkaError::MetadataFetch(error.into()));
    }
    let partitions = topic.partitions();
    if partitions.is_empty() {
        return Err(missing);
    }
    let copies = partitions.iter().map(|partition| partition.replicas().len()).min().unwrap_or_default();
    let led = partitions.iter().all(|partition| partition.leader() >= 0);
    Ok(Shape { partitions: partitions.len() as u32, copies: copies as u32, led })
}

fn lacks_brokers(result: &Result<String, (String, RDKafkaErrorCode)>) -> bool {
    matches!(result, Err((_, RDKafkaErrorCode::InvalidReplicationFactor)))
}

fn created_of(
    result: Result<String, (String, RDKafkaErrorCode)>,
    settings: &TopicSettings,
) -> Result<Created, LogError> {
    match result {
        Ok(_) => Ok(Created::New),
        Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => Ok(Created::Existed),
        Err((name, code)) if is_denied(code) => {
            Err(LogError::Denied { doing: format!("creating topic {name}"), reason: code.to_string() })
        }
        Err((name, RDKafkaErrorCode::InvalidReplicationFactor)) => Err(LogError::Settings(format!(
            "topic {name} cannot have {} copies: there are fewer brokers. Start more, or use the settings for development",
            settings.copies()
        ))),
        Err((name, code)) => Err(LogError::Settings(format!("Kafka does not create topic {name}: {code}"))),
    }
}

/// The broker says that this user may not, or that it cannot tell anybody.
fn may_not_read(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode::{UnsupportedFeature, UnsupportedVersion};
    is_denied(code) || matches!(code, UnsupportedFeature | UnsupportedVersion)
}
