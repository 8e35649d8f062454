//! Fault: why the ALL lane cannot go on with a batch, named for what the node must do next; and Refusal, which is no fault but an outcome.
//!
//! Neighbours: only the DBMS adapters make faults, out of their DBMS's codes (`dbms/*/errors.rs`); only the ALL lane acts on them.

use kluster_protocol::{ErrorCode, ResponseError};
use std::fmt;

/// Every node refuses the request alike (syntax, duplicate key): the refusal is the answer, move on.
pub type Refusal = ResponseError;

/// What the DBMS said. Never holds SQL text or secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// The DBMS's own code (SQLSTATE, number, extended result code), or what the fault is.
    pub code: String,
    /// Its message, or ours.
    pub message: String,
}

impl Cause {
    /// A cause with code and message.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into() }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.code)
    }
}

/// Why a batch did not go through, named for what the node does next. Whatever the fault, the adapter has no open transaction afterwards,
/// unless the connection is lost.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Passes by itself (deadlock victim, cancelled statement): back off, try the same batch again. Many times the same on a live connection: unknown.
    #[error("passing fault: {0}")]
    Transient(Cause),
    /// Somebody beside Kluster holds a lock: no fault of the statement, so back off and try the same batch again, for ever.
    #[error("waiting for a lock: {0}")]
    LockWait(Cause),
    /// The connection is gone and whether the transaction took effect is open: wait until the old session is gone, read the state row, go on from it.
    #[error("connection lost: {0}")]
    Lost(Cause),
    /// The state row is not where this node left it: roll back, read it again, go on from it. Twice without a reconnect: a second process.
    #[error("the state row is not where this node left it: {0}")]
    ClaimRaised(Cause),
    /// What only a message in a batch meets (a failed COMMIT, a cached plan): run each message again in a transaction of its own.
    #[error("run alone: {0}")]
    RunAlone(Cause),
    /// The disk is full: this node only; try again every 5 s.
    #[error("disk full: {0}")]
    DiskFull(Cause),
    /// Only this node fails: stop both lanes.
    #[error("this node must stop: {0}")]
    Fatal(Cause),
    /// Whether other nodes fail too is not known: ALL stops until a decision, ONE goes on.
    #[error("unknown fault: {0}")]
    Unknown(Cause),
}

impl Fault {
    /// What it means on every DBMS that rows cannot be kept in the node's own temporary file: a full disk passes, anything else is a disk that
    /// someone must look at.
    pub fn of_spool(error: &std::io::Error) -> Self {
        use std::io::ErrorKind::{QuotaExceeded, StorageFull};
        let cause = Cause::new("spool", format!("rows cannot be kept in a temporary file: {error}"));
        match error.kind() {
            StorageFull | QuotaExceeded => Self::DiskFull(cause),
            _ => Self::Fatal(cause),
        }
    }

    /// What the DBMS said.
    pub fn cause(&self) -> &Cause {
        match self {
            Self::Transient(cause)
            | Self::LockWait(cause)
            | Self::Lost(cause)
            | Self::ClaimRaised(cause)
            | Self::RunAlone(cause)
            | Self::DiskFull(cause)
            | Self::Fatal(cause)
            | Self::Unknown(cause) => cause,
        }
    }
}

/// How a DBMS's error code is classified: data in each adapter's `errors.rs`, matched exhaustively by what happens next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Deterministic: the refusal is the outcome.
    Refused(ErrorCode),
    /// Deterministic only when the message ran alone; in a batch it is run again alone first.
    RefusedAlone(ErrorCode),
    /// See [`Fault::Transient`].
    Transient,
    /// See [`Fault::LockWait`].
    LockWait,
    /// See [`Fault::Lost`].
    Lost,
    /// See [`Fault::RunAlone`]; alone: see [`Fault::Transient`].
    RunAlone,
    /// See [`Fault::DiskFull`].
    DiskFull,
    /// See [`Fault::Fatal`].
    Fatal,
    /// See [`Fault::Unknown`]. Every code that is not listed.
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Error, ErrorKind};

    #[test]
    fn only_a_full_disk_passes_by_itself() {
        assert!(matches!(Fault::of_spool(&Error::from(ErrorKind::StorageFull)), Fault::DiskFull(_)));
        assert!(matches!(Fault::of_spool(&Error::from(ErrorKind::QuotaExceeded)), Fault::DiskFull(_)));
        for kind in [ErrorKind::PermissionDenied, ErrorKind::ReadOnlyFilesystem, ErrorKind::Other] {
            assert!(matches!(Fault::of_spool(&Error::from(kind)), Fault::Fatal(_)), "{kind}");
        }
    }
}
