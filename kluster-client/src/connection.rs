//! Connection: what all handles of one client and its tasks share.

use crate::alarms::{Alarm, Witness};
use crate::barrier::Asked;
use crate::log_end::LogEnd;
use crate::pending::Pending;
use crate::voters::Voters;
use crate::{ClientError, Options, Outcome, Ticket};
use kluster_log::{Log, LogError, NewRecord};
use kluster_protocol::{ClientId, MAX_REQUEST_BYTES, Request, header};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use tokio::sync::{broadcast, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// What all handles of one client and its tasks share.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) log: Log,
    pub(crate) client_id: ClientId,
    /// The partition of RESPONSES that this client reads.
    pub(crate) reply_partition: u32,
    pub(crate) options: Options,
    pub(crate) pending: Arc<Pending>,
    pub(crate) end: LogEnd,
    /// Where reads ask for a barrier.
    pub(crate) barriers: mpsc::UnboundedSender<Asked>,
    pub(crate) alarms: broadcast::Sender<Alarm>,
    pub(crate) witness: Mutex<Witness>,
    pub(crate) stop: CancellationToken,
    voters: Mutex<Arc<Voters>>,
    failed: OnceLock<LogError>,
}

impl Connection {
    /// How many alarms wait for a slow receiver.
    const ALARMS: usize = 64;

    pub(crate) fn new(
        log: Log,
        client_id: ClientId,
        reply_partition: u32,
        options: Options,
        barriers: mpsc::UnboundedSender<Asked>,
    ) -> Self {
        Self {
            log,
            client_id,
            reply_partition,
            pending: Arc::new(Pending::new(options.max_result_bytes)),
            options,
            end: LogEnd::default(),
            barriers,
            alarms: broadcast::Sender::new(Self::ALARMS),
            witness: Mutex::default(),
            stop: CancellationToken::new(),
            voters: Mutex::default(),
            failed: OnceLock::new(),
        }
    }

    /// The record of a request, which says where its answer goes. It has no key: on ONE a key would pin this client to one node.
    pub(crate) fn record(&self, request: &Request) -> Result<NewRecord, ClientError> {
        let value = serde_json::to_vec(request)
            .map_err(|error| ClientError::Invalid(format!("the request cannot be written as JSON: {error}")))?;
        if value.len() > MAX_REQUEST_BYTES {
            return Err(ClientError::Invalid(format!(
                "the request has {} bytes as JSON, a request has at most {MAX_REQUEST_BYTES}: split it",
                value.len()
            )));
        }
        Ok(NewRecord::of(value).header(header::REPLY_PARTITION, self.reply_partition.to_string()))
    }

    /// Who the voters are and who is gone, as last heard.
    pub(crate) fn voters(&self) -> Arc<Voters> {
        self.voters.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The nodes were heard of. Those who count are told only when something changed.
    pub(crate) fn heard(&self, voters: Voters) {
        let mut known = self.voters.lock().unwrap_or_else(PoisonError::into_inner);
        if **known == voters {
            return;
        }
        *known = Arc::new(voters);
        drop(known);
        self.pending.recount();
    }

    /// An alarm for whoever listens.
    pub(crate) fn raise(&self, alarm: Alarm) {
        tracing::error!(?alarm, "alarm");
        let _ = self.alarms.send(alarm); // nobody may listen
    }

    /// Ends the tasks and every wait.
    pub(crate) fn close(&self) {
        self.stop.cancel();
        self.pending.close();
    }

    /// The log failed for good: ends everything, and says so to everyone.
    pub(crate) fn fail(&self, error: LogError) {
        tracing::error!(%error, "the client ends");
        let _ = self.failed.set(error); // the first failure is told
        self.close();
    }

    /// The error of a request that waited when the client was closed, or came after.
    pub(crate) fn closed(&self, ticket: Option<Ticket>, outcome: Outcome) -> ClientError {
        match self.failed.get() {
            Some(source) => ClientError::Log { source: source.clone(), ticket, outcome },
            None => ClientError::Closed { ticket, outcome },
        }
    }
}

/// Waits for `at`; for ever without.
pub(crate) async fn reach(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
