//! Quantities that cannot be meant are kept back (TU5004); nothing and a sharp fall are said (TU5003, TU5002).
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
use common::*;
use rstest::rstest;
use trueup_domain::feed::{BillingModel, Charge, Order, OrderKind, OrderLine, ProductKind, SubscriptionItem};
use trueup_domain::finding::{Code, Finding, Severity};
use trueup_domain::ids::{ProductId, SourceId, SubscriptionId};
use trueup_domain::mapping::MappingKind;
use trueup_domain::period::{BillingCycle, Period};
use trueup_domain::plan::{DraftPlan, TaskOutcome};
use trueup_domain::task::{Beside, Demand};

fn march() -> Period {
    period("2023-03-01", "2023-04-01")
}

/// One monthly agreement, nothing invoiced, with a product `p` of this kind at 22.00.
fn lab(kind: ProductKind) -> Lab {
    let mut lab = Lab::monthly("2023-03-01", "2023-03-01");
    lab.product("p", 7, kind, "22.00", "17.60");
    lab.product("q", 8, ProductKind::Seat, "22.00", "17.60");
    lab.item(20, "0", "0");
    lab.map(MappingKind::Fee, "cancellation", 20);
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2023-03-01");
    lab
}

fn of(charge: Charge, quantity: &str) -> OrderLine {
    line("1", charge, "p", quantity, "22.00", "17.60")
}

fn sale(quantity: &str) -> Order {
    order("SO", OrderKind::Sales, "2023-03-01", march()).with(of(Charge::Recurring, quantity)).0
}

fn outcome(draft: &DraftPlan) -> TaskOutcome {
    *draft.outcomes.values().next().unwrap()
}

fn writes(draft: &DraftPlan) -> usize {
    draft.changes.iter().filter(|c| c.writes()).count()
}

fn said(draft: &DraftPlan, code: Code) -> Vec<&Finding> {
    draft.findings.iter().filter(|f| f.code == code).collect()
}

#[rstest]
#[case::seat(ProductKind::Seat, false)]
#[case::plan(ProductKind::Plan, false)]
#[case::addon(ProductKind::Addon, false)]
#[case::one_time(ProductKind::OneTime, false)]
#[case::bundle(ProductKind::Bundle, false)]
#[case::metered(ProductKind::Metered, true)]
fn a_part_of_what_is_sold_whole_is_kept_back(#[case] kind: ProductKind, #[case] allowed: bool) {
    let draft = lab(kind).plan(&[&sale("2.5")]);
    assert_eq!(said(&draft, Code::Tu5004).is_empty(), allowed, "{}", show(&draft));
    assert_eq!(writes(&draft), usize::from(allowed));
    assert_eq!(outcome(&draft), if allowed { TaskOutcome::Planned } else { TaskOutcome::Waiting });
    let whole = lab(kind).plan(&[&sale("2.0")]);
    assert!(said(&whole, Code::Tu5004).is_empty(), "{}", show(&whole));
}

#[test]
fn the_other_lines_of_the_order_go_on() {
    let mut order = sale("2.5");
    order.lines.push(line("2", Charge::Recurring, "q", "3", "22.00", "17.60"));
    let draft = lab(ProductKind::Seat).plan(&[&order]);
    assert_eq!(writes(&draft), 1);
    assert_eq!(outcome(&draft), TaskOutcome::Waiting);
    assert!(said(&draft, Code::Tu5004)[0].message.contains("2.5 of P, which is sold whole"));
}

#[rstest]
#[case::overuse(Charge::Overuse, "2.6", true)]
#[case::part(Charge::Prorate, "0.5", true)]
#[case::setup(Charge::Setup, "0.5", false)]
#[case::negative_setup(Charge::Setup, "-1", false)]
#[case::negative_overuse(Charge::Overuse, "-1", false)]
#[case::taken_back(Charge::OneTime, "-1", true)]
fn what_a_change_charges_beside(#[case] charge: Charge, #[case] quantity: &str, #[case] allowed: bool) {
    let order = order("CH", OrderKind::Change, "2023-03-10", march()).with(of(charge, quantity)).0;
    let draft = lab(ProductKind::Seat).plan(&[&order]);
    assert_eq!(said(&draft, Code::Tu5004).is_empty(), allowed, "{}", show(&draft));
}

#[test]
fn a_negative_fee_or_use_is_kept_back_whatever_the_order() {
    for kind in [OrderKind::Sales, OrderKind::Billing, OrderKind::Cancellation, OrderKind::Transfer] {
        let order = order("O", kind, "2023-03-10", march()).with(of(Charge::Overuse, "-3")).0;
        let draft = lab(ProductKind::Metered).plan(&[&order]);
        assert_eq!(said(&draft, Code::Tu5004).len(), 1, "{kind:?} {}", show(&draft));
        assert_eq!(writes(&draft), 0);
    }
}

