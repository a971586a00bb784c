//! Laws of orders that hold several products, of which one is billed from a later day only, and of cancellations before
//! anything was invoiced: what one product is billed does not depend on the other, nothing is billed of days that are
//! not, and nobody is paid for what was never charged.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
use common::*;
use proptest::prelude::*;
use rust_decimal::Decimal;
use trueup_domain::feed::{BillingModel, Charge, Order, OrderKind, OrderLine, ProductKind};
use trueup_domain::ids::AgreementId;
use trueup_domain::mapping::MappingKind;
use trueup_domain::period::{BillingCycle, Period};

const PRODUCTS: [(&str, i64, i64); 2] = [("x", 7, 2200), ("y", 8, 1000)];

/// One order of both products, so many days after the one before.
#[derive(Clone, Debug)]
struct Step {
    days: i64,
    levels: [i64; 2],
    /// The part of the change is named by the source, as a line of its own.
    named: bool,
    invoices: usize,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (0_i64..40, [1_i64..9, 1_i64..9], any::<bool>(), 0_usize..3)
        .prop_map(|(days, levels, named, invoices)| Step { days, levels, named, invoices });
    prop::collection::vec(step, 1..5)
}

fn price(cents: i64) -> String {
    Decimal::new(cents, 2).to_string()
}

fn month(of: jiff::civil::Date) -> Period {
    let anchor = jiff::civil::date(2025, 1, 1);
    BillingCycle::MONTHLY.period_containing(anchor, of).unwrap()
}

fn lab(first: &str, form: &str) -> Lab {
    let mut lab = Lab::monthly("2025-01-01", "2025-01-01");
    for (id, item, cents) in PRODUCTS {
        lab.product(id, item, ProductKind::Seat, &price(cents), "0");
    }
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2025-01-01");
    lab.set("credits", "on").set("quantity_change", form);
    let x = lab.mappings.iter_mut().find(|m| m.kind == MappingKind::Product && m.source_id == "x");
    x.unwrap().options.insert("billed_from".into(), first.into());
    lab
}

/// The order with the lines of some products alone.
fn only(order: &Order, products: &[&str]) -> Order {
    let lines = order.lines.iter().filter(|l| products.contains(&l.product.as_str())).cloned().collect();
    Order { lines, ..order.clone() }
}

fn amount(id: String, charge: Charge, product: &str, amount: Decimal) -> OrderLine {
    let mut made = line(&id, charge, product, "1", "", "");
    made.amount = Some(amount.round_dp(2).to_string().parse().unwrap());
    made.cost_amount = Some("0".parse().unwrap());
    made
}

/// The orders, each with the invoices before it, and the last day.
fn story(steps: &[Step], cancelled: bool) -> (Vec<(usize, Order)>, jiff::civil::Date) {
    let start = jiff::civil::date(2025, 1, 1);
    let mut sale = order("SO", OrderKind::Sales, "2025-01-01", month(start));
    for (nth, (id, _, cents)) in PRODUCTS.iter().enumerate() {
        sale = sale.with(line(&nth.to_string(), Charge::Recurring, id, "5", &price(*cents), "0"));
    }
    let mut story = vec![(0, sale.0)];
    let (mut at, mut levels) = (start, [5, 5]);
    for (number, step) in steps.iter().enumerate() {
        at = at.checked_add(jiff::Span::new().days(step.days)).unwrap();
        let of = month(at);
        let last = cancelled && number + 1 == steps.len();
        let kind = if last { OrderKind::Cancellation } else { OrderKind::Change };
        let mut made = order(&format!("O-{number}"), kind, &at.to_string(), of);
        for (nth, (id, _, cents)) in PRODUCTS.iter().enumerate() {
            let (old, new) = (levels[nth], if last { 0 } else { step.levels[nth] });
            let rest = Decimal::from((new - old) * cents) / Decimal::from(100)
                * Decimal::from(of.end().since(at).unwrap().get_days())
                / Decimal::from(of.days());
            if !last {
                made = made.change(&nth.to_string(), id, old, new, &price(*cents), "0");
            }
            if last || step.named && at != of.start() && new != old {
                let charge = if rest.is_sign_negative() { Charge::Refund } else { Charge::Prorate };
                made = made.with(amount(format!("p{nth}"), charge, id, rest));
            }
            levels[nth] = new;
        }
        made.0.completed_us = i64::try_from(number).unwrap() + 1_000_000;
        story.push((step.invoices, made.0));
    }
    (story, at)
}

