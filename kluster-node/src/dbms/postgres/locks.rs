//! Locks: who holds up the session that applies ALL, by `pg_blocking_pids`, asked by the owner in a session of its own.
//!
//! Neighbours: `dbms::Locks`; `seat` connects.

use super::address::Address;
use super::connection::Row;
use super::error::Error;
use super::seat;
use crate::dbms::Held;
use std::fmt::Write;

/// What is waited for, then the holder's pid, user, application, state and age of its transaction in seconds; 0 is a prepared transaction.
const HELD: &str = "\
select coalesce((select coalesce(w.relation::regclass::text, w.locktype) from pg_locks w where w.pid = a.pid and not w.granted limit 1), '?'),
       holder.pid, coalesce(h.usename, '?'), coalesce(h.application_name, ''), coalesce(h.state, '?'),
       coalesce(extract(epoch from clock_timestamp() - h.xact_start)::bigint::text, '?')
  from pg_stat_activity a
 cross join lateral (select distinct unnest(pg_blocking_pids(a.pid)) as pid) holder
  left join pg_stat_activity h on h.pid = holder.pid
 where a.usename = $1::name and a.datname = current_database()
 order by holder.pid";

/// See [`crate::dbms::Locks`].
#[derive(Debug, Clone)]
pub struct Locks {
    owner: Address,
    /// As whom ALL is applied.
    app: String,
}

impl Locks {
    /// Of the session that logs in as `app`.
    pub(super) fn new(owner: Address, app: String) -> Self {
        Self { owner, app }
    }

    /// What it waits for just now.
    pub async fn held(&self) -> Result<Option<Held>, Error> {
        let mut session = seat::connect(&self.owner).await?;
        let rows = session.query(HELD, [Some(&self.app)]).await?.rows;
        session.close().await;
        Ok(rows.first().map(|first| held(first, &rows)))
    }
}

fn held(first: &Row, rows: &[Row]) -> Held {
    let cell = |row: &Row, n| row.text(n).unwrap_or_default().into_owned();
    let mut text = format!("waits for a lock on {}, held by ", cell(first, 0));
    let mut by = Vec::with_capacity(rows.len());
    for row in rows {
        let (pid, user, application, state, age) =
            (cell(row, 1), cell(row, 2), cell(row, 3), cell(row, 4), cell(row, 5));
        let separator = if by.is_empty() { "" } else { "; " };
        // Writing to a string cannot fail.
        let _ = match pid.as_str() {
            "0" => write!(text, "{separator}a prepared transaction (pg_prepared_xacts)"),
            pid => write!(
                text,
                "{separator}session {pid} (user {user}, application {application:?}, {state}, its transaction {age} s old): end that \
                 transaction, or the session by select pg_terminate_backend({pid})"
            ),
        };
        by.push(pid.parse().unwrap_or_default());
    }
    Held { by, text }
}
