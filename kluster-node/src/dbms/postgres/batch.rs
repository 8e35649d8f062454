//! Batch: the works of one transaction as parts of a pipeline, and what their replies mean.
//!
//! ```text
//! begin · claim · (savepoint · (statement · types?) … · check? · release) per work │ Sync          one round trip
//! a refused work: the server skips the rest │ rollback to savepoint · release · the works behind it │ Sync
//! ```
//! Neighbours: `script` writes the parts; `postgres` opens and ends it; `gather` takes the rows, `changes` digests those that were changed; `errors`
//! classifies; `finish` follows.
//!
//! Invariants
//! 1. Nothing is executed twice: what is sent again after a refusal was skipped before.
//! 2. A part whose reply decides whether the next may run (`expect_rows`) is the last of its segment.
//! 3. The savepoint's name is a secret of the process: if RELEASE fails, the user's text has ended our transaction.

use super::changes::Changes;
use super::connection::{Columns, CommandTag, Connection, Event, Pipeline, Plan, Ready, Row, TransactionStatus};
use super::error::{PgError, Unsendable};
use super::errors::{self, Stop};
use super::gather::{Shape, TypeBook, oversized_row};
use super::reads::Reads;
use super::script::{Manner, Part, Script, Secrets};
use super::types::TypeNames;
use crate::dbms::{Ran, Work};
use crate::fault::{Cause, Fault, Refusal};
use crate::rows::Rows;
use crate::step::{Step, Steps};
use kluster_protocol::ErrorCode;
use serde_json::value::RawValue;

/// What the session has for every batch.
#[derive(Debug)]
pub struct Bench<'a> {
    /// The session.
    pub app: &'a mut Connection,
    /// Names of types.
    pub book: &'a TypeBook,
    /// As whom to look up types.
    pub reads: &'a Reads,
    /// For our own statements.
    pub secrets: Secrets<'a>,
    /// Where tests may stop the node.
    pub steps: &'a Steps,
}

/// A batch on its way.
#[derive(Debug)]
pub struct Batch<'a> {
    script: Script<'a>,
    /// Still to be sent, the next one last.
    todo: Vec<Part>,
    results: Vec<Gathered>,
    /// Types that the transaction has made or changed.
    made: TypeNames,
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
    /// How the rows are gathered; none: the user gets none.
    shape: Option<Shape>,
    rows: Rows,
}

