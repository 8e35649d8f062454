//! A batch that a server takes and librdkafka cannot read. Written to the socket, for no client library makes one.
//!
//! What librdkafka makes of it: a reader ends before it; in a group its partition stands still, and the others go on.
//!
//! It is compressed with LZ4, and behind the end of the compressed frame stand bytes that belong to nothing. Kafka stops at the frame's end and
//! finds all its records; librdkafka finds bytes left over and gives the batch up.

use crate::kinds::{created, settings_on_kafka};
use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{ApiKey, ProduceRequest, ProduceResponse, RequestHeader, ResponseHeader, TopicName};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};
use kafka_protocol::records::{
    Compression, NO_PARTITION_LEADER_EPOCH, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, NO_SEQUENCE, Record, RecordBatchEncoder,
    RecordEncodeOptions, TimestampType,
};
use kluster_log::{LogError, NewRecord};
use kluster_protocol::{Offset, Topic};
use kluster_test_servers::{require, shared_kafka};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(60);
/// The newest version of Produce that names topics.
const VERSION: i16 = 9;
/// Places in a batch's header, and its length: <https://kafka.apache.org/documentation/#recordbatch>.
const BATCH_LENGTH: usize = 8;
const CRC: usize = 17;
const ATTRIBUTES: usize = 21;
const HEADER: usize = 61;
const LZ4: u8 = 3;

/// librdkafka passes over a batch that it cannot read; a reader must end before it instead.
#[tokio::test]
async fn what_cannot_be_read_is_not_passed_over() {
    require!(Kafka);
    let log = created(settings_on_kafka("unreadable").await).await;
    log.append(Topic::All, Some(0), NewRecord::of("before")).await.unwrap();
    write(shared_kafka().await.bootstrap(), &log.names().name(Topic::All), batch()).await;
    let behind = log.append(Topic::All, Some(0), NewRecord::of("behind")).await.unwrap();
    assert_eq!(behind.offset, Offset::new(2), "the server has taken the batch");
    let mut reader = log.read(Topic::All, 0, Offset::ZERO).await.unwrap();
    let before = timeout(PATIENCE, reader.next()).await.unwrap().unwrap();
    assert_eq!((before.offset, before.value.as_deref()), (Offset::ZERO, Some(&b"before"[..])));
    let end = timeout(PATIENCE, reader.next()).await.unwrap().unwrap_err();
    assert!(matches!(end, LogError::Unreachable { .. }), "{end}");
}

/// In a group its partition stands still, which is said; the others go on.
#[tokio::test]
async fn a_group_is_held_up_in_one_partition_only_and_says_so() {
    require!(Kafka);
    let log = created(settings_on_kafka("held").await).await;
    log.append(Topic::One, Some(0), NewRecord::of("before")).await.unwrap();
    write(shared_kafka().await.bootstrap(), &log.names().name(Topic::One), batch()).await;
    log.append(Topic::One, Some(0), NewRecord::of("behind")).await.unwrap();
    let mut group = log.join(Topic::One, &log.names().group_of_one()).await.unwrap();
    let before = timeout(PATIENCE, group.next()).await.unwrap().unwrap();
    assert_eq!(before.value.as_deref(), Some(&b"before"[..]));
    let appending = async {
        loop {
            log.append(Topic::One, Some(1), NewRecord::of("elsewhere")).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    let reading = async {
        while group.undecodable() == 0 {
            let elsewhere = group.next().await.unwrap();
            assert_eq!((elsewhere.partition, elsewhere.value.as_deref()), (1, Some(&b"elsewhere"[..])));
        }
        group.next().await.unwrap()
    };
    let read = tokio::select! {
        read = timeout(PATIENCE, reading) => read.expect("the partition that stands still is noticed"),
        () = appending => unreachable!("it goes on for ever"),
    };
    assert_eq!(read.partition, 1, "the other partition is read on");
    group.leave().await.unwrap();
}

/// Writes a batch to a topic's first partition.
async fn write(bootstrap: &str, topic: &str, batch: Bytes) {
    let partition = PartitionProduceData::default().with_records(Some(batch));
    let topic = TopicProduceData::default()
        .with_name(TopicName(StrBytes::from_string(topic.to_owned())))
        .with_partition_data(vec![partition]);
    let request = ProduceRequest::default().with_acks(-1).with_timeout_ms(30_000).with_topic_data(vec![topic]);
    let header =
        RequestHeader::default().with_request_api_key(ApiKey::Produce as i16).with_request_api_version(VERSION);
    let mut frame = BytesMut::new();
    header.encode(&mut frame, ApiKey::Produce.request_header_version(VERSION)).unwrap();
    request.encode(&mut frame, VERSION).unwrap();
    let mut socket = TcpStream::connect(bootstrap).await.unwrap();
    socket.write_u32(frame.len() as u32).await.unwrap();
    socket.write_all(&frame).await.unwrap();
    let size = socket.read_u32().await.unwrap();
    let mut answer = vec![0; size as usize];
    socket.read_exact(&mut answer).await.unwrap();
    let mut answer = Bytes::from(answer);
    ResponseHeader::decode(&mut answer, ApiKey::Produce.response_header_version(VERSION)).unwrap();
    let answer = ProduceResponse::decode(&mut answer, VERSION).unwrap();
    assert_eq!(answer.responses[0].partition_responses[0].error_code, 0, "{answer:?}");
}

/// One record in a batch that librdkafka cannot read.
fn batch() -> Bytes {
    let mut plain = BytesMut::new();
    let options = RecordEncodeOptions { version: 2, compression: Compression::None };
    RecordBatchEncoder::encode(&mut plain, [&record()], &options).unwrap();
    let mut batch = BytesMut::from(&plain[..HEADER]);
    batch.put_slice(&lz4_frame(&plain[HEADER..]));
    batch.put_slice(b"these belong to nothing");
    batch[ATTRIBUTES + 1] |= LZ4;
    let length = (batch.len() - BATCH_LENGTH - 4) as u32;
    batch[BATCH_LENGTH..BATCH_LENGTH + 4].copy_from_slice(&length.to_be_bytes());
    let crc = crc32c::crc32c(&batch[ATTRIBUTES..]);
    batch[CRC..CRC + 4].copy_from_slice(&crc.to_be_bytes());
    batch.freeze()
}

/// LZ4's frame around one block that is kept as it is: magic, flags, largest block (64 KB), the checksum of these two bytes, the block's length
/// with the bit that says so, the block, the end mark.
fn lz4_frame(block: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82];
    frame.extend((block.len() as u32 | 0x8000_0000).to_le_bytes());
    frame.extend(block);
    frame.extend([0; 4]);
    frame
}

fn record() -> Record {
    Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: NO_PARTITION_LEADER_EPOCH,
        producer_id: NO_PRODUCER_ID,
        producer_epoch: NO_PRODUCER_EPOCH,
        timestamp_type: TimestampType::Creation,
        offset: 0,
        sequence: NO_SEQUENCE,
        timestamp: 0,
        key: None,
        value: Some(Bytes::from_static(b"select 1")),
        headers: Default::default(),
    }
}
