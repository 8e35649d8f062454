//! All of it in one process.
//!
//! The life of a command, and the modules in that order: settings and words (`cli`) → what the process is told from outside (`signals`) → one
//! module for each command (`sql`, `completions`) → an exit code (`error`).
//!
//! Neighbours: `sql` asks through `kluster-client`, as any program would; heartbeats are read as `kluster-admin` reads them.
//!
//! Invariants
//! 1. stdout holds data only; everything for the person who looks on goes to stderr. (At the prompt both are the terminal.)
//! 2. Every exit code has one documented meaning ([`error::KlusterError::exit_code`]); where `kluster-admin` has a code for it, it is the same.

pub mod cli;
pub mod signals;

pub mod broker;
pub mod completions;
pub mod demo;
pub mod sql;
pub mod up;

pub mod error;
