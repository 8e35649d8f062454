//! The settings of a topic, by Kafka's names, types and limits: read, checked, changed, described.
//!
//! Neighbours: `topic_config/table.rs` lists every setting; `partition` reads the typed fields; the APIs of configs show [`TopicConfig::entries`].
//! A setting that means nothing on one machine (throttled replicas, remote storage) is checked, kept and shown, and does nothing.

mod table;

pub use table::ConfigKind;

use std::collections::BTreeMap;
use table::{Definition, definition};

/// Of one value: values stay in memory and in the catalogue. Those that have a meaning here are numbers and words.
const MOST_VALUE_BYTES: usize = 256;

/// A topic's settings: what was set, and what follows from it.
#[derive(Debug, Clone, PartialEq)]
pub struct TopicConfig {
    explicit: BTreeMap<&'static str, String>,
    /// Whole segments go when they are old or too much.
    pub delete: bool,
    /// Only the last record of each key stays.
    pub compact: bool,
    /// Age at which a segment goes; None: never.
    pub retention_ms: Option<i64>,
    /// Size above which the oldest segments go, of one partition; None: never.
    pub retention_bytes: Option<u64>,
    /// A segment is closed before it grows beyond this.
    pub segment_bytes: u64,
    /// A segment is closed when its first record is older.
    pub segment_ms: i64,
    /// Largest batch.
    pub max_message_bytes: usize,
    /// The broker's time is the records' time.
    pub log_append_time: bool,
    /// A record's time may be this much before the broker's.
    pub timestamp_before_max_ms: i64,
    /// A record's time may be this much after the broker's.
    pub timestamp_after_max_ms: i64,
    /// 1: a record is acknowledged when it is on disk. More: with the write; the disk follows after so many records.
    pub flush_messages: i64,
    /// With `flush_messages` above 1: the longest time until the disk follows.
    pub flush_ms: i64,
    /// Bytes of log between two entries of an index.
    pub index_interval_bytes: u64,
    /// How long readers are shown a tombstone after compaction first met it.
    pub delete_retention_ms: i64,
    /// Compaction runs when this part of the closed segments has never been compacted.
    pub min_cleanable_dirty_ratio: f64,
    /// A record stays uncompacted at least so long.
    pub min_compaction_lag_ms: i64,
    /// A record stays uncompacted at most so long, whatever the ratio.
    pub max_compaction_lag_ms: i64,
}

/// A setting that is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidConfig {
    /// Not a setting of a topic.
    #[error("unknown topic config name: {0}")]
    Unknown(String),
    /// A value that the setting does not take.
    #[error("invalid value {value} for configuration {name}: {reason}")]
    Value {
        /// The setting.
        name: &'static str,
        /// What was given.
        value: String,
        /// What it takes.
        reason: String,
    },
    /// Append or subtract on a setting that is no list.
    #[error("config value append is not allowed for config key: {0}, which is no list")]
    NotAList(&'static str),
}

/// One change of IncrementalAlterConfigs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigChange {
    /// Takes this value.
    Set(String),
    /// Takes its default again.
    Delete,
    /// A list gets these, separated by commas.
    Append(String),
    /// A list loses these.
    Subtract(String),
}

/// One setting as DescribeConfigs shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigEntry {
    /// Kafka's name.
    pub name: &'static str,
    /// In force.
    pub value: String,
    /// Without being set.
    pub default: &'static str,
    /// Set for this topic, rather than the default.
    pub explicit: bool,
    /// Its type.
    pub kind: ConfigKind,
    /// One sentence.
    pub documentation: &'static str,
}

impl Default for TopicConfig {
    fn default() -> Self {
        Self::typed(BTreeMap::new())
    }
}

impl TopicConfig {
    /// Settings as given at creation, or all of them replaced (AlterConfigs).
    ///
    /// # Errors
    /// The first one that is unknown or has a wrong value.
    pub fn parse<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, InvalidConfig> {
        let mut explicit = BTreeMap::new();
        for (name, value) in pairs {
            let definition = known(name)?;
            explicit.insert(definition.name, checked(definition, value)?);
        }
        Ok(Self::typed(explicit))
    }

