//! Errors: SQLite's extended result codes by what happens next, as data.
//!
//! Neighbours: `execute` and `reads` classify what user SQL met, `session` what Kluster's own statements met. Messages of SQLite hold
//! names and values but never the SQL text; rusqlite's own `Display` does hold it and is not used.

use super::OpenError;
use crate::fault::{Cause, Class, Fault, Refusal};
use kluster_protocol::ErrorCode;
use rusqlite::{Error, ffi};
use std::path::Path;

/// Extended codes that have a class of their own; every other one has its primary code's. <https://sqlite.org/rescode.html>
const EXTENDED: [(i32, Class); 10] = [
    (ffi::SQLITE_CONSTRAINT_CHECK, Class::Refused(ErrorCode::CheckViolation)),
    (ffi::SQLITE_CONSTRAINT_FOREIGNKEY, Class::Refused(ErrorCode::ForeignKeyViolation)),
    (ffi::SQLITE_CONSTRAINT_NOTNULL, Class::Refused(ErrorCode::NotNullViolation)),
    (ffi::SQLITE_CONSTRAINT_PRIMARYKEY, Class::Refused(ErrorCode::UniqueViolation)),
    (ffi::SQLITE_CONSTRAINT_ROWID, Class::Refused(ErrorCode::UniqueViolation)),
    (ffi::SQLITE_CONSTRAINT_UNIQUE, Class::Refused(ErrorCode::UniqueViolation)),
    (ffi::SQLITE_CONSTRAINT_TRIGGER, Class::Refused(ErrorCode::Raised)),
    (ffi::SQLITE_CONSTRAINT_VTAB, Class::Refused(ErrorCode::CheckViolation)),
    (ffi::SQLITE_CONSTRAINT_DATATYPE, Class::Refused(ErrorCode::TypeMismatch)),
    // A full-text index that user SQL gave a wrong content table; the file itself is whole.
    (ffi::SQLITE_CORRUPT_VTAB, Class::Refused(ErrorCode::InvalidState)),
];

/// Primary codes. What is not listed is unknown.
const PRIMARY: [(i32, Class); 24] = [
    (ffi::SQLITE_ERROR, Class::Refused(ErrorCode::Refused)),
    (ffi::SQLITE_CONSTRAINT, Class::Refused(ErrorCode::CheckViolation)),
    (ffi::SQLITE_MISMATCH, Class::Refused(ErrorCode::TypeMismatch)),
    (ffi::SQLITE_RANGE, Class::Refused(ErrorCode::WrongParams)),
    (ffi::SQLITE_AUTH, Class::Refused(ErrorCode::PrivilegeViolation)),
    (ffi::SQLITE_TOOBIG, Class::Refused(ErrorCode::InvalidValue)),
    // Another process has the file locked. SQLITE_LOCKED is a quarrel within this one.
    (ffi::SQLITE_BUSY, Class::LockWait),
    (ffi::SQLITE_LOCKED, Class::Transient),
    (ffi::SQLITE_SCHEMA, Class::Transient),
    (ffi::SQLITE_INTERRUPT, Class::Transient),
    (ffi::SQLITE_PROTOCOL, Class::Transient),
    (ffi::SQLITE_FULL, Class::DiskFull),
    (ffi::SQLITE_IOERR, Class::Fatal),
    (ffi::SQLITE_CORRUPT, Class::Fatal),
    (ffi::SQLITE_NOTADB, Class::Fatal),
    (ffi::SQLITE_READONLY, Class::Fatal),
    (ffi::SQLITE_CANTOPEN, Class::Fatal),
    (ffi::SQLITE_PERM, Class::Fatal),
    (ffi::SQLITE_NOLFS, Class::Fatal),
    (ffi::SQLITE_INTERNAL, Class::Fatal),
    (ffi::SQLITE_MISUSE, Class::Fatal),
    (ffi::SQLITE_ABORT, Class::Fatal),
    (ffi::SQLITE_NOMEM, Class::Unknown),
    (ffi::SQLITE_EMPTY, Class::Unknown),
];

