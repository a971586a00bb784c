//! What comes late: cancellations of invoiced months, orders that arrive after later ones, months invoiced ahead,
//! periods whose anchor their month does not have, and reconciliations that are repeated.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
use common::*;
use rstest::rstest;
use trueup_domain::feed::{
    BillingModel, Charge, Order, OrderKind, ProductKind, SubscriptionItem, SubscriptionStatus,
};
use trueup_domain::finding::Code;
use trueup_domain::ids::{CustomerId, ProductId, SourceId, SubscriptionId};
use trueup_domain::period::{BillingCycle, Period};
use trueup_domain::task::{Beside, Demand, Task, TaskKind, TaskState};

fn january() -> Period {
    period("2025-01-01", "2025-02-01")
}

/// A monthly agreement and five seats at 22.00 sold from `start` on; nothing is planned yet.
fn lab(start: &str) -> Lab {
    let mut lab = Lab::monthly(start, start);
    lab.today = day("2025-03-20");
    lab.product("seat", 7, ProductKind::Seat, "22.00", "17.60");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, start);
    lab
}

fn sale(start: &str, end: &str) -> OrderDraft {
    order("SO-1", OrderKind::Sales, start, period(start, end)).with(line(
        "1",
        Charge::Recurring,
        "seat",
        "5",
        "22.00",
        "17.60",
    ))
}

fn change(id: &str, on: &str, of: Period, old: i64, new: i64) -> OrderDraft {
    order(id, OrderKind::Change, on, of).change("1", "seat", old, new, "22.00", "17.60")
}

fn total(lab: &mut Lab, invoices: usize) -> rust_decimal::Decimal {
    (0..invoices).map(|_| lab.invoice(40).parse::<rust_decimal::Decimal>().unwrap()).sum()
}

fn dec(text: &str) -> rust_decimal::Decimal {
    text.parse().unwrap()
}

// --- Cancellations ---------------------------------------------------------------------------------------------------

/// Five seats; January and February are invoiced when the cancellation of 17 January comes in.
#[rstest]
#[case::refund(true, "on", "56.77")]
#[case::no_refund(false, "on", "110.00")]
#[case::off(true, "off", "220.00")]
fn months_invoiced_after_a_cancellation_are_given_back(
    #[case] refund: bool,
    #[case] credits: &str,
    #[case] billed: &str,
) {
    let mut lab = lab("2025-01-01");
    lab.set("credits", credits);
    lab.run(&sale("2025-01-01", "2025-02-01").0);
    let mut sum = total(&mut lab, 2);
    let mut cancel = order("CL-1", OrderKind::Cancellation, "2025-01-17", january());
    if refund {
        let mut back = line("1", Charge::Refund, "seat", "5", "", "");
        back.amount = Some("-53.23".parse().unwrap());
        cancel = cancel.with(back);
    }
    let draft = lab.plan(&[&cancel.0]);
    lab.run(&cancel.0);
    sum += total(&mut lab, 3);
    assert_eq!(sum, dec(billed), "{}", show(&draft));
    let left: Vec<_> =
        draft.findings.iter().filter(|f| f.code == Code::Tu6005).filter_map(|f| f.amount).collect();
    if credits == "off" {
        let sum: rust_decimal::Decimal = left.iter().map(|(amount, _)| amount.decimal()).sum();
        assert_eq!(sum, dec("-163.23"), "what is left out is said");
    }
}

/// January to March are invoiced at five seats; then the change to two of 10 January comes in, then the cancellation of
/// 10 February, or of 20 January.
#[rstest]
#[case("end_and_create", "2025-02-10", "107.17")]
#[case("edit_in_place", "2025-02-10", "107.17")]
#[case("end_and_create", "2025-01-20", "63.17")]
#[case("edit_in_place", "2025-01-20", "63.17")]
fn a_late_decrease_and_a_late_cancellation_give_back_each_month_once(
    #[case] form: &str,
    #[case] on: &str,
    #[case] billed: &str,
) {
    let mut lab = lab("2025-01-01");
    lab.set("credits", "on").set("quantity_change", form);
    lab.run(&sale("2025-01-01", "2025-02-01").0);
    let mut sum = total(&mut lab, 3);
    lab.run(&change("CH-1", "2025-01-10", january(), 5, 2).0);
    let of = if on < "2025-02-01" { january() } else { period("2025-02-01", "2025-03-01") };
    lab.run(&order("CL-1", OrderKind::Cancellation, on, of).0);
    sum += total(&mut lab, 3);
    assert_eq!(sum, dec(billed));
}

// --- Anchors ---------------------------------------------------------------------------------------------------------

#[test]
fn a_month_end_anchor_survives_the_months_that_lack_the_day() {
    let mut lab = lab("2025-01-31");
    let key = (SourceId::from(SOURCE), SubscriptionId::from("s-1"));
    lab.subscriptions.get_mut(&key).unwrap().anchor_day = Some(31);
    lab.run(&sale("2025-01-31", "2025-02-28").0);
    for _ in 0..5 {
        lab.invoice(40);
    }
    let of = period("2025-04-30", "2025-05-31");
    let shown = lab.run(&change("CH-1", "2025-05-13", of, 5, 8).0);
    assert!(shown.contains("3 x 22.00 cost 17.60 = 66.00"), "the invoiced period is a whole one: {shown}");
    for anchor in [None, Some(31)] {
        // The order's own end tells as much where the subscription says nothing.
        let mut silent = self::lab("2025-04-30");
        let anchored = silent.subscriptions.get_mut(&key).unwrap();
        anchored.start = day("2025-01-31");
        anchored.anchor_day = anchor;
        silent.agreement_mut(40).bill_start = Some(day("2025-01-31"));
        silent.agreement_mut(40).next_invoice = Some(day("2025-06-30"));
        let shown = silent.run(&change("CH-1", "2025-05-13", of, 0, 3).0);
        assert!(shown.contains("3 x 22.00 cost 17.60 = 66.00"), "{shown}");
    }
}

#[test]
fn a_short_first_period_is_caught_up_by_whole_months() {
    // Sold on 15 March with a period of its own; March and April are invoiced already.
    let mut lab = lab("2025-01-01");
    let key = (SourceId::from(SOURCE), SubscriptionId::from("s-1"));
    lab.subscriptions.get_mut(&key).unwrap().start = day("2025-03-15");
    lab.agreement_mut(40).next_invoice = Some(day("2025-05-01"));
    let shown = lab.run(&sale("2025-03-15", "2025-04-01").0);
    assert!(shown.contains("5 x 22.00 cost 17.60 = 110.00\n") && shown.contains("5 x 12.06"), "{shown}");
    assert_eq!(total(&mut lab, 1), dec("280.30"), "17 days of March, April and May");
}

// --- Months that are invoiced ahead ----------------------------------------------------------------------------------

#[rstest]
#[case::one_by_one(false)]
#[case::in_one_plan(true)]
fn an_increase_that_is_taken_back_leaves_no_charge_for_a_month_invoiced_ahead(#[case] together: bool) {
    let mut lab = lab("2025-03-01");
    lab.run(&sale("2025-03-01", "2025-04-01").0);
    let mut sum = total(&mut lab, 2);
    let march = period("2025-03-01", "2025-04-01");
    let up = change("CH-1", "2025-03-25", march, 5, 15).0;
    let down = change("CH-2", "2025-03-28", march, 15, 5).0;
    if together {
        let draft = lab.plan(&[&up, &down]);
        lab.apply(&draft);
        assert!(lab.plan(&[&up, &down]).changes.iter().all(|c| !c.writes()));
    } else {
        lab.run(&up);
        lab.run(&down);
    }
    sum += total(&mut lab, 1);
    // March, April and May at five seats, and 10 x 22 x 7/31 for the days of March; its refund is off.
    assert_eq!(sum, dec("379.70"));
}

