//! Quantities of what a vendor only counts: mailboxes, accounts, gigabytes.
//!
//! A source tells levels ([`reading`]). A service assignment says as which catalog item a service is billed ([`config`]),
//! the customer's mappings say on which agreement. What the levels come to is a chain of steps that explains itself
//! ([`chain`]). The comparison with what the agreement holds ([`compare`]) gives a plan like any other, which is checked,
//! approved and carried out exactly once.
//!
//! The one promise of this mode: **a quantity and nothing else**. No change of it names a price, a cost, a text or a flag
//! of a line that is there, and a new line takes all of them from the catalog.

pub mod chain;
pub mod compare;
pub mod config;
mod decide;
mod find;
mod footing;
mod left;
pub mod line;
pub mod reading;
mod wants;

pub use compare::{Planned, QuantityPlan, Scene, agreements_of_interest, plan};
pub use config::{Assignment, Config, Entry, Level, Pick, ServiceTarget, Ticks};
pub use footing::footings;
pub use line::{Line, LineKey, Told, Verdict, counted_customer, quantity_subscription, quantity_task};
pub use reading::{Origin, Reading, ReadingKey, Readings, UsageSum};
pub use wants::{billed_as, chosen_agreement};

use crate::schedule::MonthDay;
use jiff::tz::TimeZone;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// What happens to a quantity that falls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decrease {
    /// The quantity follows down.
    #[default]
    Follow,
    /// It waits for a person.
    Hold,
    /// It stays, and a finding says so.
    Never,
}

/// The settings `quantity.*`, typed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Whether a customer is billed for the ticked services alone; else for every assigned one.
    pub ticked_only: bool,
    /// Whether a single open addition that is there is taken over without asking.
    pub takes_over: bool,
    /// Whether missing additions are created.
    pub creates: bool,
    /// What happens to a quantity that falls.
    pub decrease: Decrease,
    /// What falls below so many percent of what is billed waits, whatever [`Self::decrease`] says.
    pub fall_percent: Decimal,
    /// Where more than so many percent of a source's lines fall in one run, all of them wait; none where it does not
    /// count.
    pub drop_percent: Option<Decimal>,
    /// A counter that is older than so many days is not billed; 0 for ever.
    pub stale_days: u32,
    /// Whether the levels of customers without a company count for the nearest one above them that has one.
    pub with_children: bool,
    /// A scheduled run writes only where the next invoice is so many days away at most; none where it always writes.
    pub before_invoice_days: Option<u32>,
    /// Whether use is summed over the running month; else over the month before.
    pub usage_of_this_month: bool,
    /// The day of the month on which quantities are pushed, where they are once a month (`schedule.quantity`).
    #[serde(skip)]
    pub push_day: Option<MonthDay>,
    /// The time zone in which a day is today and a month is the one before (`schedule.time_zone`).
    #[serde(skip, default = "utc")]
    pub zone: TimeZone,
}

fn utc() -> TimeZone {
    TimeZone::UTC
}
