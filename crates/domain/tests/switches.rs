//! Switches to a plan of another cycle, and parts whose amount the source names: what ends where, and what it costs.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
use common::*;
use rstest::rstest;
use trueup_domain::feed::{BillingModel, Charge, Order, OrderKind, ProductKind};
use trueup_domain::finding::Code;
use trueup_domain::ids::{AgreementId, CustomerId};
use trueup_domain::period::{BillingCycle, CycleUnit};
use trueup_domain::psa::BillFlag;

// The cost of a part whose amount the source names is that of its days, as without the amount.

#[rstest]
#[case::named(Some("46.00"), "create prorate 2028-01-10..2028-01-31 1 x 46.00 cost 37.47 = 46.00\n")]
#[case::not_named(None, "create prorate 2028-01-10..2028-01-31 3 x 15.61 cost 12.49 = 46.83\n")]
fn a_part_with_an_amount_costs_its_days(#[case] amount: Option<&str>, #[case] expected: &str) {
    let mut lab = Lab::monthly("2028-01-01", "2028-01-01");
    lab.product("p", 7, ProductKind::Seat, "22.00", "17.60");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2028-01-01");
    let january = period("2028-01-01", "2028-02-01");
    let sold = line("1", Charge::Recurring, "p", "5", "22.00", "17.60");
    lab.run(&order("SO-1", OrderKind::Sales, "2028-01-01", january).with(sold).0);
    let mut part = line("2", Charge::Prorate, "p", "3", "22.00", "17.60");
    part.amount = amount.map(|amount| amount.parse().unwrap());
    part.period = Some(period("2028-01-10", "2028-02-01"));
    let change = order("CH-1", OrderKind::Change, "2028-01-10", january);
    let shown = lab.run(&change.change("1", "p", 5, 8, "22.00", "17.60").with(part).0);
    assert!(shown.contains(expected), "{shown}");
}

// From a monthly to a yearly product: the old line lives on the periods of its own agreement.

const YEARLY: BillingCycle = BillingCycle { every: 1, unit: CycleUnit::Year };

/// Five seats of p a month since January, their agreement invoiced up to `next`; and the company's yearly agreement.
fn monthly(next: &str) -> Lab {
    let mut lab = Lab::monthly("2028-01-01", "2028-01-01");
    lab.product("p", 7, ProductKind::Seat, "22.00", "17.60");
    lab.product("q", 8, ProductKind::Seat, "220.00", "176.00");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2028-01-01");
    let sold = line("1", Charge::Recurring, "p", "5", "22.00", "17.60");
    let january = period("2028-01-01", "2028-02-01");
    lab.run(&order("SO-1", OrderKind::Sales, "2028-01-01", january).with(sold).0);
    lab.agreement_mut(40).next_invoice = Some(day(next));
    lab.agreement(41, YEARLY, "USD", "2028-01-16", "2028-01-16");
    lab.subscription("s-1", YEARLY, BillingModel::Advance, "2028-01-01");
    lab
}

fn switch(on: &str, end: &str) -> Order {
    order("CH-1", OrderKind::Change, on, period(on, end))
        .change("1", "p", 5, 0, "22.00", "17.60")
        .change("2", "q", 0, 5, "220.00", "176.00")
        .0
}

const YEAR_OF_Q: &str = "create recurring 2028-01-16..- 5 x 220.00 cost 176.00 = 1100.00\n";

#[rstest]
#[case::invoiced("2028-02-01", "cancel recurring 2028-01-01..2028-01-31 5 x 22.00 cost 17.60 = -110.00\n")]
#[case::not_invoiced("2028-01-01", "cancel recurring 2028-01-01..2028-01-31 5 x 22.00 cost 17.60 = 0.00\n")]
fn a_switch_to_another_cycle_ends_the_old_line_with_its_own_period(#[case] next: &str, #[case] ends: &str) {
    let mut lab = monthly(next);
    let draft = lab.plan(&[&switch("2028-01-16", "2029-01-16")]);
    let left = draft.findings.iter().find(|f| f.code == Code::Tu6005).unwrap();
    assert_eq!(left.amount.unwrap().0.to_string(), "-56.77", "16 of 31 days of p are not given back");
    assert_eq!(lab.run(&switch("2028-01-16", "2029-01-16")), format!("{YEAR_OF_Q}{ends}TU6005 warning\n"));
    assert!(
        draft.changes.iter().filter(|c| c.product.as_str() == "p").all(|c| c.agreement == AgreementId(40))
    );
}

