//! A year of nights: counters go up and down, alerts come and go, ConnectWise and the source are out of reach for days,
//! the process is killed in the middle, two of them run at once, and people change quantities, prices and tickets by
//! hand. In the end every quantity is what its source counts, every alert has exactly one ticket, and no price was ever
//! changed.
//!
//! The year is told by its seed. Levels, prices and alerts are kept here by the rules of the source alone: nothing of the
//! planner and of the decisions about tickets is used for it. `TRUEUP_SEED=n` runs one year, `TRUEUP_YEARS=n` so many of
//! them, `TRUEUP_YEAR_DAYS=n` shorter ones.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "wire, store and clock are shared with the schedules of the whole")]

#[path = "storm/book.rs"]
mod book;
#[path = "storm/bug.rs"]
mod bug;
#[path = "storm/clock.rs"]
mod clock;
#[path = "storm/http.rs"]
mod http;
#[path = "storm/psa.rs"]
mod psa;
#[path = "storm/rng.rs"]
mod rng;
#[path = "storm/store.rs"]
mod store;
#[path = "storm/wire.rs"]
mod wire;

#[path = "year/alerts.rs"]
mod alerts;
#[path = "year/counts.rs"]
mod counts;
#[path = "year/desk.rs"]
mod desk;
#[path = "year/judge.rs"]
mod judge;
#[path = "year/nights.rs"]
mod nights;
#[path = "year/people.rs"]
mod people;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Instant;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn after_a_year_of_nights_quantities_are_their_sources_and_alerts_have_one_ticket_each() {
    let full = std::env::var("TRUEUP_TORTURE").is_ok_and(|size| size == "full");
    let days = number("TRUEUP_YEAR_DAYS").unwrap_or(if full { 366 } else { 45 });
    if let Some(seed) = number("TRUEUP_SEED") {
        match nights::year(seed, days) {
            Ok(counts) => println!("seed {seed}: {counts:?}"),
            Err(what) => panic!("seed {seed}: {what}"),
        }
        return;
    }
    let count = number("TRUEUP_YEARS").unwrap_or(if full { 40 } else { 2 });
    let (begun, next) = (Instant::now(), AtomicU64::new(0));
    let failed: Mutex<Option<String>> = Mutex::new(None);
    let workers = std::thread::available_parallelism().map_or(2, usize::from).min(8);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, SeqCst);
                    if seed >= count || failed.lock().unwrap().is_some() {
                        return;
                    }
                    match nights::year(seed, days) {
                        Ok(counts) => println!("seed {seed}, {days} days: {counts:?}"),
                        Err(what) => {
                            let told =
                                format!("seed {seed}: {what}\n(TRUEUP_SEED={seed} TRUEUP_YEAR_DAYS={days})");
                            failed.lock().unwrap().get_or_insert(told);
                        }
                    }
                }
            });
        }
    });
    if let Some(what) = failed.into_inner().unwrap() {
        panic!("{what}");
    }
    println!("{count} times {days} days in {:.1?}", begun.elapsed());
}
