//! What the benchmarks share: the binary as a child whose memory is watched, and lines that name their goal.
#![allow(dead_code, reason = "each benchmark uses its own part")]

pub mod tenant;

use serde_json::Value;
use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What a command did.
pub struct Ran {
    /// The document on standard output.
    pub document: Value,
    /// From start to end.
    pub took: Duration,
    /// The most memory it ever held, in MiB; 0 where the system does not tell.
    pub peak_mib: u64,
}

/// Whether the benchmark really runs: under `cargo test --all-targets` it only shows that it works.
pub fn in_earnest() -> bool {
    std::env::args().any(|argument| argument == "--bench")
}

/// The number after a flag, where it is given.
pub fn number(flag: &str) -> Option<u64> {
    std::env::args().skip_while(|argument| argument != flag).nth(1)?.parse().ok()
}

/// Runs `trueup` with a data directory, for programs, and reads what it says.
pub fn trueup(data: &Path, environment: &[(&str, &str)], arguments: &[&str]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trueup"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TRUEUP_")) {
        command.env_remove(name);
    }
    command
        .args(arguments)
        .args(["--format", "json"])
        .env("TRUEUP_DATA_DIR", data)
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let started = Instant::now();
    let mut child = command.spawn().unwrap_or_else(|error| panic!("trueup could not be started: {error}"));
    let mut output = child.stdout.take().unwrap_or_else(|| panic!("no output"));
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        output.read_to_string(&mut text).map(|_| text)
    });
    let (code, peak_mib) = watch(&mut child);
    let took = started.elapsed();
    let text = match reader.join() {
        Ok(Ok(text)) => text,
        Ok(Err(error)) => panic!("the output could not be read: {error}"),
        Err(_) => panic!("the output could not be read"),
    };
    assert!(matches!(code, Some(0 | 1)), "trueup {arguments:?} ended with {code:?}: {text}");
    let document =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {text}"));
    Ran { document, took, peak_mib }
}

/// Waits for the end and reads the mark of the most memory as long as there is something to read.
fn watch(child: &mut Child) -> (Option<i32>, u64) {
    let mut peak = 0;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return (status.code(), peak),
            Ok(None) => {}
            Err(error) => panic!("trueup could not be waited for: {error}"),
        }
        peak = peak.max(peak_mib(child.id()));
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Thousandths of a ratio, rounded up so that no goal is met by rounding.
pub fn permille(part: u64, whole: u64) -> u64 {
    (part * 1_000).div_ceil(whole.max(1))
}

/// One result: what was measured, its floor, the ratio and the goal.
pub fn ratio(name: &str, measured: u64, floor: u64, goal_permille: u64) {
    let found = permille(measured, floor);
    let verdict = if found <= goal_permille { "met" } else { "MISSED" };
    println!(
        "{name}: {measured} calls, floor {floor}, ratio {}, goal at most {}: {verdict}",
        shown(found),
        shown(goal_permille)
    );
}

/// One result that must not be above its goal.
pub fn at_most(name: &str, measured: u64, unit: &str, goal: u64) {
    let verdict = if measured <= goal { "met" } else { "MISSED" };
    println!("{name}: {measured} {unit}, goal at most {goal} {unit}: {verdict}");
}

/// One result in milliseconds beside the fewest that are possible.
pub fn of_floor(name: &str, measured: Duration, floor: Duration, goal_permille: u64) {
    let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let found = permille(ms(measured), ms(floor));
    let verdict = if found <= goal_permille { "met" } else { "MISSED" };
    println!(
        "{name}: {} ms, floor {}, ratio {}, goal at most {}: {verdict}",
        ms(measured),
        ms(floor),
        shown(found),
        shown(goal_permille)
    );
}

/// The most memory that a process held so far, in MiB; 0 where the system does not tell.
pub fn peak_mib(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let mark = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    mark.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) / 1_024
}

/// Thousandths, as a number with a point.
pub fn shown(permille: u64) -> String {
    format!("{}.{:03}", permille / 1_000, permille % 1_000)
}
