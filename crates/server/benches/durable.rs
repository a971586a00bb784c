//! Operations a second where ConnectWise answers at once: each is in the journal before its call, and its outcome before
//! the next one (B7). Beside it the jobs a second of graphile-worker on the same PostgreSQL, where its package is installed.
//!
//! `cargo bench -p trueup-server --bench durable [-- --operations N] [--at-once N]`; by itself 20,000 at 10 and at 24 at once.
//! `benches/durable.sh` installs the peer first and names its folder (`TRUEUP_BENCH_PEERS`).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a benchmark whose result is wrong stops"
)]

#[path = "support/service.rs"]
mod service;
mod support;

use service::desk::Sandboxes;
use service::postgres;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use support::tenant::{TODAY, feed, seed};
use support::{in_earnest, number, permille, shown, trueup};

const POST: &str = "POST finance/agreements/{id}/additions";
/// Operations of an agreement.
const EACH: u64 = 10;
/// Thousandths of the peer's jobs a second.
const GOAL: u64 = 2_000;

fn main() {
    let operations = number("--operations").unwrap_or(if in_earnest() { 20_000 } else { 40 });
    let all = [10, 24];
    let wanted = number("--at-once");
    for at_once in wanted.as_ref().map_or(&all[..], std::slice::from_ref) {
        let sqlite = ours(operations, *at_once, None);
        println!("durable, {at_once} at once, SQLite: {}", told(operations, sqlite));
        let Some(server) = postgres::Server::durable() else {
            println!("durable, {at_once} at once, PostgreSQL: skipped, it is not installed");
            continue;
        };
        let found = ours(operations, *at_once, Some(&server.url()));
        println!("durable, {at_once} at once, PostgreSQL: {}", told(operations, found));
        match peer(operations, *at_once, &server.url()) {
            None => println!("graphile-worker: skipped, TRUEUP_BENCH_PEERS names no folder that has it"),
            Some(jobs) => {
                println!("graphile-worker, {at_once} at once: {jobs} jobs/s");
                for (name, took) in [("SQLite", sqlite), ("PostgreSQL", found)] {
                    let found = permille(a_second(operations, took), jobs);
                    let verdict = if found >= GOAL { "met" } else { "MISSED" };
                    let goal = shown(GOAL);
                    println!(
                        "durable, {at_once} at once, {name} over graphile-worker (B7): ratio {}, goal at least {goal}: \
                         {verdict}",
                        shown(found)
                    );
                }
            }
        }
    }
}

fn a_second(operations: u64, took: Duration) -> u64 {
    operations * 1_000_000 / u64::try_from(took.as_micros()).unwrap().max(1)
}

fn told(operations: u64, took: Duration) -> String {
    format!("{operations} operations in {} ms, {} operations/s", took.as_millis(), a_second(operations, took))
}

/// From the first write that ConnectWise sees to the last one.
fn ours(operations: u64, at_once: u64, database: Option<&str>) -> Duration {
    let agreements = operations / EACH;
    let sandboxes = Sandboxes::start(vec![seed(agreements)]);
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let access = sandboxes.connection(0);
    let of = |name: &str| access[name].as_str().unwrap().to_owned();
    let (key, at_once) = (of("private_key"), at_once.to_string());
    let mut environment = vec![
        ("TRUEUP_TODAY", TODAY),
        ("TRUEUP_CONNECTWISE_PRIVATE_KEY", key.as_str()),
        ("TRUEUP_CALLS_AT_ONCE", at_once.as_str()),
    ];
    environment.extend(database.map(|url| ("TRUEUP_DATABASE_URL", url)));
    let run = |arguments: &[&str]| trueup(&data, &environment, arguments);
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (orders, mappings) = feed(1..=agreements, EACH);
    let (url, company, public, id) = (of("url"), of("company"), of("public_key"), of("client_id"));
    let mut add = vec!["connection", "add", "--url", &url, "--company", &company];
    add.extend(["--public-key", &public, "--client-id", &id]);
    run(&add);
    run(&["feed", "import", &file("feed.ndjson", &orders)]);
    run(&["mapping", "import", &file("mappings.csv", &mappings)]);
    run(&["check"]);
    let over = Arc::new(AtomicBool::new(false));
    let (control, is_over) = (sandboxes.control(0), Arc::clone(&over));
    let watched = std::thread::spawn(move || {
        let (mut first, mut last, mut seen) = (None, Instant::now(), 0);
        while !is_over.load(Ordering::Relaxed) {
            let count = control.journal_summary()["calls"][POST].as_u64().unwrap_or(0);
            if count > seen {
                (seen, last) = (count, Instant::now());
                first.get_or_insert(last);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        (seen, last.duration_since(first.unwrap_or(last)))
    });
    let applied = run(&["apply", "--all", "--approve"]);
    over.store(true, Ordering::Relaxed);
    let (seen, took) = watched.join().unwrap();
    assert_eq!((seen, &applied.document["summary"]["applied"]), (operations, &operations.into()));
    sandboxes.stop();
    took
}

/// Jobs a second of the peer on this database; none where it is not installed.
fn peer(jobs: u64, at_once: u64, database: &str) -> Option<u64> {
    let folder = std::env::var_os("TRUEUP_BENCH_PEERS")?;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../benches/graphile_worker.cjs");
    let output = Command::new("node")
        .args([script, database, &jobs.to_string(), &at_once.to_string()])
        .current_dir(folder)
        .output()
        .ok()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().parse().ok()
}
