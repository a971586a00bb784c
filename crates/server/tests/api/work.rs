//! The whole way over the API: connect, hand in what was sold, map, check, plan, apply, explain.

use crate::bench::{Backend, Service};
use crate::http::Request;
pub use crate::sandbox::{ORG, Sandbox, run};
use rstest::rstest;
use serde_json::{Value, json};
use std::net::TcpListener;

pub const FEED: &str = concat!(
    r#"{"type":"customer","id":"c-100","name":"Green Lane LLC","currency":"USD"}"#,
    "\n",
    r#"{"type":"product","id":"exo-p1","name":"Exchange Online (Plan 1)","kind":"seat","unit_price":"22.00","unit_cost":"17.60","currency":"USD","billing_cycle":{"every":1,"unit":"month"}}"#,
    "\n",
    r#"{"type":"subscription","id":"s-1","customer":"c-100","status":"active","currency":"USD","billing_cycle":{"every":1,"unit":"month"},"start":"2023-03-01","period":{"start":"2023-03-01","end":"2023-04-01"},"items":[{"id":"seats","product":"exo-p1","quantity":"5","unit_price":"22.00","unit_cost":"17.60"}]}"#,
    "\n",
    r#"{"type":"order","id":"SO-1","kind":"sales","subscription":"s-1","completed_at":"2023-03-01T09:00:00Z","period":{"start":"2023-03-01","end":"2023-04-01"},"currency":"USD","lines":[{"id":"1","charge":"recurring","product":"exo-p1","quantity":"5","unit_price":"22.00","unit_cost":"17.60"}]}"#,
    "\n",
    r#"{"type":"order","id":"broken"}"#,
    "\n",
);

