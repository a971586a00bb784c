//! Sales that wait for an answer, sales whose lines name days of their own, and takeovers that an earlier run recorded.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
use common::*;
use rstest::rstest;
use trueup_domain::feed::{BillingModel, Charge, OrderKind, ProductKind};
use trueup_domain::finding::Code;
use trueup_domain::ids::{AdditionId, AgreementId};
use trueup_domain::mapping::MappingKind;
use trueup_domain::period::{BillingCycle, Period};
use trueup_domain::plan::{DraftPlan, TaskOutcome};
use trueup_domain::planner::AdoptionAnswer;

fn march() -> Period {
    period("2028-03-01", "2028-04-01")
}

fn lab(next: &str) -> Lab {
    let mut lab = Lab::monthly("2028-01-01", next);
    lab.today = day("2028-03-13");
    lab.product("seat", 7, ProductKind::Seat, "22.00", "17.60");
    lab.product("setup", 8, ProductKind::OneTime, "50.00", "0.00");
    lab.product("other", 9, ProductKind::Seat, "10.00", "8.00");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2028-03-05");
    lab
}

/// Five seats from the 5th, with a setup fee and the part that the source names.
fn sale() -> OrderDraft {
    let mut part = line("3", Charge::Prorate, "seat", "5", "22.00", "17.60");
    part.period = Some(period("2028-03-05", "2028-04-01"));
    order("SO-1", OrderKind::Sales, "2028-03-05", march())
        .with(line("1", Charge::Setup, "setup", "1", "50.00", "0.00"))
        .with(part)
        .with(line("2", Charge::Recurring, "seat", "5", "22.00", "17.60"))
        .with(line("4", Charge::Recurring, "other", "2", "10.00", "8.00"))
}

fn outcome(draft: &DraftPlan) -> TaskOutcome {
    *draft.outcomes.values().next().unwrap()
}

fn ends_on(lab: &mut Lab, id: i64, last: &str) {
    let all = lab.snapshot.additions.values_mut().flatten();
    all.filter(|a| a.id == AdditionId(id)).for_each(|a| a.state.cancelled = Some(day(last)));
}

// Nothing of a sale is written before the question about a line that is there is answered.

#[rstest]
#[case::one_line(|lab: &mut Lab| lab.by_hand(40, 311, 7, "5", "22.00", "2028-03-05"))]
#[case::several(|lab: &mut Lab| {
    lab.by_hand(40, 311, 7, "3", "22.00", "2028-03-05");
    lab.by_hand(40, 312, 7, "2", "22.00", "2028-03-05");
})]
#[case::on_another_agreement(|lab: &mut Lab| {
    lab.agreement(41, BillingCycle::MONTHLY, "USD", "2028-01-01", "2028-03-01");
    lab.map(MappingKind::Agreement, "customer:c-100", 40);
    lab.by_hand(41, 311, 7, "5", "22.00", "2028-03-05");
})]
#[case::named_and_over(|lab: &mut Lab| {
    lab.by_hand(40, 311, 7, "5", "22.00", "2028-01-05");
    ends_on(lab, 311, "2028-02-29");
    lab.map(MappingKind::Addition, "subscription:s-1/seat", 311);
})]
fn a_sale_that_waits_writes_nothing(
    #[case] by_hand: fn(&mut Lab),
    #[values("2028-03-01", "2028-04-01")] next: &str,
) {
    let mut lab = lab(next);
    by_hand(&mut lab);
    let draft = lab.plan(&[&sale().0]);
    assert_eq!(outcome(&draft), TaskOutcome::Waiting);
    assert!(draft.changes.is_empty() && draft.adoptions.is_empty(), "{}", show(&draft));
    assert_eq!(draft.findings.len(), 1, "{}", show(&draft));
    lab.adoption = AdoptionAnswer::CreateBeside;
    let shown = show(&lab.plan(&[&sale().0]));
    assert_eq!(shown.matches("create").count(), if shown.contains("TU3008") { 0 } else { 5 }, "{shown}");
}

