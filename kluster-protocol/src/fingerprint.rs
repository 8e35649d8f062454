//! Fingerprint: what of a node's surroundings can change what a request does, as items by name; and what the fingerprints on NODES amount to.
//!
//! Neighbours: an adapter reads the items of its DBMS; a node presents its own on NODES before it serves, and compares it; operators read them and write
//! [`Allowance`]s.
//!
//! Invariants
//! 1. What weighs how is decided by the item's name alone, in [`Fingerprint::weight`], so for everyone alike.
//! 2. Whether a node is admitted is a function of the records of NODES up to the one by which it presents itself, but for who is live. Of two nodes
//!    that begin a cluster at once, the second finds the first.

use crate::{Membership, NodeId, Offset};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The code of a node that is not admitted.
pub const UNLIKE: &str = "fingerprint";

/// What an extension's version is marked with where the extension is in use.
const IN_USE: &str = " (in use)";

/// Items of a node by name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(BTreeMap<String, String>);

/// What a difference of an item means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Weight {
    /// The node is not admitted.
    MustEqual,
    /// The node is admitted for as long as an [`Allowance`] says.
    Version,
    /// People are told.
    Note,
}

/// An item that is not the same on two nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// Its name.
    pub item: String,
    /// What it means.
    pub weight: Weight,
    /// Its value on this node; none: it has no such item.
    pub here: Option<String>,
    /// Its value on the other node.
    pub there: Option<String>,
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Fingerprint {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(items: I) -> Self {
        Self(items.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

impl Fingerprint {
    /// The kind of DBMS.
    pub const DBMS: &str = "dbms";
    /// The DBMS's version, as far as results may depend on it.
    pub const VERSION: &str = "version";
    /// The version in the DBMS's own words, to the last digit.
    pub const FULL_VERSION: &str = "version in full";
    /// Before the name of an extension or plugin.
    pub const EXTENSION: &str = "extension ";
    /// Before the name of what only people read: advice depends on it, results do not.
    pub const NOTE: &str = "note: ";

    /// Sets an item.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.insert(name.into(), value.into());
    }

    /// Sets the version of an extension that the server has, and whether it is in use.
    pub fn set_extension(&mut self, name: &str, version: &str, in_use: bool) {
        let mark = if in_use { IN_USE } else { "" };
        self.set(format!("{}{name}", Self::EXTENSION), format!("{version}{mark}"));
    }

    /// An item's value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The items by name.
    pub fn items(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// What a difference of this item means, but for extensions that neither uses, which are notes, and for items that only one of two versions has,
    /// which count as the version.
    pub fn weight(name: &str) -> Weight {
        match name {
            Self::VERSION => Weight::Version,
            Self::FULL_VERSION => Weight::Note,
            name if name.starts_with(Self::NOTE) => Weight::Note,
            _ => Weight::MustEqual,
        }
    }

    /// The items that are not the same, by name.
    pub fn differences(&self, other: &Self) -> Vec<Difference> {
        let names: BTreeSet<&String> = self.0.keys().chain(other.0.keys()).collect();
        names.into_iter().filter_map(|name| self.difference(other, name)).collect()
    }

    fn difference(&self, other: &Self, name: &str) -> Option<Difference> {
        let (here, there) = (self.get(name), other.get(name));
        let version = |value: Option<&str>| value.map(|value| value.trim_end_matches(IN_USE).to_owned());
        let is_extension = name.starts_with(Self::EXTENSION);
        let alike = if is_extension { version(here) == version(there) } else { here == there };
        let in_use = [here, there].iter().flatten().any(|value| value.ends_with(IN_USE));
        let only_one_version_has_it =
            (here.is_none() || there.is_none()) && self.get(Self::VERSION) != other.get(Self::VERSION);
        let weight = match Self::weight(name) {
            _ if is_extension && !in_use => Weight::Note,
            Weight::MustEqual if only_one_version_has_it && !is_extension => Weight::Version,
            weight => weight,
        };
        let [here, there] = [here, there].map(|value| value.map(str::to_owned));
        (!alike).then(|| Difference { item: name.to_owned(), weight, here, there })
    }
}

/// The item and both values; the other node's name may follow.
impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let value = |value: &Option<String>| value.as_ref().map_or("absent".to_owned(), |value| format!("{value:?}"));
        write!(f, "{} is {} here and {}", self.item, value(&self.here), value(&self.there))
    }
}

/// A second version of a DBMS is admitted for a time: a record of NODES, its key [`Allowance::key`]. The time runs from the record's own timestamp.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Allowance {
    /// The version, as the item [`Fingerprint::VERSION`] has it.
    pub version: String,
    /// For how long, in milliseconds.
    pub for_ms: u64,
    /// Who wrote it.
    pub by: String,
}

