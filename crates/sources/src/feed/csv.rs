//! The feed as a table: the fields' names as header, nested ones dotted, lists as rows.
//!
//! A row becomes the JSON text of its record, with every filled cell as text, and goes the way of all records. The lines
//! of an order stand one a row under `line.` columns; consecutive rows with one id are one order, and must agree in
//! the order's own columns. Items of a subscription (`item.`) and lines of an invoice (`line.`) work the same way.

use super::scattered::Scattered;
use super::{Records, Step, Wording};
use crate::fields::{INCOMPLETE, REFUSED};
use crate::input::table::{Row, Table};
use crate::input::{MAX_RECORD_BYTES, Next};
use crate::refusal;
use std::collections::HashSet;
use std::io::BufRead;
use std::sync::Arc;
use trueup_domain::feed::RecordKind;
use trueup_engine::ports::Refusal;

/// How deep dots may nest in a header.
const MAX_DOTS: usize = 8;

/// Every kind of record has one of these fields at least.
const KNOWN_COLUMNS: [&str; 6] = ["type", "id", "customer", "subscription", "product", "complete"];

/// The columns under one name.
#[derive(Debug, Default)]
struct Column {
    name: String,
    cell: Option<usize>,
    parts: Vec<Column>,
}

impl Column {
    fn part(&mut self, name: &str) -> Option<&mut Column> {
        let at = self.parts.iter().position(|part| part.name == name).unwrap_or_else(|| {
            self.parts.push(Self { name: name.to_owned(), ..Self::default() });
            self.parts.len() - 1
        });
        self.parts.get_mut(at)
    }

    /// Appends the columns' filled cells as the fields of an object; returns whether there was any.
    fn write(&self, row: &Row, text: &str, out: &mut String) -> bool {
        out.push('{');
        let any = self.write_fields(row, text, out, None);
        out.push('}');
        any
    }

    fn write_fields(&self, row: &Row, text: &str, out: &mut String, leave: Option<&str>) -> bool {
        let mut any = false;
        for part in self.parts.iter().filter(|part| Some(part.name.as_str()) != leave) {
            let before = out.len();
            if any {
                out.push(',');
            }
            write_text(&part.name, out);
            out.push(':');
            let written = match part.cell {
                Some(cell) => {
                    let cell = row.cell(text, cell).unwrap_or_default();
                    write_text(cell, out);
                    !cell.is_empty()
                }
                None => part.write(row, text, out),
            };
            if written {
                any = true;
            } else {
                out.truncate(before);
            }
        }
        any
    }
}

/// Appends text as JSON text.
fn write_text(text: &str, out: &mut String) {
    if text.bytes().all(|b| b >= b' ' && b != b'"' && b != b'\\') {
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else {
        // Text always can be written as JSON.
        out.push_str(&serde_json::to_string(text).unwrap_or_default());
    }
}

/// The header of a table.
pub(crate) struct Header {
    columns: Column,
    width: usize,
    id: Option<usize>,
    kind: Option<usize>,
}

impl Header {
    /// The id on a row.
    pub(super) fn id_of<'t>(&self, row: &Row, text: &'t str) -> &'t str {
        self.id.and_then(|at| row.cell(text, at)).unwrap_or_default()
    }

    /// The kind that a row names; empty where it names none.
    pub(super) fn kind_of<'t>(&self, row: &Row, text: &'t str) -> &'t str {
        self.kind.and_then(|at| row.cell(text, at)).unwrap_or_default()
    }
}

/// The records of a table.
pub(crate) struct CsvRows<R> {
    table: Table<R>,
    header: Option<Arc<Header>>,
    scattered: Scattered,
    group: Option<Group>,
    /// What is handed out next.
    pending: Option<(u64, Refusal)>,
    /// A broken row that may belong to the record of the rows around it.
    broken: Option<Broken>,
    ended: bool,
}

/// A row that could not be read.
struct Broken {
    line: u64,
    /// The id on it, where that could be told.
    id: Option<String>,
}

