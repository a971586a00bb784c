//! Reconciliations beside orders: what a reconciliation brought is billed once, whatever comes after it; prices that the
//! record names; days of a trial.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
use common::*;
use rstest::rstest;
use rust_decimal::Decimal;
use trueup_domain::feed::{BillingModel, Charge, Order, OrderKind, ProductKind, SubscriptionItem};
use trueup_domain::finding::Code;
use trueup_domain::ids::{CustomerId, ProductId, SourceId, SubscriptionId};
use trueup_domain::mapping::MappingKind;
use trueup_domain::period::{BillingCycle, Period};
use trueup_domain::plan::DraftPlan;
use trueup_domain::task::{Beside, Demand, Task, TaskKind, TaskState};

fn dec(text: &str) -> Decimal {
    text.parse().unwrap()
}

/// The month of 2025 that has this number.
fn month(number: u32) -> Period {
    period(&format!("2025-{number:02}-01"), &format!("2025-{:02}-01", number + 1))
}

/// A monthly agreement from January on, and a subscription of seats.
fn lab() -> Lab {
    let mut lab = Lab::monthly("2025-01-01", "2025-01-01");
    lab.today = day("2025-03-05");
    lab.set("credits", "on");
    lab.product("seat", 7, ProductKind::Seat, "22.00", "17.60");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2025-01-01");
    lab
}

fn record(lab: &mut Lab, quantity: i64, price: &str) {
    let key = (SourceId::from(SOURCE), SubscriptionId::from("s-1"));
    lab.subscriptions.get_mut(&key).unwrap().items = vec![SubscriptionItem {
        id: "seats".into(),
        product: ProductId::from("seat"),
        quantity: quantity.into(),
        included_quantity: None,
        unit_price: (!price.is_empty()).then(|| price.parse().unwrap()),
        unit_cost: Some("17.60".parse().unwrap()),
        overuse_price: None,
        overuse_cost: None,
    }];
}

fn sale(quantity: &str) -> Order {
    let line = line("1", Charge::Recurring, "seat", quantity, "22.00", "17.60");
    order("SO-1", OrderKind::Sales, "2025-01-01", month(1)).with(line).0
}

fn change(id: &str, on: &str, of: u32, old: i64, new: i64) -> Order {
    order(id, OrderKind::Change, on, month(of)).change("1", "seat", old, new, "22.00", "17.60").0
}

fn total(lab: &mut Lab, invoices: usize) -> Decimal {
    (0..invoices).map(|_| dec(&lab.invoice(40))).sum()
}

fn reconciliation(of: Period, confirm_invoiced: bool, beside: Beside) -> (Task, Demand) {
    let task = Task {
        id: "rec-1".into(),
        source: SourceId::from(SOURCE),
        kind: TaskKind::Reconciliation,
        customer: CustomerId::from("c-100"),
        subscription: SubscriptionId::from("s-1"),
        order_id: None,
        completed_us: 0,
        turn: 0,
        state: TaskState::Ready,
        reason: None,
        decided_by: None,
        price_source: None,
        amendments: Vec::new(),
        undone: 0,
    };
    (task, Demand::Reconcile { period: Some(of), confirm_invoiced, beside })
}

/// Reconciles, and proves that doing it again writes nothing.
fn reconciled_beside(lab: &mut Lab, of: Period, beside: Beside) -> DraftPlan {
    let demand = [reconciliation(of, true, beside)];
    let draft = lab.plan_tasks(&demand);
    lab.apply(&draft);
    let again = lab.plan_tasks(&demand);
    assert!(again.changes.iter().all(|c| !c.writes()), "{}\nagain:\n{}", show(&draft), show(&again));
    draft
}

fn reconciled(lab: &mut Lab, of: u32) -> DraftPlan {
    reconciled_beside(lab, month(of), Beside::default())
}

fn amounts(draft: &DraftPlan, code: Code) -> Vec<String> {
    let said = draft.findings.iter().filter(|f| f.code == code);
    said.map(|f| f.amount.map_or("-".into(), |(amount, _)| amount.to_string())).collect()
}

// --- Orders after it -------------------------------------------------------------------------------------------------