impl Allowance {
    const KEY: &str = "allow/";

    /// The key of its record in NODES.
    pub fn key(&self) -> String {
        format!("{}{}", Self::KEY, self.version)
    }
}

/// The key of the record in NODES by which a node presents itself at each start: what its surroundings are now.
pub fn presented_key(node: &NodeId) -> String {
    format!("{PRESENTED}{node}")
}

/// The key of the record in NODES that says with which fingerprint a node was admitted last.
pub fn admitted_key(node: &NodeId) -> String {
    format!("{ADMITTED}{node}")
}

const PRESENTED: &str = "fingerprint/now/";
const ADMITTED: &str = "fingerprint/admitted/";

/// How a node presented itself last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presented {
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
    /// The record's offset in NODES.
    pub offset: Offset,
    /// The record's timestamp, in milliseconds since 1970.
    pub at_ms: i64,
}

/// What the records of NODES amount to, as far as they are about fingerprints.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fingerprints {
    presented: BTreeMap<NodeId, Presented>,
    admitted: BTreeMap<NodeId, Fingerprint>,
    /// Until when a version is admitted, in milliseconds since 1970.
    allowed: BTreeMap<String, i64>,
}

/// A node that another one is not like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unlike {
    /// The other node.
    pub node: NodeId,
    /// What does not admit the node: no notes, and no version that is allowed.
    pub differences: Vec<Difference>,
}

impl Fingerprints {
    /// Takes in a record with the header [`crate::Kind::FINGERPRINT`]. A record without a value forgets what its key says.
    ///
    /// # Errors
    /// The value cannot be read; the record then says nothing.
    pub fn hear(
        &mut self,
        key: &str,
        value: Option<&[u8]>,
        offset: Offset,
        at_ms: i64,
    ) -> Result<(), serde_json::Error> {
        if let Some(node) = key.strip_prefix(PRESENTED) {
            match value {
                None => drop(self.presented.remove(&NodeId::new(node))),
                Some(value) => {
                    let presented = Presented { fingerprint: serde_json::from_slice(value)?, offset, at_ms };
                    self.presented.insert(NodeId::new(node), presented);
                }
            }
        } else if let Some(node) = key.strip_prefix(ADMITTED) {
            match value {
                None => drop(self.admitted.remove(&NodeId::new(node))),
                Some(value) => drop(self.admitted.insert(NodeId::new(node), serde_json::from_slice(value)?)),
            }
        } else if let Some(version) = key.strip_prefix(Allowance::KEY) {
            match value {
                None => drop(self.allowed.remove(version)),
                Some(value) => {
                    let allowance: Allowance = serde_json::from_slice(value)?;
                    self.allowed.insert(version.to_owned(), at_ms.saturating_add_unsigned(allowance.for_ms));
                }
            }
        }
        Ok(())
    }

    /// How this node presented itself last.
    pub fn presented(&self, node: &NodeId) -> Option<&Presented> {
        self.presented.get(node)
    }

    /// With which fingerprint it was admitted last.
    pub fn admitted(&self, node: &NodeId) -> Option<&Fingerprint> {
        self.admitted.get(node)
    }

