//! Prices from ConnectWise: what the source asks for a unit, or says that it asked before, says nothing of a line that
//! ConnectWise prices.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
use common::*;
use rstest::rstest;
use rust_decimal::Decimal;
use trueup_domain::feed::{BillingModel, Charge, OrderKind, ProductKind};
use trueup_domain::finding::{Code, Severity};
use trueup_domain::period::{BillingCycle, Period};
use trueup_domain::plan::DraftPlan;

fn january() -> Period {
    period("2028-01-01", "2028-02-01")
}

fn february() -> Period {
    period("2028-02-01", "2028-03-01")
}

/// Seats at 22.00 and extras at 30.00 in the catalog; the marketplace asks other prices.
fn lab() -> Lab {
    let mut lab = Lab::monthly("2028-01-01", "2028-01-01");
    lab.today = day("2028-02-05");
    lab.set("price_source", "connectwise");
    lab.product("seat", 7, ProductKind::Seat, "22.00", "17.60");
    lab.product("extra", 8, ProductKind::Seat, "30.00", "20.00");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2028-01-01");
    lab
}

fn sale(on: &str, quantity: &str) -> OrderDraft {
    let sold = line("1", Charge::Recurring, "seat", quantity, "25.00", "20.00");
    order("SO-1", OrderKind::Sales, on, january()).with(sold)
}

#[rstest]
#[case::more(8, "242.00", "176.00")]
#[case::fewer(3, "22.00", "66.00")]
fn the_old_price_is_that_of_the_line(
    #[case] new: i64,
    #[case] february: &str,
    #[case] march: &str,
    #[values(None, Some("25.00"))] told: Option<&str>,
) {
    let mut lab = lab();
    lab.set("credits", "on");
    lab.run(&sale("2028-01-01", "5").0);
    lab.invoice(40);
    lab.invoice(40);
    let mut change = order("CH-1", OrderKind::Change, "2028-01-15", january())
        .change("1", "seat", 5, new, "25.00", "20.00");
    change.0.lines[0].old_unit_price = told.map(|price| price.parse().unwrap());
    lab.run(&change.0);
    // The next invoice with what February lacks or has too much; the part of January is left out.
    assert_eq!(lab.invoice(40), february);
    assert_eq!(lab.invoice(40), march);
}

#[test]
fn what_is_left_out_is_told_in_the_prices_of_the_line() {
    let mut lab = lab();
    lab.run(&sale("2028-01-01", "5").0);
    let mut change =
        order("CH-1", OrderKind::Change, "2028-01-17", january()).change("1", "seat", 5, 8, "25.00", "20.00");
    change.0.lines[0].old_unit_price = Some("25.00".parse().unwrap());
    change.0.lines[0].amount = Some("40.00".parse().unwrap());
    let draft = lab.plan(&[&change.0]);
    let left = draft.findings.iter().find(|f| f.code == Code::Tu6005).unwrap();
    // 3 x 22.00 for 15 of 31 days.
    assert_eq!(left.amount.unwrap().0.to_string(), "31.94", "{}", left.message);
}

#[test]
fn another_price_at_the_marketplace_changes_nothing() {
    let mut lab = lab();
    lab.run(&sale("2028-01-01", "5").0);
    let mut change =
        order("CH-1", OrderKind::Change, "2028-01-15", january()).change("1", "seat", 5, 5, "28.00", "20.00");
    change.0.lines[0].old_unit_price = Some("25.00".parse().unwrap());
    assert_eq!(lab.run(&change.0), "");
}

/// A line of one unit is not all of the units of a renewal because the marketplace asks the same for those.
#[test]
fn one_unit_is_not_what_the_marketplace_asks_for_three() {
    let mut lab = lab();
    lab.run(
        &order("SO-1", OrderKind::Sales, "2028-01-01", january())
            .with(line("1", Charge::Recurring, "extra", "1", "10.00", "8.00"))
            .0,
    );
    lab.invoice(40);
    let renewed = line("1", Charge::Recurring, "extra", "3", "10.00", "8.00");
    lab.run(&order("R-1", OrderKind::Renewal, "2028-02-01", february()).with(renewed).0);
    assert_eq!(lab.invoice(40), "90.00");
    lab.run(
        &order("CH-1", OrderKind::Change, "2028-03-01", period("2028-03-01", "2028-04-01"))
            .change("1", "extra", 3, 5, "10.00", "8.00")
            .0,
    );
    assert_eq!(lab.invoice(40), "150.00");
}

