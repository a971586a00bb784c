//! Orders whose period is a whole term: sold for a year, billed by the month. They are planned as the same orders are
//! that name the billing period in which they take effect.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
use common::*;
use rstest::rstest;
use trueup_domain::feed::{BillingModel, Charge, OrderKind, ProductKind, Term};
use trueup_domain::finding::Code;
use trueup_domain::period::{BillingCycle, Period};
use trueup_domain::plan::{Role, TaskOutcome};

/// Five of `x` at 22.00, sold with the subscription's first period, and two months invoiced.
fn sold(sale: Period) -> (Lab, String) {
    let mut lab = Lab::monthly("2025-01-01", "2025-01-01");
    lab.set("credits", "on");
    lab.product("x", 7, ProductKind::Seat, "22.00", "17.60");
    lab.product("y", 8, ProductKind::Seat, "40.00", "30.00");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2025-01-01");
    lab.today = day("2025-01-02");
    let sale = order("SO", OrderKind::Sales, "2025-01-01", sale).with(line(
        "1",
        Charge::Recurring,
        "x",
        "5",
        "22.00",
        "17.60",
    ));
    let mut shown = lab.run(&sale.0);
    for _ in 0..3 {
        shown.push_str(&format!("invoice {}\n", lab.invoice(40)));
    }
    lab.today = day("2025-03-20");
    (lab, shown)
}

fn told(sale: Period, order: OrderDraft) -> String {
    let (mut lab, mut shown) = sold(sale);
    shown.push_str(&lab.run(&order.0));
    for _ in 0..3 {
        shown.push_str(&format!("invoice {}\n", lab.invoice(40)));
    }
    shown
}

type Made = fn(OrderDraft) -> OrderDraft;

#[rstest]
#[case::up(OrderKind::Change, "2025-03-12", |o: OrderDraft| o.change("1", "x", 5, 8, "22.00", "17.60"))]
#[case::down(OrderKind::Change, "2025-03-12", |o: OrderDraft| o.change("1", "x", 5, 3, "22.00", "17.60"))]
#[case::at_the_start(OrderKind::Change, "2025-03-01", |o: OrderDraft| o.change("1", "x", 5, 8, "22.00", "17.60"))]
#[case::price(OrderKind::Change, "2025-03-12", |o: OrderDraft| o.change("1", "x", 5, 5, "24.00", "17.60"))]
#[case::added(OrderKind::Change, "2025-03-12", |o: OrderDraft| o.change("1", "y", 0, 2, "40.00", "30.00"))]
#[case::switched(OrderKind::Change, "2025-03-12", |o: OrderDraft| {
    o.change("1", "x", 5, 0, "22.00", "17.60").change("2", "y", 0, 5, "40.00", "30.00")
})]
#[case::cancelled(OrderKind::Cancellation, "2025-03-12", |o: OrderDraft| o)]
fn a_term_is_planned_as_the_billing_period_in_it(
    #[case] kind: OrderKind,
    #[case] on: &str,
    #[case] made: Made,
    #[values("2026-01-01", "2028-01-01", "2025-07-01")] end: &str,
) {
    let month = |month: &str, next: &str| period(month, next);
    let of_month = told(
        month("2025-01-01", "2025-02-01"),
        made(order("CH", kind, on, month("2025-03-01", "2025-04-01"))),
    );
    let term = period("2025-01-01", end);
    let of_term = told(term, made(order("CH", kind, on, term)));
    assert_eq!(of_term, of_month);
}

/// A term that is renewed begins with its first billing period; a line may name the term as well.
#[test]
fn a_renewal_for_a_term() {
    let renewed = |days: Period| {
        let mut renewal =
            order("RE", OrderKind::Renewal, "2025-03-20", days).change("1", "x", 5, 7, "23.00", "17.60");
        renewal.0.lines[0].period = Some(days);
        told(period("2025-01-01", "2025-04-01"), renewal)
    };
    let shown = renewed(period("2025-04-01", "2026-04-01"));
    assert_eq!(shown, renewed(period("2025-04-01", "2025-05-01")));
    assert!(shown.ends_with("invoice 161.00\n"), "{shown}");
}

/// What nobody can know is asked: a term that is no whole number of billing periods, and an amount that may be that of
/// one billing period or that of all.
#[rstest]
#[case::of_all("2026-01-01", Some("1320.00"), true)]
#[case::of_one("2026-01-01", Some("110.00"), false)]
#[case::one_and_a_half("2025-02-15", None, true)]
#[case::ten_days_more("2025-03-11", None, true)]
#[case::some_days_more("2025-02-03", None, false)]
fn what_cannot_be_told_waits(#[case] end: &str, #[case] amount: Option<&str>, #[case] waits: bool) {
    let mut lab = Lab::monthly("2025-01-01", "2025-01-01");
    lab.product("x", 7, ProductKind::Seat, "22.00", "17.60");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2025-01-01");
    lab.today = day("2025-01-02");
    let mut sale = order("SO", OrderKind::Sales, "2025-01-01", period("2025-01-01", end)).with(line(
        "1",
        Charge::Recurring,
        "x",
        "5",
        "22.00",
        "17.60",
    ));
    sale.0.lines[0].amount = amount.map(|amount| amount.parse().unwrap());
    let draft = lab.plan(&[&sale.0]);
    let told = draft.findings.iter().any(|f| f.code == Code::Tu4006);
    assert_eq!((told, draft.changes.is_empty()), (waits, waits), "{}", show(&draft));
}

