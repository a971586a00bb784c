//! A process that is really killed (`kill -9`) in the middle of an apply of 250 operations, at every kind of boundary of
//! a call, and started again: each addition is there exactly once.
//!
//! `TRUEUP_KILLS` says how many kills (100 by itself, 1,000 with `TRUEUP_TORTURE=full`).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "cli/bench.rs"]
#[allow(dead_code, reason = "the command line's tests use all of it")]
mod bench;

use bench::{Bench, MAPPINGS};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

const SUBSCRIPTIONS: usize = 100;
const CHANGED: usize = 50;

/// 100 sales (one create each) and 50 upgrades (two creates and an end each): 250 operations.
fn feed() -> String {
    let mut text = String::from(
        "{\"type\":\"customer\",\"id\":\"c-100\",\"name\":\"Green Lane LLC\"}\n\
         {\"type\":\"product\",\"id\":\"exo-p1\",\"name\":\"Exchange Online (Plan 1)\"}\n",
    );
    let frame = "\"period\":{\"start\":\"2023-03-01\",\"end\":\"2023-04-01\"},\"currency\":\"USD\"";
    let price = "\"product\":\"exo-p1\",\"unit_price\":\"22.00\",\"unit_cost\":\"17.60\"";
    for n in 0..SUBSCRIPTIONS {
        writeln!(
            text,
            "{{\"type\":\"subscription\",\"id\":\"s-{n}\",\"customer\":\"c-100\",\"status\":\"active\",\
             \"billing_cycle\":{{\"every\":1,\"unit\":\"month\"}},\"start\":\"2023-03-01\",\"currency\":\"USD\",\
             \"items\":[{{\"id\":\"seats\",\"product\":\"exo-p1\",\"quantity\":\"5\"}}]}}"
        )
        .unwrap();
        writeln!(
            text,
            "{{\"type\":\"order\",\"id\":\"SO-{n}\",\"kind\":\"sales\",\"subscription\":\"s-{n}\",\
             \"completed_at\":\"2023-03-01T09:00:00Z\",{frame},\"lines\":[{{\"id\":\"1\",\"charge\":\"recurring\",\
             \"quantity\":\"5\",{price}}}]}}"
        )
        .unwrap();
        if n < CHANGED {
            writeln!(
                text,
                "{{\"type\":\"order\",\"id\":\"CH-{n}\",\"kind\":\"change\",\"subscription\":\"s-{n}\",\
                 \"completed_at\":\"2023-03-15T09:00:00Z\",{frame},\"lines\":[{{\"id\":\"1\",\"charge\":\"recurring\",\
                 \"quantity\":\"3\",\"old_quantity\":\"5\",\"new_quantity\":\"8\",{price}}}]}}"
            )
            .unwrap();
        }
    }
    text
}

fn world() -> Bench {
    let mut bench = Bench::new("2023-03-20");
    bench.connect("2023-03-01");
    bench.feed(&feed()).exits(0);
    bench.map(MAPPINGS).exits(0);
    bench.json(&["check"]).exits(0);
    bench.env("TRUEUP_APPLY_SETTLE_SECONDS", "1");
    bench
}

/// Writes that the sandbox has carried out.
fn writes(bench: &Bench) -> usize {
    let journal = bench.ask("journal");
    let calls = journal.as_array().or_else(|| journal["requests"].as_array()).cloned().unwrap_or_default();
    let wrote = |c: &&Value| {
        matches!(c["method"].as_str(), Some("POST" | "PATCH" | "DELETE"))
            && c["executed"] == Value::Bool(true)
    };
    calls.iter().filter(wrote).count()
}

/// Waits until so many writes are carried out, or the process ends by itself.
fn wait_for(bench: &Bench, child: &mut std::process::Child, wanted: usize) -> bool {
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(60) {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        if writes(bench) >= wanted {
            return true;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("the run did not get on: {} writes, {wanted} wanted", writes(bench));
}

/// One kill; false when the run came through without one.
fn kill_once(bench: &Bench, number: usize) -> bool {
    let fault = |action: Value| json!({"schedule": [{"match": {"path_contains": "additions", "method": "POST"}, "nth": 1 + number % 2, "action": action, "delay_ms": 200}]});
    let before = writes(bench);
    match number % 4 {
        // Between effect and answer: carried out, and the answer is on its way when the process dies.
        1 => bench.control("faults", &fault(json!("slow"))),
        // The connection breaks, and the server carries the call out after the process is dead.
        2 => bench.control("faults", &fault(json!("late"))),
        // Before the intent, between intent and sending, between answer and commit: wherever it stands.
        _ => bench.control("faults", &json!({})),
    };
    let mut child = bench.start(&["apply", "--all"]);
    let reached = wait_for(bench, &mut child, before + 1 + number % 2);
    if reached {
        std::thread::sleep(Duration::from_micros((number as u64 * 7919) % 6000));
        child.kill().unwrap();
    }
    child.wait().unwrap();
    bench.control("faults", &json!({}));
    reached
}

/// Brings the run to its end without kills.
fn finish(bench: &Bench) {
    for _ in 0..6 {
        if bench.json(&["apply", "--all"]).exit == 0 {
            return;
        }
        std::thread::sleep(Duration::from_millis(1100));
    }
    let last = bench.json(&["apply", "--all"]);
    panic!("the run does not come to an end: {} {}", last.out, last.err);
}

/// Every addition that should be there is, once, and nothing else.
fn verify(bench: &Bench, kills: usize) {
    let state = bench.ask("state");
    let additions = &state["resources"]["finance/agreements/40/additions"];
    let additions: Vec<Value> = additions
        .as_array()
        .cloned()
        .or_else(|| state["resources"]["finance/agreements/{id}/additions"]["40"].as_array().cloned())
        .unwrap_or_else(|| panic!("no additions in {}", state["resources"]));
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut keys = BTreeSet::new();
    for addition in &additions {
        let day =
            |name: &str| addition[name].as_str().unwrap_or("-")[..].chars().take(10).collect::<String>();
        let text = format!(
            "{} x {} {}..{}",
            addition["quantity"],
            addition["unitPrice"],
            day("effectiveDate"),
            day("cancelledDate")
        );
        *counts.entry(text).or_default() += 1;
        assert!(
            keys.insert(addition["serialNumber"].to_string()),
            "a key twice after {kills} kills: {addition}"
        );
    }
    let wanted: BTreeMap<String, usize> = [
        ("5.0 x 22.0 2023-03-01..2023-03-31", CHANGED),
        ("5.0 x 22.0 2023-03-01..-", SUBSCRIPTIONS - CHANGED),
        ("8.0 x 22.0 2023-04-01..-", CHANGED),
        ("3.0 x 12.06 2023-03-15..2023-03-31", CHANGED),
    ]
    .into_iter()
    .map(|(text, count)| (text.to_owned(), count))
    .collect();
    assert_eq!(counts, wanted, "after {kills} kills");
    bench.json(&["audit", "verify"]).exits(0);
}

#[test]
fn a_killed_apply_leaves_each_addition_exactly_once() {
    let full = std::env::var("TRUEUP_TORTURE").is_ok_and(|v| v == "full");
    let wanted = std::env::var("TRUEUP_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(if full {
        1000
    } else {
        100
    });
    let mut kills = 0;
    let mut attempt = 0;
    while kills < wanted {
        let bench = world();
        while kills < wanted {
            attempt += 1;
            if !kill_once(&bench, attempt) {
                break;
            }
            kills += 1;
        }
        finish(&bench);
        verify(&bench, kills);
        println!("{kills} kills of {wanted}");
    }
}
