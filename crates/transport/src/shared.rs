//! One limit for several processes: what is known of it is kept in one place, and each process asks there.
//!
//! As long as no refusal has shown a limit, everybody calls freely and tells a few times a second what was taken, so
//! that the first refusal can be measured against the calls of all. From then on each call needs a place in time, and
//! a process is given a few of them at once. Places that are not used in time are lost, which is why they are few.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::learning::{Learnt, Refused, Rules, Tick, micros};
use crate::limiter::{LimiterConfig, Pace};

/// Places given at once reach so far at the learnt pace.
const REACH: Duration = Duration::from_millis(500);

/// Calls that were taken within this are kept as one number.
const GRAIN: Duration = Duration::from_millis(500);

/// Keeps what is known of one limit where all processes that share it see it.
pub trait Ledger: Send + Sync + fmt::Debug {
    /// Takes a report in and gives places, in one step that no other process comes between. See [`exchange`].
    fn exchange<'a>(&'a self, report: &'a Report) -> Exchanging<'a>;
}

/// An exchange under way; an error is why the ledger does not answer.
pub type Exchanging<'a> = Pin<Box<dyn Future<Output = Result<Grant, String>> + Send + 'a>>;

/// What a process has seen since it last told, and what it wants. Times are ages: no clock is compared with another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Calls that were taken: how long ago, and how many.
    pub accepted: Vec<(Duration, u32)>,
    /// Refusals.
    pub refused: Vec<RefusedAgo>,
    /// Calls that wait to be sent.
    pub want: u32,
    /// The pace to begin with, where nothing was kept yet.
    pub first_pace: Option<Pace>,
}

/// A refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefusedAgo {
    /// How long ago the call began.
    pub started: Duration,
    /// How long ago the answer came.
    pub answered: Duration,
    /// How long to wait from then on, where it said so.
    pub wait: Option<Duration>,
    /// Whether it was a limit (429) or an overload (503).
    pub of_limit: bool,
}

/// What a process may do until it asks again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// The pace of all together; none as long as nothing is known of a limit, and calls need no place.
    pub pace: Option<Pace>,
    /// No calls for so long.
    pub paused_for: Duration,
    /// So many calls, one after the other at the pace.
    pub places: u32,
    /// When the first of them may go.
    pub first_in: Duration,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    learnt: Learnt,
}

/// What a ledger does with a report: from what it kept, and the microseconds of the clock that all who share it go by,
/// to what it keeps from now on and the answer. What it cannot read it forgets: the limit is learnt anew.
#[must_use]
pub fn exchange(kept: Option<&str>, now: u64, report: &Report) -> (String, Grant) {
    let config = LimiterConfig::default();
    let rules = Rules { backoff_base: config.backoff_base, backoff_cap: config.backoff_cap, grain: GRAIN };
    let kept: Option<Kept> = kept.and_then(|text| serde_json::from_str(text).ok());
    let ago = |age: Duration| -> Tick { now.saturating_sub(micros(age)) };
    // What is known begins with the first call that is told of.
    let oldest = report.accepted.iter().map(|(age, _)| *age).max().unwrap_or_default();
    let mut learnt = kept
        .map_or_else(|| Learnt::new(ago(oldest), report.first_pace, config.probe_after), |kept| kept.learnt);
    learnt.mend(now);
    for (age, count) in &report.accepted {
        learnt.accepted(ago(*age), ago(*age), *count, rules);
    }
    for refused in &report.refused {
        let seen = Refused {
            started: ago(refused.started),
            at: ago(refused.answered),
            wait: refused.wait,
            of_limit: refused.of_limit,
        };
        learnt.refused(seen, true, rules);
    }
    let mut grant = Grant {
        pace: learnt.pace,
        paused_for: Duration::from_micros(learnt.paused_until.saturating_sub(now)),
        places: 0,
        first_in: Duration::ZERO,
    };
    if let Some(pace) = learnt.pace
        && report.want > 0
    {
        let within = REACH.as_micros() / pace.interval().as_micros().max(1);
        grant.places = report.want.min(u32::try_from(within).unwrap_or(u32::MAX)).max(1);
        grant.first_in = Duration::from_micros(learnt.take(now, grant.places).saturating_sub(now));
    }
    let text = serde_json::to_string(&Kept { learnt }).unwrap_or_default();
    (text, grant)
}