/// Five seats; the change to eight of 10 February is not here when March is reconciled to eight. It bills its days up to
/// March when it comes, whatever was ordered since.
#[rstest]
fn an_order_that_comes_after_its_level_bills_the_days_up_to_it(
    #[values("prorate_line", "single", "dual")] mode: &str,
    #[values("end_and_create", "edit_in_place")] form: &str,
    #[values(false, true)] later: bool,
) {
    let mut lab = lab();
    lab.set("line_mode", mode).set("quantity_change", form);
    lab.run(&sale("5"));
    let mut billed = total(&mut lab, 2);
    record(&mut lab, 8, "22.00");
    reconciled(&mut lab, 3);
    if later {
        lab.run(&change("CH-2", "2025-03-20", 3, 8, 10));
    }
    let shown = lab.run(&change("CH-1", "2025-02-10", 2, 5, 8));
    assert!(shown.contains("TU5001 warning"), "{shown}");
    billed += total(&mut lab, 3);
    // 220.00 before, 3 x 22 x 19/28 of February; March; April and May.
    let wanted = match later {
        true => dec("220") + dec("44.79") + dec("176") + dec("17.03") + dec("440"),
        false => dec("220") + dec("44.79") + dec("528"),
    };
    assert!((billed - wanted).abs() < dec("0.10"), "{billed} instead of {wanted}\n{shown}");
}

/// An order of the days that a reconciliation has told already, or bills, adds nothing.
#[rstest]
#[case::within_the_period("2025-03-10", 3, 2)]
#[case::on_its_first_day("2025-03-01", 3, 2)]
#[case::of_days_that_were_told("2025-03-10", 3, 3)]
fn an_order_of_the_reconciled_days_is_billed_by_them(
    #[case] on: &str,
    #[case] of: u32,
    #[case] invoiced: usize,
) {
    let mut lab = lab();
    lab.run(&sale("5"));
    total(&mut lab, invoiced);
    record(&mut lab, 8, "22.00");
    let told = amounts(&reconciled(&mut lab, 3), Code::Tu6005);
    assert_eq!(told, if invoiced == 3 { vec!["66.00"] } else { vec![] });
    assert_eq!(lab.run(&change("CH-1", on, of, 5, 8)), "TU5001 info\n");
    assert_eq!(total(&mut lab, 1), dec("176.00"));
}

/// What the reconciliation has told of invoiced days is not billed by what comes later: an order of the month before
/// counts up to them.
#[test]
fn what_was_told_of_invoiced_days_is_not_billed_again() {
    let mut lab = lab();
    lab.run(&sale("5"));
    total(&mut lab, 3);
    record(&mut lab, 8, "22.00");
    assert_eq!(amounts(&reconciled(&mut lab, 3), Code::Tu6005), ["66.00"]);
    lab.run(&change("CH-1", "2025-02-10", 2, 5, 8));
    assert_eq!(total(&mut lab, 1), dec("220.79"));
    assert_eq!(total(&mut lab, 1), dec("176.00"));
}

/// What starts from the reconciled level goes on from it, also where the level begins after the day of the order.
#[rstest]
#[case::a_month_ahead(2, 4)]
#[case::invoiced(3, 3)]
fn what_starts_from_its_level_goes_on_from_it(#[case] invoiced: usize, #[case] of: u32) {
    let mut lab = lab();
    lab.run(&sale("5"));
    total(&mut lab, invoiced);
    record(&mut lab, 8, "22.00");
    reconciled(&mut lab, of);
    lab.run(&change("CH-2", "2025-03-20", 3, 8, 10));
    total(&mut lab, 4 - invoiced);
    assert_eq!(total(&mut lab, 1), dec("220.00"), "May bills ten");
}

/// Nothing of trueup's bills the days before a level that a reconciliation brought to a customer who was billed elsewhere: an
/// older order writes nothing, and says what its days come to.
#[test]
fn where_nothing_was_billed_before_it_an_older_order_is_told() {
    let mut lab = lab();
    total(&mut lab, 2);
    record(&mut lab, 8, "22.00");
    reconciled(&mut lab, 3);
    let late = change("CH-1", "2025-02-10", 2, 5, 8);
    let draft = lab.plan(&[&late]);
    assert_eq!(amounts(&draft, Code::Tu6005), ["44.79"], "{}", show(&draft));
    lab.run(&late);
    assert_eq!(total(&mut lab, 1), dec("176.00"));
}

