//! Script: the works of one batch as messages to the server, in order.
//!
//! Neighbours: `batch` sends them and reads what comes back.

use super::changes::Changes;
use super::connection::{NO_PARAMS, Pipeline, Plan};
use super::error::Unsendable;
use super::marks::{Marks, PREFIX, WRITE};
use super::types::MADE_HERE;
use crate::dbms::{How, Work, WorkStatement};
use kluster_protocol::{Offset, Param};
use kluster_sql::{Class, Dialect};

/// How the works of a batch are executed.
#[derive(Debug, Clone, Copy)]
pub struct Manner {
    /// The applied offset that the claim must find.
    pub predecessor: Option<Offset>,
    /// Constraints that are checked late are checked before each outcome.
    pub check_late: bool,
    /// Texts may be kept prepared.
    pub prepare: bool,
    /// The rows that plain writes change are digested.
    pub digests: bool,
    /// Each work is marked in the server's log.
    pub marks: bool,
}

/// What our own statements need.
#[derive(Debug, Clone, Copy)]
pub struct Secrets<'a> {
    /// Proves to our functions who calls.
    pub secret: &'a str,
    /// The savepoints' name.
    pub savepoint: &'a str,
    /// Writes marks, where works are marked.
    pub marks: Option<&'a Marks>,
}

/// One message to the server, and what its reply belongs to: a work, or a work and its statement, by their index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Opens the transaction.
    Begin,
    /// Locks the state row, or raises.
    Claim,
    /// Says in the server's log whose the changes behind it are.
    Mark(usize),
    /// Begins a work.
    Savepoint(usize),
    /// A statement of a user.
    Statement(usize, usize),
    /// Asks for the types that the transaction has made so far, for the results of the statements behind.
    Types,
    /// Constraints that are checked late.
    Check(usize),
    /// Ends a work.
    Release(usize),
    /// Takes a refused work back.
    Undo(usize),
}

/// The works and how they are executed.
#[derive(Debug)]
pub struct Script<'a> {
    /// In the order of the log.
    pub works: &'a [Work],
    /// See [`Manner`].
    pub manner: Manner,
    /// What the statements change.
    pub changes: Changes<'a>,
}

impl Script<'_> {
    /// All parts, the first one last.
    pub fn parts(&self) -> Vec<Part> {
        let mut parts = vec![Part::Begin, Part::Claim];
        for (n, work) in self.works.iter().enumerate() {
            parts.extend(self.manner.marks.then_some(Part::Mark(n)));
            parts.push(Part::Savepoint(n));
            for (i, statement) in work.statements.iter().enumerate() {
                parts.push(Part::Statement(n, i));
                let followed = i + 1 < work.statements.len();
                parts.extend((followed && work.how == How::Alone && may_define(statement)).then_some(Part::Types));
            }
            parts.extend(self.manner.check_late.then_some(Part::Check(n)));
            parts.push(Part::Release(n));
        }
        parts.reverse();
        parts
    }

    /// What takes a work back, and all parts behind it; the first one last.
    pub fn parts_from_undo(&self, work: usize) -> Vec<Part> {
        let mut parts: Vec<_> = self.parts().into_iter().take_while(|part| *part != Part::Release(work)).collect();
        parts.extend([Part::Release(work), Part::Undo(work)]);
        parts
    }

    /// What takes a work back that failed, that work again, and all parts behind it; the first one last.
    pub fn parts_again(&self, work: usize) -> Vec<Part> {
        let mut parts: Vec<_> = self.parts().into_iter().take_while(|part| *part != Part::Savepoint(work)).collect();
        parts.push(Part::Undo(work));
        parts
    }

    /// Puts one part into the pipeline.
    pub fn queue(&self, pipeline: &mut Pipeline<'_>, part: Part, secrets: Secrets<'_>) -> Result<(), Unsendable> {
        let own = if self.manner.prepare { Plan::Keep } else { Plan::Once };
        let savepoint = secrets.savepoint;
        match part {
            Part::Begin => pipeline.queue("begin isolation level read committed read write", own, NO_PARAMS),
            // Never prepared: a user's function could put its own statement in the place of ours and read the secret.
            Part::Claim => {
                let predecessor = self.manner.predecessor.map(|offset| offset.to_string());
                pipeline.queue(
                    "select kluster_state.claim($1, $2)",
                    Plan::Once,
                    [Some(secrets.secret), predecessor.as_deref()],
                )
            }
            Part::Mark(n) => {
                let mark = secrets.marks.map(|marks| marks.work(self.works[n].offset));
                pipeline.queue(WRITE, own, [Some(PREFIX), mark.as_deref()])
            }
            Part::Savepoint(_) => pipeline.queue(&format!("savepoint {savepoint}"), own, NO_PARAMS),
            Part::Statement(n, i) => {
                let statement = &self.works[n].statements[i];
                let text = self.changes.text(n, i).unwrap_or(&statement.sql);
                pipeline.queue(text, self.plan(n, i), statement.params.iter().map(param))
            }
            Part::Types => pipeline.queue(MADE_HERE, Plan::Once, NO_PARAMS),
            Part::Check(_) => pipeline.queue("set constraints all immediate", own, NO_PARAMS),
            Part::Release(_) => pipeline.queue(&format!("release savepoint {savepoint}"), own, NO_PARAMS),
            Part::Undo(_) => pipeline.queue(&format!("rollback to savepoint {savepoint}"), own, NO_PARAMS),
        }
    }

    /// A text with params comes often; one without has its values inside and comes once.
    pub fn plan(&self, work: usize, statement: usize) -> Plan {
        match self.manner.prepare && !self.works[work].statements[statement].params.is_empty() {
            true => Plan::Keep,
            false => Plan::Once,
        }
    }

    /// Its reply decides whether the next part may run.
    pub fn is_guarded(&self, part: Part) -> bool {
        matches!(part, Part::Statement(n, i) if self.works[n].statements[i].expect_rows.is_some())
    }

    /// Errors that another work may have brought about are this work's own.
    pub fn is_alone(&self) -> bool {
        self.works.len() == 1
    }
}

/// It is more than plain DML or a read.
fn may_define(statement: &WorkStatement) -> bool {
    let admitted = kluster_sql::admit(Dialect::Postgres, &statement.sql);
    !admitted.is_ok_and(|admitted| matches!(admitted.class, Class::Read | Class::Write))
}

/// A param as the server's text; its type is what the statement makes of it. Lists and objects are
/// JSON. A number is its own digits, so a `numeric` keeps all of them.
pub fn param(value: &Param) -> Option<&[u8]> {
    match value {
        Param::Null => None,
        Param::Bool(true) => Some(b"true"),
        Param::Bool(false) => Some(b"false"),
        Param::Number(number) => Some(number.as_str().as_bytes()),
        Param::Text(text) | Param::Json(text) => Some(text.as_bytes()),
    }
}
