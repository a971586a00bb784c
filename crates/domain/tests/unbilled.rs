//! Days of one product that are not billed, in orders that hold another product as well: each takes its own day.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
use common::*;
use rstest::rstest;
use trueup_domain::feed::{BillingModel, Charge, OrderKind, OrderLine, ProductKind};
use trueup_domain::finding::Code;
use trueup_domain::ids::CustomerId;
use trueup_domain::mapping::MappingKind;
use trueup_domain::period::{BillingCycle, Period};
use trueup_domain::planner::AdoptionAnswer;

fn april() -> Period {
    period("2025-04-01", "2025-05-01")
}

/// `x` at 22.00, which is not billed before a day, and `y` at 10.00; nothing of April is invoiced.
fn lab(first: &str) -> Lab {
    let mut lab = Lab::monthly("2025-01-01", "2025-04-01");
    lab.product("x", 7, ProductKind::Seat, "22.00", "0");
    lab.product("y", 8, ProductKind::Seat, "10.00", "0");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2025-04-01");
    lab.set("credits", "on");
    let mapping = lab.mappings.iter_mut().find(|m| m.kind == MappingKind::Product && m.source_id == "x");
    mapping.unwrap().options.insert("billed_from".into(), first.into());
    lab
}

/// Five of both, sold on the first of April.
fn sold(first: &str) -> Lab {
    let mut lab = lab(first);
    let sale = order("SO-1", OrderKind::Sales, "2025-04-01", april())
        .with(line("1", Charge::Recurring, "x", "5", "22.00", "0"))
        .with(line("2", Charge::Recurring, "y", "5", "10.00", "0"));
    lab.run(&sale.0);
    lab
}

fn change(id: &str, on: &str, old: i64, new: i64) -> OrderDraft {
    order(id, OrderKind::Change, on, april())
        .change("1", "x", old, new, "22.00", "0")
        .change("2", "y", old, new, "10.00", "0")
}

fn amount(id: &str, charge: Charge, product: &str, amount: &str) -> OrderLine {
    let mut made = line(id, charge, product, "1", "", "");
    made.amount = Some(amount.parse().unwrap());
    made.cost_amount = Some("0".parse().unwrap());
    made
}

fn bills(lab: &mut Lab, months: &[&str], why: &str) {
    let billed: Vec<String> = months.iter().map(|_| lab.invoice(40)).collect();
    assert_eq!(billed, months, "{why}");
}

#[rstest]
#[case::from_the_next_period("2025-05-01", &["50.00", "160.00"])]
#[case::within_the_period("2025-04-20", &["90.35", "160.00"])]
#[case::within_the_next_one("2025-05-10", &["50.00", "128.05", "160.00"])]
fn a_sale(#[case] first: &str, #[case] months: &[&str]) {
    bills(&mut sold(first), months, first);
}

#[rstest]
#[case::from_the_next_period("2025-05-01", 8, &["70.01", "256.00"])]
#[case::within_the_period("2025-04-20", 8, &["134.57", "256.00"])]
#[case::fewer("2025-04-20", 3, &["60.87", "96.00"])]
fn a_change(#[case] first: &str, #[case] new: i64, #[case] months: &[&str]) {
    let mut lab = sold(first);
    let shown = lab.run(&change("CH-1", "2025-04-11", 5, new).0);
    bills(&mut lab, months, &shown);
}

/// Invoiced in advance: the part of the one is caught up, of the other there is none.
#[test]
fn a_change_in_an_invoiced_period() {
    let mut lab = sold("2025-05-01");
    bills(&mut lab, &["50.00"], "");
    let shown = lab.run(&change("CH-1", "2025-04-11", 5, 8).0);
    bills(&mut lab, &["276.01", "256.00"], &shown);
}

/// Amounts that the source names are cut to the days that are billed.
#[rstest]
#[case::not_at_all("2025-05-01", &["70.00", "256.00"])]
#[case::a_share("2025-04-20", &["134.55", "256.00"])]
fn a_change_with_named_amounts(#[case] first: &str, #[case] months: &[&str]) {
    let mut lab = sold(first);
    let mut up = change("CH-1", "2025-04-11", 5, 8);
    up.0.lines[0].amount = Some("44.00".parse().unwrap());
    up.0.lines[1].amount = Some("20.00".parse().unwrap());
    let shown = lab.run(&up.0);
    bills(&mut lab, months, &shown);
}

