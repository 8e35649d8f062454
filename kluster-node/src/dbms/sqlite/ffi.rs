//! Calls of SQLite that rusqlite does not offer.

use rusqlite::{Connection, Error, Result, ffi};
use std::ffi::c_int;

/// Whether a deferred foreign key of the open transaction waits for a row that is not there (`SQLITE_DBSTATUS_DEFERRED_FKS`,
/// <https://sqlite.org/c3ref/c_dbstatus_options.html>). SQLite would say so only at COMMIT, when the work to blame is no longer known.
pub(super) fn deferred_foreign_keys(conn: &Connection) -> Result<bool> {
    let (mut current, mut highest): (c_int, c_int) = (0, 0);
    // SAFETY: the handle is that of a connection which lives throughout the call, and the call closes nothing. Both pointers are to
    // locals that outlive it.
    let code = unsafe {
        ffi::sqlite3_db_status(
            conn.handle(),
            ffi::SQLITE_DBSTATUS_DEFERRED_FKS,
            &mut current,
            &mut highest,
            0,
        )
    };
    match code {
        ffi::SQLITE_OK => Ok(current != 0),
        code => Err(Error::SqliteFailure(ffi::Error::new(code), None)),
    }
}
