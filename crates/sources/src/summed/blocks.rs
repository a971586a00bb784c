//! A table in blocks of whole rows, so that several threads can go through it at once.

use crate::input::{Input, MAX_RECORD_BYTES};
use memchr::{memchr, memchr_iter, memrchr};
use std::io::{ErrorKind, Read};

/// How much one thread takes at once.
const BLOCK_BYTES: usize = 512 * 1024;

/// What comes next of a table.
pub(super) enum Step {
    /// Whole rows, none of them over several lines; they begin on this line.
    Rows(u64),
    /// From this line on rows may go over several lines: they have to be read one after the other.
    Scattered(u64),
    /// Nothing.
    End,
}

/// The rows of a table behind its header.
pub(super) struct Blocks {
    input: Input,
    /// What was read behind the last whole row.
    rest: Vec<u8>,
    line: u64,
    delimiter: u8,
    ended: bool,
}

impl Blocks {
    pub(super) fn new(input: Input, next_line: u64, delimiter: u8) -> Self {
        Self { input, rest: Vec::new(), line: next_line, delimiter, ended: false }
    }

    /// Fills the buffer with the next rows.
    pub(super) fn next_rows(&mut self, buffer: &mut Vec<u8>) -> std::io::Result<Step> {
        buffer.clear();
        buffer.append(&mut self.rest);
        let end = loop {
            if !self.ended {
                self.fill(buffer)?;
            }
            if self.ended {
                break buffer.len();
            }
            match memrchr(b'\n', buffer) {
                Some(at) => break at + 1,
                None if buffer.len() > MAX_RECORD_BYTES => break 0,
                None => {}
            }
        };
        let end = match memchr(b'"', buffer.get(..end).unwrap_or_default()) {
            Some(_) => self.whole_rows(buffer, end),
            None => end,
        };
        self.rest.extend_from_slice(buffer.get(end..).unwrap_or_default());
        buffer.truncate(end);
        if buffer.is_empty() {
            return Ok(if self.rest.is_empty() { Step::End } else { Step::Scattered(self.line) });
        }
        let first = self.line;
        self.line += memchr_iter(b'\n', buffer).count() as u64;
        Ok(Step::Rows(first))
    }

    /// What is left, from the line that [`Step::Scattered`] told on.
    pub(super) fn into_rest(self) -> impl Read {
        std::io::Cursor::new(self.rest).chain(self.input)
    }

    fn fill(&mut self, buffer: &mut Vec<u8>) -> std::io::Result<()> {
        let begun = buffer.len();
        buffer.resize(begun + BLOCK_BYTES, 0);
        let mut filled = begun;
        while filled < buffer.len() {
            match self.input.read(buffer.get_mut(filled..).unwrap_or_default()) {
                Ok(0) => {
                    self.ended = true;
                    break;
                }
                Ok(read) => filled += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        buffer.truncate(filled);
        Ok(())
    }

    /// The end of the rows up to the first one that goes over several lines.
    fn whole_rows(&self, buffer: &[u8], end: usize) -> usize {
        let mut from = 0;
        while let Some(quote) =
            buffer.get(from..end).and_then(|rest| memchr(b'"', rest)).map(|offset| from + offset)
        {
            let start = buffer.get(..quote).and_then(|before| memrchr(b'\n', before)).map_or(0, |at| at + 1);
            let stop =
                buffer.get(quote..end).and_then(|rest| memchr(b'\n', rest)).map_or(end, |at| quote + at);
            if leaves_open(buffer.get(start..stop).unwrap_or_default(), self.delimiter) {
                return start;
            }
            from = stop;
        }
        end
    }
}

/// Whether a quoted cell is still open at the end of the line. A quote opens only at the start of a cell.
fn leaves_open(line: &[u8], delimiter: u8) -> bool {
    let (mut starts, mut open) = (true, false);
    let mut bytes = line.iter().peekable();
    while let Some(byte) = bytes.next() {
        if open {
            if *byte == b'"' && bytes.next_if(|next| **next == b'"').is_none() {
                open = false;
            }
            starts = false;
        } else {
            open = starts && *byte == b'"';
            starts = *byte == delimiter;
        }
    }
    open
}
