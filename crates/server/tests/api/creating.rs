//! Making in ConnectWise what it lacks, over the API: exactly once, whatever happens to the answer.

use crate::bench::{Backend, Person, Service};
use crate::http::Answer;
use crate::sandbox::{Sandbox, at, call, control, host, run};
use rstest::rstest;
use serde_json::{Value, json};
use std::time::Duration;

const ORG: &str = "/api/v1/organizations/default";

const SEED: &str = r#"{"today": "2023-03-20", "resources": {
  "company/companies": [{"id": 12, "identifier": "Taken", "name": "Somebody Else", "city": "Tampa"}]}}"#;

const FEED: &str = concat!(
    r#"{"type":"customer","id":"c-100","code":"GreenLane","name":"Green Lane LLC","currency":"USD","tax_id":"US1","address":{"line1":"1 Lane","city":"Tampa","postcode":"33601"}}"#,
    "\n",
    r#"{"type":"customer","id":"c-200","code":"BlueHill","name":"Blue Hill","currency":"USD"}"#,
    "\n",
    r#"{"type":"customer","id":"c-300","code":"Taken","name":"Red Rock","currency":"USD","address":{"city":"Tampa"}}"#,
    "\n",
    r#"{"type":"product","id":"mail","sku":"EXO-P1","name":"Mailbox","currency":"USD","unit_price":"22.00","unit_cost":"17.60"}"#,
    "\n",
    r#"{"type":"subscription","id":"s-1","customer":"c-100","status":"active","currency":"USD","billing_cycle":{"every":1,"unit":"month"},"start":"2023-03-01","period":{"start":"2023-03-01","end":"2023-04-01"},"items":[{"id":"seats","product":"mail","quantity":"5","unit_price":"22.00","unit_cost":"17.60"}]}"#,
    "\n",
    r#"{"type":"order","id":"SO-1","kind":"sales","subscription":"s-1","completed_at":"2023-03-01T09:00:00Z","period":{"start":"2023-03-01","end":"2023-04-01"},"currency":"USD","lines":[{"id":"1","charge":"recurring","product":"mail","quantity":"5","unit_price":"22.00","unit_cost":"17.60"}]}"#,
    "\n",
);

fn create(person: &Person<'_>, kind: &str, id: &str) -> Answer {
    person
        .post(&format!("{ORG}/mappings/create"), &json!({ "kind": kind, "source": "shop", "source_id": id }))
}

fn unknown(answer: &Answer) {
    assert!(answer.status >= 500, "{}", answer.text());
    assert_eq!(answer.json()["code"], "TU7003", "{}", answer.text());
}

fn break_once(sandbox: &Sandbox, path: &str, action: &str) {
    let fault =
        json!({ "match": { "method": "POST", "path_contains": path }, "action": action, "delay_ms": 600 });
    control(sandbox, "faults", &json!({ "schedule": [fault] }));
}

fn settled() {
    std::thread::sleep(Duration::from_millis(1_200));
}

/// How many there are of a name.
fn count(sandbox: &Sandbox, path: &str, field: &str, name: &str) -> usize {
    let all: Value = call(sandbox, "GET", &format!("{path}?pageSize=1000")).is(200).json();
    all.as_array().unwrap().iter().filter(|row| row[field] == name).count()
}

