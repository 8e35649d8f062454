//! Snapshot: `START TRANSACTION WITH CONSISTENT SNAPSHOT` in sessions of its own, as owner. They share one state, for the ALL lane waits while they
//! begin; a table whose key is a number is summed by all of them, each at its parts.
//!
//! Neighbours: `dbms::Snapshot` is the contract; `snapshot_columns` writes the hash of a row; `schema_objects` is the schema as text.
//!
//! Only tables of InnoDB have a snapshot; those of another engine, made beside Kluster, are named and not compared.

use super::address::Address;
use super::names::{Names, identifier};
use super::session::{Session, params};
use super::settings::{For, Settings};
use super::snapshot_columns::Form;
use super::{errors, schema_objects, snapshot_columns};
use crate::dbms::snapshot::{Object, Parts, SnapshotError, Table, TableColumn, name, shown};
use futures_util::future::{join_all, try_join_all};
use kluster_protocol::Offset;
use kluster_protocol::check::{CheckedRow, Sum, Sums};
use sqlx::Row;
use sqlx::mysql::{MySqlConnectOptions, MySqlRow};
use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

/// Sessions of a snapshot: enough to be as fast as `CHECKSUM TABLE`, whose single session computes less; more would take the processors from the
/// lanes.
const SESSIONS: usize = 3;
/// A table is divided into so many parts.
const PARTS: i128 = 4 * SESSIONS as i128;

const TABLES: &str = "\
select table_name, table_type, coalesce(engine, '') from information_schema.tables
 where table_schema = ? and table_type in ('BASE TABLE', 'SYSTEM VERSIONED') order by table_name";

/// Columns, and their place in the primary key.
const COLUMNS: &str = "\
select c.column_name, c.data_type, cast(s.seq_in_index as signed)
  from information_schema.columns c
  left join information_schema.statistics s
    on s.table_schema = c.table_schema and s.table_name = c.table_name and s.column_name = c.column_name and s.index_name = 'PRIMARY'
 where c.table_schema = ? and c.table_name = ? order by c.ordinal_position";

/// Pins snapshots of one database.
#[derive(Debug, Clone)]
pub struct Snapshots {
    login: MySqlConnectOptions,
    settings: Settings,
    names: Names,
    form: Form,
}

/// A transaction in each of its sessions. Dropped, they are ended in the server.
#[derive(Debug)]
pub struct Snapshot {
    /// At least one, until it has ended in order.
    sessions: Vec<Session>,
    door: Snapshots,
}

impl Snapshots {
    /// Of the database at this address, on a server with these session variables and this version.
    pub(super) fn new(address: &Address, known: &HashSet<String>, version: &str) -> Self {
        let numbers: Vec<u32> = version.split(['.', '-']).take(2).filter_map(|number| number.parse().ok()).collect();
        Self {
            // The user's database, so that whoever looks for holders of its locks finds the session.
            login: address.login.clone().database(&address.names.database),
            settings: Settings::of(For::Owner, known, &address.names),
            names: address.names.clone(),
            // CRC32C, and codes that are continued, came with MariaDB 10.8.
            form: if numbers.as_slice() >= [10, 8].as_slice() { Form::Codes } else { Form::HalfOfMd5 },
        }
    }

    /// See [`crate::dbms::Snapshots::pin`].
    pub async fn pin(&self, at: Offset) -> Result<Snapshot, SnapshotError> {
        let begun = join_all((0..SESSIONS).map(|_| self.begin(at))).await;
        let mut failures = Vec::new();
        let sessions: Vec<Session> =
            begun.into_iter().filter_map(|session| session.map_err(|error| failures.push(error)).ok()).collect();
        match failures.into_iter().next() {
            Some(error) if sessions.is_empty() => Err(error),
            Some(error) => {
                tracing::debug!(%error, sessions = sessions.len(), "a snapshot has fewer sessions");
                Ok(Snapshot { sessions, door: self.clone() })
            }
            None => Ok(Snapshot { sessions, door: self.clone() }),
        }
    }

    /// A session whose transaction holds the state after `at`.
    async fn begin(&self, at: Offset) -> Result<Session, SnapshotError> {
        let mut session = Session::open(&self.login, &self.settings).await.map_err(failed)?;
        for sql in [
            "set session transaction isolation level repeatable read, read only",
            "start transaction with consistent snapshot, read only",
        ] {
            session.run(sql).await.map_err(failed)?;
        }
        let sql = format!("select applied from {} where id = 1", self.names.own("state"));
        let rows = session.rows(sql, params![]).await.map_err(failed)?;
        let applied: Option<u64> = rows.first().map(|row| row.try_get(0)).transpose().map_err(failed)?.flatten();
        match applied {
            Some(applied) if applied == at.get() => Ok(session),
            applied => Err(SnapshotError(format!("the snapshot holds {applied:?}, not offset {at}"))),
        }
    }
}

