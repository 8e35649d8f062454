//! What is done to the batches of one produce request before the partition is locked: checked, copied, stamped.

use super::AppendError;
use crate::batch::{self, BatchError, BatchHeader};
use crate::topic_config::TopicConfig;

/// Batches that may be stored, but for their place.
#[derive(Debug)]
pub(super) struct Prepared {
    pub bytes: Vec<u8>,
    /// Each with where it begins in `bytes`.
    pub headers: Vec<(BatchHeader, usize)>,
}

impl Prepared {
    /// Checks the batches as Kafka does and gives them the broker's time where the topic wants that.
    pub fn new(batches: &[u8], config: &TopicConfig, now_ms: i64) -> Result<Self, AppendError> {
        let mut headers = Vec::with_capacity(1);
        let mut at = 0;
        while at < batches.len() {
            let header = batch::check(&batches[at..])?;
            check_allowed(&header, &batches[at..], config, now_ms)?;
            headers.push((header, at));
            at += header.size;
        }
        if headers.is_empty() {
            return Err(BatchError::Invalid("there is no batch").into());
        }
        let mut bytes = batches.to_vec();
        if config.log_append_time {
            for (header, at) in &mut headers {
                batch::stamp_append_time(&mut bytes[*at..*at + header.size], now_ms);
                header.max_timestamp = now_ms;
            }
        }
        Ok(Self { bytes, headers })
    }

    /// How many offsets the batches take.
    pub fn offsets(&self) -> i64 {
        self.headers.iter().map(|(header, _)| i64::from(header.last_offset_delta) + 1).sum()
    }

    /// How many records there are.
    pub fn records(&self) -> i64 {
        self.headers.iter().map(|(header, _)| i64::from(header.records)).sum()
    }

    /// Gives the batches their place in the log.
    pub fn place(&mut self, mut next_offset: i64) {
        for (header, at) in &mut self.headers {
            batch::stamp_offset(&mut self.bytes[*at..*at + header.size], next_offset);
            header.base_offset = next_offset;
            next_offset = header.next_offset();
        }
    }
}

fn check_allowed(header: &BatchHeader, batch: &[u8], config: &TopicConfig, now_ms: i64) -> Result<(), AppendError> {
    if header.control() {
        return Err(AppendError::Control);
    }
    if header.transactional() {
        return Err(AppendError::Transactional);
    }
    if header.size > config.max_message_bytes {
        return Err(AppendError::TooLarge { size: header.size, limit: config.max_message_bytes });
    }
    batch::check_produced(header, batch, config.compact)?;
    check_time(header, config, now_ms)
}

fn check_time(header: &BatchHeader, config: &TopicConfig, now_ms: i64) -> Result<(), AppendError> {
    if header.log_append_time() {
        return Err(AppendError::Timestamp("a producer may not set the timestamp type LogAppendTime".into()));
    }
    if config.log_append_time || header.max_timestamp < 0 {
        return Ok(());
    }
    let after = header.max_timestamp.saturating_sub(now_ms);
    let before = now_ms.saturating_sub(header.base_timestamp);
    if after > config.timestamp_after_max_ms {
        let (time, limit) = (header.max_timestamp, config.timestamp_after_max_ms);
        return Err(AppendError::Timestamp(format!(
            "timestamp {time} is {after} ms after the broker's time; message.timestamp.after.max.ms is {limit}"
        )));
    }
    if before > config.timestamp_before_max_ms {
        let (time, limit) = (header.base_timestamp, config.timestamp_before_max_ms);
        return Err(AppendError::Timestamp(format!(
            "timestamp {time} is {before} ms before the broker's time; message.timestamp.before.max.ms is {limit}"
        )));
    }
    Ok(())
}
