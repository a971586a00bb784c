//! What was billed or given back once beside a line that is deleted because no invoice ever billed it: nobody is paid for
//! what was never charged, and nothing is charged twice.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
use common::*;
use rstest::rstest;
use rust_decimal::Decimal;
use trueup_domain::feed::{BillingModel, Charge, OrderKind, OrderLine, ProductKind};
use trueup_domain::finding::{Code, Severity};
use trueup_domain::ids::CustomerId;
use trueup_domain::period::{BillingCycle, Period};
use trueup_domain::planner::Extent;

fn january() -> Period {
    period("2025-01-01", "2025-02-01")
}

/// Five seats at 22.00 from the first or a later day of January, of which nothing is invoiced.
fn lab(mode: &str, from: &str, invoiced_to: &str) -> Lab {
    let mut lab = Lab::monthly("2024-11-01", "2025-01-01");
    lab.product("seat", 7, ProductKind::Seat, "22.00", "17.60");
    lab.product("plan", 8, ProductKind::Seat, "10.00", "5.00");
    lab.product("promo", 9, ProductKind::OneTime, "10.00", "0");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, from);
    lab.set("credits", "on").set("line_mode", mode);
    lab.agreement_mut(40).next_invoice = Some(day(invoiced_to));
    lab
}

fn seats(on: &str, of: Period) -> OrderDraft {
    order("SO-1", OrderKind::Sales, on, of).with(line("1", Charge::Recurring, "seat", "5", "22.00", "17.60"))
}

fn change(id: &str, on: &str, old: i64, new: i64) -> OrderDraft {
    order(id, OrderKind::Change, on, january()).change("1", "seat", old, new, "22.00", "17.60")
}

fn cancel(on: &str) -> OrderDraft {
    order("CX-1", OrderKind::Cancellation, on, january())
}

fn amount(id: &str, charge: Charge, product: &str, amount: &str) -> OrderLine {
    let mut made = line(id, charge, product, "1", "", "");
    made.amount = Some(amount.parse().unwrap());
    made.cost_amount = Some("0".parse().unwrap());
    made
}

#[rstest]
// A decrease's credit goes with the line that it reduced; an increase's charge is for days that were used, and what a
// decrease gives back of it stays.
#[case::decrease("prorate_line", &[(5, 3)], "0")]
#[case::fewer_then_more("prorate_line", &[(5, 2), (2, 4)], "24.12")]
#[case::more_then_fewer("prorate_line", &[(5, 8), (8, 6)], "20.58")]
#[case::more("prorate_line", &[(5, 8)], "44.70")]
// A full line takes its correction along, whichever way it goes.
#[case::dual_fewer("dual", &[(5, 3)], "0")]
#[case::dual_more("dual", &[(5, 8)], "0")]
#[case::dual_twice("dual", &[(5, 8), (8, 10)], "0")]
#[case::dual_fewer_then_more("dual", &[(5, 3), (3, 4)], "0")]
#[case::commitment("commitment", &[(5, 8)], "0")]
fn what_was_never_billed_gives_nothing_back(
    #[case] mode: &str,
    #[case] changes: &[(i64, i64)],
    #[case] january: &str,
) {
    let mut lab = lab(mode, "2025-01-01", "2025-01-01");
    lab.run(&seats("2025-01-01", self::january()).0);
    for (n, (old, new)) in changes.iter().enumerate() {
        let on = format!("2025-01-{}", 11 + 4 * n);
        lab.run(&change(&format!("CH-{n}"), &on, *old, *new).0);
    }
    let shown = lab.run(&cancel("2025-01-21").0);
    assert_eq!(lab.invoice(40), january, "{shown}");
    assert_eq!(lab.invoice(40), "0", "{shown}");
}

/// A sale within the period is billed by a line of its own, which stays: so do the credits on it, and what the order
/// gives back of it is owed.
#[rstest]
#[case::fewer(3, "-23.42", "24.83")]
#[case::as_it_was(5, "-39.03", "39.02")]
fn a_part_that_stays_is_given_back_and_not_charged_again(
    #[case] new: i64,
    #[case] refund: &str,
    #[case] billed: &str,
) {
    let mut lab = lab("prorate_line", "2025-01-10", "2025-01-01");
    let rest = period("2025-01-10", "2025-02-01");
    lab.run(&seats("2025-01-10", rest).0);
    if new != 5 {
        lab.run(&change("CH-1", "2025-01-11", 5, new).0);
    }
    let back = amount("1", Charge::Refund, "seat", refund);
    let used = amount("2", Charge::Recurring, "seat", "39.03");
    let shown = lab.run(&cancel("2025-01-21").with(back).with(used).0);
    assert_eq!(lab.invoice(40), billed, "{shown}");
    assert_eq!(lab.invoice(40), "0", "{shown}");
}

