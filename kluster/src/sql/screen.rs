//! Screen: where words go: rows to stdout or a file, everything else to stderr.

use super::settings::{Form, Settings};
use super::show::{Grid, Look, csv, expanded, table};
use comfy_table::Table;
use kluster_admin::output::{Tone, painted};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// Rows are cut to no less: below it nothing of them would be left.
const NARROWEST: u16 = 20;

/// Where words go.
pub struct Screen {
    data: Box<dyn Write + Send>,
    notes: Box<dyn Write + Send>,
    /// Rows go here instead of stdout.
    file: Option<BufWriter<File>>,
    /// stdout is a terminal.
    pub shows_data: bool,
    /// stderr is a terminal: somebody looks on.
    pub shows_notes: bool,
    /// Colours are welcome, on terminals.
    pub colour: bool,
    /// A CSV result was written: the next one is parted from it.
    parted: bool,
}

impl Screen {
    /// Plain words, to `data` and `notes`.
    pub fn new(data: Box<dyn Write + Send>, notes: Box<dyn Write + Send>) -> Self {
        Self { data, notes, file: None, shows_data: false, shows_notes: false, colour: false, parted: false }
    }

    /// One line for the person who looks on.
    pub fn note(&mut self, text: &str, tone: Tone) -> io::Result<()> {
        let text = painted(text, tone, self.colour && self.shows_notes);
        writeln!(self.notes, "{text}")?;
        self.notes.flush()
    }

    /// The rows of a result, as the settings say. JSON documents are written by [`Screen::line`].
    pub fn rows(&mut self, grid: &Grid, settings: &Settings) -> io::Result<()> {
        let look = self.look();
        let text = match settings.form {
            Form::Table if settings.expanded => expanded(grid, look),
            Form::Table => table(grid, look),
            Form::Csv => {
                let gap = if std::mem::replace(&mut self.parted, true) { "\r\n" } else { "" };
                let text = csv(grid);
                return self.write(&format!("{gap}{text}"));
            }
            Form::Json => return Ok(()),
        };
        match text.is_empty() {
            true => Ok(()),
            false => self.line(&text),
        }
    }

    /// Data, and a line end.
    pub fn line(&mut self, text: &str) -> io::Result<()> {
        self.write(&format!("{text}\n"))
    }

    fn write(&mut self, text: &str) -> io::Result<()> {
        let out: &mut dyn Write = match &mut self.file {
            Some(file) => file,
            None => &mut self.data,
        };
        out.write_all(text.as_bytes())?;
        out.flush()
    }

    /// From now on rows go to this file, which is made anew; None: to stdout again.
    pub fn redirect(&mut self, file: Option<&Path>) -> io::Result<()> {
        self.file = file.map(File::create).transpose()?.map(BufWriter::new);
        self.parted = false;
        Ok(())
    }

    /// Both ways at once, for a table made elsewhere.
    pub fn both(&mut self) -> (&mut (dyn Write + Send), &mut (dyn Write + Send)) {
        let data: &mut (dyn Write + Send) = match &mut self.file {
            Some(file) => file,
            None => &mut *self.data,
        };
        (data, &mut *self.notes)
    }

    /// What the place that rows go to can do.
    pub fn look(&self) -> Look {
        match self.shows_data && self.file.is_none() {
            // A terminal that was never told its size says 0.
            true => Look { colour: self.colour, width: Table::new().width().filter(|width| *width >= NARROWEST) },
            false => Look::default(),
        }
    }
}
