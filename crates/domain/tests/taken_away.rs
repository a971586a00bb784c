//! Orders that take a product away, and come before the sale of it: nothing is given back of what nothing billed, and the
//! sale bills the days before them, once.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
use common::*;
use rstest::rstest;
use rust_decimal::Decimal;
use trueup_domain::feed::{BillingModel, Charge, Order, OrderKind, ProductKind};
use trueup_domain::finding::{Code, Severity};
use trueup_domain::period::{BillingCycle, Period};

fn month(number: u32) -> Period {
    period(&format!("2025-{number:02}-01"), &format!("2025-{:02}-01", number + 1))
}

/// `p` at 22.00 and `q` at 10.00 on a monthly agreement that is billed since January.
fn lab(mode: &str, credits: &str) -> Lab {
    let mut lab = Lab::monthly("2025-01-01", "2025-01-01");
    lab.today = day("2025-06-20");
    lab.set("line_mode", mode).set("credits", credits).set("rounding_place", "line");
    lab.product("p", 7, ProductKind::Seat, "22.00", "17.60");
    lab.product("q", 8, ProductKind::Seat, "10.00", "8.00");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2025-01-01");
    lab
}

fn sale(on: &str, of: Period) -> Order {
    let mut sold =
        order("SO", OrderKind::Sales, on, of).with(line("1", Charge::Recurring, "p", "5", "22.00", "17.60"));
    sold.0.effective_given = true;
    sold.0
}

/// Takes all of `p` away, or puts four of `q` in its place.
fn away(on: &str, of: Period, old: i64, switched: bool) -> Order {
    let gone = order("CH", OrderKind::Change, on, of).change("1", "p", old, 0, "22.00", "17.60");
    if switched { gone.change("2", "q", 0, 4, "10.00", "8.00").0 } else { gone.0 }
}

fn dec(text: &str) -> Decimal {
    text.parse().unwrap()
}

fn invoices(lab: &mut Lab, count: usize) -> Vec<Decimal> {
    (0..count).map(|_| dec(&lab.invoice(40))).collect()
}

/// What so many a month at a price cost from one day up to another one.
fn days(quantity: i64, price: &str, from: &str, to: &str) -> Decimal {
    let (mut at, end, mut sum) = (day(from), day(to), Decimal::ZERO);
    while at < end {
        sum += dec(price) * Decimal::from(quantity) / Decimal::from(at.days_in_month());
        at = at.tomorrow().unwrap();
    }
    sum
}

fn near(billed: &[Decimal], due: Decimal, shown: &str) {
    let sum: Decimal = billed.iter().sum();
    assert!((sum - due).abs() <= dec("0.06"), "{sum} is not {due}: {billed:?}\n{shown}");
}

/// The first invoices are made before any of the orders comes.
#[rstest]
fn a_sale_that_comes_after_what_took_it_away_bills_the_days_before_it(
    #[values("prorate_line", "single", "dual", "commitment")] mode: &str,
    #[values("on", "off")] credits: &str,
    #[values(false, true)] switched: bool,
    #[values("2025-01-01", "2025-01-10", "2025-02-04")] sold: &str,
    #[values("2025-02-15", "2025-02-01", "2025-03-20", "2025-01-20")] gone: &str,
    #[values(0, 1, 3, 4)] before: usize,
) {
    if gone <= sold {
        return;
    }
    let of = |on: &str| month(on[5..7].parse().unwrap());
    let mut lab = lab(mode, credits);
    let mut billed = invoices(&mut lab, before);
    lab.run(&away(gone, of(gone), 5, switched));
    let shown = lab.run(&sale(sold, of(sold)));
    assert!(shown.contains("TU5001 warning") && !shown.contains("error"), "{shown}");
    billed.extend(invoices(&mut lab, 6 - before));
    let new = if switched { days(4, "10.00", gone, "2025-07-01") } else { Decimal::ZERO };
    near(&billed, days(5, "22.00", sold, gone) + new, &shown);
    // And nothing of it goes on.
    let level = if switched { "40.00" } else { "0" };
    assert_eq!(invoices(&mut lab, 1), [dec(level)], "{shown}");
}

