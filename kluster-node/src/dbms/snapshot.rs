//! Snapshot: schema and tables as of one offset, to be summed while the ALL lane applies what comes after it.
//!
//! Neighbours: the ALL lane pins a snapshot right behind a check's record, `check` sums it; each adapter has its own way to pin and to sum.
//!
//! What every adapter keeps
//! 1. A snapshot is pinned only where the state row in it says the offset asked for.
//! 2. Sums are the same wherever the data are, whatever the order of rows and pages; Kluster's own tables are not among them.
//! 3. The hash of a row covers every column: its value, exactly, and whether it is NULL.
//! 4. A snapshot that is dropped ends in the DBMS too, whatever it was computing.

use super::{mariadb, postgres, sqlite};
use kluster_protocol::Offset;
use kluster_protocol::check::{CheckedRow, MAX_SHOWN, Sum, Sums, prefix};
use std::collections::{BTreeSet, HashMap};
use twox_hash::XxHash3_64;

/// Pins snapshots. Cheap to clone.
#[derive(Debug, Clone)]
pub enum Snapshots {
    /// See [`super::Dbms::Postgres`].
    Postgres(postgres::Snapshots),
    /// See [`super::Dbms::MariaDb`].
    MariaDb(Box<mariadb::Snapshots>),
    /// See [`super::Dbms::Sqlite`].
    Sqlite(sqlite::Snapshots),
}

/// Schema and tables as of one offset.
#[derive(Debug)]
pub enum Snapshot {
    /// See [`super::Dbms::Postgres`].
    Postgres(Box<postgres::Snapshot>),
    /// See [`super::Dbms::MariaDb`].
    MariaDb(Box<mariadb::Snapshot>),
    /// See [`super::Dbms::Sqlite`].
    Sqlite(sqlite::Snapshot),
}

/// Why a snapshot cannot be pinned or summed. None of these stops a node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SnapshotError(pub String);

/// A table in a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// What it is called in reports: the same on every node.
    pub name: String,
    /// How the adapter's SQL names it.
    pub source: String,
    /// Its columns.
    pub columns: Vec<TableColumn>,
    /// Those of the primary key, by their place in `columns`.
    pub key: Vec<usize>,
    /// Why its rows cannot be compared; none: they can.
    pub skipped: Option<String>,
}

/// A column of a table in a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableColumn {
    /// Its name.
    pub name: String,
    /// Its type as the catalog names it.
    pub type_name: String,
}

/// One thing that the schema holds, in a text that is the same on every node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Object {
    /// Kind and name.
    pub name: String,
    /// What it is.
    pub definition: String,
}

/// Rows of a table, by the first bytes of their hashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts {
    /// How many bytes.
    pub depth: u8,
    /// Which, in hexadecimal; with `depth` 0 the empty prefix, which is the whole table.
    pub prefixes: BTreeSet<String>,
}

macro_rules! each {
    ($self:ident, $kind:ident, $it:ident => $does:expr) => {
        match $self {
            $kind::Postgres($it) => $does,
            $kind::MariaDb($it) => $does,
            $kind::Sqlite($it) => $does,
        }
    };
}

impl Snapshots {
    /// Pins the state of now, which must be that after `at`.
    pub async fn pin(&self, at: Offset) -> Result<Snapshot, SnapshotError> {
        Ok(match self {
            Self::Postgres(door) => Snapshot::Postgres(Box::new(door.pin(at).await?)),
            Self::MariaDb(door) => Snapshot::MariaDb(Box::new(door.pin(at).await?)),
            Self::Sqlite(door) => Snapshot::Sqlite(door.pin(at).await?),
        })
    }

    /// A change of the schema would wait for a snapshot that is read, so the snapshot must go first.
    pub fn hold_up_schema_changes(&self) -> bool {
        !matches!(self, Self::Sqlite(_))
    }
}

impl Snapshot {
    /// The server's numbers of the sessions that hold it, where there are any.
    pub fn sessions(&self) -> Vec<i64> {
        match self {
            Self::Postgres(snapshot) => vec![snapshot.session()],
            Self::MariaDb(snapshot) => snapshot.sessions(),
            Self::Sqlite(_) => Vec::new(),
        }
    }

    /// In which of the adapter's forms rows are hashed, where there are several; else 0.
    pub fn form(&self) -> u32 {
        match self {
            Self::MariaDb(snapshot) => snapshot.form(),
            Self::Postgres(_) | Self::Sqlite(_) => 0,
        }
    }

    /// What the schema holds, in order.
    pub async fn objects(&mut self) -> Result<Vec<Object>, SnapshotError> {
        let mut objects = each!(self, Self, snapshot => snapshot.objects().await)?;
        objects.sort();
        Ok(objects)
    }

    /// The user's tables.
    pub async fn tables(&mut self) -> Result<Vec<Table>, SnapshotError> {
        each!(self, Self, snapshot => snapshot.tables().await)
    }

    /// Count and sum of the whole table: as fast as the DBMS can.
    pub async fn total(&mut self, table: &Table) -> Result<Sum, SnapshotError> {
        each!(self, Self, snapshot => snapshot.total(table).await)
    }

