//! Group commit: many writers, each waiting for its own record or transaction to be on the disk.

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{ApiKey, ProduceRequest, ProduceResponse, RequestHeader, ResponseHeader, TopicName};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};
use kafka_protocol::records::{
    Compression, NO_PARTITION_LEADER_EPOCH, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, NO_SEQUENCE, Record, RecordBatchEncoder,
    RecordEncodeOptions, TimestampType,
};
use kluster_test_servers::{KafkaServer, PostgresOptions, PostgresServer};
use std::fmt::{self, Display};
use std::io::Write;
use std::process::Command;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

const WRITERS: usize = 64;
const LASTING: Duration = Duration::from_secs(8);
/// The newest version of Produce that all servers compared here speak.
const VERSION: i16 = 9;
const RECORD_BYTES: usize = 200;

/// How many commits, and how long one took.
pub struct Commits {
    pub rate: f64,
    p50: Duration,
    p99: Duration,
}

impl Display for Commits {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:.0}/s with {WRITERS} writers, p50 {:.2?}, p99 {:.2?}", self.rate, self.p50, self.p99)
    }
}

impl Commits {
    fn of(mut took: Vec<Duration>) -> Self {
        took.sort_unstable();
        let at = |part: f64| took.get((took.len() as f64 * part) as usize).copied().unwrap_or_default();
        Self { rate: took.len() as f64 / LASTING.as_secs_f64(), p50: at(0.5), p99: at(0.99) }
    }
}

/// Each writer has a connection of its own, on which one request is under way.
pub async fn by_log(server: &KafkaServer, setting: (&str, &str)) -> Commits {
    let frame = produce_frame(&super::topic(server, setting));
    let mut writers = JoinSet::new();
    for _ in 0..WRITERS {
        writers.spawn(write_for_a_while(server.bootstrap().to_owned(), frame.clone()));
    }
    Commits::of(writers.join_all().await.concat())
}

async fn write_for_a_while(bootstrap: String, frame: Bytes) -> Vec<Duration> {
    let mut socket = TcpStream::connect(bootstrap).await.expect("the server accepts");
    socket.set_nodelay(true).expect("a socket's setting");
    let (mut took, began) = (Vec::new(), Instant::now());
    while began.elapsed() < LASTING {
        let sent = Instant::now();
        socket.write_all(&frame).await.expect("the server reads");
        let size = socket.read_u32().await.expect("the server answers");
        let mut answer = vec![0; size as usize];
        socket.read_exact(&mut answer).await.expect("the server answers");
        took.push(sent.elapsed());
        check(answer.into());
    }
    took
}

fn check(mut answer: Bytes) {
    ResponseHeader::decode(&mut answer, ApiKey::Produce.response_header_version(VERSION)).expect("a header");
    let answer = ProduceResponse::decode(&mut answer, VERSION).expect("an answer");
    let stored = answer.responses.iter().flat_map(|topic| &topic.partition_responses).all(|part| part.error_code == 0);
    assert!(stored, "{answer:?}");
}

/// One record for a topic's only partition, acknowledged by all; the same bytes each time.
fn produce_frame(topic: &str) -> Bytes {
    let mut records = BytesMut::new();
    let options = RecordEncodeOptions { version: 2, compression: Compression::None };
    RecordBatchEncoder::encode(&mut records, [&record()], &options).expect("a batch");
    let partition = PartitionProduceData::default().with_records(Some(records.freeze()));
    let topic = TopicProduceData::default()
        .with_name(TopicName(StrBytes::from_string(topic.to_owned())))
        .with_partition_data(vec![partition]);
    let request = ProduceRequest::default().with_acks(-1).with_timeout_ms(30_000).with_topic_data(vec![topic]);
    let header = RequestHeader::default()
        .with_request_api_key(ApiKey::Produce as i16)
        .with_request_api_version(VERSION)
        .with_client_id(Some(StrBytes::from_static_str("bench")));
    let mut frame = BytesMut::zeroed(4);
    header.encode(&mut frame, ApiKey::Produce.request_header_version(VERSION)).expect("a header");
    request.encode(&mut frame, VERSION).expect("a request");
    let size = (frame.len() - 4) as u32;
    frame[..4].copy_from_slice(&size.to_be_bytes());
    frame.freeze()
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

/// pgbench with one insert of the same size in each transaction, every COMMIT on the disk.
pub async fn by_postgres() -> Commits {
    let options = PostgresOptions { fsync: true, ..PostgresOptions::default() };
    let server = PostgresServer::start_with(options).await.expect("PostgreSQL starts");
    let database = server.new_database("bench").await.expect("a database");
    server.sql(&database, "create table record(value text)").await.expect("a table");
    let script = format!("insert into record values ('{}');", "x".repeat(RECORD_BYTES));
    let directory = tempfile::tempdir().expect("a directory");
    let mut file = std::fs::File::create(directory.path().join("insert.sql")).expect("a file");
    file.write_all(script.as_bytes()).expect("a file");
    let (writers, seconds) = (WRITERS.to_string(), LASTING.as_secs().to_string());
    let mut pgbench = Command::new("pgbench");
    pgbench.args([
        "--client",
        &writers,
        "--jobs",
        "2",
        "--time",
        &seconds,
        "--no-vacuum",
        "--protocol",
        "prepared",
        "--log",
    ]);
    pgbench.args(["--file", "insert.sql"]).arg(server.url(&database)).current_dir(directory.path());
    super::said(pgbench);
    Commits::of(pgbench_times(directory.path()))
}

/// The third column of pgbench's logs: how long a transaction took, in µs.
fn pgbench_times(directory: &std::path::Path) -> Vec<Duration> {
    let files = std::fs::read_dir(directory).expect("a directory").flatten().map(|entry| entry.path());
    let logs = files.filter(|path| path.to_string_lossy().contains("pgbench_log"));
    let text: String = logs.map(|path| std::fs::read_to_string(path).expect("a log")).collect();
    let micros = text.lines().filter_map(|line| line.split(' ').nth(2)?.parse().ok());
    micros.map(Duration::from_micros).collect()
}
