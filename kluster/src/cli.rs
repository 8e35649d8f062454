//! Cli: the command line, whose help is the manual.

use crate::broker::Broker;
use crate::completions::Completions;
use crate::demo::{Demo, DemoNode};
use crate::error::KlusterError;
use crate::signals::Signals;
use crate::sql::Sql;
use crate::up::Up;
use clap::{Arg, CommandFactory, FromArgMatches, Parser, Subcommand};
use kluster_log::LogSettings;
use std::ffi::OsString;
use std::path::PathBuf;

/// Kluster: ordinary SQL databases kept identical by one log.
///
/// Data go to stdout, all else to stderr.
///
/// Exit codes:
///   0 done
///   2 wrong settings, or a file that cannot be read
///   3 nodes differ: they answered one request with different chains
///   4 the log cannot be reached or used
///   5 refused: a statement that the cluster refuses
///   6 outcome open: something sent was not answered in time; what is said on stderr finds out
///   7 the output cannot be written
///   8 the address (--listen, --port) cannot be listened on
///   9 another process works in the data directory
///   10 the data directory cannot be used: not writable, or damaged
///   11 the disk is full
///   12 a node cannot start, or stopped while the others went on
///   13 the data directory holds another cluster than the one asked for
///   14 a claim of the demo did not hold
///   130 ended by Ctrl-C while it waited
///
/// KLUSTER_LOG=warn|info|debug|… says how much is logged on stderr (default error).
#[derive(Debug, Clone, Parser)]
#[command(name = "kluster", version, verbatim_doc_comment, arg_required_else_help = true)]
pub struct Cli {
    /// Settings file (TOML): the long names of the flags above the commands as keys, for example `bootstrap = "kafka:9092"`
    #[arg(long, env = "KLUSTER_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// How the log is reached.
    #[command(flatten)]
    pub log: LogSettings,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Start a whole cluster in this process: the log, three nodes on SQLite, and a prompt
    #[command(long_about = crate::up::MANUAL)]
    Up(Up),
    /// Start the log alone, for nodes that are processes of their own
    #[command(long_about = crate::broker::MANUAL)]
    Broker(Broker),
    /// Show in a minute what a cluster is good for
    #[command(long_about = crate::demo::MANUAL)]
    Demo(Demo),
    /// One node of the demo, as a process that can be killed
    #[command(hide = true)]
    DemoNode(DemoNode),
    /// Send SQL to a cluster: a prompt, or one text
    #[command(long_about = crate::sql::MANUAL)]
    Sql(Sql),
    /// Print a completion script for a shell
    #[command(long_about = crate::completions::MANUAL)]
    Completions(Completions),
}

/// The whole command line. What stands above the commands may stand behind them as well.
pub fn command() -> clap::Command {
    Cli::command().mut_args(|argument: Arg| match argument.get_id().as_str() {
        "help" | "version" => argument,
        _ => argument.global(true),
    })
}

impl Cli {
    /// Reads a command line; flags stand before the environment, that before the file named by `--config`.
    pub fn parse_from(arguments: impl IntoIterator<Item = OsString> + Clone) -> Result<Self, clap::Error> {
        let matches = kluster_node::config::with_file(command(), arguments)?;
        Self::from_arg_matches(&matches)
    }

    /// Runs the command until it is done or a signal ends it.
    pub async fn run(&self, signals: &Signals) -> Result<(), KlusterError> {
        match &self.command {
            Command::Up(up) => up.run(&self.log, signals).await,
            Command::Broker(broker) => broker.run(signals).await,
            Command::Demo(demo) => demo.run(signals).await,
            Command::DemoNode(node) => node.run(&self.log, signals).await,
            Command::Sql(sql) => sql.run(&self.log, signals).await,
            Command::Completions(completions) => completions.run(&mut std::io::stdout()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &[&str]) -> Result<Cli, String> {
        let words: Vec<OsString> = line.iter().map(OsString::from).collect();
        Cli::parse_from(words).map_err(|error| error.to_string())
    }

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn settings_of_the_log_stand_before_or_behind_the_command() {
        for line in
            [["kluster", "--bootstrap", "a:1", "sql", "select 1"], ["kluster", "sql", "select 1", "--bootstrap", "a:1"]]
        {
            assert_eq!(parse(&line).unwrap().log.bootstrap, "a:1", "{line:?}");
        }
    }

    #[test]
    fn sql_is_not_guessed_from_a_text() {
        assert!(parse(&["kluster", "select 1"]).unwrap_err().contains("unrecognized subcommand"));
    }
}
