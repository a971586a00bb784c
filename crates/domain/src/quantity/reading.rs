//! What a source counted of a service for a customer: the level of a counter, or use that is summed over a month.

use crate::feed::{Counter, UsageRecord};
use crate::ids::{CustomerId, ProductId, SourceId, SubscriptionId};
use crate::money::{MoneyError, Quantity};
use crate::period::Period;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Where a level comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// A counter: a level by itself.
    Counter,
    /// A counter that a complete list of counters does not name any more: a level of 0.
    LeftOut,
    /// Usage records, summed.
    Usage {
        /// How many.
        records: usize,
        /// First day.
        from: Date,
        /// The day after the last one.
        until: Date,
    },
}

/// The level of one service for one customer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// The service.
    pub service: ProductId,
    /// What people call it.
    pub name: String,
    /// The level.
    pub value: Quantity,
    /// Its unit.
    pub unit: Option<String>,
    /// When it was counted: a date or an instant, as the source writes it.
    pub as_of: String,
    /// Where it comes from.
    pub origin: Origin,
    /// Why it may not be billed yet (TU5005), where that is so.
    pub doubt: Option<String>,
}

impl Reading {
    /// Whether it counts bytes.
    pub fn is_bytes(&self) -> bool {
        self.unit
            .as_deref()
            .is_some_and(|unit| matches!(unit.to_ascii_lowercase().as_str(), "b" | "byte" | "bytes"))
    }

    /// The day it was counted; none where the text names none.
    pub fn day(&self) -> Option<Date> {
        self.as_of.get(..10)?.parse().ok()
    }

    /// Whether it was counted after another one, as far as both texts can be read.
    fn is_after(&self, other: &Self) -> bool {
        is_later(&self.as_of, &other.as_of)
    }
}

/// Whether an instant of a source comes after another one, as far as both can be read.
pub fn is_later(one: &str, other: &str) -> bool {
    matches!((instant_of(one), instant_of(other)), (Some(one), Some(other)) if one > other)
}

/// An instant of a source; a date counts from its first moment.
pub(super) fn instant_of(text: &str) -> Option<Timestamp> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(at);
    }
    let day: Date = text.get(..10)?.parse().ok()?;
    day.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

/// What a unit means, however a source spells it: words without case and plural; symbols letter for letter, as `Mb` is no
/// `MB`.
pub(super) fn meter_of(unit: Option<&str>) -> Option<String> {
    let unit = unit?.trim();
    let is_word = unit.chars().count() > 3 && unit.chars().all(|c| c.is_alphabetic() || c == ' ');
    let low = unit.to_lowercase();
    match low.as_str() {
        "" => None,
        "b" | "byte" | "bytes" => Some("byte".to_owned()),
        word if is_word => Some(singular(word)),
        _ => Some(unit.to_owned()), // open set: text of a source
    }
}

/// A word without the ending of its plural: `mailboxes`, `entries`, `users`.
fn singular(word: &str) -> String {
    if let Some(stem) = word.strip_suffix("ies") {
        return format!("{stem}y");
    }
    let hisses = |stem: &&str| ["x", "ch", "sh", "ss", "zz"].iter().any(|end| stem.ends_with(end));
    let stem = word.strip_suffix("es").filter(hisses).or_else(|| word.strip_suffix('s'));
    stem.filter(|_| !word.ends_with("ss")).unwrap_or(word).to_owned()
}

/// Of whom and what.
pub type ReadingKey = (SourceId, CustomerId, ProductId);

/// The levels of all customers. Counters of one service in several units cannot be told apart by whoever bills them:
/// they stay beside each other, and the planner refuses them.
#[derive(Clone, Debug, Default)]
pub struct Readings {
    by_key: BTreeMap<ReadingKey, Vec<Reading>>,
    beside: BTreeMap<ReadingKey, Quantity>,
    unused: BTreeMap<ReadingKey, Period>,
    strays: BTreeMap<(SourceId, ProductId), BTreeMap<SubscriptionId, Quantity>>,
}

impl Readings {
    /// Takes a counter in. `name` is what people call its service.
    pub fn count(&mut self, source: &SourceId, counter: &Counter, name: &str) {
        let reading = Reading {
            service: counter.product.clone(),
            name: name.to_owned(),
            value: counter.value,
            unit: counter.unit.clone(),
            as_of: counter.as_of.clone(),
            origin: Origin::Counter,
            doubt: None,
        };
        let key = (source.clone(), counter.customer.clone(), counter.product.clone());
        let told = self.by_key.entry(key).or_default();
        // A source that spells its unit otherwise from some day on counts the same: its newest word holds.
        let meter = meter_of(reading.unit.as_deref());
        let same = told.iter_mut().find(|known| meter_of(known.unit.as_deref()) == meter);
        match same {
            Some(known) if reading.is_after(known) => *known = reading,
            Some(known) if known.is_after(&reading) => {}
            Some(_) | None => told.push(reading),
        }
    }

    /// Takes in that a complete list as of an instant leaves a counter out. Where nothing else tells of the service, that is
    /// a level of 0; so it has to be told last.
    pub fn leave_out(&mut self, source: &SourceId, counter: &Counter, name: &str, as_of: &str) {
        let key = (source.clone(), counter.customer.clone(), counter.product.clone());
        self.by_key.entry(key).or_insert_with(|| {
            vec![Reading {
                service: counter.product.clone(),
                name: name.to_owned(),
                value: Quantity::ZERO,
                unit: counter.unit.clone(),
                as_of: as_of.to_owned(),
                origin: Origin::LeftOut,
                doubt: None,
            }]
        });
    }

