//! Many organizations in one service: memory, what one huge organization costs the small ones, and what more workers bring.
//!
//! `cargo bench -p trueup-server --bench organizations [-- --only memory|noisy|workers] [--organizations N] [--latency MS]`.
//! By itself 500 organizations with 1,000,000 additions for memory, 60 small ones beside a huge one, and 64 for one worker and
//! for four. What needs PostgreSQL is left out where there is none.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a benchmark whose result is wrong stops"
)]

#[path = "support/service.rs"]
mod service;
mod support;

use jiff::Timestamp;
use serde_json::{Value, json};
use service::bench::{Backend, Person};
use service::desk::{self, Sandboxes};
use std::process::Child;
use std::time::{Duration, Instant};
use support::tenant::{ADDITIONS, feed, seed};
use support::{at_most, in_earnest, number, peak_mib, permille, shown};

/// Additions of an organization, where memory is measured.
const EACH: u64 = 2_000;
/// ConnectWises of the other parts: each is called by a share of the organizations.
const CONNECTIONS: u64 = 8;
/// Changes of a small organization.
const SMALL: u64 = 5;
const AT_ONCE: u64 = 10;

/// A process that ends with the value.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn main() {
    let earnest = in_earnest();
    let size =
        |whole: u64, trial: u64| number("--organizations").unwrap_or(if earnest { whole } else { trial });
    let latency = Duration::from_millis(number("--latency").unwrap_or(if earnest { 150 } else { 5 }));
    let only = std::env::args().skip_while(|argument| argument != "--only").nth(1);
    let is_wanted = |part: &str| only.as_deref().map_or(earnest || part == "memory", |only| only == part);
    if is_wanted("memory") {
        memory(size(500, 2));
    }
    if is_wanted("noisy") {
        noisy(size(60, 4), latency);
    }
    if is_wanted("workers") {
        workers(size(64, 4), latency);
    }
}

/// Every organization reads its own picture of a ConnectWise; the queue holds them all at once.
fn memory(organizations: u64) {
    let sandboxes = Sandboxes::start(vec![seed(EACH / ADDITIONS)]);
    let service = desk::service("all", Backend::Sqlite, AT_ONCE).unwrap();
    let person = service.operator();
    person.post(&format!("{}/connections", desk::path("default")), &sandboxes.connection(0)).is(201);
    let names: Vec<String> = (0..organizations).map(|n| format!("p-{n}")).collect();
    for name in &names {
        person.organization(name, Some("default"));
    }
    let idle = peak_mib(service.process());
    let began = Instant::now();
    let runs: Vec<String> =
        names.iter().map(|name| desk::start(&person, name, &json!({ "kind": "pull" }))).collect();
    let mut additions = 0;
    for run in runs {
        additions += desk::end(&person, &run)["result"]["additions"].as_u64().unwrap();
    }
    assert_eq!(additions, organizations * EACH);
    println!(
        "{organizations} organizations read {additions} additions in {:?}; idle before: {idle} MiB",
        began.elapsed()
    );
    at_most("memory of the service", peak_mib(service.process()), "MiB", 512);
    drop(service);
    sandboxes.stop();
}

/// An organization with so many changes to be written; its connection is one of several.
fn organization(person: &Person<'_>, sandboxes: &Sandboxes, name: &str, number: u64, changes: u64) {
    person.organization(name, Some("default"));
    let connection = sandboxes.connection(usize::try_from(number % CONNECTIONS).unwrap());
    person.post(&format!("{}/connections", desk::path(name)), &connection).is(201);
    // Each organization has agreements of its own, so that none waits for another's lease.
    let first = 1 + number / CONNECTIONS * SMALL;
    let (text, mappings) = feed(first..first + changes, 1);
    let push = format!("/api/v1/feed?organization={name}&source=default");
    person.request("POST", &push).body("application/x-ndjson", text).send(person.service.at).is(200);
    let path = format!("{}/mappings", desk::path(name));
    for line in mappings.lines().skip(1) {
        let cell: Vec<&str> = line.split(',').collect();
        let id: u64 = cell[2].parse().unwrap();
        let body = json!({ "kind": cell[0], "source": "default", "source_id": cell[1], "psa_id": id });
        person.put(&path, &body).is(200);
    }
    desk::end(person, &desk::start(person, name, &json!({ "kind": "check" })));
}

/// When a run began and ended.
fn times(run: &Value) -> (Timestamp, Timestamp) {
    let at = |name: &str| run[name].as_str().unwrap().parse().unwrap();
    (at("started_at"), at("finished_at"))
}

fn since(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap()
}

/// Starts a sync of each organization, and waits for all of them: what each run says in the end.
fn sync_all(person: &Person<'_>, names: &[String]) -> Vec<Value> {
    let body = json!({ "kind": "sync", "approve": true });
    let runs: Vec<String> = names.iter().map(|name| desk::start(person, name, &body)).collect();
    runs.iter().map(|run| desk::end(person, run)).collect()
}