#[test]
fn with_credits_on_what_is_left_of_the_old_period_is_given_back() {
    let mut lab = monthly("2028-01-01");
    lab.set("credits", "on");
    lab.run(&switch("2028-01-16", "2029-01-16"));
    assert_eq!(lab.invoice(40), "53.23", "15 of 31 days");
    assert_eq!(lab.invoice(40), "0");
    assert_eq!(lab.invoice(41), "1100.00");
}

#[test]
fn with_credits_on_it_is_given_back_on_the_next_invoice_where_it_was_paid() {
    let mut lab = monthly("2028-02-01");
    lab.set("credits", "on");
    lab.run(&switch("2028-01-16", "2029-01-16"));
    assert_eq!(lab.invoice(40), "-56.77");
    assert_eq!(lab.invoice(40), "0");
}

#[test]
fn a_switch_where_the_old_period_begins_leaves_nothing_of_it_and_warns_of_nothing() {
    let mut lab = monthly("2028-02-01");
    assert_eq!(
        lab.run(&switch("2028-02-01", "2029-02-01")),
        "create recurring 2028-02-01..- 5 x 220.00 cost 176.00 = 1100.00\n\
         cancel recurring 2028-01-01..2028-01-31 5 x 22.00 cost 17.60 = -110.00\n"
    );
}

#[test]
fn a_month_that_was_invoiced_ahead_is_told_as_well() {
    let lab = monthly("2028-03-01");
    let draft = lab.plan(&[&switch("2028-01-16", "2029-01-16")]);
    let left = draft.findings.iter().find(|f| f.code == Code::Tu6005).unwrap();
    assert_eq!(left.amount.unwrap().0.to_string(), "-166.77", "{}", show(&draft));
    assert!(show(&draft).contains("cancel recurring 2028-01-01..2028-02-29"), "{}", show(&draft));
}

/// What goes back of the old line is written and its end is not: the months that are invoiced until the next run are given
/// back as well.
#[rstest]
fn a_switch_that_broke_off_gives_back_what_was_invoiced_since(
    #[values("2028-01-01", "2028-02-01", "2028-03-01")] next: &str,
    #[values(1, 2)] stop: usize,
    #[values(0, 1, 2)] between: usize,
) {
    let sum = |stop: Option<usize>| {
        let mut lab = monthly(next);
        lab.set("credits", "on");
        let order = switch("2028-01-16", "2029-01-16");
        let mut all = rust_decimal::Decimal::ZERO;
        let mut invoices = 0;
        if let Some(stop) = stop {
            let mut half = lab.plan(&[&order]);
            half.changes.retain(|c| c.writes());
            half.changes.truncate(stop);
            lab.apply(&half);
            for _ in 0..between {
                all += lab.invoice(40).parse::<rust_decimal::Decimal>().unwrap();
                invoices += 1;
            }
        }
        lab.run(&order);
        for _ in invoices..4 {
            all += lab.invoice(40).parse::<rust_decimal::Decimal>().unwrap();
        }
        all + lab.invoice(41).parse::<rust_decimal::Decimal>().unwrap()
    };
    assert_eq!(sum(Some(stop)), sum(None));
}

