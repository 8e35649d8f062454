//! Tables: Kluster's own, in the user's file, so that they commit with the user's rows.
//!
//! Neighbours: `session` makes or checks them when it connects; `guard` keeps user SQL away from them.

use super::{OpenError, errors};
use rusqlite::{Connection, params};
use std::path::Path;

/// The version of Kluster's own tables.
const SCHEMA_VERSION: i64 = 1;

/// Kluster's own tables. `rows` is pruned apart from its row, hence the second index.
const TABLES: &str = "
    CREATE TABLE kluster_schema (id INTEGER PRIMARY KEY CHECK (id = 1), version INTEGER NOT NULL, node_id TEXT);
    CREATE TABLE kluster_state (id INTEGER PRIMARY KEY CHECK (id = 1), applied INTEGER, state TEXT);
    CREATE TABLE kluster_outcomes (first INTEGER PRIMARY KEY, last INTEGER NOT NULL, outcomes TEXT NOT NULL, rows TEXT);
    CREATE UNIQUE INDEX kluster_outcomes_last ON kluster_outcomes (last);
    CREATE INDEX kluster_outcomes_rows ON kluster_outcomes (last) WHERE rows IS NOT NULL;
    INSERT INTO kluster_state (id) VALUES (1);";

/// How many names [`TABLES`] makes: user SQL that leaves another count has made one of ours its own.
pub(super) const OWN_NAMES: i64 = 5;

/// The file was a node's before.
pub(super) fn has_tables(conn: &Connection) -> rusqlite::Result<bool> {
    conn.table_exists(Some("main"), "kluster_schema")
}

/// Makes them, for this node.
pub(super) fn make_tables(conn: &Connection, node_id: &str) -> rusqlite::Result<()> {
    conn.execute_batch("BEGIN IMMEDIATE")?;
    let made = conn.execute_batch(TABLES).and_then(|()| {
        let sql = "INSERT INTO kluster_schema (id, version, node_id) VALUES (1, ?1, ?2)";
        conn.execute(sql, params![SCHEMA_VERSION, node_id])
    });
    match made {
        Ok(_) => conn.execute_batch("COMMIT"),
        Err(error) => conn.execute_batch("ROLLBACK").and(Err(error)),
    }
}

/// The tables are of a version that this node knows, and of this node; a restored snapshot has no owner yet and becomes this node's.
pub(super) fn check_owner(conn: &Connection, path: &Path, node_id: &str) -> Result<(), OpenError> {
    let failed = |error| errors::open_error(path, &error);
    let sql = "SELECT version, node_id, (SELECT encoding FROM pragma_encoding) FROM kluster_schema WHERE id = 1";
    let found = conn.query_row(sql, [], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, Option<String>>(1)?, row.get::<_, String>(2)?))
    });
    let (version, owner, encoding) = found.map_err(failed)?;
    let path = path.display();
    if version != SCHEMA_VERSION {
        return Err(OpenError::Unusable(format!(
            "{path} holds Kluster's tables of version {version}, this node knows {SCHEMA_VERSION}; use the version that wrote them"
        )));
    }
    if encoding != "UTF-8" {
        return Err(OpenError::Unusable(format!(
            "{path} has the encoding {encoding}; only UTF-8 makes all nodes alike"
        )));
    }
    match owner {
        Some(owner) if owner != node_id => Err(OpenError::Unusable(format!(
            "{path} belongs to node {owner:?}, this is node {node_id:?}; give each node a file of its own"
        ))),
        Some(_) => Ok(()),
        None => conn.execute("UPDATE kluster_schema SET node_id = ?1", params![node_id]).map(drop).map_err(failed),
    }
}
