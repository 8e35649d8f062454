//! Strangers on the socket: random frames, and valid ones with flipped bytes, wild lengths, cut ends. Whatever comes, the broker does not panic,
//! its memory stays where it was, what it has stored can be read, and the next client is served. `KLUSTER_FUZZ_SEED` and `KLUSTER_FUZZ_CONNECTIONS` give another run, or a longer one.

#![allow(clippy::unwrap_used)]

#[allow(dead_code)]
#[path = "protocol/client.rs"]
mod client;
#[path = "fuzz/requests.rs"]
mod requests;
#[path = "fuzz/wild.rs"]
mod wild;
#[path = "fuzz/world.rs"]
mod world;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use client::{Client, batch};
use kafka_protocol::messages::{MetadataRequest, ProduceRequest};
use kluster_broker::{Broker, BrokerSettings};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use world::{KEYED, STRANGER, World, assert_readable};

/// Connections of a run, each with a few frames. They take a few seconds.
const CONNECTIONS: usize = 10_000;
/// After so many connections a client asks whether it is still served, and memory is measured.
const CHECK_EVERY: usize = 1_000;
/// Who send at the same time.
const STRANGERS: usize = 20;
/// How long a stranger stays for an answer. Long polls take longer; they are left.
const PATIENCE: Duration = Duration::from_millis(20);
/// By how much resident memory may grow after the first check: the bounds on requests below, and what an allocator keeps of what it got back.
const GROWTH_BYTES: usize = 64 * 1024 * 1024;
/// The bound on one request.
const FRAME_BYTES: usize = 1024 * 1024;

static PANICS: AtomicUsize = AtomicUsize::new(0);

async fn serve(dir: &TempDir) -> Broker {
    let mut settings = BrokerSettings::new(dir.path());
    settings.listen.set_port(0);
    settings.max_frame_bytes = FRAME_BYTES;
    settings.request_memory_bytes = 8 * FRAME_BYTES;
    settings.answer_memory_bytes = 8 * FRAME_BYTES;
    settings.stall = Duration::from_millis(200);
    settings.max_partitions = 200;
    Broker::open(settings).await.unwrap()
}

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_frame_breaks_the_broker() {
    let told = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        told(panic);
    }));
    let seed = number("KLUSTER_FUZZ_SEED", 1);
    let connections = number("KLUSTER_FUZZ_CONNECTIONS", CONNECTIONS);
    println!("seed {seed}, {connections} connections");
    let dir = TempDir::new().unwrap();
    let broker = serve(&dir).await;
    let mut at_first = 0;
    for round in 0..connections.div_ceil(CHECK_EVERY) {
        let world = World::of(broker.address()).await;
        let told = Arc::new((requests::valid(&world), world));
        let mut strangers = JoinSet::new();
        for stranger in 0..STRANGERS {
            let random = StdRng::seed_from_u64((seed + (round * STRANGERS + stranger) * 1_000_003) as u64);
            strangers.spawn(bother(broker.address(), Arc::clone(&told), random, CHECK_EVERY / STRANGERS));
        }
        strangers.join_all().await;
        assert_eq!(PANICS.load(Ordering::Relaxed), 0, "seed {seed}, round {round}: see the panic above");
        assert_served(broker.address()).await;
        let resident = resident_bytes();
        // What the first round makes is there to stay: threads, caches, a few topics.
        at_first = if round == 0 { resident } else { at_first };
        let grown = resident.saturating_sub(at_first);
        assert!(grown < GROWTH_BYTES, "seed {seed}, round {round}: {grown} bytes more than at first");
    }
    World::of(broker.address()).await;
    // What strangers have said and left behind a long poll is still done; after a stop nothing is.
    broker.stop().await.unwrap();
    let broker = serve(&dir).await;
    let end = assert_all_readable(broker.address()).await;
    println!("{end:?}: offsets reached in the two topics");
    assert!(end.iter().all(|end| *end > 100), "strangers' batches are stored too");
    broker.stop().await.unwrap();
    let broker = serve(&dir).await;
    assert_eq!(assert_all_readable(broker.address()).await, end);
    broker.stop().await.unwrap();
    assert_eq!(PANICS.load(Ordering::Relaxed), 0, "seed {seed}: see the panic above");
}

async fn assert_all_readable(address: SocketAddr) -> [i64; 2] {
    [assert_readable(address, STRANGER).await, assert_readable(address, KEYED).await]
}

/// One stranger's connections.
async fn bother(address: SocketAddr, told: Arc<(Vec<Vec<u8>>, World)>, mut random: StdRng, connections: usize) {
    for _ in 0..connections {
        let frames = wild::conversation(&told.1, &told.0, &mut random).concat();
        send(address, &frames, random.random_bool(0.5)).await;
    }
}

#[tokio::test]
async fn claimed_lengths_take_no_memory_and_no_turn_for_ever() {
    let dir = TempDir::new().unwrap();
    let broker = serve(&dir).await;
    assert_served(broker.address()).await;
    let before = resident_bytes();
    let mut claiming = Vec::new();
    for _ in 0..200 {
        let mut stranger = TcpStream::connect(broker.address()).await.unwrap();
        let mut claim = u32::try_from(FRAME_BYTES).unwrap().to_be_bytes().to_vec();
        claim.extend([0, 0, 0, 9, 0, 0, 0, 1]);
        stranger.write_all(&claim).await.unwrap();
        claiming.push(stranger);
    }
    assert_served(broker.address()).await;
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 32 * FRAME_BYTES, "{grown} bytes for 200 claims of {FRAME_BYTES}");
    broker.stop().await.unwrap();
}

/// Sends frames from a new connection, and takes what comes. Some leave at once; the others stay for an answer, though not for long.
async fn send(address: SocketAddr, frames: &[u8], leaves: bool) {
    let mut stranger = TcpStream::connect(address).await.unwrap();
    // The broker may have closed before all was written.
    let _ = stranger.write_all(frames).await;
    let mut taken = [0; 4096];
    if leaves {
        let _ = stranger.shutdown().await;
        let all = async { while stranger.read(&mut taken).await.is_ok_and(|bytes| bytes > 0) {} };
        let _ = timeout(5 * PATIENCE, all).await;
    } else {
        let _ = timeout(PATIENCE, stranger.read(&mut taken)).await;
    }
}

async fn assert_served(address: SocketAddr) {
    let mut client = Client::connect(address).await;
    let topics = client.call(12, MetadataRequest::default().with_topics(Some(Vec::new()))).await;
    assert_eq!(topics.brokers.len(), 1);
    let request: ProduceRequest = requests::produce("not-there", batch(&["x"]));
    assert_eq!(client.call(9, request).await.responses.len(), 1);
}

/// Resident memory of this process, broker and test together (Linux).
fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    let kib: usize = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib * 1024
}
