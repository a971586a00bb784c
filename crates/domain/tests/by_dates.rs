//! Where ConnectWise bills part periods from the dates: what the source names of them is told, and lines are dated by the
//! day. And parts that an order names across a switch to another cycle.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
use common::*;
use rstest::rstest;
use trueup_domain::feed::{BillingModel, Charge, Order, OrderKind, OrderLine, ProductKind};
use trueup_domain::finding::{Code, Finding};
use trueup_domain::period::{BillingCycle, CycleUnit, Period};
use trueup_domain::plan::DraftPlan;

fn january() -> Period {
    period("2028-01-01", "2028-02-01")
}

/// Five seats since January on an agreement that prorates by itself; invoiced up to `next`.
fn lab(next: &str, credits: &str) -> Lab {
    let mut lab = Lab::monthly("2028-01-01", "2028-01-01");
    lab.product("seat", 7, ProductKind::Seat, "31.00", "3.10");
    lab.product("big", 8, ProductKind::Seat, "62.00", "6.20");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2028-01-01");
    lab.set("proration_by", "connectwise").set("credits", credits);
    lab.agreement_mut(40).prorates = true;
    lab.run(&order("SO-1", OrderKind::Sales, "2028-01-01", january()).with(recurring("5")).0);
    lab.agreement_mut(40).next_invoice = Some(day(next));
    lab
}

fn recurring(quantity: &str) -> OrderLine {
    line("1", Charge::Recurring, "seat", quantity, "31.00", "3.10")
}

fn part(
    id: &str,
    charge: Charge,
    product: &str,
    quantity: &str,
    price: &str,
    amount: Option<&str>,
) -> OrderLine {
    let mut part = line(id, charge, product, quantity, price, "0.00");
    part.period = Some(period("2028-01-11", "2028-02-01"));
    part.amount = amount.map(|amount| amount.parse().unwrap());
    part
}

fn change(old: i64, new: i64) -> OrderDraft {
    order("CH-1", OrderKind::Change, "2028-01-11", january()).change("1", "seat", old, new, "31.00", "3.10")
}

fn drift(draft: &DraftPlan) -> Option<&Finding> {
    draft.findings.iter().find(|f| f.code == Code::Tu6006)
}

/// Refund and new part of all seats, as refund-based sources tell a change; `more` is what they are off by.
fn refund_based(new: i64, amounts: Option<(&str, &str)>) -> Order {
    change(5, new)
        .with(part("2", Charge::Refund, "seat", "5", "31.00", amounts.map(|a| a.0)))
        .with(part("3", Charge::Prorate, "seat", &new.to_string(), "31.00", amounts.map(|a| a.1)))
        .0
}

#[rstest]
#[case::more(8, None, "218.00", None)]
#[case::named(8, Some(("-105.00", "168.00")), "218.00", None)]
#[case::named_otherwise(8, Some(("-105.00", "165.00")), "218.00", Some("3.00"))]
#[case::fewer(2, None, "92.00", None)]
fn refund_based_details_are_dated_by_the_day_where_connectwise_prorates(
    #[case] new: i64,
    #[case] amounts: Option<(&str, &str)>,
    #[case] january: &str,
    #[case] off: Option<&str>,
    #[values("on", "off")] credits: &str,
) {
    let mut lab = lab("2028-01-01", credits);
    let order = refund_based(new, amounts);
    let draft = lab.plan(&[&order]);
    assert!(!draft.findings.iter().any(|f| matches!(f.code, Code::Tu6005 | Code::Tu3006)), "{draft:#?}");
    assert_eq!(
        drift(&draft).and_then(|f| f.amount).map(|a| a.0.to_string()).as_deref(),
        off,
        "{}",
        show(&draft)
    );
    lab.run(&order);
    assert_eq!(lab.invoice(40), january);
    assert_eq!(lab.invoice(40), format!("{}.00", new * 31));
}

#[test]
fn a_single_part_line_is_dated_by_the_day() {
    let mut lab = lab("2028-01-01", "off");
    let order = change(5, 8).with(part("2", Charge::Prorate, "seat", "3", "31.00", None)).0;
    let shown = lab.run(&order);
    assert!(!shown.contains("TU3006") && !shown.contains("prorate 20"), "{shown}");
    assert_eq!(lab.invoice(40), "218.00");
}

