//! Pins: every setting of a connection that decides an outcome, the same on all nodes and not for the user to change.
//!
//! Neighbours: `session` pins the connection that writes, `reads` those of ONE.

use kluster_protocol::{MAX_PARAMS, MAX_REQUEST_BYTES};
use rusqlite::Connection;
use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;

/// Distinct texts kept prepared; a batch has at most 60 works.
const CACHED_STATEMENTS: usize = 256;

/// Limits that decide outcomes and are therefore the same on every node; beyond them a request is refused.
const LIMITS: [(Limit, i32); 10] = [
    (Limit::SQLITE_LIMIT_LENGTH, 256 * 1024 * 1024),
    (Limit::SQLITE_LIMIT_SQL_LENGTH, MAX_REQUEST_BYTES as i32),
    (Limit::SQLITE_LIMIT_COLUMN, 2000),
    (Limit::SQLITE_LIMIT_EXPR_DEPTH, 1000),
    (Limit::SQLITE_LIMIT_COMPOUND_SELECT, 500),
    (Limit::SQLITE_LIMIT_FUNCTION_ARG, 127),
    (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 50_000),
    (Limit::SQLITE_LIMIT_VARIABLE_NUMBER, MAX_PARAMS as i32),
    (Limit::SQLITE_LIMIT_TRIGGER_DEPTH, 1000),
    (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
];

/// Settings that decide outcomes, and those that let a commit be lazy: what a crash takes back is replayed.
const PINS: &str = "
    PRAGMA synchronous = NORMAL;
    PRAGMA foreign_keys = ON;
    PRAGMA recursive_triggers = OFF;
    PRAGMA ignore_check_constraints = OFF;
    PRAGMA case_sensitive_like = OFF;
    PRAGMA reverse_unordered_selects = OFF;
    PRAGMA automatic_index = ON;
    PRAGMA trusted_schema = OFF;
    PRAGMA cell_size_check = ON;
    PRAGMA threads = 0;";

/// Switches of the connection, for the same reason: double quotes are names, and the schema is written by DDL only.
const SWITCHES: [(DbConfig, bool); 6] = [
    (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
    (DbConfig::SQLITE_DBCONFIG_DQS_DML, false),
    (DbConfig::SQLITE_DBCONFIG_DQS_DDL, false),
    (DbConfig::SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER, false),
    (DbConfig::SQLITE_DBCONFIG_LEGACY_ALTER_TABLE, false),
    (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
];

/// Settings, switches and limits that writer and readers share.
pub(super) fn pin(conn: &Connection) -> rusqlite::Result<()> {
    // A lock is never waited for: on one thread the holder could not go on.
    conn.busy_timeout(std::time::Duration::ZERO)?;
    conn.execute_batch(PINS)?;
    for (switch, on) in SWITCHES {
        conn.set_db_config(switch, on)?;
    }
    for (limit, most) in LIMITS {
        conn.set_limit(limit, most)?;
    }
    conn.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
    Ok(())
}

/// The encoding of its texts: the file's, and UTF-8 for a new one.
pub(super) fn encoding(conn: &Connection) -> rusqlite::Result<String> {
    conn.query_row("PRAGMA encoding", [], |row| row.get(0))
}

/// Makes a new file a WAL database.
pub(super) fn journal(conn: &Connection) -> rusqlite::Result<()> {
    let mode = |sql| conn.query_row(sql, [], |row| row.get::<_, String>(0));
    if mode("PRAGMA journal_mode")? != "wal" {
        mode("PRAGMA journal_mode = WAL")?;
    }
    Ok(())
}
