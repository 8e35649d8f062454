//! KlusterError: why a command did not end well, named by what the person does next; and the exit codes.

use kluster_admin::error::AdminError;
use kluster_log::LogError;
use std::io;

/// Why a command did not end well.
#[derive(Debug, thiserror::Error)]
pub enum KlusterError {
    /// A setting or an input file cannot be used.
    #[error("{0}")]
    Settings(String),
    /// Nodes do not hold the same data.
    #[error("{0}")]
    Differ(String),
    /// The log cannot be reached or used.
    #[error("{0}")]
    Log(String),
    /// The cluster refuses; asking again changes nothing.
    #[error("{0}")]
    Refused(String),
    /// Something was sent and its effect is not known to the end; the text says how to find out.
    #[error("{0}")]
    Open(String),
    /// stdout or stderr cannot be written.
    #[error("the output cannot be written: {0}")]
    Output(#[from] io::Error),
    /// The address cannot be listened on: another process has it, or it is none of this machine.
    #[error("{0}")]
    Address(String),
    /// Another process works in the data directory.
    #[error("{0}")]
    Locked(String),
    /// The data directory cannot be used: it may not be written, or what lies there is damaged.
    #[error("{0}")]
    Directory(String),
    /// The disk is full.
    #[error("{0}")]
    DiskFull(String),
    /// A node cannot start, or stopped while the others went on.
    #[error("{0}")]
    Node(String),
    /// The data directory holds another cluster than the one asked for.
    #[error("{0}")]
    OtherCluster(String),
    /// Something that was claimed did not hold.
    #[error("{0}")]
    NotTrue(String),
    /// Ended by Ctrl-C while it waited; the text says what became of what was awaited.
    #[error("{0}")]
    Interrupted(String),
}

impl From<LogError> for KlusterError {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Settings(what) => Self::Settings(what),
            other => Self::Log(other.to_string()),
        }
    }
}

impl From<AdminError> for KlusterError {
    fn from(error: AdminError) -> Self {
        match error {
            AdminError::Finding(what) | AdminError::Refused(what) => Self::Refused(what),
            AdminError::Settings(what) => Self::Settings(what),
            AdminError::Differ(what) => Self::Differ(what),
            AdminError::Log(error) => Self::from(error),
            AdminError::Open(what) => Self::Open(what),
            AdminError::Output(error) => Self::Output(error),
        }
    }
}

impl KlusterError {
    /// The documented exit codes; 0 is success.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Settings(_) => 2,
            Self::Differ(_) => 3,
            Self::Log(_) => 4,
            Self::Refused(_) => 5,
            Self::Open(_) => 6,
            // The reader of a pipe may leave when it has seen enough: `kluster sql "select …" | head`.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
            Self::Output(_) => 7,
            Self::Address(_) => 8,
            Self::Locked(_) => 9,
            Self::Directory(_) => 10,
            Self::DiskFull(_) => 11,
            Self::Node(_) => 12,
            Self::OtherCluster(_) => 13,
            Self::NotTrue(_) => 14,
            // 128 + SIGINT, as shells have it.
            Self::Interrupted(_) => 130,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_those_of_the_manual() {
        let manual = crate::cli::command().render_long_help().to_string();
        for (error, code, words) in [
            (KlusterError::Settings("x".into()), 2, "2 wrong settings"),
            (KlusterError::from(LogError::Settings("x".into())), 2, "2 wrong settings"),
            (KlusterError::Differ("x".into()), 3, "3 nodes differ"),
            (KlusterError::from(LogError::Closed), 4, "4 the log"),
            (KlusterError::Refused("x".into()), 5, "5 refused"),
            (KlusterError::Open("x".into()), 6, "6 outcome open"),
            (KlusterError::Output(io::ErrorKind::StorageFull.into()), 7, "7 the output"),
            (KlusterError::Output(io::ErrorKind::BrokenPipe.into()), 0, "0 done"),
            (KlusterError::Address("x".into()), 8, "8 the address"),
            (KlusterError::Locked("x".into()), 9, "9 another process"),
            (KlusterError::Directory("x".into()), 10, "10 the data directory"),
            (KlusterError::DiskFull("x".into()), 11, "11 the disk"),
            (KlusterError::Node("x".into()), 12, "12 a node"),
            (KlusterError::OtherCluster("x".into()), 13, "13 the data directory"),
            (KlusterError::NotTrue("x".into()), 14, "14 a claim"),
            (KlusterError::Interrupted("x".into()), 130, "130 ended by Ctrl-C"),
        ] {
            assert_eq!(error.exit_code(), code, "{error:?}");
            assert!(manual.contains(words), "{words:?} is not in --help:\n{manual}");
        }
    }
}
