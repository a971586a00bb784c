//! Taking back what invoices have billed since: the line ends, what it replaced opens again, and a line that is billed
//! once brings all invoices to what they would have come to without it. Nothing of it is met by a later order.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
use common::*;
use rstest::rstest;
use rust_decimal::Decimal;
use std::collections::{BTreeMap, BTreeSet};
use trueup_domain::feed::{BillingModel, Charge, Order, OrderKind, ProductKind};
use trueup_domain::finding::{Code, Severity};
use trueup_domain::ids::{AdditionId, AgreementId, ChangeId};
use trueup_domain::period::BillingCycle;
use trueup_domain::plan::{Action, Change, DraftPlan, Role, TaskOutcome, Undoing};
use trueup_domain::planner::{Credit, Extent};
use trueup_domain::task::Demand;

type Done = BTreeMap<ChangeId, AdditionId>;

fn lab() -> Lab {
    let mut lab = Lab::monthly("2025-01-01", "2025-01-01");
    lab.today = day("2025-01-15");
    lab.product("seat", 7, ProductKind::Seat, "22.00", "17.60");
    lab.product("other", 9, ProductKind::Seat, "30.00", "20.00");
    lab.product("setup", 8, ProductKind::Seat, "50.00", "0.00");
    lab.product("fee", 10, ProductKind::OneTime, "5.00", "1.00");
    lab.item(20, "0", "0");
    lab.map(trueup_domain::mapping::MappingKind::Fee, "cancellation", 20);
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2025-01-01");
    lab.set("credits", "on");
    lab
}

fn january() -> trueup_domain::period::Period {
    period("2025-01-01", "2025-02-01")
}

fn sale(on: &str) -> Order {
    order("SO-1", OrderKind::Sales, on, january())
        .with(line("1", Charge::Recurring, "seat", "5", "22.00", "17.60"))
        .with(line("2", Charge::Setup, "setup", "1", "50.00", "0.00"))
        .0
}

fn change(id: &str, on: &str, old: i64, new: i64, price: &str) -> Order {
    let mut change =
        order(id, OrderKind::Change, on, january()).change("1", "seat", old, new, price, "17.60").0;
    change.lines[0].old_unit_price = Some("22.00".parse().unwrap());
    change
}

/// Seats go, and another product comes.
fn switch(on: &str) -> Order {
    order("SW-1", OrderKind::Change, on, january())
        .change("1", "seat", 5, 0, "22.00", "17.60")
        .change("2", "other", 0, 2, "30.00", "20.00")
        .0
}

fn cancellation(on: &str, period: trueup_domain::period::Period) -> Order {
    let mut refund = line("1", Charge::Refund, "seat", "1", "", "");
    refund.amount = Some("-40.00".parse().unwrap());
    refund.cost_amount = Some("-32.00".parse().unwrap());
    order("CA-1", OrderKind::Cancellation, on, period)
        .with(refund)
        .with(line("9", Charge::Cancellation, "fee", "1", "15.00", "0"))
        .0
}

fn carry(lab: &mut Lab, order: &Order) -> (DraftPlan, Done) {
    let draft = lab.plan(&[order]);
    assert!(draft.changes.iter().any(|c| c.writes()), "{}", show(&draft));
    let done = lab.apply(&draft);
    (draft, done)
}

fn bill(lab: &mut Lab, months: usize) -> Decimal {
    (0..months).map(|_| lab.invoice(40).parse::<Decimal>().unwrap()).sum()
}

fn settled(draft: &DraftPlan) -> Vec<&Change> {
    let made = draft
        .changes
        .iter()
        .filter(|c| c.undoing == Some(Undoing::Settled) && matches!(c.action, Action::Create { .. }));
    made.map(AsRef::as_ref).collect()
}

fn left_out(draft: &DraftPlan) -> Decimal {
    let told = draft.findings.iter().filter(|f| f.code == Code::Tu6005);
    told.map(|f| f.amount.unwrap().0.decimal()).sum()
}

fn orders() -> Vec<(&'static str, Order)> {
    vec![
        ("sale", sale("2025-01-01")),
        ("sale within", sale("2025-01-11")),
        ("up", change("CH-1", "2025-01-11", 5, 8, "22.00")),
        ("up at the start", change("CH-1", "2025-01-01", 5, 8, "22.00")),
        ("down", change("CH-1", "2025-01-11", 5, 2, "22.00")),
        ("to nothing", change("CH-1", "2025-01-11", 5, 0, "22.00")),
        ("dearer", change("CH-1", "2025-01-11", 5, 5, "23.50")),
        ("cheaper", change("CH-1", "2025-01-11", 5, 5, "20.10")),
        ("switch", switch("2025-01-11")),
        ("cancelled", cancellation("2025-01-11", january())),
    ]
}

