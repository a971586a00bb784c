//! A night behind a ConnectWise that is 150 ms away: calls and time over the fewest that can do it (B1, B2), what a limit
//! costs once it is learnt (B2), and a storm of refusals (B3).
//!
//! `cargo bench -p trueup-server --bench nightly [-- --only night|limit|storm] [--agreements N] [--latency MS]
//! [--at-once N]`. By itself it takes 1,000 agreements (`--agreements 10000` is the whole size, three and a half minutes), 700
//! under a limit of 600 calls a minute, and 250 in the storm.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a benchmark whose result is wrong stops"
)]

#[path = "support/service.rs"]
mod service;
mod support;

use serde_json::json;
use service::desk::{self, ORG, Sandboxes};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use support::tenant::{ADDITIONS, PAGE, feed, seed};
use support::{at_most, in_earnest, number, of_floor, peak_mib, ratio};

/// Calls a minute of the limit, before the storm and in it.
const LIMIT: u64 = 600;
const STORM: u64 = 120;
/// Of 1,000 calls of the storm so many are refused whatever the caller does, half with 429 and half with 503.
const REFUSED: u64 = 300;
const MINUTE: Duration = Duration::from_secs(60);

/// What the benchmark is told.
#[derive(Clone, Copy)]
struct Told {
    latency: Duration,
    at_once: u64,
}

fn main() {
    let earnest = in_earnest();
    let told = Told {
        latency: Duration::from_millis(number("--latency").unwrap_or(if earnest { 150 } else { 5 })),
        at_once: number("--at-once").unwrap_or(10),
    };
    let size = |whole: u64, trial: u64| number("--agreements").unwrap_or(if earnest { whole } else { trial });
    let only = std::env::args().skip_while(|argument| argument != "--only").nth(1);
    let is_wanted = |part: &str| only.as_deref().map_or(earnest || part == "night", |only| only == part);
    if is_wanted("night") {
        night(told, size(1_000, 20));
    }
    if is_wanted("limit") {
        limit(told, size(700, 20));
    }
    if is_wanted("storm") {
        storm(told, size(250, 20));
    }
}

fn times(latency: Duration, calls: u64, at_once: u64) -> Duration {
    latency * u32::try_from(calls.div_ceil(at_once)).unwrap()
}

/// Every agreement is read, and 2 % of the additions are written, each on an agreement of its own.
fn night(told: Told, agreements: u64) {
    let count = agreements / 5;
    let sandboxes = Sandboxes::start(vec![seed(agreements)]);
    let ordered = feed((1..=agreements).filter(|n| n % 5 == 0), 1);
    let (service, pass) = desk::laid_out(&sandboxes, told.at_once, &ordered);
    let person = service.known(&pass);
    sandboxes.answer_after(told.latency);
    let (took, ended) = desk::run(&person, ORG, &json!({ "kind": "sync", "changed": true }));
    println!(
        "night: agreements={agreements} additions={} writes={count} latency={} ms at_once={}",
        agreements * ADDITIONS,
        told.latency.as_millis(),
        told.at_once
    );
    assert_eq!(ended["result"]["summary"]["applied"], count, "{ended}");
    let written = sandboxes.calls_of("POST finance/agreements/{id}/additions");
    assert_eq!(written, count);
    // The agreements in pages, each one's additions, once more before it is written to, and the write.
    let floor = agreements.div_ceil(PAGE) + agreements + 2 * count;
    ratio("night, full read and 2 % writes (B1)", sandboxes.calls(), floor, 1_020);
    let fastest = times(told.latency, floor, told.at_once);
    of_floor("night, full read and 2 % writes (B2)", took, fastest, 1_060);
    at_most("memory of the service", peak_mib(service.process()), "MiB", 96);
    let again = desk::run(&person, ORG, &json!({ "kind": "sync", "changed": true })).1;
    assert_eq!(again["result"]["summary"]["applied"], 0, "what was written is written once: {again}");
    drop(service);
    sandboxes.stop();
}

