//! The protocol without a client library in between, so that the server's time is measured and nobody else's.

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    ApiKey, FetchRequest, ProduceRequest, ProduceResponse, RequestHeader, ResponseHeader, TopicName,
};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};
use kafka_protocol::records::{
    Compression, NO_PARTITION_LEADER_EPOCH, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, NO_SEQUENCE, Record, RecordBatchEncoder,
    RecordEncodeOptions, TimestampType,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The newest versions that name topics, as all servers compared here speak them.
pub const PRODUCE: i16 = 9;
pub const FETCH: i16 = 12;
pub const RECORD_BYTES: usize = 200;
/// Longer than anything that is measured.
const WAIT_MS: i32 = 10_000;
const ANSWER_BYTES: i32 = 1 << 20;

/// A connection on which one request at a time is under way.
pub struct Connection(TcpStream);

impl Connection {
    pub async fn open(bootstrap: &str) -> Self {
        let socket = TcpStream::connect(bootstrap).await.expect("the server accepts");
        socket.set_nodelay(true).expect("a socket's setting");
        Self(socket)
    }

    pub async fn send(&mut self, frame: &Bytes) {
        self.0.write_all(frame).await.expect("the server reads");
    }

    pub async fn answer<T: Decodable>(&mut self, api: ApiKey, version: i16) -> T {
        let size = self.0.read_u32().await.expect("the server answers");
        let mut answer = vec![0; size as usize];
        self.0.read_exact(&mut answer).await.expect("the server answers");
        let mut answer = Bytes::from(answer);
        ResponseHeader::decode(&mut answer, api.response_header_version(version)).expect("a header");
        T::decode(&mut answer, version).expect("an answer")
    }
}

/// A request as it goes over the socket, its length first.
pub fn frame(api: ApiKey, version: i16, request: &impl Encodable) -> Bytes {
    let header = RequestHeader::default()
        .with_request_api_key(api as i16)
        .with_request_api_version(version)
        .with_client_id(Some(StrBytes::from_static_str("bench")));
    let mut frame = BytesMut::zeroed(4);
    header.encode(&mut frame, api.request_header_version(version)).expect("a header");
    request.encode(&mut frame, version).expect("a request");
    let size = (frame.len() - 4) as u32;
    frame[..4].copy_from_slice(&size.to_be_bytes());
    frame.freeze()
}

/// One record for a topic's only partition, acknowledged by all.
pub fn produce(topic: &str) -> ProduceRequest {
    let mut records = BytesMut::new();
    let options = RecordEncodeOptions { version: 2, compression: Compression::None };
    RecordBatchEncoder::encode(&mut records, [&record()], &options).expect("a batch");
    let partition = PartitionProduceData::default().with_records(Some(records.freeze()));
    let topic = TopicProduceData::default().with_name(name(topic)).with_partition_data(vec![partition]);
    ProduceRequest::default().with_acks(-1).with_timeout_ms(30_000).with_topic_data(vec![topic])
}

pub fn is_stored(answer: &ProduceResponse) -> bool {
    answer.responses.iter().flat_map(|topic| &topic.partition_responses).all(|part| part.error_code == 0)
}

/// What stands at this offset of a topic's only partition, as soon as it is there.
pub fn fetch(topic: &str, offset: i64) -> FetchRequest {
    let wanted = FetchPartition::default()
        .with_fetch_offset(offset)
        .with_partition_max_bytes(ANSWER_BYTES)
        .with_current_leader_epoch(-1);
    let topic = FetchTopic::default().with_topic(name(topic)).with_partitions(vec![wanted]);
    FetchRequest::default()
        .with_max_wait_ms(WAIT_MS)
        .with_min_bytes(1)
        .with_max_bytes(ANSWER_BYTES)
        .with_topics(vec![topic])
}

fn name(topic: &str) -> TopicName {
    TopicName(StrBytes::from_string(topic.to_owned()))
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
        value: Some(vec![b'x'; RECORD_BYTES].into()),
        headers: Default::default(),
    }
}
