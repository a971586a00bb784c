//! Orders that are planned again, made again after an undo, or sent again under another id: what was carried out is not
//! billed a second time.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
use common::*;
use rstest::rstest;
use trueup_domain::feed::{BillingModel, Charge, Order, OrderKind, ProductKind};
use trueup_domain::finding::{Code, Severity};
use trueup_domain::ids::AgreementId;
use trueup_domain::period::{BillingCycle, Period};
use trueup_domain::plan::TaskOutcome;
use trueup_domain::planner::{AdoptionAnswer, Extent};
use trueup_domain::task::Demand;

fn january() -> Period {
    period("2028-01-01", "2028-02-01")
}

/// Five seats at 22.00 from a day on.
fn lab(mode: &str, from: Period) -> Lab {
    let start = from.start().to_string();
    let mut lab = Lab::monthly(&start, &start);
    lab.today = day("2028-01-31");
    lab.set("credits", "on").set("line_mode", mode);
    lab.product("seat", 7, ProductKind::Seat, "22.00", "17.60");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, &start);
    let sold = line("1", Charge::Recurring, "seat", "5", "22.00", "17.60");
    lab.run(&order("SO-1", OrderKind::Sales, &start, from).with(sold).0);
    lab
}

fn change(id: &str, on: &str, of: Period, old: i64, new: i64) -> Order {
    order(id, OrderKind::Change, on, of).change("1", "seat", old, new, "22.00", "17.60").0
}

/// An order to nothing whose part is the whole period by the count of days: it writes no line of its own by which an
/// earlier run of it could be told, and nothing goes back a second time.
#[rstest]
fn an_order_to_nothing_on_the_first_days_gives_nothing_back_twice(
    #[values("prorate_line", "single", "dual", "commitment")] mode: &str,
    #[values(0, 1)] invoices: usize,
    #[values("2023-02-28", "2023-03-01", "2023-03-02")] on: &str,
) {
    let mut lab = lab(mode, period("2023-01-31", "2023-02-28"));
    lab.set("day_count", "actual_30");
    for _ in 0..invoices {
        lab.invoice(40);
    }
    let gone = change("CH-1", on, period("2023-02-28", "2023-03-31"), 5, 0);
    lab.run(&gone);
    lab.invoice(40);
    let again = lab.plan(&[&gone]);
    assert!(!again.changes.iter().any(|c| c.writes()), "{}", show(&again));
}

fn lines(lab: &Lab) -> Vec<String> {
    let all = lab.snapshot.additions_of(AgreementId(40));
    let mut lines: Vec<String> = all.iter().map(|a| serde_json::to_string(&a.state).unwrap()).collect();
    lines.sort();
    lines
}

/// What an undo took away was not replaced by the order before it: made again, that one is reckoned as the first time.
#[rstest]
fn what_is_made_again_after_an_undo_costs_what_it_did(
    #[values("prorate_line", "single", "dual")] mode: &str,
    #[values("20.00", "22.00", "24.50")] price: &str,
    #[values(0, 1, 2)] invoices: usize,
    #[values("2028-02-01", "2028-02-11")] on: &str,
) {
    let mut lab = lab(mode, january());
    for _ in 0..invoices {
        lab.invoice(40);
    }
    let february = period("2028-02-01", "2028-03-01");
    let mut gone = change("CH-1", on, february, 5, 0);
    gone.lines[0].unit_price = Some(price.parse().unwrap());
    gone.lines[0].old_unit_price = Some("22.00".parse().unwrap());
    let mut back = change("CH-2", on, february, 0, 1);
    back.lines[0].unit_price = Some(price.parse().unwrap());
    back.lines[0].old_unit_price = back.lines[0].unit_price;
    (gone.completed_us, back.completed_us) = (1_000_000, 1_000_001);
    let both = [&gone, &back].map(|order| (lab.task(order), Demand::Order(Box::new(order.clone()))));
    for mut tasks in [both.to_vec(), both[..1].to_vec(), both[1..].to_vec()] {
        let mut lab = lab.clone();
        let draft = lab.plan_tasks(&tasks);
        let done = lab.apply(&draft);
        let after = lines(&lab);
        let undo = lab.undo(&[(&draft, &done)], &Extent::Everything);
        lab.apply(&undo);
        tasks.iter_mut().for_each(|(task, _)| task.undone = 1);
        let draft = lab.plan_tasks(&tasks);
        lab.apply(&draft);
        assert_eq!(lines(&lab), after, "{}", show(&draft));
        let again = lab.plan_tasks(&tasks[tasks.len() - 1..]);
        assert!(!again.changes.iter().any(|c| c.writes()), "{}", show(&again));
    }
}

