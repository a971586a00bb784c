//! Lines that are dated for an agreement that prorates, or for one that does not, once a person switched its flag.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
use common::*;
use rstest::rstest;
use trueup_domain::desired::{Looked, misdated};
use trueup_domain::feed::{BillingModel, Charge, OrderKind, ProductKind};
use trueup_domain::finding::{Code, Finding, Severity};
use trueup_domain::ids::AgreementId;
use trueup_domain::period::BillingCycle;

/// Five seats at 22.00 from January on, invoiced, and eight from 10 February on.
fn lab(by: &str, prorates: bool) -> Lab {
    let mut lab = Lab::monthly("2023-01-01", "2023-01-01");
    lab.today = day("2023-02-10");
    lab.set("credits", "on").set("proration_by", by);
    lab.agreement_mut(40).prorates = prorates;
    lab.product("seat", 7, ProductKind::Seat, "22.00", "17.60");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2023-01-01");
    let january = period("2023-01-01", "2023-02-01");
    let sold = line("1", Charge::Recurring, "seat", "5", "22.00", "17.60");
    lab.run(&order("SO-1", OrderKind::Sales, "2023-01-01", january).with(sold).0);
    lab.invoice(40);
    let february = period("2023-02-01", "2023-03-01");
    let more = order("CH-1", OrderKind::Change, "2023-02-10", february);
    lab.run(&more.change("1", "seat", 5, 8, "22.00", "17.60").0);
    lab
}

fn told(lab: &Lab, looked: Looked) -> Option<Finding> {
    let agreement = &lab.snapshot.agreements[&AgreementId(40)];
    let there = |id| lab.snapshot.find_addition(id);
    let lines = lab.links.iter().filter_map(|link| Some((link, there(link.addition)?)));
    misdated(&lab.snapshot, agreement, lines, looked)
}

/// What the next invoice bills by the flag as it is, less what it would have billed, is the amount that is told.
#[rstest]
#[case::billed_whole("connectwise", true, "131.21")]
#[case::prorated_again("trueup", false, "-14.40")]
fn a_flag_that_a_person_switched_is_told_with_what_it_costs(
    #[case] by: &str,
    #[case] flag: bool,
    #[case] amount: &str,
) {
    let mut lab = lab(by, flag);
    assert_eq!(told(&lab, Looked::Ahead), None);
    let meant: rust_decimal::Decimal = lab.clone().invoice(40).parse().unwrap();
    lab.agreement_mut(40).prorates = !flag;
    let finding = told(&lab, Looked::Ahead).unwrap();
    assert_eq!((finding.code, finding.severity), (Code::Tu3006, Severity::Error), "{finding:?}");
    assert_eq!(finding.amount.unwrap().0.to_string(), amount, "{finding:?}");
    let mut after = lab.clone();
    let billed: rust_decimal::Decimal = after.invoice(40).parse().unwrap();
    assert_eq!((billed - meant).to_string(), amount);
    // Once it is invoiced, who was told before is told still, for as long as that invoice is the last one.
    assert_eq!(told(&after, Looked::Ahead), None);
    assert_eq!(told(&after, Looked::Back).unwrap().amount, finding.amount);
    after.invoice(40);
    assert_eq!(told(&after, Looked::Back), None);
    // Put back, nothing is to be told.
    lab.agreement_mut(40).prorates = flag;
    assert_eq!(told(&lab, Looked::Ahead), None);
}

/// Lines that are written after the switch are right by it, and one that is dated anew is so from then on.
#[rstest]
fn lines_that_are_dated_after_the_switch_are_right(#[values(true, false)] flag: bool) {
    let mut lab = lab(if flag { "connectwise" } else { "trueup" }, flag);
    lab.agreement_mut(40).prorates = !flag;
    lab.set("proration_by", if flag { "trueup" } else { "connectwise" });
    let before = told(&lab, Looked::Ahead).unwrap().amount;
    let february = period("2023-02-01", "2023-03-01");
    let more = order("CH-2", OrderKind::Change, "2023-02-20", february);
    lab.run(&more.change("1", "seat", 8, 9, "22.00", "17.60").0);
    // What the switch made of the lines of before stays as it was: the new ones add nothing to it.
    assert_eq!(told(&lab, Looked::Ahead).unwrap().amount, before);
}

/// Days that a person gave a line are the person's.
#[test]
fn days_that_a_person_gave_are_meant_as_they_are() {
    let mut lab = lab("connectwise", true);
    lab.agreement_mut(40).prorates = false;
    for line in lab.snapshot.additions.get_mut(&AgreementId(40)).unwrap() {
        match line.state.cancelled {
            Some(_) => line.state.cancelled = Some(day("2023-01-31")),
            None => line.state.effective = day("2023-02-01"),
        }
    }
    assert_eq!(told(&lab, Looked::Ahead), None);
}