/// One averaged line stands for the period: it stays, and what the order gives back of it is owed.
#[test]
fn an_averaged_line_is_given_back() {
    let mut lab = lab("single", "2025-01-01", "2025-01-01");
    lab.set("rounding_tolerance", "1");
    lab.run(&seats("2025-01-01", january()).0);
    lab.run(&change("CH-1", "2025-01-11", 5, 8).0);
    let shown = lab.run(&cancel("2025-01-21").with(amount("1", Charge::Refund, "seat", "-62.45")).0);
    assert_eq!(lab.invoice(40), "92.27", "{shown}");
}

/// A plan switch nets its part on the new product: what it gives back is of the old line.
#[rstest]
#[case::never_billed("2025-01-01", "0")]
#[case::billed("2025-02-01", "-40.65")]
fn the_credit_of_a_switch_stands_and_falls_with_the_line_it_replaced(
    #[case] invoiced_to: &str,
    #[case] billed: &str,
) {
    let mut lab = lab("prorate_line", "2025-01-01", "2025-01-01");
    lab.run(&seats("2025-01-01", january()).0);
    lab.agreement_mut(40).next_invoice = Some(day(invoiced_to));
    let switch = order("CH-1", OrderKind::Change, "2025-01-11", january())
        .change("1", "seat", 5, 0, "22.00", "17.60")
        .change("2", "plan", 0, 5, "10.00", "5.00");
    lab.run(&switch.0);
    let shown = lab.run(&cancel("2025-01-21").0);
    assert_eq!(lab.invoice(40), billed, "{shown}");
}

/// A discount on what is never billed is none; one on a fee that stays is.
#[rstest]
#[case::of_the_product("seat", false, "0")]
#[case::of_its_own("promo", false, "0")]
#[case::beside_a_fee("promo", true, "40.00")]
fn a_discount_goes_with_what_it_was_given_on(
    #[case] product: &str,
    #[case] setup: bool,
    #[case] billed: &str,
) {
    let mut lab = lab("prorate_line", "2025-01-01", "2025-01-01");
    let mut sale = seats("2025-01-01", january()).with(amount("2", Charge::Discount, product, "10.00"));
    if setup {
        sale = sale.with(amount("3", Charge::Setup, "plan", "50.00"));
    }
    lab.run(&sale.0);
    let shown = lab.run(&cancel("2025-01-01").0);
    assert_eq!(lab.invoice(40), billed, "{shown}");
}

/// What is invoiced was charged: its credit stays.
#[test]
fn a_credit_on_what_was_billed_stays() {
    let mut lab = lab("prorate_line", "2025-01-01", "2025-01-01");
    lab.run(&seats("2025-01-01", january()).0);
    assert_eq!(lab.invoice(40), "110.00");
    lab.run(&change("CH-1", "2025-01-11", 5, 3).0);
    let back = amount("1", Charge::Refund, "seat", "-23.42");
    let shown = lab.run(&cancel("2025-01-21").with(back).0);
    assert_eq!(lab.invoice(40), "-53.22", "{shown}");
    assert_eq!(lab.invoice(40), "0");
}

/// An order that comes late takes away what a change gave back of days after it.
#[test]
fn a_late_cancellation_takes_away_what_was_given_back_after_it() {
    let mut lab = lab("prorate_line", "2025-01-01", "2025-01-01");
    lab.run(&seats("2025-01-01", january()).0);
    let given = amount("2", Charge::Refund, "seat", "-20.00");
    lab.run(&change("CH-1", "2025-01-11", 5, 3).with(given).0);
    let shown = lab.run(&cancel("2025-01-06").0);
    assert_eq!(lab.invoice(40), "0", "{shown}");
}

