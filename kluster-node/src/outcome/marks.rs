//! Marks: which keys the last offsets had, in little memory: three nodes in one process remember 2¹⁸ each.
//!
//! Invariant: of a mark that came twice the later place is the one that is found, and the only one.

use super::Mark;
use hashbrown::HashTable;
use kluster_protocol::Offset;
use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};

/// A mark, where it came, and what tells its body from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Marked {
    pub mark: Mark,
    pub offset: Offset,
    pub body: u64,
}

/// Marks in the order of the log, found by mark.
#[derive(Debug, Default)]
pub(super) struct Marks {
    /// Numbered one after the other; the first has the number `first`.
    in_order: VecDeque<Marked>,
    first: u32,
    /// Numbers, by the hash of their mark.
    numbers: HashTable<u32>,
    /// Secret, as in the standard library's maps: who makes up message ids cannot make them meet.
    hasher: RandomState,
}

impl Marks {
    /// Room for so many more.
    pub fn reserve(&mut self, count: usize) {
        let Self { in_order, first, numbers, hasher } = self;
        in_order.reserve_exact(count);
        numbers.reserve(count, |number| hasher.hash_one(at(in_order, *first, *number).mark));
    }

    /// What came last under this mark.
    pub fn get(&self, mark: &Mark) -> Option<&Marked> {
        let is = |number: &u32| at(&self.in_order, self.first, *number).mark == *mark;
        let number = self.numbers.find(self.hasher.hash_one(mark), is)?;
        Some(at(&self.in_order, self.first, *number))
    }

    /// Remembers what comes behind all that is here.
    pub fn push(&mut self, marked: Marked) {
        let Self { in_order, first, numbers, hasher } = self;
        let number = first.wrapping_add(u32::try_from(in_order.len()).expect("a window has fewer than 2³² offsets"));
        in_order.push_back(marked);
        let hash = hasher.hash_one(marked.mark);
        let same = |other: &u32| at(in_order, *first, *other).mark == marked.mark;
        let rehash = |other: &u32| hasher.hash_one(at(in_order, *first, *other).mark);
        *numbers.entry(hash, same, rehash).or_insert(number).get_mut() = number;
    }

    /// Forgets what lies below `floor`.
    pub fn forget(&mut self, floor: Offset) {
        let Self { in_order, first, numbers, hasher } = self;
        while let Some(marked) = in_order.pop_front_if(|marked| marked.offset < floor) {
            // Another number stands there where the mark came again.
            if let Ok(found) = numbers.find_entry(hasher.hash_one(marked.mark), |number| number == first) {
                found.remove();
            }
            *first = first.wrapping_add(1);
        }
    }

    /// How many different marks are known.
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    #[cfg(test)]
    pub fn in_order(&self) -> &VecDeque<Marked> {
        &self.in_order
    }
}

fn at(in_order: &VecDeque<Marked>, first: u32, number: u32) -> &Marked {
    &in_order[number.wrapping_sub(first) as usize]
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};
    use std::collections::HashMap;

    /// Beside a plain map: whatever came last under a mark, unless it lies below the floor.
    #[test]
    fn finds_what_a_plain_map_finds() {
        for seed in 0..50 {
            let mut rng = StdRng::seed_from_u64(seed);
            // Numbers wrap around in the midst of it.
            let mut marks = Marks { first: u32::MAX - 100, ..Marks::default() };
            let mut plain: HashMap<Mark, (u64, u64)> = HashMap::new();
            let mut floor = 0;
            for offset in 0..600 {
                let (mark, body) = ([rng.random_range(0..150), 7], rng.random());
                marks.push(Marked { mark, offset: Offset::new(offset), body });
                plain.insert(mark, (offset, body));
                if rng.random_bool(0.3) {
                    floor = (offset.saturating_sub(rng.random_range(20..200))).max(floor);
                    marks.forget(Offset::new(floor));
                    plain.retain(|_, (offset, _)| *offset >= floor);
                }
                assert_eq!(marks.len(), plain.len(), "seed {seed}, offset {offset}");
                for mark in 0..150 {
                    let found = marks.get(&[mark, 7]).map(|marked| (marked.offset.get(), marked.body));
                    assert_eq!(found, plain.get(&[mark, 7]).copied(), "seed {seed}, offset {offset}, mark {mark}");
                }
            }
        }
    }
}
