//! Rows of a CSV table, with a bound on what is kept of a row.
//!
//! The usual CSV reader lets a single row grow without a limit (a quote that is never closed takes in the rest of the
//! file), so rows are cut and their cells unquoted here. Quoting follows RFC 4180: a quote opens only at the start of a
//! cell, and stands doubled inside.

use super::{MAX_RECORD_BYTES, Next, fill};
use std::io::BufRead;

/// The most columns that a table may have.
pub(crate) const MAX_COLUMNS: usize = 4096;

/// How often a table goes back behind a line with a quote that is never closed. Each time costs up to
/// [`MAX_RECORD_BYTES`] read again, so that hostile input must not have it at will.
const MAX_RETURNS: usize = 64;

/// Reads row by row.
#[derive(Debug)]
pub(crate) struct Table<R> {
    input: R,
    delimiter: u8,
    line: u64,
    row: Row,
    /// What is read again before the input goes on.
    back: Vec<u8>,
    back_at: usize,
    returns: usize,
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

    /// What can be told of one cell of a broken row.
    pub(crate) fn cell_lossy(&self, index: usize) -> Option<String> {
        let end = *self.ends.get(index)?;
        let start = if index == 0 { 0 } else { *self.ends.get(index - 1)? };
        self.bytes.get(start..end).map(|bytes| String::from_utf8_lossy(bytes).into_owned())
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
        let (back, back_at, returns) = (Vec::new(), 0, 0);
        Self { input, delimiter, line: 1, row: Row::default(), back, back_at, returns }
    }

    /// The line that the next row begins on.
    pub(crate) fn next_line(&self) -> u64 {
        self.line
    }

    /// The row read last.
    pub(crate) fn row(&self) -> &Row {
        &self.row
    }

    /// Goes back to the line after the one that a row began on.
    fn return_to(&mut self, start: u64, mut after_first_line: Vec<u8>) {
        after_first_line.extend_from_slice(self.back.get(self.back_at..).unwrap_or_default());
        self.back = after_first_line;
        self.back_at = 0;
        self.returns += 1;
        self.line = start + 1;
    }

    /// Reads the next row. A quote that is never closed, or that takes in more than a record may hold, costs its own
    /// line alone: [`Next::Cut`] names it, and the lines after it are read as rows.
    pub(crate) fn next_row(&mut self) -> std::io::Result<Next> {
        self.row.clear();
        let start = self.line;
        let mut state = State::Start;
        let mut too_long = false;
        let mut any = false;
        let mut ended = false;
        let mut unclosed = false;
        let mut after_first_line: Option<Vec<u8>> = None;
        while !ended {
            let from_back = self.back_at < self.back.len();
            let chunk = if from_back {
                self.back.get(self.back_at..).unwrap_or_default()
            } else {
                fill(&mut self.input)?
            };
            if chunk.is_empty() {
                if !any {
                    return Ok(Next::End);
                }
                if state == State::Quoted {
                    if let Some(rest) = after_first_line {
                        self.return_to(start, rest);
                    }
                    return Ok(Next::Cut(start));
                }
                break;
            }
            any = true;
            let mut used = 0;
            let mut keep_from = after_first_line.is_some().then_some(0);
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
                    // Text right behind the quote of a cell over several lines: that quote belongs to another cell,
                    // and the first one was never closed.
                    (State::Quote, b)
                        if keep_from.is_some()
                            && self.returns < MAX_RETURNS
                            && !matches!(b, b'"' | b'\r' | b' ') =>
                    {
                        unclosed = true;
                        break;
                    }
                    (before, b) => {
                        if self.row.bytes.len() < MAX_RECORD_BYTES {
                            self.row.bytes.push(b);
                        } else {
                            too_long = true;
                        }
                        if b == b'\n' && keep_from.is_none() {
                            keep_from = Some(used);
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
            // What is kept stays near the bound: a row that grows beyond it goes back at once.
            if let Some(from) = keep_from.filter(|_| self.returns < MAX_RETURNS) {
                let kept = after_first_line.get_or_insert_default();
                kept.extend_from_slice(chunk.get(from..used).unwrap_or_default());
            }
            if from_back {
                self.back_at += used;
            } else {
                self.input.consume(used);
                self.back = Vec::new();
                self.back_at = 0;
            }
            if !ended
                && (unclosed || too_long)
                && let Some(rest) = after_first_line.take()
            {
                self.return_to(start, rest);
                return Ok(Next::Cut(start));
            }
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

    #[test]
    fn a_quote_that_is_never_closed_costs_its_own_line_alone() {
        for capacity in [1, 3, 1000] {
            let bytes = b"a,b\n1,\"x\n2,y\n3,z\n";
            let mut table = Table::new(std::io::BufReader::with_capacity(capacity, &bytes[..]), b',');
            let mut found = Vec::new();
            loop {
                let next = table.next_row().unwrap();
                if next == Next::End {
                    break;
                }
                found.push((next, table.row().cell_lossy(0).unwrap()));
                assert!(found.len() < 10);
            }
            let row = |line, id: &str| (Next::Record(line), id.to_owned());
            assert_eq!(found, [row(1, "a"), (Next::Cut(2), "1".into()), row(3, "2"), row(4, "3")]);
        }
        // More than a record may hold behind the open quote: the rows are found all the same, from their lines.
        let rows = "5,\"x\n".to_owned()
            + &"6,yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\n".repeat(200_000);
        let mut table = Table::new(std::io::BufReader::new(rows.as_bytes()), b',');
        assert_eq!(table.next_row().unwrap(), Next::Cut(1));
        for line in 2..=200_001 {
            assert_eq!(table.next_row().unwrap(), Next::Record(line));
            assert_eq!(table.row().cell_lossy(0).unwrap(), "6");
        }
        assert_eq!(table.next_row().unwrap(), Next::End);
        // Hostile: every line opens such a quote anew.
        let rows = "a\",\"\n".repeat(4_000_000);
        let mut table = Table::new(std::io::BufReader::new(rows.as_bytes()), b',');
        let mut seen = 0;
        while table.next_row().unwrap() != Next::End {
            seen += 1;
        }
        assert!(seen > 0 && table.returns <= MAX_RETURNS);
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