    /// Who ever presented itself or was admitted.
    pub fn nodes(&self) -> BTreeSet<&NodeId> {
        self.presented.keys().chain(self.admitted.keys()).collect()
    }

    /// Until when a version is admitted, by version, in milliseconds since 1970.
    pub fn allowed(&self) -> impl Iterator<Item = (&str, i64)> {
        self.allowed.iter().map(|(version, until)| (version.as_str(), *until))
    }

    /// Whom this node, as it presented itself last, is not like; none: it is admitted. It is compared with the other members; where there are none, with
    /// nodes that presented themselves before it and are live. What a node was never heard to have is not compared.
    pub fn unlike(&self, node: &NodeId, members: &Membership, is_live: impl Fn(&NodeId) -> bool) -> Vec<Unlike> {
        let Some(presented) = self.presented.get(node) else { return Vec::new() };
        let others: Vec<&NodeId> =
            members.voters.iter().chain(&members.observers).filter(|member| *member != node).collect();
        let others: Vec<(&NodeId, &Fingerprint)> = match others.is_empty() {
            false => others.into_iter().filter_map(|other| Some((other, self.admitted.get(other)?))).collect(),
            true => {
                let before = self
                    .presented
                    .iter()
                    .filter(|(other, theirs)| *other != node && theirs.offset < presented.offset && is_live(other));
                before.map(|(other, theirs)| (other, &theirs.fingerprint)).collect()
            }
        };
        let unlike = others.into_iter().map(|(other, theirs)| {
            let versions = [&presented.fingerprint, theirs].map(|of| of.get(Fingerprint::VERSION).unwrap_or_default());
            let admits = versions.iter().any(|version| self.is_allowed(version, presented.at_ms));
            let refuses = |difference: &Difference| match difference.weight {
                Weight::MustEqual => true,
                Weight::Version => !admits,
                Weight::Note => false,
            };
            let differences = presented.fingerprint.differences(theirs).into_iter().filter(refuses).collect();
            Unlike { node: other.clone(), differences }
        });
        unlike.filter(|unlike| !unlike.differences.is_empty()).collect()
    }

