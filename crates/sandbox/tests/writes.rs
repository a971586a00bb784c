//! PATCH in its forms, PUT, custom fields, references, keys and the smaller resources.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test stops where it fails")]

mod common;

use common::{World, expect, messages};
use rstest::rstest;
use serde_json::{Value, json};

struct Setup {
    world: World,
    path: String,
}

fn setup() -> Setup {
    let world = World::new("2026-03-10");
    let agreement = world.agreement("2026-03-01", &json!({}));
    let item = world.item("M365", "10");
    let made = expect(&world.addition(agreement, item, "2026-03-10", &json!({"serialNumber": "abc"})), 201);
    Setup { world, path: format!("finance/agreements/{agreement}/additions/{}", made["id"]) }
}

#[rstest]
#[case(json!([{"op": "replace", "path": "quantity", "value": 7}]), 200)]
#[case(json!([{"op": "replace", "path": "/quantity", "value": 7}]), 200)]
#[case(json!([{"op": "add", "path": "quantity", "value": "7"}]), 200)]
#[case(json!([{"op": "replace", "path": "Quantity", "value": 7}]), 400)]
#[case(json!({"op": "replace", "path": "quantity", "value": 7}), 400)]
#[case(json!([{"op": "test", "path": "quantity", "value": 1}]), 400)]
#[case(json!([{"op": "Replace", "path": "quantity", "value": 7}]), 400)]
#[case(json!([{"path": "quantity", "value": 7}]), 400)]
#[case(json!([{"op": "replace", "path": "nothing", "value": 7}]), 400)]
fn patch_forms(#[case] body: Value, #[case] status: u16) {
    let Setup { world, path } = setup();
    expect(&world.patch(&path, &body), status);
    let quantity = if status == 200 { 7.0 } else { 1.0 };
    assert_eq!(world.get(&path).json()["quantity"], quantity);
}

#[test]
fn remove_clears_and_required_fields_cannot_be_removed() {
    let Setup { world, path } = setup();
    let cleared = expect(&world.patch(&path, &json!([{"op": "remove", "path": "/serialNumber"}])), 200);
    assert!(cleared.get("serialNumber").is_none());
    let body = expect(&world.patch(&path, &json!([{"op": "remove", "path": "product"}])), 400);
    assert_eq!(messages(&body), ["The product field is required."]);
}

#[rstest]
#[case(false, "a\r\nb\nc")]
#[case(true, "a b c")]
fn line_breaks_may_come_back_as_blanks(#[case] switch: bool, #[case] wanted: &str) {
    let Setup { world, path } = setup();
    world.control.set_rules(json!({"breaks_become_blanks": switch})).unwrap();
    let body = json!([{"op": "replace", "path": "invoiceDescription", "value": "a\r\nb\nc"}]);
    assert_eq!(expect(&world.patch(&path, &body), 200)["invoiceDescription"], wanted);
}

#[test]
fn one_bad_operation_changes_nothing() {
    let Setup { world, path } = setup();
    let body = json!([{"op": "replace", "path": "quantity", "value": 9}, {"op": "replace", "path": "nope", "value": 1}]);
    expect(&world.patch(&path, &body), 400);
    assert_eq!(world.get(&path).json()["quantity"], 1.0);
}

#[test]
fn a_patch_checks_the_whole_record() {
    let world = World::new("2026-03-10");
    let old = json!({"id": 9, "identifier": "old", "name": "Old", "yearEstablished": 5, "revenueYear": 0});
    world.control.load(&json!({"resources": {"company/companies": [old]}})).unwrap();
    let path = "company/companies/9";
    let body = json!([{"op": "replace", "path": "name", "value": "B"}]);
    let refused = expect(&world.patch(path, &body), 400);
    assert_eq!(refused["errors"][0]["code"], "OutOfRange");
    assert_eq!(
        messages(&refused),
        [
            "The field yearEstablished must be between 1900 and 9999.",
            "The field revenueYear must be between 1900 and 9999."
        ]
    );
    assert_eq!(world.get(path).json()["name"], "Old");
    let mended = json!([
        {"op": "replace", "path": "yearEstablished", "value": 1995}, {"op": "remove", "path": "revenueYear"},
        {"op": "replace", "path": "name", "value": "B"},
    ]);
    assert_eq!(expect(&world.patch(path, &mended), 200)["name"], "B");
}

