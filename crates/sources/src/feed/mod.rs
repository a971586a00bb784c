//! trueup's own feed: NDJSON, a JSON array, or CSV, read as a stream.
//!
//! One broken record is refused with its line, its field and the reason, and the others go on. A snapshot mark is held
//! back until the end of the input: only there it is known that nothing follows it and that nothing it speaks for was
//! refused, and only then a missing record may be taken as gone.

mod csv;
mod detect;
pub(crate) mod once;
mod orders;
mod parties;
pub(crate) mod rows;
mod scattered;
mod subscriptions;
mod usage;

use crate::fields::{self, Fault, INCOMPLETE, REFUSED};
use crate::input::elements::{Around, Elements};
use crate::input::lines::Lines;
use crate::input::{Next, skip_bom};
use crate::json::{Kind, Room, Value};
use crate::refusal;
use scattered::Scattered;
use std::collections::{HashSet, VecDeque};
use std::io::BufRead;
use std::path::PathBuf;
use trueup_domain::feed::{Ext, Record, RecordKind, SnapshotMark};
use trueup_engine::ports::{Refusal, Source};

/// How a feed is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FeedFormat {
    /// Found out from the file's name and its first line.
    #[default]
    Auto,
    /// One JSON object a line.
    Ndjson,
    /// One JSON array of objects.
    Json,
    /// A table with a header row.
    Csv,
}

/// What is known about a feed before it is read.
#[derive(Clone, Debug, Default)]
pub struct FeedOptions {
    /// The name shown in refusals; `-` for standard input.
    pub file_name: String,
    /// The kind of records that name none themselves.
    pub kind: Option<RecordKind>,
    /// How it is written.
    pub format: FeedFormat,
    /// The file that the input is, where it may be opened a second time.
    pub path: Option<PathBuf>,
}

/// Reads a feed record by record.
///
/// The memory used does not depend on the length of the input: a record over 8 MiB is refused and passed over unread.
pub fn read_feed<R: BufRead>(input: R, options: FeedOptions) -> FeedReader<R> {
    FeedReader {
        state: State::Unopened(input),
        records: Records {
            file: options.file_name,
            kind: options.kind,
            room: Room::default(),
            refused: HashSet::new(),
        },
        format: options.format,
        path: options.path,
        buffer: Vec::new(),
        marks: VecDeque::new(),
    }
}

/// The records and refusals of one feed.
pub struct FeedReader<R> {
    state: State<R>,
    records: Records,
    format: FeedFormat,
    path: Option<PathBuf>,
    buffer: Vec<u8>,
    marks: VecDeque<Mark>,
}

/// The most snapshot marks that are held back.
const MAX_MARKS: usize = 1000;

/// A snapshot mark that waits for the end.
struct Mark {
    line: u64,
    mark: SnapshotMark,
    followed: bool,
}

enum State<R> {
    Unopened(R),
    Lines(Lines<R>),
    Elements(Elements<R>),
    Csv(Box<csv::CsvRows<R>>),
    /// Only the marks are left.
    Ended,
}

/// Turns the text of records into records, and remembers of which kinds some were refused.
struct Records {
    file: String,
    kind: Option<RecordKind>,
    room: Room,
    refused: HashSet<RecordKind>,
}

impl<R: BufRead> Iterator for FeedReader<R> {
    type Item = Result<Record, Refusal>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let step = match &mut self.state {
                State::Unopened(_) => match self.open() {
                    Ok(()) => continue,
                    Err(refusal) => Some((0, Err(refusal))),
                },
                State::Lines(lines) => {
                    let next = lines.next_line(&mut self.buffer);
                    self.records.take(next, &self.buffer)
                }
                State::Elements(elements) => {
                    let next = elements.next_element(&mut self.buffer);
                    self.records.take(next, &self.buffer)
                }
                State::Csv(rows) => rows.next_record(&mut self.records),
                State::Ended => return self.next_mark(),
            };
            match step {
                None => self.state = State::Ended,
                Some((line, outcome)) => {
                    if let Some(item) = self.settle(line, outcome) {
                        return Some(item);
                    }
                }
            }
        }
    }
}

