//! How many calls at once, and how fast.
//!
//! The other side publishes no limit that could be relied on, so it is learnt. Two things are adapted: how many calls
//! are in flight together (add one a clean minute, halve when told to slow down), and, once a 429 has shown where the
//! limit is, the pace: calls are then spaced evenly just below it, so that the limit is not met again.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::retry::backoff;

const MINUTE: Duration = Duration::from_secs(60);

/// Fewer accepted calls than this say nothing about a limit.
const MIN_EVIDENCE: usize = 10;

/// Calls in flight that a learnt pace keeps: enough for 1,000 a minute at 150 ms each.
const PACED_LEAST: u32 = 3;

/// The log of accepted calls never grows beyond this; no limit worth learning is higher.
const MAX_LOG: usize = 50_000;

/// The settings of a limiter.
#[derive(Debug, Clone)]
pub struct LimiterConfig {
    /// Calls in flight at the start.
    pub start: u32,
    /// The most calls ever in flight.
    pub max: u32,
    /// A pace that is known beforehand.
    pub pace: Option<Pace>,
    /// How long without a refusal until one more call may be in flight.
    pub clean_step: Duration,
    /// The first wait after a refusal that does not say how long.
    pub backoff_base: Duration,
    /// The longest wait after a refusal that does not say how long.
    pub backoff_cap: Duration,
    /// How long without a refusal until a learnt pace is tried a little higher.
    pub probe_after: Duration,
}

impl Default for LimiterConfig {
    fn default() -> Self {
        Self {
            start: 4,
            max: 10,
            pace: None,
            clean_step: MINUTE,
            backoff_base: Duration::from_secs(1),
            backoff_cap: MINUTE,
            probe_after: Duration::from_secs(15 * 60),
        }
    }
}

/// So many calls in so much time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Calls.
    pub calls: u32,
    /// In this time.
    pub per: Duration,
}

impl Pace {
    /// The time between two calls at this pace.
    #[must_use]
    pub fn interval(self) -> Duration {
        self.per.checked_div(self.calls.max(1)).unwrap_or(self.per)
    }

    fn slower(self, other: Pace) -> Pace {
        if self.interval() >= other.interval() { self } else { other }
    }

    /// A hundredth and one call less: evenly spaced calls arrive a little unevenly.
    fn with_margin(self) -> Pace {
        let calls = self.calls.saturating_sub(1 + self.calls / 100).max(1);
        Pace { calls, per: self.per }
    }

    fn tenth_slower(self) -> Pace {
        Pace { calls: self.calls.saturating_mul(9), per: self.per.saturating_mul(10) }.reduced()
    }

    fn tenth_faster(self) -> Pace {
        Pace { calls: self.calls.saturating_mul(11), per: self.per.saturating_mul(10) }.reduced()
    }

    /// The same pace per minute, rounded down, so that the figures stay readable.
    fn reduced(self) -> Pace {
        let interval = self.interval().max(Duration::from_micros(1));
        let calls = u32::try_from(MINUTE.as_micros() / interval.as_micros().max(1)).unwrap_or(u32::MAX);
        // At least one call in ten seconds: slower than that is a pause, and pauses have their own rule.
        Pace { calls: calls.max(6), per: MINUTE }
    }
}

/// How a call ended, as far as the limiter cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Feedback {
    /// It was taken.
    Accepted,
    /// 429.
    Throttled(Option<Duration>),
    /// 503.
    Overloaded(Option<Duration>),
    /// No answer; says nothing about limits.
    Silent,
}

#[derive(Debug)]
struct State {
    window: u32,
    in_flight: u32,
    clean_since: Instant,
    first_call: Option<Instant>,
    epoch: Instant,
    last_cut: Option<Instant>,
    paused_until: Instant,
    strikes: u32,
    accepted: VecDeque<Instant>,
    pace: Option<Pace>,
    before_probe: Option<Pace>,
    probe_after: Duration,
    probed_at: Instant,
    next_slot: Instant,
}

