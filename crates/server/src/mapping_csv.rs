//! Mappings as CSV: `kind,source_id,psa_id,scope,options`. Only the form is judged here.
//!
//! Cells that a spreadsheet would run as a formula are written with a leading apostrophe, and read without it.

use jiff::civil::Date;
use std::cell::RefCell;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, BufRead, BufReader, Read};
use std::rc::Rc;
use trueup_domain::finding::Code;
use trueup_domain::ids::SourceId;
use trueup_domain::mapping::{Mapping, MappingKind, MappingOrigin};
use trueup_domain::period::{BillingCycle, CycleUnit};
use trueup_engine::ports::Refusal;

/// The columns, in the order in which they are written.
pub const HEADER: [&str; 5] = ["kind", "source_id", "psa_id", "scope", "options"];

/// More than a million mappings need. What is longer is no such file, or has a quote that is never closed.
const MAX_FILE_BYTES: u64 = 64 * 1024 * 1024;

/// The longest row: ids, scope and options are short.
const MAX_ROW_BYTES: usize = 64 * 1024;

/// The longest id of a feed: a longer one maps nothing.
const MAX_ID_CHARS: usize = 200;

/// What is told of a broken row.
const MAX_REASON: usize = 400;

/// Mappings read from a file, and the rows that were refused.
#[derive(Debug, Default)]
pub struct Parsed {
    /// Mappings.
    pub mappings: Vec<Mapping>,
    /// Refused rows.
    pub refused: Vec<Refusal>,
}

/// What is wrong with a row: the field, and the reason.
type Fault = (Option<&'static str>, String);

/// What parts the cells, by the header: a comma, else what spreadsheets write where the comma is in numbers.
fn separator_of(input: &mut impl BufRead) -> u8 {
    // What cannot be read is told by whoever reads the rows.
    let begin = input.fill_buf().unwrap_or_default();
    let header = begin.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let found = [b',', b';', b'\t'].into_iter().find(|separator| header.contains(separator));
    found.unwrap_or(b',')
}

/// The lines with something in them that were read and not asked for yet: the byte on which each begins, and its number.
type Begun = Rc<RefCell<VecDeque<(u64, u64)>>>;

/// Counts lines as they are read. The table's reader says where it began to look for a row: with line ends of two bytes, or
/// after blank lines, that is a line before it.
struct Lines<R> {
    input: R,
    begun: Begun,
    byte: u64,
    line: u64,
    is_blank: bool,
}

impl<R: Read> Read for Lines<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        for byte in buffer.iter().take(read) {
            match byte {
                b'\n' => (self.line, self.is_blank) = (self.line + 1, true),
                b'\r' => {}
                _ if self.is_blank => {
                    self.begun.borrow_mut().push_back((self.byte, self.line));
                    self.is_blank = false;
                }
                _ => {}
            }
            self.byte += 1;
        }
        Ok(read)
    }
}

/// The line of the row that begins at or after a position; each is asked for once, in order.
fn line_of(begun: &Begun, position: Option<&csv::Position>) -> u64 {
    let from = position.map_or(0, csv::Position::byte);
    let mut begun = begun.borrow_mut();
    while begun.front().is_some_and(|(byte, _)| *byte < from) {
        begun.pop_front();
    }
    begun.front().map_or(0, |(_, line)| *line)
}

