//! Every day of a century as the start of a period, and every day of the period as the day of a change: what was billed
//! before and what is billed after come to the whole. Months whole, years sampled; `TRUEUP_TORTURE=full` takes every
//! year as well.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use jiff::Span;
use jiff::civil::{Date, date};
use rstest::rstest;
use trueup_domain::money::Exact;
use trueup_domain::period::{BillingCycle, Period};
use trueup_domain::proration::{DayCount, share};

/// Both parts of every split of the period, in days and in exact shares; what they cost in cents is in `laws.rs`.
fn every_split(period: Period, step: i64) -> u64 {
    let whole = period.days();
    let mut cases = 0;
    let mut day = 0;
    while day < whole {
        let effective = period.start().checked_add(Span::new().days(day)).unwrap();
        let after = period.from_day(effective).unwrap();
        let new = share(DayCount::Actual, period, after).unwrap();
        // The day of the change belongs to the new state, and is counted once.
        assert_eq!((new.charged, new.whole), (whole - day, whole), "{period} {effective}");
        match period.before_day(effective) {
            None => assert!(day == 0 && new.is_whole()),
            Some(before) => {
                let old = share(DayCount::Actual, period, before).unwrap();
                assert_eq!(old.charged + new.charged, whole, "{period} {effective}");
                assert_eq!(before.end(), after.start());
                let weights = [old.exact().unwrap(), new.exact().unwrap()];
                assert_eq!(weights[0].plus(weights[1]).unwrap(), Exact::ONE);
            }
        }
        cases += 1;
        day += step;
    }
    cases
}

fn days(from: Date, to: Date) -> impl Iterator<Item = Date> {
    std::iter::successors(Some(from), move |day| day.tomorrow().ok().filter(|next| *next < to))
}

#[test]
fn every_month_of_a_century_splits_on_every_day_into_the_whole() {
    let mut cases = 0;
    for start in days(date(2000, 1, 1), date(2101, 1, 1)) {
        let period = Period::new(start, BillingCycle::MONTHLY.boundary(start, 1).unwrap()).unwrap();
        assert!((28..=31).contains(&period.days()), "{period}");
        cases += every_split(period, 1);
    }
    assert!(cases > 1_100_000, "{cases}");
}

#[test]
fn every_year_of_a_century_splits_into_the_whole() {
    let full = std::env::var("TRUEUP_TORTURE").is_ok_and(|v| v == "full");
    let mut cases = 0;
    for (index, start) in days(date(2000, 1, 1), date(2101, 1, 1)).enumerate() {
        let period = Period::new(start, BillingCycle::YEARLY.boundary(start, 1).unwrap()).unwrap();
        assert!((365..=366).contains(&period.days()), "{period}");
        // In a plain run each start is cut on a few days of its own.
        let step = if full { 1 } else { 61 + i64::try_from(index % 7).unwrap() };
        cases += every_split(period, step);
    }
    assert!(cases > if full { 13_000_000 } else { 180_000 }, "{cases}");
}

/// An anchor keeps its day: what begins on the 31st comes back to the 31st after February, in leap years and the year
/// 2100, which is none.
#[test]
fn anchors_keep_their_day_through_short_months() {
    for year in [2000, 2023, 2024, 2100] {
        for day in 28..=31 {
            let anchor = date(year, 1, day);
            for n in 0..24 {
                let at = BillingCycle::MONTHLY.boundary(anchor, n).unwrap();
                assert_eq!(at.day(), day.min(at.days_in_month()), "{anchor} + {n}");
                let period = BillingCycle::MONTHLY.period_containing(anchor, at).unwrap();
                assert_eq!(period.start(), at);
                assert_eq!(period.end(), BillingCycle::MONTHLY.boundary(anchor, n + 1).unwrap());
            }
        }
    }
    let leap = date(2024, 2, 29);
    let years: Vec<_> = (0..5).map(|n| BillingCycle::YEARLY.boundary(leap, n).unwrap().to_string()).collect();
    assert_eq!(years, ["2024-02-29", "2025-02-28", "2026-02-28", "2027-02-28", "2028-02-29"]);
}

/// A month of 30 days is a month of the period: a part of a quarter or a year is never more than the whole.
#[rstest]
#[case::a_year(DayCount::Actual30, ("2023-01-01", "2024-01-01"), ("2023-07-01", "2024-01-01"), (184, 360))]
#[case::a_year_by_months(DayCount::Strict30360, ("2023-01-01", "2024-01-01"), ("2023-07-01", "2024-01-01"), (180, 360))]
#[case::a_quarter(DayCount::Actual30, ("2023-01-01", "2023-04-01"), ("2023-02-01", "2023-04-01"), (59, 90))]
#[case::never_more(DayCount::Actual30, ("2023-07-01", "2023-10-01"), ("2023-07-02", "2023-10-01"), (90, 90))]
#[case::a_month(DayCount::Actual30, ("2023-03-01", "2023-04-01"), ("2023-03-15", "2023-04-01"), (17, 30))]
#[case::from_the_31st(DayCount::Actual30, ("2023-01-31", "2023-02-28"), ("2023-02-14", "2023-02-28"), (14, 30))]
#[case::to_the_31st(DayCount::Strict30360, ("2023-02-28", "2023-03-31"), ("2023-03-16", "2023-03-31"), (15, 30))]
#[case::a_week(DayCount::Actual30, ("2023-03-01", "2023-03-08"), ("2023-03-05", "2023-03-08"), (3, 7))]
fn a_part_by_months_of_thirty_days(
    #[case] count: DayCount,
    #[case] whole: (&str, &str),
    #[case] part: (&str, &str),
    #[case] expected: (i64, i64),
) {
    let of = |(start, end): (&str, &str)| Period::new(start.parse().unwrap(), end.parse().unwrap()).unwrap();
    let found = share(count, of(whole), of(part)).unwrap();
    assert_eq!((found.charged, found.whole), expected);
}
