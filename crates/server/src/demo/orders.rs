//! What the marketplace sold: the records of the feed, made from the world.

use super::world::{
    COMPANIES, Company, Currency, Event, FEE, MONTH, NEXT_MONTH, ONBOARDING, PHONE, PRODUCTS, Product,
    STORAGE, SUITE, SUITE_YEAR, customer,
};
use rust_decimal::{Decimal, RoundingStrategy};
use serde_json::{Value, json};

/// Days of the month that is invoiced.
pub const DAYS: i64 = 31;
/// Units of storage that a cancelled suite used last.
pub const LAST_USE: i64 = 40;

/// Rounded to cents.
pub fn cents(amount: Decimal) -> Decimal {
    amount.round_dp_with_strategy(2, RoundingStrategy::MidpointAwayFromZero)
}

/// The price of a unit for some days of the month, rounded per unit.
pub fn part(price: Decimal, days: i64) -> Decimal {
    cents(price * Decimal::from(days) / Decimal::from(DAYS))
}

fn march(day: i8) -> String {
    format!("2026-03-{day:02}")
}

fn month() -> Value {
    json!({"start": MONTH, "end": NEXT_MONTH})
}

fn year() -> Value {
    json!({"start": MONTH, "end": "2027-03-01"})
}

/// The feed: one record a line.
pub fn feed() -> String {
    let mut records: Vec<Value> = Vec::new();
    for company in &COMPANIES {
        records.push(json!({
            "type": "customer", "id": company.customer(), "name": company.name,
            "currency": company.currency.code(),
        }));
    }
    for product in &PRODUCTS {
        records
            .push(json!({"type": "product", "id": product.id, "name": product.name, "kind": product.kind}));
    }
    for company in &COMPANIES {
        of_suite(company, &mut records);
        for event in company.events {
            of_event(company, *event, &mut records);
        }
    }
    records.iter().map(|record| format!("{record}\n")).collect()
}

fn subscription(company: &Company, id: &str, product: Product, quantity: i64, start: &str) -> Value {
    let yearly = product.id == SUITE_YEAR.id;
    json!({
        "type": "subscription", "id": id, "name": product.name, "customer": company.customer(),
        "status": "active", "currency": company.currency.code(), "start": start,
        "billing_cycle": {"every": 1, "unit": if yearly { "year" } else { "month" }},
        "billing_model": if product.id == STORAGE.id { "arrears" } else { "advance" },
        "period": if yearly { year() } else { month() },
        "items": [{
            "id": "1", "product": product.id, "quantity": quantity.to_string(),
            "unit_price": product.price(company.currency).to_string(),
            "unit_cost": product.cost(company.currency).to_string(),
        }],
    })
}

/// The head of an order; its lines are added.
fn order(company: &Company, id: &str, kind: &str, subscription: &str, on: &str, lines: &[Value]) -> Value {
    json!({
        "type": "order", "id": id, "kind": kind, "subscription": subscription,
        "customer": company.customer(), "completed_at": format!("{on}T09:00:00Z"), "period": month(),
        "currency": company.currency.code(), "lines": lines,
    })
}

fn line(id: &str, charge: &str, product: Product, quantity: i64, currency: Currency) -> Value {
    json!({
        "id": id, "charge": charge, "product": product.id, "quantity": quantity.to_string(),
        "unit_price": product.price(currency).to_string(), "unit_cost": product.cost(currency).to_string(),
    })
}

/// A later sale, or a growth where there was a quantity before.
#[derive(Debug)]
pub struct Sold<'a> {
    /// The subscription.
    pub id: &'a str,
    /// The order.
    pub order: &'a str,
    /// What is sold.
    pub product: Product,
    /// How many there are from then on.
    pub quantity: i64,
    /// How many there were.
    pub before: Option<i64>,
    /// The day of the order.
    pub on: &'a str,
    /// The billing period.
    pub period: Value,
}

/// The subscription and the order of a later sale.
pub fn records_of(company: &Company, sold: &Sold<'_>) -> [Value; 2] {
    let start = if sold.before.is_some() { MONTH } else { sold.on };
    let subscription = subscription(company, sold.id, sold.product, sold.quantity, start);
    let (kind, line) = match sold.before {
        None => ("sales", line("1", "recurring", sold.product, sold.quantity, company.currency)),
        Some(before) => {
            let grown = line("1", "recurring", sold.product, sold.quantity - before, company.currency);
            let grown = with(grown, "old_quantity", json!(before.to_string()));
            ("change", with(grown, "new_quantity", json!(sold.quantity.to_string())))
        }
    };
    let order = order(company, sold.order, kind, sold.id, sold.on, &[line]);
    [with(subscription, "period", sold.period.clone()), with(order, "period", sold.period.clone())]
}