/// Rows that make one record.
struct Group {
    line: u64,
    kind: RecordKind,
    id: String,
    /// The record's own fields, as JSON without the braces.
    head: String,
    /// The list's name, and its items.
    list: &'static str,
    items: String,
    /// Why the whole is refused.
    fault: Option<String>,
}

/// Prefix and list of the kinds that have one.
pub(super) fn list_of(kind: RecordKind) -> Option<(&'static str, &'static str)> {
    match kind {
        RecordKind::Order | RecordKind::Invoice => Some(("line", "lines")),
        RecordKind::Subscription => Some(("item", "items")),
        RecordKind::Organization
        | RecordKind::Customer
        | RecordKind::Contact
        | RecordKind::Product
        | RecordKind::Usage
        | RecordKind::Counter
        | RecordKind::Payment
        | RecordKind::Alert
        | RecordKind::Snapshot => None,
    }
}

impl<R: BufRead> CsvRows<R> {
    pub(crate) fn new(input: R, delimiter: u8, scattered: Scattered) -> Self {
        Self {
            table: Table::new(input, delimiter),
            header: None,
            scattered,
            group: None,
            pending: None,
            broken: None,
            ended: false,
        }
    }

    /// Rows of a table whose header was read before.
    pub(crate) fn under(header: Arc<Header>, input: R, delimiter: u8) -> Self {
        Self { header: Some(header), ..Self::new(input, delimiter, Scattered::default()) }
    }

    /// The next record or refusal.
    pub(crate) fn next_record(&mut self, records: &mut Records) -> Step {
        loop {
            if let Some((line, refusal)) = self.pending.take() {
                return Some((line, Err(refusal)));
            }
            if self.ended {
                return self.group.take().map(|group| group.finish(records));
            }
            let next = match self.table.next_row() {
                Ok(next) => next,
                Err(error) => {
                    self.ended = true;
                    self.pending = Some((0, records.broken_input(0, &error)));
                    continue;
                }
            };
            let outcome = match next {
                Next::End => {
                    self.ended = true;
                    continue;
                }
                Next::Record(line) => self.row(line, records),
                Next::TooLong(line) => Err(records.too_long(line)),
                Next::Cut(line) | Next::Stray(line) => {
                    let reason =
                        "a quote is opened on this line and not closed before the end, or within 8 MiB; close or double it".to_owned();
                    Err(records.refuse(line, INCOMPLETE, reason))
                }
            };
            match outcome {
                Ok(None) => {}
                Ok(Some(step)) => return Some(step),
                Err(refusal) => {
                    let line = refusal.line;
                    // Without a header, or between records that are one row each, nothing else is touched.
                    let record = if self.ended { None } else { self.breaks(line, records.kind) };
                    self.pending = Some((line, Refusal { record: refusal.record.or(record), ..refusal }));
                }
            }
        }
    }

    /// A record is taken in whole or not at all: one whose rows may include a broken one is refused. Returns which one the row
    /// says to be of, where that can be told; `usual` is the kind of rows that name none.
    fn breaks(&mut self, line: u64, usual: Option<RecordKind>) -> Option<Box<(RecordKind, String)>> {
        let row = self.table.row();
        // The last cell of a row that is cut may be cut itself.
        let is_whole = |at: &usize| {
            at + 1 < row.len() || self.header.as_ref().is_none_or(|header| row.len() >= header.width)
        };
        let told = |column: Option<usize>| {
            column.filter(is_whole).and_then(|at| row.cell_lossy(at)).filter(|text| !text.is_empty())
        };
        let (id, kind) = self.header.as_ref().map_or((None, None), |header| (header.id, header.kind));
        let kind = match kind {
            Some(at) => told(Some(at)).and_then(|name| RecordKind::from_name(&name)),
            None => usual,
        };
        let id = told(id);
        let record = kind.zip(id.clone()).map(Box::new);
        if kind.is_some_and(|kind| list_of(kind).is_none()) {
            return record;
        }
        if let Some(group) = &mut self.group
            && !group.list.is_empty()
            && id.as_ref().is_none_or(|id| *id == group.id)
        {
            group.lacks(line);
        }
        self.broken = Some(Broken { line, id });
        record
    }

