//! What is over a limit waits for people, and the rest goes; exactly what they saw is carried out once they said so.

use crate::bench::{Backend, Person, Service};
use crate::callbacks::as_api;
use crate::http::Request;
use crate::work::{FEED, ORG, Sandbox, run};
use rstest::rstest;
use serde_json::{Value, json};

const ENVIRONMENT: [(&str, &str); 2] =
    [("TRUEUP_TODAY", "2023-03-20"), ("TRUEUP_ALLOWED_PRIVATE_HOSTS", "127.0.0.1")];

/// A second subscription of one seat, and an order of it.
const SMALL: &str = concat!(
    r#"{"type":"subscription","id":"s-2","customer":"c-100","status":"active","currency":"USD","billing_cycle":{"every":1,"unit":"month"},"start":"2023-03-01","period":{"start":"2023-03-01","end":"2023-04-01"},"items":[{"id":"seats","product":"exo-p1","quantity":"1","unit_price":"22.00","unit_cost":"17.60"}]}"#,
    "\n",
    r#"{"type":"order","id":"SO-2","kind":"sales","subscription":"s-2","completed_at":"2023-03-01T09:00:00Z","period":{"start":"2023-03-01","end":"2023-04-01"},"currency":"USD","lines":[{"id":"1","charge":"recurring","product":"exo-p1","quantity":"1","unit_price":"22.00","unit_cost":"17.60"}]}"#,
    "\n",
);

const CHANGE: &str = concat!(
    r#"{"type":"order","id":"CH-1","kind":"change","subscription":"s-1","completed_at":"2023-03-15T09:00:00Z","period":{"start":"2023-03-01","end":"2023-04-01"},"currency":"USD","lines":[{"id":"1","charge":"recurring","product":"exo-p1","quantity":"1","old_quantity":"5","new_quantity":"6","unit_price":"22.00","unit_cost":"17.60"}]}"#,
    "\n",
);

fn push(person: &Person<'_>, records: &str) {
    let path = "/api/v1/feed?organization=default&source=shop";
    person.request("POST", path).body("application/x-ndjson", records).send(person.service.at).is(200);
}

fn set(person: &Person<'_>, settings: &[(&str, &str)]) {
    for (key, value) in settings {
        person.put(&format!("{ORG}/settings/{key}"), &json!({ "value": value })).is(200);
    }
}

/// Connected, mapped, and both orders ready.
fn ready(person: &Person<'_>, sandbox: &Sandbox) {
    person.post(&format!("{ORG}/connections"), &sandbox.connection()).is(201);
    push(person, FEED);
    push(person, SMALL);
    let map = |kind: &str, id: &str, to: i64| {
        let body = json!({ "kind": kind, "source": "shop", "source_id": id, "psa_id": to });
        person.put(&format!("{ORG}/mappings"), &body).is(200);
    };
    map("customer", "c-100", 12);
    map("product", "exo-p1", 7);
    run(person, &json!({ "kind": "check" }));
}

fn approvals(person: &Person<'_>) -> Vec<Value> {
    let all = person.get(&format!("{ORG}/approvals")).is(200).json();
    all["items"].as_array().unwrap().clone()
}

fn approval(person: &Person<'_>, id: &str) -> Value {
    person.get(&format!("{ORG}/approvals/{id}")).is(200).json()
}

fn findings(person: &Person<'_>) -> Vec<Value> {
    let all = person.get(&format!("{ORG}/findings?code=TU7007")).is(200).json();
    all["items"].as_array().unwrap().clone()
}

fn path(id: &str) -> String {
    format!("{ORG}/approvals/{id}/decide")
}

fn yes() -> Value {
    json!({ "decision": "approve" })
}

fn ended(person: &Person<'_>, id: &str) -> Value {
    let path = format!("{ORG}/runs/{id}");
    person.request("GET", &format!("{path}/events")).events(person.service.at);
    person.get(&path).is(200).json()
}

fn audited(person: &Person<'_>, action: &str) -> usize {
    let page = person.get(&format!("{ORG}/audit?action={action}")).is(200).json();
    page["items"].as_array().unwrap().len()
}

