//! Groups: which request changed which rows, out of the groups (transactions) of the binary log.
//!
//! ```text
//! a batch         Begin · rows of `batch` (the claim) · SAVEPOINT kl_<offset>_… · rows · SAVEPOINT … · rows of `state` · [rows of `batch`] · Commit
//! a DDL's intent  Begin · rows of `batch` · SAVEPOINT kl_<offset>_… · rows of `intent` · Commit
//! the DDL itself  Begin · CREATE TABLE, by the session of the savepoint · rows (CREATE TABLE … SELECT) · Commit
//! its outcome     Begin · rows of `state` · Commit
//! ```
//! The server writes a savepoint into the log where the transaction has written before: the claim sees to that. What is rolled back to a savepoint it
//! cuts out by itself.
//!
//! Neighbours: the follower hands in each event; [`super::super::batch`] and [`super::super::intent`] write what is read here.
//!
//! Invariants
//! 1. Rows are counted as what they make of a table: the digest of each new row is added, that of each old row taken away. So it does not matter in
//!    which order one statement met its rows, even where a trigger keeps a total of them: what lies between first and last value cancels out.
//! 2. Groups of other sessions count for nothing, whatever they wrote: a group is Kluster's only where it wrote into this database's state. Another
//!    database of the same server may be another node's, with savepoints of the same form.
//! 3. Rows of a batch that no savepoint precedes, and statements in it that are text, are an error: they could be anyone's, or any rows.

use super::bytes::Bytes;
use super::computed::{Computed, ComputedColumns};
use super::definition::Definition;
use super::event::{Done, Event, Rows, Table};
use super::image::{self, Layout};
use super::{Claimed, Unreadable};
use kluster_protocol::{ChangedRow, Effects, Offset};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

/// How the savepoint of a work begins; its offset in decimal follows, then `_` and a part that nobody can guess.
pub const SAVEPOINT: &str = "kl_";

/// The table that the state row is in, and where the applied offset is in it.
const STATE: (&str, usize) = ("state", 1);

/// The table that each claim writes, and where in it is what it says, and the digests of returned rows that follow later.
const BATCH: (&str, usize, usize) = ("batch", 2, 3);

/// One committed batch of Kluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The applied offset before it; none: it is the first.
    pub before: Option<Offset>,
    /// The applied offset after it.
    pub applied: Offset,
    /// The effects of its offsets, in rising order; those without are left out.
    pub effects: Vec<(Offset, Effects)>,
}

/// Puts groups together.
#[derive(Debug)]
pub struct Groups {
    database: String,
    state: String,
    group: Group,
    /// A statement that commits by itself is announced and not yet accounted for.
    announced: Option<Announced>,
    row: ChangedRow,
}

#[derive(Debug, Default)]
struct Group {
    open: bool,
    alone: bool,
    tables: HashMap<u64, Table>,
    /// Who wrote it, as far as its texts say.
    session: Option<u64>,
    /// Whose savepoint was the last.
    at: Option<Offset>,
    effects: Vec<(Offset, Effects)>,
    /// What rows before any savepoint amount to, and whether there were any.
    unplaced: (Effects, bool),
    /// A statement is there as text.
    text: bool,
    /// It began with a claim of ours, which said this of the database's computed columns.
    claim: Option<Computed>,
    /// What its statements returned, which is no row of a table.
    returned: Vec<(Offset, Effects)>,
    /// The state row was updated: it is a batch.
    batch: bool,
    moved: Option<(Option<Offset>, Offset)>,
    /// Why it cannot be counted.
    spoiled: Option<Unreadable>,
}

#[derive(Debug)]
struct Announced {
    offset: Offset,
    session: Option<u64>,
    /// What its claim said of the computed columns, and those of the table that it makes.
    computed: Computed,
    effects: Effects,
    spoiled: Option<Unreadable>,
}

impl Groups {
    /// Of batches on this database, whose state is in that one.
    pub fn new(database: &str, state: &str) -> Self {
        Self {
            database: database.to_owned(),
            state: state.to_owned(),
            group: Group::default(),
            announced: None,
            row: ChangedRow::default(),
        }
    }

    /// No group has begun that has not ended: here the log may be left and taken up again. What is announced must be seen again.
    pub fn is_between(&self) -> bool {
        !self.group.open && self.announced.is_none()
    }