/// That an order waits whole, with the error that says why, and goes on where a person says that it is meant.
fn waits(lab: &Lab, order: &Order) {
    let draft = lab.plan(&[order]);
    assert!(!draft.changes.iter().any(|c| c.writes()), "{}", show(&draft));
    assert_eq!(draft.outcomes.values().collect::<Vec<_>>(), [&TaskOutcome::Waiting], "{}", show(&draft));
    let said: Vec<_> = draft.findings.iter().map(|f| (f.code, f.severity)).collect();
    assert_eq!(said, [(Code::Tu5001, Severity::Error)], "{}", show(&draft));
    let mut meant = lab.clone();
    meant.adoption = AdoptionAnswer::CreateBeside;
    let draft = meant.plan(&[order]);
    assert!(!draft.outcomes.values().any(|o| *o == TaskOutcome::Waiting), "{}", show(&draft));
}

fn carry_out(lab: &mut Lab, order: &Order) {
    let draft = lab.plan(&[order]);
    lab.apply(&draft);
    assert!(draft.outcomes.values().all(|o| *o == TaskOutcome::Planned), "{}", show(&draft));
    let again = lab.plan(&[order]);
    assert!(!again.changes.iter().any(|c| c.writes()), "{}", show(&again));
}

/// The change under another id, completed later.
fn once_more(order: &Order) -> Order {
    Order { id: "CH-99".into(), completed_us: order.completed_us + 1, ..order.clone() }
}

fn repriced() -> Order {
    let mut order = change("CH-1", "2028-01-11", january(), 5, 5);
    order.lines[0].unit_price = Some("25.00".parse().unwrap());
    order.lines[0].old_unit_price = Some("22.00".parse().unwrap());
    order
}

/// The subscription is committed for the year.
fn commit(lab: &mut Lab) {
    let term = trueup_domain::feed::Term {
        start: day("2028-01-01"),
        end: Some(day("2029-01-01")),
        auto_renew: None,
    };
    lab.subscriptions.values_mut().for_each(|s| s.term = Some(term));
}

/// A line of a commitment is dated from the start: what was changed once is there until an order ends it.
#[rstest]
fn what_is_committed_ends_after_a_change(
    #[values("prorate_line", "single", "dual", "commitment")] mode: &str,
    #[values("end_and_create", "edit_in_place")] form: &str,
    #[values(false, true)] term: bool,
    #[values(false, true)] switched: bool,
    #[values(0, 1, 2)] invoices: usize,
) {
    let mut lab = lab(mode, january());
    lab.set("quantity_change", form);
    lab.product("extra", 8, ProductKind::Seat, "30.00", "20.00");
    if term {
        commit(&mut lab);
    }
    carry_out(&mut lab, &change("CH-1", "2028-01-11", january(), 5, 8));
    let mut billed: Vec<String> = (0..invoices).map(|_| lab.invoice(40)).collect();
    let mut gone = change("CH-2", "2028-02-10", period("2028-02-01", "2028-03-01"), 8, 0);
    if switched {
        let price = |text: &str| Some(text.parse().unwrap());
        gone.lines.push(trueup_domain::feed::OrderLine {
            product: "extra".into(),
            unit_price: price("30.00"),
            unit_cost: price("20.00"),
            ..change("", "2028-02-10", january(), 0, 4).lines.remove(0)
        });
        gone.lines[1].id = "2".into();
    }
    carry_out(&mut lab, &gone);
    waits(&lab, &Order { completed_us: gone.completed_us + 1, id: "CH-9".into(), ..gone.clone() });
    billed.extend((invoices..4).map(|_| lab.invoice(40)));
    let sum: rust_decimal::Decimal = billed.iter().map(|b| b.parse::<rust_decimal::Decimal>().unwrap()).sum();
    // 110.00 and 3 x 22.00 for 21 of 31 days; 176.00 less 20 of 29 days of it, or of 56.00.
    let due = if switched { "532.08" } else { "209.33" };
    let due: rust_decimal::Decimal = due.parse().unwrap();
    assert!((sum - due).abs() <= "0.12".parse().unwrap(), "{sum}, not {due}: {billed:?}");
    assert_eq!(billed[3], if switched { "120.00" } else { "0" }, "{billed:?}");
}

