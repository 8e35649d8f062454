//! Opening a partition: what a crash left is made whole, and nothing else is touched.
//!
//! All segments but the last are complete and durable (see `log`), so only the last one is read, from its recovery point on: the extent in its
//! index file. A torn end is cut off, also where the power failed when a later page of it was written and an earlier one was not. Any other damage
//! before good batches is never cut: the partition is refused, and the error says what can be done.

use super::checkpoint::Snapshot;
use super::log::Log;
use super::producers::Producers;
use super::scan::{Scan, ScanError, find_batch, has_unwritten_page};
use super::segment::{Extent, Holes, Segment, index_path, log_path, stored_index};
use super::state::State;
use super::{PartitionError, clock_ms};
use crate::batch::BatchHeader;
use crate::disk::{Disk, UNPLACED};
use crate::topic_config::TopicConfig;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The end of the last segment that is checked at every start, even if it is known to be durable: what was written last is damaged first.
const CHECKED_BYTES: u64 = 16 << 20;

/// Opens the partition in `dir`, which exists.
pub(super) fn recover(dir: &Path, disk: &Disk, config: &TopicConfig) -> Result<(Log, State), PartitionError> {
    let io = |source| PartitionError::Io { path: dir.to_owned(), source };
    let stored = State::load(dir)?;
    let mut bases = list_segments(dir, disk).map_err(io)?;
    let first = bases.first().copied();
    let mut state = stored.unwrap_or_else(|| State { log_start: first.unwrap_or(0), compacted_to: 0 });
    if !config.compact {
        // On a full disk the segments went before the start could be written. Compaction leaves no such trace: it may take a first segment away.
        state.log_start = state.log_start.max(first.unwrap_or(0));
    }
    remove_deleted(dir, disk, &mut bases, state.log_start).map_err(io)?;
    let interval = config.index_interval_bytes;
    remove_unbegun(dir, disk, &mut bases, interval)?;
    let last = bases.pop();
    let closed = open_closed(dir, disk, bases, interval, config.compact || state.compacted_to > 0)?;
    if let (Some(before), Some(base)) = (closed.last(), last) {
        check_apart(dir, before, base)?;
    }
    let snapshot = Snapshot::load(dir);
    let mut producers = producers_before(dir, disk, &closed, interval, &snapshot)?;
    let active = match last {
        Some(base) => recover_last(dir, disk, base, interval, snapshot.offset, &mut producers)?,
        None => Segment::create(disk, dir, state.log_start).map_err(io)?,
    };
    let mut log = Log::new(dir, disk, closed, active, state.log_start);
    if log.log_end() < snapshot.offset {
        // What the snapshot knows was cut off. It must not be believed later either, when the log has grown again.
        Snapshot::remove(dir, disk).map_err(io)?;
        producers = all_producers(&mut log, interval)?;
    }
    let unknown = |extent: &&Extent| extent.next_offset > snapshot.offset;
    let extents = log.closed.iter().map(|closed| &closed.extent).chain([&log.active.extent]);
    log.since_checkpoint = extents.filter(unknown).map(|extent| extent.size).sum();
    log.first_timestamp = first_timestamp(&log.active);
    log.producers = producers;
    start_within(&mut log, &state)?;
    Ok((log, state))
}

/// Base offsets of the segments, rising. What was never put in its place is removed, and indexes of segments that are gone.
fn list_segments(dir: &Path, disk: &Disk) -> io::Result<Vec<i64>> {
    let (mut bases, mut indexes) = (Vec::new(), Vec::new());
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let base = || path.file_stem()?.to_str()?.parse::<i64>().ok();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some(UNPLACED) => disk.remove(&path)?,
            Some("log") => bases.extend(base()),
            Some("index") => indexes.extend(base()),
            _ => {}
        }
    }
    for orphan in indexes.iter().filter(|base| !bases.contains(base)) {
        disk.remove(&index_path(dir, *orphan))?;
    }
    bases.sort_unstable();
    Ok(bases)
}

/// Removes segments that end before the log's start: a crash came between the decision and the deed.
fn remove_deleted(dir: &Path, disk: &Disk, bases: &mut Vec<i64>, log_start: i64) -> io::Result<()> {
    while bases.get(1).is_some_and(|next| *next <= log_start) {
        remove_segment(dir, disk, bases.remove(0))?;
    }
    Ok(())
}

