//! Chains: what a node says of its chain, and how two nodes compare. Chains run, so nodes that agree at an offset did the same up to it, and
//! nodes that differ at one differ from there on. No I/O.
//!
//! Neighbours: nodes compare themselves with the others by it, operators all of them with one another.

use crate::{Chain, Heartbeat, Offset};
use std::collections::BTreeMap;

/// What a node says of its chain: offset to chain.
pub type Chains = BTreeMap<Offset, Chain>;

impl Heartbeat {
    /// The chains in this heartbeat: at its points and where the node is.
    pub fn chains(&self) -> Chains {
        let points = self.points.iter().map(|point| (point.offset, point.chain));
        points.chain(self.applied.zip(self.chain)).collect()
    }
}

/// How two nodes stand at the offsets at which the chains of both are known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Shared {
    /// The newest at which they agree.
    pub newest_equal: Option<Offset>,
    /// The oldest at which they differ.
    pub oldest_other: Option<Offset>,
}

impl Shared {
    /// Compares a node whose chain at an offset is `one`, where known, with another's chains.
    pub fn of(one: impl Fn(Offset) -> Option<Chain>, other: &Chains) -> Self {
        let mut shared = Self::default();
        for (offset, chain) in other {
            match one(*offset) {
                Some(same) if same == *chain => shared.newest_equal = Some(*offset),
                Some(_) if shared.oldest_other.is_none() => shared.oldest_other = Some(*offset),
                Some(_) | None => {}
            }
        }
        shared
    }

    /// They share an offset, and differ at none.
    pub fn agree(self) -> bool {
        self.newest_equal.is_some() && self.oldest_other.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Came, RecordHash};

    #[test]
    fn where_two_still_agree_and_where_they_first_differ() {
        let chain = |n: u64| Chain::default().after(Offset::new(n), &RecordHash::default(), Came::PASSED);
        let chains = |list: &[(u64, u64)]| list.iter().map(|(at, is)| (Offset::new(*at), chain(*is))).collect();
        let compare = |one: &[(u64, u64)], other: &[(u64, u64)]| {
            let one: Chains = chains(one);
            let shared = Shared::of(|offset| one.get(&offset).copied(), &chains(other));
            (shared.newest_equal.map(Offset::get), shared.oldest_other.map(Offset::get), shared.agree())
        };
        assert_eq!(compare(&[(1, 1), (2, 2), (9, 9)], &[(2, 2), (9, 9), (10, 10)]), (Some(9), None, true));
        assert_eq!(compare(&[(1, 1), (2, 2), (3, 3)], &[(1, 1), (2, 0), (3, 0)]), (Some(1), Some(2), false));
        assert_eq!(compare(&[(1, 1)], &[(2, 2)]), (None, None, false));
    }
}