impl<'a> Batch<'a> {
    /// A batch of which nothing is sent yet.
    pub fn new(works: &'a [Work], manner: Manner) -> Self {
        let script = Script { works, manner, changes: Changes::of(works, manner.digests) };
        let results = works.iter().map(|_| Gathered::default()).collect();
        Self { todo: script.parts(), script, results, made: TypeNames::default() }
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
        let Bench { app, book, reads, secrets, steps } = bench;
        let mut pipeline = app.pipeline().map_err(|error| errors::connection_fault(&error))?;
        let mut sent = Vec::new();
        while let Some(part) = self.todo.pop() {
            match self.script.queue(&mut pipeline, part, *secrets) {
                Ok(()) => sent.push(part),
                Err(unsendable) => self.give_up(part, unsendable)?,
            }
            if self.script.is_guarded(part) {
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

    /// A statement cannot be sent: behind those before it, the work is taken back.
    fn give_up(&mut self, part: Part, unsendable: Unsendable) -> Result<(), Fault> {
        let Part::Statement(n, i) = part else {
            return Err(Fault::Unknown(Cause::new("unsendable", unsendable.to_string())));
        };
        self.refuse(n, Some(i), errors::unsendable(unsendable));
        Ok(())
    }

    /// Reads the events of one part.
    async fn reply(
        &mut self,
        pipeline: &mut Pipeline<'_>,
        part: Part,
        book: &TypeBook,
        reads: &Reads,
    ) -> Result<Reply, Fault> {
        let mut current = Current::default();
        loop {
            let event = pipeline.next_event().await.map_err(|error| errors::connection_fault(&error))?;
            match event {
                Some(Event::Columns(columns)) => self.columns(&mut current, part, &columns, book, reads).await?,
                Some(Event::Row(row)) => self.row(&mut current, part, &row)?,
                Some(Event::OversizedRow { bytes }) => self.oversized_row(&mut current, part, bytes)?,
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

    async fn columns(
        &self,
        current: &mut Current,
        part: Part,
        columns: &Columns,
        book: &TypeBook,
        reads: &Reads,
    ) -> Result<(), Fault> {
        if let Part::Statement(n, i) = part {
            if self.script.changes.text(n, i).is_some() {
                return Ok(());
            }
            let cells = self.script.works[n].statements[i].cells;
            let shape = book.shape(columns, &self.made, &reads.address()).await;
            let shape = shape.map_err(|error| Fault::Lost(errors::lost_cause(&error)))?;
            current.rows = Rows::of(shape.columns());
            current.shape = Some(shape.with(cells));
        }
        Ok(())
    }

    fn row(&mut self, current: &mut Current, part: Part, row: &Row) -> Result<(), Fault> {
        match part {
            Part::Types => self.made.learn(std::slice::from_ref(row)),
            Part::Statement(n, i) => current.rows.effects += self.script.changes.row(n, i, row),
            _ => {}
        }
        let Some(json) = current.shape.as_ref().map(|shape| shape.row(row)) else { return Ok(()) };
        self.push(current, part, json)
    }

    fn oversized_row(&mut self, current: &mut Current, part: Part, bytes: usize) -> Result<(), Fault> {
        if let Part::Statement(n, i) = part {
            current.rows.effects += self.script.changes.oversized_row(n, i, bytes);
        }
        match current.shape {
            Some(_) => self.push(current, part, oversized_row()),
            None => Ok(()),
        }
    }

    /// Keeps a row, as long as the work's result is not too large already.
    fn push(&mut self, current: &mut Current, part: Part, row: Box<RawValue>) -> Result<(), Fault> {
        let Part::Statement(n, i) = part else { return Ok(()) };
        current.rows.affected += 1;
        if self.results[n].refusal.is_some() {
            return Ok(());
        }
        current.rows.push(row).map_err(|error| Fault::of_spool(&error))?;
        let limit = self.script.works[n].max_result_bytes;
        if self.results[n].bytes.saturating_add(current.rows.bytes()) > limit {
            let message =
                format!("the result is larger than {limit} bytes; ask for less, or for one part after the other");
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
        let (expected, affected) = (self.script.works[n].statements[i].expect_rows, rows.affected);
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
            Part::Begin | Part::Claim | Part::Types | Part::Mark(_) => Err(errors::own_fault(error)),
            Part::Savepoint(_) | Part::Release(_) | Part::Undo(_) => Err(canary(error)),
            Part::Statement(n, i) if self.script.changes.gives_up(n, i, error) => {
                self.todo = self.script.parts_again(n);
                self.results[n] = Gathered::default();
                Ok(())
            }
            Part::Statement(n, i) => self.stopped(
                n,
                Some(i),
                errors::stop(error, self.script.is_alone(), self.script.plan(n, i) == Plan::Keep),
            ),
            Part::Check(n) => self.stopped(n, None, errors::stop(error, self.script.is_alone(), false)),
        }
    }

    fn stopped(&mut self, work: usize, statement: Option<usize>, stop: Stop) -> Result<(), Fault> {
        match stop {
            Stop::Refused(refusal) => {
                let edits = statement.map(|i| &self.script.works[work].statements[i].edits);
                let place = |position| edits.map_or(position, |edits| edits.place(position));
                let position = refusal.position.map(place);
                self.refuse(work, statement, Refusal { position, ..refusal });
                Ok(())
            }
            Stop::Fault(fault) => Err(fault),
        }
    }

    /// The first failure is the work's refusal; what comes next is to take the work back and to go on behind it.
    fn refuse(&mut self, work: usize, statement: Option<usize>, refusal: Refusal) {
        // What a failure made the server skip is sent again, from the work behind on.
        self.todo = self.script.parts_from_undo(work);
        let refusal = self.at(work, statement, refusal);
        match &self.results[work].refusal {
            Some(first) if statement_of(first) <= statement.unwrap_or(usize::MAX) => {}
            _ => self.results[work].refusal = Some(refusal),
        }
    }

    /// A result too large is seen when its work may have been released already: the batch is run again one by one, and alone the caller
    /// starts anew without the work.
    fn too_large(&mut self) -> Result<(), Fault> {
        if !self.results.iter().any(|gathered| gathered.refusal.as_ref().is_some_and(is_too_large)) {
            return Ok(());
        }
        self.todo.clear();
        match self.script.is_alone() {
            true => Ok(()),
            false => Err(Fault::RunAlone(Cause::new("result_too_large", "a result is larger than the cluster allows"))),
        }
    }

    fn at(&self, work: usize, statement: Option<usize>, refusal: Refusal) -> Refusal {
        let index =
            statement.filter(|_| self.script.works[work].statements.len() > 1).and_then(|i| u32::try_from(i).ok());
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
        Some(Event::Ready(Ready { status: TransactionStatus::Idle, .. })) => Err(Fault::Fatal(Cause::new(
            "canary",
            "a request has ended the transaction that it ran in; stop and report its text",
        ))),
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
        "3B001" | "25P01" => Fault::Fatal(Cause::new(
            "canary",
            "a request has ended the transaction that it ran in; stop and report its text",
        )),
        _ => errors::own_fault(error),
    }
}

/// Rows matched by a write. Definitions count none, also those that fill what they define: other DBMS do not tell.
fn matched(tag: &CommandTag) -> u64 {
    match tag.verb() {
        "INSERT" | "UPDATE" | "DELETE" | "MERGE" => tag.rows().unwrap_or_default(),
        _ => 0,
    }
}
