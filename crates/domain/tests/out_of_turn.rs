//! Orders of one day or one instant that come in two deliveries, the later one first; and what such orders cost.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
use common::*;
use rstest::rstest;
use trueup_domain::feed::{BillingModel, Charge, Order, OrderKind, ProductKind};
use trueup_domain::finding::Code;
use trueup_domain::ids::{AgreementId, CompanyId, CustomerId, SourceId};
use trueup_domain::mapping::MappingKind;
use trueup_domain::period::{BillingCycle, Period};

fn january() -> Period {
    period("2028-01-01", "2028-02-01")
}

/// Five seats at 22.00 since January; credits are on.
fn lab(mode: &str, quantity_change: &str) -> Lab {
    let mut lab = Lab::monthly("2028-01-01", "2028-01-01");
    lab.today = day("2028-01-31");
    lab.set("credits", "on").set("line_mode", mode).set("quantity_change", quantity_change);
    lab.product("seat", 7, ProductKind::Seat, "22.00", "17.60");
    lab.product("extra", 8, ProductKind::Seat, "30.00", "20.00");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2028-01-01");
    let sold = line("1", Charge::Recurring, "seat", "5", "22.00", "17.60");
    lab.run(&order("SO-1", OrderKind::Sales, "2028-01-01", january()).with(sold).0);
    lab
}

/// Both of the tenth, completed at one instant.
fn changes() -> (Order, Order) {
    let of = |id: &str, old: i64, new: i64| {
        order(id, OrderKind::Change, "2028-01-10", january())
            .change("1", "seat", old, new, "22.00", "17.60")
            .0
    };
    (of("CH-9", 5, 8), of("CH-10", 8, 6))
}

/// The second of two orders of one instant, as the check tells them apart once both are known.
fn is_second(lab: &Lab, order: &Order) {
    let key = (SourceId::from(SOURCE), order.id.clone());
    lab.completed.borrow_mut().insert(key, (order.completed_us, 1));
}

fn near(text: &str, exact: &str) {
    let apart =
        text.parse::<rust_decimal::Decimal>().unwrap() - exact.parse::<rust_decimal::Decimal>().unwrap();
    assert!(apart.abs() <= "0.06".parse().unwrap(), "{text} is not {exact}");
}

/// 5 to 8 and 8 to 6 of one instant: 6 are billed, whichever came first, and January by what its days cost.
#[rstest]
fn of_two_changes_of_one_instant_the_later_one_stays(
    #[values("prorate_line", "single", "dual")] mode: &str,
    #[values("end_and_create", "edit_in_place")] quantity_change: &str,
    #[values(false, true)] invoiced: bool,
) {
    let mut lab = lab(mode, quantity_change);
    let (first, second) = changes();
    lab.run(&second);
    is_second(&lab, &second);
    let mut billed = Vec::new();
    if invoiced {
        billed.push(lab.invoice(40));
        lab.today = day("2028-02-02");
    }
    lab.run(&first);
    while billed.len() < 4 {
        billed.push(lab.invoice(40));
    }
    assert_eq!(billed[2..], ["132.00", "132.00"], "{billed:?}");
    let both = billed[0].parse::<rust_decimal::Decimal>().unwrap()
        + billed[1].parse::<rust_decimal::Decimal>().unwrap();
    // 110.00 + 22.00 x 22/31, and a month of 6.
    near(&both.to_string(), "257.61");
}

/// A price change and a change of quantity of one instant, the second one first: its state stays.
#[test]
fn a_price_change_of_the_same_instant_does_not_undo_the_quantity() {
    let mut lab = lab("prorate_line", "end_and_create");
    let mut price = order("CH-9", OrderKind::Change, "2028-01-10", january())
        .change("1", "seat", 5, 5, "25.00", "20.00")
        .0;
    price.lines[0].old_unit_price = Some("22.00".parse().unwrap());
    let more = order("CH-10", OrderKind::Change, "2028-01-10", january())
        .change("1", "seat", 5, 8, "25.00", "20.00")
        .0;
    lab.run(&more);
    is_second(&lab, &more);
    lab.run(&price);
    lab.invoice(40);
    assert_eq!([lab.invoice(40), lab.invoice(40)], ["200.00", "200.00"]);
}

