//! Changes: the digest of the rows that the plain writes of a batch change, taken from the rows themselves: each INSERT, UPDATE and DELETE is sent with a
//! `returning` of all columns behind it, and the rows that come back are digested and dropped.
//!
//! Neighbours: `script` sends the longer texts; `batch` hands the rows over; `kluster_sql::change` makes the texts longer.
//!
//! Why so: measured on PostgreSQL 15, RETURNING costs the server 2.5 µs a row, and a digest computed there (`with e as (… returning *) select
//! sum(hash) from e`) 11 µs a statement; nor does the digest then depend on a hash function of the server's version.
//!
//! Invariants
//! 1. What is made longer never decides an outcome: a text that fails with RETURNING for a reason that RETURNING may have brought about (a rule, a row
//!    policy, a privilege on a column, too many columns) is executed again as it was written. Its rows are then not digested, on every node alike.
//! 2. The digest is a function of the rows: of the text of their values under the pinned settings, not of their order.

use super::connection::Row;
use super::error::PgError;
use super::errors;
use crate::dbms::Work;
use crate::fault::Class;
use kluster_protocol::{ChangedRow, Effects};
use kluster_sql::{Change, Verb, change};

/// Codes that RETURNING can bring about: not supported (rules), a name or privilege, limits of a row, and what has no code of its own.
const BY_RETURNING: &[&str] = &["0A", "42", "54", "XX"];

/// What the statements of a batch change.
#[derive(Debug)]
pub struct Changes<'a> {
    /// By work and statement; none: not a plain write.
    changes: Vec<Vec<Option<Change<'a>>>>,
    form: ChangedRow,
}

impl<'a> Changes<'a> {
    /// Of these works; of none of them, where rows are not digested.
    pub fn of(works: &'a [Work], digests: bool) -> Self {
        let each = |work: &'a Work| work.statements.iter().map(|statement| change(&statement.sql)).collect();
        let changes = if digests { works.iter().map(each).collect() } else { Vec::new() };
        Self { changes, form: ChangedRow::default() }
    }

    fn get(&self, work: usize, statement: usize) -> Option<&Change<'a>> {
        self.changes.get(work)?.get(statement)?.as_ref()
    }

    /// The longer text of a statement, where it has one: the rows it returns are ours.
    pub fn text(&self, work: usize, statement: usize) -> Option<&str> {
        self.get(work, statement)?.returning.as_deref()
    }

    /// Whether a failed statement is to be executed again as it was written.
    pub fn gives_up(&mut self, work: usize, statement: usize, error: &PgError) -> bool {
        let by_returning = error.sqlstate.get(..2).is_some_and(|class| BY_RETURNING.contains(&class));
        if !by_returning || errors::class(error) == Class::RunAlone || self.text(work, statement).is_none() {
            return false;
        }
        self.changes[work][statement] = None;
        true
    }

    /// The digest of one row that a statement has returned.
    pub fn row(&mut self, work: usize, statement: usize, row: &Row) -> Effects {
        self.digest(work, statement, |form| {
            for cell in row.cells() {
                match cell {
                    None => form.null(),
                    Some(text) => form.text(text),
                };
            }
        })
    }

    /// The digest of a row of which only the size is known.
    pub fn oversized_row(&mut self, work: usize, statement: usize, bytes: usize) -> Effects {
        self.digest(work, statement, |form| {
            form.unseen().integer(i64::try_from(bytes).unwrap_or(i64::MAX));
        })
    }

    fn digest(&mut self, work: usize, statement: usize, values: impl FnOnce(&mut ChangedRow)) -> Effects {
        let Some(change) = self.changes.get(work).and_then(|work| work.get(statement)?.as_ref()) else {
            return Effects::NONE;
        };
        let form = match (&change.returning, change.verb) {
            (None, _) => self.form.returned(statement),
            (Some(_), Verb::Insert) => self.form.inserted(&change.table),
            (Some(_), Verb::Update) => self.form.updated(&change.table).becomes(),
            (Some(_), Verb::Delete) => self.form.deleted(&change.table),
        };
        values(form);
        form.effects()
    }
}
