//! What is still to be done when a test, or its whole process, is over, however it ends.

use rustix::process::Signal;

use crate::error::ServerError;
use crate::home;
use crate::process::{Launch, Process};

/// Runs a shell command when it is dropped, or when the test process is gone, even killed with -9.
#[derive(Debug)]
pub struct Parting {
    _watchdog: Process,
}

impl Parting {
    /// The command runs at the end only. It gets a few seconds.
    pub fn command(command: &str) -> Result<Self, ServerError> {
        let script = format!("trap '{}; exit' TERM; while :; do sleep 5 & wait; done", command.replace('\'', "'\\''"));
        let watchdog = Process::spawn(&Launch {
            server: "a parting command",
            command: vec!["sh".into(), "-c".into(), script.into()],
            environment: Vec::new(),
            home: home::make("kluster-parting-", None)?,
            account: None,
            parting_signal: "TERM",
            orderly_signal: Signal::TERM,
            ready_line: "",
        })?;
        Ok(Self { _watchdog: watchdog })
    }
}
