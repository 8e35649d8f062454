//! AdminError: why a command did not end well, named by what the operator does next; and the exit codes.

use kluster_log::LogError;
use std::io;

/// Why a command did not end well.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The command did its work and found something that needs a person; stdout says what.
    #[error("{0}")]
    Finding(String),
    /// A setting or an input file cannot be used.
    #[error("{0}")]
    Settings(String),
    /// Nodes do not hold the same data.
    #[error("{0}")]
    Differ(String),
    /// The log cannot be reached or used.
    #[error("{0}")]
    Log(LogError),
    /// The cluster, or this tool on its behalf, refuses; asking again changes nothing.
    #[error("{0}")]
    Refused(String),
    /// Something was sent and its effect is not known to the end; the text says how to find out.
    #[error("{0}")]
    Open(String),
    /// stdout or stderr cannot be written.
    #[error("the output cannot be written: {0}")]
    Output(#[from] io::Error),
}

impl From<LogError> for AdminError {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Settings(what) => Self::Settings(what),
            other => Self::Log(other),
        }
    }
}

impl AdminError {
    /// The documented exit codes; 0 is success.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Finding(_) => 1,
            Self::Settings(_) => 2,
            Self::Differ(_) => 3,
            Self::Log(_) => 4,
            Self::Refused(_) => 5,
            Self::Open(_) => 6,
            // The reader of a pipe may leave when it has seen enough: `kluster-admin tail | head`.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
            Self::Output(_) => 7,
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
            (AdminError::Finding("x".into()), 1, "1 a finding"),
            (AdminError::Settings("x".into()), 2, "2 wrong settings"),
            (AdminError::from(LogError::Settings("x".into())), 2, "2 wrong settings"),
            (AdminError::Differ("x".into()), 3, "3 nodes differ"),
            (AdminError::from(LogError::Closed), 4, "4 the log"),
            (AdminError::Refused("x".into()), 5, "5 refused"),
            (AdminError::Open("x".into()), 6, "6 outcome open"),
            (AdminError::Output(io::ErrorKind::StorageFull.into()), 7, "7 the output"),
            (AdminError::Output(io::ErrorKind::BrokenPipe.into()), 0, "0 done"),
        ] {
            assert_eq!(error.exit_code(), code, "{error:?}");
            assert!(manual.contains(words), "{words:?} is not in --help:\n{manual}");
        }
    }
}
