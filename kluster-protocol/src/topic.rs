//! Topics: their names, their consumer groups, and which partition a record belongs to.

use crate::{DatabaseName, NodeId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// The topics of one database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Topic {
    /// Requests that every node executes, in order: one partition, kept for ever.
    All,
    /// Reads that one node each executes: several partitions.
    One,
    /// What nodes answer: several partitions.
    Responses,
    /// What halting nodes say.
    Errors,
    /// Heartbeats, compacted by node.
    Nodes,
    /// What was decided on offsets at which nodes are stuck, by agreement or by operators: one partition, kept for ever.
    Decisions,
}

impl Topic {
    /// Every topic.
    pub const EACH: [Self; 6] = [Self::All, Self::One, Self::Responses, Self::Errors, Self::Nodes, Self::Decisions];

    /// The word for it, which is its name in Kafka for the database `main`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::All => "ALL",
            Self::One => "ONE",
            Self::Responses => "RESPONSES",
            Self::Errors => "ERRORS",
            Self::Nodes => "NODES",
            Self::Decisions => "DECISIONS",
        }
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Topic {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let found = Self::EACH.into_iter().find(|topic| topic.word().eq_ignore_ascii_case(word));
        found.ok_or_else(|| format!("{word:?} is no topic; there are ALL, ONE, RESPONSES, ERRORS, NODES and DECISIONS"))
    }
}

/// What the topics of one database are called in Kafka.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TopicNames {
    /// Stands before every name and group, for several clusters on one Kafka.
    pub prefix: String,
    /// The database.
    pub database: DatabaseName,
    /// Names given by hand, used as they are.
    pub overrides: BTreeMap<Topic, String>,
}

impl TopicNames {
    /// The topic's name in Kafka: `ALL` for `main`, `shop.ALL` for the database `shop`.
    pub fn name(&self, topic: Topic) -> String {
        if let Some(name) = self.overrides.get(&topic) {
            return name.clone();
        }
        match self.database.as_str() {
            DatabaseName::MAIN => format!("{}{topic}", self.prefix),
            database => format!("{}{database}.{topic}", self.prefix),
        }
    }

    /// The consumer group whose nodes share ONE.
    pub fn group_of_one(&self) -> String {
        format!("{}{}.one", self.prefix, self.database)
    }

    /// The consumer group by which a node says how far it has answered ALL.
    pub fn group_of_all(&self, node: &NodeId) -> String {
        format!("{}{}.all.{node}", self.prefix, self.database)
    }
}

/// The partition of `key` among `count`: Kafka's own partitioner for keyed records, `toPositive(murmur2(key)) % count` (librdkafka calls it
/// `murmur2_random`), so that clients in every language agree.
pub fn partition_of(key: &[u8], count: u32) -> u32 {
    (murmur2(key) & 0x7fff_ffff) % count.max(1)
}

/// MurmurHash2 as in Kafka's `org.apache.kafka.common.utils.Utils.murmur2`, seed 0x9747b28c.
fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    const R: u32 = 24;
    let mut hash = 0x9747_b28c ^ (data.len() as u32);
    let mut chunks = data.chunks_exact(4);
    for chunk in &mut chunks {
        let mut k = u32::from_le_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]).wrapping_mul(M);
        k = (k ^ (k >> R)).wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ k;
    }
    let rest = chunks.remainder();
    if !rest.is_empty() {
        for (n, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * n);
        }
        hash = hash.wrapping_mul(M);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values of Kafka's own `UtilsTest.testMurmur2`.
    #[test]
    fn murmur2_is_kafkas() {
        for (text, hash) in [
            ("21", -973_932_308_i32),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(text.as_bytes()) as i32, hash, "{text}");
        }
    }

    #[test]
    fn names_and_groups() {
        let main = TopicNames::default();
        assert_eq!(main.name(Topic::All), "ALL");
        assert_eq!(main.group_of_one(), "main.one");
        let shop = TopicNames {
            prefix: "eu-".into(),
            database: "shop".parse().unwrap(),
            overrides: [(Topic::Errors, "trouble".to_owned())].into(),
        };
        assert_eq!(shop.name(Topic::All), "eu-shop.ALL");
        assert_eq!(shop.name(Topic::Errors), "trouble");
        assert_eq!(shop.group_of_all(&"n1".into()), "eu-shop.all.n1");
        assert_eq!("responses".parse::<Topic>().unwrap(), Topic::Responses);
    }
}
