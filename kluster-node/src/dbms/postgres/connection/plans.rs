//! Which SQL texts the server has prepared under which name: saves parsing a text that comes often.
//!
//! Neighbours: `pipeline` asks for a name per statement and reports what became of it.
//! Invariants: at most `capacity` texts; a name is never used twice; after [`Plans::clear`] names cannot be foreseen by user SQL that
//! saw earlier ones in `pg_prepared_statements`; a plan is reused only if its Parse succeeded or lies in the same segment (the
//! statements up to one Sync), where a failed Parse skips its users too.

use std::collections::HashMap;
use std::sync::Arc;

/// Longer texts are not worth the memory, here and in the server.
const LONGEST_TEXT: usize = 16 * 1024;

/// Prepared statements of one session, least recently used out first.
pub(super) struct Plans {
    capacity: usize,
    prefix: String,
    made: u64,
    clock: u64,
    by_text: HashMap<Arc<str>, Plan>,
    /// Prepared in the server and no longer wanted.
    surplus: Vec<Arc<str>>,
}

struct Plan {
    name: Arc<str>,
    used: u64,
    /// The segment that holds its Parse, until the server has said that it is parsed.
    parsing_in: Option<u64>,
}

/// How to send one statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Choice {
    /// Parse it without a name.
    Unnamed,
    /// Parse it under a new name.
    New(Planned),
    /// It is parsed under this name.
    Known(Arc<str>),
}

/// A plan whose Parse is on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Planned {
    pub(super) text: Arc<str>,
    pub(super) name: Arc<str>,
}

impl Plans {
    pub(super) fn new(capacity: usize) -> Self {
        let (by_text, surplus) = (HashMap::new(), Vec::new());
        Self { capacity, prefix: fresh_prefix(), made: 0, clock: 0, by_text, surplus }
    }

    pub(super) fn set_capacity(&mut self, capacity: usize) {
        self.capacity = capacity;
    }

    /// Decides for one statement of the given segment.
    pub(super) fn choose(&mut self, text: &str, segment: u64) -> Choice {
        self.clock += 1;
        if let Some(plan) = self.by_text.get_mut(text) {
            if plan.parsing_in.is_some_and(|parsing| parsing != segment) {
                return Choice::Unnamed;
            }
            plan.used = self.clock;
            return Choice::Known(plan.name.clone());
        }
        if text.len() > LONGEST_TEXT || self.capacity == 0 {
            return Choice::Unnamed;
        }
        if self.by_text.len() >= self.capacity {
            self.evict();
        }
        Choice::New(self.add(text, segment))
    }

    /// The server has parsed it.
    pub(super) fn parsed(&mut self, planned: &Planned) {
        if let Some(plan) = self.by_text.get_mut(&planned.text).filter(|plan| plan.name == planned.name) {
            plan.parsing_in = None;
        }
    }

    /// The server has refused or skipped its Parse.
    pub(super) fn failed(&mut self, planned: &Planned) {
        if self.by_text.get(&planned.text).is_some_and(|plan| plan.name == planned.name) {
            self.by_text.remove(&planned.text);
        }
    }

    /// Forgets everything: after schema changes, or when user SQL may have touched prepared statements.
    pub(super) fn clear(&mut self) {
        self.surplus.extend(self.by_text.drain().map(|(_, plan)| plan.name));
        self.prefix = fresh_prefix();
    }

    /// Names to close in the server, each told once.
    pub(super) fn take_surplus(&mut self) -> Vec<Arc<str>> {
        std::mem::take(&mut self.surplus)
    }

    fn add(&mut self, text: &str, segment: u64) -> Planned {
        self.made += 1;
        let planned = Planned { text: text.into(), name: format!("{}{}", self.prefix, self.made).into() };
        let plan = Plan { name: planned.name.clone(), used: self.clock, parsing_in: Some(segment) };
        self.by_text.insert(planned.text.clone(), plan);
        planned
    }

    fn evict(&mut self) {
        // A walk over a few hundred entries, paid only by a text that must be parsed anyway.
        let Some(oldest) = self.by_text.iter().min_by_key(|(_, plan)| plan.used).map(|(text, _)| text.clone()) else {
            return;
        };
        self.surplus.extend(self.by_text.remove(&oldest).map(|plan| plan.name));
    }
}

fn fresh_prefix() -> String {
    format!("kluster_{:016x}_", rand::random::<u64>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new_plan(plans: &mut Plans, text: &str, segment: u64) -> Planned {
        match plans.choose(text, segment) {
            Choice::New(planned) => planned,
            other => panic!("expected a new plan, got {other:?}"),
        }
    }

    #[test]
    fn a_text_is_parsed_once() {
        let mut plans = Plans::new(2);
        let planned = new_plan(&mut plans, "select 1", 1);
        assert_eq!(plans.choose("select 1", 1), Choice::Known(planned.name.clone()));
        plans.parsed(&planned);
        assert_eq!(plans.choose("select 1", 2), Choice::Known(planned.name));
    }

    #[test]
    fn a_parse_still_open_is_not_trusted_by_the_next_segment() {
        let mut plans = Plans::new(2);
        let planned = new_plan(&mut plans, "select 1", 1);
        assert_eq!(plans.choose("select 1", 2), Choice::Unnamed);
        plans.failed(&planned);
        assert_ne!(new_plan(&mut plans, "select 1", 2).name, planned.name);
    }

    #[test]
    fn the_least_recently_used_leaves_and_is_closed() {
        let mut plans = Plans::new(2);
        let first = new_plan(&mut plans, "select 1", 1);
        let second = new_plan(&mut plans, "select 2", 1);
        assert_eq!(plans.choose("select 1", 1), Choice::Known(first.name));
        new_plan(&mut plans, "select 3", 1);
        assert_eq!(plans.take_surplus(), std::slice::from_ref(&second.name));
        assert!(plans.take_surplus().is_empty());
        // News about a plan that has left change nothing.
        plans.parsed(&second);
        plans.failed(&second);
        assert_ne!(new_plan(&mut plans, "select 2", 1).name, second.name);
    }

    #[test]
    fn clearing_closes_all_and_changes_the_names() {
        let mut plans = Plans::new(2);
        let before = new_plan(&mut plans, "select 1", 1);
        plans.clear();
        assert_eq!(plans.take_surplus(), std::slice::from_ref(&before.name));
        let after = new_plan(&mut plans, "select 1", 2);
        let prefix = |name: &str| name.rsplit_once('_').unwrap().0.to_owned();
        assert_ne!(prefix(&before.name), prefix(&after.name));
    }

    #[test]
    fn without_room_or_for_long_texts_there_is_no_name() {
        assert_eq!(Plans::new(0).choose("select 1", 1), Choice::Unnamed);
        let long = format!("select '{}'", "x".repeat(LONGEST_TEXT));
        assert_eq!(Plans::new(2).choose(&long, 1), Choice::Unnamed);
    }
}