#[rstest]
#[case::not_at_all("2025-05-01", &["70.00", "256.00"])]
#[case::a_share("2025-04-20", &["134.55", "256.00"])]
fn a_change_with_parts_of_their_own(#[case] first: &str, #[case] months: &[&str]) {
    let mut lab = sold(first);
    let parts = change("CH-1", "2025-04-11", 5, 8)
        .with(amount("3", Charge::Prorate, "x", "117.33"))
        .with(amount("4", Charge::Refund, "x", "73.33"))
        .with(amount("5", Charge::Prorate, "y", "20.00"));
    let shown = lab.run(&parts.0);
    bills(&mut lab, months, &shown);
}

/// An order that comes late is known by the day that it says, though both count from the same one.
#[test]
fn a_late_change_within_the_days_that_are_not_billed() {
    let mut lab = sold("2025-05-01");
    let mut later = change("CH-2", "2025-04-20", 8, 10);
    later.0.lines.truncate(1);
    let mut earlier = change("CH-1", "2025-04-11", 5, 8);
    earlier.0.lines.truncate(1);
    lab.run(&later.0);
    let shown = lab.run(&earlier.0);
    bills(&mut lab, &["50.00", "270.00"], &shown);
}

#[rstest]
#[case::comes("2025-05-01", ("y", 10), ("x", 22), &["16.67", "110.00"])]
#[case::comes_within("2025-04-20", ("y", 10), ("x", 22), &["57.00", "110.00"])]
#[case::goes("2025-05-01", ("x", 22), ("y", 10), &["33.33", "50.00"])]
#[case::goes_within("2025-04-20", ("x", 22), ("y", 10), &["33.35", "50.00"])]
fn a_switch(
    #[case] first: &str,
    #[case] old: (&str, i64),
    #[case] new: (&str, i64),
    #[case] months: &[&str],
) {
    let mut lab = lab(first);
    let price = |p: i64| format!("{p}.00");
    let sale = order("SO-1", OrderKind::Sales, "2025-04-01", april());
    lab.run(&sale.with(line("1", Charge::Recurring, old.0, "5", &price(old.1), "0")).0);
    let switch = order("CH-1", OrderKind::Change, "2025-04-11", april())
        .change("1", old.0, 5, 0, &price(old.1), "0")
        .change("2", new.0, 0, 5, &price(new.1), "0");
    let shown = lab.run(&switch.0);
    bills(&mut lab, months, &shown);
}

#[test]
fn a_renewal() {
    let mut lab = sold("2025-05-15");
    let renewal = order("RN-1", OrderKind::Renewal, "2025-05-01", period("2025-05-01", "2025-06-01"))
        .with(line("1", Charge::Recurring, "x", "6", "22.00", "0"))
        .with(line("2", Charge::Recurring, "y", "6", "10.00", "0"));
    let shown = lab.run(&renewal.0);
    bills(&mut lab, &["50.00", "132.36", "192.00"], &shown);
}

#[rstest]
// Nothing of x was billed by then, and its refund gives nothing back.
#[case::before("2025-05-01", "2025-04-11", "-73.33", "-33.33", &["50.00", "-33.33", "0"])]
#[case::before_the_day("2025-04-20", "2025-04-11", "-73.33", "-33.33", &["90.35", "-73.66", "0"])]
#[case::after_the_day("2025-04-20", "2025-04-25", "-22.00", "-10.00", &["90.35", "-32.00", "0"])]
fn a_cancellation(
    #[case] first: &str,
    #[case] on: &str,
    #[case] of_x: &str,
    #[case] of_y: &str,
    #[case] months: &[&str],
) {
    let mut lab = sold(first);
    bills(&mut lab, &months[..1], "before");
    let cancel = order("CX-1", OrderKind::Cancellation, on, april())
        .with(amount("1", Charge::Refund, "x", of_x))
        .with(amount("2", Charge::Refund, "y", of_y));
    let shown = lab.run(&cancel.0);
    bills(&mut lab, &months[1..], &shown);
}

