//! Outage: the memory log as one that cannot be reached, or that answers as a broker in trouble does; on command.

use super::MemoryLog;
use crate::{LogError, Range, Trouble};
use kluster_protocol::{Offset, Topic};
use std::collections::BTreeMap;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// What is wrong at present.
#[derive(Debug, Default)]
pub(super) struct Outage {
    away: Option<Instant>,
    /// Rises whenever all readers are ended.
    ends: u64,
    stalled: Option<Duration>,
    /// What whoever reads these topics is told.
    errors: BTreeMap<Topic, LogError>,
    /// So many questions yet are answered with this end.
    hidden: Option<(u32, Offset)>,
}

/// Outages on command.
impl MemoryLog {
    /// From now on nobody reaches the log: questions and appends fail, readers get nothing and say why.
    pub fn go_away(&self) {
        self.outage().away.get_or_insert_with(Instant::now);
    }

    /// The log can be reached again.
    pub fn come_back(&self) {
        self.outage().away = None;
        Topic::EACH.into_iter().for_each(|topic| self.wake(topic));
    }

    /// Every reader that is open now, of a group or not, ends as unreachable: as when the broker goes while a reader asks what an error means.
    pub fn end_readers(&self) {
        self.outage().ends += 1;
        Topic::EACH.into_iter().for_each(|topic| self.wake(topic));
    }

    /// Whoever reads this topic, or asks for its range, is told this error; none: no more.
    pub fn refuse(&self, topic: Topic, error: Option<LogError>) {
        match error {
            Some(error) => self.outage().errors.insert(topic, error),
            None => self.outage().errors.remove(&topic),
        };
        self.wake(topic);
    }

    /// Readers find that the last stable offset stays behind for so long.
    pub fn stall(&self, time: Option<Duration>) {
        self.outage().stalled = time;
    }

    /// The next so many questions for a range are told this end, as by a new leader that does not know its end yet.
    pub fn hide_end(&self, questions: u32, end: Offset) {
        self.outage().hidden = Some((questions, end));
    }
}

/// For the parts.
impl MemoryLog {
    /// How often all readers were ended: a reader made at another number is ended.
    pub(super) fn ends(&self) -> u64 {
        self.outage().ends
    }

    pub(super) fn is_away(&self) -> bool {
        self.outage().away.is_some()
    }

    pub(super) fn trouble(&self) -> Option<Trouble> {
        let away = self.outage().away?;
        Some(Trouble { lasting: away.elapsed(), reason: "away on command".to_owned() })
    }

    pub(super) fn stalled_for(&self) -> Option<Duration> {
        self.outage().stalled
    }

    /// An error while the log is away.
    pub(super) fn reach(&self, doing: &str) -> Result<(), LogError> {
        match self.is_away() {
            true => Err(unreachable(doing, "away on command")),
            false => Ok(()),
        }
    }

    /// An error while readers of the topic are refused.
    pub(super) fn admits(&self, topic: Topic) -> Result<(), LogError> {
        self.outage().errors.get(&topic).map_or(Ok(()), |error| Err(error.clone()))
    }

    /// The range as it is told.
    pub(super) fn told(&self, range: Range) -> Range {
        let mut outage = self.outage();
        let Some((left, end)) = outage.hidden else { return range };
        outage.hidden = (left > 1).then_some((left - 1, end));
        Range { end, ..range }
    }

    fn outage(&self) -> MutexGuard<'_, Outage> {
        self.shared.outage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn unreachable(doing: &str, reason: &str) -> LogError {
    LogError::Unreachable { doing: doing.to_owned(), reason: reason.to_owned() }
}
