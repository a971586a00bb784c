//! Orders that are planned again, made again after an undo, or sent again under another id: what was carried out is not
//! billed a second time.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
use common::*;
use rstest::rstest;
use trueup_domain::feed::{BillingModel, Charge, Order, OrderKind, ProductKind};
use trueup_domain::ids::AgreementId;
use trueup_domain::period::{BillingCycle, Period};
use trueup_domain::planner::Extent;
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
