//! Validate, then upload: over chosen customers, with a grid of what stands in the way.

use crate::bench::{Backend, Person, Service};
use crate::callbacks::as_api;
use crate::work::{FEED, ORG, Sandbox, run};
use rstest::rstest;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const ENVIRONMENT: [(&str, &str); 2] =
    [("TRUEUP_TODAY", "2023-03-20"), ("TRUEUP_ALLOWED_PRIVATE_HOSTS", "127.0.0.1")];

/// A customer without a company, whose name a spreadsheet would run.
const UNMAPPED: &str = concat!(
    r#"{"type":"customer","id":"=c-200","name":"Red Lane LLC","currency":"USD"}"#,
    "\n",
    r#"{"type":"subscription","id":"s-2","customer":"=c-200","status":"active","currency":"USD","billing_cycle":{"every":1,"unit":"month"},"start":"2023-03-01","period":{"start":"2023-03-01","end":"2023-04-01"},"items":[{"id":"seats","product":"exo-p1","quantity":"1","unit_price":"22.00","unit_cost":"17.60"}]}"#,
    "\n",
    r#"{"type":"order","id":"SO-2","kind":"sales","subscription":"s-2","completed_at":"2023-03-01T09:00:00Z","period":{"start":"2023-03-01","end":"2023-04-01"},"currency":"USD","lines":[{"id":"1","charge":"recurring","product":"exo-p1","quantity":"1","unit_price":"22.00","unit_cost":"17.60"}]}"#,
    "\n",
);

fn push(person: &Person<'_>, records: &str) {
    let path = "/api/v1/feed?organization=default&source=shop";
    person.request("POST", path).body("application/x-ndjson", records).send(person.service.at).is(200);
}

fn map(person: &Person<'_>, kind: &str, id: &str, to: i64) {
    let body = json!({ "kind": kind, "source": "shop", "source_id": id, "psa_id": to });
    person.put(&format!("{ORG}/mappings"), &body).is(200);
}

fn ready(person: &Person<'_>, sandbox: &Sandbox) {
    person.post(&format!("{ORG}/connections"), &sandbox.connection()).is(201);
    push(person, FEED);
    map(person, "customer", "c-100", 12);
    map(person, "product", "exo-p1", 7);
}

