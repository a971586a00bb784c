//! Lines by hand that are somebody else's as well, that are several together, or that bill at another price: what an order
//! may end of them. And lines that follow on each other.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
use common::*;
use rstest::rstest;
use trueup_domain::feed::{BillingModel, Charge, OrderKind, ProductKind, SubscriptionItem};
use trueup_domain::finding::Code;
use trueup_domain::ids::{AdditionId, AgreementId, SourceId, SubscriptionId};
use trueup_domain::mapping::{Mapping, MappingKind};
use trueup_domain::period::{BillingCycle, Period};
use trueup_domain::plan::{DraftPlan, TaskOutcome};
use trueup_domain::planner::AdoptionAnswer;
use trueup_domain::psa::BillFlag;
use trueup_domain::task::{Demand, TaskKind};

fn march() -> Period {
    period("2028-03-01", "2028-04-01")
}

fn lab(next: &str) -> Lab {
    let mut lab = Lab::monthly("2028-01-01", next);
    lab.today = day("2028-03-13");
    lab.product("seat", 7, ProductKind::Seat, "22.00", "17.60");
    lab.product("big", 8, ProductKind::Seat, "30.00", "20.00");
    for id in ["s-1", "s-2"] {
        lab.subscription(id, BillingCycle::MONTHLY, BillingModel::Advance, "2028-01-01");
    }
    lab
}

fn holds(lab: &mut Lab, subscription: &str, quantity: i64) {
    let key = (SourceId::from(SOURCE), SubscriptionId::from(subscription));
    lab.subscriptions.get_mut(&key).unwrap().items = vec![SubscriptionItem {
        id: "i1".into(),
        product: "seat".into(),
        quantity: quantity.into(),
        included_quantity: None,
        unit_price: Some("22.00".parse().unwrap()),
        unit_cost: Some("17.60".parse().unwrap()),
        overuse_price: None,
        overuse_cost: None,
    }];
}

fn change(id: &str, subscription: &str, old: i64, new: i64) -> OrderDraft {
    let mut change =
        order(id, OrderKind::Change, "2028-03-12", march()).change("1", "seat", old, new, "22.00", "17.60");
    change.0.subscription = subscription.into();
    change
}

fn cancellation() -> OrderDraft {
    order("CA-1", OrderKind::Cancellation, "2028-03-12", march())
}

fn writes(draft: &DraftPlan) -> bool {
    draft.changes.iter().any(|c| c.writes())
}

// A line by hand that others are billed by as well.

#[rstest]
#[case::cancelled(cancellation())]
#[case::changed(change("CH-1", "s-1", 5, 8))]
fn what_was_refused_once_is_refused_again(#[case] order: OrderDraft) {
    let mut lab = lab("2028-03-01");
    holds(&mut lab, "s-1", 5);
    lab.by_hand(40, 311, 7, "12", "22.00", "2028-01-01");
    for _ in 0..3 {
        let draft = lab.plan(&[&order.0]);
        assert_eq!((show(&draft).as_str(), draft.adoptions.len()), ("TU3007 error\n", 0));
        lab.apply(&draft);
    }
}

#[test]
fn two_changes_of_what_one_line_bills_both_wait() {
    let mut lab = lab("2028-03-01");
    holds(&mut lab, "s-1", 5);
    holds(&mut lab, "s-2", 7);
    lab.by_hand(40, 311, 7, "12", "22.00", "2028-01-01");
    let draft = lab.plan(&[&change("CH-1", "s-1", 5, 8).0, &change("CH-2", "s-2", 7, 9).0]);
    assert_eq!((show(&draft).as_str(), writes(&draft)), ("TU3007 error\nTU3007 error\n", false));
}

