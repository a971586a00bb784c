//! C3, the CSP Control Center: its product history, as the report of the subscription history gives it (answers saved as
//! files, or a table with the same columns), and its active customers.
//!
//! | C3 | feed |
//! |---|---|
//! | active customer | customer with its currency |
//! | row of the history | order (below); customer and product are mentioned |
//! | the last row of a subscription | subscription |
//!
//! The report covers the last 90 days, has no event id and no zone. How it is read is our own reading of it:
//! - Names of columns count without case and punctuation. An error comes inside a good answer.
//! - A change is one by subscription, instant, new quantity and new status: the same row in two reports is one order.
//! - The day is the one that is written; it is never shifted.
//! - The product's name is its id, since there is no other.
//! - A first quantity (from nothing) is a sale, another quantity or price is a change. `Deleted` is a change to nothing, so
//!   that what was used is billed as every mode of lines bills it; on the last day of a period all of it was used.
//! - `Suspended` and `Disabled` go on to be billed: an order without lines says so.
//! - A subscription is billed by the calendar month. Columns that the report itself does not have say otherwise where they
//!   are there: `BillingCycle` (monthly, yearly), `CommitmentStartDate` and `CommitmentEndDate` (the last day), `NewCost`,
//!   `CurrencyCode`. A year is laid from the commitment, else from the sale.
//! - A row that names a commitment which begins on its day or later, of what was there before, is a renewal.
//! - Where a row does not start from what the row before it left, a change between is missing: it and all after it are
//!   kept and not synchronised (status `gap`).

mod fold;
mod rows;

use crate::answers;
use crate::fields::REFUSED;
use crate::input::table::Table;
use crate::input::{self, Next};
use crate::json::{Kind, Room};
use crate::place::Place;
use rows::{Event, Fields};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use trueup_domain::feed::{Address, Customer, Record};
use trueup_domain::money::Currency;
use trueup_engine::ports::Refusal;

/// The source is out of reach or refused.
const SAYS_NO: &str = "TU8001";

/// The records of saved answers.
pub(crate) fn records(
    files: &[PathBuf],
    currency: Option<Currency>,
) -> impl Iterator<Item = Result<Record, Refusal>> + Send + use<> {
    let world = World { currency, ..World::default() };
    answers::together(files.to_vec(), world, World::read, fold::into_results)
}

/// All that was read.
#[derive(Default)]
struct World {
    customers: BTreeMap<String, Customer>,
    events: Vec<Event>,
    /// Of what names none itself.
    currency: Option<Currency>,
    said: Vec<Refusal>,
}

impl World {
    fn read(&mut self, path: &Path) {
        let text = match answers::text_of(path) {
            Ok(text) => text,
            Err(refusal) => return self.said.push(refusal),
        };
        let file = input::shown_name(path);
        if text.trim_start().starts_with(['{', '[']) {
            self.answer(&text, &file)
        } else {
            self.table(&text, &file)
        }
    }

    /// An answer of the API: an envelope around rows, or the rows alone.
    fn answer(&mut self, text: &str, file: &str) {
        let place = |at: usize| Place { file: file.to_owned(), line: crate::feed::line_of(text, at, 1) };
        let mut room = Room::default();
        let value = match room.parse(text) {
            Ok(value) => value,
            Err(error) => {
                let reason =
                    format!("the file is not good JSON: {}; save the answer again, whole", error.what);
                return self.said.push(place(error.at).refusal(REFUSED, "", reason));
            }
        };
        let field = |name: &str| value.children().find(|child| child.key().eq_ignore_ascii_case(name));
        let word = |name: &str| field(name).and_then(|v| v.as_text()).filter(|text| !text.is_empty());
        if word("Status").is_some_and(|status| !status.eq_ignore_ascii_case("success")) {
            let why = word("ErrorMessage").unwrap_or_default();
            let reason = format!("C3 answered with an error and no rows ({why}); ask it again");
            return self.said.push(place(0).refusal(SAYS_NO, "Status", reason));
        }
        let rows = if value.kind() == Kind::Array { Some(value) } else { field("Data") };
        let Some(rows) = rows.filter(|rows| rows.kind() == Kind::Array) else {
            let reason =
                "this is no answer of C3 with a list of rows in `Data`; save the answer again, whole";
            return self.said.push(place(0).refusal(REFUSED, "Data", reason.to_owned()));
        };
        for row in rows.children() {
            self.row(Fields::of_object(row, place(row.offset())));
        }
    }

    /// A table with the columns of the report.
    fn table(&mut self, text: &str, file: &str) {
        let header = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
        let semicolons = header.matches(';').count() > header.matches(',').count();
        let mut table = Table::new(std::io::Cursor::new(text), if semicolons { b';' } else { b',' });
        let mut names: Option<Vec<String>> = None;
        loop {
            // Memory does not fail.
            let (line, whole) = match table.next_row().unwrap_or(Next::End) {
                Next::End => break,
                Next::Record(line) => (line, true),
                Next::TooLong(line) | Next::Cut(line) | Next::Stray(line) => (line, false),
            };
            let place = Place { file: file.to_owned(), line };
            let row = table.row();
            if whole && row.is_blank() {
                continue;
            }
            let cells: Option<Vec<String>> = row.text().ok().filter(|_| whole).map(|text| {
                (0..row.len()).map(|i| row.cell(text, i).unwrap_or_default().to_owned()).collect()
            });
            match (cells, &names) {
                (None, _) => {
                    let reason =
                        "the row cannot be read: a quote is not closed, it is too long, or it is not UTF-8";
                    self.said.push(place.refusal(REFUSED, "", reason.to_owned()));
                }
                (Some(cells), None) => names = Some(cells),
                (Some(cells), Some(names)) if cells.len() == names.len() => {
                    let fields = Fields::of_cells(names, cells, place);
                    self.row(fields);
                }
                (Some(cells), Some(names)) => {
                    let reason = format!(
                        "the row has {} cells and the header {}; quote cells that hold a comma",
                        cells.len(),
                        names.len()
                    );
                    self.said.push(place.refusal(REFUSED, "", reason));
                }
            }
        }
        if names.is_none() {
            let place = Place { file: file.to_owned(), line: 1 };
            self.said.push(place.refusal(REFUSED, "", "the file is empty; a header was expected".to_owned()));
        }
    }

    fn row(&mut self, fields: Fields) {
        let place = fields.place.clone();
        let taken = if fields.has("subscriptionid") || fields.has("dateofchange") {
            Event::read(fields).map(|event| self.events.push(event))
        } else if fields.has("customerid") && fields.has("name") {
            customer(fields).map(|customer| {
                self.customers.insert(customer.id.to_string(), customer);
            })
        } else {
            Err(("", "this is neither a row of the subscription history nor an active customer".to_owned())
                .into())
        };
        if let Err(fault) = taken {
            self.said.push(place.refusal(fault.code, fault.field, fault.reason));
        }
    }
}

fn customer(mut fields: Fields) -> Result<Customer, rows::RowFault> {
    let id = fields.id("customerid", "CustomerID")?;
    let name = fields.needed("name", "Name")?;
    let country = fields.take("marketcode");
    let gone = fields.take("deletedon").map(|_| "deleted".to_owned());
    Ok(Customer {
        domain: fields.take("domainname"),
        currency: fields.currency()?,
        status: gone.or_else(|| fields.take("onboardstatus")),
        address: country.map(|country| Address { country: Some(country), ..Address::default() }),
        ext: fields.rest(),
        ..answers::customer(id, name, None)
    })
}
