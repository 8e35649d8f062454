//! Snapshot columns: a row as one text in SQL, and the hash of that text.
//!
//! Neighbours: `snapshot` puts them into its queries.
//!
//! Invariant: two rows have one text only if every column has the same value. So a text is preceded by its length, NULL has a sign of its own,
//! texts are taken as bytes in their own character set, and a FLOAT as the double that it is (its own text has six digits).

use super::names::identifier;
use crate::dbms::snapshot::{Table, TableColumn};

/// How a type's values become text.
enum Form {
    /// A text of its own that names one value only, without `#`.
    Plain,
    /// Of six digits in its own text.
    Float,
    /// Bits, whose text is bytes.
    Bits,
    /// Any bytes.
    Sized,
}

fn form(column: &TableColumn) -> Form {
    match column.type_name.as_str() {
        "tinyint" | "smallint" | "mediumint" | "int" | "bigint" | "decimal" | "double" | "date" | "datetime"
        | "timestamp" | "time" | "year" | "uuid" | "inet4" | "inet6" => Form::Plain,
        "float" => Form::Float,
        "bit" => Form::Bits,
        _ => Form::Sized,
    }
}

fn text(column: &TableColumn) -> String {
    let name = identifier(&column.name);
    match form(column) {
        Form::Plain => format!("ifnull({name},'-')"),
        Form::Float => format!("ifnull(cast({name} as double),'-')"),
        Form::Bits => format!("ifnull({name}+0,'-')"),
        // CONCAT_WS passes over NULL; the sign before it stays.
        Form::Sized => format!("ifnull(length({name}),'-'),cast({name} as binary)"),
    }
}

fn row(table: &Table) -> String {
    // Binary from the first part on, so that nothing is converted.
    let columns: Vec<String> = table.columns.iter().map(text).collect();
    format!("concat_ws('#',cast('' as binary),{})", columns.join(","))
}

/// The hash of a row: two cyclic redundancy codes with unlike polynomials, or where the server has but one, half of MD5.
pub fn hash(table: &Table, crc32c: bool) -> String {
    let row = row(table);
    match crc32c {
        true => format!("(crc32({row}) << 32 | crc32c({row}))"),
        false => half_of_md5(&row),
    }
}

/// The same; the row's text is made once, for within one operator the server evaluates from left to right.
pub fn hash_once(table: &Table, crc32c: bool) -> String {
    let row = row(table);
    match crc32c {
        true => format!("(crc32(@kluster_row := {row}) << 32 | crc32c(@kluster_row))"),
        false => half_of_md5(&row),
    }
}

fn half_of_md5(row: &str) -> String {
    format!("cast(conv(left(md5({row}), 16), 16, 10) as unsigned)")
}

/// Finds a row whose text would be longer than the server makes texts, if the table can have one.
pub fn too_long(table: &Table) -> Option<String> {
    let long = |column: &&TableColumn| {
        ["mediumtext", "mediumblob", "longtext", "longblob", "json", "geometry"].contains(&column.type_name.as_str())
    };
    let lengths: Vec<String> = table
        .columns
        .iter()
        .filter(long)
        .map(|column| format!("ifnull(length({}),0)", identifier(&column.name)))
        .collect();
    // What else a row holds has at most 65,535 bytes, and some digits for each length.
    (!lengths.is_empty()).then(|| {
        format!("select 1 from {} where {} > @@max_allowed_packet - 262144 limit 1", table.source, lengths.join("+"))
    })
}

/// A value for people.
pub fn shown(column: &TableColumn) -> String {
    let name = identifier(&column.name);
    match column.type_name.as_str() {
        "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" | "geometry" | "point"
        | "linestring" | "polygon" | "multipoint" | "multilinestring" | "multipolygon" | "geometrycollection" => {
            format!("hex(left({name}, 200))")
        }
        "float" => format!("cast(cast({name} as double) as char)"),
        "bit" => format!("cast({name}+0 as char)"),
        _ => format!("left(cast({name} as char character set utf8mb4), 400)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(columns: &[(&str, &str)]) -> Table {
        let columns = columns.iter().map(|(name, of)| TableColumn { name: (*name).into(), type_name: (*of).into() });
        Table { name: "t".into(), source: "`t`".into(), columns: columns.collect(), key: vec![], skipped: None }
    }

    #[test]
    fn texts_have_their_length_before_them() {
        let row = row(&table(&[("a", "int"), ("b", "varchar"), ("c", "float")]));
        let wanted = "concat_ws('#',cast('' as binary),ifnull(`a`,'-'),ifnull(length(`b`),'-'),cast(`b` as binary),ifnull(cast(`c` as double),'-'))";
        assert_eq!(row, wanted);
    }

    #[test]
    fn only_tables_that_can_have_long_rows_are_asked_for_them() {
        assert_eq!(too_long(&table(&[("a", "int"), ("b", "varchar")])), None);
        assert!(too_long(&table(&[("a", "longtext")])).is_some());
    }
}