/// What the orders are billed invoice by invoice, and three more.
fn billed(mut lab: Lab, story: &[(usize, Order)], products: &[&str], months: i64) -> Vec<Decimal> {
    let mut invoices = Vec::new();
    let mut invoice = |lab: &mut Lab| invoices.push(lab.invoice(40).parse::<Decimal>().unwrap());
    for (before, order) in story {
        for _ in 0..*before {
            // At most a month ahead.
            let next = lab.snapshot.agreements[&AgreementId(40)].next_invoice.unwrap();
            if next <= order.effective {
                invoice(&mut lab);
            }
        }
        let order = only(order, products);
        if !order.lines.is_empty() {
            lab.run(&order);
        }
    }
    for _ in 0..months {
        invoice(&mut lab);
    }
    invoices
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(200), failure_persistence: None, ..ProptestConfig::default() })]

    /// Orders of two products bill what the orders of each alone bill, on every invoice.
    #[test]
    fn products_do_not_move_each_other(
        steps in steps(), first in 0_i64..120, cancelled in any::<bool>(), edit in any::<bool>(),
    ) {
        let first = jiff::civil::date(2025, 1, 1).checked_add(jiff::Span::new().days(first)).unwrap();
        let form = if edit { "edit_in_place" } else { "end_and_create" };
        let (story, _) = story(&steps, cancelled);
        let bill = |products: &[&str]| billed(lab(&first.to_string(), form), &story, products, 8);
        let (both, x, y) = (bill(&["x", "y"]), bill(&["x"]), bill(&["y"]));
        let sum: Vec<Decimal> = x.iter().zip(&y).map(|(x, y)| x + y).collect();
        prop_assert_eq!(both, sum, "x {:?} y {:?}", x, y);
    }

    /// A product is billed for each of its days from its first billed day on, and for none before.
    #[test]
    fn each_day_is_billed_from_the_first_one_on(
        steps in steps(), first in 0_i64..120, edit in any::<bool>(),
    ) {
        let first = jiff::civil::date(2025, 1, 1).checked_add(jiff::Span::new().days(first)).unwrap();
        let form = if edit { "edit_in_place" } else { "end_and_create" };
        let (story, last) = story(&steps, false);
        let all = billed(lab(&first.to_string(), form), &story, &["x", "y"], 9);
        let horizon = jiff::civil::date(2025, 1, 1)
            .checked_add(jiff::Span::new().months(i64::try_from(all.len()).unwrap()))
            .unwrap();
        prop_assert!(last < horizon);
        let mut wanted = Decimal::ZERO;
        for (nth, (_, _, cents)) in PRODUCTS.iter().enumerate() {
            let mut day = jiff::civil::date(2025, 1, 1);
            while day < horizon {
                let of = month(day);
                let held = story.iter().skip(1).zip(&steps).take_while(|((_, order), _)| order.effective <= day);
                let level = held.last().map_or(5, |(_, step)| step.levels[nth]);
                if nth == 1 || day >= first {
                    wanted += Decimal::new(level * cents, 2) / Decimal::from(of.days());
                }
                day = day.tomorrow().unwrap();
            }
        }
        let sum: Decimal = all.iter().sum();
        // Half a cent a unit for each part, twice where a named amount is cut.
        prop_assert!((sum - wanted).abs() < Decimal::new(60, 2), "{} instead of {}: {:?}", sum, wanted, all);
    }

    /// Whatever changed before the first invoice: a subscription that is cancelled before it is billed nothing below zero,
    /// no more than its levels cost, and nothing afterwards.
    #[test]
    fn nobody_is_paid_for_what_was_never_charged(
        days in prop::collection::vec((0_i64..12, 1_i64..9, 0_usize..3), 1..4),
        mode in 0_usize..4,
        edit in any::<bool>(),
        discount in any::<bool>(),
    ) {
        let mut lab = lab("2025-01-01", if edit { "edit_in_place" } else { "end_and_create" });
        lab.set("line_mode", ["prorate_line", "single", "dual", "commitment"][mode]);
        let of = month(jiff::civil::date(2025, 1, 1));
        let mut sale = order("SO", OrderKind::Sales, "2025-01-01", of)
            .with(line("1", Charge::Recurring, "x", "5", "22.00", "0"));
        if discount {
            sale = sale.with(line("2", Charge::Discount, "x", "1", "7.00", "0"));
        }
        lab.run(&sale.0);
        let (mut at, mut level, mut most) = (1_i8, 5, 5);
        for (number, (later, new, form)) in days.iter().enumerate() {
            at = (at + i8::try_from(*later).unwrap()).min(31);
            let on = jiff::civil::date(2025, 1, at).to_string();
            let made = order(&format!("O-{number}"), OrderKind::Change, &on, of);
            let mut made = made.change("1", "x", level, *new, "22.00", "0");
            if *form == 1 && at > 1 && *new != level {
                // The source names the part itself.
                let rest = Decimal::from((new - level) * 22 * i64::from(32 - at)) / Decimal::from(31);
                let charge = if rest.is_sign_negative() { Charge::Refund } else { Charge::Prorate };
                made = made.with(amount("p".into(), charge, "x", rest));
            }
            made.0.completed_us = i64::try_from(number).unwrap() + 1_000_000;
            lab.run(&made.0);
            (level, most) = (*new, most.max(*new));
        }
        let on = jiff::civil::date(2025, 1, at.max(2)).to_string();
        let mut cancel = order("CX", OrderKind::Cancellation, &on, of);
        cancel.0.completed_us = 2_000_000;
        let shown = lab.run(&cancel.0);
        let billed: Decimal = lab.invoice(40).parse().unwrap();
        prop_assert!(billed >= Decimal::ZERO, "{}: {}", billed, shown);
        prop_assert!(billed <= Decimal::from(most * 22) + Decimal::ONE, "{}: {}", billed, shown);
        prop_assert_eq!(lab.invoice(40), "0", "{}", shown);
    }
}