/// The same change under two ids bills its part once: the second one waits, before an invoice and after it.
#[rstest]
fn a_change_that_is_sent_twice_waits(
    #[values("prorate_line", "single", "dual")] mode: &str,
    #[values("end_and_create", "edit_in_place")] form: &str,
    #[values("up", "down", "price", "gone", "added", "switch")] kind: &str,
    #[values(0, 1)] before: usize,
    #[values(0, 1)] between: usize,
    #[values("on", "off")] credits: &str,
) {
    let mut lab = lab(mode, january());
    lab.set("quantity_change", form).set("credits", credits);
    lab.product("extra", 8, ProductKind::Seat, "30.00", "20.00");
    for _ in 0..before {
        lab.invoice(40);
    }
    let extra = |order: &mut Order, id: &str| {
        let added = change("", "2028-01-11", january(), 0, 4).lines.remove(0);
        let price = |text: &str| Some(text.parse().unwrap());
        let product = "extra".into();
        order.lines.push(trueup_domain::feed::OrderLine {
            id: id.into(),
            product,
            unit_price: price("30.00"),
            unit_cost: price("20.00"),
            ..added
        });
    };
    let first = match kind {
        "up" => change("CH-1", "2028-01-11", january(), 5, 8),
        "down" => change("CH-1", "2028-01-11", january(), 5, 3),
        "price" => repriced(),
        "gone" => change("CH-1", "2028-01-11", january(), 5, 0),
        "added" => {
            let mut order = change("CH-1", "2028-01-11", january(), 5, 5);
            order.lines.clear();
            extra(&mut order, "1");
            order
        }
        _ => {
            let mut order = change("CH-1", "2028-01-11", january(), 5, 0);
            extra(&mut order, "2");
            order
        }
    };
    carry_out(&mut lab, &first);
    for _ in 0..between {
        lab.invoice(40);
    }
    waits(&lab, &once_more(&first));
    // Whoever completed it first: of two that say the same, one counts.
    if kind != "gone" && kind != "switch" {
        waits(&lab, &Order { completed_us: first.completed_us, ..once_more(&first) });
    }
}

/// Both in one plan: the first one is written, and the second one waits.
#[test]
fn of_two_that_say_the_same_in_one_plan_one_is_written() {
    let mut lab = lab("prorate_line", january());
    let first = change("CH-1", "2028-01-11", january(), 5, 8);
    let draft = lab.plan(&[&first, &once_more(&first)]);
    let outcomes: Vec<_> = draft.outcomes.values().collect();
    assert!(
        outcomes.contains(&&TaskOutcome::Planned) && outcomes.contains(&&TaskOutcome::Waiting),
        "{outcomes:?}"
    );
    lab.apply(&draft);
    assert_eq!([lab.invoice(40), lab.invoice(40)], ["154.70", "176.00"]);
}

/// Of another day it is one of several that go back and forth, of which one is not here yet: it is billed as it says.
#[test]
fn a_change_to_the_same_level_of_another_day_is_none_that_is_sent_twice() {
    let mut lab = lab("prorate_line", january());
    carry_out(&mut lab, &change("CH-1", "2028-01-11", january(), 5, 8));
    let third = Order { completed_us: 1_000_000, ..change("CH-3", "2028-01-21", january(), 5, 8) };
    carry_out(&mut lab, &third);
}

/// Changes of one day that follow on each other come to the same level more than once: all of them are meant.
#[rstest]
fn changes_that_follow_on_each_other_on_one_day_are_carried_out(
    #[values("prorate_line", "single", "dual")] mode: &str,
    #[values("end_and_create", "edit_in_place")] form: &str,
    #[values("on", "off")] credits: &str,
    #[values(0, 1, 2)] invoices: usize,
) {
    let mut lab = lab(mode, january());
    lab.set("quantity_change", form).set("credits", credits);
    for _ in 0..invoices {
        lab.invoice(40);
    }
    let levels = [5, 8, 5, 8, 0, 8, 0, 4, 0, 1];
    for (nth, pair) in levels.windows(2).enumerate() {
        let order = change(&format!("CH-{nth}"), "2028-01-11", january(), pair[0], pair[1]);
        carry_out(&mut lab, &Order { completed_us: 1_000_000 + i64::try_from(nth).unwrap(), ..order });
    }
}

