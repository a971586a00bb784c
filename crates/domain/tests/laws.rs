//! Laws that hold for every input: money splits and adds up, credits mirror charges, plans settle.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
use common::*;
use proptest::prelude::*;
use trueup_domain::Decimal;
use trueup_domain::feed::{BillingModel, Charge, Order, OrderKind, ProductKind};
use trueup_domain::finding::Code;
use trueup_domain::money::{Exact, RoundingMode};
use trueup_domain::period::{BillingCycle, CycleUnit, Period};
use trueup_domain::plan::Role;

fn dates() -> impl Strategy<Value = jiff::civil::Date> {
    (2000_i16..2100, 1_i8..=12, 1_i8..=28).prop_map(|(y, m, d)| jiff::civil::date(y, m, d))
}

/// What a change of quantity on a day of March, which is invoiced, bills once through the planner.
struct Part {
    billed: Decimal,
    /// Whether a drift above the tolerance was told.
    told: bool,
}

fn part_of(cents: i64, (from, to): (i64, i64), on: i64, by_line: bool) -> Part {
    let mut lab = Lab::monthly("2023-03-01", "2023-04-01");
    lab.product("seat", 7, ProductKind::Seat, "1.00", "0.00");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2023-03-01");
    lab.set("credits", "on");
    lab.set("rounding_place", if by_line { "line" } else { "unit" });
    let price = Decimal::new(cents, 2).to_string();
    lab.by_hand(40, 500, 7, &from.to_string(), &price, "2023-03-01");
    let march = Period::new(day("2023-03-01"), day("2023-04-01")).unwrap();
    let on = march.start().checked_add(jiff::Span::new().days(on)).unwrap();
    let order = order("CH", OrderKind::Change, &on.to_string(), march);
    let draft = lab.plan(&[&order.change("1", "seat", from, to, &price, "0.00").0]);
    let parts = draft.changes.iter().filter(|c| c.role == Role::Prorate && c.writes());
    let billed = parts
        .map(|change| {
            let state = change.action.after().unwrap();
            state.unit_price.extended(state.quantity, change.currency).unwrap().decimal()
        })
        .sum();
    Part { billed, told: draft.findings.iter().any(|f| f.code == Code::Tu6006) }
}

/// The exact amount of so many days of March, times the length of March.
fn of_march(cents: i64, units: i64, days: i64) -> Decimal {
    Decimal::new(cents, 2) * Decimal::from(units) * Decimal::from(days)
}

