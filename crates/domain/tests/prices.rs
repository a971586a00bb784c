//! Prices with more places than the currency has, and amounts that the source names itself: what the days cost is billed,
//! whatever the settings say of rounding, and every line keeps its quantity.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
use common::*;
use rstest::rstest;
use rust_decimal::{Decimal, RoundingStrategy};
use trueup_domain::feed::{BillingModel, Charge, OrderKind, ProductKind};
use trueup_domain::ids::{AgreementId, SubscriptionId};
use trueup_domain::money::Currency;
use trueup_domain::period::{BillingCycle, Period};

fn january() -> Period {
    period("2028-01-01", "2028-02-01")
}

fn dec(text: &str) -> Decimal {
    text.parse().unwrap()
}

/// Seats in a currency; the first period is January 2028.
fn lab(currency: &str) -> Lab {
    let mut lab = Lab::monthly("2028-01-01", "2028-01-01");
    lab.agreement(40, BillingCycle::MONTHLY, currency, "2028-01-01", "2028-01-01");
    lab.product("seat", 7, ProductKind::Seat, "20.00", "10.00");
    lab.subscription("s-1", BillingCycle::MONTHLY, BillingModel::Advance, "2028-01-01");
    let subscription = lab.subscriptions.values_mut().next().unwrap();
    assert_eq!(subscription.id, SubscriptionId::from("s-1"));
    subscription.currency = currency.parse().unwrap();
    lab
}

fn sale(currency: &str, quantity: &str, price: &str, cost: &str) -> OrderDraft {
    let sold = line("1", Charge::Recurring, "seat", quantity, price, cost);
    let mut sale = order("SO-1", OrderKind::Sales, "2028-01-01", january()).with(sold);
    sale.0.currency = currency.parse().unwrap();
    sale
}

fn change(currency: &str, on: &str, (old, new): (i64, i64), price: &str, cost: &str) -> OrderDraft {
    let mut change = order(&format!("CH-{on}"), OrderKind::Change, on, january())
        .change("1", "seat", old, new, price, cost);
    change.0.currency = currency.parse().unwrap();
    change
}

fn invoice(lab: &mut Lab) -> Decimal {
    dec(&lab.invoice(40))
}

/// The open-ended lines: quantity and unit price.
fn open_lines(lab: &Lab) -> Vec<(String, String)> {
    let all = lab.snapshot.additions_of(AgreementId(40));
    let open = all.iter().filter(|a| a.state.cancelled.is_none());
    open.map(|a| (a.state.quantity.display(), a.state.unit_price.decimal().normalize().to_string())).collect()
}

fn rounded(amount: Decimal, currency: &str) -> Decimal {
    let places = currency.parse::<Currency>().unwrap().places();
    amount.round_dp_with_strategy(places, RoundingStrategy::MidpointAwayFromZero)
}

// --- A whole line keeps its quantity and its price -------------------------------------------------------------------

/// 12 January: 20 of 31 days. `rounding_place` speaks of prorated amounts: the open-ended line is what was sold.
#[rstest]
#[case("USD", "12.345", (30, 50))]
#[case("USD", "12.345", (3, 5))]
#[case("USD", "12.345", (5, 3))]
#[case("USD", "0.125", (100, 150))]
#[case("USD", "0.00321", (1000, 1500))]
#[case("EUR", "0.0375", (9, 11))]
#[case("JPY", "999.9", (7, 9))]
#[case("JPY", "12.5", (9, 7))]
#[case("KWD", "1.2345", (8, 13))]
#[case("USD", "22.00", (5, 8))]
fn a_price_with_more_places_is_billed_by_its_days(
    #[values("prorate_line", "single", "dual")] mode: &str,
    #[values("line", "unit")] place: &str,
    #[values(true, false)] invoiced: bool,
    #[case] currency: &str,
    #[case] price: &str,
    #[case] (old, new): (i64, i64),
) {
    let mut lab = lab(currency);
    lab.set("credits", "on").set("rounding_place", place).set("line_mode", mode);
    lab.run(&sale(currency, &old.to_string(), price, "0").0);
    let mut billed = if invoiced { invoice(&mut lab) } else { Decimal::ZERO };
    let shown = lab.run(&change(currency, "2028-01-12", (old, new), price, "0").0);
    billed += invoice(&mut lab);
    let (old, new) = (Decimal::from(old), Decimal::from(new));
    let unit = Decimal::new(1, currency.parse::<Currency>().unwrap().places());
    let days = old * dec(price) + (new - old) * dec(price) * dec("20") / dec("31");
    let days = if invoiced { days + new * dec(price) } else { days };
    // A whole line may be off by the tolerance, and each unit of a part by half of the smallest unit.
    let units = if place == "unit" && dec(price) == rounded(dec(price), currency) {
        (new - old).abs()
    } else {
        dec("1")
    };
    let wholes = if invoiced { dec("10") } else { dec("5") };
    let tolerance = unit * (wholes + units / dec("2"));
    assert!((billed - days).abs() <= tolerance, "{billed} instead of {days}\n{shown}");
    let lines = open_lines(&lab);
    assert_eq!(lines.len(), 1, "{shown}");
    assert_eq!(lines[0].0, new.to_string(), "the quantity is gone:\n{shown}");
    let next = invoice(&mut lab);
    assert!((next - new * dec(price)).abs() <= unit * dec("5"), "{next}\n{shown}");
    if place == "line" {
        assert_eq!(lines[0].1, dec(price).normalize().to_string(), "{shown}");
        assert_eq!(next, rounded(new * dec(price), currency), "{shown}");
    }
    assert!(!shown.contains("TU5001") && !shown.contains("error"), "{shown}");
}

