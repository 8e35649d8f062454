//! Batch: the works of one transaction as parts of a pipeline, and what their replies mean.
//!
//! ```text
//! begin · claim · (savepoint · statement … · check? · release) per work │ Sync          one round trip
//! a refused work: the server skips the rest │ rollback to savepoint · release · the works behind it │ Sync
//! ```
//! Neighbours: `postgres` opens and ends it; `gather` takes the rows; `errors` classifies; `finish` follows.
//!
//! Invariants
//! 1. Nothing is executed twice: what is sent again after a refusal was skipped before.
//! 2. A part whose reply decides whether the next may run (`expect_rows`) is the last of its segment.
//! 3. The savepoint's name is a secret of the process: if RELEASE fails, the user's text has ended our transaction.

use super::connection::{Columns, CommandTag, Connection, Event, NO_PARAMS, Pipeline, Plan, Ready, Row, TransactionStatus};
use super::error::{PgError, Unsendable};
use super::errors::{self, Stop};
use super::gather::{Shape, TypeBook, oversized_row};
use super::reads::Reads;
use crate::dbms::{Ran, Work};
use crate::fault::{Cause, Fault, Refusal};
use crate::rows::Rows;
use crate::step::{Step, Steps};
use kluster_protocol::{ErrorCode, Offset};
use serde_json::Value;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// What the session has for every batch.
#[derive(Debug)]
pub struct Bench<'a> {
    /// The session.
    pub app: &'a mut Connection,
    /// Names of types.
    pub book: &'a TypeBook,
    /// As whom to look up types.
    pub reads: &'a Reads,
    /// Proves to our functions who calls.
    pub secret: &'a str,
    /// The savepoints' name.
    pub savepoint: &'a str,
    /// Where tests may stop the node.
    pub steps: &'a Steps,
}

/// How the works of a batch are executed.
#[derive(Debug, Clone, Copy)]
pub struct Manner {
    /// The applied offset that the claim must find.
    pub predecessor: Option<Offset>,
    /// Constraints that are checked late are checked before each outcome.
    pub check_late: bool,
    /// Texts may be kept prepared.
    pub prepare: bool,
}

/// One message to the server, and what its reply belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Begin,
    Claim,
    Savepoint(usize),
    Statement(usize, usize),
    Check(usize),
    Release(usize),
    /// Takes a refused work back.
    Undo(usize),
}

/// A batch on its way.
#[derive(Debug)]
pub struct Batch<'a> {
    works: &'a [Work],
    manner: Manner,
    /// Still to be sent, the next one last.
    todo: Vec<Part>,
    results: Vec<Gathered>,
}

/// What came of one work so far.
#[derive(Debug, Default)]
struct Gathered {
    rows: Vec<Rows>,
    refusal: Option<Refusal>,
    bytes: u64,
}

/// The statement whose replies are coming in.
#[derive(Debug, Default)]
struct Current {
    shape: Option<Shape>,
    rows: Rows,
}

impl<'a> Batch<'a> {
    /// A batch of which nothing is sent yet.
    pub fn new(works: &'a [Work], manner: Manner) -> Self {
        let mut todo = vec![Part::Begin, Part::Claim];
        for (n, work) in works.iter().enumerate() {
            todo.push(Part::Savepoint(n));
            todo.extend((0..work.statements.len()).map(|i| Part::Statement(n, i)));
            todo.extend(manner.check_late.then_some(Part::Check(n)));
            todo.push(Part::Release(n));
        }
        todo.reverse();
        let results = works.iter().map(|_| Gathered::default()).collect();
        Self { works, manner, todo, results }
    }

    /// Executes it. After an error the transaction may still be open.
    pub async fn run(mut self, bench: &mut Bench<'_>) -> Result<Vec<Ran>, Fault> {
        while !self.todo.is_empty() {
            self.segment(bench).await?;
        }
        let results = self.results.into_iter();
        Ok(results.map(|gathered| gathered.refusal.map_or(Ok(gathered.rows), Err)).collect())
    }

