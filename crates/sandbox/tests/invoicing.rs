//! Invoicing: periods, proration, catch-up, undoing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test stops where it fails")]

mod common;

use common::{World, expect};
use rstest::rstest;
use serde_json::{Value, json};

fn lines(world: &World) -> Vec<Value> {
    let invoices = world.control.invoices();
    let last = invoices.as_array().unwrap().last().cloned().unwrap();
    last["lines"].as_array().unwrap().clone()
}

fn next(world: &World, agreement: i64) -> String {
    world.get(&format!("finance/agreements/{agreement}")).json()["nextInvoiceDate"].as_str().unwrap()[..10]
        .to_owned()
}

#[test]
fn a_late_addition_is_caught_up_once_at_34_06() {
    let world = World::new("2019-03-01");
    let agreement = world.agreement("2019-03-01", &json!({"prorateFlag": true}));
    let item = world.item("UNIT", "22.00");
    expect(&world.invoice(agreement), 201);
    let made = expect(&world.addition(agreement, item, "2019-03-15", &json!({})), 201);
    assert_eq!(made["proratePrice"], 12.06);
    let invoice = expect(&world.invoice(agreement), 201);
    let shown = world.get(&format!("finance/invoices/{invoice}")).json();
    for field in ["agreementAmount", "subtotal", "total", "balance"] {
        assert_eq!(shown[field], 34.06, "{field}");
    }
    let lines = lines(&world);
    assert_eq!(lines[0]["amount"], 12.06);
    assert_eq!(lines[0]["catch_up"], true);
    assert!(lines[0]["description"].as_str().unwrap().contains("prorated with a start date of 3/15/2019."));
    assert_eq!(lines[1]["amount"], 22.0);
    let invoice = expect(&world.invoice(agreement), 201);
    assert_eq!(world.get(&format!("finance/invoices/{invoice}")).json()["total"], 22.0);
}

#[test]
fn proration_rounds_the_unit_before_it_multiplies() {
    let world = World::new("2026-03-01");
    let agreement = world.agreement("2026-03-01", &json!({"prorateFlag": true}));
    let item = world.item("UNIT", "4.00");
    let made = expect(
        &world.addition(agreement, item, "2026-03-16", &json!({"quantity": 3, "lessIncluded": 1})),
        201,
    );
    // 4.00 x 16/31 = 2.0645, so 2.06 a unit and not 4.13 for two.
    assert_eq!(made["extendedProratePrice"], 4.12);
    expect(&world.invoice(agreement), 201);
    assert_eq!(lines(&world)[0]["amount"], 4.12);
}

#[rstest]
#[case("last_billed_day", "2026-03-10", 10)]
#[case("first_unbilled_day", "2026-03-10", 9)]
fn the_meaning_of_the_cancelled_date_is_a_switch(
    #[case] meaning: &str,
    #[case] cancelled: &str,
    #[case] days: i64,
) {
    let world = World::new("2026-03-01");
    world.control.set_rules(json!({"cancelled_date_is": meaning})).unwrap();
    let agreement = world.agreement("2026-03-01", &json!({"prorateFlag": true}));
    let item = world.item("UNIT", "31.00");
    expect(
        &world.addition(
            agreement,
            item,
            "2026-03-01",
            &json!({"cancelledDate": format!("{cancelled}T00:00:00Z")}),
        ),
        201,
    );
    expect(&world.invoice(agreement), 201);
    assert_eq!(lines(&world)[0]["amount"].to_string(), format!("{days}.0"));
}

#[test]
fn without_proration_a_part_of_a_period_is_billed_whole() {
    let world = World::new("2026-03-01");
    let agreement = world.agreement("2026-03-01", &json!({"billAmount": 100}));
    let item = world.item("UNIT", "10");
    for (effective, kind) in
        [("2026-03-31", "Billable"), ("2026-03-01", "NoCharge"), ("2026-04-01", "Billable")]
    {
        expect(&world.addition(agreement, item, effective, &json!({"billCustomer": kind})), 201);
    }
    let ended = json!({"cancelledDate": "2026-03-01T00:00:00Z"});
    expect(&world.addition(agreement, item, "2026-03-01", &ended), 201);
    expect(&world.invoice(agreement), 201);
    assert_eq!(world.control.invoices()[0]["total"], 120.0);
    expect(&world.invoice(agreement), 201);
    assert_eq!(world.control.invoices()[1]["total"], 120.0);
    assert_eq!(next(&world, agreement), "2026-05-01");
}

