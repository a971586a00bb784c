//! The pure core of trueup.
//!
//! Everything that decides what a ConnectWise agreement should hold lives here: money, periods, the feed's records,
//! mappings, settings, the planner and the checker. Nothing in this crate reads a clock, a file, a socket or a random
//! number, and nothing is asynchronous: the same input gives the same plan, to the byte.

pub mod alert;
pub mod amendment;
pub mod approval;
pub mod balance;
pub mod billing;
pub mod brakes;
pub mod check;
pub mod desired;
pub mod feed;
pub mod figures;
pub mod finding;
pub mod ids;
pub mod mapping;
pub mod mapping_rules;
pub mod money;
mod parallel;
pub mod period;
pub mod plan;
pub mod planner;
pub mod price_watch;
pub mod proration;
pub mod psa;
pub mod quantity;
pub mod schedule;
pub mod settings;
pub mod task;
pub mod ticket;
pub mod turns;

pub use rust_decimal::Decimal;
