//! Taking back what a plan wrote: nothing is left of it where nothing was invoiced, and the invoices come out as if it
//! had never been where something was.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
use common::*;
use rstest::rstest;
use std::collections::{BTreeMap, BTreeSet};
use trueup_domain::feed::{BillingModel, Charge, Order, OrderKind, ProductKind};
use trueup_domain::finding::Code;
use trueup_domain::ids::{AdditionId, ChangeId};
use trueup_domain::money::Quantity;
use trueup_domain::period::BillingCycle;
use trueup_domain::plan::{Action, DraftPlan, TaskOutcome};
use trueup_domain::planner::Extent;
use trueup_domain::task::Demand;

type Done = BTreeMap<ChangeId, AdditionId>;

fn lab(credits: &str) -> Lab {
    let mut lab = Lab::monthly("2025-01-01", "2025-01-01");
    lab.today = day("2025-03-20");
    lab.product("seat", 7, ProductKind::Seat, "22.00", "17.60");
    lab.product("setup", 8, ProductKind::Seat, "50.00", "0.00");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2025-01-01");
    lab.set("credits", credits);
    lab
}

fn sale() -> Order {
    order("SO-1", OrderKind::Sales, "2025-01-01", period("2025-01-01", "2025-02-01"))
        .with(line("1", Charge::Recurring, "seat", "5", "22.00", "17.60"))
        .with(line("2", Charge::Setup, "setup", "1", "50.00", "0.00"))
        .0
}

fn change(id: &str, on: &str, month: &str, end: &str, old: i64, new: i64) -> Order {
    order(id, OrderKind::Change, on, period(month, end)).change("1", "seat", old, new, "22.00", "17.60").0
}

fn cancellation(on: &str, month: &str, end: &str) -> Order {
    order("CA-1", OrderKind::Cancellation, on, period(month, end))
        .with(line("1", Charge::Recurring, "seat", "5", "22.00", "17.60"))
        .0
}

fn carry(lab: &mut Lab, order: &Order) -> (DraftPlan, Done) {
    let draft = lab.plan(&[order]);
    assert!(draft.changes.iter().any(|c| c.writes()), "{}", show(&draft));
    let done = lab.apply(&draft);
    (draft, done)
}

/// What the agreements bill, whatever the ids.
fn lines(lab: &Lab) -> Vec<String> {
    let mut lines: Vec<String> =
        lab.snapshot.additions.values().flatten().map(|a| serde_json::to_string(&a.state).unwrap()).collect();
    lines.sort();
    lines
}

fn codes(draft: &DraftPlan) -> Vec<Code> {
    draft.findings.iter().map(|f| f.code).collect()
}

#[rstest]
#[case::up(change("CH-1", "2025-01-11", "2025-01-01", "2025-02-01", 5, 8))]
#[case::down(change("CH-1", "2025-01-11", "2025-01-01", "2025-02-01", 5, 2))]
#[case::at_the_start(change("CH-1", "2025-01-01", "2025-01-01", "2025-02-01", 5, 8))]
#[case::cancelled(cancellation("2025-01-11", "2025-01-01", "2025-02-01"))]
fn nothing_is_left_where_nothing_was_invoiced(
    #[case] order: Order,
    #[values("on", "off")] credits: &str,
    #[values("end_and_create", "edit_in_place")] quantity_change: &str,
) {
    let mut lab = lab(credits);
    lab.set("quantity_change", quantity_change);
    carry(&mut lab, &sale());
    let before = lines(&lab);
    let (plan, done) = carry(&mut lab, &order);
    assert_ne!(lines(&lab), before);
    let back = lab.undo(&[(&plan, &done)], &Extent::Everything);
    assert_eq!(back.outcomes.values().copied().collect::<Vec<_>>(), [TaskOutcome::Undone]);
    lab.apply(&back);
    assert_eq!(lines(&lab), before, "{}", show(&back));
}

#[test]
fn a_sale_goes_whole() {
    let mut lab = lab("off");
    let (plan, done) = carry(&mut lab, &sale());
    let back = lab.undo(&[(&plan, &done)], &Extent::Everything);
    assert!(back.changes.iter().all(|c| matches!(c.action, Action::Delete { .. })), "{}", show(&back));
    assert_eq!(back.changes.len(), done.len());
    lab.apply(&back);
    assert_eq!(lines(&lab), Vec::<String>::new());
}

/// Two plans, undone together from the newer to the older.
#[test]
fn a_change_and_its_sale_go_together() {
    let mut lab = lab("off");
    let (first, made) = carry(&mut lab, &sale());
    let (second, changed) = carry(&mut lab, &change("CH-1", "2025-01-11", "2025-01-01", "2025-02-01", 5, 8));
    let back = lab.undo(&[(&first, &made), (&second, &changed)], &Extent::Everything);
    lab.apply(&back);
    assert_eq!(lines(&lab), Vec::<String>::new(), "{}", show(&back));
}

#[test]
fn what_a_later_run_removed_is_told() {
    let mut lab = lab("on");
    carry(&mut lab, &sale());
    lab.invoice(40);
    let (up, done) = carry(&mut lab, &change("CH-1", "2025-01-11", "2025-01-01", "2025-02-01", 5, 8));
    carry(&mut lab, &change("CH-2", "2025-01-21", "2025-01-01", "2025-02-01", 8, 10));
    let back = lab.undo(&[(&up, &done)], &Extent::Everything);
    assert!(back.changes.is_empty(), "{}", show(&back));
    assert!(codes(&back).contains(&Code::Tu7006), "{:?}", back.findings);
}

