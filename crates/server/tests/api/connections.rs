//! Connections of one's own and of levels above.

use crate::bench::{Backend, Service};
use crate::work::{FEED, ORG, Sandbox, run};
use rstest::rstest;
use serde_json::{Value, json};

const LOCAL: [(&str, &str); 3] = [
    ("TRUEUP_TODAY", "2023-03-20"),
    ("TRUEUP_ALLOWED_PRIVATE_HOSTS", "127.0.0.1"),
    ("TRUEUP_PUBLIC_URL", "http://trueup.example.com"),
];

fn only(list: &Value) -> Value {
    let items = list["items"].as_array().unwrap();
    assert_eq!(items.len(), 1, "{list}");
    items[0].clone()
}

#[rstest]
fn a_connection_of_a_level_above_is_changed_there_alone(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let Some(service) = Service::start(backend, &LOCAL) else { return };
    let person = service.operator();
    let sandbox = Sandbox::start();
    person.post(&format!("{ORG}/connections"), &sandbox.connection()).is(201);
    person.organization("shop", Some("default"));
    let shop = "/api/v1/organizations/shop";

    let above = only(&person.get(&format!("{ORG}/connections")).is(200).json());
    assert_eq!((&above["own"], &above["organization"]), (&json!(true), &json!("default")), "{above}");
    assert_eq!((&above["tested"]["ok"], &above["tested"]["missing"]), (&json!(true), &json!(0)), "{above}");
    let seen = only(&person.get(&format!("{shop}/connections")).is(200).json());
    assert_eq!((&seen["own"], &seen["organization"]), (&json!(false), &json!("default")), "{seen}");
    // Whoever belongs to the shop learns no names of what is above it.
    let colleague = person.colleague("shop", "admin");
    let seen = only(&colleague.get(&format!("{shop}/connections")).is(200).json());
    assert_eq!((&seen["own"], &seen["organization"]), (&json!(false), &json!("above")), "{seen}");

    let keys = json!({ "private_key": sandbox.access["private_key"] });
    for refused in [
        person.post(&format!("{shop}/connections/connectwise/rotate"), &keys),
        person.post(&format!("{shop}/connections/connectwise/callback"), &json!({})),
        person.delete(&format!("{shop}/connections/connectwise")),
        colleague.post(&format!("{shop}/connections/connectwise/rotate"), &keys),
    ] {
        assert_eq!(refused.problem(409), "conflict");
    }
    let unknown = person.post(&format!("{shop}/connections/nothing/rotate"), &keys);
    assert_eq!(unknown.problem(404), "not-found");
    let seen = only(&person.get(&format!("{shop}/connections")).is(200).json());
    assert_eq!(seen["own"], false, "no copy was made: {seen}");
    // Testing it is everybody's who uses it.
    person.post(&format!("{shop}/connections/connectwise/test"), &json!({})).is(200);
    let seen = only(&person.get(&format!("{shop}/connections")).is(200).json());
    assert_eq!(seen["tested"]["ok"], true, "{seen}");
    person.post(&format!("{ORG}/connections/connectwise/rotate"), &keys).is(200);

    // One of its own by the same name takes its place, and can be taken away again.
    person.post(&format!("{shop}/connections"), &sandbox.connection()).is(201);
    assert_eq!(only(&person.get(&format!("{shop}/connections")).json())["own"], true);
    person.delete(&format!("{shop}/connections/connectwise")).is(204);
    assert_eq!(only(&person.get(&format!("{shop}/connections")).json())["own"], false);
    let audit = person.get(&format!("{shop}/audit?action=connection.remove")).is(200);
    assert_eq!(audit.json()["items"].as_array().unwrap().len(), 1, "{}", audit.text());
}

#[rstest]
fn a_connection_that_lines_were_written_over_is_removed_only_when_that_is_said(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let Some(service) = Service::start(backend, &LOCAL) else { return };
    let person = service.operator();
    let sandbox = Sandbox::start();
    person.post(&format!("{ORG}/connections"), &sandbox.connection()).is(201);
    let path = "/api/v1/feed?organization=default&source=shop";
    person.request("POST", path).body("application/x-ndjson", FEED).send(service.at).is(200);
    for (kind, id, number) in [("customer", "c-100", 12), ("product", "exo-p1", 7)] {
        let body = json!({ "kind": kind, "source": "shop", "source_id": id, "psa_id": number });
        person.put(&format!("{ORG}/mappings"), &body).is(200);
    }
    run(&person, &json!({ "kind": "check" }));
    assert_eq!(run(&person, &json!({ "kind": "sync", "approve": true }))["result"]["summary"]["applied"], 1);
    person.post(&format!("{ORG}/connections/connectwise/callback"), &json!({})).is(201);
    let seen = only(&person.get(&format!("{ORG}/connections")).json());
    assert!(seen["callback_made_at"].is_string(), "{seen}");
    let path = format!("{ORG}/connections/connectwise");
    let refused = person.delete(&path);
    assert!(refused.text().contains("1 lines"), "{}", refused.text());
    assert_eq!(refused.problem(409), "conflict");
    // A second way to the same company is reason enough.
    let mut second = sandbox.connection();
    second["name"] = json!("second");
    person.post(&format!("{ORG}/connections"), &second).is(201);
    person.delete(&path).is(204);
    assert_eq!(person.delete(&path).problem(404), "not-found");
    assert_eq!(person.delete(&format!("{ORG}/connections/second")).problem(409), "conflict");
    person.delete(&format!("{ORG}/connections/second?even_so=true")).is(204);
    assert_eq!(person.get(&format!("{ORG}/connections")).json()["items"], json!([]));
}
