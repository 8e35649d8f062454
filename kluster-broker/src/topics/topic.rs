//! One topic: its id, settings and partitions, and what it must be to be created.

use super::catalogue::{CATALOGUE_FILE, Entry};
use super::directory::partition_dir;
use super::{OpenError, TopicError};
use crate::partition::{Backing, Partition};
use crate::topic_config::TopicConfig;
use std::path::Path;
use uuid::Uuid;

/// Most partitions of one topic; the bound on all of them together is a setting.
const MAX_PARTITIONS: i32 = 10_000;
/// Partitions of all topics together, unless it is said otherwise: each has a directory, open files ([`crate::partition::MOST_FILES`]) and some
/// memory. As many as is commonly advised for one broker of Apache Kafka.
pub(crate) const MOST_PARTITIONS: usize = 4_000;

#[derive(Debug, Clone)]
pub(super) struct Topic {
    pub id: Uuid,
    pub config: TopicConfig,
    pub partitions: Vec<Partition>,
}

/// What is known of a topic.
#[derive(Debug, Clone, PartialEq)]
pub struct TopicInfo {
    /// Its name.
    pub name: String,
    /// The same for the topic's whole life.
    pub topic_id: Uuid,
    /// Numbered from 0.
    pub partitions: i32,
    /// Its settings.
    pub configs: TopicConfig,
}

impl Topic {
    pub fn open(dir: &Path, backing: &Backing, name: &str, entry: &Entry) -> Result<Self, OpenError> {
        let pairs = entry.configs.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let config = TopicConfig::parse(pairs).map_err(|error| OpenError::Config {
            path: dir.join(CATALOGUE_FILE),
            topic: name.to_owned(),
            error,
        })?;
        let open = |index| Partition::open(&partition_dir(dir, name, index), backing, config.clone());
        let partitions = (0..entry.partitions).map(open).collect::<Result<_, _>>()?;
        Ok(Self { id: entry.topic_id, config, partitions })
    }

    pub fn count(&self) -> i32 {
        i32::try_from(self.partitions.len()).unwrap_or(i32::MAX)
    }

    pub fn entry(&self) -> Entry {
        let configs = self.config.explicit().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Entry { topic_id: self.id, partitions: self.count(), configs }
    }

    pub fn info(&self, name: &str) -> TopicInfo {
        TopicInfo { name: name.to_owned(), topic_id: self.id, partitions: self.count(), configs: self.config.clone() }
    }
}

/// Kafka's rule for names.
pub(crate) fn check_name(name: &str) -> Result<(), TopicError> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let fits = (1..=249).contains(&name.len()) && name.chars().all(legal) && name != "." && name != "..";
    fits.then_some(()).ok_or_else(|| TopicError::Name(name.to_owned()))
}

pub(super) fn check_count(partitions: i32) -> Result<(), TopicError> {
    let message = || TopicError::Partitions(format!("{partitions} partitions: must be 1 to {MAX_PARTITIONS}"));
    (1..=MAX_PARTITIONS).contains(&partitions).then_some(()).ok_or_else(message)
}
