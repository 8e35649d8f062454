//! A walk over a request's bytes before they are decoded.
//!
//! The decoders of `kafka-protocol` make room for as many elements as an array claims (`Vec::with_capacity` of a length that a stranger wrote:
//! eight bytes could ask for gigabytes). So each request is walked first, by a table of what its versions hold: each claimed length must lie
//! within the frame, and all elements together, tagged fields too, are at most [`MAX_ELEMENTS`]. The walk makes no room for anything. What it
//! lets through, the decoder decodes into at most a few hundred bytes for each element; so that many connections can't do that at once, requests
//! of many elements take turns ([`LARGE_ELEMENTS`]).
//!
//! It refuses nothing that the decoder would take, and need not find every mistake: the decoder comes after it.

/// Elements of all arrays of one request together. Clients stay far below, even those of thousands of partitions; decoded, so many take some
/// megabytes.
pub(crate) const MAX_ELEMENTS: usize = 20_000;
/// A request with more elements than this is a large one, and large ones share room for [`LARGE_ELEMENTS`].
pub(crate) const SMALL_ELEMENTS: usize = 1_000;
/// Elements of all large requests of all connections together.
pub(crate) const LARGE_ELEMENTS: usize = 4 * MAX_ELEMENTS;

/// Why a request can't be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("it ends within a field")]
    CutOff,
    #[error("a length is negative")]
    Negative,
    #[error("its arrays hold more than {MAX_ELEMENTS} elements")]
    TooManyElements,
    #[error("a variable-length number has more than five bytes")]
    LongNumber,
}

/// What a request's versions hold, in the order of the wire.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    /// From this version on lengths are variable-length numbers and every structure ends in tagged fields.
    flexible_since: i16,
    fields: &'static [Field],
}

/// A field, and the versions that have it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field {
    kind: Kind,
    since: i16,
    until: i16,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    /// So many bytes.
    Fixed(usize),
    /// A string, or null.
    Text,
    /// Bytes, or null.
    Bytes,
    /// An array of elements of so many bytes.
    List(usize),
    /// An array of strings.
    Texts,
    /// An array of structures.
    Rows(&'static [Field]),
    /// A structure, or null.
    Maybe(&'static [Field]),
}

impl Field {
    const fn of(kind: Kind) -> Self {
        Self { kind, since: 0, until: i16::MAX }
    }

    /// The field is there from version `since` on.
    pub(crate) const fn since(self, since: i16) -> Self {
        Self { since, ..self }
    }

    /// The field is there up to version `until`.
    pub(crate) const fn until(self, until: i16) -> Self {
        Self { until, ..self }
    }
}

pub(crate) const TEXT: Field = Field::of(Kind::Text);
pub(crate) const BYTES: Field = Field::of(Kind::Bytes);
pub(crate) const TEXTS: Field = Field::of(Kind::Texts);
/// No version is flexible.
pub(crate) const NEVER: i16 = i16::MAX;

pub(crate) const fn fixed(bytes: usize) -> Field {
    Field::of(Kind::Fixed(bytes))
}

pub(crate) const fn list(element_bytes: usize) -> Field {
    Field::of(Kind::List(element_bytes))
}

pub(crate) const fn rows(fields: &'static [Field]) -> Field {
    Field::of(Kind::Rows(fields))
}

pub(crate) const fn maybe(fields: &'static [Field]) -> Field {
    Field::of(Kind::Maybe(fields))
}

pub(crate) const fn shape(flexible_since: i16, fields: &'static [Field]) -> Shape {
    Shape { flexible_since, fields }
}

/// What a walk has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Walked {
    /// Of the message. There may be more behind it, which nobody reads.
    pub(crate) bytes: usize,
    /// Of all its arrays, and its tagged fields.
    pub(crate) elements: usize,
}

impl Shape {
    /// Walks `body` as version `version`.
    ///
    /// # Errors
    /// When a length leaves the body, or there are too many elements.
    pub(crate) fn walk(&self, body: &[u8], version: i16) -> Result<Walked, Malformed> {
        let mut walk = Walk { rest: body, version, flexible: version >= self.flexible_since, elements: 0 };
        walk.structure(self.fields)?;
        Ok(Walked { bytes: body.len() - walk.rest.len(), elements: walk.elements })
    }
}

