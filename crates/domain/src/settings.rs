//! The settings that decide what is written: one table with key, default, allowed values and meaning, and the typed
//! values read from it. A new setting is one row here and one field in [`Settings`].

mod table;
mod values;

pub use table::{SETTINGS, SettingError, SettingRow, ValueKind, addresses, row_of};
pub use values::*;

use crate::approval::{self, Policy};
use crate::mapping_rules::{ByRule, ItemRule, MappingRules, Sign};
use crate::money::RoundingMode;
use crate::proration::DayCount;
use crate::quantity;
use crate::schedule::{self, Cadence};
use jiff::civil::Date;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// When a run stops and asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Brakes {
    /// Percent of the open additions that may end or change.
    pub percent: Decimal,
    /// How many additions may end.
    pub cancels: Decimal,
    /// Percent of the monthly value that may move.
    pub value_percent: Decimal,
    /// Below this many changes the percentages do not count.
    pub min_changes: Decimal,
}

/// The settings of an organization, typed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Where price and cost come from.
    pub price_source: PriceSource,
    /// Where a prorated amount is rounded.
    pub rounding_place: RoundingPlace,
    /// How days are counted.
    pub day_count: DayCount,
    /// Who bills a part period.
    pub proration_by: ProrationBy,
    /// How a part period is shown.
    pub line_mode: LineMode,
    /// How a prorated amount is rounded.
    pub rounding_mode: RoundingMode,
    /// To which state the day of a change belongs.
    pub change_day: ChangeDay,
    /// Whether credits are written.
    pub credits: Switch,
    /// How a change of quantity is written.
    pub quantity_change: QuantityChange,
    /// What the cancelled date means on this tenant.
    pub cancelled_date: CancelledDate,
    /// Where the key lives.
    pub marker: MarkerPlace,
    /// Whether automatic runs create catalog items.
    pub create_missing_products: Switch,
    /// Whether a line's text is the product's name alone.
    pub trim_descriptions: Switch,
    /// The day before which nothing is billed by trueup.
    pub go_live: Option<Date>,
    /// Rounding drift of one line that is worth a warning.
    pub rounding_tolerance: Decimal,
    /// A unit price that moves by more percent is told; none where it does not count.
    pub price_limit_percent: Option<Decimal>,
    /// A price that leaves less percent of itself over the cost is told; none where it does not count.
    pub margin_floor_percent: Option<Decimal>,
    /// When a run stops and asks.
    pub brakes: Brakes,
    /// Who has to say yes.
    pub approval: Policy,
    /// How many hours a validation may be uploaded; 0 for ever.
    pub validation_hours: u32,
    /// How long an operation in doubt waits, in seconds.
    pub settle_seconds: u64,
    /// How many calls to ConnectWise are under way at once; none finds out.
    pub calls_at_once: Option<u32>,
    /// In how many pulls of what changed every agreement is read at least once.
    pub rotation: u32,
    /// Whether a sync by schedule writes for the customers alone that are mapped so.
    pub chosen_customers: bool,
    /// How many days back a source can still tell what was sold; 0 for ever.
    pub source_keeps_days: u32,
    /// What may be mapped to the same.
    pub mapping: MappingRules,
    /// What is mapped by itself.
    pub mapping_by: ByRule,
    /// Whether anything is billed.
    pub billing: bool,
    /// Whether tickets are made of alerts.
    pub alerts: bool,
    /// How quantities of what is only counted are kept right.
    pub quantity: quantity::Policy,
}

