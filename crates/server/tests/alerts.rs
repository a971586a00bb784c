//! Alerts and their tickets, through the binary's front door against the sandbox. Each test carries the ids of the checks
//! it stands for: AX of a vendor whose alerts become tickets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "cli/bench.rs"]
#[allow(dead_code, reason = "the bench is shared, and not every test needs all of it")]
mod bench;

mod alerts {
    pub mod desk;
    mod doubt;
    mod life;
    mod order;
    mod rules;
    mod told;
}
