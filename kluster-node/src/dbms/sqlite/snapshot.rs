//! Snapshot: a read transaction on a connection of its own. In WAL mode it neither waits for the session that writes nor holds it up, not
//! even where the schema changes.
//!
//! Neighbours: `dbms::Snapshot` is the contract; the hash of a row is made here, of its values in their storage classes.

use super::address::Address;
use super::pins::pin;
use super::session::state_row;
use crate::dbms::snapshot::{self, Object, Parts, SnapshotError, Summing, Table, TableColumn, shown};
use kluster_protocol::Offset;
use kluster_protocol::check::{CheckedRow, Sum, Sums};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, Row};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Instructions of SQLite's virtual machine between two looks at whether anyone still wants the sums.
const OPS_BETWEEN_LOOKS: i32 = 10_000;

/// How long a snapshot waits for a lock, which WAL takes from readers only while a file is recovered or reset.
const BUSY: Duration = Duration::from_secs(1);

/// User tables, and the table in which SQLite keeps the last numbers of AUTOINCREMENT. What a virtual table keeps its rows in is physical.
const TABLES: &str = r"
    SELECT name FROM pragma_table_list
     WHERE schema = 'main' AND type IN ('table', 'virtual')
       AND lower(name) NOT LIKE 'kluster\_%' ESCAPE '\'
       AND (name NOT LIKE 'sqlite\_%' ESCAPE '\' OR name = 'sqlite_sequence')
     ORDER BY name";

/// The schema as its texts; an index without one belongs to a constraint, which is in its table's text.
const OBJECTS: &str = r"
    SELECT s.type || ' ' || s.name, s.sql FROM sqlite_schema s
     WHERE s.sql IS NOT NULL AND lower(s.tbl_name) NOT LIKE 'kluster\_%' ESCAPE '\' AND s.name NOT LIKE 'sqlite\_%' ESCAPE '\'
       AND NOT EXISTS (SELECT 1 FROM pragma_table_list l WHERE l.schema = 'main' AND l.name = s.tbl_name AND l.type = 'shadow')";

/// Pins snapshots of one file.
#[derive(Debug, Clone)]
pub struct Snapshots {
    address: Address,
    inline: bool,
}

/// A read transaction.
#[derive(Debug)]
pub struct Snapshot {
    /// Out of here while a thread works with it.
    connection: Option<Connection>,
    inline: bool,
    _wanted: DropGuard,
}

impl Snapshots {
    pub(super) fn new(address: Address, inline: bool) -> Self {
        Self { address, inline }
    }

    /// See [`crate::dbms::Snapshots::pin`].
    pub async fn pin(&self, at: Offset) -> Result<Snapshot, SnapshotError> {
        let unwanted = CancellationToken::new();
        let (address, inline, stops) = (self.address.clone(), self.inline, unwanted.clone());
        let begin = move || begin(&address, inline, stops);
        let connection = match self.inline {
            true => begin(),
            false => tokio::task::spawn_blocking(begin).await.map_err(|error| SnapshotError(error.to_string()))?,
        };
        let (connection, applied) = connection.map_err(|error| failed(&error))?;
        if applied != Some(at) {
            return Err(elsewhere(applied, at));
        }
        Ok(Snapshot { connection: Some(connection), inline: self.inline, _wanted: unwanted.drop_guard() })
    }
}

fn elsewhere(applied: Option<Offset>, at: Offset) -> SnapshotError {
    let applied = applied.map_or("nothing".to_owned(), |applied| applied.to_string());
    SnapshotError(format!("the snapshot holds {applied}, not offset {at}"))
}

fn begin(
    address: &Address,
    inline: bool,
    unwanted: CancellationToken,
) -> rusqlite::Result<(Connection, Option<Offset>)> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(&address.path, flags)?;
    pin(&connection)?;
    connection.execute_batch("PRAGMA query_only = ON")?;
    if !inline {
        connection.busy_timeout(BUSY)?;
        connection.progress_handler(OPS_BETWEEN_LOOKS, Some(move || unwanted.is_cancelled()))?;
    }
    // The first read takes the snapshot.
    connection.execute_batch("BEGIN")?;
    let state = state_row(&connection)?;
    Ok((connection, state.map(|state| state.applied)))
}

