//! Gather: the rows of one statement, from the server's text to JSON text, into `rows::Rows` or to a reader.
//!
//! Neighbours: `batch` and `reads` feed it with events; `value` writes cells; the type book finds names of types that are not built in.

use super::address::Address;
use super::connection::{Columns, Connection, Row};
use super::error::Error;
use super::seat;
use super::types::{LOOKUP, Type, TypeNames};
use super::value::{Cell, to_json};
use kluster_protocol::value::unique_names;
use kluster_protocol::{Cells, Column, MAX_ROW_BYTES};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::{RawValue, to_raw_value};
use std::sync::{Mutex, PoisonError};

/// The columns of one result, ready to write rows.
#[derive(Debug, Default)]
pub struct Shape {
    names: Vec<String>,
    types: Vec<Type>,
    cells: Cells,
}

impl Shape {
    /// The same columns, their rows' cells in this form.
    pub fn with(self, cells: Cells) -> Self {
        Self { cells, ..self }
    }

    /// The columns as answers give them.
    pub fn columns(&self) -> Vec<Column> {
        let columns = self.names.iter().zip(&self.types);
        columns.map(|(name, kind)| Column { name: name.clone(), type_name: kind.name.clone().into_owned() }).collect()
    }

    /// One row as JSON text.
    pub fn row(&self, row: &Row) -> Box<RawValue> {
        to_raw_value(&JsonRow { shape: self, row }).expect("a map of texts and JSON values has no error to give")
    }
}

struct JsonRow<'a> {
    shape: &'a Shape,
    row: &'a Row,
}

impl Serialize for JsonRow<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.shape.names.len()))?;
        for ((name, kind), cell) in self.shape.names.iter().zip(&self.shape.types).zip(self.row.cells()) {
            let value = to_json(cell, kind);
            match self.shape.cells {
                Cells::Plain => map.serialize_entry(name, &value)?,
                Cells::Typed => map.serialize_entry(name, &Typed { type_name: &kind.name, value })?,
            }
        }
        map.end()
    }
}

/// A cell with its type's name.
#[derive(serde::Serialize)]
struct Typed<'a> {
    #[serde(rename = "type")]
    type_name: &'a str,
    value: Cell,
}

/// A row so large that no record can carry it, in place of one that was thrown away on its way in.
pub fn oversized_row() -> Box<RawValue> {
    to_raw_value(&" ".repeat(MAX_ROW_BYTES)).expect("a text is JSON")
}

/// The names of types, and a session of its own to look up those that no result has shown yet: results stream, so their own session cannot be
/// asked. It sees what is committed; `made` are the types that the transaction itself has made or changed.
#[derive(Debug)]
pub struct TypeBook {
    names: Mutex<TypeNames>,
    session: tokio::sync::Mutex<Option<Connection>>,
}

impl TypeBook {
    /// Knows the built-in types.
    pub fn new() -> Self {
        Self { names: Mutex::default(), session: tokio::sync::Mutex::default() }
    }

    /// What rows with these columns need. `address`: whose session looks types up.
    pub async fn shape(&self, columns: &Columns, made: &TypeNames, address: &Address) -> Result<Shape, Error> {
        let unknown = self.names().unknown(columns, made);
        if let Some(oids) = unknown {
            self.look_up(&oids, address).await?;
        }
        let names = self.names();
        Ok(Shape {
            names: unique_names(columns.iter().map(|column| column.name.as_str())),
            types: columns
                .iter()
                .map(|column| made.learnt(column.type_oid).unwrap_or_else(|| names.get(column.type_oid)))
                .collect(),
            cells: Cells::Plain,
        })
    }

    /// Forgets all but the built-in types: after a schema change.
    pub fn clear(&self) {
        self.names().clear();
    }

    async fn look_up(&self, oids: &str, address: &Address) -> Result<(), Error> {
        let mut session = self.session.lock().await;
        let mut connection = match session.take().filter(|connection| !connection.is_broken()) {
            Some(connection) => connection,
            None => seat::connect(address).await?,
        };
        let rows = match connection.query(LOOKUP, [Some(oids)]).await {
            // The session was idle and may have been ended since.
            Err(error) if error.is_connection_lost() => {
                connection = seat::connect(address).await?;
                connection.query(LOOKUP, [Some(oids)]).await?
            }
            rows => rows?,
        };
        self.names().learn(&rows.rows);
        *session = Some(connection);
        Ok(())
    }

    fn names(&self) -> std::sync::MutexGuard<'_, TypeNames> {
        // Names are written in one step each, so a panic elsewhere leaves them whole.
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