#[rstest]
fn what_connectwise_lacks_is_made_once_and_billed(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let environment = [
        ("TRUEUP_TODAY", "2023-03-20"),
        ("TRUEUP_ALLOWED_PRIVATE_HOSTS", "127.0.0.1"),
        ("TRUEUP_APPLY_SETTLE_SECONDS", "1"),
    ];
    let Some(service) = Service::start(backend, &environment) else { return };
    let sandbox = Sandbox::seeded(SEED);
    let person = service.operator();
    person.post(&format!("{ORG}/connections"), &sandbox.connection()).is(201);
    person
        .request("POST", "/api/v1/feed?organization=default&source=shop")
        .body("application/x-ndjson", FEED)
        .send(service.at)
        .is(200);
    run(&person, &json!({ "kind": "pull" }));
    run(&person, &json!({ "kind": "check" }));
    assert_eq!(create(&person, "customer", "nobody").problem(404), "not-found");
    assert_eq!(create(&person, "fee", "cancellation").problem(422), "invalid");
    assert_eq!(create(&person, "customer", "c-300").problem(409), "conflict", "the identifier is another's");
    assert_eq!(
        create(&person, "agreement", "s-1").problem(409),
        "conflict",
        "its customer has no company yet"
    );

    // An answer that is lost: what was made is found, and nothing is sent again.
    break_once(&sandbox, "company/companies", "drop_after");
    unknown(&create(&person, "customer", "c-100"));
    let filled = json!({ "kind": "customer", "source": "shop", "source_id": "c-100",
        "fill": { "contact": "Ada Byron", "country": "US" } });
    let made = person.post(&format!("{ORG}/mappings/create"), &filled).is(200).json();
    let left: Vec<&str> = made["left_out"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(
        matches!(left[..], [contact, country] if contact.contains("Ada Byron") && country.contains("`US`")),
        "{made}"
    );
    assert_eq!((&made["created"], made["saved"].as_array().unwrap().len()), (&json!(true), 1), "{made}");
    let company = made["psa_id"].as_i64().unwrap();
    let again = create(&person, "customer", "c-100").is(200).json();
    assert_eq!((&again["created"], &again["psa_id"]), (&json!(false), &json!(company)));
    assert_eq!(count(&sandbox, "company/companies", "identifier", "GreenLane"), 1);

    // A call that was never carried out: nothing is sent again before that is certain.
    break_once(&sandbox, "procurement/catalog", "drop_before");
    unknown(&create(&person, "product", "mail"));
    unknown(&create(&person, "product", "mail"));
    settled();
    let item = create(&person, "product", "mail").is(200).json();
    assert_eq!(item["created"], true, "{item}");
    assert_eq!(count(&sandbox, "procurement/catalog", "identifier", "EXO-P1"), 1);

    // What is mapped elsewhere is not made beside it.
    let mail = json!({ "kind": "product", "source": "shop", "source_id": "mail", "psa_id": 999 });
    person.put(&format!("{ORG}/mappings"), &mail).is(200);
    assert_eq!(create(&person, "product", "mail").problem(409), "conflict");
    person
        .put(
            &format!("{ORG}/mappings"),
            &json!({ "kind": "product", "source": "shop", "source_id": "mail", "psa_id": item["psa_id"] }),
        )
        .is(200);

    // An agreement has no unique name there: two look-ups a settle time apart have to miss it.
    let refused = create(&person, "agreement", "s-1");
    assert_eq!(refused.json()["code"], "TU2008", "ConnectWise wants a contact: {}", refused.text());
    let contact = json!({ "firstName": "Ada", "lastName": "Byron", "company": { "id": company } });
    at(&sandbox, "POST", "company/contacts").json(&contact).send(host(&sandbox)).is(201);
    break_once(&sandbox, "finance/agreements", "drop_before");
    unknown(&create(&person, "agreement", "s-1"));
    settled();
    unknown(&create(&person, "agreement", "s-1"));
    unknown(&create(&person, "agreement", "s-1"));
    settled();
    let agreement = create(&person, "agreement", "s-1").is(200).json();
    assert_eq!(agreement["created"], true, "{agreement}");
    assert_eq!(count(&sandbox, "finance/agreements", "name", "Subscription s-1"), 1);

    // It is known at once: the task is ready without another read, and the line is written.
    let task = person.get(&format!("{ORG}/tasks")).is(200).json();
    assert_eq!(task["items"][0]["state"], "ready", "{task}");
    let synced = run(&person, &json!({ "kind": "sync" }));
    assert_eq!(synced["result"]["summary"]["applied"], 1, "{synced}");
    let audit = person.get(&format!("{ORG}/audit?limit=200")).is(200).text();
    for action in ["company.create", "catalog_item.create", "agreement.create"] {
        assert_eq!(audit.matches(&format!("\"{action}\"")).count(), 1, "{action}");
    }
}

#[rstest]
fn what_is_asked_for_twice_or_carried_out_late_is_made_once(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let environment = [
        ("TRUEUP_TODAY", "2023-03-20"),
        ("TRUEUP_ALLOWED_PRIVATE_HOSTS", "127.0.0.1"),
        ("TRUEUP_APPLY_SETTLE_SECONDS", "1"),
    ];
    let Some(service) = Service::start(backend, &environment) else { return };
    let sandbox = Sandbox::seeded(SEED);
    let person = service.operator();
    person.post(&format!("{ORG}/connections"), &sandbox.connection()).is(201);
    person
        .request("POST", "/api/v1/feed?organization=default&source=shop")
        .body("application/x-ndjson", FEED)
        .send(service.at)
        .is(200);
    let refused = create(&person, "customer", "c-200");
    assert_eq!(refused.json()["code"], "TU2008", "no address: {}", refused.text());
    // Several at once.
    let wish =
        json!({ "kind": "customer", "source": "shop", "source_id": "c-200", "fill": { "city": "Tampa" } });
    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let ask = || {
            let request = person.request("POST", &format!("{ORG}/mappings/create")).json(&wish);
            request.send(service.at)
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(answers.iter().any(|a| a.status == 200));
    assert!(answers.iter().all(|a| matches!(a.status, 200 | 409)), "{answers:?}");
    assert_eq!(count(&sandbox, "company/companies", "identifier", "BlueHill"), 1);
    // Carried out after the connection was closed.
    break_once(&sandbox, "company/companies", "late");
    unknown(&create(&person, "customer", "c-100"));
    unknown(&create(&person, "customer", "c-100"));
    let mut made = Value::Null;
    for _ in 0..5 {
        settled();
        let answer = create(&person, "customer", "c-100");
        if answer.status == 200 {
            made = answer.json();
            break;
        }
        unknown(&answer);
    }
    assert_eq!(made["created"], true, "{made}");
    assert_eq!(count(&sandbox, "company/companies", "identifier", "GreenLane"), 1);
}
