//! What can go wrong with a server of a test, and what to do about it.

/// Why a server could not be started, asked or disturbed.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// A program or file that the server needs is not on this machine.
    #[error("{0}")]
    Missing(String),
    /// The server ended, or was not ready in time. The directory with the log stays when `KLUSTER_TEST_KEEP=1`.
    #[error("{server} did not become ready ({why}); the end of its log ({log}):\n{tail}")]
    NotReady {
        /// Which kind of server.
        server: &'static str,
        /// What was waited for, or how it ended.
        why: String,
        /// Where the whole log is (or was): a file, or a container.
        log: String,
        /// The last lines of the log.
        tail: String,
    },
    /// A helper program (initdb, psql, …) failed.
    #[error("{command} failed: {output}")]
    Command {
        /// What was run.
        command: String,
        /// What it said.
        output: String,
    },
    /// This server is not ours to disturb.
    #[error("{0}")]
    NotOurs(String),
    /// The Docker engine refused.
    #[error("Docker: {0}")]
    Docker(String),
    /// A file, process or socket could not be had.
    #[error("{what}: {source}")]
    Io {
        /// What was attempted.
        what: String,
        /// Why it failed.
        source: std::io::Error,
    },
}

/// As much of a log as an error shows.
const TAIL_LINES: usize = 40;

/// The last lines of a log.
pub(crate) fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}

/// Adds what was attempted to an error of the operating system.
pub(crate) trait During<T> {
    /// Names what was attempted.
    fn during(self, what: impl Into<String>) -> Result<T, ServerError>;
}

impl<T> During<T> for std::io::Result<T> {
    fn during(self, what: impl Into<String>) -> Result<T, ServerError> {
        self.map_err(|source| ServerError::Io { what: what.into(), source })
    }
}