#[test]
fn a_smaller_increase_is_what_is_left_of_a_larger_one() {
    let mut lab = lab("2025-03-01");
    lab.run(&sale("2025-03-01", "2025-04-01").0);
    let mut sum = total(&mut lab, 2);
    let march = period("2025-03-01", "2025-04-01");
    lab.run(&change("CH-1", "2025-03-25", march, 5, 15).0);
    lab.run(&change("CH-2", "2025-03-28", march, 15, 8).0);
    sum += total(&mut lab, 1);
    // April and May at eight seats.
    assert_eq!(sum, dec("110.00") + dec("49.70") + dec("176.00") + dec("176.00"));
}

// --- Orders that come after later ones -------------------------------------------------------------------------------

#[test]
fn a_sale_that_comes_after_its_change_bills_the_days_before_it() {
    for together in [false, true] {
        let mut lab = lab("2025-01-01");
        let up = change("CH-1", "2025-01-15", january(), 5, 8).0;
        let sold = sale("2025-01-01", "2025-02-01").0;
        if together {
            let draft = lab.plan(&[&up, &sold]);
            lab.apply(&draft);
        } else {
            lab.run(&up);
            let shown = lab.run(&sold);
            assert!(shown.contains("create recurring 2025-01-01..2025-01-31 5 x 22.00"), "{shown}");
            assert!(shown.contains("TU5001 warning"), "{shown}");
        }
        assert_eq!(total(&mut lab, 1), dec("146.18"));
        assert_eq!(total(&mut lab, 1), dec("176.00"));
    }
}

#[test]
fn a_change_that_comes_after_a_later_one_leaves_the_later_state() {
    let mut lab = lab("2025-01-01");
    lab.run(&sale("2025-01-01", "2025-02-01").0);
    lab.run(&change("CH-2", "2025-01-20", january(), 8, 10).0);
    let shown = lab.run(&change("CH-1", "2025-01-15", january(), 5, 8).0);
    assert!(shown.contains("create prorate 2025-01-15..2025-01-31 3 x 12.06"), "{shown}");
    assert!(!shown.contains("recurring"), "{shown}");
    // 5 x 22 + 3 x 22 x 17/31 + 2 x 22 x 12/31
    assert_eq!(total(&mut lab, 1), dec("163.22"));
    assert_eq!(total(&mut lab, 1), dec("220.00"));
}

#[test]
fn a_change_that_comes_months_late_bills_every_period_up_to_the_later_one() {
    let mut lab = lab("2025-01-01");
    lab.run(&sale("2025-01-01", "2025-02-01").0);
    lab.run(&change("CH-2", "2025-03-01", period("2025-03-01", "2025-04-01"), 8, 10).0);
    lab.run(&change("CH-1", "2025-01-15", january(), 5, 8).0);
    // January with its part, February at eight, March and April at ten.
    assert_eq!(total(&mut lab, 4), dec("146.18") + dec("176.00") + dec("440.00"));
}

fn march() -> Period {
    period("2025-03-01", "2025-04-01")
}

/// How a cancellation of 10 March leaves the days after it.
#[derive(Clone, Copy)]
enum Leaves {
    Paid,
    GivenBack,
    UsedCharged,
}

/// What was ordered before a cancellation and comes after it bills the days up to it, as it would have before it.
#[rstest]
fn what_comes_after_the_cancellation_that_followed_it_bills_what_it_would_have(
    #[values("2025-02-01", "2025-02-10", "2025-03-01", "2025-03-05")] on: &str,
    #[values(OrderKind::Change, OrderKind::Renewal)] kind: OrderKind,
    #[values(1, 2, 3, 4)] invoiced: usize,
    #[values(Leaves::Paid, Leaves::GivenBack, Leaves::UsedCharged)] leaves: Leaves,
    #[values("end_and_create", "edit_in_place")] form: &str,
    #[values("prorate_line", "dual", "single")] mode: &str,
) {
    let month = if on < "2025-03-01" { period("2025-02-01", "2025-03-01") } else { march() };
    let late = match kind {
        OrderKind::Renewal => {
            order("CH-1", kind, on, month).with(line("1", Charge::Recurring, "seat", "8", "24.00", "17.60"))
        }
        _ => change("CH-1", on, month, 5, 8),
    };
    let mut end = order("CL-1", OrderKind::Cancellation, "2025-03-10", march());
    end = match leaves {
        Leaves::Paid => end,
        Leaves::GivenBack => end.with(line("1", Charge::Refund, "seat", "5", "22.00", "17.60")),
        Leaves::UsedCharged => {
            let mut used = line("1", Charge::Recurring, "seat", "5", "22.00", "17.60");
            used.amount = Some("31.94".parse().unwrap());
            end.with(used)
        }
    };
    let billed = |first: &OrderDraft, then: &OrderDraft| {
        let mut lab = lab("2025-01-01");
        lab.set("credits", "on").set("quantity_change", form).set("line_mode", mode);
        lab.run(&sale("2025-01-01", "2025-02-01").0);
        let before = total(&mut lab, invoiced);
        let shown = lab.run(&first.0) + "then\n" + &lab.run(&then.0);
        (before + total(&mut lab, 7 - invoiced), shown)
    };
    let (in_turn, as_it_should) = billed(&late, &end);
    let (out_of_turn, shown) = billed(&end, &late);
    if matches!(leaves, Leaves::UsedCharged) && on == "2025-03-05" && invoiced < 3 {
        // What was used of that period is on the cancellation, whatever it was: nothing is billed beside it.
        assert!(out_of_turn == dec("251.94"), "{shown}");
        return;
    }
    // The one line of the mode `single` is rounded otherwise than the part.
    let most = if mode == "single" { dec("0.05") } else { dec("0") };
    assert!((out_of_turn - in_turn).abs() <= most, "{out_of_turn}: {shown}\nnot {in_turn}:\n{as_it_should}");
}

#[rstest]
#[case::ended(true)]
#[case::never_billed(false)]
fn a_change_of_the_month_that_was_cancelled_is_billed(#[case] billed: bool) {
    let mut lab = lab("2025-01-01");
    lab.run(&sale("2025-01-01", "2025-02-01").0);
    if billed {
        lab.invoice(40);
    }
    lab.run(&order("CL-1", OrderKind::Cancellation, "2025-01-20", january()).0);
    let shown = lab.run(&change("CH-1", "2025-01-15", january(), 5, 8).0);
    // 17 of 31 days, as a change leaves behind that a cancellation comes after.
    assert!(shown.contains("create prorate") && shown.contains("3 x 12.06"), "{shown}");
    assert!(!shown.contains("create recurring"), "{shown}");
    // One that begins from nothing is a new line.
    let anew = order("CH-3", OrderKind::Change, "2025-02-01", period("2025-02-01", "2025-03-01"))
        .change("1", "seat", 0, 4, "22.00", "17.60");
    assert!(lab.run(&anew.0).contains("create recurring 2025-02-01..- 4 x 22.00"));
}

#[test]
fn changes_in_their_order_are_never_taken_for_late_ones() {
    let mut lab = lab("2025-01-01");
    let key = (SourceId::from(SOURCE), SubscriptionId::from("s-1"));
    lab.subscriptions.get_mut(&key).unwrap().start = day("2025-01-10");
    lab.run(&sale("2025-01-01", "2025-02-01").0);
    for (n, (on, old, new)) in
        [("2025-01-12", 5, 8), ("2025-01-12", 8, 9), ("2025-01-20", 9, 4)].iter().enumerate()
    {
        let shown = lab.run(&change(&format!("CH-{n}"), on, january(), *old, *new).0);
        assert!(shown.contains(&format!("create recurring 2025-02-01..- {new} x")), "{shown}");
    }
}

