//! Four workers that are killed at random, over many organizations: in the end every addition is there once.
//!
//! With `TRUEUP_TORTURE=full` there are 500 organizations, and a worker dies until all is written.

use crate::bench::{Backend, Person, Service};
use crate::http::Request;
use crate::schedules::Process;
use crate::work::Sandbox;
use crate::workers::collect;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

const WORKERS: usize = 4;
const ORDERS: usize = 4;

struct Size {
    organizations: usize,
    kills: usize,
    seed: u64,
}

fn size() -> Size {
    if std::env::var("TRUEUP_TORTURE").is_ok_and(|size| size == "full") {
        return Size { organizations: 500, kills: usize::MAX, seed: u64::from(std::process::id()) };
    }
    Size { organizations: 24, kills: 10, seed: 7 }
}

/// Good enough to choose whom to kill, and when.
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// A company with an agreement for each organization.
fn seed(organizations: usize) -> String {
    let (mut companies, mut agreements, mut contacts) = (Vec::new(), Vec::new(), Vec::new());
    for n in 0..organizations {
        let (company, contact, agreement) = (1_000 + n, 2_000 + n, 3_000 + n);
        companies
            .push(json!({ "id": company, "identifier": format!("C{n}"), "name": format!("Company {n}") }));
        contacts.push(
            json!({ "id": contact, "firstName": "Ada", "lastName": "Byron", "company": { "id": company } }),
        );
        agreements.push(json!({
            "id": agreement, "name": "Cloud", "type": { "name": "Cloud Services" }, "company": { "id": company },
            "contact": { "id": contact }, "startDate": "2023-01-01T00:00:00Z",
            "billStartDate": "2023-03-01T00:00:00Z", "nextInvoiceDate": "2023-03-01", "billingCycle": { "id": 2 },
        }));
    }
    let product = json!({
        "id": 7, "identifier": "EXO-P1", "description": "Exchange Online (Plan 1)",
        "customerDescription": "Exchange Online (Plan 1)", "subcategory": { "id": 1 }, "type": { "id": 1 },
        "price": 22, "cost": 17,
    });
    json!({ "today": "2023-03-20", "resources": {
        "company/companies": companies, "company/contacts": contacts, "procurement/catalog": [product],
        "finance/agreements": agreements,
    } })
    .to_string()
}

fn feed() -> String {
    let mut text = String::from(
        "{\"type\":\"customer\",\"id\":\"c\",\"name\":\"Company\"}\n\
         {\"type\":\"product\",\"id\":\"exo-p1\",\"name\":\"Exchange Online (Plan 1)\"}\n",
    );
    for n in 0..ORDERS {
        writeln!(
            text,
            "{{\"type\":\"subscription\",\"id\":\"s-{n}\",\"customer\":\"c\",\"status\":\"active\",\
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

fn path(n: usize) -> String {
    format!("/api/v1/organizations/p-{n}")
}

fn set_up(person: &Person<'_>, organizations: usize) {
    let feed = feed();
    for n in 0..organizations {
        person.organization(&format!("p-{n}"), Some("default"));
        let path_of_feed = format!("/api/v1/feed?organization=p-{n}&source=shop");
        let pushed = person.request("POST", &path_of_feed).body("application/x-ndjson", feed.as_str());
        pushed.send(person.service.at).is(200);
        for (kind, id, number) in [("customer", "c", 1_000 + n), ("product", "exo-p1", 7)] {
            let body = json!({ "kind": kind, "source": "shop", "source_id": id, "psa_id": number });
            person.put(&format!("{}/mappings", path(n)), &body).is(200);
        }
    }
}

fn start(person: &Person<'_>, n: usize, body: &Value) -> String {
    let started = person.post(&format!("{}/runs", path(n)), body).is(202);
    started.header("location").unwrap().to_owned()
}

#[test]
fn four_workers_that_die_at_random_write_every_addition_once() {
    let Size { organizations, kills, seed: number } = size();
    let environment = [
        ("TRUEUP_TODAY", "2023-03-20"),
        ("TRUEUP_ALLOWED_PRIVATE_HOSTS", "127.0.0.1"),
        ("TRUEUP_APPLY_SETTLE_SECONDS", "1"),
    ];
    let Some(service) = Service::start_as("api", Backend::Postgres, &environment) else { return };
    let person = service.operator();
    let sandbox = Sandbox::seeded(&seed(organizations));
    let url = sandbox.access["url"].as_str().unwrap().to_owned();
    let control: SocketAddr = url.trim_start_matches("http://").split('/').next().unwrap().parse().unwrap();
    person.post("/api/v1/organizations/default/connections", &sandbox.connection()).is(201);
    set_up(&person, organizations);
    Request::new("POST", "/sandbox/latency").json(&json!({ "ms": 40 })).send(control).is(200);

    let sync = json!({ "kind": "sync", "approve": true });
    let mut open: BTreeMap<usize, String> = (0..organizations)
        .map(|n| {
            start(&person, n, &json!({ "kind": "check" }));
            (n, start(&person, n, &sync))
        })
        .collect();
    let mut dice = Dice(number);
    let mut workers: Vec<Process> =
        (0..WORKERS).map(|n| Process(service.worker_in(&format!("w-{n}")))).collect();
    let (began, mut killed, mut taken_over, mut again) = (Instant::now(), 0, 0, 0);
    let mut next = Instant::now() + Duration::from_millis(1_500);
    while !open.is_empty() {
        assert!(
            began.elapsed() < Duration::from_secs(240 + 6 * organizations as u64),
            "seed {number}: {open:?} did not end"
        );
        if killed < kills && Instant::now() >= next {
            let which = usize::try_from(dice.below(WORKERS as u64)).unwrap();
            workers[which].0.kill().unwrap();
            workers[which].0.wait().unwrap();
            killed += 1;
            // In its directory it frees at once what it held; in another one the claims have to run out.
            let name = if dice.below(3) == 0 { format!("n-{killed}") } else { format!("w-{which}") };
            workers[which] = Process(service.worker_in(&name));
            next = Instant::now() + Duration::from_millis(300 + dice.below(1_500));
        }
        let numbers: Vec<usize> = open.keys().copied().collect();
        for n in numbers {
            let run = person.get(&open[&n]).is(200).json();
            if !run["finished_at"].is_string() {
                continue;
            }
            taken_over += usize::from(run["attempts"].as_u64().unwrap() > 1);
            // What was in doubt, or died too often with its workers, is the next run's.
            let summary = &run["result"]["summary"];
            let whole = run["state"] == "done" && summary["in_doubt"] == 0 && summary["failed"] == 0;
            if whole {
                open.remove(&n);
            } else {
                again += 1;
                open.insert(n, start(&person, n, &sync));
            }
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    println!(
        "seed {number}: {killed} kills, {taken_over} runs were taken over, {again} were run again, {:?}",
        began.elapsed()
    );
    assert!(killed > 0, "nobody was killed");
    let state = Request::new("GET", "/sandbox/state").send(control).is(200).json();
    let mut keys = Vec::new();
    collect(&state, &mut keys);
    let different: BTreeSet<&String> = keys.iter().collect();
    assert_eq!(keys.len(), different.len(), "seed {number}: an addition was doubled");
    assert_eq!(keys.len(), organizations * ORDERS, "seed {number}: additions are missing");
}