/// The world of an order: with the sale carried out before it, and so many invoices made.
fn before(order: &Order, invoiced_before: usize, settings: &[(&str, &str)]) -> Lab {
    let mut lab = lab();
    for (key, value) in settings {
        lab.set(key, value);
    }
    if order.kind != OrderKind::Sales {
        carry(&mut lab, &sale("2025-01-01"));
    }
    bill(&mut lab, invoiced_before);
    lab
}

const WAYS: [&[(&str, &str)]; 5] = [
    &[],
    &[("quantity_change", "edit_in_place")],
    &[("line_mode", "single")],
    &[("line_mode", "dual")],
    &[("rounding_place", "line")],
];

/// Whatever was ordered, however it was written, and however many invoices were made before and since: what is billed is
/// what would have been billed without it, to the cent, now and from then on.
#[rstest]
fn the_invoices_come_to_what_they_would_have(
    #[values(0, 1, 2)] invoiced_before: usize,
    #[values(0, 1, 3)] since: usize,
    #[values(0, 1, 2, 3, 4)] way: usize,
) {
    for (name, order) in orders() {
        let mut with = before(&order, invoiced_before, WAYS[way]);
        let mut without = with.clone();
        let told = format!("{name}, {invoiced_before} before, {since} since, {:?}", WAYS[way]);
        let (plan, done) = carry(&mut with, &order);
        let mut billed = bill(&mut with, since);
        let back = with.undo(&[(&plan, &done)], &Extent::Everything);
        let shown = format!("{told}\n{}\nback:\n{}", show(&plan), show(&back));
        assert!(back.findings.iter().all(|f| f.severity != Severity::Error), "{shown}{:#?}", back.findings);
        assert!(back.outcomes.values().all(|o| *o == TaskOutcome::Undone), "{shown}");
        // What is written for invoices is told, and nothing else is.
        assert!(back.findings.iter().all(|f| f.code == Code::Tu4002), "{shown}{:#?}", back.findings);
        assert!(settled(&back).len() <= back.findings.len(), "{shown}{:#?}", back.findings);
        assert!(since > 0 || back.findings.is_empty(), "{shown}{:#?}", back.findings);
        with.apply(&back);
        billed += bill(&mut with, 2);
        assert_eq!(billed, bill(&mut without, since + 2), "{shown}");
        assert_eq!(bill(&mut with, 1), bill(&mut without, 1), "{shown}");
    }
}

/// The line says what it is for and how it was reckoned.
#[test]
fn the_credit_names_its_days_and_how_it_came_about() {
    let mut lab = before(&change("CH-1", "2025-01-11", 5, 8, "22.00"), 0, &[]);
    let (plan, done) = carry(&mut lab, &change("CH-1", "2025-01-11", 5, 8, "22.00"));
    bill(&mut lab, 3);
    let back = lab.undo(&[(&plan, &done)], &Extent::Everything);
    let made = settled(&back);
    assert_eq!(made.len(), 1, "{}", show(&back));
    let wanted = made[0].action.after().unwrap();
    // The part of January (3 x 14.90), and three seats more in February and March.
    assert_eq!((wanted.quantity.display(), wanted.unit_price.to_string()), ("-1".into(), "176.70".into()));
    assert_eq!((wanted.effective, wanted.cancelled), (day("2025-04-01"), Some(day("2025-04-30"))));
    assert_eq!(made[0].role, Role::Refund);
    assert_eq!(made[0].amount.to_string(), "-176.70");
    assert_eq!(wanted.invoice_description.as_deref(), Some("SEAT (2025-01-11 to 2025-03-31)"));
    for part in ["2 x (110.00 - 0.00)", "2 x (0.00 - 176.00)", "1 x (0.00 - 44.70)", "= -176.70"] {
        assert!(made[0].formula.contains(part), "{}", made[0].formula);
    }
    assert!(made[0].reason.contains("176.70 more"), "{}", made[0].reason);
    let finding = back.findings.iter().find(|f| f.code == Code::Tu4002).unwrap();
    assert_eq!(
        (finding.severity, finding.amount.unwrap().0.to_string()),
        (Severity::Warning, "-176.70".into())
    );
    // It waits for the lines themselves, so that nothing is given back for what goes on.
    let others: BTreeSet<&ChangeId> =
        back.changes.iter().map(|c| &c.id).filter(|id| **id != made[0].id).collect();
    assert_eq!(made[0].depends_on.iter().collect::<BTreeSet<_>>(), others);
}

