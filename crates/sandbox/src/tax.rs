//! Sales tax of an agreement invoice.
//!
//! Kept to what a test of invoices needs: the first level of the agreement's tax code, on the lines that are taxable
//! (`taxableFlag` of an addition, `taxable` of the agreement for its base amount). `levelOneRate` is in percent, so
//! 8.25 is 8.25 %; with the type `Amount` it is added once to an invoice that has a taxable line. The tax is rounded
//! once an invoice. Further levels, caps, and exceptions by product type are left out.

use jiff::civil::Date;
use rust_decimal::Decimal;

use crate::addition::round;
use crate::ledger::BilledLine;
use crate::schema::paths;
use crate::store::{Record, World};

/// The tax on the lines of an invoice of this day.
pub(crate) fn sales_tax(
    world: &World,
    owner: &Record,
    lines: &[BilledLine],
    date: Date,
    places: u32,
) -> Decimal {
    let Some(code) = world.record_at(paths::TAX_CODES, owner.link("taxCode")) else { return Decimal::ZERO };
    let begun = code.day("effectiveDate").is_none_or(|first| first <= date);
    let ended = code.day("cancelDate").is_some_and(|last| last < date);
    let taxable: Decimal = lines.iter().filter(|line| line.taxable).map(|line| line.amount).sum();
    if !begun || ended || taxable.is_zero() {
        return Decimal::ZERO;
    }
    let rate = code.number("levelOneRate");
    match code.text("levelOneRateType") {
        Some("Amount") => round(rate, places),
        _ => {
            let tax = taxable.checked_mul(rate).and_then(|tax| tax.checked_div(Decimal::ONE_HUNDRED));
            round(tax.unwrap_or_default(), places)
        }
    }
}
