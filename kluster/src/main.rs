//! kluster: reads the command line, runs the command, and says by its exit code how it ended.

use kluster::cli::Cli;
use kluster::signals::Signals;
use std::io::{IsTerminal, stderr};
use std::process::ExitCode;
use std::time::Duration;
use tracing_subscriber::EnvFilter;

/// Calls that block, as some to Kafka's client do, may take this long to return when everything else has ended; then the process ends.
const BLOCKED: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("kluster: no threads: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(run());
    runtime.shutdown_timeout(BLOCKED);
    code
}

async fn run() -> ExitCode {
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
