//! Committed offsets as records, in Kafka's own form: OffsetCommitKey version 1, OffsetCommitValue version 3
//! (<https://github.com/apache/kafka/tree/trunk/group-coordinator/src/main/resources/common/message>). Strings have a length of two bytes.
//! A key without a value: the offset is forgotten.

use super::{Change, Committed, Place};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::indexmap::IndexMap;
use kafka_protocol::records::{
    Compression, NO_PARTITION_LEADER_EPOCH, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, Record, RecordBatchDecoder,
    RecordBatchEncoder, RecordEncodeOptions, TimestampType,
};

const KEY_VERSION: i16 = 1;
const VALUE_VERSION: i16 = 3;

/// Why a record is not a committed offset.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Foreign {
    #[error("its key has version {0}")]
    Key(i16),
    #[error("its value has version {0}")]
    Value(i16),
    #[error("it ends within a field, or holds text that is none")]
    Malformed,
    #[error("its text of {0} bytes is too long")]
    Long(usize),
    #[error("{0}")]
    Batch(String),
}

/// One batch that holds all these changes.
///
/// # Errors
/// A text is too long.
pub(super) fn encode(changes: &[Change], now_ms: i64) -> Result<Bytes, Foreign> {
    let records = changes.iter().enumerate().map(|(index, change)| record(index, change, now_ms));
    let records = records.collect::<Result<Vec<Record>, Foreign>>()?;
    let mut batch = BytesMut::new();
    let options = RecordEncodeOptions { version: 2, compression: Compression::None };
    RecordBatchEncoder::encode(&mut batch, &records, &options).map_err(|error| Foreign::Batch(error.to_string()))?;
    Ok(batch.freeze())
}

/// What a batch holds; each record by itself, so that one that is not understood hides no other.
///
/// # Errors
/// The batch can't be taken apart.
pub(super) fn decode(mut batch: Bytes) -> Result<Vec<Result<Change, Foreign>>, Foreign> {
    let set = RecordBatchDecoder::decode(&mut batch).map_err(|error| Foreign::Batch(error.to_string()))?;
    let records = set.records.into_iter().filter(|record| !record.control);
    Ok(records.map(|record| change(record.key.unwrap_or_default(), record.value)).collect())
}

fn record(index: usize, change: &Change, now_ms: i64) -> Result<Record, Foreign> {
    let (place, committed) = change;
    Ok(Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: NO_PARTITION_LEADER_EPOCH,
        producer_id: NO_PRODUCER_ID,
        producer_epoch: NO_PRODUCER_EPOCH,
        timestamp_type: TimestampType::Creation,
        offset: index as i64,
        sequence: index as i32 - 1, // the encoder wants a run; it makes the batch's first sequence −1, which is none
        timestamp: now_ms,
        key: Some(key(place)?),
        value: committed.as_ref().map(value).transpose()?,
        headers: IndexMap::new(),
    })
}

fn key(place: &Place) -> Result<Bytes, Foreign> {
    let mut key = BytesMut::new();
    key.put_i16(KEY_VERSION);
    put_text(&mut key, &place.group)?;
    put_text(&mut key, &place.topic)?;
    key.put_i32(place.partition);
    Ok(key.freeze())
}

fn value(committed: &Committed) -> Result<Bytes, Foreign> {
    let mut value = BytesMut::new();
    value.put_i16(VALUE_VERSION);
    value.put_i64(committed.offset);
    value.put_i32(committed.leader_epoch);
    put_text(&mut value, &committed.metadata)?;
    value.put_i64(committed.at_ms);
    Ok(value.freeze())
}

fn change(mut key: Bytes, value: Option<Bytes>) -> Result<Change, Foreign> {
    match key.try_get_i16().map_err(|_| Foreign::Malformed)? {
        KEY_VERSION => {}
        other => return Err(Foreign::Key(other)),
    }
    let (group, topic) = (take_text(&mut key)?, take_text(&mut key)?);
    let partition = key.try_get_i32().map_err(|_| Foreign::Malformed)?;
    let committed = value.map(take_value).transpose()?;
    Ok((Place { group, topic, partition }, committed))
}