impl Settings {
    /// Reads typed settings; keys that are missing take their defaults.
    ///
    /// # Errors
    /// [`SettingError`] for a key or value that the table does not know.
    pub fn from_values(values: &BTreeMap<String, String>) -> Result<Self, SettingError> {
        for (key, value) in values {
            row_of(key)?.check(value)?;
        }
        let text = |key: &str| {
            let default = row_of(key).map_or("", |row| row.default);
            values.get(key).map_or(default, String::as_str)
        };
        let number = |key: &str| text(key).parse::<Decimal>().unwrap_or_default();
        Ok(Self {
            price_source: if text("price_source") == "connectwise" {
                PriceSource::Connectwise
            } else {
                PriceSource::Marketplace
            },
            rounding_place: if text("rounding_place") == "line" {
                RoundingPlace::Line
            } else {
                RoundingPlace::Unit
            },
            day_count: match text("day_count") {
                "actual_30" => DayCount::Actual30,
                "strict_30_360" => DayCount::Strict30360,
                "seconds" => DayCount::Seconds,
                "none" => DayCount::None,
                "cloudblue_literal" => DayCount::CloudblueLiteral,
                _ => DayCount::Actual, // open set: text, checked above
            },
            proration_by: match text("proration_by") {
                "connectwise" => ProrationBy::Connectwise,
                "none" => ProrationBy::None,
                _ => ProrationBy::Trueup, // open set: text, checked above
            },
            line_mode: match text("line_mode") {
                "single" => LineMode::Single,
                "dual" => LineMode::Dual,
                "commitment" => LineMode::Commitment,
                _ => LineMode::ProrateLine, // open set: text, checked above
            },
            rounding_mode: match text("rounding_mode") {
                "half_even" => RoundingMode::HalfEven,
                "floor" => RoundingMode::Floor,
                "ceil" => RoundingMode::Ceil,
                _ => RoundingMode::HalfUp, // open set: text, checked above
            },
            change_day: if text("change_day") == "old" { ChangeDay::Old } else { ChangeDay::New },
            credits: switch(text("credits")),
            quantity_change: if text("quantity_change") == "edit_in_place" {
                QuantityChange::EditInPlace
            } else {
                QuantityChange::EndAndCreate
            },
            cancelled_date: if text("cancelled_date") == "first_unbilled_day" {
                CancelledDate::FirstUnbilledDay
            } else {
                CancelledDate::LastBilledDay
            },
            marker: marker(text("marker")),
            create_missing_products: switch(text("create_missing_products")),
            trim_descriptions: switch(text("trim_descriptions")),
            go_live: text("go_live").parse().ok(),
            rounding_tolerance: number("rounding_tolerance"),
            price_limit_percent: text("price_limit_percent").parse().ok(),
            margin_floor_percent: text("margin_floor_percent").parse().ok(),
            brakes: Brakes {
                percent: number("brakes.percent"),
                cancels: number("brakes.cancels"),
                value_percent: number("brakes.value_percent"),
                min_changes: number("brakes.min_changes"),
            },
            approval: Policy {
                persons: text("approval.persons").parse().unwrap_or(0),
                amount: text("approval.amount").parse().ok(),
                percent: text("approval.percent").parse().ok(),
                new: text("approval.new") == "on",
                decrease: text("approval.decrease") == "on",
                cancel: text("approval.cancel") == "on",
                two_above: text("approval.two_above").parse().ok(),
                by_maker: text("approval.self") == "on",
                days: text("approval.days").parse().unwrap_or(30),
                except: approval::parse_exceptions(text("approval.except")).unwrap_or_default(),
            },
            validation_hours: text("validation.hours").parse().unwrap_or(24),
            settle_seconds: text("apply.settle_seconds").parse().unwrap_or(120),
            calls_at_once: text("calls.at_once").parse().ok(),
            rotation: text("observe.rotation").parse().unwrap_or(7),
            chosen_customers: text("schedule.customers") == "chosen",
            source_keeps_days: text("source.keeps_days").parse().unwrap_or(0),
            billing: text("billing") == "on",
            alerts: text("alerts") == "on",
            quantity: quantity::Policy {
                ticked_only: text("quantity.customers") == "ticked",
                takes_over: text("quantity.adopt") == "take",
                creates: text("quantity.create_missing") == "on",
                decrease: match text("quantity.decrease") {
                    "hold" => quantity::Decrease::Hold,
                    "never" => quantity::Decrease::Never,
                    _ => quantity::Decrease::Follow, // open set: text, checked above
                },
                fall_percent: number("quantity.fall_percent"),
                drop_percent: text("quantity.drop_percent").parse().ok(),
                stale_days: text("quantity.stale_days").parse().unwrap_or(7),
                with_children: text("quantity.children") == "without_company",
                before_invoice_days: text("quantity.before_invoice_days").parse().ok(),
                usage_of_this_month: text("quantity.usage_month") == "current",
                push_day: match Cadence::parse(text("schedule.quantity")) {
                    Some(Cadence::Monthly(day, _)) => Some(day),
                    Some(Cadence::Off | Cadence::Minutes(_) | Cadence::Daily(_)) | None => None,
                },
                zone: schedule::time_zone(text("schedule.time_zone")).unwrap_or(jiff::tz::TimeZone::UTC),
            },
            mapping_by: ByRule {
                customers: Sign::from_name(text("mapping.customers_by")),
                products: Sign::from_name(text("mapping.products_by")),
            },
            mapping: MappingRules {
                several_customers: text("mapping.customer_company") == "many",
                several_agreements: text("mapping.product_agreement") == "many",
                item: match text("mapping.product_item") {
                    "one" => ItemRule::One,
                    "many" => ItemRule::Many,
                    _ => ItemRule::Agreement, // open set: text, checked above
                },
                month_or_year: text("mapping.cycles") == "month_year",
                release_first: text("mapping.again") == "release_first",
            },
        })
    }
}

impl Default for Settings {
    fn default() -> Self {
        // The table's own defaults are valid: a test reads each of them.
        Self::from_values(&BTreeMap::new()).unwrap_or_else(|_| unreachable!("no value was given"))
    }
}

fn switch(text: &str) -> Switch {
    if text == "on" { Switch::On } else { Switch::Off }
}

fn marker(text: &str) -> MarkerPlace {
    match text.strip_prefix("custom_field:") {
        Some(caption) => MarkerPlace::CustomField(caption.trim().to_owned()),
        None if text == "serial_number" => MarkerPlace::SerialNumber,
        None if text == "none" => MarkerPlace::None,
        None => MarkerPlace::Auto,
    }
}