impl Snapshot {
    /// See [`crate::dbms::Snapshot::sessions`].
    pub fn sessions(&self) -> Vec<i64> {
        self.sessions.iter().map(|session| i64::try_from(session.id).unwrap_or_default()).collect()
    }

    /// See [`crate::dbms::Snapshot::form`].
    pub fn form(&self) -> u32 {
        self.door.form as u32
    }

    async fn ask(&mut self, sql: String, texts: &[&str]) -> Result<Vec<MySqlRow>, SnapshotError> {
        let session = self.ours()?;
        let asked = async {
            let mut values = params![];
            for text in texts {
                sqlx::Arguments::add(&mut values, *text).map_err(sqlx::Error::Encode)?;
            }
            session.rows(sql, values).await
        };
        asked.await.map_err(failed)
    }

    fn ours(&mut self) -> Result<&mut Session, SnapshotError> {
        self.sessions.first_mut().ok_or_else(|| SnapshotError("the snapshot has ended".to_owned()))
    }

    /// See [`crate::dbms::Snapshot::objects`].
    pub async fn objects(&mut self) -> Result<Vec<Object>, SnapshotError> {
        let database = self.door.names.database.clone();
        let session = self.ours()?;
        schema_objects::of(session, &database).await.map_err(failed)
    }

    /// See [`crate::dbms::Snapshot::tables`].
    pub async fn tables(&mut self) -> Result<Vec<Table>, SnapshotError> {
        let database = self.door.names.database.clone();
        let mut tables = Vec::new();
        for row in self.ask(TABLES.to_owned(), &[&database]).await? {
            let text = |n: usize| row.try_get::<String, _>(n).map_err(failed);
            let (table, engine) = (text(0)?, text(2)?);
            let columns = self.ask(COLUMNS.to_owned(), &[&database, &table]).await?;
            let (columns, key) = described(&columns).map_err(failed)?;
            let other = !engine.eq_ignore_ascii_case("InnoDB");
            tables.push(Table {
                source: format!("{}.{}", identifier(&database), identifier(&table)),
                name: table,
                columns,
                key,
                skipped: other.then(|| format!("tables of the engine {engine} have no snapshot")),
            });
        }
        Ok(tables)
    }

    /// See [`crate::dbms::Snapshot::total`].
    pub async fn total(&mut self, table: &Table) -> Result<Sum, SnapshotError> {
        if let Some(long) = snapshot_columns::too_long(table, self.door.form)
            && !self.ask(long, &[]).await?.is_empty()
        {
            return Err(SnapshotError("a row is longer than the server's max_allowed_packet".to_owned()));
        }
        let hash = snapshot_columns::hash(table, self.door.form);
        let sql = format!(
            "select cast(count(*) as char), cast(coalesce(sum({hash}), 0) as char) from {} where ",
            table.source
        );
        // Who is done with a part takes the next: parts need not have equally many rows.
        let parts = Mutex::new(self.parts(table).await?);
        let next = || parts.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let summing = self.sessions.iter_mut().map(|session| sum_parts(session, &sql, next));
        let mut total = Sum::default();
        try_join_all(summing).await?.into_iter().for_each(|sum| total += sum);
        Ok(total)
    }

    /// Conditions that divide a table among the sessions.
    async fn parts(&mut self, table: &Table) -> Result<Vec<String>, SnapshotError> {
        let whole = vec!["true".to_owned()];
        let Some(column) = snapshot_columns::divides(table) else { return Ok(whole) };
        let sql = format!("select cast(min({column}) as char), cast(max({column}) as char) from {}", table.source);
        let rows = self.ask(sql, &[]).await?;
        let end = |n: usize| rows.first()?.try_get::<Option<String>, _>(n).ok()??.parse::<i128>().ok();
        Ok(match (end(0), end(1)) {
            (Some(first), Some(last)) => snapshot_columns::divided(&column, first, last, PARTS),
            _ => whole,
        })
    }

    /// See [`crate::dbms::Snapshot::sums`].
    pub async fn sums(&mut self, table: &Table, parts: &Parts) -> Result<Sums, SnapshotError> {
        let (depth, hash) = (parts.depth + 1, snapshot_columns::hash(table, self.door.form));
        let sql = format!(
            "select cast({} as char), cast(count(*) as char), cast(sum({hash}) as char) from {} where {} group by 1",
            first_bytes(&hash, depth),
            table.source,
            within(&hash, parts)
        );
        let rows = self.ask(sql, &[]).await?;
        let sums = rows.iter().map(|row| Some((name(number(row, 0)?, depth), sum(row, 1)?)));
        sums.collect::<Option<Sums>>().ok_or_else(unreadable)
    }

