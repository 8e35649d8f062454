//! Cli: the command line, whose help is the manual.

use crate::cancel::Cancel;
use crate::completions::Completions;
use crate::doctor::Doctor;
use crate::error::AdminError;
use crate::errors::Errors;
use crate::leave::Leave;
use crate::load::Load;
use crate::offsets::Offsets;
use crate::output::{Format, Output};
use crate::resolve::Resolve;
use crate::status::Status;
use crate::tail::Tail;
use crate::topics::Topics;
use crate::verify::Verify;
use clap::{Arg, CommandFactory, FromArgMatches, Parser, Subcommand};
use kluster_log::{Log, LogSettings};
use kluster_node::report::Clock;
use std::ffi::OsString;
use std::path::PathBuf;
use tokio_util::sync::CancellationToken;

/// The operator's tool of a Kluster cluster.
///
/// The first minutes of a cluster:
///   kluster-admin topics create --development       (one broker; without --development: three)
///   kluster-node …                                  (three times)
///   kluster-admin status                            are they there, and do they hold the same data?
///   kluster-admin load shop.sql                     fill them
///   kluster-admin tail                              watch requests and answers
///   kluster-admin verify                            compare their tables, row by row where they differ
///   kluster-admin doctor                            compare versions, settings and all else that surrounds them
///
/// Data go to stdout, all else to stderr; --output json is for scripts.
///
/// Exit codes:
///   0 done, and nothing found that needs a person
///   1 a finding: topics are set wrong, a voter is not live, nodes wait for a decision, nodes have unlike surroundings, no node was ever heard of
///   2 wrong settings, or a file that cannot be read
///   3 nodes differ: their chains, or their tables, are not the same
///   4 the log cannot be reached or used
///   5 refused: a statement of the script, a load already done, a node that still runs, a decision that is not safe
///   6 outcome open: something sent was not answered in time; what is said on stderr finds out
///   7 the output cannot be written
///
/// KLUSTER_LOG=warn|info|debug|… says how much is logged on stderr (default error).
#[derive(Debug, Clone, Parser)]
#[command(name = "kluster-admin", version, verbatim_doc_comment, arg_required_else_help = true)]
pub struct Cli {
    /// Settings file (TOML): the long names of the flags above the commands as keys, for example `bootstrap = "kafka:9092"`
    #[arg(long, env = "KLUSTER_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Form of the data on stdout
    #[arg(long, short, env = "KLUSTER_OUTPUT", value_enum, default_value = "table")]
    pub output: Format,
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
    /// Create or check the topics of a database
    #[command(subcommand)]
    Topics(Topics),
    /// Show members, what they do, how far they are, and whether their chains agree
    #[command(long_about = crate::status::MANUAL)]
    Status(Status),
    /// Show how far each node and consumer group is
    #[command(long_about = crate::offsets::MANUAL)]
    Offsets(Offsets),
    /// Print requests, responses and errors as they happen
    #[command(long_about = crate::tail::MANUAL)]
    Tail(Tail),
    /// Send a script of SQL statements through ALL
    #[command(long_about = crate::load::MANUAL)]
    Load(Load),
    /// Compare schema and tables of all nodes at one offset
    #[command(long_about = crate::verify::MANUAL)]
    Verify(Verify),
    /// Show what surrounds each node, in what nodes are unlike, and what to do
    #[command(long_about = crate::doctor::MANUAL)]
    Doctor(Doctor),
    /// Take a node out of the members
    #[command(long_about = crate::leave::MANUAL)]
    Leave(Leave),
    /// Show where nodes wait for a decision, and what each met there
    #[command(long_about = crate::errors::MANUAL)]
    Errors(Errors),
    /// Decide what becomes of an offset at which nodes wait
    #[command(long_about = crate::resolve::MANUAL)]
    Resolve(Resolve),
    /// End a request that is executing, on all nodes alike
    #[command(long_about = crate::cancel::MANUAL)]
    Cancel(Cancel),
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

    /// Runs the command; `stop`: the operator has seen enough.
    pub async fn run(
        &self,
        clock: &Clock,
        output: &mut Output<'_>,
        stop: &CancellationToken,
    ) -> Result<(), AdminError> {
        if let Command::Completions(completions) = &self.command {
            return completions.run(output);
        }
        let terminal = output.progress;
        let wait = |wait: &str| drop(terminal.then(|| output.note(wait)));
        let log = Log::connect_saying(self.log.clone(), wait).await?;
        match &self.command {
            Command::Topics(topics) => topics.run(&log, output).await,
            Command::Status(status) => status.run(&log, clock, output, stop).await,
            Command::Offsets(offsets) => offsets.run(&log, clock, output).await,
            Command::Tail(tail) => tail.run(&log, output, stop).await,
            Command::Load(load) => load.run(&log, clock, output, stop).await,
            Command::Verify(verify) => verify.run(&log, clock, output, stop).await,
            Command::Doctor(doctor) => doctor.run(&log, clock, output).await,
            Command::Leave(leave) => leave.run(&log, clock, output).await,
            Command::Errors(errors) => errors.run(&log, clock, output).await,
            Command::Resolve(resolve) => resolve.run(&log, clock, output).await,
            Command::Cancel(cancel) => cancel.run(&log, clock, output).await,
            Command::Completions(completions) => completions.run(output),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn parse(line: &str) -> Result<Cli, String> {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        Cli::parse_from(words).map_err(|error| error.to_string())
    }

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn settings_of_the_log_stand_before_or_behind_the_command() {
        for line in ["kluster-admin --bootstrap a:1 -o json status", "kluster-admin status --bootstrap a:1 -o json"] {
            let cli = parse(line).unwrap();
            assert_eq!((cli.log.bootstrap.as_str(), cli.output), ("a:1", Format::Json), "{line}");
        }
    }

    #[test]
    fn the_settings_file_stands_behind_the_flags() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"bootstrap = \"file:1\"\ndatabase = \"shop\"\n").unwrap();
        let path = file.path().display().to_string();
        let cli = parse(&format!("kluster-admin topics check --config {path} --database books")).unwrap();
        assert_eq!((cli.log.bootstrap.as_str(), cli.log.database.as_str()), ("file:1", "books"));
        file.write_all(b"node-id = \"n1\"\n").unwrap();
        assert!(
            parse(&format!("kluster-admin status --config {path}")).unwrap_err().contains("no setting \"node-id\"")
        );
    }

    #[test]
    fn help_names_every_command_and_its_flags() {
        let help = command().render_long_help().to_string();
        for word in [
            "topics",
            "status",
            "offsets",
            "tail",
            "load",
            "verify",
            "doctor",
            "leave",
            "errors",
            "resolve",
            "cancel",
            "completions",
            "--bootstrap",
            "--output",
        ] {
            assert!(help.contains(word), "{word}");
        }
        let load = parse("kluster-admin load --help").unwrap_err();
        assert!(load.contains("--in-flight") && load.contains("passed over and listed"), "{load}");
    }
}
