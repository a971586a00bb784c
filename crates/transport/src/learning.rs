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
        if let Some(pace) = self.pace {
            let takes = micros(pace.interval()).saturating_mul(u64::from(places));
            self.next_slot = at.saturating_add(takes);
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
            self.strikes = 0;
        }
        if let Some(pace) = self.pace
            && at.saturating_sub(self.probed_at) >= micros(self.probe_after)
        {
            self.before_probe = Some(pace);
            self.pace = Some(pace.tenth_faster());
            self.probed_at = at;
        }
    }

    /// Tells whether it is an event of its own. Calls that were under way when the last refusal came are the same
    /// event, and so are those that began in the pause after it: whoever sent them had not heard of it.
    pub(crate) fn refused(&mut self, refused: Refused, teaches: bool, rules: Rules) -> bool {
        let Refused { started, at, wait, of_limit } = refused;
        let fresh = self.last_cut.is_none_or(|cut| started > cut && started >= self.paused_until);
        self.began(started);
        if fresh {
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
        // Refused once more before any call was taken, and not told how long to wait: the same limit is still used up,
        // which says nothing about a pace that was learnt from it.
        if self.pace.is_some() && self.strikes >= 2 && wait.is_none() {
            return;
        }
        self.accepted.forget_before(now.saturating_sub(micros(MINUTE)));
        let Some(measured) = self.measure(now, wait) else {
            if let Some(pace) = self.pace {
                self.pace = Some(pace.tenth_slower());
            }
            return;
        };
        self.pace = Some(match self.pace {
            // The pace was kept and still refused, so the limit is lower than measured before.
            Some(pace) => measured.with_margin().slower(pace.tenth_slower()).reduced(),
            None => measured.with_margin(),
        });
    }

    /// What the accepted calls say about the limit, where they say anything.
    fn measure(&self, now: Tick, wait: Option<Duration>) -> Option<Pace> {
        let last_minute = self.accepted.since(0);
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
