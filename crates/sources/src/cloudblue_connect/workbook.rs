//! The workbooks that Connect's own tools write: sheets of tier accounts, and of a product with its items.
//!
//! A row becomes the object that the API would have answered, and goes the way of those objects; the row itself is kept
//! whole in the record's `ext`, so that a column without a place of its own is not lost.
//!
//! A workbook is a packed archive, and a small one can unpack to more than fits into memory. Everything in it is unpacked
//! once against a limit and thrown away before the reader of workbooks, which knows no limit, may see it.

use crate::input::Input;
use calamine::{DataRef, Reader, Xlsx};
use std::collections::BTreeMap;
use std::io::{self, Cursor, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use zip::ZipArchive;

/// The longest file.
const MAX_FILE: u64 = 32 << 20;
/// The most that one part of the archive may unpack to: a sheet, or the texts of all sheets.
const MAX_PART: u64 = 64 << 20;
/// The most that all parts may unpack to together.
const MAX_WHOLE: u64 = 128 << 20;
/// Parts of the archive.
const MAX_PARTS: usize = 1_000;
/// Cells with a value in one sheet.
const MAX_CELLS: usize = 1_000_000;
/// Columns that are read.
const MAX_COLUMNS: u32 = 500;
/// Bytes of text in one sheet: cells may share one text, and each of them counts.
const MAX_TEXT: usize = 64 << 20;
/// Characters of one cell: Excel's own limit.
const MAX_CELL: usize = 32_767;

/// One row: its number from 1, and its cells by column from 0.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) number: u64,
    pub(super) cells: BTreeMap<u32, String>,
}

/// One sheet; or why it could not be read whole.
pub(super) struct Sheet {
    pub(super) name: String,
    pub(super) rows: Result<Vec<Row>, Broken>,
}

/// Why a sheet or a workbook is not read, with the row where it is known.
#[derive(Debug)]
pub(super) struct Broken {
    pub(super) row: u64,
    pub(super) reason: String,
}

impl Broken {
    fn whole(reason: impl Into<String>) -> Self {
        Self { row: 0, reason: reason.into() }
    }
}

/// All sheets of a workbook.
pub(super) fn read(input: Input) -> io::Result<Result<Vec<Sheet>, Broken>> {
    let mut bytes = Vec::new();
    input.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    // The reader of workbooks is not written against hostile ones: should it panic, this workbook is refused.
    let sheets = catch_unwind(AssertUnwindSafe(|| sheets(&bytes)));
    Ok(sheets
        .unwrap_or_else(|_| Err(Broken::whole("the workbook is damaged; save it again and import that"))))
}

fn sheets(bytes: &[u8]) -> Result<Vec<Sheet>, Broken> {
    if bytes.len() as u64 > MAX_FILE {
        return Err(Broken::whole("the workbook is longer than 32 MiB; split it, or save the sheet as CSV"));
    }
    unpacks_within_limits(bytes)?;
    let mut workbook: Xlsx<_> = Xlsx::new(Cursor::new(bytes))
        .map_err(|error| Broken::whole(format!("it is no Excel workbook that can be read: {error}")))?;
    let names = workbook.sheet_names();
    Ok(names.into_iter().map(|name| Sheet { rows: rows(&mut workbook, &name), name }).collect())
}

/// Unpacks every part and keeps nothing of it: what the archive says of its sizes may be a lie.
fn unpacks_within_limits(bytes: &[u8]) -> Result<(), Broken> {
    let damaged = |error: &dyn std::fmt::Display| Broken::whole(format!("the workbook is damaged: {error}"));
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(|error| damaged(&error))?;
    if archive.len() > MAX_PARTS {
        return Err(Broken::whole(
            "the workbook has more than 1,000 parts; save the one sheet as a workbook",
        ));
    }
    let mut whole = 0_u64;
    for number in 0..archive.len() {
        let part = archive.by_index(number).map_err(|error| damaged(&error))?;
        let name = part.name().map(|name| shown(&name)).unwrap_or_default();
        let size =
            io::copy(&mut part.take(MAX_PART + 1), &mut io::sink()).map_err(|error| damaged(&error))?;
        whole = whole.saturating_add(size);
        if size > MAX_PART || whole > MAX_WHOLE {
            let reason = format!(
                "the workbook unpacks to more than 64 MiB ({name}) or 128 MiB in all; split it, or save the sheet as CSV"
            );
            return Err(Broken::whole(reason));
        }
    }
    Ok(())
}