/// A price change, then two late orders around it: each is reckoned from the price that held on its day.
#[test]
fn a_late_order_is_reckoned_from_the_price_of_its_day() {
    let mut lab = lab("2025-01-01");
    let priced = |id: &str, on: &str, old: i64, new: i64, price: &str| {
        order(id, OrderKind::Change, on, january()).change("1", "seat", old, new, price, "8.00")
    };
    lab.run(&sale("2025-01-01", "2025-02-01").0);
    lab.run(&priced("CH-1", "2025-01-15", 5, 5, "10.00").0);
    lab.run(&priced("CH-3", "2025-01-18", 9, 10, "10.00").0);
    let shown = lab.run(&priced("CH-2", "2025-01-17", 5, 9, "10.00").0);
    assert!(shown.contains("create prorate 2025-01-17..2025-01-31 4 x 4.84"), "{shown}");
}

#[test]
fn a_sale_within_its_period_that_comes_after_its_change_bills_its_part() {
    let mut lab = lab("2025-01-01");
    let key = (SourceId::from(SOURCE), SubscriptionId::from("s-1"));
    lab.subscriptions.get_mut(&key).unwrap().start = day("2025-01-10");
    lab.invoice(40);
    lab.run(&change("CH-1", "2025-01-15", january(), 5, 8).0);
    let shown = lab.run(&sale("2025-01-10", "2025-02-01").0);
    assert!(shown.contains("create prorate 2025-02-01..2025-02-28 5 x 15.61"), "{shown}");
    assert!(!shown.contains("error") && !shown.contains("recurring"), "{shown}");
}

/// Three changes of one month arrive in every order, before or after an invoice: a line that is edited in place bills what
/// the same orders bill with lines of their own, and its last state is that of the latest day.
#[rstest]
fn a_line_that_is_edited_in_place_takes_late_orders_like_any_other(
    #[values([0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0])] arrival: [usize; 3],
    #[values([4, 8, 10], [8, 10, 8], [8, 5, 8], [2, 9, 4])] levels: [i64; 3],
    #[values(0, 1, 2)] invoices: usize,
    #[values(true, false)] between: bool,
    #[values("prorate_line", "single", "dual")] mode: &str,
) {
    let bills = |form: &str| {
        let mut lab = lab("2025-01-01");
        lab.set("quantity_change", form).set("credits", "on").set("line_mode", mode);
        lab.run(&sale("2025-01-01", "2025-02-01").0);
        let mut billed = total(&mut lab, if between { 0 } else { invoices });
        let mut shown = String::new();
        for (nth, at) in arrival.into_iter().enumerate() {
            let old = if at == 0 { 5 } else { levels[at - 1] };
            let on = ["2025-01-10", "2025-01-15", "2025-01-20"][at];
            shown += &lab.run(&change(&format!("CH-{at}"), on, january(), old, levels[at]).0);
            if between && nth == 0 {
                billed += total(&mut lab, invoices);
            }
        }
        billed += total(&mut lab, 4 - invoices);
        let state = total(&mut lab, 1);
        (billed, state, shown)
    };
    let (own, edited) = (bills("end_and_create"), bills("edit_in_place"));
    let last = rust_decimal::Decimal::from(levels[2] * 22);
    assert_eq!((own.1, edited.1), (last, last), "{}\n{}", own.2, edited.2);
    assert_eq!(edited.0, own.0, "{}\n{}", own.2, edited.2);
    // And both bill what was sold: whole months, and the share of January for each change.
    let share =
        |level: i64, old: i64, days: i64| dec("22") * dec(&((level - old) * days).to_string()) / dec("31");
    let parts = share(levels[0], 5, 22) + share(levels[1], levels[0], 17) + share(levels[2], levels[1], 12);
    let sold = dec("110") + parts + last * dec("3");
    assert!((own.0 - sold).abs() < dec("0.20"), "{} instead of {sold}\n{}", own.0, own.2);
}

/// The same with changes of three months: each late one is billed up to the first later state, not up to the last.
#[rstest]
fn late_orders_of_several_months_are_billed_up_to_the_next_state(
    #[values([0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0])] arrival: [usize; 3],
    #[values([4, 8, 10], [8, 5, 8])] levels: [i64; 3],
    #[values(0, 2, 4)] invoices: usize,
    #[values("end_and_create", "edit_in_place")] form: &str,
    #[values("prorate_line", "single", "dual")] mode: &str,
) {
    let mut lab = lab("2025-01-01");
    lab.set("quantity_change", form).set("credits", "on").set("line_mode", mode);
    lab.run(&sale("2025-01-01", "2025-02-01").0);
    let mut billed = total(&mut lab, invoices);
    let mut shown = String::new();
    for at in arrival {
        let old = if at == 0 { 5 } else { levels[at - 1] };
        let (on, of) = [
            ("2025-01-10", january()),
            ("2025-02-15", period("2025-02-01", "2025-03-01")),
            ("2025-03-20", period("2025-03-01", "2025-04-01")),
        ][at];
        shown += &lab.run(&change(&format!("CH-{at}"), on, of, old, levels[at]).0);
    }
    billed += total(&mut lab, 6 - invoices);
    assert_eq!(total(&mut lab, 1), dec(&(levels[2] * 22).to_string()), "{shown}");
    let of = |count: i64, whole: i64| dec("22") * dec(&count.to_string()) / dec(&whole.to_string());
    let [a, b, c] = levels;
    let parts = of((a - 5) * 22, 31) + of((b - a) * 14, 28) + of((c - b) * 12, 31);
    let sold = of(5 + a + b + 3 * c, 1) + parts;
    assert!((billed - sold).abs() < dec("0.20"), "{billed} instead of {sold}\n{shown}");
}

#[test]
fn where_connectwise_prorates_a_line_that_replaced_a_billed_one_keeps_its_used_days() {
    let mut lab = lab("2025-01-01");
    lab.agreement_mut(40).prorates = true;
    lab.set("proration_by", "connectwise");
    lab.run(&sale("2025-01-01", "2025-02-01").0);
    lab.invoice(40);
    let february = period("2025-02-01", "2025-03-01");
    lab.run(&change("CH-1", "2025-02-10", february, 5, 3).0);
    let shown = lab.run(&order("CL-1", OrderKind::Cancellation, "2025-02-20", february).0);
    assert!(shown.contains("cancel recurring 2025-02-10..2025-02-19 3 x 22.00"), "{shown}");
    // 5 x 22 x 9/28 and 3 x 22 x 10/28, rounded a unit.
    assert_eq!(total(&mut lab, 1), dec("35.35") + dec("23.58"));
}

/// A change of the quantity that names the new price and no old one is reckoned from the price that its line shows. The
/// price change that it came before bills its days up to it alone, or what both say of the rest would be billed twice.
#[rstest]
fn a_price_change_after_a_change_that_told_no_old_price_bills_the_days_up_to_it(
    #[values("prorate_line", "single", "dual")] mode: &str,
    #[values("end_and_create", "edit_in_place")] form: &str,
    #[values("2025-01-10", "2025-01-15")] on: &str,
    #[values((0, 0), (0, 1), (1, 0), (1, 1), (2, 0))] (before, between): (usize, usize),
    #[values(None, Some("22.00"), Some("25.00"))] told: Option<&str>,
    #[values((8, "25.00"), (3, "25.00"), (8, "19.00"))] to: (i64, &str),
    #[values("2025-01-15", "2025-02-15")] changed: &str,
) {
    let mut lab = lab("2025-01-01");
    lab.set("line_mode", mode).set("quantity_change", form).set("credits", "on");
    let same_month = changed == "2025-01-15";
    let of = if same_month { january() } else { period("2025-02-01", "2025-03-01") };
    let priced = |id: &str, on: &str, of: Period, old: i64, new: i64| {
        order(id, OrderKind::Change, on, of).change("1", "seat", old, new, to.1, "17.60").0
    };
    lab.run(&sale("2025-01-01", "2025-02-01").0);
    let mut billed = total(&mut lab, before);
    let mut more = priced("CH-2", changed, of, 5, to.0);
    more.completed_us += 1;
    // An old price that is the one of the price change: then the two follow on each other.
    let told = told.map(|told| if told == "25.00" { to.1 } else { told });
    more.lines[0].old_unit_price = told.map(|told| told.parse().unwrap());
    let mut shown = lab.run(&more);
    billed += total(&mut lab, between);
    let mut price = priced("CH-1", on, january(), 5, 5);
    price.lines[0].old_unit_price = Some("22.00".parse().unwrap());
    shown += &lab.run(&price);
    billed += total(&mut lab, 4 - before - between);
    let unit = dec(to.1);
    let level = unit * dec(&to.0.to_string());
    let share = |value: rust_decimal::Decimal, days: i64, of: &str| value * dec(&days.to_string()) / dec(of);
    let (before, between) = (dec("110"), unit * dec("5"));
    let first = if on == "2025-01-10" { 9 } else { 14 };
    let wanted = if same_month {
        share(before, first, "31")
            + share(between, 14 - first, "31")
            + share(level, 17, "31")
            + level * dec("3")
    } else {
        share(before, first, "31")
            + share(between, 31 - first, "31")
            + (between + level) / dec("2")
            + level * dec("2")
    };
    assert!((billed - wanted).abs() < dec("0.20"), "{billed} instead of {wanted}\n{shown}");
}