/// A line that stands as one unit of what all cost together (written so before, or by hand) is all of them.
#[rstest]
#[case::more((30, 50), "12.345")]
#[case::fewer((30, 10), "12.345")]
#[case::dearer((30, 50), "13.00")]
#[case::none_left((30, 0), "12.345")]
fn one_unit_of_all_is_all_of_them(
    #[values("unit", "line")] place: &str,
    #[case] (old, new): (i64, i64),
    #[case] price: &str,
) {
    let mut lab = lab("USD");
    lab.set("credits", "on").set("rounding_place", place);
    lab.by_hand(40, 500, 7, "1", "370.35", "2028-01-01");
    let shown = lab.run(&change("USD", "2028-01-12", (old, new), price, "0").0);
    let billed = invoice(&mut lab);
    let whole = Decimal::from(new) * dec(price);
    let days = dec("370.35") + (whole - dec("370.35")) * dec("20") / dec("31");
    assert!((billed - days).abs() <= dec("0.10"), "{billed} instead of {days}\n{shown}");
    assert!((invoice(&mut lab) - whole).abs() <= dec("0.05"), "{shown}");
    assert!(!shown.contains("TU5001"), "{shown}");
}

/// One unit at a unit's price is one unit: what the order starts from is not there, and is said.
#[test]
fn one_unit_at_its_own_price_is_one_unit() {
    let mut lab = lab("USD");
    lab.by_hand(40, 500, 7, "1", "20.00", "2028-01-01");
    let shown = lab.run(&change("USD", "2028-01-12", (5, 8), "20.00", "17.60").0);
    assert!(shown.contains("create prorate 2028-01-12..2028-01-31 3 x 12.90"), "{shown}");
    assert!(shown.contains("TU5001 warning"), "{shown}");
}

/// An edit writes the price as a new line would.
#[rstest]
fn an_edit_keeps_the_places_as_a_new_line_does(#[values("unit", "line")] place: &str) {
    let price_of = |form: &str| {
        let mut lab = lab("USD");
        lab.set("quantity_change", form).set("rounding_place", place).set("credits", "on");
        lab.run(&sale("USD", "3", "12.345", "0").0);
        lab.invoice(40);
        let shown = lab.run(&change("USD", "2028-01-12", (3, 5), "12.345", "0").0);
        (open_lines(&lab), invoice(&mut lab), shown)
    };
    let (own, edited) = (price_of("end_and_create"), price_of("edit_in_place"));
    assert_eq!((edited.0, edited.1), (own.0, own.1), "{}\n{}", own.2, edited.2);
}

/// A written price that is our rounding of the order's is no other price: the part is so many units at one price.
#[rstest]
#[case::more("12.345", "6.789", (3, 5), "2 x 8.76 cost 4.82")]
#[case::fewer("12.345", "6.789", (5, 3), "-2 x 8.76 cost 4.82")]
#[case::cost_alone("12.00", "6.789", (3, 5), "2 x 8.52 cost 4.82")]
#[case::all("12.345", "6.789", (3, 0), "-3 x")]
fn a_rounding_of_ours_is_no_other_price(
    #[values("unit", "line")] place: &str,
    #[values(true, false)] said: bool,
    #[case] price: &str,
    #[case] cost: &str,
    #[case] (old, new): (i64, i64),
    #[case] wanted: &str,
) {
    let mut lab = lab("USD");
    lab.set("credits", "on").set("rounding_place", place);
    lab.run(&sale("USD", &old.to_string(), price, cost).0);
    let mut change = change("USD", "2028-01-10", (old, new), price, cost);
    if said {
        change.0.lines[0].old_unit_price = Some(price.parse().unwrap());
        change.0.lines[0].old_unit_cost = Some(cost.parse().unwrap());
    }
    let shown = lab.run(&change.0);
    let part = shown.lines().find(|l| l.contains("create prorate")).unwrap();
    let days = (Decimal::from(new) - Decimal::from(old)) * dec(price) * dec("22") / dec("31");
    let amount: Decimal = dec(part.rsplit(' ').next().unwrap());
    assert!((amount - days).abs() <= dec("0.015"), "{shown}");
    // A line that is rounded once is put into units where it comes out even.
    if place == "unit" || part.contains(wanted) {
        assert!(part.contains(wanted) || wanted == "-3 x", "{shown}");
    }
}

/// Where one product is billed by two lines, the price of the order finds the one that shows its rounding.
#[test]
fn the_line_of_a_rounded_price_is_found_among_two() {
    let mut lab = lab("USD");
    lab.set("credits", "on");
    let two = sale("USD", "3", "12.345", "0").with(line("2", Charge::Recurring, "seat", "3", "9.00", "0"));
    lab.run(&two.0);
    let mut up = change("USD", "2028-01-12", (3, 5), "12.345", "0");
    up.0.lines[0].old_unit_price = Some("12.345".parse().unwrap());
    let shown = lab.run(&up.0);
    assert!(shown.contains("cancel recurring 2028-01-01..2028-01-31 3 x 12.35"), "{shown}");
}
