//! Effects: a digest of the rows that a request changed, by which nodes that answered alike also know that they changed the same. No I/O.
//!
//! Neighbours: the adapters of a node digest rows with [`ChangedRow`]; the node sums them in a [`RunningEffects`], its heartbeats carry that as an
//! [`EffectsReport`], and other nodes compare it at shared offsets as they compare chains.
//!
//! Invariants
//! 1. Digests are summed, so the order in which rows were changed does not matter and how often they were changed does.
//! 2. The running digest at an offset is the sum of the digests of the offsets before it, each [placed](Effects::placed) at its own offset: the
//!    same rows changed by another request are another running digest.
//! 3. Two nodes that began to count at different offsets compare how much the running digest grew between two offsets.

mod detail;

pub use detail::EffectsDetail;

use crate::Offset;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;
use std::ops::{Add, AddAssign, Sub};

/// The digest of a multiset of changed rows: the sum, modulo 2^128, of the first 16 bytes of SHA-256 over the canonical form of each row (see
/// [`ChangedRow`]). No rows are zero. Written as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
pub struct Effects(u128);

impl Effects {
    /// No row was changed.
    pub const NONE: Self = Self(0);

    /// No row was changed.
    pub fn is_none(self) -> bool {
        self == Self::NONE
    }

    /// This digest at its place in the log: the first 16 bytes of SHA-256 over offset and digest; zero stays zero.
    #[must_use]
    pub fn placed(self, offset: Offset) -> Self {
        match self.is_none() {
            true => self,
            false => Self::of(&[&offset.get().to_be_bytes(), &self.0.to_be_bytes()]),
        }
    }

    fn of(parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        parts.iter().for_each(|part| hash.update(part));
        let bytes: [u8; 32] = hash.finalize().into();
        Self(u128::from_be_bytes(*bytes.first_chunk().expect("a hash has 32 bytes")))
    }

    /// The digest as bytes.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }
}

impl From<u128> for Effects {
    fn from(sum: u128) -> Self {
        Self(sum)
    }
}

impl Add for Effects {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.wrapping_add(other.0))
    }
}

impl AddAssign for Effects {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for Effects {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0.wrapping_sub(other.0))
    }
}

impl std::iter::Sum for Effects {
    fn sum<I: Iterator<Item = Self>>(each: I) -> Self {
        each.fold(Self::NONE, Add::add)
    }
}

impl fmt::Display for Effects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Effects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for Effects {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Effects {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut bytes = [0; 16];
        hex::decode_to_slice(&text, &mut bytes).map_err(serde::de::Error::custom)?;
        Ok(Self(u128::from_be_bytes(bytes)))
    }
}

/// The canonical form of one changed row: table, what was done, the values before, the values after. Each value is self-delimiting, so that no two rows
/// share a form. Columns are known by their position. An update that leaves all values as they were counts wherever the means sees it.
///
/// The buffer is kept between rows: [`ChangedRow::inserted`] and its sisters begin anew.
#[derive(Debug, Clone, Default)]
pub struct ChangedRow {
    form: Vec<u8>,
}

impl ChangedRow {
    /// A row was inserted into `table`: its new values follow.
    pub fn inserted(&mut self, table: &str) -> &mut Self {
        self.begin(b'i', table)
    }

    /// A row of `table` was deleted: its old values follow, as far as they are known.
    pub fn deleted(&mut self, table: &str) -> &mut Self {
        self.begin(b'd', table)
    }

    /// A row of `table` was updated: its old values follow, as far as they are known, then [`ChangedRow::becomes`], then the new ones.
    pub fn updated(&mut self, table: &str) -> &mut Self {
        self.begin(b'u', table)
    }

    /// A row was returned by a statement that writes, of which this is number `statement` within its request, from 0.
    pub fn returned(&mut self, statement: usize) -> &mut Self {
        self.begin(b'r', "").integer(statement as i64)
    }

    /// All rows of `table` were removed at once (TRUNCATE).
    pub fn truncated(&mut self, table: &str) -> &mut Self {
        self.begin(b't', table)
    }

