//! One use of something: read straight from the bytes of a row where it is plainly written, else from its record.

use super::ends::Ends;
use super::key::Names;
use super::plain::{self, Months, PLACES, Plain, month_number};
use memchr::memchr;
use rust_decimal::Decimal;
use trueup_domain::feed::UsageRecord;
use trueup_domain::money::{Currency, Exact, Money, MoneyError, Quantity};

/// The longest cell that is taken as it stands.
const MOST_BYTES: usize = 200;

/// What a line adds to its sum, in units of 10^-18.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) quantity: i128,
    pub(super) amount: i128,
    pub(super) cost: i128,
    pub(super) marks: Marks,
}

/// What else a line tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Marks {
    pub(super) is_estimate: bool,
    pub(super) has_amount: bool,
    pub(super) has_cost: bool,
}

/// Quantity, amount and cost where they do not fit their units.
pub(super) type Odd = [Exact; 3];

/// A use as a line tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Use<'a> {
    pub(super) id: &'a [u8],
    pub(super) names: Names<'a>,
    pub(super) replaces: &'a [u8],
    pub(super) share: Share,
    /// Instead of the numbers of the share.
    pub(super) odd: Option<Odd>,
}

/// Where the fields of a use stand in a row.
#[derive(Clone, Debug)]
pub(super) struct Columns {
    width: usize,
    id: usize,
    product: usize,
    quantity: usize,
    start: usize,
    end: usize,
    kind: Option<usize>,
    subscription: Option<usize>,
    customer: Option<usize>,
    unit: Option<usize>,
    unit_price: Option<usize>,
    unit_cost: Option<usize>,
    amount: Option<usize>,
    cost_amount: Option<usize>,
    currency: Option<usize>,
    status: Option<usize>,
    replaces: Option<usize>,
    pub(super) delimiter: u8,
    /// Columns that no use has.
    pub(super) unknown: Vec<String>,
}

/// What the rows of a table share, kept from one to the next.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) cells: Cells,
    currency: [u8; 3],
    months: Months,
    /// Whether there may be a quote in the rows at hand.
    pub(super) has_quotes: bool,
}

impl Default for Desk {
    fn default() -> Self {
        Self {
            cells: Cells { bounds: [(0, 0); MOST_CELLS], count: 0 },
            currency: [0; 3],
            months: Months::default(),
            has_quotes: false,
        }
    }
}

/// The most columns of a table whose rows are read from their bytes.
const MOST_CELLS: usize = 32;

/// Where the cells of a row begin and end in it.
#[derive(Debug)]
pub(super) struct Cells {
    bounds: [(u32, u32); MOST_CELLS],
    count: usize,
}

impl Cells {
    /// Takes the cells of the row that begins there in its block, and tells where it ends. A cell ends at each delimiter, as
    /// if no cell were quoted.
    pub(super) fn take(&mut self, block: &[u8], begin: usize, ends: &mut Ends<'_>) -> usize {
        self.count = 0;
        let mut from = 0;
        for end in ends {
            self.push(from, end - begin);
            from = end + 1 - begin;
            if block.get(end) == Some(&b'\n') {
                return end;
            }
        }
        self.push(from, block.len() - begin);
        block.len()
    }

    /// Ends the last cell there.
    fn close(&mut self, row: usize) {
        if let Some((_, to)) = self.count.checked_sub(1).and_then(|last| self.bounds.get_mut(last)) {
            *to = row as u32;
        }
    }

    fn push(&mut self, from: usize, to: usize) {
        if let Some(place) = self.bounds.get_mut(self.count) {
            // A row is no longer than a block.
            *place = (from as u32, to as u32);
        }
        self.count += 1;
    }

    fn get<'r>(&self, row: &'r [u8], at: usize) -> &'r [u8] {
        let (from, to) = self.bounds.get(at).copied().unwrap_or_default();
        row.get(from as usize..to as usize).unwrap_or_default()
    }

    /// The number in a cell; none where it is not plain.
    fn number(&self, row: &[u8], at: usize) -> Option<Plain> {
        let (from, to) = self.bounds.get(at).copied().unwrap_or_default();
        plain::number_in(row, from as usize, to as usize)
    }
}

