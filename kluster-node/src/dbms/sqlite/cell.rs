//! Cell: JSON params into SQLite's values, and SQLite's values into rows of JSON, by the one value encoding.
//!
//! SQLite's types belong to values, not to columns: a column says what it was declared as (`any` where it was not declared), and a value
//! stays what it was stored as. A boolean is the integer 1 or 0.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kluster_protocol::value::{MAX_SAFE_INTEGER, unique_names};
use kluster_protocol::{Column, ErrorCode, ResponseError};
use rusqlite::types::{ToSqlOutput, Value as Owned, ValueRef};
use rusqlite::{Row, Statement};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

/// Why params could not be bound.
pub(super) enum BindError {
    Refused(ResponseError),
    Failed(rusqlite::Error),
}

/// Binds `$1`, `$2`, … by number: to SQLite they are names, numbered in the order in which they appear.
pub(super) fn bind(statement: &mut Statement<'_>, params: &[Value]) -> Result<(), BindError> {
    let mut taken = 0;
    for index in 1..=statement.parameter_count() {
        let number = number(statement.parameter_name(index), index).map_err(BindError::Refused)?;
        taken = taken.max(number);
        // A param that is missing is counted below, and then nothing runs.
        let Some(param) = params.get(number - 1) else { continue };
        statement.raw_bind_parameter(index, value(param)).map_err(BindError::Failed)?;
    }
    match taken == params.len() {
        true => Ok(()),
        false => Err(BindError::Refused(ResponseError::new(
            ErrorCode::WrongParams,
            format!("the statement takes {taken} params, {} were given", params.len()),
        ))),
    }
}

/// The number of the param with this name: `$3` and `?3` are 3, `?` is its place.
fn number(name: Option<&str>, index: usize) -> Result<usize, ResponseError> {
    let Some(name) = name else { return Ok(index) };
    let number = name.strip_prefix(['$', '?']).and_then(|number| number.parse().ok());
    number.filter(|number| *number > 0).ok_or_else(|| {
        ResponseError::new(ErrorCode::WrongParams, format!("params are written $1, $2, …; there is no param {name}"))
    })
}

fn value(param: &Value) -> ToSqlOutput<'_> {
    match param {
        Value::Null => ToSqlOutput::Borrowed(ValueRef::Null),
        Value::Bool(flag) => ToSqlOutput::Borrowed(ValueRef::Integer((*flag).into())),
        Value::Number(number) => ToSqlOutput::Borrowed(match number.as_i64() {
            Some(integer) => ValueRef::Integer(integer),
            // As SQLite reads a literal beyond 64 bits.
            None => number.as_f64().map_or(ValueRef::Null, ValueRef::Real),
        }),
        Value::String(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
        Value::Array(_) | Value::Object(_) => ToSqlOutput::Owned(Owned::Text(param.to_string())),
    }
}

/// The columns of a result, their names unique.
pub(super) fn columns(statement: &Statement<'_>) -> Vec<Column> {
    let types = statement.columns().map(|column| column.decl_type().map_or("any".to_owned(), str::to_ascii_lowercase));
    unique_names(statement.column_names())
        .into_iter()
        .zip(types)
        .map(|(name, type_name)| Column { name, type_name })
        .collect()
}

/// A row as JSON text: an object of the columns' names.
pub(super) fn row(columns: &[Column], row: &Row<'_>) -> rusqlite::Result<Box<RawValue>> {
    // Serializing strings, numbers and nulls into memory cannot fail; the error type says otherwise.
    to_raw_value(&RowJson { columns, row }).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

struct RowJson<'a, 'r> {
    columns: &'a [Column],
    row: &'a Row<'r>,
}

impl Serialize for RowJson<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(Some(self.columns.len()))?;
        for (index, column) in self.columns.iter().enumerate() {
            let value = self.row.get_ref(index).map_err(serde::ser::Error::custom)?;
            object.serialize_entry(&column.name, &Cell(value))?;
        }
        object.end()
    }
}

struct Cell<'a>(ValueRef<'a>);

impl Serialize for Cell<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            ValueRef::Null => serializer.serialize_unit(),
            ValueRef::Integer(integer) if integer.unsigned_abs() <= MAX_SAFE_INTEGER => {
                serializer.serialize_i64(integer)
            }
            ValueRef::Integer(integer) => serializer.collect_str(&integer),
            ValueRef::Real(real) => kluster_protocol::value::double(real).serialize(serializer),
            ValueRef::Text(text) => serializer.serialize_str(&String::from_utf8_lossy(text)),
            ValueRef::Blob(bytes) => serializer.collect_str(&STANDARD.encode(bytes)),
        }
    }
}
