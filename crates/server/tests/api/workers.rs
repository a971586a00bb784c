//! Workers in processes of their own, some of which are really killed.

use crate::bench::{Backend, Person, Service};
use crate::http::Request;
use crate::schedules::Process;
use crate::work::{ORG, Sandbox};
use jiff::Timestamp;
use rstest::rstest;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

const ORDERS: usize = 40;

const ENVIRONMENT: [(&str, &str); 3] = [
    ("TRUEUP_TODAY", "2023-03-20"),
    ("TRUEUP_ALLOWED_PRIVATE_HOSTS", "127.0.0.1"),
    ("TRUEUP_APPLY_SETTLE_SECONDS", "1"),
];

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

/// A ConnectWise that answers slowly, and orders that are to be written there.
struct World {
    sandbox: Sandbox,
    control: SocketAddr,
}

impl World {
    fn new(person: &Person<'_>) -> Self {
        let sandbox = Sandbox::start();
        let url = sandbox.access["url"].as_str().unwrap().to_owned();
        let control = url.trim_start_matches("http://").split('/').next().unwrap().parse().unwrap();
        person.post(&format!("{ORG}/connections"), &sandbox.connection()).is(201);
        let path = "/api/v1/feed?organization=default&source=shop";
        person.request("POST", path).body("application/x-ndjson", feed()).send(person.service.at).is(200);
        for body in [
            json!({ "kind": "customer", "source": "shop", "source_id": "c-100", "psa_id": 12 }),
            json!({ "kind": "product", "source": "shop", "source_id": "exo-p1", "psa_id": 7 }),
        ] {
            person.put(&format!("{ORG}/mappings"), &body).is(200);
        }
        let world = Self { sandbox, control };
        world.answers_after(100);
        world
    }

    fn answers_after(&self, ms: u64) {
        let body = json!({ "ms": ms });
        Request::new("POST", "/sandbox/latency").json(&body).send(self.control).is(200);
    }

    /// The keys of all additions.
    fn additions(&self) -> Vec<String> {
        let state = Request::new("GET", "/sandbox/state").send(self.control).is(200).json();
        let mut found = Vec::new();
        collect(&state, &mut found);
        found
    }

    fn until_some_are_written(&self) {
        wait("the first additions", 60, || (self.additions().len() >= 3).then_some(()));
    }

    /// Waits for the end of a run that was cut off, and starts others for what it had to leave in doubt; then every
    /// addition must be there once.
    fn all_are_written_once(&self, person: &Person<'_>, location: &str) -> Value {
        let left = self.additions().len();
        assert!(left < ORDERS, "it was killed too late to tell anything");
        self.answers_after(5);
        let end = |location: &str| {
            // Far less than the three minutes that a lease on an agreement holds.
            wait("a run", 60, || {
                let run = person.get(location).is(200).json();
                run["finished_at"].is_string().then_some(run)
            })
        };
        let ended = end(location);
        for _ in 0..3 {
            if self.additions().len() >= ORDERS {
                break;
            }
            end(&start(person));
        }
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for addition in self.additions() {
            *counts.entry(addition).or_default() += 1;
        }
        assert_eq!(counts.len(), ORDERS, "{ended}");
        assert!(counts.values().all(|count| *count == 1), "{counts:?}");
        println!("{left} of {ORDERS} were written before the kill; {} attempts", ended["attempts"]);
        ended
    }
}

fn start(person: &Person<'_>) -> String {
    let body = json!({ "kind": "sync", "changed": true, "approve": true });
    let started = person.post(&format!("{ORG}/runs"), &body).is(202);
    started.header("location").unwrap().to_owned()
}

#[test]
fn a_killed_workers_run_is_taken_over_by_another_and_nothing_is_doubled() {
    let Some(service) = Service::start_as("api", Backend::Postgres, &ENVIRONMENT) else { return };
    let person = service.operator();
    let world = World::new(&person);
    let mut first = Process(service.worker());
    let location = start(&person);
    world.until_some_are_written();
    let _second = Process(service.worker());
    first.0.kill().unwrap();
    first.0.wait().unwrap();
    let run = person.get(&location).is(200).json();
    assert_eq!((&run["state"], &run["attempts"]), (&json!("running"), &json!(1)), "{run}");
    let ended = world.all_are_written_once(&person, &location);
    assert!(ended["attempts"].as_u64().unwrap() >= 2, "{ended}");
}

fn signal(process: &Process, name: &str) {
    let id = process.0.id().to_string();
    assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
}