    /// Sends parts up to one whose reply must be seen first, and reads their replies.
    async fn segment(&mut self, bench: &mut Bench<'_>) -> Result<(), Fault> {
        let Bench { app, book, reads, secret, savepoint, steps } = bench;
        let mut pipeline = app.pipeline().map_err(|error| errors::connection_fault(&error))?;
        let mut sent = Vec::new();
        while let Some(part) = self.todo.pop() {
            match self.queue(&mut pipeline, part, secret, savepoint) {
                Ok(()) => sent.push(part),
                Err(unsendable) => self.give_up(part, unsendable)?,
            }
            if self.is_guarded(part) {
                break;
            }
        }
        let mut fault = None;
        for part in sent {
            match self.reply(&mut pipeline, part, book, reads).await? {
                Reply::Done => reached(part, steps).await,
                Reply::Skipped => {}
                Reply::Failed(error) => fault = self.failed(part, &error).err(),
            }
        }
        ready(&mut pipeline).await?;
        fault.map_or(Ok(()), Err)?;
        self.too_large()
    }

    fn queue(&self, pipeline: &mut Pipeline<'_>, part: Part, secret: &str, savepoint: &str) -> Result<(), Unsendable> {
        let own = if self.manner.prepare { Plan::Keep } else { Plan::Once };
        match part {
            Part::Begin => pipeline.queue("begin isolation level read committed read write", own, NO_PARAMS),
            // Never prepared: a user's function could put its own statement in the place of ours and read the secret.
            Part::Claim => {
                let predecessor = self.manner.predecessor.map(|offset| offset.to_string());
                pipeline.queue("select kluster_state.claim($1, $2)", Plan::Once, [Some(secret), predecessor.as_deref()])
            }
            Part::Savepoint(_) => pipeline.queue(&format!("savepoint {savepoint}"), own, NO_PARAMS),
            Part::Statement(n, i) => {
                let statement = &self.works[n].statements[i];
                pipeline.queue(&statement.sql, self.plan(n, i), statement.params.iter().map(param))
            }
            Part::Check(_) => pipeline.queue("set constraints all immediate", own, NO_PARAMS),
            Part::Release(_) => pipeline.queue(&format!("release savepoint {savepoint}"), own, NO_PARAMS),
            Part::Undo(_) => pipeline.queue(&format!("rollback to savepoint {savepoint}"), own, NO_PARAMS),
        }
    }

    /// A text with params comes often; one without has its values inside and comes once.
    fn plan(&self, work: usize, statement: usize) -> Plan {
        match self.manner.prepare && !self.works[work].statements[statement].params.is_empty() {
            true => Plan::Keep,
            false => Plan::Once,
        }
    }

    fn is_guarded(&self, part: Part) -> bool {
        matches!(part, Part::Statement(n, i) if self.works[n].statements[i].expect_rows.is_some())
    }

    /// A statement cannot be sent: behind those before it, the work is taken back.
    fn give_up(&mut self, part: Part, unsendable: Unsendable) -> Result<(), Fault> {
        let Part::Statement(n, i) = part else {
            return Err(Fault::Unknown(Cause::new("unsendable", unsendable.to_string())));
        };
        self.refuse(n, Some(i), errors::unsendable(unsendable));
        Ok(())
    }

    /// Reads the events of one part.
    async fn reply(&mut self, pipeline: &mut Pipeline<'_>, part: Part, book: &TypeBook, reads: &Reads) -> Result<Reply, Fault> {
        let mut current = Current::default();
        loop {
            let event = pipeline.next_event().await.map_err(|error| errors::connection_fault(&error))?;
            match event {
                Some(Event::Columns(columns)) => self.columns(&mut current, part, &columns, book, reads).await?,
                Some(Event::Row(row)) => self.row(&mut current, part, &row)?,
                Some(Event::OversizedRow { .. }) => self.push(&mut current, part, oversized_row())?,
                Some(Event::Done(tag)) => {
                    self.done(current, part, &tag);
                    return Ok(Reply::Done);
                }
                Some(Event::Failed(error)) => return Ok(Reply::Failed(error)),
                Some(Event::Skipped) => return Ok(Reply::Skipped),
                Some(Event::Ready(_)) | None => return Err(out_of_step()),
            }
        }
    }

