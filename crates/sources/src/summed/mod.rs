//! Usage that comes in very many lines, added up while it is read: a sum a customer or subscription, product, unit,
//! currency and month, exact to the last digit.
//!
//! Each line is judged as the feed judges it, and comes to the same: rows that are plainly written are read from their
//! bytes by several threads, and whatever else stands in a table goes the feed's own way ([`crate::feed`]), which names
//! what it refuses with line and reason. Memory grows with the sums and with eight bytes a line, not with the file.

mod blocks;
mod ends;
mod groups;
mod key;
mod keys;
mod line;
mod pass;
mod plain;
mod repeats;

use crate::input::shown_name;
use crate::refusal;
use groups::{Figure, Groups, Part, Total, Way};
use hashbrown::{DefaultHashBuilder, HashSet};
use key::{KeyParts, as_currency, currency_of};
use pass::{Adding, Looking, Pass, Read};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use trueup_domain::feed::{Ext, Record, SummedLines, UsageRecord};
use trueup_domain::money::{Currency, Money, MoneyError, Quantity, RoundingMode};
use trueup_engine::feed::{MAX_KEPT, MoneyTotals, decimal};
use trueup_engine::ports::Refusal;

/// Ids that are looked up in one go through the files.
const LOOKED_UP: usize = 250_000;

/// Decimal places of an amount that can be kept in a record.
const KEPT_PLACES: u32 = plain::PLACES;

/// Sums of usage.
pub struct UsageSums {
    files: Vec<String>,
    groups: Groups,
    /// Lines that count.
    pub lines: u64,
    /// Lines that do not count, because a later line has the same id.
    pub repeated: u64,
    /// Lines that do not count, because another one replaces them.
    pub replaced: u64,
    /// Lines that were not taken, in order.
    pub refused: Vec<Refusal>,
    /// How many more were refused than `refused` keeps.
    pub refused_more: u64,
    /// What has to be said about lines that were taken.
    pub warnings: Vec<Refusal>,
}

/// What sums come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SumTotals {
    /// How many sums.
    pub sums: u64,
    /// All quantities, whatever their units: a figure to compare with.
    pub quantity: Quantity,
    /// The exact amounts by currency.
    pub amounts: BTreeMap<Currency, MoneyTotals>,
}

/// Adds up the usage in files, each of which is read from its disk twice where an id stands on several lines.
///
/// # Errors
/// What keeps the sums from being whole: a file that is no file, or that cannot be read to its end.
pub fn sum_usage(files: &[PathBuf], all_usage: bool) -> Result<UsageSums, Box<Refusal>> {
    for path in files {
        let is_file = std::fs::metadata(path).map(|about| about.is_file());
        let why = match is_file {
            Ok(true) => continue,
            Ok(false) => {
                "it is no file, and what is summed may have to be read twice; save it as a file".to_owned()
            }
            Err(error) => format!("the file cannot be read: {error}; check its name and its rights"),
        };
        return Err(Box::new(refusal(&shown_name(path), 0, "TU8001", why)));
    }
    let hasher = DefaultHashBuilder::default();
    let groups = Groups::new();
    let pass = Pass { files, all_usage, hasher: &hasher };
    let read = pass.run(|| Adding::new(&groups))?;
    let Read { mut refused, unknown, takers } = read;
    let mut lines = 0;
    let (mut prints, mut replacing) = (Vec::new(), Vec::new());
    for taker in takers {
        let (counted, print, more) = taker.finish();
        lines += counted;
        prints.push(print);
        replacing.extend(more);
    }
    refused.sort_by_key(|(place, _)| *place);
    let refused_more = refused.len().saturating_sub(MAX_KEPT) as u64;
    refused.truncate(MAX_KEPT);
    let mut sums = UsageSums {
        files: files.iter().map(|path| short_name(path)).collect(),
        groups,
        lines,
        repeated: 0,
        replaced: 0,
        refused: refused.into_iter().map(|(_, refusal)| refusal).collect(),
        refused_more,
        warnings: unknown.into_iter().map(|(file, columns)| left_out(&file, &columns)).collect(),
    };
    sums.settle(&pass, &repeats::met_again(prints), &replacing)?;
    Ok(sums)
}