/// An amount that the source names is that of its own period, also where the change comes late and is billed for two.
#[rstest]
fn a_named_amount_of_a_late_change_is_that_of_its_own_period(
    #[values("on", "off")] credits: &str,
    #[values(0, 1, 2, 3)] before: usize,
) {
    let play = |is_late: bool| {
        let mut lab = lab("2025-01-01");
        lab.set("credits", credits);
        lab.run(&sale("2025-01-01", "2025-02-01").0);
        let mut billed = dec("0");
        for _ in 0..before {
            billed += dec(&lab.invoice(40));
        }
        let february = period("2025-02-01", "2025-03-01");
        let mut named = order("CH-1", OrderKind::Change, "2025-02-01", february)
            .change("1", "seat", 5, 8, "22.00", "17.60");
        named.0.lines[0].amount = Some("24.00".parse().unwrap());
        let april = period("2025-04-01", "2025-05-01");
        let later = order("CH-2", OrderKind::Change, "2025-04-01", april)
            .change("1", "seat", 8, 10, "22.00", "17.60");
        let both = if is_late { [&later, &named] } else { [&named, &later] };
        for order in both {
            lab.run(&order.0);
        }
        for _ in before..6 {
            billed += dec(&lab.invoice(40));
        }
        billed
    };
    assert_eq!(play(true), play(false));
}

/// The same where the source names the amount of the price change: for the days that a later order has billed at the old price
/// already, its share is not billed once more. What a later order names itself has reckoned with it.
#[rstest]
fn a_named_amount_of_a_late_change_is_that_of_the_days_up_to_the_later_order(
    #[values("end_and_create", "edit_in_place")] form: &str,
    #[values(0, 1, 2)] before: usize,
    #[values(true, false)] switches: bool,
    #[values(true, false)] both_named: bool,
    #[values(true, false)] is_named: bool,
) {
    if both_named && !is_named {
        return;
    }
    let mut lab = lab("2025-01-01");
    lab.set("quantity_change", form).set("credits", "on");
    lab.product("backup", 8, ProductKind::Seat, "40.00", "32.00");
    let price = || {
        let mut price = order("CH-1", OrderKind::Change, "2025-01-02", january());
        price = price.change("1", "seat", 30, 30, "25.00", "20.00");
        price.0.lines[0].old_unit_price = Some("22.00".parse().unwrap());
        // 30 x 3.00 x 30 of 31 days.
        price.0.lines[0].amount = is_named.then(|| "87.10".parse().unwrap());
        price.0
    };
    let later = || {
        let mut later = order("CH-2", OrderKind::Change, "2025-01-16", january());
        later = if switches {
            later.change("1", "seat", 30, 0, "25.00", "20.00").change("2", "backup", 0, 30, "40.00", "32.00")
        } else {
            later.change("1", "seat", 30, 20, "25.00", "20.00")
        };
        if both_named {
            // As if the price change had come in turn: 30 x 15.00, or 10 x 25.00 less, for 16 of 31 days.
            let last = later.0.lines.len() - 1;
            for line in &mut later.0.lines {
                line.amount = Some("0.00".parse().unwrap());
            }
            later.0.lines[last].amount = Some(if switches { "232.26" } else { "-129.03" }.parse().unwrap());
        }
        later.0
    };
    let sale = || {
        let mut sale = sale("2025-01-01", "2025-02-01").0;
        for line in &mut sale.lines {
            line.quantity = 30.into();
        }
        sale
    };
    let come = |orders: [Order; 3], lab: &mut Lab| {
        let mut shown = String::new();
        let mut billed = rust_decimal::Decimal::ZERO;
        let [first, second, third] = orders;
        shown += &lab.run(&first);
        for (at, order) in [second, third].iter().enumerate() {
            if at == 1 {
                billed += total(lab, before);
            }
            shown += &lab.run(order);
        }
        (billed + total(lab, 3 - before), shown)
    };
    let (out_of_turn, shown) = come([sale(), later(), price()], &mut lab);
    let new = if switches { dec("1200") } else { dec("500") };
    let part = if switches { dec("450") } else { dec("-250") };
    let wanted = dec("660") + dec("87.10") + part * dec("16") / dec("31") + new * dec("2");
    assert!((out_of_turn - wanted).abs() < dec("0.20"), "{out_of_turn} instead of {wanted}\n{shown}");
}

/// A change comes late that two others follow: one more change, then a switch, which has taken the line of that one away. It
/// is billed up to the first of them, as it is where the switch alone follows.
#[rstest]
fn a_change_before_a_change_and_a_switch_is_billed_up_to_the_first(
    #[values("end_and_create", "edit_in_place")] form: &str,
    #[values("prorate_line", "single", "dual")] mode: &str,
    #[values(0, 1, 2)] before: usize,
    #[values(true, false)] between: bool,
) {
    let run = |in_turn: bool| {
        let mut lab = lab("2025-01-01");
        lab.product("backup", 8, ProductKind::Seat, "40.00", "32.00");
        lab.set("quantity_change", form).set("line_mode", mode).set("credits", "on");
        let late = change("CH-1", "2025-01-10", january(), 5, 8).0;
        let mut next = change("CH-2", "2025-01-12", january(), 8, 6).0;
        next.completed_us += 1;
        let old = if between { 6 } else { 8 };
        let switch = order("CH-3", OrderKind::Change, "2025-01-16", january())
            .change("1", "seat", old, 0, "22.00", "17.60")
            .change("2", "backup", 0, old, "40.00", "32.00");
        let mut shown = lab.run(&sale("2025-01-01", "2025-02-01").0);
        let mut billed = total(&mut lab, before);
        let mut follow = vec![switch.0];
        if between {
            follow.insert(0, next);
        }
        if in_turn {
            follow.insert(0, late);
        } else {
            follow.push(late);
        }
        for order in &follow {
            shown += &lab.run(order);
        }
        billed += total(&mut lab, 3 - before);
        (billed, shown)
    };
    let ((out_of_turn, shown), (in_turn, so)) = (run(false), run(true));
    assert!((out_of_turn - in_turn).abs() < dec("0.10"), "{out_of_turn} instead of {in_turn}\n{shown}\n{so}");
}

// --- Renewals --------------------------------------------------------------------------------------------------------

#[test]
fn a_renewal_that_is_completed_before_its_period_counts_from_it() {
    let mut lab = lab("2025-02-01");
    lab.run(&sale("2025-02-01", "2025-03-01").0);
    let renewed = order("RN-1", OrderKind::Renewal, "2025-02-25", period("2025-03-01", "2025-04-01"))
        .with(line("1", Charge::Recurring, "seat", "5", "24.00", "19.00"));
    assert_eq!(
        lab.run(&renewed.0),
        "create recurring 2025-03-01..- 5 x 24.00 cost 19.00 = 120.00\n\
         cancel recurring 2025-02-01..2025-02-28 5 x 22.00 cost 17.60 = 0.00\n"
    );
}

