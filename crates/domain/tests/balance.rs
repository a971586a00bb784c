//! Plans whose lines come to something else than their orders sell: each fault is told with the amount that it costs. What
//! is right is told nowhere: every plan of every other test is looked at in the same way.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
use common::*;
use rstest::rstest;
use rust_decimal::Decimal;
use trueup_domain::feed::{BillingModel, Charge, Order, OrderKind, ProductKind};
use trueup_domain::finding::{Code, Severity};
use trueup_domain::period::{BillingCycle, Period};
use trueup_domain::plan::{Action, DraftPlan};
use trueup_domain::task::{Demand, Task};

fn month(number: i8) -> Period {
    let start = jiff::civil::date(2025, number, 1);
    BillingCycle::MONTHLY.period_containing(start, start).unwrap()
}

fn lab(mode: &str) -> Lab {
    let mut lab = Lab::monthly("2025-01-01", "2025-01-01");
    lab.set("line_mode", mode).set("credits", "on");
    lab.product("seat", 7, ProductKind::Seat, "22.00", "17.60");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2025-01-01");
    lab
}

fn sale() -> Order {
    order("SO", OrderKind::Sales, "2025-01-01", month(1))
        .with(line("1", Charge::Recurring, "seat", "5", "22.00", "17.60"))
        .0
}

fn change(id: &str, on: &str, of: Period, old: i64, new: i64) -> Order {
    order(id, OrderKind::Change, on, of).change("1", "seat", old, new, "22.00", "17.60").0
}

fn tasks(lab: &Lab, orders: &[Order]) -> Vec<(Task, Demand)> {
    orders.iter().map(|order| (lab.task(order), Demand::Order(Box::new(order.clone())))).collect()
}

/// What is told of a plan, as amount and last day.
fn told(lab: &Lab, draft: &DraftPlan, tasks: &[(Task, Demand)]) -> Vec<Decimal> {
    let found = lab.apart(draft, tasks);
    assert!(found.iter().all(|f| (f.code, f.severity) == (Code::Tu6006, Severity::Warning)), "{found:#?}");
    found.iter().map(|f| f.amount.unwrap().0.decimal()).collect()
}

fn dec(text: &str) -> Decimal {
    text.parse().unwrap()
}

/// What becomes wrong in a plan of a change from 5 to 8 on 10 March, planned when March is the open period. What is sold
/// is followed to the end of the period after the last day that is named.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// The line that goes on is not written.
    NoNewLine,
    /// The part of March is not written.
    NoPart,
    /// The part of March is written twice.
    PartTwice,
    /// The old line does not end.
    NoEnd,
    /// The new line bills one seat less.
    OneLess,
    /// The new line bills the old price.
    Dearer,
}

#[rstest]
#[case(Fault::NoNewLine, "-176.00")]
#[case(Fault::NoPart, "-46.83")]
#[case(Fault::PartTwice, "46.83")]
#[case(Fault::NoEnd, "220.00")]
#[case(Fault::OneLess, "-44.00")]
#[case(Fault::Dearer, "16.00")]
fn a_fault_of_a_plan_is_told_with_what_it_costs(#[case] fault: Fault, #[case] amount: &str) {
    let mut lab = lab("prorate_line");
    lab.run(&sale());
    lab.invoice(40);
    lab.invoice(40);
    let tasks = tasks(&lab, &[change("CH", "2025-03-10", month(3), 5, 8)]);
    let right = lab.plan_tasks(&tasks);
    assert_eq!(told(&lab, &right, &tasks), []);
    let mut wrong = right;
    let is_new = |action: &Action| matches!(action, Action::Create { wanted } if wanted.cancelled.is_none());
    let is_part = |action: &Action| matches!(action, Action::Create { wanted } if wanted.cancelled.is_some());
    match fault {
        Fault::NoNewLine => wrong.changes.retain(|change| !is_new(&change.action)),
        Fault::NoPart => wrong.changes.retain(|change| !is_part(&change.action)),
        Fault::PartTwice => {
            let mut second = wrong.changes.iter().find(|change| is_part(&change.action)).unwrap().clone();
            second.id = "change-99".into();
            wrong.changes.push(second);
        }
        Fault::NoEnd => wrong.changes.retain(|change| !matches!(change.action, Action::Cancel { .. })),
        Fault::OneLess | Fault::Dearer => {
            for change in wrong.changes.iter_mut().filter(|change| is_new(&change.action)) {
                let Action::Create { wanted } = &mut change.action else { continue };
                match fault {
                    Fault::OneLess => wanted.quantity = "7".parse().unwrap(),
                    _ => wanted.unit_price = "23.00".parse().unwrap(),
                }
            }
        }
    }
    let told = told(&lab, &wrong, &tasks);
    assert_eq!(told.len(), 1, "{told:?}");
    let apart = (told[0] - dec(amount)).abs();
    assert!(apart <= dec("0.05"), "{told:?} instead of {amount}");
}

