//! Subscriptions whose periods do not lie on the invoice periods of their agreement: each is billed what was sold, or a
//! finding says which invoice bills a line once more.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
use common::*;
use rstest::rstest;
use trueup_domain::feed::{BillingModel, Charge, OrderKind, ProductKind};
use trueup_domain::finding::{Code, Finding, Severity};
use trueup_domain::period::{BillingCycle, Period};

/// Five seats from 12 January by periods from the 12th, on an agreement that is invoiced from the 1st.
fn lab() -> Lab {
    let mut lab = Lab::monthly("2025-01-01", "2025-01-01");
    lab.product("seat", 7, ProductKind::Seat, "22.00", "17.60");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2025-01-12");
    let of = period("2025-01-12", "2025-02-12");
    let sale = order("SO-1", OrderKind::Sales, "2025-01-12", of);
    let shown = lab.run(&sale.with(line("1", Charge::Recurring, "seat", "5", "22.00", "17.60")).0);
    assert_eq!(
        shown, "create recurring 2025-01-12..- 5 x 22.00 cost 17.60 = 110.00\n",
        "an open line is billed right"
    );
    lab
}

fn change(on: &str, of: Period, new: i64) -> OrderDraft {
    order("CH-1", OrderKind::Change, on, of).change("1", "seat", 5, new, "22.00", "17.60")
}

fn said(findings: &[Finding]) -> Vec<&Finding> {
    findings.iter().filter(|f| f.code == Code::Tu4006 && f.severity == Severity::Warning).collect()
}

#[test]
fn the_invoice_that_holds_the_switch_bills_the_old_line_again_and_a_warning_says_so() {
    let mut lab = lab();
    lab.invoice(40);
    lab.invoice(40);
    let up = change("2025-02-20", period("2025-02-12", "2025-03-12"), 8);
    let draft = lab.plan(&[&up.0]);
    let said = said(&draft.findings);
    assert_eq!(said.len(), 1, "{}", show(&draft));
    assert_eq!(said[0].amount.unwrap().0.to_string(), "110.00");
    assert!(said[0].message.contains("2025-03-01 to 2025-03-31"), "{}", said[0].message);
    assert!(said[0].fix.contains("agreement 40") && said[0].fix.contains("by hand"), "{}", said[0].fix);
    lab.apply(&draft);
    // The warning tells the truth: 5 x 22 + 8 x 22 and the part, where 8 x 22 and the part were owed.
    assert_eq!(lab.invoice(40), "333.13");
}

#[test]
fn a_part_that_crosses_an_invoice_is_billed_once() {
    let mut lab = lab();
    let up = change("2025-01-20", period("2025-01-12", "2025-02-12"), 8);
    let shown = lab.run(&up.0);
    assert!(shown.contains("create prorate 2025-01-20..2025-01-31 3 x 16.32"), "{shown}");
    assert_eq!(lab.invoice(40), "158.96");
    assert_eq!(lab.invoice(40), "286.00", "the part is not billed again; the old line is, and it was said");
}

#[rstest]
#[case("2025-02-25", false)]
#[case("2025-03-05", true)]
#[case("2025-03-01", false)]
fn a_cancellation_warns_where_its_invoice_bills_the_line_again(#[case] on: &str, #[case] warned: bool) {
    let mut lab = lab();
    lab.invoice(40);
    lab.invoice(40);
    if on == "2025-02-25" {
        lab.agreement_mut(40).next_invoice = Some(day("2025-02-01"));
    }
    let cancel = order("CL-1", OrderKind::Cancellation, on, period("2025-02-12", "2025-03-12"));
    let draft = lab.plan(&[&cancel.0]);
    assert_eq!(!said(&draft.findings).is_empty(), warned, "{}", show(&draft));
}

#[test]
fn an_agreement_that_lies_on_the_periods_or_prorates_needs_no_warning() {
    for prorates in [false, true] {
        let mut lab = lab();
        if prorates {
            lab.agreement_mut(40).prorates = true;
            lab.set("proration_by", "connectwise");
        } else {
            lab.agreement_mut(40).bill_start = Some(day("2025-01-12"));
            lab.agreement_mut(40).next_invoice = Some(day("2025-01-12"));
        }
        let draft = lab.plan(&[&change("2025-02-20", period("2025-02-12", "2025-03-12"), 8).0]);
        assert!(said(&draft.findings).is_empty(), "{}", show(&draft));
    }
}

#[test]
fn a_state_that_began_inside_an_invoiced_period_says_how_it_is_caught_up() {
    let mut lab = lab();
    for _ in 0..3 {
        lab.invoice(40);
    }
    let draft = lab.plan(&[&change("2025-02-20", period("2025-02-12", "2025-03-12"), 8).0]);
    let said = said(&draft.findings);
    assert_eq!(said.len(), 1, "{}", show(&draft));
    assert!(
        said[0].message.contains("2025-03-12") && said[0].message.contains("2025-04-01"),
        "{}",
        said[0].message
    );
}
