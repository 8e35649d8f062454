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
//! 3. Only this crate knows Kafka's own offsets; everyone else sees [`kluster_protocol::Offset`], which keeps rising when the log
//!    moves to a new topic.

mod check;
mod error;
mod kafka;
mod log;
mod memory;
mod progress;
mod properties;
mod reader;
mod record;
mod settings;
mod wanted;

pub use check::{Finding, Severity, TopicCheck, TopicSettings};
pub use error::LogError;
pub use kafka::KafkaLog;
pub use log::{Created, Log, LogIdentity, Range};
pub use memory::{AppendContext, AppendFault, AppendHook, Clock, MemoryLog, ReadContext, ReadFault, ReadHook};
pub use reader::{GroupReader, Reader, Trouble};
pub use record::{Appended, MAX_RECORD_BYTES, NewRecord, Record};
pub use settings::LogSettings;
