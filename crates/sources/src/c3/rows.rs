//! One row, from an answer or from a table, and what it says changed.

use crate::fields::{BAD_QUANTITY, REFUSED, is_plain_decimal};
use crate::json::{Kind, Value};
use crate::place::Place;
use crate::time::{Instant, parse_date, parse_instant};
use jiff::civil::Date;
use std::collections::BTreeMap;
use trueup_domain::feed::Ext;
use trueup_domain::money::{Currency, Money, Quantity, parse_decimal};
use trueup_domain::period::BillingCycle;

/// The longest id: an order's id holds that of its subscription and more.
const MAX_ID_CHARS: usize = 120;

/// Why a row is not taken.
#[derive(Debug)]
pub(super) struct RowFault {
    pub(super) code: &'static str,
    pub(super) field: &'static str,
    pub(super) reason: String,
}

impl From<(&'static str, String)> for RowFault {
    fn from((field, reason): (&'static str, String)) -> Self {
        Self { code: REFUSED, field, reason }
    }
}

/// The filled fields of a row, by their names in small letters and digits alone.
pub(super) struct Fields {
    values: BTreeMap<String, String>,
    pub(super) place: Place,
}

fn plain(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

impl Fields {
    /// The fields of an object.
    pub(super) fn of_object(row: Value<'_>, place: Place) -> Self {
        let filled = row.children().filter(|field| field.kind() != Kind::Null);
        let text = |field: Value<'_>| match field.as_text() {
            Some(text) => text.trim().to_owned(),
            None => field.raw().to_owned(),
        };
        let values = filled.map(|field| (plain(&field.key()), text(field)));
        Self { values: values.filter(|(_, text)| !text.is_empty()).collect(), place }
    }

    /// The cells of a table's row.
    pub(super) fn of_cells(names: &[String], cells: Vec<String>, place: Place) -> Self {
        let values = names.iter().map(|name| plain(name)).zip(cells.into_iter().map(|c| c.trim().to_owned()));
        let filled = values.filter(|(_, text)| !text.is_empty() && !text.eq_ignore_ascii_case("null"));
        Self { values: filled.collect(), place }
    }

    /// Whether the row has it.
    pub(super) fn has(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// A value; what was taken is known, and the rest is kept as it is.
    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        self.values.remove(name)
    }

    pub(super) fn needed(&mut self, name: &str, shown: &'static str) -> Result<String, RowFault> {
        let lacking = || (shown, "the row lacks it, and cannot be used without it".to_owned());
        Ok(self.take(name).ok_or_else(lacking)?)
    }

    pub(super) fn id(&mut self, name: &str, shown: &'static str) -> Result<String, RowFault> {
        let id = self.needed(name, shown)?;
        if id.chars().count() > MAX_ID_CHARS {
            return Err((shown, format!("it is longer than {MAX_ID_CHARS} characters")).into());
        }
        Ok(id)
    }

    pub(super) fn currency(&mut self) -> Result<Option<Currency>, RowFault> {
        let Some(code) = self.take("currencycode").or_else(|| self.take("currency")) else { return Ok(None) };
        let currency = code.parse().map_err(|error| ("CurrencyCode", format!("{code}: {error}")))?;
        Ok(Some(currency))
    }

    fn decimal(
        &mut self,
        name: &str,
        shown: &'static str,
    ) -> Result<Option<rust_decimal::Decimal>, RowFault> {
        let Some(text) = self.take(name) else { return Ok(None) };
        let bad = || (shown, format!("`{text}` is not a decimal number in plain digits with a point"));
        if !is_plain_decimal(text.as_bytes()) {
            return Err(bad().into());
        }
        Ok(Some(parse_decimal(&text).map_err(|_| bad())?))
    }

    fn quantity(&mut self, name: &str, shown: &'static str) -> Result<Quantity, RowFault> {
        // Nothing before a first quantity is often no number at all.
        let number = self.decimal(name, shown)?.unwrap_or_default();
        if number.is_sign_negative() && !number.is_zero() {
            let reason =
                format!("a quantity below zero ({number}) cannot be billed; correct it at the source");
            return Err(RowFault { code: BAD_QUANTITY, field: shown, reason });
        }
        Ok(Quantity::new(number))
    }

    fn price(&mut self, name: &str, shown: &'static str) -> Result<Option<Money>, RowFault> {
        Ok(self.decimal(name, shown)?.map(Money::new))
    }

    fn day(&mut self, names: [&str; 2], shown: &'static str) -> Result<Option<Date>, RowFault> {
        let Some(text) = names.into_iter().find_map(|name| self.take(name)) else { return Ok(None) };
        let day = text.get(..10).and_then(parse_date);
        let bad = || (shown, format!("`{text}` is no date as YYYY-MM-DD"));
        Ok(Some(day.ok_or_else(bad)?))
    }

    /// What nobody asked for.
    pub(super) fn rest(self) -> Ext {
        let kept = self
            .values
            .into_iter()
            .filter_map(|(name, text)| Some((name, serde_json::value::to_raw_value(&text).ok()?)));
        Ext(kept.collect())
    }
}

/// What a subscription is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Active,
    /// Suspended or disabled: billed on.
    Paused,
    Deleted,
}

