//! What the marketplace charges for the month, worked out from its own orders and from nothing that trueup computed,
//! against what the sandbox invoiced.

use super::orders::{DAYS, LAST_USE, part};
use super::world::{COMPANIES, Company, Currency, Event, FEE, ONBOARDING, PHONE, STORAGE, SUITE, SUITE_YEAR};
use crate::output::Output;
use rust_decimal::Decimal;
use serde_json::Value;
use std::collections::BTreeMap;

/// What the marketplace charges a company for the month. It gives nothing back in the middle of a period: what was
/// sold is charged to its end, except for a cancelled suite, of which the used days alone are charged.
pub fn of_marketplace(company: &Company) -> Decimal {
    let price = SUITE.price(company.currency);
    let seats = Decimal::from(company.seats);
    let mut suite = price * seats;
    let mut others = Decimal::ZERO;
    for event in company.events {
        match *event {
            Event::Starts(day) => suite = part(price, days_from(day)) * seats,
            Event::Grows(day, more) => others += part(price, days_from(day)) * Decimal::from(more),
            Event::Cancels(day) => {
                suite = part(price, i64::from(day) - 1) * seats;
                others += FEE.price(company.currency);
                others += STORAGE.price(company.currency) * Decimal::from(LAST_USE);
            }
            Event::Setup => others += ONBOARDING.price(company.currency),
            Event::Uses(units) => others += STORAGE.price(company.currency) * Decimal::from(units),
            Event::Renews(_, after) => others += SUITE_YEAR.price(company.currency) * Decimal::from(after),
            // The company that takes the lines over pays from the next month on.
            Event::HandsOver(lines, _, _) => others += PHONE.price(company.currency) * Decimal::from(lines),
            Event::ByHand => {}
        }
    }
    suite + others
}

/// Days from a day of the month to its end.
fn days_from(day: i8) -> i64 {
    DAYS - i64::from(day) + 1
}

/// The totals of the invoices by agreement; none where the ledger cannot be read.
fn invoiced(ledger: &Value) -> Option<BTreeMap<i64, Decimal>> {
    let mut totals = BTreeMap::new();
    for invoice in ledger.as_array()? {
        let agreement = invoice.get("agreement_id")?.as_i64()?;
        let total: Decimal = invoice.get("total")?.to_string().parse().ok()?;
        *totals.entry(agreement).or_insert(Decimal::ZERO) += total;
    }
    Some(totals)
}

/// Prints company by company what was charged and what was invoiced; whether all of it is equal.
pub fn compare(out: Output, ledger: &Value) -> bool {
    let Some(invoices) = invoiced(ledger) else {
        out.line("The invoices of the sandbox cannot be read.");
        return false;
    };
    let mut sums: BTreeMap<Currency, (Decimal, Decimal)> = BTreeMap::new();
    let mut rows = Vec::new();
    let mut equal = 0_usize;
    for company in &COMPANIES {
        let charged = of_marketplace(company);
        let billed: Decimal = company.agreements().filter_map(|id| invoices.get(&id)).copied().sum();
        let sum = sums.entry(company.currency).or_default();
        *sum = (sum.0 + charged, sum.1 + billed);
        equal += usize::from(charged == billed);
        rows.push(row(company.name, company.currency, charged, billed));
    }
    for (currency, (charged, billed)) in sums {
        rows.push(row("Total", currency, charged, billed));
    }
    out.table(&["company", "currency", "marketplace", "invoice", "difference", ""], rows);
    let all = equal == COMPANIES.len();
    let verdict = if all { "all invoices are equal to the charges" } else { "they differ" };
    out.line(&format!("{equal} of {} companies: {verdict}.", COMPANIES.len()));
    all
}

fn row(name: &str, currency: Currency, charged: Decimal, billed: Decimal) -> Vec<String> {
    let verdict = if charged == billed { "equal" } else { "DIFFERENT" };
    let mut cells = vec![name.to_owned(), currency.code().to_owned()];
    cells.extend([charged, billed, billed - charged].map(|amount| format!("{amount:.2}")));
    cells.push(verdict.to_owned());
    cells
}