#[rstest]
fn from_the_feed_to_an_explained_addition(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let environment = [("TRUEUP_TODAY", "2023-03-20"), ("TRUEUP_ALLOWED_PRIVATE_HOSTS", "127.0.0.1")];
    let Some(service) = Service::start(backend, &environment) else { return };
    let sandbox = Sandbox::start();
    let secret = sandbox.access["private_key"].as_str().unwrap().to_owned();
    let person = service.operator();

    let added = person.post(&format!("{ORG}/connections"), &sandbox.connection()).is(201);
    assert_eq!(added.json()["ok"], true, "{}", added.text());
    for answer in
        [added, person.get(&format!("{ORG}/connections")).is(200), person.get(&format!("{ORG}/audit"))]
    {
        assert!(!answer.text().contains(&secret), "a private key came out");
    }
    person.post(&format!("{ORG}/connections/connectwise/test"), &json!({})).is(200);
    let wrong = json!({ "private_key": "wrong" });
    assert_eq!(person.post(&format!("{ORG}/connections/connectwise/rotate"), &wrong).status, 502);
    person.post(&format!("{ORG}/connections/connectwise/test"), &json!({})).is(200);

    let push = |records: &str| {
        person
            .request("POST", "/api/v1/feed?organization=default&source=shop")
            .body("application/x-ndjson", records)
            .send(service.at)
            .is(200)
            .json()
    };
    let pushed = push(FEED);
    assert_eq!(pushed["records"]["order"]["new"], 1);
    assert_eq!(pushed["refused"][0]["line"], 5);
    assert_eq!(pushed["totals"]["by_currency"]["USD"]["amount"], "110.00");
    assert!(!pushed.to_string().contains("incoming-"), "where a body is kept is nobody's business: {pushed}");
    assert_eq!(push(FEED)["records"]["order"]["unchanged"], 1, "the same records again change nothing");
    let customers = person.get(&format!("{ORG}/customers?search=GREEN")).is(200).json();
    assert_eq!(
        (&customers["items"][0]["id"], &customers["items"][0]["mapped"]),
        (&json!("c-100"), &json!(false))
    );

    let checked = run(&person, &json!({ "kind": "check" }));
    assert_eq!(checked["result"]["created"][0]["state"], "needs_mapping", "{checked}");
    let findings = person.get(&format!("{ORG}/findings?severity=warning")).is(200).json();
    let finding = findings["items"][0]["finding_id"].as_str().unwrap().to_owned();
    let decide = format!("{ORG}/findings/{finding}/decide");
    assert_eq!(person.post(&decide, &json!({ "decision": "ignore" })).problem(422), "invalid");
    person.post(&decide, &json!({ "decision": "mute", "until": "2023-04-01" })).is(200);
    assert_eq!(
        person.post(&decide, &json!({ "decision": "mute", "until": "2020-01-01" })).problem(409),
        "conflict"
    );

    assert_eq!(run(&person, &json!({ "kind": "pull" }))["result"]["agreements"], 1);
    let suggested = person.get(&format!("{ORG}/mappings/suggestions?source=shop")).is(200).json();
    assert_eq!(suggested["items"][0]["psa_id"], 12, "{suggested}");
    let map = |body: &Value| person.put(&format!("{ORG}/mappings"), body);
    map(&json!({ "kind": "customer", "source": "shop", "source_id": "c-100", "psa_id": 12 })).is(200);
    assert_eq!(map(&json!({ "kind": "customer", "source_id": "x" })).problem(422), "invalid");
    assert_eq!(map(&json!({ "kind": "fee", "source_id": "x", "psa_id": 1 })).problem(422), "invalid");
    let imported = person
        .request("POST", &format!("{ORG}/mappings/import?source=shop"))
        .body("text/csv", "kind,source_id,psa_id\nproduct,exo-p1,7\nproduct,,8\n")
        .send(service.at)
        .is(200)
        .json();
    assert_eq!((&imported["saved"], &imported["refused"][0]["line"]), (&json!(1), &json!(3)));
    let exported = person.get(&format!("{ORG}/mappings/export?source=shop")).is(200).text();
    assert!(exported.contains("customer,c-100,12"), "{exported}");

    run(&person, &json!({ "kind": "check" }));
    let tasks = person.get(&format!("{ORG}/tasks?state=ready&search=so-1")).is(200).json();
    let task = tasks["items"][0]["task_id"].as_str().unwrap().to_owned();
    let decide = |decision: &str, ids: Value| {
        person.post(
            &format!("{ORG}/tasks/decide"),
            &json!({ "decision": decision, "ids": ids, "reason": "test" }),
        )
    };
    let ignored = decide("ignore", json!([task, "nothing"])).is(200).json();
    assert_eq!(ignored["tasks"][0]["state"], "ignored");
    assert_eq!(
        ignored["tasks"][0]["decided_by"].as_str().map(|by| by.starts_with("first@example.com")),
        Some(true)
    );
    assert_eq!(ignored["refused"][0]["task_id"], "nothing");
    decide("unignore", json!([task])).is(200);

    let planned = person.post(&format!("{ORG}/plans"), &json!({})).is(201).json();
    assert_eq!(planned["totals"]["by_currency"]["USD"]["delta"], "110.00", "{planned}");
    let plan = planned["plan_id"].as_str().unwrap();
    let applied = run(&person, &json!({ "kind": "apply", "plan_id": plan }));
    assert_eq!(
        (applied["state"].as_str(), &applied["result"]["summary"]["applied"]),
        (Some("done"), &json!(1))
    );
    let addition = applied["result"]["changes"][0]["addition_id"].as_i64().unwrap();
    assert_eq!(person.get(&format!("{ORG}/plans/{plan}")).is(200).json()["state"], "applied");
    assert_eq!(person.get(&format!("{ORG}/plans?limit=1")).is(200).json()["items"][0]["plan_id"], plan);
    let why = person.get(&format!("{ORG}/additions/{addition}/explanation")).is(200).json();
    assert_eq!(why["values"]["quantity"]["value"], "5", "{why}");
    let shown = person.get(&format!("{ORG}/tasks/{task}")).is(200).json();
    assert_eq!((&shown["task"]["state"], &shown["plan_id"]), (&json!("done"), &json!(plan)));
    // Nothing is left to do, and doing it all again does nothing.
    let synced = run(&person, &json!({ "kind": "sync" }));
    assert_eq!(synced["result"]["summary"]["applied"], 0, "{synced}");
    let runs = person.get(&format!("{ORG}/runs?limit=2")).is(200).json();
    assert_eq!(runs["items"].as_array().unwrap().len(), 2);
    let next = runs["next_cursor"].as_str().unwrap();
    let more = person.get(&format!("{ORG}/runs?limit=50&cursor={next}")).is(200).json();
    assert_eq!(more["items"].as_array().unwrap().len(), 3);

    let released = format!("{ORG}/mappings?kind=product&source=shop&source_id=exo-p1");
    person.delete(&released).is(204);
    assert_eq!(person.delete(&released).problem(404), "not-found");
}