/// One step of a reader: the line, and a record, a refusal or (for a blank line) nothing.
type Step = Option<(u64, Result<Option<Record>, Refusal>)>;

impl<R: BufRead> FeedReader<R> {
    fn open(&mut self) -> Result<(), Refusal> {
        let State::Unopened(mut input) = std::mem::replace(&mut self.state, State::Ended) else {
            return Ok(());
        };
        let found =
            skip_bom(&mut input).and_then(|()| detect::layout(&mut input, &self.records.file, self.format));
        let layout = found.map_err(|e| self.records.broken_input(0, &e))?;
        self.state = match layout {
            detect::Layout::Lines => State::Lines(Lines::new(input)),
            detect::Layout::Array => State::Elements(Elements::new(input, Around::Array)),
            detect::Layout::Values => State::Elements(Elements::new(input, Around::Nothing)),
            detect::Layout::Table(delimiter) => {
                let kind = self.records.kind;
                let scattered = match &self.path {
                    Some(path) => Scattered::of_file(path, delimiter, kind),
                    None => Scattered::default(),
                };
                State::Csv(Box::new(csv::CsvRows::new(input, delimiter, scattered)))
            }
        };
        Ok(())
    }

    /// What to hand out for an outcome; nothing for a blank line or a mark that is held back.
    fn settle(
        &mut self,
        line: u64,
        outcome: Result<Option<Record>, Refusal>,
    ) -> Option<Result<Record, Refusal>> {
        match outcome {
            Ok(None) => None,
            Ok(Some(Record::Snapshot(mark))) => {
                if self.marks.len() < MAX_MARKS {
                    self.marks.push_back(Mark { line, mark, followed: false });
                    return None;
                }
                let reason =
                    "the file holds more than a thousand snapshot marks; the last record alone is one";
                Some(Err(refusal(&self.records.file, line, REFUSED, reason.to_owned())))
            }
            Ok(Some(record)) => {
                for mark in &mut self.marks {
                    mark.followed = true;
                }
                Some(Ok(record))
            }
            Err(refusal) => Some(Err(refusal)),
        }
    }

    /// The marks, once everything before and after them is known.
    fn next_mark(&mut self) -> Option<Result<Record, Refusal>> {
        let Mark { line, mark, followed } = self.marks.pop_front()?;
        let refused = |kind: &&RecordKind| self.records.refused.contains(*kind);
        let missing: Vec<&str> = mark.types.iter().filter(refused).map(|kind| kind.name()).collect();
        let reason = if followed {
            "records follow the mark, so the list before it was not the whole; nothing missing is taken as gone. Put the \
             mark last"
                .to_owned()
        } else if mark.complete && !missing.is_empty() {
            format!(
                "the mark says that everything of its types is here, and records of {} were refused; nothing missing is \
                 taken as gone. Correct the refused records and send the file again",
                missing.join(", ")
            )
        } else {
            return Some(Ok(Record::Snapshot(mark)));
        };
        let mut refusal = refusal(&self.records.file, line, INCOMPLETE, reason);
        refusal.field = Some("complete".to_owned());
        Some(Err(refusal))
    }
}

impl<R: BufRead + Send> Source for FeedReader<R> {
    fn next_record(&mut self) -> Option<Result<Record, Refusal>> {
        self.next()
    }
}

impl Records {
    fn broken_input(&mut self, line: u64, error: &std::io::Error) -> Refusal {
        self.refused.extend(RecordKind::ALL);
        let reason = format!("reading stopped: {error}; what came before is taken in. Read the file again");
        refusal(&self.file, line, INCOMPLETE, reason)
    }

    /// Refuses what could not be told to be of any kind.
    fn refuse(&mut self, line: u64, code: &str, reason: String) -> Refusal {
        self.refused.extend(RecordKind::ALL);
        refusal(&self.file, line, code, reason)
    }