/// A transfer that comes late leaves the former customer nothing of the days that the other one pays. What an order changed
/// after its day is taken back first.
#[rstest]
#[case(5, 3)]
#[case(5, 8)]
fn a_late_transfer_leaves_the_former_customer_nothing(#[case] old: i64, #[case] new: i64) {
    let mut lab = lab("prorate_line", "2025-01-01", "2025-01-01");
    lab.second_customer("2024-11-01", "2025-01-01");
    lab.run(&seats("2025-01-01", january()).0);
    let mut later = change("CH-1", "2025-01-11", old, new).0;
    later.completed_us += 1;
    let changed = lab.plan(&[&later]);
    let done = lab.apply(&changed);
    let mut transfer = order("TR-1", OrderKind::Transfer, "2025-01-01", january()).with(line(
        "1",
        Charge::Recurring,
        "seat",
        &old.to_string(),
        "22.00",
        "17.60",
    ));
    transfer.0.customer = Some(CustomerId::from("c-200"));
    let held = lab.plan(&[&transfer.0]);
    assert!(!held.changes.iter().any(|c| c.writes()), "{}", show(&held));
    assert!(
        held.findings.iter().any(|f| f.code == Code::Tu5001 && f.severity == Severity::Error),
        "{}",
        show(&held)
    );
    let back = lab.undo(&[(&changed, &done)], &Extent::Everything);
    lab.apply(&back);
    let shown = lab.run(&transfer.0);
    assert_eq!(lab.invoice(40), "0", "{shown}");
    assert_eq!(lab.invoice(50), "110.00", "{shown}");
}

/// In the modes that write a full line with a correction beside it the two are one statement: what was sold within the
/// period, or changed while a line of earlier periods billed it, is billed as it is in the other modes.
#[rstest]
#[case::sold_within("2025-01-10", &[], "2025-01-14")]
#[case::sold_within_then_more("2025-01-10", &[("2025-01-13", 5, 10)], "2025-01-14")]
#[case::sold_within_then_both("2025-01-10", &[("2025-01-13", 5, 10), ("2025-01-20", 10, 7)], "2025-01-22")]
#[case::sold_before_then_more("2024-12-01", &[("2025-01-10", 5, 8)], "2025-01-14")]
#[case::sold_before_then_fewer("2024-12-01", &[("2025-01-10", 5, 2)], "2025-01-14")]
#[case::sold_before_then_both("2024-12-01", &[("2025-01-10", 5, 8), ("2025-01-12", 8, 3)], "2025-01-14")]
fn a_full_line_and_its_correction_go_or_stay_together(
    #[values("dual", "commitment")] mode: &str,
    #[values(true, false)] in_one: bool,
    #[case] sold: &str,
    #[case] changes: &[(&str, i64, i64)],
    #[case] cancelled: &str,
) {
    let bills = |mode: &str| {
        let mut lab = lab(mode, sold, &format!("{}01", &sold[..8]));
        let of = if sold < "2025" { period(sold, "2025-01-01") } else { january() };
        let mut orders = vec![seats(sold, of).0];
        orders.extend(changes.iter().map(|(on, old, new)| change(&format!("CH-{on}"), on, *old, *new).0));
        orders.push(cancel(cancelled).0);
        for (n, order) in orders.iter_mut().enumerate() {
            order.completed_us = i64::try_from(n).unwrap();
        }
        let mut shown = String::new();
        if sold < "2025" {
            shown += &lab.run(&orders.remove(0));
            assert_eq!(lab.invoice(40), "110.00");
        }
        if in_one {
            let draft = lab.plan(&orders.iter().collect::<Vec<_>>());
            shown += &show(&draft);
            lab.apply(&draft);
        } else {
            orders.iter().for_each(|order| shown += &lab.run(order));
        }
        let january: Decimal = lab.invoice(40).parse().unwrap();
        assert_eq!(lab.invoice(40), "0", "{shown}");
        (january, shown)
    };
    let (usual, own) = (bills("prorate_line"), bills(mode));
    assert!(
        (own.0 - usual.0).abs() <= Decimal::new(5, 2),
        "{}\n{} instead of {}\n{}",
        own.1,
        own.0,
        usual.0,
        usual.1
    );
}

