//! CSV: RFC 4180 with a header. NULL is an empty field, the empty text is `""`.

use super::{Grid, text};

/// The rows of a result, header first, each line ended by CR LF.
pub fn csv(grid: &Grid) -> String {
    let mut out = String::new();
    record(&mut out, grid.columns.iter().map(|column| Some(column.name.clone())));
    for row in &grid.rows {
        record(&mut out, row.iter().map(text));
    }
    out
}

fn record(out: &mut String, fields: impl Iterator<Item = Option<String>>) {
    for (index, field) in fields.enumerate() {
        if index > 0 {
            out.push(',');
        }
        if let Some(field) = field {
            quote(out, &field);
        }
    }
    out.push_str("\r\n");
}

fn quote(out: &mut String, field: &str) {
    if field.is_empty() || field.contains([',', '"', '\r', '\n']) {
        out.push('"');
        out.push_str(&field.replace('"', "\"\""));
        out.push('"');
    } else {
        out.push_str(field);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::show::tests::grid;
    use serde_json::json;

    #[test]
    fn fields_are_quoted_where_they_must_be() {
        let grid = grid(
            &[("id", "int4"), ("a \"name\"", "text")],
            json!([
                [1, "Jan, Eva"],
                [2, "say \"hi\""],
                [3, "two\nlines"],
                [4, null],
                [5, ""],
                [6, "NULL"],
                [7, ["a", 1]]
            ]),
        );
        assert_eq!(
            csv(&grid),
            "id,\"a \"\"name\"\"\"\r\n1,\"Jan, Eva\"\r\n2,\"say \"\"hi\"\"\"\r\n3,\"two\nlines\"\r\n4,\r\n5,\"\"\r\n6,NULL\r\n7,\"[\"\"a\"\",1]\"\r\n"
        );
    }
}
