//! The table of a topic's settings: Kafka's names, types and limits, and Kafka's defaults but for `flush.messages`.
//!
//! Source: <https://kafka.apache.org/documentation/#topicconfigs>.

/// The type of a setting, with Kafka's number for it (DescribeConfigs).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i8)]
pub enum ConfigKind {
    /// true or false.
    Boolean = 1,
    /// Text.
    String = 2,
    /// 32 bit.
    Int = 3,
    /// 64 bit.
    Long = 5,
    /// Floating.
    Double = 6,
    /// Texts separated by commas.
    List = 7,
}

/// What a value must be, beside its type.
pub(super) enum Limits {
    /// Anything of its type.
    Any,
    /// At least.
    AtLeast(i64),
    /// A part of the whole.
    ZeroToOne,
    /// One of these; for a list, each one of these and at least one.
    OneOf(&'static [&'static str]),
}

/// One setting.
pub(super) struct Definition {
    pub name: &'static str,
    pub kind: ConfigKind,
    pub default: &'static str,
    pub limits: Limits,
    pub documentation: &'static str,
}

impl Definition {
    /// Whether the setting takes the value; else what it takes.
    pub fn check(&self, value: &str) -> Result<(), String> {
        let number = match self.kind {
            ConfigKind::Boolean if matches!(value, "true" | "false") => None,
            ConfigKind::Boolean => return Err("must be true or false".into()),
            ConfigKind::Int => {
                Some(i64::from(value.parse::<i32>().map_err(|_| "must be a 32-bit integer".to_owned())?))
            }
            ConfigKind::Long => Some(value.parse::<i64>().map_err(|_| "must be a 64-bit integer".to_owned())?),
            ConfigKind::Double | ConfigKind::String | ConfigKind::List => None,
        };
        match &self.limits {
            Limits::Any => Ok(()),
            Limits::AtLeast(least) if number.is_some_and(|number| number >= *least) => Ok(()),
            Limits::AtLeast(least) => Err(format!("must be at least {least}")),
            Limits::ZeroToOne => match value.parse::<f64>() {
                Ok(part) if (0.0..=1.0).contains(&part) => Ok(()),
                _ => Err("must be between 0 and 1".into()),
            },
            Limits::OneOf(choices) => {
                let given: Vec<&str> =
                    if self.kind == ConfigKind::List { super::split(value).collect() } else { vec![value] };
                let fits = !given.is_empty() && given.iter().all(|item| choices.contains(item));
                if fits { Ok(()) } else { Err(format!("must be of: {}", choices.join(", "))) }
            }
        }
    }
}

/// The setting of this name.
pub(super) fn definition(name: &str) -> Option<&'static Definition> {
    DEFINITIONS.iter().find(|definition| definition.name == name)
}

const fn row(
    name: &'static str,
    kind: ConfigKind,
    default: &'static str,
    limits: Limits,
    documentation: &'static str,
) -> Definition {
    Definition { name, kind, default, limits, documentation }
}

/// No limit, as Kafka writes it.
const FOR_EVER: &str = "9223372036854775807";

use ConfigKind::{Boolean, Double, Int, List, Long, String as Text};
use Limits::{Any, AtLeast, OneOf, ZeroToOne};

/// All settings, by name.
#[rustfmt::skip]
pub(super) const DEFINITIONS: &[Definition] = &[
    row("cleanup.policy", List, "delete", OneOf(&["delete", "compact"]),
        "delete: whole segments go by age and size; compact: the last record of each key stays; both may be given."),
    row("compression.gzip.level", Int, "-1", Any, "Without effect: batches are kept as they come."),
    row("compression.lz4.level", Int, "9", Any, "Without effect: batches are kept as they come."),
    row("compression.type", Text, "producer", OneOf(&["producer"]), "Batches are kept as the producer compressed them; nothing else is offered."),
    row("compression.zstd.level", Int, "3", Any, "Without effect: batches are kept as they come."),
    row("delete.retention.ms", Long, "86400000", AtLeast(0), "How long a tombstone stays after compaction first met it."),
    row("file.delete.delay.ms", Long, "60000", AtLeast(0), "Without effect: files go at once, readers under way keep them."),
    row("flush.messages", Long, "1", AtLeast(1),
        "1: a record is acknowledged when it is on disk. More: with the write, and the disk follows after so many records or flush.ms."),
    row("flush.ms", Long, FOR_EVER, AtLeast(0), "With flush.messages above 1: the longest time until the disk follows, one second at most."),
    row("follower.replication.throttled.replicas", List, "", Any, "Without effect: there are no followers."),
    row("index.interval.bytes", Int, "4096", AtLeast(0), "Bytes of log between two entries of an index."),
    row("leader.replication.throttled.replicas", List, "", Any, "Without effect: there are no followers."),
    row("local.retention.bytes", Long, "-2", AtLeast(-2), "Without effect: there is no remote storage."),
    row("local.retention.ms", Long, "-2", AtLeast(-2), "Without effect: there is no remote storage."),
    row("max.compaction.lag.ms", Long, FOR_EVER, AtLeast(1), "The longest time that a record stays uncompacted."),
    row("max.message.bytes", Int, "1048588", AtLeast(0), "Largest record batch, as compressed."),
    row("message.timestamp.after.max.ms", Long, "3600000", AtLeast(0), "How far a record's time may be after the broker's."),
    row("message.timestamp.before.max.ms", Long, FOR_EVER, AtLeast(0), "How far a record's time may be before the broker's."),
    row("message.timestamp.type", Text, "CreateTime", OneOf(&["CreateTime", "LogAppendTime"]), "Whose time a record has."),
    row("min.cleanable.dirty.ratio", Double, "0.5", ZeroToOne, "Compaction runs when this part of the log has never been compacted."),
    row("min.compaction.lag.ms", Long, "0", AtLeast(0), "The shortest time that a record stays uncompacted."),
    row("min.insync.replicas", Int, "1", AtLeast(1), "Copies that must have a record for acks=all; there is one."),
    row("preallocate", Boolean, "false", Any, "Without effect: files grow as they are written."),
    row("remote.storage.enable", Boolean, "false", OneOf(&["false"]), "There is no remote storage."),
    row("retention.bytes", Long, "-1", AtLeast(-1), "Size of a partition above which its oldest segments go; -1: none."),
    row("retention.ms", Long, "604800000", AtLeast(-1), "Age at which a segment goes, by its newest record; -1: never."),
    row("segment.bytes", Int, "1073741824", AtLeast(14), "A segment is closed before it grows beyond this."),
    row("segment.index.bytes", Int, "10485760", AtLeast(4), "Without effect: an index grows as its segment does."),
    row("segment.jitter.ms", Long, "0", AtLeast(0), "Without effect: segments are closed at segment.ms."),
    row("segment.ms", Long, "604800000", AtLeast(1), "A segment is closed when its first record is older."),
    row("unclean.leader.election.enable", Boolean, "false", Any, "Without effect: the leader is always the same."),
];
