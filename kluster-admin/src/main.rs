//! kluster-admin: reads the command line, runs the command, and says by its exit code how it ended.

use kluster_admin::cli::Cli;
use kluster_admin::output::Output;
use kluster_node::report::Clock;
use std::io::{IsTerminal, stderr, stdout};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse_from(std::env::args_os().collect::<Vec<_>>()).unwrap_or_else(|error| error.exit());
    // Warnings of the Kafka client would stand between a table's lines; KLUSTER_LOG=info shows them and more.
    let filter = EnvFilter::try_from_env("KLUSTER_LOG").unwrap_or_else(|_| EnvFilter::new("error"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr).init();
    let clock: Clock =
        Arc::new(|| SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64));
    let stop = CancellationToken::new();
    tokio::spawn(stop_on_signal(stop.clone()));
    let (mut data, mut notes) = (stdout(), stderr());
    let (screen, bar) = (data.is_terminal(), notes.is_terminal());
    let mut output = Output::new(cli.output, &mut data, &mut notes);
    output.progress = bar;
    output.screen = screen && !output.is_json();
    // https://no-color.org
    output.colour = output.screen && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    match cli.run(&clock, &mut output, &stop).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let code = error.exit_code();
            if code != 0 {
                eprintln!("kluster-admin: {error}");
            }
            ExitCode::from(code)
        }
    }
}

/// The first signal asks the command to end; a second one ends the process as any other.
async fn stop_on_signal(stop: CancellationToken) {
    if signal().await {
        stop.cancel();
        if signal().await {
            std::process::exit(130);
        }
    }
}

async fn signal() -> bool {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return false };
    tokio::select! {
        received = terminate.recv() => received.is_some(),
        received = tokio::signal::ctrl_c() => received.is_ok(),
    }
}