#[rstest]
fn what_is_over_a_limit_waits_for_two_people_and_the_rest_goes(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let Some(service) = Service::start(backend, &ENVIRONMENT) else { return };
    let sandbox = Sandbox::start();
    let person = service.operator();
    let other = person.colleague("default", "partner_operator");
    ready(&person, &sandbox);
    set(&person, &[("approval.persons", "2"), ("approval.amount", "50")]);

    let synced = run(&person, &json!({ "kind": "sync" }));
    assert_eq!(synced["state"], "needs_person", "{synced}");
    assert_eq!(
        (&synced["result"]["summary"]["applied"], &synced["result"]["held"]),
        (&json!(1), &json!(true))
    );
    let waiting = approvals(&person);
    assert_eq!(waiting.len(), 1, "{waiting:?}");
    let (id, plan) = (waiting[0]["approval_id"].as_str().unwrap(), waiting[0]["plan_id"].as_str().unwrap());
    assert_eq!((&waiting[0]["state"], &waiting[0]["missing"]), (&json!("waiting"), &json!(2)));
    let why = waiting[0]["reasons"][0]["message"].as_str().unwrap();
    assert_eq!(why, "Subscription s-1 of customer c-100 moves 110.00 USD; the limit is 50.");
    let shown = person.get(&format!("{ORG}/plans/{plan}")).is(200).json();
    assert_eq!((&shown["state"], &shown["totals"]["create"]), (&json!("proposed"), &json!(1)), "{shown}");
    assert_eq!(findings(&person).len(), 1);
    // The next runs neither write it nor ask another question, and the plan to look at stays.
    for approve in [false, true] {
        let synced = run(&person, &json!({ "kind": "sync", "approve": approve }));
        assert_eq!(synced["result"]["summary"]["applied"], 0, "{synced}");
    }
    let held = run(&person, &json!({ "kind": "apply", "plan_id": plan }));
    assert_eq!((&held["state"], &held["result"]["summary"]["applied"]), (&json!("needs_person"), &json!(0)));
    let again = approvals(&person);
    assert_eq!((again.len(), &again[0]["plan_id"]), (1, &waiting[0]["plan_id"]), "{again:?}");
    assert_eq!(findings(&person).len(), 1);

    let first = person.post(&path(id), &yes()).is(200).json();
    assert_eq!((&first["state"], &first["missing"]), (&json!("waiting"), &json!(1)), "{first}");
    assert!(first["run_id"].is_null());
    assert_eq!(person.post(&path(id), &yes()).problem(409), "conflict", "nobody counts twice");
    assert!(findings(&person)[0]["message"].as_str().unwrap().contains("first@example.com"));
    // A token answers for the person who made it.
    let token = json!({ "name": "robot", "rights": ["approvals.write", "plans.read"] });
    let token = person.post(&format!("{ORG}/tokens"), &token).is(201).json();
    let bearer = format!("Bearer {}", token["token"].as_str().unwrap_or_else(|| panic!("{token}")));
    let robot = Request::new("POST", &path(id)).header("authorization", &bearer).json(&yes());
    assert_eq!(robot.send(service.at).problem(409), "conflict");

    let last = other.post(&path(id), &yes()).is(200).json();
    let done = ended(&person, last["run_id"].as_str().unwrap_or_else(|| panic!("{last}")));
    assert_eq!(
        (&done["state"], &done["result"]["summary"]["applied"]),
        (&json!("done"), &json!(1)),
        "{done}"
    );
    // Another plan that says the same was made and written for it: that is the one to look at from now on.
    let over = approval(&person, id);
    assert_eq!((&over["state"], &over["plan_state"]), (&json!("applied"), &json!("applied")), "{over}");
    let written = person.get(&format!("{ORG}/plans/{}", over["plan_id"].as_str().unwrap())).is(200).json();
    assert_eq!(
        (&written["state"], &written["totals"]["create"]),
        (&json!("applied"), &json!(1)),
        "{written}"
    );
    assert_eq!(approvals(&person), [Value::Null; 0]);
    assert_eq!(findings(&person), [Value::Null; 0], "nothing waits");
    assert_eq!(other.post(&path(id), &yes()).problem(409), "conflict", "it is over");
    assert_eq!(audited(&person, "approval.approve"), 2);
    let synced = run(&person, &json!({ "kind": "sync" }));
    assert_eq!((&synced["state"], &synced["result"]["summary"]["applied"]), (&json!("done"), &json!(0)));
}

