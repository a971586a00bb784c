//! Rows of a table one by one: for whoever goes through a table in another way, and leaves to the feed what is not plain.

use super::csv::{CsvRows, Header, header_of};
use super::{FeedFormat, Records, detect};
use crate::input::table::Table;
use crate::input::{self, Input, Next, skip_bom};
use crate::json::Room;
use std::collections::HashSet;
use std::io::BufRead;
use std::path::Path;
use std::sync::Arc;
use trueup_domain::feed::{Record, RecordKind};
use trueup_engine::ports::Refusal;

/// A table whose header was read; what comes next of the input is the row after it.
pub(crate) struct OpenTable {
    pub(crate) input: Input,
    pub(crate) delimiter: u8,
    /// The names of the columns.
    pub(crate) names: Vec<String>,
    pub(crate) header: Arc<Header>,
    /// The line that the next row begins on.
    pub(crate) next_line: u64,
}

/// Opens a file as a table. None where it is none, or where its header has to be refused: [`super::read_feed`] says how.
pub(crate) fn open_table(path: &Path, name: &str) -> std::io::Result<Option<OpenTable>> {
    let mut input = input::open(path)?;
    skip_bom(&mut input)?;
    let detect::Layout::Table(delimiter) = detect::layout(&mut input, name, FeedFormat::Auto)? else {
        return Ok(None);
    };
    let mut table = Table::new(&mut input, delimiter);
    loop {
        if !matches!(table.next_row()?, Next::Record(_)) {
            return Ok(None);
        }
        let row = table.row();
        if row.is_blank() {
            continue;
        }
        let Ok(text) = row.text() else { return Ok(None) };
        let Ok(header) = header_of(row, text) else { return Ok(None) };
        let cell = |at| row.cell(text, at).unwrap_or_default().trim().to_owned();
        let names = (0..row.len()).map(cell).collect();
        let next_line = table.next_line();
        return Ok(Some(OpenTable { input, delimiter, names, header: Arc::new(header), next_line }));
    }
}

/// Reads rows of an opened table as the feed reads them.
pub(crate) struct RowReader {
    header: Arc<Header>,
    delimiter: u8,
    records: Records,
}

impl RowReader {
    pub(crate) fn new(header: Arc<Header>, delimiter: u8, file: &str, kind: Option<RecordKind>) -> Self {
        let records = Records { file: file.to_owned(), kind, room: Room::default(), refused: HashSet::new() };
        Self { header, delimiter, records }
    }

    /// What the rows from `first_line` on come to, one after the other, with the line that each begins on.
    pub(crate) fn read<R: BufRead>(
        &mut self,
        input: R,
        first_line: u64,
        mut take: impl FnMut(u64, Result<Record, Refusal>),
    ) {
        let before = first_line.saturating_sub(1);
        let mut rows = CsvRows::under(Arc::clone(&self.header), input, self.delimiter);
        while let Some((line, outcome)) = rows.next_record(&mut self.records) {
            let line = line + before;
            match outcome {
                Ok(Some(record)) => take(line, Ok(record)),
                Ok(None) => {}
                Err(refusal) => take(line, Err(Refusal { line, ..refusal })),
            }
        }
    }
}
