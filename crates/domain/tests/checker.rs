//! The checker on plans that were made wrong by hand, and the brakes on lines of other cycles.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
use common::*;
use rstest::rstest;
use rust_decimal::Decimal;
use std::collections::BTreeMap;
use trueup_domain::brakes::Brakes;
use trueup_domain::feed::{BillingModel, Charge, OrderKind, ProductKind};
use trueup_domain::finding::{Code, Finding};
use trueup_domain::period::{BillingCycle, CycleUnit, Period};
use trueup_domain::plan::DraftPlan;
use trueup_domain::psa::Snapshot;
use trueup_domain::settings::Settings;
use trueup_domain::task::Demand;

fn lab() -> Lab {
    let mut lab = Lab::monthly("2023-01-01", "2023-03-01");
    lab.product("seat", 7, ProductKind::Seat, "22.00", "17.60");
    lab.product("fee", 8, ProductKind::OneTime, "10.00", "0");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2023-03-01");
    lab
}

fn march() -> Period {
    period("2023-03-01", "2023-04-01")
}

fn drafted(lab: &Lab, order: &OrderDraft) -> DraftPlan {
    lab.drafted(&[(lab.task(&order.0), Demand::Order(Box::new(order.0.clone())))])
}

fn sale(on: &str) -> OrderDraft {
    let mut sale = order("SO", OrderKind::Sales, on, march());
    sale.0.effective_given = true;
    sale.with(line("1", Charge::Recurring, "seat", "5", "22.00", "17.60"))
}

#[test]
fn a_line_recurs_as_often_as_its_agreement() {
    let mut lab = lab();
    let draft = drafted(&lab, &sale("2023-03-01"));
    assert_eq!(lab.refused(draft.clone()), []);
    lab.agreement_mut(40).billing_cycle = Some(BillingCycle::YEARLY);
    assert_eq!(lab.refused(draft.clone()), [Code::Tu3004]);
    // The same length in other words.
    lab.agreement_mut(40).billing_cycle = Some(BillingCycle { every: 12, unit: CycleUnit::Month });
    lab.subscription("s-1", BillingCycle::YEARLY, BillingModel::Advance, "2023-03-01");
    assert_eq!(lab.refused(draft), []);
}

#[test]
fn what_is_billed_once_ends_with_its_agreement() {
    let mut lab = lab();
    let fee = order("BO", OrderKind::Billing, "2023-03-05", march());
    let fee = fee.with(line("1", Charge::OneTime, "fee", "1", "10.00", "0"));
    let draft = drafted(&lab, &fee);
    lab.agreement_mut(40).end = Some(day("2023-03-20"));
    assert_eq!(lab.refused(draft), [Code::Tu4003]);
    let shown = lab.run(&fee.0);
    assert!(shown.contains("..2023-03-20 1 x 10.00"), "{shown}");
    assert_eq!([0; 2].map(|_| lab.invoice(40)), ["10.00", "0"]);
}

#[rstest]
#[case::of_a_year("22.00 x 184/30 = 134.93 -> 134.93", true)]
#[case::of_the_difference("5 x 22.00 x (32/31 - 1) = 3.55", true)]
#[case::whole("22.00 x 31/31 = 22.00", false)]
#[case::as_the_order_says("22.00 as the order says", false)]
fn a_part_is_no_more_than_its_whole(#[case] formula: &str, #[case] refused: bool) {
    let lab = lab();
    let mut draft = drafted(&lab, &sale("2023-03-15"));
    assert_eq!(lab.refused(draft.clone()), []);
    let part = draft.changes.iter_mut().find(|c| c.formula.contains("17/31")).unwrap();
    part.formula = formula.into();
    let wanted: &[Code] = if refused { &[Code::Tu6006] } else { &[] };
    assert_eq!(lab.refused(draft), wanted);
}

/// What holds the plan, of agreements that come one at a time.
fn weighed(draft: &DraftPlan, all: &Snapshot, settings: &Settings) -> Vec<Finding> {
    let mut brakes = Brakes::of(draft);
    for (id, agreement) in &all.agreements {
        brakes.add(&Snapshot {
            agreements: BTreeMap::from([(*id, agreement.clone())]),
            additions: BTreeMap::from([(*id, all.additions_of(*id).to_vec())]),
            ..Snapshot::default()
        });
    }
    brakes.held(settings)
}

