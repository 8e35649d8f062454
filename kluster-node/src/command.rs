//! Command: what the binary `kluster-node` does. Reads the settings, runs the node until it is told to end, and says by the exit code why it
//! ended.
//!
//! Neighbours: `main.rs` calls it; the tests have a binary of their own that calls it too, built with the steps at which a test may stop it.

use crate::all_lane::BatchLimit;
use crate::check::CheckEvery;
use crate::config::Config;
use crate::dbms::DbmsSettings;
use crate::node::{Node, NodeError, NodeSettings};
use crate::status::Now;
use crate::step::Steps;
use kluster_protocol::Role;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// Calls that block may take this long to return when everything else has ended.
const BLOCKED: Duration = Duration::from_secs(2);

/// Runs a node by the command line and the environment of this process.
pub fn main() -> ExitCode {
    let config = Config::read();
    trace(config.node.log_json);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("kluster-node: no threads: {error}");
            return ExitCode::FAILURE;
        }
    };
    let ended = runtime.block_on(run(config));
    // A call that blocks, as one to Kafka's client may, is not waited for longer.
    runtime.shutdown_timeout(BLOCKED);
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kluster-node: {error}");
            ExitCode::from(exit_code(&error))
        }
    }
}

async fn run(config: Config) -> Result<(), NodeError> {
    let drain = CancellationToken::new();
    tokio::spawn(drain_on_signal(drain.clone()));
    let log = tokio::select! {
        biased;
        () = drain.cancelled() => return Ok(()),
        log = kluster_log::Log::connect(config.log.clone()) => log?,
    };
    let exit_when_stopped = config.node.exit_when_stopped;
    let starting = Node::start(settings(&config), log);
    let node = tokio::select! {
        biased;
        () = drain.cancelled() => return Ok(()),
        node = starting => node?,
    };
    let info = node.info();
    tracing::info!(node = config.node.node_id, dbms = info.name, version = info.version, http = ?node.http(), "started");
    if exit_when_stopped {
        let (mut status, drain) = (node.status().watch(), drain.clone());
        tokio::spawn(async move {
            let _ = status.wait_for(Now::has_stopped).await;
            drain.cancel();
        });
    }
    node.run(drain).await
}

fn settings(config: &Config) -> NodeSettings {
    let node = &config.node;
    let dbms = DbmsSettings {
        app_url: node.dbms_app.clone(),
        read_url: node.dbms_read.clone(),
        max_reads: node.max_reads,
        steps: steps(),
        ..DbmsSettings::at(&node.dbms, &node.node_id)
    };
    NodeSettings {
        role: if node.observer { Role::Observer } else { Role::Voter },
        http: node.http.0,
        trust_topics: node.trust_topics,
        development: node.development,
        declared: node.declare.clone(),
        check_every: CheckEvery { offsets: node.check_offsets, seconds: node.check_seconds },
        max_batch: max_batch(),
        ..NodeSettings::of(dbms)
    }
}

#[cfg(feature = "test-steps")]
fn steps() -> Steps {
    Steps::from_environment().unwrap_or_else(|problem| panic!("{problem}"))
}

#[cfg(not(feature = "test-steps"))]
fn steps() -> Steps {
    Steps::default()
}

#[cfg(feature = "test-steps")]
fn max_batch() -> BatchLimit {
    BatchLimit::from_environment().unwrap_or_else(|problem| panic!("{problem}"))
}

#[cfg(not(feature = "test-steps"))]
fn max_batch() -> BatchLimit {
    BatchLimit::default()
}

async fn drain_on_signal(drain: CancellationToken) {
    let mut terminate = match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(terminate) => terminate,
        Err(error) => return tracing::error!(%error, "signals cannot be received"),
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    tracing::info!("draining");
    drain.cancel();
}

fn trace(json: bool) {
    let filter = EnvFilter::try_from_env("KLUSTER_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    if json { lines.json().init() } else { lines.init() }
}

/// The documented exit codes; clap's own for wrong settings is 2.
fn exit_code(error: &NodeError) -> u8 {
    match error {
        NodeError::Http(..) => 2,
        NodeError::Log(_) | NodeError::Topics(_) => 3,
        NodeError::Dbms(_) => 4,
        NodeError::Stopped(_) => 5,
    }
}
