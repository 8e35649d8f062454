//! What happens: the node, a small process between the log and one database.
//!
//! The life of a request in a node, and the modules in that order:
//! ALL  → read (`all_lane`) → admit (`admit`) → plan a batch (`plan`) → one transaction behind the claim (`dbms`) → settle (`plan`, `outcome`,
//! `state`) → COMMIT → answer (`answer`) → commit the group offset, a hint.
//! ONE  → read in a group (`one_lane`) → wait for `minOffset` (`status`) → read-only snapshot (`dbms::Reads`) → answer.
//!
//! Neighbours: `kluster-log` below, `kluster-sql` for the rules, one database beside it. A node never talks to a node and never sees a client.
//!
//! Invariants: those of each module; above all that effects, applied offset, chain and outcomes are committed in one transaction, so that every
//! request takes effect once through any crash; and that nothing but the log decides an outcome.

pub mod command;
pub mod config;
pub mod node;

pub mod all_lane;
pub mod one_lane;

pub mod clerk;
pub mod council;
pub mod decisions;

pub mod admit;
pub mod check;
pub mod plan;
pub mod retry;
pub mod start;
pub mod waiting;
pub mod witness;

pub mod outcome;
pub mod state;

pub mod dbms;
pub mod effects;
pub mod fault;
pub mod former;
pub mod rows;

pub mod answer;
pub mod heartbeat;
pub mod http;
pub mod membership;
pub mod report;
pub mod status;
pub mod step;
