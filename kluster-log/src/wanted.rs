//! Wanted: the topic settings that Kluster's promises need, each with what breaks without it. Creation writes them, the check compares them.

use crate::Severity;
use kluster_protocol::{MAX_REQUEST_BYTES, RECORD_OVERHEAD_BYTES, Topic};

/// The settings of a database's topics that may be chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSettings {
    /// Partitions of ONE and RESPONSES each: at least as many as nodes shall share ONE's reads.
    pub partitions: u32,
    /// Copies of each record.
    pub replication: u32,
    /// Copies that must be in sync before a record counts as written.
    pub min_insync: u32,
    /// One broker is enough: copies are created and checked with at least 1 instead of the two numbers above.
    pub development: bool,
}

impl Default for TopicSettings {
    fn default() -> Self {
        Self { partitions: 12, replication: 3, min_insync: 2, development: false }
    }
}

impl TopicSettings {
    /// For one broker on one machine: nothing survives the loss of its disk.
    pub fn development() -> Self {
        Self { partitions: 4, replication: 1, min_insync: 1, development: true }
    }

    pub(crate) fn partitions_of(&self, topic: Topic) -> u32 {
        match topic {
            Topic::One | Topic::Responses => self.partitions.max(1),
            Topic::All | Topic::Errors | Topic::Nodes | Topic::Decisions => 1,
        }
    }

    /// Copies to create a topic with.
    pub(crate) fn copies(&self) -> u32 {
        self.replication.max(1)
    }

    /// Copies that the check insists on.
    pub(crate) fn least_copies(&self) -> u32 {
        if self.development { 1 } else { self.replication.max(1) }
    }

    fn least_insync(&self) -> u32 {
        if self.development { 1 } else { self.min_insync.max(1) }
    }
}

/// One setting as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) setting: &'static str,
    pub(crate) value: i64,
    pub(crate) text: Option<&'static str>,
    /// A larger number is as good.
    pub(crate) at_least: bool,
    pub(crate) severity: Severity,
}

impl Wanted {
    fn text(setting: &'static str, text: &'static str, severity: Severity) -> Self {
        Self { setting, value: 0, text: Some(text), at_least: false, severity }
    }

    fn number(setting: &'static str, value: i64, severity: Severity) -> Self {
        Self { setting, value, text: None, at_least: false, severity }
    }

    fn at_least(setting: &'static str, value: i64, severity: Severity) -> Self {
        Self { at_least: true, ..Self::number(setting, value, severity) }
    }

    /// The value to create the topic with.
    pub(crate) fn creation(&self) -> String {
        self.text.map_or_else(|| self.value.to_string(), str::to_owned)
    }

    /// Whether what was found will do.
    pub(crate) fn is_met_by(&self, found: &str) -> bool {
        match (self.text, found.parse::<i64>()) {
            (Some(text), _) => found.eq_ignore_ascii_case(text),
            (None, Ok(number)) => number == self.value || (self.at_least && number > self.value),
            (None, Err(_)) => false,
        }
    }
}

const HOUR_MS: i64 = 3_600_000;
const THIRTY_DAYS_MS: i64 = 30 * 24 * HOUR_MS;
/// ONE and RESPONSES: passing traffic, at most this much for each partition and copy.
const PASSING_BYTES: i64 = 1 << 30;
/// Kafka expires whole segments only, so those of passing traffic are small; a segment must hold the largest record.
const PASSING_SEGMENT_BYTES: i64 = 64 << 20;
const PASSING_SEGMENT_MS: i64 = 600_000;
/// NODES: whoever asks for the nodes reads it from its start, and only closed segments are compacted. So they are small; a heartbeat is far
/// smaller still. Apache Kafka 4 takes nothing below 1 MiB (KIP-1030).
const BEATS_SEGMENT_BYTES: i64 = 4 << 20;
/// A few idle nodes do not fill that: three beat some 1 MB in this time.
const BEATS_SEGMENT_MS: i64 = 600_000;
/// Compaction runs whenever a segment was closed: what it goes through is small.
const BEATS_DIRTY_RATIO: &str = "0.01";
/// How long the tombstone of a node that left is shown. A reader from the start needs seconds for all of NODES.
const BEATS_TOMBSTONE_MS: i64 = 600_000;