    fn take(&mut self, next: std::io::Result<Next>, buffer: &[u8]) -> Step {
        match next {
            Ok(Next::Record(line)) => Some((line, self.record(buffer, line).transpose())),
            Ok(Next::TooLong(line)) => Some((line, Err(self.too_long(line)))),
            Ok(Next::Stray(line)) => {
                let reason =
                    "what stands here is no record of the list; correct the brackets of the file".to_owned();
                Some((line, Err(self.refuse(line, REFUSED, reason))))
            }
            Ok(Next::Cut(line)) => {
                let reason = "the file ends in the middle of the list; send it whole".to_owned();
                Some((line, Err(self.refuse(line, INCOMPLETE, reason))))
            }
            Ok(Next::End) => None,
            Err(error) => Some((0, Err(self.broken_input(0, &error)))),
        }
    }

    fn too_long(&mut self, line: u64) -> Refusal {
        self.refuse(
            line,
            REFUSED,
            "the record is longer than 8 MiB (or has more than 4,096 columns) and is passed over; split it"
                .to_owned(),
        )
    }

    /// The record in these bytes; nothing for a blank line.
    fn record(&mut self, bytes: &[u8], line: u64) -> Option<Result<Record, Refusal>> {
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return None;
        }
        if bytes.contains(&0) {
            let reason = "the record holds a NUL byte, which cannot be stored; write the file again as UTF-8";
            return Some(Err(self.refuse(line, REFUSED, reason.to_owned())));
        }
        Some(match std::str::from_utf8(bytes) {
            Ok(text) => self.text_record(text, line, Wording::Json),
            Err(error) => {
                let reason = format!(
                    "the record is not UTF-8: byte {} of it belongs to no character; write the file again as UTF-8",
                    error.valid_up_to() + 1
                );
                Err(self.refuse(line, REFUSED, reason))
            }
        })
    }

    /// The record in this JSON text, which starts on `line`.
    fn text_record(&mut self, text: &str, line: u64, wording: Wording) -> Result<Record, Refusal> {
        let value = match self.room.parse(text) {
            Ok(value) => value,
            Err(error) => {
                let line = line_of(text, error.at, line);
                let reason =
                    format!("the record is not good JSON at character {}: {}", error.at + 1, error.what);
                return Err(self.refuse(line, REFUSED, reason));
            }
        };
        let value = if wording == Wording::Cells { value.loosely() } else { value };
        let kind = kind_of(value, self.kind);
        match kind.clone().and_then(|kind| read_record(value, kind)) {
            Ok(record) => Ok(record),
            Err(fault) => {
                let record = kind.as_ref().ok().and_then(|kind| named(value, *kind));
                match kind {
                    Ok(kind) => {
                        self.refused.insert(kind);
                    }
                    Err(_) => self.refused.extend(RecordKind::ALL),
                }
                let line = if wording == Wording::Cells { line } else { line_of(text, fault.at, line) };
                let mut refusal = refusal(&self.file, line, fault.code, fault.reason);
                refusal.field = Some(fault.field).filter(|field| !field.is_empty());
                refusal.record = record;
                Err(refusal)
            }
        }
    }
}

/// Where the text of a record comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wording {
    /// JSON, where numbers and text differ.
    Json,
    /// Cells of a table, where everything is text.
    Cells,
}

/// The line of an offset in a record that starts on `first`.
pub(crate) fn line_of(text: &str, at: usize, first: u64) -> u64 {
    let before = text.as_bytes().get(..at).unwrap_or(text.as_bytes());
    first + before.iter().filter(|b| **b == b'\n').count() as u64
}

fn kind_of(value: Value<'_>, default: Option<RecordKind>) -> Result<RecordKind, Fault> {
    if value.kind() != Kind::Object {
        return Err(Fault::of(
            value,
            format!("a record must be an object, and here is {}", value.kind().shown()),
        ));
    }
    let Some(named) = value.get("type") else {
        return default.ok_or_else(|| {
            Fault::of(
                value,
                "the record does not say what it is; add a `type`, or name the kind of the whole file",
            )
            .under("type")
        });
    };
    named.as_text().and_then(|word| RecordKind::from_name(&word)).ok_or_else(|| {
        let known: Vec<&str> = RecordKind::ALL.iter().map(|kind| kind.name()).collect();
        let reason =
            format!("{} is no type of record; use one of: {}", fields::shown(named), known.join(", "));
        Fault::of(named, reason).under("type")
    })
}

