//! A table in blocks of whole rows, so that several threads can go through it at once.

use crate::input::{Input, MAX_RECORD_BYTES};
use memchr::{memchr, memchr_iter, memrchr};
use std::io::{ErrorKind, Read};

/// How much one thread takes at once: no more than lies near a processor while its rows are read.
const BLOCK_BYTES: usize = 256 * 1024;

/// Memory of one thread for rows. It is used again as it is, since to clear it first would go through it once more.
#[derive(Default)]
pub(super) struct Block {
    bytes: Vec<u8>,
    end: usize,
}

impl Block {
    /// The rows.
    pub(super) fn rows(&self) -> &[u8] {
        self.bytes.get(..self.end).unwrap_or_default()
    }
}

/// What comes next of a table.
pub(super) enum Step {
    /// Whole rows, none of them over several lines.
    Rows {
        /// The line that they begin on.
        first: u64,
        /// Whether there may be a quote in them.
        has_quotes: bool,
    },
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

    /// Fills the block with the next rows.
    pub(super) fn next_rows(&mut self, block: &mut Block) -> std::io::Result<Step> {
        let Block { bytes, end: filled } = block;
        if bytes.len() < self.rest.len() {
            bytes.resize(self.rest.len(), 0);
        }
        *filled = self.rest.len();
        bytes.get_mut(..*filled).unwrap_or_default().copy_from_slice(&self.rest);
        self.rest.clear();
        let end = loop {
            if !self.ended {
                self.fill(bytes, filled)?;
            }
            if self.ended {
                break *filled;
            }
            match memrchr(b'\n', bytes.get(..*filled).unwrap_or_default()) {
                Some(at) => break at + 1,
                None if *filled > MAX_RECORD_BYTES => break 0,
                None => {}
            }
        };
        let has_quotes = memchr(b'"', bytes.get(..end).unwrap_or_default()).is_some();
        let end = if has_quotes { self.whole_rows(bytes, end) } else { end };
        self.rest.extend_from_slice(bytes.get(end..*filled).unwrap_or_default());
        *filled = end;
        if end == 0 {
            return Ok(if self.rest.is_empty() { Step::End } else { Step::Scattered(self.line) });
        }
        let first = self.line;
        self.line += memchr_iter(b'\n', block.rows()).count() as u64;
        Ok(Step::Rows { first, has_quotes })
    }

    /// What is left, from the line that [`Step::Scattered`] told on.
    pub(super) fn into_rest(self) -> impl Read {
        std::io::Cursor::new(self.rest).chain(self.input)
    }

    /// Reads as much as a block holds behind what is there.
    fn fill(&mut self, bytes: &mut Vec<u8>, filled: &mut usize) -> std::io::Result<()> {
        let full = *filled + BLOCK_BYTES;
        if bytes.len() < full {
            bytes.resize(full, 0);
        }
        while *filled < full {
            match self.input.read(bytes.get_mut(*filled..full).unwrap_or_default()) {
                Ok(0) => {
                    self.ended = true;
                    break;
                }
                Ok(read) => *filled += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
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