/// Seven by hand are those of the other subscription, which nothing else bills.
#[rstest]
#[case::changed(change("CH-1", "s-1", 5, 8), AdoptionAnswer::Propose, "TU3007 error\n")]
#[case::fewer(change("CH-1", "s-1", 9, 8), AdoptionAnswer::Propose, "TU3007 error\n")]
#[case::cancelled(cancellation(), AdoptionAnswer::Propose, "TU3007 error\n")]
#[case::sold(
    order("SO-1", OrderKind::Sales, "2028-03-12", march()).with(line("1", Charge::Recurring, "seat", "5", "22.00", "17.60")),
    AdoptionAnswer::TakeSingle,
    "TU3007 warning\n"
)]
fn the_line_of_another_subscription_is_not_taken(
    #[case] order: OrderDraft,
    #[case] answer: AdoptionAnswer,
    #[case] expected: &str,
) {
    let mut lab = lab("2028-03-01");
    lab.adoption = answer;
    holds(&mut lab, "s-1", 9);
    holds(&mut lab, "s-2", 7);
    lab.by_hand(40, 311, 7, "7", "22.00", "2028-01-01");
    let draft = lab.plan(&[&order.0]);
    assert_eq!((show(&draft).as_str(), draft.adoptions.len()), (expected, 0));
    // Once the other one has its own line, this is the one that is left.
    lab.by_hand(40, 312, 7, "7", "22.00", "2028-01-01");
    lab.map(MappingKind::Addition, "subscription:s-2/seat", 312);
    let mut renewed = change("CH-9", "s-2", 7, 7).0;
    renewed.kind = OrderKind::Renewal;
    lab.apply(&lab.plan(&[&renewed]));
    assert!(
        !lab.plan(&[&order.0]).findings.iter().any(|f| f.code == Code::Tu3007),
        "{}",
        show(&lab.plan(&[&order.0]))
    );
}

// Several changes that a person carried out by hand before the first day.

#[rstest]
#[case::down_again(&[8, 10, 9], 9)]
#[case::back_to_the_first(&[8, 10, 8], 8)]
#[case::up_again(&[8, 5, 6], 6)]
#[case::up_and_up(&[5, 6, 8], 8)]
#[case::three(&[5, 6, 7, 8], 8)]
fn changes_that_a_person_carried_out_are_not_billed_again(
    #[case] levels: &[i64],
    #[case] by_hand: i64,
    #[values(false, true)] named: bool,
    #[values("2028-03-01", "2028-04-01")] next: &str,
) {
    let mut lab = lab(next);
    lab.by_hand(40, 311, 7, &by_hand.to_string(), "22.00", "2028-01-01");
    if named {
        lab.map(MappingKind::Addition, "subscription:s-1/seat", 311);
    }
    let steps = levels.windows(2).zip(["2028-03-03", "2028-03-05", "2028-03-09"]);
    let orders: Vec<_> = steps
        .map(|(step, on)| {
            let change = order(&format!("CH-{on}"), OrderKind::Change, on, march());
            change.change("1", "seat", step[0], step[1], "22.00", "17.60").0
        })
        .collect();
    let draft = lab.plan(&orders.iter().collect::<Vec<_>>());
    assert!(!writes(&draft) && !draft.findings.iter().any(|f| f.code == Code::Tu3007), "{}", show(&draft));
}

/// What nobody carried out is billed, up to where the line stands.
#[test]
fn changes_that_nobody_carried_out_are_billed() {
    let mut lab = lab("2028-03-01");
    lab.by_hand(40, 311, 7, "8", "22.00", "2028-01-01");
    let first =
        order("CH-1", OrderKind::Change, "2028-03-03", march()).change("1", "seat", 8, 10, "22.00", "17.60");
    let second =
        order("CH-2", OrderKind::Change, "2028-03-09", march()).change("1", "seat", 10, 9, "22.00", "17.60");
    assert!(writes(&lab.plan(&[&first.0, &second.0])));
    lab.snapshot.additions.get_mut(&AgreementId(40)).unwrap()[0].state.quantity = 10.into();
    let draft = lab.plan(&[&first.0, &second.0]);
    assert!(show(&draft).contains("create recurring 2028-04-01..- 9 x 22.00"), "{}", show(&draft));
    assert!(
        !draft.changes.iter().any(|c| c.writes() && c.task.as_str().contains("CH-1")),
        "{}",
        show(&draft)
    );
}

