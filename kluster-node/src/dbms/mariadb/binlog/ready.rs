//! Ready: whether this server's binary log shows which rows a request changed, and what its operator can do where it does not.
//!
//! Neighbours: [`super::super::owner`] asks on its way in; the accounts set in their sessions what is said here.

use super::super::names::Names;
use super::super::session::{Session, params};
use sqlx::Row;

/// What is set in the sessions that apply ALL, where the owner may: rows, whole, and no statements' texts beside them. By a procedure, for the right
/// is the owner's and not theirs.
pub const SET: &str = "set session binlog_format = ROW, binlog_row_image = FULL, binlog_annotate_row_events = OFF";

/// What the log can be used for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Logging {
    /// It shows each row.
    Rows {
        /// Sessions that apply ALL call the procedure that sets [`SET`].
        set: bool,
        /// The file that is written, and where it ended.
        end: (String, u64),
    },
    /// It does not: why, and what to do.
    Unusable(String),
    /// There is none.
    Off,
}

impl Logging {
    /// Sessions that apply ALL must have [`SET`] set.
    pub fn is_set(&self) -> bool {
        matches!(self, Self::Rows { set: true, .. })
    }
}

/// Asks the server.
pub async fn logging(session: &mut Session, names: &Names) -> Result<Logging, sqlx::Error> {
    let sql =
        "select @@global.log_bin + 0, cast(@@global.binlog_format as char), cast(@@global.binlog_row_image as char)";
    let row = session.one(sql, params![]).await?;
    let (on, format, image): (i64, String, String) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    if on == 0 {
        return Ok(Logging::Off);
    }
    let unusable = |why: &str| Ok(Logging::Unusable(why.to_owned()));
    // The right to see where the log ends; whether it may be read shows when it is.
    let Ok(status) = session.one("show master status", params![]).await else {
        return unusable(
            "the owner's login may not see the server's binary log; GRANT REPLICATION SLAVE, BINLOG MONITOR ON *.* to it",
        );
    };
    if !writes(&status, names)? {
        return unusable(
            "the server's binary log leaves this database out; remove binlog_do_db and binlog_ignore_db from its configuration",
        );
    }
    let set = session.run(SET).await.is_ok();
    // At READ COMMITTED, InnoDB's rows are logged as rows under MIXED too.
    match set || (format != "STATEMENT" && image == "FULL") {
        true => Ok(Logging::Rows { set, end: (status.try_get(0)?, status.try_get(1)?) }),
        false => unusable(
            "the server's binary log does not hold whole rows; SET GLOBAL binlog_format = ROW, GLOBAL binlog_row_image = FULL, or GRANT \
             BINLOG ADMIN ON *.* to the owner's login",
        ),
    }
}

/// Both the user's database and Kluster's own are logged.
fn writes(status: &sqlx::mysql::MySqlRow, names: &Names) -> Result<bool, sqlx::Error> {
    let (only, without): (Option<String>, Option<String>) = (status.try_get(2)?, status.try_get(3)?);
    let named = |list: &Option<String>, name: &str| list.iter().flat_map(|list| list.split(',')).any(|one| one == name);
    Ok([&names.database, &names.state].into_iter().all(|name| match only.as_deref().unwrap_or_default() {
        "" => !named(&without, name),
        _ => named(&only, name),
    }))
}