/// A sale within a period whose part is left out is as old as its first day: cancelled in the next period, its line ends
/// and bills the days that were used of it.
#[rstest]
#[case::by_connectwise("price_source", "connectwise")]
#[case::not_at_all("proration_by", "none")]
fn the_part_of_a_sale_that_is_left_out_is_older_than_its_line(
    #[case] key: &str,
    #[case] value: &str,
    #[values(false, true)] added: bool,
) {
    let mut lab = lab();
    lab.set("price_source", "marketplace").set(key, value);
    let mut expected = vec!["0", "110.00", "0"];
    if added {
        lab.run(&sale("2028-01-01", "5").0);
        let more = order("CH-1", OrderKind::Change, "2028-01-15", january());
        lab.run(&more.change("1", "extra", 0, 3, "30.00", "20.00").0);
        expected = vec![if value == "none" { "125.00" } else { "110.00" }; 1];
        expected.push(if value == "none" { "215.00" } else { "200.00" });
        expected.push("0");
    } else {
        lab.subscriptions.values_mut().next().unwrap().start = day("2028-01-05");
        lab.run(&sale("2028-01-05", "5").0);
        if value == "none" {
            expected[1] = "125.00";
        }
    }
    let mut months = vec![lab.invoice(40)];
    lab.today = day("2028-02-28");
    lab.run(&order("CL-1", OrderKind::Cancellation, "2028-02-28", february()).0);
    months.extend([lab.invoice(40), lab.invoice(40)]);
    assert_eq!(months, expected);
}

/// Cancelled before it began to be billed, it is still never billed.
#[test]
fn what_is_cancelled_before_its_line_begins_goes() {
    let mut lab = lab();
    lab.subscriptions.values_mut().next().unwrap().start = day("2028-01-05");
    lab.run(&sale("2028-01-05", "5").0);
    lab.run(&order("CL-1", OrderKind::Cancellation, "2028-01-20", january()).0);
    assert_eq!([lab.invoice(40), lab.invoice(40)], ["0", "0"]);
}

/// A fee that the source charges and the catalog has no price for is not billed, and told with what the source charges.
#[rstest]
#[case::charged("3.00", Some("6.00"))]
#[case::free("0.00", None)]
fn what_costs_nothing_in_the_catalog_is_told(#[case] charged: &str, #[case] told: Option<&str>) {
    let mut lab = lab();
    lab.product("fee", 9, ProductKind::OneTime, "0.00", "0.00");
    let mut sold = sale("2028-01-01", "5");
    sold = sold.with(line("2", Charge::Setup, "fee", "2", charged, "0.00"));
    let draft = lab.plan(&[&sold.0]);
    let finding = draft.findings.iter().find(|f| f.code == Code::Tu6002);
    assert_eq!(finding.and_then(|f| f.amount).map(|(amount, _)| amount.to_string()).as_deref(), told);
    assert!(lab.run(&sold.0).contains("create recurring"));
    assert_eq!(lab.invoice(40), "110.00");
}

/// A plan switch that comes late makes up for the periods that were invoiced since, net of what the old plan was billed for,
/// also with credits off; its part of a period is billed by trueup alone.
#[rstest]
#[case::known_at_once(0, ["110.00", "150.00", "150.00", "150.00"])]
#[case::after_an_invoice(1, ["110.00", "150.00", "150.00", "150.00"])]
#[case::after_two(2, ["110.00", "110.00", "190.00", "150.00"])]
#[case::after_three(3, ["110.00", "110.00", "110.00", "230.00"])]
fn a_plan_switch_that_comes_late_costs_the_difference(
    #[case] invoices: usize,
    #[case] expected: [&str; 4],
    #[values("connectwise", "none", "trueup")] who: &str,
    #[values("off", "on")] credits: &str,
) {
    let mut lab = lab();
    lab.set("credits", credits);
    if who != "connectwise" {
        lab.set("price_source", "marketplace").set("proration_by", who);
    }
    let mut sold = sale("2028-01-01", "5");
    sold.0.lines[0].unit_price = Some("22.00".parse().unwrap());
    lab.run(&sold.0);
    let mut billed: Vec<String> = (0..invoices).map(|_| lab.invoice(40)).collect();
    lab.today = day("2028-03-05");
    let switch = order("CH-1", OrderKind::Change, "2028-01-15", january())
        .change("1", "seat", 5, 0, "22.00", "17.60")
        .change("2", "extra", 0, 5, "30.00", "20.00");
    let shown = lab.run(&switch.0);
    billed.extend((invoices..4).map(|_| lab.invoice(40)));
    let mut expected = expected.map(|amount| amount.parse::<Decimal>().unwrap());
    if who == "trueup" {
        // 5 x 8.00 for 17 of 31 days.
        expected[invoices] += Decimal::new(2194, 2);
    }
    let billed: Vec<Decimal> = billed.iter().map(|amount| amount.parse().unwrap()).collect();
    assert_eq!(billed, expected, "{shown}");
}

