//! The simulated cluster: one seed, one history. Three nodes on SQLite and several clients share a log in memory, on one thread and a clock
//! that stands still while anyone works; nodes crash at every step, clients die and ask again, the log loses, doubles and delays.
//!
//! Afterwards `checker` replays the log on a database of its own and compares every answer ever given, and every table of every node. It shares no
//! code with the node's apply and dedupe.
//!
//! The same seed gives the same history, so a failing seed that is printed can be replayed.

mod campaign;
mod checker;
mod clients;
mod counts;
mod effects;
mod faults;
mod nodes;
mod operator;
mod workload;
mod world;

pub use campaign::{Campaign, Report, run};
pub use checker::{Tables, tables_of};
pub use counts::Counts;
pub use workload::{Body, Level, Op, next, schema};
pub use world::{Astray, Failure, simulate, simulate_astray};