    /// Whether a node of this version is admitted at this time beside others.
    fn is_allowed(&self, version: &str, now_ms: i64) -> bool {
        self.allowed.get(version).is_some_and(|until| now_ms < *until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fingerprint(items: &[(&str, &str)]) -> Fingerprint {
        items.iter().copied().collect()
    }

    fn members(voters: &[&str]) -> Membership {
        Membership { version: 1, voters: voters.iter().map(|node| (*node).into()).collect(), observers: vec![] }
    }

    /// NODES, as far as it is about fingerprints.
    #[derive(Default)]
    struct Told(Fingerprints, u64);

    impl Told {
        fn hear(&mut self, key: &str, value: &impl Serialize, at_ms: i64) {
            let value = serde_json::to_vec(value).unwrap();
            self.0.hear(key, Some(&value), Offset::new(self.1), at_ms).unwrap();
            self.1 += 1;
        }

        fn presents(&mut self, node: &str, fingerprint: &Fingerprint, at_ms: i64) {
            self.hear(&presented_key(&node.into()), fingerprint, at_ms);
        }

        fn admits(&mut self, node: &str, fingerprint: &Fingerprint) {
            self.hear(&admitted_key(&node.into()), fingerprint, 0);
        }

        fn refuses(&self, node: &str, voters: &[&str]) -> Vec<String> {
            let unlike = self.0.unlike(&node.into(), &members(voters), |node| node.as_str() != "gone");
            unlike.into_iter().flat_map(|unlike| unlike.differences).map(|difference| difference.item).collect()
        }
    }

    #[test]
    fn what_differs_is_named_and_weighed() {
        let mut here = fingerprint(&[("dbms", "PostgreSQL"), ("version", "15"), ("note: wal_level", "replica")]);
        let mut there = fingerprint(&[("dbms", "PostgreSQL"), ("version", "16"), ("note: wal_level", "logical")]);
        there.set("setting newer", "on");
        here.set_extension("a", "1.0", false);
        there.set_extension("a", "1.0", true);
        there.set_extension("unused", "1.0", false);
        there.set_extension("used", "2.0", true);
        let differences = here.differences(&there);
        let weights: Vec<_> = differences.iter().map(|found| (found.item.as_str(), found.weight)).collect();
        let expected = [
            ("extension unused", Weight::Note),
            ("extension used", Weight::MustEqual),
            ("note: wal_level", Weight::Note),
            ("setting newer", Weight::Version),
            ("version", Weight::Version),
        ];
        assert_eq!(weights, expected);
        assert_eq!(differences[1].to_string(), r#"extension used is absent here and "2.0 (in use)""#);
    }

    #[test]
    fn members_decide_and_a_refused_member_changes_nothing_for_the_others() {
        let (like, unlike) = (fingerprint(&[("x", "1")]), fingerprint(&[("x", "2")]));
        let mut told = Told::default();
        for node in ["n1", "n2", "n3"] {
            told.admits(node, &like);
        }
        told.presents("n4", &unlike, 1);
        assert_eq!(told.refuses("n4", &["n1", "n2", "n3"]), ["x", "x", "x"]);
        told.presents("n1", &unlike, 2);
        assert_eq!(told.refuses("n1", &["n1", "n2", "n3"]), ["x", "x"]);
        told.presents("n2", &like, 3);
        assert_eq!(told.refuses("n2", &["n1", "n2", "n3"]), [""; 0], "n1 was not admitted with what it has now");
        assert_eq!(told.refuses("n1", &["n1"]), [""; 0], "alone it may be anything");
    }

    #[test]
    fn of_two_that_begin_a_cluster_the_second_is_refused() {
        let mut told = Told::default();
        told.presents("gone", &fingerprint(&[("x", "0")]), 1);
        told.presents("n2", &fingerprint(&[("x", "2")]), 2);
        told.presents("n1", &fingerprint(&[("x", "1")]), 3);
        assert_eq!(told.refuses("n2", &[]), [""; 0]);
        assert_eq!(told.refuses("n1", &[]), ["x"]);
    }

    #[test]
    fn a_second_version_is_admitted_until_its_time_is_over() {
        let (old, new) =
            (fingerprint(&[("version", "15")]), fingerprint(&[("version", "16"), ("setting newer", "on")]));
        let mut told = Told::default();
        told.admits("n1", &old);
        told.admits("n2", &old);
        told.presents("n1", &new, 1_000);
        assert_eq!(told.refuses("n1", &["n1", "n2"]), ["setting newer", "version"]);
        let allowance = Allowance { version: "16".into(), for_ms: 500, by: "me".into() };
        told.hear(&allowance.key(), &allowance, 1_000);
        for (at_ms, refused) in [(1_499, &[][..]), (1_500, &["setting newer", "version"])] {
            told.presents("n1", &new, at_ms);
            assert_eq!(told.refuses("n1", &["n1", "n2"]), refused, "{at_ms}");
        }
        told.admits("n1", &new);
        told.presents("n2", &old, 1_400);
        assert_eq!(told.refuses("n2", &["n1", "n2"]), [""; 0], "the old version beside the allowed one");
        told.presents("n2", &fingerprint(&[("version", "17")]), 1_400);
        assert_eq!(told.refuses("n2", &["n1", "n2"]), [""; 0], "16 is allowed beside any");
    }

    #[test]
    fn records_keep_their_published_form() {
        let json = r#"{"dbms":"SQLite","version":"3.50.4"}"#;
        let read: Fingerprint = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), json);
        let json = r#"{"version":"16","forMs":500,"by":"kluster-admin"}"#;
        let read: Allowance = serde_json::from_str(json).unwrap();
        assert_eq!((serde_json::to_string(&read).unwrap(), read.key()), (json.into(), "allow/16".into()));
    }
}