/// It does not know that it slept: what it would still write, it may not.
#[test]
fn a_worker_that_slept_over_its_claim_writes_no_more() {
    let Some(service) = Service::start_as("api", Backend::Postgres, &ENVIRONMENT) else { return };
    let person = service.operator();
    let world = World::new(&person);
    let first = Process(service.worker());
    let location = start(&person);
    world.until_some_are_written();
    let _second = Process(service.worker());
    signal(&first, "-STOP");
    // Where it sleeps in the middle of a transaction, the server takes its locks first.
    wait("taking over", 60, || (person.get(&location).is(200).json()["attempts"] == 2).then_some(()));
    // Both are at it now.
    signal(&first, "-CONT");
    let ended = world.all_are_written_once(&person, &location);
    assert_eq!(ended["attempts"], 2, "{ended}");
    signal(&first, "-TERM");
    wait("the end of the first", 30, || world_is_quiet(&first).then_some(()));
}

fn world_is_quiet(process: &Process) -> bool {
    let state = std::fs::read_to_string(format!("/proc/{}/stat", process.0.id())).unwrap_or_default();
    state.is_empty() || state.contains(") Z ")
}

#[test]
fn a_worker_that_is_asked_to_stop_hands_its_run_to_another() {
    let Some(service) = Service::start_as("api", Backend::Postgres, &ENVIRONMENT) else { return };
    let person = service.operator();
    let world = World::new(&person);
    world.answers_after(1_000);
    let first = Process(service.worker());
    let location = start(&person);
    wait("the first addition", 60, || (!world.additions().is_empty()).then_some(()));
    let _second = Process(service.worker());
    signal(&first, "-TERM");
    let look = || person.get(&location).is(200).json();
    wait("the second attempt", 30, || (look()["attempts"] == 2).then_some(()));
    assert!(world_is_quiet(&first) || look()["state"] == "running");
    // It would wait three minutes for what the first one left of leases.
    world.all_are_written_once(&person, &location);
}

#[test]
fn a_worker_that_begins_anew_in_its_directory_goes_on_at_once() {
    let Some(service) = Service::start_as("api", Backend::Postgres, &ENVIRONMENT) else { return };
    let person = service.operator();
    let world = World::new(&person);
    let mut first = Process(service.worker_in("w"));
    let location = start(&person);
    world.until_some_are_written();
    first.0.kill().unwrap();
    first.0.wait().unwrap();
    let killed = Instant::now();
    let _again = Process(service.worker_in("w"));
    // The claim would hold for fifteen seconds.
    wait("the second attempt", 10, || (person.get(&location).is(200).json()["attempts"] == 2).then_some(()));
    println!(
        "taken up again {} ms after the kill, the start of the process included",
        killed.elapsed().as_millis()
    );
    world.all_are_written_once(&person, &location);
}

#[rstest]
fn a_service_that_was_killed_goes_on_within_two_seconds_of_its_start(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let Some(mut service) = Service::start(backend, &ENVIRONMENT) else { return };
    let (pass, location, world) = {
        let person = service.operator();
        let world = World::new(&person);
        let location = start(&person);
        world.until_some_are_written();
        (person.pass(), location, world)
    };
    service.kill();
    service.up();
    let began = Instant::now();
    let person = service.known(&pass);
    wait("the second attempt", 2, || (person.get(&location).is(200).json()["attempts"] == 2).then_some(()));
    println!("taken up again {} ms after the start", began.elapsed().as_millis());
    world.all_are_written_once(&person, &location);
    assert!(world.sandbox.access["url"].is_string());
}

/// A run that was put back while the clock was years ahead is not waited for until then; and what waits is cancelled,
/// whatever kind of run it is.
#[rstest]
fn a_run_put_back_under_a_clock_that_was_ahead_goes_on(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let Some(mut service) = Service::start_as("api", backend, &[]) else { return };
    let (pass, id) = {
        let person = service.operator();
        let start = || person.post(&format!("{ORG}/runs"), &json!({ "kind": "check" })).is(202).json();
        let id = |run: &Value| run["run_id"].as_str().unwrap().to_owned();
        let (first, second) = (start(), start());
        let cancel = format!("{ORG}/jobs/{}/cancel", id(&second));
        let ended = person.post(&cancel, &json!({})).is(200).json();
        assert_eq!((&ended["kind"], &ended["state"]), (&json!("check"), &json!("error")));
        assert_eq!(person.post(&cancel, &json!({})).problem(409), "conflict");
        (person.pass(), id(&first))
    };
    service.behind_its_back(async |store| {
        let now = super::schedules::now();
        let run = store.claim_run("w", now, 60_000).await.unwrap().unwrap();
        store.put_run_back(&run, "w", now + 10 * 365 * 86_400_000).await.unwrap();
    });
    service.stop();
    service.up_as("all");
    let person = service.known(&pass);
    let path = format!("{ORG}/runs/{id}");
    let state = || person.get(&path).is(200).json()["state"].as_str().unwrap().to_owned();
    assert_eq!(wait("the run", 20, || Some(state()).filter(|s| s != "queued" && s != "running")), "done");
}