    /// Takes the sum of a month's use in, where no counter tells the level. Beside a counter it is kept apart
    /// ([`Self::beside`]).
    ///
    /// # Errors
    /// [`MoneyError::Overflow`] where the sum is out of range.
    pub fn add_usage(
        &mut self,
        key: ReadingKey,
        name: &str,
        used: &UsageSum,
        month: Period,
    ) -> Result<(), MoneyError> {
        if self.by_key.contains_key(&key) {
            self.beside.insert(key, used.sum);
            return Ok(());
        }
        let doubt = if used.summed > 0 && used.single > 0 {
            Some(format!(
                "{} usage records of the month stand beside sums of usage, and the sums may hold them already. Take in the one or the other",
                used.single
            ))
        } else {
            (used.estimates > 0).then(|| {
                format!(
                    "{} of its {} usage records are estimates. It is billed once they are final",
                    used.estimates, used.records
                )
            })
        };
        let reading = Reading {
            service: key.2.clone(),
            name: name.to_owned(),
            value: used.sum,
            unit: used.unit.clone(),
            as_of: month.end().to_string(),
            origin: Origin::Usage { records: used.records, from: month.start(), until: month.end() },
            doubt,
        };
        self.by_key.insert(key, vec![reading]);
        Ok(())
    }

    /// Whether a level of it was told.
    pub fn is_told(&self, key: &ReadingKey) -> bool {
        self.by_key.contains_key(key)
    }

    /// Takes in that a service was used before and, by the month's use as it is told, not in the month: by nobody.
    pub fn add_unused(&mut self, key: ReadingKey, month: Period) {
        if !self.by_key.contains_key(&key) {
            self.unused.insert(key, month);
        }
    }

    /// What was used of a service beside a counter of it.
    pub fn beside(&self, source: &SourceId, customer: &CustomerId, service: &ProductId) -> Option<Quantity> {
        self.beside.get(&(source.clone(), customer.clone(), service.clone())).copied()
    }

    /// The month of which a source tells nobody's use of a service, where it was used before.
    pub fn unused(&self, source: &SourceId, customer: &CustomerId, service: &ProductId) -> Option<Period> {
        self.unused.get(&(source.clone(), customer.clone(), service.clone())).copied()
    }

    /// All that was used before and of which the source told nobody's use in the month.
    pub fn all_unused(&self) -> impl Iterator<Item = (&ReadingKey, Period)> {
        self.unused.iter().map(|(key, month)| (key, *month))
    }

    /// Takes use of a subscription in that nobody knows: whose it is cannot be told.
    pub fn add_stray(
        &mut self,
        source: &SourceId,
        service: &ProductId,
        subscription: &SubscriptionId,
        used: &UsageSum,
    ) {
        if used.records > 0 {
            let of_service = self.strays.entry((source.clone(), service.clone())).or_default();
            of_service.insert(subscription.clone(), used.sum);
        }
    }

    /// Use of subscriptions that nobody knows, by service.
    pub fn strays(
        &self,
    ) -> impl Iterator<Item = (&SourceId, &ProductId, &BTreeMap<SubscriptionId, Quantity>)> {
        self.strays.iter().map(|((source, service), used)| (source, service, used))
    }

    /// The levels of a service for a customer.
    pub fn of(&self, source: &SourceId, customer: &CustomerId, service: &ProductId) -> &[Reading] {
        self.by_key.get(&(source.clone(), customer.clone(), service.clone())).map_or(&[], Vec::as_slice)
    }

    /// All levels.
    pub fn iter(&self) -> impl Iterator<Item = (&ReadingKey, &[Reading])> {
        self.by_key.iter().map(|(key, readings)| (key, readings.as_slice()))
    }

    /// Whether nothing was counted at all.
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }
}

/// Use of one service by one customer in a month.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsageSum {
    /// The sum.
    pub sum: Quantity,
    /// Of so many records.
    pub records: usize,
    /// So many of them are estimates.
    pub estimates: usize,
    /// Their unit; none where they name none or several.
    pub unit: Option<String>,
    /// So many records are sums of lines already, and stand for the lines of theirs.
    pub summed: usize,
    /// So many are lines themselves.
    pub single: usize,
}

/// Whether a record's use lies in the month: it counts where it begins.
pub fn is_in(record: &UsageRecord, month: Period) -> bool {
    record.start.get(..10).and_then(|day| day.parse().ok()).is_some_and(|day| month.contains(day))
}

/// Sums the records of one service and customer. A record that another one replaces does not count; a correction that
/// replaces none is a difference, and may be below zero.
///
/// # Errors
/// [`MoneyError::Overflow`].
pub fn sum<'r>(
    records: impl IntoIterator<Item = &'r UsageRecord>,
    replaced: &BTreeSet<&str>,
) -> Result<UsageSum, MoneyError> {
    let mut used = UsageSum::default();
    for record in records.into_iter().filter(|record| !replaced.contains(record.id.as_str())) {
        used.sum = used.sum.plus(record.quantity)?;
        used.unit = if used.records == 0 || used.unit == record.unit { record.unit.clone() } else { None };
        match &record.summed {
            Some(lines) => {
                used.summed += 1;
                used.records += count(lines.lines);
                used.estimates += count(lines.estimates);
            }
            None => {
                used.single += 1;
                used.records += 1;
                used.estimates += usize::from(record.status == "estimated");
            }
        }
    }
    Ok(used)
}

fn count(lines: u64) -> usize {
    usize::try_from(lines).unwrap_or(usize::MAX)
}
