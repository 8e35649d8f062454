//! screen: where the story is told: in colour and with pauses on a terminal, else in plain lines without.

use super::Speed;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{IsTerminal, Write, stdout};
use std::time::Duration;

/// How long a person looks at a chapter.
const LOOK: Duration = Duration::from_secs(3);

const BOLD: &str = "\x1b[1m";
const GREEN: &str = "\x1b[32m";
const RED: &str = "\x1b[31m";
const END: &str = "\x1b[0m";

/// Where the story is told.
#[derive(Debug)]
pub(super) struct Screen {
    colour: bool,
    terminal: bool,
    speed: Speed,
    chapter: usize,
}

impl Screen {
    /// On stdout, as it is.
    pub(super) fn new(speed: Speed) -> Self {
        let terminal = stdout().is_terminal();
        // https://no-color.org
        let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let speed = if terminal { speed } else { Speed::Fast };
        Self { colour, terminal, speed, chapter: 0 }
    }

    /// Whether a person follows.
    pub(super) fn is_slow(&self) -> bool {
        self.speed == Speed::Normal
    }

    /// The next chapter; a person has a look at the one before first.
    pub(super) async fn chapter(&mut self, title: &str) -> std::io::Result<()> {
        if self.chapter > 0 && self.is_slow() {
            tokio::time::sleep(LOOK).await;
        }
        self.chapter += 1;
        let title = self.painted(BOLD, &format!("{}. {title}", self.chapter));
        writeln!(stdout(), "\n{title}")
    }

    /// A plain line.
    pub(super) fn line(&mut self, text: &str) -> std::io::Result<()> {
        writeln!(stdout(), "   {text}")
    }

    /// A claim that was checked and held.
    pub(super) fn held(&mut self, text: &str) -> std::io::Result<()> {
        let text = self.painted(GREEN, text);
        writeln!(stdout(), "   {text}")
    }

    /// Something breaks.
    pub(super) fn breaks(&mut self, text: &str) -> std::io::Result<()> {
        let text = self.painted(RED, text);
        writeln!(stdout(), "   {text}")
    }

    fn painted(&self, colour: &str, text: &str) -> String {
        if self.colour { format!("{colour}{text}{END}") } else { text.to_owned() }
    }

    /// A bar from one place of the log to another; without a terminal there is none.
    pub(super) fn bar(&self, from: u64, to: u64) -> ProgressBar {
        if !self.terminal {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::new(to.saturating_sub(from));
        let style = ProgressStyle::with_template("   [{bar:40}] {pos} of {len} records");
        style.map_or_else(|_| bar.clone(), |style| bar.clone().with_style(style))
    }
}