/// Reads a file. Every bad row is refused with line, field and reason; the others are taken.
pub fn parse(input: impl Read, file: &str, source: &SourceId) -> Parsed {
    let mut limited = BufReader::new(input.take(MAX_FILE_BYTES));
    let separator = separator_of(&mut limited);
    let begun = Begun::default();
    let lines = Lines { input: limited, begun: Rc::clone(&begun), byte: 0, line: 1, is_blank: true };
    let mut builder = csv::ReaderBuilder::new();
    let mut reader = builder.delimiter(separator).flexible(true).trim(csv::Trim::All).from_reader(lines);
    let mut parsed = Parsed::default();
    let refuse = |line: u64, (field, reason): Fault| Refusal {
        file: file.to_owned(),
        line,
        field: field.map(str::to_owned),
        record: None,
        reason: match reason.char_indices().nth(MAX_REASON) {
            Some((end, _)) => format!("{} ...", &reason[..end]),
            None => reason,
        },
        code: Code::Tu8004.to_string(),
        warning: false,
    };
    let columns = match reader
        .headers()
        .map_err(|error| match error.kind() {
            csv::ErrorKind::Utf8 { .. } => "the file is not UTF-8; save it as UTF-8".to_owned(),
            _ => error.to_string(), // open set: the library's own
        })
        .and_then(columns_of)
    {
        Ok(columns) => columns,
        Err(reason) => {
            parsed.refused.push(refuse(1, (None, reason)));
            return parsed;
        }
    };
    // The line of the first row about each record, and its place.
    let mut seen: BTreeMap<(MappingKind, String, String), (u64, usize)> = BTreeMap::new();
    for row in reader.records() {
        match row {
            Ok(row) => {
                let line = line_of(&begun, row.position());
                if row.iter().all(str::is_empty) {
                    continue;
                }
                if row.iter().skip(columns.width).any(|cell| !cell.is_empty()) {
                    let reason =
                        "the row has more cells than the header; quote cells that hold a comma".to_owned();
                    parsed.refused.push(refuse(line, (None, reason)));
                    continue;
                }
                if row.as_slice().len() > MAX_ROW_BYTES {
                    let reason = "the row is longer than 64 KiB: a quote may never be closed".to_owned();
                    parsed.refused.push(refuse(line, (None, reason)));
                    continue;
                }
                let mapping = match mapping_of(&row, &columns, source) {
                    Ok(mapping) => mapping,
                    Err(fault) => {
                        parsed.refused.push(refuse(line, fault));
                        continue;
                    }
                };
                match seen.entry((mapping.kind, mapping.source_id.clone(), mapping.scope.clone())) {
                    Entry::Vacant(free) => {
                        free.insert((line, parsed.mappings.len()));
                        parsed.mappings.push(mapping);
                    }
                    Entry::Occupied(taken) => {
                        let (earlier, at) = *taken.get();
                        if let Some(first) = parsed.mappings.get_mut(at)
                            && let Err(fault) = twice(first, earlier, mapping)
                        {
                            parsed.refused.push(refuse(line, fault));
                        }
                    }
                }
            }
            Err(error) => {
                let line = line_of(&begun, error.position());
                let reason = match error.kind() {
                    csv::ErrorKind::Utf8 { .. } => "the row is not UTF-8; save the file as UTF-8".to_owned(),
                    _ => format!("the row cannot be read: {error}"), // open set: the library's own
                };
                parsed.refused.push(refuse(line, (None, reason)));
            }
        }
    }
    let line = reader.position().line();
    if reader.into_inner().input.into_inner().limit() == 0 {
        let reason = "the file is longer than 64 MiB, and what follows is not read; split it".to_owned();
        parsed.refused.push(refuse(line, (None, reason)));
    }
    parsed
}

/// A second row about one record: several additions may bill one line together; everything else says the same again, with
/// other options where it has them, or contradicts the first row.
fn twice(first: &mut Mapping, line: u64, again: Mapping) -> Result<(), Fault> {
    if first.join(&again) {
        return Ok(());
    }
    if first.psa_id != again.psa_id {
        return Err((
            Some("source_id"),
            format!("line {line} maps the same record to something else; keep one of the two"),
        ));
    }
    *first = again;
    Ok(())
}

/// Where each column of the file stands.
struct Columns {
    at: [Option<usize>; 5],
    width: usize,
}

fn columns_of(header: &csv::StringRecord) -> Result<Columns, String> {
    let names: Vec<String> =
        header.iter().map(|name| name.trim_start_matches('\u{feff}').trim().to_ascii_lowercase()).collect();
    if let Some(unknown) = names.iter().find(|n| !HEADER.contains(&n.as_str())) {
        return Err(format!("the header names a column `{unknown}`; it must be {}", HEADER.join(",")));
    }
    let at = HEADER.map(|name| names.iter().position(|n| n == name));
    for (name, position) in HEADER.iter().zip(at).take(3) {
        if position.is_none() {
            return Err(format!("the header lacks the column `{name}`; it must be {}", HEADER.join(",")));
        }
    }
    Ok(Columns { at, width: names.len() })
}