/// What was given back is charged again where the order that gave it back is taken back.
#[test]
fn a_credit_that_was_invoiced_is_charged() {
    let order = change("CH-1", "2025-01-11", 5, 2, "22.00");
    let mut lab = before(&order, 0, &[]);
    let (plan, done) = carry(&mut lab, &order);
    assert!(plan.changes.iter().any(|c| c.amount.is_negative()), "{}", show(&plan));
    bill(&mut lab, 1);
    lab.set("credits", "off");
    let back = lab.undo(&[(&plan, &done)], &Extent::Everything);
    let made = settled(&back);
    assert_eq!(made.len(), 1, "{}", show(&back));
    assert_eq!((made[0].role, made[0].amount.to_string()), (Role::OneTime, "44.70".into()));
}

/// Where nothing may be given back, or nobody wants it so, the lines are restored and the amount is told. What is charged
/// for what opens again is never more than what is not given back.
#[rstest]
fn what_is_not_given_back_is_told(#[values(1, 3)] since: usize, #[values(false, true)] setting: bool) {
    for (name, order) in orders() {
        let mut with = before(&order, 0, &[]);
        let mut without = with.clone();
        let (plan, done) = carry(&mut with, &order);
        let mut billed = bill(&mut with, since);
        if setting {
            with.set("credits", "off");
        }
        let credit = if setting { Credit::Propose } else { Credit::LeaveOut };
        let back = with.undo_with(&[(&plan, &done)], &Extent::Everything, credit);
        let shown = format!("{name}, {since} since\n{}\nback:\n{}", show(&plan), show(&back));
        assert!(settled(&back).iter().all(|c| !c.amount.is_negative()), "{shown}");
        assert!(back.findings.iter().all(|f| f.severity == Severity::Warning), "{shown}{:#?}", back.findings);
        with.apply(&back);
        billed += bill(&mut with, 2);
        let wanted = bill(&mut without, since + 2);
        assert_eq!(billed, wanted - left_out(&back), "{shown}{:#?}", back.findings);
        assert!(billed >= wanted, "{shown}");
    }
}

/// Taken in again, an order is billed once, as if it had only then been carried out.
#[rstest]
fn what_is_made_again_is_billed_once(#[values(1, 3)] since: usize, #[values(0, 1, 2)] later: usize) {
    for (name, order) in orders() {
        let mut with = before(&order, 0, &[]);
        let mut then = with.clone();
        let (plan, done) = carry(&mut with, &order);
        let mut billed = bill(&mut with, since);
        let back = with.undo(&[(&plan, &done)], &Extent::Everything);
        with.apply(&back);
        billed += bill(&mut with, later);
        let mut wanted = bill(&mut then, since + later);
        let (first, _) = carry(&mut then, &order);
        let again = |lab: &Lab| {
            let mut task = lab.task(&order);
            task.undone = 1;
            lab.plan_tasks(&[(task, Demand::Order(Box::new(order.clone())))])
        };
        let draft = again(&with);
        let shown = format!(
            "{name}, {since} since, {later} later\n{}\nback:\n{}\nagain:\n{}",
            show(&plan),
            show(&back),
            show(&draft)
        );
        assert!(draft.outcomes.values().all(|o| *o == TaskOutcome::Planned), "{shown}{:#?}", draft.findings);
        with.apply(&draft);
        assert!(again(&with).changes.iter().all(|c| !c.writes()), "{shown}");
        billed += bill(&mut with, 2);
        wanted += bill(&mut then, 2);
        assert_eq!(billed, wanted, "{shown}for the first time:\n{}", show(&first));
        assert_eq!(bill(&mut with, 1), bill(&mut then, 1), "{shown}");
    }
}

/// What comes after the undo is planned as if what was taken back had never been.
#[rstest]
#[case::up(change("CH-9", "2025-01-21", 5, 9, "22.00"))]
#[case::cancelled(cancellation("2025-01-21", january()))]
#[case::cancelled_later(cancellation("2025-04-11", period("2025-04-01", "2025-05-01")))]
fn a_later_order_meets_nothing_of_it(#[case] later: Order, #[values(1, 3)] since: usize) {
    for (name, order) in orders().into_iter().filter(|(_, o)| o.kind != OrderKind::Sales) {
        if order.id == later.id {
            continue;
        }
        let mut with = before(&order, 0, &[]);
        let mut without = with.clone();
        let (plan, done) = carry(&mut with, &order);
        let mut billed = bill(&mut with, since);
        let mut wanted = bill(&mut without, since);
        let back = with.undo(&[(&plan, &done)], &Extent::Everything);
        with.apply(&back);
        let (first, second) = (with.plan(&[&later]), without.plan(&[&later]));
        let shown = format!("{name}, {since} since\nback:\n{}\nlater:\n{}", show(&back), show(&first));
        with.apply(&first);
        without.apply(&second);
        billed += bill(&mut with, 2);
        wanted += bill(&mut without, 2);
        assert_eq!(billed, wanted, "{shown}without:\n{}", show(&second));
    }
}

