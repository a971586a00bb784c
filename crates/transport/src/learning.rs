//! What refusals teach about a limit. Pure: times are microseconds since an instant that the keeper of it chooses, so
//! that one process can keep it for itself and several can keep it in a place that all of them see.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::limiter::Pace;
use crate::retry::backoff;

/// Microseconds since an instant that the keeper chooses.
pub(crate) type Tick = u64;

pub(crate) const MINUTE: Duration = Duration::from_secs(60);

/// Fewer accepted calls than this say nothing about a limit.
const MIN_EVIDENCE: u64 = 10;

/// So many refusals in a row at most, and then a call that is taken: they passed by themselves, as those of an overloaded server
/// do, and are no sign of a limit.
const PASSING: u32 = 3;

/// With so many rows of them in a minute refusals are the weather. Then only very many in a row are a limit.
const WEATHER: u64 = 3;
const ROW_IN_WEATHER: u32 = 7;
const ROW: u32 = 2;

/// Nobody wanted a place where one was free for so long.
const IDLE: Duration = Duration::from_secs(1);

/// A pace that was wanted all this time, and of which so little was taken, is not that of the limit.
const WANTED: Duration = MINUTE;
const LITTLE_PERCENT: u64 = 50;

/// Pauses up to this are caught up where they were for the weather, and not more than so much of them at once.
const CAUGHT_UP: Duration = Duration::from_secs(5);
const AT_ONCE: Duration = Duration::from_secs(3);

pub(crate) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// The accepted calls of the last minute, those of a moment together.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Log(Vec<(Tick, u32)>);

impl Log {
    /// Counts calls; those within `grain` of each other become one entry.
    pub(crate) fn add(&mut self, at: Tick, count: u32, grain: Duration) {
        match self.0.last_mut() {
            Some((from, counted)) if at < from.saturating_add(micros(grain)) => {
                *counted = counted.saturating_add(count);
            }
            _ => {
                self.forget_before(at.saturating_sub(micros(MINUTE)));
                self.0.push((at, count));
            }
        }
    }

    fn forget_before(&mut self, tick: Tick) {
        let old = self.0.iter().take_while(|(at, _)| *at < tick).count();
        self.0.drain(..old);
    }

    fn since(&self, tick: Tick) -> u64 {
        self.0.iter().filter(|(at, _)| *at >= tick).map(|(_, count)| u64::from(*count)).sum()
    }

    /// The entries, oldest first.
    pub(crate) fn entries(&self) -> &[(Tick, u32)] {
        &self.0
    }
}

/// A refusal.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Refused {
    /// When the call began.
    pub(crate) started: Tick,
    /// When the answer came.
    pub(crate) at: Tick,
    /// How long to wait, where it said so.
    pub(crate) wait: Option<Duration>,
    /// Whether it says something about a limit: 429 does, 503 does not.
    pub(crate) of_limit: bool,
}

/// How it is learnt.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) backoff_base: Duration,
    pub(crate) backoff_cap: Duration,
    pub(crate) grain: Duration,
}

/// What is known of a limit, and when the next call may go.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Learnt {
    first_call: Option<Tick>,
    epoch: Tick,
    last_cut: Option<Tick>,
    /// No call before this.
    pub(crate) paused_until: Tick,
    strikes: u32,
    accepted: Log,
    /// The pace, once a refusal has shown it.
    pub(crate) pace: Option<Pace>,
    before_probe: Option<Pace>,
    probe_after: Duration,
    probed_at: Tick,
    next_slot: Tick,
    /// Refusals that passed by themselves.
    #[serde(default)]
    passed: Log,
    /// The rows of them.
    #[serde(default)]
    rows: Log,
    /// When the refusals of now began.
    #[serde(default)]
    refused_since: Tick,
    /// Time lost to such refusals that may be caught up, in microseconds.
    #[serde(default)]
    lost: u64,
    /// The pace before single refusals made it slower, and since when.
    #[serde(default)]
    before_single: Option<(Tick, Pace)>,
    /// When nobody wanted a place for a while.
    #[serde(default)]
    idle_at: Tick,
}

