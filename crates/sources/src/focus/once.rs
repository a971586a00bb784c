//! Files of which the content came before in the same import.

use crate::input::{self, Input};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::{BufRead, Error, Read, Write};
use std::path::Path;
use tempfile::NamedTempFile;

/// The longest stream that is put aside: one without an end must not fill the disk.
const MOST_BYTES: u64 = 4 * 1024 * 1024 * 1024;

/// The contents of an import so far, each with the first name that it came under.
pub(super) struct Once {
    /// Of a single file nothing can have come before.
    is_needed: bool,
    seen: BTreeMap<[u8; 32], String>,
}

/// What became of opening a file.
pub(super) enum Opened {
    /// Its content is new. A stream that is read once alone was put aside, in a file that goes after it.
    New(Input, Option<NamedTempFile>),
    /// Its content came before under this name.
    Again(String),
}

impl Once {
    /// For an import of so many files.
    pub(super) fn of(files: usize) -> Self {
        Self { is_needed: files > 1, seen: BTreeMap::new() }
    }

    /// Opens a file unless its content came before.
    ///
    /// # Errors
    /// The file system's, and a stream that is too long to be put aside.
    pub(super) fn open(&mut self, path: &Path) -> std::io::Result<Opened> {
        if !self.is_needed {
            return Ok(Opened::New(input::open(path)?, None));
        }
        let is_file = std::fs::metadata(path).is_ok_and(|about| about.is_file());
        let mut hash = Sha256::new();
        let kept = if is_file {
            copy(input::open(path)?, |part| {
                hash.update(part);
                Ok(())
            })?;
            None
        } else {
            Some(put_aside(input::open(path)?, &mut hash)?)
        };
        let name = input::shown_name(path);
        if let Some(first) = self.seen.get::<[u8; 32]>(&hash.clone().finalize().into()) {
            return Ok(Opened::Again(first.clone()));
        }
        self.seen.insert(hash.finalize().into(), name);
        let again = input::open(kept.as_ref().map_or(path, NamedTempFile::path))?;
        Ok(Opened::New(again, kept))
    }
}

fn put_aside(stream: Input, hash: &mut Sha256) -> std::io::Result<NamedTempFile> {
    let mut kept = NamedTempFile::new()?;
    let length = copy(Box::new(stream.take(MOST_BYTES + 1)), |part| {
        hash.update(part);
        kept.write_all(part)
    })?;
    if length > MOST_BYTES {
        let reason = format!(
            "beside other files a stream is read twice, and this one is longer than {} GiB; save it as a file",
            MOST_BYTES >> 30
        );
        return Err(Error::other(reason));
    }
    kept.flush()?;
    Ok(kept)
}

/// Gives all parts of an input; returns how many bytes there were.
fn copy(mut input: Input, mut give: impl FnMut(&[u8]) -> std::io::Result<()>) -> std::io::Result<u64> {
    let mut length = 0_u64;
    loop {
        let part = input::fill(&mut input)?;
        if part.is_empty() {
            return Ok(length);
        }
        give(part)?;
        let read = part.len();
        length = length.saturating_add(read as u64);
        input.consume(read);
    }
}
