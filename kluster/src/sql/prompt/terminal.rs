//! Terminal: as it was found. The line is read by a thread that nobody can interrupt, so a signal that ends the program restores the terminal
//! behind its back.

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use std::io::{Write, stdin, stdout};

/// The terminal's settings before the prompt.
pub struct Terminal(Option<Termios>);

impl Terminal {
    /// Remembers what is set now.
    pub fn remember() -> Self {
        Self(tcgetattr(stdin()).ok())
    }

    /// Sets what was set then. Without a terminal there is nothing to restore.
    pub fn restore(&self) {
        let Some(settings) = &self.0 else { return };
        let changed = tcgetattr(stdin()).is_ok_and(|now| now.local_modes != settings.local_modes);
        if changed {
            let _ = tcsetattr(stdin(), OptionalActions::Now, settings);
            // Pasted text comes as it is again (xterm's bracketed paste, mode 2004), and the shell's prompt on a line of its own.
            let _ = stdout().write_all(b"\x1b[?2004l\n").and_then(|()| stdout().flush());
        }
    }
}
