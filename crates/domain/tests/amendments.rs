//! What a person set of the lines that a task proposes: it is written, kept over every planning, and told.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
use common::*;
use trueup_domain::amendment::{Amendment, Decision, Ending, Values};
use trueup_domain::feed::{BillingModel, Charge, Order, OrderKind, ProductKind};
use trueup_domain::finding::{Code, Severity};
use trueup_domain::ids::AgreementId;
use trueup_domain::period::{BillingCycle, Period};
use trueup_domain::plan::{Action, DraftPlan, OperationKey, Role, TaskOutcome};
use trueup_domain::task::{Demand, Task};

fn january() -> Period {
    period("2028-01-01", "2028-02-01")
}

fn lab() -> Lab {
    let mut lab = Lab::monthly("2028-01-01", "2028-01-01");
    lab.product("seat", 7, ProductKind::Seat, "20.00", "10.00");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2028-01-01");
    lab
}

fn sale() -> OrderDraft {
    let sold = line("1", Charge::Recurring, "seat", "5", "20.00", "10.00");
    order("SO-1", OrderKind::Sales, "2028-01-01", january()).with(sold)
}

fn change() -> OrderDraft {
    order("CH-1", OrderKind::Change, "2028-01-17", january()).change("1", "seat", 5, 8, "20.00", "10.00")
}

fn amended(lab: &Lab, order: &Order, words: Vec<(OperationKey, Decision)>) -> (Task, Demand) {
    let mut task = lab.task(order);
    task.amendments = words
        .into_iter()
        .map(|(proposal, decision)| Amendment {
            proposal,
            decision,
            by: "clerk@shop.example".into(),
            at_us: 0,
        })
        .collect();
    (task, Demand::Order(Box::new(order.clone())))
}

fn set(values: Values) -> Decision {
    Decision::Set(Box::new(values))
}

/// The key of the change with this operation.
fn key_of(plan: &DraftPlan, op: &str) -> OperationKey {
    plan.changes.iter().find(|c| c.action.op() == op).unwrap().key.clone()
}

#[test]
fn every_value_of_a_new_line_can_be_set_and_the_next_planning_finds_it_there() {
    let mut lab = lab();
    let sale = sale();
    let proposed = lab.plan(&[&sale.0]);
    let key = key_of(&proposed, "create");
    let values = Values {
        quantity: Some("4".parse().unwrap()),
        unit_price: Some("19.50".parse().unwrap()),
        unit_cost: Some("9.00".parse().unwrap()),
        effective: Some(day("2028-01-03")),
        ending: Some(Ending::On(day("2028-06-30"))),
        taxable: Some(false),
        description: Some("Seats, as agreed".into()),
        ..Values::default()
    };
    let asked = [amended(&lab, &sale.0, vec![(key.clone(), set(values))])];
    let plan = lab.plan_tasks(&asked);
    let [change] = plan.changes.as_slice() else { panic!("{}", show(&plan)) };
    assert_eq!(change.key, key, "the line is the same one: nothing is written twice");
    let wanted = change.action.after().unwrap();
    assert_eq!(wanted.quantity.display(), "4");
    assert_eq!((wanted.effective, wanted.cancelled), (day("2028-01-03"), Some(day("2028-06-30"))));
    assert_eq!((wanted.taxable, wanted.description.as_deref()), (Some(false), Some("Seats, as agreed")));
    assert_eq!((change.amount.to_string(), change.cost.to_string()), ("78.00".into(), "36.00".into()));
    assert_eq!(change.formula, "4 x 19.50, set by clerk@shop.example");
    assert!(
        change.reason.contains("clerk@shop.example set quantity 5 -> 4 and unit price 20.00 -> 19.50"),
        "{}",
        change.reason
    );
    let before = change.amended.as_ref().unwrap().proposed.as_ref().unwrap();
    assert_eq!(before.quantity.display(), "5");
    let sums = plan.totals.by_currency.values().next().unwrap();
    assert_eq!(sums.next_invoice_after.to_string(), "78.00");

    lab.apply(&plan);
    let again = lab.plan_tasks(&asked);
    assert!(!again.changes.iter().any(|c| c.writes()), "{}", show(&again));
    assert!(!again.findings.iter().any(|f| f.code == Code::Tu7002), "{}", show(&again));
}

