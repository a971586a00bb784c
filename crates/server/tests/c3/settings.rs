//! What a connection needs, and whose prices are written.

use super::desk::{Desk, sale, set, upload, validate};
use crate::sandbox::{ORG, run};
use rstest::rstest;
use serde_json::{Value, json};

#[test]
fn c3_01_ax_03_what_a_connection_lacks_is_named_and_nothing_is_saved() {
    let desk = Desk::bare(&[], "all");
    let person = desk.service.operator();
    let whole = desk.sandbox.connection();
    for field in ["company", "public_key", "private_key", "client_id"] {
        for blank in [json!(""), json!("  ")] {
            let mut body = whole.clone();
            body[field] = blank;
            let refused = person.post(&format!("{ORG}/connections"), &body).is(422);
            assert_eq!(refused.json()["fields"][0]["field"], field, "{}", refused.text());
        }
    }
    let mut body = whole;
    body.as_object_mut().unwrap().remove("client_id");
    let refused = person.post(&format!("{ORG}/connections"), &body).is(422);
    assert!(refused.text().contains("client_id"), "{}", refused.text());
    assert_eq!(person.get(&format!("{ORG}/connections")).is(200).json()["items"], json!([]));
    assert_eq!(desk.ask("journal"), json!([]), "nothing was sent");
}

#[test]
fn c3_02_mp_04_the_private_key_is_not_shown_again_but_when_it_was_set() {
    let (desk, pass) = Desk::told(&[]);
    let person = desk.person(&pass);
    let secret = desk.sandbox.access["private_key"].as_str().unwrap().to_owned();
    let shown = || person.get(&format!("{ORG}/connections")).is(200);
    assert!(!shown().text().contains(&secret));
    let first = shown().json()["items"][0]["key_set_at"].clone();
    assert!(first.is_string(), "{}", shown().text());
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    person.post(&format!("{ORG}/connections/connectwise/rotate"), &json!({ "private_key": secret })).is(200);
    let second = shown().json()["items"][0]["key_set_at"].clone();
    assert!(second.as_str() > first.as_str(), "{first} {second}");
}

#[rstest]
#[case::of_the_source("marketplace", 20.0, 16.0)]
#[case::of_connectwise("connectwise", 22.0, 17.6)]
fn c3_03_the_setting_says_whose_price_is_written(#[case] whose: &str, #[case] price: f64, #[case] cost: f64) {
    let (desk, pass) = Desk::ready(&[sale()]);
    let person = desk.person(&pass);
    set(&person, "price_source", whose);
    let validated = validate(&person, &[]);
    assert_eq!(upload(&person, &validated)["state"], "success", "{validated}");
    let line = &desk.additions(40)[0];
    assert_eq!((&line["unitPrice"], &line["unitCost"]), (&json!(price), &json!(cost)), "{line}");
}

#[test]
fn c3_04_every_call_carries_the_client_id_and_an_own_one_replaces_the_default() {
    // The sandbox answers no call without its client id, or with another one.
    let stranger = ("TRUEUP_CONNECTWISE_CLIENT_ID", "00000000-0000-0000-0000-000000000000");
    let desk = Desk::bare(&[stranger], "all");
    let person = desk.service.operator();
    let own = desk.sandbox.connection();
    let mut default = own.clone();
    default.as_object_mut().unwrap().remove("client_id");
    let refused = person.post(&format!("{ORG}/connections"), &default);
    assert_eq!(refused.json()["code"], "TU1003", "{}", refused.text());
    person.post(&format!("{ORG}/connections"), &own).is(201);
    run(&person, &json!({ "kind": "pull" }));
    let statuses = desk.ask("journal/summary")["statuses"].clone();
    assert!(statuses["200"].as_i64().unwrap() > 5, "{statuses}");

    // And the default serves where a connection has none of its own.
    let id = own["client_id"].as_str().unwrap().to_owned();
    let desk = Desk::bare(&[("TRUEUP_CONNECTWISE_CLIENT_ID", &id)], "all");
    let person = desk.service.operator();
    let mut default = desk.sandbox.connection();
    default["client_id"] = Value::Null;
    person.post(&format!("{ORG}/connections"), &default).is(201);
    run(&person, &json!({ "kind": "pull" }));
}
