//! A broker from its start to its stop: the data directory is locked and recovered, the socket is bound, clients are served, requests under way
//! are answered, everything is flushed, the lock is given back.

mod error;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use kafka_protocol::messages::BrokerId;
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::api::LARGEST_ANSWER;
use crate::coordinator::Coordinator;
use crate::descriptors::{Bounds, bounds};
use crate::fault::Faults;
use crate::frame::grant_of;
use crate::frame::shape::LARGE_ELEMENTS;
use crate::partition::AppendError;
use crate::server;
use crate::settings::BrokerSettings;
use crate::topics::Topics;

pub use error::BrokerError;

/// The only broker's number. Clients are told it and never give it a meaning.
pub(crate) const NODE_ID: BrokerId = BrokerId(1);
/// One broker leads every partition for ever.
pub(crate) const LEADER_EPOCH: i32 = crate::batch::LEADER_EPOCH;

/// A broker that serves. Dropped without [`Broker::stop`], it closes its connections at once and leaves the rest to the next start's recovery.
#[derive(Debug)]
pub struct Broker {
    shared: Arc<Shared>,
    address: SocketAddr,
    connections: TaskTracker,
    accept: JoinHandle<()>,
    upkeep: JoinHandle<()>,
    /// Cuts every connection when the broker is dropped.
    cut: DropGuard,
}

/// What every connection sees.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) settings: BrokerSettings,
    pub(crate) topics: Topics,
    pub(crate) coordinator: Coordinator,
    advertised: (String, i32),
    /// One permit is one byte of a request under way.
    pub(crate) request_memory: Arc<Semaphore>,
    /// One permit is one byte of an answer on its way to a client.
    answer_memory: Arc<Semaphore>,
    /// So many there are.
    answer_bytes: usize,
    /// One permit is one element of a large request under way.
    pub(crate) large_elements: Arc<Semaphore>,
    pub(crate) stop: CancellationToken,
}

impl Shared {
    fn new(settings: BrokerSettings, topics: Topics, coordinator: Coordinator, address: SocketAddr) -> Self {
        let advertised = settings.advertised.clone().unwrap_or_else(|| (reachable(address), address.port()));
        let memory = |bytes: usize| Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS)));
        let answer_bytes = settings.answer_memory_bytes.max(LARGEST_ANSWER).min(u32::MAX as usize);
        Self {
            request_memory: memory(settings.request_memory_bytes.max(settings.max_frame_bytes)),
            answer_memory: memory(answer_bytes),
            answer_bytes,
            advertised: (advertised.0, i32::from(advertised.1)),
            large_elements: memory(LARGE_ELEMENTS),
            stop: CancellationToken::new(),
            settings,
            topics,
            coordinator,
        }
    }

    /// Host and port that clients are told to connect to.
    pub(crate) fn advertised(&self) -> (&str, i32) {
        (&self.advertised.0, self.advertised.1)
    }

    /// Waits for memory for an answer of so many bytes.
    pub(crate) async fn grant_answer(&self, bytes: usize) -> OwnedSemaphorePermit {
        grant_of(&self.answer_memory, self.answer_bytes, bytes).await
    }

    pub(crate) fn faults(&self) -> &Faults {
        &self.settings.faults
    }
}

/// What clients on this machine can connect to, where nothing better was said.
fn reachable(address: SocketAddr) -> String {
    match address.ip() {
        IpAddr::V4(any) if any.is_unspecified() => Ipv4Addr::LOCALHOST.to_string(),
        IpAddr::V6(any) if any.is_unspecified() => Ipv6Addr::LOCALHOST.to_string(),
        named => named.to_string(),
    }
}

/// The broker's time, in milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

impl Broker {
    /// Opens the data directory and serves. Says in the log what it promises: durability on this machine, and no more.
    ///
    /// # Errors
    /// When the directory or the port can't be had; each names what is wrong and what to do.
    pub async fn open(mut settings: BrokerSettings) -> Result<Self, BrokerError> {
        let wanted = Bounds { connections: settings.max_connections, partitions: settings.max_partitions };
        Bounds { connections: settings.max_connections, partitions: settings.max_partitions } = bounds(wanted);
        let recover = settings.clone();
        let opened = tokio::task::spawn_blocking(move || open(&recover)).await;
        let (topics, coordinator) =
            opened.unwrap_or_else(|panicked| std::panic::resume_unwind(panicked.into_panic()))?;
        let listener = listen(settings.listen).await?;
        let address =
            listener.local_addr().map_err(|source| BrokerError::Listen { address: settings.listen, source })?;
        let shared = Arc::new(Shared::new(settings, topics, coordinator, address));
        let (connections, cut) = (TaskTracker::new(), CancellationToken::new());
        let accept = server::accept(Arc::clone(&shared), listener, connections.clone(), cut.clone());
        let accept = tokio::spawn(accept);
        let upkeep = tokio::spawn(upkeep(Arc::clone(&shared), cut.clone()));
        info!(
            %address, dir = %shared.settings.dir.display(),
            "broker serves: durable on this machine, one process, never highly available; production is Apache Kafka"
        );
        Ok(Self { shared, address, connections, accept, upkeep, cut: cut.drop_guard() })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Host and port that clients are told to connect to.
    pub fn advertised(&self) -> (&str, u16) {
        let (host, port) = self.shared.advertised();
        (host, u16::try_from(port).unwrap_or_default())
    }

    /// Whether the disk is full, now and from now on: writes are refused then, reads go on, and writing goes on by itself when there is room.
    pub fn disk_full(&self) -> watch::Receiver<bool> {
        self.shared.topics.disk_full()
    }

    /// Stops: takes no more connections and requests, answers what is under way, flushes, and gives the directory back.
    ///
    /// # Errors
    /// When something could not be flushed. What was acknowledged is on disk all the same.
    pub async fn stop(self) -> Result<(), AppendError> {
        let Self { shared, connections, accept, upkeep, cut, .. } = self;
        shared.stop.cancel();
        shared.coordinator.drain();
        // A task that panicked has said so; there is nothing left of it to wait for.
        let _ = accept.await;
        connections.close();
        if timeout(shared.settings.drain, connections.wait()).await.is_err() {
            warn!(connections = connections.len(), "connections are cut: their requests took longer than the drain");
        }
        drop(cut);
        connections.wait().await;
        let _ = upkeep.await;
        shared.topics.close().await
    }
}

/// Recovers what the directory holds. Blocks on the disk.
fn open(settings: &BrokerSettings) -> Result<(Topics, Coordinator), BrokerError> {
    let topics = Topics::open_with(&settings.dir, Arc::clone(&settings.disk_faults), settings.max_partitions)?;
    let coordinator = Coordinator::open(&topics, settings.groups.clone())?;
    Ok((topics, coordinator))
}

async fn upkeep(shared: Arc<Shared>, cut: CancellationToken) {
    let topics = shared.topics.maintain(shared.stop.clone());
    let groups = shared.coordinator.run(shared.stop.clone());
    tokio::select! {
        _ = async { tokio::join!(topics, groups) } => {}
        () = cut.cancelled() => {}
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, BrokerError> {
    TcpListener::bind(address).await.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => BrokerError::PortInUse { address },
        _ => BrokerError::Listen { address, source },
    })
}