/// Undone twice, and undone after a later order built on it: nothing is written, and it is said why.
#[rstest]
#[case::twice(None)]
#[case::built_on(Some(change("CH-2", "2025-04-11", 8, 10, "22.00")))]
fn what_cannot_be_told_apart_is_held(#[case] later: Option<Order>) {
    let order = change("CH-1", "2025-01-11", 5, 8, "22.00");
    let mut lab = before(&order, 0, &[]);
    let (plan, done) = carry(&mut lab, &order);
    bill(&mut lab, 3);
    match later {
        Some(mut later) => {
            later.period = period("2025-04-01", "2025-05-01");
            carry(&mut lab, &later);
        }
        None => {
            let back = lab.undo(&[(&plan, &done)], &Extent::Everything);
            lab.apply(&back);
        }
    }
    let back = lab.undo(&[(&plan, &done)], &Extent::Everything);
    assert!(back.changes.is_empty() && back.outcomes.is_empty(), "{}", show(&back));
    assert!(back.findings.iter().any(|f| f.code == Code::Tu7006), "{:#?}", back.findings);
}

/// One line of several goes alone, and its task stays done.
#[test]
fn one_line_alone_is_given_back() {
    let mut lab = before(&sale("2025-01-01"), 0, &[]);
    let (plan, done) = carry(&mut lab, &sale("2025-01-01"));
    bill(&mut lab, 1);
    let setup = plan.changes.iter().find(|c| c.product.as_str() == "setup").unwrap();
    let only = Extent::Additions(BTreeSet::from([done[&setup.id]]));
    let back = lab.undo(&[(&plan, &done)], &only);
    assert!(back.outcomes.is_empty(), "{}", show(&back));
    lab.apply(&back);
    assert_eq!(lab.invoice(40), "60.00", "{}", show(&back));
    assert_eq!(lab.invoice(40), "110.00");
}

/// A run of several plans with invoices between them goes whole: each invoice is judged by what it found.
#[test]
fn plans_with_invoices_between_them_go_together() {
    let mut lab = lab();
    let first = carry(&mut lab, &sale("2025-01-01"));
    let mut billed = bill(&mut lab, 2);
    let mut up = change("CH-1", "2025-03-11", 5, 8, "22.00");
    up.period = period("2025-03-01", "2025-04-01");
    let second = carry(&mut lab, &up);
    billed += bill(&mut lab, 2);
    let back = lab.undo(&[(&first.0, &first.1), (&second.0, &second.1)], &Extent::Everything);
    lab.apply(&back);
    billed += bill(&mut lab, 1);
    assert_eq!(billed, Decimal::ZERO, "{}", show(&back));
    assert_eq!(bill(&mut lab, 1), Decimal::ZERO, "{}", show(&back));
}

/// A future line that the second change took away begins again with the first day that no invoice has billed.
#[rstest]
fn what_was_taken_away_begins_again(#[values(1, 3)] since: usize) {
    let mut with = before(&change("CH-1", "2025-01-11", 5, 8, "22.00"), 0, &[]);
    carry(&mut with, &change("CH-1", "2025-01-11", 5, 8, "22.00"));
    let mut without = with.clone();
    let (plan, done) = carry(&mut with, &change("CH-2", "2025-01-21", 8, 10, "22.00"));
    assert!(plan.changes.iter().any(|c| matches!(c.action, Action::Delete { .. })), "{}", show(&plan));
    let mut billed = bill(&mut with, since);
    let back = with.undo(&[(&plan, &done)], &Extent::Everything);
    with.apply(&back);
    billed += bill(&mut with, 2);
    assert_eq!(billed, bill(&mut without, since + 2), "{}\n{}", show(&plan), show(&back));
    // What is ordered next finds it as the line of the first change.
    let mut next = change("CH-3", "2025-06-11", 8, 9, "22.00");
    next.period = period("2025-06-01", "2025-07-01");
    for lab in [&mut with, &mut without] {
        bill(lab, 6 - since - 2);
        carry(lab, &next);
    }
    assert_eq!(bill(&mut with, 2), bill(&mut without, 2));
}

/// The invoices of a parent bill its child.
#[test]
fn a_child_is_settled_on_its_own_agreement() {
    let mut lab = lab();
    lab.agreement(41, BillingCycle::MONTHLY, "USD", "2025-01-01", "2025-01-01");
    lab.agreement_mut(41).parent = Some(AgreementId(40));
    lab.map(trueup_domain::mapping::MappingKind::Agreement, "s-1", 41);
    let mut draft = lab.plan(&[&sale("2025-01-01")]);
    draft.note_invoicers(&lab.snapshot);
    assert!(draft.changes.iter().all(|c| c.agreement == AgreementId(41)), "{}", show(&draft));
    let done = lab.apply(&draft);
    bill(&mut lab, 2);
    let back = lab.undo(&[(&draft, &done)], &Extent::Everything);
    let made = settled(&back);
    let sums: Decimal = made.iter().map(|c| c.amount.decimal()).sum();
    assert_eq!(sums.to_string(), "-270.00", "{}", show(&back));
    assert!(made.iter().all(|c| c.action.after().unwrap().effective == day("2025-03-01")), "{}", show(&back));
}

