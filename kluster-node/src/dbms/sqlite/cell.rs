//! Cell: JSON params into SQLite's values, and SQLite's values into rows of JSON, by the one value encoding.
//!
//! SQLite's types belong to values, not to columns: a column says what it was declared as (`any` where it was not declared), and a value
//! stays what it was stored as. A boolean is the integer 1 or 0.

use crate::dbms::inexact;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kluster_protocol::value::{MAX_SAFE_INTEGER, unique_names};
use kluster_protocol::{Cells, Column, ErrorCode, Param, ResponseError};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Row, Statement};
use serde::ser::{Error as _, Serialize, SerializeMap, Serializer};
use serde_json::value::{RawValue, to_raw_value};

/// Why params could not be bound.
pub(super) enum BindError {
    Refused(ResponseError),
    Failed(rusqlite::Error),
}

/// Binds `$1`, `$2`, … by number: to SQLite they are names, numbered in the order in which they appear.
pub(super) fn bind(statement: &mut Statement<'_>, params: &[Param]) -> Result<(), BindError> {
    let mut taken = 0;
    for index in 1..=statement.parameter_count() {
        let number = number(statement.parameter_name(index), index).map_err(BindError::Refused)?;
        taken = taken.max(number);
        // A param that is missing is counted below, and then nothing runs.
        let Some(param) = params.get(number - 1) else { continue };
        let value = value(param).map_err(BindError::Refused)?;
        statement.raw_bind_parameter(index, value).map_err(BindError::Failed)?;
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

/// A param as SQLite's value: an integer of 64 bits or a double, a text, NULL.
///
/// # Errors
/// A number that neither holds exactly is refused: SQLite has no type for it.
fn value(param: &Param) -> Result<ToSqlOutput<'_>, ResponseError> {
    let value = match param {
        Param::Null => ValueRef::Null,
        Param::Bool(flag) => ValueRef::Integer((*flag).into()),
        Param::Number(number) => match (number.as_i64(), number.as_exact_f64()) {
            (Some(integer), _) => ValueRef::Integer(integer),
            (None, Some(real)) => ValueRef::Real(real),
            (None, None) => return Err(inexact(number)),
        },
        Param::Text(text) | Param::Json(text) => ValueRef::Text(text.as_bytes()),
    };
    Ok(ToSqlOutput::Borrowed(value))
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

/// Why a row has no JSON form: the column with a text that is not UTF-8, which a string of JSON
/// cannot hold.
#[derive(Debug)]
pub(super) struct NotUtf8 {
    column: String,
}

impl NotUtf8 {
    /// What the request is refused with; `row` is counted from 1.
    pub fn refusal(&self, row: u64) -> ResponseError {
        let message = format!(
            "row {row}, column {:?}: the text is not UTF-8; select cast(… as blob) or hex(…), or ask for typed cells",
            self.column
        );
        ResponseError::new(ErrorCode::InvalidValue, message)
    }
}

/// A row as JSON text: an object of the columns' names.
pub(super) fn row(columns: &[Column], row: &Row<'_>, cells: Cells) -> Result<Box<RawValue>, NotUtf8> {
    let value = |index: usize| row.get_ref(index).unwrap_or(ValueRef::Null);
    let not_utf8 = |index: &usize| matches!(value(*index), ValueRef::Text(text) if std::str::from_utf8(text).is_err());
    if let (Cells::Plain, Some(index)) = (cells, (0..columns.len()).find(not_utf8)) {
        return Err(NotUtf8 { column: columns[index].name.clone() });
    }
    Ok(to_raw_value(&RowJson { columns, row, cells }).expect("strings, numbers and nulls have a JSON form"))
}

struct RowJson<'a, 'r> {
    columns: &'a [Column],
    row: &'a Row<'r>,
    cells: Cells,
}

impl Serialize for RowJson<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(Some(self.columns.len()))?;
        for (index, column) in self.columns.iter().enumerate() {
            let value = self.row.get_ref(index).map_err(serde::ser::Error::custom)?;
            match self.cells {
                Cells::Plain => object.serialize_entry(&column.name, &Cell(value))?,
                Cells::Typed => object.serialize_entry(&column.name, &TypedCell(value))?,
            }
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
            ValueRef::Text(text) => serializer.serialize_str(std::str::from_utf8(text).map_err(S::Error::custom)?),
            ValueRef::Blob(bytes) => serializer.collect_str(&STANDARD.encode(bytes)),
        }
    }
}

/// A value with SQLite's name of its own type.
struct TypedCell<'a>(ValueRef<'a>);

impl Serialize for TypedCell<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut cell = serializer.serialize_map(Some(2))?;
        let type_name = match self.0 {
            ValueRef::Null => "null",
            ValueRef::Integer(_) => "integer",
            ValueRef::Real(_) => "real",
            ValueRef::Text(_) => "text",
            ValueRef::Blob(_) => "blob",
        };
        cell.serialize_entry("type", type_name)?;
        match self.0 {
            ValueRef::Text(text) if std::str::from_utf8(text).is_err() => {
                cell.serialize_entry("bytes", &STANDARD.encode(text))?;
            }
            value => cell.serialize_entry("value", &Cell(value))?,
        }
        cell.end()
    }
}
