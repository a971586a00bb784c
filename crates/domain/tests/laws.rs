//! Laws that hold for every input: money splits and adds up, credits mirror charges, plans settle.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
use common::*;
use proptest::prelude::*;
use trueup_domain::feed::{BillingModel, Charge, Order, OrderKind, ProductKind};
use trueup_domain::money::{Exact, Money, Quantity, RoundingMode, split_by_largest_remainder};
use trueup_domain::period::{BillingCycle, CycleUnit, Period, days_between};
use trueup_domain::proration::{DayCount, share};

fn dates() -> impl Strategy<Value = jiff::civil::Date> {
    (2000_i16..2100, 1_i8..=12, 1_i8..=28).prop_map(|(y, m, d)| jiff::civil::date(y, m, d))
}

fn prorated(price: Money, period: Period, charged: Period, quantity: i64) -> Money {
    let share = share(DayCount::Actual, period, charged).unwrap().exact().unwrap();
    let unit = price.exact().times(share).unwrap().round(2, RoundingMode::HalfUp).unwrap();
    Money::new(unit).extended(Quantity::from(quantity), "USD".parse().unwrap()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn parts_of_a_period_sum_to_the_whole(cents in 0_i64..10_000_000, start in dates(), cuts in prop::collection::vec(1_i64..31, 0..6)) {
        let end = BillingCycle::MONTHLY.boundary(start, 1).unwrap();
        let period = Period::new(start, end).unwrap();
        let mut days: Vec<_> = cuts.into_iter().filter(|c| *c < period.days()).map(|c| start.checked_add(jiff::Span::new().days(c)).unwrap()).collect();
        days.extend([start, end]);
        days.sort();
        days.dedup();
        let weights: Vec<Exact> = days.windows(2).map(|w| Exact::ratio(days_between(w[0], w[1]).into(), 1).unwrap()).collect();
        let amount = Money::new(rust_decimal::Decimal::new(cents, 2));
        let parts = split_by_largest_remainder(amount, &weights, 2).unwrap();
        let sum = parts.iter().fold(Money::ZERO, |a, b| a.plus(*b).unwrap());
        prop_assert_eq!(sum, amount);
    }

    #[test]
    fn a_credit_mirrors_its_charge(cents in 0_i64..1_000_000, quantity in 1_i64..1000, start in dates(), day in 0_i64..28) {
        let period = Period::new(start, BillingCycle::MONTHLY.boundary(start, 1).unwrap()).unwrap();
        let charged = period.from_day(start.checked_add(jiff::Span::new().days(day)).unwrap()).unwrap();
        let price = Money::new(rust_decimal::Decimal::new(cents, 2));
        prop_assert_eq!(prorated(price, period, charged, -quantity), -prorated(price, period, charged, quantity));
    }

    #[test]
    fn proration_is_monotone(cents in 0_i64..1_000_000, more in 0_i64..1000, quantity in 0_i64..100, start in dates(), day in 1_i64..28) {
        let period = Period::new(start, BillingCycle::MONTHLY.boundary(start, 1).unwrap()).unwrap();
        let later = period.from_day(start.checked_add(jiff::Span::new().days(day)).unwrap()).unwrap();
        let earlier = period.from_day(later.start().yesterday().unwrap()).unwrap();
        let price = Money::new(rust_decimal::Decimal::new(cents, 2));
        let dearer = Money::new(rust_decimal::Decimal::new(cents + more, 2));
        prop_assert!(prorated(price, period, later, quantity) <= prorated(price, period, earlier, quantity));
        prop_assert!(prorated(price, period, later, quantity) <= prorated(price, period, later, quantity + 1));
        prop_assert!(prorated(price, period, later, quantity) <= prorated(dearer, period, later, quantity));
        prop_assert_eq!(prorated(price, period, period, quantity), price.extended(Quantity::from(quantity), "USD".parse().unwrap()).unwrap());
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
