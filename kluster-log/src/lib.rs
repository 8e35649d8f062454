//! How it travels: the seam between Kluster and its log. The only crate that names a Kafka client.
//!
//! Two kinds stand behind [`Log`]: [`KafkaLog`], the real one, and [`MemoryLog`], a whole log in one process with faults on command, for
//! fast and seeded tests. Nothing here knows SQL, requests or responses: a [`Record`] is bytes with a place.
//!
//! Neighbours: below it Kafka; above it node, client and admin.
//!
//! Invariants
//! 1. [`Log::append`] answers only when the record is durable and ordered (Kafka: acks=all, idempotent producer).
//! 2. A [`Reader`] delivers records in rising offset order from where it was told to start, or says why it can't; it never moves by itself.
//! 3. Only this crate knows Kafka's own offsets; everyone else sees [`Offset`]s, which keep rising when the log moves to a new topic.

mod record;
pub use record::{Appended, NewRecord, Record};