/// A reader of a message's lengths. Request headers are read with it too.
pub(crate) struct Walk<'a> {
    pub(crate) rest: &'a [u8],
    version: i16,
    flexible: bool,
    elements: usize,
}

impl<'a> Walk<'a> {
    /// Of bytes outside any version: a request's header.
    pub(crate) fn of(rest: &'a [u8]) -> Self {
        Self { rest, version: 0, flexible: false, elements: 0 }
    }

    pub(crate) fn take(&mut self, bytes: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(bytes).ok_or(Malformed::CutOff)?;
        self.rest = rest;
        Ok(taken)
    }

    pub(crate) fn number<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(Malformed::CutOff)?;
        self.rest = rest;
        Ok(*taken)
    }

    /// A string with a length of two bytes, as in old versions and in every header.
    pub(crate) fn short_text(&mut self) -> Result<Option<&'a [u8]>, Malformed> {
        match i16::from_be_bytes(self.number()?) {
            -1 => Ok(None),
            length => self.take(usize::try_from(length).map_err(|_| Malformed::Negative)?).map(Some),
        }
    }

    /// The fields that a structure of a flexible version ends in.
    pub(crate) fn tagged(&mut self) -> Result<(), Malformed> {
        let count = self.varint()?;
        for _ in 0..self.count(count)? {
            self.varint()?;
            let length = self.varint()?;
            self.take(length)?;
        }
        Ok(())
    }

    fn structure(&mut self, fields: &[Field]) -> Result<(), Malformed> {
        for field in fields {
            if (field.since..=field.until).contains(&self.version) {
                self.field(field.kind)?;
            }
        }
        if self.flexible { self.tagged() } else { Ok(()) }
    }

    fn field(&mut self, kind: Kind) -> Result<(), Malformed> {
        match kind {
            Kind::Fixed(bytes) => self.take(bytes).map(drop),
            Kind::Text if self.flexible => self.compact().map(drop),
            Kind::Text => self.short_text().map(drop),
            Kind::Bytes if self.flexible => self.compact().map(drop),
            Kind::Bytes => {
                let length = self.length()?;
                self.take(length).map(drop)
            }
            Kind::List(bytes) => self.array(|walk| walk.take(bytes).map(drop)),
            Kind::Texts => self.array(|walk| walk.field(Kind::Text)),
            Kind::Rows(fields) => self.array(|walk| walk.structure(fields)),
            Kind::Maybe(fields) => match self.number()? {
                [1] => self.structure(fields),
                _ => Ok(()),
            },
        }
    }

    fn array(&mut self, element: impl Fn(&mut Self) -> Result<(), Malformed>) -> Result<(), Malformed> {
        let count = if self.flexible { self.varint()?.saturating_sub(1) } else { self.length()? };
        for _ in 0..self.count(count)? {
            element(self)?;
        }
        Ok(())
    }

    /// Adds to the elements so far. Each has one byte at least.
    fn count(&mut self, claimed: usize) -> Result<usize, Malformed> {
        if claimed > self.rest.len() {
            return Err(Malformed::CutOff);
        }
        self.elements += claimed;
        if self.elements > MAX_ELEMENTS { Err(Malformed::TooManyElements) } else { Ok(claimed) }
    }

    /// Bytes with a variable-length length, one more than it is; 0 is null.
    fn compact(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.varint()?.saturating_sub(1);
        self.take(length)
    }

    /// A length of four bytes; null is no elements.
    fn length(&mut self) -> Result<usize, Malformed> {
        match i32::from_be_bytes(self.number()?) {
            -1 => Ok(0),
            length => usize::try_from(length).map_err(|_| Malformed::Negative),
        }
    }

    fn varint(&mut self) -> Result<usize, Malformed> {
        let mut value = 0;
        for place in 0..5 {
            let [byte] = self.number()?;
            value |= usize::from(byte & 0x7f) << (7 * place);
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Malformed::LongNumber)
    }
}

#[cfg(test)]
mod tests;