// --- Reconciliation --------------------------------------------------------------------------------------------------

fn reconcile(period: Period, confirm_invoiced: bool) -> (Task, Demand) {
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
    (task, Demand::Reconcile { period: Some(period), confirm_invoiced, beside: Beside::default() })
}

fn with_seats(lab: &mut Lab, quantity: i64) {
    let key = (SourceId::from(SOURCE), SubscriptionId::from("s-1"));
    lab.subscriptions.get_mut(&key).unwrap().items = vec![SubscriptionItem {
        id: "seats".into(),
        product: ProductId::from("seat"),
        quantity: quantity.into(),
        included_quantity: None,
        unit_price: Some("22.00".parse().unwrap()),
        unit_cost: Some("17.60".parse().unwrap()),
        overuse_price: None,
        overuse_cost: None,
    }];
}

/// Plans, applies, and proves that doing it again writes nothing.
fn reconciled(lab: &mut Lab, of: Period, confirm: bool) -> String {
    let demand = [reconcile(of, confirm)];
    let draft = lab.plan_tasks(&demand);
    lab.apply(&draft);
    let again = lab.plan_tasks(&demand);
    assert!(again.changes.iter().all(|c| !c.writes()), "{}\nagain:\n{}", show(&draft), show(&again));
    show(&draft)
}

#[test]
fn reconciling_an_invoiced_period_asks_and_then_catches_it_up_once() {
    let mut lab = lab("2025-01-01");
    with_seats(&mut lab, 5);
    lab.invoice(40);
    assert_eq!(show(&lab.plan_tasks(&[reconcile(january(), false)])), "TU4002 error\n");
    assert_eq!(
        reconciled(&mut lab, january(), true),
        "create prorate 2025-02-01..2025-02-28 5 x 22.00 cost 17.60 = 110.00\n\
         create recurring 2025-02-01..- 5 x 22.00 cost 17.60 = 110.00\n\
         TU4002 warning\nTU4002 warning\n"
    );
}

#[test]
fn reconciling_leaves_a_line_of_the_right_level_that_begins_next() {
    let mut lab = lab("2025-01-01");
    lab.run(&sale("2025-01-01", "2025-02-01").0);
    lab.run(&change("CH-1", "2025-01-15", january(), 5, 8).0);
    with_seats(&mut lab, 8);
    assert_eq!(reconciled(&mut lab, january(), false), "");
    lab.invoice(40);
    assert_eq!(reconciled(&mut lab, january(), true), "");
}

#[test]
fn reconciling_twice_in_a_period_follows_the_level() {
    let mut lab = lab("2025-01-01");
    for quantity in [5, 8, 5, 8] {
        with_seats(&mut lab, quantity);
        reconciled(&mut lab, january(), false);
        let billed = total(&mut lab, 1);
        assert_eq!(billed, rust_decimal::Decimal::from(quantity * 22));
        // The invoice was only a look.
        lab.agreement_mut(40).next_invoice = Some(day("2025-01-01"));
    }
}

#[test]
fn reconciling_never_bills_a_future_line_beside_its_replacement() {
    let mut lab = lab("2025-01-01");
    lab.run(&sale("2025-01-01", "2025-02-01").0);
    lab.run(&change("CH-1", "2025-01-15", january(), 5, 8).0);
    with_seats(&mut lab, 10);
    let shown = reconciled(&mut lab, january(), false);
    assert!(shown.contains("create recurring 2025-02-01..- 10"), "{shown}");
    assert_eq!(total(&mut lab, 1), dec("146.18"), "January stays as its orders billed it");
    assert_eq!(total(&mut lab, 1), dec("220.00"));
}

/// The reconciliation beside orders: `carried` were written, `open` are still to be.
fn beside(of: Period, carried: &[&Order], open: &[&Order], ended: Option<&str>) -> (Task, Demand) {
    let (task, _) = reconcile(of, false);
    let own = |orders: &[&Order]| orders.iter().map(|o| (*o).clone()).collect();
    let beside = Beside { carried: own(carried), open: own(open), ended: ended.map(day), newer: Vec::new() };
    (task, Demand::Reconcile { period: Some(of), confirm_invoiced: false, beside })
}

fn once_more(lab: &mut Lab, demand: (Task, Demand)) -> String {
    let demand = [demand];
    let draft = lab.plan_tasks(&demand);
    lab.apply(&draft);
    let again = lab.plan_tasks(&demand);
    assert!(again.changes.iter().all(|c| !c.writes()), "{}\nagain:\n{}", show(&draft), show(&again));
    show(&draft)
}

/// A change of what nothing bills was written: the days before it, and what it started from, lack.
#[test]
fn reconciling_bills_what_there_was_before_a_change() {
    let mut lab = lab("2025-01-01");
    let changed = change("CH-1", "2025-01-05", january(), 5, 8).0;
    let shown = lab.run(&changed);
    assert!(shown.contains("TU8006 warning"), "{shown}");
    with_seats(&mut lab, 8);
    assert_eq!(
        once_more(&mut lab, beside(january(), &[&changed], &[], None)),
        "create recurring 2025-01-01..2025-01-31 5 x 22.00 cost 17.60 = 110.00\n"
    );
    assert_eq!(total(&mut lab, 1), dec("167.48"));
    assert_eq!(total(&mut lab, 1), dec("176.00"));
}

/// The other way round: what an order still has to change is what it finds.
#[test]
fn reconciling_leaves_what_open_orders_change_to_them() {
    let mut lab = lab("2025-01-01");
    let changed = change("CH-1", "2025-01-05", january(), 5, 8).0;
    with_seats(&mut lab, 8);
    assert_eq!(
        once_more(&mut lab, beside(january(), &[], &[&changed], None)),
        "create recurring 2025-01-01..- 5 x 22.00 cost 17.60 = 110.00\n"
    );
    let shown = lab.run(&changed);
    assert!(!shown.contains("TU"), "{shown}");
    assert_eq!(once_more(&mut lab, beside(january(), &[&changed], &[], None)), "");
    assert_eq!(total(&mut lab, 1), dec("167.48"));
    assert_eq!(total(&mut lab, 1), dec("176.00"));
}

/// A product that an order took away was sold up to then.
#[test]
fn reconciling_bills_what_a_change_took_away() {
    let mut lab = lab("2025-01-01");
    let gone = change("CH-1", "2025-01-20", january(), 5, 0).0;
    lab.run(&gone);
    assert_eq!(
        once_more(&mut lab, beside(january(), &[&gone], &[], None)),
        "create recurring 2025-01-01..2025-01-31 5 x 22.00 cost 17.60 = 110.00\n"
    );
    assert_eq!(total(&mut lab, 1), dec("110.00"));
    assert_eq!(total(&mut lab, 1), dec("0.00"));
}

fn end_subscription(lab: &mut Lab) {
    let key = (SourceId::from(SOURCE), SubscriptionId::from("s-1"));
    lab.subscriptions.get_mut(&key).unwrap().status = SubscriptionStatus::Cancelled;
}

/// A subscription that ended is billed for the days that it ran, and nothing bills it any longer.
#[test]
fn reconciling_what_ended_bills_its_days_and_ends_its_line() {
    let mut lab = lab("2025-01-01");
    with_seats(&mut lab, 5);
    end_subscription(&mut lab);
    assert_eq!(
        once_more(&mut lab, beside(january(), &[], &[], Some("2025-01-16"))),
        "create recurring 2025-01-01..2025-01-16 5 x 22.00 cost 17.60 = 110.00\n"
    );
    assert_eq!(
        once_more(&mut lab, beside(period("2025-02-01", "2025-03-01"), &[], &[], Some("2025-01-16"))),
        ""
    );

    let mut lab = self::lab("2025-01-01");
    lab.run(&sale("2025-01-01", "2025-02-01").0);
    lab.invoice(40);
    with_seats(&mut lab, 5);
    end_subscription(&mut lab);
    assert_eq!(
        once_more(&mut lab, beside(period("2025-02-01", "2025-03-01"), &[], &[], Some("2025-02-05"))),
        "cancel recurring 2025-01-01..2025-02-05 5 x 22.00 cost 17.60 = 0.00\n"
    );
    assert_eq!(total(&mut lab, 1), dec("110.00"));
    assert_eq!(total(&mut lab, 1), dec("0.00"));
}