/// `SQLITE_ERROR` has no finer code: what its message holds, the first that fits. A function, collation or module that is missing is
/// missing on every node, for SQLite is built in; nodes of unlike versions show in the chain.
const MESSAGES: [(&str, ErrorCode); 33] = [
    ("syntax error", ErrorCode::SyntaxError),
    ("incomplete input", ErrorCode::SyntaxError),
    ("unrecognized token", ErrorCode::SyntaxError),
    ("no such table", ErrorCode::UndefinedTable),
    ("no such view", ErrorCode::UndefinedTable),
    ("no such column", ErrorCode::UndefinedColumn),
    ("has no column named", ErrorCode::UndefinedColumn),
    ("unknown column", ErrorCode::UndefinedColumn),
    ("no such function", ErrorCode::UndefinedFunction),
    ("wrong number of arguments to function", ErrorCode::UndefinedFunction),
    ("no such ", ErrorCode::UndefinedObject),
    ("unknown database", ErrorCode::UndefinedObject),
    ("already exists", ErrorCode::DuplicateObject),
    ("already another table or index with this name", ErrorCode::DuplicateObject),
    ("already a table named", ErrorCode::DuplicateObject),
    ("already an index named", ErrorCode::DuplicateObject),
    ("duplicate column name", ErrorCode::DuplicateObject),
    ("ambiguous column name", ErrorCode::InvalidStatement),
    ("values were supplied", ErrorCode::InvalidStatement),
    ("values for", ErrorCode::InvalidStatement),
    ("misuse of", ErrorCode::InvalidStatement),
    ("does not have the same number of result columns", ErrorCode::InvalidStatement),
    ("do not have the same number of result columns", ErrorCode::InvalidStatement),
    ("because it is a view", ErrorCode::InvalidStatement),
    ("must be", ErrorCode::InvalidStatement),
    ("may not be", ErrorCode::PrivilegeViolation),
    ("foreign key mismatch", ErrorCode::InvalidState),
    ("local time unavailable", ErrorCode::Environment),
    ("integer overflow", ErrorCode::InvalidValue),
    ("malformed JSON", ErrorCode::InvalidValue),
    ("bad JSON path", ErrorCode::InvalidValue),
    ("JSON", ErrorCode::InvalidValue),
    ("within a transaction", ErrorCode::NotTransactional),
];

/// A foreign key with the action RESTRICT is built as a trigger and fails with the trigger's code; its message tells the two apart.
const FOREIGN_KEY_MESSAGE: &str = "FOREIGN KEY constraint failed";

/// The class of an error.
pub(super) fn class(error: &Error) -> Class {
    match error {
        Error::MultipleStatement => Class::Refused(ErrorCode::SeveralStatements),
        Error::NulError(_) => Class::Refused(ErrorCode::SyntaxError),
        error => class_of(code(error), &message(error)),
    }
}

fn class_of(code: i32, message: &str) -> Class {
    let listed = |list: &[(i32, Class)], code| list.iter().find(|(listed, _)| *listed == code).map(|(_, class)| *class);
    match code & 0xff {
        ffi::SQLITE_ERROR => {
            let found = MESSAGES.iter().find(|(part, _)| message.contains(part));
            Class::Refused(found.map_or(ErrorCode::Refused, |(_, code)| *code))
        }
        _ if code == ffi::SQLITE_CONSTRAINT_TRIGGER && message == FOREIGN_KEY_MESSAGE => {
            Class::Refused(ErrorCode::ForeignKeyViolation)
        }
        primary => listed(&EXTENDED, code).or_else(|| listed(&PRIMARY, primary)).unwrap_or(Class::Unknown),
    }
}

/// The extended result code; -1 for what is not SQLite's own.
pub(super) fn code(error: &Error) -> i32 {
    match error {
        Error::SqliteFailure(error, _) | Error::SqlInputError { error, .. } => error.extended_code,
        _ => -1,
    }
}

fn message(error: &Error) -> String {
    match error {
        Error::SqliteFailure(_, Some(message)) | Error::SqlInputError { msg: message, .. } => message.clone(),
        Error::SqliteFailure(error, None) => error.to_string(),
        error => error.to_string(),
    }
}

/// What SQLite said.
pub(super) fn cause(error: &Error) -> Cause {
    Cause::new(code(error).to_string(), message(error))
}

