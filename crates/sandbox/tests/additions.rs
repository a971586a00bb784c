//! Rules of agreements and additions.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test stops where it fails")]

mod common;

use common::{World, expect, messages};
use rstest::rstest;
use serde_json::{Value, json};

const BEFORE_START: &str = "effectiveDate cannot be less than the agreement billing start date";
const PERIOD_INVOICED: &str = "Since this period has already been invoiced there will not be an invoice generated \
for additional products for this period. Please prorate the agreement or update the start date to on or after the \
Next Invoice Date.";

#[test]
fn defaults_come_from_the_catalog_and_amounts_are_computed() {
    let world = World::new("2026-03-10");
    let agreement = world.agreement("2026-03-01", &json!({}));
    let item = world.item("M365", "12.10");
    let made = expect(
        &world.addition(
            agreement,
            item,
            "2026-03-10",
            &json!({"quantity": 5, "lessIncluded": 1, "extPrice": 999}),
        ),
        201,
    );
    assert_eq!(made["product"]["identifier"], "M365");
    assert_eq!(made["description"], "M365");
    assert_eq!(made["invoiceDescription"], "M365 for you");
    assert_eq!(made["uom"], "Each");
    assert_eq!(made["agreementId"], agreement);
    assert_eq!(made["agreementStatus"], "Active");
    assert!(made.get("cancelledDate").is_none());
    let text = world.get(&format!("finance/agreements/{agreement}/additions/{}", made["id"])).text;
    for part in [
        r#""quantity":5.0"#,
        r#""unitPrice":12.1,"#,
        r#""billedQuantity":4.0"#,
        r#""extPrice":48.4,"#,
        r#""margin":8.4,"#,
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn rule_one_refuses_days_before_the_billing_start() {
    let world = World::new("2026-03-10");
    let agreement = world.agreement("2026-03-01", &json!({"billStartDate": "2026-03-05T00:00:00Z"}));
    let item = world.item("M365", "10");
    let body = expect(&world.addition(agreement, item, "2026-03-04", &json!({})), 400);
    assert_eq!(body["code"], "InvalidObject");
    assert_eq!(body["message"], "addition object is invalid");
    assert_eq!(messages(&body), [BEFORE_START]);
    assert_eq!(body["errors"][0]["resource"], "addition");
    assert_eq!(body["errors"][0]["field"], "effectiveDate");
    expect(&world.addition(agreement, item, "2026-03-05", &json!({})), 201);
}

#[rstest]
#[case(false, "2026-03-31", Some(PERIOD_INVOICED))]
#[case(false, "2026-04-01", None)]
#[case(true, "2026-03-31", None)]
#[case(true, "2026-02-28", Some(BEFORE_START))]
fn rule_two_refuses_invoiced_periods_unless_prorated(
    #[case] prorate: bool,
    #[case] effective: &str,
    #[case] refused: Option<&str>,
) {
    let world = World::new("2026-03-10");
    let agreement = world.agreement("2026-03-01", &json!({"prorateFlag": prorate}));
    let item = world.item("M365", "10");
    expect(&world.invoice(agreement), 201);
    let reply = world.addition(agreement, item, effective, &json!({}));
    match refused {
        Some(message) => assert_eq!(messages(&expect(&reply, 400)), [message]),
        None => {
            expect(&reply, 201);
        }
    }
}

#[test]
fn a_running_addition_can_still_be_edited_and_ended_but_not_redated() {
    let world = World::new("2026-03-10");
    let agreement = world.agreement("2026-03-01", &json!({}));
    let item = world.item("M365", "10");
    let made = expect(&world.addition(agreement, item, "2026-03-01", &json!({})), 201);
    expect(&world.invoice(agreement), 201);
    let path = format!("finance/agreements/{agreement}/additions/{}", made["id"]);
    expect(&world.patch(&path, &json!([{"op": "replace", "path": "quantity", "value": 3}])), 200);
    let ended = json!([{"op": "replace", "path": "cancelledDate", "value": "2026-03-31T00:00:00Z"}]);
    assert_eq!(expect(&world.patch(&path, &ended), 200)["cancelledDate"], "2026-03-31T00:00:00Z");
    let redated = json!([{"op": "replace", "path": "effectiveDate", "value": "2026-03-02T00:00:00Z"}]);
    assert_eq!(messages(&expect(&world.patch(&path, &redated), 400)), [PERIOD_INVOICED]);
}

#[test]
fn a_child_follows_its_parents_next_invoice_date() {
    let world = World::new("2026-03-10");
    let parent = world.agreement("2026-03-01", &json!({}));
    let child = world.agreement("2026-03-01", &json!({"parentAgreement": {"id": parent}}));
    let item = world.item("M365", "10");
    expect(&world.addition(child, item, "2026-03-01", &json!({})), 201);
    expect(&world.invoice(child), 400);
    expect(&world.invoice(parent), 201);
    assert_eq!(world.control.invoices()[0]["total"], 10.0);
    assert_eq!(
        world.get(&format!("finance/agreements/{child}")).json()["nextInvoiceDate"],
        "2026-04-01T00:00:00Z"
    );
    assert_eq!(
        messages(&expect(&world.addition(child, item, "2026-03-15", &json!({})), 400)),
        [PERIOD_INVOICED]
    );
}

#[rstest]
#[case(json!({"product": null}), 400, "The product field is required.")]
#[case(json!({"billCustomer": null}), 400, "The billCustomer field is required.")]
#[case(json!({"product": {"id": 4711}}), 400, "Catalog Item 4711 not found")]
#[case(json!({"product": {"identifier": "nothing"}}), 400, "Catalog Item nothing not found")]
#[case(json!({"product": {}}), 400, "id or identifier is required.")]
#[case(json!({"serialNumber": "x".repeat(51)}), 400,
    "The field serialNumber must be a string with a maximum length of 50.")]
