//! Throttling: so many calls in a window, then 429.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde::Deserialize;

/// `POST /sandbox/rate_limit`; without `per_minute` there is no limit.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RateLimit {
    /// Calls allowed in any window.
    pub per_minute: Option<usize>,
    /// Length of the window.
    pub window_seconds: u64,
    /// Whether the answer carries `Retry-After`.
    pub retry_after: bool,
    /// Whether the answer's body is HTML.
    pub html: bool,
}

impl Default for RateLimit {
    fn default() -> Self {
        RateLimit { per_minute: None, window_seconds: 60, retry_after: true, html: false }
    }
}

/// The calls of the last window.
#[derive(Debug, Default)]
pub(crate) struct Limiter {
    /// The limit in force.
    pub limit: RateLimit,
    calls: VecDeque<Instant>,
}

impl Limiter {
    /// A limiter that has seen nothing.
    pub(crate) fn new(limit: RateLimit) -> Self {
        Limiter { limit, calls: VecDeque::new() }
    }

    /// Counts a call; when it is one too many, answers the seconds to wait. Refused calls do not count, so a client
    /// that waits as told gets through.
    pub(crate) fn refuse(&mut self) -> Option<u64> {
        let allowed = self.limit.per_minute?;
        let window = Duration::from_secs(self.limit.window_seconds.max(1));
        let now = Instant::now();
        while self.calls.front().is_some_and(|first| now.duration_since(*first) >= window) {
            self.calls.pop_front();
        }
        if self.calls.len() < allowed {
            self.calls.push_back(now);
            return None;
        }
        let oldest = self.calls.front().copied().unwrap_or(now);
        Some((window.saturating_sub(now.duration_since(oldest))).as_secs() + 1)
    }
}