/// What was set not to be billed was never paid: the switch gives nothing back of it, and says so.
#[test]
fn a_switch_gives_back_nothing_of_a_line_that_bills_nothing() {
    let mut lab = Lab::monthly("2028-01-01", "2028-01-01");
    lab.set("credits", "on");
    lab.product("p", 7, ProductKind::Seat, "22.00", "17.60");
    lab.product("q", 8, ProductKind::Seat, "10.00", "8.00");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2028-01-01");
    let january = period("2028-01-01", "2028-02-01");
    let sold = line("1", Charge::Recurring, "p", "5", "22.00", "17.60");
    lab.run(&order("SO-1", OrderKind::Sales, "2028-01-01", january).with(sold).0);
    let mut there = lab.snapshot.additions.values_mut().flatten();
    there.next().unwrap().state.bill = BillFlag::DoNotBill;
    assert_eq!(lab.invoice(40), "0");
    let switch = order("CH-1", OrderKind::Change, "2028-01-17", january)
        .change("1", "p", 5, 0, "22.00", "17.60")
        .change("2", "q", 0, 3, "10.00", "8.00");
    let draft = lab.plan(&[&switch.0]);
    assert!(draft.findings.iter().any(|f| f.code == Code::Tu8006), "{}", show(&draft));
    lab.apply(&draft);
    // 15 of 31 days of three, and the whole of February.
    assert_eq!(lab.invoice(40), "44.52", "{}", show(&draft));
}

/// The same where the switch comes after invoices, with credits off: they billed nothing of the old plan, so that the new one
/// costs them whole.
#[rstest]
#[case::dearer(5, "30.00", "382.26")]
#[case::cheaper(3, "10.00", "76.45")]
fn a_late_switch_gives_back_nothing_of_a_line_that_bills_nothing(
    #[case] seats: i64,
    #[case] price: &str,
    #[case] billed: &str,
) {
    let mut lab = Lab::monthly("2028-01-01", "2028-01-01");
    lab.product("p", 7, ProductKind::Seat, "22.00", "17.60");
    lab.product("q", 8, ProductKind::Seat, price, "8.00");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2028-01-01");
    let january = period("2028-01-01", "2028-02-01");
    let sold = line("1", Charge::Recurring, "p", "5", "22.00", "17.60");
    lab.run(&order("SO-1", OrderKind::Sales, "2028-01-01", january).with(sold).0);
    let mut there = lab.snapshot.additions.values_mut().flatten();
    there.next().unwrap().state.bill = BillFlag::DoNotBill;
    assert_eq!([lab.invoice(40), lab.invoice(40)], ["0", "0"]);
    lab.today = day("2028-03-01");
    let switch = order("CH-1", OrderKind::Change, "2028-01-15", january)
        .change("1", "p", 5, 0, "22.00", "17.60")
        .change("2", "q", 0, seats, price, "8.00");
    let draft = lab.plan(&[&switch.0]);
    assert!(draft.findings.iter().any(|f| f.code == Code::Tu8006), "{}", show(&draft));
    assert!(!draft.findings.iter().any(|f| f.code == Code::Tu6005), "{}", show(&draft));
    lab.apply(&draft);
    // 17 of 31 days of January, February and March.
    assert_eq!(lab.invoice(40), billed, "{}", show(&draft));
}

/// A cancellation that comes after invoices gives back and tells nothing of a line that they did not bill.
#[rstest]
fn a_late_cancellation_tells_nothing_of_a_line_that_bills_nothing(#[values("off", "on")] credits: &str) {
    let mut lab = Lab::monthly("2028-01-01", "2028-01-01");
    lab.set("credits", credits);
    lab.product("p", 7, ProductKind::Seat, "22.00", "17.60");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2028-01-01");
    let january = period("2028-01-01", "2028-02-01");
    let sold = line("1", Charge::Recurring, "p", "5", "22.00", "17.60");
    lab.run(&order("SO-1", OrderKind::Sales, "2028-01-01", january).with(sold).0);
    let mut there = lab.snapshot.additions.values_mut().flatten();
    there.next().unwrap().state.bill = BillFlag::DoNotBill;
    assert_eq!([lab.invoice(40), lab.invoice(40), lab.invoice(40)], ["0", "0", "0"]);
    lab.today = day("2028-03-05");
    let february = period("2028-02-01", "2028-03-01");
    let draft = lab.plan(&[&order("CL-1", OrderKind::Cancellation, "2028-02-11", february).0]);
    assert!(!draft.findings.iter().any(|f| f.code == Code::Tu6005), "{}", show(&draft));
    lab.apply(&draft);
    assert_eq!([lab.invoice(40), lab.invoice(40)], ["0", "0"], "{}", show(&draft));
}

