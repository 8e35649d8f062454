//! ending: once a command drains, whatever asks it to end once more ends the process at once.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// 128 + SIGINT, as shells have it.
const AT_ONCE: i32 = 130;

/// From the moment that `draining` is cancelled, SIGTERM, SIGINT and SIGHUP end the process at once. What draining would have done, the next
/// start does.
pub(crate) fn at_once_when_asked_again(draining: CancellationToken) {
    tokio::spawn(async move {
        draining.cancelled().await;
        again().await;
        eprintln!("kluster: ended at once by a second signal: the next start does what draining would have done");
        std::process::exit(AT_ONCE);
    });
}

/// Waits for a signal that comes from now on.
async fn again() {
    let mut terminate = signal(SignalKind::terminate()).ok();
    let mut interrupt = signal(SignalKind::interrupt()).ok();
    let mut hangup = signal(SignalKind::hangup()).ok();
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