/// A product that an order adds within the period is billed for its days, whatever ends it.
#[rstest]
fn an_added_product_is_billed_for_its_days(#[values("prorate_line", "dual")] mode: &str) {
    let mut lab = lab(mode, "2025-01-01", "2025-01-01");
    lab.run(&seats("2025-01-01", january()).0);
    let more =
        order("CH-1", OrderKind::Change, "2025-01-11", january()).change("1", "plan", 0, 5, "10.00", "5.00");
    lab.run(&more.0);
    let shown = lab.run(&cancel("2025-01-21").0);
    // 50.00 x 21/31; the seats, sold with the period, go.
    let billed: Decimal = lab.invoice(40).parse().unwrap();
    assert!((billed - Decimal::new(3387, 2)).abs() <= Decimal::new(3, 2), "{billed}\n{shown}");
    assert_eq!(lab.invoice(40), "0", "{shown}");
}

/// What the order charges or gives back beside such a pair is what it is beside a part of its own.
#[rstest]
#[case::refund(Some("-39.03"), None, "39.03")]
#[case::both(Some("-39.03"), Some("39.03"), "39.03")]
#[case::used(None, Some("39.03"), "78.06")]
fn what_the_order_names_beside_a_pair(
    #[case] refund: Option<&str>,
    #[case] used: Option<&str>,
    #[case] billed: &str,
) {
    let mut lab = lab("dual", "2025-01-10", "2025-01-01");
    lab.run(&seats("2025-01-10", january()).0);
    let mut order = cancel("2025-01-21");
    if let Some(refund) = refund {
        order = order.with(amount("1", Charge::Refund, "seat", refund));
    }
    if let Some(used) = used {
        order = order.with(amount("2", Charge::Recurring, "seat", used));
    }
    let shown = lab.run(&order.0);
    assert_eq!(lab.invoice(40), billed, "{shown}");
    assert_eq!(lab.invoice(40), "0", "{shown}");
}

/// Where the order charges the used part of an open period alone, it takes the place of the pair.
#[test]
fn the_used_part_takes_the_place_of_a_pair() {
    let mut lab = lab("dual", "2024-12-01", "2024-12-01");
    lab.run(&seats("2024-12-01", period("2024-12-01", "2025-01-01")).0);
    lab.invoice(40);
    lab.run(&change("CH-1", "2025-01-10", 5, 8).0);
    let shown = lab.run(&cancel("2025-01-14").with(amount("2", Charge::Recurring, "seat", "60.00")).0);
    assert_eq!(lab.invoice(40), "60.00", "{shown}");
    assert_eq!(lab.invoice(40), "0", "{shown}");
}

/// A fee is no correction: it stays.
#[test]
fn a_setup_fee_stays_where_a_pair_goes() {
    let mut lab = lab("dual", "2025-01-01", "2025-01-01");
    lab.run(&seats("2025-01-01", january()).with(amount("3", Charge::Setup, "seat", "50.00")).0);
    let shown = lab.run(&cancel("2025-01-10").0);
    assert_eq!(lab.invoice(40), "50.00", "{shown}");
}

/// What was charged of the month before is not what a credit of this one gives back.
#[test]
fn a_credit_is_not_held_by_what_was_charged_of_other_days() {
    let mut lab = lab("prorate_line", "2025-01-01", "2025-01-01");
    lab.run(&seats("2025-01-01", january()).0);
    lab.run(&change("CH-1", "2025-01-11", 5, 8).0);
    assert_eq!(lab.invoice(40), "154.70");
    let february = period("2025-02-01", "2025-03-01");
    let fewer =
        order("CH-2", OrderKind::Change, "2025-02-10", february).change("1", "seat", 8, 6, "22.00", "17.60");
    lab.run(&fewer.0);
    let shown = lab.run(&order("CX-1", OrderKind::Cancellation, "2025-02-12", february).0);
    // Eight seats of February, less two from the 10th on.
    assert_eq!(lab.invoice(40), "146.14", "{shown}");
}

/// A line that a change put in the place of a billed one has used days: it is billed as that one would have been.
#[rstest]
#[case::changed(true, "2025-02-12", "176.00")]
#[case::not_changed(false, "2025-02-12", "110.00")]
#[case::changed_and_ended_on_the_first_day(true, "2025-02-01", "0.00")]
#[case::not_changed_and_ended_on_the_first_day(false, "2025-02-01", "0.00")]
fn used_days_of_what_was_changed_before_are_billed(
    #[case] changed: bool,
    #[case] on: &str,
    #[case] billed: &str,
) {
    let mut lab = lab("prorate_line", "2025-01-01", "2025-01-01");
    lab.run(&seats("2025-01-01", january()).0);
    if changed {
        lab.run(&change("CH-1", "2025-01-11", 5, 8).0);
    }
    lab.invoice(40);
    let february = period("2025-02-01", "2025-03-01");
    let shown = lab.run(&order("CX-1", OrderKind::Cancellation, on, february).0);
    let dec = |text: &str| text.parse::<rust_decimal::Decimal>().unwrap();
    assert_eq!(dec(&lab.invoice(40)), dec(billed), "{shown}");
    assert_eq!(dec(&lab.invoice(40)), dec("0"), "{shown}");
}

