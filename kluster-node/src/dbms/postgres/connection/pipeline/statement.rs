//! The messages of one statement: Parse if needed, Bind, Describe, Execute.

use std::io;

use bytes::{BufMut, BytesMut};
use postgres_protocol::IsNull;
use postgres_protocol::message::frontend::{self, BindError};

use super::super::super::error::Unsendable;
use super::super::plans::Choice;
use super::copy::is_copy;

/// PostgreSQL's MaxAllocSize, less room for names.
const LARGEST: usize = 1024 * 1024 * 1024 - 1024;

/// What the text alone forbids.
pub(super) fn check(sql: &str) -> Result<(), Unsendable> {
    if sql.as_bytes().contains(&0) {
        return Err(Unsendable::ZeroByte);
    }
    if sql.len() > LARGEST {
        return Err(Unsendable::TooLarge);
    }
    if is_copy(sql) {
        return Err(Unsendable::Copy);
    }
    Ok(())
}

/// Appends the messages of one statement; after an error the caller cuts off what was written.
pub(super) fn write<P, T>(sql: &str, choice: &Choice, params: P, out: &mut BytesMut) -> Result<(), Unsendable>
where
    P: IntoIterator<Item = Option<T>>,
    T: AsRef<[u8]>,
{
    let start = out.len();
    let too_large = |_: io::Error| Unsendable::TooLarge;
    let name: &str = match choice {
        Choice::Unnamed => "",
        Choice::New(planned) => &planned.name,
        Choice::Known(name) => name,
    };
    if !matches!(choice, Choice::Known(_)) {
        frontend::parse(name, sql, [], out).map_err(too_large)?;
    }
    let mut count = 0_usize;
    let put = |param: Option<T>, out: &mut BytesMut| {
        count += 1;
        let Some(text) = param else { return Ok(IsNull::Yes) };
        out.put_slice(text.as_ref());
        Ok(IsNull::No)
    };
    // No formats given: text for all parameters and all columns.
    let bound = frontend::bind("", name, [], params, put, [], out);
    if count > usize::from(u16::MAX) {
        return Err(Unsendable::TooManyParams);
    }
    match bound {
        Ok(()) if out.len() - start <= LARGEST => {}
        Ok(()) | Err(BindError::Conversion(_) | BindError::Serialization(_)) => return Err(Unsendable::TooLarge),
    }
    frontend::describe(b'P', "", out).map_err(too_large)?;
    frontend::execute("", 0, out).map_err(too_large)
}
