//! Options: what a client can be told about itself. Nothing here changes what a request does, only how it is waited for.

use kluster_protocol::{ClientId, MessageId};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What a client can be told about itself.
#[derive(Debug, Clone)]
pub struct Options {
    /// The sender of all requests; with a request's id the key under which it takes effect once. None: a fresh one for each connection.
    /// Give one only if retries must be recognised after a restart of this process.
    pub client_id: Option<ClientId>,
    /// How long a request waits unless it says otherwise. Default: 30 s.
    pub timeout: Duration,
    /// How many bytes the result of one request may take in memory. Default: 256 MiB. [`Query::stream`](crate::Query::stream) holds only
    /// what has not been taken yet.
    pub max_result_bytes: usize,
    /// A voter not heard of for so long counts as gone. Default: 5 s, five heartbeats.
    pub gone_after: Duration,
    /// Where ids come from.
    pub ids: Ids,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            client_id: None,
            timeout: Duration::from_secs(30),
            max_result_bytes: 256 << 20,
            gone_after: Duration::from_secs(5),
            ids: Ids::default(),
        }
    }
}

/// Makes the ids of requests (and of clients that are not given one). The default makes UUIDv7, so that ids sort by time; a simulation gives
/// its own, and then nothing in a client depends on chance or on the wall clock.
#[derive(Clone)]
pub struct Ids(Arc<dyn Fn() -> String + Send + Sync>);

impl Ids {
    /// Ids made by `make`. No two may be equal, over all clients of a cluster.
    pub fn made_by(make: impl Fn() -> String + Send + Sync + 'static) -> Self {
        Self(Arc::new(make))
    }

    pub(crate) fn message(&self) -> MessageId {
        MessageId::new((self.0)())
    }

    pub(crate) fn client(&self) -> ClientId {
        ClientId::new(format!("client-{}", (self.0)()))
    }
}

impl Default for Ids {
    fn default() -> Self {
        Self::made_by(|| uuid::Uuid::now_v7().to_string())
    }
}

impl fmt::Debug for Ids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ids")
    }
}
