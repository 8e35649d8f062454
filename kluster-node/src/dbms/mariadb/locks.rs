//! Locks: who holds up the session that applies ALL. InnoDB tells who holds a row; who holds a table is told where the server's plugin
//! `metadata_lock_info` is installed, else sessions that may be it are named.
//!
//! Neighbours: `dbms::Locks`; the owner's login, which has the right PROCESS.

use super::names::Names;
use super::session::{Session, params};
use super::settings::Settings;
use crate::dbms::Held;
use sqlx::Row;
use sqlx::mysql::{MySqlConnectOptions, MySqlRow};

/// The session that applies ALL (`?` its user, `?` its database) and who holds the row that it waits for: what it waits for, the holder's
/// number, user, command, and age of its transaction in seconds. Number 0: an XA transaction that is prepared. InnoDB's tables may be 0.1 s old, so
/// a holder must still be in the list of processes.
const ROWS: &str = "\
select cast(l.lock_table as char), cast(h.trx_mysql_thread_id as signed), coalesce(p.user, '?'), coalesce(p.command, '?'),
       cast(timestampdiff(second, h.trx_started, now()) as signed)
  from information_schema.processlist a
  join information_schema.innodb_trx w on w.trx_mysql_thread_id = a.id
  join information_schema.innodb_lock_waits waits on waits.requesting_trx_id = w.trx_id
  join information_schema.innodb_trx h on h.trx_id = waits.blocking_trx_id
  left join information_schema.innodb_locks l on l.lock_id = waits.requested_lock_id
  left join information_schema.processlist p on p.id = h.trx_mysql_thread_id
 where a.user = ? and a.db = ? and (p.id is not null or h.trx_mysql_thread_id = 0)
 order by 2";

/// What the session that applies ALL waits for, where it is the lock of a table: `Waiting for table metadata lock`.
const TABLE_WAIT: &str =
    "select state, id from information_schema.processlist where user = ? and db = ? and state like 'Waiting for%lock'";

const PLUGIN: &str = "select 1 from information_schema.tables where table_schema = 'information_schema' and table_name = 'METADATA_LOCK_INFO'";

/// Who holds locks of tables in the database, but for one session (`?`).
const TABLES: &str = "\
select distinct concat(m.table_schema, '.', m.table_name), cast(m.thread_id as signed), coalesce(p.user, '?'), coalesce(p.command, '?'),
       cast(coalesce(p.time, 0) as signed)
  from information_schema.metadata_lock_info m left join information_schema.processlist p on p.id = m.thread_id
 where m.table_schema = ? and m.table_name <> '' and m.thread_id <> ?
 order by 2";

/// Who may hold them: other sessions in the database, or with a transaction in it.
const PERHAPS: &str = "\
select 'a table', cast(p.id as signed), p.user, p.command, cast(coalesce(p.time, 0) as signed)
  from information_schema.processlist p
 where p.db = ? and p.id <> ? and p.id <> connection_id()
 order by 2";

/// See [`crate::dbms::Locks`].
#[derive(Debug, Clone)]
pub struct Locks {
    owner: MySqlConnectOptions,
    names: Names,
    /// As whom ALL is applied.
    app: String,
}

impl Locks {
    /// Of the session that logs in as `app`.
    pub(super) fn new(owner: MySqlConnectOptions, names: Names, app: String) -> Self {
        Self { owner: owner.database("information_schema"), names, app }
    }

    /// What it waits for just now.
    pub async fn held(&self) -> Result<Option<Held>, sqlx::Error> {
        let mut session = Session::open(&self.owner, &Settings::none()).await?;
        let held = self.held_in(&mut session).await;
        session.close().await;
        held
    }

    async fn held_in(&self, session: &mut Session) -> Result<Option<Held>, sqlx::Error> {
        let (app, database) = (self.app.as_str(), self.names.database.as_str());
        let rows = session.rows(ROWS, params![app, database]).await?;
        if let Some(first) = rows.first() {
            let what: Option<String> = first.try_get(0)?;
            return held(&format!("a lock in {}", what.unwrap_or_else(|| "a table".to_owned())), "held by", &rows)
                .map(Some);
        }
        let Some(waits) = session.rows(TABLE_WAIT, params![app, database]).await?.into_iter().next() else {
            return Ok(None);
        };
        let (state, own): (String, i64) = (waits.try_get(0)?, waits.try_get(1)?);
        let what = state.trim_start_matches("Waiting for ");
        if session.rows(PLUGIN, params![]).await?.is_empty() {
            let rows = session.rows(PERHAPS, params![database, own]).await?;
            let who = "whose holder this server does not tell (install soname 'metadata_lock_info' lets it); it may be";
            return held(&format!("a {what}"), who, &rows).map(Some);
        }
        let rows = session.rows(TABLES, params![database, own]).await?;
        let tables: Vec<String> = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
        held(&format!("a {what} of {}", tables.first().map_or("?", String::as_str)), "held by", &rows).map(Some)
    }
}

fn held(what: &str, who: &str, rows: &[MySqlRow]) -> Result<Held, sqlx::Error> {
    let mut by = Vec::with_capacity(rows.len());
    let mut sessions = Vec::with_capacity(rows.len());
    for row in rows {
        let (id, user, command, age): (i64, String, String, i64) =
            (row.try_get(1)?, row.try_get(2)?, row.try_get(3)?, row.try_get(4)?);
        if by.contains(&id) {
            continue;
        }
        by.push(id);
        sessions.push(match id {
            0 => "a prepared XA transaction (xa recover)".to_owned(),
            id => format!(
                "connection {id} (user {user}, {command}, {age} s): end its transaction or unlock its tables, or end it by kill {id}"
            ),
        });
    }
    if sessions.is_empty() {
        sessions.push("nobody any more".to_owned());
    }
    Ok(Held { by, text: format!("waits for {what}, {who} {}", sessions.join("; ")) })
}
