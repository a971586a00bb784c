//! How many calls at once, and how fast.
//!
//! The other side publishes no limit that could be relied on, so it is learnt. Two things are adapted: how many calls
//! are in flight together (add one a clean minute, halve when told to slow down), and, once a 429 has shown where the
//! limit is, the pace: calls are then spaced evenly just below it, so that the limit is not met again.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::learning::{Learnt, Log, MINUTE, Refused, Rules, Tick, micros};
use crate::shared::{Ledger, RefusedAgo, Report};

/// Calls in flight that a learnt pace keeps: enough for 1,000 a minute at 150 ms each.
const PACED_LEAST: u32 = 3;

/// Calls that were taken within this are kept as one number.
const LOG_GRAIN: Duration = Duration::from_millis(100);

/// How often a ledger is told and asked where nothing else makes it necessary.
const HEARTBEAT: Duration = Duration::from_millis(250);

/// A place that was not used for so long after its time is lost, or for two calls' time where that is more: used late it
/// would come on top of those of others.
const PLACE_HOLDS: Duration = Duration::from_millis(50);

/// How long a ledger may take to answer, and how long it is left alone where it did not.
const LEDGER_TIMEOUT: Duration = Duration::from_secs(2);
const LEDGER_AWAY: Duration = Duration::from_secs(5);

/// More refusals than this need not be told: they are of one event.
const MOST_UNTOLD: usize = 32;

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

impl LimiterConfig {
    fn flight(&self) -> Flight {
        let max = self.max.max(1);
        Flight { start: self.start.clamp(1, max), max }
    }
}

/// So many calls in so much time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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

    pub(crate) fn slower(self, other: Pace) -> Pace {
        if self.interval() >= other.interval() { self } else { other }
    }

    /// A two hundredth and one call less: evenly spaced calls arrive a little unevenly.
    pub(crate) fn with_margin(self) -> Pace {
        let calls = self.calls.saturating_sub(1 + self.calls / 200).max(1);
        Pace { calls, per: self.per }
    }

    pub(crate) fn tenth_slower(self) -> Pace {
        Pace { calls: self.calls.saturating_mul(9), per: self.per.saturating_mul(10) }.reduced()
    }

    pub(crate) fn tenth_faster(self) -> Pace {
        Pace { calls: self.calls.saturating_mul(11), per: self.per.saturating_mul(10) }.reduced()
    }

    /// The same pace per minute, rounded down, so that the figures stay readable.
    pub(crate) fn reduced(self) -> Pace {
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

/// How many calls may be in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Flight {
    start: u32,
    max: u32,
}

#[derive(Debug)]
struct State {
    flight: Flight,
    window: u32,
    in_flight: u32,
    clean_since: Instant,
    learnt: Learnt,
    told: Told,
}

/// What was told to the ledger, and what it answered.
#[derive(Debug, Default)]
struct Told {
    accepted: Log,
    refused: Vec<Refused>,
    /// The pace of all who share the limit.
    pace: Option<Pace>,
    places: VecDeque<Instant>,
    /// When it is asked again at the latest.
    next: Option<Instant>,
    /// It did not answer: until then this process goes by what it learns itself.
    away_until: Option<Instant>,
}

impl Told {
    fn is_away(&self, now: Instant) -> bool {
        self.away_until.is_some_and(|until| now < until)
    }
}

/// How fast one connection may be called: shared by everybody who calls by it, in this process and, where there is a
/// [`Ledger`], in others. Clones are the same budget.
#[derive(Debug, Clone)]
pub struct Budget(pub(crate) Arc<Limiter>);

impl Budget {
    /// A budget; with a ledger it is shared with everybody who has that ledger.
    #[must_use]
    pub fn new(config: LimiterConfig, ledger: Option<Arc<dyn Ledger>>) -> Self {
        Self(Arc::new(Limiter::new(config, ledger)))
    }

    /// Whether both are the same budget.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// So many calls in flight from now on, and no more; none finds out between what the configuration says. Where fewer
    /// were asked for since, it goes on from those.
    pub fn fly(&self, at_once: Option<u32>) {
        self.0.fly(at_once);
    }

    /// Whether nobody else holds it and nothing was learnt that would be lost with it.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let (_, pace) = self.0.view();
        Arc::strong_count(&self.0) == 1 && pace == self.0.config.pace && self.0.pause_left().is_none()
    }
}

/// Shared by all clones of a sender.
#[derive(Debug)]
pub(crate) struct Limiter {
    config: LimiterConfig,
    ledger: Option<Arc<dyn Ledger>>,
    began: Instant,
    state: Mutex<State>,
    released: Notify,
    /// Callers wait here one behind the other, so that nobody starves.
    queue: tokio::sync::Mutex<()>,
    /// How many wait there.
    waiting: AtomicU32,
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

/// Counts one who waits, for as long as it does.
struct Waiter<'a>(&'a AtomicU32);