#[test]
fn what_is_charged_afterwards_is_not_reconciled() {
    let mut lab = lab("2025-01-01");
    with_seats(&mut lab, 5);
    let key = (SourceId::from(SOURCE), SubscriptionId::from("s-1"));
    lab.subscriptions.get_mut(&key).unwrap().billing_model = BillingModel::Arrears;
    assert_eq!(once_more(&mut lab, beside(january(), &[], &[], None)), "TU4004 info\n");
}

/// The same where the late order changes the quantity as well: the later one started from its quantity in the old price,
/// so that what the late one adds in quantity is owed for all days up to the later line, in the old price where that one
/// has reckoned the new one already.
#[rstest]
fn a_change_of_both_after_a_change_that_told_no_old_price(
    #[values("prorate_line", "single", "dual")] mode: &str,
    #[values("end_and_create", "edit_in_place")] form: &str,
    #[values((0, 0), (0, 1), (1, 0), (1, 1), (2, 0))] (before, between): (usize, usize),
    #[values("2025-01-15", "2025-02-15")] changed: &str,
    #[values((7, 8), (7, 3), (3, 9))] (first, second): (i64, i64),
) {
    let mut lab = lab("2025-01-01");
    lab.set("line_mode", mode).set("quantity_change", form).set("credits", "on");
    let same_month = changed == "2025-01-15";
    let of = if same_month { january() } else { period("2025-02-01", "2025-03-01") };
    lab.run(&sale("2025-01-01", "2025-02-01").0);
    let mut billed = total(&mut lab, before);
    let mut later =
        order("CH-2", OrderKind::Change, changed, of).change("1", "seat", first, second, "25.00", "17.60").0;
    later.completed_us += 1;
    let mut shown = lab.run(&later);
    billed += total(&mut lab, between);
    let mut both = order("CH-1", OrderKind::Change, "2025-01-10", january())
        .change("1", "seat", 5, first, "25.00", "17.60")
        .0;
    both.lines[0].old_unit_price = Some("22.00".parse().unwrap());
    shown += &lab.run(&both);
    billed += total(&mut lab, 4 - before - between);
    let level = |quantity: i64| dec("25") * dec(&quantity.to_string());
    let share = |value: rust_decimal::Decimal, days: i64, of: &str| value * dec(&days.to_string()) / dec(of);
    let wanted = if same_month {
        share(dec("110"), 9, "31")
            + share(level(first), 5, "31")
            + share(level(second), 17, "31")
            + level(second) * dec("3")
    } else {
        share(dec("110"), 9, "31")
            + share(level(first), 22, "31")
            + (level(first) + level(second)) / dec("2")
            + level(second) * dec("2")
    };
    assert!((billed - wanted).abs() < dec("0.40"), "{billed} instead of {wanted}\n{shown}");
}

// What was caught up and not invoiced yet, when the subscription ends.

/// Sold for January and invoiced up to May without it: the cancellation of March leaves what is owed of the line that
/// catches up.
#[rstest]
#[case::on_the_first_day("2023-03-01", false, "220.00")]
#[case::within_the_period("2023-03-10", false, "330.00")]
#[case::changed_in_between("2023-03-01", true, "286.00")]
#[case::changed_and_begun("2023-03-10", true, "462.00")]
fn a_cancellation_leaves_what_is_owed_of_a_line_that_is_caught_up(
    #[case] on: &str,
    #[case] changed: bool,
    #[case] owed: &str,
    #[values("on", "off")] credits: &str,
    #[values(true, false)] in_one_plan: bool,
) {
    let mut lab = Lab::monthly("2023-01-01", "2023-06-01");
    lab.set("credits", credits);
    lab.product("seat", 7, ProductKind::Seat, "22.00", "17.60");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2023-01-01");
    let sold = line("1", Charge::Recurring, "seat", "5", "22.00", "17.60");
    let sale = order("SO", OrderKind::Sales, "2023-01-01", period("2023-01-01", "2023-02-01")).with(sold);
    let change = order("CH", OrderKind::Change, "2023-02-01", period("2023-02-01", "2023-03-01"))
        .change("1", "seat", 5, 8, "22.00", "17.60");
    let end = order("CA", OrderKind::Cancellation, on, period("2023-03-01", "2023-04-01"));
    let mut orders = vec![&sale.0];
    orders.extend(changed.then_some(&change.0));
    orders.push(&end.0);
    if in_one_plan {
        let draft = lab.plan(&orders);
        lab.apply(&draft);
    } else {
        for order in orders {
            lab.run(order);
        }
    }
    assert_eq!(lab.invoice(40), owed);
    assert_eq!(dec(&lab.invoice(40)), dec("0.00"), "nothing goes on");
}

/// What invoices have billed of the rest of the cancelled period is told once for each product: with its one-time lines, and
/// without lines that were over by then.
#[rstest]
#[case::of_a_line_that_is_caught_up(true, "2023-03-10", "78.06")]
#[case::of_the_line_of_now_and_a_part(false, "2023-03-25", "39.74")]
fn what_is_not_given_back_of_the_cancelled_period_is_told_once(
    #[case] late: bool,
    #[case] on: &str,
    #[case] told: &str,
) {
    let mut lab = Lab::monthly("2023-01-01", if late { "2023-06-01" } else { "2023-01-01" });
    lab.set("credits", "on");
    lab.product("seat", 7, ProductKind::Seat, "22.00", "17.60");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2023-01-01");
    let sold = line("1", Charge::Recurring, "seat", "5", "22.00", "17.60");
    let sale = order("SO", OrderKind::Sales, "2023-01-01", period("2023-01-01", "2023-02-01")).with(sold);
    lab.run(&sale.0);
    lab.invoice(40);
    if !late {
        // From February 7, from 16 March 8: the part of March is invoiced with April.
        let of = |id: &str, on: &str, of: Period, old, new| {
            order(id, OrderKind::Change, on, of).change("1", "seat", old, new, "22.00", "17.60")
        };
        lab.run(&of("C-1", "2023-02-01", period("2023-02-01", "2023-03-01"), 5, 7).0);
        lab.invoice(40);
        lab.invoice(40);
        lab.run(&of("C-2", "2023-03-16", period("2023-03-01", "2023-04-01"), 7, 8).0);
        lab.invoice(40);
    }
    let draft = lab.plan(&[&order("CA", OrderKind::Cancellation, on, period("2023-03-01", "2023-04-01")).0]);
    let amounts: Vec<String> = draft
        .findings
        .iter()
        .filter(|f| f.code == Code::Tu6005 && f.message.contains("nothing back"))
        .map(|f| f.amount.unwrap().0.abs().to_string())
        .collect();
    assert_eq!(amounts, [told], "{draft:#?}");
}

