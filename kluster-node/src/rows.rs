//! Rows: what one statement returned, in memory up to the size of a record and beyond it in a file, each row as JSON text.
//!
//! Neighbours: the adapters of the ALL lane push rows while the DBMS sends them; `responses` cuts them into parts after COMMIT.

use kluster_protocol::{Column, Effects, MAX_ROW_BYTES, PART_BYTES};
use serde_json::value::RawValue;
use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};

/// What one statement returned.
#[derive(Debug, Default)]
pub struct Rows {
    /// The columns; none where the statement returns no rows.
    pub columns: Vec<Column>,
    /// Rows matched by a write, returned by a read.
    pub affected: u64,
    /// The digest of the rows that the statement changed, where the adapter knows it by now.
    pub effects: Effects,
    bytes: u64,
    memory: Vec<Box<RawValue>>,
    spool: Option<File>,
}

impl Rows {
    /// A statement that returned no rows.
    pub fn affected(count: u64) -> Self {
        Self { affected: count, ..Self::default() }
    }

    /// A result that begins with these columns.
    pub fn of(columns: Vec<Column>) -> Self {
        Self { columns, ..Self::default() }
    }

    /// Adds a row: an object of the columns' names. A row that no record can carry counts as more bytes than any limit allows.
    pub fn push(&mut self, row: Box<RawValue>) -> std::io::Result<()> {
        if row.get().len() > MAX_ROW_BYTES {
            self.bytes = u64::MAX;
            return Ok(());
        }
        self.bytes = self.bytes.saturating_add(row.get().len() as u64 + 1);
        match &mut self.spool {
            Some(file) => write_line(file, &row),
            None if self.bytes <= PART_BYTES as u64 => {
                self.memory.push(row);
                Ok(())
            }
            None => {
                let mut file = tempfile::tempfile()?;
                for row in self.memory.drain(..).chain([row]) {
                    write_line(&mut file, &row)?;
                }
                self.spool = Some(file);
                Ok(())
            }
        }
    }

    /// How many bytes of JSON the rows are.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The rows, if they fit one record.
    pub fn in_memory(&self) -> Option<&[Box<RawValue>]> {
        self.spool.is_none().then_some(&self.memory)
    }

    /// The rows one by one, in the order in which they came.
    pub fn into_rows(self) -> std::io::Result<RowsIter> {
        let spool = self.spool.map(|mut file| {
            file.seek(SeekFrom::Start(0))?;
            Ok::<_, std::io::Error>(BufReader::with_capacity(1 << 16, file))
        });
        Ok(RowsIter { memory: self.memory.into_iter(), spool: spool.transpose()? })
    }
}

fn write_line(file: &mut File, row: &RawValue) -> std::io::Result<()> {
    // JSON text of one row holds no line feed: serde_json escapes it inside strings and writes none between.
    let mut line = Vec::with_capacity(row.get().len() + 1);
    line.extend_from_slice(row.get().as_bytes());
    line.push(b'\n');
    file.write_all(&line)
}

/// Rows one by one.
#[derive(Debug)]
pub struct RowsIter {
    memory: std::vec::IntoIter<Box<RawValue>>,
    spool: Option<BufReader<File>>,
}

impl Iterator for RowsIter {
    type Item = std::io::Result<Box<RawValue>>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(row) = self.memory.next() {
            return Some(Ok(row));
        }
        let mut line = String::new();
        match self.spool.as_mut()?.read_line(&mut line) {
            Ok(0) => None,
            Ok(_) => Some(RawValue::from_string(line.trim_end().to_owned()).map_err(std::io::Error::other)),
            Err(error) => Some(Err(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(n: usize) -> Box<RawValue> {
        RawValue::from_string(format!("{{\"n\":\"{n:0>1000}\"}}")).unwrap()
    }

    #[test]
    fn rows_beyond_a_record_come_back_from_the_spool_in_order() {
        for count in [3, 2000] {
            let mut rows = Rows::default();
            (0..count).for_each(|n| rows.push(row(n)).unwrap());
            assert_eq!(rows.in_memory().is_some(), count == 3);
            let back: Vec<_> = rows.into_rows().unwrap().map(Result::unwrap).collect();
            assert_eq!(back.len(), count);
            assert!(back.iter().enumerate().all(|(n, back)| back.get() == row(n).get()));
        }
    }
}
