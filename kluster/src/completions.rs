//! completions: a script by which a shell completes this tool's command lines.

use crate::error::KlusterError;
use clap_complete::Shell;
use std::io::Write;

/// The manual of the command.
pub const MANUAL: &str = "\
Print a completion script for a shell.

For example: kluster completions bash > /etc/bash_completion.d/kluster";

/// What `completions` is asked with.
#[derive(Debug, Clone, clap::Args)]
pub struct Completions {
    /// The shell
    #[arg(value_enum)]
    pub shell: Shell,
}

impl Completions {
    /// Prints the script.
    pub fn run(&self, data: &mut dyn Write) -> Result<(), KlusterError> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut crate::cli::command(), "kluster", &mut script);
        Ok(data.write_all(&script)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_gets_a_script_that_knows_the_commands() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let mut script = Vec::new();
            Completions { shell }.run(&mut script).unwrap();
            assert!(String::from_utf8(script).unwrap().contains("sql"), "{shell}");
        }
    }
}
