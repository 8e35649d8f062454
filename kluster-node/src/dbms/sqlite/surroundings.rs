//! Surroundings: what of the SQLite that is built in can change what a request does.
//!
//! Neighbours: `kluster_protocol::Fingerprint` says what a difference means; docs/doctor.md explains each item to operators.

use kluster_protocol::Fingerprint;
use rusqlite::Connection;

/// Reads the items, in a connection of its own: the one that writes is guarded.
pub fn read() -> rusqlite::Result<Fingerprint> {
    let connection = Connection::open_in_memory()?;
    let one = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, String>(0));
    let options = "select group_concat(compile_options, ' ') from pragma_compile_options where compile_options not like 'COMPILER=%'";
    let mut fingerprint = Fingerprint::default();
    fingerprint.set(Fingerprint::VERSION, rusqlite::version());
    fingerprint.set("architecture", std::env::consts::ARCH);
    fingerprint.set("source", one("select sqlite_source_id()")?);
    fingerprint.set("compile options", one(options)?);
    Ok(fingerprint)
}
