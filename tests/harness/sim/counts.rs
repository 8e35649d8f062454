//! Counts: how often each thing that must be survived was met. What was never met was never tested.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

/// How often each thing was met, by name. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Counts(Arc<Mutex<BTreeMap<String, u64>>>);

impl Counts {
    /// It was met once more.
    pub fn met(&self, what: impl Into<String>) {
        self.add(what, 1);
    }

    /// It was met `count` times more.
    pub fn add(&self, what: impl Into<String>, count: u64) {
        *self.0.lock().expect("counts are never left half written").entry(what.into()).or_default() += count;
    }

    /// Adds all that `other` counted.
    pub fn absorb(&self, other: &Self) {
        for (what, count) in other.all() {
            self.add(what, count);
        }
    }

    /// Everything that was counted.
    pub fn all(&self) -> BTreeMap<String, u64> {
        self.0.lock().expect("counts are never left half written").clone()
    }

    /// Which of these were never met.
    pub fn missing(&self, wanted: &[String]) -> Vec<String> {
        let all = self.all();
        wanted.iter().filter(|what| all.get(*what).is_none_or(|count| *count == 0)).cloned().collect()
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, count) in self.all() {
            writeln!(f, "{count:>10}  {what}")?;
        }
        Ok(())
    }
}