/// Removes the empty files of rolls that failed, behind the segment that grew on: that one is the last. A roll that succeeded left a segment that
/// is whole and ends at the next one's base or, after compaction, before it.
fn remove_unbegun(dir: &Path, disk: &Disk, bases: &mut Vec<i64>, interval: u64) -> Result<(), PartitionError> {
    let io = |source| PartitionError::Io { path: dir.to_owned(), source };
    let mut filled = bases.len();
    while filled > 0 && disk.open(&log_path(dir, bases[filled - 1])).and_then(|file| file.len()).map_err(io)? == 0 {
        filled -= 1;
    }
    let (Some(before), Some(next)) = (filled.checked_sub(1).map(|last| bases[last]), bases.get(filled)) else {
        return Ok(());
    };
    if grew_beyond(dir, disk, before, *next, interval)? {
        for base in bases.drain(filled..).rev() {
            tracing::warn!(file = %log_path(dir, base).display(), "removed: it is empty, and the segment before it goes on behind its offset");
            remove_segment(dir, disk, base).map_err(io)?;
        }
    }
    Ok(())
}

/// Whether anything was written into this segment behind the base offset of the next one, be it torn.
fn grew_beyond(dir: &Path, disk: &Disk, base: i64, next: i64, interval: u64) -> Result<bool, PartitionError> {
    let path = log_path(dir, base);
    let io = |source| PartitionError::Io { path: path.clone(), source };
    let file = Arc::new(disk.open(&path).map_err(io)?);
    let length = file.len().map_err(io)?;
    let (index, extent) = stored_index(dir, base, &file, length);
    let mut segment = Segment { extent, index, file };
    if let Err(error @ ScanError::Io(_)) = segment.grow(length, Holes::Allowed, interval, |_| {}) {
        return Err(segment.damage(error));
    }
    let Extent { next_offset, size, .. } = segment.extent;
    Ok(next_offset > next || next_offset == next && size < length)
}

/// Opens the closed segments. What compaction had put into the one before and not yet removed goes.
fn open_closed(
    dir: &Path,
    disk: &Disk,
    bases: Vec<i64>,
    interval: u64,
    compacted: bool,
) -> Result<Vec<Extent>, PartitionError> {
    let mut closed: Vec<Extent> = Vec::new();
    for base in bases {
        let extent = Segment::open_closed(disk, dir, base, interval)?.extent;
        match closed.last() {
            // Without compaction two segments never share offsets: removing one could remove what was acknowledged.
            Some(before) if !compacted && before.next_offset < extent.next_offset => check_apart(dir, before, base)?,
            Some(before) if before.next_offset > base => {
                tracing::warn!(file = %log_path(dir, base).display(), "removed: its records are in the segment before");
                let io = |source| PartitionError::Io { path: dir.to_owned(), source };
                remove_segment(dir, disk, base).map_err(io)?;
                continue;
            }
            _ => {}
        }
        closed.push(extent);
    }
    Ok(closed)
}

fn check_apart(dir: &Path, before: &Extent, base: i64) -> Result<(), PartitionError> {
    let end = before.next_offset;
    if end <= base { Ok(()) } else { Err(PartitionError::Overlap { file: log_path(dir, base), end }) }
}

/// Removes the files of a segment, durably.
pub(super) fn remove_segment(dir: &Path, disk: &Disk, base_offset: i64) -> io::Result<()> {
    disk.remove(&log_path(dir, base_offset))?;
    disk.remove(&index_path(dir, base_offset))?;
    disk.sync_dir(dir)
}

/// Reads the last segment from its recovery point, cuts a torn end, makes the rest durable.
fn recover_last(
    dir: &Path,
    disk: &Disk,
    base_offset: i64,
    interval: u64,
    producers_from: i64,
    producers: &mut Producers,
) -> Result<Segment, PartitionError> {
    let path = log_path(dir, base_offset);
    let io = |source| PartitionError::Io { path: path.clone(), source };
    let file = Arc::new(disk.open(&path).map_err(io)?);
    let length = file.len().map_err(io)?;
    let (mut index, known) = stored_index(dir, base_offset, &file, length);
    let extent = index.cut(base_offset, known.size.saturating_sub(CHECKED_BYTES) + 1);
    let mut segment = Segment { extent, index, file };
    let now_ms = clock_ms();
    let mut add = |header: &BatchHeader| {
        if header.base_offset >= producers_from {
            producers.add(header, now_ms);
        }
    };
    scan_headers(&segment, producers_from, extent.size, &mut add).map_err(|error| segment.damage(error))?;
    if let Err(error) = segment.grow(length, Holes::None, interval, add) {
        cut_torn_end(&segment, length, known.size, error)?;
    }
    if segment.extent.size < known.size || known.size == 0 {
        // It knows what is no more, and must not be believed when the log has grown again.
        disk.remove(&index_path(dir, base_offset)).map_err(io)?;
    }
    // The broker may have ended because an fdatasync failed: what is read here is then in memory, and a sync would find nothing to write.
    segment.file.write_again(known.size..segment.extent.size).map_err(io)?;
    segment.file.sync().and_then(|()| disk.sync_dir(dir)).map_err(io)?;
    Ok(segment)
}

