//! Deleting from the front: by request (DeleteRecords), by age, by size. Whole segments go; the log's start is durable before they do. On a full
//! disk, where it cannot be written, the segments go first: the next start finds the log's start in the name of the first one left.

use super::log::Log;
use super::recovery::remove_segment;
use super::segment::{Extent, log_path};
use super::state::State;
use super::{AppendError, DeleteError, Offsets, Partition, storage_error};
use crate::topic_config::TopicConfig;
use std::time::UNIX_EPOCH;

impl Partition {
    /// Deletes the records before `offset` (DeleteRecords); −1 means the high watermark. Returns the new log start, which is durable. Blocks on
    /// the disk.
    ///
    /// # Errors
    /// The offset is beyond the high watermark, the topic's policy forbids it, or the disk failed.
    pub fn delete_before(&self, offset: i64) -> Result<i64, DeleteError> {
        if !self.config().delete {
            return Err(DeleteError::Policy);
        }
        let mut files = self.files()?;
        let Offsets { log_start, high_watermark, .. } = self.offsets();
        let wanted = if offset == -1 { high_watermark } else { offset };
        if !(0..=high_watermark).contains(&wanted) {
            return Err(DeleteError::OutOfRange { asked: offset, log_start, high_watermark });
        }
        let log_start = self.start_at(&mut files, wanted)?;
        self.remove_before_start()?;
        Ok(log_start)
    }

    /// Deletes what is too old or too much, by the topic's settings. Blocks on the disk.
    ///
    /// # Errors
    /// The disk failed.
    pub(super) fn retain(&self, now_ms: i64) -> Result<(), AppendError> {
        let config = self.config();
        if !config.delete {
            return Ok(());
        }
        let mut files = self.files()?;
        let start = expired_to(&mut self.log(), &config, now_ms)?;
        self.start_at(&mut files, start)?;
        self.remove_before_start()
    }

    /// Moves the log's start to `offset`, durably, unless it is there already; returns where it is.
    fn start_at(&self, files: &mut State, offset: i64) -> Result<i64, AppendError> {
        let (dir, disk, log_start) = {
            let log = self.log();
            (log.dir.clone(), log.disk.clone(), log.log_start)
        };
        let offset = offset.max(log_start);
        if offset <= files.log_start {
            return Ok(log_start);
        }
        let moved = State { log_start: offset, ..*files };
        let store = || moved.store(&dir, &disk).map_err(|error| storage_error(&dir, &error));
        let mut stored = store();
        while matches!(stored, Err(AppendError::DiskFull(_))) && self.remove_oldest(offset)? {
            stored = store();
        }
        stored?;
        *files = moved;
        self.log().log_start = offset;
        Ok(offset)
    }

    /// Removes the segments that end before the log's start. The caller holds `files`.
    fn remove_before_start(&self) -> Result<(), AppendError> {
        let log_start = self.offsets().log_start;
        while self.remove_oldest(log_start)? {}
        Ok(())
    }

    /// Removes the first segment if it ends before `offset`; whether it did. The caller holds `files`.
    fn remove_oldest(&self, offset: i64) -> Result<bool, AppendError> {
        {
            let mut log = self.log();
            if log.closed.is_empty() || log.base_after(0) > offset {
                return Ok(false);
            }
            log.log_start = log.log_start.max(log.base_after(0));
            let base_offset = log.closed.remove(0).extent.base_offset;
            log.gone.push(base_offset);
        }
        self.remove_gone()?;
        Ok(true)
    }

    /// Removes the files of segments that are gone. What fails is tried again in the next round of upkeep, and by the next start. The caller holds
    /// `files`.
    pub(super) fn remove_gone(&self) -> Result<(), AppendError> {
        let (dir, disk, gone) = {
            let log = self.log();
            (log.dir.clone(), log.disk.clone(), log.gone.clone())
        };
        if !gone.is_empty() {
            // What was put in their place must be there first.
            disk.sync_dir(&dir).map_err(|error| storage_error(&dir, &error))?;
        }
        for base_offset in gone {
            remove_segment(&dir, &disk, base_offset).map_err(|error| storage_error(&dir, &error))?;
            self.log().gone.retain(|base| *base != base_offset);
        }
        Ok(())
    }
}

/// Where the log starts without the segments that are too old or too much. Kafka's rules: from the front, while the segment's newest record is
/// too old, or while what would be left is still as large as the limit; nothing above the high watermark; the active segment is closed for it.
fn expired_to(log: &mut Log, config: &TopicConfig, now_ms: i64) -> Result<i64, AppendError> {
    let mut excess = config.retention_bytes.map_or(0, |limit| log.size().saturating_sub(limit));
    let mut start = log.log_start;
    let mut expired = |log: &Log, extent: &Extent| {
        let by_size = extent.size > 0 && excess >= extent.size;
        let by_time = |limit| now_ms.saturating_sub(newest_time(log, extent)) > limit;
        excess = excess.saturating_sub(extent.size);
        extent.next_offset <= log.high_watermark && (by_size || config.retention_ms.is_some_and(by_time))
    };
    for index in 0..log.closed.len() {
        if !expired(log, &log.closed[index].extent) {
            return Ok(start);
        }
        start = start.max(log.base_after(index));
    }
    let active = log.active.extent;
    if active.size > 0 && expired(log, &active) {
        log.roll()?;
        start = log.log_end();
    }
    Ok(start)
}

/// A segment's largest timestamp; of one without any, when its file was last written.
fn newest_time(log: &Log, extent: &Extent) -> i64 {
    if extent.max_timestamp >= 0 {
        return extent.max_timestamp;
    }
    let modified = std::fs::metadata(log_path(&log.dir, extent.base_offset)).and_then(|file| file.modified());
    let since = modified.ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    since.map_or(i64::MAX, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
