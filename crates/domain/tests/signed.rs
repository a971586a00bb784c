//! Change orders that tell the signed quantity alone, as the feed allows: whatever order they come in, what is billed is
//! what those bill that name both quantities and come in turn.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
use common::*;
use rstest::rstest;
use rust_decimal::Decimal;
use trueup_domain::feed::{BillingModel, Charge, Order, OrderKind, ProductKind, SubscriptionItem};
use trueup_domain::finding::{Code, Severity};
use trueup_domain::ids::{AgreementId, CompanyId, CustomerId, SourceId};
use trueup_domain::mapping::MappingKind;
use trueup_domain::period::{BillingCycle, Period};
use trueup_domain::plan::TaskOutcome;
use trueup_domain::planner::AdoptionAnswer;

fn january() -> Period {
    period("2028-01-01", "2028-02-01")
}

fn february() -> Period {
    period("2028-02-01", "2028-03-01")
}

fn empty(mode: &str, form: &str) -> Lab {
    let mut lab = Lab::monthly("2028-01-01", "2028-01-01");
    lab.today = day("2028-01-31");
    lab.set("credits", "on").set("line_mode", mode).set("quantity_change", form);
    lab.product("seat", 7, ProductKind::Seat, "22.00", "17.60");
    lab.product("extra", 8, ProductKind::Seat, "30.00", "20.00");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2028-01-01");
    lab
}

fn sale() -> Order {
    let sold = line("1", Charge::Recurring, "seat", "5", "22.00", "17.60");
    order("SO-1", OrderKind::Sales, "2028-01-01", january()).with(sold).0
}

fn sold(mode: &str, form: &str) -> Lab {
    let mut lab = empty(mode, form);
    lab.run(&sale());
    lab
}

/// A change of the day by a difference.
fn by(id: &str, on: &str, of: Period, quantity: i64) -> Order {
    let line = line("1", Charge::Recurring, "seat", &quantity.to_string(), "22.00", "17.60");
    order(id, OrderKind::Change, on, of).with(line).0
}

/// The same with both quantities.
fn told(order: &Order, old: i64) -> Order {
    let mut told = order.clone();
    let line = &mut told.lines[0];
    line.old_quantity = Some(old.into());
    line.new_quantity = line.old_quantity.unwrap().plus(line.quantity).ok();
    told
}

fn renewal() -> Order {
    let line = line("1", Charge::Recurring, "seat", "8", "22.00", "17.60");
    order("RN-1", OrderKind::Renewal, "2028-02-01", february()).with(line).0
}

fn invoices(lab: &mut Lab, agreement: i64, count: usize) -> Vec<Decimal> {
    (0..count).map(|_| lab.invoice(agreement).parse().unwrap()).collect()
}

/// The months from the third on to the cent, the first two together as near as parts that are rounded apart can be.
#[track_caller]
fn alike(one: &[Decimal], other: &[Decimal], lab: &Lab) {
    let lines = lab.snapshot.additions_of(AgreementId(40));
    assert_eq!(one[2..], other[2..], "{one:?} {other:?}\n{lines:#?}");
    let apart = one.iter().sum::<Decimal>() - other.iter().sum::<Decimal>();
    assert!(apart.abs() <= "0.10".parse().unwrap(), "{one:?} {other:?}\n{lines:#?}");
}

/// Differences add up, whatever order they come in, in one run or in several, before an invoice and after it.
#[rstest]
fn differences_add_up_in_any_order(
    #[values("prorate_line", "single", "dual")] mode: &str,
    #[values("end_and_create", "edit_in_place")] form: &str,
    #[values([0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0])] turns: [usize; 3],
    #[values(0, 1, 2, 3)] invoiced_after: usize,
) {
    let changes = [
        by("CH-1", "2028-01-11", january(), 3),
        by("CH-2", "2028-01-16", january(), -2),
        by("CH-3", "2028-01-21", january(), 4),
    ];
    let run = |orders: &[Order]| {
        let mut lab = sold(mode, form);
        let mut billed = Vec::new();
        for (at, order) in orders.iter().enumerate() {
            if at == invoiced_after {
                billed.extend(invoices(&mut lab, 40, 1));
                lab.today = day("2028-02-05");
            }
            lab.run(order);
        }
        let left = 5 - billed.len();
        billed.extend(invoices(&mut lab, 40, left));
        (billed, lab)
    };
    let (right, _) = run(&[told(&changes[0], 5), told(&changes[1], 8), told(&changes[2], 6)]);
    let (is, lab) = run(&turns.map(|at| changes[at].clone()));
    assert_eq!(is[4], "220.00".parse().unwrap());
    alike(&is, &right, &lab);
}