/// Several that come late in their order, and what takes back what they brought.
#[test]
fn several_orders_that_come_after_it_each_bill_their_days() {
    let mut lab = lab();
    lab.run(&sale("5"));
    let mut billed = total(&mut lab, 2);
    record(&mut lab, 8, "22.00");
    reconciled(&mut lab, 3);
    let late = [
        change("CH-1", "2025-02-08", 2, 5, 8),
        change("CH-2", "2025-02-15", 2, 8, 10),
        change("CH-3", "2025-02-22", 2, 10, 8),
    ];
    for order in &late {
        lab.run(order);
    }
    billed += total(&mut lab, 3);
    // 3 x 22 x 21/28, 2 x 22 x 14/28, -2 x 22 x 7/28.
    assert_eq!(billed, dec("220") + dec("49.50") + dec("22") - dec("11") + dec("528"));
}

// --- Prices ----------------------------------------------------------------------------------------------------------

/// What an order said stays, and what the record says otherwise is told with its amount.
#[rstest]
#[case::dearer("25.00", &["15.00"])]
#[case::cheaper("20.50", &["-7.50"])]
#[case::the_same("22.00", &[])]
#[case::unknown("", &[])]
fn another_price_of_the_record_is_told(#[case] price: &str, #[case] told: &[&str]) {
    let mut lab = lab();
    lab.run(&sale("5"));
    total(&mut lab, 2);
    record(&mut lab, 5, price);
    let draft = reconciled(&mut lab, 3);
    assert_eq!(amounts(&draft, Code::Tu6003), told);
    assert!(draft.changes.iter().all(|c| !c.writes()), "{}", show(&draft));
}

/// A line that somebody made stays as it is; the difference is told as well.
#[test]
fn another_price_of_a_line_by_hand_is_told() {
    let mut lab = lab();
    lab.by_hand(40, 311, 7, "5", "22.00", "2025-01-01");
    lab.map(MappingKind::Addition, "subscription:s-1/seat", 311);
    record(&mut lab, 5, "25.00");
    let draft = reconciled(&mut lab, 1);
    assert_eq!(
        (show(&draft).as_str(), amounts(&draft, Code::Tu6003)),
        ("TU6003 warning\n", vec!["15.00".into()])
    );
}

/// What the record said to an earlier reconciliation follows it.
#[rstest]
#[case::open(0, "125.00", &[])]
#[case::invoiced(1, "125.00", &["15.00"])]
fn a_line_of_a_reconciliation_takes_the_price_of_the_record(
    #[case] invoiced: usize,
    #[case] billed: &str,
    #[case] left_out: &[&str],
) {
    let mut lab = lab();
    record(&mut lab, 5, "22.00");
    reconciled(&mut lab, 1);
    total(&mut lab, invoiced);
    record(&mut lab, 5, "25.00");
    let draft = reconciled(&mut lab, 1);
    assert_eq!(amounts(&draft, Code::Tu6003), ["15.00"], "{}", show(&draft));
    assert_eq!(amounts(&draft, Code::Tu6005), left_out);
    assert_eq!(total(&mut lab, 1), dec(billed));
    assert_eq!(total(&mut lab, 1), dec("125.00"));
}

/// Without somebody's word nothing of an invoiced month is written anew; the difference is told all the same.
#[test]
fn a_price_of_an_invoiced_month_waits_for_a_word() {
    let mut lab = lab();
    record(&mut lab, 5, "22.00");
    reconciled(&mut lab, 1);
    lab.invoice(40);
    record(&mut lab, 5, "25.00");
    let draft = lab.plan_tasks(&[reconciliation(month(1), false, Beside::default())]);
    assert_eq!(show(&draft), "TU6003 warning\nTU4002 error\n");
}

/// A price that an order brings, or brought for the next period, is no difference.
#[test]
fn a_price_that_an_order_brings_is_none() {
    let mut lab = lab();
    lab.run(&sale("5"));
    total(&mut lab, 2);
    let renewal = order("RN-1", OrderKind::Renewal, "2025-03-25", month(4));
    let renewal = renewal.with(line("1", Charge::Recurring, "seat", "5", "25.00", "17.60")).0;
    record(&mut lab, 5, "25.00");
    let beside = Beside { open: vec![renewal.clone()], ..Beside::default() };
    assert_eq!(show(&reconciled_beside(&mut lab, month(3), beside)), "");
    lab.run(&renewal);
    for price in ["22.00", "25.00"] {
        record(&mut lab, 5, price);
        let beside = Beside { carried: vec![renewal.clone()], ..Beside::default() };
        assert_eq!(show(&reconciled_beside(&mut lab, month(3), beside)), "");
    }
}

// --- Trials ----------------------------------------------------------------------------------------------------------