/// Every setting of a topic, beside partitions and copies.
pub(crate) fn wanted(topic: Topic, settings: &TopicSettings) -> Vec<Wanted> {
    use Severity::{Refuse, Warn};
    // What ALL and DECISIONS lose is lost for every node that has not read it; the others carry what can be asked again.
    let severity = if matches!(topic, Topic::All | Topic::Decisions) { Refuse } else { Warn };
    let policy = if topic == Topic::Nodes { "compact" } else { "delete" };
    let (retention_ms, retention_bytes) = match topic {
        Topic::All | Topic::Decisions | Topic::Nodes => (-1, -1),
        Topic::One | Topic::Responses => (HOUR_MS, PASSING_BYTES),
        Topic::Errors => (THIRTY_DAYS_MS, -1),
    };
    let mut wanted = vec![
        Wanted::text("cleanup.policy", policy, severity),
        Wanted::text("message.timestamp.type", "LogAppendTime", severity),
        Wanted::text("unclean.leader.election.enable", "false", severity),
        Wanted::at_least("max.message.bytes", (MAX_REQUEST_BYTES + RECORD_OVERHEAD_BYTES) as i64, severity),
        Wanted::at_least("min.insync.replicas", i64::from(settings.least_insync()), severity),
    ];
    if topic != Topic::Nodes {
        wanted.push(Wanted::number("retention.ms", retention_ms, severity));
        wanted.push(Wanted::number("retention.bytes", retention_bytes, severity));
    }
    if matches!(topic, Topic::Responses | Topic::Nodes) {
        // What can be asked or said again need not wait for the disk. Apache Kafka's default; the embedded broker's is 1.
        wanted.push(Wanted::number("flush.messages", i64::MAX, Warn));
    }
    if matches!(topic, Topic::One | Topic::Responses) {
        wanted.push(Wanted::number("segment.bytes", PASSING_SEGMENT_BYTES, Warn));
        wanted.push(Wanted::number("segment.ms", PASSING_SEGMENT_MS, Warn));
    }
    if topic == Topic::Nodes {
        wanted.push(Wanted::number("segment.bytes", BEATS_SEGMENT_BYTES, Warn));
        wanted.push(Wanted::number("segment.ms", BEATS_SEGMENT_MS, Warn));
        wanted.push(Wanted::text("min.cleanable.dirty.ratio", BEATS_DIRTY_RATIO, Warn));
        wanted.push(Wanted::number("delete.retention.ms", BEATS_TOMBSTONE_MS, Warn));
    }
    wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(topic: Topic, setting: &str) -> Option<String> {
        let wanted = wanted(topic, &TopicSettings::default());
        wanted.iter().find(|wanted| wanted.setting == setting).map(Wanted::creation)
    }

    /// Without the setting the embedded broker waits for the disk before each acknowledgement; with any number above 1 it does not.
    #[test]
    fn only_what_can_be_said_again_is_acknowledged_before_the_disk_has_it() {
        for topic in Topic::EACH {
            let durable = !matches!(topic, Topic::Responses | Topic::Nodes);
            let late = (!durable).then(|| i64::MAX.to_string());
            assert_eq!(value(topic, "flush.messages"), late, "{topic:?}");
        }
    }

    #[test]
    fn nodes_is_made_of_small_segments_that_are_compacted_soon() {
        assert_eq!(value(Topic::Nodes, "cleanup.policy").as_deref(), Some("compact"));
        let bytes: i64 = value(Topic::Nodes, "segment.bytes").unwrap().parse().unwrap();
        assert!((1 << 20..=8 << 20).contains(&bytes), "Apache Kafka's least, and a few MiB: {bytes}");
        assert_eq!(value(Topic::Nodes, "segment.ms").as_deref(), Some("600000"));
    }

    #[test]
    fn no_setting_is_wanted_twice() {
        for topic in Topic::EACH {
            let wanted = wanted(topic, &TopicSettings::default());
            let names: std::collections::BTreeSet<_> = wanted.iter().map(|wanted| wanted.setting).collect();
            assert_eq!(names.len(), wanted.len(), "{topic:?}");
        }
    }

    #[test]
    fn a_nodes_topic_of_an_older_version_is_only_warned_of() {
        let added = ["segment.bytes", "segment.ms", "min.cleanable.dirty.ratio", "delete.retention.ms"];
        let wanted = wanted(Topic::Nodes, &TopicSettings::default());
        let severities: Vec<_> = wanted.iter().filter(|it| added.contains(&it.setting)).map(|it| it.severity).collect();
        assert_eq!(severities, [Severity::Warn; 4]);
    }
}
