//! One way through the files, by several threads.

use super::blocks::{Block, Blocks, Step};
use super::ends::Ends;
use super::groups::{Groups, PARTS, Waiting, Way, part_of};
use super::line::{Columns, Desk, Use, of_record};
use super::out_of_range;
use super::plain;
use super::repeats::{Met, Prints, Replacing};
use crate::feed::rows::{OpenTable, RowReader, open_table};
use crate::feed::{FeedFormat, FeedOptions, read_feed};
use crate::fields::{INCOMPLETE, REFUSED};
use crate::input::{self, MAX_RECORD_BYTES, shown_name};
use crate::refusal;
use hashbrown::{DefaultHashBuilder, HashSet};
use std::hash::{BuildHasher, Hasher};
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use trueup_domain::feed::{Record, RecordKind, UsageRecord};
use trueup_domain::money::MoneyError;
use trueup_engine::ports::Refusal;

/// A place is the number of the file, and the line in it.
pub(super) const LINE_BITS: u32 = 40;
pub(super) const LINES: u64 = (1 << LINE_BITS) - 1;

/// Threads at most: they take turns at reading.
const MOST_THREADS: usize = 8;

/// Whoever takes the lines.
pub(super) trait Take: Send {
    /// Takes a line whose id has this hash.
    fn take(&mut self, line: &Use<'_>, place: u64, id: u64, key: Hashed<'_>) -> Result<(), MoneyError>;

    /// Called when there are no more lines.
    fn rest(&mut self) -> Result<(), MoneyError> {
        Ok(())
    }
}

/// The key of a line, and its hash.
#[derive(Clone, Copy)]
pub(super) struct Hashed<'a> {
    pub(super) key: &'a [u8],
    pub(super) hash: u64,
}

/// What a way through the files gave.
pub(super) struct Read<T> {
    pub(super) refused: Vec<(u64, Refusal)>,
    /// Columns that are not summed, by file.
    pub(super) unknown: Vec<(String, Vec<String>)>,
    pub(super) takers: Vec<T>,
}

/// A way through files.
pub(super) struct Pass<'a> {
    pub(super) files: &'a [PathBuf],
    pub(super) all_usage: bool,
    pub(super) hasher: &'a DefaultHashBuilder,
}

/// One thread's part of it.
struct Worker<'p, T> {
    pass: &'p Pass<'p>,
    file: u64,
    name: &'p str,
    taker: &'p mut T,
    /// The key of the line at hand: memory for it is asked for once.
    key: Vec<u8>,
    refused: Vec<(u64, Refusal)>,
}

type Failed = Box<Refusal>;

/// What one thread refused, and from which line on rows go over several lines.
type Went = (Vec<(u64, Refusal)>, Option<u64>);