/// One pull meets the limit and learns it; the next one is measured.
fn limit(told: Told, agreements: u64) {
    let sandboxes = Sandboxes::start(vec![seed(agreements)]);
    let (service, pass) = desk::laid_out(&sandboxes, told.at_once, &feed(0..0, 0));
    let person = service.known(&pass);
    sandboxes.answer_after(told.latency);
    sandboxes.control(0).set_rate_limit(json!({ "per_minute": LIMIT })).unwrap();
    desk::run(&person, ORG, &json!({ "kind": "pull" }));
    println!(
        "limit of {LIMIT} calls a minute, {agreements} agreements: {} refusals while it was learnt",
        sandboxes.answered("429")
    );
    sandboxes.answer_after(told.latency);
    let (took, _) = desk::run(&person, ORG, &json!({ "kind": "pull" }));
    let floor = agreements.div_ceil(PAGE) + agreements;
    let calls = sandboxes.calls();
    ratio("pull under a limit that is learnt (B1)", calls, floor, 1_020);
    let fastest = (MINUTE * u32::try_from(floor).unwrap() / u32::try_from(LIMIT).unwrap()).max(times(
        told.latency,
        floor,
        told.at_once,
    ));
    of_floor("pull under a limit that is learnt (B2)", took, fastest, 1_020);
    at_most("calls refused once it is learnt", sandboxes.answered("429"), "calls", 0);
    drop(service);
    sandboxes.stop();
}

/// The limit falls to a fifth, and of what is left three calls in ten are refused, half of those without a word on how long
/// to wait. Nobody can do anything about those three: they are part of the floor.
fn storm(told: Told, agreements: u64) {
    let sandboxes = Sandboxes::start(vec![seed(agreements)]);
    let (service, pass) = desk::laid_out(&sandboxes, told.at_once, &feed(0..0, 0));
    let person = service.known(&pass);
    sandboxes.answer_after(told.latency);
    let control = sandboxes.control(0);
    control.set_rate_limit(json!({ "per_minute": LIMIT })).unwrap();
    while sandboxes.answered("429") == 0 {
        desk::run(&person, ORG, &json!({ "kind": "pull" }));
    }
    // What was called before counts no more when the storm begins.
    std::thread::sleep(MINUTE);
    control.set_rate_limit(json!({ "per_minute": STORM, "html": true })).unwrap();
    let each = json!(format!("0.{:03}", REFUSED / 2).parse::<f64>().unwrap());
    control.set_faults(json!({ "seed": 7, "rates": { "status_429": each, "status_503": each } })).unwrap();
    sandboxes.answer_after(told.latency);
    let over = Arc::new(AtomicBool::new(false));
    let watched = watch(&sandboxes, &over);
    let (took, ended) = desk::run(&person, ORG, &json!({ "kind": "pull" }));
    over.store(true, Ordering::Relaxed);
    let most = watched.join().unwrap();
    assert_eq!(ended["result"]["agreements"], agreements, "{ended}");
    let least = agreements.div_ceil(PAGE) + agreements;
    let floor = (least * 1_000).div_ceil(1_000 - REFUSED);
    println!("storm: {agreements} agreements, {STORM} calls a minute, {REFUSED} of 1,000 refused");
    ratio("calls in a storm (B3)", sandboxes.calls(), floor, 1_150);
    // The first ones, as many as the limit is, are let through at once.
    let fastest =
        MINUTE * u32::try_from(floor.saturating_sub(STORM)).unwrap() / u32::try_from(STORM).unwrap();
    of_floor("a pull in a storm (B3)", took, fastest, 1_150);
    at_most("calls in any minute of it", most, "calls", STORM * 11 / 10);
    drop(service);
    sandboxes.stop();
}

/// The most calls that came in within any minute.
fn watch(sandboxes: &Sandboxes, over: &Arc<AtomicBool>) -> std::thread::JoinHandle<u64> {
    let (control, over) = (sandboxes.control(0), Arc::clone(over));
    std::thread::spawn(move || {
        let mut seen: Vec<(Instant, u64)> = Vec::new();
        let mut most = 0;
        while !over.load(Ordering::Relaxed) {
            let (now, total) = (Instant::now(), control.journal_summary()["total"].as_u64().unwrap_or(0));
            seen.push((now, total));
            let first = seen.iter().find(|(at, _)| now.duration_since(*at) <= MINUTE);
            most = most.max(total - first.map_or(0, |(_, before)| *before));
            std::thread::sleep(Duration::from_millis(500));
        }
        most
    })
}