/// The old price that an order tells is not that of the line: neither is the old cost.
#[rstest]
#[case::of_the_new_price("11.00", "3 x 5.32 cost 4.26")]
#[case::in_the_ratio("12.00", "1 x 13.55 cost 10.84")]
fn an_old_price_that_is_told_has_a_cost_of_its_own(#[case] told: &str, #[case] expected: &str) {
    let mut lab = lab("prorate_line", "end_and_create");
    let mut more = order("CH-2", OrderKind::Change, "2028-01-17", january())
        .change("1", "seat", 5, 8, "11.00", "8.80")
        .0;
    more.lines[0].old_unit_price = Some(told.parse().unwrap());
    // (8 x 11.00 - 5 x 12.00) x 15/31, and the same of 8.80 and 17.60 x 12/22.
    let shown = lab.run(&more);
    assert!(shown.contains(expected), "{shown}");
}

/// The record of the subscription names another customer than is billed, and no transfer says so: nothing is written on
/// either, save that a cancellation ends what there is.
#[rstest]
#[case::more(5, 8, "seat")]
#[case::added(0, 3, "extra")]
fn what_another_customer_is_billed_for_waits_for_its_transfer(
    #[case] old: i64,
    #[case] new: i64,
    #[case] product: &str,
) {
    let mut lab = lab("prorate_line", "end_and_create");
    lab.second_customer("2028-01-01", "2028-01-01");
    let theirs = |mut order: Order| {
        order.customer = Some(CustomerId::from("c-200"));
        order
    };
    let change = order("CH-1", OrderKind::Change, "2028-01-10", january());
    let change = theirs(change.change("1", product, old, new, "22.00", "17.60").0);
    let draft = lab.plan(&[&change]);
    assert!(draft.changes.is_empty(), "{}", show(&draft));
    assert_eq!(draft.findings.iter().map(|f| f.code).collect::<Vec<_>>(), [Code::Tu3005]);

    let mut cancelled = lab.clone();
    let cancel = theirs(order("CL-1", OrderKind::Cancellation, "2028-01-10", january()).0);
    assert!(cancelled.run(&cancel).contains("delete recurring"));

    // With its transfer before it, it is carried out.
    let sold = line("1", Charge::Recurring, "seat", "5", "22.00", "17.60");
    let transfer = theirs(order("TR-1", OrderKind::Transfer, "2028-01-01", january()).with(sold).0);
    let draft = lab.plan(&[&transfer, &change]);
    assert!(!draft.findings.iter().any(|f| f.code == Code::Tu3005), "{}", show(&draft));
    lab.apply(&draft);
    lab.run(&change);
    assert!(lab.snapshot.additions_of(AgreementId(40)).iter().all(|a| a.state.cancelled.is_some()));
    // The older record once more: it is billed to the other one by now.
    let back = order("CH-2", OrderKind::Change, "2028-01-20", january());
    let draft = lab.plan(&[&back.change("1", "seat", 5, 6, "22.00", "17.60").0]);
    assert_eq!(draft.findings.iter().map(|f| f.code).collect::<Vec<_>>(), [Code::Tu3005], "{}", show(&draft));
}

/// What is of the former customer's days comes after the transfer was carried out: it bills them, on that customer's
/// agreement, and nothing at the other one.
#[rstest]
fn what_is_of_the_days_before_a_transfer_is_the_former_customers(
    #[values(0, 1, 2)] invoices: usize,
    #[values(false, true)] changed_since: bool,
    #[values("prorate_line", "single", "dual")] mode: &str,
) {
    let mut lab = lab(mode, "end_and_create");
    lab.second_customer("2028-01-01", "2028-01-01");
    let mut billed = rust_decimal::Decimal::ZERO;
    let mut theirs = rust_decimal::Decimal::ZERO;
    let mut invoice = |lab: &mut Lab| {
        billed += lab.invoice(40).parse::<rust_decimal::Decimal>().unwrap();
        theirs += lab.invoice(50).parse::<rust_decimal::Decimal>().unwrap();
        (billed, theirs)
    };
    for _ in 0..invoices {
        invoice(&mut lab);
    }
    let march = period("2028-03-01", "2028-04-01");
    let of = |mut order: Order, customer: &str, at: i64| {
        order.customer = Some(CustomerId::from(customer));
        order.completed_us = at;
        order
    };
    let sold = line("1", Charge::Recurring, "seat", "5", "22.00", "17.60");
    let transfer = order("TR-1", OrderKind::Transfer, "2028-03-01", march).with(sold);
    lab.run(&of(transfer.0, "c-200", 2_000_000));
    if changed_since {
        let more = order("CH-2", OrderKind::Change, "2028-03-01", march);
        lab.run(&of(more.change("1", "seat", 5, 6, "22.00", "17.60").0, "c-200", 3_000_000));
    }
    // Completed before it and taken in after it; and the use of February, which comes at its end.
    let late = order("CH-1", OrderKind::Change, "2028-01-17", january());
    let shown = lab.run(&of(late.change("1", "seat", 5, 8, "22.00", "17.60").0, "c-100", 1_000_000));
    assert!(!shown.contains("error"), "{shown}");
    let used = line("1", Charge::Overuse, "extra", "10", "0.50", "0.10");
    let february = period("2028-02-01", "2028-03-01");
    let used = order("BO-1", OrderKind::Billing, "2028-03-02", february).with(used);
    let shown = lab.run(&of(used.0, "c-100", 4_000_000));
    assert!(!shown.contains("error"), "{shown}");
    let mut all = Default::default();
    for _ in invoices..5 {
        all = invoice(&mut lab);
    }
    // Two months of five, 3 x 22.00 x 15/31 of January and all of February, and 5.00 of use.
    near(&all.0.to_string(), "322.94");
    near(&all.1.to_string(), if changed_since { "396.00" } else { "330.00" });
    // Completed after the transfer, it is nobody's but the one's who is billed by now.
    let after = order("CH-3", OrderKind::Change, "2028-01-20", january());
    let after = of(after.change("1", "seat", 8, 9, "22.00", "17.60").0, "c-100", 5_000_000);
    let draft = lab.plan(&[&after]);
    assert_eq!(draft.findings.iter().map(|f| f.code).collect::<Vec<_>>(), [Code::Tu3005], "{}", show(&draft));
}