/// 100.00 a week are 434.82 a month, of 1,434.82 that are billed.
#[test]
fn the_brakes_weigh_a_week_as_a_week() {
    let mut lab = lab();
    lab.agreement(41, BillingCycle { every: 1, unit: CycleUnit::Week }, "USD", "2023-01-02", "2023-03-20");
    lab.agreement(42, BillingCycle::MONTHLY, "USD", "2023-01-01", "2023-03-01");
    lab.by_hand(42, 302, 7, "1", "1000.00", "2023-01-01");
    let weekly = BillingCycle { every: 1, unit: CycleUnit::Week };
    lab.subscription("s-1", weekly, BillingModel::Advance, "2023-03-20");
    let sold = period("2023-03-20", "2023-03-27");
    let sale = order("SO", OrderKind::Sales, "2023-03-20", sold);
    lab.run(&sale.with(line("1", Charge::Recurring, "seat", "1", "100.00", "17.60")).0);
    lab.invoice(41);
    let draft = lab.plan(&[&order("CA", OrderKind::Cancellation, "2023-03-26", sold).0]);
    assert!(show(&draft).starts_with("cancel recurring 2023-03-20..2023-03-26"), "{}", show(&draft));
    let mut settings = Settings::from_values(&lab.settings).unwrap();
    settings.brakes.min_changes = Decimal::ZERO;
    settings.brakes.percent = Decimal::ONE_HUNDRED;
    for (percent, held) in [(31, 0), (30, 1)] {
        settings.brakes.value_percent = Decimal::from(percent);
        let told = weighed(&draft, &lab.snapshot, &settings);
        assert_eq!(told.len(), held, "{told:#?}");
    }
}

/// One seat more on a line of five moves what that seat costs, though the line is ended and another takes its place.
#[test]
fn the_brakes_weigh_what_a_change_moves() {
    let mut lab = lab();
    lab.run(&sale("2023-03-01").0);
    let march = period("2023-03-01", "2023-04-01");
    let up = order("UP", OrderKind::Change, "2023-03-15", march).change("1", "seat", 5, 6, "22.00", "17.60");
    let draft = lab.plan(&[&up.0]);
    assert!(show(&draft).contains("cancel recurring"), "{}", show(&draft));
    let mut settings = Settings::from_values(&lab.settings).unwrap();
    (settings.brakes.min_changes, settings.brakes.percent) = (Decimal::ZERO, Decimal::ONE_HUNDRED);
    settings.brakes.value_percent = Decimal::from(20);
    assert_eq!(weighed(&draft, &lab.snapshot, &settings), []);
    settings.brakes.value_percent = Decimal::from(19);
    let told = weighed(&draft, &lab.snapshot, &settings);
    assert!(told[0].message.contains("would move 22.00 USD of 110.00 USD a month"), "{told:#?}");
}

/// A sale of five seats, then its cancellation, on an agreement that ConnectWise prorates.
fn prorated(sold: &str, next: &str) -> Lab {
    let mut lab = Lab::monthly("2023-01-01", next);
    lab.product("seat", 7, ProductKind::Seat, "22.00", "17.60");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, sold);
    lab.agreement_mut(40).prorates = true;
    lab.set("proration_by", "connectwise");
    lab
}

fn cancelled(on: &str) -> OrderDraft {
    order("CA", OrderKind::Cancellation, on, march())
}

#[test]
fn a_line_of_which_nobody_knows_whether_it_was_billed_is_not_deleted() {
    let mut lab = lab();
    lab.run(&sale("2023-03-01").0);
    let delete = drafted(&lab, &cancelled("2023-03-10"));
    assert_eq!(lab.refused(delete.clone()), []);
    lab.invoice(40);
    lab.agreement_mut(40).next_invoice = None;
    assert_eq!(lab.refused(delete), [Code::Tu4002]);
    let shown = show(&drafted(&lab, &cancelled("2023-03-10")));
    assert!(!shown.contains("delete"), "{shown}");
}

#[test]
fn what_is_billed_at_once_is_not_deleted() {
    let mut lab = prorated("2023-03-20", "2023-04-01");
    lab.run(&sale("2023-03-20").0);
    let delete = drafted(&lab, &cancelled("2023-03-25"));
    assert!(show(&delete).contains("delete"), "{}", show(&delete));
    lab.agreement_mut(40).prorates_at_once = true;
    assert_eq!(lab.refused(delete), [Code::Tu4002]);
    let shown = show(&drafted(&lab, &cancelled("2023-03-25")));
    assert!(!shown.contains("delete"), "{shown}");
}

#[test]
fn a_line_that_no_invoice_has_may_end_within_invoiced_days() {
    let mut lab = prorated("2023-03-20", "2023-04-01");
    lab.run(&sale("2023-03-20").0);
    let used = cancelled("2023-03-25").with(line("1", Charge::Recurring, "seat", "5", "22.00", "17.60"));
    let draft = drafted(&lab, &used);
    assert!(show(&draft).contains("cancel recurring 2023-03-20..2023-03-24 5 x 22.00"), "{}", show(&draft));
    assert_eq!(lab.refused(draft), []);
}

#[test]
fn what_stays_paid_is_told_whoever_prorates() {
    let mut lab = prorated("2023-03-01", "2023-03-01");
    lab.run(&sale("2023-03-01").0);
    lab.invoice(40);
    let draft = drafted(&lab, &cancelled("2023-03-10"));
    let paid = draft.findings.iter().find(|finding| finding.code == Code::Tu6005);
    assert!(paid.is_some_and(|finding| finding.message.contains("78.06 USD")), "{:?}", draft.findings);
}
