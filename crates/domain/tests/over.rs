//! Orders that come after one that ended what they bring: a cancellation ends the subscription, a change to nothing its
//! product, also where they found no line of it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
use common::*;
use rstest::rstest;
use trueup_domain::feed::{BillingModel, Charge, Order, OrderKind, ProductKind};
use trueup_domain::finding::{Code, Severity};
use trueup_domain::ids::{CompanyId, CustomerId};
use trueup_domain::mapping::MappingKind;
use trueup_domain::period::{BillingCycle, Period};

fn january() -> Period {
    period("2025-01-01", "2025-02-01")
}

fn february() -> Period {
    period("2025-02-01", "2025-03-01")
}

/// `x` at 22.00, `y` at 30.00 and `z` at 40.00; two customers with an agreement each.
fn lab() -> Lab {
    let mut lab = Lab::monthly("2025-01-01", "2025-01-01");
    lab.set("credits", "on");
    lab.product("x", 7, ProductKind::Seat, "22.00", "0");
    lab.product("y", 8, ProductKind::Seat, "30.00", "0");
    lab.product("z", 9, ProductKind::Seat, "40.00", "0");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2025-01-01");
    for (company, agreement, customer) in [(13, 50, "c-200"), (14, 60, "c-300")] {
        let mut other = lab.snapshot.companies[&CompanyId(12)].clone();
        other.id = CompanyId(company);
        lab.snapshot.companies.insert(other.id, other);
        lab.agreement(agreement, BillingCycle::MONTHLY, "USD", "2025-01-01", "2025-01-01");
        lab.agreement_mut(agreement).company = CompanyId(company);
        lab.map(MappingKind::Customer, customer, company);
    }
    lab.today = day("2025-01-02");
    let sale = order("SO", OrderKind::Sales, "2025-01-01", january()).with(line(
        "1",
        Charge::Recurring,
        "x",
        "5",
        "22.00",
        "0",
    ));
    lab.run(&sale.0);
    lab
}

fn invoices(lab: &mut Lab, agreement: i64, count: usize) -> Vec<String> {
    (0..count).map(|_| lab.invoice(agreement)).collect()
}

fn cancelled(on: &str, of: Period) -> OrderDraft {
    order("X", OrderKind::Cancellation, on, of)
}

fn transfer(id: &str, on: &str, of: Period, to: &str) -> OrderDraft {
    let mut moved =
        order(id, OrderKind::Transfer, on, of).with(line("1", Charge::Recurring, "x", "5", "22.00", "0"));
    moved.0.customer = Some(CustomerId::from(to));
    moved
}

fn codes(lab: &Lab, order: &OrderDraft) -> Vec<Code> {
    lab.plan(&[&order.0]).findings.iter().map(|f| f.code).collect()
}

/// It was removed in the middle of January, so that nothing of it is billed from February on.
#[rstest]
#[case::removed(None, ["195.16", "110.00", "110.00"])]
#[case::switched(Some("z"), ["259.68", "270.00", "270.00"])]
fn what_a_change_removed_is_not_added_by_an_older_one(
    #[case] to: Option<&str>,
    #[case] billed: [&str; 3],
    #[values("prorate_line", "dual", "single")] mode: &str,
) {
    let mut lab = lab();
    lab.set("line_mode", mode);
    lab.today = day("2025-01-21");
    let mut second =
        order("C2", OrderKind::Change, "2025-01-20", january()).change("1", "y", 4, 0, "30.00", "0");
    if let Some(product) = to {
        second = second.change("2", product, 0, 4, "40.00", "0");
    }
    lab.run(&second.0);
    lab.today = day("2025-01-25");
    let first = order("C1", OrderKind::Change, "2025-01-10", january()).change("1", "y", 0, 4, "30.00", "0");
    assert!(codes(&lab, &first).contains(&Code::Tu5001));
    let shown = lab.run(&first.0);
    let bills = invoices(&mut lab, 40, 3);
    assert_eq!(bills[1..], billed[1..], "{shown}");
}

/// What is ordered before a cancellation and comes after it was carried out bills up to it.
#[rstest]
#[case::change(OrderKind::Change)]
#[case::sale(OrderKind::Sales)]
fn what_is_added_before_a_cancellation_ends_with_it(#[case] kind: OrderKind) {
    let mut lab = lab();
    let mut bills = invoices(&mut lab, 40, 1);
    lab.today = day("2025-02-20");
    lab.run(&cancelled("2025-02-10", february()).0);
    let mut late = order("C", kind, "2025-02-05", february());
    late = match kind {
        OrderKind::Sales => late.with(line("1", Charge::Recurring, "y", "2", "30.00", "0")),
        _ => late.change("1", "y", 0, 2, "30.00", "0"),
    };
    late.0.effective_given = true;
    let shown = lab.run(&late.0);
    bills.extend(invoices(&mut lab, 40, 3));
    // 24 of 28 days of February: 2 x 25.71.
    assert_eq!(bills, ["110.00", "161.42", "0", "0"], "{shown}");
}