    /// Another connection: what had begun comes again.
    pub fn forget(&mut self) {
        self.group = Group::default();
        self.announced = None;
    }

    /// Takes the next event, or why it cannot be read; the answer is the batch that it commits, if it does. What cannot be read concerns the batch
    /// that it is in, and nobody where it is in none.
    pub fn take(&mut self, event: Result<Event<'_>, Unreadable>) -> Result<Option<Batch>, Unreadable> {
        let taken = match event {
            Ok(Event::Commit) => return self.commit(),
            Ok(Event::Query { text, .. }) if *text == *b"COMMIT" => return self.commit(),
            Ok(Event::Query { session, text }) => {
                self.query(session, &text);
                Ok(())
            }
            Ok(Event::Rows(rows)) => self.rows(&rows),
            Ok(Event::Begin { alone }) => {
                self.group = Group { open: true, alone, ..Group::default() };
                Ok(())
            }
            Ok(Event::Table(table)) => {
                self.group.tables.insert(table.id, table);
                Ok(())
            }
            Ok(Event::Other) => {
                self.group = Group::default();
                Ok(())
            }
            Ok(Event::Rotate { .. } | Event::Nothing) => Ok(()),
            Err(unreadable) => Err(unreadable),
        };
        if let Err(unreadable) = taken {
            self.group.spoiled.get_or_insert(unreadable);
        }
        Ok(None)
    }

    fn query(&mut self, session: u64, text: &[u8]) {
        self.group.session = Some(session);
        match text {
            b"BEGIN" => {}
            b"ROLLBACK" => self.group = Group::default(),
            _ if self.group.alone => self.group = Group::default(),
            text => match savepoint(text) {
                Some(offset) => self.group.at = Some(offset),
                None => {
                    self.group.text = true;
                    self.made(session, text);
                }
            },
        }
    }

    /// What is announced makes a table, whose rows follow.
    fn made(&mut self, session: u64, text: &[u8]) {
        if let Some(announced) = self.announced.as_mut().filter(|announced| announced.session == Some(session))
            && let Some(table) = Definition::of(text)
        {
            announced.computed.made(&table);
        }
    }

