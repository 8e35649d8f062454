//! Calls of SQLite that rusqlite does not offer: the count of deferred foreign keys, a clock that can be closed, and no local time.
//!
//! The clock: SQLite asks its operating system layer (VFS) for the time, whatever the SQL looks like: `CURRENT_TIMESTAMP`, `'now'` as text, as
//! a param or put together at run time, in a DEFAULT, a trigger or a view. While user SQL of ALL runs on a thread, that thread's clock is
//! closed: it fails, and remembers that it was asked, so that the request is refused.

use rusqlite::{Connection, Error, Result, ffi};
use std::cell::Cell;
use std::ffi::{CStr, c_int};
use std::sync::OnceLock;

/// The VFS whose clock can be closed; all else is the system's own.
pub(super) const VFS: &CStr = c"kluster";

type ReadClock = unsafe extern "C" fn(*mut ffi::sqlite3_vfs, *mut ffi::sqlite3_int64) -> c_int;

static SYSTEM_CLOCK: OnceLock<ReadClock> = OnceLock::new();

thread_local! {
    static CLOSED: Cell<bool> = const { Cell::new(false) };
    static ASKED: Cell<bool> = const { Cell::new(false) };
}

/// Closes or opens the clock of this thread; what it was asked before is forgotten when it closes.
pub(super) fn close_clock(closed: bool) {
    CLOSED.set(closed);
    if closed {
        ASKED.set(false);
    }
}

/// The clock of this thread was asked while it was closed.
pub(super) fn clock_was_asked() -> bool {
    ASKED.get()
}

/// Makes [`VFS`] known to SQLite and takes the local time zone from it, which is each process's own (`'localtime'`, `'utc'`); once for the
/// process.
pub(super) fn set_time() -> Result<()> {
    static REGISTERED: OnceLock<c_int> = OnceLock::new();
    match *REGISTERED.get_or_init(register) {
        ffi::SQLITE_OK => Ok(()),
        code => Err(Error::SqliteFailure(ffi::Error::new(code), Some("the clock of SQLite cannot be replaced".into()))),
    }
}

fn register() -> c_int {
    // SAFETY: the operation takes one int and sets a flag of SQLite's, which no call is reading yet: the first connection comes later.
    // It is meant for SQLite's own tests; ours see to it that it still works in the version that is built in.
    unsafe { ffi::sqlite3_test_control(ffi::SQLITE_TESTCTRL_LOCALTIME_FAULT, 1 as c_int) };
    // SAFETY: null asks for the default VFS, which SQLite keeps for the life of the process once it has given it out.
    let system = unsafe { ffi::sqlite3_vfs_find(std::ptr::null()) };
    // SAFETY: the pointer is null or that VFS, a plain structure that nobody changes after it was registered.
    let Some(system) = (unsafe { system.as_ref() }) else {
        return ffi::SQLITE_NOTFOUND;
    };
    let Some(clock) = system.xCurrentTimeInt64.filter(|_| system.iVersion >= 2) else {
        return ffi::SQLITE_NOTFOUND;
    };
    SYSTEM_CLOCK.get_or_init(|| clock);
    let mut vfs = *system;
    vfs.zName = VFS.as_ptr();
    vfs.pNext = std::ptr::null_mut();
    vfs.xCurrentTimeInt64 = Some(read_clock);
    // SAFETY: SQLite keeps the pointer, so the structure is leaked; its methods and their data are the system VFS's own, which knows its
    // files by what is in the structure and not by its address. The name is static.
    unsafe { ffi::sqlite3_vfs_register(Box::leak(Box::new(vfs)), 0) }
}

/// See `sqlite3_vfs.xCurrentTimeInt64`, <https://sqlite.org/c3ref/vfs.html>.
unsafe extern "C" fn read_clock(vfs: *mut ffi::sqlite3_vfs, time: *mut ffi::sqlite3_int64) -> c_int {
    if CLOSED.get() {
        ASKED.set(true);
        return ffi::SQLITE_ERROR;
    }
    match SYSTEM_CLOCK.get() {
        // SAFETY: SQLite's own arguments are handed on; the system's clock uses nothing of the VFS that the copy does not have.
        Some(clock) => unsafe { clock(vfs, time) },
        None => ffi::SQLITE_ERROR,
    }
}

/// Whether a deferred foreign key of the open transaction waits for a row that is not there (`SQLITE_DBSTATUS_DEFERRED_FKS`,
/// <https://sqlite.org/c3ref/c_dbstatus_options.html>). SQLite would say so only at COMMIT, when the work to blame is no longer known.
pub(super) fn deferred_foreign_keys(conn: &Connection) -> Result<bool> {
    let (mut current, mut highest): (c_int, c_int) = (0, 0);
    // SAFETY: the handle is that of a connection which lives throughout the call, and the call closes nothing. Both pointers are to
    // locals that outlive it.
    let code = unsafe {
        ffi::sqlite3_db_status(conn.handle(), ffi::SQLITE_DBSTATUS_DEFERRED_FKS, &mut current, &mut highest, 0)
    };
    match code {
        ffi::SQLITE_OK => Ok(current != 0),
        code => Err(Error::SqliteFailure(ffi::Error::new(code), None)),
    }
}
