//! Renewals beside other orders: what they leave out goes on and is told, and a cancellation that they have taken back ends
//! nothing.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
use common::*;
use rstest::rstest;
use trueup_domain::feed::{BillingModel, Charge, Order, OrderKind, ProductKind};
use trueup_domain::finding::{Code, Severity};
use trueup_domain::period::{BillingCycle, Period};
use trueup_domain::plan::TaskOutcome;
use trueup_domain::planner::AdoptionAnswer;

fn month(number: u32) -> Period {
    period(&format!("2025-{number:02}-01"), &format!("2025-{:02}-01", number + 1))
}

/// Five of `x` at 22.00 and two of `y` at 30.00 since January.
fn lab(mode: &str) -> Lab {
    let mut lab = Lab::monthly("2025-01-01", "2025-01-01");
    lab.today = day("2025-02-20");
    lab.set("line_mode", mode);
    lab.product("x", 7, ProductKind::Seat, "22.00", "0");
    lab.product("y", 8, ProductKind::Seat, "30.00", "0");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2025-01-01");
    let sold = order("SO", OrderKind::Sales, "2025-01-01", month(1)).with(x("5", "22.00"));
    lab.run(&sold.with(line("2", Charge::Recurring, "y", "2", "30.00", "0")).0);
    lab
}

fn x(quantity: &str, price: &str) -> trueup_domain::feed::OrderLine {
    line("1", Charge::Recurring, "x", quantity, price, "0")
}

fn renewal(on: &str, of: Period) -> OrderDraft {
    order("RN", OrderKind::Renewal, on, of)
}

#[rstest]
fn what_a_renewal_does_not_name_goes_on_and_is_told(
    #[values("prorate_line", "single", "dual")] mode: &str,
    #[values("22.00", "24.00")] price: &str,
    #[values(0, 1, 3)] invoiced: usize,
) {
    let mut lab = lab(mode);
    (0..invoiced).for_each(|_| drop(lab.invoice(40)));
    let renewed = renewal("2025-02-20", month(3)).with(x("5", price)).0;
    let draft = lab.plan(&[&renewed]);
    let told: Vec<_> = draft.findings.iter().filter(|f| f.code == Code::Tu8006).collect();
    assert_eq!(told.len(), 1, "{}", show(&draft));
    assert_eq!(told[0].severity, Severity::Warning);
    assert_eq!(told[0].subject.product.as_ref().unwrap().as_str(), "y");
    assert_eq!(told[0].amount.unwrap().0.to_string(), "60.00");
    assert!(!draft.changes.iter().any(|c| c.writes() && c.product.as_str() == "y"), "{}", show(&draft));
    // Planned again it says the same.
    lab.apply(&draft);
    let again = lab.plan(&[&renewed]);
    assert_eq!(again.findings.iter().filter(|f| f.code == Code::Tu8006).count(), 1, "{}", show(&again));
}

#[test]
fn a_renewal_that_names_all_or_nothing_leaves_nothing_out() {
    let lab = lab("prorate_line");
    let all = renewal("2025-02-20", month(3)).with(x("5", "22.00"));
    let all = all.with(line("2", Charge::Recurring, "y", "2", "30.00", "0"));
    assert_eq!(show(&lab.plan(&[&all.0])), "");
    assert_eq!(show(&lab.plan(&[&renewal("2025-02-20", month(3)).0])), "");
}

/// What was taken away, or ends with a cancellation for a later day, does not go on.
#[test]
fn what_ends_is_not_told_to_go_on() {
    let mut lab = lab("prorate_line");
    lab.invoice(40);
    lab.run(&order("CH", OrderKind::Change, "2025-02-10", month(2)).change("1", "y", 2, 0, "30.00", "0").0);
    let shown = lab.run(&renewal("2025-02-20", month(3)).with(x("5", "22.00")).0);
    assert!(!shown.contains("TU8006"), "{shown}");
}

fn cancelled(on: &str, of: Period) -> Order {
    let mut end = order("CL", OrderKind::Cancellation, on, of).0;
    end.completed_us -= 20;
    end
}

/// The renewal was carried out, with something to write or without, when the cancellation before it comes.
#[rstest]
fn a_cancellation_that_a_renewal_has_taken_back_waits_for_a_person(
    #[values("prorate_line", "single", "dual")] mode: &str,
    #[values("22.00", "24.00")] price: &str,
    #[values("on", "off")] credits: &str,
    #[values(0, 2, 4)] invoiced: usize,
    #[values("2025-02-15", "2025-02-28", "2025-03-01")] on: &str,
) {
    let mut lab = lab(mode);
    lab.set("credits", credits);
    let renewed = renewal("2025-02-25", month(3)).with(x("5", price));
    lab.run(&renewed.with(line("2", Charge::Recurring, "y", "2", "30.00", "0")).0);
    (0..invoiced).for_each(|_| drop(lab.invoice(40)));
    let end = cancelled(on, month(2));
    let draft = lab.plan(&[&end]);
    assert!(!draft.changes.iter().any(|c| c.writes()), "{}", show(&draft));
    assert_eq!(draft.outcomes.values().next(), Some(&TaskOutcome::Waiting));
    let told: Vec<_> = draft.findings.iter().map(|f| (f.code, f.severity)).collect();
    assert_eq!(told, [(Code::Tu5001, Severity::Error)]);
    // A person says that it is over after all.
    lab.adoption = AdoptionAnswer::CreateBeside;
    let shown = lab.run(&end);
    assert!(shown.contains("recurring") && !shown.contains("error"), "{shown}");
}