/// Orders that come in one plan, months late, leave the same states behind as one after the other: what comes later still is
/// billed up to the first of them.
#[rstest]
fn orders_of_one_plan_are_remembered_like_those_of_several(
    #[values("end_and_create", "edit_in_place")] form: &str,
    #[values(true, false)] at_once: bool,
) {
    let mut lab = Lab::monthly("2023-01-01", "2023-05-01");
    lab.set("credits", "on").set("quantity_change", form);
    lab.product("seat", 7, ProductKind::Seat, "80.00", "60.00");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2023-01-01");
    let sold = line("1", Charge::Recurring, "seat", "10", "80.00", "60.00");
    let january = period("2023-01-01", "2023-02-01");
    let sale = order("O-1", OrderKind::Sales, "2023-01-01", january).with(sold);
    let mut dearer =
        order("O-2", OrderKind::Change, "2023-01-09", january).change("1", "seat", 10, 10, "90.00", "60.00");
    dearer.0.lines[0].old_unit_price = Some("80.00".parse().unwrap());
    let renewed = line("1", Charge::Recurring, "seat", "9", "13.00", "10.00");
    let renewal =
        order("O-3", OrderKind::Renewal, "2023-02-01", period("2023-02-01", "2023-03-01")).with(renewed);
    let fewer = order("O-4", OrderKind::Change, "2023-03-07", period("2023-03-01", "2023-04-01"))
        .change("1", "seat", 9, 5, "13.00", "10.00");
    if at_once {
        let draft = lab.plan(&[&sale.0, &renewal.0, &fewer.0]);
        lab.apply(&draft);
    } else {
        [&sale.0, &renewal.0, &fewer.0].into_iter().for_each(|order| drop(lab.run(order)));
    }
    lab.run(&dearer.0);
    // 800 and 100 x 23/31 for January, two months of nine, four less from 7 March on, April and May of five.
    let sold = dec("800") + dec("2300") / dec("31") + dec("234") - dec("1300") / dec("31") + dec("130");
    let billed = total(&mut lab, 1);
    assert!((billed - sold).abs() < dec("0.20"), "{billed} instead of {sold}");
}

/// A sale that came months late is caught up by a line of its own: a cancellation that comes later still gives all of it back
/// that was invoiced, whether changes edit lines or not.
#[rstest]
fn what_was_caught_up_and_invoiced_goes_back_with_a_cancellation(
    #[values("end_and_create", "edit_in_place")] form: &str,
    #[values(0, 2)] more: usize,
) {
    let mut lab = Lab::monthly("2023-01-01", "2023-04-01");
    lab.set("credits", "on").set("quantity_change", form);
    lab.product("seat", 7, ProductKind::Seat, "22.00", "17.60");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2023-01-01");
    let sold = line("1", Charge::Recurring, "seat", "5", "22.00", "17.60");
    let january = period("2023-01-01", "2023-02-01");
    lab.run(&order("SO", OrderKind::Sales, "2023-01-01", january).with(sold).0);
    let mut billed = total(&mut lab, 1 + more);
    lab.run(&order("CA", OrderKind::Cancellation, "2023-01-12", january).0);
    billed += total(&mut lab, 3);
    assert_eq!(billed, dec("110.00"), "January");
}

/// Credits are off: what a late renewal tells of the months that it makes cheaper, a cancellation does not tell once more.
#[rstest]
fn what_a_late_renewal_told_is_not_told_by_the_cancellation(
    #[values("end_and_create", "edit_in_place")] form: &str,
) {
    let mut lab = lab("2025-01-01");
    lab.set("credits", "off").set("quantity_change", form);
    lab.run(&sale("2025-01-01", "2025-02-01").0);
    total(&mut lab, 5);
    let renewed = line("1", Charge::Recurring, "seat", "4", "25.00", "17.60");
    let renewal = order("R-1", OrderKind::Renewal, "2025-03-01", march()).with(renewed);
    let end = order("CL-1", OrderKind::Cancellation, "2025-04-10", period("2025-04-01", "2025-05-01"));
    let mut told = |order: &Order| -> Vec<String> {
        let draft = lab.plan(&[order]);
        lab.apply(&draft);
        let left = draft.findings.iter().filter(|f| f.code == Code::Tu6005);
        left.filter_map(|f| f.amount).map(|(amount, _)| amount.to_string()).collect()
    };
    assert_eq!(told(&renewal.0), ["-30.00"]);
    // May, and the rest of April.
    assert_eq!(told(&end.0), ["-100.00", "-70.00"]);
}

/// A cancellation that is taken back leaves nobody who bills what came after it and was billed up to it: that is taken back
/// with it, and made again.
#[rstest]
fn a_cancellation_is_not_taken_back_without_what_came_after_it(
    #[values("end_and_create", "edit_in_place")] form: &str,
    #[values(OrderKind::Change, OrderKind::Renewal)] kind: OrderKind,
) {
    let mut lab = lab("2025-01-01");
    lab.set("credits", "on").set("quantity_change", form);
    lab.run(&sale("2025-01-01", "2025-02-01").0);
    total(&mut lab, 2);
    let february = period("2025-02-01", "2025-03-01");
    let late = match kind {
        OrderKind::Renewal => order("CH-1", kind, "2025-02-01", february).with(line(
            "1",
            Charge::Recurring,
            "seat",
            "8",
            "22.00",
            "17.60",
        )),
        _ => change("CH-1", "2025-02-10", february, 5, 8),
    };
    let carry_out = |lab: &mut Lab, order: &Order| {
        let draft = lab.plan(&[order]);
        let done = lab.apply(&draft);
        (draft, done)
    };
    let (end, ended) = carry_out(&mut lab, &order("CL-1", OrderKind::Cancellation, "2025-03-10", march()).0);
    let everything = trueup_domain::planner::Extent::Everything;
    assert!(lab.undo(&[(&end, &ended)], &everything).changes.iter().any(|c| c.writes()));
    let (more, added) = carry_out(&mut lab, &late.0);
    let alone = lab.undo(&[(&end, &ended)], &everything);
    assert!(!alone.changes.iter().any(|c| c.writes()), "{}", show(&alone));
    assert!(show(&alone).contains("TU7006 error"), "{}", show(&alone));
    let both = lab.undo(&[(&end, &ended), (&more, &added)], &everything);
    assert!(both.changes.iter().any(|c| c.writes()), "{}", show(&both));
}

/// A cancellation with a refund, where what it gives back of was caught up and is not billed yet: it is given back once.
#[rstest]
fn a_named_refund_of_what_was_caught_up_is_given_back_once(
    #[values("2023-03-01", "2023-03-15", "2023-03-20")] next: &str,
    #[values(("2023-03-20", "-23.23"), ("2023-03-20", "-60.00"), ("2023-03-31", "-23.23"), ("2023-03-01", "-60.00"))]
    (on, refund): (&str, &str),
) {
    let mut lab = Lab::monthly("2023-01-01", next);
    lab.set("credits", "on");
    lab.product("seat", 7, ProductKind::Seat, "20.00", "17.60");
    lab.product("fee", 8, ProductKind::Seat, "50.00", "0");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2023-03-01");
    let march = period("2023-03-01", "2023-04-01");
    lab.invoice(40);
    let sold = line("1", Charge::Recurring, "seat", "3", "20.00", "17.60");
    let sale = lab.run(&order("SO-1", OrderKind::Sales, "2023-03-01", march).with(sold).0);
    let mut back = line("1", Charge::Refund, "seat", "1", "", "");
    back.amount = Some(refund.parse().unwrap());
    back.cost_amount = Some("0".parse().unwrap());
    let end = lab.run(&order("CA-1", OrderKind::Cancellation, on, march).with(back).0);
    let billed: rust_decimal::Decimal =
        (0..4).map(|_| lab.invoice(40).parse::<rust_decimal::Decimal>().unwrap()).sum();
    let wanted = rust_decimal::Decimal::from(60) + refund.parse::<rust_decimal::Decimal>().unwrap();
    assert_eq!(billed, wanted, "{sale}\n{end}");
}