/// Customers c-100, c-200 and c-300 with an agreement each: 40, 50 and 60.
fn three_customers(mode: &str) -> Lab {
    let mut lab = lab(mode, "end_and_create");
    for (company, customer, agreement) in [(13, "c-200", 50), (14, "c-300", 60)] {
        let mut other = lab.snapshot.companies[&CompanyId(12)].clone();
        other.id = CompanyId(company);
        lab.snapshot.companies.insert(other.id, other);
        lab.agreement(agreement, BillingCycle::MONTHLY, "USD", "2028-01-01", "2028-01-01");
        lab.agreement_mut(agreement).company = CompanyId(company);
        lab.map(MappingKind::Customer, customer, company);
    }
    lab
}

fn transfer(id: &str, to: &str, on: &str, of: Period) -> Order {
    let sold = line("1", Charge::Recurring, "seat", "5", "22.00", "17.60");
    let mut order = order(id, OrderKind::Transfer, on, of).with(sold).0;
    order.customer = Some(CustomerId::from(to));
    order
}

fn invoice_all(lab: &mut Lab) -> [String; 3] {
    [40, 50, 60].map(|agreement| lab.invoice(agreement))
}

/// Two transfers that come in the other order: the first one is billed up to where the second one begins.
#[rstest]
fn two_transfers_that_come_in_the_other_order_bill_each_customer_its_own(
    #[values("prorate_line", "single", "dual")] mode: &str,
    #[values(0, 1)] invoices: usize,
    #[values("2028-02-01", "2028-01-20")] first_on: &str,
) {
    let mut lab = three_customers(mode);
    for _ in 0..invoices {
        invoice_all(&mut lab);
    }
    let (february, march) = (period("2028-02-01", "2028-03-01"), period("2028-03-01", "2028-04-01"));
    let of = if first_on == "2028-02-01" { february } else { january() };
    let first = transfer("TR-1", "c-200", first_on, of);
    let mut second = transfer("TR-2", "c-300", "2028-03-01", march);
    second.completed_us = first.completed_us + 100;
    lab.run(&second);
    let shown = lab.run(&first);
    assert!(shown.contains("TU5001 warning") && !shown.contains("error"), "{shown}");
    lab.run(&second);
    let months: Vec<_> = (invoices..4).map(|_| invoice_all(&mut lab)).collect();
    let at = |customer: usize| months.iter().map(|m| m[customer].as_str()).collect::<Vec<_>>();
    assert_eq!(at(0)[usize::from(invoices == 0)..], vec!["0"; 3][..], "{months:?}\n{shown}");
    assert_eq!(at(1)[1 - invoices..], ["110.00", "0", "0"], "{months:?}\n{shown}");
    assert_eq!(at(2)[1 - invoices..], ["0", "110.00", "110.00"], "{months:?}\n{shown}");
}