/// A lab with a second company, whose customer is `c-200` and whose agreement is 50.
fn two_customers() -> Lab {
    let mut lab = Lab::monthly("2028-01-01", "2028-01-01");
    lab.set("credits", "on");
    lab.product("p", 7, ProductKind::Seat, "22.00", "17.60");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2028-01-01");
    lab.second_customer("2028-01-01", "2028-01-01");
    lab
}

/// The same, whose one line, of 5 for 22.00, is set not to be billed from the start.
fn not_billed() -> Lab {
    let mut lab = two_customers();
    let sold = line("1", Charge::Recurring, "p", "5", "22.00", "17.60");
    let january = period("2028-01-01", "2028-02-01");
    lab.run(&order("SO-1", OrderKind::Sales, "2028-01-01", january).with(sold).0);
    let mut there = lab.snapshot.additions.values_mut().flatten();
    there.next().unwrap().state.bill = BillFlag::DoNotBill;
    lab
}

/// Invoices that billed nothing of a line hold nothing back: a transfer that comes late bills the new customer from its own
/// day, and gives the former one nothing back.
#[rstest]
fn a_late_transfer_of_a_line_that_bills_nothing_begins_on_its_day(#[values(0, 2, 4)] invoices: usize) {
    let mut lab = not_billed();
    for _ in 0..invoices {
        assert_eq!(lab.invoice(40), "0");
        assert_eq!(lab.invoice(50), "0");
    }
    let january = period("2028-01-01", "2028-02-01");
    let moved = line("1", Charge::Recurring, "p", "5", "22.00", "17.60");
    let mut transfer = order("TR-1", OrderKind::Transfer, "2028-01-17", january).with(moved).0;
    transfer.customer = Some(CustomerId::from("c-200"));
    let draft = lab.plan(&[&transfer]);
    assert!(draft.findings.iter().any(|f| f.code == Code::Tu5001), "{}", show(&draft));
    lab.apply(&draft);
    let mut billed = rust_decimal::Decimal::ZERO;
    for _ in invoices..6 {
        assert_eq!(lab.invoice(40), "0", "{}", show(&draft));
        billed += lab.invoice(50).parse::<rust_decimal::Decimal>().unwrap();
    }
    // February to June.
    assert_eq!(billed, rust_decimal::Decimal::from(5 * 110), "{}", show(&draft));
}

/// What both are billed: the former customer's invoices and the new one's, so many of each.
fn billed(lab: &mut Lab, invoices: usize) -> [rust_decimal::Decimal; 2] {
    [40, 50].map(|agreement| {
        (0..invoices).map(|_| lab.invoice(agreement).parse::<rust_decimal::Decimal>().unwrap()).sum()
    })
}

fn moved(on: &str) -> Order {
    let month = BillingCycle::MONTHLY.period_containing(day("2028-01-01"), day(on)).unwrap();
    let seats = line("1", Charge::Recurring, "p", "5", "22.00", "17.60");
    let mut transfer = order("TR-1", OrderKind::Transfer, on, month).with(seats).0;
    transfer.customer = Some(CustomerId::from("c-200"));
    transfer
}

