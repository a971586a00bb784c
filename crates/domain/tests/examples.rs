//! The worked examples E1 to E15 of the order rules, with their exact numbers.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
use common::*;
use trueup_domain::Decimal;
use trueup_domain::feed::{BillingModel, Charge, OrderKind, OrderLine, ProductKind};
use trueup_domain::mapping::MappingKind;
use trueup_domain::period::{BillingCycle, Period};

fn march() -> Period {
    period("2023-03-01", "2023-04-01")
}

fn lab(next: &str) -> Lab {
    let mut lab = Lab::monthly("2023-01-01", next);
    lab.product("seat", 7, ProductKind::Seat, "22.00", "17.60");
    lab.product("plan", 8, ProductKind::Plan, "30.00", "0.00");
    lab.product("plan-2", 9, ProductKind::Plan, "50.00", "0.00");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2023-03-01");
    lab
}

fn seats(on: &str, quantity: &str) -> OrderDraft {
    order("SO-1", OrderKind::Sales, on, march()).with(line(
        "1",
        Charge::Recurring,
        "seat",
        quantity,
        "22.00",
        "17.60",
    ))
}

fn change(on: &str, old: i64, new: i64) -> OrderDraft {
    order("CH-1", OrderKind::Change, on, march()).change("1", "seat", old, new, "22.00", "17.60")
}

/// A line with the source's own amount.
fn amount(id: &str, charge: Charge, quantity: &str, amount: &str) -> OrderLine {
    let mut made = line(id, charge, "seat", quantity, "", "");
    made.amount = Some(amount.parse().unwrap());
    made.cost_amount = Some("0".parse().unwrap());
    made
}

#[test]
fn e1_a_sale_bills_setup_once_and_plan_and_seats_open_ended() {
    let mut lab = lab("2023-03-01");
    let sale = order("SO-1", OrderKind::Sales, "2023-03-01", march())
        .with(line("1", Charge::Setup, "plan", "3", "10.00", "0"))
        .with(line("2", Charge::Setup, "seat", "5", "2.00", "0"))
        .with(line("3", Charge::Recurring, "plan", "3", "30.00", "0"))
        .with(line("4", Charge::Recurring, "seat", "5", "22.00", "17.60"));
    assert_eq!(
        lab.run(&sale.0),
        "create setup 2023-03-01..2023-03-31 1 x 10.00 cost 0.00 = 10.00\n\
         create setup 2023-03-01..2023-03-31 5 x 2.00 cost 0.00 = 10.00\n\
         create recurring 2023-03-01..- 1 x 30.00 cost 0.00 = 30.00\n\
         create recurring 2023-03-01..- 5 x 22.00 cost 17.60 = 110.00\n"
    );
    assert_eq!(lab.invoice(40), "160.00");
    assert_eq!(lab.invoice(40), "140.00");
}

#[test]
fn e2_an_upgrade_ends_the_old_line_bills_the_part_and_begins_the_new_one() {
    let mut lab = lab("2023-03-01");
    lab.run(&seats("2023-03-01", "5").0);
    let draft = lab.plan(&[&change("2023-03-15", 5, 8).0]);
    let part = draft.changes.iter().find(|c| c.role == trueup_domain::plan::Role::Prorate).unwrap();
    assert_eq!(part.formula, "22.00 x 17/31 = 12.0645 -> 12.06; 3 x 12.06");
    assert_eq!(part.cost.to_string(), "28.95");
    assert_eq!(
        lab.run(&change("2023-03-15", 5, 8).0),
        "create recurring 2023-04-01..- 8 x 22.00 cost 17.60 = 176.00\n\
         create prorate 2023-03-15..2023-03-31 3 x 12.06 cost 9.65 = 36.18\n\
         cancel recurring 2023-03-01..2023-03-31 5 x 22.00 cost 17.60 = 0.00\n"
    );
    assert_eq!(lab.invoice(40), "146.18");
    assert_eq!(lab.invoice(40), "176.00");
}

