//! A prepared data directory: made once in a test process, copied for each server, which is several times faster.

use std::path::{Path, PathBuf};

use rustix::process::Signal;

use crate::account::Account;
use crate::error::ServerError;
use crate::home;
use crate::process::{Launch, Process};

/// Where the data lies in a template and in a server's home.
pub(crate) const DATA: &str = "data";

/// A data directory that no server runs on.
#[derive(Debug)]
pub(crate) struct Template {
    home: PathBuf,
    /// Removes the template when the test process ends; no destructor of a static does.
    _remover: Process,
}

impl Template {
    /// Makes the directory and lets `fill` make `data` in it.
    pub(crate) fn made<F>(account: Option<Account>, fill: F) -> Result<Self, ServerError>
    where
        F: FnOnce(&Path) -> Result<(), ServerError>,
    {
        let home = home::make("kluster-template-", account)?;
        let remover = Process::spawn(&Launch {
            server: "the remover of a template",
            command: vec!["true".into()],
            environment: Vec::new(),
            home: home.clone(),
            account,
            parting_signal: "KILL",
            orderly_signal: Signal::TERM,
            ready_line: "",
        })?;
        fill(&home)?;
        Ok(Self { home, _remover: remover })
    }

    /// Copies the data into a server's home.
    pub(crate) fn copy_to(&self, home: &Path) -> Result<(), ServerError> {
        home::copy(&self.home.join(DATA), &home.join(DATA))
    }
}
