//! Merged: several topics as one stream of records.
//!
//! Invariants
//! 1. What was there before comes first, by the broker's times across topics (and in order within each partition).
//! 2. Cancel-safe: a dropped future loses no record.

use crate::source::Source;
use futures_util::future::select_all;
use kluster_log::{LogError, Record};
use kluster_protocol::Topic;

/// Several topics as one stream.
pub(super) struct Merged {
    lanes: Vec<Lane>,
}

struct Lane {
    source: Source,
    /// The next record of the past, taken and not passed on yet.
    head: Option<Record>,
    past_read: bool,
}

impl Merged {
    pub(super) fn of(sources: Vec<Source>) -> Self {
        let lane = |source| Lane { source, head: None, past_read: false };
        Self { lanes: sources.into_iter().map(lane).collect() }
    }

    /// The next record; None: the past is read and `follow` is false.
    pub(super) async fn next(&mut self, follow: bool) -> Result<Option<(Topic, Record)>, LogError> {
        if let Some(past) = self.past().await? {
            return Ok(Some(past));
        }
        if !follow || self.lanes.is_empty() {
            return Ok(None);
        }
        let lanes = self.lanes.iter_mut().map(|lane| {
            Box::pin(async move {
                let topic = lane.source.topic;
                lane.source.next().await.map(|record| Some((topic, record)))
            })
        });
        select_all(lanes).await.0
    }

    /// The oldest record of the past that was not passed on yet.
    async fn past(&mut self) -> Result<Option<(Topic, Record)>, LogError> {
        for lane in &mut self.lanes {
            if lane.head.is_none() && !lane.past_read {
                lane.head = lane.source.past().await?;
                lane.past_read = lane.head.is_none();
            }
        }
        let time = |lane: &&mut Lane| lane.head.as_ref().map_or(i64::MAX, |record| record.timestamp_ms);
        let oldest = self.lanes.iter_mut().filter(|lane| lane.head.is_some()).min_by_key(time);
        Ok(oldest.and_then(|lane| lane.head.take().map(|record| (lane.source.topic, record))))
    }
}