    async fn columns(&self, current: &mut Current, part: Part, columns: &Columns, book: &TypeBook, reads: &Reads) -> Result<(), Fault> {
        if let Part::Statement(..) = part {
            let shape = book.shape(columns, &reads.address()).await.map_err(|error| Fault::Lost(errors::lost_cause(&error)))?;
            current.rows = Rows::of(shape.columns());
            current.shape = Some(shape);
        }
        Ok(())
    }

    fn row(&mut self, current: &mut Current, part: Part, row: &Row) -> Result<(), Fault> {
        let Some(json) = current.shape.as_ref().map(|shape| shape.row(row)) else { return Ok(()) };
        self.push(current, part, json)
    }

    /// Keeps a row, as long as the work's result is not too large already.
    fn push(&mut self, current: &mut Current, part: Part, row: Box<RawValue>) -> Result<(), Fault> {
        let Part::Statement(n, i) = part else { return Ok(()) };
        current.rows.affected += 1;
        if self.results[n].refusal.is_some() {
            return Ok(());
        }
        current.rows.push(row).map_err(spool_fault)?;
        let limit = self.works[n].max_result_bytes;
        if self.results[n].bytes.saturating_add(current.rows.bytes()) > limit {
            let message = format!("the result is larger than {limit} bytes; ask for less, or for one part after the other");
            self.results[n].refusal = Some(self.at(n, Some(i), Refusal::new(ErrorCode::ResultTooLarge, message)));
        }
        Ok(())
    }

    fn done(&mut self, current: Current, part: Part, tag: &CommandTag) {
        let Part::Statement(n, i) = part else { return };
        let mut rows = current.rows;
        if current.shape.is_none() {
            rows.affected = matched(tag);
        }
        let (expected, affected) = (self.works[n].statements[i].expect_rows, rows.affected);
        self.results[n].bytes = self.results[n].bytes.saturating_add(rows.bytes());
        self.results[n].rows.push(rows);
        if let Some(expected) = expected.filter(|expected| *expected != affected) {
            let message = format!("{affected} rows were matched or returned where expectRows is {expected}");
            self.refuse(n, Some(i), Refusal::new(ErrorCode::ExpectRows, message));
        }
    }

    /// A part was refused: an outcome, or the end of the batch.
    fn failed(&mut self, part: Part, error: &PgError) -> Result<(), Fault> {
        match part {
            Part::Begin | Part::Claim => Err(errors::own_fault(error)),
            Part::Savepoint(_) | Part::Release(_) | Part::Undo(_) => Err(canary(error)),
            Part::Statement(n, i) => self.stopped(n, Some(i), errors::stop(error, self.is_alone(), self.plan(n, i) == Plan::Keep)),
            Part::Check(n) => self.stopped(n, None, errors::stop(error, self.is_alone(), false)),
        }
    }

    fn stopped(&mut self, work: usize, statement: Option<usize>, stop: Stop) -> Result<(), Fault> {
        match stop {
            Stop::Refused(refusal) => {
                self.refuse(work, statement, refusal);
                Ok(())
            }
            Stop::Fault(fault) => Err(fault),
        }
    }

    /// The first failure is the work's refusal; what comes next is to take the work back and to go on behind it.
    fn refuse(&mut self, work: usize, statement: Option<usize>, refusal: Refusal) {
        // What a failure made the server skip is sent again, from the work behind on.
        self.todo = self.parts_behind(work);
        self.todo.extend([Part::Release(work), Part::Undo(work)]);
        let refusal = self.at(work, statement, refusal);
        match &self.results[work].refusal {
            Some(first) if statement_of(first) <= statement.unwrap_or(usize::MAX) => {}
            _ => self.results[work].refusal = Some(refusal),
        }
    }

