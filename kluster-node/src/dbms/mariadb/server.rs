//! Server: what is asked of the server as a whole before a node uses it: version, settings, rights.
//!
//! Neighbours: [`super::owner`] asks on its way in. What a session can set for itself stands in [`super::settings`].

use super::address::Address;
use super::errors;
use super::names::{Names, identifier};
use super::session::{Session, params};
use crate::dbms::OpenError;
use crate::fault::Fault;
use kluster_protocol::MAX_REQUEST_BYTES;
use sqlx::Row;
use std::collections::HashSet;

/// What a server must take in one packet: a request and what we write beside it.
const MIN_PACKET: u64 = 2 * MAX_REQUEST_BYTES as u64;

/// The server's version in its own words, and its session variables in lower case.
pub async fn known(session: &mut Session) -> Result<(String, HashSet<String>), sqlx::Error> {
    let version = session.one("select version()", params![]).await?.try_get(0)?;
    let variables = "select lower(variable_name) from information_schema.system_variables";
    let known = session.rows(variables, params![]).await?;
    let known: Result<_, _> = known.iter().map(|row| row.try_get(0)).collect();
    Ok((version, known?))
}

/// MariaDB 10.6 brought DDL that is atomic over a crash, which the intent protocol needs.
pub fn supported(version: &str) -> Result<(), OpenError> {
    let mut numbers = version.split(['.', '-']).map(|part| part.parse::<u32>().unwrap_or(0));
    let number = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    match version.contains("MariaDB") && number >= (10, 6) {
        true => Ok(()),
        false => Err(OpenError::Unusable(format!("the server is {version}; MariaDB 10.6 or newer is needed"))),
    }
}

/// What only the whole server can set.
pub async fn check(session: &mut Session) -> Result<(), OpenError> {
    let sql = "select cast(@@global.max_allowed_packet as unsigned), @@global.log_bin + 0, @@global.binlog_format, \
               @@global.log_bin_trust_function_creators + 0, cast(@@global.event_scheduler as char)";
    let row = session.one(sql, params![]).await.map_err(|e| unusable("read its settings", e))?;
    let setting = |e| unusable("read its settings", e);
    let packet: u64 = row.try_get(0).map_err(setting)?;
    let binlog = row.try_get::<i64, _>(1).map_err(setting)? != 0;
    let format: String = row.try_get(2).map_err(setting)?;
    if packet < MIN_PACKET {
        return Err(OpenError::Unusable(format!(
            "max_allowed_packet is {packet}; requests need {MIN_PACKET}: set it in the server's configuration (and by SET GLOBAL)"
        )));
    }
    if binlog && format == "STATEMENT" {
        return Err(OpenError::Unusable(
            "binlog_format is STATEMENT, which refuses writes at READ COMMITTED; set it to MIXED or ROW".to_owned(),
        ));
    }
    if binlog && row.try_get::<i64, _>(3).map_err(setting)? == 0 {
        tracing::warn!(
            "the server writes a binary log and refuses functions and triggers of users: SET GLOBAL log_bin_trust_function_creators = 1"
        );
    }
    if row.try_get::<String, _>(4).map_err(setting)? == "ON" {
        tracing::warn!(
            "the event scheduler is on; what an event writes on this server alone is a difference between nodes"
        );
    }
    Ok(())
}

/// Whether sessions of user SQL can have InnoDB enforced by our procedure; false: the server enforces it already. Rows of other engines
/// cannot be rolled back.
pub async fn can_enforce_engine(session: &mut Session, address: &Address) -> Result<bool, OpenError> {
    let global = session.one("select coalesce(@@global.enforce_storage_engine, '')", params![]).await;
    let global: String = global.and_then(|row| row.try_get(0)).map_err(|e| unusable("read its settings", e))?;
    if global.eq_ignore_ascii_case("InnoDB") {
        return Ok(false);
    }
    let set = session.run("set session enforce_storage_engine = InnoDB").await;
    set.map(|()| true).map_err(|e| address.refused("have InnoDB enforced for all tables", e))
}

/// What stands in the user's database and cannot be the same on every node for long.
pub async fn check_tables(session: &mut Session, names: &Names) -> Result<(), OpenError> {
    let foreign = "select table_name from information_schema.tables \
                   where table_schema = ? and table_type = 'BASE TABLE' and engine <> 'InnoDB' order by 1";
    let tables = listed(session, foreign, names).await.map_err(|e| unusable("list its tables", e))?;
    if let Some(first) = tables.first() {
        return Err(OpenError::Unusable(format!(
            "what is written to {} cannot be rolled back: ALTER TABLE {}.{} ENGINE = InnoDB",
            tables.join(", "),
            identifier(&names.database),
            identifier(first)
        )));
    }
    let own_values = "select distinct concat(table_name, '.', column_name) from information_schema.columns where table_schema = ? \
                      and (extra like '%auto_increment%' or column_default regexp 'sysdate|rand\\\\(|uuid') order by 1";
    let columns = listed(session, own_values, names).await.map_err(|e| unusable("list its columns", e))?;
    if !columns.is_empty() {
        tracing::warn!(
            columns = columns.join(", "),
            "columns that the server fills by a counter, its own clock or chance: bind their values, else nodes come to differ"
        );
    }
    Ok(())
}

async fn listed(session: &mut Session, sql: &str, names: &Names) -> Result<Vec<String>, sqlx::Error> {
    let rows = session.rows(sql, params![names.database.as_str()]).await?;
    rows.iter().map(|row| row.try_get(0)).collect()
}

/// Why the database cannot be opened, out of an error met while trying to `what`.
pub fn unusable(what: &str, error: sqlx::Error) -> OpenError {
    match errors::fault(error) {
        Fault::Lost(cause) | Fault::Transient(cause) | Fault::LockWait(cause) => {
            OpenError::Unreachable(cause.to_string())
        }
        fault => OpenError::Unusable(format!("cannot {what}: {}", fault.cause())),
    }
}