impl Snapshot {
    /// Runs `job` on the connection, on a thread that may block.
    async fn on<T: Send + 'static>(
        &mut self,
        job: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, SnapshotError> {
        let Some(connection) = self.connection.take() else {
            return Err(SnapshotError("the snapshot has ended".to_owned()));
        };
        let job = move || {
            let done = job(&connection);
            (connection, done)
        };
        let (connection, done) = match self.inline {
            true => job(),
            false => tokio::task::spawn_blocking(job).await.map_err(|error| SnapshotError(error.to_string()))?,
        };
        self.connection = Some(connection);
        done.map_err(|error| failed(&error))
    }

    /// See [`crate::dbms::Snapshot::objects`].
    pub async fn objects(&mut self) -> Result<Vec<Object>, SnapshotError> {
        self.on(|connection| {
            let mut objects = connection.prepare(OBJECTS)?;
            let object = |row: &Row<'_>| Ok(Object { name: row.get(0)?, definition: row.get(1)? });
            objects.query_map([], object)?.collect()
        })
        .await
    }

    /// See [`crate::dbms::Snapshot::tables`].
    pub async fn tables(&mut self) -> Result<Vec<Table>, SnapshotError> {
        self.on(|connection| {
            let mut names = connection.prepare(TABLES)?;
            let names: Vec<String> = names.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
            names.into_iter().map(|name| table(connection, name)).collect()
        })
        .await
    }

    /// See [`crate::dbms::Snapshot::total`].
    pub async fn total(&mut self, table: &Table) -> Result<Sum, SnapshotError> {
        let sql = format!("SELECT * FROM main.{}", table.source);
        self.on(move |connection| {
            let mut sum = Sum::default();
            each_row(connection, &sql, |hash, _| {
                sum.add(hash);
                Ok(())
            })?;
            Ok(sum)
        })
        .await
    }

    /// See [`crate::dbms::Snapshot::sums`].
    pub async fn sums(&mut self, table: &Table, parts: &Parts) -> Result<Sums, SnapshotError> {
        let (sql, parts) = (format!("SELECT * FROM main.{}", table.source), parts.clone());
        self.on(move |connection| {
            let mut summing = Summing::new(parts);
            each_row(connection, &sql, |hash, _| {
                summing.add(hash);
                Ok(())
            })?;
            Ok(summing.sums())
        })
        .await
    }

    /// See [`crate::dbms::Snapshot::rows`].
    pub async fn rows(&mut self, table: &Table, parts: &Parts, limit: usize) -> Result<Vec<CheckedRow>, SnapshotError> {
        let (sql, parts) = (format!("SELECT * FROM main.{}", table.source), parts.clone());
        self.on(move |connection| {
            let mut first = BTreeSet::new();
            let mut number = 0_u64;
            each_row(connection, &sql, |hash, row| {
                if parts.hold(hash)
                    && (first.len() < limit || first.last().is_some_and(|(last, _, _)| (hash as u64) < *last))
                {
                    let count = row.as_ref().column_count();
                    let values = (0..count).map(|n| Ok(text(row.get_ref(n)?))).collect::<rusqlite::Result<Vec<_>>>()?;
                    first.insert((hash as u64, number, values));
                    if first.len() > limit {
                        first.pop_last();
                    }
                }
                number += 1;
                Ok(())
            })?;
            Ok(first.into_iter().map(|(hash, _, values)| CheckedRow { hash, values }).collect())
        })
        .await
    }

    /// See [`crate::dbms::Snapshot::end`].
    pub async fn end(mut self) {
        drop(self.connection.take());
    }
}

