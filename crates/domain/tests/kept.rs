//! What stays paid after a cancellation that gives nothing back, where earlier orders took something away: what those gave
//! back, or told, is not told once more.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
use common::*;
use rstest::rstest;
use trueup_domain::feed::{BillingModel, Charge, Order, OrderKind, ProductKind};
use trueup_domain::finding::Code;
use trueup_domain::period::{BillingCycle, Period};

fn month(number: i8) -> Period {
    period(&format!("2023-{number:02}-01"), &format!("2023-{:02}-01", number + 1))
}

/// 5 x 22.00 and, where `disks` are sold, some at 20.00; both since January.
fn lab(disks: Option<&str>, quantity_change: &str) -> Lab {
    let mut lab = Lab::monthly("2023-01-01", "2023-01-01");
    lab.set("credits", "on").set("quantity_change", quantity_change);
    lab.product("exo", 7, ProductKind::Seat, "22.00", "17.60");
    lab.product("tm", 8, ProductKind::Seat, "10.00", "8.00");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2023-01-01");
    let mut sale = order("SO-1", OrderKind::Sales, "2023-01-01", month(1)).with(line(
        "1",
        Charge::Recurring,
        "exo",
        "5",
        "22.00",
        "17.60",
    ));
    if let Some(disks) = disks {
        sale = sale.with(line("2", Charge::Recurring, "tm", disks, "20.00", "8.00"));
    }
    lab.run(&sale.0);
    lab
}

fn told(lab: &Lab, order: &Order) -> Vec<(String, String)> {
    let draft = lab.plan(&[order]);
    let of =
        draft.findings.iter().filter(|f| f.code == Code::Tu6005 && f.message.contains("gives nothing back"));
    let of =
        of.filter_map(|f| Some((f.subject.product.as_ref()?.to_string(), f.amount.as_ref()?.0.to_string())));
    of.collect()
}

fn cancellation(on: &str, of: Period) -> OrderDraft {
    let mut order = order("CL-1", OrderKind::Cancellation, on, of);
    order.0.completed_us += 1_000;
    order
}

/// A switch of the same invoiced period gave back what it took away, netted with what it brought: what stays paid is the
/// rest of that.
#[rstest]
fn what_a_switch_gave_back_is_not_told_again(
    #[values("end_and_create", "edit_in_place")] quantity_change: &str,
    #[values(false, true)] refunds_the_new: bool,
    #[values(4, 5)] invoices: usize,
) {
    let mut lab = lab(None, quantity_change);
    for _ in 0..invoices {
        lab.invoice(40);
    }
    let switch = order("CH-1", OrderKind::Change, "2023-04-05", month(4))
        .change("1", "exo", 5, 0, "22.00", "17.60")
        .change("2", "tm", 0, 4, "10.00", "8.00");
    lab.run(&switch.0);
    let mut cancel = cancellation("2023-04-10", month(4));
    if refunds_the_new {
        let mut back = line("1", Charge::Refund, "tm", "-4", "10.00", "8.00");
        back.amount = Some("-28.00".parse().unwrap());
        back.period = Some(period("2023-04-10", "2023-05-01"));
        cancel = cancel.with(back);
    }
    let left: &[(&str, &str)] = if refunds_the_new { &[] } else { &[("tm", "-28.00")] };
    let said = told(&lab, &cancel.0);
    let said: Vec<_> = said.iter().map(|(product, amount)| (product.as_str(), amount.as_str())).collect();
    assert_eq!(said, left);
    // Five seats of April up to the 4th, four of the other product from then on, and nothing of May.
    lab.run(&cancel.0);
    let mut billed: rust_decimal::Decimal =
        (0..3).map(|_| lab.invoice(40).parse::<rust_decimal::Decimal>().unwrap()).sum();
    billed += rust_decimal::Decimal::from(110 * (invoices - 3));
    let owed = if refunds_the_new { "21.33" } else { "49.33" };
    assert_eq!(billed.to_string(), owed);
}

/// The same for what a late change took away and gave back, of the cancelled period and of those after it.
#[rstest]
fn what_a_late_change_gave_back_is_not_told_again(
    #[values("end_and_create", "edit_in_place")] quantity_change: &str,
    #[values(5, 6)] invoices: usize,
) {
    let mut lab = lab(Some("5"), quantity_change);
    for _ in 0..5 {
        lab.invoice(40);
    }
    let removal =
        order("CH-1", OrderKind::Change, "2023-02-09", month(2)).change("1", "tm", 5, 0, "20.00", "8.00");
    lab.run(&removal.0);
    for _ in 5..invoices {
        lab.invoice(40);
    }
    let cancel = cancellation("2023-04-17", month(4));
    // 14 of 30 days of 110.00.
    assert_eq!(told(&lab, &cancel.0), [("exo".to_owned(), "-51.33".to_owned())]);
}

/// A change that comes after the cancellation which followed it: what it adds is billed to the end of the cancelled period, and
/// what of that nobody owes is told.
#[rstest]
fn what_a_late_change_adds_after_the_cancellation_is_told(
    #[values("end_and_create", "edit_in_place")] quantity_change: &str,
    #[values("on", "off")] credits: &str,
) {
    let mut lab = lab(None, quantity_change);
    lab.set("credits", credits);
    for _ in 0..2 {
        lab.invoice(40);
    }
    lab.run(&cancellation("2023-02-20", month(2)).0);
    let late =
        order("CH-1", OrderKind::Change, "2023-02-10", month(2)).change("1", "exo", 5, 8, "22.00", "17.60");
    let draft = lab.plan(&[&late.0]);
    let of = draft.findings.iter().filter(|f| f.code == Code::Tu6005).filter_map(|f| f.amount.as_ref());
    // 3 x 22.00 for 9 of 28 days.
    assert_eq!(of.map(|(amount, _)| amount.to_string()).collect::<Vec<_>>(), ["-21.21"], "{}", show(&draft));
    lab.apply(&draft);
    // 3 x 22.00 x 19/28, rounded for each unit.
    assert_eq!(lab.invoice(40), "44.79");
    assert_eq!(lab.invoice(40), "0");
}