/// A renewal names its quantity: what comes late before it bills its days, and the renewal stays.
#[rstest]
fn a_quantity_that_was_named_stays(
    #[values("prorate_line", "single", "dual")] mode: &str,
    #[values("end_and_create", "edit_in_place")] form: &str,
) {
    let change = by("CH-1", "2028-01-20", january(), 3);
    let run = |change: &Order| {
        let mut lab = sold(mode, form);
        let mut billed = invoices(&mut lab, 40, 1);
        lab.today = day("2028-02-01");
        lab.run(&renewal());
        lab.run(change);
        billed.extend(invoices(&mut lab, 40, 4));
        (billed, lab)
    };
    let ((is, lab), (right, _)) = (run(&change), run(&told(&change, 5)));
    assert_eq!(is[4], "176.00".parse().unwrap());
    alike(&is, &right, &lab);
}

/// After a transfer the new customer's line stays, and the former one pays its days.
#[rstest]
fn after_a_transfer_it_is_the_former_customers(#[values("prorate_line", "single", "dual")] mode: &str) {
    let mut change = by("CH-1", "2028-01-20", january(), 3);
    change.customer = Some("c-100".into());
    let run = |change: &Order| {
        let mut lab = sold(mode, "end_and_create");
        lab.agreement(41, BillingCycle::MONTHLY, "USD", "2028-01-01", "2028-02-01");
        let company = lab.snapshot.companies[&CompanyId(12)].clone();
        lab.snapshot
            .companies
            .insert(CompanyId(13), trueup_domain::psa::Company { id: CompanyId(13), ..company });
        lab.agreement_mut(41).company = CompanyId(13);
        lab.map(MappingKind::Customer, "c-200", 13);
        let mut billed = invoices(&mut lab, 40, 1);
        lab.today = day("2028-02-01");
        let line = line("1", Charge::Recurring, "seat", "8", "22.00", "17.60");
        let mut moved = order("TR-1", OrderKind::Transfer, "2028-02-01", february()).with(line).0;
        moved.customer = Some("c-200".into());
        let key = (SourceId::from(SOURCE), "s-1".into());
        lab.subscriptions.get_mut(&key).unwrap().customer = CustomerId::from("c-200");
        lab.run(&moved);
        lab.run(change);
        billed.extend(invoices(&mut lab, 40, 2));
        (billed, invoices(&mut lab, 41, 2))
    };
    let (is, right) = (run(&change), run(&told(&change, 5)));
    assert_eq!(is, right);
    assert_eq!(is.1, ["176.00".parse().unwrap(), "176.00".parse().unwrap()]);
}

fn waits(lab: &Lab, order: &Order, code: Code) {
    let draft = lab.plan(&[order]);
    assert!(!draft.changes.iter().any(|c| c.writes()), "{}", show(&draft));
    assert_eq!(draft.outcomes.values().collect::<Vec<_>>(), [&TaskOutcome::Waiting], "{}", show(&draft));
    let said: Vec<_> = draft.findings.iter().map(|f| (f.code, f.severity)).collect();
    assert_eq!(said, [(code, Severity::Error)], "{}", show(&draft));
}

/// A difference from a level that nobody knows waits for the order before it, and counts once that is there.
#[rstest]
fn from_nowhere_it_waits(#[values("prorate_line", "single", "dual")] mode: &str) {
    let change = by("CH-1", "2028-01-16", january(), 3);
    let mut lab = empty(mode, "end_and_create");
    waits(&lab, &change, Code::Tu8006);
    lab.run(&sale());
    lab.run(&change);
    let is = invoices(&mut lab, 40, 3);
    let mut other = sold(mode, "end_and_create");
    other.run(&told(&change, 5));
    alike(&is, &invoices(&mut other, 40, 3), &lab);
}

