//! Shape: the columns of a result, and its rows as JSON text.
//!
//! Neighbours: [`super::execution`] meets columns and rows, [`super::cell`] knows each type.

use super::cell::{self, Kind};
use kluster_protocol::{Cells, Column, value};
use serde_json::value::RawValue;
use sqlx::mysql::{MySqlColumn, MySqlRow};
use sqlx::{Column as _, Decode, MySql, Row};

/// Columns and how their cells are read.
#[derive(Debug, Default)]
pub struct Shape {
    /// The columns, their names unique.
    pub columns: Vec<Column>,
    kinds: Vec<Kind>,
    /// Each name as it begins its cell: `"name":`.
    keys: Vec<String>,
    cells: Cells,
}

impl Shape {
    /// The shape of these columns.
    pub fn of(columns: &[MySqlColumn], cells: Cells) -> Self {
        let names = value::unique_names(columns.iter().map(|column| column.name()));
        let kinds = columns.iter().map(|column| cell::kind(column.type_info()));
        let mut shape = Self { cells, ..Self::default() };
        for (name, (kind, type_name)) in names.into_iter().zip(kinds) {
            shape.keys.push(format!("{}:", serde_json::Value::from(name.as_str())));
            shape.kinds.push(kind);
            shape.columns.push(Column { name, type_name });
        }
        shape
    }

    /// A row as JSON text.
    pub fn row(&self, row: &MySqlRow, protocol: Protocol) -> Result<Box<RawValue>, sqlx::Error> {
        let mut text = String::from("{");
        for (at, (kind, key)) in self.kinds.iter().zip(&self.keys).enumerate() {
            if at > 0 {
                text.push(',');
            }
            text.push_str(key);
            if self.cells == Cells::Typed {
                let type_name = serde_json::Value::from(self.columns[at].type_name.as_str());
                text.push_str(&format!("{{\"type\":{type_name},\"value\":"));
            }
            // The bytes are absent only for NULL; the driver's own test would take a zero date for NULL too.
            match <&[u8] as Decode<MySql>>::decode(row.try_get_raw(at)?) {
                Ok(bytes) => push(&mut text, *kind, bytes, protocol),
                Err(_) => text.push_str("null"),
            }
            if self.cells == Cells::Typed {
                text.push('}');
            }
        }
        text.push('}');
        RawValue::from_string(text).map_err(|error| sqlx::Error::Decode(error.into()))
    }
}

/// The form in which the server sent a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Of a prepared statement.
    Binary,
    /// Of a statement that cannot be prepared.
    Text,
}

fn push(text: &mut String, kind: Kind, bytes: &[u8], protocol: Protocol) {
    let value = match protocol {
        Protocol::Binary => cell::decode(kind, bytes),
        Protocol::Text => cell::decode_text(kind, bytes),
    };
    text.push_str(&value.to_string());
}
