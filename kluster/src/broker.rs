//! broker: the log alone in the foreground; and the log inside of `up` and `demo`.
//!
//! Neighbours: `kluster-broker` is the log itself, `up::directory` says where it lies.

use crate::error::KlusterError;
use crate::signals::Signals;
use crate::up::directory::{Directory, cannot_use, comes_of_a_full_disk};
use crate::up::ending::Ending;
use crate::up::words;
use kluster_broker::fault::disk::DiskFaults;
use kluster_broker::{BrokerError, BrokerSettings, GroupSettings};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

/// The nodes of a cluster come to ONE's group at about the same time. The first waits so long for the next, so that they share the reads in
/// one round; otherwise the second round waits for a heartbeat (2 s), and reads with it.
const TOGETHER: Duration = Duration::from_millis(50);

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
    /// Faults of the log's disk, for tests: see `kluster_broker::fault::disk`
    #[arg(long, hide = true, value_name = "FAULTS", default_value = "")]
    pub disk_faults: String,
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
        let ending = Ending::new(signals);
        let directory = Directory::open(&self.place.dir)?;
        let opening = LogServer::open(&self.place, &directory);
        let Some(log) = ending.unless_asked(opening).await? else { return Ok(()) };
        eprintln!("A log on {}, its files in {}.\n{}", log.advertised(), directory.log().display(), words::DURABLE);
        words::ready_line(&format!("ready bootstrap={}", log.advertised()))?;
        tokio::select! {
            () = signals.asked_to_end() => {}
            () = log.tell_of_the_disk() => {}
        }
        ending.begins();
        eprintln!("kluster: draining");
        log.stop().await
    }
}

/// A log that serves.
#[derive(Debug)]
pub(crate) struct LogServer {
    broker: kluster_broker::Broker,
    dir: PathBuf,
}

impl LogServer {
    /// Takes the directory's lock, opens the log there and listens.
    pub(crate) async fn open(place: &Place, directory: &Directory) -> Result<Self, KlusterError> {
        let disk_faults: DiskFaults =
            place.disk_faults.parse().map_err(|error| KlusterError::Settings(format!("--disk-faults: {error}")))?;
        let settings = BrokerSettings {
            disk_faults: Arc::new(disk_faults),
            groups: GroupSettings { initial_rebalance_delay: TOGETHER, ..GroupSettings::default() },
            listen: SocketAddr::from((place.listen, place.port)),
            advertised: place.advertised()?,
            ..BrokerSettings::new(directory.log())
        };
        let broker = kluster_broker::Broker::open(settings).await.map_err(|error| cannot_open(place, error))?;
        Ok(Self { broker, dir: directory.log() })
    }

    /// Where clients of this process reach it.
    pub(crate) fn bootstrap(&self) -> String {
        let address = self.broker.address();
        let here = match address.ip() {
            IpAddr::V4(any) if any.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(any) if any.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
            named => named,
        };
        SocketAddr::from((here, address.port())).to_string()
    }

    /// Where clients of other processes reach it.
    pub(crate) fn advertised(&self) -> String {
        let (host, port) = self.broker.advertised();
        match host.parse::<Ipv6Addr>() {
            Ok(host) => format!("[{host}]:{port}"),
            Err(_) => format!("{host}:{port}"),
        }
    }

    /// Does what belongs to a start; a disk that is full ends it, for its end would not come.
    pub(crate) async fn unless_full<T>(
        &self,
        work: impl Future<Output = Result<T, KlusterError>>,
    ) -> Result<T, KlusterError> {
        let mut full = self.broker.disk_full();
        tokio::select! {
            biased;
            // The broker lives as long as this handle.
            _ = full.wait_for(|full| *full) => Err(KlusterError::DiskFull(format!(
                "the disk is full: nothing more can be written to {}; make room and start again: what was acknowledged is there",
                self.dir.display()
            ))),
            done = work => done,
        }
    }

    /// Says whenever the disk is full, and when there is room again; never ends.
    pub(crate) async fn tell_of_the_disk(&self) {
        let mut full = self.broker.disk_full();
        loop {
            // The broker lives as long as this handle.
            let _ = full.wait_for(|full| *full).await;
            eprintln!(
                "kluster: the disk is full: {} takes no writes until there is room, and then goes on by itself; make room",
                self.dir.display()
            );
            let _ = full.wait_for(|full| !*full).await;
            eprintln!("kluster: there is room on the disk again: writing goes on");
        }
    }

    /// Answers what is under way, flushes and closes the files.
    pub(crate) async fn stop(self) -> Result<(), KlusterError> {
        let closed = tokio::time::timeout(CLOSES_WITHIN, self.broker.stop()).await;
        let why = match closed {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error.to_string(),
            Err(_) => {
                format!("it took longer than {} s; what was acknowledged is on the disk", CLOSES_WITHIN.as_secs())
            }
        };
        Err(KlusterError::Directory(format!("the log did not close in order: {why}")))
    }
}

/// The log has closed after this long, or is left as a crash would leave it.
const CLOSES_WITHIN: Duration = Duration::from_secs(30);

impl Place {
    fn advertised(&self) -> Result<Option<(String, u16)>, KlusterError> {
        let Some(Advertised { host, port }) = &self.advertise else { return Ok(None) };
        match port.unwrap_or(self.port) {
            0 => Err(KlusterError::Settings(format!(
                "--advertise {host} with --port 0: nobody can know the port; name one, or advertise {host}:PORT"
            ))),
            port => Ok(Some((host.clone(), port))),
        }
    }
}

/// Why the log cannot be opened, by what the person does next.
fn cannot_open(place: &Place, error: BrokerError) -> KlusterError {
    match error {
        BrokerError::PortInUse { address } => KlusterError::Address(format!(
            "{address} is in use by another program; stop that one, or choose another port with --port (0: any that is free)"
        )),
        BrokerError::Listen { .. } => KlusterError::Address(error.to_string()),
        BrokerError::DirectoryInUse { holder, .. } => KlusterError::Locked(format!(
            "{} is in use by process {holder}; stop that one, or choose another directory with --dir",
            place.dir.display()
        )),
        BrokerError::File { path, source } => cannot_use(&path, &source),
        error if comes_of_a_full_disk(&error) => {
            KlusterError::DiskFull(format!("the disk is full: {error}; make room and start again"))
        }
        BrokerError::Damaged(_) | BrokerError::Offsets(_) => KlusterError::Directory(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_advertised_by_host_and_perhaps_port() {
        for (text, host, port) in
            [("db.example", "db.example", None), ("a:1", "a", Some(1)), ("[::1]:2", "[::1]", Some(2))]
        {
            assert_eq!(text.parse(), Ok(Advertised { host: host.into(), port }));
        }
        for wrong in ["", "a:", "a:x", "a:0", "http://a:1", ":1"] {
            assert!(wrong.parse::<Advertised>().is_err(), "{wrong}");
        }
    }
}
