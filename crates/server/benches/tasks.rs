//! The list of 100,000 tasks over HTTP: every order, each filter, a text that nothing holds, and a page far down. The slowest
//! of several answers counts.
//!
//! `cargo bench -p trueup-server --bench tasks [-- --tasks N]`. On PostgreSQL as well where it is installed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a benchmark whose result is wrong stops"
)]

#[path = "support/service.rs"]
mod service;
mod support;

use serde_json::Value;
use service::bench::{Backend, Person, Service};
use service::many;
use std::time::{Duration, Instant};
use support::{in_earnest, number};

const GOAL_MS: u128 = 100;
const TIMES: usize = 5;
/// So many pages from the first one.
const DOWN: usize = 20;
const LIST: &str = "/api/v1/organizations/default/tasks?limit=50";
const OPEN: &str = "state=new,needs_mapping,ready,planned,applying,failed,in_doubt,blocked";

/// What the page asks for: a name and what stands in the address.
const ASKED: &[(&str, &str)] = &[
    ("as it opens", OPEN),
    ("all", ""),
    ("oldest first", "sort=completed"),
    ("last changed first", "sort=-moved"),
    ("by customer", "sort=customer"),
    ("by state", "sort=state"),
    ("by subscription", "sort=subscription"),
    ("of a state", "state=failed"),
    ("of a type", "kind=cancellation"),
    ("of a type that nothing has", "kind=transfer&sort=customer"),
    ("of a customer", "customer=c-0007&sort=-moved"),
    ("of a source", "source=market&sort=state"),
    ("by age", "min_age=30&sort=customer"),
    ("searched", "search=SO-00004"),
    ("searched, nothing there", "search=nowhere&sort=-moved"),
    ("searched by a customer's name", "search=customer%207%20ltd&sort=-moved"),
    ("searched by a company's name", "search=COMPANY%20899"),
    ("searched by what every name holds", "search=inc&sort=customer"),
    ("searched among the open", "state=ready,failed&search=s-0001&sort=customer"),
];

fn asked(person: &Person<'_>, query: &str) -> (Duration, Value) {
    let path = if query.is_empty() { LIST.to_owned() } else { format!("{LIST}&{query}") };
    let begun = Instant::now();
    let answer = person.get(&path).is(200);
    (begun.elapsed(), answer.json())
}

fn tell(name: &str, tasks: u64, what: &str, took: Duration) {
    let ms = took.as_millis();
    let verdict = if ms < GOAL_MS { "met" } else { "MISSED" };
    println!("{name}, {tasks} tasks, {what}: {ms} ms, goal below {GOAL_MS}: {verdict}");
}

fn measure(backend: Backend, name: &str, tasks: u64) {
    let Some(mut service) = Service::start(backend, &[("TRUEUP_TODAY", "2026-01-15")]) else { return };
    let pass = service.operator().pass();
    many::fill(&mut service, tasks);
    let person = service.known(&pass);
    for (what, query) in ASKED {
        let slowest = (0..TIMES).map(|_| asked(&person, query).0).max().unwrap();
        tell(name, tasks, what, slowest);
    }
    let mut cursor = String::new();
    let mut slowest = Duration::ZERO;
    for _ in 0..DOWN {
        let (took, page) = asked(&person, &format!("{OPEN}&sort=customer{cursor}"));
        slowest = slowest.max(took);
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    tell(name, tasks, "page after page", slowest);
}

fn main() {
    let tasks = number("--tasks").unwrap_or(if in_earnest() { 100_000 } else { 2_000 });
    measure(Backend::Sqlite, "SQLite", tasks);
    measure(Backend::Postgres, "PostgreSQL", tasks);
}
