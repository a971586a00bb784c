//! Several workers and one limit of ConnectWise.

use crate::bench::{Backend, Person, Service};
use crate::http::Request;
use crate::schedules::Process;
use crate::work::Sandbox;
use serde_json::{Value, json};
use std::fmt::Write;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Enough that no worker alone has them all: each carries four runs at once.
const ORGANIZATIONS: usize = 16;
const AGREEMENTS: usize = 20;

fn seed() -> String {
    let mut agreements = String::new();
    for n in 1..=AGREEMENTS {
        let comma = if n > 1 { "," } else { "" };
        write!(
            agreements,
            r#"{comma}{{"id": {}, "name": "Cloud {n}", "type": {{"name": "Cloud Services"}}, "company": {{"id": 12}},
            "contact": {{"id": 5}}, "startDate": "2023-01-01T00:00:00Z", "billStartDate": "2023-03-01T00:00:00Z",
            "nextInvoiceDate": "2023-03-01", "billingCycle": {{"id": 2}}}}"#,
            40 + n
        )
        .unwrap();
    }
    format!(
        r#"{{"today": "2023-03-20", "resources": {{
        "company/companies": [{{"id": 12, "identifier": "GreenLane", "name": "Green Lane LLC"}}],
        "company/contacts": [{{"id": 5, "firstName": "Ada", "lastName": "Byron", "company": {{"id": 12}}}}],
        "finance/agreements": [{agreements}]}}}}"#
    )
}

/// A pull of each organization, all at once; how often the limit was met meanwhile, and of how many calls.
fn pull_all(person: &Person<'_>, control: SocketAddr) -> (u64, u64) {
    Request::new("DELETE", "/sandbox/journal").send(control);
    let paths: Vec<String> = (0..ORGANIZATIONS)
        .map(|n| {
            let started =
                person.post(&format!("/api/v1/organizations/p-{n}/runs"), &json!({ "kind": "pull" })).is(202);
            started.header("location").unwrap().to_owned()
        })
        .collect();
    let began = Instant::now();
    for path in paths {
        loop {
            let run = person.get(&path).is(200).json();
            if run["finished_at"].is_string() {
                assert_eq!(run["state"], "done", "{run}");
                break;
            }
            assert!(began.elapsed() < Duration::from_secs(240), "{run}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    let told: Value = Request::new("GET", "/sandbox/journal/summary").send(control).is(200).json();
    (told["statuses"]["429"].as_u64().unwrap_or(0), told["total"].as_u64().unwrap())
}

#[test]
fn four_workers_share_one_limit() {
    let environment = [("TRUEUP_TODAY", "2023-03-20"), ("TRUEUP_ALLOWED_PRIVATE_HOSTS", "127.0.0.1")];
    let Some(service) = Service::start_as("api", Backend::Postgres, &environment) else { return };
    let person = service.operator();
    let sandbox = Sandbox::seeded(&seed());
    let url = sandbox.access["url"].as_str().unwrap().to_owned();
    let control: SocketAddr = url.trim_start_matches("http://").split('/').next().unwrap().parse().unwrap();
    person.post("/api/v1/organizations/default/connections", &sandbox.connection()).is(201);
    for n in 0..ORGANIZATIONS {
        person.organization(&format!("p-{n}"), Some("default"));
    }
    let limit = json!({ "per_minute": 120, "window_seconds": 4 });
    Request::new("POST", "/sandbox/rate_limit").json(&limit).send(control).is(200);
    let _workers: Vec<Process> = (0..4).map(|_| Process(service.worker())).collect();
    let (learning, of) = pull_all(&person, control);
    println!("while it was learnt: {learning} refusals of {of} calls");
    assert!(learning > 0, "the limit was never met, so that nothing is shown");
    let began = Instant::now();
    let (refused, of) = pull_all(&person, control);
    println!("once it was learnt: {refused} refusals of {of} calls in {:?}", began.elapsed());
    // A machine that stands still for a moment sends late what was on time.
    assert!(refused <= 2, "{refused} of {of}");
}
