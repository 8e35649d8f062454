//! Image: a row as an event holds it, read value by value into the canonical form of effects.
//!
//! Neighbours: `event` says which columns a table has; [`super::groups`] digests the rows. Source of types and their lengths: MariaDB's
//! `sql/field.h` and `sql/rpl_utility.cc`.
//!
//! Invariant: equal values have equal forms whatever the column's greatest length is, so a column that one node's table has wider does not make
//! rows differ. Signs and character sets are not in the log and not needed: nodes are compared column by column. Columns whose values the server
//! computes are left out: MariaDB 11.8 has them in some images of a row and not in others.

use super::Unreadable;
use super::bytes::Bytes;
use super::computed::ComputedColumns;
use flate2::read::{DeflateDecoder, ZlibDecoder};
use kluster_protocol::ChangedRow;
use std::borrow::Cow;
use std::io::Read;

/// How the values of a column are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// So many bytes.
    Fixed(usize),
    /// A length of so many bytes, then the value.
    Sized(usize),
    /// The same, and the value is compressed by its column.
    Compressed(usize),
}

impl Column {
    /// The column of this type, its attributes read from the front of `meta`. `Err` is the type that is not known.
    pub fn of(kind: u8, meta: &mut Bytes<'_>) -> Result<Self, u8> {
        let mut attribute = |size| meta.number(size).map_err(|_| kind);
        Ok(match kind {
            6 => Self::Fixed(0),
            1 | 13 => Self::Fixed(1),
            2 => Self::Fixed(2),
            9 | 10 | 11 | 14 => Self::Fixed(3),
            3 | 7 => Self::Fixed(4),
            8 | 12 => Self::Fixed(8),
            // FLOAT and DOUBLE say their own size.
            4 | 5 => Self::Fixed(attribute(1)? as usize),
            15 => Self::Sized(if attribute(2)? > 255 { 2 } else { 1 }),
            141 => Self::Compressed(if attribute(2)? > 255 { 2 } else { 1 }),
            16 => {
                let attribute = attribute(2)?;
                Self::Fixed((attribute >> 8) as usize + usize::from(attribute & 0xff > 0))
            }
            // TIMESTAMP, DATETIME and TIME with this many digits of a second.
            17 => Self::Fixed(4 + attribute(1)?.div_ceil(2) as usize),
            18 => Self::Fixed(5 + attribute(1)?.div_ceil(2) as usize),
            19 => Self::Fixed(3 + attribute(1)?.div_ceil(2) as usize),
            246 => {
                let (precision, scale) = (attribute(1)?, attribute(1)?);
                Self::Fixed(decimal(precision.checked_sub(scale).ok_or(kind)?) + decimal(scale))
            }
            245 | 249..=252 | 255 => Self::Sized(attribute(1)? as usize),
            140 => Self::Compressed(attribute(1)? as usize),
            253 | 254 => {
                let (real, length) = (attribute(1)?, attribute(1)?);
                match real {
                    // ENUM and SET say their size.
                    247 | 248 => Self::Fixed(length as usize),
                    // Two bits of a long CHAR's length are in its type.
                    _ if length | (real & 0x30 ^ 0x30) << 4 > 255 => Self::Sized(2),
                    _ => Self::Sized(1),
                }
            }
            kind => return Err(kind),
        })
    }

    /// The value at the front of `image`.
    pub fn bytes<'a>(self, image: &mut Bytes<'a>) -> Result<Cow<'a, [u8]>, Unreadable> {
        let size = match self {
            Self::Fixed(size) => size,
            Self::Sized(size) | Self::Compressed(size) => image.number(size)? as usize,
        };
        let value = image.take(size)?;
        match self {
            Self::Fixed(_) | Self::Sized(_) => Ok(Cow::Borrowed(value)),
            Self::Compressed(_) => inflate(value).map(Cow::Owned),
        }
    }
}

/// Bytes of so many decimal digits: four for nine.
fn decimal(digits: u64) -> usize {
    const REST: [usize; 9] = [0, 1, 1, 2, 2, 3, 3, 4, 4];
    digits as usize / 9 * 4 + REST[digits as usize % 9]
}

/// The columns of a table, and which of them an image holds.
#[derive(Debug, Clone, Copy)]
pub struct Layout<'a> {
    /// All columns, by position.
    pub columns: &'a [Column],
    /// A bit for each: it is in the image.
    pub present: &'a [u8],
}

impl Layout<'_> {
    fn has(&self, position: usize) -> bool {
        self.present[position / 8] >> (position % 8) & 1 == 1
    }

    /// Reads one image from the front of `images`, and says each value in the order of columns; NULL is none.
    pub fn each<'i>(
        &self,
        images: &mut Bytes<'i>,
        mut value: impl FnMut(usize, Option<Cow<'i, [u8]>>),
    ) -> Result<(), Unreadable> {
        let present = (0..self.columns.len()).filter(|position| self.has(*position));
        // Only columns that are in the image have a bit.
        let nulls = images.take(present.clone().count().div_ceil(8))?;
        for (bit, position) in present.enumerate() {
            let found = match nulls[bit / 8] >> (bit % 8) & 1 {
                0 => Some(self.columns[position].bytes(images)?),
                _ => None,
            };
            value(position, found);
        }
        Ok(())
    }
}

/// Reads one image from the front of `images` into `row`, without the columns that are computed.
pub fn read(
    row: &mut ChangedRow,
    layout: Layout<'_>,
    computed: Option<&ComputedColumns>,
    images: &mut Bytes<'_>,
) -> Result<(), Unreadable> {
    let is_computed = |position| computed.is_some_and(|columns| columns.holds(position));
    if (0..layout.columns.len()).any(|position| !layout.has(position) && !is_computed(position)) {
        return Err(Unreadable::Partial);
    }
    layout.each(images, |position, value| match value {
        _ if is_computed(position) => {}
        Some(value) => drop(row.blob(&value)),
        None => drop(row.null()),
    })
}

/// A value of a column that compresses: a byte that says how, the length in so many bytes, and the stream; or a zero and the value.
fn inflate(value: &[u8]) -> Result<Vec<u8>, Unreadable> {
    let mut value = Bytes(value);
    if value.is_empty() {
        return Ok(Vec::new());
    }
    let head = value.byte()?;
    let mut text = Vec::new();
    let read = match head >> 4 {
        0 => return Ok(value.0.to_vec()),
        8 => {
            value.take(usize::from(head & 7))?;
            match head & 8 {
                0 => ZlibDecoder::new(value.0).read_to_end(&mut text),
                _ => DeflateDecoder::new(value.0).read_to_end(&mut text),
            }
        }
        _ => return Err(Unreadable::Compression),
    };
    read.map(|_| text).map_err(|_| Unreadable::Compression)
}
