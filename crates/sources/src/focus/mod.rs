//! FOCUS 1.0 (FinOps Open Cost and Usage Specification): cloud bills as CSV, one charge a row.
//!
//! | FOCUS | feed |
//! |---|---|
//! | SubAccountId, SubAccountName, BillingCurrency | customer (the billing account, where a charge has no sub account) |
//! | ProviderName + ServiceName | product |
//! | BillingAccountId + SubAccountId + ProviderName + ServiceName | subscription, rated externally, monthly |
//! | the same in one billing period | billing order with one line: the exact sums of BilledCost and EffectiveCost |
//!
//! Rows are read as a stream and only the sums are kept. Published bills are full of small faults that do not touch the
//! amount: such a row is taken in and reported as a warning. A row without a usable amount is refused, and its order
//! gets the status `incomplete`, so that a part of a bill is not taken for the whole. A file of the very same content as one
//! before it in the same import is left out, with a warning: its rows have no ids, and would count twice.

mod groups;
mod once;
mod rows;

use crate::fields::{INCOMPLETE, REFUSED};
use crate::input::table::Table;
use crate::input::{self, Input, Next};
use crate::refusal;
use groups::Groups;
use once::{Once, Opened};
use rows::{Columns, Row};
use std::collections::VecDeque;
use std::path::PathBuf;
use tempfile::NamedTempFile;
use trueup_domain::feed::Record;
use trueup_engine::ports::Refusal;

/// The code of a file that is left out.
const DUPLICATE: &str = "TU8004";

/// The records of one bill, which may come in several files.
pub(crate) struct FocusReader {
    files: VecDeque<PathBuf>,
    once: Once,
    current: Option<Current>,
    groups: Groups,
    room: crate::json::Room,
    results: Option<std::vec::IntoIter<Result<Record, Refusal>>>,
}

struct Current {
    name: String,
    table: Table<Input>,
    columns: Option<Columns>,
    /// What goes once the file was read.
    _kept: Option<NamedTempFile>,
}

impl FocusReader {
    pub(crate) fn new(files: &[PathBuf]) -> Self {
        Self {
            files: files.iter().cloned().collect(),
            once: Once::of(files.len()),
            current: None,
            groups: Groups::default(),
            room: crate::json::Room::default(),
            results: None,
        }
    }

    fn open_next(&mut self) -> Option<Refusal> {
        let path = self.files.pop_front()?;
        let name = input::shown_name(&path);
        let opened = self.once.open(&path).and_then(|opened| match opened {
            Opened::New(mut input, kept) => input::skip_bom(&mut input).map(|()| Ok((input, kept))),
            Opened::Again(first) => Ok(Err(first)),
        });
        match opened {
            Ok(Ok((input, kept))) => {
                let table = Table::new(input, b',');
                self.current = Some(Current { name, table, columns: None, _kept: kept });
                None
            }
            Ok(Err(first)) => {
                let reason = format!(
                    "the file holds the very same as {first}, which this import has read: it is left out, since its rows would \
                     count twice. Name each file once"
                );
                Some(Refusal { warning: true, ..refusal(&name, 0, DUPLICATE, reason) })
            }
            Err(error) => {
                self.groups.hold_all();
                Some(input::not_opened(&name, &error))
            }
        }
    }

    /// Reads one row; hands out what is to be said about it.
    fn step(&mut self, mut current: Current) -> Option<Refusal> {
        let next = match current.table.next_row() {
            Ok(next) => next,
            Err(error) => {
                self.groups.hold_all();
                let reason =
                    format!("reading stopped: {error}; no order of this bill is complete. Read it again");
                return Some(refusal(&current.name, 0, INCOMPLETE, reason));
            }
        };
        let said = match next {
            Next::End => {
                if current.columns.is_none() {
                    return Some(refusal(
                        &current.name,
                        1,
                        REFUSED,
                        "the file is empty; a header was expected".into(),
                    ));
                }
                return None;
            }
            Next::Record(line) => self.row(&mut current, line),
            Next::TooLong(line) => {
                self.groups.hold_all();
                let reason = "the row is longer than 8 MiB (or has more than 4,096 columns) and is passed over; no order of this bill is complete";
                Some(refusal(&current.name, line, REFUSED, reason.to_owned()))
            }
            Next::Cut(line) | Next::Stray(line) => {
                self.groups.hold_all();
                let reason =
                    "a quote is opened on this line and never closed; no order of this bill is complete";
                Some(refusal(&current.name, line, INCOMPLETE, reason.to_owned()))
            }
        };
        // Without a header no row of the file can be understood.
        if current.columns.is_some() || said.is_none() {
            self.current = Some(current);
        }
        said
    }

    fn row(&mut self, current: &mut Current, line: u64) -> Option<Refusal> {
        let cells = current.table.row();
        if cells.is_blank() {
            return None;
        }
        let refuse = |groups: &mut Groups, reason: String| {
            groups.hold_all();
            Some(refusal(&current.name, line, REFUSED, reason))
        };
        let text = match cells.text() {
            Ok(text) => text,
            Err(what) => {
                return refuse(&mut self.groups, format!("{what}; no order of this bill is complete"));
            }
        };
        let Some(columns) = &current.columns else {
            return match Columns::find(cells, text) {
                Ok(columns) => {
                    current.columns = Some(columns);
                    None
                }
                Err(reason) => refuse(&mut self.groups, reason),
            };
        };
        let row = Row { columns, cells, text };
        let width = cells.len();
        if width != columns.width() {
            let reason = format!(
                "the row has {width} cells and the header {}; no order of this bill is complete. Quote cells that hold a \
                 comma",
                columns.width()
            );
            return refuse(&mut self.groups, reason);
        }
        match self.groups.add(&row) {
            Err(fault) => {
                let mut refusal = refusal(&current.name, line, REFUSED, fault.reason);
                refusal.field = Some(fault.field.to_owned());
                Some(refusal)
            }
            Ok(()) => {
                let faults = row.faults(&mut self.room);
                let first = faults.first()?;
                let field = first.split(':').next().unwrap_or_default().to_owned();
                let reason = format!(
                    "the row is taken in, with faults that do not touch its amount: {}",
                    faults.join("; ")
                );
                let warning = Refusal {
                    warning: true,
                    field: Some(field),
                    ..refusal(&current.name, line, REFUSED, reason)
                };
                Some(warning)
            }
        }
    }
}

impl Iterator for FocusReader {
    type Item = Result<Record, Refusal>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(results) = &mut self.results {
                return results.next();
            }
            let said = match self.current.take() {
                Some(current) => self.step(current),
                None if self.files.is_empty() => {
                    self.results = Some(std::mem::take(&mut self.groups).into_results().into_iter());
                    continue;
                }
                None => self.open_next(),
            };
            if let Some(refusal) = said {
                return Some(Err(refusal));
            }
        }
    }
}
