//! Orphans: sessions of user SQL that outlived their process or connection. They are ended before anything is read or executed, for a
//! DDL goes on after its client is gone.
//!
//! Neighbours: opening and recovering call it from a fresh session of the same account, which may end its own kind without any privilege.

use super::session::{Session, params};
use sqlx::Row;
use std::io::{Error, ErrorKind};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// A killed ALTER of a large table rolls back first.
const PATIENCE: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(10);

/// Ends all other sessions of this session's account in this database and waits until they are gone.
pub async fn end(session: &mut Session) -> Result<(), sqlx::Error> {
    let place = session.one("select substring_index(user(), '@', 1), database()", params![]).await?;
    let (user, database): (String, String) = (place.try_get(0)?, place.try_get(1)?);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let orphans = kill(session, &user, &database).await?;
        if orphans.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(Error::new(ErrorKind::TimedOut, format!("sessions {orphans:?} of before do not end")).into());
        }
        // The server tells nobody when a session ends; there is nothing to wait on but the list.
        sleep(PAUSE).await;
    }
}

/// Tells all sessions of `user` in `database` but this one to end. The answer is which there were.
pub async fn kill(session: &mut Session, user: &str, database: &str) -> Result<Vec<u64>, sqlx::Error> {
    let sql = "select cast(id as unsigned) from information_schema.processlist where user = ? and db = ? and id <> connection_id()";
    let rows = session.rows(sql, params![user, database]).await?;
    let ids: Vec<u64> = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    for id in &ids {
        // It may have ended by itself, or be another's to end.
        let _ = session.run(format!("kill {id}")).await;
    }
    Ok(ids)
}
