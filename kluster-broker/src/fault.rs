//! Faults on command, for tests: what a network and a peer do to requests. What a disk does is in `fault/disk.rs`.
//!
//! A rule names an API, which of its requests, and what happens to them. Rules may be changed while the broker runs. Chance is seeded, so that
//! the same requests in the same order meet the same faults. Without a rule, a request costs one atomic load.

pub mod disk;
mod rule;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kafka_protocol::messages::ApiKey;

pub use rule::{Effect, Rule, RuleError, When};

/// The faults of one broker: a cheap handle, whose clones all change the same rules.
#[derive(Debug, Clone, Default)]
pub struct Faults(Arc<Inner>);

/// A rule that was set, to ask after it or to take it away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleId(u64);

#[derive(Debug, Default)]
struct Inner {
    any: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    random: u64,
    last_id: u64,
    rules: Vec<Set>,
}

#[derive(Debug)]
struct Set {
    id: RuleId,
    rule: Rule,
    seen: u64,
    hits: u64,
}

impl Faults {
    /// No rules yet; chance will follow from `seed`.
    pub fn seeded(seed: u64) -> Self {
        let faults = Self::default();
        faults.state().random = seed;
        faults
    }

    /// Rules as text, separated by `;`, in the form of [`Rule`].
    ///
    /// # Errors
    /// Names the rule that can't be read.
    pub fn parse(text: &str) -> Result<Self, RuleError> {
        let faults = Self::default();
        for rule in text.split(';').map(str::trim).filter(|rule| !rule.is_empty()) {
            faults.add(rule.parse()?);
        }
        Ok(faults)
    }

    /// Sets a rule. Its requests are counted from now on; of several rules that fit a request the oldest holds.
    pub fn add(&self, rule: Rule) -> RuleId {
        let mut state = self.state();
        state.last_id += 1;
        let id = RuleId(state.last_id);
        state.rules.push(Set { id, rule, seen: 0, hits: 0 });
        self.0.any.store(true, Ordering::Release);
        id
    }

    /// Takes a rule away; tells how often it took effect.
    pub fn remove(&self, id: RuleId) -> u64 {
        let hits = self.hits(id);
        let mut state = self.state();
        state.rules.retain(|set| set.id != id);
        self.0.any.store(!state.rules.is_empty(), Ordering::Release);
        hits
    }

    /// Takes all rules away.
    pub fn clear(&self) {
        self.state().rules.clear();
        self.0.any.store(false, Ordering::Release);
    }

    /// How often a rule took effect; 0 when it was taken away.
    pub fn hits(&self, id: RuleId) -> u64 {
        self.state().rules.iter().find(|set| set.id == id).map_or(0, |set| set.hits)
    }

    /// What happens to the request that came now.
    pub(crate) fn strike(&self, api: ApiKey) -> Option<Effect> {
        if !self.0.any.load(Ordering::Acquire) {
            return None;
        }
        let mut state = self.state();
        let State { random, rules, .. } = &mut *state;
        let mut struck = None;
        for set in rules.iter_mut().filter(|set| set.rule.api.is_none_or(|named| named == api)) {
            set.seen += 1;
            if struck.is_none() && set.rule.when.holds(set.seen, || next_random(random)) {
                set.hits += 1;
                struck = Some(set.rule.effect);
            }
        }
        struck
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The next number of SplitMix64 (Steele, Lea, Flood 2014), as a fraction of 1.
fn next_random(state: &mut u64) -> f64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^= mixed >> 31;
    #[allow(clippy::cast_precision_loss)]
    let fraction = (mixed >> 11) as f64 / (1_u64 << 53) as f64;
    fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    fn struck(faults: &Faults, api: ApiKey, times: usize) -> Vec<bool> {
        (0..times).map(|_| faults.strike(api).is_some()).collect()
    }

    #[test]
    fn without_a_rule_nothing_happens() {
        assert_eq!(Faults::default().strike(ApiKey::Produce), None);
    }

    #[test]
    fn a_rule_strikes_its_api_and_its_request_only() {
        let faults = Faults::parse("Produce:drop@2").unwrap();
        assert_eq!(struck(&faults, ApiKey::Fetch, 3), [false; 3]);
        assert_eq!(struck(&faults, ApiKey::Produce, 4), [false, true, false, false]);
    }

    #[test]
    fn rules_come_and_go_while_requests_are_counted() {
        let faults = Faults::default();
        let every = faults.add("*:duplicate/2".parse().unwrap());
        assert_eq!(struck(&faults, ApiKey::Fetch, 4), [false, true, false, true]);
        assert_eq!(faults.hits(every), 2);
        assert_eq!(faults.remove(every), 2);
        assert_eq!(struck(&faults, ApiKey::Fetch, 2), [false; 2]);
    }

    #[test]
    fn chance_follows_from_the_seed() {
        let run = |seed| {
            let faults = Faults::seeded(seed);
            faults.add("*:drop%0.5".parse().unwrap());
            struck(&faults, ApiKey::Fetch, 64)
        };
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
        let hits = run(7).into_iter().filter(|hit| *hit).count();
        assert!((16..=48).contains(&hits), "{hits} of 64 at a chance of one half");
    }
}
