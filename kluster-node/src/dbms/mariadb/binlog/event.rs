//! Event: one event of the binary log, as far as the follower needs it.
//!
//! Neighbours: [`super::groups`] puts the events of a transaction together. Source of numbers and layouts: MariaDB's documentation of its
//! replication protocol (2-Binlog Event Header, QUERY_EVENT, TABLE_MAP_EVENT, Rows Event v1/v2, compressed events).

use super::Unreadable;
use super::bytes::Bytes;
use super::image::Column;
use flate2::read::ZlibDecoder;
use std::borrow::Cow;
use std::io::Read;

/// One event.
#[derive(Debug)]
pub enum Event<'a> {
    /// A group begins: a transaction, or (`alone`) a statement that is one by itself.
    Begin {
        /// The statement commits by itself; no end follows.
        alone: bool,
    },
    /// A statement as text.
    Query {
        /// The session that executed it.
        session: u64,
        /// The text.
        text: Cow<'a, [u8]>,
    },
    /// The group is committed.
    Commit,
    /// The group is prepared and somebody commits it later, or the server lost track of it.
    Other,
    /// A number that stands for a table within this group.
    Table(Table),
    /// Rows of one table.
    Rows(Rows<'a>),
    /// The log goes on in this file.
    Rotate {
        /// The file's name.
        file: String,
        /// Where in it.
        position: u64,
    },
    /// Nothing that concerns effects.
    Nothing,
}

/// A table, as the events of a group refer to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Its number.
    pub id: u64,
    /// The database it is in.
    pub database: String,
    /// Its name.
    pub name: String,
    /// Its columns, by position; or the type of the one that is not known.
    pub columns: Result<Vec<Column>, u8>,
}

/// What was done to rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// Rows are new.
    Inserted,
    /// Each row is there before and after.
    Updated,
    /// Rows are gone.
    Deleted,
}

/// Rows of one table that one statement changed.
#[derive(Debug)]
pub struct Rows<'a> {
    /// The table's number.
    pub table: u64,
    /// What was done to them.
    pub done: Done,
    /// How many columns each has.
    pub width: usize,
    /// Which of them are in the images, a bit for each: in those of old rows and in those of new ones. Where a row has one image, both are its own.
    pub present: [&'a [u8]; 2],
    /// The images, one after another.
    pub images: Cow<'a, [u8]>,
}

/// The group is one statement that commits by itself.
const STANDALONE: u8 = 1;

/// In the order of their types, in each of the four ways in which servers write them.
const DONE: [Done; 3] = [Done::Inserted, Done::Updated, Done::Deleted];

impl<'a> Event<'a> {
    /// Reads the event of this type from what is behind its header, the checksum cut off.
    pub fn of(kind: u8, data: &'a [u8]) -> Result<Self, Unreadable> {
        let mut data = Bytes(data);
        Ok(match kind {
            2 | 165 => query(data, kind == 165)?,
            4 => {
                let position = data.number(8)?;
                Self::Rotate { file: String::from_utf8_lossy(data.0).into_owned(), position }
            }
            16 => Self::Commit,
            19 => Self::Table(table(data)?),
            23..=25 => rows(data, DONE[usize::from(kind - 23)], false, false)?,
            30..=32 => rows(data, DONE[usize::from(kind - 30)], true, false)?,
            166..=168 => rows(data, DONE[usize::from(kind - 166)], false, true)?,
            169..=171 => rows(data, DONE[usize::from(kind - 169)], true, true)?,
            // The server itself does not know what it wrote (26), or an XA transaction is only prepared (38).
            26 | 38 => Self::Other,
            162 => {
                data.take(12)?;
                Self::Begin { alone: data.byte()? & STANDALONE != 0 }
            }
            // Stop, variables of statements, format, heartbeat, annotations, checkpoints, lists of GTIDs, encryption.
            3 | 5 | 13..=15 | 27 | 160 | 161 | 163 | 164 => Self::Nothing,
            kind => return Err(Unreadable::Event(kind)),
        })
    }
}

fn query(mut data: Bytes<'_>, compressed: bool) -> Result<Event<'_>, Unreadable> {
    let session = data.number(4)?;
    data.take(4)?;
    let database = usize::from(data.byte()?);
    data.take(2)?;
    let variables = data.number(2)? as usize;
    data.take(variables + database + 1)?;
    let text = if compressed { Cow::Owned(inflate(data.0)?) } else { Cow::Borrowed(data.0) };
    Ok(Event::Query { session, text })
}

fn table(mut data: Bytes<'_>) -> Result<Table, Unreadable> {
    let id = data.number(6)?;
    data.take(2)?;
    let (database, name) = (data.name()?, data.name()?);
    let count = data.length()?;
    let types = data.take(count)?;
    let length = data.length()?;
    let mut meta = Bytes(data.take(length)?);
    let columns = types.iter().map(|kind| Column::of(*kind, &mut meta)).collect();
    Ok(Table { id, database, name, columns })
}

fn rows(mut data: Bytes<'_>, done: Done, second: bool, compressed: bool) -> Result<Event<'_>, Unreadable> {
    let table = data.number(6)?;
    data.take(2)?;
    if second {
        let extra = data.number(2)?.saturating_sub(2);
        data.take(extra as usize)?;
    }
    let width = data.length()?;
    let first = data.take(width.div_ceil(8))?;
    let present = match done {
        Done::Updated => [first, data.take(width.div_ceil(8))?],
        Done::Inserted | Done::Deleted => [first; 2],
    };
    let images = if compressed { Cow::Owned(inflate(data.0)?) } else { Cow::Borrowed(data.0) };
    Ok(Event::Rows(Rows { table, done, width, present, images }))
}

/// What the server compressed: a byte that says how many bytes its length takes, the length, and a stream of zlib.
fn inflate(data: &[u8]) -> Result<Vec<u8>, Unreadable> {
    let mut data = Bytes(data);
    let head = data.byte()?;
    if head & 0xf0 != 0x80 {
        return Err(Unreadable::Compression);
    }
    let length =
        data.take(usize::from(head & 7))?.iter().fold(0_usize, |length, byte| length << 8 | usize::from(*byte));
    let mut text = Vec::with_capacity(length.min(1 << 20));
    let read = ZlibDecoder::new(data.0).take(length as u64 + 1).read_to_end(&mut text);
    match read {
        Ok(read) if read == length => Ok(text),
        _ => Err(Unreadable::Compression),
    }
}
