//! The ONE lane: executes the reads of ONE that Kafka gives this node, many at once, in read-only snapshots. `all_lane` is its serial sister.
//!
//! read (group) → wait for a free session → admit → wait for `minOffset` → read in a snapshot (`dbms::Reads`) → answer in parts → done. What is
//! taken and not answered is in `taken`, what becomes of one record in `answer`, how rows become parts in `result`; here the lane takes part in
//! the group.
//!
//! Invariants
//! 1. A read sees a committed prefix of ALL, and its answer says which: the offset in its own snapshot.
//! 2. No read stops a node: whatever goes wrong is an answer.
//! 3. Nothing but `drain` ends the lane: where the group is lost it joins again, for ever, and says so. What cannot be decoded does not end
//!    it, for it would end the lane of each node in turn: it is said and counted.
//! 4. A read that its client gives up (`EndRead`) is ended wherever it is, and answered `cancelled`.
//! 5. A stream that broke behind its first row ends in an error; it never goes on in another execution.

mod answer;
mod result;
mod taken;

use crate::answer::Sender;
use crate::dbms::Reads;
use crate::fault::Cause;
use crate::report::{Lasting, Reporter};
use crate::start::{LOG_AWAY, log_fault};
use crate::status::{Away, Status};
use kluster_log::{GroupReader, Log, LogError, Record};
use kluster_protocol::{EndRead, ErrorClass, Kind, NodeId, NodeState, Topic, header};
use kluster_sql::Dialect;
use std::sync::Arc;
use std::time::Duration;
use taken::{Asked, Taken};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Before the group is joined again; doubled up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// How often the lane looks how the group fares. A group that was joined so long ago without an error is well.
const LOOK: Duration = Duration::from_secs(1);

/// So long the lane waits to leave the group in order: the log may be what is away.
const LEAVES_WITHIN: Duration = Duration::from_secs(5);

/// What the lane is made of.
#[derive(Debug, Clone)]
pub struct OneLane {
    /// This node.
    pub node: NodeId,
    /// The log.
    pub log: Log,
    /// The SQL of its DBMS.
    pub dialect: Dialect,
    /// The door to the database.
    pub reads: Reads,
    /// Where answers go.
    pub sender: Sender,
    /// How far the ALL lane is, and where this one says that it is away.
    pub status: Status,
    /// Where trouble is reported.
    pub reporter: Reporter,
    /// At most this many reads at once.
    pub max_reads: usize,
}

