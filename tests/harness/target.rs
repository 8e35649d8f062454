//! target: what was measured, beside what it should be: met or missed. A figure decides nothing in a test, for it is the machine's as much as ours.

use std::fmt;

/// What a figure should be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Target {
    /// This or less.
    AtMost(f64),
    /// This or more.
    AtLeast(f64),
}

/// A figure, its unit, and what it should be.
#[derive(Debug, Clone, Copy)]
pub struct Measured {
    /// The figure; what could not be measured is not a number, and misses.
    pub figure: f64,
    /// What it counts.
    pub unit: &'static str,
    /// What it should be.
    pub target: Target,
}

impl Measured {
    /// Whether it is as it should be.
    pub fn is_met(&self) -> bool {
        match self.target {
            Target::AtMost(limit) => self.figure <= limit,
            Target::AtLeast(limit) => self.figure >= limit,
        }
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, limit) = match self.target {
            Target::AtMost(limit) => ('≤', limit),
            Target::AtLeast(limit) => ('≥', limit),
        };
        let verdict = if self.is_met() { "met" } else { "MISSED" };
        let digits = if self.figure.abs() < 100.0 { 2 } else { 0 };
        write!(f, "{:.digits$} {}   (target {sign} {limit} {}: {verdict})", self.figure, self.unit, self.unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_printed_beside_its_target() {
        let of = |figure, target| Measured { figure, unit: "s", target }.to_string();
        assert_eq!(of(0.414, Target::AtMost(1.5)), "0.41 s   (target ≤ 1.5 s: met)");
        assert_eq!(of(1.51, Target::AtMost(1.5)), "1.51 s   (target ≤ 1.5 s: MISSED)");
        assert_eq!(of(251_234.4, Target::AtLeast(2e5)), "251234 s   (target ≥ 200000 s: met)");
        assert!(
            of(f64::NAN, Target::AtLeast(0.0)).contains("MISSED")
                && of(f64::NAN, Target::AtMost(0.0)).contains("MISSED")
        );
    }
}
