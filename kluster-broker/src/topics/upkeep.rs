//! What is done behind the requests: retention, compaction, checkpoints, and the flush of what was acknowledged before it was durable.

use super::Topics;
use crate::partition::{AppendError, Partition};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Between two rounds without a reason. Kafka's log.cleaner.backoff.ms; its retention has five minutes.
const INTERVAL: Duration = Duration::from_secs(15);
/// Where flush.messages is above 1, the disk follows after this, or flush.ms if that is shorter.
const FLUSH_AFTER: Duration = Duration::from_secs(1);

impl Topics {
    /// Retention, compaction, checkpoints and late flushes, until told to stop.
    pub async fn maintain(&self, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.keep_rounds() => {}
            () = self.keep_flushing() => {}
        }
    }

    async fn keep_rounds(&self) {
        loop {
            let topics = self.clone();
            let round = tokio::task::spawn_blocking(move || topics.upkeep(crate::partition::clock_ms()));
            if let Err(error) = round.await {
                tracing::error!(%error, "upkeep of the topics ended early; it is tried again");
            }
            tokio::select! {
                () = self.0.backing.upkeep.grown.notified() => {}
                () = tokio::time::sleep(INTERVAL) => {}
            }
        }
    }

    async fn keep_flushing(&self) {
        loop {
            self.0.backing.upkeep.unsynced.notified().await;
            let shortest = self.topics().values().map(|topic| topic.config.flush_ms).min().unwrap_or(i64::MAX);
            let flush_after = u64::try_from(shortest).map_or(FLUSH_AFTER, Duration::from_millis).min(FLUSH_AFTER);
            tokio::time::sleep(flush_after).await;
            for partition in self.partitions() {
                partition.flush();
            }
        }
    }

    /// One round at this time: retention, compaction and checkpoints of every partition where they are due. Blocks on the disk. What fails is
    /// logged and tried again in the next round.
    pub fn upkeep(&self, now_ms: i64) {
        for partition in self.partitions() {
            if let Err(error) = partition.upkeep(now_ms) {
                tracing::error!(%error, "upkeep of a partition failed; it is tried again");
            }
        }
    }

    fn partitions(&self) -> Vec<Partition> {
        self.topics().values().flat_map(|topic| topic.partitions.clone()).collect()
    }

    /// Makes everything durable, writes the recovery points, ends all writing, and gives the directory back.
    ///
    /// # Errors
    /// The first partition whose disk failed; the others are closed all the same.
    pub async fn close(&self) -> Result<(), AppendError> {
        let partitions = self.partitions();
        let close = move || partitions.iter().map(Partition::close).fold(Ok(()), Result::and);
        let closed = tokio::task::spawn_blocking(close).await;
        // A thread that has just synced may keep a partition, and so the lock, for a moment more.
        let released = self.0.backing.lock.release().map_err(|error| AppendError::Storage(error.to_string()));
        closed.unwrap_or_else(|error| Err(AppendError::Storage(error.to_string()))).and(released)
    }
}
