//! What strangers say: valid requests with flipped bytes, wild lengths and cut ends; batches with the same faults whose checksum is right; noise
//! behind a head that is understood; and noise.

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::indexmap::IndexMap;
use kafka_protocol::messages::ApiKey;
use kafka_protocol::records::{Compression, Record, RecordBatchEncoder, RecordEncodeOptions, TimestampType};
use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use crate::client::frame;
use crate::requests::produce;
use crate::world::{KEYED, STRANGER, World};

/// Where a batch's checksum lies, and from where on it is computed.
const CHECKSUM: std::ops::Range<usize> = 17..21;
const CHECKED_FROM: usize = 21;
/// Bytes of a wholly random frame or body, at most.
const NOISE_BYTES: usize = 300;
/// Frames that one stranger sends on one connection, at most.
const FRAMES: usize = 6;

/// What one stranger sends on one connection.
pub fn conversation(world: &World, valid: &[Vec<u8>], random: &mut StdRng) -> Vec<Vec<u8>> {
    (0..random.random_range(1..=FRAMES)).map(|_| one(world, valid, random)).collect()
}

fn one(world: &World, valid: &[Vec<u8>], random: &mut StdRng) -> Vec<u8> {
    match random.random_range(0..20) {
        0..=2 => valid.choose(random).unwrap().clone(),
        3..=6 => wild_batch(random),
        7..=9 => headed_noise(world, random),
        10 => with_length(noise(random)),
        11 => noise(random),
        _ => wild(valid, random),
    }
}

/// A frame that no client sends, made of one that a client may send.
fn wild(valid: &[Vec<u8>], random: &mut StdRng) -> Vec<u8> {
    let mut frame = valid.choose(random).unwrap().clone();
    for _ in 0..random.random_range(1..4) {
        mutate(&mut frame, random);
    }
    // Most have the length that they claim, or little of the rest would be reached.
    if random.random_bool(0.9) {
        let rest = frame.split_off(frame.len().min(4));
        frame = with_length(rest);
    }
    frame
}

/// A valid request with a batch that is not. Half of them have the right checksum: these get behind it, and some are stored.
fn wild_batch(random: &mut StdRng) -> Vec<u8> {
    let mut batch = keyed_batch().to_vec();
    for _ in 0..random.random_range(1..4) {
        mutate(&mut batch, random);
    }
    if random.random_bool(0.5) && batch.len() > CHECKED_FROM {
        let checksum = crc32c::crc32c(&batch[CHECKED_FROM..]);
        batch[CHECKSUM].copy_from_slice(&checksum.to_be_bytes());
    }
    let name = *[STRANGER, KEYED].choose(random).unwrap();
    frame(1, random.random_range(3..=12), &produce(name, batch.into())).to_vec()
}

/// A head that is served, and anything behind it.
fn headed_noise(world: &World, random: &mut StdRng) -> Vec<u8> {
    let api = world.served.choose(random).unwrap();
    let version = random.random_range(api.min_version..=api.max_version);
    let mut frame = BytesMut::new();
    frame.put_i16(api.api_key);
    frame.put_i16(version);
    frame.put_i32(random.random());
    let header_version = ApiKey::try_from(api.api_key).unwrap().request_header_version(version);
    if header_version >= 1 {
        frame.put_i16(-1); // no client id
    }
    if header_version >= 2 {
        frame.put_u8(0); // no tagged fields
    }
    // Small numbers are lengths that can be; noise alone ends at the first.
    let small = random.random_bool(0.5);
    let byte = |random: &mut StdRng| if small { random.random_range(0..4) } else { random.random() };
    for _ in 0..random.random_range(0..NOISE_BYTES) {
        let byte = byte(random);
        frame.put_u8(byte);
    }
    with_length(frame.to_vec())
}

fn noise(random: &mut StdRng) -> Vec<u8> {
    (0..random.random_range(0..NOISE_BYTES)).map(|_| random.random()).collect()
}

fn with_length(mut frame: Vec<u8>) -> Vec<u8> {
    let length = u32::try_from(frame.len()).unwrap();
    frame.splice(..0, length.to_be_bytes());
    frame
}

fn mutate(frame: &mut Vec<u8>, random: &mut StdRng) {
    if frame.is_empty() {
        return;
    }
    let at = random.random_range(0..frame.len());
    match random.random_range(0..8) {
        0..=2 => frame[at] ^= 1 << random.random_range(0..8),
        3 => frame[at] = *[0, 1, 0x7f, 0x80, 0xff].choose(random).unwrap(),
        4 => {
            let length = *[i32::MAX, i32::MIN, -1, 1 << 24, 100_000].choose(random).unwrap();
            let end = frame.len().min(at + 4);
            frame[at..end].copy_from_slice(&length.to_be_bytes()[..end - at]);
        }
        5 => frame.truncate(at),
        6 => {
            let more = random.random_range(1..200);
            frame.extend((0..more).map(|_| random.random::<u8>()));
        }
        _ => {
            let twice = frame[at..frame.len().min(at + 64)].to_vec();
            frame.splice(at..at, twice);
        }
    }
}

/// A batch of keys, a tombstone among them, as a compacted topic takes it.
pub fn keyed_batch() -> Bytes {
    let record = |index: i32, key: &'static str, value: Option<&'static str>| Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: -1,
        producer_id: -1,
        producer_epoch: -1,
        timestamp_type: TimestampType::Creation,
        offset: i64::from(index),
        sequence: index - 1,
        timestamp: 1_700_000_000_000,
        key: Some(Bytes::from_static(key.as_bytes())),
        value: value.map(|value| Bytes::from_static(value.as_bytes())),
        headers: IndexMap::new(),
    };
    let records = [record(0, "a", Some("one")), record(1, "b", Some("two")), record(2, "a", None)];
    let mut bytes = BytesMut::new();
    let options = RecordEncodeOptions { version: 2, compression: Compression::None };
    RecordBatchEncoder::encode(&mut bytes, &records, &options).unwrap();
    bytes.freeze()
}
