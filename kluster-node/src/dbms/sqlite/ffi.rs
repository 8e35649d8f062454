//! Calls of SQLite that rusqlite does not offer: the changes of rows (its feature for them needs libclang), the count of deferred foreign keys, a clock that can be closed, and no local time.
//!
//! The clock: SQLite asks its operating system layer (VFS) for the time, whatever the SQL looks like: `CURRENT_TIMESTAMP`, `'now'` as text, as
//! a param or put together at run time, in a DEFAULT, a trigger or a view. While user SQL of ALL runs on a thread, that thread's clock is
//! closed: it fails, and remembers that it was asked, so that the request is refused.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Error, Result, ffi};
use std::cell::Cell;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::marker::PhantomData;
use std::sync::{Arc, OnceLock};

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

/// Who is called before each change of a row, on the thread of the connection; it must not panic.
pub(super) trait Changes: Send + Sync + 'static {
    /// A row of this table is about to be changed.
    fn sees(&self, table: &[u8], change: &Change<'_>);
}

/// A change of a row that is about to happen; valid while it is being told.
pub(super) struct Change<'a> {
    pub kind: ChangeKind,
    db: *mut ffi::sqlite3,
    _told: PhantomData<&'a ()>,
}

/// What happens to the row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ChangeKind {
    Insert,
    Delete,
    Update,
}

type ReadValue = unsafe extern "C" fn(*mut ffi::sqlite3, c_int, *mut *mut ffi::sqlite3_value) -> c_int;

impl Change<'_> {
    /// How many columns the table has.
    pub fn columns(&self) -> c_int {
        // SAFETY: the handle is that of the connection which is telling this change.
        unsafe { ffi::sqlite3_preupdate_count(self.db) }
    }

    /// A column's value before; for updates and deletes.
    pub fn before(&self, column: c_int) -> Result<ValueRef<'_>> {
        self.value(ffi::sqlite3_preupdate_old, column)
    }

    /// A column's value behind; for updates and inserts.
    pub fn after(&self, column: c_int) -> Result<ValueRef<'_>> {
        self.value(ffi::sqlite3_preupdate_new, column)
    }

    fn value(&self, read: ReadValue, column: c_int) -> Result<ValueRef<'_>> {
        let mut value = std::ptr::null_mut();
        // SAFETY: as above; a column that is not there, and old values of an insert, are answered by a code. The pointer is to a local.
        match unsafe { read(self.db, column, &mut value) } {
            // SAFETY: the value is protected and unchanged until the hook returns, which this change does not outlive.
            ffi::SQLITE_OK if !value.is_null() => Ok(unsafe { read_value(value) }),
            ffi::SQLITE_OK => Ok(ValueRef::Null),
            code => Err(Error::SqliteFailure(ffi::Error::new(code), None)),
        }
    }
}

/// SAFETY: the value must be protected, and live and unchanged as long as what is returned.
unsafe fn read_value<'a>(value: *mut ffi::sqlite3_value) -> ValueRef<'a> {
    // SAFETY: the caller's. No call converts the value, for each asks for the type that it has; pointer before length, as SQLite wants it.
    unsafe {
        let bytes = |start: *const u8| match start.is_null() {
            true => &[][..],
            false => std::slice::from_raw_parts(start, usize::try_from(ffi::sqlite3_value_bytes(value)).unwrap_or(0)),
        };
        match ffi::sqlite3_value_type(value) {
            ffi::SQLITE_INTEGER => ValueRef::Integer(ffi::sqlite3_value_int64(value)),
            ffi::SQLITE_FLOAT => ValueRef::Real(ffi::sqlite3_value_double(value)),
            ffi::SQLITE_TEXT => ValueRef::Text(bytes(ffi::sqlite3_value_text(value))),
            ffi::SQLITE_BLOB => ValueRef::Blob(bytes(ffi::sqlite3_value_blob(value).cast())),
            _ => ValueRef::Null,
        }
    }
}

/// Tells `changes` of every change of a row on this connection (`sqlite3_preupdate_hook`, <https://sqlite.org/c3ref/preupdate_blobwrite.html>), for as
/// long as it is open. What is told stays in memory until the process ends: some bytes for each connection.
pub(super) fn tell_changes<T: Changes>(conn: &Connection, changes: Arc<T>) {
    let data = Arc::into_raw(changes).cast_mut().cast::<c_void>();
    // SAFETY: the handle is that of an open connection; the data are never freed, so they outlive every call of the hook, which takes them for what they are.
    unsafe { ffi::sqlite3_preupdate_hook(conn.handle(), Some(tell::<T>), data) };
}

/// See [`tell_changes`].
unsafe extern "C" fn tell<T: Changes>(
    data: *mut c_void,
    db: *mut ffi::sqlite3,
    operation: c_int,
    _database: *const c_char,
    table: *const c_char,
    _old_rowid: ffi::sqlite3_int64,
    _new_rowid: ffi::sqlite3_int64,
) {
    let kind = match operation {
        ffi::SQLITE_INSERT => ChangeKind::Insert,
        ffi::SQLITE_DELETE => ChangeKind::Delete,
        _ => ChangeKind::Update,
    };
    // SAFETY: the data are what `tell_changes` gave, and only shared; the name is a C string that lives throughout the call.
    let (changes, table) = unsafe { (&*data.cast::<T>(), CStr::from_ptr(table)) };
    changes.sees(table.to_bytes(), &Change { kind, db, _told: PhantomData });
}
