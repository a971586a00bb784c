//! The counts of days by themselves: parts of a period come to the whole of it, wherever it is cut, and what bills one part
//! leaves the other.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
use common::*;
use jiff::civil::{Date, date};
use proptest::prelude::*;
use rstest::rstest;
use std::collections::BTreeSet;
use trueup_domain::feed::{BillingModel, Charge, OrderKind, ProductKind};
use trueup_domain::finding::Code;
use trueup_domain::money::Exact;
use trueup_domain::period::{BillingCycle, CycleUnit, Period};
use trueup_domain::proration::{DayCount, share};

const CYCLES: [BillingCycle; 4] = [
    BillingCycle::MONTHLY,
    BillingCycle::YEARLY,
    BillingCycle { every: 3, unit: CycleUnit::Month },
    BillingCycle { every: 2, unit: CycleUnit::Week },
];

/// Everything between the cuts, in its order.
fn parts(period: Period, cuts: &BTreeSet<Date>) -> Vec<Period> {
    let inner = cuts.iter().copied().filter(|cut| *cut > period.start() && *cut < period.end());
    let edges: Vec<Date> = std::iter::once(period.start()).chain(inner).chain([period.end()]).collect();
    edges.windows(2).map(|pair| Period::new(pair[0], pair[1]).unwrap()).collect()
}

fn sum(count: DayCount, period: Period, cuts: &BTreeSet<Date>) -> Exact {
    let shares = parts(period, cuts).into_iter().map(|part| share(count, period, part).unwrap());
    shares.fold(Exact::ZERO, |sum, share| sum.plus(share.exact().unwrap()).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn parts_of_a_period_come_to_the_whole(
        cycle in 0..CYCLES.len(),
        first in 0_i64..800,
        cuts in prop::collection::btree_set(0_i64..370, 0..6),
    ) {
        let start = date(2023, 1, 1).saturating_add(jiff::Span::new().days(first));
        let period = Period::new(start, CYCLES[cycle].boundary(start, 1).unwrap()).unwrap();
        let cuts: BTreeSet<Date> =
            cuts.into_iter().map(|n| start.saturating_add(jiff::Span::new().days(n))).collect();
        for count in [DayCount::Actual, DayCount::Seconds, DayCount::CloudblueLiteral] {
            prop_assert_eq!(sum(count, period, &cuts), Exact::ONE, "{:?} {} {:?}", count, period, &cuts);
        }
        // Thirty days a month are the days of the month, or of weeks their own.
        if period.days() == 30 || CYCLES[cycle].unit == CycleUnit::Week {
            prop_assert_eq!(sum(DayCount::Actual30, period, &cuts), Exact::ONE, "{} {:?}", period, &cuts);
        }
        // A month of 30 days has no 31st: whatever begins or ends with one counts it as the 30th, on both sides.
        if start.day() <= 28 && !cuts.iter().any(|cut| cut.day() == 31 || *cut == cut.last_of_month()) {
            let thirty = sum(DayCount::Strict30360, period, &cuts);
            prop_assert_eq!(thirty, Exact::ONE, "{} {:?}", period, &cuts);
        }
    }
}

/// Eight seats at 22.00 sold on 1 March, cancelled on the 20th with the used part: 20 of 31 by the printed formula, which
/// charges the first day twice and the last one never.
#[test]
fn used_days_by_the_printed_formula_are_what_it_leaves() {
    let mut lab = lab();
    let march = period("2023-03-01", "2023-04-01");
    lab.run(&sale("2023-03-01", "8").0);
    let used = line("1", Charge::Recurring, "seat", "8", "22.00", "17.60");
    let shown = lab.run(&order("CL-1", OrderKind::Cancellation, "2023-03-20", march).with(used).0);
    assert!(shown.contains("create prorate 2023-03-01..2023-03-19 8 x 14.19"), "{shown}");
    assert_eq!([0; 2].map(|_| lab.invoice(40)), ["113.52", "0"]);
}

/// What is billed from go-live on and what is told of the days before it are the whole together.
#[test]
fn a_go_live_within_a_period_cuts_it_in_two() {
    let mut lab = lab();
    lab.set("go_live", "2023-03-15");
    let draft = lab.plan(&[&sale("2023-03-01", "5").0]);
    let told = draft.findings.iter().find(|f| f.code == Code::Tu6005).unwrap().amount.unwrap();
    lab.apply(&draft);
    assert_eq!([lab.invoice(40), told.0.to_string()], ["56.75", "53.23"], "{}", show(&draft));
}

fn lab() -> Lab {
    let mut lab = Lab::monthly("2023-01-01", "2023-03-01");
    lab.set("day_count", "cloudblue_literal");
    lab.product("seat", 7, ProductKind::Seat, "22.00", "17.60");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2023-03-01");
    lab
}

fn sale(on: &str, quantity: &str) -> OrderDraft {
    let sold = line("1", Charge::Recurring, "seat", quantity, "22.00", "17.60");
    order("SO-1", OrderKind::Sales, on, period("2023-03-01", "2023-04-01")).with(sold)
}

/// The formula as it is printed, for what begins within the period and goes on to its end.
#[rstest]
#[case("2023-03-01", 31)]
#[case("2023-03-02", 29)]
#[case("2023-03-15", 16)]
#[case("2023-03-31", 0)]
fn the_printed_formula_is_kept_to_the_letter(#[case] from: &str, #[case] charged: i64) {
    let march = period("2023-03-01", "2023-04-01");
    let share = share(DayCount::CloudblueLiteral, march, period(from, "2023-04-01")).unwrap();
    assert_eq!((share.charged, share.whole), (charged, 31));
}
