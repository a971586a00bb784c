//! The service over HTTP on a real socket: the binary is started, and spoken to as any program would.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "api/approvals.rs"]
mod approvals;
#[path = "api/bench.rs"]
mod bench;
#[path = "api/budget.rs"]
mod budget;
#[path = "api/callbacks.rs"]
mod callbacks;
#[path = "api/canary.rs"]
mod canary;
#[path = "api/connections.rs"]
mod connections;
#[path = "api/creating.rs"]
mod creating;
#[path = "api/dumps.rs"]
mod dumps;
#[path = "api/figures.rs"]
mod figures;
#[path = "api/forms.rs"]
mod forms;
#[path = "api/full_disk.rs"]
mod full_disk;
#[path = "api/hostile.rs"]
mod hostile;
#[path = "api/http.rs"]
mod http;
#[path = "api/jobs.rs"]
mod jobs;
#[path = "api/lists.rs"]
mod lists;
#[path = "api/many.rs"]
mod many;
#[path = "api/mapping.rs"]
mod mapping;
#[path = "api/moving.rs"]
mod moving;
#[path = "api/oidc.rs"]
mod oidc;
#[path = "api/operations.rs"]
mod operations;
#[path = "api/people.rs"]
mod people;
#[path = "api/pickers.rs"]
mod pickers;
#[path = "api/postgres.rs"]
mod postgres;
#[path = "api/provider.rs"]
mod provider;
#[path = "api/sandbox.rs"]
mod sandbox;
#[path = "api/schedules.rs"]
mod schedules;
#[path = "api/smtp.rs"]
mod smtp;
#[path = "api/starting.rs"]
mod starting;
#[path = "api/tenancy.rs"]
mod tenancy;
#[path = "api/traces.rs"]
mod traces;
#[path = "api/webhooks.rs"]
mod webhooks;
#[path = "api/work.rs"]
mod work;
#[path = "api/workers.rs"]
mod workers;
