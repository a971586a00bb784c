//! The columns of a bill, and what can be wrong with a row.

use crate::fields::is_plain_decimal;
use crate::input::table;
use crate::json::{Kind, Room, Value};
use crate::time::{midnight_micros, parse_date, parse_instant};
use jiff::civil::Date;
use std::collections::HashMap;

/// What FOCUS writes for "no value", unquoted; a CSV reader sees the text.
pub(super) const NULL: &str = "NULL";

const REQUIRED: [&str; 9] = [
    "BilledCost",
    "EffectiveCost",
    "BillingAccountId",
    "SubAccountId",
    "ProviderName",
    "ServiceName",
    "BillingCurrency",
    "BillingPeriodStart",
    "BillingPeriodEnd",
];

const NUMERIC: [&str; 8] = [
    "BilledCost",
    "EffectiveCost",
    "ListCost",
    "ContractedCost",
    "ListUnitPrice",
    "ContractedUnitPrice",
    "ConsumedQuantity",
    "PricingQuantity",
];

const FREQUENCIES: [&str; 3] = ["One-Time", "Recurring", "Usage-Based"];

/// Where each column stands.
pub(super) struct Columns {
    names: Vec<String>,
    places: HashMap<String, usize>,
}

impl Columns {
    /// Reads the header.
    pub(super) fn find(cells: &table::Row, text: &str) -> Result<Self, String> {
        let names: Vec<String> =
            (0..cells.len()).map(|i| cells.cell(text, i).unwrap_or_default().trim().to_owned()).collect();
        let mut places = HashMap::new();
        for (index, name) in names.iter().enumerate() {
            if places.insert(name.clone(), index).is_some() {
                return Err(format!("the column `{name}` stands twice in the header; take one out"));
            }
        }
        let missing: Vec<&str> = REQUIRED.into_iter().filter(|name| !places.contains_key(*name)).collect();
        if missing.is_empty() {
            Ok(Self { names, places })
        } else {
            Err(format!("the header lacks {}; is this a FOCUS 1.0 file with commas?", missing.join(", ")))
        }
    }

    pub(super) fn width(&self) -> usize {
        self.names.len()
    }
}

/// One charge.
pub(super) struct Row<'t> {
    pub(super) columns: &'t Columns,
    pub(super) cells: &'t table::Row,
    pub(super) text: &'t str,
}

/// A moment of a bill: FOCUS writes UTC, with or without saying so.
pub(super) fn moment(text: &str) -> Option<(Date, i64)> {
    if let Some(date) = parse_date(text) {
        return Some((date, midnight_micros(date)));
    }
    let instant = if text.len() == 19 { parse_instant(&format!("{text}Z")) } else { parse_instant(text) };
    instant.map(|instant| (instant.date, instant.micros))
}

impl<'t> Row<'t> {
    /// The cell of a column, if the file has the column.
    pub(super) fn cell(&self, name: &str) -> Option<&'t str> {
        self.columns.places.get(name).and_then(|place| self.cells.cell(self.text, *place))
    }

    /// The cell of a column, unless it says nothing.
    pub(super) fn filled(&self, name: &str) -> Option<&'t str> {
        self.cell(name).filter(|text| *text != NULL && !text.trim().is_empty())
    }

    /// What is wrong with the row without touching its amount, each as `Column: fault`.
    pub(super) fn faults(&self, room: &mut Room) -> Vec<String> {
        let mut faults = Vec::new();
        for name in NUMERIC {
            match self.cell(name) {
                Some(NULL) => faults.push(format!("{name}: NULL in a numeric column")),
                Some(text) if !is_plain_decimal(text.as_bytes()) => {
                    faults.push(format!("{name}: not a plain decimal"));
                }
                Some(_) | None => {}
            }
        }
        for (index, name) in self.columns.names.iter().enumerate() {
            if self.cells.cell(self.text, index).is_some_and(str::is_empty) {
                faults.push(format!("{name}: empty text instead of NULL"));
            }
        }
        if let Some(text) = self.cell("ChargeFrequency").filter(|text| !FREQUENCIES.contains(text)) {
            faults.push(format!("ChargeFrequency: spelled {text}"));
        }
        if self.cell("AvailabilityZone").is_some_and(|text| is_plain_decimal(text.as_bytes())) {
            faults.push("AvailabilityZone: holds a number (a unit price)".to_owned());
        }
        if let Some(tags) = self.cell("Tags").filter(|text| *text != NULL) {
            tag_faults(tags, room, &mut faults);
        }
        if self.cell("SkuPriceId") == Some(NULL) {
            faults.push("SkuPriceId: NULL".to_owned());
        }
        if self.filled("SubAccountId").is_none() {
            faults.push("SubAccountId: none, so the billing account is the customer".to_owned());
        }
        self.period_faults(&mut faults);
        if self.cell("BilledCost").is_some_and(|text| text.starts_with('-')) {
            faults.push("BilledCost: negative".to_owned());
        }
        faults
    }

    fn period_faults(&self, faults: &mut Vec<String>) {
        let micros = |name: &str| self.cell(name).map(|text| moment(text).map(|(_, micros)| micros));
        let (Some(from), Some(until)) = (micros("ChargePeriodStart"), micros("ChargePeriodEnd")) else {
            return;
        };
        let (Some(start), Some(end)) =
            (micros("BillingPeriodStart").flatten(), micros("BillingPeriodEnd").flatten())
        else {
            return;
        };
        match (from, until) {
            (Some(from), Some(until)) if start <= from && from < until && until <= end => {}
            (Some(_), Some(_)) => faults.push("ChargePeriod lies outside BillingPeriod".to_owned()),
            (Some(_) | None, _) => faults.push("ChargePeriodStart: not a date and time".to_owned()),
        }
    }
}

fn tag_faults(tags: &str, room: &mut Room, faults: &mut Vec<String>) {
    match room.parse(tags) {
        Err(error) if error.what.contains("stands twice") => {
            faults.push("Tags: the same key twice".to_owned())
        }
        Err(_) => faults.push("Tags: not JSON".to_owned()),
        Ok(value) => {
            if padded_key(value) {
                faults.push("Tags: two keys that differ only by a blank".to_owned());
            }
            if value.kind() != Kind::Object {
                faults.push("Tags: not a JSON object".to_owned());
            }
        }
    }
}

/// Whether a key inside begins or ends with a blank. Recursion ends at the depth that the reader lets through.
fn padded_key(value: Value<'_>) -> bool {
    value.children().any(|child| {
        let key = child.key();
        (value.kind() == Kind::Object && key.trim() != key) || padded_key(child)
    })
}