impl<'a> Waiter<'a> {
    fn new(waiting: &'a AtomicU32) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(waiting)
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Limiter {
    pub(crate) fn new(config: LimiterConfig, ledger: Option<Arc<dyn Ledger>>) -> Self {
        let now = Instant::now();
        let flight = config.flight();
        let state = State {
            flight,
            window: flight.start,
            in_flight: 0,
            clean_since: now,
            learnt: Learnt::new(0, config.pace, config.probe_after),
            told: Told::default(),
        };
        Self {
            config,
            ledger,
            began: now,
            state: Mutex::new(state),
            released: Notify::new(),
            queue: tokio::sync::Mutex::new(()),
            waiting: AtomicU32::new(0),
        }
    }

    fn fly(&self, at_once: Option<u32>) {
        let flight =
            at_once.map_or_else(|| self.config.flight(), |n| Flight { start: n.max(1), max: n.max(1) });
        let mut state = self.lock();
        if state.flight != flight {
            let was_slowed = state.window < state.flight.start;
            state.window = if was_slowed { state.window.min(flight.max) } else { flight.start };
            state.flight = flight;
            drop(state);
            self.released.notify_one();
        }
    }

    fn tick(&self, at: Instant) -> Tick {
        micros(at.saturating_duration_since(self.began))
    }

    fn instant(&self, tick: Tick) -> Instant {
        self.began.checked_add(Duration::from_micros(tick)).unwrap_or(self.began)
    }

    fn rules(&self) -> Rules {
        Rules {
            backoff_base: self.config.backoff_base,
            backoff_cap: self.config.backoff_cap,
            grain: LOG_GRAIN,
        }
    }

    /// Waits for the right to send one call; gives up at the deadline and then says how long the wait would have been.
    pub(crate) async fn acquire(self: &Arc<Self>, deadline: Instant) -> Result<Permit, Option<Duration>> {
        let _waiter = Waiter::new(&self.waiting);
        let Ok(_turn) = tokio::time::timeout_at(deadline, self.queue.lock()).await else {
            return Err(self.pause_left());
        };
        loop {
            self.ask_ledger().await;
            let wait_until = {
                let now = Instant::now();
                let mut state = self.lock();
                if state.in_flight < state.window {
                    match self.place(&mut state, now) {
                        Ok(()) => {
                            state.in_flight += 1;
                            return Ok(Permit { limiter: Arc::clone(self), started: now });
                        }
                        Err(at) => Some(at),
                    }
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

    /// Takes a place in time, or says when to look again.
    fn place(&self, state: &mut State, now: Instant) -> Result<(), Instant> {
        let tick = self.tick(now);
        let shared = self.ledger.is_some() && !state.told.is_away(now);
        if !shared {
            let at = self.instant(state.learnt.next());
            if at > now {
                return Err(at);
            }
            state.learnt.take(tick, 1);
            return Ok(());
        }
        let paused_until = self.instant(state.learnt.paused_until);
        if paused_until > now {
            return Err(paused_until);
        }
        if state.told.pace.is_some() {
            match state.told.places.front() {
                Some(at) if *at > now => return Err(*at),
                Some(_) => drop(state.told.places.pop_front()),
                // It is asked for one in the next round.
                None => return Err(now),
            }
        }
        state.learnt.began(tick);
        Ok(())
    }

    /// Tells the ledger what was seen and asks for places, where that is due. One at a time: callers hold the queue.
    async fn ask_ledger(&self) {
        let Some(ledger) = &self.ledger else { return };
        let asked = Instant::now();
        let Some(report) = self.due_report(asked) else { return };
        let answer = match tokio::time::timeout(LEDGER_TIMEOUT, ledger.exchange(&report)).await {
            Ok(answer) => answer,
            Err(_) => Err("no answer in time".to_owned()),
        };
        let now = Instant::now();
        let mut state = self.lock();
        let state = &mut *state;
        let told = &mut state.told;
        match answer {
            Ok(grant) => {
                if told.away_until.take().is_some() {
                    tracing::info!("the shared pace of a connection is known again");
                }
                // A slow ledger is asked less often, so that asking never takes more than a small part of the time.
                told.next = Some(now + HEARTBEAT.max((now - asked).saturating_mul(20)));
                told.pace = grant.pace;
                if !grant.paused_for.is_zero() {
                    told.places.clear();
                    let until = self.tick(now).saturating_add(micros(grant.paused_for));
                    state.learnt.paused_until = state.learnt.paused_until.max(until);
                }
                if let Some(pace) = grant.pace {
                    let first = now + grant.first_in;
                    let places = (0..grant.places).map(|n| first + pace.interval().saturating_mul(n));
                    told.places.extend(places);
                }
            }
            Err(error) => {
                tracing::warn!(error, "the shared pace of a connection is not known: own learning holds");
                told.away_until = Some(now + LEDGER_AWAY);
                told.places.clear();
                // What was known holds on, as long as own refusals do not say otherwise.
                if let Some(pace) = told.pace {
                    state.learnt.pace = Some(state.learnt.pace.map_or(pace, |own| own.slower(pace)));
                }
                for refused in report.refused {
                    let at = |age: Duration| self.tick(asked).saturating_sub(micros(age));
                    told.refused.push(Refused {
                        started: at(refused.started),
                        at: at(refused.answered),
                        wait: refused.wait,
                        of_limit: refused.of_limit,
                    });
                }
            }
        }
    }

    /// What the ledger is to be told now; nothing where it need not be asked yet.
    fn due_report(&self, now: Instant) -> Option<Report> {
        let mut state = self.lock();
        let may_send = state.in_flight < state.window;
        let told = &mut state.told;
        if told.is_away(now) {
            return None;
        }
        let holds = told.pace.map_or(PLACE_HOLDS, |pace| PLACE_HOLDS.max(pace.interval().saturating_mul(2)));
        while told.places.front().is_some_and(|at| *at + holds < now) {
            told.places.pop_front();
        }
        let needs_place = may_send && told.pace.is_some() && told.places.is_empty();
        let late = told.next.is_none_or(|next| now >= next);
        if !(needs_place || late || !told.refused.is_empty()) {
            return None;
        }
        let tick = self.tick(now);
        let age = |at: Tick| Duration::from_micros(tick.saturating_sub(at));
        let accepted = std::mem::take(&mut told.accepted);
        let refused = std::mem::take(&mut told.refused);
        Some(Report {
            accepted: accepted.entries().iter().map(|(at, count)| (age(*at), *count)).collect(),
            refused: refused
                .into_iter()
                .map(|refused| RefusedAgo {
                    started: age(refused.started),
                    answered: age(refused.at),
                    wait: refused.wait,
                    of_limit: refused.of_limit,
                })
                .collect(),
            want: if needs_place { self.waiting.load(Ordering::Relaxed).max(1) } else { 0 },
            first_pace: self.config.pace,
        })
    }

    /// The calls in flight allowed now, and the pace learnt.
    pub(crate) fn view(&self) -> (u32, Option<Pace>) {
        let state = self.lock();
        let shared = self.ledger.is_some() && !state.told.is_away(Instant::now());
        (state.window, if shared { state.told.pace } else { state.learnt.pace })
    }

    fn pause_left(&self) -> Option<Duration> {
        let paused_until = self.instant(self.lock().learnt.paused_until);
        let left = paused_until.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }

    fn report(&self, started: Instant, feedback: Feedback) {
        let now = Instant::now();
        let mut state = self.lock();
        match feedback {
            Feedback::Silent => {}
            Feedback::Accepted => {
                let (started, at) = (self.tick(started), self.tick(now));
                state.learnt.accepted(started, at, 1, self.rules());
                if self.ledger.is_some() {
                    state.told.accepted.add(at, 1, LOG_GRAIN);
                }
                if now.saturating_duration_since(state.clean_since) >= self.config.clean_step {
                    state.window = (state.window + 1).min(state.flight.max);
                    state.clean_since = now;
                }
            }
            Feedback::Throttled(wait) => self.slow_down(&mut state, started, now, wait, true),
            Feedback::Overloaded(wait) => self.slow_down(&mut state, started, now, wait, false),
        }
    }

    fn slow_down(
        &self,
        state: &mut State,
        started: Instant,
        now: Instant,
        wait: Option<Duration>,
        of_limit: bool,
    ) {
        let refused = Refused { started: self.tick(started), at: self.tick(now), wait, of_limit };
        let shared = self.ledger.is_some() && !state.told.is_away(now);
        // Where the limit is shared, this process sees a part of the calls: it would take its part for the whole.
        let fresh = state.learnt.refused(refused, !shared, self.rules());
        if fresh {
            let paced = if shared { state.told.pace.is_some() } else { state.learnt.pace.is_some() };
            // Where a pace holds calls back already, too few in flight would only miss it.
            let least = if of_limit && paced { PACED_LEAST.min(state.window) } else { 1 };
            state.window = (state.window / 2).max(least);
        }
        state.clean_since = self.instant(state.learnt.paused_until);
        if self.ledger.is_some() && state.told.refused.len() < MOST_UNTOLD {
            state.told.refused.push(refused);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
