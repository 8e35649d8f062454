//! Snapshot: a read-only transaction of REPEATABLE READ in a session of its own, as owner. Its first statement reads the state row, and with it
//! takes the snapshot.
//!
//! Neighbours: `dbms::Snapshot` is the contract; `pins` says how the session is set; `schema_objects.sql` is the schema as text.
//!
//! Invariants
//! 1. Nothing of a user's is executed: rows become text by `record_out`, never by a cast, and row policies raise instead of being asked.
//! 2. The text of a row depends on its values alone: the settings on which it hangs are pinned.

use super::address::Address;
use super::connection::{CancelToken, Connection, Row};
use super::error::Error;
use super::logins::{literal, quoted};
use super::seat;
use crate::dbms::snapshot::{Object, Parts, SnapshotError, Table, TableColumn, name, shown};
use kluster_protocol::Offset;
use kluster_protocol::check::{CheckedRow, Sum, Sums};

/// Tables that hold rows: partitions and heirs each for themselves.
const TABLES: &str = "\
select n.nspname || '.' || c.relname, n.nspname, c.relname, c.oid,
       (select array_to_string(array(select k - 1 from unnest(i.indkey::int2[]) k), ' ') from pg_index i where i.indrelid = c.oid and i.indisprimary)
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
 where c.relkind in ('r', 'm') and c.relispopulated and c.relpersistence <> 't'
   and n.nspname not in ('information_schema', 'kluster', 'kluster_state') and n.nspname !~ '^pg_'
 order by 1";

const COLUMNS: &str = "\
select a.attname, format_type(a.atttypid, a.atttypmod), a.attnum - 1
  from pg_attribute a where a.attrelid = $1::oid and a.attnum > 0 and not a.attisdropped order by a.attnum";

/// The schema as text.
const OBJECTS: &str = include_str!("schema_objects.sql");

/// Pins snapshots of one database.
#[derive(Debug, Clone)]
pub struct Snapshots {
    address: Address,
}

/// A transaction in a session of its own. Dropped, it is cancelled in the server.
#[derive(Debug)]
pub struct Snapshot {
    /// None once it has ended in order.
    connection: Option<Connection>,
    cancel: CancelToken,
    session: i64,
}

impl Snapshots {
    /// Of the database that sessions with this address reach.
    pub(super) fn new(address: Address) -> Self {
        Self { address }
    }

    /// See [`crate::dbms::Snapshots::pin`].
    pub async fn pin(&self, at: Offset) -> Result<Snapshot, SnapshotError> {
        let connection = seat::connect(&self.address).await.map_err(failed)?;
        let (cancel, session) = (connection.cancel_token(), i64::from(connection.process_id()));
        let mut snapshot = Snapshot { connection: Some(connection), cancel, session };
        snapshot.ask("begin isolation level repeatable read read only", &[]).await?;
        let rows = snapshot.ask("select applied from kluster_state.state", &[]).await?;
        match rows.first().and_then(|row| row.text(0)?.parse::<u64>().ok()) {
            Some(applied) if applied == at.get() => Ok(snapshot),
            applied => Err(SnapshotError(format!("the snapshot holds {applied:?}, not offset {at}"))),
        }
    }
}

impl Snapshot {
    /// See [`crate::dbms::Snapshot::sessions`].
    pub fn session(&self) -> i64 {
        self.session
    }

    async fn ask(&mut self, sql: &str, params: &[&str]) -> Result<Vec<Row>, SnapshotError> {
        let Some(connection) = self.connection.as_mut() else {
            return Err(SnapshotError("the snapshot has ended".to_owned()));
        };
        Ok(connection.query(sql, params.iter().map(Some)).await.map_err(failed)?.rows)
    }

    /// A question about one table, whose failure leaves the transaction as it was.
    async fn ask_table(&mut self, sql: &str) -> Result<Vec<Row>, SnapshotError> {
        self.ask("savepoint one", &[]).await?;
        let asked = self.ask(sql, &[]).await;
        let end = if asked.is_ok() { "release one" } else { "rollback to one" };
        self.ask(end, &[]).await.and(asked)
    }

    /// See [`crate::dbms::Snapshot::objects`].
    pub async fn objects(&mut self) -> Result<Vec<Object>, SnapshotError> {
        let rows = self.ask(OBJECTS, &[]).await?;
        Ok(rows.iter().map(|row| Object { name: cell(row, 0), definition: cell(row, 1) }).collect())
    }

    /// See [`crate::dbms::Snapshot::tables`].
    pub async fn tables(&mut self) -> Result<Vec<Table>, SnapshotError> {
        let mut tables = Vec::new();
        for row in self.ask(TABLES, &[]).await? {
            let columns = self.ask(COLUMNS, &[&cell(&row, 3)]).await?;
            let numbers: Vec<String> = columns.iter().map(|column| cell(column, 2)).collect();
            // A dropped column leaves a gap in the numbers.
            let place = |number: &str| numbers.iter().position(|other| other == number);
            tables.push(Table {
                name: cell(&row, 0),
                source: format!("{}.{}", quoted(&cell(&row, 1)), quoted(&cell(&row, 2))),
                key: cell(&row, 4).split_whitespace().filter_map(place).collect(),
                columns: columns
                    .iter()
                    .map(|column| TableColumn { name: cell(column, 0), type_name: cell(column, 1) })
                    .collect(),
                skipped: None,
            });
        }
        Ok(tables)
    }

