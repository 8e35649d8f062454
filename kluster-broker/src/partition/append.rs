//! What is done to the batches of one produce request before the partition is locked: checked, and stamped in a copy of each header. The records
//! stay where they were received.

use super::AppendError;
use crate::batch::{self, BatchError, BatchHeader};
use crate::topic_config::TopicConfig;
use bytes::{Buf, Bytes};

/// Batches that may be stored, but for their place.
#[derive(Debug)]
pub(super) struct Prepared {
    /// As they were received.
    pub received: Bytes,
    /// Each with the bytes that are stored in place of its own, and where it begins in `received`.
    pub headers: Vec<(BatchHeader, [u8; batch::HEADER_BYTES], usize)>,
}

impl Prepared {
    /// Checks the batches as Kafka does and gives them the broker's time where the topic wants that.
    pub fn new(batches: Bytes, config: &TopicConfig, now_ms: i64) -> Result<Self, AppendError> {
        let mut headers = Vec::with_capacity(1);
        let mut at = 0;
        while at < batches.len() {
            let mut header = batch::check(&batches[at..])?;
            check_allowed(&header, &batches[at..], config, now_ms)?;
            let (mut stamped, mut records) = ([0; batch::HEADER_BYTES], &batches[at..at + header.size]);
            records.copy_to_slice(&mut stamped);
            if config.log_append_time {
                batch::stamp_append_time(&mut stamped, records, now_ms);
                header.max_timestamp = now_ms;
            }
            headers.push((header, stamped, at));
            at += header.size;
        }
        if headers.is_empty() {
            return Err(BatchError::Invalid("there is no batch").into());
        }
        Ok(Self { received: batches, headers })
    }

    /// What is stored, piece by piece: a header, its records, and so on.
    pub fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        self.headers.iter().flat_map(|(header, stamped, at)| {
            [&stamped[..], &self.received[at + batch::HEADER_BYTES..at + header.size]]
        })
    }

    /// How many offsets the batches take.
    pub fn offsets(&self) -> i64 {
        self.headers.iter().map(|(header, ..)| i64::from(header.last_offset_delta) + 1).sum()
    }

    /// How many records there are.
    pub fn records(&self) -> i64 {
        self.headers.iter().map(|(header, ..)| i64::from(header.records)).sum()
    }

    /// Gives the batches their place in the log.
    pub fn place(&mut self, mut next_offset: i64) {
        for (header, stamped, _) in &mut self.headers {
            batch::stamp_offset(stamped, next_offset);
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