#[rstest]
#[case("status", json!({"name": "Inactive"}), 200)]
#[case("status/id", json!(2), 200)]
#[case("status/name", json!("Inactive"), 200)]
#[case("status", json!({"id": "2"}), 200)]
#[case("status/id", json!(99), 400)]
fn references_can_be_patched_whole_or_by_one_key(
    #[case] path: &str,
    #[case] value: Value,
    #[case] status: u16,
) {
    let world = World::new("2026-03-10");
    let reply = world.patch("company/companies/1", &json!([{"op": "replace", "path": path, "value": value}]));
    let body = expect(&reply, status);
    if status == 200 {
        assert_eq!(body["status"]["id"], 2);
    } else {
        assert_eq!(
            body["errors"][0],
            json!({
                "code": "NotFound", "message": "Company Status 99 not found", "resource": "company", "field": "status/id"
            })
        );
    }
}

#[test]
fn the_false_200_on_an_identifier_is_a_switch() {
    let world = World::new("2026-03-10");
    let first = world.agreement("2026-03-01", &json!({}));
    world.agreement("2026-03-01", &json!({}));
    let path = format!("finance/agreements/{first}");
    let before = world.get(&path).json()["company"]["identifier"].clone();
    let body = json!([{"op": "replace", "path": "company/identifier", "value": "Customer2"}]);
    world.control.set_rules(json!({"false_identifier_patch": true})).unwrap();
    assert_eq!(expect(&world.patch(&path, &body), 200)["company"]["identifier"], before);
    world.control.set_rules(json!({"false_identifier_patch": false})).unwrap();
    assert_eq!(expect(&world.patch(&path, &body), 200)["company"]["identifier"], "Customer2");
}

#[test]
fn put_clears_what_is_absent_and_wants_its_own_required_fields() {
    let Setup { world, path } = setup();
    let product = world.get(&path).json()["product"].clone();
    let body =
        json!({"product": product, "billCustomer": "NoCharge", "effectiveDate": "2026-03-10T00:00:00Z"});
    let put = expect(&world.call("PUT", &path, Some(&body)), 200);
    assert!(put.get("serialNumber").is_none());
    assert_eq!(put["billCustomer"], "NoCharge");
    let agreement = path.split("/additions").next().unwrap();
    let mut whole = world.get(agreement).json();
    expect(&world.call("PUT", agreement, Some(&whole)), 200);
    whole.as_object_mut().unwrap().remove("billTime");
    let refused = expect(&world.call("PUT", agreement, Some(&whole)), 400);
    assert_eq!(messages(&refused), ["The billTime field is required."]);
}

#[test]
fn create_only_fields_are_refused_on_put() {
    let world = World::new("2026-03-10");
    let body = json!({"firstName": "Ada", "types": [{"id": 1}]});
    let made = expect(&world.post("company/contacts", &body), 201);
    let path = format!("company/contacts/{}", made["id"]);
    let refused = expect(&world.call("PUT", &path, Some(&made)), 400);
    assert_eq!(messages(&refused), ["typeIds can only be used when creating"]);
}

#[test]
fn custom_fields_show_everywhere_and_keep_what_is_not_named() {
    let Setup { world, path } = setup();
    let field = |caption: &str, kind: &str| json!({"podId": 1, "caption": caption, "sequenceNumber": 1, "fieldTypeIdentifier": kind, "screenId": "AgreementAddition"});
    let key =
        expect(&world.post("system/userDefinedFields", &field("trueup key", "Text")), 201)["id"].clone();
    let number =
        expect(&world.post("system/userDefinedFields", &field("Seats", "Number")), 201)["id"].clone();
    let shown = world.get(&path).json();
    assert_eq!(shown["customFields"][0]["caption"], "trueup key");
    assert!(shown["customFields"][0].get("value").is_none());
    let set = |fields: Value| json!([{"op": "replace", "path": "customFields", "value": fields}]);
    expect(&world.patch(&path, &set(json!([{"id": key, "value": "tu1"}]))), 200);
    let both = expect(&world.patch(&path, &set(json!([{"id": number, "value": 4}]))), 200);
    assert_eq!(both["customFields"][0]["value"], "tu1");
    assert_eq!(both["customFields"][1]["value"], 4);
    let kept = expect(&world.patch(&path, &set(json!([]))), 200);
    assert_eq!(kept["customFields"][0]["value"], "tu1");
    let cleared = expect(&world.patch(&path, &set(json!([{"id": key, "value": null}]))), 200);
    assert!(cleared["customFields"][0].get("value").is_none());
    expect(&world.patch(&path, &set(json!([{"id": number, "value": "many"}]))), 400);
    expect(&world.patch(&path, &set(json!("x"))), 500);
    let agreement = path.split("/additions").next().unwrap();
    assert!(world.get(agreement).json().get("customFields").is_none());
    let list = format!(
        "{}?customFieldConditions=caption%3D%22Seats%22%20and%20value%3D4",
        path.rsplit_once('/').unwrap().0
    );
    assert_eq!(expect(&world.get(&list), 200).as_array().unwrap().len(), 1);
}

