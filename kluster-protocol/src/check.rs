//! Check: what a node says of its tables' checksums at one offset, and how the reports of two nodes compare.
//!
//! A control record ([`crate::Control::Check`]) asks for a check. Each node computes its sums over a snapshot of that very offset and says
//! them on NODES under a key of its own ([`report_key`]), marked by the header [`crate::header::KIND`] with the value [`Kind::CHECK`].
//!
//! Neighbours: nodes write and compare reports, the operator's tool shows them; `narrow` finds the rows that differ. No I/O.

mod narrow;

pub use narrow::{Step, differing, next_step, settled};

use crate::{Kind, NodeId, Offset};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The name under which the schema's objects are summed, as if each were a row. No table can have it.
pub const SCHEMA: &str = "(schema)";

/// What the state row keeps of the newest check: a function of the log, so the same on every node.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckMark {
    /// Rises by one with each check; 0: there was none.
    pub number: u64,
    /// The check's name, given by who asked for it.
    pub id: String,
    /// Where its record is: the state after this offset is what is summed.
    pub offset: Offset,
    /// How often it was repeated, because a schema change or a fault ended it on some node.
    pub attempt: u32,
    /// The log's time there, in milliseconds since 1970.
    pub at_ms: i64,
}

/// What a node says of a check. The newest report of a node replaces the one before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckReport {
    /// The node.
    pub node_id: NodeId,
    /// Kafka's id of the topic ALL that it follows; reports of nodes that follow another are not compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic_id: Option<String>,
    /// The DBMS's name; sums of unlike DBMS are not compared.
    pub dbms: String,
    /// In which of the DBMS's forms rows were hashed; sums of unlike forms are not compared.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub form: u32,
    /// Which check.
    pub check: CheckMark,
    /// How far it is.
    pub progress: Progress,
    /// The sums, by table; [`SCHEMA`] among them. Complete once `progress` is done.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tables: BTreeMap<String, Sum>,
    /// Tables that cannot be compared, and why.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub skipped: BTreeMap<String, String>,
    /// What is known of the tables that differ.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub narrowed: BTreeMap<String, Narrowed>,
    /// The node has stopped, because no majority of the voters can hold what it holds.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub differs: bool,
}

/// How far a node is with a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Progress {
    /// It computes.
    Running {
        /// Tables whose sums are known.
        done: u64,
        /// Tables in all; 0: not known yet.
        of: u64,
    },
    /// Every sum is known.
    Done,
    /// A change of the schema had to go first; the check is repeated.
    Superseded,
    /// It could not be computed; it is repeated a few times.
    Failed {
        /// Why.
        reason: String,
    },
}

/// Count and sum over the hashes of some rows. The order of rows does not matter, and two equal rows count twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(into = "(u64, String)", try_from = "(u64, String)")]
pub struct Sum {
    /// How many rows.
    pub rows: u64,
    /// The sum of their 64-bit hashes.
    pub sum: i128,
}

impl Sum {
    /// Adds one row.
    pub fn add(&mut self, hash: i64) {
        self.rows += 1;
        self.sum += i128::from(hash);
    }
}

impl std::ops::AddAssign for Sum {
    fn add_assign(&mut self, other: Self) {
        self.rows += other.rows;
        self.sum += other.sum;
    }
}

impl From<Sum> for (u64, String) {
    fn from(sum: Sum) -> Self {
        (sum.rows, sum.sum.to_string())
    }
}

impl TryFrom<(u64, String)> for Sum {
    type Error = std::num::ParseIntError;

    fn try_from((rows, sum): (u64, String)) -> Result<Self, Self::Error> {
        Ok(Self { rows, sum: sum.parse()? })
    }
}

/// Sums by the first bytes of the rows' hashes, in hexadecimal: `a3` holds the rows of `a300`…`a3ff`. Prefixes without rows are absent.
pub type Sums = BTreeMap<String, Sum>;

/// What is known of a table that differs.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Narrowed {
    /// Sums of parts of the table.
    pub sums: Sums,
    /// The prefixes whose parts are in `sums`; the empty one is the whole table.
    pub summed: BTreeSet<String>,
    /// The prefixes whose rows are listed.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub listed: BTreeSet<String>,
    /// The columns' names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
    /// Those of the primary key, by their place in `columns`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub key: Vec<usize>,
    /// The rows of `listed`, in the order of their hashes, at most [`MAX_LISTED`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rows: Vec<CheckedRow>,
}

/// A row as shown to people.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CheckedRow {
    /// Its hash, as a number without sign.
    pub hash: u64,
    /// Its values as the DBMS writes them, long ones cut; none: NULL.
    pub values: Vec<Option<String>>,
}

/// A list of rows has at most this many.
pub const MAX_LISTED: usize = 200;

/// A check that fails, and was not ended by a change of the schema, is made so often.
pub const MAX_ATTEMPTS: u32 = 5;

/// A value is shown up to this many characters.
pub const MAX_SHOWN: usize = 200;

/// The key of a node's reports in NODES.
pub fn report_key(node: &NodeId) -> String {
    format!("{}/{node}", Kind::CHECK)
}

impl CheckReport {
    /// Every sum is known.
    pub fn is_done(&self) -> bool {
        self.progress == Progress::Done
    }

    /// It failed, and is not repeated any more.
    pub fn is_given_up(&self) -> bool {
        matches!(self.progress, Progress::Failed { .. }) && self.check.attempt + 1 >= MAX_ATTEMPTS
    }

    /// The sums of both can be compared.
    pub fn compares_with(&self, other: &Self) -> bool {
        let same_topic = match (&self.topic_id, &other.topic_id) {
            (Some(one), Some(other)) => one == other,
            _ => true,
        };
        same_topic
            && self.dbms == other.dbms
            && self.form == other.form
            && self.check.number == other.check.number
            && self.is_done()
            && other.is_done()
    }
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// The first `depth` bytes of a hash, in hexadecimal.
pub fn prefix(hash: i64, depth: u8) -> String {
    let digits = usize::from(depth) * 2;
    format!("{:016x}", hash as u64)[..digits.min(16)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_keep_their_published_form() {
        let json = r#"{"nodeId":"n1","dbms":"SQLite","check":{"number":2,"id":"c","offset":7,"attempt":0,"atMs":1},"progress":{"is":"done"},"tables":{"t":[2,"-5"]}}"#;
        let report: CheckReport = serde_json::from_str(json).unwrap();
        assert_eq!(report.tables["t"], Sum { rows: 2, sum: -5 });
        assert_eq!(serde_json::to_string(&report).unwrap(), json);
        assert_eq!(report_key(&report.node_id), "check/n1");
    }

    #[test]
    fn sums_know_no_order_and_count_equal_rows() {
        let sum = |hashes: &[i64]| {
            let mut sum = Sum::default();
            hashes.iter().for_each(|hash| sum.add(*hash));
            sum
        };
        assert_eq!(sum(&[1, i64::MIN, 3]), sum(&[3, 1, i64::MIN]));
        assert_ne!(sum(&[1, 1, 3]), sum(&[1, 3, 3]));
        assert_ne!(sum(&[5, 5]), sum(&[]));
    }

    #[test]
    fn a_prefix_is_the_first_bytes() {
        assert_eq!(prefix(-1, 1), "ff");
        assert_eq!(prefix(0x0123_4567_89ab_cdef, 3), "012345");
        assert_eq!(prefix(7, 0), "");
    }
}