/// Invoices from before anything of the subscription was written hold no day of its transfer back: what was caught up for
/// the former customer goes up to the day of the transfer, and the rest is the new one's.
#[rstest]
fn a_transfer_is_not_moved_by_invoices_that_billed_nothing_of_it(
    #[values(0, 2, 4)] before: usize,
    #[values(false, true)] with_change: bool,
    #[values("2028-01-01", "2028-01-10")] on: &str,
) {
    let mut lab = two_customers();
    billed(&mut lab, before);
    let january = period("2028-01-01", "2028-02-01");
    let seats = line("1", Charge::Recurring, "p", "5", "22.00", "17.60");
    lab.run(&order("SO-1", OrderKind::Sales, on, january).with(seats).0);
    if with_change {
        // Back to what it was: the transfer moves five.
        lab.run(
            &order("CH-1", OrderKind::Change, "2028-01-20", january)
                .change("1", "p", 5, 6, "22.00", "17.60")
                .0,
        );
        let mut back = order("CH-2", OrderKind::Change, "2028-01-20", january);
        back.0.completed_us += 1;
        lab.run(&back.change("1", "p", 6, 5, "22.00", "17.60").0);
    }
    let draft = lab.plan(&[&moved("2028-02-10")]);
    lab.apply(&draft);
    let again = lab.plan(&[&moved("2028-02-10")]);
    assert!(!again.changes.iter().any(|c| c.writes()), "{}", show(&again));
    let [former, new] = billed(&mut lab, 8 - before);
    // Up to the end of February, and from March to August.
    assert_eq!((former, new), (dec("220.00"), dec("660.00")), "{}", show(&draft));
}

/// Where the former customer was billed for it, those days stay.
#[test]
fn a_transfer_begins_after_what_the_former_customer_was_billed() {
    let mut lab = two_customers();
    let january = period("2028-01-01", "2028-02-01");
    let seats = line("1", Charge::Recurring, "p", "5", "22.00", "17.60");
    billed(&mut lab, 3);
    lab.run(&order("SO-1", OrderKind::Sales, "2028-01-01", january).with(seats).0);
    let early = billed(&mut lab, 1);
    assert_eq!(early, [dec("440.00"), dec("0")]);
    lab.run(&moved("2028-02-10"));
    assert_eq!(billed(&mut lab, 2), [dec("0"), dec("220.00")]);
}

/// Days that an averaged line has billed to the former customer hold the day of a transfer as those of any other line.
#[rstest]
fn a_transfer_begins_after_what_was_billed_in_every_mode(
    #[values("prorate_line", "single", "dual", "commitment")] mode: &str,
) {
    let mut lab = two_customers();
    lab.set("line_mode", mode);
    let month = |on: &str| BillingCycle::MONTHLY.period_containing(day("2028-01-01"), day(on)).unwrap();
    let seats = line("1", Charge::Recurring, "p", "5", "22.00", "17.60");
    lab.run(&order("SO-1", OrderKind::Sales, "2028-01-01", month("2028-01-01")).with(seats).0);
    billed(&mut lab, 3);
    let transfer = moved("2028-03-10");
    let mut change = order("CH-1", OrderKind::Change, "2028-04-16", month("2028-04-16"))
        .change("1", "p", 5, 6, "22.00", "17.60")
        .0;
    change.completed_us = transfer.completed_us + 1;
    lab.run(&change);
    billed(&mut lab, 1);
    let said = lab.run(&transfer);
    // April was the former customer's; from May on six are the new one's.
    assert_eq!(billed(&mut lab, 3)[1], dec("396.00"), "{said}");
}

/// A transfer that comes after changes which were ordered later moves what they left.
#[rstest]
#[case::more(8, "22.00", "528.00")]
#[case::fewer(3, "22.00", "198.00")]
#[case::dearer(5, "25.00", "375.00")]
fn a_late_transfer_moves_what_younger_changes_left(
    #[case] quantity: i64,
    #[case] price: &str,
    #[case] new: &str,
    #[values("end_and_create", "edit_in_place")] form: &str,
) {
    let mut lab = two_customers();
    lab.set("quantity_change", form);
    let month = |on: &str| BillingCycle::MONTHLY.period_containing(day("2028-01-01"), day(on)).unwrap();
    let seats = line("1", Charge::Recurring, "p", "5", "22.00", "17.60");
    lab.run(&order("SO-1", OrderKind::Sales, "2028-01-01", month("2028-01-01")).with(seats).0);
    billed(&mut lab, 3);
    let transfer = moved("2028-02-10");
    let mut change = order("CH-1", OrderKind::Change, "2028-03-20", month("2028-03-20"))
        .change("1", "p", 5, quantity, price, "17.60")
        .0;
    change.completed_us = transfer.completed_us + 1;
    lab.run(&change);
    billed(&mut lab, 1);
    let said = lab.run(&transfer);
    // From May on.
    assert_eq!(billed(&mut lab, 3)[1], dec(new), "{said}");
}