/// Where ConnectWise prorates, a line that was made is given back by its shares; what it ended is left as it is.
#[test]
fn where_connectwise_prorates() {
    let mut lab = lab();
    lab.agreement_mut(40).prorates = true;
    lab.set("proration_by", "connectwise");
    let (plan, done) = carry(&mut lab, &sale("2025-01-11"));
    let mut up = change("CH-1", "2025-02-11", 5, 8, "22.00");
    up.period = period("2025-02-01", "2025-03-01");
    let mut sold = lab.clone();
    let mut billed = bill(&mut sold, 2);
    let back = sold.undo(&[(&plan, &done)], &Extent::Everything);
    sold.apply(&back);
    billed += bill(&mut sold, 2);
    assert_eq!(billed, Decimal::ZERO, "{}\n{}", show(&plan), show(&back));
    bill(&mut lab, 1);
    let (plan, done) = carry(&mut lab, &up);
    bill(&mut lab, 1);
    let back = lab.undo(&[(&plan, &done)], &Extent::Everything);
    assert!(back.changes.is_empty(), "{}", show(&back));
    assert!(back.findings.iter().any(|f| f.code == Code::Tu4002 && f.severity == Severity::Error));
}

/// An agreement that is over has no invoice that could settle anything.
#[test]
fn where_no_invoice_follows_it_is_held_with_its_amount() {
    let mut lab = before(&sale("2025-01-01"), 0, &[]);
    let (plan, done) = carry(&mut lab, &sale("2025-01-01"));
    bill(&mut lab, 2);
    lab.agreement_mut(40).end = Some(day("2025-02-28"));
    let back = lab.undo(&[(&plan, &done)], &Extent::Everything);
    assert!(back.changes.is_empty() && back.outcomes.is_empty(), "{}", show(&back));
    let told: Decimal = back.findings.iter().map(|f| f.amount.unwrap().0.decimal()).sum();
    assert_eq!(told.to_string(), "-270.00", "{:#?}", back.findings);
}

/// A transfer is settled with both customers: what the new one was billed goes back, and the former one is charged it. Where
/// nothing is to be given back, nobody is charged either, and both amounts are told.
#[rstest]
fn a_transfer_is_settled_on_both_agreements(#[values(true, false)] credits: bool) {
    use trueup_domain::ids::CustomerId;
    let mut lab = lab();
    lab.second_customer("2025-01-01", "2025-01-01");
    carry(&mut lab, &sale("2025-01-01"));
    let mut transfer = order("TR-1", OrderKind::Transfer, "2025-01-11", january())
        .with(line("1", Charge::Recurring, "seat", "5", "22.00", "17.60"))
        .0;
    transfer.customer = Some(CustomerId::from("c-200"));
    let mut without = lab.clone();
    let (plan, done) = carry(&mut lab, &transfer);
    let both = |lab: &mut Lab, count: usize| {
        let of = |lab: &mut Lab, agreement: i64| -> Decimal {
            (0..count).map(|_| lab.invoice(agreement).parse::<Decimal>().unwrap()).sum()
        };
        (of(lab, 40), of(lab, 50))
    };
    let billed = both(&mut lab, 3);
    assert!(!billed.1.is_zero(), "{}", show(&plan));
    lab.set("credits", if credits { "on" } else { "off" });
    let back = lab.undo(&[(&plan, &done)], &Extent::Everything);
    lab.apply(&back);
    let after = both(&mut lab, 2);
    let wanted = both(&mut without, 5);
    let moved = billed.1;
    assert_eq!(after.1, if credits { -moved } else { Decimal::ZERO }, "{}", show(&back));
    assert_eq!(billed.0 + after.0, if credits { wanted.0 } else { wanted.0 - moved }, "{}", show(&back));
    let told: BTreeSet<Decimal> = back.findings.iter().map(|f| f.amount.unwrap().0.decimal()).collect();
    assert_eq!(told, BTreeSet::from([-moved, moved]), "{:#?}", back.findings);
}