#[case(json!({"cancelledDate": "2026-03-09T00:00:00Z"}), 400, "cancelledDate cannot be less than effectiveDate")]
#[case(json!({"effectiveDate": "2026-03-10T00:00:00.000Z"}), 400, "Unsupported format applied to effectiveDate")]
#[case(json!({"effectiveDate": "2026-03-10"}), 400, "Unsupported format applied to effectiveDate")]
fn bodies_are_refused_with_the_vendors_words(
    #[case] changes: Value,
    #[case] status: u16,
    #[case] message: &str,
) {
    let world = World::new("2026-03-10");
    let agreement = world.agreement("2026-03-01", &json!({}));
    let item = world.item("M365", "10");
    let body = expect(&world.addition(agreement, item, "2026-03-10", &changes), status);
    assert_eq!(messages(&body), [message]);
}

#[rstest]
#[case(json!({"quantity": "many"}), "Error converting value \"many\" to type 'System.Nullable`1[System.Double]'. Path 'quantity', line 1, position 1.")]
#[case(json!({"quantity": [1]}), "Path 'quantity'")]
#[case(json!({"product": 5}), "Path 'product'")]
#[case(json!({"billCustomer": "Sometimes"}), "Error converting value \"Sometimes\"")]
#[case(json!({"taxableFlag": 7}), "Path 'taxableFlag'")]
#[case(json!({"effectiveDate": "soon"}), "Path 'effectiveDate'")]
fn values_of_the_wrong_type_are_a_500(#[case] changes: Value, #[case] part: &str) {
    let world = World::new("2026-03-10");
    let agreement = world.agreement("2026-03-01", &json!({}));
    let item = world.item("M365", "10");
    let body = expect(&world.addition(agreement, item, "2026-03-10", &changes), 500);
    assert_eq!(body["code"], "ConnectWiseApi");
    assert!(body["message"].as_str().unwrap().contains(part), "{body}");
}

#[test]
fn several_errors_come_in_one_answer() {
    let world = World::new("2026-03-10");
    let body = expect(&world.post("finance/agreements", &json!({"name": "x".repeat(101)})), 400);
    assert_eq!(
        messages(&body),
        [
            "The field name must be a string with a maximum length of 100.",
            "The type field is required.",
            "The company field is required.",
            "The contact field is required.",
        ]
    );
}

