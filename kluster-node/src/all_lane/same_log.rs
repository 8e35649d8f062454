//! Same log: whether ALL is still the topic that this database follows. It is asked while the node runs, not only when it starts.
//!
//! Neighbours: the lane asks before it opens a reader, for each read before its first commit, when a reader ends, and now and then while
//! nothing comes. `start` compares the record at the applied offset whenever a reader is opened.
//!
//! Invariant: no batch is committed before the broker that leads ALL has named the topic id of the state row *after* the batch's records
//! were read. An id never comes back, so these records come from that topic. Kafka's client tells nobody when it follows a topic that was
//! deleted and made again: it fetches on at its old offset. A log that keeps its id and loses its tail is seen otherwise: the client compares
//! leader epochs, and a reader ends when every broker was away, so that the record at the applied offset is compared again.

use super::AllLane;
use crate::dbms::{How, Ran};
use crate::fault::Fault;
use crate::plan::Plan;
use crate::start;
use kluster_log::Record;
use kluster_protocol::Offset;
use std::time::Duration;
use tokio::time::Instant;

/// While nothing is read, the topic id is asked for this often.
const IDLE: Duration = Duration::from_secs(5);

/// What is known of the topic.
#[derive(Debug)]
pub struct SameLog {
    /// Records were read after the last confirmation.
    unconfirmed: bool,
    /// The last confirmation or attempt at one.
    asked: Instant,
}

impl Default for SameLog {
    fn default() -> Self {
        Self { unconfirmed: true, asked: Instant::now() }
    }
}

impl SameLog {
    /// Records were read: their topic is confirmed before they are committed.
    pub(super) fn has_read(&mut self, _: &[Record]) {
        self.unconfirmed = true;
    }
}

impl AllLane {
    /// Confirms that ALL is the topic of the state row. [`Fault::Fatal`]: it is another one.
    pub(super) async fn check_topic(&mut self) -> Result<(), Fault> {
        self.same_log.asked = Instant::now();
        let found = self.log.topic_id().await.map_err(start::log_fault)?;
        start::same_topic(&self.identity.topic_id, &found)?;
        self.same_log.unconfirmed = false;
        Ok(())
    }

    /// The same while nothing is read. That the question is not answered is no fault: nothing waits for it.
    pub(super) async fn check_topic_idle(&mut self) -> Result<(), Fault> {
        if self.same_log.asked.elapsed() < IDLE {
            return Ok(());
        }
        match self.check_topic().await {
            Err(fault @ Fault::Fatal(_)) => Err(fault),
            Err(fault) => {
                tracing::debug!(node = %self.node, %fault, "the topic id of ALL cannot be asked for now");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// Why a reader has ended: first of all because ALL is another topic.
    pub(super) async fn reason_of(&mut self, error: kluster_log::LogError) -> Fault {
        match self.check_topic().await {
            Err(fault @ Fault::Fatal(_)) => fault,
            _ => start::log_fault(error),
        }
    }

    /// Executes the plan's works, and asks for the topic id meanwhile where records were read since it was known. Only what commits by itself waits
    /// for the answer. When this returns works, the topic is confirmed. None: as [`AllLane::execute`].
    pub(super) async fn execute_confirmed(
        &mut self,
        predecessor: Option<Offset>,
        plan: &Plan,
    ) -> Result<Option<Vec<Ran>>, Fault> {
        if self.same_log.unconfirmed && plan.works.iter().any(|work| work.how == How::SelfCommitting) {
            self.check_topic().await?;
        }
        if !self.same_log.unconfirmed {
            return self.execute(predecessor, plan).await;
        }
        let (log, followed) = (self.log.clone(), self.identity.topic_id.clone());
        let asking = async { start::same_topic(&followed, &log.topic_id().await.map_err(start::log_fault)?) };
        let (same, ran) = futures_util::future::join(asking, self.execute(predecessor, plan)).await;
        let ran = ran?;
        // The next claim rolls back what was executed; after a fatal fault the session ends.
        self.open |= same.is_err() && ran.is_some();
        same?;
        (self.same_log.unconfirmed, self.same_log.asked) = (false, Instant::now());
        Ok(ran)
    }
}
