//! Fetch: batches from given offsets on. Where there are not enough, it waits for the high watermark of any of its partitions to move, and wakes
//! at once when one does; nothing is polled.
//!
//! Every fetch is a full one (session id 0). Transactions there are none, so both isolation levels read the same.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::select_all;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::{FetchableTopicResponse, PartitionData};
use kafka_protocol::messages::{FetchRequest, FetchResponse, TopicName};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, sleep, sleep_until};
use uuid::Uuid;

use super::{Answer, Call, wire};
use crate::frame::shape::SMALL_ELEMENTS;
use crate::partition::{Partition, ReadError};

/// From this version on topics are named by id.
const BY_ID: i16 = 13;
/// The isolation level whose answers list aborted transactions.
const READ_COMMITTED: i8 = 1;
/// Bytes of records in one answer at most, beside a first batch that is larger. What a client asks for beyond that it gets with its next request.
const MOST_RECORDS: usize = 8 * 1024 * 1024;
/// Records are in memory twice while an answer is made: as they were read, and in its frame. Afterwards once.
const COPIES: usize = 2;
/// Memory that the making of one answer takes.
pub(crate) const LARGEST_ANSWER: usize = COPIES * MOST_RECORDS;
/// Reading again what was too little is held to so many bytes for each millisecond.
const READ_AGAIN_BYTES_PER_MS: usize = 64 * 1024;
/// The longest wait, whatever is asked for: a peer that left is found out by then at the latest.
const LONGEST_WAIT: Duration = Duration::from_secs(5 * 60);
/// That of a large request: what it holds while it waits is missing to others.
const LONGEST_LARGE_WAIT: Duration = Duration::from_secs(1);
/// A request with more bytes than this is a large one.
const SMALL_BYTES: usize = 64 * 1024;

pub(super) async fn answer(call: &Call, request: FetchRequest) -> Answer<FetchResponse> {
    if request.session_id != 0 && request.session_epoch > 0 {
        return FetchResponse::default().with_error_code(ResponseError::FetchSessionIdNotFound.code()).into();
    }
    let mut bounds = Bounds::of(&request);
    if call.elements > SMALL_ELEMENTS || call.bytes > SMALL_BYTES {
        bounds.wait = bounds.wait.min(LONGEST_LARGE_WAIT);
    }
    let list_aborted = request.isolation_level == READ_COMMITTED;
    let mut topics: Vec<Topic> = request.topics.into_iter().map(|topic| Topic::open(call, topic)).collect();
    let deadline = Instant::now() + bounds.wait;
    loop {
        let round = Round::read(call, &mut topics, bounds.bytes).await;
        let enough = round.bytes >= bounds.least || round.failed;
        if enough || Instant::now() >= deadline || call.shared.stop.is_cancelled() {
            return round.answer(topics, list_aborted);
        }
        let read_in_vain = round.bytes;
        drop(round); // its memory is others' meanwhile
        wait(call, &mut topics, read_in_vain, deadline).await;
    }
}

/// How much is asked for, and for how long.
struct Bounds {
    bytes: usize,
    least: usize,
    wait: Duration,
}

impl Bounds {
    fn of(request: &FetchRequest) -> Self {
        let bytes = usize::try_from(request.max_bytes).unwrap_or_default().min(MOST_RECORDS);
        Self {
            bytes,
            // More than fits an answer can't be waited for.
            least: usize::try_from(request.min_bytes).unwrap_or_default().min(bytes),
            wait: Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or_default()).min(LONGEST_WAIT),
        }
    }
}

/// A topic of the request.
struct Topic {
    name: TopicName,
    id: Uuid,
    wanted: Vec<Wanted>,
}

/// A partition of the request.
struct Wanted {
    index: i32,
    offset: i64,
    max_bytes: usize,
    from: Result<Source, ResponseError>,
}

struct Source {
    partition: Partition,
    moved: watch::Receiver<i64>,
}

impl Topic {
    fn open(call: &Call, topic: FetchTopic) -> Self {
        let FetchTopic { topic: name, topic_id: id, partitions, .. } = topic;
        let found = if call.version >= BY_ID { wire::name_of(call, id) } else { Ok(name.to_string()) };
        let open = |asked: FetchPartition| Wanted {
            index: asked.partition,
            offset: asked.fetch_offset,
            max_bytes: usize::try_from(asked.partition_max_bytes).unwrap_or_default(),
            from: found.clone().and_then(|name| Source::open(call, &name, &asked)),
        };
        Self { name, id, wanted: partitions.into_iter().map(open).collect() }
    }
}

impl Source {
    fn open(call: &Call, topic: &str, asked: &FetchPartition) -> Result<Self, ResponseError> {
        let partition = wire::partition(call, topic, asked.partition)?;
        wire::check_epoch(&partition, asked.current_leader_epoch)?;
        let moved = partition.watch();
        Ok(Self { partition, moved })
    }
}

impl Wanted {
    /// Whether there is something to read, or an error to tell.
    fn ready(&self) -> bool {
        self.from.as_ref().map_or(true, |source| {
            let offsets = source.partition.offsets();
            self.offset != offsets.high_watermark
        })
    }

    /// Bytes of the first batch that would be read; 0 where there is none.
    fn first_batch(&self) -> usize {
        let source = self.from.as_ref().ok();
        source.map_or(0, |source| source.partition.first_batch_bytes(self.offset).unwrap_or_default())
    }

