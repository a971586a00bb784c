//! Rules of additions: defaults from the catalog, the two date rules, computed amounts and proration.

use jiff::civil::Date;
use rust_decimal::{Decimal, RoundingStrategy};

use crate::agreement::{last_day, next_invoice, places};
use crate::clock::day_text;
use crate::error::Detail;
use crate::json::Json;
use crate::normalize::Mode;
use crate::period::{Cycle, Period, days_between};
use crate::rules::{CancelledDate, ExtPrice};
use crate::schema::paths;
use crate::store::{Record, Row, World};

const BEFORE_START: &str = "effectiveDate cannot be less than the agreement billing start date";
const PERIOD_INVOICED: &str = "Since this period has already been invoiced there will not be an invoice generated \
for additional products for this period. Please prorate the agreement or update the start date to on or after the \
Next Invoice Date.";

/// Fills what a body left out.
pub(crate) fn fill(world: &World, agreement: i64, draft: &mut Record) {
    let zero = || Json::Dec(Decimal::ZERO);
    if let Some(item) = world.record_at(paths::CATALOG, draft.link("product")) {
        for (field, source) in [
            ("unitPrice", "price"),
            ("unitCost", "cost"),
            ("taxableFlag", "taxableFlag"),
            ("invoiceDescription", "customerDescription"),
            ("description", "description"),
            ("specialOrderFlag", "specialOrderFlag"),
        ] {
            if let Some(value) = item.get(source) {
                draft.default(field, value.clone());
            }
        }
    }
    draft.default("quantity", Json::Dec(Decimal::ONE));
    for field in ["lessIncluded", "unitPrice", "unitCost"] {
        draft.default(field, zero());
    }
    for field in ["taxableFlag", "purchaseItemFlag", "specialOrderFlag", "prorateCurrentPeriodFlag"] {
        draft.default(field, Json::Bool(false));
    }
    let siblings = world.table_at(paths::ADDITIONS).owned_by(agreement).count();
    draft.default("sequenceNumber", Json::Dec(Decimal::from(siblings + 1)));
    if draft.get("effectiveDate").is_none()
        && let Some(owner) = world.record_at(paths::AGREEMENTS, Some(agreement))
    {
        let floor =
            if owner.flag("prorateFlag") { owner.day("billStartDate") } else { next_invoice(world, owner) };
        let day = floor.unwrap_or(world.clock.today()).max(world.clock.today());
        draft.set("effectiveDate", Json::Str(day_text(day)));
    }
}

/// Checks a draft and rounds its prices to the places the tenant keeps.
pub(crate) fn check(
    world: &World,
    agreement: i64,
    draft: &mut Record,
    old: Option<&Record>,
    mode: Mode,
    details: &mut Vec<Detail>,
) {
    if let Some(places) = world.rules.price_decimals {
        for field in ["unitPrice", "unitCost"] {
            if draft.get(field).is_some() {
                draft.set(field, Json::Dec(round(draft.number(field), places)));
            }
        }
    }
    if mode == Mode::Seed {
        return;
    }
    let mut wrong = |field: &str, message: &str| {
        details.push(Detail::new("InvalidField", message, "addition", field));
    };
    let item = world.record_at(paths::CATALOG, draft.link("product"));
    if item.is_some_and(|item| item.text("productClass") == Some("Bundle")) {
        wrong("product/id", "Bundle products cannot be used on an addition.");
    }
    let Some(owner) = world.record_at(paths::AGREEMENTS, Some(agreement)) else { return };
    if let Some(effective) = draft.day("effectiveDate") {
        let redated = old.is_none_or(|old| old.get("effectiveDate") != draft.get("effectiveDate"));
        if owner.day("billStartDate").is_some_and(|start| effective < start) {
            wrong("effectiveDate", BEFORE_START);
        } else if redated
            && !owner.flag("prorateFlag")
            && !(prorates_itself(draft) && in_current_period(world, owner, effective))
            && next_invoice(world, owner).is_some_and(|next| effective < next)
        {
            wrong("effectiveDate", PERIOD_INVOICED);
        }
        if draft.day("cancelledDate").is_some_and(|cancelled| cancelled < effective) {
            wrong("cancelledDate", "cancelledDate cannot be less than effectiveDate");
        }
    }
}

/// An addition with `prorateCurrentPeriodFlag` is prorated in its first period although its agreement prorates
/// nothing, and may begin in the current period although that was invoiced.
pub(crate) fn prorates_itself(record: &Record) -> bool {
    record.flag("prorateCurrentPeriodFlag")
}

fn in_current_period(world: &World, owner: &Record, day: Date) -> bool {
    let current = Cycle::of(world, owner).and_then(|cycle| cycle.containing(world.clock.today()));
    current.is_some_and(|period| period.start <= day && day < period.end)
}