fn mapping_of(row: &csv::StringRecord, columns: &Columns, source: &SourceId) -> Result<Mapping, Fault> {
    let cells = columns.at.map(|at| at.and_then(|at| row.get(at)).unwrap_or_default());
    if let Some((name, _)) = HEADER.into_iter().zip(cells).find(|(_, cell)| cell.contains('\0')) {
        return Err((Some(name), "it holds the character NUL, which no text has".into()));
    }
    let [kind, source_id, psa_id, scope, options] = cells.map(plain);
    let kind = MappingKind::from_name(&kind).ok_or_else(|| {
        let all: Vec<&str> = MappingKind::ALL.iter().map(|k| k.name()).collect();
        (Some("kind"), format!("`{kind}` is no kind of mapping; use one of {}", all.join(", ")))
    })?;
    check_source_id(kind, &source_id)?;
    check_scope(kind, &scope)?;
    let options = options_of(kind, &options)?;
    let psa_id = psa_id_of(kind, &psa_id, &options)?;
    Ok(Mapping {
        kind,
        source: source.clone(),
        source_id,
        psa_id,
        scope,
        options,
        origin: MappingOrigin::Person,
    })
}

/// Without the apostrophe that keeps a spreadsheet from running the cell.
fn plain(cell: &str) -> String {
    match cell.strip_prefix('\'') {
        Some(rest) if needs_quote(rest) => rest.to_owned(),
        Some(_) | None => cell.to_owned(),
    }
}

fn starts_formula(text: &str) -> bool {
    text.starts_with(['=', '+', '-', '@', '\t', '\r'])
}

/// Also a cell that looks quoted already is quoted, so that it is read back as it is.
fn needs_quote(text: &str) -> bool {
    starts_formula(text.trim_start_matches('\''))
}

fn check_source_id(kind: MappingKind, id: &str) -> Result<(), Fault> {
    let bad = |reason: String| Err((Some("source_id"), reason));
    if id.is_empty() {
        return bad("the id at the source is missing".into());
    }
    let parts = id.strip_prefix("subscription:").filter(|_| kind == MappingKind::Addition).unwrap_or(id);
    let parts = parts.strip_prefix("customer:").filter(|_| kind == MappingKind::Agreement).unwrap_or(parts);
    let longest = match kind {
        MappingKind::Addition => {
            parts.split_once('/').map_or(0, |(s, p)| s.chars().count().max(p.chars().count()))
        }
        MappingKind::Customer | MappingKind::Product | MappingKind::Agreement | MappingKind::Fee => {
            parts.chars().count()
        }
    };
    if longest > MAX_ID_CHARS {
        return bad(format!("an id at the source has at most {MAX_ID_CHARS} characters"));
    }
    match kind {
        MappingKind::Customer | MappingKind::Product => Ok(()),
        MappingKind::Agreement if id.strip_prefix("customer:").is_some_and(str::is_empty) => {
            bad("`customer:` names no customer; write customer:ID".into())
        }
        MappingKind::Agreement => Ok(()),
        MappingKind::Fee if id == "cancellation" => Ok(()),
        MappingKind::Fee => bad(format!("`{id}` is no fee; the fee is called cancellation")),
        MappingKind::Addition => {
            let parts = id.strip_prefix("subscription:").and_then(|rest| rest.split_once('/'));
            match parts {
                Some((subscription, product)) if !subscription.is_empty() && !product.is_empty() => Ok(()),
                Some(_) | None => bad(format!("`{id}` names no line; write subscription:ID/PRODUCT")),
            }
        }
    }
}

fn check_scope(kind: MappingKind, scope: &str) -> Result<(), Fault> {
    let bad = |reason: String| Err((Some("scope"), reason));
    if scope.is_empty() {
        return Ok(());
    }
    if kind != MappingKind::Product {
        return bad(format!("a mapping of kind {} has no scope", kind.name()));
    }
    match scope.strip_prefix("cycle:") {
        Some(cycle) if cycle_of(cycle).is_none() => {
            bad(format!("`{scope}` is no billing cycle; write for example cycle:1-month"))
        }
        Some(_) | None => Ok(()),
    }
}

fn cycle_of(text: &str) -> Option<BillingCycle> {
    let (every, unit) = text.split_once('-')?;
    let unit = [CycleUnit::Day, CycleUnit::Week, CycleUnit::Month, CycleUnit::Year]
        .into_iter()
        .find(|u| u.name() == unit)?;
    BillingCycle::new(every.parse().ok()?, unit).ok()
}