fn take_value(mut value: Bytes) -> Result<Committed, Foreign> {
    match value.try_get_i16().map_err(|_| Foreign::Malformed)? {
        VALUE_VERSION => {}
        other => return Err(Foreign::Value(other)),
    }
    let offset = value.try_get_i64().map_err(|_| Foreign::Malformed)?;
    let leader_epoch = value.try_get_i32().map_err(|_| Foreign::Malformed)?;
    let metadata = take_text(&mut value)?;
    let at_ms = value.try_get_i64().map_err(|_| Foreign::Malformed)?;
    Ok(Committed { offset, leader_epoch, metadata, at_ms })
}

fn put_text(bytes: &mut BytesMut, text: &str) -> Result<(), Foreign> {
    bytes.put_i16(i16::try_from(text.len()).map_err(|_| Foreign::Long(text.len()))?);
    bytes.put_slice(text.as_bytes());
    Ok(())
}

fn take_text(bytes: &mut Bytes) -> Result<String, Foreign> {
    let length = bytes.try_get_i16().map_err(|_| Foreign::Malformed)?;
    let length = usize::try_from(length).map_err(|_| Foreign::Malformed)?;
    if bytes.remaining() < length {
        return Err(Foreign::Malformed);
    }
    String::from_utf8(bytes.split_to(length).to_vec()).map_err(|_| Foreign::Malformed)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{committed, place};
    use super::*;
    use crate::batch;

    #[test]
    fn records_have_kafkas_form() {
        assert_eq!(key(&place("g", "t", 2)).as_deref(), Ok(&b"\x00\x01\x00\x01g\x00\x01t\x00\x00\x00\x02"[..]));
        let committed = Committed { offset: 258, leader_epoch: -1, metadata: "m".to_owned(), at_ms: 1 };
        let expected =
            b"\x00\x03\x00\x00\x00\x00\x00\x00\x01\x02\xff\xff\xff\xff\x00\x01m\x00\x00\x00\x00\x00\x00\x00\x01";
        assert_eq!(value(&committed).as_deref(), Ok(&expected[..]));
    }

    #[test]
    fn a_batch_is_one_batch_and_gives_back_what_went_in() {
        let changes: Vec<Change> = (0..300)
            .map(|partition| (place("g", "t", partition), (partition % 7 != 0).then(|| committed(i64::MAX, 5))))
            .collect();
        let bytes = encode(&changes, 1_700_000_000_000).expect("it fits");
        let header = batch::check(&bytes).expect("the broker takes it");
        assert_eq!((header.size, header.next_offset()), (bytes.len(), 300));
        let decoded: Result<Vec<Change>, Foreign> = decode(bytes).expect("it is a batch").into_iter().collect();
        assert_eq!(decoded, Ok(changes));
    }

    #[test]
    fn what_is_no_committed_offset_is_told_apart() {
        let key = |bytes: &'static [u8]| change(Bytes::from_static(bytes), None);
        assert_eq!(key(b"\x00\x02\x00\x01g"), Err(Foreign::Key(2)), "a group's metadata, of Kafka's own");
        assert_eq!(key(b""), Err(Foreign::Malformed));
        assert_eq!(key(b"\x00\x01\x00\x09g"), Err(Foreign::Malformed));
        assert_eq!(key(b"\x00\x01\xff\xffg"), Err(Foreign::Malformed));
        assert_eq!(key(b"\x00\x01\x00\x01\xff\x00\x01t\x00\x00\x00\x00"), Err(Foreign::Malformed));
        let value = Some(Bytes::from_static(b"\x00\x04"));
        assert_eq!(change(super::key(&place("g", "t", 0)).expect("short"), value), Err(Foreign::Value(4)));
        assert_eq!(super::key(&place(&"g".repeat(40_000), "t", 0)), Err(Foreign::Long(40_000)));
    }
}
