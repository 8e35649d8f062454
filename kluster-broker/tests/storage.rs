//! The storage as its neighbours use it: topics, append, durable, read.

use bytes::{Bytes, BytesMut};
use kafka_protocol::records::{
    Compression, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, NO_SEQUENCE, Record, RecordBatchDecoder, RecordBatchEncoder,
    RecordEncodeOptions, TimestampType,
};
use kluster_broker::topics::Topics;

fn batch(values: &[&str]) -> Bytes {
    let records: Vec<Record> = values
        .iter()
        .enumerate()
        .map(|(index, value)| Record {
            transactional: false,
            control: false,
            delete_horizon: false,
            partition_leader_epoch: 0,
            producer_id: NO_PRODUCER_ID,
            producer_epoch: NO_PRODUCER_EPOCH,
            timestamp_type: TimestampType::Creation,
            offset: index as i64,
            sequence: NO_SEQUENCE,
            timestamp: 1000 + index as i64,
            key: None,
            value: Some(Bytes::copy_from_slice(value.as_bytes())),
            headers: Default::default(),
        })
        .collect();
    let mut bytes = BytesMut::new();
    let options = RecordEncodeOptions { version: 2, compression: Compression::None };
    RecordBatchEncoder::encode(&mut bytes, &records, &options).unwrap();
    bytes.freeze()
}

fn values(mut batches: Bytes) -> Vec<String> {
    let sets = RecordBatchDecoder::decode_all(&mut batches).unwrap();
    let values = sets.into_iter().flat_map(|set| set.records).map(|record| record.value.unwrap());
    values.map(|value| String::from_utf8(value.to_vec()).unwrap()).collect()
}

#[tokio::test]
async fn what_is_durable_is_read_again_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let id = {
        let topics = Topics::open(dir.path(), Default::default()).unwrap();
        let info = topics.create("t", 2, &[]).unwrap();
        let partition = topics.partition("t", 1).unwrap();
        for (at, text) in ["a", "b"].into_iter().enumerate() {
            let appended = partition.append(batch(&[text, text]), 0).unwrap();
            assert_eq!(appended.base_offset, 2 * at as i64);
            partition.durable(appended.next_offset).await.unwrap();
        }
        topics.close().await.unwrap();
        info.topic_id
    };
    let topics = Topics::open(dir.path(), Default::default()).unwrap();
    assert_eq!(topics.by_id(id).unwrap().name, "t");
    let partition = topics.partition("t", 1).unwrap();
    assert_eq!(partition.offsets().high_watermark, 4);
    assert_eq!(values(partition.read(0, 1 << 20, true).unwrap()), ["a", "a", "b", "b"]);
    assert_eq!(values(partition.read(2, 1 << 20, true).unwrap()), ["b", "b"]);
    assert_eq!(topics.partition("t", 0).unwrap().offsets().log_end, 0);
}