/// A cancellation for the end of a later month ends what is added meanwhile; a renewal after it takes it back.
#[rstest]
#[case::added(false, ["110.00", "110.00", "152.58", "170.00", "0"])]
#[case::renewed(true, ["110.00", "110.00", "152.58", "170.00", "170.00"])]
fn what_is_added_after_a_cancellation_ahead_ends_with_it(
    #[case] renewed: bool,
    #[case] billed: [&str; 5],
    #[values(false, true)] at_once: bool,
) {
    let mut lab = lab();
    let mut bills = invoices(&mut lab, 40, 2);
    lab.today = day("2025-03-10");
    let mut end = cancelled("2025-03-01", period("2025-04-01", "2025-05-01"));
    end.0.effective = day("2025-04-30");
    end.0.effective_given = true;
    let again = order("R", OrderKind::Renewal, "2025-03-05", period("2025-05-01", "2025-06-01")).with(line(
        "1",
        Charge::Recurring,
        "x",
        "5",
        "22.00",
        "0",
    ));
    let march = period("2025-03-01", "2025-04-01");
    let added = order("C", OrderKind::Change, "2025-03-10", march).change("1", "y", 0, 2, "30.00", "0");
    let mut orders = vec![&end.0];
    orders.extend(renewed.then_some(&again.0));
    orders.push(&added.0);
    if at_once {
        let draft = lab.plan(&orders);
        lab.apply(&draft);
    } else {
        orders.into_iter().for_each(|order| drop(lab.run(order)));
    }
    bills.extend(invoices(&mut lab, 40, 3));
    // 22 of 31 days: 2 x 21.29.
    assert_eq!(bills, billed);
}

/// The customer that it was moved to pays up to the cancellation.
#[test]
fn a_transfer_that_comes_after_the_cancellation_ends_with_it() {
    let mut lab = lab();
    let mut former = invoices(&mut lab, 40, 1);
    invoices(&mut lab, 50, 1);
    lab.today = day("2025-02-12");
    let mut end = cancelled("2025-02-10", february());
    end.0.customer = Some(CustomerId::from("c-200"));
    lab.run(&end.0);
    lab.today = day("2025-02-20");
    let shown = lab.run(&transfer("T", "2025-02-01", february(), "c-200").0);
    former.extend(invoices(&mut lab, 40, 3));
    assert_eq!(former, ["110.00", "0", "0", "0"], "{shown}");
    assert_eq!(invoices(&mut lab, 50, 3), ["110.00", "0", "0"], "{shown}");
}

/// Nothing ends what begins after the end: it is told.
#[rstest]
#[case::at_once(true)]
#[case::later(false)]
fn a_change_after_the_cancellation_is_told(#[case] at_once: bool) {
    let mut lab = lab();
    invoices(&mut lab, 40, 1);
    lab.today = day("2025-02-20");
    let end = cancelled("2025-02-10", february());
    let added = order("C", OrderKind::Change, "2025-02-20", february()).change("1", "y", 0, 2, "30.00", "0");
    let draft = if at_once {
        lab.plan(&[&end.0, &added.0])
    } else {
        lab.run(&end.0);
        lab.plan(&[&added.0])
    };
    let told = draft.findings.iter().find(|f| f.message.contains("has cancelled it for 2025-02-10")).unwrap();
    assert_eq!((told.code, told.severity), (Code::Tu5001, Severity::Warning));
}

