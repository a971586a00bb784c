//! Workers in processes of their own, one of which is really killed.

use crate::bench::{Backend, Service};
use crate::http::Request;
use crate::schedules::Process;
use crate::work::{ORG, Sandbox};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

const ORDERS: usize = 40;

fn feed() -> String {
    let mut text = String::from(
        "{\"type\":\"customer\",\"id\":\"c-100\",\"name\":\"Green Lane LLC\"}\n\
         {\"type\":\"product\",\"id\":\"exo-p1\",\"name\":\"Exchange Online (Plan 1)\"}\n",
    );
    for n in 0..ORDERS {
        writeln!(
            text,
            "{{\"type\":\"subscription\",\"id\":\"s-{n}\",\"customer\":\"c-100\",\"status\":\"active\",\
             \"billing_cycle\":{{\"every\":1,\"unit\":\"month\"}},\"start\":\"2023-03-01\",\"currency\":\"USD\",\
             \"items\":[{{\"id\":\"seats\",\"product\":\"exo-p1\",\"quantity\":\"5\"}}]}}\n\
             {{\"type\":\"order\",\"id\":\"SO-{n}\",\"kind\":\"sales\",\"subscription\":\"s-{n}\",\
             \"completed_at\":\"2023-03-01T09:00:00Z\",\
             \"period\":{{\"start\":\"2023-03-01\",\"end\":\"2023-04-01\"}},\"currency\":\"USD\",\
             \"lines\":[{{\"id\":\"1\",\"charge\":\"recurring\",\"quantity\":\"5\",\"product\":\"exo-p1\",\
             \"unit_price\":\"22.00\",\"unit_cost\":\"17.60\"}}]}}"
        )
        .unwrap();
    }
    text
}

fn wait<T>(what: &str, seconds: u64, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < Duration::from_secs(seconds), "{what} took too long");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_killed_workers_run_is_taken_over_and_nothing_is_doubled() {
    let environment = [
        ("TRUEUP_TODAY", "2023-03-20"),
        ("TRUEUP_ALLOWED_PRIVATE_HOSTS", "127.0.0.1"),
        ("TRUEUP_APPLY_SETTLE_SECONDS", "1"),
    ];
    let Some(service) = Service::start(Backend::Postgres, &environment) else { return };
    let service = service.with(&["--role", "api"]);
    let sandbox = Sandbox::start();
    let url = sandbox.access["url"].as_str().unwrap().to_owned();
    let control: SocketAddr = url.trim_start_matches("http://").split('/').next().unwrap().parse().unwrap();
    let person = service.operator();
    person.post(&format!("{ORG}/connections"), &sandbox.connection()).is(201);
    let path = "/api/v1/feed?organization=default&source=shop";
    person.request("POST", path).body("application/x-ndjson", feed()).send(service.at).is(200);
    for body in [
        json!({ "kind": "customer", "source": "shop", "source_id": "c-100", "psa_id": 12 }),
        json!({ "kind": "product", "source": "shop", "source_id": "exo-p1", "psa_id": 7 }),
    ] {
        person.put(&format!("{ORG}/mappings"), &body).is(200);
    }
    let slow = |ms: u64| {
        Request::new("POST", "/sandbox/latency").json(&json!({ "ms": ms })).send(control).is(200);
    };
    slow(100);
    let mut first = Process(service.worker());
    let body = json!({ "kind": "sync", "changed": true, "approve": true });
    let started = person.post(&format!("{ORG}/runs"), &body).is(202);
    let location = started.header("location").unwrap().to_owned();
    let look = || person.get(&location).is(200).json();
    wait("the first additions", 60, || (additions(control).len() >= 3).then_some(()));
    let _second = Process(service.worker());
    first.0.kill().unwrap();
    first.0.wait().unwrap();
    let left = additions(control).len();
    assert!(left < ORDERS, "it was killed too late to tell anything");
    assert_eq!(look()["state"], "running", "{}", look());
    slow(5);
    // What ended in doubt is left to a later run where the first one could not wait for it.
    let ended = wait("taking over", 90, || {
        let run = look();
        run["finished_at"].is_string().then_some(run)
    });
    assert!(ended["attempts"].as_u64().unwrap() >= 2, "{ended}");
    for _ in 0..3 {
        if additions(control).len() >= ORDERS {
            break;
        }
        let again = person.post(&format!("{ORG}/runs"), &body).is(202);
        let location = again.header("location").unwrap().to_owned();
        wait("another run", 60, || {
            person.get(&location).is(200).json()["finished_at"].is_string().then_some(())
        });
    }
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for addition in additions(control) {
        *counts.entry(addition).or_default() += 1;
    }
    assert_eq!(counts.len(), ORDERS, "{ended}");
    assert!(counts.values().all(|count| *count == 1), "{counts:?}");
    println!("{left} of {ORDERS} were written when the worker was killed; {} attempts", ended["attempts"]);
}

/// The keys of all additions that the sandbox has.
fn additions(control: SocketAddr) -> Vec<String> {
    let state = Request::new("GET", "/sandbox/state").send(control).is(200).json();
    let mut found = Vec::new();
    collect(&state, &mut found);
    found
}

fn collect(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            if let Some(serial) = object.get("serialNumber").and_then(Value::as_str)
                && object.contains_key("billCustomer")
            {
                found.push(serial.to_owned());
            }
            object.values().for_each(|value| collect(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| collect(value, found)),
        _ => {}
    }
}