impl Learnt {
    pub(crate) fn new(now: Tick, pace: Option<Pace>, probe_after: Duration) -> Self {
        Self {
            first_call: None,
            epoch: now,
            last_cut: None,
            paused_until: now,
            strikes: 0,
            accepted: Log::default(),
            pace,
            before_probe: None,
            probe_after,
            probed_at: now,
            next_slot: now,
            passed: Log::default(),
            rows: Log::default(),
            refused_since: now,
            lost: 0,
            before_single: None,
            idle_at: now,
        }
    }

    /// When the next call may go.
    pub(crate) fn next(&self) -> Tick {
        self.paused_until.max(if self.pace.is_some() { self.next_slot } else { 0 })
    }

    /// Takes so many places for calls, the first not before `now`; tells when the first one is.
    pub(crate) fn take(&mut self, now: Tick, places: u32) -> Tick {
        let at = self.next().max(now);
        self.began(at);
        if now.saturating_sub(self.next()) > micros(IDLE) {
            self.idle_at = now;
        }
        if let Some(pace) = self.pace {
            let takes = micros(pace.interval()).saturating_mul(u64::from(places));
            let caught_up = self.lost.min(takes / 2);
            self.lost -= caught_up;
            self.next_slot = at.saturating_add(takes - caught_up);
        }
        at
    }

    /// A call goes out.
    pub(crate) fn began(&mut self, now: Tick) {
        self.first_call.get_or_insert(now);
    }

    /// Calls that began at `started` were taken.
    pub(crate) fn accepted(&mut self, started: Tick, at: Tick, count: u32, rules: Rules) {
        self.began(started);
        self.accepted.add(at, count, rules.grain);
        if self.last_cut.is_none_or(|cut| started > cut) {
            self.pass(at, rules);
        }
        if let Some(pace) = self.pace
            && at.saturating_sub(self.probed_at) >= micros(self.probe_after)
        {
            self.before_probe = Some(pace);
            self.pace = Some(pace.tenth_faster());
            self.probed_at = at;
        }
    }

    /// A call was taken: what was refused before it is over.
    fn pass(&mut self, at: Tick, rules: Rules) {
        let row = std::mem::take(&mut self.strikes);
        if row == 0 || row > PASSING {
            return;
        }
        self.passed.add(at, row, rules.grain);
        self.rows.add(at, 1, rules.grain);
        if !self.is_weather(at) {
            return;
        }
        let paused = self.paused_until.saturating_sub(self.refused_since);
        if paused <= micros(CAUGHT_UP) {
            self.lost = self.lost.saturating_add(paused).min(micros(AT_ONCE));
        }
        // What the first ones of them taught was not so.
        if let Some((since, pace)) = self.before_single.take()
            && at.saturating_sub(since) <= micros(MINUTE)
            && self.too_little(at, pace).is_none()
        {
            self.pace = Some(pace);
        }
    }

    /// Half more than is taken in a minute, where that is far below the pace although calls were waiting all the time. Half
    /// more, since luck alone would make it less and less.
    fn too_little(&self, now: Tick, pace: Pace) -> Option<Pace> {
        let since = now.saturating_sub(micros(WANTED));
        if self.idle_at > since || self.first_call.is_none_or(|first| first > since) {
            return None;
        }
        let taken = self.accepted.since(since).saturating_add(self.passed.since(since));
        let of_pace = micros(WANTED) / micros(pace.interval()).max(1);
        let calls = u32::try_from(taken.saturating_mul(3) / 2).unwrap_or(u32::MAX);
        let measured = Pace { calls, per: WANTED };
        (taken * 100 < of_pace * LITTLE_PERCENT).then(|| measured.reduced())
    }

    fn is_weather(&self, now: Tick) -> bool {
        self.rows.since(now.saturating_sub(micros(MINUTE))) >= WEATHER
    }

    /// Tells whether it is an event of its own. Calls that were under way when the last refusal came are the same
    /// event, and so are those that began in the pause after it: whoever sent them had not heard of it.
    pub(crate) fn refused(&mut self, refused: Refused, teaches: bool, rules: Rules) -> bool {
        let Refused { started, at, wait, of_limit } = refused;
        let fresh = self.last_cut.is_none_or(|cut| started > cut && started >= self.paused_until);
        self.began(started);
        if fresh {
            if self.strikes == 0 {
                self.refused_since = at;
            }
            self.strikes = self.strikes.saturating_add(1);
            if of_limit && teaches {
                self.learn(at, wait);
            }
            self.last_cut = Some(at);
        }
        let pause = wait.unwrap_or_else(|| {
            backoff(rules.backoff_base, rules.backoff_cap, self.strikes.saturating_sub(1))
        });
        if fresh || wait.is_some() {
            self.paused_until = self.paused_until.max(at.saturating_add(micros(pause)));
        }
        if pause > CAUGHT_UP {
            // A wait that long says nothing about how fast calls are taken.
            self.idle_at = self.idle_at.max(self.paused_until);
        }
        self.epoch = self.paused_until;
        self.probed_at = self.paused_until;
        self.next_slot = self.next_slot.max(self.paused_until);
        fresh
    }