/// A transfer that comes after the cancellation that follows it begins nothing that goes on.
#[rstest]
fn a_transfer_after_the_cancellation_that_follows_it_ends_with_that(
    #[values("prorate_line", "single", "dual")] mode: &str,
    #[values(0, 1, 2)] invoices: usize,
    #[values("2028-02-10", "2028-02-01", "2028-03-01")] ended: &str,
) {
    let mut lab = three_customers(mode);
    for _ in 0..invoices {
        invoice_all(&mut lab);
    }
    let february = period("2028-02-01", "2028-03-01");
    let moved = transfer("TR-1", "c-200", "2028-02-01", february);
    let mut gone = order("CL-1", OrderKind::Cancellation, ended, february).0;
    gone.customer = Some(CustomerId::from("c-200"));
    gone.completed_us = moved.completed_us + 100;
    let mut other_way = lab.clone();
    lab.run(&gone);
    let shown = lab.run(&moved);
    assert!(!shown.contains("error"), "{shown}");
    let draft = other_way.plan(&[&moved, &gone]);
    other_way.apply(&draft);
    let months: Vec<_> =
        (invoices..5).map(|_| (invoice_all(&mut lab), invoice_all(&mut other_way))).collect();
    assert!(months[3 - invoices..].iter().all(|(m, _)| m == &["0", "0", "0"]), "{months:?}\n{shown}");
    // What it comes to is what it comes to in their order, whoever was invoiced before they came.
    let sum = |months: &[[String; 3]]| -> rust_decimal::Decimal {
        months.iter().flatten().map(|m| m.parse::<rust_decimal::Decimal>().unwrap()).sum()
    };
    let (own, wanted): (Vec<_>, Vec<_>) = months.into_iter().unzip();
    assert_eq!(sum(&own), sum(&wanted), "{own:?} {wanted:?}\n{shown}\n{}", show(&draft));
}

/// A transfer of two products that broke off after some of its writes and met invoices at both customers: the new one's
/// lines are there once, and what both were billed for goes back to the former one, or is told.
#[rstest]
fn a_transfer_that_broke_off_writes_nothing_twice(
    #[values("prorate_line", "single", "dual")] mode: &str,
    #[values("on", "off")] credits: &str,
    #[values(1, 2, 3)] stop: usize,
    #[values(0, 1, 2)] between: usize,
    #[values("2028-02-01", "2028-02-13")] on: &str,
) {
    let february = period("2028-02-01", "2028-03-01");
    let mut lab = three_customers(mode);
    lab.set("credits", credits);
    let extra = line("1", Charge::Recurring, "extra", "2", "30.00", "20.00");
    lab.run(&order("SO-2", OrderKind::Sales, "2028-01-01", january()).with(extra.clone()).0);
    invoice_all(&mut lab);
    lab.today = day("2028-02-13");
    let mut moved = transfer("TR-1", "c-200", on, february);
    moved.lines.push(trueup_domain::feed::OrderLine { id: "2".into(), ..extra });
    let mut half = lab.plan(&[&moved]);
    half.changes.retain(|c| c.writes());
    half.changes.truncate(stop);
    lab.apply(&half);
    let mut months: Vec<_> = (0..between).map(|_| invoice_all(&mut lab)).collect();
    lab.today = day(["2028-02-14", "2028-03-02", "2028-04-02"][between]);
    let draft = lab.plan(&[&moved]);
    lab.apply(&draft);
    let again = lab.plan(&[&moved]);
    assert!(!again.changes.iter().any(|c| c.writes()), "{}\n{}", show(&draft), show(&again));
    months.extend((between..5).map(|_| invoice_all(&mut lab)));
    let sum = |customer: usize| -> rust_decimal::Decimal {
        months.iter().map(|m| m[customer].parse::<rust_decimal::Decimal>().unwrap()).sum()
    };
    assert_eq!(months[4][..2], ["0", "170.00"], "{months:?}\n{}", show(&draft));
    // The new customer begins in February, or with the period after the transfer.
    let begins = if on == "2028-02-01" { 5 } else { 4 };
    assert_eq!(sum(1), rust_decimal::Decimal::from(170 * begins), "{months:?}\n{}", show(&draft));
    let told = draft.findings.iter().filter(|f| f.code == Code::Tu6005);
    let told: rust_decimal::Decimal = told.filter_map(|f| f.amount).map(|(amount, _)| amount.decimal()).sum();
    assert_eq!(
        sum(0) + told,
        rust_decimal::Decimal::from(170 * (5 - begins)),
        "{months:?}\n{}",
        show(&draft)
    );
}