/// Nothing is invoiced: what the order charges of the used days is cut as well.
#[rstest]
#[case::before("2025-05-01", "2025-04-11", "36.67", &["16.67", "0"])]
#[case::after_the_day("2025-04-20", "2025-04-25", "88.00", &["90.35", "0"])]
fn a_cancellation_before_any_invoice(
    #[case] first: &str,
    #[case] on: &str,
    #[case] used: &str,
    #[case] months: &[&str],
) {
    let mut lab = sold(first);
    let cancel = order("CX-1", OrderKind::Cancellation, on, april())
        .with(amount("1", Charge::Recurring, "x", used))
        .with(amount("2", Charge::Recurring, "y", if on == "2025-04-11" { "16.67" } else { "50.00" }));
    let shown = lab.run(&cancel.0);
    bills(&mut lab, months, &shown);
}

#[rstest]
#[case::before("2025-05-01", "15.00")]
#[case::within("2025-04-20", "37.00")]
fn what_is_charged_once(#[case] first: &str, #[case] billed: &str) {
    let mut lab = lab(first);
    let mut part = amount("1", Charge::Prorate, "x", "40.00");
    part.period = Some(period("2025-04-11", "2025-05-01"));
    let billing = order("BO-1", OrderKind::Billing, "2025-04-30", april()).with(part).with(line(
        "2",
        Charge::OneTime,
        "y",
        "1",
        "15.00",
        "0",
    ));
    let shown = lab.run(&billing.0);
    bills(&mut lab, &[billed], &shown);
}

/// What is charged after its period is charged for the days that are billed; use is counted in one and said.
#[test]
fn what_is_charged_after_its_period() {
    let mut lab = lab("2025-04-21");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Arrears, "2025-04-01");
    let billing = order("BO-1", OrderKind::Billing, "2025-04-30", april())
        .with(line("1", Charge::Recurring, "x", "5", "22.00", "0"))
        .with(line("2", Charge::Recurring, "y", "5", "10.00", "0"))
        .with(line("3", Charge::Overuse, "x", "10", "1.00", "0"));
    let shown = lab.run(&billing.0);
    assert!(shown.contains("TU4002 warning"), "{shown}");
    bills(&mut lab, &["96.67"], &shown);
}

/// The former customer pays up to the boundary, also where the new one is not billed yet.
#[test]
fn a_transfer() {
    let mut lab = sold("2025-06-01");
    lab.second_customer("2025-01-01", "2025-04-01");
    lab.mappings.last_mut().unwrap().options.insert("billed_from".into(), "2025-05-16".into());
    let mut transfer = order("TR-1", OrderKind::Transfer, "2025-04-11", april())
        .with(line("1", Charge::Recurring, "x", "5", "22.00", "0"))
        .with(line("2", Charge::Recurring, "y", "5", "10.00", "0"));
    transfer.0.customer = Some(CustomerId::from("c-200"));
    let shown = lab.run(&transfer.0);
    bills(&mut lab, &["50.00", "0"], &shown);
    let new: Vec<String> = (0..3).map(|_| lab.invoice(50)).collect();
    assert_eq!(new, ["0", "25.80", "160.00"], "{shown}");
}

/// What is left out with its amount: `days: amount`.
fn left_out(draft: &trueup_domain::plan::DraftPlan) -> Vec<String> {
    let of = draft.findings.iter().filter(|f| f.code == Code::Tu6005);
    of.map(|f| {
        let (amount, currency) = f.amount.unwrap();
        format!("{}: {}", f.subject.detail.clone().unwrap(), amount.display(currency))
    })
    .collect()
}

/// February is invoiced, five seats were entered by hand in December, and trueup bills from March on.
fn by_hand_before_go_live() -> Lab {
    let mut lab = Lab::monthly("2024-12-01", "2025-03-01");
    lab.today = day("2025-02-20");
    lab.adoption = AdoptionAnswer::TakeSingle;
    lab.product("x", 7, ProductKind::Seat, "22.00", "17.60");
    lab.product("fee", 8, ProductKind::OneTime, "10.00", "0");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2024-12-01");
    lab.set("go_live", "2025-03-01");
    lab
}

