//! Feeds that can be read once alone, such as standard input.
//!
//! The rows of one record may stand apart in a table, which is known only at its end; by then its first rows would have been
//! handed out as if they were all. A table that cannot be read twice is therefore written to a temporary file first.

use super::{FeedFormat, detect};
use crate::input::{self, Input, skip_bom};
use std::io::{Error, Read};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// The longest table that is put aside: a stream without an end must not fill the disk.
const MOST_BYTES: u64 = 4 * 1024 * 1024 * 1024;

/// An input that may be opened a second time.
pub(crate) struct Twice {
    /// What is read.
    pub(crate) input: Input,
    /// The file that it is.
    pub(crate) path: PathBuf,
    /// What goes once the input was read.
    pub(crate) kept: Option<NamedTempFile>,
}

/// Opens a file; what is none is put aside where it is a table.
///
/// # Errors
/// The file system's, and a table that is too long to be put aside.
pub(crate) fn open(path: &Path) -> std::io::Result<Twice> {
    put_aside(input::open(path)?, path, MOST_BYTES)
}

fn put_aside(mut input: Input, path: &Path, most: u64) -> std::io::Result<Twice> {
    let path = path.to_owned();
    let is_file = std::fs::metadata(&path).is_ok_and(|about| about.is_file());
    if !is_file {
        skip_bom(&mut input)?;
        let name = input::shown_name(&path);
        if matches!(detect::layout(&mut input, &name, FeedFormat::Auto)?, detect::Layout::Table(_)) {
            let mut kept = NamedTempFile::new()?;
            let length = std::io::copy(&mut input.take(most + 1), kept.as_file_mut())?;
            if length > most {
                let reason = format!(
                    "a table is read twice, and this one, which comes through a pipe, is longer than {} GiB; save it as a file",
                    most >> 30
                );
                return Err(Error::other(reason));
            }
            return Ok(Twice {
                input: input::open(kept.path())?,
                path: kept.path().to_owned(),
                kept: Some(kept),
            });
        }
    }
    Ok(Twice { input, path, kept: None })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn piped(text: &'static str, most: u64) -> std::io::Result<Twice> {
        put_aside(Box::new(text.as_bytes()), Path::new("-"), most)
    }

    #[test]
    fn a_table_is_put_aside_and_lines_are_not() {
        let mut table = piped("type,id,name\ncustomer,c-1,Green Lane\n", 1_000).unwrap();
        let mut text = String::new();
        table.input.read_to_string(&mut text).unwrap();
        assert_eq!(text, std::fs::read_to_string(&table.path).unwrap());
        assert!(piped("{\"type\":\"customer\"}\n", 1_000).unwrap().kept.is_none());
        assert!(piped("type,id,name\ncustomer,c-1,Green Lane\n", 20).is_err());
    }
}
