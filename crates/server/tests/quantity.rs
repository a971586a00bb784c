//! Quantities of what is only counted, through the binary's front door against the sandbox. Each test carries the ids of
//! the checks it stands for: MP of the nightly mode of a mail vendor, AX of a push on a day of the month.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "cli/bench.rs"]
#[allow(dead_code, reason = "the bench is shared, and not every test needs all of it")]
mod bench;

mod quantity {
    mod connection;
    mod days;
    pub mod desk;
    mod lines;
    mod resumed;
    mod runs;
    mod setting;
    mod sources;
}