#[test]
fn a_line_that_is_left_out_is_not_written_and_told_with_its_amount() {
    let mut lab = lab();
    let sale = sale();
    lab.apply(&lab.plan(&[&sale.0]));
    let change = change();
    let proposed = lab.plan(&[&change.0]);
    let prorate = proposed.changes.iter().find(|c| c.role.name() == "prorate").unwrap();
    let asked = [amended(&lab, &change.0, vec![(prorate.key.clone(), Decision::LeaveOut)])];
    let plan = lab.plan_tasks(&asked);
    assert_eq!(plan.changes.len(), proposed.changes.len() - 1);
    let [left] = plan.left_out.as_slice() else { panic!("{}", show(&plan)) };
    assert_eq!((&left.key, &left.amount), (&prorate.key, &prorate.amount));
    let told = plan.findings.iter().find(|f| f.code == Code::Tu6005).unwrap();
    assert_eq!(told.subject.detail.as_deref(), Some(prorate.key.0.as_str()));
    assert_eq!(told.amount.unwrap().0, prorate.amount);
    lab.apply(&plan);
    let again = lab.plan_tasks(&asked);
    assert!(!again.changes.iter().any(|c| c.writes()), "{}", show(&again));
}

#[test]
fn an_end_that_is_left_out_says_what_goes_on_in_each_period() {
    let mut lab = lab();
    lab.run(&sale().0);
    let change = change();
    let end = key_of(&lab.plan(&[&change.0]), "cancel");
    let plan = lab.plan_tasks(&[amended(&lab, &change.0, vec![(end, Decision::LeaveOut)])]);
    let finding =
        plan.findings.iter().find(|f| f.code == Code::Tu6005 && f.message.contains("goes on")).unwrap();
    let line = lab.snapshot.additions_of(AgreementId(40))[0].state.clone();
    let each = line.unit_price.decimal() * line.quantity.decimal();
    assert_eq!(finding.severity, Severity::Warning);
    assert!(finding.message.contains(&format!("bills {each} USD in each period")), "{}", finding.message);
}

#[test]
fn the_end_of_a_line_moves_where_a_person_says() {
    let mut lab = lab();
    let sale = sale();
    lab.apply(&lab.plan(&[&sale.0]));
    let change = change();
    let proposed = lab.plan(&[&change.0]);
    let cancel = key_of(&proposed, "cancel");
    let values = Values { ending: Some(Ending::On(day("2028-02-29"))), ..Values::default() };
    let asked = [amended(&lab, &change.0, vec![(cancel.clone(), set(values))])];
    let plan = lab.plan_tasks(&asked);
    let moved = plan.changes.iter().find(|c| c.action.op() == "cancel").unwrap();
    assert_eq!(moved.action.after().unwrap().cancelled, Some(day("2028-02-29")));
    assert_ne!(moved.key, cancel, "another edit is another operation");
    assert_eq!(moved.amended.as_ref().unwrap().proposal, cancel);
    lab.apply(&plan);
    let again = lab.plan_tasks(&asked);
    assert!(!again.changes.iter().any(|c| c.writes()), "{}", show(&again));
}

/// Days that a person moves, and for which nobody or somebody else bills then, are told with what they come to.
#[rstest::rstest]
#[case::begins_later("create", Values { effective: Some(day("2028-04-01")), ..Values::default() }, "-320.00")]
#[case::ends_later("cancel", Values { ending: Some(Ending::On(day("2028-03-31"))), ..Values::default() }, "200.00")]
#[case::text_alone("create", Values { description: Some("seats".into()), ..Values::default() }, "")]
fn moved_days_are_told(#[case] op: &str, #[case] values: Values, #[case] amount: &str) {
    let mut lab = lab();
    lab.apply(&lab.plan(&[&sale().0]));
    let change = change();
    let proposed = lab.plan(&[&change.0]);
    let mut of_op = proposed.changes.iter().filter(|c| c.action.op() == op && c.role == Role::Recurring);
    let key = of_op.next().unwrap().key.clone();
    let plan = lab.plan_tasks(&[amended(&lab, &change.0, vec![(key, set(values))])]);
    let told: Vec<String> = plan
        .findings
        .iter()
        .filter(|f| f.code == Code::Tu6005)
        .map(|f| f.amount.unwrap().0.to_string())
        .collect();
    assert_eq!(
        told,
        if amount.is_empty() { vec![] } else { vec![amount.to_owned()] },
        "{:#?}",
        plan.findings
    );
}

/// A price set on the line that ends: it is edited, and ends all the same.
#[test]
fn more_than_the_end_of_an_ending_line_makes_it_an_edit() {
    let mut lab = lab();
    let sale = sale();
    lab.apply(&lab.plan(&[&sale.0]));
    let change = change();
    let cancel = key_of(&lab.plan(&[&change.0]), "cancel");
    let values = Values { unit_price: Some("18.00".parse().unwrap()), ..Values::default() };
    let plan = lab.plan_tasks(&[amended(&lab, &change.0, vec![(cancel, set(values))])]);
    let edit = plan.changes.iter().find(|c| matches!(c.action, Action::Update { .. })).unwrap();
    let wanted = edit.action.after().unwrap();
    assert_eq!((wanted.unit_price.to_string(), wanted.cancelled.is_some()), ("18.00".into(), true));
}

