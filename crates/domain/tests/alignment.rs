//! Subscriptions whose periods do not lie on the invoice periods of their agreement: each is billed what was sold, or a
//! finding says which invoice bills a line once more.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
use common::*;
use rstest::rstest;
use trueup_domain::feed::{BillingModel, Charge, OrderKind, ProductKind};
use trueup_domain::finding::{Code, Finding, Severity};
use trueup_domain::ids::CustomerId;
use trueup_domain::period::{BillingCycle, Period};
use trueup_domain::plan::DraftPlan;

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

/// An invoice stands for the period that begins in it: the old line ends with the invoice before, and what was sold is
/// billed to the cent.
#[test]
fn the_invoice_that_holds_the_switch_bills_the_new_line_alone() {
    let mut lab = lab();
    let mut billed = vec![lab.invoice(40), lab.invoice(40)];
    let up = change("2025-02-20", period("2025-02-12", "2025-03-12"), 8);
    let draft = lab.plan(&[&up.0]);
    assert!(said(&draft.findings).is_empty(), "{}", show(&draft));
    lab.run(&up.0);
    billed.extend([lab.invoice(40), lab.invoice(40)]);
    assert_eq!(billed, ["110.00", "110.00", "223.13", "176.00"]);
}

#[test]
fn a_part_that_crosses_an_invoice_is_billed_once() {
    let mut lab = lab();
    let up = change("2025-01-20", period("2025-01-12", "2025-02-12"), 8);
    let shown = lab.run(&up.0);
    assert!(shown.contains("create prorate 2025-01-20..2025-01-31 3 x 16.32"), "{shown}");
    assert_eq!(lab.invoice(40), "158.96");
    assert_eq!(lab.invoice(40), "176.00", "neither the part nor the old line is billed again");
}

/// Two months are invoiced for the periods of 12 January and 12 February.
#[rstest]
#[case::in_the_invoice_of_its_period("2025-02-25", period("2025-02-12", "2025-03-12"), "2025-02-28", "0")]
#[case::in_the_one_after("2025-03-05", period("2025-02-12", "2025-03-12"), "2025-02-28", "0")]
#[case::on_the_first_day_of_the_invoice("2025-03-01", period("2025-02-12", "2025-03-12"), "2025-02-28", "0")]
#[case::on_the_first_day_of_a_period("2025-03-12", period("2025-03-12", "2025-04-12"), "2025-02-28", "0")]
#[case::in_a_period_that_is_owed("2025-03-20", period("2025-03-12", "2025-04-12"), "2025-03-20", "110.00")]
#[case::in_the_invoice_after_it("2025-04-03", period("2025-03-12", "2025-04-12"), "2025-03-31", "110.00")]
fn a_cancellation_bills_the_periods_that_had_begun(
    #[case] on: &str,
    #[case] of: Period,
    #[case] last: &str,
    #[case] march: &str,
) {
    let mut lab = lab();
    lab.invoice(40);
    lab.invoice(40);
    let shown = lab.run(&order("CL-1", OrderKind::Cancellation, on, of).0);
    assert!(shown.contains(&format!("cancel recurring 2025-01-12..{last} ")), "{shown}");
    assert_eq!([lab.invoice(40), lab.invoice(40)], [march, "0"], "{shown}");
}

