//! The embedded broker as a process that a test may kill, stop and start again: `broker-under-test DIRECTORY PORT`.

use kluster_broker::{Broker, BrokerSettings};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [directory, port] = arguments.as_slice() else {
        eprintln!("usage: broker-under-test DIRECTORY PORT");
        return ExitCode::from(2);
    };
    let Ok(port) = port.parse() else {
        eprintln!("broker-under-test: {port:?} is not a port");
        return ExitCode::from(2);
    };
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    match serve(BrokerSettings { listen, ..BrokerSettings::new(directory) }).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("broker-under-test: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(settings: BrokerSettings) -> Result<(), Box<dyn std::error::Error>> {
    let broker = Broker::open(settings).await?;
    let mut terminate = signal(SignalKind::terminate())?;
    eprintln!("broker-under-test: ready");
    terminate.recv().await;
    broker.stop().await?;
    Ok(())
}
