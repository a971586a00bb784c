//! Transfers beside lines by hand, sent twice, broken off, and with money back.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
use common::*;
use rstest::rstest;
use trueup_domain::feed::*;
use trueup_domain::finding::{Code, Severity};
use trueup_domain::ids::*;
use trueup_domain::mapping::MappingKind;
use trueup_domain::period::{BillingCycle, Period};
use trueup_domain::plan::DraftPlan;
use trueup_domain::planner::{AdoptionAnswer, Extent};

fn january() -> Period {
    period("2024-01-01", "2024-02-01")
}

/// Five seats at the former customer (agreement 40) since January, which is invoiced there and at the new one (50).
fn sold() -> Lab {
    let mut lab = with_both();
    let sale = order("SO-1", OrderKind::Sales, "2024-01-01", january());
    lab.run(&sale.with(line("1", Charge::Recurring, "seat", "5", "22.00", "17.60")).0);
    assert_eq!((lab.invoice(40), lab.invoice(50)), ("110.00".into(), "0".into()));
    lab
}

fn with_both() -> Lab {
    let mut lab = Lab::monthly("2024-01-01", "2024-01-01");
    lab.today = day("2024-01-20");
    lab.product("seat", 7, ProductKind::Seat, "22.00", "17.60");
    lab.product("disk", 8, ProductKind::Seat, "12.50", "10.00");
    lab.product("setup", 9, ProductKind::Seat, "10.00", "8.00");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2024-01-01");
    lab.second_customer("2024-01-01", "2024-01-01");
    lab
}

fn transfer(id: &str) -> OrderDraft {
    let mut order = order(id, OrderKind::Transfer, "2024-01-20", january()).with(line(
        "1",
        Charge::Recurring,
        "seat",
        "5",
        "22.00",
        "17.60",
    ));
    order.0.customer = Some("c-200".into());
    order
}

/// The new customer's line by hand, from February on, which a mapping names.
fn named_at_the_new_one(lab: &mut Lab) {
    lab.by_hand(50, 311, 7, "5", "22.00", "2024-02-01");
    lab.map(MappingKind::Addition, "subscription:s-1/seat", 311);
}

fn bills(lab: &mut Lab, months: usize) -> Vec<(String, String)> {
    let shown = |sum: String| if sum == "0" { "0.00".to_owned() } else { sum };
    (0..months).map(|_| (shown(lab.invoice(40)), shown(lab.invoice(50)))).collect()
}

fn pairs(wanted: &[(&str, &str)]) -> Vec<(String, String)> {
    wanted.iter().map(|(one, other)| ((*one).to_owned(), (*other).to_owned())).collect()
}

fn errors(draft: &DraftPlan) -> Vec<Code> {
    draft.findings.iter().filter(|f| f.severity == Severity::Error).map(|f| f.code).collect()
}

// The new customer's own line by hand is the new side: nothing ends it.

#[test]
fn the_new_customers_line_by_hand_stays_where_the_transfer_is_sent_again() {
    let mut lab = sold();
    named_at_the_new_one(&mut lab);
    lab.run(&transfer("TR-1").0);
    let again = lab.plan(&[&transfer("TR-2").0]);
    assert_eq!(errors(&again), [Code::Tu5001], "{:#?}", again.findings);
    lab.run(&transfer("TR-2").0);
    assert_eq!(bills(&mut lab, 2), pairs(&[("0.00", "110.00"), ("0.00", "110.00")]));
}

#[test]
fn the_new_customers_line_by_hand_stays_where_a_run_broke_off() {
    let mut lab = sold();
    named_at_the_new_one(&mut lab);
    let transfer = transfer("TR-1").with(line("2", Charge::Recurring, "disk", "4", "12.50", "10.00"));
    let mut draft = lab.plan(&[&transfer.0]);
    // The end of the former line did not come through.
    draft.changes.retain(|change| change.agreement == AgreementId(50));
    lab.apply(&draft);
    let again = lab.plan(&[&transfer.0]);
    assert_eq!(errors(&again), [], "{:#?}", again.findings);
    lab.run(&transfer.0);
    assert_eq!(bills(&mut lab, 2), pairs(&[("0.00", "160.00"), ("0.00", "160.00")]));
}