#[test]
fn what_is_sold_twice_writes_none_of_its_other_lines() {
    let mut lab = lab("2028-03-01");
    lab.run(&sale().0);
    let mut twice = sale().0;
    twice.id = "SO-2".into();
    let draft = lab.plan(&[&twice]);
    assert_eq!((outcome(&draft), draft.changes.len()), (TaskOutcome::Waiting, 0), "{}", show(&draft));
    assert!(draft.findings.iter().all(|f| f.code == Code::Tu5001), "{}", show(&draft));
}

/// The line by hand bills the days of the part that the source names.
#[rstest]
#[case::open("2028-03-01")]
#[case::invoiced("2028-04-01")]
fn a_line_that_is_taken_over_bills_its_part_already(#[case] next: &str) {
    let mut lab = lab(next);
    lab.by_hand(40, 311, 7, "5", "22.00", "2028-03-05");
    lab.adoption = AdoptionAnswer::TakeSingle;
    let shown = lab.run(&sale().0);
    assert!(!shown.contains("95.80") && !shown.contains("x 19.16"), "{shown}");
    assert!(shown.contains("1 x 50.00") && shown.contains("TU6005 info"), "{shown}");
}

/// One that begins with the next period leaves the part to the order, or says that nothing bills it.
#[test]
fn a_line_that_is_taken_over_from_the_next_period_on_leaves_the_part_to_the_order() {
    let mut lab = lab("2028-03-01");
    lab.by_hand(40, 311, 7, "5", "22.00", "2028-04-01");
    lab.adoption = AdoptionAnswer::TakeSingle;
    let shown = lab.run(&sale().0);
    assert!(shown.contains("create prorate 2028-03-05..2028-03-31 5 x 19.16"), "{shown}");
    let mut plain = sale().0;
    plain.lines.retain(|l| l.charge != Charge::Prorate);
    let draft = lab.plan(&[&plain]);
    let said = draft.findings.iter().find(|f| f.code == Code::Tu8006).unwrap();
    assert_eq!(said.amount.unwrap().0.to_string(), "95.81", "{said:#?}");
}

/// A transfer whose new customer cannot be billed yet leaves the former one where it is.
#[rstest]
#[case::ends(|lab: &mut Lab| lab.agreement_mut(50).end = Some(day("2028-03-31")), Code::Tu4003)]
#[case::by_hand(|lab: &mut Lab| lab.by_hand(50, 411, 7, "5", "22.00", "2028-04-01"), Code::Tu3007)]
fn a_transfer_that_cannot_begin_ends_nothing(#[case] spoil: fn(&mut Lab), #[case] code: Code) {
    let mut lab = lab("2028-03-01");
    let seats = || line("1", Charge::Recurring, "seat", "5", "22.00", "17.60");
    lab.run(&order("SO-1", OrderKind::Sales, "2028-03-01", march()).with(seats()).0);
    lab.second_customer("2028-01-01", "2028-03-01");
    spoil(&mut lab);
    let mut transfer = order("TR-1", OrderKind::Transfer, "2028-03-15", march()).with(seats());
    transfer.0.customer = Some("c-200".into());
    let draft = lab.plan(&[&transfer.0]);
    assert_eq!((outcome(&draft), draft.changes.len()), (TaskOutcome::Waiting, 0), "{}", show(&draft));
    assert!(draft.findings.iter().any(|f| f.code == code), "{}", show(&draft));
}

// The days that a line of a sale names for itself.

#[rstest]
#[case::begins_later("2028-01-11", "2028-02-01", "105.00")]
#[case::as_the_order("2028-01-01", "2028-02-01", "155.00")]
fn a_line_of_a_sale_counts_from_its_own_first_day(
    #[case] from: &str,
    #[case] to: &str,
    #[case] january: &str,
) {
    let mut lab = Lab::monthly("2028-01-01", "2028-01-01");
    lab.product("seat", 7, ProductKind::Seat, "31.00", "3.10");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2028-01-01");
    let mut seats = line("1", Charge::Recurring, "seat", "5", "31.00", "3.10");
    seats.period = Some(period(from, to));
    let sale = order("SO-1", OrderKind::Sales, "2028-01-01", period("2028-01-01", "2028-02-01")).with(seats);
    let shown = lab.run(&sale.0);
    assert!(!shown.contains("TU"), "{shown}");
    assert_eq!([lab.invoice(40), lab.invoice(40)], [january.to_owned(), "155.00".to_owned()]);
}