impl UsageSums {
    /// Takes off again what lines told that do not count after all.
    fn settle(
        &mut self,
        pass: &Pass<'_>,
        again: &[u64],
        replacing: &[repeats::Replacing],
    ) -> Result<(), Box<Refusal>> {
        let mut superseded = HashSet::new();
        for some in again.chunks(LOOKED_UP) {
            let wanted: HashSet<u64> = some.iter().copied().collect();
            for mut lines in repeats::by_id(look(pass, &wanted)?).into_values() {
                lines.pop();
                for line in lines {
                    superseded.insert(line.place);
                    self.take_off(&line)?;
                    self.repeated += 1;
                }
            }
        }
        let ids: Vec<Vec<u8>> = repeats::replaced(replacing, &superseded).into_iter().collect();
        for some in ids.chunks(LOOKED_UP) {
            let wanted: HashSet<u64> = some.iter().map(|id| pass.hash(id)).collect();
            let mut found = repeats::by_id(look(pass, &wanted)?);
            for id in some {
                match found.remove(id).and_then(|mut lines| lines.pop()) {
                    Some(line) => {
                        self.take_off(&line)?;
                        self.replaced += 1;
                    }
                    None => self.warnings.push(replaces_nothing(&String::from_utf8_lossy(id))),
                }
            }
        }
        self.warnings.truncate(MAX_KEPT);
        Ok(())
    }

    fn take_off(&mut self, line: &repeats::Met) -> Result<(), Box<Refusal>> {
        let at = (line.hash, line.place);
        let off = self.groups.take(Way::TakeOff, &line.key, at, &line.share, line.odd);
        off.map_err(|error| out_of_range(&error))?;
        self.lines -= 1;
        Ok(())
    }

    /// What they come to.
    ///
    /// # Errors
    /// Where a sum leaves every range.
    pub fn totals(&self) -> Result<SumTotals, Box<Refusal>> {
        let (mut sums, mut quantity) = (0, Figure::default());
        // By the letters of the currency.
        let mut amounts: BTreeMap<[u8; 3], (Figure, Figure)> = BTreeMap::new();
        let all = self.groups.each(|key, total| {
            sums += 1;
            quantity.add(total.quantity)?;
            if let Some(currency) = currency_of(key) {
                let sums = amounts.entry(currency).or_default();
                sums.0.add(total.amount.unwrap_or_default())?;
                sums.1.add(total.cost.unwrap_or_default())?;
            }
            Ok(())
        });
        let exact = || {
            let mut by_currency = BTreeMap::new();
            for (code, (amount, cost)) in amounts {
                if let Some(currency) = as_currency(code) {
                    let (amount, cost) = (decimal(amount.exact()?), decimal(cost.exact()?));
                    by_currency.insert(currency, MoneyTotals { amount, cost });
                }
            }
            Ok((Quantity::new(decimal(quantity.exact()?).decimal()), by_currency))
        };
        let exact = all.and_then(|()| exact());
        let (quantity, amounts) = exact.map_err(|error| out_of_range(&error))?;
        Ok(SumTotals { sums, quantity, amounts })
    }

    /// The sums as records of a part, behind what was refused and what has to be said.
    pub fn into_records(self, part: &str) -> impl Iterator<Item = Result<Record, Refusal>> + Send + use<> {
        let told = self.refused.into_iter().chain(self.warnings).map(Err);
        told.chain(SumRecords {
            files: self.files,
            part: part.to_owned(),
            parts: Box::new(self.groups.into_parts()),
            current: None,
            rounded: 0,
        })
    }
}

/// The keys of a part, with the numbers of their sums.
type InOrder = std::vec::IntoIter<(Vec<u8>, u32)>;

/// Sums, a record each.
struct SumRecords {
    files: Vec<String>,
    part: String,
    parts: Box<dyn Iterator<Item = Part> + Send>,
    current: Option<(Part, InOrder)>,
    rounded: u64,
}

impl Iterator for SumRecords {
    type Item = Result<Record, Refusal>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((part, order)) = &mut self.current {
                for (key, at) in order {
                    let Some((total, parts)) = part.total(at).zip(KeyParts::of(&key)) else { continue };
                    let made = record(&key, parts, &total, &self.part, &self.files, &mut self.rounded);
                    return Some(made.map(Record::Usage).map_err(|error| *out_of_range(&error)));
                }
            }
            match self.parts.next() {
                Some(part) => {
                    let order = part.in_order().into_iter();
                    self.current = Some((part, order));
                }
                None => {
                    self.current = None;
                    let rounded = std::mem::take(&mut self.rounded);
                    return (rounded > 0).then(|| Err(told_rounded(rounded)));
                }
            }
        }
    }
}