#[test]
fn where_the_new_plan_cannot_be_sold_the_old_one_goes_on() {
    let mut lab = lab(ProductKind::Seat);
    lab.run(&sale("5"));
    let mut order =
        order("CH", OrderKind::Change, "2023-03-10", march()).change("1", "p", 5, 0, "22.00", "17.60").0;
    let mut comes = line("2", Charge::Recurring, "q", "2.5", "22.00", "17.60");
    comes.old_quantity = Some(0.into());
    comes.new_quantity = Some("2.5".parse().unwrap());
    order.lines.push(comes);
    let draft = lab.plan(&[&order]);
    assert_eq!(writes(&draft), 0, "{}", show(&draft));
    assert_eq!(outcome(&draft), TaskOutcome::Waiting);
}

#[test]
fn a_sale_of_nothing_is_said() {
    let draft = lab(ProductKind::Seat).plan(&[&sale("0")]);
    let found = said(&draft, Code::Tu5003);
    assert_eq!(found.len(), 1, "{}", show(&draft));
    assert_eq!(found[0].severity, Severity::Warning);
    assert!(found[0].message.contains("sells 0 P"), "{}", found[0].message);
    // It holds nothing up: what is sold later is written.
    assert_eq!(outcome(&draft), TaskOutcome::NothingToDo);
}

#[test]
fn what_a_plan_includes_is_no_sale_of_nothing() {
    let mut free = sale("5");
    free.lines.push(line("2", Charge::Recurring, "q", "0", "0", "0"));
    assert!(said(&lab(ProductKind::Seat).plan(&[&free]), Code::Tu5003).is_empty());
    let mut beside = sale("0");
    beside.lines.push(line("2", Charge::Recurring, "q", "1", "22.00", "17.60"));
    assert!(said(&lab(ProductKind::Seat).plan(&[&beside]), Code::Tu5003).is_empty());
    let mut lab = lab(ProductKind::Seat);
    let included = sale("0");
    assert_eq!(said(&lab.plan(&[&included]), Code::Tu5003).len(), 1);
    item(&mut lab, "10", Some("10"));
    assert!(said(&lab.plan(&[&included]), Code::Tu5003).is_empty());
}

fn item(lab: &mut Lab, quantity: &str, included: Option<&str>) {
    let key = (SourceId::from(SOURCE), SubscriptionId::from("s-1"));
    lab.subscriptions.get_mut(&key).unwrap().items = vec![SubscriptionItem {
        id: "i".into(),
        product: ProductId::from("p"),
        quantity: quantity.parse().unwrap(),
        included_quantity: included.map(|i| i.parse().unwrap()),
        unit_price: Some("22.00".parse().unwrap()),
        unit_cost: None,
        overuse_price: None,
        overuse_cost: None,
    }];
}

#[rstest]
#[case::to_nothing(5, 0, 1, 0)]
#[case::to_less_than_half(5, 2, 0, 1)]
#[case::to_half(4, 2, 0, 0)]
#[case::up(2, 5, 0, 0)]
fn a_change_to_nothing_or_to_less_than_half_is_said(
    #[case] old: i64,
    #[case] new: i64,
    #[case] zero: usize,
    #[case] fell: usize,
) {
    let mut lab = lab(ProductKind::Seat);
    lab.run(&sale(&old.to_string()));
    let order =
        order("CH", OrderKind::Change, "2023-03-10", march()).change("1", "p", old, new, "22.00", "17.60").0;
    let draft = lab.plan(&[&order]);
    assert_eq!(said(&draft, Code::Tu5003).len(), zero, "{}", show(&draft));
    assert_eq!(said(&draft, Code::Tu5002).len(), fell, "{}", show(&draft));
    assert!(said(&draft, Code::Tu5002).iter().all(|f| f.severity == Severity::Warning));
    assert!(writes(&draft) > 0, "an order is somebody's word: it is carried out");
}

#[test]
fn a_plan_switch_gives_nothing_up() {
    let mut lab = lab(ProductKind::Seat);
    lab.run(&sale("5"));
    let order = order("CH", OrderKind::Change, "2023-03-10", march())
        .change("1", "p", 5, 0, "22.00", "17.60")
        .change("2", "q", 0, 5, "22.00", "17.60")
        .0;
    let draft = lab.plan(&[&order]);
    assert!(
        said(&draft, Code::Tu5003).is_empty() && said(&draft, Code::Tu5002).is_empty(),
        "{}",
        show(&draft)
    );
}

#[rstest]
#[case::fraction("2.5", 0, Code::Tu5004)]
#[case::fall("2", 2, Code::Tu5002)]
fn a_reconciliation_is_judged_alike(#[case] quantity: &str, #[case] changes: usize, #[case] code: Code) {
    let mut lab = lab(ProductKind::Seat);
    let sold = sale("5");
    lab.run(&sold);
    item(&mut lab, quantity, None);
    let mut task = lab.task(&sold);
    task.order_id = None;
    let demand =
        Demand::Reconcile { period: Some(march()), confirm_invoiced: false, beside: Beside::default() };
    let draft = lab.plan_tasks(&[(task, demand)]);
    assert_eq!(said(&draft, code).len(), 1, "{}", show(&draft));
    assert_eq!(writes(&draft), changes, "{}", show(&draft));
}