impl Pass<'_> {
    pub(super) fn hash(&self, bytes: &[u8]) -> u64 {
        let mut hash = self.hasher.build_hasher();
        hash.write(bytes);
        hash.finish()
    }

    /// Goes through all files; each thread takes with a taker of its own.
    pub(super) fn run<T: Take>(&self, mut taker: impl FnMut() -> T) -> Result<Read<T>, Failed> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS);
        let mut takers: Vec<T> = (0..threads).map(|_| taker()).collect();
        let (mut refused, mut unknown) = (Vec::new(), Vec::new());
        for (at, path) in self.files.iter().enumerate() {
            let name = shown_name(path);
            let table = open_table(path, &name).map_err(|error| broken(&name, &error))?;
            let columns =
                table.as_ref().and_then(|table| Columns::of(&table.names, table.delimiter, self.all_usage));
            let file = (at as u64) << LINE_BITS;
            match (table, columns) {
                (Some(table), Some(columns)) => {
                    if !columns.unknown.is_empty() {
                        unknown.push((name.clone(), columns.unknown.clone()));
                    }
                    refused.extend(self.through_table(table, &columns, (file, &name), &mut takers)?);
                }
                (Some(_) | None, _) => {
                    let Some(taker) = takers.first_mut() else { continue };
                    let mut worker = Worker::new(self, file, &name, taker);
                    worker.through_feed(path)?;
                    refused.append(&mut worker.refused);
                }
            }
        }
        Ok(Read { refused, unknown, takers })
    }

    fn through_table<T: Take>(
        &self,
        table: OpenTable,
        columns: &Columns,
        (file, name): (u64, &str),
        takers: &mut [T],
    ) -> Result<Vec<(u64, Refusal)>, Failed> {
        let OpenTable { input, delimiter, header, next_line, .. } = table;
        let reader = || {
            let kind = self.all_usage.then_some(RecordKind::Usage);
            RowReader::new(std::sync::Arc::clone(&header), delimiter, name, kind)
        };
        let blocks = Mutex::new(Blocks::new(input, next_line, delimiter));
        let outcomes: Vec<Result<Went, Failed>> = std::thread::scope(|scope| {
            let threads: Vec<_> = takers
                .iter_mut()
                .map(|taker| {
                    let (blocks, rows) = (&blocks, reader());
                    scope.spawn(move || {
                        let mut worker = Worker::new(self, file, name, taker);
                        let from = worker.through_blocks(blocks, columns, rows)?;
                        Ok((worker.refused, from))
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        });
        let (mut refused, mut left) = (Vec::new(), None);
        for outcome in outcomes {
            let (more, from) = outcome?;
            refused.extend(more);
            left = left.or(from);
        }
        if let Some(first_line) = left
            && let Some(taker) = takers.first_mut()
        {
            let blocks = blocks.into_inner().unwrap_or_else(PoisonError::into_inner);
            let mut worker = Worker::new(self, file, name, taker);
            worker.through_rest(blocks, first_line, reader())?;
            refused.append(&mut worker.refused);
        }
        Ok(refused)
    }
}

impl<'p, T: Take> Worker<'p, T> {
    fn new(pass: &'p Pass<'p>, file: u64, name: &'p str, taker: &'p mut T) -> Self {
        Self { pass, file, name, taker, key: Vec::new(), refused: Vec::new() }
    }

    /// Takes blocks until there are none; tells from which line on the rows go over several lines.
    fn through_blocks(
        &mut self,
        blocks: &Mutex<Blocks>,
        columns: &Columns,
        mut rows: RowReader,
    ) -> Result<Option<u64>, Failed> {
        let (mut block, mut desk) = (Block::default(), Desk::default());
        loop {
            let step = {
                let mut blocks = blocks.lock().unwrap_or_else(PoisonError::into_inner);
                blocks.next_rows(&mut block).map_err(|error| broken(self.name, &error))?
            };
            match step {
                Step::End => return self.at_end(None),
                Step::Scattered(line) => return self.at_end(Some(line)),
                Step::Rows { first, has_quotes } => {
                    desk.has_quotes = has_quotes;
                    self.block(block.rows(), first, columns, &mut desk, &mut rows)?;
                }
            }
        }
    }

    fn at_end(&mut self, left: Option<u64>) -> Result<Option<u64>, Failed> {
        self.taker.rest().map_err(|error| out_of_range(&error))?;
        Ok(left)
    }

    fn block(
        &mut self,
        buffer: &[u8],
        first: u64,
        columns: &Columns,
        desk: &mut Desk,
        rows: &mut RowReader,
    ) -> Result<(), Failed> {
        let is_clean = plain::is_ascii_text(buffer)
            || (std::str::from_utf8(buffer).is_ok() && memchr::memchr(0, buffer).is_none());
        let (mut from, mut line) = (0, first);
        let mut ends = Ends::of(buffer, columns.delimiter);
        while from < buffer.len() {
            let end = desk.cells.take(buffer, from, &mut ends);
            let row = buffer.get(from..end).unwrap_or_default();
            let bare = row.strip_suffix(b"\r").unwrap_or(row);
            // Of a row that may be too long for a record the feed's reader knows.
            let is_plain = is_clean && bare.len() < MAX_RECORD_BYTES / 2;
            let read = if is_plain { columns.read(bare, self.pass.all_usage, desk) } else { None };
            match read {
                Some(found) => self.hand_on(&found, line).map_err(|error| out_of_range(&error))?,
                None => {
                    let mut outcome = None;
                    rows.read(row, line, |_, found| outcome = Some(found));
                    if let Some(found) = outcome {
                        self.record(found, line)?;
                    }
                }
            }
            from = end + 1;
            line += 1;
        }
        Ok(())
    }

    fn hand_on(&mut self, found: &Use<'_>, line: u64) -> Result<(), MoneyError> {
        found.names.write(&mut self.key);
        let key = Hashed { key: &self.key, hash: self.pass.hash(&self.key) };
        self.taker.take(found, self.file | (line & LINES), self.pass.hash(found.id), key)
    }

    fn record(&mut self, found: Result<Record, Refusal>, line: u64) -> Result<(), Failed> {
        match found {
            Ok(Record::Usage(usage)) => self.usage(&usage, line),
            Ok(other) => {
                let kind = other.kind().name();
                let reason =
                    format!("a {kind} is no usage, and usage alone can be summed; take it in without that");
                self.refused.push((self.file | line, refusal(self.name, line, REFUSED, reason)));
                Ok(())
            }
            Err(refusal) => {
                self.refused.push((self.file | line, refusal));
                Ok(())
            }
        }
    }

    fn usage(&mut self, usage: &UsageRecord, line: u64) -> Result<(), Failed> {
        match of_record(usage) {
            Ok(found) => self.hand_on(&found, line).map_err(|error| out_of_range(&error)),
            Err(error) => {
                let reason = format!("price times quantity cannot be kept: {error}; correct the line");
                self.refused.push((self.file | line, refusal(self.name, line, "TU5004", reason)));
                Ok(())
            }
        }
    }

    /// Rows that may go over several lines, one after the other.
    fn through_rest(&mut self, blocks: Blocks, first_line: u64, mut rows: RowReader) -> Result<(), Failed> {
        let mut failed = None;
        rows.read(BufReader::new(blocks.into_rest()), first_line, |line, found| {
            if failed.is_none() {
                failed = self.record(found, line).err();
            }
        });
        self.conclude(failed)
    }

    /// A file that is no table, or whose header has to be refused.
    fn through_feed(&mut self, path: &Path) -> Result<(), Failed> {
        let input = input::open(path).map_err(|error| broken(self.name, &error))?;
        let options = FeedOptions {
            file_name: self.name.to_owned(),
            kind: self.pass.all_usage.then_some(RecordKind::Usage),
            format: FeedFormat::Auto,
            path: None,
        };
        let mut failed = None;
        for (number, found) in read_feed(input, options).enumerate() {
            let line = match &found {
                Ok(_) => number as u64 + 1,
                Err(refusal) => refusal.line,
            };
            failed = self.record(found, line).err();
            if failed.is_some() {
                break;
            }
        }
        self.conclude(failed)
    }

    fn conclude(&mut self, failed: Option<Failed>) -> Result<(), Failed> {
        if let Some(failed) = failed {
            return Err(failed);
        }
        // Reading that stopped is told without a line.
        if let Some((_, stopped)) =
            self.refused.iter().find(|(_, one)| one.line == 0 && one.code == INCOMPLETE)
        {
            return Err(Box::new(stopped.clone()));
        }
        self.taker.rest().map_err(|error| out_of_range(&error))
    }
}

fn broken(name: &str, error: &std::io::Error) -> Failed {
    let reason = format!("reading stopped: {error}; nothing of it is summed. Read the file again");
    Box::new(refusal(name, 0, INCOMPLETE, reason))
}

/// Adds lines up. Those of two threads lie side by side and each counts every line: on a line of the cache that they
/// shared they would wait for one another. Two lines, since processors fetch them in pairs.
#[repr(align(128))]
pub(super) struct Adding<'g> {
    groups: &'g Groups,
    /// Lines that wait until there are some of their part.
    waiting: Vec<Waiting>,
    prints: Prints,
    replacing: Vec<Replacing>,
    lines: u64,
}

impl<'g> Adding<'g> {
    pub(super) fn new(groups: &'g Groups) -> Self {
        let waiting = (0..PARTS).map(|_| Waiting::default()).collect();
        Self { groups, waiting, prints: Prints::new(), replacing: Vec::new(), lines: 0 }
    }

    pub(super) fn finish(self) -> (u64, Prints, Vec<Replacing>) {
        (self.lines, self.prints, self.replacing)
    }
}

impl Take for Adding<'_> {
    fn take(&mut self, line: &Use<'_>, place: u64, id: u64, key: Hashed<'_>) -> Result<(), MoneyError> {
        self.lines += 1;
        self.prints.add(id);
        if !line.replaces.is_empty() {
            let replaced = String::from_utf8_lossy(line.replaces).into_owned();
            self.replacing.push(Replacing { place, replaced });
        }
        if line.odd.is_some() {
            return self.groups.take(Way::Add, key.key, (key.hash, place), &line.share, line.odd);
        }
        let part = part_of(key.hash);
        let Some(waiting) = self.waiting.get_mut(part) else { return Ok(()) };
        waiting.push(key, place, &line.share);
        if waiting.is_full() {
            self.groups.add(part, waiting)?;
            waiting.clear();
        }
        Ok(())
    }

    fn rest(&mut self) -> Result<(), MoneyError> {
        for (part, waiting) in self.waiting.iter_mut().enumerate() {
            self.groups.add(part, waiting)?;
            waiting.clear();
        }
        Ok(())
    }
}

/// Looks for lines by the hashes of their ids.
pub(super) struct Looking<'w> {
    wanted: &'w HashSet<u64>,
    met: Vec<Met>,
}

impl<'w> Looking<'w> {
    pub(super) fn new(wanted: &'w HashSet<u64>) -> Self {
        Self { wanted, met: Vec::new() }
    }

    pub(super) fn finish(self) -> Vec<Met> {
        self.met
    }
}

impl Take for Looking<'_> {
    fn take(&mut self, line: &Use<'_>, place: u64, id: u64, key: Hashed<'_>) -> Result<(), MoneyError> {
        if self.wanted.contains(&id) {
            let (id, hash, key) = (line.id.to_vec(), key.hash, key.key.to_vec());
            self.met.push(Met { id, place, hash, key, share: line.share, odd: line.odd });
        }
        Ok(())
    }
}