/// What follows in the same plan builds on what a person set.
#[test]
fn a_later_order_of_the_same_plan_sees_what_was_set() {
    let lab = lab();
    let (sale, change) = (sale(), change());
    let key = key_of(&lab.plan(&[&sale.0]), "create");
    let values = Values { unit_price: Some("19.00".parse().unwrap()), ..Values::default() };
    let second = (lab.task(&change.0), Demand::Order(Box::new(change.0.clone())));
    let plan = lab.plan_tasks(&[amended(&lab, &sale.0, vec![(key, set(values))]), second]);
    let ended = plan.changes.iter().find(|c| c.action.op() == "cancel").unwrap();
    assert_eq!(ended.action.before().unwrap().unit_price.to_string(), "19.00");
}

/// A value that may not be: the checker refuses the plan and says which line.
#[test]
fn a_line_cannot_be_set_to_end_before_it_begins() {
    let lab = lab();
    let sale = sale();
    let key = key_of(&lab.plan(&[&sale.0]), "create");
    let values = Values { ending: Some(Ending::On(day("2027-12-01"))), ..Values::default() };
    let (task, demand) = amended(&lab, &sale.0, vec![(key, set(values))]);
    assert_eq!(lab.refused(lab.drafted(&[(task, demand)])), [Code::Tu4003]);
}

/// One line that may not be written keeps its own subscription back, and nobody else.
#[test]
fn what_the_checker_refuses_of_one_subscription_leaves_the_others_in_the_plan() {
    let mut lab = lab();
    lab.subscription("s-2", BillingCycle::MONTHLY, BillingModel::Advance, "2028-01-01");
    let (sale, change) = (sale(), change());
    let mut other = order("SO-2", OrderKind::Sales, "2028-01-01", january()).with(line(
        "1",
        Charge::Recurring,
        "seat",
        "3",
        "20.00",
        "10.00",
    ));
    other.0.subscription = "s-2".into();
    let key = key_of(&lab.plan(&[&sale.0]), "create");
    let values = Values { ending: Some(Ending::On(day("2027-12-01"))), ..Values::default() };
    let wrong = amended(&lab, &sale.0, vec![(key, set(values))]);
    let with = |order: &OrderDraft| (lab.task(&order.0), Demand::Order(Box::new(order.0.clone())));
    let tasks = [wrong.clone(), with(&change), with(&other)];
    assert_eq!(lab.refused(lab.drafted(&tasks)), [Code::Tu4003]);

    let draft = lab.passing(&tasks);
    let outcome = |of: &Order| draft.outcomes[&lab.task(of).id];
    assert_eq!(outcome(&sale.0), TaskOutcome::Failed);
    assert_eq!(outcome(&change.0), TaskOutcome::Blocked);
    assert_eq!(outcome(&other.0), TaskOutcome::Planned);
    let written: Vec<String> = draft.changes.iter().map(|c| c.subscription.to_string()).collect();
    assert_eq!(written, ["s-2"]);
    let told = draft.findings.iter().find(|f| f.code == Code::Tu4003).unwrap();
    assert_eq!(told.subject.task, Some(lab.task(&sale.0).id));
    assert!(told.message.ends_with("The order is left out of this plan; the others are in it."), "{told:?}");
    // Of the change that is in no plan nothing is said: another one may have its id.
    assert!(told.subject.detail.is_none() && !told.message.contains("c0"), "{told:?}");
    assert_eq!(lab.refused(draft), []);

    // Where nothing else is asked for, the plan shows what was refused.
    assert_eq!(lab.passing(std::slice::from_ref(&wrong)).changes.len(), 1);
}

/// Words about lines that the task does not propose change nothing, and what equals the proposal is no amendment.
#[test]
fn words_that_change_nothing_leave_the_plan_as_it_is() {
    let lab = lab();
    let sale = sale();
    let proposed = lab.plan(&[&sale.0]);
    let same = Values { quantity: Some("5".parse().unwrap()), ..Values::default() };
    let words =
        vec![(key_of(&proposed, "create"), set(same)), (OperationKey("tu-other".into()), Decision::LeaveOut)];
    let plan = lab.plan_tasks(&[amended(&lab, &sale.0, words)]);
    assert_eq!(plan, proposed);
}
