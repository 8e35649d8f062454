//! Progress: a bar on a terminal, else a line at each tenth.

use crate::error::AdminError;
use crate::output::Output;
use crate::show;
use indicatif::{ProgressBar, ProgressStyle};

/// How far a load is.
pub(super) struct Progress {
    name: String,
    total: usize,
    /// None: not on a terminal.
    bar: Option<ProgressBar>,
    /// Tenths told.
    told: usize,
}

impl Progress {
    /// Of `total` statements; `bar`: stderr is a terminal.
    pub(super) fn begin(name: &str, total: usize, bar: bool) -> Self {
        let style = || ProgressStyle::with_template("{prefix} [{bar:30}] {pos}/{len} statements, {eta} left");
        let bar = bar.then(|| {
            let bar = ProgressBar::new(total as u64).with_prefix(name.to_owned());
            style().map_or_else(|_| bar.clone(), |style| bar.clone().with_style(style))
        });
        Self { name: name.to_owned(), total, bar, told: 0 }
    }

    /// So many are done.
    pub(super) fn at(&mut self, done: usize, output: &mut Output) -> Result<(), AdminError> {
        if let Some(bar) = &self.bar {
            bar.set_position(done as u64);
            return Ok(());
        }
        let tenth = done * 10 / self.total.max(1);
        if tenth > self.told {
            self.told = tenth;
            output.note(&format!("{}: {done} of {}", self.name, show::count(self.total, "statement")))?;
        }
        Ok(())
    }

    /// Takes the bar away.
    pub(super) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