impl Columns {
    /// None where the header lacks what each use has, or has what only the feed's reader can judge; `named` tells whether
    /// rows without a kind are use.
    pub(super) fn of(names: &[String], delimiter: u8, named: bool) -> Option<Self> {
        let at = |name: &str| names.iter().position(|column| column == name);
        if names.iter().any(|name| name.contains('.') || name == "ext") || (!named && at("type").is_none()) {
            return None;
        }
        const KNOWN: [&str; 16] = [
            "type",
            "id",
            "subscription",
            "customer",
            "product",
            "quantity",
            "start",
            "end",
            "unit",
            "unit_price",
            "unit_cost",
            "amount",
            "cost_amount",
            "currency",
            "status",
            "replaces",
        ];
        let columns = Self {
            width: names.len(),
            id: at("id")?,
            product: at("product")?,
            quantity: at("quantity")?,
            start: at("start")?,
            end: at("end")?,
            kind: at("type"),
            subscription: at("subscription"),
            customer: at("customer"),
            unit: at("unit"),
            unit_price: at("unit_price"),
            unit_cost: at("unit_cost"),
            amount: at("amount"),
            cost_amount: at("cost_amount"),
            currency: at("currency"),
            status: at("status"),
            replaces: at("replaces"),
            delimiter,
            unknown: names.iter().filter(|name| !KNOWN.contains(&name.as_str())).cloned().collect(),
        };
        let has_whose = columns.subscription.is_some() || columns.customer.is_some();
        (has_whose && columns.width <= MOST_CELLS).then_some(columns)
    }

    /// Reads a row without its line end, whose cells the desk has taken. None where it is not plain.
    pub(super) fn read<'a>(&self, row: &'a [u8], is_named: bool, desk: &mut Desk) -> Option<Use<'a>> {
        desk.cells.close(row.len());
        if desk.has_quotes && memchr(b'"', row).is_some() {
            self.split_quoted(row, &mut desk.cells)?;
        }
        if desk.cells.count != self.width {
            return None;
        }
        let cells = &desk.cells;
        let cell = |at: usize| cells.get(row, at);
        let maybe = |at: Option<usize>| at.map_or(&[][..], cell);
        match maybe(self.kind) {
            b"usage" => {}
            b"" if is_named => {}
            _ => return None, // open set: names of other kinds
        }
        let id = cell(self.id);
        let product = cell(self.product);
        let (subscription, customer) = (maybe(self.subscription), maybe(self.customer));
        if !is_plain_id(id) || !is_plain_id(product) {
            return None;
        }
        if (subscription.is_empty() && customer.is_empty())
            || !(subscription.is_empty() || is_plain_id(subscription))
            || !(customer.is_empty() || is_plain_id(customer))
        {
            return None;
        }
        let (start, end) = (cell(self.start), cell(self.end));
        let month = desk.months.read(start)?;
        desk.months.read(end)?;
        // Of one form, so that the order of the texts is that of the moments.
        if start.len() != end.len() || start >= end {
            return None;
        }
        let (status, replaces) = (maybe(self.status), maybe(self.replaces));
        let quantity = cells.number(row, self.quantity)?;
        let is_estimate = match status {
            b"" | b"final" if !quantity.is_negative() => false,
            b"estimated" if !quantity.is_negative() => true,
            b"corrected" => false,
            _ => return None, // open set: words that are no status
        };
        if !(replaces.is_empty() || is_plain_id(replaces)) {
            return None;
        }
        let currency = maybe(self.currency);
        if !currency.is_empty() && currency != desk.currency {
            let code: [u8; 3] = currency.try_into().ok()?;
            std::str::from_utf8(&code).ok()?.parse::<Currency>().ok()?;
            desk.currency = code;
        }
        let value = |given: Option<usize>, price: Option<usize>| -> Option<(i128, bool)> {
            let number = |at: Option<usize>| match at.filter(|at| !cell(*at).is_empty()) {
                Some(at) => cells.number(row, at).map(Some),
                None => Some(None),
            };
            let price = number(price)?;
            if let Some(given) = number(given)? {
                return Some((given.units(), true));
            }
            match price {
                Some(price) => Some((Plain::times(price, quantity)?, true)),
                None => Some((0, false)),
            }
        };
        let (amount, has_amount) = value(self.amount, self.unit_price)?;
        let (cost, has_cost) = value(self.cost_amount, self.unit_cost)?;
        let unit = maybe(self.unit);
        if unit.len() > MOST_BYTES {
            return None;
        }
        let unit = if unit.is_empty() { None } else { Some(unit) };
        let currency = if currency.is_empty() { [0; 3] } else { desk.currency };
        let names = Names { month, currency, subscription, customer, product, unit };
        let marks = Marks { is_estimate, has_amount, has_cost };
        Some(Use {
            id,
            names,
            replaces,
            share: Share { quantity: quantity.units(), amount, cost, marks },
            odd: None,
        })
    }

    /// Takes the cells of a row where some are quoted. Not of one with a quote inside a cell.
    fn split_quoted(&self, row: &[u8], cells: &mut Cells) -> Option<()> {
        cells.count = 0;
        let mut from = 0;
        loop {
            let rest = row.get(from..).unwrap_or_default();
            let next = match rest.first() {
                Some(b'"') => {
                    let inner = rest.get(1..).unwrap_or_default();
                    let length = memchr(b'"', inner)?;
                    cells.push(from + 1, from + 1 + length);
                    let behind = from + length + 2;
                    match row.get(behind) {
                        None => None,
                        Some(byte) if *byte == self.delimiter => Some(behind + 1),
                        Some(_) => return None,
                    }
                }
                Some(_) | None => {
                    let end = memchr(self.delimiter, rest);
                    let length = end.unwrap_or(rest.len());
                    cells.push(from, from + length);
                    end.map(|length| from + length + 1)
                }
            };
            match next {
                Some(next) => from = next,
                None => return Some(()),
            }
        }
    }
}