    fn learn(&mut self, now: Tick, wait: Option<Duration>) {
        if let Some(before) = self.before_probe.take() {
            // The probe met the limit: what was known before is right, and is probed less often from now on.
            self.pace = Some(before);
            self.probe_after = self.probe_after.saturating_mul(2).min(Duration::from_secs(4 * 3_600));
            return;
        }
        let minute_ago = now.saturating_sub(micros(MINUTE));
        self.accepted.forget_before(minute_ago);
        self.passed.forget_before(minute_ago);
        let measured = self.measure(now, wait).map(Pace::with_margin);
        let Some(pace) = self.pace else {
            self.pace = measured;
            return;
        };
        let row = if self.is_weather(now) { ROW_IN_WEATHER } else { ROW };
        // No weather asks for a wait that long.
        let is_full = wait.is_some_and(|wait| wait > CAUGHT_UP);
        if is_full || self.strikes >= row {
            // Nothing is taken any more: the limit is what was taken in the last minute, and that grows less until one is.
            let of_minute = if is_full { self.measure(now, None).map(Pace::with_margin) } else { None };
            let unknown = if is_full { pace.tenth_slower().reduced() } else { pace };
            self.pace = Some(of_minute.or(measured).map_or(unknown, |measured| measured.slower(pace)));
            self.before_single = None;
        } else if let Some(measured) = measured
            && row == ROW
        {
            // The pace was kept and still refused, so the limit is lower than measured before, or others call as well.
            if self.before_single.is_none_or(|(since, _)| since < minute_ago) {
                self.before_single = Some((now, pace));
            }
            self.pace = Some(measured.slower(pace.tenth_slower()).reduced());
        } else if row == ROW_IN_WEATHER
            && let Some(measured) = self.too_little(now, pace)
        {
            self.pace = Some(measured);
        }
    }

    /// What the accepted calls say about the limit, where they say anything.
    fn measure(&self, now: Tick, wait: Option<Duration>) -> Option<Pace> {
        let last_minute = self.accepted.since(0).saturating_add(self.passed.since(0));
        let of = |calls: u64, per| Pace { calls: u32::try_from(calls).unwrap_or(u32::MAX), per };
        let per_minute = (last_minute >= 1).then(|| of(last_minute, MINUTE));
        let life = self.first_call.map_or(0, |first| now.saturating_sub(first));
        let of_a_minute = life >= micros(MINUTE) && last_minute >= MIN_EVIDENCE;
        // Two refusals without an accepted call between them: the short view was too hopeful. What was accepted in less
        // than a minute says nothing about a minute either, and the waits between the refusals hold the calls back
        // anyway.
        let wait = match wait {
            Some(wait) if self.strikes < 2 => wait,
            _ => return per_minute.filter(|_| of_a_minute),
        };
        let since = self.epoch.max(self.first_call.unwrap_or(self.epoch));
        let in_epoch = self.accepted.since(since);
        if in_epoch < MIN_EVIDENCE {
            return None;
        }
        let span = Duration::from_micros(now.saturating_sub(since)).saturating_add(wait);
        if span >= MINUTE {
            return per_minute;
        }
        Some(of(in_epoch, span))
    }

    /// Puts right what a clock that was set back makes impossible: what lies ahead further than any pause is forgotten,
    /// and the pace is kept.
    pub(crate) fn mend(&mut self, now: Tick) {
        let ahead = now.saturating_add(micros(Duration::from_secs(3_600)));
        let latest = self.accepted.0.last().map_or(0, |(at, _)| *at);
        if latest > ahead || self.paused_until > ahead || self.next_slot > ahead || self.probed_at > ahead {
            *self = Self::new(now, self.pace, self.probe_after);
        }
    }
}
