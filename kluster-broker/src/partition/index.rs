//! The sparse index of a segment: where to begin reading for an offset or a time. Kept in memory for the segment being written; written beside
//! each segment, where it is also the record of what is known to be durable and whole ("recovery point").
//!
//! File: entries of 16 bytes, then a footer with the segment's [`Extent`] and a CRC-32C of everything before. Anything wrong with it, or with its
//! agreement with the log, and it is made anew from the log; so it is never fsynced.

use super::segment::Extent;

const ENTRY_BYTES: usize = 16;
const FOOTER_BYTES: usize = 40;
const FORMAT: u32 = 0x4b42_4901;

/// A batch that can be found without reading those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    /// Of its first record, from the segment's base offset.
    offset: u32,
    /// In the file.
    position: u32,
    /// Largest timestamp of all batches before it, in milliseconds.
    time_before: i64,
}

/// Entries by rising offset, position and time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Index {
    entries: Vec<Entry>,
}

impl Index {
    /// Notes the batch that follows `extent`, if the last noted one lies `interval` bytes or more before it.
    pub fn note(&mut self, extent: &Extent, base_offset: i64, interval: u64) {
        let last = self.entries.last().map_or(0, |entry| u64::from(entry.position));
        if extent.size < last.saturating_add(interval) || extent.size == 0 {
            return;
        }
        let offset = u32::try_from(base_offset - extent.base_offset);
        let (Ok(offset), Ok(position)) = (offset, u32::try_from(extent.size)) else { return };
        self.entries.push(Entry { offset, position, time_before: extent.max_timestamp });
    }

    /// Where to begin reading for this offset.
    pub fn position_of(&self, base_offset: i64, offset: i64) -> u64 {
        let after = self.entries.partition_point(|entry| base_offset.saturating_add(entry.offset.into()) <= offset);
        self.entries[..after].last().map_or(0, |entry| entry.position.into())
    }

    /// Where to begin reading for the first batch that reaches this time.
    pub fn position_of_time(&self, timestamp_ms: i64) -> u64 {
        let after = self.entries.partition_point(|entry| entry.time_before < timestamp_ms);
        self.entries[..after].last().map_or(0, |entry| entry.position.into())
    }

    /// Forgets what lies at `position` or after it; returns the extent up to the last entry that stays, where the log can be read on.
    pub fn cut(&mut self, base_offset: i64, position: u64) -> Extent {
        self.entries.truncate(self.entries.partition_point(|entry| u64::from(entry.position) < position));
        let Some(last) = self.entries.pop() else { return Extent::empty(base_offset) };
        let next_offset = base_offset.saturating_add(last.offset.into());
        Extent { base_offset, next_offset, size: last.position.into(), max_timestamp: last.time_before }
    }

    /// Offset and position of the last noted batch.
    pub fn last(&self, base_offset: i64) -> Option<(i64, u64)> {
        let last = self.entries.last()?;
        Some((base_offset.saturating_add(last.offset.into()), last.position.into()))
    }

    /// As written beside the segment, of which `extent` is durable.
    pub fn encode(&self, extent: &Extent) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.entries.len() * ENTRY_BYTES + FOOTER_BYTES);
        for entry in self.entries.iter().take_while(|entry| u64::from(entry.position) < extent.size) {
            bytes.extend(entry.offset.to_be_bytes());
            bytes.extend(entry.position.to_be_bytes());
            bytes.extend(entry.time_before.to_be_bytes());
        }
        bytes.extend(FORMAT.to_be_bytes());
        for field in [extent.base_offset, extent.next_offset, extent.size.cast_signed(), extent.max_timestamp] {
            bytes.extend(field.to_be_bytes());
        }
        bytes.extend(crc32c::crc32c(&bytes).to_be_bytes());
        bytes
    }

    /// Reads what [`encode`](Self::encode) wrote; None for anything else.
    pub fn decode(bytes: &[u8]) -> Option<(Self, Extent)> {
        let (checked, crc) = bytes.split_last_chunk::<4>()?;
        if crc32c::crc32c(checked) != u32::from_be_bytes(*crc) {
            return None;
        }
        let (entries, footer) = checked.split_at_checked(checked.len().checked_sub(FOOTER_BYTES - 4)?)?;
        let (format, fields) = footer.split_first_chunk::<4>()?;
        if u32::from_be_bytes(*format) != FORMAT || entries.len() % ENTRY_BYTES != 0 {
            return None;
        }
        let field = |index: usize| fields.get(index * 8..)?.first_chunk::<8>().map(|bytes| i64::from_be_bytes(*bytes));
        let extent = Extent {
            base_offset: field(0)?,
            next_offset: field(1)?,
            size: field(2)?.cast_unsigned(),
            max_timestamp: field(3)?,
        };
        let entries = entries.chunks_exact(ENTRY_BYTES).map(Entry::decode).collect::<Option<_>>()?;
        Some((Self { entries }, extent))
    }
}

impl Entry {
    fn decode(bytes: &[u8]) -> Option<Self> {
        let (offset, rest) = bytes.split_first_chunk::<4>()?;
        let (position, rest) = rest.split_first_chunk::<4>()?;
        let time_before = i64::from_be_bytes(*rest.first_chunk::<8>()?);
        Some(Self { offset: u32::from_be_bytes(*offset), position: u32::from_be_bytes(*position), time_before })
    }
}
