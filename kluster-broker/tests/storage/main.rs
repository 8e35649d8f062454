//! The storage as its neighbours use it: topics, append, durable, read, delete, upkeep; and what crashes and a failing disk leave of it.
#![allow(clippy::unwrap_used, reason = "clippy's allow-unwrap-in-tests knows only the #[test] functions themselves")]

mod appending;
mod batches;
mod compacting;
mod crashing;
mod deleting;
mod disk_full;
mod dying;
mod group_commit;
mod killed;
mod producing;
mod properties;
mod reading;
mod recovering;
mod rolling;
mod topics;
