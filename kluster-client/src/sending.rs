//! Sending: gets one request into ALL and sends it again as long as its answer is missing, always the same record, so it is executed once.

use crate::Outcome;
use kluster_log::{Appended, Log, LogError, NewRecord};
use kluster_protocol::{Offset, Topic};
use std::fmt;
use std::pin::Pin;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// A request that is in the log and not answered is sent again after this time: a node may have left the answer out.
const AGAIN: Duration = Duration::from_secs(60);
/// The first pause after a failed append; doubled each time.
const PAUSE: Duration = Duration::from_millis(100);
/// The longest pause.
const LONGEST: Duration = Duration::from_secs(5);

/// An append under way.
pub(crate) type Flying = Pin<Box<dyn Future<Output = Result<Appended, LogError>> + Send>>;

/// The pause after so many failures in a row.
pub(crate) fn pause(failures: u32) -> Duration {
    (PAUSE * 2_u32.saturating_pow(failures.min(10))).min(LONGEST)
}

/// One request on its way into ALL.
pub(crate) struct Sending {
    log: Log,
    record: NewRecord,
    state: State,
    failures: u32,
    /// An attempt is in the log, or may be.
    open: bool,
}

enum State {
    Flying(Flying, Instant),
    Resting(Instant),
    Over,
}

/// The request is in the log.
pub(crate) struct Placed {
    pub(crate) offset: Offset,
    /// When it was handed over.
    pub(crate) at: Instant,
}

impl Sending {
    /// To be sent at the first step.
    pub(crate) fn new(log: Log, record: NewRecord) -> Self {
        Self { log, record, state: State::Resting(Instant::now()), failures: 0, open: false }
    }

    /// Goes on until an attempt is in the log. Failures that pass are tried again; the others are final. Cancel-safe.
    pub(crate) async fn step(&mut self) -> Result<Placed, LogError> {
        loop {
            match &mut self.state {
                State::Over => std::future::pending().await,
                State::Resting(until) => {
                    // Asked first, for a sleep takes a millisecond even when its time has come.
                    if Instant::now() < *until {
                        sleep_until(*until).await;
                    }
                    let append = self.log.append_now(Topic::All, Some(0), self.record.clone());
                    self.state = State::Flying(Box::pin(append), Instant::now());
                }
                State::Flying(append, at) => {
                    let (result, at) = (append.await, *at);
                    if let Some(end) = self.landed(result, at) {
                        return end;
                    }
                }
            }
        }
    }

    fn landed(&mut self, result: Result<Appended, LogError>, at: Instant) -> Option<Result<Placed, LogError>> {
        match result {
            Ok(placed) => {
                (self.open, self.failures) = (true, 0);
                self.state = State::Resting(Instant::now() + AGAIN);
                Some(Ok(Placed { offset: placed.offset, at }))
            }
            Err(
                error @ (LogError::NotAppended { .. } | LogError::OutcomeOpen { .. } | LogError::Unreachable { .. }),
            ) => {
                self.open |= !matches!(error, LogError::NotAppended { .. });
                tracing::debug!(%error, "append failed; trying again");
                self.state = State::Resting(Instant::now() + pause(self.failures));
                self.failures += 1;
                None
            }
            Err(error) => {
                self.state = State::Over;
                Some(Err(error))
            }
        }
    }

    /// Nothing more is sent.
    pub(crate) fn enough(&mut self) {
        self.state = State::Over;
        self.open = true;
    }

    /// Whether the request can have taken effect.
    pub(crate) fn outcome(&self) -> Outcome {
        match self.open || matches!(self.state, State::Flying(..)) {
            true => Outcome::Open,
            false => Outcome::NoEffect,
        }
    }
}

impl fmt::Debug for Sending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sending").field("outcome", &self.outcome()).finish_non_exhaustive()
    }
}
