//! Signals: what the process is told from outside, for each command to understand in its own way.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// SIGTERM and SIGHUP ask the process to end; SIGINT (Ctrl-C) ends whatever is awaited.
#[derive(Debug, Clone)]
pub struct Signals {
    terminate: CancellationToken,
    interrupts: watch::Sender<u64>,
}

impl Signals {
    /// Listens to the signals of this process from now on.
    pub fn listen() -> Self {
        let signals = Self::silent();
        let hangup = (!hangup_is_ignored()).then(SignalKind::hangup);
        for kind in [SignalKind::terminate()].into_iter().chain(hangup) {
            let terminate = signals.terminate.clone();
            on_each(kind, move || terminate.cancel());
        }
        let interrupts = signals.interrupts.clone();
        on_each(SignalKind::interrupt(), move || interrupts.send_modify(|count| *count += 1));
        signals
    }

    /// Hears of no signal of the process, only what it is told by [`Signals::interrupt`] and [`Signals::terminate`].
    pub fn silent() -> Self {
        Self { terminate: CancellationToken::new(), interrupts: watch::Sender::new(0) }
    }

    /// Cancelled once the process is asked to end.
    pub fn terminated(&self) -> &CancellationToken {
        &self.terminate
    }

    /// Ends at the next Ctrl-C after this call.
    pub fn interrupted(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut interrupts = self.interrupts.subscribe();
        async move {
            if interrupts.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// How often Ctrl-C was pressed so far.
    pub fn interrupts(&self) -> u64 {
        *self.interrupts.borrow()
    }

    /// Ends once Ctrl-C was pressed more often than `before` times, or the process is asked to end.
    pub async fn ended_since(&self, before: u64) {
        let mut interrupts = self.interrupts.subscribe();
        tokio::select! {
            () = self.terminate.cancelled() => {}
            // The sender lives as long as this handle.
            _ = interrupts.wait_for(|count| *count > before) => {}
        }
    }

    /// Ends when the process is asked to end, in whatever way.
    pub async fn asked_to_end(&self) {
        let interrupted = self.interrupted();
        tokio::select! {
            () = self.terminate.cancelled() => {}
            () = interrupted => {}
        }
    }

    /// As if Ctrl-C had been pressed.
    pub fn interrupt(&self) {
        self.interrupts.send_modify(|count| *count += 1);
    }

    /// As if SIGTERM had come.
    pub fn terminate(&self) {
        self.terminate.cancel();
    }
}

/// Whether SIGHUP was ignored when the process started, as `nohup` has it, and is so still.
pub(crate) fn hangup_is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).map(str::trim);
    let mask = ignored.and_then(|mask| u64::from_str_radix(mask, 16).ok());
    // The lowest bit is signal 1, SIGHUP.
    mask.is_some_and(|mask| mask & 1 == 1)
}

fn on_each(kind: SignalKind, mut act: impl FnMut() + Send + 'static) {
    // Where a signal cannot be listened to, it does what it always does: it ends the process.
    let Ok(mut stream) = signal(kind) else { return };
    tokio::spawn(async move {
        while stream.recv().await.is_some() {
            act();
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_wait_ends_at_the_next_interrupt_and_not_at_an_earlier_one() {
        let signals = Signals::silent();
        signals.interrupt();
        let interrupted = signals.interrupted();
        tokio::pin!(interrupted);
        assert!(futures_util::poll!(&mut interrupted).is_pending());
        signals.interrupt();
        interrupted.await;
    }

    #[tokio::test]
    async fn an_interrupt_before_the_wait_counts_where_it_is_asked_for() {
        let signals = Signals::silent();
        let before = signals.interrupts();
        signals.interrupt();
        signals.ended_since(before).await;
        let ended = signals.ended_since(signals.interrupts());
        tokio::pin!(ended);
        assert!(futures_util::poll!(&mut ended).is_pending());
        signals.terminate();
        ended.await;
    }

    #[tokio::test]
    async fn both_signals_ask_the_process_to_end() {
        let signals = Signals::silent();
        let ending = signals.asked_to_end();
        signals.terminate();
        ending.await;
        assert!(signals.terminated().is_cancelled());
    }
}