#[test]
fn an_amount_of_days_of_its_own_is_the_amount_of_these() {
    let mut lab = Lab::monthly("2028-01-01", "2028-01-01");
    lab.product("seat", 7, ProductKind::Seat, "31.00", "3.10");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2028-01-01");
    let mut seats = line("1", Charge::Recurring, "seat", "5", "31.00", "3.10");
    seats.period = Some(period("2028-01-11", "2028-02-01"));
    seats.amount = Some("104.00".parse().unwrap());
    let sale = order("SO-1", OrderKind::Sales, "2028-01-01", period("2028-01-01", "2028-02-01")).with(seats);
    lab.run(&sale.0);
    assert_eq!([lab.invoice(40), lab.invoice(40)], ["104.00", "155.00"]);
}

#[test]
fn days_that_end_elsewhere_than_the_period_are_said() {
    let mut lab = Lab::monthly("2028-01-01", "2028-01-01");
    lab.product("seat", 7, ProductKind::Seat, "31.00", "3.10");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2028-01-01");
    let mut seats = line("1", Charge::Recurring, "seat", "5", "31.00", "3.10");
    seats.period = Some(period("2028-01-11", "2028-01-21"));
    let sale = order("SO-1", OrderKind::Sales, "2028-01-01", period("2028-01-01", "2028-02-01")).with(seats);
    assert!(lab.run(&sale.0).ends_with("TU4006 warning\n"));
}

// A run that broke off after it had recorded that a line which ends was taken over.

#[rstest]
#[case::change(order("CH-1", OrderKind::Change, "2028-03-12", march()).change("1", "seat", 5, 8, "22.00", "17.60"))]
#[case::fewer(order("CH-1", OrderKind::Change, "2028-03-12", march()).change("1", "seat", 5, 2, "22.00", "17.60"))]
fn a_run_that_broke_off_after_the_takeover_goes_on(#[case] change: OrderDraft) {
    let mut lab = lab("2028-03-01");
    lab.by_hand(40, 311, 7, "5", "22.00", "2028-01-01");
    ends_on(&mut lab, 311, "2028-04-30");
    let whole = lab.plan(&[&change.0]);
    let mut broken = whole.clone();
    broken.changes.clear();
    lab.apply(&broken);
    let again = lab.plan(&[&change.0]);
    assert_eq!(show(&again), show(&whole));
    lab.apply(&again);
    // Ended by an order it is ended, whoever dated it before.
    let late =
        order("CH-0", OrderKind::Change, "2028-03-11", march()).change("1", "seat", 5, 6, "22.00", "17.60");
    assert!(!lab.plan(&[&late.0]).changes.is_empty());
}

#[test]
fn a_line_that_was_dated_by_hand_and_ended_by_a_cancellation_is_ended() {
    let mut lab = lab("2028-03-01");
    for sold in lab.subscriptions.values_mut() {
        sold.items = vec![trueup_domain::feed::SubscriptionItem {
            id: "i1".into(),
            product: "seat".into(),
            quantity: 5.into(),
            included_quantity: None,
            unit_price: None,
            unit_cost: None,
            overuse_price: None,
            overuse_cost: None,
        }];
    }
    lab.by_hand(40, 311, 7, "5", "22.00", "2028-01-01");
    ends_on(&mut lab, 311, "2028-04-30");
    let cancel = order("CA-1", OrderKind::Cancellation, "2028-03-12", march());
    lab.run(&cancel.0);
    assert_eq!(
        lab.snapshot.additions[&AgreementId(40)][0].state.cancelled,
        Some(day("2028-03-12")),
        "the day of the order"
    );
    let late =
        order("CH-1", OrderKind::Change, "2028-03-10", march()).change("1", "seat", 5, 8, "22.00", "17.60");
    // What was ordered before it is billed up to the end of the month that it cancelled.
    assert_eq!(
        show(&lab.plan(&[&late.0])),
        "create prorate 2028-03-10..2028-03-31 3 x 15.61 cost 12.49 = 46.83\nTU5001 warning\nTU6005 warning\n"
    );
}