/// A switch told by refund and part: old to the day before, new from it.
#[test]
fn a_refund_based_switch_is_dated_by_its_day() {
    let mut lab = lab("2028-01-01", "off");
    let switch = order("CH-1", OrderKind::Change, "2028-01-11", january())
        .change("1", "seat", 5, 0, "31.00", "3.10")
        .change("2", "big", 0, 2, "62.00", "6.20")
        .with(part("3", Charge::Refund, "seat", "5", "31.00", None))
        .with(part("4", Charge::Prorate, "big", "2", "62.00", None));
    let shown = lab.run(&switch.0);
    assert!(!shown.contains("TU"), "{shown}");
    // 5 x 31.00 x 10/31 and 2 x 62.00 x 21/31.
    assert_eq!(lab.invoice(40), "134.00");
    assert_eq!(lab.invoice(40), "124.00");
}

/// An amount that the source names is no word to ConnectWise, which reckons by the dates: the difference is told.
#[rstest]
#[case::less("60.00", Some("3.00"))]
#[case::the_same("63.00", None)]
fn an_amount_of_a_change_is_told_where_it_is_another(#[case] amount: &str, #[case] off: Option<&str>) {
    let lab = lab("2028-01-01", "off");
    let mut order = change(5, 8).0;
    order.lines[0].amount = Some(amount.parse().unwrap());
    let draft = lab.plan(&[&order]);
    assert_eq!(
        drift(&draft).and_then(|f| f.amount).map(|a| a.0.to_string()).as_deref(),
        off,
        "{}",
        show(&draft)
    );
}

/// The same for a switch of two products, and for what a sale begins with.
#[test]
fn amounts_of_a_switch_and_of_a_sale_are_told_where_they_are_others() {
    let lab = lab("2028-01-01", "off");
    let mut switch = order("CH-1", OrderKind::Change, "2028-01-11", january())
        .change("1", "seat", 5, 0, "31.00", "3.10")
        .change("2", "big", 0, 2, "62.00", "6.20")
        .0;
    switch.lines[0].amount = Some("-105.00".parse().unwrap());
    switch.lines[1].amount = Some("80.00".parse().unwrap());
    let draft = lab.plan(&[&switch]);
    assert_eq!(drift(&draft).unwrap().amount.unwrap().0.to_string(), "4.00", "{}", show(&draft));
    let mut empty = Lab::monthly("2028-01-01", "2028-01-01");
    empty.product("seat", 7, ProductKind::Seat, "31.00", "3.10");
    empty.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2028-01-11");
    empty.set("proration_by", "connectwise");
    empty.agreement_mut(40).prorates = true;
    let mut sold = recurring("5");
    sold.amount = Some("100.00".parse().unwrap());
    let draft = empty.plan(&[&order("SO-1", OrderKind::Sales, "2028-01-11", january()).with(sold).0]);
    assert_eq!(drift(&draft).unwrap().amount.unwrap().0.to_string(), "5.00", "{}", show(&draft));
}

/// Days that are invoiced: the lines begin with the next period, and what the source names is written whole.
#[test]
fn named_parts_of_invoiced_days_are_written_once() {
    let mut lab = lab("2028-02-01", "off");
    let order = refund_based(8, Some(("-105.00", "168.00")));
    let shown = lab.run(&order);
    assert!(!shown.contains("TU6005"), "{shown}");
    assert_eq!(lab.invoice(40), "311.00", "8 x 31.00 and 63.00");
    assert_eq!(lab.invoice(40), "248.00");
}

// From a monthly to a yearly product, told by parts without amounts.

const YEARLY: BillingCycle = BillingCycle { every: 1, unit: CycleUnit::Year };

/// The refund is of a month of the old product, whatever the year of the new one is.
#[rstest]
#[case::days_named(true)]
#[case::days_not_named(false)]
fn a_refund_across_cycles_is_a_share_of_the_old_period(
    #[case] days_named: bool,
    #[values(1, 2)] parts: usize,
) {
    let mut lab = Lab::monthly("2028-01-01", "2028-01-01");
    lab.product("p", 7, ProductKind::Seat, "31.00", "3.10");
    lab.product("q", 8, ProductKind::Seat, "366.00", "36.60");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2028-01-01");
    lab.set("credits", "on");
    let sold = line("1", Charge::Recurring, "p", "5", "31.00", "3.10");
    lab.run(&order("SO-1", OrderKind::Sales, "2028-01-01", january()).with(sold).0);
    lab.agreement(41, YEARLY, "USD", "2028-01-16", "2028-01-16");
    lab.subscription("s-1", YEARLY, BillingModel::Advance, "2028-01-01");
    let refund = |id: &str, quantity: &str| {
        let mut refund = line(id, Charge::Refund, "p", quantity, "31.00", "3.10");
        refund.period = days_named.then(|| period("2028-01-16", "2028-02-01"));
        refund
    };
    let mut switch = order("CH-1", OrderKind::Change, "2028-01-16", period("2028-01-16", "2029-01-16"))
        .change("1", "p", 5, 0, "31.00", "3.10")
        .change("2", "q", 0, 5, "366.00", "36.60");
    switch = match parts {
        1 => switch.with(refund("3", "5")),
        _ => switch.with(refund("3", "3")).with(refund("4", "2")),
    };
    let draft = lab.plan(&[&switch.0]);
    let back: Vec<String> = draft
        .changes
        .iter()
        .filter(|c| c.product.as_str() == "p" && c.action.op() == "create")
        .map(|c| c.amount.to_string())
        .collect();
    assert_eq!(back, ["-80.00"], "5 x 31.00 x 16/31: {}", show(&draft));
    lab.run(&switch.0);
}