/// One line was taken back before, or an undo broke off: what was settled then is part of what is taken back now, whether an
/// invoice has billed it or not.
#[rstest]
fn what_was_begun_is_finished(#[values(0, 1)] between: usize) {
    let order = change("CH-1", "2025-01-11", 5, 8, "22.00");
    let mut with = before(&order, 0, &[]);
    let mut without = with.clone();
    let (plan, done) = carry(&mut with, &order);
    let mut billed = bill(&mut with, 2);
    let line =
        plan.changes.iter().find(|c| c.role == Role::Recurring && matches!(c.action, Action::Create { .. }));
    let only = Extent::Additions(BTreeSet::from([done[&line.unwrap().id]]));
    let first = with.undo(&[(&plan, &done)], &only);
    assert_eq!(settled(&first).len(), 1, "{}", show(&first));
    let begun = with.apply(&first);
    billed += bill(&mut with, between);
    let rest = with.undo(&[(&plan, &done), (&first, &begun)], &Extent::Everything);
    assert!(rest.findings.iter().all(|f| f.severity == Severity::Warning), "{:#?}", rest.findings);
    with.apply(&rest);
    billed += bill(&mut with, 2);
    assert_eq!(billed, bill(&mut without, 4 + between), "{}\n{}", show(&first), show(&rest));
}

/// A change that came late was billed up to a later one. That later one is not taken back alone: nobody would bill what the
/// late one sold from there on.
#[rstest]
fn what_an_order_that_came_late_was_billed_up_to_is_taken_back_with_it(
    #[values(0, 2)] invoiced: usize,
    #[values("end_and_create", "edit_in_place")] form: &str,
) {
    let mut lab = before(&change("CH-1", "2025-01-12", 5, 7, "22.00"), 1, &[("quantity_change", form)]);
    let mut later = change("CH-2", "2025-02-10", 5, 10, "22.00");
    later.period = period("2025-02-01", "2025-03-01");
    let later = carry(&mut lab, &later);
    bill(&mut lab, invoiced);
    let late = carry(&mut lab, &change("CH-1", "2025-01-12", 5, 7, "22.00"));
    let alone = lab.undo(&[(&later.0, &later.1)], &Extent::Everything);
    assert!(alone.changes.iter().all(|c| !c.writes()), "{}", show(&alone));
    let told: Vec<&str> = alone.findings.iter().map(|f| f.message.as_str()).collect();
    assert!(told.iter().any(|text| text.contains("Order CH-1 came after")), "{told:#?}");
    let both = lab.undo(&[(&later.0, &later.1), (&late.0, &late.1)], &Extent::Everything);
    assert!(both.findings.iter().all(|f| f.severity != Severity::Error), "{both:#?}");
}

/// The same where what is taken back with it is another subscription's and was made later still; and not any more where the
/// late one was taken back before.
#[test]
fn what_was_billed_up_to_it_is_told_by_its_own_subscription() {
    let mut lab = before(&change("CH-1", "2025-01-12", 5, 7, "22.00"), 1, &[]);
    lab.subscription("s-2", BillingCycle::MONTHLY, BillingModel::Advance, "2025-01-01");
    let mut later = change("CH-2", "2025-02-10", 5, 10, "22.00");
    later.period = period("2025-02-01", "2025-03-01");
    let later = carry(&mut lab, &later);
    let late = carry(&mut lab, &change("CH-1", "2025-01-12", 5, 7, "22.00"));
    let mut other = sale("2025-01-01");
    (other.id, other.subscription) = ("SO-2".into(), "s-2".into());
    let other = carry(&mut lab, &other);
    let held = |lab: &Lab, carried: &[(&DraftPlan, &Done)]| {
        let draft = lab.undo(carried, &Extent::Everything);
        draft.findings.iter().any(|f| f.message.contains("Order CH-1 came after"))
    };
    assert!(held(&lab, &[(&later.0, &later.1), (&other.0, &other.1)]));
    bill(&mut lab, 1);
    let taken = lab.undo(&[(&late.0, &late.1)], &Extent::Everything);
    lab.apply(&taken);
    assert!(!held(&lab, &[(&later.0, &later.1)]));
}

/// What was put on a change's line and taken back since is no obstacle to taking the change back: wherever the invoices lie,
/// they come to what they would have without both.
#[rstest]
fn one_after_the_other_is_as_good_as_both(
    #[values(0, 1)] between: usize,
    #[values(0, 1, 3)] since: usize,
    #[values(0, 2)] later: usize,
    #[values("2025-01-21", "2025-02-10")] on: &str,
    #[values(0, 1, 2, 3)] way: usize,
) {
    let mut twin = before(&change("CH-1", "2025-01-12", 5, 8, "22.00"), 0, WAYS[way]);
    let expected = bill(&mut twin, 8);

    let mut lab = before(&change("CH-1", "2025-01-12", 5, 8, "22.00"), 0, WAYS[way]);
    let first = carry(&mut lab, &change("CH-1", "2025-01-12", 5, 8, "22.00"));
    let mut billed = bill(&mut lab, between);
    let mut second = change("CH-2", on, 8, 10, "22.00");
    if on.starts_with("2025-02") {
        second.period = period("2025-02-01", "2025-03-01");
    }
    let second = carry(&mut lab, &second);
    billed += bill(&mut lab, since);
    let back = lab.undo(&[(&second.0, &second.1)], &Extent::Everything);
    assert!(back.changes.iter().any(|c| c.writes()), "{back:#?}");
    let back = (lab.apply(&back), back);
    billed += bill(&mut lab, later);
    let task = first.0.outcomes.keys().next().unwrap().clone();
    let carried = [(&first.0, &first.1), (&second.0, &second.1), (&back.1, &back.0)];
    let draft = lab.undo(&carried, &Extent::Tasks(BTreeSet::from([task.clone()])));
    assert_eq!(draft.outcomes, BTreeMap::from([(task, TaskOutcome::Undone)]), "{draft:#?}");
    lab.apply(&draft);
    billed += bill(&mut lab, 8 - between - since - later);
    assert_eq!(billed, expected, "{}\n{}", show(&back.1), show(&draft));
}