/// A recurring line is written at the catalog's price of 0, and what the source charges for it is told: with the sale, and with
/// each change.
#[rstest]
#[case::charged("25.00", Some("125.00"), Some("200.00"))]
#[case::free("0.00", None, None)]
fn what_recurs_at_a_price_of_0_in_the_catalog_is_told(
    #[case] charged: &str,
    #[case] sold: Option<&str>,
    #[case] changed: Option<&str>,
) {
    let mut lab = lab();
    lab.item(7, "0.00", "0.00");
    let mut sale = sale("2028-01-01", "5");
    sale.0.lines[0].unit_price = Some(charged.parse().unwrap());
    let told = |draft: &DraftPlan| {
        let finding = draft.findings.iter().find(|f| f.code == Code::Tu6002);
        finding.and_then(|f| f.amount).map(|(amount, _)| amount.to_string())
    };
    let draft = lab.plan(&[&sale.0]);
    assert_eq!(told(&draft).as_deref(), sold);
    assert!(lab.run(&sale.0).contains("create recurring 2028-01-01..- 5 x 0.00"));
    let change =
        order("CH-1", OrderKind::Change, "2028-01-15", january()).change("1", "seat", 5, 8, charged, "20.00");
    assert_eq!(told(&lab.plan(&[&change.0])).as_deref(), changed);
}

/// Where the source sets the prices and names none, a catalog item that costs nothing is no price: the line waits. A price or an
/// amount of 0 that the source names is one, and so is the catalog's where a person takes the prices from there.
#[rstest]
#[case::sold("marketplace", None, None, true)]
#[case::named_as_free("marketplace", Some("0.00"), None, false)]
#[case::charged_nothing("marketplace", None, Some("0.00"), false)]
#[case::a_part_charged_nothing("marketplace", None, Some("part"), true)]
#[case::taken_from_the_catalog("connectwise", None, None, false)]
fn a_price_that_nobody_named_is_not_0(
    #[case] prices_of: &str,
    #[case] named: Option<&str>,
    #[case] amount: Option<&str>,
    #[case] waits: bool,
) {
    let mut lab = lab();
    lab.set("price_source", prices_of).item(7, "0.00", "0.00");
    // What the rest of a period is let off says nothing of the whole ones.
    let is_part = amount == Some("part");
    let on = if is_part { "2028-01-20" } else { "2028-01-01" };
    lab.subscriptions.values_mut().next().unwrap().start = day(on);
    let mut sale = sale(on, "5");
    sale.0.lines[0].unit_price = named.map(|price| price.parse().unwrap());
    sale.0.lines[0].amount = amount.map(|amount| amount.replace("part", "0.00").parse().unwrap());
    sale.0.lines[0].unit_cost = Some("0".parse().unwrap());
    let draft = lab.plan(&[&sale.0]);
    let held = draft.findings.iter().any(|f| f.code == Code::Tu6002 && f.severity == Severity::Error);
    assert_eq!((held, draft.changes.is_empty()), (waits, waits), "{}", show(&draft));
}

// --- Charged once ----------------------------------------------------------------------------------------------------

fn setup(amount: Option<&str>, charge: Charge) -> trueup_domain::feed::OrderLine {
    let mut fee = line("1", charge, "setup", "1", "10.00", "4.00");
    fee.amount = amount.map(|amount| amount.parse().unwrap());
    fee
}

