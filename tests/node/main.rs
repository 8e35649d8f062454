//! The node's own invariants, each on a log in memory with faults on command, beside SQLite, on a clock that stands still while anyone works.

#![cfg(test)]

mod decisions;
mod health;
mod invariants;
mod outages;
mod running;