/// Cancelled for the end of April, moved to another customer meanwhile: that one pays up to the end of April.
#[rstest]
fn a_transfer_before_the_end_that_was_ordered_ends_with_it(
    #[values("prorate_line", "dual", "single", "commitment")] mode: &str,
    #[values("2025-03-01", "2025-03-12")] on: &str,
    #[values(false, true)] at_once: bool,
    #[values(1, 2, 3)] invoiced: usize,
    #[values("none", "before", "after", "gone")] changed: &str,
) {
    let mut lab = lab();
    lab.set("line_mode", mode);
    let mut former = invoices(&mut lab, 40, invoiced);
    let mut new = invoices(&mut lab, 50, invoiced);
    lab.today = day("2025-04-12");
    let mut end = cancelled("2025-02-05", period("2025-04-01", "2025-05-01"));
    end.0.effective = day("2025-04-30");
    end.0.effective_given = true;
    let march = period("2025-03-01", "2025-04-01");
    let mut moved = transfer("T", on, march, "c-200");
    let mut orders = vec![end];
    if changed == "before" {
        moved.0.lines[0].quantity = "8".parse().unwrap();
        orders.push(
            order("C", OrderKind::Change, "2025-02-15", february()).change("1", "x", 5, 8, "22.00", "0"),
        );
    }
    orders.push(moved);
    let april = period("2025-04-01", "2025-05-01");
    let to = match changed {
        "after" => 8,
        "gone" => 0,
        _ => 5,
    };
    if to != 5 {
        let mut change =
            order("C", OrderKind::Change, "2025-04-10", april).change("1", "x", 5, to, "22.00", "0");
        change.0.customer = Some(CustomerId::from("c-200"));
        orders.push(change);
    }
    if at_once {
        let orders: Vec<_> = orders.iter().map(|o| &o.0).collect();
        let draft = lab.plan(&orders);
        lab.apply(&draft);
    } else {
        orders.iter().for_each(|order| drop(lab.run(&order.0)));
    }
    former.extend(invoices(&mut lab, 40, 7 - invoiced));
    new.extend(invoices(&mut lab, 50, 7 - invoiced));
    let sum = |months: &[String]| -> rust_decimal::Decimal {
        months.iter().map(|m| m.parse::<rust_decimal::Decimal>().unwrap()).sum()
    };
    let near = |months: &[String], due: &str| {
        let apart = sum(months) - due.parse::<rust_decimal::Decimal>().unwrap();
        assert!(apart.abs() <= "0.12".parse().unwrap(), "{due}: {former:?} {new:?}");
    };
    // The former customer pays the periods that were invoiced, and all of one that had begun.
    let months = if invoiced == 3 || on == "2025-03-12" { 3 } else { 2 };
    // 14 of 28 days of February for three more, and all of March where the former customer pays it.
    let part = if changed == "before" { 33 + if months == 3 { 66 } else { 0 } } else { 0 };
    near(&former, &format!("{}.00", 110 * months + part));
    // 21 of 30 days of April.
    let level = if changed == "before" { 176 } else { 110 };
    let part = match changed {
        "after" => "46.20",
        "gone" => "-77.00",
        _ => "0.00",
    };
    let rest: rust_decimal::Decimal = part.parse().unwrap();
    near(&new, &(rust_decimal::Decimal::from(level * (4 - months)) + rest).to_string());
    assert_eq!(
        (former[5..].to_vec(), new[5..].to_vec()),
        (vec!["0".to_owned(); 2], vec!["0".to_owned(); 2]),
        "{former:?} {new:?}"
    );
}

/// Put off once it is another customer's: that one pays up to the new end.
#[rstest]
fn an_end_that_is_put_off_after_a_transfer_is_the_new_customers(
    #[values(false, true)] at_once: bool,
    #[values("2025-03-01", "2025-03-12")] on: &str,
    #[values(1, 2, 3)] invoiced: usize,
) {
    let mut lab = lab();
    let mut former = invoices(&mut lab, 40, invoiced);
    let mut new = invoices(&mut lab, 50, invoiced);
    lab.today = day("2025-04-12");
    let ends = |id: &str, ordered: &str, month: Period, last: &str| {
        let mut end = order(id, OrderKind::Cancellation, ordered, month);
        end.0.effective = day(last);
        end.0.effective_given = true;
        end
    };
    let first = ends("X", "2025-02-05", period("2025-04-01", "2025-05-01"), "2025-04-30");
    let moved = transfer("T", on, period("2025-03-01", "2025-04-01"), "c-200");
    let mut second = ends("X2", "2025-04-10", period("2025-06-01", "2025-07-01"), "2025-06-30");
    second.0.customer = Some(CustomerId::from("c-200"));
    let orders = [&first.0, &moved.0, &second.0];
    if at_once {
        let draft = lab.plan(&orders);
        lab.apply(&draft);
    } else {
        orders.into_iter().for_each(|order| drop(lab.run(order)));
    }
    former.extend(invoices(&mut lab, 40, 8 - invoiced));
    new.extend(invoices(&mut lab, 50, 8 - invoiced));
    let paid = if invoiced == 3 || on == "2025-03-12" { 3 } else { 2 };
    let level = |months: &[String]| months.iter().filter(|m| *m != "0").count();
    assert_eq!((level(&former), level(&new)), (paid, 6 - paid), "{former:?} {new:?}");
    assert_eq!(new[6..], ["0", "0"], "{new:?}");
}

