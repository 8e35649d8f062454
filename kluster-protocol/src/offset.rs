//! Offset: a place in ALL that keeps rising when the log moves to a new topic.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A place in ALL: `epoch · 2⁴⁰ + Kafka's own offset`. It names one record for the life of the cluster, for an epoch never comes back.
/// Only the log crate takes it apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, Default)]
#[serde(transparent)]
pub struct Offset(u64);

impl Offset {
    /// Kafka's own offsets fill this many bits: 2⁴⁰ records an epoch.
    const KAFKA_BITS: u32 = 40;
    /// The first place of the first epoch.
    pub const ZERO: Self = Self(0);

    /// The offset with this number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The offset of Kafka's own `offset` in `epoch`.
    pub const fn in_epoch(epoch: u32, offset: u64) -> Self {
        Self(((epoch as u64) << Self::KAFKA_BITS) + offset)
    }

    /// Which topic the record lies in, counted from 0.
    pub const fn epoch(self) -> u32 {
        (self.0 >> Self::KAFKA_BITS) as u32
    }

    /// Kafka's own offset in that topic.
    pub const fn in_kafka(self) -> u64 {
        self.0 & ((1 << Self::KAFKA_BITS) - 1)
    }

    /// The number itself.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The place behind this one.
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The place `count` before this one; the log has none before 0.
    pub const fn back(self, count: u64) -> Self {
        Self(self.0.saturating_sub(count))
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_rise_over_epochs() {
        let last = Offset::in_epoch(0, (1 << 40) - 1);
        let first = Offset::in_epoch(1, 0);
        assert_eq!(last.next(), first);
        assert_eq!((first.epoch(), first.in_kafka()), (1, 0));
        assert_eq!((last.epoch(), last.in_kafka()), (0, (1 << 40) - 1));
        assert_eq!(Offset::ZERO.back(3), Offset::ZERO);
    }
}