/// A renewal that found nothing to renew bills the invoiced days that it renews whole: what began before it, and comes after
/// it, is billed up to it.
#[rstest]
fn what_comes_after_a_renewal_that_was_caught_up_whole_is_billed_up_to_it(
    #[values(0, 1, 2)] before: usize,
    #[values(0, 1, 3)] between: usize,
    #[values("2023-03-01", "2023-02-14")] renewed: &str,
    #[values("end_and_create", "edit_in_place")] form: &str,
    #[values(2, 3)] quantity: i64,
    #[values(false, true)] change: bool,
) {
    let mut lab = Lab::monthly("2023-01-01", "2023-01-01");
    lab.set("credits", "on").set("quantity_change", form);
    lab.product("seat", 7, ProductKind::Seat, "15.00", "12.00");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2023-01-01");
    let mut billed = rust_decimal::Decimal::ZERO;
    let mut invoice = |lab: &mut Lab, count: usize| {
        (0..count).for_each(|_| billed += lab.invoice(40).parse::<rust_decimal::Decimal>().unwrap());
        billed
    };
    // January and February, and as many as come before the renewal is known.
    invoice(&mut lab, 2 + before);
    let of = |start: &str| match start {
        "2023-03-01" => period("2023-03-01", "2023-04-01"),
        _ => period("2023-02-01", "2023-03-01"),
    };
    let renewal = order("RE-1", OrderKind::Renewal, renewed, of(renewed)).with(line(
        "1",
        Charge::Recurring,
        "seat",
        &quantity.to_string(),
        "15.00",
        "12.00",
    ));
    let renewal_said = lab.run(&renewal.0);
    invoice(&mut lab, between);
    let january = period("2023-01-01", "2023-02-01");
    let mut began = match change {
        true => order("CH-1", OrderKind::Change, "2023-01-01", january)
            .change("1", "seat", 0, 3, "15.00", "12.00"),
        false => order("SO-1", OrderKind::Sales, "2023-01-01", january).with(line(
            "1",
            Charge::Recurring,
            "seat",
            "3",
            "15.00",
            "12.00",
        )),
    };
    began.0.completed_us = renewal.0.completed_us - 1;
    let said = lab.run(&began.0);
    let sum = invoice(&mut lab, 6 - before - between);
    let of_28 = |units: i64| rust_decimal::Decimal::from(units) / rust_decimal::Decimal::from(28);
    let wanted = match renewed {
        "2023-03-01" => rust_decimal::Decimal::from(45 * 2 + 15 * quantity * 6),
        _ => of_28(45 * (28 + 13) + 15 * quantity * (15 + 6 * 28)),
    };
    let apart = (sum - wanted).abs();
    assert!(apart <= rust_decimal::Decimal::new(4, 2), "{sum} instead of {wanted}\n{renewal_said}\n{said}");
}

/// What a late decrease gives back of the days after a cancellation is not told as paid for them.
#[rstest]
fn a_cancellation_tells_what_stays_paid_after_late_changes(
    #[values((3, "46.84"), (5, "78.06"), (10, "156.13"))] (left, told): (i64, &str),
    #[values(0, 1)] between: usize,
) {
    let mut lab = Lab::monthly("2023-01-01", "2023-01-01");
    lab.set("credits", "on");
    lab.product("seat", 7, ProductKind::Seat, "22.00", "17.60");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2023-01-01");
    let sold = line("1", Charge::Recurring, "seat", "8", "22.00", "17.60");
    let january = period("2023-01-01", "2023-02-01");
    lab.run(&order("SO-1", OrderKind::Sales, "2023-01-01", january).with(sold).0);
    (0..5 - between).for_each(|_| drop(lab.invoice(40)));
    let march = period("2023-03-01", "2023-04-01");
    lab.run(
        &order("CH-1", OrderKind::Change, "2023-03-10", march)
            .change("1", "seat", 8, left, "22.00", "17.60")
            .0,
    );
    (0..between).for_each(|_| drop(lab.invoice(40)));
    let may = period("2023-05-01", "2023-06-01");
    let draft = lab.plan(&[&order("CA-1", OrderKind::Cancellation, "2023-05-10", may).0]);
    let amounts: Vec<_> = draft
        .findings
        .iter()
        .filter(|f| f.code == Code::Tu6005)
        .filter_map(|f| f.amount)
        .map(|(a, _)| a.to_string())
        .collect();
    assert_eq!(amounts, [format!("-{told}")], "{}", show(&draft));
}

/// Where credits are off, what stays paid of the cancelled period is told with its amount.
#[rstest]
#[case::within("2023-05-10", None, Some("-124.90"))]
#[case::on_its_first_day("2023-05-01", None, Some("-176.00"))]
#[case::with_a_refund_that_is_told_by_itself("2023-05-10", Some("-100.00"), None)]
fn without_credits_the_rest_of_the_cancelled_period_is_told(
    #[case] on: &str,
    #[case] refund: Option<&str>,
    #[case] told: Option<&str>,
) {
    let mut lab = Lab::monthly("2023-01-01", "2023-01-01");
    lab.set("credits", "off");
    lab.product("seat", 7, ProductKind::Seat, "22.00", "17.60");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2023-01-01");
    let sold = line("1", Charge::Recurring, "seat", "8", "22.00", "17.60");
    lab.run(&order("SO-1", OrderKind::Sales, "2023-01-01", period("2023-01-01", "2023-02-01")).with(sold).0);
    (0..5).for_each(|_| drop(lab.invoice(40)));
    let mut end = order("CA-1", OrderKind::Cancellation, on, period("2023-05-01", "2023-06-01"));
    if let Some(refund) = refund {
        let mut back = line("1", Charge::Refund, "seat", "1", "", "");
        back.amount = Some(refund.parse().unwrap());
        end = end.with(back);
    }
    let draft = lab.plan(&[&end.0]);
    assert_eq!(draft.findings.iter().filter(|f| f.code == Code::Tu4005).count(), 1, "{}", show(&draft));
    let kept =
        draft.findings.iter().filter(|f| f.code == Code::Tu6005 && f.message.contains("gives nothing back"));
    let kept: Vec<String> = kept.filter_map(|f| f.amount).map(|(amount, _)| amount.to_string()).collect();
    assert_eq!(kept, told.into_iter().collect::<Vec<_>>(), "{}", show(&draft));
}

/// Also where an earlier change of the same period is what is cancelled: what stays paid is the state of then.
#[rstest]
#[case::more(8, "22.00", &["-123.20"])]
#[case::dearer(5, "30.00", &["-105.00"])]
#[case::fewer(3, "22.00", &["-46.20"])]
fn without_credits_the_rest_is_that_of_the_last_state(
    #[case] quantity: i64,
    #[case] price: &str,
    #[case] told: &[&str],
    #[values("prorate_line", "single", "dual")] mode: &str,
    #[values("end_and_create", "edit_in_place")] form: &str,
    #[values(4, 5)] invoiced: usize,
) {
    let mut lab = Lab::monthly("2023-01-01", "2023-01-01");
    lab.set("credits", "off").set("line_mode", mode).set("quantity_change", form);
    lab.product("seat", 7, ProductKind::Seat, "22.00", "17.60");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2023-01-01");
    let sold = line("1", Charge::Recurring, "seat", "5", "22.00", "17.60");
    lab.run(&order("SO-1", OrderKind::Sales, "2023-01-01", period("2023-01-01", "2023-02-01")).with(sold).0);
    (0..4).for_each(|_| drop(lab.invoice(40)));
    let april = period("2023-04-01", "2023-05-01");
    let changed = order("CH-1", OrderKind::Change, "2023-04-05", april);
    lab.run(&changed.change("1", "seat", 5, quantity, price, "17.60").0);
    (4..invoiced).for_each(|_| drop(lab.invoice(40)));
    let mut end = order("CA-1", OrderKind::Cancellation, "2023-04-10", april).0;
    end.completed_us += 1;
    let draft = lab.plan(&[&end]);
    let kept =
        draft.findings.iter().filter(|f| f.code == Code::Tu6005 && f.message.contains("gives nothing back"));
    let kept: Vec<String> = kept.filter_map(|f| f.amount).map(|(amount, _)| amount.to_string()).collect();
    assert_eq!(kept, told, "{}", show(&draft));
}