/// Seven seats sold within January, their part invoiced, the line of February not yet: its days were used.
#[rstest]
#[case::with_its_refund(true, "143.36")]
#[case::without(false, "154.00")]
fn a_line_that_follows_its_part_bills_the_days_that_were_used(#[case] refund: bool, #[case] billed: &str) {
    let mut lab = Lab::monthly("2028-01-01", "2028-01-01");
    lab.product("seat", 7, ProductKind::Seat, "22.00", "17.60");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2028-01-05");
    lab.set("credits", "on");
    let seats = line("1", Charge::Recurring, "seat", "7", "22.00", "17.60");
    let january = period("2028-01-01", "2028-02-01");
    lab.run(&order("SO-1", OrderKind::Sales, "2028-01-05", january).with(seats).0);
    assert_eq!(lab.invoice(40), "134.12");
    let mut cancel = order("CA-1", OrderKind::Cancellation, "2028-02-28", period("2028-02-01", "2028-03-01"));
    if refund {
        let mut back = line("1", Charge::Refund, "seat", "-7", "22.00", "17.60");
        back.amount = Some("-10.64".parse().unwrap());
        back.period = Some(period("2028-02-28", "2028-03-01"));
        cancel = cancel.with(back);
    }
    let shown = lab.run(&cancel.0);
    assert!(shown.contains("cancel recurring 2028-02-01..2028-02-28 7 x 22.00"), "{shown}");
    assert_eq!(lab.invoice(40), billed);
    assert_eq!(lab.invoice(40), "0");
}

/// What was invoiced beyond a cancellation that has no refund is told with its amount: 17 of 31 days of 110.00.
#[test]
fn what_no_order_gives_back_is_told_with_its_amount() {
    let mut lab = lab("prorate_line", "2025-01-01", "2025-01-01");
    lab.run(&seats("2025-01-01", january()).0);
    lab.invoice(40);
    let draft = lab.plan(&[&cancel("2025-01-15").0]);
    let told = draft.findings.iter().find(|f| f.code == Code::Tu6005);
    let amount = told.and_then(|f| f.amount.as_ref()).map(|(amount, _)| amount.decimal().to_string());
    assert_eq!(amount.as_deref(), Some("-60.32"), "{}", show(&draft));
}

fn told(lab: &Lab, order: &OrderDraft) -> Vec<String> {
    let draft = lab.plan(&[&order.0]);
    let of = draft.findings.iter().filter(|f| f.message.contains("gives nothing back"));
    of.filter_map(|f| f.amount.as_ref()).map(|(amount, _)| amount.to_string()).collect()
}

/// A part that an invoice has billed, and the days of it after the cancellation: of a sale within the period, with an amount
/// of its own or without, and of a change.
#[rstest]
#[case::part("2025-01-10", None, &[], &["-42.58"])]
#[case::named("2025-01-10", Some("44.00"), &[], &["-24.00"])]
#[case::own_amount("2025-01-01", Some("62.00"), &[], &["-24.00"])]
#[case::changed("2025-01-10", None, &[("2025-01-15", 5, 8)], &["-68.13"])]
#[case::more("2025-01-01", None, &[("2025-01-15", 5, 8)], &["-68.13"])]
#[case::fewer("2025-01-01", None, &[("2025-01-15", 5, 3)], &["-25.55"])]
fn what_was_billed_once_for_days_after_a_cancellation_is_told(
    #[case] from: &str,
    #[case] amount: Option<&str>,
    #[case] changes: &[(&str, i64, i64)],
    #[case] expected: &[&str],
    #[values("prorate_line", "single", "dual", "commitment")] mode: &str,
    #[values("end_and_create", "edit_in_place")] form: &str,
    #[values(false, true)] invoiced: bool,
) {
    if amount.is_some() && mode != "prorate_line" {
        return;
    }
    let mut lab = lab(mode, from, "2025-01-01");
    lab.set("rounding_tolerance", "1").set("quantity_change", form);
    let mut sold = seats(from, january());
    sold.0.lines[0].amount = amount.map(|amount| amount.parse().unwrap());
    lab.run(&sold.0);
    // The changes come before the invoice or after it.
    if invoiced {
        lab.invoice(40);
    }
    for (on, old, new) in changes {
        lab.run(&change("CH", on, *old, *new).0);
    }
    lab.invoice(40);
    let near = |told: &str, exact: &str| {
        (told.parse::<Decimal>().unwrap() - exact.parse::<Decimal>().unwrap()).abs()
            <= "0.06".parse().unwrap()
    };
    let told = told(&lab, &cancel("2025-01-20"));
    assert!(told.len() == expected.len() && near(&told[0], expected[0]), "{told:?} {expected:?}");
    // With a refund of its own there is nothing left to say.
    let back = amount_of_refund();
    assert_eq!(self::told(&lab, &cancel("2025-01-20").with(back)), [""; 0]);
}

