//! How one operates: the operator's tool.
//!
//! The life of a command, and the modules in that order: settings and words (`cli`) → the log is reached → one module for each command
//! (`topics`, `status`, `offsets`, `tail`, `load`, `verify`, `leave`, `errors`, `resolve`, `cancel`, `completions`) → data on stdout, all else on stderr (`output`) → an exit code
//! (`error`).
//!
//! Commands share `source` (a topic read to where it ended, then followed), `nodes` (the newest heartbeat of each node), `pending` (what is decided, and where nodes wait), `dialect` (whose SQL they speak), `agreement` (whose
//! chains agree) and `show` (records and times as people read them).
//!
//! Neighbours: it reads and writes the log through `kluster-log`, and sends SQL through `kluster-client`; it never talks to a node or a DBMS.
//!
//! Invariants
//! 1. stdout holds data only: a table, or with `--output json` one JSON document (`tail`, `--watch`: one a line).
//! 2. Only `topics create`, `load`, `verify`, `leave`, `resolve` and `cancel` write, each to what its help says.
//! 3. Every exit code has one documented meaning ([`error::AdminError::exit_code`]).

pub mod cli;

pub mod cancel;
pub mod completions;
pub mod errors;
pub mod leave;
pub mod load;
pub mod offsets;
pub mod resolve;
pub mod status;
pub mod tail;
pub mod topics;
pub mod verify;

pub mod agreement;
pub mod dialect;
pub mod nodes;
pub mod pending;
pub mod show;
pub mod source;

pub mod doctor;
pub mod error;
pub mod output;

#[cfg(test)]
mod fixture;
