//! The chores themselves: each a short list of commands.

use std::ffi::OsString;
use std::process::Command;

use anyhow::{Context, Result};

use crate::run::{cargo, output, root, run, succeeds};
use crate::{console, setup};

/// What every other chore fetches or installs, so that they need no network afterwards.
pub fn set_up() -> Result<()> {
    run(cargo().args(["fetch", "--locked"]))?;
    setup::for_tests()?;
    console::fetch()?;
    setup::cargo_deny().map(drop)
}

/// The whole suite. Plain `cargo test`, since it is on every machine that has Rust.
pub fn test(arguments: &[OsString]) -> Result<()> {
    let tools = setup::for_tests()?;
    console::build_or_tell()?;
    let mut command = cargo();
    command.args(["test", "--workspace", "--no-fail-fast"]).args(arguments);
    // As many seeded schedules as fit in five minutes: the tests that run them share the time.
    if std::env::var_os("TRUEUP_SCHEDULE_SECONDS").is_none() {
        command.env("TRUEUP_SCHEDULE_SECONDS", "300");
    }
    // The same cases in every run: what is new about a change is what makes it fail. `torture` looks for further ones.
    if std::env::var_os("PROPTEST_RNG_SEED").is_none() {
        command.env("PROPTEST_RNG_SEED", "1");
    }
    tools.export(&mut command);
    let all = run(&mut command);
    if !arguments.is_empty() {
        return all;
    }
    all.and(test_on_postgres(&tools))
}

/// Suites that run on SQLite by themselves once more, on PostgreSQL.
fn test_on_postgres(tools: &setup::TestTools) -> Result<()> {
    if tools.postgres.is_none() {
        println!("skipped: alerts, quantity and delta on PostgreSQL");
        return Ok(());
    }
    let mut command = cargo();
    // All tests of the workspace, and of them those by name: a choice of suites would build the libraries anew, with the
    // features that those alone ask for.
    command.args(["test", "--workspace", "--tests", "--no-fail-fast", "--quiet", "--"]);
    command.args(["alerts::", "quantity::", "delta::"]);
    // Their settings and single lines are the core's, and take no other way in the store than their runs do.
    command.args(["--skip", "quantity::setting", "--skip", "quantity::lines"]);
    tools.export(&mut command);
    run(command.env("TRUEUP_TEST_ON", "postgres"))
}

/// Everything a change must satisfy beside its tests; the quick ones first.
pub fn check() -> Result<()> {
    run(cargo().args(["fmt", "--all", "--check"]))?;
    console::check()?;
    let deny = setup::cargo_deny()?;
    run(Command::new(deny).current_dir(root()).args([
        "check",
        "--hide-inclusion-graph",
        "bans",
        "licenses",
        "sources",
    ]))?;
    run(cargo().args(["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"]))?;
    run(cargo().args(["doc", "--workspace", "--no-deps", "--quiet"]).env("RUSTDOCFLAGS", "-D warnings"))?;
    run(cargo().args(["test", "-p", "trueup-server", "--test", "architecture"]))
}

/// One command to see it work. The dev profile, since a first build in it takes half the time.
pub fn demo(arguments: &[OsString]) -> Result<()> {
    console::build_or_tell()?;
    run(cargo().args(["run", "-p", "trueup-server", "--bin", "trueup", "--", "demo"]).args(arguments))
}

/// Pictures of every page of the console into `target/screenshots`.
pub fn screenshots() -> Result<()> {
    console::build()?;
    let folder = root().join("target").join("screenshots");
    let tools = setup::for_tests()?;
    let mut command = cargo();
    command.args([
        "test",
        "-p",
        "trueup-server",
        "--test",
        "browser",
        "--",
        "--nocapture",
        "without_barriers",
        "by_another_service",
    ]);
    command.env("TRUEUP_SCREENSHOTS", &folder);
    tools.export(&mut command);
    run(&mut command)?;
    eprintln!("xtask: the pictures are in {}", folder.display());
    Ok(())
}

/// The long suites: kills, faults and random cases in numbers that a normal run cannot afford.
///
/// A test reads `TRUEUP_TORTURE` to choose its size: unset is the quick pass every `cargo test` makes, `full`
/// the long one: 1,000 kills, 1,000 schedules of the whole and 40 years of nights. `TRUEUP_SCHEDULES` counts those of the apply core
/// alone, `TRUEUP_DRIVER_SCHEDULES` those of its driver, and `PROPTEST_CASES` raises every property test. Each can
/// be set from outside to go further, or lower for a trial. Tests that make sense only here are marked ignored, with this chore as the
/// reason. The dev profile is that of every other run, so nothing is built again; `--release` goes in by hand.
pub fn torture(arguments: &[OsString]) -> Result<()> {
    let tools = setup::for_tests()?;
    // One after the other: such a test starts processes of its own and measures whether they come back.
    let mut command = cargo();
    command.args(["test", "--workspace", "--lib", "--bins", "--tests"]).args(arguments);
    command.args(["--", "--include-ignored", "--nocapture", "--test-threads=1"]);
    let sizes = [
        ("TRUEUP_TORTURE", "full"),
        ("TRUEUP_SCHEDULES", "1000000"),
        ("TRUEUP_DRIVER_SCHEDULES", "20000"),
        ("PROPTEST_CASES", "5000"),
    ];
    for (name, value) in sizes {
        if std::env::var_os(name).is_none() {
            command.env(name, value);
        }
    }
    tools.export(&mut command);
    run(&mut command)
}

/// Every benchmark target of the workspace, and nothing else: the unit tests' harness does not know the
/// benchmarks' arguments. Then the comparison with a peer, where there is a Python to run it with.
pub fn bench(arguments: &[OsString]) -> Result<()> {
    // cargo takes a pattern that matches nothing for a mistake.
    let targets = output(cargo().args(["metadata", "--no-deps", "--format-version", "1"]));
    if !targets.context("`cargo metadata` failed")?.contains(r#""kind":["bench"]"#) {
        eprintln!("xtask: there are no benchmarks");
        return Ok(());
    }
    let tools = setup::for_tests()?;
    let mut command = cargo();
    command.args(["bench", "--workspace", "--bench", "*"]).args(arguments);
    tools.export(&mut command);
    run(&mut command)?;
    compare_with_peers();
    Ok(())
}

/// A machine without Python or without a way to the peer still has its own figures, so this is told and no failure.
fn compare_with_peers() {
    let script = root().join("benches").join("compare.sh");
    if !succeeds(Command::new("python3").arg("--version")) {
        eprintln!("xtask: not compared with Polars: there is no python3");
    } else if let Err(error) = run(Command::new("bash").arg(script).current_dir(root())) {
        eprintln!("xtask: not compared with Polars: {error:#}");
    }
}
