//! Show: rows as people and programs read them: a table, JSON or CSV. No I/O.
//!
//! Neighbours: the session hands in what a statement returned and writes out the text.

mod csv;
mod json;
mod table;

pub use csv::csv;
pub use json::document;
pub use table::{Look, expanded, table};

use kluster_client::{Column, Rows};
use serde_json::Value;
use serde_json::value::RawValue;

/// What a statement returned, cell by cell.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Grid {
    /// The columns, in the query's order.
    pub columns: Vec<Column>,
    /// The rows; a cell for each column.
    pub rows: Vec<Vec<Value>>,
}

impl Grid {
    /// The rows of a result.
    pub fn of(rows: &Rows) -> Result<Self, kluster_client::ClientError> {
        // A node says which columns there are; one that does not has rows that do.
        let columns = match (rows.columns.is_empty(), rows.json.is_empty()) {
            (true, false) => rows.objects()?[0].keys().map(|name| column(name)).collect(),
            _ => rows.columns.clone(),
        };
        let cells: Vec<Vec<Box<RawValue>>> = rows.decode()?;
        Ok(Self { rows: cells.iter().map(|row| row.iter().map(|cell| read(cell)).collect()).collect(), columns })
    }

    /// There are columns to show, if perhaps no row.
    pub fn has_columns(&self) -> bool {
        !self.columns.is_empty()
    }

    /// The column holds numbers, whatever form they travel in.
    fn is_number(&self, index: usize) -> bool {
        const NUMBERS: [&str; 17] = [
            "int",
            "int2",
            "int4",
            "int8",
            "oid",
            "integer",
            "bigint",
            "smallint",
            "mediumint",
            "tinyint",
            "numeric",
            "decimal",
            "real",
            "float",
            "float4",
            "float8",
            "double",
        ];
        let type_name = self.columns[index].type_name.to_ascii_lowercase();
        let word = type_name.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
        if NUMBERS.contains(&word) {
            return true;
        }
        let mut cells = self.rows.iter().map(|row| &row[index]).filter(|cell| !cell.is_null()).peekable();
        cells.peek().is_some() && cells.all(Value::is_number)
    }
}

fn column(name: &str) -> Column {
    Column { name: name.to_owned(), type_name: String::new() }
}

/// A cell's value; of JSON that would not come back as it is, its text.
fn read(cell: &RawValue) -> Value {
    let text = cell.get();
    match serde_json::from_str(text) {
        Ok(Value::String(text)) => Value::String(text),
        Ok(value) if serde_json::to_string(&value).is_ok_and(|again| again == text) => value,
        _ => Value::String(text.to_owned()),
    }
}

/// A cell as text; None for NULL.
fn text(cell: &Value) -> Option<String> {
    match cell {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use serde_json::json;

    /// A grid of these columns (name, type) and rows.
    pub(in crate::sql) fn grid(columns: &[(&str, &str)], rows: Value) -> Grid {
        let columns =
            columns.iter().map(|(name, kind)| Column { name: (*name).into(), type_name: (*kind).into() }).collect();
        let rows = rows.as_array().unwrap().iter().map(|row| row.as_array().unwrap().clone()).collect();
        Grid { columns, rows }
    }

    #[test]
    fn rows_become_cells_in_the_query_s_order() {
        let json = vec![serde_json::from_str(r#"{"b":1,"a":null}"#).unwrap()];
        let columns = vec![
            Column { name: "b".into(), type_name: "int4".into() },
            Column { name: "a".into(), type_name: "text".into() },
        ];
        let rows = Rows { columns: columns.clone(), json: json.clone(), affected: 1 };
        let wanted = Grid { columns, rows: vec![vec![json!(1), Value::Null]] };
        assert_eq!(Grid::of(&rows).unwrap(), wanted);
        let nameless = Grid::of(&Rows { columns: Vec::new(), json, affected: 1 }).unwrap();
        assert_eq!(nameless.columns[0].name, "b");
    }

    #[test]
    fn json_is_shown_as_it_is() {
        for (json, shown) in [
            ("1e400", "1e400"),
            ("123456789012345678901234567890.50", "123456789012345678901234567890.50"),
            (r#"{"a": 1, "a": 2}"#, r#"{"a": 1, "a": 2}"#),
            (r#""é\"""#, "é\""),
        ] {
            let row = RawValue::from_string(format!("{{\"js\":{json}}}")).unwrap();
            let grid = Grid::of(&Rows { columns: vec![column("js")], json: vec![row], affected: 1 }).unwrap();
            assert_eq!(text(&grid.rows[0][0]).as_deref(), Some(shown));
        }
    }

    #[test]
    fn numbers_are_known_by_their_type_or_by_their_cells() {
        let grid = grid(
            &[("a", "numeric"), ("b", "text"), ("c", ""), ("d", ""), ("e", "INTEGER(4)"), ("f", "interval")],
            json!([["12.50", "12", 1, null, null, "P1D"], [null, "x", 2.5, null, 1, "P2D"]]),
        );
        let numbers: Vec<bool> = (0..6).map(|index| grid.is_number(index)).collect();
        assert_eq!(numbers, [true, false, true, false, true, false]);
    }
}