/// One that was renewed only up to the day that it is cancelled for ends.
#[test]
fn a_renewal_up_to_the_day_of_a_cancellation_takes_nothing_back() {
    let mut lab = lab("prorate_line");
    lab.invoice(40);
    let renewed = renewal("2025-02-05", month(2)).with(x("5", "22.00"));
    lab.run(&renewed.with(line("2", Charge::Recurring, "y", "2", "30.00", "0")).0);
    let mut end = cancelled("2025-02-28", month(2));
    end.completed_us -= 30;
    let shown = lab.run(&end);
    assert!(shown.contains("cancel recurring 2025-01-01..2025-02-28 5 x 22.00"), "{shown}");
}

/// In their order, with the months between invoiced already: what the cancellation ends begins again, and each month is
/// billed once.
#[rstest]
fn a_renewal_after_a_cancellation_begins_again_whatever_is_invoiced(
    #[values("on", "off")] credits: &str,
    #[values("2025-02-15", "2025-02-28", "2025-03-01")] on: &str,
    #[values(0, 2, 3, 4)] invoiced: usize,
    #[values(false, true)] at_once: bool,
) {
    let mut lab = lab("prorate_line");
    lab.set("credits", credits);
    let mut billed: Vec<String> = (0..invoiced).map(|_| lab.invoice(40)).collect();
    let end = cancelled(on, month(2));
    let renewed = renewal("2025-02-25", month(3)).with(x("5", "22.00"));
    let renewed = renewed.with(line("2", Charge::Recurring, "y", "2", "30.00", "0")).0;
    let mut shown = String::new();
    if at_once {
        let draft = lab.plan(&[&end, &renewed]);
        shown += &show(&draft);
        lab.apply(&draft);
        assert!(lab.plan(&[&renewed]).changes.iter().all(|c| !c.writes()), "{shown}");
    } else {
        shown += &lab.run(&end);
        shown += &lab.run(&renewed);
    }
    billed.extend((invoiced..6).map(|_| lab.invoice(40)));
    let sum: rust_decimal::Decimal = billed.iter().map(|b| b.parse::<rust_decimal::Decimal>().unwrap()).sum();
    assert_eq!(sum.to_string(), "1020.00", "{billed:?}\n{shown}");
    assert_eq!(billed[5], "170.00", "{billed:?}\n{shown}");
}

/// A renewal that came late itself, after a younger one, left parts of its days alone: what was ordered before both and comes
/// last is billed up to it.
#[rstest]
fn what_comes_after_a_renewal_that_came_late_is_billed_up_to_it(
    #[values("end_and_create", "edit_in_place")] form: &str,
    #[values("prorate_line", "single", "dual")] mode: &str,
    #[values(5, 6)] invoiced: usize,
) {
    let mut lab = Lab::monthly("2025-01-01", "2025-01-01");
    lab.set("line_mode", mode).set("quantity_change", form).set("credits", "on");
    lab.product("x", 7, ProductKind::Seat, "22.00", "0");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2025-01-01");
    lab.run(&order("SO", OrderKind::Sales, "2025-01-01", month(1)).with(x("5", "22.00")).0);
    let change =
        order("CH", OrderKind::Change, "2025-03-10", month(3)).change("1", "x", 5, 9, "22.00", "0").0;
    let renewed = |id: &str, of: u32, quantity: &str, price: &str| {
        let start = format!("2025-{of:02}-01");
        let mut order = order(id, OrderKind::Renewal, &start, month(of)).with(x(quantity, price)).0;
        order.completed_us = change.completed_us + i64::from(of);
        order
    };
    let mut billed: Vec<String> = (0..4).map(|_| lab.invoice(40)).collect();
    lab.run(&renewed("R-2", 5, "7", "20.00"));
    billed.extend((4..invoiced).map(|_| lab.invoice(40)));
    let mut said = lab.run(&renewed("R-1", 4, "6", "24.00"));
    said += &lab.run(&change);
    billed.extend((invoiced..8).map(|_| lab.invoice(40)));
    let sum: rust_decimal::Decimal = billed.iter().map(|b| b.parse::<rust_decimal::Decimal>().unwrap()).sum();
    // Two months of five; March with nine from the tenth; April as the late renewal says; four months of the younger one.
    let owed: rust_decimal::Decimal = "1096.45".parse().unwrap();
    assert!((sum - owed).abs() <= "0.05".parse().unwrap(), "{sum}: {billed:?}\n{said}");
}
