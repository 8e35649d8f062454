//! Answer: what leaves on RESPONSES. Responses are made of outcomes and rows, cut into parts, and sent until the log has them.
//!
//! Neighbours: both lanes make answers; clients read them.
//!
//! Invariants
//! 1. A response to ALL leaves after COMMIT, at least once, in the order of the log; its `messageId` is the same whenever it is sent.
//! 2. The group offset of ALL is committed only after every response before it is acknowledged, so a start finds what may be unanswered.
//! 3. All parts of one execution carry one `messageId`.

use crate::outcome::{KeptRows, Outcome};
use crate::plan::Answer;
use crate::rows::Rows;
use crate::status::Status;
use crate::step::{Step, Steps};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use kluster_log::{Log, LogError, NewRecord};
use kluster_protocol::{NodeId, Offset, PART_BYTES, Response, StatementResult, Topic, partition_of};
use serde_json::value::RawValue;
use std::time::Duration;
use tokio::sync::mpsc;

/// A response whose rows are JSON text.
pub type Answered = Response<Box<RawValue>>;

/// At most this many responses are unacknowledged at once.
const IN_FLIGHT: usize = 512;

/// Where a response goes.
#[derive(Debug, Clone)]
pub struct Destination {
    /// The partition asked for.
    pub partition: Option<u32>,
    /// The key that decides otherwise.
    pub key: String,
}

/// One outcome on its way out.
#[derive(Debug)]
pub struct Outgoing {
    response: Answered,
    to: Destination,
    rows: Content,
}

#[derive(Debug)]
enum Content {
    None,
    Whole(Box<Answered>),
    Spooled(Vec<Rows>),
}

/// The answers of one batch, and the place behind it.
#[derive(Debug)]
pub struct Answers {
    /// In the order of the log.
    pub outgoing: Vec<Outgoing>,
    /// The place behind the last record that they answer.
    pub next: Offset,
}

impl Outgoing {
    /// The answer of an outcome just reached.
    pub fn fresh(node: &NodeId, outcome: &Outcome, answer: Answer) -> Self {
        let rows = match answer {
            Answer::Fresh(rows) => rows,
            Answer::Stored => Vec::new(),
        };
        let response = outcome.response(node);
        let to = Destination { partition: outcome.reply_partition, key: outcome.reply_key.clone() };
        let small = rows.iter().map(Rows::bytes).sum::<u64>() <= PART_BYTES as u64;
        let content = match (outcome.error.is_some(), small) {
            (true, _) => Content::None,
            (false, false) => Content::Spooled(rows),
            (false, true) => {
                let kept = rows.into_iter().map(KeptRows::from).collect::<Vec<_>>();
                Content::Whole(Box::new(whole(response.clone(), outcome, Some(kept))))
            }
        };
        Self { response, to, rows: content }
    }

    /// The answer of a stored outcome, sent to who asked for it last; `kept`: its rows, if they are still kept.
    pub fn stored(node: &NodeId, outcome: &Outcome, kept: Option<Vec<KeptRows>>, asked: &Outcome) -> Self {
        let response = Answered { request_id: asked.request_id.clone(), ..outcome.response(node) };
        let to = Destination { partition: asked.reply_partition, key: asked.reply_key.clone() };
        let content = match outcome.error {
            Some(_) => Content::None,
            None => Content::Whole(Box::new(whole(response.clone(), outcome, kept))),
        };
        Self { response, to, rows: content }
    }

    fn into_parts(self) -> Box<dyn Iterator<Item = std::io::Result<Answered>> + Send> {
        match self.rows {
            Content::None => Box::new(std::iter::once(Ok(self.response))),
            Content::Whole(response) => Box::new(std::iter::once(Ok(*response))),
            Content::Spooled(rows) => Box::new(parts(self.response, rows)),
        }
    }
}

impl From<Rows> for KeptRows {
    fn from(rows: Rows) -> Self {
        let columns = rows.columns.clone();
        Self { columns, rows: rows.in_memory().map(<[_]>::to_vec).unwrap_or_default() }
    }
}

/// A response that needs no parts. Rows that were returned and are not kept any more leave the mark that they are gone.
fn whole(mut response: Answered, outcome: &Outcome, kept: Option<Vec<KeptRows>>) -> Answered {
    response.result_gone = outcome.returned && kept.is_none();
    let mut kept = kept.unwrap_or_default().into_iter();
    let mut statement = || kept.next().unwrap_or(KeptRows { columns: Vec::new(), rows: Vec::new() });
    if outcome.list {
        let results = outcome.counts.iter().map(|count| {
            let KeptRows { columns, rows } = statement();
            StatementResult { columns, result: rows, rows_affected: *count }
        });
        response.results = Some(results.collect());
    } else {
        let KeptRows { columns, rows } = statement();
        response.columns = columns;
        response.result = Some(rows);
    }
    response
}

/// A response in parts. In a list's parts `results` names every statement, and holds rows of one of them.
fn parts(base: Answered, rows: Vec<Rows>) -> impl Iterator<Item = std::io::Result<Answered>> + Send {
    let list = base.result.is_none();
    let heads: Vec<_> = rows.iter().map(|rows| (rows.columns.clone(), rows.affected)).collect();
    let chunks = rows.into_iter().enumerate().flat_map(|(index, rows)| chunks(index, rows));
    let mut chunks = chunks.peekable();
    let mut number = 0;
    std::iter::from_fn(move || {
        let chunk = chunks.next()?;
        let last = chunks.peek().is_none();
        let part = chunk.map(|(index, rows)| {
            let mut part = Answered { part: Some(number), last_part: last, ..base.clone() };
            match list {
                true => part.results = Some(list_part(&heads, index, rows)),
                false => {
                    part.columns = heads[0].0.clone();
                    part.result = Some(rows);
                }
            }
            part
        });
        number += 1;
        Some(part)
    })
}