/// Also a product that they added, or put in the place of the one that the transfer names.
#[rstest]
#[case::added(None, "990.00")]
#[case::switched(Some(0), "660.00")]
fn a_late_transfer_moves_what_younger_changes_began(
    #[case] seats_left: Option<i64>,
    #[case] new: &str,
    #[values("prorate_line", "single", "dual")] mode: &str,
    #[values("end_and_create", "edit_in_place")] form: &str,
) {
    let mut lab = two_customers();
    lab.set("quantity_change", form).set("line_mode", mode).set("credits", "on");
    lab.product("q", 9, ProductKind::Seat, "10.00", "5.00");
    let month = |on: &str| BillingCycle::MONTHLY.period_containing(day("2028-01-01"), day(on)).unwrap();
    let seats = line("1", Charge::Recurring, "p", "5", "22.00", "17.60");
    lab.run(&order("SO-1", OrderKind::Sales, "2028-01-01", month("2028-01-01")).with(seats).0);
    billed(&mut lab, 3);
    let transfer = moved("2028-02-10");
    let mut change = order("CH-1", OrderKind::Change, "2028-03-20", month("2028-03-20"));
    change = change.change("1", "q", 0, 22, "10.00", "5.00");
    if let Some(left) = seats_left {
        change = change.change("2", "p", 5, left, "22.00", "17.60");
    }
    let mut change = change.0;
    change.completed_us = transfer.completed_us + 1;
    lab.run(&change);
    billed(&mut lab, 1);
    let said = lab.run(&transfer);
    assert!(!said.contains("error"), "{said}");
    // From May on, three months.
    assert_eq!(billed(&mut lab, 3), [dec("0"), dec(new)], "{said}");
}

/// A cancellation that was ordered before a transfer which was carried out waits for a person: the transfer goes beyond it.
#[test]
fn a_cancellation_of_before_a_transfer_waits() {
    let mut lab = two_customers();
    let january = period("2028-01-01", "2028-02-01");
    let seats = line("1", Charge::Recurring, "p", "5", "22.00", "17.60");
    lab.run(&order("SO-1", OrderKind::Sales, "2028-01-01", january).with(seats).0);
    billed(&mut lab, 2);
    lab.run(&moved("2028-03-10"));
    billed(&mut lab, 2);
    let mut end = order("CA-1", OrderKind::Cancellation, "2028-02-10", period("2028-02-01", "2028-03-01")).0;
    end.completed_us = moved("2028-03-10").completed_us - 1;
    let draft = lab.plan(&[&end]);
    assert!(!draft.changes.iter().any(|c| c.writes()), "{}", show(&draft));
    assert!(
        draft.findings.iter().any(|f| f.code == Code::Tu5001 && f.message.contains("moves it to another")),
        "{}",
        show(&draft)
    );
}

