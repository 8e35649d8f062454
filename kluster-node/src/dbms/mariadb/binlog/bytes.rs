//! Bytes: reads the fields of an event from its front.
//!
//! Neighbours: `event` and `image` read with it. Invariant: nothing is read beyond the end; a field that does not fit is an error, never a panic.

use super::Unreadable;

/// What is left of an event.
#[derive(Debug, Clone, Copy)]
pub struct Bytes<'a>(pub &'a [u8]);

impl<'a> Bytes<'a> {
    /// Nothing is left.
    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// The next `count` bytes.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], Unreadable> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Unreadable::Short)?;
        self.0 = rest;
        Ok(taken)
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Unreadable> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or(Unreadable::Short)?;
        self.0 = rest;
        Ok(*taken)
    }

    /// One byte.
    pub fn byte(&mut self) -> Result<u8, Unreadable> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// An unsigned number of `size` ≤ 8 bytes, the lowest first.
    pub fn number(&mut self, size: usize) -> Result<u64, Unreadable> {
        let taken = self.take(size)?;
        Ok(taken.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// A number in the protocol's own length (1, 3, 4 or 9 bytes).
    pub fn length(&mut self) -> Result<usize, Unreadable> {
        let number = match self.byte()? {
            first @ 0..=250 => u64::from(first),
            252 => self.number(2)?,
            253 => self.number(3)?,
            254 => self.number(8)?,
            _ => return Err(Unreadable::Short),
        };
        usize::try_from(number).map_err(|_| Unreadable::Short)
    }

    /// A name with its length in one byte before it and a zero behind it.
    pub fn name(&mut self) -> Result<String, Unreadable> {
        let length = self.byte()?;
        let name = self.take(usize::from(length))?;
        self.take(1)?;
        Ok(String::from_utf8_lossy(name).into_owned())
    }
}