fn cancellation(id: &str, on: &str, charges: &[Charge]) -> Order {
    let draft = charges.iter().enumerate().fold(
        order(id, OrderKind::Cancellation, on, period("2028-02-01", "2028-03-01")),
        |draft, (nth, charge)| {
            let (product, quantity) = if *charge == Charge::Refund { ("seat", "-5") } else { ("fee", "1") };
            draft.with(line(&nth.to_string(), *charge, product, quantity, "22.00", "5.00"))
        },
    );
    draft.0
}

/// A second cancellation of what is cancelled bills its fee once more, or gives the same money back: it waits.
#[rstest]
fn a_second_cancellation_of_what_is_cancelled_waits(
    #[values(0, 1, 2)] invoices: usize,
    #[values("2028-02-11", "2028-02-12")] on: &str,
    #[values("fee", "refund", "both")] kind: &str,
) {
    let mut lab = lab("prorate_line", january());
    lab.item(20, "0", "0");
    lab.map(trueup_domain::mapping::MappingKind::Fee, "cancellation", 20);
    for _ in 0..invoices {
        lab.invoice(40);
    }
    let charges: &[Charge] = match kind {
        "fee" => &[Charge::Cancellation],
        "refund" => &[Charge::Refund],
        _ => &[Charge::Refund, Charge::Cancellation],
    };
    carry_out(&mut lab, &cancellation("CL-1", "2028-02-11", charges));
    let second = cancellation("CL-2", on, charges);
    let second = Order { completed_us: second.completed_us + 10, ..second };
    if kind == "refund" && invoices < 2 {
        // Nothing of February was invoiced: nothing went back, and nothing does.
        let draft = lab.plan(&[&second]);
        assert!(!draft.changes.iter().any(|c| c.writes()), "{}", show(&draft));
        return;
    }
    waits(&lab, &second);
}

/// What its commitment has dated is cancelled once, whatever changed it and what that charged.
#[rstest]
fn what_is_committed_is_cancelled_once(
    #[values(false, true)] term: bool,
    #[values(0, 1, 2)] invoices: usize,
) {
    let mut lab = lab("commitment", january());
    lab.item(20, "0", "0");
    lab.map(trueup_domain::mapping::MappingKind::Fee, "cancellation", 20);
    if term {
        commit(&mut lab);
    }
    let fee = line("f", Charge::Cancellation, "fee", "1", "10.00", "0");
    let mut changed = change("CH-1", "2028-01-11", january(), 5, 3);
    changed.lines.push(fee);
    carry_out(&mut lab, &changed);
    for _ in 0..invoices {
        lab.invoice(40);
    }
    let end = cancellation("CL-1", "2028-02-11", &[Charge::Cancellation]);
    carry_out(&mut lab, &end);
    waits(&lab, &Order { id: "CL-2".into(), completed_us: end.completed_us + 1, ..end.clone() });
}

/// What was ended by a change, or sold again, is cancelled like anything else.
#[rstest]
fn a_cancellation_after_a_change_to_nothing_bills_its_fee(#[values(false, true)] sold_again: bool) {
    let mut lab = lab("prorate_line", january());
    lab.item(20, "0", "0");
    lab.map(trueup_domain::mapping::MappingKind::Fee, "cancellation", 20);
    let february = period("2028-02-01", "2028-03-01");
    lab.invoice(40);
    if sold_again {
        carry_out(&mut lab, &cancellation("CL-0", "2028-02-11", &[Charge::Cancellation]));
        let sold = line("1", Charge::Recurring, "seat", "4", "22.00", "17.60");
        let sale = order("SO-2", OrderKind::Sales, "2028-02-20", february).with(sold).0;
        carry_out(&mut lab, &Order { completed_us: 900_000, ..sale });
    }
    let old = if sold_again { 4 } else { 5 };
    let gone = change("CH-1", "2028-02-21", february, old, 0);
    carry_out(&mut lab, &Order { completed_us: 900_001, ..gone });
    let end = cancellation("CL-1", "2028-02-22", &[Charge::Cancellation]);
    carry_out(&mut lab, &Order { completed_us: 900_002, ..end });
}