// A switch whose new plan cannot begin.

#[rstest]
#[case::old_first(false)]
#[case::new_first(true)]
fn a_switch_that_cannot_begin_ends_nothing(
    #[case] turned: bool,
    #[values("prorate_line", "single", "dual")] mode: &str,
) {
    let mut lab = lab("2028-03-01");
    lab.set("line_mode", mode);
    let seats = line("1", Charge::Recurring, "seat", "5", "22.00", "17.60");
    lab.run(&order("SO-1", OrderKind::Sales, "2028-03-01", march()).with(seats).0);
    lab.agreement_mut(40).end = Some(day("2028-03-31"));
    let mut switch = order("CH-1", OrderKind::Change, "2028-03-12", march())
        .change("1", "seat", 5, 0, "22.00", "17.60")
        .change("2", "big", 0, 5, "30.00", "20.00")
        .0;
    if turned {
        switch.lines.reverse();
    }
    let draft = lab.plan(&[&switch]);
    assert!(!writes(&draft), "{}", show(&draft));
    assert!(draft.findings.iter().any(|f| f.code == Code::Tu4003), "{}", show(&draft));
    lab.agreement_mut(40).end = None;
    let shown = lab.run(&switch);
    assert!(shown.contains("5 x 30.00") && shown.contains("cancel recurring"), "{shown}");
}

// A transfer of a line that a mapping names, of a customer whom the record still names.

#[test]
fn a_named_line_of_the_former_customer_ends_with_the_transfer() {
    let mut lab = lab("2028-03-01");
    holds(&mut lab, "s-1", 5);
    lab.second_customer("2028-01-01", "2028-03-01");
    lab.by_hand(40, 311, 7, "5", "22.00", "2028-01-01");
    lab.map(MappingKind::Addition, "subscription:s-1/seat", 311);
    let mut transfer = order("TR-1", OrderKind::Transfer, "2028-03-15", march()).with(line(
        "1",
        Charge::Recurring,
        "seat",
        "5",
        "22.00",
        "17.60",
    ));
    transfer.0.customer = Some("c-200".into());
    let task = lab.task(&transfer.0);
    let wanted = lab.of_interest(&[(task, Demand::Order(Box::new(transfer.0.clone())))]);
    assert!(wanted.contains(&AgreementId(40)), "the former customer's agreement is read: {wanted:?}");
    // Where it was not read, it is not said to be nowhere.
    let mut unread = lab.clone();
    unread.snapshot.additions.remove(&AgreementId(40));
    assert!(!unread.plan(&[&transfer.0]).findings.iter().any(|f| f.code == Code::Tu3008));
    assert_eq!(
        lab.run(&transfer.0),
        "create recurring 2028-04-01..- 5 x 22.00 cost 17.60 = 110.00\n\
         cancel recurring 2028-01-01..2028-03-31 5 x 22.00 cost 17.60 = 0.00\n"
    );
}

// Another price, or none.

#[rstest]
#[case::free("0.00")]
#[case::cheaper("21.00")]
fn a_change_of_quantity_does_not_bill_the_price_of_a_line_by_hand(#[case] price: &str) {
    let mut lab = lab("2028-03-01");
    lab.by_hand(40, 311, 7, "5", price, "2028-01-01");
    let shown = lab.run(&change("CH-1", "s-1", 5, 8).0);
    assert!(shown.contains("create prorate 2028-03-12..2028-03-31 3 x 14.19"), "{shown}");
    assert!(shown.contains("TU6003 warning"), "{shown}");
}