    /// These settings with changes (IncrementalAlterConfigs).
    ///
    /// # Errors
    /// The first change that is refused; then none takes place.
    pub fn changed<'a>(
        &self,
        changes: impl IntoIterator<Item = (&'a str, &'a ConfigChange)>,
    ) -> Result<Self, InvalidConfig> {
        let mut explicit = self.explicit.clone();
        for (name, change) in changes {
            let definition = known(name)?;
            let now = explicit.get(definition.name).map_or(definition.default, String::as_str);
            let value = match change {
                ConfigChange::Delete => {
                    explicit.remove(definition.name);
                    continue;
                }
                ConfigChange::Set(value) => value.clone(),
                ConfigChange::Append(more) => listed(definition, now, |items| {
                    items.extend(split(more).filter(|item| !split(now).any(|had| had == *item)));
                })?,
                ConfigChange::Subtract(less) => {
                    listed(definition, now, |items| items.retain(|item| !split(less).any(|gone| gone == *item)))?
                }
            };
            explicit.insert(definition.name, checked(definition, &value)?);
        }
        Ok(Self::typed(explicit))
    }

    /// What was set, by name.
    pub fn explicit(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.explicit.iter().map(|(name, value)| (*name, value.as_str()))
    }

    /// The value in force of one setting; None for an unknown name.
    pub fn value(&self, name: &str) -> Option<&str> {
        let definition = definition(name)?;
        Some(self.explicit.get(definition.name).map_or(definition.default, String::as_str))
    }

    /// Every setting with its value in force, by name.
    pub fn entries(&self) -> Vec<ConfigEntry> {
        let entry = |definition: &Definition| {
            let set = self.explicit.get(definition.name);
            ConfigEntry {
                name: definition.name,
                value: set.map_or_else(|| definition.default.to_owned(), Clone::clone),
                default: definition.default,
                explicit: set.is_some(),
                kind: definition.kind,
                documentation: definition.documentation,
            }
        };
        table::DEFINITIONS.iter().map(entry).collect()
    }

    /// Whether an acknowledgement waits for the disk.
    pub fn durable(&self) -> bool {
        self.flush_messages == 1
    }

    /// The typed fields of values that have been checked.
    fn typed(explicit: BTreeMap<&'static str, String>) -> Self {
        let text = |name: &str| {
            explicit.get(name).map(String::as_str).or_else(|| definition(name).map(|it| it.default)).unwrap_or_default()
        };
        let number = |name: &str| text(name).parse::<i64>().unwrap_or_default();
        let unless_negative = |name: &str| Some(number(name)).filter(|value| *value >= 0);
        let size = |name: &str| u64::try_from(number(name)).unwrap_or_default();
        let [delete, compact] =
            ["delete", "compact"].map(|policy| split(text("cleanup.policy")).any(|it| it == policy));
        Self {
            delete,
            compact,
            retention_ms: unless_negative("retention.ms"),
            retention_bytes: unless_negative("retention.bytes").and_then(|bytes| u64::try_from(bytes).ok()),
            segment_bytes: size("segment.bytes"),
            segment_ms: number("segment.ms"),
            max_message_bytes: usize::try_from(size("max.message.bytes")).unwrap_or_default(),
            log_append_time: text("message.timestamp.type") == "LogAppendTime",
            timestamp_before_max_ms: number("message.timestamp.before.max.ms"),
            timestamp_after_max_ms: number("message.timestamp.after.max.ms"),
            flush_messages: number("flush.messages"),
            flush_ms: number("flush.ms"),
            index_interval_bytes: size("index.interval.bytes"),
            delete_retention_ms: number("delete.retention.ms"),
            min_cleanable_dirty_ratio: text("min.cleanable.dirty.ratio").parse().unwrap_or_default(),
            min_compaction_lag_ms: number("min.compaction.lag.ms"),
            max_compaction_lag_ms: number("max.compaction.lag.ms"),
            explicit,
        }
    }
}

fn known(name: &str) -> Result<&'static Definition, InvalidConfig> {
    definition(name).ok_or_else(|| InvalidConfig::Unknown(name.to_owned()))
}

fn checked(definition: &'static Definition, value: &str) -> Result<String, InvalidConfig> {
    let value = value.trim();
    let refused = |value: &str, reason| InvalidConfig::Value { name: definition.name, value: value.to_owned(), reason };
    if value.len() > MOST_VALUE_BYTES {
        let beginning: String = value.chars().take(20).chain("…".chars()).collect();
        return Err(refused(&beginning, format!("must have at most {MOST_VALUE_BYTES} bytes")));
    }
    definition.check(value).map_err(|reason| refused(value, reason))?;
    Ok(value.to_owned())
}

fn split(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|item| !item.is_empty())
}

fn listed<'a>(
    definition: &Definition,
    now: &'a str,
    change: impl FnOnce(&mut Vec<&'a str>),
) -> Result<String, InvalidConfig> {
    if definition.kind != ConfigKind::List {
        return Err(InvalidConfig::NotAList(definition.name));
    }
    let mut items = split(now).collect();
    change(&mut items);
    Ok(items.join(","))
}