    /// See [`crate::dbms::Snapshot::rows`].
    pub async fn rows(&mut self, table: &Table, parts: &Parts, limit: usize) -> Result<Vec<CheckedRow>, SnapshotError> {
        let hash = snapshot_columns::hash(table, self.door.form);
        let values: String =
            table.columns.iter().map(|column| format!(", {}", snapshot_columns::shown(column))).collect();
        let sql = format!(
            "select cast({hash} as char){values} from {} where {} order by {hash} limit {limit}",
            table.source,
            within(&hash, parts)
        );
        let rows = self.ask(sql, &[]).await?;
        let row = |row: &MySqlRow| {
            let value = |n: usize| Some(row.try_get::<Option<String>, _>(n).ok()?.map(|text| shown(&text)));
            let values = (1..=table.columns.len()).map(value).collect::<Option<_>>()?;
            Some(CheckedRow { hash: number(row, 0)?, values })
        };
        rows.iter().map(row).collect::<Option<Vec<_>>>().ok_or_else(unreadable)
    }

    /// See [`crate::dbms::Snapshot::end`].
    pub async fn end(mut self) {
        for session in std::mem::take(&mut self.sessions) {
            session.close().await;
        }
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        let (sessions, Ok(runtime)) = (std::mem::take(&mut self.sessions), tokio::runtime::Handle::try_current())
        else {
            return;
        };
        if sessions.is_empty() {
            return;
        }
        let door = self.door.clone();
        let ids: Vec<u64> = sessions.iter().map(|session| session.id).collect();
        // Closed first: those that were idle are gone before they can be killed.
        drop(sessions);
        runtime.spawn(async move {
            let killed = async {
                let mut killer = Session::open(&door.login, &Settings::none()).await?;
                for id in ids {
                    if let Err(error) = killer.run(format!("kill {id}")).await {
                        tracing::debug!(%error, "a session of a snapshot was over before it was ended");
                    }
                }
                Ok::<_, sqlx::Error>(())
            };
            if let Err(error) = killed.await {
                tracing::debug!(%error, "a snapshot cannot be ended; its sessions end when the server finds them closed");
            }
        });
    }
}

/// Sums one part after the other, until none is left.
async fn sum_parts(session: &mut Session, sql: &str, next: impl Fn() -> Option<String>) -> Result<Sum, SnapshotError> {
    let mut total = Sum::default();
    while let Some(part) = next() {
        let rows = session.rows(format!("{sql}{part}"), params![]).await.map_err(failed)?;
        total += rows.first().and_then(|row| sum(row, 0)).ok_or_else(unreadable)?;
    }
    Ok(total)
}

fn described(rows: &[MySqlRow]) -> Result<(Vec<TableColumn>, Vec<usize>), sqlx::Error> {
    let (mut columns, mut key) = (Vec::new(), Vec::new());
    for (place, row) in rows.iter().enumerate() {
        columns.push(TableColumn { name: row.try_get(0)?, type_name: row.try_get(1)? });
        if let Some(number) = row.try_get::<Option<i64>, _>(2)? {
            key.push((number, place));
        }
    }
    key.sort_unstable();
    Ok((columns, key.into_iter().map(|(_, place)| place).collect()))
}

/// The first bytes of a hash, as a number.
fn first_bytes(hash: &str, depth: u8) -> String {
    format!("(({hash}) >> {})", 64 - 8 * u32::from(depth))
}

fn within(hash: &str, parts: &Parts) -> String {
    if parts.depth == 0 {
        return "true".to_owned();
    }
    let numbers: Vec<String> = parts.numbers().iter().map(u64::to_string).collect();
    format!("{} in ({})", first_bytes(hash, parts.depth), numbers.join(","))
}

fn sum(row: &MySqlRow, from: usize) -> Option<Sum> {
    Some(Sum { rows: number(row, from)?, sum: row.try_get::<String, _>(from + 1).ok()?.parse().ok()? })
}

fn number(row: &MySqlRow, n: usize) -> Option<u64> {
    row.try_get::<String, _>(n).ok()?.parse().ok()
}

fn unreadable() -> SnapshotError {
    SnapshotError("the server's sums cannot be read".to_owned())
}

/// The server's own words may hold values.
fn failed(error: sqlx::Error) -> SnapshotError {
    SnapshotError(match errors::number(&error) {
        Some(number) => format!("MariaDB refused it with {number}"),
        None => errors::fault(error).to_string(),
    })
}