    /// See [`crate::dbms::Snapshot::total`].
    pub async fn total(&mut self, table: &Table) -> Result<Sum, SnapshotError> {
        let sql = format!("select count(*), coalesce(sum({HASH}), 0) from only {} as t", table.source);
        let rows = self.ask_table(&sql).await?;
        rows.first().and_then(|row| sum(row, 0)).ok_or_else(unreadable)
    }

    /// See [`crate::dbms::Snapshot::sums`].
    pub async fn sums(&mut self, table: &Table, parts: &Parts) -> Result<Sums, SnapshotError> {
        let (depth, hashed) = (parts.depth + 1, hashed(table));
        let part = first_bytes(depth);
        let sql = format!("select {part}, count(*), sum(h) from ({hashed}) s where {} group by 1", within(parts));
        let rows = self.ask_table(&sql).await?;
        let sums = rows.iter().map(|row| Some((name(row.text(0)?.parse().ok()?, depth), sum(row, 1)?)));
        sums.collect::<Option<Sums>>().ok_or_else(unreadable)
    }

    /// See [`crate::dbms::Snapshot::rows`].
    pub async fn rows(&mut self, table: &Table, parts: &Parts, limit: usize) -> Result<Vec<CheckedRow>, SnapshotError> {
        let columns: Vec<String> =
            table.columns.iter().map(|column| format!("(t).{}::text", quoted(&column.name))).collect();
        // The text of a column of a user's type is made by a cast, which that user may have defined: those are shown as their record.
        let shown_as =
            if self.casts_are_the_servers_own().await? { columns } else { vec!["record_out(t)::text".into()] };
        let values = shown_as.iter().map(|column| format!(", {column}")).collect::<String>();
        let sql = format!(
            "select h{values} from (select {HASH} h, t from only {} as t offset 0) s where {} order by h < 0, h limit {limit}",
            table.source,
            within(parts)
        );
        let rows = self.ask_table(&sql).await?;
        let row = |row: &Row| {
            let values = (1..=shown_as.len()).map(|n| row.text(n).map(|text| shown(&text))).collect();
            Some(CheckedRow { hash: row.text(0)?.parse::<i64>().ok()? as u64, values })
        };
        rows.iter().map(row).collect::<Option<Vec<_>>>().ok_or_else(unreadable)
    }

    /// No cast to text was made by a user.
    async fn casts_are_the_servers_own(&mut self) -> Result<bool, SnapshotError> {
        let sql = "select not exists (select from pg_cast where casttarget in ('text'::regtype, 'varchar'::regtype, 'bpchar'::regtype) and oid >= 16384)";
        Ok(self.ask(sql, &[]).await?.first().is_some_and(|row| row.text(0).as_deref() == Some("t")))
    }

    /// See [`crate::dbms::Snapshot::end`].
    pub async fn end(mut self) {
        if let Some(connection) = self.connection.take() {
            connection.close().await;
        }
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        let (Some(connection), Ok(runtime)) = (self.connection.take(), tokio::runtime::Handle::try_current()) else {
            return;
        };
        let cancel = self.cancel.clone();
        runtime.spawn(async move {
            // If it cannot be reached, the server looks for its client by itself every second (PostgreSQL 14 and newer).
            let _ = tokio::time::timeout(seat::CONNECT_TIMEOUT, cancel.cancel()).await;
            drop(connection);
        });
    }
}

/// The hash of a row: 64 bits of the server's own over its text.
const HASH: &str = "hashtextextended(textin(record_out(t)) collate \"C\", 0)";

/// Each row's hash, made once.
fn hashed(table: &Table) -> String {
    format!("select {HASH} h from only {} as t offset 0", table.source)
}

/// The first bytes of a hash, as a number.
fn first_bytes(depth: u8) -> String {
    let bits = 8 * u32::from(depth);
    format!("(h >> {}) & {}", 64 - bits, (1_u64 << bits) - 1)
}

fn within(parts: &Parts) -> String {
    if parts.depth == 0 {
        return "true".to_owned();
    }
    let numbers: Vec<String> = parts.numbers().iter().map(u64::to_string).collect();
    format!("({}) = any ({}::bigint[])", first_bytes(parts.depth), literal(&format!("{{{}}}", numbers.join(","))))
}

fn sum(row: &Row, from: usize) -> Option<Sum> {
    Some(Sum { rows: row.text(from)?.parse().ok()?, sum: row.text(from + 1)?.parse().ok()? })
}

fn cell(row: &Row, n: usize) -> String {
    row.text(n).unwrap_or_default().into_owned()
}

fn unreadable() -> SnapshotError {
    SnapshotError("the server's sums cannot be read".to_owned())
}

/// The server's own words may hold values.
fn failed(error: Error) -> SnapshotError {
    SnapshotError(match error {
        Error::Server(error) | Error::SessionEnded(error) => format!("PostgreSQL refused it with {}", error.sqlstate),
        error => super::errors::lost_cause(&error).to_string(),
    })
}
