//! Renewals of what ends with its term: the days of the new term are billed whenever the renewal comes, and end with it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
use common::*;
use rstest::rstest;
use rust_decimal::Decimal;
use trueup_domain::feed::{BillingModel, Charge, OrderKind, ProductKind, Term};
use trueup_domain::ids::{SourceId, SubscriptionId};
use trueup_domain::period::{BillingCycle, Period};

fn dec(text: &str) -> Decimal {
    text.parse().unwrap()
}

fn month(number: u8) -> Period {
    period(&format!("2023-{number:02}-01"), &format!("2023-{:02}-01", number + 1))
}

fn term(lab: &mut Lab, start: &str, end: &str) {
    let key = (SourceId::from(SOURCE), SubscriptionId::from("s-1"));
    let term = Term { start: day(start), end: Some(day(end)), auto_renew: Some(true) };
    lab.subscriptions.get_mut(&key).unwrap().term = Some(term);
}

/// Five seats at 22.00 from January on, in a term up to March.
fn lab() -> Lab {
    let mut lab = Lab::monthly("2023-01-01", "2023-01-01");
    lab.set("line_mode", "commitment").set("credits", "on");
    lab.product("seat", 7, ProductKind::Seat, "22.00", "17.60");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2023-01-01");
    term(&mut lab, "2023-01-01", "2023-04-01");
    let sold = line("1", Charge::Recurring, "seat", "5", "22.00", "17.60");
    lab.run(&order("SO-1", OrderKind::Sales, "2023-01-01", month(1)).with(sold).0);
    lab
}

fn renewal(quantity: &str, price: &str) -> OrderDraft {
    let renewed = line("1", Charge::Recurring, "seat", quantity, price, "17.60");
    order("R-1", OrderKind::Renewal, "2023-04-01", month(4)).with(renewed)
}

fn invoices(lab: &mut Lab, count: usize) -> Decimal {
    (0..count).map(|_| dec(&lab.invoice(40))).sum()
}

/// The renewal comes before its term is invoiced, or months of it too late: they are caught up whole, since the line of the
/// term before bills none of them.
#[rstest]
fn a_renewal_bills_the_days_of_its_term_however_late_it_comes(
    #[values(3, 4, 5, 6, 7)] invoiced: usize,
    #[values(("5", "22.00"), ("7", "25.00"), ("3", "22.00"))] (quantity, price): (&str, &str),
    #[values("end_and_create", "edit_in_place")] form: &str,
) {
    let mut lab = lab();
    lab.set("quantity_change", form);
    let mut billed = invoices(&mut lab, invoiced);
    assert_eq!(billed, dec("330.00"), "the term before");
    term(&mut lab, "2023-04-01", "2023-07-01");
    lab.run(&renewal(quantity, price).0);
    billed += invoices(&mut lab, 8 - invoiced);
    assert_eq!(
        billed,
        dec("330.00") + dec("3") * dec(quantity) * dec(price),
        "April to June, and no day after"
    );
}

/// Changed in the last month of the term: whether that was invoiced before or not, the renewal ends what it finds with its
/// own term.
#[rstest]
fn a_renewal_dates_a_line_that_a_change_left_without_end(
    #[values(true, false)] invoiced: bool,
    #[values("end_and_create", "edit_in_place")] form: &str,
) {
    let mut lab = lab();
    lab.set("quantity_change", form);
    let mut billed = invoices(&mut lab, if invoiced { 3 } else { 2 });
    let change =
        order("C-1", OrderKind::Change, "2023-03-10", month(3)).change("1", "seat", 5, 6, "22.00", "17.60");
    lab.run(&change.0);
    billed += invoices(&mut lab, if invoiced { 0 } else { 1 });
    term(&mut lab, "2023-04-01", "2023-07-01");
    lab.run(&renewal("6", "22.00").0);
    billed += invoices(&mut lab, 5);
    // One more for 22 of 31 days of March, and six for three months.
    assert_eq!(billed, dec("330.00") + dec("15.61") + dec("396.00"));
}

/// Without a renewal nothing goes on after the term, whenever the change comes and whatever was invoiced by then; with one
/// that comes later, the next term begins with what the change left.
#[rstest]
fn a_change_in_the_last_month_of_a_term_leaves_nothing_after_it(
    #[values(2, 3, 4, 5)] invoiced: usize,
    #[values(true, false)] renewed: bool,
    #[values("end_and_create", "edit_in_place")] form: &str,
) {
    let mut lab = lab();
    lab.set("quantity_change", form);
    let mut billed = invoices(&mut lab, invoiced);
    let change =
        order("C-1", OrderKind::Change, "2023-03-10", month(3)).change("1", "seat", 5, 6, "22.00", "17.60");
    let shown = lab.run(&change.0);
    assert!(!shown.contains("..- "), "{shown}");
    if renewed {
        term(&mut lab, "2023-04-01", "2023-07-01");
        lab.run(&renewal("6", "22.00").0);
    }
    billed += invoices(&mut lab, 9 - invoiced);
    let next = if renewed { dec("396.00") } else { dec("0") };
    assert_eq!(billed, dec("330.00") + dec("15.61") + next, "{shown}");
}

/// The same change under two ids is billed once, also where no line is left that shows it; one that follows on it is billed.
#[rstest]
#[case::the_same(5, 6, true)]
#[case::the_next(6, 7, false)]
fn a_change_in_the_last_month_of_a_term_is_not_billed_twice(
    #[case] old: i64,
    #[case] new: i64,
    #[case] waits: bool,
) {
    let mut lab = lab();
    invoices(&mut lab, 3);
    let change = |id: &str, old, new| {
        order(id, OrderKind::Change, "2023-03-10", month(3)).change("1", "seat", old, new, "22.00", "17.60")
    };
    lab.run(&change("C-1", 5, 6).0);
    let again = lab.plan(&[&change("C-2", old, new).0]);
    assert_eq!(!again.changes.iter().any(|c| c.writes()), waits, "{}", show(&again));
    assert_eq!(show(&again).contains("TU5001 error"), waits, "{}", show(&again));
}
