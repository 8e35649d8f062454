//! Faults on command, for tests. Always compiled, none by default.

pub mod disk;