    /// The sums of those of `parts` that hold rows, each divided by one byte more.
    pub async fn sums(&mut self, table: &Table, parts: &Parts) -> Result<Sums, SnapshotError> {
        each!(self, Self, snapshot => snapshot.sums(table, parts).await)
    }

    /// The rows of `parts`, in the order of their hashes, at most `limit`.
    pub async fn rows(&mut self, table: &Table, parts: &Parts, limit: usize) -> Result<Vec<CheckedRow>, SnapshotError> {
        each!(self, Self, snapshot => snapshot.rows(table, parts, limit).await)
    }

    /// Ends it in an orderly way.
    pub async fn end(self) {
        each!(self, Self, snapshot => snapshot.end().await);
    }
}

impl Parts {
    /// The whole table.
    pub fn whole() -> Self {
        Self { depth: 0, prefixes: BTreeSet::from([String::new()]) }
    }

    /// These prefixes, all of one length.
    pub fn of(prefixes: BTreeSet<String>) -> Self {
        let digits = prefixes.first().map_or(0, String::len);
        Self { depth: u8::try_from(digits / 2).unwrap_or(8), prefixes }
    }

    /// A row with this hash is in one of them.
    pub fn hold(&self, hash: i64) -> bool {
        self.depth == 0 || self.prefixes.contains(&prefix(hash, self.depth))
    }

    /// The prefixes as numbers, for SQL.
    pub fn numbers(&self) -> Vec<u64> {
        self.prefixes.iter().filter_map(|prefix| u64::from_str_radix(prefix, 16).ok()).collect()
    }
}

impl Object {
    /// The object as if it were a row.
    pub fn row(&self) -> CheckedRow {
        let text = format!("{}\0{}", self.name, self.definition);
        CheckedRow {
            hash: hash(text.as_bytes()) as u64,
            values: vec![Some(self.name.clone()), Some(self.definition.clone())],
        }
    }
}

/// 64 bits of XXH3 (<https://github.com/Cyan4973/xxHash>).
pub fn hash(bytes: &[u8]) -> i64 {
    XxHash3_64::oneshot(bytes) as i64
}

/// Sums under way, of rows whose hashes are made here.
#[derive(Debug)]
pub struct Summing {
    parts: Parts,
    /// By the number of the prefix; with depth 0 by the first byte.
    first: Vec<Sum>,
    deeper: HashMap<u64, Sum>,
}

impl Summing {
    /// No row yet.
    pub fn new(parts: Parts) -> Self {
        Self { parts, first: vec![Sum::default(); 256], deeper: HashMap::new() }
    }

    /// One row more, which counts if it is in one of the parts.
    pub fn add(&mut self, hash: i64) {
        let bits = 8 * u32::from(self.parts.depth + 1);
        let number = hash as u64 >> (64 - bits);
        match self.parts.depth {
            0 => self.first[number as usize].add(hash),
            _ if self.parts.hold(hash) => self.deeper.entry(number).or_default().add(hash),
            _ => {}
        }
    }

    /// The sums of those that hold rows.
    pub fn sums(self) -> Sums {
        let depth = self.parts.depth + 1;
        let first = self.first.into_iter().enumerate().map(|(number, sum)| (number as u64, sum));
        let all = first.filter(|(_, sum)| sum.rows > 0).chain(self.deeper);
        all.map(|(number, sum)| (name(number, depth), sum)).collect()
    }
}

/// A prefix of `depth` bytes by its number.
pub fn name(number: u64, depth: u8) -> String {
    format!("{number:0width$x}", width = 2 * usize::from(depth))
}

/// A value as people see it: long ones are cut.
pub fn shown(text: &str) -> String {
    match text.char_indices().nth(MAX_SHOWN) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], text.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_divided_by_one_byte_more() {
        let hashes = [0x1122_3344_0000_0000_i64, 0x1123_0000_0000_0000, -1];
        let sums_of = |parts: &Parts| {
            let mut summing = Summing::new(parts.clone());
            hashes.into_iter().for_each(|hash| summing.add(hash));
            summing.sums()
        };
        let whole = sums_of(&Parts::whole());
        assert_eq!(whole.keys().collect::<Vec<_>>(), ["11", "ff"]);
        assert_eq!(whole["11"], Sum { rows: 2, sum: i128::from(hashes[0]) + i128::from(hashes[1]) });
        let parts = Parts::of(BTreeSet::from(["11".to_owned()]));
        assert_eq!(sums_of(&parts).keys().collect::<Vec<_>>(), ["1122", "1123"]);
        assert_eq!(parts.numbers(), [0x11]);
        assert!(parts.hold(hashes[1]) && !parts.hold(-1));
    }

    #[test]
    fn long_values_are_cut_between_characters() {
        assert_eq!(shown("é"), "é");
        assert_eq!(shown(&"é".repeat(MAX_SHOWN + 1)), format!("{}… (402 bytes)", "é".repeat(MAX_SHOWN)));
    }
}
