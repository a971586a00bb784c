//! Release: a product, an agreement with its products, a customer with all of it.

use super::desk::{
    Desk, Pass, Row, ended, errors, foresee, map, mapped, release, sale, set, upload, validate,
};
use crate::bench::Person;
use crate::sandbox::{ORG, control};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// c-1 has Mail and Suite on agreement 40, c-2 has Files on 50. Mail is billed; a change of it and the sale of Suite wait.
fn billed() -> (Desk, Pass) {
    let suite = Row::new("c-1", "s-2", 0, 2, "2023-03-01").with("ProductName", "Suite");
    let files = Row::new("c-2", "s-3", 0, 3, "2023-03-01").with("ProductName", "Files");
    let (desk, pass) = Desk::ready(&[sale()]);
    let person = desk.person(&pass);
    for (kind, id, to) in [
        ("product", "Suite", 8),
        ("product", "Files", 7),
        ("agreement", "customer:c-1", 40),
        ("agreement", "customer:c-2", 50),
    ] {
        map(&person, kind, id, to).is(200);
    }
    let validated = validate(&person, &[]);
    assert_eq!(upload(&person, &validated)["state"], "success", "{validated}");
    super::desk::tell(&person, &[sale(), Row::new("c-1", "s-1", 5, 8, "2023-03-15"), suite, files]);
    validate(&person, &[]);
    (desk, pass)
}

const ALL: [&str; 7] = [
    "agreement customer:c-1",
    "agreement customer:c-2",
    "customer c-1",
    "customer c-2",
    "product Files",
    "product Mail",
    "product Suite",
];

fn without(gone: &[&str]) -> Vec<String> {
    ALL.iter().filter(|m| !gone.contains(m)).map(|m| (*m).to_owned()).collect()
}

#[test]
fn c3_16_c3_19_a_released_product_leaves_the_others_and_can_be_mapped_at_once() {
    let (desk, pass) = billed();
    let person = desk.person(&pass);
    let before = desk.ask("state")["resources"].clone();
    let (_, body) = foresee(&person, "product", "Mail", true);
    release(&person, &body).is(200);
    assert_eq!(mapped(&person), without(&["product Mail"]));
    assert_eq!(desk.ask("state")["resources"], before);
    map(&person, "product", "Mail", 7).is(200);
    assert_eq!(mapped(&person), ALL);
}

#[test]
fn c3_17_c3_19_a_released_agreement_takes_its_products_and_the_customer_stays() {
    let (desk, pass) = billed();
    let person = desk.person(&pass);
    let before = desk.ask("state")["resources"].clone();
    let (_, body) = foresee(&person, "agreement", "customer:c-1", true);
    release(&person, &body).is(200);
    assert_eq!(desk.ask("state")["resources"], before);
    assert_eq!(mapped(&person), without(&["agreement customer:c-1", "product Mail", "product Suite"]));
}

#[test]
fn c3_18_c3_19_a_released_customer_takes_all_of_it_and_connectwise_stays_as_it_is() {
    let (desk, pass) = billed();
    let person = desk.person(&pass);
    // Another agreement of the same customer goes with it as well.
    set(&person, "mapping.product_agreement", "many");
    map(&person, "agreement", "s-2", 41).is(200);
    let before = desk.ask("state")["resources"].clone();
    let writes = desk.writes().len();
    let (_, body) = foresee(&person, "customer", "c-1", true);
    release(&person, &body).is(200);
    let gone = ["agreement customer:c-1", "customer c-1", "product Mail", "product Suite"];
    assert_eq!(mapped(&person), without(&gone));
    assert_eq!(desk.ask("state")["resources"], before);
    assert_eq!(desk.writes().len(), writes);
    // What bills on without a mapping is told, and what waits for it does not go on.
    let told = person.get(&format!("{ORG}/findings?code=TU8006&state=open")).is(200).json();
    assert!(told.to_string().contains("has no mapping any more"), "{told}");
    assert_eq!(errors(&validate(&person, &["c-1"])), ["TU2001", "TU2003"]);
}

#[test]
fn c3_20_the_confirmation_counts_what_is_released() {
    let (desk, pass) = billed();
    let person = desk.person(&pass);
    let count = |of: &Value, list: &str| of[list].as_array().unwrap().len();
    let (shown, body) = foresee(&person, "customer", "c-1", true);
    let lists = ["mappings", "tasks", "lines"];
    assert_eq!(lists.map(|list| count(&shown, list)), [4, 2, 1], "{shown}");
    let line = &shown["lines"][0];
    assert_eq!((&line["quantity"], &line["unit_price"]), (&json!("5"), &json!("20")), "{line}");
    let done = release(&person, &body).is(200).json();
    assert_eq!(lists.map(|list| done[list].clone()), lists.map(|list| shown[list].clone()));
}