#[test]
fn a_sale_before_go_live_is_told_with_what_nobody_bills_of_it() {
    let mut lab = by_hand_before_go_live();
    let sale = order("SO", OrderKind::Sales, "2025-02-19", period("2025-02-01", "2025-03-01"))
        .with(line("1", Charge::Recurring, "x", "5", "22.00", "17.60"))
        .with(line("2", Charge::Setup, "fee", "1", "10.00", "0"));
    let draft = lab.plan(&[&sale.0]);
    let days = "2025-02-19 to 2025-02-28";
    assert_eq!(left_out(&draft), [format!("{days}, once: 10.00"), format!("{days}: 39.29")]);
    // Within its period the rest is billed.
    lab.set("go_live", "2025-02-25");
    lab.agreement_mut(40).next_invoice = Some(day("2025-02-01"));
    let draft = lab.plan(&[&sale.0]);
    assert_eq!(left_out(&draft), ["2025-02-19 to 2025-02-24: 23.57"]);
    // What a person wrote for it bills it.
    let mut there = by_hand_before_go_live();
    there.by_hand(40, 300, 7, "5", "22.00", "2025-02-19");
    assert_eq!(left_out(&there.plan(&[&sale.0])), ["2025-02-19 to 2025-02-28, once: 10.00"]);
}

#[rstest]
#[case::up(8, "25.93")]
#[case::down(3, "-17.29")]
fn a_change_before_go_live_is_told_with_its_difference(#[case] new: i64, #[case] amount: &str) {
    let mut lab = by_hand_before_go_live();
    lab.by_hand(40, 300, 7, "5", "22.00", "2024-12-01");
    let up = order("CH", OrderKind::Change, "2025-02-18", period("2025-02-01", "2025-03-01"));
    let up = up.change("1", "x", 5, new, "22.00", "17.60");
    let draft = lab.plan(&[&up.0]);
    assert_eq!(left_out(&draft), [format!("2025-02-18 to 2025-02-28: {amount}")], "{}", show(&draft));
    // A line that has the new quantity already bills it, whoever entered it.
    let mut done = by_hand_before_go_live();
    done.by_hand(40, 300, 7, &new.to_string(), "22.00", "2024-12-01");
    assert_eq!(left_out(&done.plan(&[&up.0])), [""; 0]);
}

/// What the order names for the days before is told as it names it, and the months after it by the line.
#[test]
fn amounts_that_a_change_names_for_days_before_go_live_are_told() {
    let mut lab = by_hand_before_go_live();
    lab.by_hand(40, 300, 7, "5", "22.00", "2024-12-01");
    let mut up = order("CH", OrderKind::Change, "2025-01-15", period("2025-01-01", "2025-02-01"))
        .change("1", "x", 5, 8, "22.00", "17.60");
    up.0.lines[0].amount = Some("36.00".parse().unwrap());
    // 36.00 of January and 66.00 of February.
    assert_eq!(left_out(&lab.plan(&[&up.0])), ["2025-01-15 to 2025-02-28: 102.00"]);
    up.0.lines[0].amount = None;
    let up =
        up.with(amount("2", Charge::Prorate, "x", "96.00")).with(amount("3", Charge::Refund, "x", "60.00"));
    let told = left_out(&lab.plan(&[&up.0]));
    assert_eq!(told, ["2025-01-15 to 2025-01-31: 36.00", "2025-02-01 to 2025-02-28: 66.00"]);
}

/// The agreement is made for go-live, or for the first day after a trial: what bills nothing before it fits.
#[rstest]
#[case::go_live(|lab: &mut Lab| {
    lab.set("go_live", "2025-03-01");
})]
#[case::of_the_customer(|lab: &mut Lab| option_of(lab, MappingKind::Customer))]
#[case::of_the_product(|lab: &mut Lab| option_of(lab, MappingKind::Product))]
#[case::trial(|lab: &mut Lab| {
    lab.subscriptions.values_mut().for_each(|s| s.trial_until = Some(day("2025-02-28")));
})]
fn an_agreement_that_begins_with_the_first_billed_day_fits(#[case] cut_off: fn(&mut Lab)) {
    let mut lab = Lab::monthly("2025-03-01", "2025-03-01");
    lab.agreement_mut(40).start = Some(day("2025-03-01"));
    lab.today = day("2025-03-20");
    lab.product("x", 7, ProductKind::Seat, "22.00", "17.60");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2025-02-20");
    let sale = order("SO", OrderKind::Sales, "2025-02-20", period("2025-02-01", "2025-03-01")).with(line(
        "1",
        Charge::Recurring,
        "x",
        "5",
        "22.00",
        "17.60",
    ));
    let refused = lab.plan(&[&sale.0]);
    assert!(refused.findings.iter().any(|f| f.code == Code::Tu4003), "{}", show(&refused));
    cut_off(&mut lab);
    let shown = lab.run(&sale.0);
    let bills: Vec<String> = (0..2).map(|_| lab.invoice(40)).collect();
    assert_eq!(bills, ["110.00", "110.00"], "{shown}");
}