    fn begin(&mut self, operation: u8, table: &str) -> &mut Self {
        self.form.clear();
        self.form.push(operation);
        self.bytes(b's', table.as_bytes())
    }

    /// Behind the old values of an update.
    pub fn becomes(&mut self) -> &mut Self {
        self.form.push(b'>');
        self
    }

    /// NULL.
    pub fn null(&mut self) -> &mut Self {
        self.form.push(b'n');
        self
    }

    /// A value that the means does not see: unchanged and stored elsewhere, or no part of the old row's identity.
    pub fn unseen(&mut self) -> &mut Self {
        self.form.push(b'-');
        self
    }

    /// An integer.
    pub fn integer(&mut self, value: i64) -> &mut Self {
        self.form.push(b'i');
        self.form.extend_from_slice(&value.to_be_bytes());
        self
    }

    /// A floating-point number, by its bits.
    pub fn real(&mut self, value: f64) -> &mut Self {
        self.form.push(b'f');
        self.form.extend_from_slice(&value.to_bits().to_be_bytes());
        self
    }

    /// A text, or the DBMS's own text of a value, where that depends on no setting.
    pub fn text(&mut self, value: &[u8]) -> &mut Self {
        self.bytes(b's', value)
    }

    /// Bytes.
    pub fn blob(&mut self, value: &[u8]) -> &mut Self {
        self.bytes(b'b', value)
    }

    fn bytes(&mut self, kind: u8, value: &[u8]) -> &mut Self {
        self.form.push(kind);
        self.form.extend_from_slice(&(value.len() as u64).to_be_bytes());
        self.form.extend_from_slice(value);
        self
    }

    /// The digest of this one row.
    pub fn effects(&self) -> Effects {
        Effects::of(&[&self.form])
    }
}

/// How a node learns which rows a request changed. Nodes are compared where DBMS and means are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum EffectsMeans {
    /// SQLite: every row change is seen inside the transaction, and the digest is part of the chain.
    Transaction,
    /// PostgreSQL: the rows of plain DML are digested by the statement itself; what triggers and cascades change is not seen.
    Wrapped,
    /// PostgreSQL: logical decoding of its own log, some time after the commit.
    Decoded,
    /// MariaDB: its own binary log in row format, some time after the commit.
    Binlog,
    /// None: effects are not compared.
    None,
    /// One that a newer version knows.
    #[serde(other)]
    Unknown,
}

impl EffectsMeans {
    /// The digest of a request is known when it has run, and is stored with its effects; otherwise a follower of the database's own log learns it later.
    pub fn is_synchronous(self) -> bool {
        match self {
            Self::Transaction | Self::Wrapped => true,
            Self::Decoded | Self::Binlog | Self::None | Self::Unknown => false,
        }
    }

    /// The digest of a request enters the chain.
    pub fn is_in_chain(self) -> bool {
        self == Self::Transaction
    }

    /// Effects learnt in this way can be compared.
    pub fn compares(self) -> bool {
        !matches!(self, Self::None | Self::Unknown)
    }

    /// Its word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Transaction => "transaction",
            Self::Wrapped => "wrapped",
            Self::Decoded => "decoded",
            Self::Binlog => "binlog",
            Self::None => "none",
            Self::Unknown => "unknown",
        }
    }
}

/// The running digest at an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct EffectsPoint {
    /// The offset.
    pub offset: Offset,
    /// The running digest there.
    pub running: Effects,
}

/// The running digest of a node's database: part of its state row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunningEffects {
    /// How it is learnt.
    pub means: EffectsMeans,
    /// Effects of later offsets are counted; absent: of all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Offset>,
    /// Effects are counted up to this offset; absent: of none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Offset>,
    /// The running digest there.
    pub running: Effects,
    /// The running digest at the last two multiples of 2^k for k = 8…40.
    #[serde(default)]
    pub points: Vec<EffectsPoint>,
}

/// The exponents of the shared points.
const EXPONENTS: std::ops::RangeInclusive<u32> = 8..=40;

