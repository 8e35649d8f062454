//! A person at a terminal: a pseudo terminal in which a program runs, keys that are pressed, and what is seen.

use crate::cluster::PATIENCE;
use rexpect::session::{Options, PtySession, spawn_with_options};
use std::fmt;

/// Up arrow, as xterm sends it.
pub const UP: &str = "\x1b[A";

/// Someone at a terminal.
pub struct Person(PtySession);

impl fmt::Debug for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Person").finish_non_exhaustive()
    }
}

impl Person {
    /// Sits down before this program.
    pub fn before(command: std::process::Command) -> Self {
        let patience = u64::try_from(PATIENCE.as_millis()).ok();
        let options = Options::new().timeout_ms(patience).strip_ansi_escape_codes(true);
        Self(spawn_with_options(command, options).expect("a pseudo terminal can be opened"))
    }

    /// Presses these keys.
    pub fn press(&mut self, keys: &str) {
        self.0.send(keys).expect("the terminal takes keys");
        self.0.flush().expect("the terminal takes keys");
    }

    /// Presses a letter with Ctrl.
    pub fn ctrl(&mut self, letter: char) {
        self.0.send_control(letter).expect("the terminal takes keys");
    }

    /// Types a line and presses Enter.
    pub fn types(&mut self, line: &str) {
        self.press(&format!("{line}\r"));
    }

    /// Waits until this is seen; gives what was seen before it.
    #[track_caller]
    pub fn sees(&mut self, text: &str) -> String {
        // rexpect takes each byte for a character.
        let bytes: String = text.bytes().map(char::from).collect();
        match self.0.exp_string(&bytes) {
            Ok(before) => before,
            Err(error) => panic!("{text:?} is not seen: {error}"),
        }
    }

    /// Waits until something of this form (a regular expression) is seen; gives it.
    #[track_caller]
    pub fn sees_any(&mut self, form: &str) -> String {
        let bytes: String = form.bytes().map(char::from).collect();
        match self.0.exp_regex(&bytes) {
            Ok((_, seen)) => seen,
            Err(error) => panic!("{form:?} is not seen: {error}"),
        }
    }

    /// Waits for the program's end; its exit code.
    #[track_caller]
    pub fn leaves(&mut self) -> i32 {
        self.0.exp_eof().expect("the program ends");
        let status = format!("{:?}", self.0.process().wait().expect("the program can be awaited"));
        // rexpect gives a type of a crate that it does not publish: `Exited(Pid(17), 0)`.
        let code = status.strip_prefix("Exited(").and_then(|rest| rest.rsplit(", ").next()?.strip_suffix(')'));
        code.and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("it ended as {status}"))
    }
}