    #[allow(clippy::type_complexity)]
    fn row(
        &mut self,
        line: u64,
        records: &mut Records,
    ) -> Result<Option<(u64, Result<Option<trueup_domain::feed::Record>, Refusal>)>, Refusal> {
        if self.table.row().is_blank() {
            return Ok(None);
        }
        let row = self.table.row();
        let text = match row.text() {
            Ok(text) => text,
            Err(what) => {
                let reason = format!("{what}; write the file again as UTF-8");
                return Err(records.refuse(line, REFUSED, reason));
            }
        };
        let Some(header) = &self.header else {
            return match header_of(row, text) {
                Ok(header) => {
                    self.header = Some(Arc::new(header));
                    Ok(None)
                }
                Err(reason) => {
                    // Without a header no row can be understood.
                    self.ended = true;
                    Err(records.refuse(line, REFUSED, reason))
                }
            };
        };
        let columns = &header.columns;
        if row.len() != header.width {
            // A row that is cut may be cut within a number: what is left of it is no price.
            let (code, fix) = if row.len() > header.width {
                (REFUSED, "quote cells that hold the delimiter")
            } else {
                (INCOMPLETE, "it is cut off, or cells that say nothing were left out: write them empty")
            };
            let reason = format!("the row has {} cells and the header {}; {fix}", row.len(), header.width);
            return Err(records.refuse(line, code, reason));
        }
        let named = header.kind_of(row, text);
        let kind = if named.is_empty() { records.kind } else { RecordKind::from_name(named) };
        let list = kind.and_then(|kind| list_of(kind).map(|list| (kind, list)));
        let Some((kind, (prefix, list))) = list else {
            let mut json = String::with_capacity(text.len() * 2 + 64);
            columns.write(row, text, &mut json);
            self.broken = None;
            let group = self.group.take();
            let outcome = (line, records.text_record(&json, line, Wording::Cells).map(Some));
            return match group {
                None => Ok(Some(outcome)),
                Some(before) => {
                    self.group = Some(Group::whole(line, json));
                    Ok(Some(before.finish(records)))
                }
            };
        };
        let id = header.id_of(row, text).to_owned();
        let mut head = String::with_capacity(256);
        columns.write_fields(row, text, &mut head, Some(prefix));
        let mut item = String::with_capacity(128);
        let has_item = columns
            .parts
            .iter()
            .find(|part| part.name == prefix)
            .is_some_and(|part| part.write(row, text, &mut item));
        if !has_item {
            item.clear();
        }
        if let Some(group) = &mut self.group
            && group.kind == kind
            && group.id == id
            && !group.list.is_empty()
        {
            group.add(line, &head, &item);
            return Ok(None);
        }
        let mut next = Group { line, kind, id, head, list, items: item, fault: None };
        if let Some(broken) = self.broken.take()
            && broken.id.is_none_or(|id| id == next.id)
        {
            next.lacks(broken.line);
        }
        if self.scattered.is_one(kind, &next.id) {
            next.stands_apart(self.scattered.knows_all());
        }
        let before = self.group.replace(next);
        Ok(before.map(|group| group.finish(records)))
    }
}

impl Group {
    fn whole(line: u64, json: String) -> Self {
        // A record of a flat kind that waits for the group before it to be handed out.
        Self {
            line,
            kind: RecordKind::Snapshot,
            id: String::new(),
            head: json,
            list: "",
            items: String::new(),
            fault: None,
        }
    }

    fn lacks(&mut self, line: u64) {
        self.fault.get_or_insert_with(|| {
            format!(
                "line {line}, beside its rows, is broken and may belong to this {}, which is taken in whole or not at \
                 all; correct that line",
                self.kind.name()
            )
        });
    }

