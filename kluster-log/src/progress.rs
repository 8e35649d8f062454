//! Progress: how far a group member has done its partitions, though records are done in any order.

use std::collections::{BTreeMap, BTreeSet};

/// Records delivered and not yet done, by partition. Offsets here are Kafka's own.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    lanes: BTreeMap<u32, Lane>,
}

#[derive(Debug, Default)]
struct Lane {
    open: BTreeSet<u64>,
    next: u64,
}

impl Progress {
    /// A record was delivered.
    pub(crate) fn delivered(&mut self, partition: u32, offset: u64) {
        let lane = self.lanes.entry(partition).or_default();
        lane.open.insert(offset);
        lane.next = lane.next.max(offset + 1);
    }

    /// A record is done; the partition's place up to which everything is done, if this moved it.
    pub(crate) fn done(&mut self, partition: u32, offset: u64) -> Option<u64> {
        let lane = self.lanes.get_mut(&partition)?;
        let first = lane.open.first().copied();
        if !lane.open.remove(&offset) || first != Some(offset) {
            return None;
        }
        Some(lane.open.first().copied().unwrap_or(lane.next))
    }

    /// The partition belongs to somebody else now: what is still done of it no longer counts.
    pub(crate) fn forget(&mut self, partition: u32) {
        self.lanes.remove(&partition);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commits_up_to_the_first_record_not_done() {
        let mut progress = Progress::default();
        for offset in [3, 4, 7] {
            progress.delivered(0, offset);
        }
        assert_eq!(progress.done(0, 4), None);
        assert_eq!(progress.done(0, 4), None, "done twice");
        assert_eq!(progress.done(0, 3), Some(7));
        assert_eq!(progress.done(0, 7), Some(8));
        assert_eq!(progress.done(1, 7), None, "never delivered");
        progress.delivered(0, 9);
        progress.forget(0);
        assert_eq!(progress.done(0, 9), None);
    }
}