#[test]
fn c3_21_nothing_is_released_while_a_job_of_the_customer_waits_or_runs() {
    // Nobody works here, so that the job waits.
    let desk = Desk::bare(&[], "api");
    let person = desk.service.operator();
    super::desk::tell(&person, &[sale(), Row::new("c-2", "s-3", 0, 3, "2023-03-01")]);
    map(&person, "customer", "c-1", 12).is(200);
    map(&person, "customer", "c-2", 13).is(200);
    let chosen = json!({ "customers": [{ "id": "c-1", "source": "c3" }] });
    let waits = person.post(&format!("{ORG}/jobs"), &chosen).is(202).json();
    let (_, first) = foresee(&person, "customer", "c-1", true);
    let (_, second) = foresee(&person, "customer", "c-2", true);
    let refused = release(&person, &first);
    assert!(refused.text().contains(waits["job_id"].as_str().unwrap()), "{}", refused.text());
    assert_eq!(refused.problem(409), "conflict");
    release(&person, &second).is(200);
    person.post(&format!("{ORG}/jobs/{}/cancel", waits["job_id"].as_str().unwrap()), &json!({})).is(200);
    release(&person, &first).is(200);
}

#[test]
fn c3_21_nothing_is_released_while_a_job_of_the_customer_is_at_work() {
    let (desk, pass) = billed();
    let person = desk.person(&pass);
    let slow = json!({ "match": { "method": "GET", "path_contains": "agreements" }, "times": 50, "action": "slow",
        "delay_ms": 1_500 });
    control(&desk.sandbox, "faults", &json!({ "schedule": [slow] }));
    let (_, body) = foresee(&person, "customer", "c-1", true);
    let started = person.post(&format!("{ORG}/jobs"), &json!({})).is(202);
    let location = started.header("location").unwrap().to_owned();
    let began = Instant::now();
    while person.get(&location).is(200).json()["state"] != "running" {
        assert!(began.elapsed() < Duration::from_secs(30), "it does not begin");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(release(&person, &body).problem(409), "conflict");
    assert_eq!(mapped(&person), ALL);
    control(&desk.sandbox, "faults", &json!({ "schedule": [] }));
    ended(&person, &location);
    let (_, body) = foresee(&person, "customer", "c-1", true);
    release(&person, &body).is(200);
}

/// The state of the task of each subscription that is not done.
fn states(person: &Person<'_>) -> Vec<String> {
    let all = person.get(&format!("{ORG}/tasks?limit=200")).is(200).json();
    let open = all["items"].as_array().unwrap().iter().filter(|task| task["state"] != "done");
    let shown = |task: &Value| {
        format!("{} {}", task["subscription_id"].as_str().unwrap(), task["state"].as_str().unwrap())
    };
    let mut states: Vec<String> = open.map(shown).collect();
    states.sort();
    states
}

#[test]
fn c3_d10_what_waited_for_a_released_mapping_waits_for_a_new_one_and_nothing_is_lost() {
    let (desk, pass) = billed();
    let person = desk.person(&pass);
    let before = states(&person);
    let (_, body) = foresee(&person, "product", "Mail", true);
    release(&person, &body).is(200);
    assert_eq!(errors(&validate(&person, &["c-1"])), ["TU2003"]);
    let released: Vec<String> =
        before.iter().map(|state| state.replace("s-1 planned", "s-1 needs_mapping")).collect();
    assert_ne!(released, before);
    assert_eq!(states(&person), released);
    map(&person, "product", "Mail", 7).is(200);
    let validated = validate(&person, &[]);
    assert_eq!((&validated["state"], states(&person)), (&json!("success"), before), "{validated}");
    assert_eq!(upload(&person, &validated)["state"], "success");
    assert!(states(&person).is_empty(), "{:?}", states(&person));
}

#[test]
fn c3_22_the_history_says_who_released_what_when_and_why() {
    let (desk, pass) = billed();
    let person = desk.person(&pass);
    let (_, mut body) = foresee(&person, "product", "Mail", false);
    body["reason"] = json!(" ");
    assert_eq!(release(&person, &body).problem(422), "invalid");
    body["reason"] = json!("renamed");
    release(&person, &body).is(200);
    let audit = person.get(&format!("{ORG}/audit?action=mapping.release")).is(200).json();
    let entry = &audit["items"][0];
    assert!(entry["actor"].as_str().unwrap().starts_with("first@example.com"), "{entry}");
    assert_eq!(entry["object"], "mapping/product/Mail");
    assert!(entry["at"].is_string() && entry.to_string().contains("renamed"), "{entry}");
    let which = "kind=product&source=c3&source_id=Mail";
    let history = person.get(&format!("{ORG}/mappings/history?{which}")).is(200).json();
    assert!(history["items"][0]["ended_at"].is_string(), "{history}");
}