/// Shows every batch from the one that holds `offset` up to byte `end`.
fn scan_headers(
    segment: &Segment,
    offset: i64,
    end: u64,
    each: &mut impl FnMut(&BatchHeader),
) -> Result<(), ScanError> {
    let begin = segment.index.position_of(segment.extent.base_offset, offset);
    let mut scan = Scan::new(&segment.file, begin, end);
    while let Some((header, _)) = scan.next_batch()? {
        each(&header);
    }
    Ok(())
}

/// Cuts the file where the good batches end, if nothing good follows, or if what follows was never confirmed: an fdatasync that had confirmed it
/// would have written the empty page before it too. What lies before the recovery point, `durable`, was written once.
fn cut_torn_end(segment: &Segment, length: u64, durable: u64, error: ScanError) -> Result<(), PartitionError> {
    let ScanError::Damaged { position, error: reason } = &error else { return Err(segment.damage(error)) };
    let (file, offset) = (&segment.file, segment.extent.next_offset);
    let io = |source| PartitionError::Io { path: file.path().to_owned(), source };
    let valid_again = find_batch(file, position + 1, length, offset).map_err(io)?;
    if let Some(again) = valid_again
        && (*position < durable || !has_unwritten_page(file, *position, again, length).map_err(io)?)
    {
        return Err(error.within(file, offset, valid_again));
    }
    tracing::warn!(
        file = %file.path().display(), position, offset, bytes = length - position, %reason,
        "torn end cut off: a crash came while these bytes were written, or the last batch was damaged"
    );
    file.cut(*position).map_err(io)
}

/// Producers of the closed segments, from the snapshot on.
fn producers_before(
    dir: &Path,
    disk: &Disk,
    closed: &[Extent],
    interval: u64,
    snapshot: &Snapshot,
) -> Result<Producers, PartitionError> {
    let mut producers = snapshot.producers.clone();
    let now_ms = clock_ms();
    for extent in closed.iter().filter(|extent| extent.next_offset > snapshot.offset) {
        let segment = Segment::open_closed(disk, dir, extent.base_offset, interval)?;
        let mut add = |header: &BatchHeader| {
            if header.base_offset >= snapshot.offset {
                producers.add(header, now_ms);
            }
        };
        scan_headers(&segment, snapshot.offset, extent.size, &mut add).map_err(|error| segment.damage(error))?;
    }
    Ok(producers)
}

/// Producers of the whole log.
fn all_producers(log: &mut Log, interval: u64) -> Result<Producers, PartitionError> {
    let mut producers = Producers::default();
    let now_ms = clock_ms();
    let mut next = i64::MIN;
    while let Some(segment) = log.segment_of(next, interval)? {
        scan_headers(segment, i64::MIN, segment.extent.size, &mut |header| producers.add(header, now_ms))
            .map_err(|error| segment.damage(error))?;
        next = segment.extent.next_offset;
    }
    Ok(producers)
}

fn first_timestamp(active: &Segment) -> Option<i64> {
    let mut scan = Scan::new(&active.file, 0, active.extent.size);
    let first = scan.next_batch().ok()??.0.max_timestamp;
    (first >= 0).then_some(first)
}

/// A log that ends before its start has lost what lay between: it goes on, empty, at its start.
fn start_within(log: &mut Log, state: &State) -> Result<(), PartitionError> {
    let log_end = log.log_end();
    if log_end >= state.log_start {
        return Ok(());
    }
    let dir: PathBuf = log.dir.clone();
    tracing::error!(
        dir = %dir.display(), log_end, log_start = state.log_start,
        "the log ends before its start: records were lost; it goes on at its start"
    );
    let io = |source| PartitionError::Io { path: dir.clone(), source };
    log.active = Segment::create(&log.disk, &dir, state.log_start).map_err(io)?;
    for base in list_segments(&dir, &log.disk).map_err(io)?.into_iter().filter(|base| *base < state.log_start) {
        remove_segment(&dir, &log.disk, base).map_err(io)?;
    }
    log.closed.clear();
    log.high_watermark = state.log_start;
    Ok(())
}
