//! Batches as a producer sends them, and what is in those that are read; a data directory with one topic.

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::records::{
    Compression, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, NO_SEQUENCE, Record, RecordBatchDecoder, RecordBatchEncoder,
    RecordEncodeOptions, TimestampType,
};
use kluster_broker::batch::BatchHeader;
use kluster_broker::fault::disk::DiskFaults;
use kluster_broker::lock::LockError;
use kluster_broker::partition::{AppendError, Appended, Partition};
use kluster_broker::topics::{OpenError, Topics};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A record without key.
pub fn record(value: &str) -> Record {
    Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: 0,
        producer_id: NO_PRODUCER_ID,
        producer_epoch: NO_PRODUCER_EPOCH,
        timestamp_type: TimestampType::Creation,
        offset: 0,
        sequence: NO_SEQUENCE,
        timestamp: 1000,
        key: None,
        value: Some(Bytes::copy_from_slice(value.as_bytes())),
        headers: Default::default(),
    }
}

/// A record with a key; None: a tombstone.
pub fn keyed(key: &str, value: Option<&str>) -> Record {
    let value = value.map(|value| Bytes::copy_from_slice(value.as_bytes()));
    Record { key: Some(Bytes::copy_from_slice(key.as_bytes())), value, ..record("") }
}

/// One batch of these records, not compressed; its sequence numbers begin with the first record's.
pub fn batch_of(records: &[Record]) -> Bytes {
    let first = records[0].sequence;
    // The encoder begins another batch where sequences do not rise with the offsets.
    let number = |(index, record): (usize, &Record)| Record {
        offset: index as i64,
        sequence: first.wrapping_add(index as i32),
        ..record.clone()
    };
    let numbered: Vec<Record> = records.iter().enumerate().map(number).collect();
    let mut bytes = BytesMut::new();
    let options = RecordEncodeOptions { version: 2, compression: Compression::None };
    RecordBatchEncoder::encode(&mut bytes, &numbered, &options).unwrap();
    bytes.freeze()
}

/// One batch of records with these values.
pub fn batch(values: &[&str]) -> Bytes {
    batch_of(&values.iter().map(|value| record(value)).collect::<Vec<_>>())
}

/// Changes a batch and makes its checksum right again.
pub fn rewrite(batch: &mut [u8], change: impl FnOnce(&mut [u8])) {
    change(batch);
    let crc = crc32c::crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
}

/// The same batch as if compressed: opaque to the broker.
pub fn as_if_compressed(batch: &Bytes) -> Bytes {
    let mut changed = BytesMut::from(&batch[..]);
    rewrite(&mut changed, |batch| batch[22] |= 4);
    changed.freeze()
}

/// Batches one after the other.
pub fn joined(batches: &[Bytes]) -> Bytes {
    let mut all = BytesMut::new();
    batches.iter().for_each(|batch| all.put_slice(batch));
    all.freeze()
}

/// All records of batches that were read.
pub fn records(mut batches: Bytes) -> Vec<Record> {
    let sets = RecordBatchDecoder::decode_all(&mut batches).unwrap();
    sets.into_iter().flat_map(|set| set.records).collect()
}

/// Offset and value of each.
pub fn values(batches: Bytes) -> Vec<(i64, String)> {
    records(batches).iter().map(offset_and_value).collect()
}

fn offset_and_value(record: &Record) -> (i64, String) {
    (record.offset, String::from_utf8(record.value.clone().unwrap_or_default().to_vec()).unwrap())
}

/// Every record that may be read, from the log's start. As a consumer does, it goes on after the last batch, not after the last record:
/// compaction may have removed the batch's last ones.
pub fn all_records(partition: &Partition) -> Vec<Record> {
    let mut found = Vec::new();
    let mut next = partition.offsets().log_start;
    loop {
        let read = partition.read(next, 100, true).unwrap();
        if read.is_empty() {
            return found;
        }
        found.extend(records(read.clone()).into_iter().filter(|record| record.offset >= next));
        let mut at = 0;
        while at < read.len() {
            let header = BatchHeader::parse(&read[at..]).unwrap();
            next = header.next_offset();
            at += header.size;
        }
    }
}

/// Offset and value of every record that may be read.
pub fn all(partition: &Partition) -> Vec<(i64, String)> {
    all_records(partition).iter().map(offset_and_value).collect()
}

/// Appends and waits for the disk.
pub async fn store(partition: &Partition, batches: Bytes) -> Result<Appended, AppendError> {
    let appended = partition.append(batches, 1000)?;
    partition.durable(appended.next_offset).await?;
    Ok(appended)
}

/// A data directory with a topic `t` of one partition.
pub struct Store {
    pub topics: Topics,
    pub partition: Partition,
    pub dir: TempDir,
}

impl Store {
    pub fn new(configs: &[(&str, &str)]) -> Self {
        Self::with_faults(configs, Arc::default())
    }

    pub fn with_faults(configs: &[(&str, &str)], faults: Arc<DiskFaults>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let topics = Topics::open(dir.path(), faults).unwrap();
        let configs: Vec<_> = configs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        topics.create("t", 1, &configs).unwrap();
        let partition = topics.partition("t", 0).unwrap();
        Self { topics, partition, dir }
    }

    /// Gives up everything without closing it, as a crash does.
    pub fn crash(self) -> TempDir {
        self.dir
    }

    /// Crashes and starts again.
    pub fn restarted(self) -> Self {
        Self::open(self.crash())
    }

    pub fn open(dir: TempDir) -> Self {
        let topics = reopened(dir.path());
        let partition = topics.partition("t", 0).unwrap();
        Self { topics, partition, dir }
    }
}

/// Opens a directory that a thread of its last user may still hold for a moment.
pub fn reopened(dir: &Path) -> Topics {
    try_reopened(dir).unwrap_or_else(|error| panic!("{error}"))
}

/// The same, where it may be refused for another reason.
pub fn try_reopened(dir: &Path) -> Result<Topics, OpenError> {
    try_reopened_with(dir, Arc::default())
}

/// Opens it with faults.
pub fn reopened_with(dir: &Path, faults: Arc<DiskFaults>) -> Topics {
    try_reopened_with(dir, faults).unwrap_or_else(|error| panic!("{error}"))
}

fn try_reopened_with(dir: &Path, faults: Arc<DiskFaults>) -> Result<Topics, OpenError> {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match Topics::open(dir, Arc::clone(&faults)) {
            Err(OpenError::Lock(LockError::Held { .. })) if Instant::now() < deadline => std::thread::yield_now(),
            opened => return opened,
        }
    }
}

/// The directory of the topic's one partition.
pub fn partition_dir(dir: &TempDir) -> PathBuf {
    dir.path().join("t-0")
}

/// The files of that directory with this extension, by name.
pub fn files(dir: &TempDir, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(partition_dir(dir)).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|it| it == extension)).collect();
    files.sort();
    files
}

/// A copy of a directory, so that each attempt has its own.
pub fn copied(dir: &TempDir) -> TempDir {
    let copied = tempfile::tempdir().unwrap();
    copy(dir.path(), copied.path());
    copied
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let source = entry.unwrap().path();
        let target = to.join(source.file_name().unwrap());
        if source.is_dir() {
            fs::create_dir(&target).unwrap();
            copy(&source, &target);
        } else {
            fs::copy(&source, &target).unwrap();
        }
    }
}