impl RunningEffects {
    /// Begins to count behind `since`; absent: at the log's first offset.
    pub fn begin(means: EffectsMeans, since: Option<Offset>) -> Self {
        Self { means, since, at: since, running: Effects::NONE, points: Vec::new() }
    }

    /// Moves on to `offset`, whose effects are these; none of the offsets between had any. An offset that is counted already is passed by.
    pub fn advance(&mut self, offset: Offset, effects: Effects) {
        if self.at.is_some_and(|at| offset <= at) {
            return;
        }
        // A multiple that no record had has a running digest all the same, so every node knows the same points.
        self.note_points(offset.get().checked_sub(1));
        self.running += effects.placed(offset);
        self.at = Some(offset);
        self.note_points(Some(offset.get()));
    }

    /// Notes the running digest at the shared points up to `last` that are not noted yet; it is the same at all of them.
    fn note_points(&mut self, last: Option<u64>) {
        let Some(last) = last else { return };
        let noted = self.points.first().map(|point| point.offset).max(self.since).map_or(0, Offset::get);
        let [newest, _] = last_two(last, *EXPONENTS.start());
        if newest <= noted {
            return;
        }
        let mut new: Vec<u64> = EXPONENTS.flat_map(|k| last_two(last, k)).filter(|offset| *offset > noted).collect();
        new.sort_unstable_by(|one, other| other.cmp(one));
        new.dedup();
        let new = new.into_iter().map(|offset| EffectsPoint { offset: Offset::new(offset), running: self.running });
        self.points = new.chain(self.points.drain(..)).collect();
        self.points.retain(|point| EXPONENTS.flat_map(|k| last_two(newest, k)).any(|kept| kept == point.offset.get()));
    }
}

/// The last two multiples of 2^k up to `offset`.
fn last_two(offset: u64, k: u32) -> [u64; 2] {
    let last = offset >> k << k;
    [last, last.saturating_sub(1 << k)]
}

/// What a node's heartbeat says of its effects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EffectsReport {
    /// How they are learnt.
    pub means: EffectsMeans,
    /// Why there is no means.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Effects of later offsets are counted; absent: of all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Offset>,
    /// Effects are counted up to this offset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Offset>,
    /// The running digest there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<Effects>,
    /// The running digest at shared points.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub points: Vec<EffectsPoint>,
    /// The node stopped because its effects at this offset are not those of the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub differs_at: Option<Offset>,
}

impl EffectsReport {
    /// What a node says whose running digest is this.
    pub fn of(running: &RunningEffects) -> Self {
        Self {
            means: running.means,
            why: None,
            since: running.since,
            at: running.at,
            running: Some(running.running),
            points: running.points.clone(),
            differs_at: None,
        }
    }

    /// What a node says that compares none.
    pub fn none(why: impl Into<String>) -> Self {
        Self { why: Some(why.into()), ..Self::of(&RunningEffects::begin(EffectsMeans::None, None)) }
    }

    /// How this node's effects are compared, in words: `by the server's log`, `not compared: WHY`.
    pub fn how(&self) -> String {
        match self.means {
            EffectsMeans::Transaction => "in the chain".to_owned(),
            EffectsMeans::Wrapped => "by the rows that statements return".to_owned(),
            EffectsMeans::Decoded | EffectsMeans::Binlog => "by the server's log".to_owned(),
            EffectsMeans::None => match &self.why {
                Some(why) => format!("not compared: {why}"),
                None => "not compared".to_owned(),
            },
            EffectsMeans::Unknown => "by means that this version does not know".to_owned(),
        }
    }