/// A change of quantity and price that tells no old price. Where an order before it said the price that the line by hand
/// bills, that is the old one; else the days before the new line are billed at the new price alone, and what that leaves out
/// is told.
#[rstest]
#[case::sold_at_it(Some("22.00"), "22.00", "45.16", None)]
#[case::sold_at_another(Some("25.00"), "22.00", "19.35", Some("25.81"))]
#[case::never_sold(None, "22.00", "19.35", Some("25.81"))]
#[case::dearer_by_hand(None, "31.00", "19.35", Some("-3.23"))]
fn a_change_of_both_is_reckoned_from_the_price_that_was_sold(
    #[case] sold: Option<&str>,
    #[case] by_hand: &str,
    #[case] part: &str,
    #[case] told: Option<&str>,
    #[values(false, true)] invoiced: bool,
) {
    let mut lab = lab("2028-03-01");
    lab.set("credits", "on");
    lab.by_hand(40, 311, 7, "5", by_hand, "2028-01-01");
    lab.adoption = AdoptionAnswer::TakeSingle;
    if let Some(price) = sold {
        let seats = line("1", Charge::Recurring, "seat", "5", price, "17.60");
        lab.run(&order("SO-1", OrderKind::Sales, "2028-03-01", march()).with(seats).0);
    }
    let before = lab.invoice(40).parse::<rust_decimal::Decimal>().unwrap();
    if !invoiced {
        lab.agreement_mut(40).next_invoice = Some(day("2028-03-01"));
    }
    let mut both = order("CH-1", OrderKind::Change, "2028-03-12", march());
    both = both.change("1", "seat", 5, 6, "30.00", "17.60");
    both.0.completed_us += 1_000_000;
    let draft = lab.plan(&[&both.0]);
    let finding = draft.findings.iter().find(|f| f.code == Code::Tu6003);
    assert_eq!(finding.and_then(|f| f.amount).map(|(amount, _)| amount.to_string()).as_deref(), told);
    lab.run(&both.0);
    let bills: rust_decimal::Decimal = lab.invoice(40).parse().unwrap();
    let line: rust_decimal::Decimal = if invoiced { "180.00".parse().unwrap() } else { before };
    assert_eq!((bills - line).to_string(), part);
}

#[test]
fn a_change_of_a_line_that_is_not_billed_says_so() {
    let mut lab = lab("2028-03-01");
    lab.by_hand(40, 311, 7, "5", "22.00", "2028-01-01");
    lab.snapshot.additions.get_mut(&AgreementId(40)).unwrap()[0].state.bill = BillFlag::NoCharge;
    let draft = lab.plan(&[&change("CH-1", "s-1", 5, 8).0]);
    let said = draft.findings.iter().find(|f| f.code == Code::Tu8006).unwrap();
    assert_eq!(said.amount.unwrap().0.to_string(), "176.00", "{said:#?}");
}

// Lines that follow on each other: the change ends whatever bills days from its line on.

#[rstest]
#[case::in_the_bridge("2028-03-20", "2028-03-01", "2028-04-01", "135.56")]
#[case::after_it("2028-05-10", "2028-05-01", "2028-06-01", "110.00")]
fn a_change_ends_the_bridge_and_what_follows_it(
    #[case] on: &str,
    #[case] start: &str,
    #[case] end: &str,
    #[case] march_bills: &str,
) {
    let mut lab = lab("2028-03-01");
    holds(&mut lab, "s-1", 5);
    lab.by_hand(40, 311, 7, "5", "22.00", "2028-05-01");
    lab.adoption = AdoptionAnswer::TakeSingle;
    let mut task = lab.task(&change("CH-0", "s-1", 5, 5).0);
    task.kind = TaskKind::Reconciliation;
    task.order_id = None;
    task.id = "r-1".into();
    let demand =
        Demand::Reconcile { period: Some(march()), confirm_invoiced: false, beside: Default::default() };
    lab.apply(&lab.plan_tasks(&[(task, demand)]));
    let more =
        order("CH-1", OrderKind::Change, on, period(start, end)).change("1", "seat", 5, 8, "22.00", "17.60");
    lab.run(&more.0);
    assert_eq!(lab.invoice(40), march_bills);
    let april = if on == "2028-03-20" { "176.00" } else { "110.00" };
    assert_eq!(lab.invoice(40), april);
    lab.invoice(40);
    assert_eq!(lab.invoice(40), "176.00", "June");
}

// What several lines by hand bill together.