/// Starts a job and waits for its end.
fn job(person: &Person<'_>, path: &str, body: &Value) -> Value {
    let started = person.post(&format!("{ORG}/jobs{path}"), body).is(202);
    let location = started.header("location").unwrap().to_owned();
    let began = Instant::now();
    loop {
        let job = person.get(&location).is(200).json();
        if matches!(job["state"].as_str(), Some("success" | "error")) {
            return job;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{job}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn id(job: &Value) -> &str {
    job["job_id"].as_str().unwrap()
}

fn additions(sandbox: &Sandbox) -> usize {
    let found = as_api(sandbox, "GET", "finance/agreements/40/additions", &Value::Null).is(200).json();
    found.as_array().unwrap().len()
}

#[rstest]
fn what_was_validated_without_errors_is_uploaded_once(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let Some(service) = Service::start(backend, &ENVIRONMENT) else { return };
    let sandbox = Sandbox::start();
    let person = service.operator();
    ready(&person, &sandbox);
    push(&person, UNMAPPED);

    let failed = job(&person, "", &json!({}));
    assert_eq!((&failed["state"], &failed["next"]), (&json!("error"), &Value::Null), "{failed}");
    let row = failed["rows"].as_array().unwrap().iter().find(|row| row["severity"] == "error").unwrap();
    assert_eq!(
        (&row["code"], &row["customer_id"], &row["order_id"], &row["date"]),
        (&json!("TU2001"), &json!("=c-200"), &json!("SO-2"), &json!("2023-03-01")),
        "{row}"
    );
    assert!(!row["fix"].as_str().unwrap().is_empty());
    let grid = person.get(&format!("{ORG}/jobs/{}/grid", id(&failed))).is(200);
    assert!(grid.header("content-type").unwrap().starts_with("text/csv"));
    assert!(grid.text().starts_with("row,severity,code,"), "{}", grid.text());
    assert!(grid.text().contains(",'=c-200,"), "no cell runs as a formula: {}", grid.text());
    let upload = format!("{ORG}/jobs/{}/upload", id(&failed));
    assert_eq!(person.post(&upload, &json!({})).problem(409), "conflict");

    // Without those in whose way something stands.
    let clean = job(&person, "", &json!({ "clean_of": id(&failed) }));
    assert_eq!((&clean["state"], &clean["next"]), (&json!("success"), &json!("upload")), "{clean}");
    let sum = &clean["customers"][0];
    assert_eq!(clean["customers"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&sum["customer_id"], &sum["lines"], &sum["amounts"]["USD"]),
        (&json!("c-100"), &json!(1), &json!("110.00")),
        "{clean}"
    );
    assert_eq!(additions(&sandbox), 0, "a validation writes nothing");
    let shown = person.get(&format!("{ORG}/plans/{}", clean["plan_id"].as_str().unwrap())).is(200).json();
    assert_eq!(shown["totals"]["create"], 1);

    let done = job(&person, &format!("/{}/upload", id(&clean)), &json!({}));
    assert_eq!((&done["state"], &done["kind"]), (&json!("success"), &json!("upload")), "{done}");
    assert_eq!(done["of"], clean["job_id"]);
    assert_eq!(additions(&sandbox), 1);
    // Once more: what it said holds no longer, since it is there.
    let again = job(&person, &format!("/{}/upload", id(&clean)), &json!({}));
    assert_eq!(again["state"], "error");
    assert!(again["problem"]["detail"].as_str().unwrap().contains("does not hold any more"), "{again}");
    assert_eq!(additions(&sandbox), 1);
    let list = person.get(&format!("{ORG}/jobs?limit=2")).is(200).json();
    assert_eq!(list["items"][0]["job_id"], again["job_id"]);
    assert!(list["next_cursor"].is_string());
}

#[rstest]
fn a_validation_holds_until_something_changes(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let Some(service) = Service::start(backend, &ENVIRONMENT) else { return };
    let sandbox = Sandbox::start();
    let person = service.operator();
    ready(&person, &sandbox);
    let chosen = json!({ "customers": [{ "id": "c-100", "source": "shop" }] });
    let nobody = json!({ "customers": [{ "id": "nobody", "source": "shop" }] });
    assert_eq!(person.post(&format!("{ORG}/jobs"), &nobody).problem(422), "invalid");
    assert_eq!(person.post(&format!("{ORG}/jobs"), &json!({ "customers": [] })).problem(422), "invalid");
    assert_eq!(person.post(&format!("{ORG}/runs"), &json!({ "kind": "validate" })).problem(422), "invalid");
    let validated = job(&person, "", &chosen);
    assert_eq!(validated["state"], "success", "{validated}");
    // Somebody made the line by hand meanwhile.
    let line = json!({ "product": { "id": 7 }, "quantity": 5, "unitPrice": 22, "unitCost": 17.6,
        "billCustomer": "Billable", "effectiveDate": "2023-03-01T00:00:00Z" });
    as_api(&sandbox, "POST", "finance/agreements/40/additions", &line).is(201);
    let refused = job(&person, &format!("/{}/upload", id(&validated)), &json!({}));
    assert_eq!((&refused["state"], additions(&sandbox)), (&json!("error"), 1), "{refused}");
    // A validation that is too old holds no longer either; of a check there is no job.
    person.put(&format!("{ORG}/settings/validation.hours"), &json!({ "value": "x" })).problem(422);
    let check = run(&person, &json!({ "kind": "check" }));
    assert_eq!(
        person.get(&format!("{ORG}/jobs/{}", check["run_id"].as_str().unwrap())).problem(404),
        "not-found"
    );
    let ended = format!("{ORG}/jobs/{}/cancel", id(&refused));
    assert_eq!(person.post(&ended, &json!({})).problem(409), "conflict");
}

#[rstest]
fn what_people_approve_waits_also_in_an_upload(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let Some(service) = Service::start(backend, &ENVIRONMENT) else { return };
    let sandbox = Sandbox::start();
    let person = service.operator();
    ready(&person, &sandbox);
    person.put(&format!("{ORG}/settings/approval.persons"), &json!({ "value": "1" })).is(200);
    let validated = job(&person, "", &json!({}));
    let held = job(&person, &format!("/{}/upload", id(&validated)), &json!({}));
    assert_eq!((&held["state"], &held["next"]), (&json!("error"), &json!("retry")), "{held}");
    assert!(held["rows"].as_array().unwrap().iter().any(|row| row["code"] == "TU7007"), "{held}");
    assert_eq!(additions(&sandbox), 0);
    person.put(&format!("{ORG}/settings/approval.persons"), &json!({ "value": "0" })).is(200);
    let again = job(&person, &format!("/{}/upload", id(&held)), &json!({}));
    assert_eq!((&again["state"], additions(&sandbox)), (&json!("success"), 1), "{again}");
}

#[rstest]
fn a_job_that_waits_is_cancelled_and_holds_releases_up(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    // Nobody works here.
    let Some(service) = Service::start_as("api", backend, &ENVIRONMENT) else { return };
    let person = service.operator();
    push(&person, FEED);
    map(&person, "customer", "c-100", 12);
    let waits = person.post(&format!("{ORG}/jobs"), &json!({})).is(202).json();
    assert_eq!(waits["state"], "queued");
    let which = "kind=customer&source=shop&source_id=c-100&cascade=true";
    let token = person.get(&format!("{ORG}/mappings/release?{which}")).is(200).json()["token"].clone();
    let release = json!({ "kind": "customer", "source": "shop", "source_id": "c-100", "cascade": true,
        "token": token, "reason": "sold" });
    let release = || person.post(&format!("{ORG}/mappings/release"), &release);
    assert_eq!(release().problem(409), "conflict");
    let ended = person.post(&format!("{ORG}/jobs/{}/cancel", id(&waits)), &json!({})).is(200).json();
    assert_eq!(ended["state"], "error");
    assert!(ended["problem"]["detail"].as_str().unwrap().contains("cancelled"), "{ended}");
    release().is(200);
}
