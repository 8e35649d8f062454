//! LogEnd: where ALL ends, as well as this connection knows; for `sinceOffset`, which must lie below every attempt of a request and should lie
//! close to it.
//!
//! Only places that this connection's own records got, and what it asked the log, are knowledge: other clients' answers may come from a node
//! far behind.

use kluster_log::{Log, LogError};
use kluster_protocol::{Offset, Topic};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Older knowledge is asked anew before a first attempt.
const FRESH: Duration = Duration::from_secs(1);

/// Where ALL ends.
#[derive(Debug, Default)]
pub(crate) struct LogEnd {
    known: Mutex<Option<Known>>,
    /// Held while the log is asked, so that many requests that begin at once ask once.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    /// The newest record's offset; None: ALL is empty.
    newest: Option<Offset>,
    /// The log ended there, or before, at this time.
    at: Instant,
}

impl LogEnd {
    /// A record that was handed over at `at` lies at `offset`.
    pub(crate) fn learn(&self, offset: Offset, at: Instant) {
        self.keep(Known { newest: Some(offset), at });
    }

    /// An offset below whatever is appended from now on, close to it; None while ALL is empty.
    pub(crate) async fn since(&self, log: &Log) -> Result<Option<Offset>, LogError> {
        if let Some(known) = self.fresh() {
            return Ok(known.newest);
        }
        let _asking = self.asking.lock().await;
        if let Some(known) = self.fresh() {
            return Ok(known.newest);
        }
        let at = Instant::now();
        let end = log.range(Topic::All, 0).await?.end;
        let newest = (end > Offset::ZERO).then(|| end.back(1));
        self.keep(Known { newest, at });
        Ok(self.fresh().map_or(newest, |known| known.newest))
    }

    fn keep(&self, new: Known) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let old = known.unwrap_or(new);
        *known = Some(Known { newest: old.newest.max(new.newest), at: old.at.max(new.at) });
    }

    fn fresh(&self) -> Option<Known> {
        let known = *self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.filter(|known| known.at.elapsed() <= FRESH)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kluster_log::{MemoryLog, NewRecord};

    #[tokio::test(start_paused = true)]
    async fn what_is_known_is_used_while_it_is_fresh() {
        let log = Log::memory(MemoryLog::new());
        let end = LogEnd::default();
        assert_eq!(end.since(&log).await.unwrap(), None, "empty");
        for _ in 0..3 {
            log.append(Topic::All, None, NewRecord::of("x")).await.unwrap();
        }
        assert_eq!(end.since(&log).await.unwrap(), None, "empty a moment ago");
        end.learn(Offset::ZERO, Instant::now());
        assert_eq!(end.since(&log).await.unwrap(), Some(Offset::ZERO), "lower, but fresh");
        tokio::time::advance(FRESH + Duration::from_millis(1)).await;
        assert_eq!(end.since(&log).await.unwrap(), Some(Offset::new(2)), "asked");
    }
}
