//! completions: a script by which a shell completes this tool's command lines.

use crate::error::AdminError;
use crate::output::{Output, Tone};
use clap_complete::Shell;

/// The manual of the command.
pub const MANUAL: &str = "\
Print a completion script for a shell.

For example: kluster-admin completions bash > /etc/bash_completion.d/kluster-admin";

/// What `completions` is asked with.
#[derive(Debug, Clone, clap::Args)]
pub struct Completions {
    /// The shell
    #[arg(value_enum)]
    pub shell: Shell,
}

impl Completions {
    /// Prints the script.
    pub fn run(&self, output: &mut Output) -> Result<(), AdminError> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut crate::cli::command(), "kluster-admin", &mut script);
        Ok(output.line(String::from_utf8_lossy(&script).trim_end(), Tone::Plain)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Written;
    use crate::output::Format;

    #[test]
    fn every_shell_gets_a_script_that_knows_the_commands() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let mut written = Written::default();
            Completions { shell }.run(&mut written.output(Format::Table)).unwrap();
            assert!(written.data().contains("offsets"), "{shell}");
        }
    }
}