/// What a known subscription did not have before begins.
#[rstest]
#[case::sold(true)]
#[case::as_its_record_says(false)]
fn another_product_begins(#[case] known: bool) {
    let mut lab =
        if known { sold("prorate_line", "end_and_create") } else { empty("prorate_line", "end_and_create") };
    if !known {
        has(&mut lab, "extra", 2);
    }
    let line = line("1", Charge::Recurring, "extra", "2", "30.00", "20.00");
    let added = order("CH-1", OrderKind::Change, "2028-01-16", january()).with(line).0;
    lab.run(&added);
    let billed = invoices(&mut lab, 40, 2);
    let seats: Decimal = if known { "110.00".parse().unwrap() } else { Decimal::ZERO };
    assert_eq!(billed[1], seats + "60.00".parse::<Decimal>().unwrap());
    assert_eq!(billed[0], seats + "30.96".parse::<Decimal>().unwrap(), "2 x 30.00 x 16/31");
}

fn has(lab: &mut Lab, product: &str, quantity: i64) {
    let key = (SourceId::from(SOURCE), "s-1".into());
    lab.subscriptions.get_mut(&key).unwrap().items = vec![SubscriptionItem {
        id: "1".into(),
        product: product.into(),
        quantity: quantity.into(),
        included_quantity: None,
        unit_price: None,
        unit_cost: None,
        overuse_price: None,
        overuse_cost: None,
    }];
}

/// A line by hand that bills what the record says may have the change already, or not: a person says.
#[test]
fn a_line_by_hand_that_may_have_it_waits() {
    let change = by("CH-1", "2028-01-16", january(), 3);
    let mut lab = empty("prorate_line", "end_and_create");
    lab.by_hand(40, 900, 7, "8", "22.00", "2028-01-01");
    has(&mut lab, "seat", 8);
    waits(&lab, &change, Code::Tu5001);
    lab.adoption = AdoptionAnswer::CreateBeside;
    let draft = lab.plan(&[&change]);
    assert!(draft.changes.iter().any(|c| c.writes()), "{}", show(&draft));
    // Where the record has more than the line, the change is not in it.
    lab.adoption = AdoptionAnswer::Propose;
    has(&mut lab, "seat", 11);
    lab.run(&change);
    assert_eq!(invoices(&mut lab, 40, 2)[1], "242.00".parse().unwrap());
}

/// The same difference of the same instant under two ids waits; of another instant it is another order.
#[rstest]
#[case::in_one_run(true)]
#[case::in_two(false)]
fn the_same_difference_of_one_instant_waits(#[case] together: bool) {
    let mut lab = sold("prorate_line", "end_and_create");
    let (one, two) = (by("CH-1", "2028-01-16", january(), 3), by("CH-2", "2028-01-16", january(), 3));
    if together {
        let draft = lab.plan(&[&one, &two]);
        assert_eq!(draft.findings.iter().map(|f| f.code).collect::<Vec<_>>(), [Code::Tu5001]);
        lab.apply(&draft);
    } else {
        lab.run(&one);
        waits(&lab, &two, Code::Tu5001);
    }
    let later = Order { completed_us: two.completed_us + 1, ..two.clone() };
    let mut other = lab.clone();
    other.run(&later);
    assert_eq!(invoices(&mut other, 40, 2)[1], "242.00".parse().unwrap());
    assert_eq!(invoices(&mut lab, 40, 2)[1], "176.00".parse().unwrap());
}

/// A renewal names how many there are, and no difference: a line by hand that bills them is its line.
#[test]
fn a_renewal_of_a_line_by_hand_is_no_difference() {
    let mut lab = empty("prorate_line", "end_and_create");
    lab.by_hand(40, 900, 7, "8", "22.00", "2028-01-01");
    has(&mut lab, "seat", 8);
    let draft = lab.plan(&[&renewal()]);
    assert!(draft.findings.iter().all(|f| f.severity != Severity::Error), "{}", show(&draft));
    assert!(!draft.outcomes.values().any(|o| *o == TaskOutcome::Waiting), "{}", show(&draft));
}