fn table(connection: &Connection, name: String) -> rusqlite::Result<Table> {
    // A hidden column of a virtual table is not among `*`.
    let sql = "SELECT name, type, pk FROM pragma_table_xinfo(?1) WHERE hidden <> 1 ORDER BY cid";
    let mut columns = connection.prepare_cached(sql)?;
    let column = |row: &Row<'_>| Ok((TableColumn { name: row.get(0)?, type_name: row.get(1)? }, row.get::<_, i64>(2)?));
    let columns: Vec<(TableColumn, i64)> = columns.query_map([&name], column)?.collect::<Result<_, _>>()?;
    let mut key: Vec<(i64, usize)> =
        columns.iter().enumerate().filter(|(_, (_, pk))| *pk > 0).map(|(place, (_, pk))| (*pk, place)).collect();
    key.sort_unstable();
    Ok(Table {
        source: format!("\"{}\"", name.replace('"', "\"\"")),
        name,
        columns: columns.into_iter().map(|(column, _)| column).collect(),
        key: key.into_iter().map(|(_, place)| place).collect(),
        skipped: None,
    })
}

/// Says each row with its hash.
fn each_row(
    connection: &Connection,
    sql: &str,
    mut say: impl FnMut(i64, &Row<'_>) -> rusqlite::Result<()>,
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare(sql)?;
    let width = statement.column_count();
    let mut rows = statement.query([])?;
    let mut bytes = Vec::with_capacity(256);
    while let Some(row) = rows.next()? {
        bytes.clear();
        for n in 0..width {
            write(row.get_ref(n)?, &mut bytes);
        }
        say(snapshot::hash(&bytes), row)?;
    }
    Ok(())
}

/// A value in a form that no two unlike values share, whatever stands behind it: storage class, length where it is not fixed, content.
fn write(value: ValueRef<'_>, bytes: &mut Vec<u8>) {
    let sized = |class: u8, content: &[u8], bytes: &mut Vec<u8>| {
        bytes.push(class);
        bytes.extend((content.len() as u64).to_le_bytes());
        bytes.extend(content);
    };
    match value {
        ValueRef::Null => bytes.push(0),
        ValueRef::Integer(number) => {
            bytes.push(1);
            bytes.extend(number.to_le_bytes());
        }
        ValueRef::Real(number) => {
            bytes.push(2);
            bytes.extend(number.to_bits().to_le_bytes());
        }
        ValueRef::Text(text) => sized(3, text, bytes),
        ValueRef::Blob(blob) => sized(4, blob, bytes),
    }
}

/// A value for people. A text that reads as a number is quoted, for in SQLite it is another value.
fn text(value: ValueRef<'_>) -> Option<String> {
    Some(match value {
        ValueRef::Null => return None,
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => format!("{number:?}"),
        ValueRef::Text(bytes) => {
            let text = String::from_utf8_lossy(bytes);
            if text.parse::<f64>().is_ok() { format!("'{text}'") } else { shown(&text) }
        }
        ValueRef::Blob(blob) => shown(&format!("x'{}'", hex::encode(blob))),
    })
}

fn failed(error: &rusqlite::Error) -> SnapshotError {
    SnapshotError(super::errors::cause(error).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unlike_rows_have_unlike_forms() {
        let form = |values: &[ValueRef<'_>]| {
            let mut bytes = Vec::new();
            values.iter().for_each(|value| write(*value, &mut bytes));
            bytes
        };
        let forms = [
            form(&[ValueRef::Null, ValueRef::Text(b"")]),
            form(&[ValueRef::Text(b""), ValueRef::Null]),
            form(&[ValueRef::Text(b"ab"), ValueRef::Text(b"c")]),
            form(&[ValueRef::Text(b"a"), ValueRef::Text(b"bc")]),
            form(&[ValueRef::Blob(b"ab"), ValueRef::Text(b"c")]),
            form(&[ValueRef::Integer(1), ValueRef::Null]),
            form(&[ValueRef::Real(1.0), ValueRef::Null]),
            form(&[ValueRef::Text(b"1"), ValueRef::Null]),
        ];
        let unlike: BTreeSet<&Vec<u8>> = forms.iter().collect();
        assert_eq!(unlike.len(), forms.len());
    }
}