#[rstest]
#[case("Monthly", "2026-01-31", &["2026-02-28", "2026-03-31", "2026-04-30"])]
#[case("Weekly", "2026-01-07", &["2026-01-14", "2026-01-21"])]
#[case("Bi-Weekly", "2026-01-07", &["2026-01-21"])]
#[case("Bi-Monthly", "2026-01-15", &["2026-03-15"])]
#[case("Quarterly", "2026-01-15", &["2026-04-15"])]
#[case("Semi-Annual", "2026-01-15", &["2026-07-15"])]
#[case("Yearly", "2024-02-29", &["2025-02-28", "2026-02-28", "2027-02-28", "2028-02-29"])]
fn periods_keep_their_anchor(#[case] cycle: &str, #[case] start: &str, #[case] dates: &[&str]) {
    let world = World::new("2026-01-01");
    let agreement = world.agreement(start, &json!({"billingCycle": {"name": cycle}}));
    assert_eq!(next(&world, agreement), start);
    for date in dates {
        expect(&world.invoice(agreement), 201);
        assert_eq!(next(&world, agreement), *date);
    }
}

#[test]
fn calendar_periods_start_with_a_part() {
    let world = World::new("2026-01-01");
    let agreement =
        world.agreement("2026-01-20", &json!({"invoicingCycle": "CalendarYear", "prorateFlag": true}));
    let item = world.item("UNIT", "31");
    expect(&world.addition(agreement, item, "2026-01-20", &json!({})), 201);
    expect(&world.invoice(agreement), 201);
    assert_eq!(lines(&world)[0]["amount"], 12.0);
    assert_eq!(next(&world, agreement), "2026-02-01");
}

#[test]
fn deleting_the_newest_invoice_opens_its_period_again() {
    let world = World::new("2026-03-01");
    let agreement = world.agreement("2026-03-01", &json!({"billAmount": 10}));
    let first = expect(&world.invoice(agreement), 201);
    let second = expect(&world.invoice(agreement), 201);
    expect(&world.delete(&format!("finance/invoices/{first}")), 409);
    expect(&world.delete(&format!("finance/invoices/{second}")), 204);
    assert_eq!(next(&world, agreement), "2026-04-01");
    assert_eq!(world.control.invoices().as_array().unwrap().len(), 1);
}

#[test]
fn an_ended_agreement_has_nothing_left_to_invoice() {
    let world = World::new("2026-03-01");
    let agreement = world.agreement("2026-03-01", &json!({"endDate": "2026-03-31T00:00:00Z"}));
    expect(&world.invoice(agreement), 201);
    expect(&world.invoice(agreement), 400);
    expect(&world.invoice(77), 404);
}

#[test]
fn yen_have_no_decimals() {
    let world = World::new("2026-03-01");
    let agreement = world.agreement("2026-03-01", &json!({"prorateFlag": true, "currency": {"name": "Yen"}}));
    let item = world.item("UNIT", "1000");
    expect(&world.addition(agreement, item, "2026-03-15", &json!({})), 201);
    expect(&world.invoice(agreement), 201);
    assert_eq!(lines(&world)[0]["amount"], 548.0);
}

#[test]
fn the_recap_names_the_last_and_the_next_invoice() {
    let world = World::new("2026-03-01");
    let agreement = world.agreement("2026-03-01", &json!({"billAmount": 10}));
    let path = format!("finance/agreementrecap/{agreement}");
    assert!(world.get(&path).json().get("lastInvoiceDate").is_none());
    expect(&world.invoice(agreement), 201);
    let recap = expect(&world.get(&path), 200);
    assert_eq!(recap["lastInvoiceDate"], "2026-03-01T00:00:00Z");
    assert_eq!(recap["nextInvoiceDate"], "2026-04-01T00:00:00Z");
    assert_eq!(recap["lastInvoiceAmount"], "10.0");
}

#[test]
fn payments_lower_the_balance() {
    let world = World::new("2026-03-01");
    let agreement = world.agreement("2026-03-01", &json!({"billAmount": 10}));
    let invoice = expect(&world.invoice(agreement), 201);
    expect(&world.post(&format!("finance/invoices/{invoice}/payments"), &json!({"amount": 4})), 201);
    assert_eq!(world.get(&format!("finance/invoices/{invoice}")).json()["balance"], 6.0);
    let query = format!("finance/invoices?conditions=agreement/id={agreement} and type=\"Agreement\"");
    assert_eq!(world.get(&query).json().as_array().unwrap().len(), 1);
}
