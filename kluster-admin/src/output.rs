//! Output: data on stdout, as a table for people or as JSON for scripts; notes on stderr.

use comfy_table::{Attribute, Cell, CellAlignment, Color, Table, presets};
use serde::Serialize;
use std::io::{self, Write};

/// The form of the data on stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people
    Table,
    /// For scripts: one JSON document; from `tail` and `--watch` one a line
    Json,
}

/// How a text is meant, which a terminal shows as its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Nothing special.
    Plain,
    /// As it should be.
    Good,
    /// Worth a look.
    Warning,
    /// Needs a person.
    Bad,
    /// Beside the point.
    Faint,
}

/// Where a command's words go.
pub struct Output<'a> {
    /// The form of the data.
    pub format: Format,
    /// Colours are welcome.
    pub colour: bool,
    /// stdout is a screen that can be cleared.
    pub screen: bool,
    /// stderr is a terminal that can show a progress bar.
    pub progress: bool,
    data: &'a mut (dyn Write + Send),
    notes: &'a mut (dyn Write + Send),
}

impl<'a> Output<'a> {
    /// Plain output to `data` and `notes`.
    pub fn new(format: Format, data: &'a mut (dyn Write + Send), notes: &'a mut (dyn Write + Send)) -> Self {
        Self { format, colour: false, screen: false, progress: false, data, notes }
    }

    /// The data are for scripts.
    pub fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// One JSON document.
    pub fn json(&mut self, document: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer_pretty(&mut *self.data, document)?;
        writeln!(self.data)?;
        self.data.flush()
    }

    /// One JSON document on one line.
    pub fn json_line(&mut self, document: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut *self.data, document)?;
        writeln!(self.data)?;
        self.data.flush()
    }

    /// A table.
    pub fn table(&mut self, rows: Rows) -> io::Result<()> {
        let text = rows.text(self.colour);
        writeln!(self.data, "{text}")
    }

    /// One line of data.
    pub fn line(&mut self, text: &str, tone: Tone) -> io::Result<()> {
        let text = painted(text, tone, self.colour);
        writeln!(self.data, "{text}")?;
        self.data.flush()
    }

    /// One line for the person who looks on.
    pub fn note(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.notes, "{text}")?;
        self.notes.flush()
    }

    /// Clears the screen, where there is one.
    pub fn clear(&mut self) -> io::Result<()> {
        match self.screen {
            // ECMA-48: erase the display, cursor to the upper left.
            true => self.data.write_all(b"\x1b[2J\x1b[H"),
            false => Ok(()),
        }
    }
}

/// `text` in the colour of `tone` (ECMA-48, SGR).
pub fn painted(text: &str, tone: Tone, colour: bool) -> String {
    let code = match tone {
        Tone::Plain => return text.to_owned(),
        Tone::Good => 32,
        Tone::Warning => 33,
        Tone::Bad => 31,
        Tone::Faint => 2,
    };
    match colour {
        true => format!("\x1b[{code}m{text}\x1b[0m"),
        false => text.to_owned(),
    }
}

/// A table under way. Columns of numbers stand to the right.
pub struct Rows {
    columns: Vec<String>,
    numbers: Vec<String>,
    rows: Vec<Vec<(String, Tone)>>,
}

impl Rows {
    /// An empty table; `numbers` are those of its columns that hold numbers.
    pub fn new<S: AsRef<str>>(columns: &[S], numbers: &[&str]) -> Self {
        let columns = columns.iter().map(|name| name.as_ref().to_owned()).collect();
        Self { columns, numbers: numbers.iter().map(|name| (*name).to_owned()).collect(), rows: Vec::new() }
    }

    /// One more row.
    pub fn push(&mut self, row: Vec<(String, Tone)>) {
        self.rows.push(row);
    }

    fn text(&self, colour: bool) -> String {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        match colour {
            true => table.enforce_styling(),
            false => table.force_no_tty(),
        };
        table.set_header(self.columns.iter().map(|name| self.header(name)));
        for row in &self.rows {
            let cells = row.iter().zip(&self.columns).map(|((text, tone), name)| self.cell(text, *tone, name));
            table.add_row(cells);
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        // Trailing blanks would make copied lines long.
        table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
    }

    fn header(&self, name: &str) -> Cell {
        self.aligned(Cell::new(name.to_uppercase()).add_attribute(Attribute::Bold), name)
    }

    fn cell(&self, text: &str, tone: Tone, name: &str) -> Cell {
        let cell = Cell::new(text);
        let cell = match tone {
            Tone::Plain => cell,
            Tone::Good => cell.fg(Color::Green),
            Tone::Warning => cell.fg(Color::Yellow),
            Tone::Bad => cell.fg(Color::Red),
            Tone::Faint => cell.add_attribute(Attribute::Dim),
        };
        self.aligned(cell, name)
    }

    fn aligned(&self, cell: Cell, name: &str) -> Cell {
        match self.numbers.iter().any(|number| number == name) {
            true => cell.set_alignment(CellAlignment::Right),
            false => cell,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_plain_text_without_a_terminal_and_coloured_on_one() {
        let mut rows = Rows::new(&["node", "lag"], &["lag"]);
        rows.push(vec![("n1".into(), Tone::Plain), ("7".into(), Tone::Plain)]);
        rows.push(vec![("longer".into(), Tone::Bad), ("1204".into(), Tone::Plain)]);
        assert_eq!(rows.text(false), "NODE     LAG\nn1         7\nlonger  1204");
        assert!(rows.text(true).contains("\x1b["));
    }
}