/// A sale, a change of it and what takes it away, in every order of their coming, before invoices and between them.
#[rstest]
fn whatever_comes_first_each_day_is_billed_once(
    #[values([0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0])] arrival: [usize; 3],
    #[values("prorate_line", "single", "dual")] mode: &str,
    #[values(false, true)] switched: bool,
    #[values([0, 0, 0], [1, 0, 0], [3, 0, 0], [0, 1, 1], [1, 2, 0], [4, 1, 0])] invoiced: [usize; 3],
    #[values("2025-02-15", "2025-03-01", "2025-01-25")] gone: &str,
) {
    let mut lab = lab(mode, "on");
    let orders = [
        sale("2025-01-01", month(1)),
        order("C", OrderKind::Change, "2025-01-20", month(1)).change("1", "p", 5, 8, "22.00", "17.60").0,
        away(gone, month(gone[5..7].parse().unwrap()), 8, switched),
    ];
    let (mut billed, mut shown) = (Vec::new(), String::new());
    for (at, before) in arrival.into_iter().zip(invoiced) {
        billed.extend(invoices(&mut lab, before));
        let text = lab.run(&orders[at]);
        assert!(!text.contains("error"), "{text}");
        shown += &text;
    }
    billed.extend(invoices(&mut lab, 7 - invoiced.iter().sum::<usize>()));
    let new = if switched { days(4, "10.00", gone, "2025-08-01") } else { Decimal::ZERO };
    let sold = days(5, "22.00", "2025-01-01", "2025-01-20") + days(8, "22.00", "2025-01-20", gone);
    near(&billed, sold + new, &shown);
}

/// What the order that takes it away gives back itself, it gives back of the whole period.
#[rstest]
#[case::by_the_order(true, "110.00")]
#[case::by_nobody(false, "46.13")]
fn a_refund_that_is_named_is_of_the_whole_period(#[case] named: bool, #[case] billed: &str) {
    let mut lab = lab("prorate_line", "off");
    let mut gone = away("2025-01-14", month(1), 5, false);
    if named {
        let mut back = line("3", Charge::Refund, "p", "5", "22.00", "17.60");
        back.amount = Some("-63.87".parse().unwrap());
        gone.lines.push(back);
    }
    lab.run(&gone);
    let shown = lab.run(&sale("2025-01-01", month(1)));
    assert_eq!(invoices(&mut lab, 2), [dec(billed), Decimal::ZERO], "{shown}");
}

/// A sale whose amount, or whose part, the source names: the share of it that the days are.
#[rstest]
#[case::amount(None, Some("100.00"), "2025-01-01", "41.94")]
#[case::part(Some("70.00"), None, "2025-01-11", "10.00")]
fn what_the_source_names_of_the_period_is_cut_to_the_days(
    #[case] part: Option<&str>,
    #[case] amount: Option<&str>,
    #[case] sold: &str,
    #[case] billed: &str,
) {
    let mut lab = lab("prorate_line", "on");
    lab.run(&away("2025-01-14", month(1), 5, false));
    let mut late = sale(sold, month(1));
    late.lines[0].amount = amount.map(|amount| amount.parse().unwrap());
    if let Some(part) = part {
        let mut named = line("2", Charge::Prorate, "p", "5", "", "");
        named.amount = Some(part.parse().unwrap());
        late.lines.push(named);
    }
    let shown = lab.run(&late);
    assert_eq!(invoices(&mut lab, 2), [dec(billed), Decimal::ZERO], "{shown}");
}

/// Where ConnectWise prorates, the line is dated by the day.
#[test]
fn where_connectwise_prorates_the_line_ends_the_day_before() {
    let mut lab = lab("prorate_line", "on");
    lab.agreement_mut(40).prorates = true;
    lab.set("proration_by", "connectwise");
    lab.run(&away("2025-01-15", month(1), 5, true));
    let shown = lab.run(&sale("2025-01-01", month(1)));
    assert!(shown.contains("create recurring 2025-01-01..2025-01-14 5 x 22.00"), "{shown}");
    near(&invoices(&mut lab, 1), dec("71.62"), &shown);
}

/// Orders that name their whole term: the months after the end are not billed.
#[test]
fn a_term_that_was_cancelled_before_its_sale_came_is_billed_up_to_the_end_of_its_month() {
    let mut lab = lab("prorate_line", "on");
    let year = period("2025-01-01", "2026-01-01");
    lab.run(&order("CL", OrderKind::Cancellation, "2025-02-10", year).0);
    let shown = lab.run(&sale("2025-01-01", year));
    assert_eq!(invoices(&mut lab, 4), ["110.00", "110.00", "0", "0"].map(dec), "{shown}");
}

/// What nothing bills is not given back, whatever else of the subscription is billed.
#[test]
fn what_nothing_billed_is_not_given_back() {
    let mut lab = lab("prorate_line", "on");
    lab.run(&sale("2025-01-01", month(1)));
    let gone = order("CH", OrderKind::Change, "2025-01-15", month(1)).change("1", "q", 4, 0, "10.00", "8.00");
    let draft = lab.plan(&[&gone.0]);
    assert!(!draft.changes.iter().any(|c| c.writes()), "{}", show(&draft));
    let told = draft.findings.iter().find(|f| f.code == Code::Tu8006).unwrap();
    assert_eq!(told.severity, Severity::Warning, "{}", show(&draft));
}