/// A transfer that names fewer than are billed, or not all products: what becomes of the rest is not known, so it waits.
#[rstest]
#[case::fewer("3", true)]
#[case::all("5", false)]
#[case::more("8", false)]
fn a_transfer_that_names_fewer_than_are_billed_waits(
    #[case] named: &str,
    #[case] held: bool,
    #[values(0, 1, 2)] invoices: usize,
    #[values(false, true)] with_extra: bool,
    #[values("2028-01-11", "2028-02-01")] on: &str,
) {
    let mut lab = lab("prorate_line", january());
    lab.product("extra", 8, ProductKind::Seat, "30.00", "20.00");
    lab.second_customer("2028-01-01", "2028-01-01");
    if with_extra {
        let sold = line("1", Charge::Recurring, "extra", "4", "30.00", "20.00");
        carry_out(&mut lab, &order("SO-2", OrderKind::Sales, "2028-01-01", january()).with(sold).0);
    }
    for _ in 0..invoices {
        lab.invoice(40);
        lab.invoice(50);
    }
    let of = if on == "2028-01-11" { january() } else { period("2028-02-01", "2028-03-01") };
    let moved = line("1", Charge::Recurring, "seat", named, "22.00", "17.60");
    let mut transfer = order("TR-1", OrderKind::Transfer, on, of).with(moved).0;
    transfer.customer = Some("c-200".into());
    if held || with_extra {
        let draft = lab.plan(&[&transfer]);
        assert!(!draft.changes.iter().any(|c| c.writes()), "{}", show(&draft));
        let errors =
            draft.findings.iter().filter(|f| f.code == Code::Tu5001 && f.severity == Severity::Error);
        assert_eq!(errors.count(), usize::from(held) + usize::from(with_extra), "{}", show(&draft));
        lab.adoption = AdoptionAnswer::CreateBeside;
    }
    carry_out(&mut lab, &transfer);
    lab.adoption = AdoptionAnswer::Propose;
    let again = lab.plan(&[&transfer]);
    assert!(!again.changes.iter().any(|c| c.writes()), "{}", show(&again));
    assert!(!again.outcomes.values().any(|o| *o == TaskOutcome::Waiting), "{}", show(&again));
    assert!(lab.snapshot.additions_of(AgreementId(40)).iter().all(|a| a.state.cancelled.is_some()));
}

/// Use comes with its amount, and no state tells that it was billed before: a billing order that charges all of what another
/// one charged for the same days waits. One that charges anything else is billed.
#[rstest]
#[case::the_same("3", "1.50", 1, "2028-01-01", true)]
#[case::another_quantity("4", "1.50", 1, "2028-01-01", false)]
#[case::another_price("3", "1.75", 1, "2028-01-01", false)]
#[case::one_line_more("3", "1.50", 2, "2028-01-01", false)]
#[case::of_another_month("3", "1.50", 1, "2028-02-01", false)]
fn a_billing_order_that_is_sent_twice_waits(
    #[case] quantity: &str,
    #[case] price: &str,
    #[case] count: usize,
    #[case] from: &str,
    #[case] held: bool,
    #[values(0, 1, 2)] invoices: usize,
    #[values("unit", "line")] rounding: &str,
) {
    let mut lab = lab("prorate_line", january());
    lab.set("rounding_place", rounding);
    let charge = |id: &str, quantity: &str, price: &str, count: usize, of: Period| {
        let use_of = |n: usize| line(&n.to_string(), Charge::Overuse, "seat", quantity, price, "1.00");
        (1..=count).fold(order(id, OrderKind::Billing, "2028-02-01", of), |draft, n| draft.with(use_of(n))).0
    };
    carry_out(&mut lab, &charge("B-1", "3", "1.50", 1, january()));
    for _ in 0..invoices {
        lab.invoice(40);
    }
    let of = if from == "2028-01-01" { january() } else { period(from, "2028-03-01") };
    let again = charge("B-2", quantity, price, count, of);
    if held {
        waits(&lab, &again);
        lab.adoption = AdoptionAnswer::CreateBeside;
    }
    carry_out(&mut lab, &again);
}