#[test]
fn e2_in_one_plan_with_its_sale() {
    let mut lab = lab("2023-03-01");
    let (sale, change) = (seats("2023-03-01", "5").0, change("2023-03-15", 5, 8).0);
    let draft = lab.plan(&[&change, &sale]);
    lab.apply(&draft);
    assert_eq!(lab.invoice(40), "146.18");
    assert_eq!(lab.invoice(40), "176.00");
    let again = lab.plan(&[&sale, &change]);
    assert!(again.changes.iter().all(|c| !c.writes()), "{}", show(&again));
}

#[test]
fn e3_a_change_at_the_period_start_has_no_part() {
    let mut lab = lab("2023-03-01");
    lab.run(&seats("2023-03-01", "5").0);
    assert_eq!(
        lab.run(&change("2023-03-01", 5, 8).0),
        "create recurring 2023-03-01..- 8 x 22.00 cost 17.60 = 176.00\n\
         delete recurring 2023-03-01..- 5 x 22.00 cost 17.60 = -110.00\n"
    );
}

#[test]
fn e3_a_billed_line_ends_the_day_before() {
    let mut lab = lab("2023-02-01");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2023-02-01");
    let sale = order("SO-1", OrderKind::Sales, "2023-02-01", period("2023-02-01", "2023-03-01")).with(line(
        "1",
        Charge::Recurring,
        "seat",
        "5",
        "22.00",
        "17.60",
    ));
    lab.run(&sale.0);
    lab.invoice(40);
    assert_eq!(
        lab.run(&change("2023-03-01", 5, 8).0),
        "create recurring 2023-03-01..- 8 x 22.00 cost 17.60 = 176.00\n\
         cancel recurring 2023-02-01..2023-02-28 5 x 22.00 cost 17.60 = -110.00\n"
    );
}

#[test]
fn e4_the_last_day_of_february_is_one_of_28() {
    let mut lab = lab("2023-02-01");
    let change = order("CH-1", OrderKind::Change, "2023-02-28", period("2023-02-01", "2023-03-01"))
        .change("1", "seat", 0, 1, "22.00", "17.60");
    let shown = lab.run(&change.0);
    assert!(shown.contains("create prorate 2023-02-28..2023-02-28 1 x 0.79 cost 0.63"), "{shown}");
}

#[test]
fn e5_an_anniversary_period_counts_elapsed_days() {
    let mut lab = Lab::monthly("2023-01-20", "2023-01-20");
    lab.product("seat", 7, ProductKind::Seat, "22.00", "17.60");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2023-01-20");
    let change = order("CH-1", OrderKind::Change, "2023-02-05", period("2023-01-20", "2023-02-20"))
        .change("1", "seat", 0, 1, "22.00", "17.60");
    let shown = lab.run(&change.0);
    assert!(shown.contains("create prorate 2023-02-05..2023-02-19 1 x 10.65"), "{shown}");
}

#[test]
fn e6_a_year_is_365_days() {
    let mut lab = Lab::monthly("2023-01-01", "2023-01-01");
    lab.agreement(41, BillingCycle::YEARLY, "USD", "2023-01-01", "2023-01-01");
    lab.product("seat", 7, ProductKind::Seat, "264.00", "211.20");
    lab.subscription("s-1", BillingCycle::YEARLY, BillingModel::Advance, "2023-01-01");
    let change = order("CH-1", OrderKind::Change, "2023-07-01", period("2023-01-01", "2024-01-01"))
        .change("1", "seat", 0, 1, "264.00", "211.20");
    let shown = lab.run(&change.0);
    assert!(shown.contains("create prorate 2023-07-01..2023-12-31 1 x 133.08 cost 106.47"), "{shown}");
}

#[test]
fn e7_a_downgrade_with_refunds_on() {
    let mut lab = lab("2023-03-01");
    lab.set("credits", "on");
    lab.run(&seats("2023-03-01", "8").0);
    assert_eq!(
        lab.run(&change("2023-03-20", 8, 6).0),
        "create recurring 2023-04-01..- 6 x 22.00 cost 17.60 = 132.00\n\
         create prorate 2023-03-20..2023-03-31 -2 x 8.52 cost 6.81 = -17.04\n\
         cancel recurring 2023-03-01..2023-03-31 8 x 22.00 cost 17.60 = 0.00\n"
    );
}