    /// At most so many bytes: they were granted.
    fn read(&mut self, max_bytes: usize) -> Result<Bytes, ResponseError> {
        let source = self.from.as_mut().map_err(|error| *error)?;
        // Seen before it is read: what comes after wakes the wait.
        source.moved.borrow_and_update();
        source.partition.read(self.offset, max_bytes, false).map_err(|error| {
            if matches!(error, ReadError::Damaged { .. } | ReadError::Storage(_)) {
                tracing::error!(%error, "records can't be read");
            }
            error.response()
        })
    }
}

/// What one reading of all partitions gave, in their order.
struct Round {
    read: Vec<Result<Bytes, ResponseError>>,
    bytes: usize,
    failed: bool,
    memory: Option<OwnedSemaphorePermit>,
}

impl Round {
    /// Memory is granted before anything is read. Where even the first batch is larger than what was asked for, it comes all the same, as with
    /// Kafka, once there is memory for it.
    async fn read(call: &Call, topics: &mut [Topic], max_bytes: usize) -> Self {
        let ready = topics.iter().flat_map(|topic| &topic.wanted).any(Wanted::ready);
        let asked = topics.iter().flat_map(|topic| &topic.wanted).map(|wanted| wanted.max_bytes);
        let most = asked.fold(0_usize, usize::saturating_add).min(max_bytes);
        let memory = if ready { Some(call.shared.grant_answer(COPIES * most).await) } else { None };
        let round = Self::fill(topics, max_bytes, 0, memory);
        if !ready || round.bytes > 0 {
            return round;
        }
        let mut firsts = topics.iter().flat_map(|topic| &topic.wanted).map(Wanted::first_batch);
        let Some(first) = firsts.find(|bytes| *bytes > 0) else { return round };
        drop(round); // its memory may be what is waited for
        let memory = call.shared.grant_answer(COPIES * first).await;
        Self::fill(topics, max_bytes, first, Some(memory))
    }

    /// Reads all partitions, the first batch if it has so many bytes at most, and keeps the memory that the answer's making takes.
    fn fill(topics: &mut [Topic], max_bytes: usize, first: usize, mut memory: Option<OwnedSemaphorePermit>) -> Self {
        let (mut read, mut bytes, mut failed) = (Vec::new(), 0, false);
        for wanted in topics.iter_mut().flat_map(|topic| &mut topic.wanted) {
            let room = wanted.max_bytes.min(max_bytes.saturating_sub(bytes));
            let got = wanted.read(if bytes == 0 { room.max(first) } else { room });
            bytes += got.as_ref().map_or(0, Bytes::len);
            failed |= got.is_err();
            read.push(got);
        }
        if let Some(granted) = &mut memory {
            drop(granted.split(granted.num_permits().saturating_sub(COPIES * bytes)));
        }
        Self { read, bytes, failed, memory }
    }

    fn answer(self, topics: Vec<Topic>, list_aborted: bool) -> Answer<FetchResponse> {
        let mut read = self.read.into_iter();
        let topic = |topic: Topic| {
            let partition = |(wanted, read): (Wanted, _)| partition_data(&wanted, read, list_aborted);
            let partitions = topic.wanted.into_iter().zip(&mut read).map(partition).collect();
            FetchableTopicResponse::default().with_topic(topic.name).with_topic_id(topic.id).with_partitions(partitions)
        };
        let response = FetchResponse::default().with_responses(topics.into_iter().map(topic).collect());
        match self.memory {
            Some(memory) => Answer::Sized(response, memory),
            None => Answer::Send(response),
        }
    }
}

fn partition_data(wanted: &Wanted, read: Result<Bytes, ResponseError>, list_aborted: bool) -> PartitionData {
    let aborted = list_aborted.then(Vec::new);
    let data = PartitionData::default().with_partition_index(wanted.index).with_aborted_transactions(aborted);
    let found = wanted.from.as_ref().map_err(|error| *error).and_then(|source| Ok((read?, source)));
    match found {
        Ok((records, source)) => {
            let offsets = source.partition.offsets();
            data.with_high_watermark(offsets.high_watermark)
                .with_last_stable_offset(offsets.high_watermark)
                .with_log_start_offset(offsets.log_start)
                .with_records(Some(records))
        }
        Err(error) => data.with_error_code(error.code()).with_high_watermark(-1).with_records(Some(Bytes::new())),
    }
}

/// Until a high watermark has moved (or a topic is gone), the deadline has come, or the broker stops.
///
/// A client that asks for many bytes at least has all of them read again each time. So that this stays cheap, it waits the longer the more was
/// read in vain; one that takes whatever there is never waits for this.
async fn wait(call: &Call, topics: &mut [Topic], read_in_vain: usize, deadline: Instant) {
    let moved = async {
        any(topics).await;
        let pause = u64::try_from(read_in_vain / READ_AGAIN_BYTES_PER_MS).unwrap_or(u64::MAX);
        if pause > 0 {
            sleep(Duration::from_millis(pause)).await;
        }
    };
    tokio::select! {
        () = moved => {}
        () = sleep_until(deadline) => {}
        () = call.shared.stop.cancelled() => {}
    }
}

async fn any(topics: &mut [Topic]) {
    let wanted = topics.iter_mut().flat_map(|topic| &mut topic.wanted);
    let moved = wanted.filter_map(|wanted| wanted.from.as_mut().ok()).map(|source| Box::pin(source.moved.changed()));
    let moved: Vec<_> = moved.collect();
    if moved.is_empty() {
        return std::future::pending().await;
    }
    // A sender that is gone is found out by reading.
    let _ = select_all(moved).await;
}
