//! A service that is killed in the middle of a run and started again: calls beside a run that nothing interrupts, and the time
//! until it calls again (B8).
//!
//! `cargo bench -p trueup-server --bench resume [-- --operations N] [--latency MS]`. By itself 2,000 operations at 150 ms, ten
//! on each agreement; 10,000 take three minutes and a half, twice.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a benchmark whose result is wrong stops"
)]

#[path = "support/service.rs"]
mod service;
mod support;

use serde_json::{Value, json};
use service::desk::{self, ORG, Sandboxes};
use std::time::{Duration, Instant};
use support::tenant::{feed, seed};
use support::{at_most, in_earnest, number, ratio};

const POST: &str = "POST finance/agreements/{id}/additions";
/// Operations of an agreement.
const EACH: u64 = 10;
const AT_ONCE: u64 = 10;

fn main() {
    let operations = number("--operations").unwrap_or(if in_earnest() { 2_000 } else { 50 });
    let latency = Duration::from_millis(number("--latency").unwrap_or(if in_earnest() { 150 } else { 20 }));
    println!("operations={operations} latency={} ms", latency.as_millis());
    let (whole, _) = run(operations, latency, false);
    let (calls, until) = run(operations, latency, true);
    ratio("calls of a run that was killed halfway (B8)", calls, whole, 1_010);
    at_most("from the start to the first call (B8)", u64::try_from(until.as_millis()).unwrap(), "ms", 2_000);
}

/// The calls of a run, killed when half is written or not at all, and how long after its start it called again.
fn run(operations: u64, latency: Duration, is_killed: bool) -> (u64, Duration) {
    let agreements = operations / EACH;
    let sandboxes = Sandboxes::start(vec![seed(agreements)]);
    let (mut service, pass) = desk::laid_out(&sandboxes, AT_ONCE, &feed(1..=agreements, EACH));
    let location = {
        let person = service.known(&pass);
        desk::run(&person, ORG, &json!({ "kind": "check" }));
        sandboxes.answer_after(latency);
        desk::start(&person, ORG, &json!({ "kind": "sync", "approve": true }))
    };
    let mut until = Duration::ZERO;
    if is_killed {
        while sandboxes.calls_of(POST) < operations / 2 {
            std::thread::sleep(Duration::from_millis(20));
        }
        service.kill();
        // What was on its way arrives.
        std::thread::sleep(latency * 2);
        let before = sandboxes.calls();
        let began = Instant::now();
        service.up();
        while sandboxes.calls() == before {
            std::thread::sleep(Duration::from_millis(5));
        }
        until = began.elapsed();
    }
    let person = service.known(&pass);
    let mut ended = desk::end(&person, &location);
    // What was in doubt when the process died is settled by the next run, as on any night.
    while left_open(&ended) != Some(0) {
        ended = desk::run(&person, ORG, &json!({ "kind": "sync", "approve": true })).1;
    }
    let calls = sandboxes.calls();
    assert_eq!(keys(&sandboxes), usize::try_from(operations).unwrap(), "an operation is missing or doubled");
    drop(service);
    sandboxes.stop();
    (calls, until)
}

/// What a run could not settle.
fn left_open(run: &Value) -> Option<u64> {
    let summary = &run["result"]["summary"];
    Some(summary["in_doubt"].as_u64()? + summary["failed"].as_u64()? + summary["skipped"].as_u64()?)
}

/// The different keys in the sandbox; one that is there twice stops.
fn keys(sandboxes: &Sandboxes) -> usize {
    let mut found = Vec::new();
    collect(&sandboxes.control(0).state(), &mut found);
    let count = found.len();
    found.sort();
    found.dedup();
    assert_eq!(found.len(), count, "an operation was carried out twice");
    count
}

fn collect(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            let serial =
                object.get("serialNumber").and_then(Value::as_str).filter(|serial| !serial.is_empty());
            if let Some(serial) = serial
                && object.contains_key("billCustomer")
            {
                found.push(serial.to_owned());
            }
            object.values().for_each(|value| collect(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| collect(value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
