//! A small client of the protocol: one connection, one request after another or several ahead, frames as bytes where a test wants them.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{ApiKey, ApiVersionsRequest, RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use kafka_protocol::records::{
    Compression, Record, RecordBatchDecoder, RecordBatchEncoder, RecordEncodeOptions, TimestampType,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

/// No test waits longer for anything.
pub const DEADLINE: Duration = Duration::from_secs(20);

pub struct Client {
    stream: TcpStream,
    last: i32,
}

impl Client {
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, last: 0 }
    }

    /// One whose socket takes little ahead of it.
    pub async fn connect_narrow(address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(256 * 1024).unwrap();
        Self { stream: socket.connect(address).await.unwrap(), last: 0 }
    }

    /// Asks and awaits the answer.
    pub async fn call<R: Request>(&mut self, version: i16, request: R) -> R::Response {
        let correlation = self.send(version, &request).await;
        self.receive::<R>(version, correlation).await
    }

    /// Asks without awaiting; gives the number that the answer will have.
    pub async fn send<R: Request>(&mut self, version: i16, request: &R) -> i32 {
        self.last += 1;
        let frame = frame(self.last, version, request);
        self.write(&frame).await.unwrap();
        self.last
    }

    /// Awaits the answer to an earlier request.
    pub async fn receive<R: Request>(&mut self, version: i16, correlation: i32) -> R::Response {
        let mut frame = self.read().await.unwrap().expect("an answer, not the end of the connection");
        let header = ResponseHeader::decode(&mut frame, R::Response::header_version(version)).unwrap();
        assert_eq!(header.correlation_id, correlation, "answers come in the order of requests");
        let response = <R::Response as Decodable>::decode(&mut frame, version).unwrap();
        assert!(frame.is_empty(), "{} bytes behind the answer: a newer version's fields", frame.len());
        response
    }

    /// Writes bytes as they are.
    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        timeout(DEADLINE, self.stream.write_all(bytes)).await.expect("the broker reads")
    }

    /// The next frame; `None` when the broker closed the connection.
    pub async fn read(&mut self) -> io::Result<Option<Bytes>> {
        let read = async {
            let length = match self.stream.read_u32().await {
                Ok(length) => length,
                Err(end) if end.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
                Err(reset) if reset.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
                Err(other) => return Err(other),
            };
            let mut frame = BytesMut::zeroed(length as usize);
            self.stream.read_exact(&mut frame).await?;
            Ok(Some(frame.freeze()))
        };
        timeout(DEADLINE, read).await.expect("an answer in time")
    }

    /// Whether nothing comes for so long. What does come is left to be read.
    pub async fn hears_nothing(&mut self, time: Duration) -> bool {
        timeout(time, self.stream.peek(&mut [0])).await.is_err()
    }

    /// Takes at most so many bytes of what comes; 0 at the end of the connection.
    pub async fn take(&mut self, bytes: usize) -> usize {
        self.stream.read(&mut vec![0; bytes]).await.unwrap_or_default()
    }

    pub async fn assert_closed(&mut self) {
        assert_eq!(self.read().await.unwrap(), None, "the connection ends");
    }

    /// The versions that the broker serves of an API and the codec can write.
    pub async fn versions<R: Request>(&mut self) -> std::ops::RangeInclusive<i16> {
        let told = self.call(3, ApiVersionsRequest::default()).await;
        let api = told.api_keys.iter().find(|api| api.api_key == R::KEY).expect("the API is told");
        api.min_version.max(R::VERSIONS.min)..=api.max_version
    }
}

/// A request as a whole frame.
pub fn frame<R: Request>(correlation: i32, version: i16, request: &R) -> Bytes {
    try_frame(correlation, version, request).unwrap()
}

/// A request as a whole frame; `None` where the version can't carry it.
pub fn try_frame<R: Request>(correlation: i32, version: i16, request: &R) -> Option<Bytes> {
    let key = ApiKey::try_from(R::KEY).unwrap();
    let header = RequestHeader::default()
        .with_request_api_key(R::KEY)
        .with_request_api_version(version)
        .with_correlation_id(correlation)
        .with_client_id(Some(StrBytes::from_static_str("test")));
    let mut bytes = BytesMut::new();
    bytes.put_u32(0);
    header.encode(&mut bytes, key.request_header_version(version)).unwrap();
    request.encode(&mut bytes, version).ok()?;
    let length = u32::try_from(bytes.len() - 4).unwrap();
    bytes[..4].copy_from_slice(&length.to_be_bytes());
    Some(bytes.freeze())
}

/// A batch of these values, at a time, of no producer.
pub fn batch_at(timestamp: i64, values: &[&str]) -> Bytes {
    batch_of(timestamp, -1, -1, -1, values)
}

/// A batch of these values.
pub fn batch(values: &[&str]) -> Bytes {
    batch_at(1_700_000_000_000, values)
}

/// A batch of an idempotent producer.
pub fn batch_of(timestamp: i64, producer_id: i64, producer_epoch: i16, sequence: i32, values: &[&str]) -> Bytes {
    let record = |(index, value): (usize, &&str)| {
        let index = i32::try_from(index).unwrap();
        Record {
            transactional: false,
            control: false,
            delete_horizon: false,
            partition_leader_epoch: -1,
            producer_id,
            producer_epoch,
            timestamp_type: TimestampType::Creation,
            offset: i64::from(index),
            // The encoder puts records into one batch as long as sequence and offset rise together.
            sequence: sequence + index,
            timestamp,
            key: None,
            value: Some(Bytes::copy_from_slice(value.as_bytes())),
            headers: Default::default(),
        }
    };
    let records: Vec<Record> = values.iter().enumerate().map(record).collect();
    let mut bytes = BytesMut::new();
    let options = RecordEncodeOptions { version: 2, compression: Compression::None };
    RecordBatchEncoder::encode(&mut bytes, &records, &options).unwrap();
    bytes.freeze()
}

/// The records of some batches, as offset and value.
pub fn records(batches: &Bytes) -> Vec<(i64, String)> {
    let mut rest = batches.clone();
    let mut records = Vec::new();
    for set in RecordBatchDecoder::decode_all(&mut rest).unwrap() {
        for record in set.records {
            records.push((record.offset, String::from_utf8(record.value.unwrap_or_default().to_vec()).unwrap()));
        }
    }
    records
}