type ChunkIter = Box<dyn Iterator<Item = std::io::Result<(usize, Vec<Box<RawValue>>)>> + Send>;

/// The rows of the statement at `index`, chunk by chunk.
fn chunks(index: usize, rows: Rows) -> ChunkIter {
    match rows.into_rows() {
        Ok(rows) => Box::new(Chunks { rows, done: false }.map(move |chunk| chunk.map(|rows| (index, rows)))),
        Err(error) => Box::new(std::iter::once(Err(error))),
    }
}

fn list_part(
    heads: &[(Vec<kluster_protocol::Column>, u64)],
    index: usize,
    rows: Vec<Box<RawValue>>,
) -> Vec<StatementResult<Box<RawValue>>> {
    let mut rows = Some(rows);
    let mut result = |n: usize| if n == index { rows.take().unwrap_or_default() } else { Vec::new() };
    let heads = heads.iter().enumerate();
    heads
        .map(|(n, (columns, count))| StatementResult {
            columns: columns.clone(),
            result: result(n),
            rows_affected: *count,
        })
        .collect()
}

/// Rows in chunks of about [`PART_BYTES`], at least one chunk.
struct Chunks<I> {
    rows: I,
    done: bool,
}

impl<I: Iterator<Item = std::io::Result<Box<RawValue>>>> Iterator for Chunks<I> {
    type Item = std::io::Result<Vec<Box<RawValue>>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let (mut chunk, mut bytes) = (Vec::new(), 0);
        for row in self.rows.by_ref() {
            match row {
                Ok(row) => {
                    bytes += row.get().len() + 1;
                    chunk.push(row);
                }
                Err(error) => return Some(Err(error)),
            }
            if bytes >= PART_BYTES {
                return Some(Ok(chunk));
            }
        }
        self.done = true;
        (!chunk.is_empty()).then_some(Ok(chunk))
    }
}

/// Sends responses. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Sender {
    log: Log,
    partitions: u32,
}

impl Sender {
    /// A sender to RESPONSES with this many partitions.
    pub fn new(log: Log, partitions: u32) -> Self {
        Self { log, partitions }
    }

    /// Sends one response until the log has it. Only a response that the log will never take ends in an error.
    pub async fn send(&self, response: &Answered, to: &Destination) -> Result<(), LogError> {
        let record = NewRecord::of(serde_json::to_vec(response).expect("a response can be written as JSON"))
            .keyed(to.key.clone());
        let partition = to.partition.filter(|partition| *partition < self.partitions);
        let partition = partition.unwrap_or_else(|| partition_of(to.key.as_bytes(), self.partitions));
        let mut pause = Duration::from_millis(50);
        loop {
            match self.log.append(Topic::Responses, Some(partition), record.clone()).await {
                Ok(_) => return Ok(()),
                Err(error @ (LogError::TooLarge { .. } | LogError::Denied { .. } | LogError::Closed)) => {
                    return Err(error);
                }
                Err(error) => {
                    tracing::warn!(%error, request_id = response.request_id, "a response was not taken by the log; it is sent again");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(5));
                }
            }
        }
    }
}

impl Sender {
    /// Sends a response; where the topic's own limit lies below the protocol's, it leaves without its rows and says so, for the request took effect.
    async fn send_or_shorten(&self, response: &Answered, to: &Destination) -> Result<(), LogError> {
        match self.send(response, to).await {
            Err(LogError::TooLarge { bytes, limit }) => {
                tracing::error!(
                    bytes,
                    limit,
                    request_id = response.request_id,
                    "RESPONSES does not take this answer; raise its max.message.bytes"
                );
                let results = response.results.as_ref().map(|results| {
                    let strip = |result: &StatementResult<_>| StatementResult {
                        result: Vec::new(),
                        columns: Vec::new(),
                        ..result.clone()
                    };
                    results.iter().map(strip).collect()
                });
                let result = response.result.as_ref().map(|_| Vec::new());
                let short = Answered { result, results, result_gone: true, ..response.clone() };
                self.send(&short, to).await
            }
            sent => sent,
        }
    }
}

/// Sends the answers of the ALL lane, batch after batch, and notes in the log how far they have got.
pub async fn run(
    mut answers: mpsc::Receiver<Answers>,
    sender: Sender,
    group: String,
    status: Status,
    steps: Steps,
) -> Result<(), LogError> {
    let mut batches = Vec::new();
    while answers.recv_many(&mut batches, 64).await > 0 {
        let next = batches.last().map(|batch| batch.next);
        steps.reach(Step::Responding).await;
        let mut in_flight = FuturesUnordered::new();
        for outgoing in batches.drain(..).flat_map(|batch| batch.outgoing) {
            let to = outgoing.to.clone();
            for part in outgoing.into_parts() {
                let (part, to, sender) =
                    (part.map_err(|error| LogError::Settings(error.to_string()))?, to.clone(), sender.clone());
                in_flight.push(async move { sender.send_or_shorten(&part, &to).await });
                if in_flight.len() >= IN_FLIGHT {
                    in_flight.next().await.transpose()?;
                }
            }
        }
        while let Some(sent) = in_flight.next().await {
            sent?;
        }
        steps.reach(Step::Responded).await;
        if let Some(next) = next {
            // Only a hint: where it is lost, answers are sent again.
            match sender.log.commit(&group, Topic::All, 0, next).await {
                Ok(()) => status.answered(next),
                Err(error) => tracing::warn!(%error, %next, "the group offset could not be committed"),
            }
        }
        steps.reach(Step::Hinted).await;
    }
    Ok(())
}