fn options_of(kind: MappingKind, text: &str) -> Result<BTreeMap<String, String>, Fault> {
    let bad = |reason: String| Err((Some("options"), reason));
    let mut options = BTreeMap::new();
    for pair in text.split(';').map(str::trim).filter(|pair| !pair.is_empty()) {
        let Some((key, value)) = pair.split_once('=').map(|(k, v)| (k.trim(), v.trim())) else {
            return bad(format!("`{pair}` is not key=value"));
        };
        match (key, kind) {
            ("do_not_bill", MappingKind::Customer | MappingKind::Product) if value.is_empty() => {
                return bad("do_not_bill needs a reason: do_not_bill=REASON".into());
            }
            ("do_not_bill", MappingKind::Customer | MappingKind::Product) => {}
            ("until" | "billed_from", MappingKind::Customer | MappingKind::Product)
                if value.parse::<Date>().is_err() =>
            {
                return bad(format!("`{value}` is no day; write {key}=YYYY-MM-DD"));
            }
            ("until" | "billed_from", MappingKind::Customer | MappingKind::Product) => {}
            ("proration", MappingKind::Agreement) if positive(value).is_none() => {
                return bad(format!("`{value}` is no agreement id; write proration=ID"));
            }
            ("proration", MappingKind::Agreement) => {}
            ("with", MappingKind::Addition) if value.split(' ').any(|id| positive(id).is_none()) => {
                return bad(format!("`{value}` are no additions; write with=312 313, or a row for each"));
            }
            ("with", MappingKind::Addition) => {}
            ("auto_sync", MappingKind::Customer) if matches!(value, "on" | "off") => {}
            ("auto_sync", MappingKind::Customer) => {
                return bad(format!("`{value}` is neither on nor off; write auto_sync=on or auto_sync=off"));
            }
            _ => return bad(format!("a mapping of kind {} has no option `{key}`", kind.name())), // open set: text
        }
        options.insert(key.to_owned(), value.to_owned());
    }
    if options.contains_key("until") && !options.contains_key("do_not_bill") {
        return bad("until is the last day of do_not_bill; write do_not_bill=REASON;until=YYYY-MM-DD".into());
    }
    Ok(options)
}

fn positive(text: &str) -> Option<i64> {
    text.parse::<i64>().ok().filter(|id| *id > 0)
}

fn psa_id_of(
    kind: MappingKind,
    text: &str,
    options: &BTreeMap<String, String>,
) -> Result<Option<i64>, Fault> {
    let bad = |reason: String| Err((Some("psa_id"), reason));
    // With a last day the id says what it is billed as afterwards.
    let not_billed = options.contains_key("do_not_bill");
    let for_ever = not_billed && !options.contains_key("until");
    match (text.is_empty(), positive(text)) {
        (true, _) if not_billed => Ok(None),
        (true, _) if kind == MappingKind::Agreement && options.contains_key("proration") => {
            bad("the agreement's id is missing beside its agreement for proration".into())
        }
        (true, _) => bad("the id in ConnectWise is missing".into()),
        (false, Some(_)) if for_ever => bad(
            "do_not_bill and an id contradict each other; leave psa_id empty, or add until=YYYY-MM-DD, after \
             which it is billed as that"
                .into(),
        ),
        (false, Some(id)) => Ok(Some(id)),
        (false, None) => bad(format!("`{text}` is no id in ConnectWise: a whole number above 0")),
    }
}

/// Writes mappings.
///
/// # Errors
/// Where a row cannot be written, which memory does not refuse.
pub fn write<'a>(mappings: impl IntoIterator<Item = &'a Mapping>) -> Result<String, csv::Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(HEADER)?;
    for mapping in mappings {
        let options: Vec<String> = mapping.options.iter().map(|(k, v)| format!("{k}={v}")).collect();
        writer.write_record([
            mapping.kind.name(),
            &safe(&mapping.source_id),
            &mapping.psa_id.map(|id| id.to_string()).unwrap_or_default(),
            &safe(&mapping.scope),
            &safe(&options.join(";")),
        ])?;
    }
    let bytes = writer.into_inner().map_err(|e| csv::Error::from(e.into_error()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A cell that no spreadsheet runs as a formula.
pub fn safe(cell: &str) -> String {
    if needs_quote(cell) { format!("'{cell}") } else { cell.to_owned() }
}

#[cfg(test)]
mod tests;