impl OneLane {
    /// Takes part in ONE from the moment the node has caught up and counts, until drained; reads under way are finished.
    pub async fn run(self, drain: CancellationToken) {
        let mut status = self.status.watch();
        let ready = status.wait_for(|now| now.state == NodeState::Ready);
        tokio::select! {
            biased;
            () = drain.cancelled() => return,
            ready = ready => if ready.is_err() { return },
        }
        let (mut lasting, mut pause) = (Lasting::default(), FIRST_PAUSE);
        while let Err(error) = self.take_part(&mut lasting, &drain).await {
            if lasting.lasted().is_none() {
                pause = FIRST_PAUSE;
            }
            self.is_away(&mut lasting, Duration::ZERO, error, pause).await;
            tokio::select! {
                biased;
                () = drain.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Joins and serves until drained; an error: the group is lost. Either way the reads under way are finished.
    async fn take_part(&self, lasting: &mut Lasting, drain: &CancellationToken) -> Result<(), LogError> {
        let name = self.log.names().group_of_one();
        let mut group = tokio::select! {
            biased;
            () = drain.cancelled() => return Ok(()),
            group = self.log.join(Topic::One, &name) => group?,
        };
        let result = self.serve(&mut group, lasting, drain).await;
        match tokio::time::timeout(LEAVES_WITHIN, group.leave()).await {
            Ok(Ok(())) => {}
            // What is not committed is read again by whoever shares its partition next.
            Ok(Err(error)) => tracing::warn!(node = %self.node, %error, "the group of reads was not left in order"),
            Err(_) => tracing::warn!(node = %self.node, "the group of reads was not left in time"),
        }
        result
    }

    async fn serve(
        &self,
        group: &mut GroupReader,
        lasting: &mut Lasting,
        drain: &CancellationToken,
    ) -> Result<(), LogError> {
        let lane = Arc::new(self.clone());
        let (mut taken, mut reads) = (Taken::default(), JoinSet::new());
        let mut looks = tokio::time::interval_at(Instant::now() + LOOK, LOOK);
        let mut undecodable = 0;
        let ended = loop {
            while reads.len() < self.max_reads
                && let Some(asked) = taken.next()
            {
                reads.spawn(answered(lane.clone(), asked));
            }
            tokio::select! {
                biased;
                () = drain.cancelled() => break Ok(()),
                Some(done) = reads.join_next(), if !reads.is_empty() => mark(group, &mut taken, done),
                _ = looks.tick() => self.look(group, lasting, &mut undecodable).await,
                record = group.next(), if !taken.is_full() => match record {
                    Err(error) => break Err(error),
                    Ok(record) if record.header(header::KIND) == Some(Kind::END_READ.as_bytes()) => {
                        if let Some(waited) = ended(&mut taken, &record) {
                            reads.spawn(answered(lane.clone(), waited));
                        }
                        group.done(&record);
                    }
                    Ok(record) => taken.add(Asked::of(record)),
                }
            }
        };
        // What still waits is not marked, and is read again by whoever shares its partition next.
        while let Some(done) = reads.join_next().await {
            mark(group, &mut taken, done);
        }
        ended
    }

    /// Says how the group fares.
    async fn look(&self, group: &GroupReader, lasting: &mut Lasting, undecodable: &mut u64) {
        let before = std::mem::replace(undecodable, group.undecodable());
        self.status.reads_undecodable(*undecodable - before);
        if before == 0 && *undecodable > 0 {
            let message = "a batch of ONE cannot be decoded, and nobody answers what is in it. If it cannot be decompressed, what lies behind it in its partition waits until it expires or is deleted (kafka-delete-records)";
            self.reporter.say(ErrorClass::Alarm, None, &Cause::new("undecodable", message), None).await;
        }
        match group.trouble() {
            Some(trouble) if trouble.lasting >= LOG_AWAY => {
                let error = LogError::Unreachable { doing: "reading ONE".into(), reason: trouble.reason };
                self.is_away(lasting, trouble.lasting, error, Duration::ZERO).await;
            }
            Some(_) => {}
            None => {
                self.status.reads_are(None);
                std::mem::take(lasting).over(&self.reporter).await;
            }
        }
    }

    /// Says that reads are not answered, and why, for so long already.
    async fn is_away(&self, lasting: &mut Lasting, ago: Duration, error: LogError, pause: Duration) {
        let fault = log_fault(error);
        let Cause { code, message } = fault.cause();
        tracing::warn!(node = %self.node, code, message, "reads of ONE are not answered here; trying on");
        let since_ms = lasting.goes_on(&self.reporter, ago);
        self.status.reads_are(Some(Away { since_ms, code: code.clone() }));
        let cause = Cause::new(code, format!("reads of ONE are not answered by this node: {message}"));
        lasting.report(&self.reporter, ErrorClass::Transient, None, &cause, pause).await;
    }
}

async fn answered(lane: Arc<OneLane>, asked: Asked) -> Record {
    lane.answer(&asked).await;
    asked.record
}

/// Ends the read that this record names; one that was waiting is given out, to be answered at once.
fn ended(taken: &mut Taken, record: &Record) -> Option<Asked> {
    match serde_json::from_slice::<EndRead>(record.value.as_deref().unwrap_or_default()) {
        Ok(end) => taken.end(&end),
        Err(error) => {
            tracing::warn!(%error, offset = %record.offset, "a record of ONE that should end a read names none");
            None
        }
    }
}

fn mark(group: &mut GroupReader, taken: &mut Taken, done: Result<Record, tokio::task::JoinError>) {
    match done {
        Ok(record) => {
            taken.over(&record);
            group.done(&record);
        }
        // The record is not marked, so it is read again by whoever shares its partition next.
        Err(error) => tracing::error!(%error, "a read ended without an answer"),
    }
}
