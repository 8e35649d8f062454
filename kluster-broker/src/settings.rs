//! What a broker is told when it is opened. Every bound on what strangers may cost it is here.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::coordinator::GroupSettings;
use crate::fault::Faults;
use crate::fault::disk::DiskFaults;
use crate::frame::Patience;
use crate::topics::MOST_PARTITIONS;

/// Kafka's own default port.
pub const DEFAULT_PORT: u16 = 9092;

/// Everything [`Broker::open`](crate::Broker::open) needs to know.
#[derive(Debug, Clone)]
pub struct BrokerSettings {
    /// The data directory. It is made if it is absent, and locked while the broker is open.
    pub dir: PathBuf,
    /// Where to listen. Port 0 takes a free one; [`Broker::address`](crate::Broker::address) tells which.
    pub listen: SocketAddr,
    /// Host and port that clients are told to connect to; `None` tells them the address that is listened on.
    pub advertised: Option<(String, u16)>,
    /// Connections at a time; fewer where the system allows too few open files. One more is closed as soon as it is accepted; the others are
    /// left alone.
    pub max_connections: usize,
    /// Partitions of all topics together; fewer where the system allows too few open files. A topic that would make more is refused. What a
    /// data directory holds already is served all the same.
    pub max_partitions: usize,
    /// The largest request, in bytes (Kafka's `socket.request.max.bytes`, same default). A larger one closes its connection.
    pub max_frame_bytes: usize,
    /// Bytes of requests under way over all connections. When they are used up the broker stops reading; nothing is dropped. At least
    /// `max_frame_bytes` are granted, or the largest request could never be read.
    pub request_memory_bytes: usize,
    /// Bytes of answers on their way to clients over all connections, but for small ones. When they are used up a fetch waits. A batch that
    /// is larger than all of them takes them all.
    pub answer_memory_bytes: usize,
    /// How long a peer may leave a request half sent, or an answer half taken, before its connection is closed. An idle connection is not
    /// closed.
    pub stall: Duration,
    /// Bytes per second that a peer must send of a request, or take of an answer, once that has lasted for `stall`; else its connection is
    /// closed. As long as it takes, it holds memory that others may wait for.
    pub least_rate: usize,
    /// How long [`Broker::stop`](crate::Broker::stop) waits for requests under way.
    pub drain: Duration,
    /// Creates a topic when a client that allows it asks for the topic's metadata (Kafka's `auto.create.topics.enable`).
    pub auto_create_topics: bool,
    /// Partitions of a topic whose creator names no number (Kafka's `num.partitions`, same default).
    pub default_partitions: i32,
    /// Bounds and times of consumer groups.
    pub groups: GroupSettings,
    /// Faults on command, for tests. Without a rule they cost one atomic load for each request.
    pub faults: Faults,
    /// Faults of the disk on command, for tests.
    pub disk_faults: Arc<DiskFaults>,
}

impl BrokerSettings {
    /// The defaults, for the data in `dir`: listens on 127.0.0.1:9092.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, DEFAULT_PORT)),
            advertised: None,
            max_connections: 1_000,
            max_partitions: MOST_PARTITIONS,
            max_frame_bytes: 100 * 1024 * 1024,
            request_memory_bytes: 256 * 1024 * 1024,
            answer_memory_bytes: 128 * 1024 * 1024,
            stall: Duration::from_secs(30),
            least_rate: 1024 * 1024,
            drain: Duration::from_secs(5),
            auto_create_topics: false,
            default_partitions: 1,
            groups: GroupSettings::default(),
            faults: Faults::default(),
            disk_faults: Arc::default(),
        }
    }
    /// How long a peer may take over a frame.
    pub(crate) fn patience(&self) -> Patience {
        Patience { stall: self.stall, bytes_per_second: self.least_rate }
    }
}