/// A change that came while an earlier one was taken back, and tells what that one starts from, was reckoned without it: taken
/// in again, the earlier one is billed up to there.
#[rstest]
fn a_change_that_a_later_one_knows_nothing_of_is_billed_up_to_that(
    #[values("prorate_line", "single", "dual")] mode: &str,
    #[values("end_and_create", "edit_in_place")] quantity_change: &str,
    #[values((6, "22.00"), (5, "30.00"))] (second, price): (i64, &str),
) {
    let mut lab = lab(mode, quantity_change);
    let (february, april_of) = (period("2028-02-01", "2028-03-01"), period("2028-04-01", "2028-05-01"));
    let first = order("CH-1", OrderKind::Change, "2028-02-10", february)
        .change("1", "seat", 5, 8, "22.00", "17.60")
        .0;
    let mut later = order("CH-2", OrderKind::Change, "2028-04-10", april_of)
        .change("1", "seat", 5, second, price, "17.60")
        .0;
    later.completed_us = first.completed_us + 1;
    let mut billed = rust_decimal::Decimal::ZERO;
    let mut invoice = |lab: &mut Lab, times: usize| {
        for _ in 0..times {
            billed += lab.invoice(40).parse::<rust_decimal::Decimal>().unwrap();
        }
        billed
    };
    invoice(&mut lab, 2);
    let plan = lab.plan(&[&first]);
    let done = lab.apply(&plan);
    invoice(&mut lab, 1);
    let back = lab.undo(&[(&plan, &done)], &trueup_domain::planner::Extent::Everything);
    lab.apply(&back);
    invoice(&mut lab, 1);
    lab.run(&later);
    let mut again = lab.task(&first);
    again.undone = 1;
    let draft = lab.plan_tasks(&[(again, trueup_domain::task::Demand::Order(Box::new(first)))]);
    lab.apply(&draft);
    let shown = show(&draft);
    let all = invoice(&mut lab, 3);
    // January and all but 20 days of February at 5, March and 9 days of April at 8, and then what the later one says.
    let level = |n: i64, days: i64, of: i64, price: &str| {
        rust_decimal::Decimal::from(n * days) * price.parse::<rust_decimal::Decimal>().unwrap()
            / rust_decimal::Decimal::from(of)
    };
    let wanted = level(5, 1, 1, "22")
        + level(5, 9, 29, "22")
        + level(8, 20, 29, "22")
        + level(8, 1, 1, "22")
        + level(8, 9, 30, "22")
        + level(second, 21, 30, price)
        + level(second, 3, 1, price);
    assert!((all - wanted).abs() < "0.40".parse().unwrap(), "{all} instead of {wanted}\n{shown}");
}

/// The sale of the evening of 9 January in New York, and the switch of the morning of the tenth in Auckland, which is the earlier
/// instant: nobody can tell which came first, and nothing is billed beside the other.
#[test]
fn a_switch_that_lies_before_its_sale_by_the_offset_alone_waits() {
    let mut lab = Lab::monthly("2028-01-01", "2028-01-01");
    lab.today = day("2028-01-31");
    lab.set("credits", "on");
    lab.product("seat", 7, ProductKind::Seat, "22.00", "17.60");
    lab.product("extra", 8, ProductKind::Seat, "30.00", "20.00");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2028-01-01");
    let at = |mut order: Order, text: &str| {
        order.completed_at = text.to_owned();
        order.completed_us = text.parse::<jiff::Timestamp>().unwrap().as_microsecond();
        order
    };
    let sold = line("1", Charge::Recurring, "seat", "5", "22.00", "17.60");
    let sale = order("SO-1", OrderKind::Sales, "2028-01-09", january()).with(sold).0;
    lab.run(&at(sale, "2028-01-09T23:30:00-05:00"));
    let switch = order("CH-1", OrderKind::Change, "2028-01-10", january())
        .change("1", "seat", 5, 0, "22.00", "17.60")
        .change("2", "extra", 0, 5, "30.00", "20.00")
        .0;
    let draft = lab.plan(&[&at(switch.clone(), "2028-01-10T00:15:00+13:00")]);
    assert!(draft.changes.is_empty(), "{}", show(&draft));
    assert_eq!(draft.findings.iter().map(|f| f.code).collect::<Vec<_>>(), [Code::Tu8004]);
    // In one offset it is after the sale, and carried out.
    let draft = lab.plan(&[&at(switch, "2028-01-10T00:15:00-05:00")]);
    assert!(!draft.changes.is_empty());
}