#[test]
fn e7_a_downgrade_with_refunds_off_says_what_is_left_out() {
    let mut lab = lab("2023-03-01");
    lab.run(&seats("2023-03-01", "8").0);
    assert_eq!(
        lab.run(&change("2023-03-20", 8, 6).0),
        "create recurring 2023-04-01..- 6 x 22.00 cost 17.60 = 132.00\n\
         cancel recurring 2023-03-01..2023-03-31 8 x 22.00 cost 17.60 = 0.00\n\
         TU6005 warning\n"
    );
}

#[test]
fn e8_refund_based_details_are_netted_per_product() {
    let mut lab = lab("2023-04-01");
    let april = period("2023-04-01", "2023-05-01");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2023-04-01");
    let sale = order("SO-1", OrderKind::Sales, "2023-04-01", april).with(line(
        "1",
        Charge::Recurring,
        "seat",
        "10",
        "20.00",
        "15.00",
    ));
    lab.run(&sale.0);
    let change = order("CH-1", OrderKind::Change, "2023-04-11", april)
        .with(amount("1", Charge::Refund, "10", "-200.00"))
        .with(amount("2", Charge::Prorate, "10", "66.67"))
        .with(amount("3", Charge::Prorate, "15", "180.00"))
        .change("4", "seat", 10, 15, "18.00", "13.00");
    assert_eq!(
        lab.run(&change.0),
        "create recurring 2023-05-01..- 15 x 18.00 cost 13.00 = 270.00\n\
         create prorate 2023-04-11..2023-04-30 1 x 46.67 cost 0.00 = 46.67\n\
         cancel recurring 2023-04-01..2023-04-30 10 x 20.00 cost 15.00 = 0.00\n"
    );
}

#[test]
fn e9_a_plan_switch_is_netted_per_subscription() {
    let mut lab = lab("2023-03-01");
    let sale = order("SO-1", OrderKind::Sales, "2023-03-01", march()).with(line(
        "1",
        Charge::Recurring,
        "plan",
        "1",
        "30.00",
        "0",
    ));
    lab.run(&sale.0);
    let switch = order("CH-1", OrderKind::Change, "2023-03-15", march())
        .change("1", "plan", 1, 0, "30.00", "0")
        .change("2", "plan-2", 0, 1, "50.00", "0");
    assert_eq!(
        lab.run(&switch.0),
        "create recurring 2023-04-01..- 1 x 50.00 cost 0.00 = 50.00\n\
         create prorate 2023-03-15..2023-03-31 1 x 10.97 cost 0.00 = 10.97\n\
         cancel recurring 2023-03-01..2023-03-31 1 x 30.00 cost 0.00 = 0.00\n"
    );
}

#[test]
fn e10_overuse_is_billed_once_over_its_period() {
    let mut lab = lab("2023-03-01");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Arrears, "2023-01-01");
    let bill = |id: &str, quantity: Decimal, price: &str, cost: &str| {
        let quantity = quantity.normalize().to_string();
        let overuse = line("1", Charge::Overuse, "seat", &quantity, price, cost);
        order(id, OrderKind::Billing, "2023-04-01", march()).with(overuse)
    };
    // Included 1000 and additional 200, for the whole period and for half of it.
    let (allowed, used) = (Decimal::from(1000 + 200), Decimal::from(1300));
    let whole = overused(used, allowed, march(), march());
    assert_eq!(
        lab.run(&bill("BO-1", whole, "0.05", "0.03").0),
        "create overuse 2023-03-01..2023-03-31 100 x 0.05 cost 0.03 = 5.00\n"
    );
    let february = period("2023-02-01", "2023-03-01");
    let half = overused(used, allowed, period("2023-02-15", "2023-03-01"), february);
    assert_eq!(
        lab.run(&bill("BO-2", half, "0.05", "0.03").0),
        "create overuse 2023-03-01..2023-03-31 700 x 0.05 cost 0.03 = 35.00\n"
    );
    // A level that is not added up: the mean of the days: 12 on two of five days, then 15, 16 and 18.
    let levels = [12, 12, 15, 16, 18].map(Decimal::from);
    let mean = levels.iter().sum::<Decimal>() / Decimal::from(levels.len());
    let above = overused(mean, Decimal::from(10 + 2), march(), march());
    assert_eq!(
        lab.run(&bill("BO-3", above, "4.00", "3.20").0),
        "create overuse 2023-03-01..2023-03-31 2.6 x 4.00 cost 3.20 = 10.40\n"
    );
}