/// Whether an addition was invoiced: by a line of the ledger, or before the sandbox began, as far as a seed's next
/// invoice date tells.
pub(crate) fn is_invoiced(world: &World, row: &Row) -> bool {
    let owner = world.record_at(paths::AGREEMENTS, Some(row.parent));
    let before =
        !row.own && owner.and_then(|owner| next_invoice(world, owner)) > row.record.day("effectiveDate");
    before || world.all_billed().flat_map(|invoice| &invoice.lines).any(|line| line.addition == Some(row.id))
}

/// What the server works out for an addition.
pub(crate) fn computed(world: &World, row: &Row, name: &str) -> Option<Json> {
    let record = &row.record;
    Some(match name {
        "billedQuantity" => Json::Dec(billed_quantity(record)),
        "extPrice" => Json::Dec(extended(world, record, "unitPrice")),
        "extCost" => Json::Dec(extended(world, record, "unitCost")),
        "margin" => Json::Dec(extended(world, record, "unitPrice") - extended(world, record, "unitCost")),
        "uom" => {
            let item = world.record_at(paths::CATALOG, record.link("product"))?;
            let unit = world.record_at(paths::UNITS, item.link("unitOfMeasure"))?;
            unit.get("name").cloned().unwrap_or(Json::Null)
        }
        "proratePrice" => prorated(world, row, "unitPrice").map_or(Json::Null, Json::Dec),
        "prorateCost" => prorated(world, row, "unitCost").map_or(Json::Null, Json::Dec),
        "extendedProratePrice" => {
            prorated(world, row, "unitPrice").map_or(Json::Null, |unit| Json::Dec(times(unit, record)))
        }
        "extendedProrateCost" => {
            prorated(world, row, "unitCost").map_or(Json::Null, |unit| Json::Dec(times(unit, record)))
        }
        "agreementStatus" => status(world, record).into(),
        _ => return None,
    })
}

/// quantity - lessIncluded.
pub(crate) fn billed_quantity(record: &Record) -> Decimal {
    record.number("quantity").checked_sub(record.number("lessIncluded")).unwrap_or_default()
}

fn extended(world: &World, record: &Record, price: &str) -> Decimal {
    let quantity = match world.rules.ext_price {
        ExtPrice::Net => billed_quantity(record),
        ExtPrice::Gross => record.number("quantity"),
    };
    quantity.checked_mul(record.number(price)).unwrap_or_default()
}

fn times(unit: Decimal, record: &Record) -> Decimal {
    unit.checked_mul(billed_quantity(record)).unwrap_or_default()
}

/// Price or cost of a unit for the part of its first period, where the agreement or the addition prorates.
fn prorated(world: &World, row: &Row, price: &str) -> Option<Decimal> {
    let owner = world.record_at(paths::AGREEMENTS, Some(row.parent))?;
    if !owner.flag("prorateFlag") && !prorates_itself(&row.record) {
        return None;
    }
    let effective = row.record.day("effectiveDate")?;
    let period = Cycle::of(world, owner)?.containing(effective)?;
    let days = i64::from(days_between(effective, period.end));
    share(row.record.number(price), days, period, places(world, owner))
}

/// Part of a price: price x days / days of the period, rounded half up. The whole period is the whole price,
/// unrounded.
pub(crate) fn share(price: Decimal, days: i64, period: Period, places: u32) -> Option<Decimal> {
    if days == period.days() {
        return Some(price);
    }
    let part = price.checked_mul(Decimal::from(days))?.checked_div(Decimal::from(period.days()))?;
    Some(round(part, places))
}

/// Rounds half up, away from zero.
pub(crate) fn round(number: Decimal, places: u32) -> Decimal {
    number.round_dp_with_strategy(places, RoundingStrategy::MidpointAwayFromZero)
}

/// The last day an addition bills, by its own dates and the agreement's.
pub(crate) fn last_billed_day(world: &World, owner: &Record, record: &Record) -> Option<Date> {
    let cancelled = record.day("cancelledDate").and_then(|day| match world.rules.cancelled_date_is {
        CancelledDate::LastBilledDay => Some(day),
        CancelledDate::FirstUnbilledDay => day.yesterday().ok(),
    });
    [cancelled, last_day(owner)].into_iter().flatten().min()
}

fn status(world: &World, record: &Record) -> &'static str {
    let today = world.clock.today();
    let ended = record.day("cancelledDate").is_some_and(|day| match world.rules.cancelled_date_is {
        CancelledDate::LastBilledDay => day < today,
        CancelledDate::FirstUnbilledDay => day <= today,
    });
    if ended {
        "Cancelled"
    } else if record.day("effectiveDate").is_some_and(|day| day > today) {
        "Inactive"
    } else {
        "Active"
    }
}
