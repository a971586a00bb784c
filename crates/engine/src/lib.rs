//! The use cases of trueup: take in, check, observe, plan, apply, record, explain.
//!
//! Everything here is asynchronous and reaches the world through the four ports of [`ports`] alone: the PSA, the
//! sources, the store and the clock.

pub mod ports;
pub mod records;
