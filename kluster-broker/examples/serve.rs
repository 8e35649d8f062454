//! A broker and nothing else: `cargo run -p kluster-broker --example serve -- DIR [ADDRESS]` serves the data in DIR (on 127.0.0.1:9092) until
//! Ctrl-C, and prints the address that it listens on. `RUST_LOG` sets how much it says, `KLUSTER_BROKER_FAULTS` and
//! `KLUSTER_BROKER_DISK_FAULTS` what shall go wrong (see `fault`).

use std::error::Error;
use std::sync::Arc;

use kluster_broker::fault::Faults;
use kluster_broker::{Broker, BrokerSettings};
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let mut arguments = std::env::args().skip(1);
    let dir = arguments.next().filter(|dir| !dir.starts_with('-')).ok_or("usage: serve DIR [ADDRESS]")?;
    let mut settings = BrokerSettings::new(dir);
    if let Some(address) = arguments.next() {
        settings.listen = address.parse()?;
    }
    if let Ok(rules) = std::env::var("KLUSTER_BROKER_FAULTS") {
        settings.faults = Faults::parse(&rules)?;
    }
    if let Ok(faults) = std::env::var("KLUSTER_BROKER_DISK_FAULTS") {
        settings.disk_faults = Arc::new(faults.parse()?);
    }
    let broker = Broker::open(settings).await?;
    println!("bootstrap.servers={}", broker.address());
    tokio::signal::ctrl_c().await?;
    Ok(broker.stop().await?)
}
