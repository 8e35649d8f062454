//! Table: rows for people. NULL differs from the empty text and from the text NULL; numbers stand to the right; on a screen of known width
//! long cells are cut.

use super::{Grid, text};
use comfy_table::{
    Attribute, Cell, CellAlignment, ContentArrangement, ContentLineStyle, LineStyle, Row, Table, TableStyle,
};
use serde_json::Value;

/// Header underlined, columns parted, no frame.
const STYLE: TableStyle = TableStyle::new()
    .header_lines(ContentLineStyle::none().junction('│'))
    .header_separator(LineStyle::none().fill('─').junction('┼'))
    .content_lines(ContentLineStyle::none().junction('│'));
/// What stands for NULL.
const NULL: &str = "NULL";

/// What the screen can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Look {
    /// Colours are welcome.
    pub colour: bool,
    /// Columns of the screen; None: rows go to no screen, and nothing is cut.
    pub width: Option<u16>,
}

/// One row a line, below a header.
pub fn table(grid: &Grid, look: Look) -> String {
    let mut table = new(look);
    let numbers: Vec<bool> = (0..grid.columns.len()).map(|index| grid.is_number(index)).collect();
    let align = |cell: Cell, index: usize| match numbers[index] {
        true => cell.set_alignment(CellAlignment::Right),
        false => cell,
    };
    let header = grid.columns.iter().map(|column| Cell::new(printable(&column.name)).add_attribute(Attribute::Bold));
    let one_line = |cells: Vec<Cell>| {
        let mut row = Row::from(cells);
        if look.width.is_some() {
            row.max_height(1);
        }
        row
    };
    table.set_header(one_line(header.enumerate().map(|(index, cell)| align(cell, index)).collect()));
    for row in &grid.rows {
        let cells = row.iter().enumerate().map(|(index, value)| align(cell(value), index));
        table.add_row(one_line(cells.collect()));
    }
    lines(&table)
}

/// One column a line, for rows that are wider than the screen.
pub fn expanded(grid: &Grid, look: Look) -> String {
    let mut out = Vec::new();
    for (number, row) in grid.rows.iter().enumerate() {
        let mut table = new(look);
        for (column, value) in grid.columns.iter().zip(row) {
            let name = Cell::new(printable(&column.name)).add_attribute(Attribute::Bold);
            table.add_row(vec![name, cell(value)]);
        }
        out.push(format!("─[ {} ]─────\n{}", number + 1, lines(&table)));
    }
    out.join("\n")
}

fn new(look: Look) -> Table {
    let mut table = Table::new();
    table.load_style(STYLE);
    match look.colour {
        true => table.enforce_styling(),
        false => table.force_no_tty(),
    };
    if let Some(width) = look.width {
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    }
    table
}

/// Trailing blanks would make copied lines long.
fn lines(table: &Table) -> String {
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

fn cell(value: &Value) -> Cell {
    match text(value) {
        None => Cell::new(NULL).add_attribute(Attribute::Dim),
        Some(text) if text.trim_matches('\'').eq_ignore_ascii_case(NULL) => Cell::new(format!("'{text}'")),
        Some(text) => Cell::new(printable(&text)),
    }
}

/// On one line, and without what would move the cursor or change colours.
fn printable(text: &str) -> String {
    let shown = |character: char| match character {
        '\n' => '↵',
        '\t' => ' ',
        _ if character.is_control() => '·',
        _ => character,
    };
    text.replace("\r\n", "\n").chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::show::tests::grid;
    use serde_json::json;

    const PLAIN: Look = Look { colour: false, width: None };

    #[test]
    fn null_empty_and_the_text_null_are_told_apart() {
        let grid = grid(
            &[("id", "int4"), ("name", "text"), ("price", "numeric")],
            json!([
                [1, "Jan", "12.50"],
                [10, null, "0.99"],
                [100, "", null],
                [1000, "NULL", null],
                [2, "'null'", null]
            ]),
        );
        assert_eq!(
            table(&grid, PLAIN),
            "   id │ name     │ price\n\
             ──────┼──────────┼───────\n    \
                 1 │ Jan      │ 12.50\n   \
                10 │ NULL     │  0.99\n  \
               100 │          │  NULL\n \
              1000 │ 'NULL'   │  NULL\n    \
                 2 │ ''null'' │  NULL"
        );
    }

    #[test]
    fn long_cells_are_cut_on_a_screen_only() {
        let long = "x".repeat(200);
        let grid = grid(&[("id", "int4"), ("note", "text")], json!([[1, long], [2, "short"]]));
        let screen = table(&grid, Look { width: Some(40), ..PLAIN });
        assert!(screen.lines().all(|line| line.chars().count() <= 40), "{screen}");
        assert!(screen.contains('…') && screen.contains("short"), "{screen}");
        assert_eq!(screen.lines().count(), 4, "{screen}");
        assert!(table(&grid, PLAIN).contains(&long));
    }

    #[test]
    fn foreign_text_stays_on_its_line_and_changes_no_colours() {
        let grid = grid(&[("a\u{1b}[2J", "text")], json!([["one\ntwo\u{1b}[31m"]]));
        let shown = table(&grid, PLAIN);
        assert!(!shown.contains('\u{1b}') && shown.contains("one↵two·[31m"), "{shown}");
        assert!(table(&grid, Look { colour: true, width: None }).contains("\u{1b}["), "its own colours are there");
    }

    #[test]
    fn expanded_rows_are_numbered() {
        let grid = grid(&[("id", "int4"), ("name", "text")], json!([[1, "Jan"], [2, null]]));
        assert_eq!(expanded(&grid, PLAIN), "─[ 1 ]─────\n id   │ 1\n name │ Jan\n─[ 2 ]─────\n id   │ 2\n name │ NULL");
    }

    #[test]
    fn no_rows_leave_the_header() {
        assert_eq!(table(&grid(&[("id", "int4")], json!([])), PLAIN), " id\n────");
    }
}