/// The refusal of a statement with this text.
pub(super) fn refusal(code: ErrorCode, error: &Error, sql: &str) -> Refusal {
    let mut refusal = Refusal::new(code, message(error));
    if let Error::SqlInputError { offset, .. } = error {
        let before = usize::try_from(*offset).ok().and_then(|offset| sql.get(..offset));
        refusal.position = before.and_then(|before| u32::try_from(before.chars().count() + 1).ok());
    }
    refusal
}

/// The fault of one of Kluster's own statements: it has no business to be refused.
pub(super) fn own_fault(error: &Error) -> Fault {
    let cause = cause(error);
    match class(error) {
        Class::Refused(_) | Class::RefusedAlone(_) | Class::Fatal => Fault::Fatal(cause),
        Class::Transient | Class::RunAlone => Fault::Transient(cause),
        Class::LockWait => Fault::LockWait(cause),
        Class::Lost => Fault::Lost(cause),
        Class::DiskFull => Fault::DiskFull(cause),
        Class::Unknown => Fault::Unknown(cause),
    }
}

/// A file that is busy can be opened later; any other error needs someone to look at it.
pub(super) fn open_error(path: &Path, error: &Error) -> OpenError {
    let text = format!("{}: {}", path.display(), cause(error));
    match class(error) {
        Class::Transient | Class::LockWait | Class::RunAlone | Class::Lost | Class::DiskFull => {
            OpenError::Unreachable(text)
        }
        Class::Refused(_) | Class::RefusedAlone(_) | Class::Fatal | Class::Unknown => OpenError::Unusable(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_say_what_happens_next() {
        let extended = |primary: i32, n: i32| primary | (n << 8);
        for (code, class) in [
            (ffi::SQLITE_CONSTRAINT_UNIQUE, Class::Refused(ErrorCode::UniqueViolation)),
            (ffi::SQLITE_CONSTRAINT_PRIMARYKEY, Class::Refused(ErrorCode::UniqueViolation)),
            (ffi::SQLITE_CONSTRAINT_TRIGGER, Class::Refused(ErrorCode::Raised)),
            (extended(ffi::SQLITE_CONSTRAINT, 99), Class::Refused(ErrorCode::CheckViolation)),
            (ffi::SQLITE_MISMATCH, Class::Refused(ErrorCode::TypeMismatch)),
            (ffi::SQLITE_BUSY_SNAPSHOT, Class::LockWait),
            (ffi::SQLITE_LOCKED_SHAREDCACHE, Class::Transient),
            (ffi::SQLITE_FULL, Class::DiskFull),
            (ffi::SQLITE_IOERR_FSYNC, Class::Fatal),
            (ffi::SQLITE_CORRUPT, Class::Fatal),
            (ffi::SQLITE_READONLY_DBMOVED, Class::Fatal),
            (ffi::SQLITE_NOMEM, Class::Unknown),
            (ffi::SQLITE_NOTFOUND, Class::Unknown),
            (-1, Class::Unknown),
        ] {
            assert_eq!(class_of(code, ""), class, "{code}");
        }
    }

    #[test]
    fn messages_tell_the_kinds_of_mistakes_apart() {
        for (message, code) in [
            ("near \"selec\": syntax error", ErrorCode::SyntaxError),
            ("no such table: t", ErrorCode::UndefinedTable),
            ("table t has no column named c", ErrorCode::UndefinedColumn),
            ("no such function: f", ErrorCode::UndefinedFunction),
            ("no such collation sequence: c", ErrorCode::UndefinedObject),
            ("table t already exists", ErrorCode::DuplicateObject),
            ("table t has 2 columns but 3 values were supplied", ErrorCode::InvalidStatement),
            ("anything else", ErrorCode::Refused),
        ] {
            assert_eq!(class_of(ffi::SQLITE_ERROR, message), Class::Refused(code), "{message}");
        }
        let restricted = class_of(ffi::SQLITE_CONSTRAINT_TRIGGER, FOREIGN_KEY_MESSAGE);
        assert_eq!(restricted, Class::Refused(ErrorCode::ForeignKeyViolation));
    }

    #[test]
    fn places_are_counted_in_characters() {
        let sql = "select 'é', nope";
        let conn = rusqlite::Connection::open_in_memory().unwrap();
        let error = conn.prepare(sql).unwrap_err();
        assert_eq!(refusal(ErrorCode::UndefinedColumn, &error, sql).position, Some(13));
        assert!(!cause(&error).message.contains("select"));
    }
}
