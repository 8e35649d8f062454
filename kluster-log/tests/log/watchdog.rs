//! A client that gets nothing through while a fresh one does is made anew. A wall between clients and the broker makes such a client: it lets
//! nothing of one kind of request through, until a request of the kind that only a fresh client sends has passed.

use crate::kinds::created;
use kluster_broker::{Broker, BrokerSettings};
use kluster_log::{Log, LogError, LogSettings, NewRecord};
use kluster_protocol::{Offset, Topic};
use kluster_test_servers::{KafkaOptions, KafkaServer, LogServer, require};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// Longer than any client is left stuck.
const PATIENCE: Duration = Duration::from_secs(60);

/// Keys of Kafka's protocol, <https://kafka.apache.org/protocol#protocol_api_keys>.
const PRODUCE: i16 = 0;
const FETCH: i16 = 1;
const LIST_OFFSETS: i16 = 2;
const INIT_PRODUCER_ID: i16 = 22;

/// What does not pass, and which request ends that.
#[derive(Debug, Clone, Copy)]
struct Held {
    key: i16,
    until: i16,
}

/// Stands before a broker; clients know its address only.
#[derive(Debug, Default)]
struct Wall(Mutex<Option<Held>>);

impl Wall {
    /// From now on requests of this kind do not pass, and neither do answers to those who ever sent one.
    fn rise(&self, key: i16, until: i16) {
        *self.0.lock().unwrap() = Some(Held { key, until });
    }

    /// Whether a request passes.
    fn passes(&self, key: i16) -> bool {
        let mut held = self.0.lock().unwrap();
        if held.is_some_and(|held| held.until == key) {
            *held = None;
        }
        held.is_none_or(|held| held.key != key)
    }

    fn holds(&self, key: i16) -> bool {
        self.0.lock().unwrap().is_some_and(|held| held.key == key)
    }

    async fn stand(self: Arc<Self>, listener: TcpListener, broker: String) {
        loop {
            let (client, _) = listener.accept().await.unwrap();
            // A broker that starts or ends takes no connection.
            let Ok(server) = TcpStream::connect(&broker).await else { continue };
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            let connection =
                Arc::new(Connection { wall: self.clone(), key: Mutex::default(), held: AtomicBool::new(false) });
            tokio::spawn(connection.clone().requests(from_client, to_server));
            tokio::spawn(connection.answers(from_server, to_client));
        }
    }
}

/// One connection through the wall. Once held, it stays so.
#[derive(Debug)]
struct Connection {
    wall: Arc<Wall>,
    /// Whether it appends or fetches.
    key: Mutex<Option<i16>>,
    held: AtomicBool,
}

impl Connection {
    fn is_held(&self) -> bool {
        let key = *self.key.lock().unwrap();
        if key.is_some_and(|key| self.wall.holds(key)) {
            self.held.store(true, Ordering::SeqCst);
        }
        self.held.load(Ordering::SeqCst)
    }

    async fn requests(self: Arc<Self>, mut client: OwnedReadHalf, mut server: OwnedWriteHalf) {
        while let Some(frame) = frame(&mut client).await {
            let key = i16::from_be_bytes([frame[4], frame[5]]);
            if key == PRODUCE || key == FETCH {
                *self.key.lock().unwrap() = Some(key);
            }
            let passes = self.wall.passes(key);
            if !self.is_held() && passes && server.write_all(&frame).await.is_err() {
                return;
            }
        }
    }

    async fn answers(self: Arc<Self>, mut server: OwnedReadHalf, mut client: OwnedWriteHalf) {
        while let Some(frame) = frame(&mut server).await {
            if !self.is_held() && client.write_all(&frame).await.is_err() {
                return;
            }
        }
    }
}

/// A length and so many bytes. None: the connection ended.
async fn frame(from: &mut (impl AsyncRead + Unpin)) -> Option<Vec<u8>> {
    let length = from.read_u32().await.ok()?;
    let mut frame = length.to_be_bytes().to_vec();
    frame.resize(4 + length as usize, 0);
    from.read_exact(&mut frame[4..]).await.ok()?;
    Some(frame)
}