#[test]
fn required_custom_fields_make_other_writes_fail() {
    let Setup { world, path } = setup();
    let body = json!({"podId": 1, "caption": "Seats", "sequenceNumber": 1, "fieldTypeIdentifier": "Number", "requiredFlag": true});
    expect(&world.post("system/userDefinedFields", &body), 201);
    let refused =
        expect(&world.patch(&path, &json!([{"op": "replace", "path": "quantity", "value": 2}])), 400);
    assert_eq!(messages(&refused), ["The Seats field is required."]);
}

#[test]
fn keys_are_unique_and_deleted_companies_stay_in_lists() {
    let world = World::new("2026-03-10");
    let body = json!({"identifier": "acme", "name": "Acme"});
    let made = expect(&world.post("company/companies", &body), 201);
    let twice =
        expect(&world.post("company/companies", &json!({"identifier": "ACME", "name": "Other"})), 400);
    assert_eq!(twice["errors"][0]["code"], "ObjectExists");
    assert_eq!(messages(&twice), ["Company ID already in use."]);
    expect(&world.delete(&format!("company/companies/{}", made["id"])), 204);
    let shown = expect(&world.get(&format!("company/companies/{}", made["id"])), 200);
    assert_eq!(shown["deletedFlag"], true);
    assert_eq!(world.get("company/companies/count?conditions=deletedFlag=false").json()["count"], 1);
}

#[test]
fn setup_rows_in_use_cannot_be_deleted() {
    let world = World::new("2026-03-10");
    expect(&world.delete("finance/billingCycles/2"), 409);
    expect(&world.delete("finance/billingCycles/8"), 204);
}

#[test]
fn communications_of_a_contact() {
    let world = World::new("2026-03-10");
    let body = json!({"firstName": "Ada", "communicationItems": [
        {"type": {"name": "Email"}, "value": "ada@example.com", "communicationType": "Email"}]});
    let made = expect(&world.post("company/contacts", &body), 201);
    let path = format!("company/contacts/{}", made["id"]);
    let changed =
        json!([{"op": "replace", "path": "/communicationItems/0/value", "value": "byron@example.com"}]);
    assert_eq!(
        expect(&world.patch(&path, &changed), 200)["communicationItems"][0]["value"],
        "byron@example.com"
    );
    let list = expect(&world.get(&format!("{path}/communications")), 200);
    assert_eq!(list[0]["value"], "byron@example.com");
    assert_eq!(list[0]["contactId"], made["id"]);
}

#[test]
fn callbacks_are_checked_and_unique() {
    let world = World::new("2026-03-10");
    let body = json!({"url": "https://example.com/hook?recordId=", "objectId": 0, "type": "Agreement", "level": "owner"});
    let made = expect(&world.post("system/callbacks/", &body), 201);
    assert_eq!((&made["objectId"], &made["memberId"]), (&json!(1), &json!(1)));
    let twice = expect(&world.post("system/callbacks", &body), 400);
    assert_eq!(messages(&twice), ["A matching callback entry already exists"]);
    let wrong = expect(
        &world.post(
            "system/callbacks",
            &json!({"url": "nowhere", "objectId": 1, "type": "company", "level": "board"}),
        ),
        400,
    );
    assert_eq!(
        messages(&wrong),
        ["Invalid URL", "Unrecognized level for type, see documentation for supported levels for each type"]
    );
    expect(&world.delete(&format!("system/callbacks/{}", made["id"])), 204);
}

#[test]
fn bodies_that_are_not_json_or_not_an_object() {
    let world = World::new("2026-03-10");
    let post = |body: &str, kind: &str| {
        let keys = [
            ("Authorization", world.authorization()),
            ("clientId", world.client_id()),
            ("Content-Type", kind),
        ];
        world.raw("POST", "/v4_6_release/apis/3.0/company/companies", Some(body), &keys).unwrap()
    };
    expect(&post("{", "application/json"), 400);
    expect(&post("", "application/json"), 400);
    expect(&post("{}", "text/plain"), 415);
    expect(&post("{}", "application/vnd.connectwise.com+json"), 400);
    expect(&post(&format!("{}1{}", "[".repeat(3000), "]".repeat(3000)), "application/json"), 400);
    expect(&world.post("company/companies", &json!([1])), 500);
    expect(&world.post("company/companies", &json!({"identifier": {"a": 1}, "name": "x"})), 500);
}
