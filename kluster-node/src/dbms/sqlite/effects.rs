//! Effects: a digest of every row that a statement changes, by SQLite's preupdate hook: also what triggers and cascades change, and the tables behind
//! virtual tables. While the hook is set, a DELETE of everything goes row by row.
//!
//! Neighbours: `execute` asks before and after each statement.
//!
//! What is counted is what a statement makes of its tables: each new row adds its digest, each old row takes its digest away. So what a row was for a
//! moment cancels out, such as the totals in between of a trigger that meets the rows in another order; and whoever has the rows of a table before and
//! after knows the digest.
//!
//! What the hook does not see: the rows that CREATE TABLE … AS SELECT writes, which `execute` reads back, and SQLite's own tables. The hidden rowid of a
//! table without an INTEGER PRIMARY KEY is not counted: VACUUM may renumber it, and who writes it into a row shows it there.

use super::Fault;
use super::errors;
use super::ffi::{self, Change, ChangeKind, Changes};
use crate::fault::Cause;
use kluster_protocol::{ChangedRow, Effects};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Result, Row};
use std::ffi::c_int;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Kluster's own tables begin with this, as their names are written.
const OWN_PREFIX: &str = "kluster_";

/// Counts what is changed on one connection. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Counter(Arc<Mutex<Counted>>);

#[derive(Debug, Default)]
struct Counted {
    row: ChangedRow,
    sum: Effects,
    /// A value could not be read, so the sum is not known.
    failed: Option<rusqlite::Error>,
}

impl Counter {
    /// Counts what is changed on this connection from now on.
    pub fn of(conn: &Connection) -> Self {
        let counter = Self::default();
        ffi::tell_changes(conn, counter.0.clone());
        counter
    }

    /// A statement begins: what was counted before is forgotten.
    pub fn begin(&self) {
        let mut counted = self.lock();
        (counted.sum, counted.failed) = (Effects::NONE, None);
    }

    /// What the statement changed.
    pub fn take(&self) -> std::result::Result<Effects, Fault> {
        let mut counted = self.lock();
        match counted.failed.take() {
            Some(error) => Err(Fault::Transient(Cause::new("effects", errors::cause(&error).message))),
            None => Ok(counted.sum),
        }
    }

    /// A statement that writes, number `statement` of its request, returned this row.
    pub fn returned(&self, statement: usize, row: &Row<'_>) -> Result<()> {
        let counted = &mut *self.lock();
        counted.row.returned(statement);
        counted.add(row)
    }

    /// A statement that makes tables left this row in one of them.
    pub fn left(&self, table: &str, row: &Row<'_>) -> Result<()> {
        let counted = &mut *self.lock();
        counted.row.inserted(table);
        counted.add(row)
    }

    fn lock(&self) -> MutexGuard<'_, Counted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counted {
    fn add(&mut self, row: &Row<'_>) -> Result<()> {
        for column in 0..row.as_ref().column_count() {
            value(&mut self.row, row.get_ref(column)?);
        }
        self.sum += self.row.effects();
        Ok(())
    }

    fn change<'c>(&mut self, table: &str, change: &'c Change<'_>) -> Result<()> {
        let row = &mut self.row;
        let mut of = |read: &dyn Fn(c_int) -> Result<ValueRef<'c>>| -> Result<Effects> {
            row.inserted(table);
            for column in 0..change.columns() {
                value(row, read(column)?);
            }
            Ok(row.effects())
        };
        if change.kind != ChangeKind::Insert {
            self.sum = self.sum - of(&|column| change.before(column))?;
        }
        if change.kind != ChangeKind::Delete {
            self.sum += of(&|column| change.after(column))?;
        }
        Ok(())
    }
}

impl Changes for Mutex<Counted> {
    fn sees(&self, table: &[u8], change: &Change<'_>) {
        if table.starts_with(OWN_PREFIX.as_bytes()) {
            return;
        }
        let counted = &mut *self.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = counted.change(&String::from_utf8_lossy(table), change) {
            counted.failed = Some(error);
        }
    }
}

fn value(row: &mut ChangedRow, value: ValueRef<'_>) {
    match value {
        ValueRef::Null => row.null(),
        ValueRef::Integer(integer) => row.integer(integer),
        ValueRef::Real(real) => row.real(real),
        ValueRef::Text(text) => row.text(text),
        ValueRef::Blob(bytes) => row.blob(bytes),
    };
}
