//! The use cases of trueup: take in, check, observe, plan, apply, record, explain.
//!
//! Everything here is asynchronous and reaches the world through the four ports of [`ports`] alone: the PSA, the
//! sources, the store and the clock.

mod access;
pub mod alerts;
pub mod apply;
pub mod applying;
pub mod approvals;
mod brakes;
pub mod catalog;
pub mod explain;
pub mod failure;
pub mod feed;
pub mod figures;
pub mod findings;
mod footing;
pub mod jobs;
pub mod mappings;
pub mod notify;
pub mod observe;
pub mod organizations;
pub mod outbox;
pub mod planning;
pub mod ports;
pub mod presence;
pub mod quantity;
pub mod reconcile;
pub mod records;
pub mod schedule;
pub mod settings;
pub mod tasks;
pub mod undo;