    fn stands_apart(&mut self, from_the_first_row: bool) {
        let kind = self.kind.name();
        let taken_in =
            if from_the_first_row { "" } else { ", and its first ones were taken in as if they were all" };
        self.fault.get_or_insert_with(|| {
            format!(
                "the rows of this {kind} do not stand together{taken_in}; a part of them must not pass for the whole: \
                 sort the table by `id` and send it again"
            )
        });
    }

    fn add(&mut self, line: u64, head: &str, item: &str) {
        if self.fault.is_some() {
            return;
        }
        if head != self.head {
            self.fault = Some(format!(
                "the row on line {line} belongs to the same {} and says something else outside its `{}.` columns; rows of \
                 one {} must agree there",
                self.kind.name(),
                self.list.trim_end_matches('s'),
                self.kind.name()
            ));
        } else if self.items.len() + item.len() > MAX_RECORD_BYTES {
            self.fault = Some("the rows of this record are longer than 8 MiB together; split it".to_owned());
        } else if !item.is_empty() {
            if !self.items.is_empty() {
                self.items.push(',');
            }
            self.items.push_str(item);
        }
    }

    fn finish(self, records: &mut Records) -> (u64, Result<Option<trueup_domain::feed::Record>, Refusal>) {
        if let Some(reason) = self.fault {
            records.refused.insert(self.kind);
            let record = (!self.id.is_empty()).then(|| Box::new((self.kind, self.id)));
            let refused = Refusal { record, ..refusal(&records.file, self.line, REFUSED, reason) };
            return (self.line, Err(refused));
        }
        let json = if self.list.is_empty() {
            self.head
        } else {
            let comma = if self.head.is_empty() { "" } else { "," };
            format!("{{{}{comma}\"{}\":[{}]}}", self.head, self.list, self.items)
        };
        (self.line, records.text_record(&json, self.line, Wording::Cells).map(Some))
    }
}

/// A header row.
pub(crate) fn header_of(row: &Row, text: &str) -> Result<Header, String> {
    let columns = columns_of(row, text)?;
    if !columns.parts.iter().any(|column| KNOWN_COLUMNS.contains(&column.name.as_str())) {
        let first: String = row.cell(text, 0).unwrap_or_default().chars().take(40).collect();
        return Err(format!(
            "the first line, {first:?}, is no record of the feed and names no column of one: a table begins with names such as \
             `type`, `id` and `customer`"
        ));
    }
    let cell = |name: &str| columns.parts.iter().find(|c| c.name == name).and_then(|c| c.cell);
    Ok(Header { id: cell("id"), kind: cell("type"), width: row.len(), columns })
}

/// The columns of a header row.
fn columns_of(row: &Row, text: &str) -> Result<Column, String> {
    let mut root = Column::default();
    let mut seen = HashSet::new();
    for index in 0..row.len() {
        let name = row.cell(text, index).unwrap_or_default().trim();
        if name.is_empty() {
            return Err(format!("column {} of the header has no name; name it or take it out", index + 1));
        }
        if name.contains('\r') {
            return Err("the lines of the table end in a carriage return alone; save it with line feeds (the CSV of a \
                        spreadsheet, not its Macintosh form)"
                .to_owned());
        }
        if !seen.insert(name) {
            return Err(format!("the column `{name}` stands twice in the header; take one out"));
        }
        let steps: Vec<&str> = name.split('.').collect();
        if steps.len() > MAX_DOTS || steps.iter().any(|step| step.is_empty()) {
            return Err(format!("the column `{name}` is no field name; use names such as `period.start`"));
        }
        let mut column = &mut root;
        for step in steps {
            if column.cell.is_some() {
                return Err(clash(name));
            }
            column = column.part(step).ok_or_else(|| clash(name))?;
        }
        if !column.parts.is_empty() {
            return Err(clash(name));
        }
        column.cell = Some(index);
    }
    Ok(root)
}

fn clash(name: &str) -> String {
    format!("the column `{name}` is a field and a part of a field at once; take one out")
}
