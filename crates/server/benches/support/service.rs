//! The service as the tests of its API start it, and what the benchmarks lay out with it.
#![allow(dead_code, reason = "each benchmark uses its own part, and the workbench of the tests has more")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a benchmark whose result is wrong stops"
)]

#[path = "../../tests/api/bench.rs"]
pub mod bench;
pub mod desk;
#[path = "../../tests/api/http.rs"]
pub mod http;
pub mod many;
#[path = "../../tests/api/postgres.rs"]
pub mod postgres;