#[test]
fn an_address_inside_is_not_called_for_anybody_over_the_network() {
    let service = Service::sqlite();
    let person = service.operator();
    let trap = TcpListener::bind("127.0.0.1:0").unwrap();
    trap.set_nonblocking(true).unwrap();
    let port = trap.local_addr().unwrap().port();
    for url in [
        format!("http://127.0.0.1:{port}"),
        format!("https://127.0.0.1:{port}"),
        format!("http://localhost:{port}"),
        format!("http://[::1]:{port}"),
        "http://169.254.169.254/latest/meta-data".to_owned(),
        "https://10.0.0.1".to_owned(),
        "https://evil.example".to_owned(),
        "file:///etc/passwd".to_owned(),
    ] {
        let body =
            json!({ "url": url, "company": "a", "public_key": "b", "private_key": "c", "client_id": "d" });
        let answer = person.post(&format!("{ORG}/connections"), &body);
        assert_eq!(answer.status, 422, "{url}: {}", answer.text());
    }
    assert!(trap.accept().is_err(), "somebody called");
    assert_eq!(person.get(&format!("{ORG}/connections")).json()["items"], json!([]));
}

#[rstest]
fn what_is_no_feed_is_refused_whole(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let Some(service) = Service::start(backend, &[]) else { return };
    let person = service.operator();
    let push = |query: &str, kind: &str| {
        let path = format!("/api/v1/feed?organization=default{query}");
        person.request("POST", &path).body(kind, "{}\n").send(service.at)
    };
    assert_eq!(push("", "image/png").problem(415), "media-type");
    assert_eq!(push("&from=nothing", "application/json").problem(422), "invalid");
    assert_eq!(push("&type=nothing", "application/json").problem(422), "invalid");
    assert_eq!(push("&currency=XXXX", "application/json").problem(422), "invalid");
    assert_eq!(push("&source=", "application/json").problem(422), "invalid");
    let nowhere = person.request("POST", "/api/v1/feed").body("application/json", "[]").send(service.at);
    assert_eq!(nowhere.problem(422), "invalid", "an operator has to name the organization");
    let token = json!({ "name": "shop", "rights": ["feed.write"] });
    let token = person.post(&format!("{ORG}/tokens"), &token).is(201).json();
    let bearer = format!("Bearer {}", token["token"].as_str().unwrap());
    let pushed = Request::new("POST", "/api/v1/feed")
        .header("authorization", &bearer)
        .body("application/json", r#"[{"type":"customer","id":"c","name":"C"}]"#)
        .send(service.at)
        .is(200)
        .json();
    assert_eq!(pushed["records"]["customer"]["new"], 1);
}

/// Sources that push at once remember what was refused of them beside each other.
#[rstest]
fn what_is_refused_of_several_sources_at_once_is_told_of_each(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let Some(service) = Service::start(backend, &[]) else { return };
    let person = service.operator();
    let push = |source: usize| {
        let path = format!("/api/v1/feed?organization=default&source=shop-{source}");
        let broken = "{\"type\":\"order\",\"id\":\"broken\"}\n";
        person.request("POST", &path).body("application/x-ndjson", broken).send(service.at).is(200);
    };
    std::thread::scope(|scope| {
        for source in 0..8 {
            scope.spawn({
                let push = &push;
                move || push(source)
            });
        }
    });
    run(&person, &json!({ "kind": "check" }));
    let findings = person.get(&format!("{ORG}/findings?code=TU8004")).is(200).json();
    let told = |source: usize| findings.to_string().contains(&format!("Source shop-{source} sent"));
    assert_eq!((0..8).filter(|source| !told(*source)).collect::<Vec<_>>(), Vec::<usize>::new());
}