/// An id that begins with no blank, and is not too long.
fn is_plain_id(bytes: &[u8]) -> bool {
    bytes.len() <= MOST_BYTES && bytes.first().is_some_and(u8::is_ascii_graphic)
}

fn units(value: Decimal) -> Option<i128> {
    10_i128.checked_pow(PLACES.checked_sub(value.scale())?)?.checked_mul(value.mantissa())
}

/// What a line is worth: the given amount, or price times quantity.
fn worth(
    given: Option<Money>,
    price: Option<Money>,
    quantity: Quantity,
) -> Result<(Exact, bool), MoneyError> {
    Ok(match (given, price) {
        (Some(amount), _) => (amount.exact(), true),
        (None, Some(price)) => (price.exact().times(quantity.exact())?, true),
        (None, None) => (Exact::ZERO, false),
    })
}

/// Reads a record.
///
/// # Errors
/// [`MoneyError::Overflow`] where price times quantity leaves the range.
pub(super) fn of_record(record: &UsageRecord) -> Result<Use<'_>, MoneyError> {
    let day = record.start.get(..10).and_then(crate::time::parse_date);
    let month = day.map_or(0, |day| month_number(day.year(), day.month().unsigned_abs()));
    let (amount, has_amount) = worth(record.amount, record.unit_price, record.quantity)?;
    let (cost, has_cost) = worth(record.cost_amount, record.unit_cost, record.quantity)?;
    let marks = Marks { is_estimate: record.status == "estimated", has_amount, has_cost };
    let in_units = |value: Exact| -> Option<i128> {
        let (num, den) = value.parts();
        let shift = 10_i128.pow(PLACES);
        (shift % den == 0).then(|| num.checked_mul(shift / den)).flatten()
    };
    let small = units(record.quantity.decimal()).zip(in_units(amount).zip(in_units(cost)));
    let (share, odd) = match small {
        Some((quantity, (amount, cost))) => (Share { quantity, amount, cost, marks }, None),
        None => (Share { marks, ..Share::default() }, Some([record.quantity.exact(), amount, cost])),
    };
    let subscription = record.subscription.as_ref().map_or("", |id| id.as_str());
    let customer = record.customer.as_ref().map_or("", |id| id.as_str());
    let mut currency = [0; 3];
    if let Some(code) = record.currency.and_then(|currency| currency.code().as_bytes().first_chunk()) {
        currency = *code;
    }
    let names = Names {
        month,
        currency,
        subscription: subscription.as_bytes(),
        customer: customer.as_bytes(),
        product: record.product.as_str().as_bytes(),
        unit: record.unit.as_deref().map(str::as_bytes),
    };
    let replaces = record.replaces.as_deref().unwrap_or_default().as_bytes();
    Ok(Use { id: record.id.as_bytes(), names, replaces, share, odd })
}