#[rstest]
fn one_organization_with_very_many_runs_keeps_no_other_waiting(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let Some(mut service) = Service::start_as("api", backend, &[]) else { return };
    let pass = {
        let person = service.operator();
        let runs = |org: &str, count: usize| {
            for _ in 0..count {
                let path = format!("/api/v1/organizations/{org}/runs");
                person.post(&path, &json!({ "kind": "check" })).is(202);
            }
        };
        runs("default", 60);
        for small in ["small-a", "small-b", "small-c"] {
            person.organization(small, None);
            runs(small, 2);
        }
        person.pass()
    };
    service.stop();
    service.up_as("all");
    let person = service.known(&pass);
    // When the runs of an organization began and ended, the first first.
    let runs = |org: &str| {
        wait("the runs", 120, || {
            let path = format!("/api/v1/organizations/{org}/runs?limit=200");
            let all = person.get(&path).is(200).json()["items"].as_array().unwrap().clone();
            let ended = all.iter().all(|run| run["state"] == "done");
            ended.then(|| {
                let at = |run: &Value, field: &str| run[field].as_str().unwrap().parse().unwrap();
                let mut all: Vec<(Timestamp, Timestamp)> =
                    all.iter().map(|run| (at(run, "started_at"), at(run, "finished_at"))).collect();
                all.sort();
                all
            })
        })
    };
    let of_the_large: Vec<Timestamp> = runs("default").into_iter().map(|(began, _)| began).collect();
    assert_eq!(of_the_large.len(), 60);
    for small in ["small-a", "small-b", "small-c"] {
        // From when one run ended until the next began this organization waited for its turn. The large one may have
        // had its own turn in between, as it may come first; a second one is the small one's.
        let mut waits_since = Timestamp::MIN;
        for (began, ended) in runs(small) {
            let before = of_the_large.iter().filter(|at| **at > waits_since && **at < began).count();
            assert!(
                before <= 1,
                "{before} runs of the large one began while {small} waited for one of its own"
            );
            waits_since = ended;
        }
    }
    let last_of_the_small =
        ["small-a", "small-b", "small-c"].iter().flat_map(|org| runs(org)).max().unwrap().0;
    let before = of_the_large.iter().filter(|at| **at <= last_of_the_small).count();
    println!("{before} of 60 runs of the large one began before the last of the small ones");
}

/// Four runs fill a worker's places, and none of them comes to an end: the fifth organization has its turn all the same.
#[rstest]
fn runs_that_take_long_keep_no_place_from_the_others(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let Some(service) = Service::start(backend, &ENVIRONMENT) else { return };
    let person = service.operator();
    let world = World::new(&person);
    world.answers_after(20_000);
    let run = |org: &str, kind: &str| {
        let path = format!("/api/v1/organizations/{org}/runs");
        let started = person.post(&path, &json!({ "kind": kind })).is(202);
        started.header("location").unwrap().to_owned()
    };
    let state = |location: &str| person.get(location).is(200).json()["state"].clone();
    let slow: Vec<String> = (0..4)
        .map(|n| {
            let org = format!("slow-{n}");
            person.organization(&org, Some("default"));
            run(&org, "pull")
        })
        .collect();
    wait("the slow ones", 10, || slow.iter().all(|run| state(run) == "running").then_some(()));
    person.organization("quick", None);
    let quick = run("quick", "check");
    wait("the quick one", 15, || (state(&quick) == "done").then_some(()));
    assert!(slow.iter().all(|run| state(run) == "running"), "a slow one ended: this shows nothing");
}

pub fn collect(value: &Value, found: &mut Vec<String>) {
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

#[test]
fn a_worker_without_the_key_takes_no_run() {
    let Some(service) = Service::start_as("api", Backend::Postgres, &ENVIRONMENT) else { return };
    let person = service.operator();
    let world = World::new(&person);
    let empty = service.path("nothing-in-it");
    let refused = service
        .command(&["serve", "--role", "worker", "--format", "json"])
        .env("TRUEUP_DATA_DIR", &empty)
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(2));
    let said: Value = serde_json::from_slice(&refused.stdout).unwrap();
    assert_eq!(said["error"]["code"], "TU9105", "{said}");
    assert!(world.sandbox.access["url"].is_string());
}

#[rstest]
fn a_lost_key_is_a_finding_until_it_is_back(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let Some(service) = Service::start(backend, &ENVIRONMENT) else { return };
    let person = service.operator();
    let world = World::new(&person);
    let open = || {
        let all = person.get(&format!("{ORG}/findings?state=open")).is(200).json();
        all["items"].as_array().unwrap().iter().filter(|f| f["code"] == "TU9105").count()
    };
    let (key, aside) = (service.path("data/trueup.key"), service.path("aside.key"));
    std::fs::rename(&key, &aside).unwrap();
    let failed = crate::work::run(&person, &json!({ "kind": "pull" }));
    assert_eq!((&failed["state"], open()), (&json!("failed"), 1), "{failed}");
    std::fs::rename(&aside, &key).unwrap();
    let done = crate::work::run(&person, &json!({ "kind": "pull" }));
    assert_eq!((&done["state"], open()), (&json!("done"), 0), "{done}");
    assert!(world.sandbox.access["url"].is_string());
}