    /// The running digests in it, the oldest offset first.
    pub fn digests(&self) -> impl Iterator<Item = EffectsPoint> {
        let newest = self.at.zip(self.running).map(|(offset, running)| EffectsPoint { offset, running });
        let newest = newest.filter(|newest| self.points.first().is_none_or(|point| point.offset < newest.offset));
        self.points.iter().rev().copied().chain(newest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(offset: u64) -> Offset {
        Offset::new(offset)
    }

    #[test]
    fn no_two_rows_share_a_digest() {
        let mut row = ChangedRow::default();
        let each = [
            row.inserted("t").integer(1).effects(),
            row.deleted("t").integer(1).effects(),
            row.inserted("u").integer(1).effects(),
            row.inserted("t").text(b"1").effects(),
            row.inserted("t").blob(b"1").effects(),
            row.inserted("t").real(1.0).effects(),
            row.inserted("t").null().effects(),
            row.inserted("t").unseen().effects(),
            row.inserted("t").text(b"ab").text(b"c").effects(),
            row.inserted("t").text(b"a").text(b"bc").effects(),
            row.updated("t").integer(1).becomes().integer(2).effects(),
            row.updated("t").integer(2).becomes().integer(1).effects(),
            row.updated("t").integer(1).integer(2).becomes().effects(),
            row.updated("t").integer(1).becomes().integer(1).effects(),
            row.returned(0).integer(1).effects(),
            row.returned(1).integer(1).effects(),
            row.truncated("t").effects(),
        ];
        for (n, effects) in each.iter().enumerate() {
            assert!(!effects.is_none() && !each[n + 1..].contains(effects), "{n}");
        }
    }

    #[test]
    fn order_does_not_matter_and_count_and_place_do() {
        let mut row = ChangedRow::default();
        let (one, two) = (row.inserted("t").integer(1).effects(), row.inserted("t").integer(2).effects());
        assert_eq!(one + two, two + one);
        assert_ne!(one + one, one);
        assert_eq!(one + two - two, one);
        assert_ne!(one.placed(at(1)), one.placed(at(2)));
        assert_eq!(Effects::NONE.placed(at(1)), Effects::NONE);
    }

    #[test]
    fn the_first_digest_is_as_computed_elsewhere() {
        // printf 'is\0\0\0\0\0\0\0\x01ti\0\0\0\0\0\0\0\x01' | sha256sum | cut -c1-32
        let one = ChangedRow::default().inserted("t").integer(1).effects();
        assert_eq!(one.to_string(), "1edc776471542666f54cb4eb7ccca590");
        let json = serde_json::to_string(&one).unwrap();
        assert_eq!(serde_json::from_str::<Effects>(&json).unwrap(), one);
    }

    #[test]
    fn every_node_knows_the_running_digest_at_the_same_points() {
        let run = |since: Option<u64>, offsets: &[u64], last: u64| {
            let mut counted = RunningEffects::begin(EffectsMeans::Decoded, since.map(at));
            offsets.iter().for_each(|offset| counted.advance(at(*offset), Effects::from(u128::from(*offset) + 1)));
            counted.advance(at(last), Effects::NONE);
            counted
        };
        let (dense, sparse) = (run(None, &(0..=5000).collect::<Vec<_>>(), 5000), run(None, &[4900], 5000));
        let places =
            |counted: &RunningEffects| counted.points.iter().map(|point| point.offset.get()).collect::<Vec<_>>();
        assert_eq!(places(&dense), [4864, 4608, 4096, 3072, 2048]);
        assert_eq!(places(&sparse), places(&dense));
        assert!(sparse.points.iter().all(|point| point.running.is_none()));
        assert_eq!(places(&run(Some(4000), &[4500], 5000)), [4864, 4608, 4096]);
        // A new epoch is a leap of 2^40 offsets.
        let leap = run(None, &[3, (1 << 40) + 300], (1 << 40) + 600);
        assert_eq!(places(&leap)[..2], [(1 << 40) + 512, (1 << 40) + 256]);
        assert!(leap.points.len() <= 66);
    }

    #[test]
    fn means_have_their_words_and_a_newer_one_is_known_as_such() {
        for means in [EffectsMeans::Transaction, EffectsMeans::Wrapped, EffectsMeans::Decoded, EffectsMeans::Binlog] {
            assert_eq!(serde_json::to_value(means).unwrap(), means.as_str());
        }
        assert_eq!(serde_json::from_str::<EffectsMeans>("\"dreamt\"").unwrap(), EffectsMeans::Unknown);
    }
}