/// Kind and id of a record, where it tells an id that a record can have.
fn named(value: Value<'_>, kind: RecordKind) -> Option<Box<(RecordKind, String)>> {
    let id = fields::id(value.get("id")?).ok()?;
    Some(Box::new((kind, id)))
}

/// Reads a record of a kind; what it does not know goes to `ext`.
pub(crate) fn read_record(value: Value<'_>, kind: RecordKind) -> Result<Record, Fault> {
    let mut record = match kind {
        RecordKind::Organization => Record::Organization(parties::organization(value)?),
        RecordKind::Customer => Record::Customer(parties::customer(value)?),
        RecordKind::Contact => Record::Contact(parties::contact(value)?),
        RecordKind::Product => Record::Product(parties::product(value)?),
        RecordKind::Subscription => Record::Subscription(subscriptions::subscription(value)?),
        RecordKind::Order => Record::Order(orders::order(value)?),
        RecordKind::Usage => Record::Usage(usage::usage(value)?),
        RecordKind::Counter => Record::Counter(usage::counter(value)?),
        RecordKind::Invoice => Record::Invoice(usage::invoice(value)?),
        RecordKind::Payment => Record::Payment(usage::payment(value)?),
        RecordKind::Alert => Record::Alert(usage::alert(value)?),
        RecordKind::Snapshot => Record::Snapshot(usage::snapshot(value)?),
    };
    fields::keep_unknown(value, ext_of(&mut record))?;
    Ok(record)
}

/// Where a record keeps what nobody knows.
pub(crate) fn ext_of(record: &mut Record) -> &mut Ext {
    match record {
        Record::Organization(r) => &mut r.ext,
        Record::Customer(r) => &mut r.ext,
        Record::Contact(r) => &mut r.ext,
        Record::Product(r) => &mut r.ext,
        Record::Subscription(r) => &mut r.ext,
        Record::Order(r) => &mut r.ext,
        Record::Usage(r) => &mut r.ext,
        Record::Counter(r) => &mut r.ext,
        Record::Invoice(r) => &mut r.ext,
        Record::Payment(r) => &mut r.ext,
        Record::Alert(r) => &mut r.ext,
        Record::Snapshot(r) => &mut r.ext,
    }
}

/// Reads every item of a list, with the item's place in the path of a fault.
fn each<T>(
    list: Value<'_>,
    name: &str,
    read: impl Fn(Value<'_>) -> Result<T, Fault>,
) -> Result<Vec<T>, Fault> {
    let mut items = Vec::with_capacity(2);
    for (index, item) in list.children().enumerate() {
        items.push(read(item).map_err(|fault| fault.under(&format!("{name}[{index}]")))?);
    }
    Ok(items)
}

/// Refuses a list in which two items have one id.
fn unique<'a>(list: Value<'_>, name: &str, ids: impl Iterator<Item = &'a str> + Clone) -> Result<(), Fault> {
    let repeated = |index: usize, id: &str| {
        let reason = format!("the id `{id}` stands twice in `{name}`; every line needs one of its own");
        let at = list.children().nth(index).unwrap_or(list);
        Fault::of(at, reason).under(&format!("{name}[{index}].id"))
    };
    let mut seen: HashSet<&str> = HashSet::new();
    let many = ids.clone().nth(8).is_some();
    for (index, id) in ids.clone().enumerate() {
        // A few ids are compared faster than they are hashed.
        let double = if many { !seen.insert(id) } else { ids.clone().take(index).any(|other| other == id) };
        if double {
            return Err(repeated(index, id));
        }
    }
    Ok(())
}
