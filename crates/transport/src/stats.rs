//! Counters and recording.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::limiter::Pace;

/// What a sender has done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Requests put on the wire, retries included.
    pub calls: u64,
    /// Of these, repetitions of an earlier request.
    pub retries: u64,
    /// Answers that asked for fewer calls (429), and 503.
    pub throttled: u64,
    /// Outcomes that stayed in doubt.
    pub in_doubt: u64,
    /// Milliseconds spent waiting for the limiter, summed over all calls.
    pub waited_ms: u64,
    /// Calls that may be in flight together at the moment.
    pub window: u32,
    /// The pace learnt from the other side's refusals, where there was one.
    pub pace: Option<Pace>,
}

/// What all senders of this process have done so far: calls, retries, answers that asked for fewer, and doubts. They
/// outlive the senders, which come and go with the runs.
#[must_use]
pub fn totals() -> Totals {
    Totals {
        calls: Counters::read(&TOTALS.calls),
        retries: Counters::read(&TOTALS.retries),
        throttled: Counters::read(&TOTALS.throttled),
        in_doubt: Counters::read(&TOTALS.in_doubt),
        waited_ms: Counters::read(&TOTALS.waited_ms),
    }
}

/// Counts over all senders of this process, but those that are kept apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Requests put on the wire, retries included.
    pub calls: u64,
    /// Of these, repetitions of an earlier request.
    pub retries: u64,
    /// Answers that asked for fewer calls (429), and 503.
    pub throttled: u64,
    /// Outcomes that stayed in doubt.
    pub in_doubt: u64,
    /// Milliseconds spent waiting for the limiter, summed over all calls.
    pub waited_ms: u64,
}

static TOTALS: Counters = Counters {
    calls: AtomicU64::new(0),
    retries: AtomicU64::new(0),
    throttled: AtomicU64::new(0),
    in_doubt: AtomicU64::new(0),
    waited_ms: AtomicU64::new(0),
    apart: false,
};

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) calls: AtomicU64,
    pub(crate) retries: AtomicU64,
    pub(crate) throttled: AtomicU64,
    pub(crate) in_doubt: AtomicU64,
    pub(crate) waited_ms: AtomicU64,
    /// Whether what is counted here is none of the totals' business.
    pub(crate) apart: bool,
}

impl Counters {
    /// Of one sender.
    pub(crate) fn new(in_totals: bool) -> Self {
        Self { apart: !in_totals, ..Self::default() }
    }

    /// Counts here and in the totals of the process.
    pub(crate) fn add(&self, which: fn(&Self) -> &AtomicU64, by: u64) {
        which(self).fetch_add(by, Ordering::Relaxed);
        if !self.apart {
            which(&TOTALS).fetch_add(by, Ordering::Relaxed);
        }
    }

    pub(crate) fn read(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }
}

/// One request and its answer, as a recorder sees it: no headers, secrets masked, texts cut.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// The HTTP method.
    pub method: String,
    /// The address without user and query.
    pub url: String,
    /// The query, masked.
    pub query: Option<String>,
    /// The number of the attempt, from 1.
    pub attempt: u32,
    /// What was sent, masked and cut.
    pub sent: Option<String>,
    /// The status, where an answer came.
    pub status: Option<u16>,
    /// What came back, masked and cut.
    pub received: Option<String>,
    /// Why there is no answer, where there is none.
    pub failure: Option<String>,
    /// From sending to the last byte.
    pub elapsed: Duration,
}

/// Sees every exchange of a sender, for support files and tests.
pub trait Recorder: Send + Sync {
    /// Takes one exchange. Must not block.
    fn record(&self, exchange: Exchange);
}
