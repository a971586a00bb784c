//! The way of billing by product history, single, dual and dated lines, through the service's front door against the
//! sandbox: settings, mapping, release, validate and upload. Each test carries the id of the check it stands for; those of
//! the lines themselves are tables of the domain.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "api/bench.rs"]
#[allow(dead_code, reason = "the bench is shared, and not every test needs all of it")]
mod bench;
#[path = "api/http.rs"]
#[allow(dead_code, reason = "the client is shared")]
mod http;
#[path = "api/postgres.rs"]
#[allow(dead_code, reason = "the bench may start one")]
mod postgres;
#[path = "api/sandbox.rs"]
#[allow(dead_code, reason = "the sandbox is shared")]
mod sandbox;

mod c3 {
    pub mod desk;
    mod mapping;
    mod release;
    mod settings;
    mod upload;
    mod validate;
}