/// What a marketplace puts on the order: what was used less what was allowed in the days of the period that were billed.
fn overused(used: Decimal, allowed: Decimal, billed: Period, of: Period) -> Decimal {
    used - allowed * Decimal::from(billed.days()) / Decimal::from(of.days())
}

#[test]
fn e11_externally_rated_amounts_are_taken_as_they_are() {
    let mut lab = lab("2023-03-01");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::ExternalRating, "2023-01-01");
    let mut compute = line("1", Charge::Recurring, "seat", "1", "", "");
    compute.amount = Some("83.17".parse().unwrap());
    compute.cost_amount = Some("70.00".parse().unwrap());
    let mut storage = line("2", Charge::Recurring, "plan", "1", "", "");
    storage.amount = Some("4.02".parse().unwrap());
    storage.cost_amount = Some("3.50".parse().unwrap());
    let bill = order("BO-1", OrderKind::Billing, "2023-04-01", march()).with(compute).with(storage);
    assert_eq!(
        lab.run(&bill.0),
        "create recurring 2023-03-01..2023-03-31 1 x 83.17 cost 70.00 = 83.17\n\
         create recurring 2023-03-01..2023-03-31 1 x 4.02 cost 3.50 = 4.02\n"
    );
}

fn cancellation() -> OrderDraft {
    order("CL-1", OrderKind::Cancellation, "2023-03-20", march())
        .with(line("1", Charge::Cancellation, "no-product", "1", "50.00", "0"))
        .with(line("2", Charge::Overuse, "seat", "100", "0.05", "0.03"))
}

/// Eight seats since January, March invoiced.
fn billed_lab() -> Lab {
    let mut lab = lab("2023-01-01");
    lab.item(20, "0", "0");
    lab.map(MappingKind::Fee, "cancellation", 20);
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2023-01-01");
    let sale = order("SO-1", OrderKind::Sales, "2023-01-01", period("2023-01-01", "2023-02-01")).with(line(
        "1",
        Charge::Recurring,
        "seat",
        "8",
        "22.00",
        "17.60",
    ));
    lab.run(&sale.0);
    for _ in 0..3 {
        lab.invoice(40);
    }
    lab
}

#[test]
fn e12_a_billed_line_ends_on_the_last_invoiced_day() {
    let mut lab = billed_lab();
    assert_eq!(
        lab.run(&cancellation().0),
        "create cancellation 2023-04-01..2023-04-30 1 x 50.00 cost 0.00 = 50.00\n\
         create overuse 2023-04-01..2023-04-30 100 x 0.05 cost 0.03 = 5.00\n\
         cancel recurring 2023-01-01..2023-03-31 8 x 22.00 cost 17.60 = -176.00\n\
         TU4002 warning\nTU4002 warning\nTU6005 warning\nTU4005 warning\n"
    );
    let overuse = lab.snapshot.additions_of(trueup_domain::ids::AgreementId(40));
    let text: Vec<_> = overuse.iter().filter_map(|a| a.state.invoice_description.clone()).collect();
    assert_eq!(text, ["Cancellation fee (2023-03-20 to 2023-03-31)", "SEAT (2023-03-01 to 2023-03-20)"]);
}