fn amount_of_refund() -> OrderLine {
    amount("1", Charge::Refund, "seat", "-20.00")
}

/// A trial that is left before it ends, and whose first days after it are invoiced ahead.
#[rstest]
#[case::within_the_month("2025-01-14", 1, "-60.30")]
#[case::with_the_month_after("2025-01-14", 2, "-60.30")]
#[case::in_the_next_month("2025-02-14", 2, "-55.00")]
fn what_was_billed_ahead_of_a_trial_that_is_left_is_told(
    #[case] until: &str,
    #[case] invoiced: usize,
    #[case] expected: &str,
) {
    let mut lab = lab("prorate_line", "2025-01-01", "2025-01-01");
    lab.subscriptions.values_mut().for_each(|s| s.trial_until = Some(day(until)));
    let mut sold = seats("2025-01-01", january());
    sold.0.effective_given = true;
    lab.run(&sold.0);
    let billed: Vec<String> = (0..invoiced).map(|_| lab.invoice(40)).collect();
    let end = cancel("2025-01-10");
    assert_eq!(told(&lab, &end), [expected], "{billed:?}\n{}", show(&lab.plan(&[&end.0])));
}

/// A product that a late change took away is given back by that change, and not once more by the cancellation after it.
#[rstest]
fn what_a_late_removal_gave_back_is_given_back_once(
    #[values("end_and_create", "edit_in_place")] form: &str,
    #[values("prorate_line", "single", "dual")] mode: &str,
    #[values(false, true)] at_once: bool,
    #[values(0, 1)] between: usize,
) {
    let mut lab = Lab::monthly("2023-01-01", "2023-01-01");
    lab.set("credits", "on").set("quantity_change", form).set("line_mode", mode);
    lab.product("x", 7, ProductKind::Seat, "18.00", "0");
    lab.product("y", 8, ProductKind::Seat, "20.00", "0");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2023-01-01");
    let sale = order("SO", OrderKind::Sales, "2023-01-01", period("2023-01-01", "2023-02-01"))
        .with(line("1", Charge::Recurring, "x", "6", "18.00", "0"))
        .with(line("2", Charge::Recurring, "y", "5", "20.00", "0"));
    lab.run(&sale.0);
    let bill = |lab: &mut Lab, count: usize| -> rust_decimal::Decimal {
        (0..count).map(|_| lab.invoice(40).parse::<rust_decimal::Decimal>().unwrap()).sum()
    };
    let mut billed = bill(&mut lab, 5);
    let gone = order("Z", OrderKind::Change, "2023-02-09", period("2023-02-01", "2023-03-01"));
    let gone = gone.change("1", "y", 5, 0, "20.00", "0").0;
    let mut end = order("X", OrderKind::Cancellation, "2023-04-17", period("2023-04-01", "2023-05-01")).0;
    end.completed_us = gone.completed_us + 1;
    if at_once {
        let draft = lab.plan(&[&gone, &end]);
        lab.apply(&draft);
    } else {
        lab.run(&gone);
        billed += bill(&mut lab, between);
        lab.run(&end);
    }
    billed += bill(&mut lab, 3);
    // January whole, eight days of y in February, and x to the end of April.
    let apart = billed - "560.57".parse::<rust_decimal::Decimal>().unwrap();
    assert!(apart.abs() <= "0.05".parse().unwrap(), "{billed}");
}
