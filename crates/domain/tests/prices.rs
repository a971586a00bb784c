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

/// The places of a currency are worth little on a small line: what it is off by is at most a hundredth of it.
#[rstest]
#[case("JPY", "9", "12.5", "113")]
#[case("JPY", "7", "999.9", "7000")]
#[case("USD", "10", "0.0375", "0.38")]
#[case("USD", "30", "12.345", "370.35")]
fn what_a_line_loses_to_the_currency_is_little_of_it(
    #[case] currency: &str,
    #[case] quantity: &str,
    #[case] price: &str,
    #[case] billed: &str,
) {
    let mut lab = lab(currency);
    let shown = lab.run(&sale(currency, quantity, price, "0").0);
    assert_eq!(invoice(&mut lab), dec(billed), "{shown}");
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

// --- Amounts that the source names -----------------------------------------------------------------------------------

/// What January, the months after it, and their costs come to: (price, cost) each.
fn months(lab: &mut Lab) -> [(Decimal, Decimal); 2] {
    std::array::from_fn(|_| {
        let record = lab.snapshot.agreements[&AgreementId(40)].clone();
        let (open, currency) = (record.open_period().unwrap(), record.currency.unwrap());
        let lines = lab.snapshot.additions_of(AgreementId(40)).iter();
        let cost = lines.map(|l| {
            let billed = trueup_domain::billing::billed_in(&l.state, l.less_included, open, false, currency);
            billed.unwrap().cost.decimal()
        });
        let cost = cost.sum();
        (invoice(lab), cost)
    })
}

fn named(
    mut made: trueup_domain::feed::OrderLine,
    amount: &str,
    cost: &str,
) -> trueup_domain::feed::OrderLine {
    made.amount = (!amount.is_empty()).then(|| amount.parse().unwrap());
    made.cost_amount = (!cost.is_empty()).then(|| cost.parse().unwrap());
    made
}

/// An amount and a cost that the source names for a whole period count for that period alone.
#[rstest]
#[case::free("0.00", "", ("0", "50.00"))]
#[case::free_at_no_cost("0.00", "0", ("0", "0"))]
#[case::less("90.00", "", ("90.00", "50.00"))]
#[case::less_at_a_cost("90.00", "37.00", ("90.00", "37.00"))]
#[case::cost_alone("", "37.00", ("100.00", "37.00"))]
#[case::no_cost("", "0", ("100.00", "0"))]
#[case::as_it_is("100.00", "50.00", ("100.00", "50.00"))]
#[case::more_places("99.995", "", ("100.00", "50.00"))]
fn what_the_source_names_of_a_period_counts_for_it_alone(
    #[values("prorate_line", "single", "dual")] mode: &str,
    #[values(true, false)] invoiced: bool,
    #[case] amount: &str,
    #[case] cost: &str,
    #[case] first: (&str, &str),
) {
    let mut lab = lab("USD");
    lab.set("line_mode", mode);
    if invoiced {
        lab.invoice(40);
    }
    let sold = named(line("1", Charge::Recurring, "seat", "5", "20.00", "10.00"), amount, cost);
    let shown = lab.run(&order("SO-1", OrderKind::Sales, "2028-01-01", january()).with(sold).0);
    let next = (dec("100.00"), dec("50.00"));
    let first = (dec(first.0), dec(first.1));
    let wanted = if invoiced { [(first.0 + next.0, first.1 + next.1), next] } else { [first, next] };
    assert_eq!(months(&mut lab), wanted, "{shown}");
    assert_eq!(open_lines(&lab), [("5".to_owned(), "20".to_owned())], "{shown}");
}

/// Without a price of a unit the amount of the whole period makes it, to the cent of the line, and for its days alone.
#[rstest]
#[case("5", "77.77", "33.33", "15.554")]
#[case("3", "10.00", "5.00", "3.333333")]
#[case("5", "100.00", "50.00", "20")]
#[case("1000", "0.07", "0.03", "0.00007")]
fn an_amount_makes_the_price_that_is_not_told(
    #[values("unit", "line")] place: &str,
    #[case] quantity: &str,
    #[case] amount: &str,
    #[case] cost: &str,
    #[case] unit: &str,
) {
    let mut lab = lab("USD");
    lab.set("rounding_place", place);
    let sold = named(line("1", Charge::Recurring, "seat", quantity, "", ""), amount, cost);
    let shown = lab.run(&order("SO-1", OrderKind::Sales, "2028-01-01", january()).with(sold).0);
    let both = (dec(amount), dec(cost));
    assert_eq!(months(&mut lab), [both, both], "{shown}");
    assert_eq!(open_lines(&lab), [(quantity.to_owned(), unit.to_owned())], "{shown}");
}

/// What the source names for the days from a change on is billed for them in every mode.
#[rstest]
#[case::more((5, 8), "40.00", "140.00")]
#[case::more_for_nothing((5, 8), "0.00", "100.00")]
#[case::fewer((5, 3), "-25.00", "75.00")]
fn what_the_source_names_of_a_change_is_billed_in_every_mode(
    #[values("prorate_line", "single", "dual", "commitment")] mode: &str,
    #[values("2028-01-01", "2028-01-11")] on: &str,
    #[values(true, false)] invoiced: bool,
    #[case] (old, new): (i64, i64),
    #[case] amount: &str,
    #[case] wanted: &str,
) {
    let mut lab = lab("USD");
    lab.set("credits", "on").set("line_mode", mode).set("rounding_tolerance", "1");
    lab.run(&sale("USD", "5", "20.00", "10.00").0);
    let mut billed = if invoiced { invoice(&mut lab) } else { Decimal::ZERO };
    let mut change = change("USD", on, (old, new), "20.00", "10.00");
    change.0.lines[0].amount = Some(amount.parse().unwrap());
    let shown = lab.run(&change.0);
    billed += invoice(&mut lab);
    let whole = Decimal::from(new) * dec("20.00");
    let wanted = if invoiced { dec(wanted) + whole } else { dec(wanted) };
    assert!((billed - wanted).abs() <= dec("0.04"), "{billed} instead of {wanted}\n{shown}");
    assert_eq!(invoice(&mut lab), whole, "{shown}");
}

/// The same for a sale within the period.
#[rstest]
fn what_the_source_names_of_a_sale_within_the_period_is_billed_in_every_mode(
    #[values("prorate_line", "single", "dual", "commitment")] mode: &str,
    #[values(("71.11", "35.00"), ("0.00", "0"), ("100.00", "50.00"))] (amount, cost): (&str, &str),
) {
    let mut lab = lab("USD");
    lab.subscriptions.values_mut().next().unwrap().start = day("2028-01-10");
    lab.set("line_mode", mode);
    let sold = named(line("1", Charge::Recurring, "seat", "5", "20.00", "10.00"), amount, cost);
    let shown = lab.run(&order("SO-1", OrderKind::Sales, "2028-01-10", january()).with(sold).0);
    assert_eq!(months(&mut lab), [(dec(amount), dec(cost)), (dec("100.00"), dec("50.00"))], "{shown}");
}

/// What brings a line to an amount of its own goes with the line.
#[rstest]
fn what_brings_a_line_to_its_amount_goes_with_it(
    #[values("prorate_line", "single", "dual")] mode: &str,
    #[values("40.00", "80.00")] amount: &str,
) {
    let mut lab = lab("USD");
    lab.set("line_mode", mode);
    lab.run(&sale("USD", "5", "20.00", "10.00").0);
    let mut change = change("USD", "2028-01-01", (5, 8), "20.00", "10.00");
    change.0.lines[0].amount = Some(amount.parse().unwrap());
    lab.run(&change.0);
    let shown = lab.run(&order("CX-1", OrderKind::Cancellation, "2028-01-14", january()).0);
    assert_eq!(invoice(&mut lab), Decimal::ZERO, "{shown}");
}

/// The amount of a renewal is what its whole quantity costs in its first period.
#[rstest]
fn a_renewal_names_what_all_of_it_costs(#[values(1, 2, 3)] invoices: usize) {
    let mut lab = lab("USD");
    lab.run(&sale("USD", "5", "20.00", "10.00").0);
    let mut billed: Decimal = (0..invoices).map(|_| invoice(&mut lab)).sum();
    let february = period("2028-02-01", "2028-03-01");
    let again = named(line("1", Charge::Recurring, "seat", "6", "21.00", "10.00"), "111.00", "");
    let shown = lab.run(&order("RN-1", OrderKind::Renewal, "2028-02-01", february).with(again).0);
    billed += (invoices..5).map(|_| invoice(&mut lab)).sum::<Decimal>();
    assert_eq!(billed, dec("589.00"), "{shown}");
}

/// A change on the very day of a sale whose first period is billed by a line of its own bills the difference beside it.
#[rstest]
#[case::more((5, 8), "150.00", "160.00")]
#[case::fewer((5, 3), "50.00", "60.00")]
fn a_change_on_the_day_of_a_sale_with_an_amount_of_its_own_bills_the_difference(
    #[values("prorate_line", "single", "dual")] mode: &str,
    #[values("end_and_create", "edit_in_place")] form: &str,
    #[case] (old, new): (i64, i64),
    #[case] january: &str,
    #[case] next: &str,
) {
    let mut lab = lab("USD");
    lab.set("credits", "on").set("line_mode", mode).set("quantity_change", form);
    let sold = named(line("1", Charge::Recurring, "seat", "5", "20.00", "10.00"), "90.00", "");
    lab.run(&order("SO-1", OrderKind::Sales, "2028-01-01", self::january()).with(sold).0);
    let change = change("USD", "2028-01-01", (old, new), "20.00", "10.00");
    let shown = lab.run(&change.0);
    assert_eq!(invoice(&mut lab), dec(january), "{shown}");
    assert!(lab.plan(&[&change.0]).changes.iter().all(|c| !c.writes()), "after the invoice as well");
    assert_eq!(invoice(&mut lab), dec(next), "{shown}");
}

/// A source that names what a whole period costs, and the unit price with its places beside it, is billed what it names, every
/// period, and so is what a change makes of it.
#[rstest]
#[case::a_twelfth_of_a_hundred("USD", "5", "8.3333", "41.67")]
#[case::dozen("USD", "12", "8.3333", "100.00")]
#[case::sevenths("USD", "7", "14.2857", "100.00")]
#[case::yen("JPY", "100", "120.04", "12004")]
#[case::three_places("KWD", "5", "8.33333", "41.667")]
fn a_named_amount_is_billed_to_the_cent_beside_its_unit_price(
    #[case] currency: &str,
    #[case] quantity: &str,
    #[case] price: &str,
    #[case] amount: &str,
    #[values(true, false)] renewed: bool,
    #[values("end_and_create", "edit_in_place")] form: &str,
) {
    let mut lab = lab(currency);
    lab.set("quantity_change", form);
    let mut sold = sale(currency, quantity, price, price);
    sold.0.lines[0].amount = Some(amount.parse().unwrap());
    sold.0.lines[0].cost_amount = Some(amount.parse().unwrap());
    lab.run(&sold.0);
    assert_eq!([invoice(&mut lab), invoice(&mut lab)], [dec(amount); 2]);
    if renewed {
        let mut renewal = sold;
        renewal.0.id = "R-1".into();
        renewal.0.kind = OrderKind::Renewal;
        renewal.0.effective = day("2028-03-01");
        renewal.0.period = period("2028-03-01", "2028-04-01");
        lab.run(&renewal.0);
        assert_eq!([invoice(&mut lab), invoice(&mut lab)], [dec(amount); 2]);
        return;
    }
    let old: i64 = quantity.parse().unwrap();
    let mut more = change(currency, "2028-03-01", (old, old + 1), price, price);
    more.0.period = period("2028-03-01", "2028-04-01");
    lab.run(&more.0);
    let all = rounded(dec(price) * Decimal::from(old + 1), currency);
    assert_eq!([invoice(&mut lab), invoice(&mut lab)], [all; 2]);
}
