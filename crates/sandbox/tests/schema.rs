//! The sandbox's answers against the vendor's schema, where a copy of it lies beside the project.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test stops where it fails")]

mod common;

use std::path::Path;

use common::{World, expect};
use serde_json::{Value, json};

/// The vendor's OpenAPI document; it is not part of the project, so it may be missing.
fn document() -> Option<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/connectwise/openapi.json");
    match std::fs::read_to_string(&path) {
        Ok(text) => Some(serde_json::from_str(&text).unwrap()),
        Err(_) => {
            println!("skipped: the vendor's openapi.json is not there");
            None
        }
    }
}

/// Names of members the schema does not know, below a value.
fn unknown(document: &Value, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    let mut schema = schema;
    while let Some(target) = schema["$ref"].as_str() {
        schema = document.pointer(target.trim_start_matches('#')).unwrap();
    }
    match value {
        Value::Object(members) if schema["properties"].is_object() => {
            for (name, inner) in members {
                match schema["properties"].get(name) {
                    Some(known) => unknown(document, known, inner, &format!("{at}/{name}"), found),
                    None => found.push(format!("{at}/{name}")),
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                unknown(document, &schema["items"], item, at, found);
            }
        }
        _ => {}
    }
}

#[track_caller]
fn check(document: &Value, schema: Value, value: &Value, what: &str) {
    let mut whole = schema.clone();
    whole.as_object_mut().unwrap().insert("components".into(), document["components"].clone());
    let validator = jsonschema::options().with_draft(jsonschema::Draft::Draft4).build(&whole).unwrap();
    let errors: Vec<String> = validator
        .iter_errors(value)
        .map(|error| format!("{what} {}: {error}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{errors:#?}");
    let mut names = Vec::new();
    unknown(document, &schema, value, what, &mut names);
    assert!(names.is_empty(), "not in the vendor's schema: {names:?}");
}

fn filled() -> World {
    let world = World::new("2026-03-10");
    let agreement = world.agreement("2026-03-01", &json!({"prorateFlag": true, "billAmount": 10}));
    let item = world.item("M365", "12.10");
    for kind in ["Addition", "Agreement", "company", "contact"] {
        let field = json!({"podId": 1, "caption": kind, "sequenceNumber": 1, "fieldTypeIdentifier": "Text", "screenId": kind});
        expect(&world.post("system/userDefinedFields", &field), 201);
    }
    let changes = json!({"quantity": 3, "customFields": [{"caption": "Addition", "value": "x"}]});
    expect(&world.addition(agreement, item, "2026-03-10", &changes), 201);
    let adjustment =
        json!({"amount": 5, "description": "Correction", "effectiveDate": "2026-03-10T00:00:00Z"});
    expect(&world.post(&format!("finance/agreements/{agreement}/adjustments"), &adjustment), 201);
    let invoice = expect(&world.invoice(agreement), 201);
    expect(&world.post(&format!("finance/invoices/{invoice}/payments"), &json!({"amount": 4})), 201);
    let item = json!({"type": {"id": 1}, "value": "ada@example.com", "communicationType": "Email"});
    expect(&world.post("company/contacts/1/communications", &item), 201);
    let hook = json!({"url": "https://example.com/hook?recordId=", "objectId": 1, "type": "agreement", "level": "owner"});
    expect(&world.post("system/callbacks", &hook), 201);
    expect(&world.post("service/tickets", &json!({"summary": "Help", "company": {"id": 2}, "initialDescription": "My screen is black", "type": {"id": 1}, "subType": {"id": 1}, "item": {"id": 2}})), 201);
    world
}

#[test]
fn records_validate_and_use_only_the_vendors_names() {
    let Some(document) = document() else { return };
    let world = filled();
    for (path, schema) in [
        ("company/companies", "Company"),
        ("company/companies/statuses", "CompanyStatus"),
        ("company/companies/types", "CompanyType"),
        ("company/communicationTypes", "CommunicationType"),
        ("company/companies/2/sites", "CompanySite"),
        ("company/contacts", "Contact"),
        ("company/contacts/1/communications", "ContactCommunication"),
        ("company/countries", "Country"),
        ("finance/agreements", "Agreement"),
        ("finance/agreements/types", "AgreementType"),
        ("finance/agreements/1/additions", "Addition"),
        ("finance/agreementrecap", "AgreementRecap"),
        ("finance/invoices", "Invoice"),
        ("finance/invoices/1/payments", "InvoicePayment"),
        ("finance/billingCycles", "BillingCycle"),
        ("finance/billingCycles/info", "BillingCycleInfo"),
        ("finance/billingTerms", "BillingTerm"),
        ("finance/billingStatuses", "BillingStatus"),
        ("finance/currencies", "Finance.Currency"),
        ("finance/currencies/info", "CurrencyInfo"),
        ("finance/taxCodes", "TaxCode"),
        ("procurement/catalog", "CatalogItem"),
        ("procurement/catalog/info", "CatalogItemInfo"),
        ("procurement/categories", "Category"),
        ("procurement/categories/1/subcategories", "SubCategory"),
        ("procurement/types", "ProductType"),
        ("procurement/unitOfMeasures", "UnitOfMeasure"),
        ("system/members", "Member"),
        ("system/apiMembers", "ApiMember"),
        ("system/locations", "Location"),
        ("system/departments", "Department"),
        ("system/userDefinedFields", "UserDefinedField"),
        ("system/securityroles", "SecurityRole"),
        ("system/securityRoles/1/settings", "SecurityRoleSetting"),
        ("system/callbacks", "CallbackEntry"),
        ("service/boards", "Board"),
        ("service/info/boards", "BoardInfo"),
        ("service/boards/2/statuses", "BoardStatus"),
        ("service/boards/2/types", "BoardType"),
        ("service/boards/2/subtypes", "BoardSubType"),
        ("service/boards/2/subtypes/info", "BoardSubTypeInfo"),
        ("service/boards/2/items", "BoardItem"),
        ("service/sources", "Source"),
        ("service/sources/info", "SourceInfo"),
        ("service/tickets/1/notes", "ServiceNote"),
        ("service/priorities", "Priority"),
        ("service/tickets", "Ticket"),
    ] {
        assert!(document["components"]["schemas"][schema].is_object(), "{schema}");
        let body = expect(&world.get(path), 200);
        assert!(!body.as_array().unwrap().is_empty(), "{path} has nothing to look at");
        let reference = format!("#/components/schemas/{schema}");
        check(&document, json!({"type": "array", "items": {"$ref": reference}}), &body, path);
    }
    let info = expect(&world.get("system/info"), 200);
    check(&document, json!({"$ref": "#/components/schemas/Info"}), &info, "system/info");
    let count = expect(&world.get("finance/agreements/count"), 200);
    check(&document, json!({"$ref": "#/components/schemas/Count"}), &count, "count");
}

#[test]
fn errors_validate() {
    let Some(document) = document() else { return };
    let world = filled();
    for reply in [
        world.post("finance/agreements", &json!({})),
        world.get("finance/agreements/99"),
        world.get("finance/nothing"),
        world.get("finance/agreements?conditions=x"),
        world.post("finance/agreements", &json!({"name": []})),
    ] {
        check(&document, json!({"$ref": "#/components/schemas/ErrorResponse"}), &reply.json(), "error");
    }
}
