//! The records inside an uncompressed batch, without copying them.
//!
//! Layout of a record: length varint · attributes i8 · timestamp delta varlong · offset delta varint · key · value · headers; varints are zigzag.

use super::BatchError;

/// One record of an uncompressed batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordView<'a> {
    /// Milliseconds from the batch's base timestamp.
    pub timestamp_delta: i64,
    /// From the batch's base offset.
    pub offset_delta: i32,
    /// None: without key.
    pub key: Option<&'a [u8]>,
    /// None: a tombstone.
    pub value: Option<&'a [u8]>,
    /// As stored, with its length.
    pub(crate) whole: &'a [u8],
    attributes: u8,
    /// From the offset delta to the end.
    after_timestamp: &'a [u8],
}

/// Reads the records after the header, all of which `records` says there are.
#[derive(Debug, Clone)]
pub struct Records<'a> {
    rest: &'a [u8],
    left: i32,
}

impl<'a> Records<'a> {
    /// The records of a batch whose header says that there are `count`.
    pub fn new(body: &'a [u8], count: i32) -> Self {
        Self { rest: body, left: count }
    }

    fn read(&mut self) -> Option<RecordView<'a>> {
        let start = self.rest;
        let length = usize::try_from(varint(&mut self.rest)?).ok()?;
        let mut record = take(&mut self.rest, length)?;
        let whole = &start[..start.len() - self.rest.len()];
        let attributes = take(&mut record, 1)?[0];
        let timestamp_delta = varint(&mut record)?;
        let after_timestamp = record;
        let offset_delta = i32::try_from(varint(&mut record)?).ok()?;
        let key = nullable(&mut record)?;
        let value = nullable(&mut record)?;
        let headers = varint(&mut record)?;
        for _ in 0..u64::try_from(headers).ok()? {
            nullable(&mut record)??; // a header has a name
            nullable(&mut record)?;
        }
        record.is_empty().then_some(RecordView {
            timestamp_delta,
            offset_delta,
            key,
            value,
            whole,
            attributes,
            after_timestamp,
        })
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<RecordView<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left <= 0 {
            let surplus = !std::mem::take(&mut self.rest).is_empty();
            return surplus.then_some(Err(BatchError::Invalid("bytes follow its last record")));
        }
        self.left -= 1;
        let record = self.read();
        if record.is_none() {
            (self.left, self.rest) = (0, &[]);
        }
        Some(record.ok_or(BatchError::Invalid("a record in it cannot be read")))
    }
}

impl RecordView<'_> {
    /// Writes the record with another timestamp delta.
    pub(crate) fn write_with_timestamp_delta(&self, delta: i64, out: &mut Vec<u8>) {
        let mut timestamp = Vec::with_capacity(10);
        put_varint(delta, &mut timestamp);
        put_varint((1 + timestamp.len() + self.after_timestamp.len()) as i64, out);
        out.push(self.attributes);
        out.extend(timestamp);
        out.extend_from_slice(self.after_timestamp);
    }
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, after) = rest.split_at_checked(count)?;
    *rest = after;
    Some(taken)
}

/// Bytes after their length; Some(None) where the length is −1.
fn nullable<'a>(rest: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    match varint(rest)? {
        -1 => Some(None),
        length => Some(Some(take(rest, usize::try_from(length).ok()?)?)),
    }
}

fn varint(rest: &mut &[u8]) -> Option<i64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = take(rest, 1)?[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed());
        }
    }
    None
}

fn put_varint(value: i64, out: &mut Vec<u8>) {
    let mut rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while rest >= 0x80 {
        out.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

#[cfg(test)]
mod tests {
    use super::{put_varint, varint};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_varint_is_read_as_it_was_written(value: i64) {
            let mut bytes = Vec::new();
            put_varint(value, &mut bytes);
            let mut rest = bytes.as_slice();
            prop_assert_eq!(varint(&mut rest), Some(value));
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>, count: i32) {
            prop_assert!(super::Records::new(&bytes, count).count() <= bytes.len() + 1);
        }
    }
}
