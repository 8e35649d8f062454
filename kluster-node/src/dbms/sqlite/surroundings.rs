//! Surroundings: what of the SQLite that is built in, and of its file, can change what a request does.
//!
//! Neighbours: `kluster_protocol::Fingerprint` says what a difference means; docs/doctor.md explains each item to operators.

use kluster_protocol::Fingerprint;
use rusqlite::{Connection, OpenFlags};
use std::path::Path;

/// Reads the items, in a connection of its own: the one that writes is guarded.
pub fn read(path: &Path) -> rusqlite::Result<Fingerprint> {
    let file = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let one = |sql: &str| file.query_row(sql, [], |row| row.get::<_, String>(0));
    let options = "select group_concat(compile_options, ' ') from pragma_compile_options where compile_options not like 'COMPILER=%'";
    let mut fingerprint = Fingerprint::default();
    fingerprint.set(Fingerprint::VERSION, rusqlite::version());
    fingerprint.set("architecture", std::env::consts::ARCH);
    fingerprint.set("source", one("select sqlite_source_id()")?);
    fingerprint.set("compile options", one(options)?);
    fingerprint.set("encoding", one("pragma encoding")?);
    Ok(fingerprint)
}
