//! Hooks: faults on command. A test decides, for each append and each read, what goes wrong with it.

use crate::NewRecord;
use kluster_protocol::{Offset, Topic};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// An append about to happen.
#[derive(Debug, Clone)]
pub struct AppendContext {
    /// Whose handle it is ([`crate::MemoryLog::user`]).
    pub user: Arc<str>,
    /// Where the record goes.
    pub topic: Topic,
    /// Where the record goes.
    pub partition: u32,
    /// The record.
    pub record: NewRecord,
}

/// What goes wrong with an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AppendFault {
    /// Nothing.
    #[default]
    None,
    /// Not appended, and the answer says so ([`crate::LogError::NotAppended`]).
    Lose,
    /// Not appended, but nobody can tell ([`crate::LogError::OutcomeOpen`]).
    LoseOpen,
    /// Appended, but nobody can tell ([`crate::LogError::OutcomeOpen`]).
    LoseAck,
    /// Appended twice, as by a second attempt after a crash; the answer is the second's place.
    Duplicate,
    /// Appended after this time, even if its future is dropped; what the same handle appends meanwhile queues behind. Needs a Tokio runtime.
    Delay(Duration),
    /// Appended at once and answered after this time.
    HoldAck(Duration),
}

/// A record about to be delivered to a reader.
#[derive(Debug, Clone)]
pub struct ReadContext {
    /// Whose handle it is.
    pub user: Arc<str>,
    /// Where the record lies.
    pub topic: Topic,
    /// Where the record lies.
    pub partition: u32,
    /// Where the record lies.
    pub offset: Offset,
}

/// What goes wrong with the delivery of a record to one reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReadFault {
    /// Nothing.
    #[default]
    None,
    /// This reader gets it, and what follows it in the partition, only after this time.
    Delay(Duration),
    /// This reader gets it twice, which no log may do.
    Twice,
    /// It cannot be decoded: a reader ends before it, a group passes over it and counts it.
    Unreadable,
}

/// Decides on each append. Called outside the log's lock, once for each append.
pub type AppendHook = Arc<dyn Fn(&AppendContext) -> AppendFault + Send + Sync>;

/// Decides on each delivery. Called outside the log's lock, once for each record and reader.
pub type ReadHook = Arc<dyn Fn(&ReadContext) -> ReadFault + Send + Sync>;

/// The broker's clock: milliseconds since 1970.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// The hooks in force.
#[derive(Clone, Default)]
pub(super) struct Hooks {
    pub(super) append: Option<AppendHook>,
    pub(super) read: Option<ReadHook>,
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hooks {{ append: {}, read: {} }}", self.append.is_some(), self.read.is_some())
    }
}