/// A plan that writes nothing though its order sells something.
#[test]
fn an_order_that_writes_nothing_is_told() {
    let mut lab = lab("prorate_line");
    lab.run(&sale());
    let tasks = tasks(&lab, &[change("CH", "2025-02-01", month(2), 5, 8)]);
    let mut draft = lab.plan_tasks(&tasks);
    draft.changes.clear();
    assert_eq!(told(&lab, &draft, &tasks), [dec("-132.00")]);
    // What a finding of the plan tells with its amount is told once.
    draft.findings = lab.apart(&draft, &tasks);
    assert_eq!(told(&lab, &draft, &tasks), []);
}

/// What is taken back and leaves lines is told as well.
#[rstest]
fn an_undo_that_leaves_a_line_is_told(#[values("prorate_line", "single", "dual")] mode: &str) {
    let mut lab = lab(mode);
    lab.run(&sale());
    let tasks = tasks(&lab, &[change("CH", "2025-01-10", month(1), 5, 8)]);
    let plan = lab.plan_tasks(&tasks);
    let done = lab.apply(&plan);
    let back = lab.undo(&[(&plan, &done)], &trueup_domain::planner::Extent::Everything);
    assert_eq!(told(&lab, &back, &[]), []);
    for left in 0..back.changes.len() {
        let mut wrong = back.clone();
        wrong.changes.remove(left);
        let found = lab.apart(&wrong, &[]);
        assert_eq!(found.len(), 1, "{}", show(&wrong));
        assert!(!found[0].amount.unwrap().0.is_zero(), "{}", show(&wrong));
    }
}

/// Where something else than orders says what is billed, nothing is told.
#[rstest]
#[case("price_source", "connectwise")]
#[case("proration_by", "none")]
#[case("line_mode", "commitment")]
#[case("go_live", "2025-01-01")]
fn nothing_is_told_where_orders_do_not_say_it_all(#[case] key: &str, #[case] value: &str) {
    let mut lab = lab("prorate_line");
    lab.run(&sale());
    lab.set(key, value);
    let tasks = tasks(&lab, &[change("CH", "2025-02-01", month(2), 5, 8)]);
    let mut draft = lab.plan_tasks(&tasks);
    draft.changes.clear();
    assert_eq!(told(&lab, &draft, &tasks), []);
}

/// An order that takes back what wrote nothing has no line of its own, and is counted all the same.
#[test]
fn an_undo_without_a_line_is_told() {
    let mut lab = lab("prorate_line");
    let gone = change("Z", "2025-01-05", month(1), 5, 0);
    let mut gone = gone;
    gone.completed_us += 1;
    let taken = tasks(&lab, &[gone]);
    let first = lab.plan_tasks(&taken);
    lab.apply(&first);
    // The sale that comes after it is billed up to it.
    lab.run(&sale());
    let mut back = DraftPlan { undoes: vec!["plan-0".into()], ..DraftPlan::default() };
    back.outcomes.insert(taken[0].0.id.clone(), trueup_domain::plan::TaskOutcome::Undone);
    let told = told(&lab, &back, &[]);
    // 27 of 31 days of January, and February.
    assert_eq!(told.len(), 1, "{told:?}");
    assert!((told[0] + dec("205.81")).abs() <= dec("0.10"), "{told:?}");
}
