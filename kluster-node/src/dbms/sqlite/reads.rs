//! Reads: the door of ONE. Read-only connections, several at once, each read in one snapshot whose first query reads the state row.
//!
//! Neighbours: the ONE lane asks. A read runs on a blocking thread and waits while its receiver is behind; `inline`, it runs on the calling
//! thread, its rows go to memory and a spool file, and are sent when the snapshot has ended.

use super::address::Address;
use super::reader::{Reader, lost};
use super::{Read, ReadError, ReadEvent};
use crate::rows::Rows;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;
use tokio_util::sync::{CancellationToken, DropGuard};

/// The door for reads.
#[derive(Debug, Clone)]
pub struct Reads {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    address: Address,
    inline: bool,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Reader>>,
}

impl Reads {
    pub(super) fn new(address: Address, max_reads: usize, inline: bool) -> Self {
        let permits = Arc::new(Semaphore::new(max_reads.max(1)));
        Self { inner: Arc::new(Inner { address, inline, permits, idle: Mutex::default() }) }
    }

    /// See [`super::super::Reads::read`].
    pub async fn read(&self, read: &Read, events: &Sender<ReadEvent>) -> Result<(), ReadError> {
        let permit = self.inner.permits.clone().acquire_owned().await;
        let permit = permit.map_err(|_| ReadError::Lost("the door for reads is closed".into()))?;
        if self.inner.inline {
            return self.read_inline(read, events).await;
        }
        let (gone, _guard) = cancel_on_drop();
        let (inner, read, events) = (self.inner.clone(), read.clone(), events.clone());
        let runtime = tokio::runtime::Handle::current();
        let ran = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let closed = events.clone();
            let stops = gone.clone();
            inner.with_reader(|reader| {
                let send = |event| send(&runtime, &events, &gone, event);
                reader.read(&read, move || stops.is_cancelled() || closed.is_closed(), send)
            })
        });
        ran.await.map_err(|error| ReadError::Lost(error.to_string()))?
    }

    async fn read_inline(&self, read: &Read, events: &Sender<ReadEvent>) -> Result<(), ReadError> {
        let mut spooled = Spooled::default();
        let closed = events.clone();
        let ran =
            self.inner.with_reader(|reader| reader.read(read, move || closed.is_closed(), |event| spooled.add(event)));
        for (event, rows) in spooled.parts {
            let send = async |event| events.send(event).await.map_err(|_| ReadError::Abandoned);
            send(event).await?;
            for row in rows.into_rows().map_err(spool_error)? {
                send(ReadEvent::Row(row.map_err(spool_error)?)).await?;
            }
        }
        ran
    }
}

/// Events, each with the rows that follow it.
#[derive(Default)]
struct Spooled {
    parts: Vec<(ReadEvent, Rows)>,
}

impl Spooled {
    fn add(&mut self, event: ReadEvent) -> Result<(), ReadError> {
        match (event, self.parts.last_mut()) {
            (ReadEvent::Row(row), Some((_, rows))) => rows.push(row).map_err(spool_error),
            (event, _) => {
                self.parts.push((event, Rows::default()));
                Ok(())
            }
        }
    }
}

fn spool_error(error: std::io::Error) -> ReadError {
    ReadError::Lost(format!("the spool file of a large result: {error}"))
}

/// The token is cancelled when the guard is dropped, that is when nobody waits any more.
fn cancel_on_drop() -> (CancellationToken, DropGuard) {
    let token = CancellationToken::new();
    (token.clone(), token.drop_guard())
}

fn send(
    runtime: &tokio::runtime::Handle,
    events: &Sender<ReadEvent>,
    gone: &CancellationToken,
    event: ReadEvent,
) -> Result<(), ReadError> {
    match events.try_send(event) {
        Ok(()) => Ok(()),
        Err(TrySendError::Closed(_)) => Err(ReadError::Abandoned),
        Err(TrySendError::Full(event)) => runtime.block_on(async {
            tokio::select! {
                sent = events.send(event) => sent.map_err(|_| ReadError::Abandoned),
                () = gone.cancelled() => Err(ReadError::Abandoned),
            }
        }),
    }
}

impl Inner {
    /// Lends a reader that no one else has; it comes back unless its connection failed.
    fn with_reader(&self, read: impl FnOnce(&mut Reader) -> Result<(), ReadError>) -> Result<(), ReadError> {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let reader = idle().pop();
        let mut reader = match reader {
            Some(reader) => reader,
            None => Reader::open(&self.address.path, self.inline).map_err(|error| lost(&error))?,
        };
        let ran = read(&mut reader);
        if !matches!(ran, Err(ReadError::Lost(_))) && reader.reset().is_ok() {
            idle().push(reader);
        }
        ran
    }
}
