//! Bounded ways through an input: lines, elements of a JSON array, rows of a CSV table.
//!
//! None of them ever holds more than [`MAX_RECORD_BYTES`] of the input, however long a line is.

pub(crate) mod elements;
pub(crate) mod lines;
pub(crate) mod table;

use std::io::{BufRead, BufReader, ErrorKind};
use std::path::Path;
use trueup_engine::ports::Refusal;

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

/// A file or standard input.
pub(crate) type Input = Box<dyn BufRead + Send>;

/// How much is read at once: large enough that reading is not what takes the time.
const BUFFER_BYTES: usize = 64 * 1024;

/// Opens a file; `-` is standard input.
pub(crate) fn open(path: &Path) -> std::io::Result<Input> {
    if path == Path::new("-") {
        return Ok(Box::new(BufReader::with_capacity(BUFFER_BYTES, std::io::stdin())));
    }
    let file = std::fs::File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(std::io::Error::new(ErrorKind::IsADirectory, "it is a folder"));
    }
    Ok(Box::new(BufReader::with_capacity(BUFFER_BYTES, file)))
}

/// The name of a file for refusals.
pub(crate) fn shown_name(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// The refusal of a file that cannot be opened.
pub(crate) fn not_opened(name: &str, error: &std::io::Error) -> Refusal {
    let reason = format!("the file cannot be read: {error}; check its name and its rights");
    crate::refusal(name, 0, "TU8001", reason)
}