/// A log's server behind a wall.
struct Server {
    wall: Arc<Wall>,
    log: Log,
    _running: (Option<KafkaServer>, Option<(Broker, TempDir)>),
}

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (running, broker) = match LogServer::chosen() {
            LogServer::Kafka => {
                let properties = vec![("advertised.listeners".to_owned(), format!("PLAINTEXT://{address}"))];
                let kafka = KafkaServer::start(KafkaOptions { properties, ..Default::default() }).await.unwrap();
                let bootstrap = kafka.bootstrap().to_owned();
                ((Some(kafka), None), bootstrap)
            }
            LogServer::Broker => {
                let dir = tempfile::tempdir().unwrap();
                let mut settings = BrokerSettings::new(dir.path());
                settings.listen.set_port(0);
                settings.advertised = Some((address.ip().to_string(), address.port()));
                let broker = Broker::open(settings).await.unwrap();
                let bootstrap = broker.address().to_string();
                ((None, Some((broker, dir))), bootstrap)
            }
        };
        let wall = Arc::<Wall>::default();
        tokio::spawn(wall.clone().stand(listener, broker));
        let log = created(LogSettings::at(address.to_string())).await;
        Self { wall, log, _running: running }
    }

    async fn append(&self, value: &str) {
        self.log.append(Topic::All, None, NewRecord::of(value.to_owned())).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stuck_reader_is_made_anew_and_reads_each_record_once() {
    require!(Kafka);
    let server = Server::start().await;
    server.append("0").await;
    let mut reader = server.log.read(Topic::All, 0, Offset::ZERO).await.unwrap();
    let mut read = vec![timeout(PATIENCE, reader.next()).await.unwrap().unwrap()];
    server.wall.rise(FETCH, LIST_OFFSETS);
    for value in ["1", "2", "3"] {
        server.append(value).await;
    }
    while read.len() < 4 {
        read.push(timeout(PATIENCE, reader.next()).await.expect("a new client reads on").unwrap());
    }
    let values: Vec<_> = read.into_iter().map(|record| record.value.unwrap()).collect();
    assert_eq!(values, ["0", "1", "2", "3"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stuck_member_of_a_group_says_so() {
    require!(Kafka);
    let server = Server::start().await;
    server.append("0").await;
    let mut member = server.log.join(Topic::All, "members").await.unwrap();
    let first = timeout(PATIENCE, member.next()).await.unwrap().unwrap();
    assert_eq!(first.offset, Offset::ZERO);
    server.wall.rise(FETCH, LIST_OFFSETS);
    server.append("1").await;
    let error = timeout(PATIENCE, member.next()).await.expect("a fresh client is asked").unwrap_err();
    assert!(
        matches!(&error, LogError::Unreachable { reason, .. } if reason.contains("a fresh client is answered")),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stuck_producer_is_made_anew_before_its_records_time_out() {
    require!(Kafka);
    let server = Server::start().await;
    server.append("0").await;
    server.wall.rise(PRODUCE, INIT_PRODUCER_ID);
    let begun = std::time::Instant::now();
    let append = |value: &str| server.log.append_now(Topic::All, None, NewRecord::of(value.to_owned()));
    let open = tokio::spawn(append("1"));
    let appended = timeout(PATIENCE, async {
        // Each record that is handed over lets the producer be looked at, as heartbeats do.
        let mut tried = Vec::new();
        loop {
            tried.push(tokio::spawn(append("2")));
            if let Ok(Ok(Ok(appended))) = timeout(Duration::from_secs(1), tried.last_mut().unwrap()).await {
                return appended;
            }
        }
    });
    let appended = appended.await.expect("a new producer appends");
    // librdkafka's own end of a record's time is 30 s.
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    let error = open.await.unwrap().unwrap_err();
    assert!(matches!(error, LogError::OutcomeOpen { .. }), "{error}");
    assert_eq!(appended.offset, Offset::new(1), "what was held by the wall is not there");
}
