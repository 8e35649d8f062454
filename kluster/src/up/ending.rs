//! ending: the first signal asks a command to drain; from then on whatever asks it to end once more ends the process at once.

use crate::error::KlusterError;
use crate::signals::{Signals, hangup_is_ignored};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// 128 + SIGINT, as shells have it.
const AT_ONCE: i32 = 130;

/// How a command ends.
#[derive(Debug)]
pub(crate) struct Ending<'a> {
    signals: &'a Signals,
    draining: CancellationToken,
}

impl<'a> Ending<'a> {
    /// Of a command that hears these signals.
    pub(crate) fn new(signals: &'a Signals) -> Self {
        let draining = CancellationToken::new();
        tokio::spawn(at_once_when_asked_again(draining.clone()));
        Self { signals, draining }
    }

    /// Does the work unless it is asked to end before: then None.
    pub(crate) async fn unless_asked<T>(
        &self,
        work: impl Future<Output = Result<T, KlusterError>>,
    ) -> Result<Option<T>, KlusterError> {
        tokio::select! {
            biased;
            done = work => done.map(Some),
            () = self.signals.asked_to_end() => {
                self.begins();
                Ok(None)
            }
        }
    }

    /// From now on the command drains: SIGTERM, SIGINT and SIGHUP end the process at once. What draining would have done, the next start does.
    pub(crate) fn begins(&self) {
        self.draining.cancel();
    }
}

async fn at_once_when_asked_again(draining: CancellationToken) {
    draining.cancelled().await;
    again().await;
    eprintln!("kluster: ended at once by a second signal: the next start does what draining would have done");
    std::process::exit(AT_ONCE);
}

/// Waits for a signal that comes from now on.
async fn again() {
    let mut terminate = signal(SignalKind::terminate()).ok();
    let mut interrupt = signal(SignalKind::interrupt()).ok();
    let mut hangup = (!hangup_is_ignored()).then(|| signal(SignalKind::hangup()).ok()).flatten();
    tokio::select! {
        () = next(&mut terminate) => {}
        () = next(&mut interrupt) => {}
        () = next(&mut hangup) => {}
    }
}

/// Where a signal cannot be listened to, it does what it always does: it ends the process.
async fn next(signal: &mut Option<Signal>) {
    let heard = match signal {
        Some(signal) => signal.recv().await,
        None => None,
    };
    if heard.is_none() {
        std::future::pending::<()>().await;
    }
}