fn sandboxes(agreements: u64) -> Sandboxes {
    Sandboxes::start((0..CONNECTIONS).map(|_| seed(agreements)).collect())
}

/// When the small ones are through, with and without a huge one that was there first.
fn noisy(small: u64, latency: Duration) {
    let huge = if in_earnest() { 2_000 } else { 50 };
    let rounds = (2 * small).div_ceil(CONNECTIONS) * SMALL;
    let all = sandboxes(rounds + huge);
    let service = desk::service("all", Backend::Sqlite, AT_ONCE).unwrap();
    let person = service.operator();
    let names = |round: &str| -> Vec<String> { (0..small).map(|n| format!("{round}-{n}")).collect() };
    for (round, from) in [("alone", 0), ("beside", small)] {
        for (name, number) in names(round).iter().zip(from..) {
            organization(&person, &all, name, number, SMALL);
        }
    }
    organization(&person, &all, "huge", rounds / SMALL * CONNECTIONS, huge);
    all.answer_after(latency);
    let alone = last_but_a_hundredth(&sync_all(&person, &names("alone")));
    let body = json!({ "kind": "sync", "approve": true });
    let noise = desk::start(&person, "huge", &body);
    while person.get(&noise).is(200).json()["started_at"].is_null() {
        std::thread::sleep(Duration::from_millis(20));
    }
    let beside = last_but_a_hundredth(&sync_all(&person, &names("beside")));
    let is_at_it = person.get(&noise).is(200).json()["finished_at"].is_null();
    println!("{small} small organizations, {SMALL} changes each, beside one of {huge} changes");
    assert!(is_at_it || !in_earnest(), "the huge one was through before the small ones: it showed nothing");
    let found = permille(ms(beside), ms(alone));
    let verdict = if found <= 1_250 { "met" } else { "MISSED" };
    println!(
        "p99 of the small ones (B8): {} ms alone, {} ms beside, ratio {}, goal at most 1.250: {verdict}",
        ms(alone),
        ms(beside),
        shown(found)
    );
    drop(service);
    all.stop();
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap()
}

/// The time after which 99 of 100 were through, from when the first one was put into the queue.
fn last_but_a_hundredth(runs: &[Value]) -> Duration {
    let first: Timestamp =
        runs.iter().map(|run| run["created_at"].as_str().unwrap().parse().unwrap()).min().unwrap();
    let mut ends: Vec<Duration> = runs.iter().map(|run| since(first, times(run).1)).collect();
    ends.sort_unstable();
    ends[(ends.len() * 99).div_ceil(100) - 1]
}

/// The same work by one worker and by four.
fn workers(organizations: u64, latency: Duration) {
    let rounds = (2 * organizations).div_ceil(CONNECTIONS) * SMALL;
    let all = sandboxes(rounds);
    let Some(service) = desk::service("api", Backend::Postgres, AT_ONCE) else { return };
    let person = service.operator();
    let names = |round: &str| -> Vec<String> { (0..organizations).map(|n| format!("{round}-{n}")).collect() };
    // The first secret makes the key, which each worker has to have.
    person.post(&format!("{}/connections", desk::path("default")), &all.connection(0)).is(201);
    let mut processes = vec![Process(service.worker())];
    for (round, from) in [("one", 0), ("four", organizations)] {
        for (name, number) in names(round).iter().zip(from..) {
            organization(&person, &all, name, number, SMALL);
        }
    }
    all.answer_after(latency);
    let one = a_second(&sync_all(&person, &names("one")));
    processes.extend((0..3).map(|_| Process(service.worker())));
    // They look at the queue once a second: all are there when it is filled.
    std::thread::sleep(Duration::from_secs(3));
    let four = a_second(&sync_all(&person, &names("four")));
    println!("{organizations} organizations, {SMALL} changes each, {CONNECTIONS} ConnectWises");
    let found = four * 1_000 / one.max(1);
    let verdict = if found >= 3_000 { "met" } else { "MISSED" };
    let (one, four) = (shown(one), shown(four));
    println!(
        "changes a second: {one} by one worker, {four} by four, ratio {}, goal at least 3.000: {verdict}",
        shown(found)
    );
    all.stop();
}

/// Thousandths of changes a second, from the first start to the last end.
fn a_second(runs: &[Value]) -> u64 {
    let applied: u64 = runs.iter().map(|run| run["result"]["summary"]["applied"].as_u64().unwrap()).sum();
    assert_eq!(applied, runs.len() as u64 * SMALL, "something was not written");
    let first = runs.iter().map(|run| times(run).0).min().unwrap();
    let last = runs.iter().map(|run| times(run).1).max().unwrap();
    applied * 1_000_000 / ms(since(first, last)).max(1)
}
