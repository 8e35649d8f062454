//! Why a broker can't be opened, and what to do about it.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::lock::LockError;
use crate::offsets::OffsetsError;
use crate::partition::PartitionError;
use crate::topics::OpenError;

/// Why a broker can't be opened, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// Another program listens there.
    #[error("{address} is in use by another program; stop that one, or listen on another port")]
    PortInUse {
        /// Where the broker was told to listen.
        address: SocketAddr,
    },
    /// The address is not this machine's, or may not be listened on.
    #[error("can't listen on {address}: {source}; give an address of this machine, and a port that this user may open")]
    Listen {
        /// Where the broker was told to listen.
        address: SocketAddr,
        /// The system's words.
        source: io::Error,
    },
    /// Another process has the data directory.
    #[error("{} is in use by process {holder}; stop that process, or take another directory", dir.display())]
    DirectoryInUse {
        /// The data directory.
        dir: PathBuf,
        /// The process's id, or "unknown".
        holder: String,
    },
    /// The disk refused a file or the directory.
    #[error("{}: {source}; {}", path.display(), advice(source.kind()))]
    File {
        /// The file or directory.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// The data directory is damaged. The error names the file and the place in it.
    #[error(transparent)]
    Damaged(OpenError),
    /// The committed offsets of groups can't be had.
    #[error(transparent)]
    Offsets(#[from] OffsetsError),
}

/// What to do about a file that is refused.
fn advice(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::PermissionDenied => "give it to the user that runs the broker, or take another directory",
        ErrorKind::ReadOnlyFilesystem => "mount it for writing, or take another directory",
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "free some space and start again",
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists => "take another directory",
        ErrorKind::InvalidData => "restore it from a copy",
        _ => "see to the disk and start again",
    }
}

impl From<OpenError> for BrokerError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Lock(LockError::Held { dir, holder }) => Self::DirectoryInUse { dir, holder },
            OpenError::Lock(LockError::Io { path, source })
            | OpenError::Io { path, source }
            | OpenError::Partition(PartitionError::Io { path, source }) => Self::File { path, source },
            damaged => Self::Damaged(damaged),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_disk_refuses_comes_with_what_to_do() {
        let refused = |kind: ErrorKind| {
            let error = OpenError::Io { path: "/data/topics.json".into(), source: kind.into() };
            BrokerError::from(error).to_string()
        };
        for (kind, advice) in [
            (ErrorKind::PermissionDenied, "the user that runs the broker"),
            (ErrorKind::ReadOnlyFilesystem, "mount it for writing"),
            (ErrorKind::StorageFull, "free some space"),
            (ErrorKind::NotADirectory, "another directory"),
            (ErrorKind::InvalidData, "restore it"),
        ] {
            let words = refused(kind);
            assert!(words.starts_with("/data/topics.json: ") && words.contains(advice), "{words}");
        }
    }
}