/// The record says which year is billed: a month of it is a part of that year.
#[test]
fn a_month_of_a_year_is_a_part_of_the_year_that_the_record_names() {
    let mut lab = Lab::monthly("2025-01-01", "2025-01-01");
    lab.agreement(41, BillingCycle::YEARLY, "USD", "2025-01-01", "2026-01-01");
    lab.map(trueup_domain::mapping::MappingKind::Agreement, "s-1", 41);
    lab.product("x", 7, ProductKind::Seat, "264.00", "0");
    lab.subscription("s-1", BillingCycle::YEARLY, BillingModel::Advance, "2025-01-01");
    let year = period("2025-01-01", "2026-01-01");
    lab.subscriptions.values_mut().for_each(|s| s.period = Some(year));
    lab.today = day("2025-03-13");
    lab.by_hand(41, 300, 7, "5", "264.00", "2025-01-01");
    lab.adoption = trueup_domain::planner::AdoptionAnswer::TakeSingle;
    let up = |days| order("CH", OrderKind::Change, "2025-03-12", days).change("1", "x", 5, 8, "264.00", "0");
    let of_month = show(&lab.plan(&[&up(period("2025-03-01", "2025-04-01")).0]));
    assert_eq!(of_month, show(&lab.plan(&[&up(year).0])));
    assert!(of_month.contains("2026-01-01"), "{of_month}");
}

/// A cancellation may name the rest of its period alone: what it gives back is that share of the whole one.
#[rstest]
#[case::whole("2025-03-01")]
#[case::rest("2025-03-12")]
fn what_a_cancellation_gives_back_is_a_share_of_the_billing_period(
    #[case] from: &str,
    #[values(false, true)] named: bool,
) {
    let (mut lab, _) = sold(period("2025-01-01", "2025-02-01"));
    let mut end = order("CL", OrderKind::Cancellation, "2025-03-12", period(from, "2025-04-01")).with(line(
        "1",
        Charge::Refund,
        "x",
        "-5",
        "22.00",
        "17.60",
    ));
    end.0.lines[0].period = named.then(|| period("2025-03-12", "2025-04-01"));
    let shown = lab.run(&end.0);
    // 20 of 31 days of 22.00, five times.
    assert_eq!(lab.invoice(40), "-70.95", "{shown}");
}

/// A refund of more than the days were billed is that of other days, as a vendor reckons the rest of a year: it waits. What
/// the days, or their whole period, were billed is given back.
#[rstest]
#[case::rest_of_the_year("-1060.95", true)]
#[case::a_cent_more("-110.06", true)]
#[case::the_period("-110.00", false)]
#[case::the_days("-70.95", false)]
#[case::unsigned("1060.95", true)]
fn no_more_is_given_back_than_was_billed(
    #[values("prorate_line", "single", "dual", "commitment")] mode: &str,
    #[case] amount: &str,
    #[case] waits: bool,
) {
    let year = period("2025-01-01", "2026-01-01");
    let (mut lab, _) = sold(year);
    lab.set("line_mode", mode);
    let mut refund = line("1", Charge::Refund, "x", "-5", "", "");
    refund.amount = Some(amount.parse().unwrap());
    let cancelled = order("CL-1", OrderKind::Cancellation, "2025-03-12", year).with(refund).0;
    let draft = lab.plan(&[&cancelled]);
    let gives_back = draft.changes.iter().any(|c| c.writes() && c.role == Role::Refund);
    assert_eq!(gives_back, !waits, "{}", show(&draft));
    let said = draft.findings.iter().any(|f| f.code == Code::Tu4006);
    assert_eq!(said, waits, "{}", show(&draft));
    if waits {
        assert!(draft.outcomes.values().all(|o| *o == TaskOutcome::Waiting), "{}", show(&draft));
    }
}

/// A change within the commitment put another line in the place of the first one: a renewal goes on from that, and begins nothing
/// again.
#[rstest]
fn a_renewal_after_a_change_of_its_commitment_warns_of_nothing(#[values(false, true)] changed: bool) {
    let mut lab = Lab::monthly("2024-01-01", "2024-01-01");
    lab.set("line_mode", "commitment");
    lab.product("seat", 7, ProductKind::Seat, "22.00", "17.60");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2024-01-01");
    let commit = |lab: &mut Lab, start: &str, end: &str| {
        let sold = lab.subscriptions.values_mut().next().unwrap();
        sold.term = Some(Term { start: day(start), end: Some(day(end)), auto_renew: None });
    };
    commit(&mut lab, "2024-01-01", "2024-04-01");
    let sold = line("1", Charge::Recurring, "seat", "5", "22.00", "17.60");
    lab.run(&order("1", OrderKind::Sales, "2024-01-01", period("2024-01-01", "2024-02-01")).with(sold).0);
    lab.invoice(40);
    let quantity = if changed {
        let change = order("2", OrderKind::Change, "2024-02-15", period("2024-02-01", "2024-03-01"));
        lab.run(&change.change("1", "seat", 5, 8, "22.00", "17.60").0);
        "8"
    } else {
        "5"
    };
    lab.invoice(40);
    lab.invoice(40);
    commit(&mut lab, "2024-04-01", "2024-07-01");
    lab.today = day("2024-04-01");
    let renewed = line("1", Charge::Recurring, "seat", quantity, "22.00", "17.60");
    let renewal =
        order("3", OrderKind::Renewal, "2024-04-01", period("2024-04-01", "2024-05-01")).with(renewed);
    let draft = lab.plan(&[&renewal.0]);
    assert!(draft.findings.is_empty(), "{:#?}", draft.findings);
    lab.apply(&draft);
    assert_eq!(lab.invoice(40), if changed { "176.00" } else { "110.00" });
}