#[rstest]
fn a_refusal_holds_until_somebody_approves_and_the_maker_may_be_left_out(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let Some(service) = Service::start(backend, &ENVIRONMENT) else { return };
    let sandbox = Sandbox::start();
    let person = service.operator();
    let (maker, looker) =
        (person.colleague("default", "partner_operator"), person.colleague("default", "billing"));
    ready(&person, &sandbox);
    set(&person, &[("approval.persons", "1"), ("approval.self", "off")]);
    let plan = maker.post(&format!("{ORG}/plans"), &json!({})).is(201).json();
    let apply = json!({ "kind": "apply", "plan_id": plan["plan_id"] });
    assert_eq!(run(&maker, &apply)["state"], "needs_person");
    let waiting = approvals(&looker);
    let id = waiting[0]["approval_id"].as_str().unwrap();
    assert_eq!(waiting[0]["plan_id"], plan["plan_id"]);
    assert_eq!(looker.post(&path(id), &yes()).problem(403), "forbidden");
    assert_eq!(maker.post(&path(id), &yes()).problem(409), "conflict", "who made it may not approve it");
    assert_eq!(person.post(&path(id), &json!({ "decision": "refuse" })).problem(422), "invalid");
    assert_eq!(person.post(&path("nothing"), &yes()).problem(404), "not-found");
    let no = json!({ "decision": "refuse", "reason": "not before April" });
    assert_eq!(person.post(&path(id), &no).is(200).json()["state"], "refused");
    for body in [apply, json!({ "kind": "sync" })] {
        let held = run(&maker, &body);
        assert_eq!(
            (&held["state"], &held["result"]["summary"]["applied"]),
            (&json!("needs_person"), &json!(0)),
            "{held}"
        );
    }
    let said = findings(&maker);
    assert!(said.iter().any(|f| f["message"].as_str().unwrap().contains("not before April")), "{said:?}");
    let last = person.post(&path(id), &yes()).is(200).json();
    let done = ended(&person, last["run_id"].as_str().unwrap());
    assert_eq!(
        (&done["state"], &done["result"]["summary"]["applied"]),
        (&json!("done"), &json!(2)),
        "{done}"
    );
    // What the runs asked beside it is over with it.
    run(&maker, &json!({ "kind": "sync" }));
    assert_eq!(approvals(&person), [Value::Null; 0]);
    assert_eq!(findings(&person), [Value::Null; 0]);
}

#[rstest]
fn an_approval_is_for_exactly_what_was_seen(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let Some(service) = Service::start(backend, &ENVIRONMENT) else { return };
    let sandbox = Sandbox::start();
    let person = service.operator();
    ready(&person, &sandbox);
    set(&person, &[("approval.persons", "2"), ("approval.amount", "50")]);
    run(&person, &json!({ "kind": "sync" }));
    let id = approvals(&person)[0]["approval_id"].as_str().unwrap().to_owned();
    person.post(&path(&id), &yes()).is(200);
    // Another order of the subscription: what would be written is another thing.
    push(&person, CHANGE);
    run(&person, &json!({ "kind": "check" }));
    run(&person, &json!({ "kind": "sync" }));
    assert_eq!(approval(&person, &id)["state"], "withdrawn");
    assert_eq!(person.post(&path(&id), &yes()).problem(409), "conflict");
    let now = approvals(&person);
    assert_eq!((now.len(), &now[0]["missing"]), (1, &json!(2)), "{now:?}");
    assert_eq!(findings(&person).len(), 1);
    // Nobody is asked any more: what waited goes with the next run.
    set(&person, &[("approval.persons", "0")]);
    let synced = run(&person, &json!({ "kind": "sync" }));
    assert!(synced["result"]["summary"]["applied"].as_u64().unwrap() > 1, "{synced}");
    assert_eq!(approvals(&person), [Value::Null; 0]);
    assert_eq!(findings(&person), [Value::Null; 0]);
}

