//! Committed offsets: how far each group has read each partition. In memory here, on disk through `store`, as records by `record`.
//!
//! Neighbours: the coordinator says whether a commit may be; `store` keeps it in the topic [`TOPIC`].
//!
//! Invariants
//! 1. What was answered is on disk, and nothing is visible that is not: memory follows the topic's high watermark. (`store`, tests)
//! 2. Memory is what the topic's records say, in their order; reading them again after a restart gives the same. (`store`, tests)
//! 3. Offsets are only deleted on request, with their topic, or when nobody has used them for the retention time: the group had no members (or
//!    none that reads this topic) and nothing was committed for that long.

mod record;
mod store;

pub use store::OffsetsError;
pub(crate) use store::Store;

use std::collections::BTreeMap;

/// The internal topic, named as Kafka names it. Its records have Kafka's form too, so that Kafka's own tools can print them.
pub(crate) const TOPIC: &str = "__consumer_offsets";

/// A rough price of an entry beside the bytes of its names.
const OVERHEAD_BYTES: usize = 128;

/// Whose offset, of what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) group: String,
    pub(crate) topic: String,
    pub(crate) partition: i32,
}

/// One committed offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Committed {
    /// The next one to read.
    pub(crate) offset: i64,
    /// Of the last record read, −1 if unknown. For the client.
    pub(crate) leader_epoch: i32,
    /// Whatever the client wanted to note.
    pub(crate) metadata: String,
    /// When, in milliseconds since 1970.
    pub(crate) at_ms: i64,
}

/// What becomes of a place; none: it is forgotten.
pub(crate) type Change = (Place, Option<Committed>);

/// Offsets of one group, by topic and partition.
pub(crate) type OfGroup = BTreeMap<String, BTreeMap<i32, Committed>>;

/// All offsets there are.
#[derive(Debug, Default)]
pub(crate) struct Offsets {
    groups: BTreeMap<String, OfGroup>,
    bytes: usize,
}

impl Offsets {
    pub(crate) fn apply(&mut self, change: Change) {
        let (place, committed) = change;
        match committed {
            Some(committed) => self.put(place, committed),
            None => self.forget(&place),
        }
    }

    fn put(&mut self, place: Place, committed: Committed) {
        self.bytes += bytes(&place, &committed);
        let of_group = self.groups.entry(place.group.clone()).or_default();
        let of_topic = of_group.entry(place.topic.clone()).or_default();
        if let Some(earlier) = of_topic.insert(place.partition, committed) {
            self.bytes -= bytes(&place, &earlier);
        }
    }

    fn forget(&mut self, place: &Place) {
        let Some(of_group) = self.groups.get_mut(&place.group) else { return };
        let Some(of_topic) = of_group.get_mut(&place.topic) else { return };
        if let Some(earlier) = of_topic.remove(&place.partition) {
            self.bytes -= bytes(place, &earlier);
        }
        if of_topic.is_empty() {
            of_group.remove(&place.topic);
        }
        if of_group.is_empty() {
            self.groups.remove(&place.group);
        }
    }

    pub(crate) fn get(&self, group: &str, topic: &str, partition: i32) -> Option<&Committed> {
        self.groups.get(group)?.get(topic)?.get(&partition)
    }

    /// None if the group has committed nothing.
    pub(crate) fn of_group(&self, group: &str) -> Option<&OfGroup> {
        self.groups.get(group)
    }

    /// Names of the groups that have committed something.
    pub(crate) fn groups(&self) -> impl Iterator<Item = &String> {
        self.groups.keys()
    }

    /// Every place that has an offset.
    pub(crate) fn places(&self) -> impl Iterator<Item = Place> {
        self.groups.iter().flat_map(|(group, of_group)| {
            of_group.iter().flat_map(|(topic, of_topic)| {
                let place =
                    |partition: &i32| Place { group: group.clone(), topic: topic.clone(), partition: *partition };
                of_topic.keys().map(place)
            })
        })
    }

    /// Bytes of memory, roughly.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Forgets all that this group has committed, in topics that are chosen, until then.
    pub(crate) fn forgetting(&self, group: &str, before_ms: i64, chosen: impl Fn(&str) -> bool) -> Vec<Change> {
        let mut changes = Vec::new();
        for (topic, of_topic) in self.groups.get(group).into_iter().flatten().filter(|(topic, _)| chosen(topic)) {
            for (partition, _) in of_topic.iter().filter(|(_, committed)| committed.at_ms <= before_ms) {
                let (group, topic) = (group.to_owned(), topic.clone());
                changes.push((Place { group, topic, partition: *partition }, None));
            }
        }
        changes
    }
}

fn bytes(place: &Place, committed: &Committed) -> usize {
    OVERHEAD_BYTES + place.group.len() + place.topic.len() + committed.metadata.len()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn place(group: &str, topic: &str, partition: i32) -> Place {
        Place { group: group.to_owned(), topic: topic.to_owned(), partition }
    }

    pub(crate) fn committed(offset: i64, at_ms: i64) -> Committed {
        Committed { offset, leader_epoch: 3, metadata: format!("at {offset}"), at_ms }
    }

    #[test]
    fn the_newest_commit_holds_until_it_is_forgotten() {
        let mut offsets = Offsets::default();
        offsets.apply((place("g", "t", 0), Some(committed(5, 1))));
        offsets.apply((place("g", "t", 0), Some(committed(7, 2))));
        offsets.apply((place("g", "t", 1), Some(committed(1, 2))));
        assert_eq!(offsets.get("g", "t", 0), Some(&committed(7, 2)));
        assert_eq!(offsets.get("g", "other", 0), None);
        offsets.apply((place("g", "t", 0), None));
        offsets.apply((place("g", "t", 0), None));
        assert_eq!(offsets.get("g", "t", 0), None);
        offsets.apply((place("g", "t", 1), None));
        assert_eq!((offsets.groups().count(), offsets.bytes()), (0, 0));
    }

    #[test]
    fn only_old_offsets_of_chosen_topics_are_forgotten() {
        let mut offsets = Offsets::default();
        offsets.apply((place("g", "old", 0), Some(committed(5, 100))));
        offsets.apply((place("g", "old", 1), Some(committed(5, 101))));
        offsets.apply((place("g", "read", 0), Some(committed(5, 1))));
        offsets.apply((place("h", "old", 0), Some(committed(5, 1))));
        let forgetting = offsets.forgetting("g", 100, |topic| topic != "read");
        assert_eq!(forgetting, [(place("g", "old", 0), None)]);
    }

    proptest! {
        #[test]
        fn the_bytes_are_those_of_what_is_there(changes in prop::collection::vec((0..3_u8, 0..3_i32, prop::option::of("[a-z]{0,9}")), 0..50)) {
            let mut offsets = Offsets::default();
            for (group, partition, metadata) in changes {
                let entry = metadata.map(|metadata| Committed { metadata, ..committed(1, 1) });
                offsets.apply((place(&format!("g{group}"), "t", partition), entry));
            }
            let mut expected = 0;
            for group in offsets.groups() {
                for (partition, entry) in &offsets.of_group(group).expect("it is listed")["t"] {
                    expected += bytes(&place(group, "t", *partition), entry);
                }
            }
            prop_assert_eq!(offsets.bytes(), expected);
        }
    }
}
