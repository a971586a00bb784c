//! The project's own chores, one word each: `cargo xtask <word>`.
//!
//! A fresh machine needs Rust and nothing else: whatever a chore wants beyond it is set up by [`setup`]
//! or named with the one line that installs it. Chores only call other programs; they know nothing of the
//! product, so that this crate builds in seconds and never holds a change up.

mod chores;
mod console;
mod run;
mod schemathesis;
mod setup;

use std::ffi::OsString;
use std::process::ExitCode;

const HELP: &str = "\
Chores of the project.

Usage: cargo xtask <CHORE> [ARGUMENTS]

  test [ARGS]     sets up what the tests need, then runs the whole suite (also: cargo test-all)
  check           format, clippy, documentation, dependency rules, architecture
  console         builds the console's files into web/dist
  screenshots     pictures of every page of the console, into target/screenshots
  demo [ARGS]     builds trueup and runs `trueup demo` (also: cargo demo)
  torture [ARGS]  the long suites: crashes, faults, many thousands of random cases
  bench [ARGS]    the benchmarks, then the comparison with a peer
  schemathesis    a service over sample data against its own document, with made-up requests
  setup           only the set-up, for working without the network afterwards

Arguments after the chore go to the program it runs.";

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let chore = arguments.next().unwrap_or_default();
    let rest: Vec<OsString> = arguments.collect();
    let outcome = match chore.to_str() {
        Some("test") => chores::test(&rest),
        Some("check") => chores::check(),
        Some("console") => console::build(),
        Some("screenshots") => chores::screenshots(),
        Some("demo") => chores::demo(&rest),
        Some("torture") => chores::torture(&rest),
        Some("bench") => chores::bench(&rest),
        Some("schemathesis") => schemathesis::run(&rest),
        Some("setup") => chores::set_up(),
        Some("" | "help" | "-h" | "--help") => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprintln!("xtask: there is no chore named {}\n\n{HELP}", chore.to_string_lossy());
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