#[test]
fn a_transfer_that_took_a_line_over_can_be_undone_and_taken_in_again() {
    let mut lab = sold();
    lab.by_hand(50, 311, 7, "5", "22.00", "2024-02-01");
    lab.adoption = AdoptionAnswer::TakeSingle;
    let transfer = transfer("TR-1").0;
    let draft = lab.plan(&[&transfer]);
    let done = lab.apply(&draft);
    let back = lab.undo(&[(&draft, &done)], &Extent::Everything);
    lab.apply(&back);
    lab.adoption = AdoptionAnswer::Propose;
    let again = lab.plan(&[&transfer]);
    assert_eq!(errors(&again), [], "{:#?}", again.findings);
    lab.run(&transfer);
    assert_eq!(bills(&mut lab, 2), pairs(&[("0.00", "110.00"), ("0.00", "110.00")]));
}

/// Both customers are one company in ConnectWise: the line by hand that was taken over goes on.
#[test]
fn nothing_moves_where_both_customers_are_one_company() {
    let mut lab = with_both();
    lab.mappings.retain(|mapping| mapping.source_id != "c-200");
    lab.map(MappingKind::Customer, "c-200", 12);
    lab.by_hand(40, 311, 7, "5", "22.00", "2024-01-01");
    lab.adoption = AdoptionAnswer::TakeSingle;
    let sale = order("SO-1", OrderKind::Sales, "2024-01-01", january());
    lab.run(&sale.with(line("1", Charge::Recurring, "seat", "5", "22.00", "17.60")).0);
    lab.adoption = AdoptionAnswer::Propose;
    assert_eq!(lab.invoice(40), "110.00");
    lab.run(&transfer("TR-1").0);
    assert_eq!([lab.invoice(40), lab.invoice(40)], ["110.00", "110.00"]);
}

// The former customer's line by hand.

/// The record names the new customer as it comes with the transfer: whose the named line is cannot be looked up, and nothing
/// begins beside it until somebody says.
#[test]
fn a_named_line_that_was_not_found_keeps_the_transfer_back() {
    let mut lab = with_both();
    lab.by_hand(40, 311, 7, "5", "22.00", "2024-01-01");
    lab.map(MappingKind::Addition, "subscription:s-1/seat", 311);
    let key = (SourceId::from(SOURCE), SubscriptionId::from("s-1"));
    lab.subscriptions.get_mut(&key).unwrap().customer = "c-200".into();
    // What is not of interest is not read.
    let mut unread = lab.clone();
    unread.snapshot.additions.remove(&AgreementId(40));
    let draft = unread.plan(&[&transfer("TR-1").0]);
    assert!(draft.changes.iter().all(|change| !change.writes()), "{}", show(&draft));
    assert_eq!(errors(&draft), [Code::Tu3008], "{:#?}", draft.findings);
    assert!(draft.findings[0].fix.contains("subscription:s-1/seat"), "{:#?}", draft.findings);
    // Ended by hand and released, the transfer goes on.
    unread.mappings.retain(|mapping| mapping.kind != MappingKind::Addition);
    let draft = unread.plan(&[&transfer("TR-1").0]);
    assert!(show(&draft).starts_with("create recurring 2024-02-01"), "{}", show(&draft));
}

// Money back.

#[rstest]
#[case::invoiced(true)]
#[case::open(false)]
fn a_refund_of_a_transfer_goes_to_who_paid(#[case] invoiced: bool) {
    let mut lab = match invoiced {
        true => sold(),
        false => with_both(),
    };
    lab.set("credits", "on");
    if !invoiced {
        let sale = order("SO-1", OrderKind::Sales, "2024-01-01", january());
        lab.run(&sale.with(line("1", Charge::Recurring, "seat", "5", "22.00", "17.60")).0);
    }
    let mut back = line("2", Charge::Refund, "seat", "5", "22.00", "17.60");
    back.amount = Some("-42.58".parse().unwrap());
    let moved = transfer("TR-1").with(back);
    lab.run(&moved.0);
    let wanted: &[_] = match invoiced {
        true => &[("-42.58", "110.00"), ("0.00", "110.00")],
        false => &[("67.42", "0.00"), ("0.00", "110.00")],
    };
    assert_eq!(bills(&mut lab, 2), pairs(wanted));
}

/// Nothing of the product was billed to the former customer by trueup: whom the money goes back to is not known.
#[test]
fn a_refund_of_what_nobody_was_billed_is_told() {
    let mut lab = sold();
    lab.set("credits", "on");
    let mut back = line("2", Charge::Refund, "disk", "1", "12.50", "10.00");
    back.amount = Some("-12.50".parse().unwrap());
    let draft = lab.plan(&[&transfer("TR-1").with(back).0]);
    let told = draft.findings.iter().find(|finding| finding.code == Code::Tu6005).unwrap();
    assert_eq!(told.amount.unwrap().0.to_string(), "-12.50");
    assert!(!show(&draft).contains("refund"), "{}", show(&draft));
}

