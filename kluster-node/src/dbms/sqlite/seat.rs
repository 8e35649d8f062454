//! Seat: where the session sits: on a thread of its own, fed by a channel, or inline on whichever thread calls.
//!
//! A job runs to its end even when nobody waits for it any more; what it leaves open is rolled back by the next job.

use super::Session;
use crate::fault::{Cause, Fault};
use rusqlite::InterruptHandle;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// The session, if one is open. Only one job holds it at a time.
type Slot = Arc<Mutex<Option<Session>>>;
type Job = Box<dyn FnOnce() + Send>;

/// Deep expressions and triggers recurse on the C stack; SQLite's own limits (`SQLITE_LIMIT_EXPR_DEPTH`, `…_TRIGGER_DEPTH`) are made for 8 MiB.
const STACK_BYTES: usize = 8 * 1024 * 1024;

/// Where the session sits.
#[derive(Debug)]
pub(super) struct Seat {
    slot: Slot,
    /// None: inline.
    worker: Option<Sender<Job>>,
    /// Of the session on the seat; apart, for a job holds the slot while it runs.
    handle: Interrupt,
}

/// See [`crate::dbms::Interrupt`].
#[derive(Clone, Default)]
pub struct Interrupt(Arc<Mutex<Option<InterruptHandle>>>);

impl std::fmt::Debug for Interrupt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Interrupt")
    }
}

impl Interrupt {
    /// Ends what the session is executing.
    pub fn send(&self) {
        if let Some(handle) = &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            handle.interrupt();
        }
    }

    /// It is for this session from now on.
    pub(super) fn is_for(&self, session: &Session) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(session.conn.get_interrupt_handle());
    }
}

impl Seat {
    /// An empty seat.
    pub fn new(inline: bool) -> Result<Self, super::OpenError> {
        let worker = match inline {
            true => None,
            false => Some(
                worker().map_err(|error| super::OpenError::Unreachable(format!("no thread for SQLite: {error}")))?,
            ),
        };
        Ok(Self { slot: Slot::default(), worker, handle: Interrupt::default() })
    }

    /// Gives a seat whose thread ended (a job panicked) another thread. Its session is still there, for [`super::connect`] to close.
    pub async fn renew(&mut self) -> std::io::Result<()> {
        if self.on_slot(|_| ()).await.is_err() {
            self.worker = Some(worker()?);
        }
        Ok(())
    }

    /// Ends what the session on this seat is executing.
    pub fn interrupt(&self) -> Interrupt {
        self.handle.clone()
    }

    /// Jobs run on the calling thread.
    pub fn is_inline(&self) -> bool {
        self.worker.is_none()
    }

    /// Runs `job` on the session.
    pub async fn on<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Session) -> T + Send + 'static,
    ) -> Result<T, Fault> {
        self.on_slot(|slot| slot.as_mut().map(job)).await?.ok_or_else(closed)
    }

    /// Runs `job` on the session on this very thread.
    pub fn here<T>(&self, job: impl FnOnce(&mut Session) -> T) -> Result<T, Fault> {
        hold(&self.slot).as_mut().map(job).ok_or_else(closed)
    }

    /// Runs `job` where the session belongs.
    pub async fn on_slot<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Option<Session>) -> T + Send + 'static,
    ) -> Result<T, Fault> {
        let Some(worker) = &self.worker else {
            return Ok(job(&mut hold(&self.slot)));
        };
        let (reply, replied) = oneshot::channel();
        let slot = self.slot.clone();
        let job = Box::new(move || drop(reply.send(job(&mut hold(&slot)))));
        worker.send(job).map_err(|_| closed())?;
        replied.await.map_err(|_| closed())
    }

    /// Closes the session; its transaction, if any, is rolled back.
    pub async fn close(self) {
        // Nothing to do when it is gone already.
        self.on_slot(|slot| drop(slot.take())).await.ok();
    }

    /// See [`super::Sqlite::orphan`].
    pub fn orphan(&self) -> Orphan {
        Orphan { slot: self.slot.clone() }
    }
}

fn worker() -> std::io::Result<Sender<Job>> {
    let (jobs, queue) = channel::<Job>();
    let thread = std::thread::Builder::new().name("sqlite".into()).stack_size(STACK_BYTES);
    thread.spawn(move || queue.into_iter().for_each(|job| job()))?;
    Ok(jobs)
}

fn hold(slot: &Slot) -> MutexGuard<'_, Option<Session>> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

fn closed() -> Fault {
    Fault::Lost(Cause::new("closed", "the session with SQLite is closed"))
}

/// The session of a node, which a simulation keeps beside it. A killed node's session goes on living as it would in a database server: with
/// its transaction open, until it is committed, rolled back or dropped. Taken from a living node, it leaves the node with a lost
/// connection.
#[derive(Debug)]
pub struct Orphan {
    slot: Slot,
}

impl Orphan {
    /// Whether a transaction is open.
    pub fn is_open(&self) -> bool {
        hold(&self.slot).as_ref().is_some_and(Session::is_open)
    }

    /// From now on the file may grow to so many pages only, at least to those it has: as on a disk that is full.
    pub fn limit_pages(&self, pages: u32) -> rusqlite::Result<()> {
        let limit =
            |session: &Session| session.conn.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()));
        hold(&self.slot).as_ref().map_or(Ok(()), limit)
    }

    /// Sends the COMMIT that the node might have sent, and ends the session; true: the transaction took effect.
    pub fn commit(self) -> bool {
        hold(&self.slot).take().is_some_and(|session| session.is_open() && matches!(session.commit(1), Ok(None)))
    }

    /// Ends the session as the server does when it sees that its client is gone.
    pub fn rollback(self) {
        drop(hold(&self.slot).take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_thread_that_ended_is_a_lost_connection_until_renewed() {
        let mut seat = Seat::new(false).unwrap();
        let ended = seat.on_slot(|_| panic!("a job panics, as this test wants")).await;
        assert!(matches!(ended, Err(Fault::Lost(_))));
        assert!(matches!(seat.on_slot(|_| ()).await, Err(Fault::Lost(_))));
        seat.renew().await.unwrap();
        assert_eq!(seat.on_slot(|slot| slot.is_none()).await, Ok(true));
    }
}