    /// All parts of the works behind this one, the next one last.
    fn parts_behind(&self, work: usize) -> Vec<Part> {
        let rest = Self::new(self.works, self.manner).todo;
        rest.into_iter().take_while(|part| *part != Part::Release(work)).collect()
    }

    /// A result too large is seen when its work may have been released already: the batch is run again one by one, and alone the caller
    /// starts anew without the work.
    fn too_large(&mut self) -> Result<(), Fault> {
        if !self.results.iter().any(|gathered| gathered.refusal.as_ref().is_some_and(is_too_large)) {
            return Ok(());
        }
        self.todo.clear();
        match self.is_alone() {
            true => Ok(()),
            false => Err(Fault::RunAlone(Cause::new("result_too_large", "a result is larger than the cluster allows"))),
        }
    }

    fn is_alone(&self) -> bool {
        self.works.len() == 1
    }

    fn at(&self, work: usize, statement: Option<usize>, refusal: Refusal) -> Refusal {
        let index = statement.filter(|_| self.works[work].statements.len() > 1).and_then(|i| u32::try_from(i).ok());
        Refusal { statement_index: index, ..refusal }
    }
}

enum Reply {
    Done,
    Failed(Box<PgError>),
    Skipped,
}

/// The refused work has not been taken back: the transaction must be rolled back as a whole.
pub fn is_too_large(refusal: &Refusal) -> bool {
    refusal.code == ErrorCode::ResultTooLarge
}

/// Which statement a refusal names; one that names none is that of the only statement.
fn statement_of(refusal: &Refusal) -> usize {
    refusal.statement_index.map_or(0, |i| i as usize)
}

async fn reached(part: Part, steps: &Steps) {
    match part {
        Part::Begin => steps.reach(Step::Begun).await,
        Part::Claim => {
            steps.reach(Step::Claimed).await;
            steps.reach(Step::Executing).await;
        }
        _ => {}
    }
}

/// Takes the answer to a Sync: our transaction must still be there.
async fn ready(pipeline: &mut Pipeline<'_>) -> Result<Ready, Fault> {
    match pipeline.next_event().await.map_err(|error| errors::connection_fault(&error))? {
        Some(Event::Ready(Ready { status: TransactionStatus::Idle, .. })) => {
            Err(Fault::Fatal(Cause::new("canary", "a request has ended the transaction that it ran in; stop and report its text")))
        }
        Some(Event::Ready(ready)) => Ok(ready),
        _ => Err(out_of_step()),
    }
}

fn out_of_step() -> Fault {
    Fault::Lost(Cause::new("protocol", "replies do not fit what was sent"))
}

/// Savepoints can only fail if the transaction is not ours any more, or for a reason that lies in the server.
fn canary(error: &PgError) -> Fault {
    match error.sqlstate.as_str() {
        "3B001" | "25P01" => Fault::Fatal(Cause::new("canary", "a request has ended the transaction that it ran in; stop and report its text")),
        _ => errors::own_fault(error),
    }
}

fn spool_fault(error: std::io::Error) -> Fault {
    let cause = Cause::new("spool", format!("rows cannot be kept in a temporary file: {error}"));
    match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Fault::DiskFull(cause),
        _ => Fault::Fatal(cause),
    }
}

/// Rows matched by a write. Definitions count none, also those that fill what they define: other DBMS do not tell.
fn matched(tag: &CommandTag) -> u64 {
    match tag.verb() {
        "INSERT" | "UPDATE" | "DELETE" | "MERGE" => tag.rows().unwrap_or_default(),
        _ => 0,
    }
}

/// A param as the server's text; its type is what the statement makes of it. Lists and objects are JSON.
pub fn param(value: &Value) -> Option<Cow<'_, [u8]>> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(Cow::Borrowed(text.as_bytes())),
        Value::Bool(true) => Some(Cow::Borrowed(b"true")),
        Value::Bool(false) => Some(Cow::Borrowed(b"false")),
        Value::Number(_) | Value::Array(_) | Value::Object(_) => Some(Cow::Owned(value.to_string().into_bytes())),
    }
}