const MARCH: i64 = 31;

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// What one change adds and a later one takes away is the days between them, to half a cent for each price that is
    /// rounded; where a part is off by more than the tolerance, that is told.
    #[test]
    fn parts_of_a_period_sum_to_the_whole(
        cents in 1_i64..1_000_000, from in 1_i64..50, more in 1_i64..400,
        (first, second) in (0_i64..MARCH).prop_flat_map(|first| (Just(first), first..MARCH)), by_line in any::<bool>(),
    ) {
        let (up, down) = ((from, from + more), (from + more, from));
        let (gained, lost) = (part_of(cents, up, first, by_line), part_of(cents, down, second, by_line));
        let rounded = Decimal::from(if by_line { 1 } else { more });
        let drift = (gained.billed + lost.billed) * Decimal::from(MARCH) - of_march(cents, more, second - first);
        prop_assert!(drift.abs() <= rounded * Decimal::new(1, 2) * Decimal::from(MARCH), "drift {}", drift);
        for (part, days) in [(&gained, MARCH - first), (&lost, second - MARCH)] {
            let off = (part.billed * Decimal::from(MARCH) - of_march(cents, more, days)).abs();
            let is_told = part.told || off <= Decimal::new(5, 2) * Decimal::from(MARCH);
            prop_assert!(is_told, "{} for {} days is off by {} / 31", part.billed, days, off);
        }
        // From the first day on it is the whole price.
        let whole = part_of(cents, up, 0, by_line);
        prop_assert_eq!(whole.billed, Decimal::new(cents * more, 2));
    }

    #[test]
    fn a_credit_mirrors_its_charge(cents in 1_i64..1_000_000, from in 1_i64..50, more in 1_i64..400, on in 0_i64..MARCH, by_line in any::<bool>()) {
        let (charge, credit) = (part_of(cents, (from, from + more), on, by_line), part_of(cents, (from + more, from), on, by_line));
        prop_assert_eq!(credit.billed, -charge.billed);
    }

    #[test]
    fn a_part_is_monotone_in_days_quantity_and_price(
        cents in 1_i64..1_000_000, dearer in 0_i64..1000, from in 1_i64..50, more in 1_i64..400, on in 0_i64..MARCH - 1, by_line in any::<bool>(),
    ) {
        let part = |cents, more, on| part_of(cents, (from, from + more), on, by_line).billed;
        let one = part(cents, more, on);
        prop_assert!(one >= Decimal::ZERO);
        prop_assert!(part(cents, more, on + 1) <= one, "a day less");
        prop_assert!(part(cents, more + 1, on) >= one, "a unit more");
        prop_assert!(part(cents + dearer, more, on) >= one, "a higher price");
    }

    #[test]
    fn rounding_is_within_half_a_unit(num in -1_000_000_000_i128..1_000_000_000, den in 1_i128..10_000, places in 0_u32..5) {
        let exact = Exact::ratio(num, den).unwrap();
        for mode in [RoundingMode::HalfUp, RoundingMode::HalfEven] {
            let error = Exact::from_decimal(exact.round(places, mode).unwrap()).minus(exact).unwrap();
            let (n, d) = error.parts();
            prop_assert!(n.abs() * 2 * 10_i128.pow(places) <= d);
        }
        let floor = Exact::from_decimal(exact.round(places, RoundingMode::Floor).unwrap());
        let ceil = Exact::from_decimal(exact.round(places, RoundingMode::Ceil).unwrap());
        prop_assert!(!exact.minus(floor).unwrap().is_negative() && !ceil.minus(exact).unwrap().is_negative());
    }

    #[test]
    fn cycles_cover_every_day_once(anchor in dates(), day in dates(), every in 1_u32..13, unit in 0_usize..4) {
        let unit = [CycleUnit::Day, CycleUnit::Week, CycleUnit::Month, CycleUnit::Year][unit];
        let cycle = BillingCycle::new(every, unit).unwrap();
        let period = cycle.period_containing(anchor, day).unwrap();
        prop_assert!(period.contains(day));
        let next = cycle.period_containing(anchor, period.end()).unwrap();
        prop_assert_eq!(next.start(), period.end());
    }

    /// Any run of orders settles: planning again changes nothing, nothing lands in an invoiced period (the checker would
    /// refuse), and after the last invoice the lines bill exactly the last quantity.
    #[test]
    fn any_run_of_orders_settles(
        steps in prop::collection::vec((0_i64..30, 0_i64..12, 0_u8..3), 1..7),
        credits in any::<bool>(),
        mode in 0_usize..4,
        edit in any::<bool>(),
    ) {
        let mut lab = Lab::monthly("2023-03-01", "2023-03-01");
        lab.product("seat", 7, ProductKind::Seat, "22.00", "17.60");
        lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2023-03-01");
        lab.set("credits", if credits { "on" } else { "off" });
        lab.set("line_mode", ["prorate_line", "single", "dual", "prorate_line"][mode]);
        lab.set("quantity_change", if edit { "edit_in_place" } else { "end_and_create" });
        let first = Period::new(day("2023-03-01"), day("2023-04-01")).unwrap();
        let sale = order("SO", OrderKind::Sales, "2023-03-01", first).with(line("1", Charge::Recurring, "seat", "5", "22.00", "17.60"));
        lab.run(&sale.0);
        // What the days cost, exactly: every change moves the rest of its period and all periods after it.
        let mut exact = Exact::ZERO;
        let mut days_of = vec![(day("2023-03-01"), 5_i64)];
        let mut billed = rust_decimal::Decimal::ZERO;
        let mut quantity = 5;
        let mut month = 0;
        let mut at = 0;
        for (index, (days, wanted, invoices)) in steps.into_iter().enumerate() {
            let period = {
                let start = BillingCycle::MONTHLY.boundary(day("2023-03-01"), month).unwrap();
                Period::new(start, BillingCycle::MONTHLY.boundary(day("2023-03-01"), month + 1).unwrap()).unwrap()
            };
            for _ in 0..invoices {
                let open = lab.snapshot.agreements[&trueup_domain::ids::AgreementId(40)].next_invoice.unwrap();
                if open < period.end() {
                    billed += lab.invoice(40).parse::<rust_decimal::Decimal>().unwrap();
                }
            }
            at = (at + days).min(period.days() - 1);
            let on = period.start().checked_add(jiff::Span::new().days(at)).unwrap();
            let mut change: Order = order(&format!("CH-{index}"), OrderKind::Change, &on.to_string(), period)
                .change("1", "seat", quantity, wanted, "22.00", "17.60").0;
            change.completed_us = i64::from(u32::try_from(index).unwrap()) + 2_000_000;
            lab.run(&change);
            quantity = wanted;
            days_of.push((on, wanted));
            if invoices == 2 {
                month += 1;
                at = 0;
            }
        }
        for _ in 0..4 {
            billed += lab.invoice(40).parse::<rust_decimal::Decimal>().unwrap();
        }
        let horizon = lab.snapshot.agreements[&trueup_domain::ids::AgreementId(40)].next_invoice.unwrap();
        let mut at = day("2023-03-01");
        while at < horizon {
            let level = days_of.iter().rev().find(|(from, _)| *from <= at).unwrap().1;
            let length = Period::new(at.first_of_month(), at.last_of_month().tomorrow().unwrap()).unwrap().days();
            exact = exact.plus(Exact::ratio(i128::from(level) * 22, i128::from(length)).unwrap()).unwrap();
            at = at.tomorrow().unwrap();
        }
        let exact = exact.round(6, RoundingMode::HalfUp).unwrap();
        // Half a cent a unit of each written line is the most that rounding per unit may cost.
        let tolerance = rust_decimal::Decimal::new(6, 2) * rust_decimal::Decimal::from(days_of.len());
        prop_assert!(billed >= exact - tolerance, "billed {} exact {}", billed, exact);
        if credits {
            prop_assert!(billed <= exact + tolerance, "billed {} exact {}", billed, exact);
        }
        let billed: rust_decimal::Decimal = lab.invoice(40).parse().unwrap();
        prop_assert_eq!(billed, rust_decimal::Decimal::from(quantity * 22));
    }
}

/// More places than the numerator has room for: what it shares with the denominator is taken out first.
#[test]
fn what_has_many_places_is_rounded_to_more_of_them() {
    let quantity = Exact::from_decimal("3000.00000000000000001".parse().unwrap());
    let exact = quantity.times(Exact::ratio(21, 1).unwrap()).unwrap();
    assert_eq!([exact.fits(16), exact.fits(17), exact.fits(28)], [false, true, true]);
    assert_eq!(exact.round(20, RoundingMode::HalfUp).unwrap().to_string(), "63000.00000000000000021000");
}
