//! Client: the handle. Cheap to clone; its tasks end with the last of its clones, requests and streams.

use crate::alarms::Alarms;
use crate::call::check_id;
use crate::connection::Connection;
use crate::session::Session;
use crate::{ClientError, Execute, Options, Query, Transaction, address, barrier, listener, nodes};
use kluster_log::{Log, LogSettings};
use kluster_protocol::{ClientId, Offset, Topic, partition_of};
use std::sync::Arc;
use tokio::sync::mpsc;

/// A handle of a cluster. Clones share one connection and one session.
#[derive(Debug, Clone)]
pub struct Client {
    owner: Arc<Owner>,
    session: Arc<Session>,
}

/// Ends the connection's tasks with the last handle.
#[derive(Debug)]
struct Owner(Arc<Connection>);

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Client {
    /// Connects by address: `kafka://host:9092,host2:9092`, with `/database` behind it unless it is `main`, and `?prefix=…` where the topics
    /// have one.
    pub async fn connect(address: &str) -> Result<Self, ClientError> {
        Self::connect_with(address::parse(address)?, Options::default()).await
    }

    /// Connects by settings, which every binary can take from its command line.
    pub async fn connect_with(settings: LogSettings, options: Options) -> Result<Self, ClientError> {
        let log = Log::connect(settings).await.map_err(ClientError::log)?;
        Self::over(log, options).await
    }

    /// A client over a log that is connected already. It reads where RESPONSES ends now, before anything is sent.
    pub async fn over(log: Log, options: Options) -> Result<Self, ClientError> {
        let client_id = options.client_id.clone().unwrap_or_else(|| options.ids.client());
        check_id("a client id", client_id.as_str())?;
        let partitions = log.partitions(Topic::Responses).await.map_err(ClientError::log)?;
        let partition = partition_of(client_id.as_str().as_bytes(), partitions);
        let end = log.range(Topic::Responses, partition).await.map_err(ClientError::log)?.end;
        let reader = log.read(Topic::Responses, partition, end).await.map_err(ClientError::log)?;
        let (barriers, asked) = mpsc::unbounded_channel();
        let connection = Arc::new(Connection::new(log, client_id, partition, options, barriers));
        tokio::spawn(listener::run(connection.clone(), reader, end));
        tokio::spawn(nodes::run(connection.clone()));
        tokio::spawn(barrier::run(connection.clone(), asked));
        Ok(Self { owner: Arc::new(Owner(connection)), session: Arc::default() })
    }

    /// A statement to execute on every node. Params stand as `$1`, `$2`, …
    pub fn execute(&self, sql: impl Into<String>) -> Execute {
        Execute::new(self, sql.into())
    }

    /// Statements that take effect together or not at all.
    pub fn transaction(&self) -> Transaction {
        Transaction::new(self)
    }

    /// A read. Params stand as `$1`, `$2`, …
    pub fn query(&self, sql: impl Into<String>) -> Query {
        Query::new(self, sql.into())
    }

    /// Alarms from now on: nodes that differ, answers that were missed.
    pub fn alarms(&self) -> Alarms {
        Alarms(self.connection().alarms.subscribe())
    }

    /// A handle on the same connection with a session of its own, which has seen nothing yet.
    #[must_use]
    pub fn new_session(&self) -> Self {
        Self { owner: self.owner.clone(), session: Arc::default() }
    }

    /// The highest offset that this session has seen. Another client that is told of it ([`Client::see`]) reads what this one wrote.
    pub fn seen(&self) -> Option<Offset> {
        self.session.seen()
    }

    /// From now on `session` reads are as of this offset at least.
    pub fn see(&self, offset: Offset) {
        self.session.see(offset);
    }

    /// The sender of this client's requests.
    pub fn id(&self) -> &ClientId {
        &self.connection().client_id
    }

    /// How many requests wait for answers.
    pub fn waiting(&self) -> usize {
        self.connection().pending.len()
    }

    /// Ends every wait, of all clones, with [`ClientError::Closed`], and lets none begin.
    pub fn close(&self) {
        self.connection().close();
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.owner.0
    }

    pub(crate) fn session(&self) -> &Session {
        &self.session
    }
}
