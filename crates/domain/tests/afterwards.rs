//! Subscriptions that are charged after their period: what a cancellation charges of the days that were used is billed as a
//! billing order's lines are, since no line of theirs goes on.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
use common::*;
use rstest::rstest;
use trueup_domain::feed::{BillingModel, Charge, OrderKind, OrderLine, ProductKind};
use trueup_domain::finding::Code;
use trueup_domain::period::{BillingCycle, Period};

fn march() -> Period {
    period("2023-03-01", "2023-04-01")
}

fn lab(model: BillingModel, next: &str, prorates: bool) -> Lab {
    let mut lab = Lab::monthly("2023-01-01", next);
    lab.product("seat", 7, ProductKind::Seat, "22.00", "17.60");
    lab.subscription("s-1", BillingCycle::MONTHLY, model, "2023-01-01");
    lab.agreement_mut(40).prorates = prorates;
    lab
}

fn amount(charge: Charge, amount: &str) -> OrderLine {
    let mut used = line("1", charge, "seat", "1", "", "");
    used.amount = Some(amount.parse().unwrap());
    used.cost_amount = Some("40.00".parse().unwrap());
    used
}

fn cancel(used: OrderLine) -> OrderDraft {
    order("CL-1", OrderKind::Cancellation, "2023-03-20", march()).with(used)
}

#[rstest]
#[case::arrears(BillingModel::Arrears, "67.42")]
#[case::rated_outside(BillingModel::ExternalRating, "83.17")]
fn the_used_days_of_a_cancellation_are_billed_once(
    #[case] model: BillingModel,
    #[case] used: &str,
    #[values(Charge::Recurring, Charge::Prorate)] charge: Charge,
    #[values("2023-03-01", "2023-04-01")] next: &str,
    #[values(false, true)] prorates: bool,
    #[values("trueup", "connectwise", "none")] by: &str,
) {
    let mut lab = lab(model, next, prorates);
    lab.set("proration_by", by);
    let shown = lab.run(&cancel(amount(charge, used)).0);
    assert!(!shown.contains("TU6005"), "{shown}");
    assert!(shown.contains(&format!("1 x {used} cost 40.00")), "{shown}");
    // What is invoiced already moves to the open period, and says so.
    assert_eq!(shown.contains("TU4002"), next == "2023-04-01", "{shown}");
    assert_eq!([0; 2].map(|_| lab.invoice(40)), [used, "0"]);
}

/// Without an amount its days of the period count, rounded as any part is.
#[rstest]
fn without_an_amount_the_days_count(#[values(false, true)] prorates: bool) {
    let mut lab = lab(BillingModel::Arrears, "2023-04-01", prorates);
    lab.run(&cancel(line("1", Charge::Recurring, "seat", "8", "22.00", "17.60")).0);
    // 8 x 22.00 x 19/31.
    assert_eq!([0; 2].map(|_| lab.invoice(40)), ["107.84", "0"]);
}

/// What billing orders charged of the months before stays beside it.
#[rstest]
fn it_is_billed_beside_the_months_before(#[values(false, true)] prorates: bool) {
    let mut lab = lab(BillingModel::Arrears, "2023-03-01", prorates);
    let february = order("BO-1", OrderKind::Billing, "2023-03-01", period("2023-02-01", "2023-03-01"));
    lab.run(&february.with(amount(Charge::Recurring, "100.00")).0);
    lab.run(&cancel(amount(Charge::Recurring, "67.42")).0);
    assert_eq!([0; 2].map(|_| lab.invoice(40)), ["167.42", "0"]);
}

/// A line that bills the days says so; where none is known to, the amount is told and never lost.
#[rstest]
fn of_what_is_charged_in_advance_only_a_line_bills_the_used_days(#[values(false, true)] sold: bool) {
    let mut lab = lab(BillingModel::Advance, "2023-02-01", false);
    if sold {
        let january = period("2023-01-01", "2023-02-01");
        let sale = order("SO-1", OrderKind::Sales, "2023-01-01", january);
        lab.run(&sale.with(line("1", Charge::Recurring, "seat", "5", "22.00", "17.60")).0);
    }
    lab.agreement_mut(40).next_invoice = Some(day("2023-04-01"));
    let draft = lab.plan(&[&cancel(amount(Charge::Recurring, "67.42")).0]);
    let told = draft.findings.iter().find(|f| f.code == Code::Tu6005).unwrap();
    assert_eq!(told.amount.map(|a| a.0.to_string()).as_deref(), (!sold).then_some("67.42"), "{told:?}");
    assert_eq!(told.message.contains("its own line bills it"), sold, "{told:?}");
}

/// A second cancellation for another day charges its used days instead of those of the first, never beside them.
#[rstest]
fn two_cancellations_do_not_charge_the_same_days(
    #[values(false, true)] prorates: bool,
    #[values("2023-03-10", "2023-03-25", "2023-04-05")] on: &str,
) {
    let mut lab = lab(BillingModel::Arrears, "2023-03-01", prorates);
    lab.run(&cancel(amount(Charge::Recurring, "67.42")).0);
    let of = if on < "2023-04-01" { march() } else { period("2023-04-01", "2023-05-01") };
    let mut again = order("CL-2", OrderKind::Cancellation, on, of).with(amount(Charge::Recurring, "81.00")).0;
    again.completed_us += 100;
    let draft = lab.plan(&[&again]);
    assert!(draft.changes.iter().all(|c| !c.writes()), "{}", show(&draft));
    assert!(draft.findings.iter().any(|f| f.code == Code::Tu5001), "{:#?}", draft.findings);
}

/// The same where the later one was carried out first.
#[test]
fn a_cancellation_that_comes_late_charges_no_day_again() {
    let mut lab = lab(BillingModel::Arrears, "2023-03-01", false);
    let mut later = order("CL-2", OrderKind::Cancellation, "2023-03-25", march())
        .with(amount(Charge::Recurring, "81.00"))
        .0;
    let late = cancel(amount(Charge::Recurring, "67.42")).0;
    later.completed_us = late.completed_us + 100;
    lab.run(&later);
    let draft = lab.plan(&[&late]);
    assert!(draft.changes.iter().all(|c| !c.writes()), "{}", show(&draft));
}

/// It ends on the first day of a period: none of it was used, and what the days would cost is not billed.
#[test]
fn a_cancellation_on_the_first_day_charges_none() {
    let mut lab = lab(BillingModel::Arrears, "2023-03-01", false);
    let first = order("CL-1", OrderKind::Cancellation, "2023-03-01", march());
    let draft = lab.plan(&[&first.with(line("1", Charge::Recurring, "seat", "8", "22.00", "17.60")).0]);
    assert!(draft.changes.iter().all(|c| !c.writes()), "{}", show(&draft));
    assert_eq!(lab.invoice(40), "0");
}