/// The rows of a sheet that have a value. Read cell by cell: two cells at opposite corners would make a table of
/// seventeen thousand million.
fn rows(workbook: &mut Xlsx<Cursor<&[u8]>>, name: &str) -> Result<Vec<Row>, Broken> {
    let unreadable = |row: u64, error: &dyn std::fmt::Display| Broken {
        row,
        reason: format!("sheet `{}` cannot be read on from here: {error}", shown(name)),
    };
    let mut cells = workbook.worksheet_cells_reader(name).map_err(|error| unreadable(0, &error))?;
    let mut rows: BTreeMap<u64, Row> = BTreeMap::new();
    let (mut count, mut text_size, mut last) = (0_usize, 0_usize, 0_u64);
    loop {
        let cell = match cells.next_cell() {
            Ok(Some(cell)) => cell,
            Ok(None) => break,
            Err(error) => return Err(unreadable(last, &error)),
        };
        let (row, column) = cell.get_position();
        last = u64::from(row) + 1;
        let text = text_of(cell.get_value());
        if text.is_empty() {
            continue;
        }
        count += 1;
        text_size += text.len();
        let too_much = if count > MAX_CELLS {
            Some("the sheet has more than 1,000,000 cells; split it".to_owned())
        } else if text_size > MAX_TEXT {
            Some("the sheet has more than 64 MiB of text; split it".to_owned())
        } else if column >= MAX_COLUMNS {
            Some(format!("column {} is beyond the 500 that are read; take it away", letters(column)))
        } else if text.len() > MAX_CELL && text.chars().count() > MAX_CELL {
            Some(format!("the cell in column {} is longer than 32,767 characters", letters(column)))
        } else {
            None
        };
        if let Some(reason) = too_much {
            return Err(Broken { row: last, reason });
        }
        let row = rows.entry(last).or_insert_with(|| Row { number: last, cells: BTreeMap::new() });
        row.cells.insert(column, text);
    }
    Ok(rows.into_values().collect())
}

/// What a cell shows. A number keeps the digits that the file has, as far as Excel kept them.
fn text_of(value: &DataRef<'_>) -> String {
    match value {
        DataRef::String(text) | DataRef::DateTimeIso(text) | DataRef::DurationIso(text) => {
            text.trim().to_owned()
        }
        DataRef::SharedString(text) => text.trim().to_owned(),
        DataRef::Int(number) => number.to_string(),
        DataRef::Float(number) => number.to_string(),
        DataRef::Bool(true) => "true".to_owned(),
        DataRef::Bool(false) => "false".to_owned(),
        DataRef::DateTime(at) => {
            let (year, month, day, hour, minute, second, _) = at.to_ymd_hms_milli();
            format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
        }
        DataRef::Error(error) => error.to_string(),
        DataRef::Empty => String::new(),
    }
}

/// The letters of a column from 0: A, B, … Z, AA.
pub(super) fn letters(column: u32) -> String {
    let mut left = column;
    let mut text = Vec::new();
    loop {
        text.push(char::from(b'A' + u8::try_from(left % 26).unwrap_or_default()));
        left /= 26;
        if left == 0 {
            return text.into_iter().rev().collect();
        }
        left -= 1;
    }
}

/// A name for a sentence.
pub(super) fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::letters;

    #[test]
    fn columns_are_named_as_in_the_sheet() {
        for (column, name) in
            [(0, "A"), (25, "Z"), (26, "AA"), (51, "AZ"), (52, "BA"), (701, "ZZ"), (702, "AAA")]
        {
            assert_eq!(letters(column), name);
        }
    }
}