/// A transfer that comes late leaves invoiced months with the former customer; a cancellation of before them gives them back
/// there, and what the new customer was invoiced, to the new one.
#[rstest]
fn a_cancellation_after_a_late_transfer_gives_back_to_whom_was_billed(
    #[values("prorate_line", "single", "dual")] mode: &str,
    #[values("end_and_create", "edit_in_place")] form: &str,
    #[values(false, true)] at_once: bool,
    #[values(0, 1, 2)] between: usize,
    #[values(None, Some(8))] changed: Option<i64>,
    #[values("on", "off")] credits: &str,
) {
    let mut lab = two_customers();
    lab.moves_apart = credits == "off";
    lab.set("line_mode", mode).set("quantity_change", form).set("credits", credits);
    let month = |on: &str| BillingCycle::MONTHLY.period_containing(day("2028-01-01"), day(on)).unwrap();
    let seats = line("1", Charge::Recurring, "p", "5", "22.00", "17.60");
    lab.run(&order("SO-1", OrderKind::Sales, "2028-01-01", month("2028-01-01")).with(seats).0);
    let [mut former, mut new] = billed(&mut lab, 6);
    let transfer = moved("2028-03-10");
    // It is the new customer's, from the first of a month that is invoiced to the former one.
    let change = changed.map(|quantity| {
        let change = order("CH-1", OrderKind::Change, "2028-04-01", month("2028-04-01"));
        let mut change = change.change("1", "p", 5, quantity, "22.00", "17.60").0;
        change.customer = Some(CustomerId::from("c-200"));
        change.completed_us = transfer.completed_us + 1;
        change
    });
    let mut end = order("CA-1", OrderKind::Cancellation, "2028-05-01", month("2028-05-01")).0;
    end.customer = Some(CustomerId::from("c-200"));
    end.completed_us = transfer.completed_us + 2;
    let mut said = lab.run(&transfer);
    if let Some(change) = &change {
        said += &lab.run(change);
    }
    let mut told = rust_decimal::Decimal::ZERO;
    if !at_once {
        let more = billed(&mut lab, between);
        former += more[0];
        new += more[1];
    }
    let draft = lab.plan(&[&end]);
    let left_out = draft.findings.iter().filter(|f| f.code == Code::Tu6005).filter_map(|f| f.amount);
    told += left_out.map(|(amount, _)| amount.decimal()).sum::<rust_decimal::Decimal>();
    said += &show(&draft);
    lab.apply(&draft);
    let more = billed(&mut lab, 3);
    former += more[0];
    new += more[1];
    // Five to the end of March, and what the change left in April.
    let owed = dec("330.00") + dec("22.00") * rust_decimal::Decimal::from(changed.unwrap_or(5));
    if credits == "on" {
        assert_eq!(former + new + told, owed, "{former} {new} {told}\n{said}");
    } else {
        // What stays paid is told: with what an order on its way told of it, or by what the plan differs from its orders.
        assert!(former + new == owed || told < dec("0"), "{former} {new} {told}\n{said}");
    }
}

/// A switch that comes after a younger order took its new plan away: each plan is billed for its own days.
#[rstest]
fn a_late_switch_bills_the_new_plan_up_to_its_end(
    #[values("prorate_line", "single", "dual")] mode: &str,
    #[values("end_and_create", "edit_in_place")] form: &str,
    #[values(2, 3, 4)] invoiced: usize,
) {
    let mut lab = two_customers();
    lab.set("quantity_change", form).set("line_mode", mode).set("credits", "on");
    lab.product("q", 9, ProductKind::Seat, "10.00", "5.00");
    let month = |on: &str| BillingCycle::MONTHLY.period_containing(day("2028-01-01"), day(on)).unwrap();
    let seats = line("1", Charge::Recurring, "p", "5", "22.00", "17.60");
    lab.run(&order("SO-1", OrderKind::Sales, "2028-01-01", month("2028-01-01")).with(seats).0);
    let mut sum = billed(&mut lab, 2)[0];
    let switch = order("CH-1", OrderKind::Change, "2028-03-02", month("2028-03-02"));
    let switch = switch.change("1", "p", 5, 0, "22.00", "17.60").change("2", "q", 0, 6, "10.00", "5.00").0;
    let gone = order("CH-2", OrderKind::Change, "2028-03-10", month("2028-03-10"));
    let mut gone = gone.change("1", "q", 6, 0, "10.00", "5.00").0;
    gone.completed_us = switch.completed_us + 1;
    lab.run(&gone);
    sum += billed(&mut lab, invoiced - 2)[0];
    let said = lab.run(&switch);
    sum += billed(&mut lab, 3)[0];
    // One day of the old plan in March, and eight of the new one.
    let apart = sum - dec("239.03");
    assert!(apart.abs() <= dec("0.10"), "{sum}\n{said}");
}

fn dec(text: &str) -> rust_decimal::Decimal {
    text.parse().unwrap()
}