#[rstest]
fn what_a_brake_holds_is_asked_and_goes_when_it_is_approved(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let Some(service) = Service::start(backend, &ENVIRONMENT) else { return };
    let sandbox = Sandbox::start();
    let person = service.operator();
    ready(&person, &sandbox);
    run(&person, &json!({ "kind": "sync" }));
    set(&person, &[("brakes.min_changes", "0")]);
    push(&person, CHANGE);
    run(&person, &json!({ "kind": "check" }));
    let held = run(&person, &json!({ "kind": "sync" }));
    assert_eq!((&held["result"]["held"], &held["result"]["summary"]["applied"]), (&json!(true), &json!(0)));
    let waiting = approvals(&person);
    assert_eq!(waiting[0]["reasons"][0]["limit"], "brake", "{waiting:?}");
    let told = findings(&person).len();
    let answer = person.post(&path(waiting[0]["approval_id"].as_str().unwrap()), &yes()).is(200).json();
    assert_eq!(findings(&person).len(), told, "the brake's own finding is enough");
    let done = ended(&person, answer["run_id"].as_str().unwrap());
    assert_eq!(done["state"], "done", "{done}");
    run(&person, &json!({ "kind": "sync" }));
    assert_eq!((approvals(&person).len(), findings(&person).len()), (0, 0));
}

#[rstest]
fn a_plan_that_is_out_of_date_when_it_is_approved_writes_nothing_and_says_so(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let Some(service) = Service::start(backend, &ENVIRONMENT) else { return };
    let sandbox = Sandbox::start();
    let person = service.operator();
    ready(&person, &sandbox);
    set(&person, &[("approval.persons", "1"), ("approval.amount", "50")]);
    run(&person, &json!({ "kind": "sync" }));
    let id = approvals(&person)[0]["approval_id"].as_str().unwrap().to_owned();
    // Somebody made the line by hand meanwhile.
    let line = json!({ "product": { "id": 7 }, "quantity": 5, "unitPrice": 22, "unitCost": 17.6,
        "billCustomer": "Billable", "effectiveDate": "2023-03-01T00:00:00Z" });
    as_api(&sandbox, "POST", "finance/agreements/40/additions", &line).is(201);
    let answer = person.post(&path(&id), &yes()).is(200).json();
    let ended = ended(&person, answer["run_id"].as_str().unwrap());
    assert_eq!(
        (&ended["state"], &ended["result"]["summary"]["applied"]),
        (&json!("needs_person"), &json!(0))
    );
    assert_eq!(approval(&person, &id)["state"], "stale");
}

/// The limit of everybody would hold it; the one of the customer, from the level above, does not, and one of the product
/// asks two people about exactly that product.
#[rstest]
fn customers_and_products_have_limits_of_their_own_that_are_inherited(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let Some(service) = Service::start(backend, &ENVIRONMENT) else { return };
    let sandbox = Sandbox::start();
    let person = service.operator();
    ready(&person, &sandbox);
    let except =
        |value: &str| person.put(&format!("{ORG}/settings/approval.except"), &json!({ "value": value }));
    set(&person, &[("approval.persons", "1"), ("approval.amount", "50")]);
    assert_eq!(except("customer c-100: amount=much").problem(422), "invalid");
    except("customer c-100: amount=200").is(200);
    person.organization("below", Some("default"));
    let all = person.get("/api/v1/organizations/below/settings").is(200).json();
    let found = all["items"].as_array().unwrap().iter().find(|row| row["key"] == "approval.except").unwrap();
    assert_eq!(
        (&found["value"], &found["from"], &found["kind"], &found["own"]),
        (
            &json!("customer c-100: amount=200"),
            &json!("organization:default"),
            &json!("exceptions"),
            &json!(false)
        )
    );

    except("customer c-100: amount=200; product exo-p1: persons=2, amount=100").is(200);
    let synced = run(&person, &json!({ "kind": "sync" }));
    assert_eq!(synced["result"]["summary"]["applied"], 1, "{synced}");
    let waiting = approvals(&person);
    assert_eq!(waiting[0]["missing"], 2, "{waiting:?}");
    assert_eq!(
        waiting[0]["reasons"][0]["message"],
        "exo-p1 of subscription s-1 of customer c-100 moves 110.00 USD; the limit is 100."
    );
    except("customer c-100: amount=200").is(200);
    let synced = run(&person, &json!({ "kind": "sync" }));
    assert_eq!(
        (&synced["state"], &synced["result"]["summary"]["applied"]),
        (&json!("done"), &json!(1)),
        "{synced}"
    );
}
