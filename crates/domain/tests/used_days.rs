//! What a product is cancelled in the period after it came, before the invoice of that one: its days were used since, whether
//! it came by a sale, a change or a switch, and whatever became of the part that it began with.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
use common::*;
use rstest::rstest;
use rust_decimal::Decimal;
use trueup_domain::feed::{BillingModel, Charge, OrderKind, ProductKind};
use trueup_domain::finding::Code;
use trueup_domain::period::BillingCycle;

/// Five of p at 22.00 since January; on the fifteenth it is switched to four of q at 10.00, and January is invoiced.
fn switched(mode: &str, credits: &str) -> Lab {
    let mut lab = Lab::monthly("2028-01-01", "2028-01-01");
    lab.set("line_mode", mode).set("credits", credits);
    lab.product("p", 7, ProductKind::Seat, "22.00", "17.60");
    lab.product("q", 8, ProductKind::Seat, "10.00", "8.00");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2028-01-01");
    let january = period("2028-01-01", "2028-02-01");
    let sold = line("1", Charge::Recurring, "p", "5", "22.00", "17.60");
    lab.run(&order("SO-1", OrderKind::Sales, "2028-01-01", january).with(sold).0);
    let switch = order("CH-1", OrderKind::Change, "2028-01-15", january);
    lab.run(&switch.change("1", "p", 5, 0, "22.00", "17.60").change("2", "q", 0, 4, "10.00", "8.00").0);
    lab.invoice(40);
    lab.today = day("2028-02-20");
    lab
}

#[rstest]
fn a_switch_to_what_costs_less_is_billed_until_it_is_cancelled(
    #[values("prorate_line", "single", "dual", "commitment")] mode: &str,
    #[values("on", "off")] credits: &str,
    #[values(false, true)] changed: bool,
) {
    let mut lab = switched(mode, credits);
    let february = period("2028-02-01", "2028-03-01");
    if changed {
        let more = order("CH-2", OrderKind::Change, "2028-02-10", february);
        lab.run(&more.change("1", "q", 4, 7, "10.00", "8.00").0);
    }
    lab.run(&order("CL-1", OrderKind::Cancellation, "2028-02-20", february).0);
    let billed = lab.invoice(40).parse::<rust_decimal::Decimal>().unwrap();
    // 40.00, and 3 x 10.00 x 20/29 of the change.
    let exact = if changed { "60.69" } else { "40.00" }.parse::<rust_decimal::Decimal>().unwrap();
    assert!((billed - exact).abs() <= "0.02".parse().unwrap(), "{billed} is not {exact}");
    assert_eq!(lab.invoice(40), "0");
}

/// A cancellation for the end of the period in which a line began, before the invoice of it: the whole period was used.
/// Within the period the line goes (E13), and what its days come to is said.
#[rstest]
#[case::first_day_after("2028-02-01", "2028-01-01", "110.00")]
#[case::of_the_next_period("2028-02-01", "2028-02-01", "110.00")]
#[case::last_day("2028-01-31", "2028-01-01", "110.00")]
#[case::within("2028-01-21", "2028-01-01", "0")]
fn what_is_cancelled_for_the_end_of_its_first_period_is_billed(
    #[values("prorate_line", "single", "dual", "commitment")] mode: &str,
    #[values("on", "off")] credits: &str,
    #[case] effective: &str,
    #[case] of: &str,
    #[case] billed: &str,
) {
    let mut lab = Lab::monthly("2028-01-01", "2028-01-01");
    lab.set("line_mode", mode).set("credits", credits);
    lab.product("p", 7, ProductKind::Seat, "22.00", "17.60");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2028-01-01");
    let january = period("2028-01-01", "2028-02-01");
    let sold = line("1", Charge::Recurring, "p", "5", "22.00", "17.60");
    lab.run(&order("SO-1", OrderKind::Sales, "2028-01-01", january).with(sold).0);
    lab.today = day("2028-01-20");
    let of = if of == "2028-01-01" { january } else { period("2028-02-01", "2028-03-01") };
    let shown = lab.run(&order("CL-1", OrderKind::Cancellation, effective, of).0);
    let draft_says = shown.contains("TU6005 warning");
    assert_eq!(draft_says, billed == "0", "{shown}");
    assert_eq!([lab.invoice(40), lab.invoice(40)], [billed, "0"], "{shown}");
}

/// What an invoice has billed of a sale's first part is told as that of a whole line is, also with credits off.
#[rstest]
fn the_rest_of_a_part_that_is_invoiced_is_told(
    #[values("on", "off")] credits: &str,
    #[values(false, true)] added: bool,
) {
    let mut lab = Lab::monthly("2028-01-01", "2028-01-01");
    lab.set("credits", credits);
    lab.product("p", 7, ProductKind::Seat, "22.00", "17.60");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2028-01-01");
    let january = period("2028-01-01", "2028-02-01");
    let sold = line("1", Charge::Recurring, "p", "4", "22.00", "17.60");
    lab.run(&order("SO-1", OrderKind::Sales, "2028-01-10", january).with(sold).0);
    if added {
        lab.run(
            &order("CH-1", OrderKind::Change, "2028-01-15", january)
                .change("1", "p", 4, 6, "22.00", "17.60")
                .0,
        );
    }
    lab.invoice(40);
    lab.today = day("2028-01-20");
    let draft = lab.plan(&[&order("CL-1", OrderKind::Cancellation, "2028-01-20", january).0]);
    let told: Decimal =
        draft.findings.iter().filter(|f| f.code == Code::Tu6005).map(|f| f.amount.unwrap().0.decimal()).sum();
    // 4 (or 6) x 22.00 for 12 of 31 days, as they were rounded where they were billed.
    let exact = Decimal::new(if added { -5110 } else { -3406 }, 2);
    assert!((told - exact).abs() <= Decimal::new(1, 2), "{told}: {:#?}", draft.findings);
}