/// The value with one more member.
fn with(mut value: Value, name: &str, member: Value) -> Value {
    if let Some(members) = value.as_object_mut() {
        members.insert(name.to_owned(), member);
    }
    value
}

fn suite_id(company: &Company) -> String {
    format!("suite-{:02}", company.number)
}

/// The office suite that every company has.
fn of_suite(company: &Company, records: &mut Vec<Value>) {
    let id = suite_id(company);
    let start = company.events.iter().find_map(|e| match e {
        Event::Starts(day) => Some(march(*day)),
        _ => None, // every other event leaves the start alone
    });
    let start = start.unwrap_or_else(|| MONTH.to_owned());
    let seats_now = company.events.iter().fold(company.seats, |seats, event| match event {
        Event::Grows(_, more) => seats + more,
        _ => seats, // every other event leaves the seats alone
    });
    let mut sold = subscription(company, &id, SUITE, seats_now, &start);
    if company.events.iter().any(|e| matches!(e, Event::Cancels(_))) {
        sold = with(sold, "status", json!("cancelled"));
    }
    records.push(sold);
    let mut lines = vec![line("1", "recurring", SUITE, company.seats, company.currency)];
    if company.events.contains(&Event::Setup) {
        lines.push(line("2", "setup", ONBOARDING, 1, company.currency));
    }
    records.push(order(company, &format!("SO-{:02}", company.number), "sales", &id, &start, &lines));
}

fn of_event(company: &Company, event: Event, records: &mut Vec<Value>) {
    let number = company.number;
    match event {
        Event::Starts(_) | Event::Setup | Event::ByHand => {}
        Event::Grows(day, more) => {
            let before = company.events.iter().fold(company.seats, |seats, other| match other {
                Event::Grows(at, seats_more) if *at < day => seats + seats_more,
                _ => seats, // only earlier growth counts
            });
            let grown = line("1", "recurring", SUITE, more, company.currency);
            let grown = with(grown, "old_quantity", json!(before.to_string()));
            let grown = with(grown, "new_quantity", json!((before + more).to_string()));
            let id = format!("CH-{number:02}-{day:02}");
            records.push(order(company, &id, "change", &suite_id(company), &march(day), &[grown]));
        }
        Event::Uses(units) => {
            let id = format!("storage-{number:02}");
            records.push(subscription(company, &id, STORAGE, 1, "2026-01-01"));
            let used = line("1", "overuse", STORAGE, units, company.currency);
            records.push(order(company, &format!("BO-{number:02}"), "billing", &id, "2026-03-18", &[used]));
        }
        Event::Cancels(day) => records.push(cancellation(company, day)),
        Event::Renews(_, after) => {
            let id = format!("annual-{number:02}");
            records.push(subscription(company, &id, SUITE_YEAR, after, "2025-03-01"));
            let renewed = line("1", "recurring", SUITE_YEAR, after, company.currency);
            let renewal = order(company, &format!("RN-{number:02}"), "renewal", &id, MONTH, &[renewed]);
            records.push(with(renewal, "period", year()));
        }
        Event::HandsOver(lines, day, to) => {
            let id = format!("phone-{number:02}");
            records.push(subscription(company, &id, PHONE, lines, MONTH));
            let sold = [line("1", "recurring", PHONE, lines, company.currency)];
            records.push(order(company, &format!("SO-{number:02}-P"), "sales", &id, MONTH, &sold));
            let moved = order(company, &format!("TR-{number:02}"), "transfer", &id, &march(day), &sold);
            records.push(with(moved, "customer", json!(customer(to))));
        }
    }
}

/// The used part of the suite as an amount of the marketplace's own, the fee, and the last overuse.
fn cancellation(company: &Company, day: i8) -> Value {
    let days = i64::from(day) - 1;
    let seats = Decimal::from(company.seats);
    let amount = |unit: Decimal| (part(unit, days) * seats).to_string();
    let used = line("1", "prorate", SUITE, company.seats, company.currency);
    let used = with(used, "amount", json!(amount(SUITE.price(company.currency))));
    let used = with(used, "cost_amount", json!(amount(SUITE.cost(company.currency))));
    let lines = [
        used,
        line("2", "cancellation", FEE, 1, company.currency),
        line("3", "overuse", STORAGE, LAST_USE, company.currency),
    ];
    let id = format!("CA-{:02}", company.number);
    order(company, &id, "cancellation", &suite_id(company), &march(day), &lines)
}
