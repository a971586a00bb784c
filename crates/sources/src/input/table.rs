//! Rows of a CSV table, with a bound on what is kept of a row.
//!
//! The usual CSV reader lets a single row grow without a limit (a quote that is never closed takes in the rest of the
//! file), so rows are cut and their cells unquoted here. Quoting follows RFC 4180: a quote opens only at the start of a
//! cell, and stands doubled inside.

use super::{MAX_RECORD_BYTES, Next, fill};
use std::io::BufRead;

/// The most columns that a table may have.
pub(crate) const MAX_COLUMNS: usize = 4096;

/// Reads row by row.
#[derive(Debug)]
pub(crate) struct Table<R> {
    input: R,
    delimiter: u8,
    line: u64,
    row: Row,
}

/// The cells of one row, one after the other in one text.
#[derive(Debug, Default)]
pub(crate) struct Row {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Row {
    /// How many cells.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether the row is a blank line.
    pub(crate) fn is_blank(&self) -> bool {
        self.ends.len() <= 1 && self.bytes.iter().all(u8::is_ascii_whitespace)
    }

    /// The cells as one text, if it is UTF-8 without NUL.
    pub(crate) fn text(&self) -> Result<&str, &'static str> {
        if self.bytes.contains(&0) {
            return Err("the row holds a NUL byte");
        }
        let text = std::str::from_utf8(&self.bytes).map_err(|_| "the row is not UTF-8")?;
        if self.ends.iter().all(|end| text.is_char_boundary(*end)) {
            Ok(text)
        } else {
            Err("the row is not UTF-8")
        }
    }

    /// One cell of the text that [`Row::text`] gave.
    pub(crate) fn cell<'t>(&self, text: &'t str, index: usize) -> Option<&'t str> {
        let end = *self.ends.get(index)?;
        let start = if index == 0 { 0 } else { *self.ends.get(index - 1)? };
        text.get(start..end)
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Start,
    Plain,
    Quoted,
    /// Behind a quote inside a quoted cell: its end, or the first of two.
    Quote,
}

impl<R: BufRead> Table<R> {
    pub(crate) fn new(input: R, delimiter: u8) -> Self {
        Self { input, delimiter, line: 1, row: Row::default() }
    }

    /// The row read last.
    pub(crate) fn row(&self) -> &Row {
        &self.row
    }

    /// Reads the next row.
    pub(crate) fn next_row(&mut self) -> std::io::Result<Next> {
        self.row.clear();
        let start = self.line;
        let mut state = State::Start;
        let mut too_long = false;
        let mut any = false;
        let mut ended = false;
        while !ended {
            let chunk = fill(&mut self.input)?;
            if chunk.is_empty() {
                if !any {
                    return Ok(Next::End);
                }
                if state == State::Quoted {
                    return Ok(Next::Cut(start));
                }
                break;
            }
            any = true;
            let mut used = 0;
            for byte in chunk {
                used += 1;
                self.line += u64::from(*byte == b'\n');
                state = match (state, *byte) {
                    (State::Quoted, b'"') => State::Quote,
                    (State::Start, b'"') => State::Quoted,
                    (State::Start | State::Plain | State::Quote, b'\n') => {
                        ended = true;
                        break;
                    }
                    (State::Start | State::Plain | State::Quote, b) if b == self.delimiter => {
                        if self.row.ends.len() < MAX_COLUMNS {
                            self.row.ends.push(self.row.bytes.len());
                        } else {
                            too_long = true;
                        }
                        State::Start
                    }
                    (before, b) => {
                        if self.row.bytes.len() < MAX_RECORD_BYTES {
                            self.row.bytes.push(b);
                        } else {
                            too_long = true;
                        }
                        match before {
                            // A doubled quote inside a quoted cell.
                            State::Quote if b == b'"' => State::Quoted,
                            State::Quoted => State::Quoted,
                            State::Start | State::Plain | State::Quote => State::Plain,
                        }
                    }
                };
            }
            self.input.consume(used);
        }
        if too_long {
            self.row = Row::default();
            return Ok(Next::TooLong(start));
        }
        let cell_start = self.row.ends.last().copied().unwrap_or(0);
        if state == State::Plain && self.row.bytes.len() > cell_start && self.row.bytes.last() == Some(&b'\r')
        {
            self.row.bytes.pop();
        }
        self.row.ends.push(self.row.bytes.len());
        Ok(Next::Record(start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rows(bytes: &[u8]) -> Vec<Vec<String>> {
        let mut table = Table::new(std::io::BufReader::with_capacity(3, bytes), b',');
        let mut found = Vec::new();
        while let Next::Record(_) = table.next_row().unwrap() {
            let row = table.row();
            let text = row.text().unwrap();
            found.push((0..row.len()).map(|i| row.cell(text, i).unwrap().to_owned()).collect());
        }
        found
    }

    #[test]
    fn reads_quotes_line_ends_and_empty_cells() {
        let found = rows(b"a,\"b,\"\"x\"\"\nc\",\r\n\"\",d\n,\n");
        assert_eq!(found, [vec!["a", "b,\"x\"\nc", ""], vec!["", "d"], vec!["", ""]]);
    }

    #[test]
    fn bounds_columns_and_cells() {
        let mut table = Table::new(std::io::Cursor::new(format!("{}\nx\n", ",".repeat(3_000_000))), b',');
        assert_eq!(table.next_row().unwrap(), Next::TooLong(1));
        assert_eq!(table.next_row().unwrap(), Next::Record(2));
        let mut table = Table::new(std::io::Cursor::new(format!("\"{}", "x".repeat(9_000_000))), b',');
        assert_eq!(table.next_row().unwrap(), Next::Cut(1));
        assert!(table.row().bytes.len() <= MAX_RECORD_BYTES);
    }

    proptest! {
        #[test]
        fn reads_what_the_usual_writer_writes(cells in prop::collection::vec(prop::collection::vec("[a-z\",\n; é]{0,6}", 2..5), 1..6)) {
            let mut writer = csv::WriterBuilder::new().flexible(true).from_writer(Vec::new());
            for row in &cells {
                writer.write_record(row).unwrap();
            }
            prop_assert_eq!(rows(&writer.into_inner().unwrap()), cells);
        }
    }
}