fn named_together(lab: &mut Lab) {
    lab.map(MappingKind::Addition, "subscription:s-1/seat", 311);
    let named: &mut Mapping = lab.mappings.last_mut().unwrap();
    named.options.insert("with".into(), "312 313".into());
    lab.by_hand(40, 311, 7, "3", "22.00", "2028-01-01");
    lab.by_hand(40, 312, 7, "1", "22.00", "2028-01-01");
    lab.by_hand(40, 313, 7, "1", "22.00", "2028-02-01");
}

#[rstest]
#[case::more(8, "152.57", "176.00")]
#[case::fewer(2, "110.00", "44.00")]
#[case::none(0, "110.00", "0")]
fn a_change_ends_all_that_were_named(
    #[case] new: i64,
    #[case] march: &str,
    #[case] april: &str,
    #[values("prorate_line", "single", "dual")] mode: &str,
    #[values("end_and_create", "edit_in_place")] quantity_change: &str,
) {
    let mut lab = lab("2028-03-01");
    lab.set("line_mode", mode).set("quantity_change", quantity_change);
    named_together(&mut lab);
    let shown = lab.run(&change("CH-1", "s-1", 5, new).0);
    assert!(!shown.contains("TU5001") && !shown.contains("TU3007"), "{shown}");
    assert_eq!([lab.invoice(40), lab.invoice(40)], [march.to_owned(), april.to_owned()]);
    // The next one goes on from the line that took their place.
    if new == 8 {
        let mut next = order("CH-2", OrderKind::Change, "2028-05-01", period("2028-05-01", "2028-06-01"))
            .change("1", "seat", 8, 9, "22.00", "17.60");
        next.0.completed_us += 50;
        lab.run(&next.0);
        assert_eq!(lab.invoice(40), "198.00");
    }
}

#[test]
fn a_change_of_invoiced_days_ends_all_that_were_named() {
    let mut lab = lab("2028-04-01");
    named_together(&mut lab);
    lab.run(&change("CH-1", "s-1", 5, 8).0);
    assert_eq!([lab.invoice(40), lab.invoice(40)], ["218.57", "176.00"]);
}

#[test]
fn a_change_that_broke_off_between_them_ends_the_rest() {
    let mut lab = lab("2028-03-01");
    named_together(&mut lab);
    let change = change("CH-1", "s-1", 5, 8);
    let mut broken = lab.plan(&[&change.0]);
    let last = broken.changes.pop().unwrap();
    assert_eq!(last.action.op(), "cancel");
    lab.apply(&broken);
    lab.run(&change.0);
    assert_eq!([lab.invoice(40), lab.invoice(40)], ["152.57", "176.00"]);
}

#[test]
fn a_cancellation_ends_all_that_were_named() {
    let mut lab = lab("2028-03-01");
    holds(&mut lab, "s-1", 5);
    named_together(&mut lab);
    let shown = lab.run(&cancellation().0);
    assert!(!shown.contains("TU"), "{shown}");
    assert_eq!([lab.invoice(40), lab.invoice(40)], ["110.00", "0"]);
}

#[rstest]
#[case::as_sold("5", "")]
#[case::more("6", "TU5001 warning\n")]
fn a_sale_takes_all_that_were_named(#[case] sold: &str, #[case] expected: &str) {
    let mut lab = lab("2028-03-01");
    named_together(&mut lab);
    let seats = line("1", Charge::Recurring, "seat", sold, "22.00", "17.60");
    let sale = order("SO-1", OrderKind::Sales, "2028-03-01", march()).with(seats);
    let draft = lab.plan(&[&sale.0]);
    assert_eq!((show(&draft).as_str(), draft.adoptions.len()), (expected, 3));
    assert_eq!(lab.run(&sale.0), expected);
}