/// Shared by all clones of a sender.
#[derive(Debug)]
pub(crate) struct Limiter {
    config: LimiterConfig,
    state: Mutex<State>,
    released: Notify,
    /// Callers wait here one behind the other, so that nobody starves.
    queue: tokio::sync::Mutex<()>,
}

/// The right to have one call in flight; gives it back when dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    limiter: Arc<Limiter>,
    started: Instant,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.limiter.lock();
        state.in_flight = state.in_flight.saturating_sub(1);
        drop(state);
        self.limiter.released.notify_one();
    }
}

impl Permit {
    /// Tells the limiter how the call ended.
    pub(crate) fn report(&self, feedback: Feedback) {
        self.limiter.report(self.started, feedback);
    }
}

impl Limiter {
    pub(crate) fn new(config: LimiterConfig) -> Self {
        let now = Instant::now();
        let max = config.max.max(1);
        let state = State {
            window: config.start.clamp(1, max),
            in_flight: 0,
            clean_since: now,
            first_call: None,
            epoch: now,
            last_cut: None,
            paused_until: now,
            strikes: 0,
            accepted: VecDeque::new(),
            pace: config.pace,
            before_probe: None,
            probe_after: config.probe_after,
            probed_at: now,
            next_slot: now,
        };
        Self { config, state: Mutex::new(state), released: Notify::new(), queue: tokio::sync::Mutex::new(()) }
    }

    /// Waits for the right to send one call; gives up at the deadline and then says how long the wait would have been.
    pub(crate) async fn acquire(self: &Arc<Self>, deadline: Instant) -> Result<Permit, Option<Duration>> {
        let Ok(_turn) = tokio::time::timeout_at(deadline, self.queue.lock()).await else {
            return Err(self.pause_left());
        };
        loop {
            let wait_until = {
                let now = Instant::now();
                let mut state = self.lock();
                if state.in_flight < state.window {
                    let at = state.paused_until.max(if state.pace.is_some() { state.next_slot } else { now });
                    if at <= now {
                        state.in_flight += 1;
                        state.first_call.get_or_insert(now);
                        if let Some(pace) = state.pace {
                            state.next_slot = now + pace.interval();
                        }
                        return Ok(Permit { limiter: Arc::clone(self), started: now });
                    }
                    Some(at)
                } else {
                    None
                }
            };
            match wait_until {
                Some(at) if at > deadline => return Err(self.pause_left()),
                Some(at) => tokio::time::sleep_until(at).await,
                None => {
                    if tokio::time::timeout_at(deadline, self.released.notified()).await.is_err() {
                        return Err(self.pause_left());
                    }
                }
            }
        }
    }

    /// The calls in flight allowed now, and the pace learnt.
    pub(crate) fn view(&self) -> (u32, Option<Pace>) {
        let state = self.lock();
        (state.window, state.pace)
    }

    fn pause_left(&self) -> Option<Duration> {
        let left = self.lock().paused_until.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }

    fn report(&self, started: Instant, feedback: Feedback) {
        let now = Instant::now();
        let mut state = self.lock();
        match feedback {
            Feedback::Silent => {}
            Feedback::Accepted => {
                state.accepted.push_back(now);
                if state.accepted.len() > MAX_LOG {
                    state.accepted.pop_front();
                }
                if state.last_cut.is_none_or(|cut| started > cut) {
                    state.strikes = 0;
                }
                self.grow(&mut state, now);
            }
            Feedback::Throttled(wait) => self.slow_down(&mut state, started, now, wait, true),
            Feedback::Overloaded(wait) => self.slow_down(&mut state, started, now, wait, false),
        }
    }

    fn grow(&self, state: &mut State, now: Instant) {
        if now.saturating_duration_since(state.clean_since) >= self.config.clean_step {
            state.window = (state.window + 1).min(self.config.max.max(1));
            state.clean_since = now;
        }
        if let Some(pace) = state.pace
            && now.saturating_duration_since(state.probed_at) >= state.probe_after
        {
            state.before_probe = Some(pace);
            state.pace = Some(pace.tenth_faster());
            state.probed_at = now;
        }
    }