#[test]
fn bundles_and_unknown_agreements_are_refused() {
    let world = World::new("2026-03-10");
    let agreement = world.agreement("2026-03-01", &json!({}));
    let item = world.item("KIT", "10");
    expect(
        &world.patch(
            &format!("procurement/catalog/{item}"),
            &json!([{"op": "replace", "path": "productClass", "value": "Bundle"}]),
        ),
        200,
    );
    expect(&world.addition(agreement, item, "2026-03-10", &json!({})), 400);
    let body = expect(&world.addition(99, item, "2026-03-10", &json!({})), 404);
    assert_eq!(body, json!({"code": "NotFound", "message": "Agreement 99 not found"}));
}

#[test]
fn an_addition_can_be_deleted_until_it_was_invoiced() {
    let world = World::new("2026-03-10");
    let agreement = world.agreement("2026-03-01", &json!({}));
    let item = world.item("M365", "10");
    let kept = expect(&world.addition(agreement, item, "2026-03-01", &json!({})), 201);
    let gone = expect(&world.addition(agreement, item, "2026-05-01", &json!({})), 201);
    expect(&world.invoice(agreement), 201);
    let list = format!("finance/agreements/{agreement}/additions");
    let body = expect(&world.delete(&format!("{list}/{}", kept["id"])), 400);
    assert_eq!(body["code"], "InvalidObject");
    expect(&world.delete(&format!("{list}/{}", gone["id"])), 204);
    expect(&world.get(&format!("{list}/{}", gone["id"])), 404);
    expect(&world.delete(&format!("finance/agreements/{agreement}")), 409);
}

#[test]
fn the_same_post_twice_makes_two() {
    let world = World::new("2026-03-10");
    let agreement = world.agreement("2026-03-01", &json!({}));
    let item = world.item("M365", "10");
    for _ in 0..2 {
        expect(&world.addition(agreement, item, "2026-03-10", &json!({"serialNumber": "key"})), 201);
    }
    assert_eq!(world.get(&format!("finance/agreements/{agreement}/additions/count")).json()["count"], 2);
}

#[rstest]
#[case(json!({"noEndingDateFlag": true, "endDate": "2026-12-31T00:00:00Z"}), 400)]
#[case(json!({"noEndingDateFlag": false}), 400)]
#[case(json!({"endDate": "2026-12-31T00:00:00Z"}), 201)]
#[case(json!({"contact": null}), 400)]
fn agreements_end_one_way_and_need_a_contact(#[case] changes: Value, #[case] status: u16) {
    let world = World::new("2026-03-10");
    let first = world.agreement("2026-03-01", &json!({}));
    let shown = world.get(&format!("finance/agreements/{first}")).json();
    let mut body = json!({
        "name": "Second", "type": {"id": 1}, "company": {"identifier": shown["company"]["identifier"]},
        "contact": {"name": "Ada Byron"},
    });
    body.as_object_mut().unwrap().extend(changes.as_object().cloned().unwrap());
    expect(&world.post("finance/agreements", &body), status);
}

#[test]
fn the_contact_rule_can_be_lifted_and_prices_be_cut() {
    let world = World::new("2026-03-10");
    world.control.set_rules(json!({"contact_required": false, "price_decimals": 2})).unwrap();
    let agreement = world.agreement("2026-03-01", &json!({"contact": null}));
    let item = world.item("M365", "10");
    let made = expect(&world.addition(agreement, item, "2026-03-10", &json!({"unitPrice": 1.005})), 201);
    assert_eq!(made["unitPrice"], 1.01);
    assert!(world.control.set_rules(json!({"no_such_rule": 1})).is_err());
}

#[rstest]
#[case("2026-02-28", "Inactive")]
#[case("2026-03-01", "Active")]
#[case("2026-03-20", "Active")]
#[case("2026-03-21", "Cancelled")]
fn status_follows_the_day(#[case] today: &str, #[case] status: &str) {
    let world = World::new("2026-02-01");
    let agreement = world.agreement("2026-02-01", &json!({}));
    let item = world.item("M365", "10");
    let made = expect(
        &world.addition(agreement, item, "2026-03-01", &json!({"cancelledDate": "2026-03-20T00:00:00Z"})),
        201,
    );
    world.control.set_today(today).unwrap();
    let shown = world.get(&format!("finance/agreements/{agreement}/additions/{}", made["id"])).json();
    assert_eq!(shown["agreementStatus"], status);
}