/// Whether the source tells its line's amount or only its unit price, it is the marketplace's price, not the catalog's.
#[rstest]
fn what_is_charged_once_costs_what_the_catalog_says(
    #[values(None, Some("10.00"))] amount: Option<&str>,
    #[values(Charge::Setup, Charge::OneTime, Charge::Upgrade, Charge::Overuse)] charge: Charge,
) {
    let mut lab = lab();
    lab.product("setup", 9, ProductKind::OneTime, "99.00", "50.00");
    let order = order("BO-1", OrderKind::Billing, "2028-02-05", february()).with(setup(amount, charge)).0;
    let shown = lab.run(&order);
    assert!(shown.contains("1 x 99.00 cost 50.00 = 99.00"), "{shown}");
}

/// Where the catalog names no price there is none to take: the amount is billed and said.
#[test]
fn an_amount_without_a_price_in_the_catalog_is_billed_and_told() {
    let mut lab = lab();
    lab.product("setup", 9, ProductKind::OneTime, "99.00", "50.00");
    lab.snapshot.catalog.get_mut(&trueup_domain::ids::CatalogItemId(9)).unwrap().price = None;
    let order = order("BO-1", OrderKind::Billing, "2028-02-05", february());
    let order = order.with(setup(Some("10.00"), Charge::Setup)).0;
    let draft = lab.plan(&[&order]);
    let told = draft.findings.iter().find(|f| f.code == Code::Tu6002).unwrap();
    assert_eq!(told.severity, Severity::Warning, "{told:?}");
    assert_eq!(told.amount.unwrap().0.to_string(), "10.00");
    assert!(lab.run(&order).contains("1 x 10.00"));
}

/// A price of 0 is the catalog's word: what the source charges is told, whether by its amount or by its price.
#[rstest]
fn an_amount_for_what_is_free_in_the_catalog_is_told(#[values(None, Some("10.00"))] amount: Option<&str>) {
    let mut lab = lab();
    lab.product("setup", 9, ProductKind::OneTime, "0.00", "0.00");
    let mut line = setup(amount, Charge::Setup);
    line.unit_price = line.unit_price.filter(|_| amount.is_none());
    let draft = lab.plan(&[&order("BO-1", OrderKind::Billing, "2028-02-05", february()).with(line).0]);
    let told = draft.findings.iter().find(|f| f.code == Code::Tu6002).unwrap();
    assert_eq!(told.amount.unwrap().0.to_string(), "10.00", "{}", show(&draft));
    assert_eq!(draft.changes.len(), 0, "{}", show(&draft));
}

/// The catalog knows no money back: what lowers the bill keeps the source's amount.
#[rstest]
#[case(Charge::Discount, "10.00")]
#[case(Charge::Discount, "-10.00")]
#[case(Charge::OneTime, "-10.00")]
fn what_lowers_the_bill_keeps_its_amount(#[case] charge: Charge, #[case] amount: &str) {
    let mut lab = lab();
    lab.set("credits", "on");
    lab.product("setup", 9, ProductKind::OneTime, "99.00", "50.00");
    let order = order("BO-1", OrderKind::Billing, "2028-02-05", february());
    let shown = lab.run(&order.with(setup(Some(amount), charge)).0);
    assert!(shown.contains("= -10.00"), "{shown}");
}

/// An amount of nothing says that nothing is charged, and one for some days of the period is no price of a unit.
#[test]
fn what_is_waived_or_for_some_days_keeps_its_amount() {
    let mut lab = lab();
    lab.product("setup", 9, ProductKind::OneTime, "99.00", "50.00");
    let billing = |line| order("BO-1", OrderKind::Billing, "2028-02-05", february()).with(line).0;
    let draft = lab.plan(&[&billing(setup(Some("0.00"), Charge::Setup))]);
    assert!(
        draft
            .changes
            .iter()
            .all(|change| !change.amount.decimal().is_sign_positive() || change.amount.is_zero()),
        "{}",
        show(&draft)
    );
    let mut some = setup(Some("42.58"), Charge::Overuse);
    some.period = Some(period("2028-02-20", "2028-03-01"));
    assert!(lab.run(&billing(some)).contains("= 42.58"));
}
