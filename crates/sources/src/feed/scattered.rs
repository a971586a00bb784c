//! Records whose rows do not stand together in a table.
//!
//! Rows that follow on each other are one record. A table that is sorted by product or by charge takes an order apart, and
//! its last part alone would stand for the whole. A file is looked through for such records before it is read; of what
//! can be read once alone it is known only when the next part comes.

use super::csv::{Header, header_of, list_of};
use crate::input::table::Table;
use crate::input::{Next, open, skip_bom};
use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use trueup_domain::feed::RecordKind;

/// Which records of a table were met, as hashes: eight bytes each.
#[derive(Default)]
pub(super) struct Scattered {
    hasher: RandomState,
    begun: HashSet<u64>,
    scattered: HashSet<u64>,
    /// Whether all of the table was looked through.
    complete: bool,
    last: Option<u64>,
}

impl Scattered {
    /// Looks through a file. Nothing is known of one that cannot be read twice.
    pub(super) fn of_file(path: &Path, delimiter: u8, kind: Option<RecordKind>) -> Self {
        let mut found = Self::default();
        // What is no file, such as a pipe, gives its content once.
        let again = path != Path::new("-") && std::fs::metadata(path).is_ok_and(|about| about.is_file());
        if again && found.look_through(path, delimiter, kind).is_ok() {
            found.complete = true;
        }
        found.begun = HashSet::new();
        found.last = None;
        if !found.complete {
            found.scattered = HashSet::new();
        }
        found
    }

    fn look_through(&mut self, path: &Path, delimiter: u8, kind: Option<RecordKind>) -> std::io::Result<()> {
        let mut input = open(path)?;
        skip_bom(&mut input)?;
        let mut table = Table::new(input, delimiter);
        let mut header: Option<Header> = None;
        loop {
            match table.next_row()? {
                Next::End => return Ok(()),
                Next::Record(_) => {}
                Next::TooLong(_) | Next::Cut(_) | Next::Stray(_) => continue,
            }
            let row = table.row();
            let Ok(text) = row.text() else { continue };
            if row.is_blank() {
                continue;
            }
            let Some(header) = &header else {
                // A table without a header is refused whole by whoever reads it.
                let Ok(found) = header_of(row, text) else { return Ok(()) };
                header = Some(found);
                continue;
            };
            let (named, id) = (header.kind_of(row, text), header.id_of(row, text));
            let kind = if named.is_empty() { kind } else { RecordKind::from_name(named) };
            match kind.filter(|kind| list_of(*kind).is_some()) {
                Some(kind) => self.meet(kind, id),
                None => self.last = None,
            }
        }
    }

    fn meet(&mut self, kind: RecordKind, id: &str) {
        let key = self.hasher.hash_one((kind.name(), id));
        if self.last != Some(key) && !self.begun.insert(key) {
            self.scattered.insert(key);
        }
        self.last = Some(key);
    }

    /// Whether scattered records are known from their first row on.
    pub(super) fn knows_all(&self) -> bool {
        self.complete
    }

    /// Whether a record that begins here has rows elsewhere.
    pub(super) fn is_one(&mut self, kind: RecordKind, id: &str) -> bool {
        if !self.complete {
            self.last = None;
            self.meet(kind, id);
        }
        self.scattered.contains(&self.hasher.hash_one((kind.name(), id)))
    }
}
