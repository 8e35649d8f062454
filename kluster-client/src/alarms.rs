//! Alarms: nodes that turn out to differ after their request was answered, and answers that were missed.

use crate::answers::Answered;
use kluster_protocol::Offset;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use tokio::sync::broadcast;
use tokio::time::Instant;

/// How long an answer is remembered.
const REMEMBERED: Duration = Duration::from_secs(60);
/// How many answers are remembered at most; the oldest go first.
const AT_MOST: usize = 1 << 18;

/// Something that a person should look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Alarm {
    /// Two nodes had different chains at one offset: their data differ. Stop writing and have the nodes compared.
    Diverged {
        /// Where.
        offset: Offset,
        /// The node that answered first.
        one: Answered,
        /// The node that differs from it.
        other: Answered,
    },
    /// RESPONSES no longer held what this client had not read yet: requests in flight wait until they are asked again.
    AnswersMissed {
        /// The first place not read.
        from: Offset,
        /// Where reading goes on.
        to: Offset,
    },
    /// This receiver was too slow and lost this many alarms.
    Lost(u64),
}

/// Receives alarms from now on. Every receiver gets every alarm.
#[derive(Debug)]
pub struct Alarms(pub(crate) broadcast::Receiver<Alarm>);

impl Alarms {
    /// The next alarm; None once the client is closed.
    pub async fn next(&mut self) -> Option<Alarm> {
        match self.0.recv().await {
            Ok(alarm) => Some(alarm),
            Err(broadcast::error::RecvError::Lagged(count)) => Some(Alarm::Lost(count)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

/// The chains at the offsets that were answered lately. No I/O.
#[derive(Debug, Default)]
pub(crate) struct Witness {
    seen: BTreeMap<Offset, Answered>,
    order: VecDeque<(Instant, Offset)>,
}

impl Witness {
    /// Remembers an answer to a request of this client.
    pub(crate) fn remember(&mut self, answered: Answered, now: Instant) {
        while self.order.len() >= AT_MOST || self.order.front().is_some_and(|(at, _)| *at + REMEMBERED <= now) {
            if let Some((_, offset)) = self.order.pop_front() {
                self.seen.remove(&offset);
            }
        }
        let (Some(offset), Some(_)) = (answered.offset, &answered.chain) else {
            return;
        };
        if let std::collections::btree_map::Entry::Vacant(entry) = self.seen.entry(offset) {
            entry.insert(answered);
            self.order.push_back((now, offset));
        }
    }

    /// The alarm that this answer deserves.
    pub(crate) fn differs(&self, answered: &Answered) -> Option<Alarm> {
        let offset = answered.offset?;
        let one = self.seen.get(&offset)?;
        one.contradicts(answered).then(|| Alarm::Diverged { offset, one: one.clone(), other: answered.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(node: &str, offset: u64, chain: &str) -> Answered {
        Answered { node_id: node.into(), offset: Some(Offset::new(offset)), chain: Some(chain.to_owned()) }
    }

    #[tokio::test(start_paused = true)]
    async fn a_later_difference_is_told_for_a_minute() {
        let mut witness = Witness::default();
        let start = Instant::now();
        witness.remember(answered("n1", 7, "aa"), start);
        witness.remember(answered("n2", 7, "bb"), start);
        assert_eq!(witness.differs(&answered("n2", 7, "aa")), None);
        assert_eq!(witness.differs(&answered("n2", 8, "bb")), None);
        let Some(Alarm::Diverged { one, other, .. }) = witness.differs(&answered("n2", 7, "bb")) else { panic!() };
        assert_eq!((one.node_id.as_str(), other.node_id.as_str()), ("n1", "n2"));
        witness.remember(answered("n1", 9, "cc"), start + REMEMBERED);
        assert_eq!(witness.differs(&answered("n2", 7, "bb")), None, "forgotten");
        assert_eq!((witness.seen.len(), witness.order.len()), (1, 1));
    }
}