    fn rows(&mut self, rows: &Rows<'_>) -> Result<(), Unreadable> {
        let Some(table) = self.group.tables.get(&rows.table) else {
            return Err(Unreadable::Table(rows.table));
        };
        let (ours, users) = (table.database == self.state, table.database == self.database);
        if !ours && !users {
            return Ok(());
        }
        if ours && table.name == BATCH.0 && rows.done == Done::Updated {
            let (claim, returned) = claimed(table, rows)?;
            self.group.claim = Some(claim);
            self.group.returned = returned;
        }
        if ours && table.name == STATE.0 && rows.done == Done::Updated {
            self.group.batch = true;
            self.group.moved = Some(moved(table, rows)?);
        }
        if !users {
            return Ok(());
        }
        let announced = self.announced.as_ref().map(|announced| &announced.computed);
        let computed = self.group.claim.as_ref().or(announced).and_then(|computed| computed.of_table(&table.name));
        let effects = change(&mut self.row, table, computed, rows)?;
        match self.group.at {
            None => self.group.unplaced = (self.group.unplaced.0 + effects, true),
            Some(at) => match self.group.effects.last_mut() {
                Some((last, sum)) if *last == at => *sum += effects,
                _ => self.group.effects.push((at, effects)),
            },
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<Option<Batch>, Unreadable> {
        let group = std::mem::take(&mut self.group);
        if !group.batch {
            self.outside(group);
            return Ok(None);
        }
        let announced = self.announced.take();
        let spoiled = group.spoiled.or_else(|| announced.as_ref()?.spoiled.clone());
        if let Some(unreadable) = spoiled {
            return Err(unreadable);
        }
        let Some((before, applied)) = group.moved.filter(|_| !group.text && !group.unplaced.1) else {
            return Err(Unreadable::Unplaced);
        };
        let announced = announced.map(|announced| (announced.offset, announced.effects));
        let mut each: BTreeMap<Offset, Effects> = BTreeMap::new();
        for (offset, effects) in group.effects.into_iter().chain(group.returned).chain(announced) {
            *each.entry(offset).or_insert(Effects::NONE) += effects;
        }
        each.retain(|offset, effects| !effects.is_none() && Some(*offset) > before && *offset <= applied);
        Ok(Some(Batch { before, applied, effects: each.into_iter().collect() }))
    }

    /// A group that moves the applied offset nowhere: an announcement, what was announced, or somebody else's.
    fn outside(&mut self, group: Group) {
        match (group.at.zip(group.claim), &mut self.announced) {
            // Announced again: what the attempt before wrote, if anything, is not there.
            (Some((offset, computed)), announced) => {
                let (session, effects, spoiled) = (group.session, Effects::NONE, None);
                *announced = Some(Announced { offset, session, computed, effects, spoiled });
            }
            (None, Some(announced)) if announced.session == group.session => {
                announced.effects += group.unplaced.0;
                announced.spoiled = announced.spoiled.take().or(group.spoiled);
            }
            (None, _) => {}
        }
    }
}

/// The offset that a savepoint of ours names.
fn savepoint(text: &[u8]) -> Option<Offset> {
    let text = std::str::from_utf8(text).ok()?;
    let name = text.strip_prefix("SAVEPOINT `")?.strip_prefix(SAVEPOINT)?;
    let (offset, _) = name.split_once('_')?;
    offset.parse().ok().map(Offset::new)
}

/// How old rows and new rows of a table are laid out.
fn layouts<'t>(table: &'t Table, rows: &'t Rows<'_>) -> Result<[Layout<'t>; 2], Unreadable> {
    match &table.columns {
        Err(kind) => Err(Unreadable::Column { table: table.name.clone(), kind: *kind }),
        Ok(columns) if columns.len() == rows.width => Ok(rows.present.map(|present| Layout { columns, present })),
        Ok(_) => Err(Unreadable::Table(rows.table)),
    }
}

/// What rows make of their table.
fn change(
    row: &mut ChangedRow,
    table: &Table,
    computed: Option<&ComputedColumns>,
    rows: &Rows<'_>,
) -> Result<Effects, Unreadable> {
    let [old, new] = layouts(table, rows)?;
    let mut images = Bytes(&rows.images);
    let mut sum = Effects::NONE;
    let mut next = |layout, images: &mut Bytes<'_>| -> Result<Effects, Unreadable> {
        image::read(row.inserted(&table.name), layout, computed, images)?;
        Ok(row.effects())
    };
    while !images.is_empty() {
        sum = match rows.done {
            Done::Inserted => sum + next(new, &mut images)?,
            Done::Deleted => sum - next(old, &mut images)?,
            Done::Updated => {
                let before = next(old, &mut images)?;
                sum - before + next(new, &mut images)?
            }
        };
    }
    Ok(sum)
}

/// Where the state row was and where it is.
fn moved(table: &Table, rows: &Rows<'_>) -> Result<(Option<Offset>, Offset), Unreadable> {
    let offset = |value: Option<Cow<'_, [u8]>>| value.map(|value| Bytes(&value).number(8).map(Offset::new)).transpose();
    let [mut before, mut applied] = updated(table, rows)?;
    let [before, applied] = [&mut before, &mut applied].map(|row| row.get_mut(STATE.1).and_then(Option::take));
    Ok((offset(before)?, offset(applied)?.ok_or(Unreadable::Unplaced)?))
}

/// What a claim says of the computed columns, and what the statements of its batch returned, as far as that is known there.
fn claimed(table: &Table, rows: &Rows<'_>) -> Result<(Computed, Vec<(Offset, Effects)>), Unreadable> {
    let [_, said] = updated(table, rows)?;
    let [claim, returned] = [BATCH.1, BATCH.2].map(|column| said.get(column).and_then(Option::as_deref));
    let claim: Claimed = serde_json::from_slice(claim.ok_or(Unreadable::Claim)?).map_err(|_| Unreadable::Claim)?;
    let returned = returned.map(serde_json::from_slice).transpose().map_err(|_| Unreadable::Claim)?;
    Ok((claim.computed, returned.unwrap_or_default()))
}

/// A row's values; NULL is none.
type Values<'r> = Vec<Option<Cow<'r, [u8]>>>;

/// The values of the only row that was updated, before and after.
fn updated<'r>(table: &Table, rows: &'r Rows<'_>) -> Result<[Values<'r>; 2], Unreadable> {
    let mut images = Bytes(&rows.images);
    let mut found = [Vec::new(), Vec::new()];
    for (layout, found) in layouts(table, rows)?.iter().zip(&mut found) {
        layout.each(&mut images, |_, value| found.push(value))?;
    }
    Ok(found)
}