#[test]
fn e12_with_refunds_on_it_ends_on_the_day_and_the_refund_is_written() {
    let mut lab = billed_lab();
    lab.set("credits", "on");
    let mut refund = amount("3", Charge::Refund, "8", "68.13");
    refund.cost_amount = Some("54.50".parse().unwrap());
    let order = cancellation().with(refund);
    let shown = lab.run(&order.0);
    assert!(
        shown.contains("create refund 2023-04-01..2023-04-30 -1 x 68.13 cost 54.50 = -68.13\n"),
        "{shown}"
    );
    assert!(shown.contains("cancel recurring 2023-01-01..2023-03-20 8 x 22.00"), "{shown}");
}

#[test]
fn e12_a_refund_without_an_amount_is_rounded_per_unit() {
    let mut lab = billed_lab();
    lab.set("credits", "on");
    let order = cancellation().with(line("3", Charge::Refund, "seat", "8", "22.00", "17.60"));
    let shown = lab.run(&order.0);
    assert!(shown.contains("create refund 2023-04-01..2023-04-30 -8 x 8.52 cost 6.81 = -68.16\n"), "{shown}");
}

#[test]
fn e13_a_line_that_was_never_billed_goes() {
    let mut lab = lab("2023-03-01");
    lab.item(20, "0", "0");
    lab.map(MappingKind::Fee, "cancellation", 20);
    lab.run(&seats("2023-03-01", "8").0);
    assert_eq!(
        lab.run(&cancellation().0),
        "create cancellation 2023-03-20..2023-03-31 1 x 50.00 cost 0.00 = 50.00\n\
         create overuse 2023-03-01..2023-03-20 100 x 0.05 cost 0.03 = 5.00\n\
         delete recurring 2023-03-01..- 8 x 22.00 cost 17.60 = -176.00\n\
         TU6005 warning\n"
    );
}

#[test]
fn e13_the_used_part_is_written_where_the_order_charges_it() {
    let mut lab = lab("2023-03-01");
    lab.item(20, "0", "0");
    lab.map(MappingKind::Fee, "cancellation", 20);
    lab.run(&seats("2023-03-01", "8").0);
    let shown = lab.run(&cancellation().with(amount("3", Charge::Recurring, "8", "107.87")).0);
    assert!(shown.contains("create prorate 2023-03-01..2023-03-19 1 x 107.87"), "{shown}");
}

#[test]
fn e14_a_prorating_agreement_takes_no_prorated_line() {
    let mut lab = lab("2023-03-01");
    lab.agreement_mut(40).prorates = true;
    lab.run(&seats("2023-03-01", "5").0);
    let draft = lab.plan(&[&change("2023-03-15", 5, 8).0]);
    assert_eq!(show(&draft), "TU3006 error\n");
}

#[test]
fn e14_connectwise_prorates_where_it_is_told_to() {
    let mut lab = lab("2023-03-01");
    lab.agreement_mut(40).prorates = true;
    lab.set("proration_by", "connectwise");
    lab.run(&seats("2023-03-01", "5").0);
    assert_eq!(
        lab.run(&change("2023-03-15", 5, 8).0),
        "create recurring 2023-03-15..- 8 x 22.00 cost 17.60 = 176.00\n\
         cancel recurring 2023-03-01..2023-03-14 5 x 22.00 cost 17.60 = -60.30\n"
    );
}

#[test]
fn e15_with_connectwise_prices_nothing_is_prorated() {
    let mut lab = lab("2023-03-01");
    lab.set("price_source", "connectwise");
    let mut change = change("2023-03-15", 5, 8);
    change.0.lines[0].unit_price = Some("99.00".parse().unwrap());
    lab.run(&seats("2023-03-01", "5").0);
    assert_eq!(
        lab.run(&change.0),
        "create recurring 2023-04-01..- 8 x 22.00 cost 17.60 = 176.00\n\
         cancel recurring 2023-03-01..2023-03-31 5 x 22.00 cost 17.60 = 0.00\n\
         TU6005 warning\n"
    );
}
