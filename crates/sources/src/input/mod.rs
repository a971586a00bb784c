//! Bounded ways through an input: lines, elements of a JSON array, rows of a CSV table.
//!
//! None of them ever holds more than [`MAX_RECORD_BYTES`] of the input, however long a line is.

pub(crate) mod elements;
pub(crate) mod lines;
pub(crate) mod table;

use std::io::{BufRead, ErrorKind};

/// The longest record that is taken in.
pub(crate) const MAX_RECORD_BYTES: usize = 8 * 1024 * 1024;

/// What came next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// A record is in the buffer; it starts on this line.
    Record(u64),
    /// A record starting on this line was too long and is skipped.
    TooLong(u64),
    /// The input ends in the middle of a record or list that started on this line.
    Cut(u64),
    /// Something stands here that is no record.
    Stray(u64),
    /// The end.
    End,
}

/// `fill_buf` that goes on after an interrupt.
pub(crate) fn fill<R: BufRead>(input: &mut R) -> std::io::Result<&[u8]> {
    loop {
        match input.fill_buf() {
            Ok(_) => break,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    // The buffer is filled: asking again returns it without reading.
    input.fill_buf()
}

/// Skips a byte order mark.
pub(crate) fn skip_bom<R: BufRead>(input: &mut R) -> std::io::Result<()> {
    if fill(input)?.starts_with(b"\xEF\xBB\xBF") {
        input.consume(3);
    }
    Ok(())
}