/// March is invoiced ahead for the period of 12 March, which is given back whole.
#[test]
fn a_period_that_was_invoiced_after_the_cancellation_is_given_back_whole() {
    let mut lab = lab();
    lab.set("credits", "on");
    for _ in 0..3 {
        lab.invoice(40);
    }
    let shown =
        lab.run(&order("CL-1", OrderKind::Cancellation, "2025-03-05", period("2025-02-12", "2025-03-12")).0);
    assert_eq!(lab.invoice(40), "-110.00", "{shown}");
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
fn what_an_invoice_stands_for_is_caught_up_whole() {
    let mut lab = lab();
    for _ in 0..3 {
        lab.invoice(40);
    }
    let up = change("2025-02-20", period("2025-02-12", "2025-03-12"), 8);
    assert!(said(&lab.plan(&[&up.0]).findings).is_empty());
    let shown = lab.run(&up.0);
    // The part, 3 x 22 for the period of 12 March, and 8 x 22 for that of 12 April.
    assert_eq!([lab.invoice(40), lab.invoice(40)], ["289.13", "176.00"], "{shown}");
}

#[test]
fn a_sale_after_its_invoice_is_caught_up_whole() {
    let mut lab = Lab::monthly("2025-01-01", "2025-02-01");
    lab.product("seat", 7, ProductKind::Seat, "22.00", "17.60");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2025-01-12");
    let sale = order("SO-1", OrderKind::Sales, "2025-01-12", period("2025-01-12", "2025-02-12"));
    let shown = lab.run(&sale.with(line("1", Charge::Recurring, "seat", "5", "22.00", "17.60")).0);
    assert_eq!([lab.invoice(40), lab.invoice(40)], ["220.00", "110.00"], "{shown}");
}

/// Where an invoice holds the beginnings of two periods, or of none, it stands for no single one: that is warned of.
#[test]
fn invoices_that_stand_for_no_single_period_are_warned_of() {
    let mut lab = Lab::monthly("2025-01-31", "2025-01-31");
    lab.product("seat", 7, ProductKind::Seat, "22.00", "17.60");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2025-01-30");
    lab.by_hand(40, 500, 7, "5", "22.00", "2024-11-30");
    lab.agreement_mut(40).bill_start = Some(day("2024-10-31"));
    let up = change("2025-03-10", period("2025-02-28", "2025-03-30"), 8);
    let draft = lab.plan(&[&up.0]);
    let said = said(&draft.findings);
    assert_eq!(said.len(), 1, "{}", show(&draft));
    assert_eq!(said[0].amount.unwrap().0.to_string(), "110.00");
    assert!(said[0].fix.contains("agreement 40") && said[0].fix.contains("by hand"), "{}", said[0].fix);
}

/// A switch to a yearly product says nothing of the months by which the monthly one was sold: each was billed once.
#[test]
fn a_switch_of_the_cycle_warns_of_no_second_billing() {
    let mut lab = Lab::monthly("2027-01-01", "2027-01-01");
    lab.product("m", 7, ProductKind::Seat, "20.00", "10.00");
    lab.product("y", 8, ProductKind::Seat, "220.00", "110.00");
    lab.agreement(41, BillingCycle::YEARLY, "USD", "2027-03-01", "2027-03-01");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2027-01-01");
    let january = period("2027-01-01", "2027-02-01");
    let sold = order("SO-1", OrderKind::Sales, "2027-01-01", january).with(line(
        "1",
        Charge::Recurring,
        "m",
        "3",
        "20.00",
        "10.00",
    ));
    lab.run(&sold.0);
    assert_eq!([lab.invoice(40), lab.invoice(40)], ["60.00", "60.00"]);
    let sold = lab.subscriptions.values_mut().next().unwrap();
    sold.billing_cycle = BillingCycle::YEARLY;
    let switch = order("CH-1", OrderKind::Change, "2027-03-01", period("2027-03-01", "2028-03-01"))
        .change("1", "m", 3, 0, "20.00", "10.00")
        .change("2", "y", 0, 3, "220.00", "110.00");
    let shown = lab.run(&switch.0);
    assert!(!shown.contains("TU4006"), "{shown}");
    assert_eq!(lab.invoice(40), "0", "{shown}");
    assert_eq!(lab.invoice(41), "660.00", "{shown}");
}

/// A line that takes the place of an invoiced one begins with an invoice that stands for the next period: cancelled with
/// that period it owes nothing, and goes.
#[rstest]
#[case("2025-03-12", ["0", "0"])]
#[case("2025-03-20", ["22.00", "0"])]
fn a_line_whose_first_invoice_stands_for_a_cancelled_period_goes(
    #[case] on: &str,
    #[case] billed: [&str; 2],
) {
    let mut lab = lab();
    lab.invoice(40);
    lab.invoice(40);
    lab.run(&change("2025-01-12", period("2025-01-12", "2025-02-12"), 1).0);
    let gone = order("CL-1", OrderKind::Cancellation, on, period("2025-03-12", "2025-04-12"));
    let shown = lab.run(&gone.0);
    assert_eq!([lab.invoice(40), lab.invoice(40)], billed, "{shown}");
}

/// What the former customer's last invoice stands for reaches beyond it: the other one begins after that, and each period
/// is billed to one of them, whole, whenever the transfer comes.
#[rstest]
fn a_transfer_begins_after_the_period_that_the_last_invoice_stands_for(
    #[values("2025-03-12", "2025-03-20", "2025-03-05")] on: &str,
    #[values(2, 3, 4, 5)] invoices: usize,
    #[values("prorate_line", "single", "dual")] mode: &str,
    #[values("on", "off")] credits: &str,
) {
    let mut lab = lab();
    lab.set("line_mode", mode).set("credits", credits);
    lab.second_customer("2025-01-01", "2025-01-01");
    let mut months = Vec::new();
    let mut invoice = |lab: &mut Lab| months.push([lab.invoice(40), lab.invoice(50)]);
    for _ in 0..invoices {
        invoice(&mut lab);
    }
    let february = period("2025-02-12", "2025-03-12");
    let of = if on == "2025-03-05" { february } else { period("2025-03-12", "2025-04-12") };
    let mut moved = order("TR-1", OrderKind::Transfer, on, of).with(line(
        "1",
        Charge::Recurring,
        "seat",
        "5",
        "22.00",
        "17.60",
    ));
    moved.0.customer = Some(CustomerId::from("c-200"));
    let shown = lab.run(&moved.0);
    for _ in invoices..7 {
        invoice(&mut lab);
    }
    let by_the_order = if on == "2025-03-20" { 3 } else { 2 };
    let theirs =
        |month: usize| if month < invoices.max(by_the_order) { ["110.00", "0"] } else { ["0", "110.00"] };
    let wanted: Vec<_> = (0..7).map(theirs).collect();
    assert_eq!(months, wanted, "{shown}");
}

fn kept(draft: &DraftPlan) -> Vec<String> {
    let told = draft.findings.iter().filter(|f| matches!(f.code, Code::Tu6005 | Code::Tu4005));
    told.filter_map(|f| f.amount).map(|(amount, _)| amount.decimal().to_string()).collect()
}

/// The invoice of March stands for the period of 12 March: what stays paid of the rest of it is told up to its end.
#[rstest]
#[case::in_the_month_of_its_invoice("2025-03-20", None, "-81.61")]
#[case::in_the_month_after("2025-04-05", None, "-24.84")]
#[case::changed_after_its_invoice("2025-03-25", Some("2025-03-20"), "-102.19")]
fn what_stays_paid_is_told_up_to_the_end_of_what_the_invoice_stands_for(
    #[case] on: &str,
    #[case] changed: Option<&str>,
    #[case] told: &str,
    #[values("on", "off")] credits: &str,
) {
    let mut lab = lab();
    lab.set("credits", credits);
    for _ in 0..3 {
        lab.invoice(40);
    }
    let of = period("2025-03-12", "2025-04-12");
    if let Some(changed) = changed {
        lab.run(&change(changed, of, 8).0);
    }
    let draft = lab.plan(&[&order("CL-1", OrderKind::Cancellation, on, of).0]);
    assert_eq!(kept(&draft), [told], "{:#?}", draft.findings);
    lab.apply(&draft);
    let part = if changed.is_some() { "48.96" } else { "0" };
    assert_eq!([lab.invoice(40), lab.invoice(40)], [part, "0"], "{}", show(&draft));
}