    fn slow_down(
        &self,
        state: &mut State,
        started: Instant,
        now: Instant,
        wait: Option<Duration>,
        learn: bool,
    ) {
        // Calls that were under way when the last refusal came are the same event, not another one.
        let fresh = state.last_cut.is_none_or(|cut| started > cut);
        if fresh {
            state.strikes = state.strikes.saturating_add(1);
            if learn {
                self.learn(state, now, wait);
            }
            // Where a pace holds calls back already, too few in flight would only miss it.
            let least = if learn && state.pace.is_some() { PACED_LEAST.min(state.window) } else { 1 };
            state.window = (state.window / 2).max(least);
            state.last_cut = Some(now);
        }
        let pause = wait.unwrap_or_else(|| {
            backoff(self.config.backoff_base, self.config.backoff_cap, state.strikes.saturating_sub(1))
        });
        if fresh || wait.is_some() {
            state.paused_until = state.paused_until.max(now + pause);
        }
        state.epoch = state.paused_until;
        state.clean_since = state.paused_until;
        state.probed_at = state.paused_until;
        state.next_slot = state.next_slot.max(state.paused_until);
    }

    fn learn(&self, state: &mut State, now: Instant, wait: Option<Duration>) {
        if let Some(before) = state.before_probe.take() {
            // The probe met the limit: what was known before is right, and is probed less often from now on.
            state.pace = Some(before);
            state.probe_after = state.probe_after.saturating_mul(2).min(Duration::from_secs(4 * 3_600));
            return;
        }
        // Refused once more before any call was taken, and not told how long to wait: the same limit is still used up,
        // which says nothing about a pace that was learnt from it.
        if state.pace.is_some() && state.strikes >= 2 && wait.is_none() {
            return;
        }
        while state.accepted.front().is_some_and(|at| now.saturating_duration_since(*at) > MINUTE) {
            state.accepted.pop_front();
        }
        let Some(measured) = measure(state, now, wait) else {
            if let Some(pace) = state.pace {
                state.pace = Some(pace.tenth_slower());
            }
            return;
        };
        state.pace = Some(match state.pace {
            // The pace was kept and still refused, so the limit is lower than measured before.
            Some(pace) => measured.with_margin().slower(pace.tenth_slower()).reduced(),
            None => measured.with_margin(),
        });
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the accepted calls say about the limit, where they say anything.
fn measure(state: &State, now: Instant, wait: Option<Duration>) -> Option<Pace> {
    let last_minute = state.accepted.len();
    let per_minute =
        |n: usize| (n >= 1).then(|| Pace { calls: u32::try_from(n).unwrap_or(u32::MAX), per: MINUTE });
    let life = state.first_call.map_or(Duration::ZERO, |first| now.saturating_duration_since(first));
    // Two refusals without an accepted call between them: the short view was too hopeful. What was accepted in less
    // than a minute says nothing about a minute either, and the waits between the refusals hold the calls back anyway.
    if state.strikes >= 2 {
        return if life >= MINUTE && last_minute >= MIN_EVIDENCE { per_minute(last_minute) } else { None };
    }
    let Some(wait) = wait else {
        return if life >= MINUTE && last_minute >= MIN_EVIDENCE { per_minute(last_minute) } else { None };
    };
    let since = state.epoch.max(state.first_call.unwrap_or(state.epoch));
    let in_epoch = state.accepted.iter().filter(|at| **at >= since).count();
    if in_epoch < MIN_EVIDENCE {
        return None;
    }
    let span = now.saturating_duration_since(since).saturating_add(wait);
    if span >= MINUTE {
        return per_minute(last_minute);
    }
    Some(Pace { calls: u32::try_from(in_epoch).unwrap_or(u32::MAX), per: span })
}

#[cfg(test)]
mod tests;