/// Nothing of a trial is billed, by a reconciliation no more than by a sale (D2).
#[rstest]
#[case::within_the_month("2025-03-20", 3, "39.03")]
#[case::of_another_month("2025-02-10", 3, "110.00")]
#[case::all_of_the_month("2025-03-31", 3, "0.00")]
#[case::still("2025-04-10", 3, "0.00")]
fn the_days_of_a_trial_are_not_billed(#[case] until: &str, #[case] of: u32, #[case] march: &str) {
    let mut lab = lab();
    total(&mut lab, 2);
    record(&mut lab, 5, "22.00");
    let key = (SourceId::from(SOURCE), SubscriptionId::from("s-1"));
    lab.subscriptions.get_mut(&key).unwrap().trial_until = Some(day(until));
    let draft = reconciled(&mut lab, of);
    let billed = total(&mut lab, 1);
    assert!((billed - dec(march)).abs() < dec("0.05"), "{billed} instead of {march}\n{}", show(&draft));
    if until < "2025-03-31" {
        assert_eq!(total(&mut lab, 1), dec("110.00"), "{}", show(&draft));
    }
}

// --- All together ----------------------------------------------------------------------------------------------------

/// Quantities after the orders of 10 and 20 January, 10 and 20 February, 20 March and 10 April.
const HISTORIES: [[i64; 6]; 5] =
    [[8, 6, 9, 7, 10, 4], [3, 5, 8, 3, 5, 8], [8, 5, 8, 5, 8, 5], [8, 10, 8, 10, 8, 10], [9, 8, 7, 8, 6, 8]];

/// Some orders of January and February are not here when March is reconciled to what the record says on its first day. When
/// they come afterwards, every day has been billed once as it was ordered.
#[rstest]
fn whatever_comes_after_a_reconciliation_every_day_is_billed_once(
    #[values("end_and_create", "edit_in_place")] form: &str,
    #[values(1, 2)] invoiced: usize,
    #[values(0, 1, 2)] followed_by: usize,
    #[values(false, true)] backwards: bool,
) {
    const DAYS: [(&str, u32); 6] = [
        ("2025-01-10", 1),
        ("2025-01-20", 1),
        ("2025-02-10", 2),
        ("2025-02-20", 2),
        ("2025-03-20", 3),
        ("2025-04-10", 4),
    ];
    let mut wrong = Vec::new();
    for history in HISTORIES {
        let before = |at: usize| if at == 0 { 5 } else { history[at - 1] };
        let orders: Vec<Order> = (0..6)
            .map(|at| change(&format!("CH-{at}"), DAYS[at].0, DAYS[at].1, before(at), history[at]))
            .collect();
        // What the days come to, month by month, with the last day of each.
        let mut wanted = Decimal::ZERO;
        for number in 1..=5u32 {
            let of = month(number);
            let mut today = of.start();
            while today < of.end() {
                let last = DAYS.iter().rposition(|(on, _)| day(on) <= today);
                let seats = last.map_or(5, |at| history[at]);
                wanted += Decimal::from(seats * 22) / Decimal::from(of.days());
                today = trueup_domain::period::next_day(today);
            }
        }
        for missing in 0..16u32 {
            let is_late = |at: usize| at < 4 && missing & (1 << at) != 0;
            let mut lab = lab();
            lab.set("quantity_change", form);
            let mut log = lab.run(&sale("5"));
            for at in (0..4).filter(|at| !is_late(*at)) {
                log += &lab.run(&orders[at]);
            }
            let mut billed = total(&mut lab, invoiced);
            record(&mut lab, history[3], "22.00");
            log += "reconciled\n";
            log += &show(&reconciled(&mut lab, 3));
            for order in orders.iter().skip(4).take(followed_by) {
                log += &lab.run(order);
            }
            let mut late: Vec<usize> = (0..4).filter(|at| is_late(*at)).collect();
            if backwards {
                late.reverse();
            }
            for at in late {
                log += &format!("late {at}\n{}", lab.run(&orders[at]));
            }
            for order in orders.iter().skip(4 + followed_by) {
                log += &lab.run(order);
            }
            billed += total(&mut lab, 5 - invoiced);
            if (billed - wanted).abs() > dec("0.50") {
                wrong.push(format!("{history:?} without {missing:04b}: {billed} instead of {wanted}\n{log}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of 80\n{}", wrong.len(), wrong[..wrong.len().min(2)].join("\n"));
}