fn status(text: &str) -> Option<Status> {
    match plain(text).as_str() {
        "active" => Some(Status::Active),
        "suspended" | "disabled" => Some(Status::Paused),
        "deleted" => Some(Status::Deleted),
        _ => None, // open set: words of a foreign system
    }
}

/// A commitment: its first and its last day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Commitment {
    pub(super) first: Date,
    pub(super) last: Option<Date>,
}

/// A row of the history.
pub(super) struct Event {
    pub(super) place: Place,
    /// Names the change.
    pub(super) id: String,
    /// The instant, as it is written and with a zone.
    pub(super) at: String,
    pub(super) instant: Instant,
    pub(super) customer: String,
    pub(super) customer_name: Option<String>,
    pub(super) subscription: String,
    pub(super) product: String,
    pub(super) old: Quantity,
    pub(super) new: Quantity,
    pub(super) old_status: Option<Status>,
    pub(super) status: Status,
    pub(super) old_price: Option<Money>,
    pub(super) price: Option<Money>,
    pub(super) cost: Option<Money>,
    pub(super) currency: Option<Currency>,
    pub(super) cycle: Option<BillingCycle>,
    pub(super) commitment: Option<Commitment>,
    pub(super) ext: Ext,
}

impl Event {
    pub(super) fn read(mut fields: Fields) -> Result<Self, RowFault> {
        let subscription = fields.id("subscriptionid", "SubscriptionID")?;
        let customer = fields.id("customerid", "CustomerID")?;
        let written = fields.needed("dateofchange", "DateofChange")?;
        let (at, instant) = instant(&written).ok_or_else(|| {
            ("DateofChange", format!("`{written}` is no date and time such as 2025-06-11T09:30:00"))
        })?;
        let word = fields.needed("newstatus", "NewStatus")?;
        let status = self::status(&word).ok_or_else(|| {
            ("NewStatus", format!("`{word}` is none of Active, Suspended, Disabled and Deleted"))
        })?;
        let new = fields.quantity("newquantity", "NewQuantity")?;
        let cycle = fields.take("billingcycle").map(|word| cycle(&word)).transpose()?;
        let first = fields.day(["commitmentstartdate", "commitmentstart"], "CommitmentStartDate")?;
        let last = fields.day(["commitmentenddate", "commitmentend"], "CommitmentEndDate")?;
        if let (Some(first), Some(last)) = (first, last)
            && last < first
        {
            let reason = format!("the commitment ends on {last}, before it begins on {first}");
            return Err(("CommitmentEndDate", reason).into());
        }
        Ok(Self {
            id: format!("{subscription}|{written}|{}|{word}", new.display()),
            at,
            instant,
            customer,
            customer_name: fields.take("customername"),
            product: fields.id("productname", "ProductName")?,
            subscription,
            old: fields.quantity("oldquantity", "OldQuantity")?,
            new,
            old_status: fields.take("oldstatus").and_then(|word| self::status(&word)),
            status,
            old_price: fields.price("oldprice", "OldPrice")?,
            price: fields.price("newprice", "NewPrice")?,
            cost: fields.price("newcost", "NewCost")?,
            currency: fields.currency()?,
            cycle,
            commitment: first.map(|first| Commitment { first, last }),
            place: fields.place.clone(),
            ext: fields.rest(),
        })
    }

    /// Whether another row under the same name says the same.
    pub(super) fn says_the_same(&self, other: &Self) -> bool {
        (self.old, self.old_price, self.price, self.cost, &self.product, &self.customer, self.commitment)
            == (
                other.old,
                other.old_price,
                other.price,
                other.cost,
                &other.product,
                &other.customer,
                other.commitment,
            )
    }
}

/// The instant of a text without a zone: the day that is written stays.
fn instant(written: &str) -> Option<(String, Instant)> {
    let text = match written.len() {
        10 => format!("{written}T00:00:00Z"),
        _ => written.replacen(' ', "T", 1), // open set: lengths of a foreign text
    };
    let zoned = if parse_instant(&text).is_some() { text } else { format!("{text}Z") };
    let instant = parse_instant(&zoned)?;
    Some((zoned, instant))
}

fn cycle(word: &str) -> Result<BillingCycle, RowFault> {
    match plain(word).as_str() {
        "monthly" | "month" | "1month" => Ok(BillingCycle::MONTHLY),
        "yearly" | "annual" | "annually" | "year" | "1year" | "12months" => Ok(BillingCycle::YEARLY),
        _ => Err(RowFault {
            // Open set: words of a foreign system.
            code: "TU4004",
            field: "BillingCycle",
            reason: format!(
                "`{word}` is neither monthly nor yearly, and nothing else is billed of this source"
            ),
        }),
    }
}