fn option_of(lab: &mut Lab, kind: MappingKind) {
    let mapping = lab.mappings.iter_mut().find(|mapping| mapping.kind == kind).unwrap();
    mapping.options.insert("billed_from".into(), "2025-03-01".into());
}

/// Days that are not to be billed at all are no days that somebody has to bill by hand.
#[test]
fn days_that_are_not_to_be_billed_are_owed_by_nobody() {
    let mut lab = by_hand_before_go_live();
    let mapping = lab.mappings.iter_mut().find(|m| m.kind == MappingKind::Product && m.source_id == "x");
    mapping.unwrap().options.insert("billed_from".into(), "2025-02-25".into());
    let sale = order("SO", OrderKind::Sales, "2025-02-19", period("2025-02-01", "2025-03-01"));
    let sale = sale.with(line("1", Charge::Recurring, "x", "5", "22.00", "17.60"));
    // 25 to 28 February.
    assert_eq!(left_out(&lab.plan(&[&sale.0])), ["2025-02-25 to 2025-02-28: 15.71"]);
}
/// A reconciliation of the month in which a product begins to be billed bills the rest of it alone.
#[rstest]
#[case::open("2025-04-01", "72.00")]
#[case::invoiced("2025-05-01", "182.00")]
fn a_reconciliation(#[case] next: &str, #[case] first: &str) {
    let mut lab = lab("2025-04-11");
    lab.agreement_mut(40).next_invoice = Some(next.parse().unwrap());
    let key = (trueup_domain::ids::SourceId::from(SOURCE), trueup_domain::ids::SubscriptionId::from("s-1"));
    lab.subscriptions.get_mut(&key).unwrap().items = vec![trueup_domain::feed::SubscriptionItem {
        id: "i1".into(),
        product: "x".into(),
        quantity: 5.into(),
        included_quantity: None,
        unit_price: Some("21.60".parse().unwrap()),
        unit_cost: Some("0".parse().unwrap()),
        overuse_price: None,
        overuse_cost: None,
    }];
    let plan = |lab: &Lab| {
        let mut task = lab.task(&order("R-1", OrderKind::Sales, "2025-04-11", april()).0);
        task.kind = trueup_domain::task::TaskKind::Reconciliation;
        task.order_id = None;
        let period = Some(april());
        let demand = trueup_domain::task::Demand::Reconcile {
            period,
            confirm_invoiced: true,
            beside: Default::default(),
        };
        lab.plan_tasks(&[(task, demand)])
    };
    let draft = plan(&lab);
    lab.apply(&draft);
    assert!(!plan(&lab).changes.iter().any(|c| c.writes()), "{}", show(&plan(&lab)));
    let second = "108.00";
    let bills = [lab.invoice(40), lab.invoice(40)];
    let first = if next == "2025-05-01" { "180.00" } else { first };
    assert_eq!(bills, [first, second], "{}", show(&draft));
}

/// Fee and use of a cancellation before go-live are of days that others billed: they are told, and not written.
#[test]
fn a_cancellation_before_go_live_charges_nothing() {
    let mut lab = by_hand_before_go_live();
    lab.by_hand(40, 300, 7, "5", "22.00", "2024-12-01");
    lab.map(MappingKind::Fee, "cancellation", 8);
    lab.item(8, "10.00", "0");
    let cancelled = order("CX", OrderKind::Cancellation, "2025-02-18", period("2025-02-01", "2025-03-01"))
        .with(amount("1", Charge::Cancellation, "x", "25.00"))
        .with(amount("2", Charge::Overuse, "x", "10.00"));
    let draft = lab.plan(&[&cancelled.0]);
    let shown = show(&draft);
    assert!(!shown.contains("25.00") && !shown.contains("10.00"), "{shown}");
    assert_eq!(
        left_out(&draft),
        ["2025-02-18 to 2025-02-18, once: 25.00", "2025-02-01 to 2025-02-18, once: 10.00"]
    );
    // After go-live both are charged.
    lab.set("go_live", "2025-02-01");
    let shown = show(&lab.plan(&[&cancelled.0]));
    assert!(shown.contains("25.00") && shown.contains("10.00"), "{shown}");
}
