//! The figures of an overview, and the edits of a plan, over the API.

use crate::bench::{Backend, Person, Service};
use crate::work::{FEED, ORG, Sandbox, run};
use rstest::rstest;
use serde_json::{Value, json};

const ENVIRONMENT: [(&str, &str); 2] =
    [("TRUEUP_TODAY", "2023-03-20"), ("TRUEUP_ALLOWED_PRIVATE_HOSTS", "127.0.0.1")];

fn figures(person: &Person<'_>) -> Value {
    person.get(&format!("{ORG}/figures?months=3")).is(200).json()
}

#[rstest]
fn money_waits_as_unmapped_and_is_billed_once_it_is_mapped_and_set(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let Some(service) = Service::start(backend, &ENVIRONMENT) else { return };
    let sandbox = Sandbox::start();
    let person = service.operator();
    let nothing = figures(&person);
    assert_eq!((&nothing["months"], &nothing["read_at"]), (&json!([]), &Value::Null), "{nothing}");
    for months in ["1", "37", "many"] {
        person.get(&format!("{ORG}/figures?months={months}")).problem(if months == "many" {
            400
        } else {
            422
        });
    }

    person.post(&format!("{ORG}/connections"), &sandbox.connection()).is(201);
    let path = "/api/v1/feed?organization=default&source=shop";
    person.request("POST", path).body("application/x-ndjson", FEED).send(service.at).is(200);
    run(&person, &json!({ "kind": "check" }));
    let waiting = figures(&person);
    assert_eq!(
        waiting["risk"],
        json!([{ "kind": "unmapped", "currency": "USD", "amount": "110.00", "count": 1, "code": null }]),
        "{waiting}"
    );

    for (kind, id, to) in [("customer", "c-100", 12), ("product", "exo-p1", 7)] {
        let body = json!({ "kind": kind, "source": "shop", "source_id": id, "psa_id": to });
        person.put(&format!("{ORG}/mappings"), &body).is(200);
    }
    let plan = person.post(&format!("{ORG}/plans"), &json!({})).is(201).json();
    let change = &plan["changes"][0];
    let (key, task) = (&change["key"], &change["task_id"]);
    let wrong = json!({ "tasks": [task], "edits": [{ "key": key, "quantity": "-" }] });
    let refused = person.post(&format!("{ORG}/plans"), &wrong).is(422).json();
    assert_eq!(refused["fields"][0]["field"], format!("edits.{}.quantity", key.as_str().unwrap()));
    let unknown = json!({ "edits": [{ "key": "tu0000000000000000000000000a", "leave_out": true }] });
    let refused = person.post(&format!("{ORG}/plans"), &unknown).json();
    assert!(refused["detail"].to_string().contains("no line with the key"), "{refused}");

    // Sold below cost, by a person's word.
    let edits = json!({ "tasks": [task], "edits": [{ "key": key, "unit_price": "10.00" }] });
    let set = person.post(&format!("{ORG}/plans"), &edits).is(201).json();
    assert_eq!(set["changes"][0]["edited"]["proposed"]["unitPrice"], "22.00", "{set}");
    let shown = person.get(&format!("{ORG}/tasks/{}", task.as_str().unwrap())).is(200).json();
    assert!(shown.to_string().contains("\"unit_price\":\"10.00\""), "{shown}");
    run(&person, &json!({ "kind": "apply", "plan_id": set["plan_id"] }));
    run(&person, &json!({ "kind": "pull" }));
    let billed = figures(&person);
    let month = |at: usize| (&billed["months"][at]["month"], &billed["months"][at]["billed"]);
    assert_eq!(month(0), (&json!("2023-02"), &json!("0.00")), "{billed}");
    assert_eq!(month(1), (&json!("2023-03"), &json!("50.00")), "{billed}");
    assert_eq!(month(2), (&json!("2023-04"), &json!("50.00")), "{billed}");
    assert_eq!(billed["risk"][0]["kind"], "below_cost", "{billed}");
    assert_eq!(billed["risk"][0]["amount"], "38.00", "5 x 7.60: {billed}");
}

/// A line that somebody set to days that nobody may bill: the order fails with what is wrong, and the other customers' orders are
/// carried out.
#[rstest]
fn what_may_not_be_written_of_one_order_keeps_nobody_else_waiting(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let Some(service) = Service::start(backend, &ENVIRONMENT) else { return };
    let sandbox = Sandbox::start();
    let person = service.operator();
    person.post(&format!("{ORG}/connections"), &sandbox.connection()).is(201);
    let other = FEED.replace("\"s-1\"", "\"s-2\"").replace("\"SO-1\"", "\"SO-2\"");
    for records in [FEED, &other] {
        let path = "/api/v1/feed?organization=default&source=shop";
        person.request("POST", path).body("application/x-ndjson", records).send(service.at).is(200);
    }
    for (kind, id, to) in [("customer", "c-100", 12), ("product", "exo-p1", 7)] {
        let body = json!({ "kind": kind, "source": "shop", "source_id": id, "psa_id": to });
        person.put(&format!("{ORG}/mappings"), &body).is(200);
    }
    run(&person, &json!({ "kind": "check" }));
    let plan = person.post(&format!("{ORG}/plans"), &json!({})).is(201).json();
    let of = |order: &str| {
        let changes = plan["changes"].as_array().unwrap();
        changes.iter().find(|change| change["order_id"] == order).unwrap().clone()
    };
    let (wrong, right) = (of("SO-1"), of("SO-2"));
    let edits = json!({ "edits": [{ "key": wrong["key"], "effective": "2022-12-01" }] });
    let refused = person.post(&format!("{ORG}/plans"), &edits).is(201).json();
    assert_eq!((&refused["state"], refused["changes"].as_array().unwrap().len()), (&json!("refused"), 2));

    let ended = run(&person, &json!({ "kind": "sync" }));
    assert_eq!(ended["result"]["summary"]["applied"], 1, "{ended}");
    let task = |change: &Value| {
        let id = change["task_id"].as_str().unwrap();
        person.get(&format!("{ORG}/tasks/{id}")).is(200).json()["task"].clone()
    };
    assert_eq!(task(&right)["state"], "done");
    assert_eq!(task(&wrong)["state"], "failed");
    let findings = person.get(&format!("{ORG}/findings?severity=error")).is(200).json();
    let told = findings["items"].to_string();
    assert!(told.contains("is left out of this plan; the others are in it"), "{told}");
}