// Sent twice.

#[rstest]
#[case::own_line(false)]
#[case::line_by_hand(true)]
fn a_transfer_that_was_sent_twice_is_not_billed_twice(#[case] by_hand: bool) {
    let mut lab = sold();
    if by_hand {
        named_at_the_new_one(&mut lab);
    }
    let with_fee = |id: &str| {
        let fee = line("2", Charge::Setup, "setup", "1", "10.00", "8.00");
        let mut part = line("3", Charge::Prorate, "disk", "1", "42.58", "30.00");
        part.amount = Some("42.58".parse().unwrap());
        transfer(id).with(fee).with(part).0
    };
    lab.run(&with_fee("TR-1"));
    let again = lab.plan(&[&with_fee("TR-2")]);
    assert!(again.changes.iter().all(|change| !change.writes()), "{}", show(&again));
    assert_eq!(errors(&again), [Code::Tu5001], "{:#?}", again.findings);
    assert_eq!(bills(&mut lab, 2), pairs(&[("0.00", "162.58"), ("0.00", "110.00")]));
    // A person may say that it is meant.
    lab.adoption = AdoptionAnswer::CreateBeside;
    let meant = lab.plan(&[&with_fee("TR-2")]);
    assert!(meant.changes.iter().any(|change| change.writes()), "{}", show(&meant));
}

/// A renewal that was carried out ahead gave another price from a later day on: the transfer names the one of its own day.
#[rstest]
#[case::price("5", "25.00", Some("15.00"))]
#[case::quantity("8", "22.00", Some("66.00"))]
#[case::the_same("5", "22.00", None)]
fn what_was_renewed_ahead_is_told(#[case] quantity: &str, #[case] price: &str, #[case] wanted: Option<&str>) {
    let mut lab = sold();
    let mut renewal = order("RN-1", OrderKind::Renewal, "2024-03-01", period("2024-03-01", "2024-04-01"))
        .with(line("1", Charge::Recurring, "seat", quantity, price, "17.60"));
    let moved = transfer("TR-1").0;
    renewal.0.completed_us = moved.completed_us - 1;
    lab.run(&renewal.0);
    let draft = lab.plan(&[&moved]);
    let told = draft.findings.iter().find(|f| f.message.contains("that goes on at the new customer"));
    let amount = told.and_then(|finding| finding.amount).map(|(amount, _)| amount.to_string());
    assert_eq!(amount.as_deref(), wanted, "{:#?} {}", draft.findings, show(&draft));
}

/// What nobody is to bill by parts is neither billed to the one nor given back to the other.
#[test]
fn a_refund_of_a_transfer_is_told_where_nobody_bills_parts() {
    let mut lab = sold();
    lab.set("credits", "on").set("proration_by", "none");
    let part = |charge, amount: &str| {
        let mut part = line(amount, charge, "seat", "5", "22.00", "17.60");
        part.amount = Some(amount.parse().unwrap());
        part
    };
    let both = transfer("TR-1").with(part(Charge::Refund, "-42.58")).with(part(Charge::Prorate, "42.58"));
    lab.run(&both.0);
    assert_eq!(bills(&mut lab, 2), pairs(&[("0.00", "110.00"), ("0.00", "110.00")]));
}

/// A change of before ended a line of the former customer, whose new one bills on: nothing was moved yet.
#[test]
fn a_change_before_a_transfer_is_no_transfer() {
    let mut lab = with_both();
    let sale = order("SO-1", OrderKind::Sales, "2024-01-01", january());
    lab.run(&sale.with(line("1", Charge::Recurring, "seat", "3", "22.00", "17.60")).0);
    lab.run(
        &order("CH-1", OrderKind::Change, "2024-01-10", january())
            .change("1", "seat", 3, 5, "22.00", "17.60")
            .0,
    );
    assert_eq!(lab.invoice(50), "0");
    named_at_the_new_one(&mut lab);
    let draft = lab.plan(&[&transfer("TR-1").0]);
    assert_eq!(errors(&draft), [], "{:#?}", draft.findings);
    assert!(
        show(&draft).contains("cancel recurring") || show(&draft).contains("delete recurring"),
        "{}",
        show(&draft)
    );
}
