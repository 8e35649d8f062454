//! kluster: reads the command line, runs the command, and says by its exit code how it ended.

use kluster::cli::Cli;
use kluster::signals::Signals;
use std::io::{IsTerminal, stderr};
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse_from(std::env::args_os().collect::<Vec<_>>()).unwrap_or_else(|error| error.exit());
    // Warnings of the Kafka client would stand between a table's lines; KLUSTER_LOG=info shows them and more. Alarms of our own client are said
    // by the command.
    let quiet = || EnvFilter::new("error,kluster_client::connection=off");
    let filter = EnvFilter::try_from_env("KLUSTER_LOG").unwrap_or_else(|_| quiet());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr).with_ansi(stderr().is_terminal()).init();
    match cli.run(&Signals::listen()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let code = error.exit_code();
            if code != 0 {
                eprintln!("kluster: {error}");
            }
            ExitCode::from(code)
        }
    }
}