/// An order that came after a change and found nothing to write beside it: without the change nobody would bill what it says.
#[rstest]
#[case::late_renewal(renewal("2025-01-20", "6", "22.00"), true)]
#[case::younger_renewal(renewal("2025-01-28", "8", "22.00"), true)]
#[case::what_is_restored(renewal("2025-01-20", "5", "22.00"), false)]
fn what_found_nothing_to_write_is_taken_back_with_it(
    #[case] beside: Order,
    #[case] held: bool,
    #[values(0, 2)] invoiced: usize,
    #[values("end_and_create", "edit_in_place")] form: &str,
) {
    let mut lab = before(&change("CH-1", "2025-01-25", 5, 8, "22.00"), 1, &[("quantity_change", form)]);
    let up = carry(&mut lab, &change("CH-1", "2025-01-25", 5, 8, "22.00"));
    let nothing = lab.plan(&[&beside]);
    assert!(nothing.changes.iter().all(|c| !c.writes()), "{}", show(&nothing));
    lab.apply(&nothing);
    bill(&mut lab, invoiced);
    let carried = [(&up.0, &up.1)];
    let alone = lab.undo(&carried, &Extent::Everything);
    let told = alone.findings.iter().any(|f| f.code == Code::Tu7006 && f.message.contains("Order RE-1"));
    assert_eq!((told, alone.changes.iter().any(|c| c.writes())), (held, !held), "{alone:#?}");
    let tasks = up.0.outcomes.keys().chain(nothing.outcomes.keys()).cloned().collect();
    let both = lab.undo(&carried, &Extent::Tasks(tasks));
    assert!(both.findings.iter().all(|f| f.severity != Severity::Error), "{both:#?}");
    assert!(both.changes.iter().any(|c| c.writes()), "{both:#?}");
}

fn renewal(on: &str, quantity: &str, price: &str) -> Order {
    order("RE-1", OrderKind::Renewal, on, period("2025-02-01", "2025-03-01"))
        .with(line("1", Charge::Recurring, "seat", quantity, price, "17.60"))
        .0
}

/// The same of two changes that were carried out in one run.
#[rstest]
fn one_after_the_other_of_one_run(#[values(0, 1, 3)] since: usize, #[values(0, 1, 2, 3)] way: usize) {
    let orders = [change("CH-1", "2025-01-12", 5, 8, "22.00"), change("CH-2", "2025-01-21", 8, 10, "22.00")];
    let mut twin = before(&orders[0], 0, WAYS[way]);
    let expected = bill(&mut twin, 6);

    let mut lab = before(&orders[0], 0, WAYS[way]);
    let run = lab.plan(&[&orders[0], &orders[1]]);
    let done = lab.apply(&run);
    let mut billed = bill(&mut lab, since);
    let tasks = orders.each_ref().map(|order| BTreeSet::from([lab.task(order).id]));
    let back = lab.undo(&[(&run, &done)], &Extent::Tasks(tasks[1].clone()));
    assert!(back.changes.iter().any(|c| c.writes()), "{back:#?}");
    let undone = lab.apply(&back);
    let draft = lab.undo(&[(&run, &done), (&back, &undone)], &Extent::Tasks(tasks[0].clone()));
    assert!(draft.changes.iter().any(|c| c.writes()), "{draft:#?}");
    lab.apply(&draft);
    billed += bill(&mut lab, 6 - since);
    assert_eq!(billed, expected, "{}\n{}", show(&back), show(&draft));
}

