//! The agreement's flags that say who prorates and when, and sales tax.
//!
//! The vendor describes the flags by their labels alone. What the sandbox makes of each combination stands here, cell
//! by cell, so that a reader sees what a test against it proves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test stops where it fails")]

mod common;

use common::{World, expect, messages};
use rstest::rstest;
use serde_json::{Value, json};

/// The subtotals of all agreement invoices, oldest first, and which of them bill additions alone.
fn invoices(world: &World) -> Vec<(String, bool)> {
    let all = world.control.invoices();
    let shown =
        |invoice: &Value| (invoice["subtotal"].to_string(), invoice["additions_only"].as_bool().unwrap());
    all.as_array().unwrap().iter().map(shown).collect()
}

/// March is invoiced after an addition of 15 March and before one of 20 March; then April. Each seat costs 31 a
/// month, so one a day; the base amount is 100, and 40 where a first part of it is set.
#[rstest]
#[case(false, 0, false, false, &[("131.0", false), ("131.0", false)])]
#[case(false, 0, true, false, &[("131.0", false), ("131.0", false)])]
#[case(false, 40, false, false, &[("71.0", false), ("131.0", false)])]
#[case(false, 40, true, false, &[("71.0", false), ("131.0", false)])]
#[case(true, 0, false, true, &[("117.0", false), ("174.0", false)])]
#[case(true, 0, true, true, &[("117.0", false), ("12.0", true), ("162.0", false)])]
#[case(true, 40, false, true, &[("57.0", false), ("174.0", false)])]
#[case(true, 40, true, true, &[("57.0", false), ("12.0", true), ("162.0", false)])]
fn each_cell_has_one_set_of_invoices(
    #[case] prorate: bool,
    #[case] first_bill: i64,
    #[case] own_invoice: bool,
    #[case] late_taken: bool,
    #[case] wanted: &[(&str, bool)],
) {
    let world = World::new("2026-03-20");
    let flags = json!({
        "billAmount": 100, "prorateFlag": prorate, "prorateFirstBill": first_bill,
        "invoiceProratedAdditionsFlag": own_invoice,
    });
    let agreement = world.agreement("2026-03-01", &flags);
    let item = world.item("SEAT", "31");
    expect(&world.addition(agreement, item, "2026-03-15", &json!({})), 201);
    expect(&world.invoice(agreement), 201);
    let late = world.addition(agreement, item, "2026-03-20", &json!({}));
    assert_eq!(late.status, if late_taken { 201 } else { 400 }, "{}", late.text);
    let shown = world.get(&format!("finance/agreements/{agreement}")).json();
    assert_eq!(shown["nextInvoiceDate"], "2026-04-01T00:00:00Z", "an invoice of additions moves no period");
    expect(&world.invoice(agreement), 201);
    let wanted: Vec<(String, bool)> = wanted.iter().map(|(sum, own)| ((*sum).to_owned(), *own)).collect();
    assert_eq!(invoices(&world), wanted);
}

/// The hazard of the matrix: a part computed by the caller and dated on its day is prorated once more; dated over the
/// whole period it is not; and beside an open-ended line the server prorates, it is billed twice.
#[test]
fn a_part_that_the_caller_prorated_is_prorated_again_by_the_agreement() {
    let world = World::new("2026-03-01");
    let agreement = world.agreement("2026-03-01", &json!({"prorateFlag": true}));
    let item = world.item("SEAT", "31");
    let part = json!({"unitPrice": 17, "cancelledDate": "2026-03-31T00:00:00Z"});
    expect(&world.addition(agreement, item, "2026-03-15", &part), 201);
    expect(&world.addition(agreement, item, "2026-03-01", &part), 201);
    expect(&world.invoice(agreement), 201);
    let lines = world.control.invoices()[0]["lines"].clone();
    // 17 x 17/31 = 9.32, and 17 whole.
    assert_eq!((&lines[0]["amount"], &lines[1]["amount"]), (&json!(9.32), &json!(17.0)));
}

