//! Snapshot: `START TRANSACTION WITH CONSISTENT SNAPSHOT` in a session of its own, as owner.
//!
//! Neighbours: `dbms::Snapshot` is the contract; `snapshot_columns` writes the text of a row; `schema_objects` is the schema as text.
//!
//! Only tables of InnoDB have a snapshot; those of another engine, made beside Kluster, are named and not compared.

use super::address::Address;
use super::names::{Names, identifier};
use super::session::{Session, params};
use super::settings::{For, Settings};
use super::{errors, schema_objects, snapshot_columns};
use crate::dbms::snapshot::{Object, Parts, SnapshotError, Table, TableColumn, name, shown};
use kluster_protocol::Offset;
use kluster_protocol::check::{CheckedRow, Sum, Sums};
use sqlx::Row;
use sqlx::mysql::{MySqlConnectOptions, MySqlRow};
use std::collections::HashSet;

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
    /// The server has the function CRC32C (MariaDB 10.8).
    crc32c: bool,
}

/// A transaction in a session of its own. Dropped, it is ended in the server.
#[derive(Debug)]
pub struct Snapshot {
    /// None once it has ended in order, and while it is used.
    session: Option<Session>,
    id: u64,
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
            crc32c: numbers.as_slice() >= [10, 8].as_slice(),
        }
    }

    /// See [`crate::dbms::Snapshots::pin`].
    pub async fn pin(&self, at: Offset) -> Result<Snapshot, SnapshotError> {
        let session = Session::open(&self.login, &self.settings).await.map_err(failed)?;
        let mut snapshot = Snapshot { id: session.id, session: Some(session), door: self.clone() };
        snapshot.run("set session transaction isolation level repeatable read, read only").await?;
        snapshot.run("start transaction with consistent snapshot, read only").await?;
        let sql = format!("select applied from {} where id = 1", self.names.own("state"));
        let rows = snapshot.ask(sql, &[]).await?;
        let applied: Option<u64> = rows.first().map(|row| row.try_get(0)).transpose().map_err(failed)?.flatten();
        match applied {
            Some(applied) if applied == at.get() => Ok(snapshot),
            applied => Err(SnapshotError(format!("the snapshot holds {applied:?}, not offset {at}"))),
        }
    }
}

impl Snapshot {
    /// See [`crate::dbms::Snapshot::session`].
    pub fn session(&self) -> i64 {
        i64::try_from(self.id).unwrap_or_default()
    }

    async fn run(&mut self, sql: &str) -> Result<(), SnapshotError> {
        self.ours()?.run(sql).await.map_err(failed)
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
        self.session.as_mut().ok_or_else(|| SnapshotError("the snapshot has ended".to_owned()))
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
        if let Some(long) = snapshot_columns::too_long(table)
            && !self.ask(long, &[]).await?.is_empty()
        {
            return Err(SnapshotError("a row is longer than the server's max_allowed_packet".to_owned()));
        }
        let hash = snapshot_columns::hash_once(table, self.door.crc32c);
        let sql =
            format!("select cast(count(*) as char), cast(coalesce(sum({hash}), 0) as char) from {}", table.source);
        let rows = self.ask(sql, &[]).await?;
        rows.first().and_then(|row| sum(row, 0)).ok_or_else(unreadable)
    }

    /// See [`crate::dbms::Snapshot::sums`].
    pub async fn sums(&mut self, table: &Table, parts: &Parts) -> Result<Sums, SnapshotError> {
        let (depth, hash) = (parts.depth + 1, snapshot_columns::hash(table, self.door.crc32c));
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
        let hash = snapshot_columns::hash(table, self.door.crc32c);
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
        if let Some(session) = self.session.take() {
            session.close().await;
        }
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        let (Some(session), Ok(runtime)) = (self.session.take(), tokio::runtime::Handle::try_current()) else {
            return;
        };
        let (id, door) = (self.id, self.door.clone());
        // Closed first: if the session was idle, it is gone before it can be killed.
        drop(session);
        runtime.spawn(async move {
            let killed = async { Session::open(&door.login, &Settings::none()).await?.run(format!("kill {id}")).await };
            if let Err(error) = killed.await {
                tracing::debug!(%error, "a snapshot was over before it was ended");
            }
        });
    }
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