#[test]
fn what_a_person_changed_is_left_to_the_person() {
    let mut lab = lab("off");
    let (plan, done) = carry(&mut lab, &sale());
    let seats = lab.snapshot.additions.values_mut().flatten().find(|a| a.state.quantity == Quantity::from(5));
    seats.unwrap().state.quantity = Quantity::from(6);
    let back = lab.undo(&[(&plan, &done)], &Extent::Everything);
    assert_eq!(codes(&back), [Code::Tu7002]);
    assert!(back.changes.is_empty() && back.outcomes.is_empty(), "{}", show(&back));
}

#[test]
fn what_a_later_run_built_on_comes_first() {
    let mut lab = lab("off");
    let (plan, done) = carry(&mut lab, &sale());
    carry(&mut lab, &change("CH-1", "2025-01-11", "2025-01-01", "2025-02-01", 5, 8));
    let back = lab.undo(&[(&plan, &done)], &Extent::Everything);
    assert_eq!(codes(&back), [Code::Tu7006]);
    assert!(back.changes.is_empty(), "{}", show(&back));
}

#[test]
fn one_line_alone_leaves_its_task_done() {
    let mut lab = lab("off");
    let (plan, done) = carry(&mut lab, &sale());
    let setup = plan.changes.iter().find(|c| c.product.as_str() == "setup").unwrap();
    let only = Extent::Additions(BTreeSet::from([done[&setup.id]]));
    let back = lab.undo(&[(&plan, &done)], &only);
    assert_eq!((back.changes.len(), back.outcomes.len()), (1, 0));
    lab.apply(&back);
    assert_eq!(lab.invoice(40), "110.00");
}

/// The same order can be written anew afterwards: its lines have keys of their own.
#[test]
fn it_can_be_done_again() {
    let mut lab = lab("off");
    let (plan, done) = carry(&mut lab, &sale());
    let before = lines(&lab);
    let back = lab.undo(&[(&plan, &done)], &Extent::Everything);
    lab.apply(&back);
    let mut task = lab.task(&sale());
    task.undone = 1;
    let again = lab.plan_tasks(&[(task, Demand::Order(Box::new(sale())))]);
    let keys = |plan: &DraftPlan| plan.changes.iter().map(|c| c.key.clone()).collect::<BTreeSet<_>>();
    assert!(keys(&plan).is_disjoint(&keys(&again)));
    lab.apply(&again);
    assert_eq!(lines(&lab), before);
}

/// Included quantities are an edit: the line bills less than trueup wrote.
#[test]
fn what_a_person_includes_is_an_edit() {
    let mut lab = lab("off");
    let (plan, done) = carry(&mut lab, &sale());
    let seats = lab.snapshot.additions.values_mut().flatten().find(|a| a.state.quantity == Quantity::from(5));
    seats.unwrap().less_included = Quantity::from(2);
    let back = lab.undo(&[(&plan, &done)], &Extent::Everything);
    assert_eq!(codes(&back), [Code::Tu7002]);
    assert!(back.findings[0].message.contains("LessIncluded"), "{}", back.findings[0].message);
    assert!(back.changes.is_empty() && back.outcomes.is_empty(), "{}", show(&back));
}

/// An edit that ends a line is judged as an end is: with credits off none lies inside what was invoiced.
#[rstest]
#[case::within("2025-01-20", "off", &[Code::Tu4005])]
#[case::with_credits("2025-01-20", "on", &[])]
#[case::after_it("2025-01-31", "off", &[])]
fn an_edit_that_ends_a_line_is_judged_as_an_end(
    #[case] last: &str,
    #[case] credits: &str,
    #[case] wanted: &[Code],
) {
    let mut lab = lab("off");
    carry(&mut lab, &sale());
    lab.invoice(40);
    let (mut draft, _) = carry(&mut lab.clone(), &cancellation("2025-02-10", "2025-02-01", "2025-03-01"));
    draft.changes.retain(|c| matches!(c.action, Action::Cancel { .. }));
    let Action::Cancel { target, before, wanted: ended } = draft.changes[0].action.clone() else { panic!() };
    let ended = trueup_domain::psa::AdditionState { cancelled: Some(day(last)), ..*ended };
    draft.changes[0].action = Action::Update { target, before, wanted: ended.into() };
    lab.set("credits", credits);
    let refused: Vec<Code> = lab.refused(draft).into_iter().filter(|c| *c == Code::Tu4005).collect();
    assert_eq!(refused, wanted);
}

/// A transfer ends lines of one company and begins lines of another: each is taken back where it lies.
#[test]
fn a_transfer_is_taken_back_on_both_agreements() {
    use trueup_domain::ids::{AgreementId, CompanyId, CustomerId};
    let mut lab = lab("off");
    lab.second_customer("2025-01-01", "2025-01-01");
    carry(&mut lab, &sale());
    let before = lines(&lab);
    let mut transfer = order("TR-1", OrderKind::Transfer, "2025-01-11", period("2025-01-01", "2025-02-01"))
        .with(line("1", Charge::Recurring, "seat", "5", "22.00", "17.60"))
        .0;
    transfer.customer = Some(CustomerId::from("c-200"));
    let (plan, done) = carry(&mut lab, &transfer);
    let back = lab.undo(&[(&plan, &done)], &Extent::Everything);
    for draft in [&plan, &back] {
        for change in &draft.changes {
            let (company, customer) = match change.agreement {
                AgreementId(40) => (CompanyId(12), "c-100"),
                _ => (CompanyId(13), "c-200"),
            };
            assert_eq!((change.company, change.customer.as_str()), (company, customer), "{}", change.id);
        }
    }
    lab.apply(&back);
    assert_eq!(lines(&lab), before, "{}", show(&back));
}