/// What ended a product is not taken back alone once an order began it again: both lines would bill it. Taken back with
/// that order, everything is as it was.
#[rstest]
fn an_end_is_not_taken_back_alone_once_the_product_was_begun_again(
    #[values("cancelled", "to_nothing", "cancelled_ahead")] end: &str,
    #[values("renewal", "sale", "change")] again: &str,
    #[values(0, 2)] between: usize,
    #[values(0, 2)] invoiced: usize,
) {
    let mut lab = lab();
    let mut sold = sale("2025-01-01");
    sold.lines.truncate(1);
    carry(&mut lab, &sold);
    let mut billed = bill(&mut lab, 1);
    let mut without = lab.clone();
    let ended = match end {
        "cancelled" => order("CA-1", OrderKind::Cancellation, "2025-01-11", january()).0,
        "cancelled_ahead" => order("CA-1", OrderKind::Cancellation, "2025-02-01", january()).0,
        _ => change("CA-1", "2025-01-11", 5, 0, "22.00"),
    };
    let (end_plan, end_done) = carry(&mut lab, &ended);
    billed += bill(&mut lab, between);
    let april = period("2025-04-01", "2025-05-01");
    let seats = |quantity: &str| line("1", Charge::Recurring, "seat", quantity, "22.00", "17.60");
    let mut begun = match again {
        "renewal" => order("RE-1", OrderKind::Renewal, "2025-04-01", april).with(seats("5")).0,
        "sale" => order("SO-2", OrderKind::Sales, "2025-04-01", april).with(seats("4")).0,
        _ => {
            order("CH-2", OrderKind::Change, "2025-04-01", april)
                .change("1", "seat", 0, 4, "22.00", "17.60")
                .0
        }
    };
    begun.completed_us = ended.completed_us + 1;
    let (begun_plan, begun_done) = carry(&mut lab, &begun);
    billed += bill(&mut lab, invoiced);
    let alone = lab.undo(&[(&end_plan, &end_done)], &Extent::Everything);
    assert!(!alone.changes.iter().any(|c| c.writes()), "{}", show(&alone));
    let told: Vec<_> = alone.findings.iter().map(|f| (f.code, f.severity)).collect();
    assert_eq!(told, [(Code::Tu7006, Severity::Error)], "{:#?}", alone.findings);
    // Nor with a change of what was begun.
    let mut changed = lab.clone();
    let quantity = if again == "renewal" { 5 } else { 4 };
    let mut more = order("CH-3", OrderKind::Change, "2025-04-11", april)
        .change("1", "seat", quantity, 7, "22.00", "17.60")
        .0;
    more.completed_us = begun.completed_us + 1;
    let (more_plan, more_done) = carry(&mut changed, &more);
    bill(&mut changed, 1);
    let beside = changed.undo(&[(&end_plan, &end_done), (&more_plan, &more_done)], &Extent::Everything);
    assert!(beside.findings.iter().any(|f| f.code == Code::Tu7006), "{}", show(&beside));
    let ended = beside.changes.iter().filter(|c| c.task == end_plan.changes[0].task && c.writes());
    assert_eq!(ended.count(), 0, "{}", show(&beside));
    let both = lab.undo(&[(&end_plan, &end_done), (&begun_plan, &begun_done)], &Extent::Everything);
    assert!(both.findings.iter().all(|f| f.severity == Severity::Warning), "{:#?}", both.findings);
    lab.apply(&both);
    billed += bill(&mut lab, 3);
    assert_eq!(billed, bill(&mut without, between + invoiced + 3) + Decimal::from(110), "{}", show(&both));
}

/// A renewal that found one product as it says and changed another stands, for the first, on what left it so.
#[rstest]
fn what_a_renewal_found_as_it_says_is_not_taken_back_beside_it(#[values(0, 2)] invoiced: usize) {
    let mut lab = lab();
    let both = |id: &str, kind: OrderKind, on: &str, price: &str, others: &str| {
        let month = BillingCycle::MONTHLY.period_containing(day("2025-01-01"), day(on)).unwrap();
        order(id, kind, on, month)
            .with(line("1", Charge::Recurring, "seat", "6", price, "17.60"))
            .with(line("2", Charge::Recurring, "other", others, "30.00", "20.00"))
            .0
    };
    carry(&mut lab, &both("SO-1", OrderKind::Sales, "2025-01-01", "50.00", "4"));
    bill(&mut lab, 1);
    let mut first = both("RE-1", OrderKind::Renewal, "2025-02-01", "20.00", "4");
    first.completed_us += 1;
    let (plan, done) = carry(&mut lab, &first);
    bill(&mut lab, 1);
    let mut second = both("RE-2", OrderKind::Renewal, "2025-03-01", "20.00", "3");
    second.completed_us = first.completed_us + 1;
    carry(&mut lab, &second);
    bill(&mut lab, invoiced);
    let back = lab.undo(&[(&plan, &done)], &Extent::Everything);
    let held = back.findings.iter().filter(|f| f.code == Code::Tu7006 && f.severity == Severity::Error);
    assert!(
        held.clone().all(|f| f.message.contains("6 at 20") && f.message.contains("6 at 50")),
        "{:#?}",
        back.findings
    );
    assert_ne!(held.count(), 0, "{}", show(&back));
    assert!(!back.changes.iter().any(|c| c.writes()), "{}", show(&back));
}