/// What is cancelled for a later day, or committed, goes on at its customer's: only a transfer moves it.
#[rstest]
fn what_goes_on_up_to_its_end_is_not_billed_to_another_customer(
    #[values("cancelled", "committed", "open")] end: &str,
    #[values(0, 1, 2)] invoiced: usize,
) {
    let mut lab = lab();
    if end == "committed" {
        lab.links.clear();
        lab.snapshot.additions.values_mut().for_each(Vec::clear);
        let term = trueup_domain::feed::Term {
            start: day("2025-01-01"),
            end: Some(day("2026-01-01")),
            auto_renew: None,
        };
        lab.subscriptions.values_mut().for_each(|s| s.term = Some(term));
        lab.set("line_mode", "commitment");
        let sold = line("1", Charge::Recurring, "x", "5", "22.00", "0");
        lab.run(&order("SO-2", OrderKind::Sales, "2025-01-01", january()).with(sold).0);
    }
    for agreement in [40, 50] {
        invoices(&mut lab, agreement, invoiced);
    }
    if end == "cancelled" {
        let mut ahead = cancelled("2025-02-05", period("2025-04-01", "2025-05-01"));
        ahead.0.effective = day("2025-04-30");
        ahead.0.effective_given = true;
        lab.run(&ahead.0);
    }
    lab.today = day("2025-03-10");
    let march = period("2025-03-01", "2025-04-01");
    let mut change = order("C", OrderKind::Change, "2025-03-10", march).change("1", "x", 5, 8, "22.00", "0");
    change.0.customer = Some(CustomerId::from("c-200"));
    assert_eq!(codes(&lab, &change), [Code::Tu3005]);
    // Of the days up to its transfer it is the former customer's, and nobody is in the way of the new one.
    let moved = transfer("T", "2025-03-12", march, "c-200");
    let after = Order { id: "C2".into(), completed_us: moved.0.completed_us + 9, ..change.0.clone() };
    lab.run(&moved.0);
    let after = OrderDraft(Order { effective: day("2025-03-20"), ..after });
    assert!(!codes(&lab, &after).contains(&Code::Tu3005));
}

/// A transfer that moves more than was billed, and comes after a month of the former customer was invoiced: that month of
/// what is more is billed to nobody, and told with what it comes to.
#[rstest]
#[case::invoiced(2, Some("22.00"))]
#[case::open(1, None)]
fn what_a_transfer_moves_more_is_told_with_its_amount(#[case] invoiced: usize, #[case] told: Option<&str>) {
    let mut lab = lab();
    invoices(&mut lab, 40, invoiced);
    invoices(&mut lab, 50, invoiced);
    lab.today = day("2025-02-02");
    let mut moved = transfer("T", "2025-02-01", february(), "c-200");
    moved.0.lines[0].quantity = 6.into();
    let draft = lab.plan(&[&moved.0]);
    let finding = draft.findings.iter().find(|f| f.code == Code::Tu5001).unwrap();
    assert_eq!(finding.severity, Severity::Warning);
    assert_eq!(finding.amount.map(|(amount, _)| amount.to_string()).as_deref(), told, "{finding:?}");
    lab.run(&moved.0);
    let bills = [lab.invoice(40), lab.invoice(50)];
    assert_eq!(bills, ["0", "132.00"]);
}

/// After a cancellation a change from nothing begins a product again: the next cancellation ends that.
#[rstest]
fn what_began_again_after_a_cancellation_is_cancelled(
    #[values(false, true)] other_product: bool,
    #[values(0, 1, 2)] invoiced: usize,
    #[values("end_and_create", "edit_in_place")] form: &str,
) {
    let mut lab = lab();
    lab.set("quantity_change", form);
    let mut billed: Vec<String> = invoices(&mut lab, 40, 2);
    lab.run(&cancelled("2025-02-10", february()).0);
    let (march, april) = (period("2025-03-01", "2025-04-01"), period("2025-04-01", "2025-05-01"));
    let product = if other_product { "y" } else { "x" };
    let mut begins =
        order("N", OrderKind::Change, "2025-03-01", march).change("1", product, 0, 3, "20.00", "0").0;
    begins.completed_us += 1;
    lab.run(&begins);
    billed.extend(invoices(&mut lab, 40, invoiced));
    let mut end = order("X2", OrderKind::Cancellation, "2025-04-10", april).0;
    end.completed_us += 2;
    let shown = lab.run(&end);
    assert!(!shown.contains("error"), "{shown}");
    billed.extend(invoices(&mut lab, 40, 5 - invoiced));
    // January and February, then March and April.
    assert_eq!(billed[..5], ["110.00", "110.00", "60.00", "60.00", "0"], "{shown}");
}
