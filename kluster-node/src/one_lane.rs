//! The ONE lane: executes the reads of ONE that Kafka gives this node, many at once, in read-only snapshots. `all_lane` is its serial sister.
//!
//! read (group) → admit → wait for `minOffset` → read in a snapshot (`dbms::Reads`) → answer in parts → done
//!
//! Invariants
//! 1. A read sees a committed prefix of ALL, and its answer says which: the offset in its own snapshot.
//! 2. No read stops a node: whatever goes wrong is an answer.
//! 3. Nothing but `drain` ends the lane: where the group is lost it joins again, for ever, and says so. What cannot be decoded is passed over and
//!    counted, for it would end the lane of each node in turn.
//! 4. A stream that broke behind its first row ends in an error; it never goes on in another execution.

use crate::admit::{by_rule, check_params, reply_partition};
use crate::answer::{Answered, Destination, Sender};
use crate::dbms::{Read, ReadError, ReadEvent, Reads, StateRow, WorkStatement};
use crate::fault::{Cause, Refusal};
use crate::plan::members;
use crate::report::{Lasting, Reporter};
use crate::start::{LOG_AWAY, log_fault};
use crate::state::State;
use crate::status::{Away, Status};
use kluster_log::{GroupReader, Log, LogError, Record};
use kluster_protocol::{
    Body, Column, ErrorClass, ErrorCode, MAX_ROW_BYTES, Members, MessageId, NodeId, NodeState, Offset, PART_BYTES,
    Request, RequestTopic, Response, ResponseError, StatementResult, Topic,
};
use kluster_sql::{Dialect, Fences};
use serde_json::value::RawValue;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A read may take this long, waiting included, unless it asks for less.
const TIME: Duration = Duration::from_secs(30);

/// Before the group is joined again; doubled up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// How often the lane looks how the group fares. A group that was joined so long ago without an error is well.
const LOOK: Duration = Duration::from_secs(1);

/// So long the lane waits to leave the group in order: the log may be what is away.
const LEAVES_WITHIN: Duration = Duration::from_secs(5);