#[rstest]
#[case("2026-03-15", "2026-03-20", &[("0.0", false), ("48.0", false)])]
// Its period is not the current one any more.
#[case("2026-03-15", "2026-04-02", &[])]
fn an_addition_can_prorate_itself_in_the_current_period(
    #[case] effective: &str,
    #[case] today: &str,
    #[case] wanted: &[(&str, bool)],
) {
    let world = World::new(today);
    let agreement = world.agreement("2026-03-01", &json!({}));
    let item = world.item("SEAT", "31");
    expect(&world.invoice(agreement), 201);
    let refused = expect(&world.addition(agreement, item, effective, &json!({})), 400);
    assert!(messages(&refused)[0].starts_with("Since this period has already been invoiced"));
    let itself = json!({"prorateCurrentPeriodFlag": true});
    let reply = world.addition(agreement, item, effective, &itself);
    if wanted.is_empty() {
        expect(&reply, 400);
        return;
    }
    let made = expect(&reply, 201);
    assert_eq!(made["proratePrice"], 17.0);
    expect(&world.invoice(agreement), 201);
    let wanted: Vec<(String, bool)> = wanted.iter().map(|(sum, own)| ((*sum).to_owned(), *own)).collect();
    assert_eq!(invoices(&world), wanted);
    // Later periods are whole, also the last one: the switch is for the first alone.
    let path = format!("finance/agreements/{agreement}/additions/{}", made["id"]);
    let ended = json!([{"op": "replace", "path": "cancelledDate", "value": "2026-05-10T00:00:00Z"}]);
    expect(&world.patch(&path, &ended), 200);
    expect(&world.invoice(agreement), 201);
    assert_eq!(invoices(&world)[2].0, "31.0");
}

#[test]
fn an_invoice_of_additions_can_be_taken_back_and_is_made_up_for_later() {
    let world = World::new("2026-03-20");
    let flags = json!({"prorateFlag": true, "invoiceProratedAdditionsFlag": true});
    let agreement = world.agreement("2026-03-01", &flags);
    let item = world.item("SEAT", "31");
    let march = expect(&world.invoice(agreement), 201);
    expect(&world.addition(agreement, item, "2026-03-20", &json!({})), 201);
    let own = world.control.invoices()[1]["invoice_id"].clone();
    let shown = world.get(&format!("finance/invoices/{own}")).json();
    assert_eq!((&shown["total"], &shown["date"]), (&json!(12.0), &json!("2026-03-20T00:00:00Z")));
    expect(&world.delete(&format!("finance/invoices/{march}")), 409);
    expect(&world.delete(&format!("finance/invoices/{own}")), 204);
    expect(&world.invoice(agreement), 201);
    assert_eq!(invoices(&world), [("0.0".to_owned(), false), ("43.0".to_owned(), false)]);
}

#[rstest]
// 8.25 % of 34.06 is 2.80995; only the taxable seat counts.
#[case(json!({"taxCode": {"name": "STATE"}}), "59.06", "2.81", "61.87")]
#[case(json!({"taxCode": {"id": 2}, "taxable": true}), "59.06", "4.87", "63.93")]
#[case(json!({"taxCode": {"name": "EXEMPT"}}), "59.06", "0.0", "59.06")]
#[case(json!({}), "59.06", "0.0", "59.06")]
fn sales_tax_is_due_on_taxable_lines(
    #[case] changes: Value,
    #[case] subtotal: &str,
    #[case] tax: &str,
    #[case] total: &str,
) {
    let world = World::new("2026-03-01");
    let mut body = json!({"billAmount": 25});
    body.as_object_mut().unwrap().extend(changes.as_object().cloned().unwrap());
    let agreement = world.agreement("2026-03-01", &body);
    let item = world.item("SEAT", "34.06");
    expect(&world.addition(agreement, item, "2026-03-01", &json!({"taxableFlag": true})), 201);
    let invoice = expect(&world.invoice(agreement), 201);
    let shown = world.get(&format!("finance/invoices/{invoice}")).json();
    let ledger = world.control.invoices()[0].clone();
    for (field, ledger_field, wanted) in
        [("subtotal", "subtotal", subtotal), ("salesTax", "sales_tax", tax), ("total", "total", total)]
    {
        assert_eq!(shown[field].to_string(), wanted, "{field}");
        assert_eq!(ledger[ledger_field].to_string(), wanted, "{ledger_field}");
    }
    assert_eq!(shown["agreementAmount"].to_string(), subtotal);
    assert_eq!(shown["balance"].to_string(), total);
}