// --- Cancellations and billing orders --------------------------------------------------------------------------------

/// Eight seats at 22.00 since 1 March, which no invoice has billed, on an agreement that prorates by itself.
fn unbilled() -> Lab {
    let mut lab = Lab::monthly("2023-01-01", "2023-03-01");
    lab.product("seat", 7, ProductKind::Seat, "22.00", "17.60");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2023-03-01");
    lab.set("proration_by", "connectwise");
    lab.agreement_mut(40).prorates = true;
    let sold = line("1", Charge::Recurring, "seat", "8", "22.00", "17.60");
    lab.run(&order("SO-1", OrderKind::Sales, "2023-03-01", march()).with(sold).0);
    lab
}

fn march() -> Period {
    period("2023-03-01", "2023-04-01")
}

/// The line ends with its last used day, and the used part that the order charges is not written beside it.
#[rstest]
#[case::of_the_days(Charge::Recurring, None, None)]
#[case::part(Charge::Prorate, None, None)]
#[case::named(Charge::Recurring, Some("107.87"), None)]
#[case::named_otherwise(Charge::Recurring, Some("100.00"), Some("7.87"))]
fn used_days_that_a_cancellation_charges_are_billed_by_the_date(
    #[case] charge: Charge,
    #[case] amount: Option<&str>,
    #[case] off: Option<&str>,
) {
    let mut lab = unbilled();
    let mut used = line("1", charge, "seat", "8", "22.00", "17.60");
    used.amount = amount.map(|amount| amount.parse().unwrap());
    let order = order("CL-1", OrderKind::Cancellation, "2023-03-20", march()).with(used).0;
    let draft = lab.plan(&[&order]);
    let told = drift(&draft).and_then(|f| f.amount).map(|a| a.0.to_string());
    assert_eq!(told.as_deref(), off, "{:?}", draft.findings);
    let shown = lab.run(&order);
    assert!(shown.starts_with("cancel recurring 2023-03-01..2023-03-19 8 x 22.00"), "{shown}");
    assert!(!shown.contains("create") && !shown.contains("TU3006"), "{shown}");
    // 8 x 13.48: ConnectWise rounds its share of a unit.
    assert_eq!([0; 2].map(|_| lab.invoice(40)), ["107.84", "0"]);
}

/// What is sold on the very day of its cancellation has no day that was used.
#[test]
fn what_is_cancelled_on_its_first_day_goes() {
    let mut lab = unbilled();
    let mut used = line("1", Charge::Recurring, "seat", "8", "22.00", "17.60");
    used.amount = Some("0.00".parse().unwrap());
    let shown = lab.run(&order("CL-1", OrderKind::Cancellation, "2023-03-01", march()).with(used).0);
    assert!(shown.starts_with("delete recurring 2023-03-01"), "{shown}");
    assert_eq!(lab.invoice(40), "0");
}

/// A part that a billing order charges has no line whose dates would bill it: it is written over its whole period.
#[rstest]
fn a_part_of_a_billing_order_is_written_whole(#[values("2023-03-01", "2023-04-01")] next: &str) {
    let mut lab = unbilled();
    lab.agreement_mut(40).next_invoice = Some(day(next));
    let before: rust_decimal::Decimal = lab.clone().invoice(40).parse().unwrap();
    let mut part = line("1", Charge::Prorate, "seat", "1", "", "");
    part.amount = Some("10.00".parse().unwrap());
    part.period = Some(period("2023-03-20", "2023-04-01"));
    let shown = lab.run(&order("BO-1", OrderKind::Billing, "2023-03-25", march()).with(part).0);
    assert!(!shown.contains("TU3006"), "{shown}");
    let after: rust_decimal::Decimal = lab.invoice(40).parse().unwrap();
    assert_eq!((after - before).to_string(), "10.00", "{shown}");
}