fn look(pass: &Pass<'_>, wanted: &HashSet<u64>) -> Result<Vec<repeats::Met>, Box<Refusal>> {
    let read = pass.run(|| Looking::new(wanted))?;
    Ok(read.takers.into_iter().flat_map(Looking::finish).collect())
}

fn short_name(path: &Path) -> String {
    path.file_name().map_or_else(|| shown_name(path), |name| name.to_string_lossy().into_owned())
}

fn out_of_range(error: &MoneyError) -> Box<Refusal> {
    let reason = format!("the lines cannot be summed: {error}; correct their numbers at the source");
    Box::new(refusal("", 0, "TU5004", reason))
}

fn left_out(file: &str, columns: &[String]) -> Refusal {
    let reason = format!(
        "usage has no column {}: what stands there is not kept in sums",
        columns.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
    );
    Refusal { warning: true, ..refusal(file, 1, "TU8006", reason) }
}

fn told_rounded(rounded: u64) -> Refusal {
    let reason = format!(
        "{rounded} amounts have more than {KEPT_PLACES} decimal places; they are kept rounded half up to as many, and are \
         in the totals exactly"
    );
    Refusal { warning: true, ..refusal("", 0, "TU8006", reason) }
}

fn replaces_nothing(id: &str) -> Refusal {
    let reason = format!(
        "a line replaces {id}, which stands on none of these lines: it is added and nothing is taken off. Name the file \
         that holds it in the same import"
    );
    Refusal { warning: true, ..refusal("", 0, "TU8006", reason) }
}

/// A sum as a record. Its id is made of what it is the sum of, so that the same lines once more are the same record.
fn record(
    key: &[u8],
    parts: KeyParts,
    total: &Total,
    part: &str,
    files: &[String],
    rounded: &mut u64,
) -> Result<UsageRecord, MoneyError> {
    let mut digest = Sha256::new();
    digest.update((part.len() as u64).to_le_bytes());
    digest.update(part.as_bytes());
    digest.update(key);
    let mut id = format!("sum-{:04}-{:02}-", parts.month / 12, parts.month % 12 + 1);
    for byte in digest.finalize().iter().take(16) {
        // Writing to text cannot fail.
        let _ = write!(id, "{byte:02x}");
    }
    let first_day = |month: u32| format!("{:04}-{:02}-01", month / 12, month % 12 + 1);
    let mut money = |value: Option<Figure>| -> Result<Option<Money>, MoneyError> {
        let Some(value) = value.map(Figure::exact).transpose()? else { return Ok(None) };
        let exact = decimal(value);
        if exact.decimal().scale() <= KEPT_PLACES && exact.exact() == value {
            return Ok(Some(exact));
        }
        *rounded += 1;
        Ok(Some(Money::new(value.round(KEPT_PLACES, RoundingMode::HalfUp)?)))
    };
    let quantity = Quantity::new(decimal(total.quantity.exact()?).decimal());
    let status = match (total.estimates, quantity.is_negative()) {
        (0, false) => "final",
        (0, true) => "corrected",
        _ => "estimated", // open set: counts
    };
    let place = |place: u64| (place >> pass::LINE_BITS, place & pass::LINES);
    let ((first_file, first), (last_file, last)) = (place(total.first), place(total.last));
    let name = |at: u64| usize::try_from(at).ok().and_then(|at| files.get(at)).cloned().unwrap_or_default();
    Ok(UsageRecord {
        id,
        subscription: parts.subscription.map(Into::into),
        customer: parts.customer.map(Into::into),
        product: parts.product.into(),
        quantity,
        start: first_day(parts.month),
        end: first_day(parts.month + 1),
        unit: parts.unit,
        unit_price: None,
        unit_cost: None,
        amount: money(total.amount)?,
        cost_amount: money(total.cost)?,
        currency: parts.currency,
        status: status.to_owned(),
        replaces: None,
        summed: Some(SummedLines {
            lines: total.lines.into(),
            estimates: total.estimates.into(),
            first: format!("{}:{first}", name(first_file)),
            last: format!("{}:{last}", name(last_file)),
        }),
        ext: Ext::default(),
    })
}