#[rstest]
#[case::as_it_is(5, "")]
#[case::more(
    6,
    "create recurring 2028-03-01..- 6 x 22.00 cost 17.60 = 132.00\n\
     cancel recurring 2028-02-01..2028-02-29 1 x 22.00 cost 17.60 = -22.00\n\
     cancel recurring 2028-01-01..2028-02-29 3 x 22.00 cost 17.60 = -66.00\n\
     cancel recurring 2028-01-01..2028-02-29 1 x 22.00 cost 17.60 = -22.00\nTU5001 warning\n"
)]
fn a_reconciliation_counts_all_that_were_named(#[case] sold: i64, #[case] expected: &str) {
    let mut lab = lab("2028-03-01");
    holds(&mut lab, "s-1", sold);
    named_together(&mut lab);
    let mut task = lab.task(&change("CH-0", "s-1", 5, 5).0);
    task.kind = TaskKind::Reconciliation;
    task.order_id = None;
    task.id = "r-1".into();
    let demand =
        Demand::Reconcile { period: Some(march()), confirm_invoiced: false, beside: Default::default() };
    let draft = lab.plan_tasks(&[(task, demand)]);
    assert_eq!((show(&draft).as_str(), draft.adoptions.len()), (expected, 3));
}

fn taken_over_by_a_sale(lab: &mut Lab) {
    holds(lab, "s-1", 5);
    named_together(lab);
    let seats = line("1", Charge::Recurring, "seat", "5", "22.00", "17.60");
    assert_eq!(lab.run(&order("SO-1", OrderKind::Sales, "2028-03-01", march()).with(seats).0), "");
}

#[rstest]
#[case::more(8, "152.57", "176.00")]
#[case::fewer(2, "110.00", "44.00")]
#[case::none(0, "110.00", "0")]
fn a_change_ends_all_that_a_sale_took_over(
    #[case] new: i64,
    #[case] march: &str,
    #[case] april: &str,
    #[values("end_and_create", "edit_in_place")] quantity_change: &str,
) {
    let mut lab = lab("2028-03-01");
    lab.set("quantity_change", quantity_change);
    taken_over_by_a_sale(&mut lab);
    let shown = lab.run(&change("CH-1", "s-1", 5, new).0);
    assert!(!shown.contains("TU5001") && !shown.contains("TU3007"), "{shown}");
    assert_eq!([lab.invoice(40), lab.invoice(40)], [march.to_owned(), april.to_owned()]);
    if new == 8 {
        let next = order("CH-2", OrderKind::Change, "2028-05-01", period("2028-05-01", "2028-06-01"))
            .change("1", "seat", 8, 9, "22.00", "17.60");
        lab.run(&next.0);
        assert_eq!(lab.invoice(40), "198.00");
    }
}

#[test]
fn a_change_of_what_a_sale_took_over_that_broke_off_is_finished() {
    let mut lab = lab("2028-03-01");
    taken_over_by_a_sale(&mut lab);
    let change = change("CH-1", "s-1", 5, 8);
    let whole = lab.plan(&[&change.0]);
    for done in 0..whole.changes.len() {
        let mut lab = lab.clone();
        let mut broken = whole.clone();
        broken.changes.truncate(done);
        broken.outcomes.clear();
        lab.apply(&broken);
        let shown = lab.run(&change.0);
        assert_eq!([lab.invoice(40), lab.invoice(40)], ["152.57", "176.00"], "after {done}: {shown}");
    }
}

#[test]
fn a_cancellation_ends_all_that_a_sale_took_over() {
    let mut lab = lab("2028-03-01");
    taken_over_by_a_sale(&mut lab);
    let shown = lab.run(&cancellation().0);
    assert!(!shown.contains("TU"), "{shown}");
    assert_eq!([lab.invoice(40), lab.invoice(40)], ["110.00", "0"]);
}

#[test]
fn one_of_them_that_is_nowhere_holds_the_change() {
    let mut lab = lab("2028-03-01");
    named_together(&mut lab);
    lab.snapshot.additions.get_mut(&AgreementId(40)).unwrap().retain(|a| a.id != AdditionId(312));
    let draft = lab.plan(&[&change("CH-1", "s-1", 5, 8).0]);
    assert_eq!(show(&draft), "TU3008 error\n");
    assert_eq!(*draft.outcomes.values().next().unwrap(), TaskOutcome::Waiting);
}
