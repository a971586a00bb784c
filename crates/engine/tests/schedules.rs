//! Seeded schedules of apply: drops, late executions, throttling, crashes, pauses, people. No addition may be doubled,
//! lost or wrong. `TRUEUP_SCHEDULES` sets how many, `TRUEUP_SCHEDULE_SECONDS` how long (a fifth of it is theirs); every failure names its seed, and `TRUEUP_SEED` runs that one alone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod sim;

use sim::plans::scenario;
use sim::schedule::{Prepared, Setup, run};
use std::time::{Duration, Instant};
use trueup_engine::apply::core::Quirks;

const TEMPLATES: u64 = 64;

fn templates() -> Vec<Prepared> {
    (0..TEMPLATES).map(|n| Prepared::new(scenario(n))).collect()
}

fn of_seed(all: &[Prepared], seed: u64) -> &Prepared {
    &all[usize::try_from(seed % TEMPLATES).unwrap()]
}

#[test]
fn nothing_is_doubled_lost_or_wrong() {
    let all = templates();
    if let Some(seed) = sim::env_number("TRUEUP_SEED") {
        if let Err(what) = run(of_seed(&all, seed), seed, Setup::default()) {
            panic!("{what}");
        }
        return;
    }
    let wanted = sim::env_number("TRUEUP_SCHEDULES");
    let begun = Instant::now();
    let mut seed = 0;
    // Without a number: as many as a build without optimisation manages in the time that a test may take.
    let time = sim::env_number("TRUEUP_SCHEDULE_SECONDS").map_or(15, |all| all / 5);
    while wanted.map_or(seed == 0 || begun.elapsed() < Duration::from_secs(time), |n| seed < n) {
        if let Err(what) = run(of_seed(&all, seed), seed, Setup::default()) {
            panic!("{what} (TRUEUP_SEED={seed} runs it alone)");
        }
        seed += 1;
    }
    let per_second = u128::from(seed) * 1000 / begun.elapsed().as_millis().max(1);
    println!("{seed} schedules, {per_second} a second");
}

#[test]
fn without_faults_every_agreement_is_read_once_and_every_change_sent_once() {
    for (n, prepared) in templates().iter().enumerate() {
        let setup = Setup { faults: false, ..Setup::default() };
        let outcome = run(prepared, n as u64, setup).unwrap();
        let floor = 1 + prepared.layout.lanes.len() + prepared.layout.steps.len();
        assert_eq!(outcome.calls, floor as u64, "plan {n}");
    }
}

/// A planted bug must show within a thousand seeds.
fn caught(name: &str, setup: Setup) {
    let all = templates();
    let first = (0..1000).find(|seed| run(of_seed(&all, *seed), *seed, setup).is_err());
    match first {
        Some(seed) => println!("{name}: caught by seed {seed}"),
        None => panic!("{name} is not noticed by 1000 schedules"),
    }
}

#[test]
fn blind_retry_is_caught() {
    caught(
        "blind retry",
        Setup { quirks: Quirks { blind_retry: true, ..Quirks::default() }, ..Setup::default() },
    );
}

#[test]
fn a_settle_time_shorter_than_the_servers_limit_is_caught() {
    caught("short settle", Setup { settle_ms: 10_000, ..Setup::default() });
}

#[test]
fn a_journal_without_fence_is_caught() {
    caught("no fence", Setup { fenced: false, ..Setup::default() });
}

#[test]
fn belief_in_an_empty_list_is_caught() {
    let quirks = Quirks { trusts_empty_list: true, ..Quirks::default() };
    caught("trusts empty list", Setup { quirks, lies: true, ..Setup::default() });
}

#[test]
fn a_forgotten_send_is_caught() {
    let quirks = Quirks { forgets_sends: true, ..Quirks::default() };
    caught("forgets sends", Setup { quirks, ..Setup::default() });
}

#[test]
fn writing_without_a_look_is_caught() {
    let quirks = Quirks { skips_check: true, ..Quirks::default() };
    caught("skips the check", Setup { quirks, ..Setup::default() });
}

#[test]
fn lists_that_lie_do_no_harm() {
    let all = templates();
    for seed in 0..5_000 {
        if let Err(what) = run(of_seed(&all, seed), seed, Setup { lies: true, ..Setup::default() }) {
            panic!("{what}");
        }
    }
}
