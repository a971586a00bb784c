//! The contract of the store: one suite, run on SQLite and on PostgreSQL.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod alerts;
mod approvals;
mod audit;
mod budgets;
mod feed;
mod jobs;
mod journal;
mod outbox;
mod picture;
mod quantity;
mod schedules;
mod scope;
mod service;
mod support;
mod tenancy;
mod versions;
mod work;