/// A read whose connection was lost before its first row is tried this often.
const TRIES: u32 = 3;

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
        let mut reads: JoinSet<Record> = JoinSet::new();
        let mut looks = tokio::time::interval_at(Instant::now() + LOOK, LOOK);
        let mut passed_over = 0;
        let ended = loop {
            let full = reads.len() >= self.max_reads;
            tokio::select! {
                biased;
                () = drain.cancelled() => break Ok(()),
                Some(done) = reads.join_next(), if !reads.is_empty() => mark(group, done),
                _ = looks.tick() => self.look(group, lasting, &mut passed_over).await,
                record = group.next(), if !full => {
                    let record = match record {
                        Ok(record) => record,
                        Err(error) => break Err(error),
                    };
                    let lane = lane.clone();
                    reads.spawn(async move {
                        lane.answer(&record).await;
                        record
                    });
                }
            }
        };
        while let Some(done) = reads.join_next().await {
            mark(group, done);
        }
        ended
    }

    /// Says how the group fares.
    async fn look(&self, group: &GroupReader, lasting: &mut Lasting, passed_over: &mut u64) {
        let passed = group.passed_over() - std::mem::replace(passed_over, group.passed_over());
        if passed > 0 {
            self.status.reads_passed_over(passed);
            let message =
                format!("{passed} records of ONE cannot be decoded and were passed over; their clients get no answer");
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

    /// Answers one record of ONE.
    async fn answer(&self, record: &Record) {
        let (asked, to) = match Request::parse(record.value.as_deref()) {
            Ok(request) => {
                let key = request.client_id.as_str().to_owned();
                (Ok(request), Destination { partition: reply_partition(record), key })
            }
            Err(bad) => {
                let id =
                    bad.message_id.as_ref().map_or_else(|| format!("@{}", record.offset), |id| id.as_str().to_owned());
                let key = bad.client_id.as_ref().map_or_else(|| id.clone(), |id| id.as_str().to_owned());
                (Err((id, bad)), Destination { partition: reply_partition(record), key })
            }
        };
        let request_id = match &asked {
            Ok(request) => request.message_id.as_str().to_owned(),
            Err((id, _)) => id.clone(),
        };
        let mut out = Out::new(self, &request_id, to);
        let result = match asked {
            Ok(request) => self.execute(&request, &mut out).await,
            Err((_, bad)) => {
                let code = if bad.too_large { ErrorCode::TooLarge } else { ErrorCode::BadRequest };
                Err(ResponseError::new(code, bad.reason))
            }
        };
        if let Err(refusal) = result {
            out.refuse(refusal).await;
        }
    }

    async fn execute(&self, request: &Request, out: &mut Out) -> Result<(), Refusal> {
        let statements = admitted(self.dialect, request)?;
        let time = request.timeout_ms.map_or(TIME, Duration::from_millis).min(TIME);
        let deadline = Instant::now() + time;
        self.wait_for(request.min_offset, deadline).await?;
        let list = matches!(request.body, Body::List { .. });
        let mut tries = 1;
        loop {
            let timeout = deadline.saturating_duration_since(Instant::now());
            let read = Read { statements: statements.clone(), timeout };
            match tokio::time::timeout_at(deadline, self.read(&read, list, out)).await {
                Err(_) => return Err(timed_out(time)),
                Ok(Ok(())) => return Ok(()),
                Ok(Err(ReadError::Refused(refusal))) => return Err(refusal),
                Ok(Err(ReadError::Lost(_))) if tries < TRIES && !out.began() => tries += 1,
                Ok(Err(error)) => return Err(ResponseError::new(ErrorCode::Unavailable, error.to_string())),
            }
        }
    }

    /// Waits until the ALL lane has applied `min`.
    async fn wait_for(&self, min: Option<Offset>, deadline: Instant) -> Result<(), Refusal> {
        let Some(min) = min else { return Ok(()) };
        let mut status = self.status.watch();
        let reached = status.wait_for(|now| now.applied >= Some(min));
        match tokio::time::timeout_at(deadline, reached).await {
            Ok(_) => Ok(()),
            Err(_) => {
                let applied =
                    self.status.now().applied.map_or("nothing".to_owned(), |applied| format!("offset {applied}"));
                let message =
                    format!("this node has applied {applied}, not yet {min}; ask again, another node may be further");
                Err(ResponseError::new(ErrorCode::NotYet, message))
            }
        }
    }

    /// Executes the read while its rows leave.
    async fn read(&self, read: &Read, list: bool, out: &mut Out) -> Result<(), ReadError> {
        let (events, said) = mpsc::channel(256);
        let reading = async {
            let result = self.reads.read(read, &events).await;
            drop(events);
            result
        };
        let answering = async {
            // Owned, so that a refused row closes the channel and ends the read.
            let mut said = said;
            let mut result = Building::new(list);
            while let Some(event) = said.recv().await {
                if let Some(full) = result.take(event)? {
                    out.part(full, false).await;
                }
            }
            Ok::<_, Refusal>(result)
        };
        let (read, built) = tokio::join!(reading, answering);
        let built = built.map_err(ReadError::Refused)?;
        read?;
        out.part(built, true).await;
        Ok(())
    }
}

fn mark(group: &mut GroupReader, done: Result<Record, tokio::task::JoinError>) {
    match done {
        Ok(record) => group.done(&record),
        // The record is not marked, so it is read again by whoever shares its partition next.
        Err(error) => tracing::error!(%error, "a read ended without an answer"),
    }
}

fn timed_out(time: Duration) -> Refusal {
    let message = format!("the read took longer than {} ms; ask for less, or allow more time", time.as_millis());
    ResponseError::new(ErrorCode::TimedOut, message)
}

fn admitted(dialect: Dialect, request: &Request) -> Result<Vec<WorkStatement>, Refusal> {
    let many = request.statements().len() > 1;
    let statements = request.statements().iter().enumerate().map(|(index, statement)| {
        let named = |refusal: Refusal| Refusal { statement_index: many.then_some(index as u32), ..refusal };
        let verdict =
            kluster_sql::admit_read(dialect, &statement.sql_string).map_err(|refusal| named(by_rule(refusal)))?;
        check_params(statement, verdict.params as usize).map_err(named)?;
        let (params, expect_rows) = (statement.params.clone(), statement.expect_rows);
        Ok(WorkStatement { sql: verdict.sql.into_owned(), params, expect_rows, fences: Fences::default() })
    });
    statements.collect()
}

/// A result as it is built from what the read says.
struct Building {
    list: bool,
    snapshot: Option<State>,
    results: Vec<StatementResult<Box<RawValue>>>,
    bytes: usize,
}

impl Building {
    fn new(list: bool) -> Self {
        Self { list, snapshot: None, results: Vec::new(), bytes: 0 }
    }

    /// Takes in what the read said; a part that is full is given out.
    fn take(&mut self, event: ReadEvent) -> Result<Option<Self>, Refusal> {
        match event {
            ReadEvent::Snapshot(row) => self.snapshot = row.map(parse).transpose()?,
            ReadEvent::Columns(columns) => {
                self.results.push(StatementResult { columns, result: Vec::new(), rows_affected: 0 })
            }
            ReadEvent::Row(row) => return self.row(row),
            ReadEvent::Done { rows } => {
                if let Some(result) = self.results.last_mut() {
                    result.rows_affected = rows;
                }
            }
        }
        Ok(None)
    }

    fn row(&mut self, row: Box<RawValue>) -> Result<Option<Self>, Refusal> {
        if row.get().len() > MAX_ROW_BYTES {
            let message = format!("a row has more than {MAX_ROW_BYTES} bytes; select less of it at once");
            return Err(ResponseError::new(ErrorCode::ResultTooLarge, message));
        }
        self.bytes += row.get().len() + 1;
        if let Some(result) = self.results.last_mut() {
            result.result.push(row);
        }
        Ok((self.bytes >= PART_BYTES).then(|| self.split()))
    }

    /// Gives out the rows so far, and goes on with the same columns.
    fn split(&mut self) -> Self {
        let heads = self.results.iter().map(|result| StatementResult {
            columns: result.columns.clone(),
            result: Vec::new(),
            rows_affected: result.rows_affected,
        });
        let next = Self { list: self.list, snapshot: self.snapshot.clone(), results: heads.collect(), bytes: 0 };
        std::mem::replace(self, next)
    }
}

fn parse(row: StateRow) -> Result<State, Refusal> {
    serde_json::from_str(&row.state).map_err(|error| {
        ResponseError::new(ErrorCode::Unavailable, format!("this node's state row cannot be read: {error}"))
    })
}

/// One execution's answer on its way out: whole, or in parts under one `messageId`.
struct Out {
    sender: Sender,
    to: Destination,
    base: Answered,
    parts: u32,
}

impl Out {
    fn new(lane: &OneLane, request_id: &str, to: Destination) -> Self {
        let base = Answered {
            message_id: MessageId::fresh(),
            node_id: lane.node.clone(),
            request_id: request_id.to_owned(),
            request_topic: RequestTopic::One,
            result_code: Response::<()>::OK.to_owned(),
            result: None,
            columns: Vec::<Column>::new(),
            rows_affected: None,
            results: None,
            offset: None,
            chain: None,
            members: Members { version: 0, voter: false, voters: 0 },
            error: None,
            result_gone: false,
            part: None,
            last_part: false,
        };
        Self { sender: lane.sender.clone(), to, base, parts: 0 }
    }

    /// Rows have left already.
    fn began(&self) -> bool {
        self.parts > 0
    }

    async fn part(&mut self, built: Building, last: bool) {
        let mut response = self.base.clone();
        if let Some(state) = &built.snapshot {
            response.offset = Some(state.applied);
            response.chain = Some(state.chain.short());
            response.members = members(state);
        }
        if built.list {
            response.results = Some(built.results);
        } else if let Some(result) = built.results.into_iter().next() {
            response.columns = result.columns;
            response.rows_affected = last.then_some(result.rows_affected);
            response.result = Some(result.result);
        }
        if self.parts > 0 || !last {
            response.part = Some(self.parts);
            response.last_part = last;
        }
        self.parts += 1;
        self.send(response).await;
    }

    async fn refuse(&mut self, refusal: Refusal) {
        let mut response = Answered { result_code: refusal.result_code(), error: Some(refusal), ..self.base.clone() };
        if self.parts > 0 {
            response.part = Some(self.parts);
            response.last_part = true;
        }
        self.send(response).await;
    }

    async fn send(&self, response: Answered) {
        if let Err(error) = self.sender.send(&response, &self.to).await {
            tracing::error!(%error, request_id = response.request_id, "an answer to ONE could not be sent");
        }
    }
}
