//! When a schedule fires: pure, from its settings and the time of the call.
//!
//! Every fire has an instant of its own, and the run that it starts is stored under that instant. However many workers
//! look, however often the clock is set back, the second run of one instant is refused by the store.

use crate::records::Millis;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use std::collections::BTreeMap;
use trueup_domain::schedule::{Cadence, Freeze, time_zone};
use trueup_domain::settings::{SettingError, row_of};

const MINUTE_MS: Millis = 60_000;
/// A day that does not exist is followed by one that does; no zone ever left out more than one.
const LONGEST_SEARCH: i32 = 4;

/// How the fingerprint of a schedule begins that fires once a month.
const MONTHLY: &str = "monthly ";

/// What is done by a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ScheduleKind {
    /// Turns new orders into tasks.
    Check,
    /// Checks, reads what changed, plans and writes what may be written by itself.
    Sync,
    /// Reads what changed.
    Pull,
    /// Writes the quantities of what is only counted.
    Quantity,
    /// Brings tickets to where their alerts are.
    Alerts,
}

impl ScheduleKind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Check, Self::Sync, Self::Pull, Self::Quantity, Self::Alerts];

    /// The word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Check => "check",
            Self::Sync => "sync",
            Self::Pull => "pull",
            Self::Quantity => "quantity",
            Self::Alerts => "alerts",
        }
    }

    /// Whether it writes to ConnectWise.
    pub fn writes(self) -> bool {
        match self {
            Self::Sync | Self::Quantity | Self::Alerts => true,
            Self::Check | Self::Pull => false,
        }
    }

    /// The kind that a word means.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The setting that says how often.
    pub fn setting(self) -> &'static str {
        match self {
            Self::Check => "schedule.check",
            Self::Sync => "schedule.sync",
            Self::Pull => "schedule.pull",
            Self::Quantity => "schedule.quantity",
            Self::Alerts => "schedule.alerts",
        }
    }
}

/// The setting with the time zone.
pub const TIME_ZONE: &str = "schedule.time_zone";
/// The setting with the days on which nothing is written.
pub const FREEZE: &str = "schedule.freeze";

/// The settings of schedules of one organization.
#[derive(Clone, Debug)]
pub struct Timetable {
    cadences: BTreeMap<ScheduleKind, Cadence>,
    zone: TimeZone,
    freeze: Freeze,
}

impl Timetable {
    /// From the values that hold; those that are missing take their defaults.
    ///
    /// # Errors
    /// A value that the settings table does not allow.
    pub fn new(values: &BTreeMap<String, String>) -> Result<Self, SettingError> {
        let text = |key: &str| -> Result<&str, SettingError> {
            Ok(values.get(key).map_or(row_of(key)?.default, String::as_str))
        };
        let refused = |key: &str, value: &str| SettingError::BadValue {
            key: key.to_owned(),
            value: value.to_owned(),
            allowed: row_of(key).map(|row| row.allowed()).unwrap_or_default(),
        };
        let mut cadences = BTreeMap::new();
        for kind in ScheduleKind::ALL {
            let value = text(kind.setting())?;
            cadences.insert(kind, Cadence::parse(value).ok_or_else(|| refused(kind.setting(), value))?);
        }
        let (zone, freeze) = (text(TIME_ZONE)?, text(FREEZE)?);
        Ok(Self {
            cadences,
            zone: time_zone(zone).ok_or_else(|| refused(TIME_ZONE, zone))?,
            freeze: Freeze::parse(freeze).ok_or_else(|| refused(FREEZE, freeze))?,
        })
    }

    /// The first fire after `at`; none where the schedule is off.
    pub fn next_after(&self, kind: ScheduleKind, at: Millis) -> Option<Millis> {
        match self.cadence(kind) {
            Cadence::Off => None,
            // Aligned to the epoch and not to the clock on the wall: an hour that comes twice has two hours' worth.
            Cadence::Minutes(minutes) => {
                let step = minutes.saturating_mul(MINUTE_MS).max(MINUTE_MS);
                at.checked_sub(at.rem_euclid(step))?.checked_add(step)
            }
            Cadence::Daily(_) => {
                let today = self.day(at)?;
                self.days_from(today, -1, 1).filter_map(|day| self.fire_on(kind, day)).find(|fire| *fire > at)
            }
            Cadence::Monthly(on, _) => {
                let today = self.day(at)?;
                months_from(today, -1, 1)
                    .filter_map(|month| self.fire_on(kind, on.in_month_of(month)))
                    .find(|fire| *fire > at)
            }
        }
    }

    /// The last fire that was due at `at`; none where the schedule is off.
    pub fn last_until(&self, kind: ScheduleKind, at: Millis) -> Option<Millis> {
        match self.cadence(kind) {
            Cadence::Off => None,
            Cadence::Minutes(minutes) => {
                at.checked_sub(at.rem_euclid(minutes.saturating_mul(MINUTE_MS).max(MINUTE_MS)))
            }
            Cadence::Daily(_) => {
                let today = self.day(at)?;
                self.days_from(today, 1, -1)
                    .filter_map(|day| self.fire_on(kind, day))
                    .find(|fire| *fire <= at)
            }
            Cadence::Monthly(on, _) => {
                let today = self.day(at)?;
                months_from(today, 1, -1)
                    .filter_map(|month| self.fire_on(kind, on.in_month_of(month)))
                    .find(|fire| *fire <= at)
            }
        }
    }

    /// When a schedule fires next that was reckoned from `spec` up to now, and was to fire at `planned`. A day of the month
    /// that is over already is made up at once where the run of this month is still to come; where it is done the new day
    /// counts from the next month on.
    pub fn moved(
        &self,
        kind: ScheduleKind,
        spec: &str,
        planned: Option<Millis>,
        now: Millis,
    ) -> Option<Millis> {
        let next = self.next_after(kind, now);
        let (Cadence::Monthly(on, _), Some(planned)) = (self.cadence(kind), planned) else { return next };
        if !spec.starts_with(MONTHLY) {
            return next;
        }
        let (today, then) = (self.day(now)?, self.day(planned)?);
        let is_to_come = then.first_of_month() <= today.first_of_month();
        let fire = self.fire_on(kind, on.in_month_of(today));
        fire.filter(|fire| is_to_come && *fire <= now).or(next)
    }

    /// Whether nothing is written by itself at `at`.
    pub fn is_frozen(&self, at: Millis) -> bool {
        self.day(at).is_some_and(|day| self.freeze.holds(day))
    }

    /// Whether nothing is written by itself on a day.
    pub fn is_frozen_on(&self, day: Date) -> bool {
        self.freeze.holds(day)
    }

    /// Whether two instants are of one day.
    pub fn is_same_day(&self, one: Millis, other: Millis) -> bool {
        self.day(one).is_some_and(|day| self.day(other) == Some(day))
    }

    /// What a stored schedule was reckoned from: where it differs, it is reckoned anew.
    pub fn fingerprint(&self, kind: ScheduleKind) -> String {
        let zone = self.zone.iana_name().unwrap_or("UTC");
        match self.cadence(kind) {
            Cadence::Off => "off".to_owned(),
            Cadence::Minutes(minutes) => format!("{minutes}m"),
            Cadence::Daily(time) => format!("daily {time} {zone}"),
            Cadence::Monthly(on, time) => format!("{MONTHLY}{on} {time} {zone}"),
        }
    }

    fn cadence(&self, kind: ScheduleKind) -> Cadence {
        self.cadences.get(&kind).copied().unwrap_or(Cadence::Off)
    }

    fn day(&self, at: Millis) -> Option<Date> {
        Some(self.zone.to_datetime(Timestamp::from_millisecond(at).ok()?).date())
    }

    fn days_from(&self, day: Date, from: i32, step: i32) -> impl Iterator<Item = Date> {
        (0..=LONGEST_SEARCH).filter_map(move |n| {
            let days = from.saturating_add(step.saturating_mul(n));
            day.checked_add(jiff::Span::new().try_days(days).ok()?).ok()
        })
    }

    /// When the clock of the zone shows the time of a daily schedule on this day: the first time where it comes twice,
    /// and later by what is left out where it is left out. A day that is left out whole has none of its own.
    fn fire_on(&self, kind: ScheduleKind, day: Date) -> Option<Millis> {
        let (Cadence::Daily(time) | Cadence::Monthly(_, time)) = self.cadence(kind) else { return None };
        let at = self.zone.to_ambiguous_timestamp(day.to_datetime(time)).compatible().ok()?;
        let shown = self.zone.to_datetime(at).date();
        if shown == day {
            return Some(at.as_millisecond());
        }
        // What is left out reaches over midnight. The day still began, if not whole: its last instant counts.
        let end = self.zone.to_ambiguous_timestamp(shown.to_datetime(jiff::civil::Time::midnight()));
        let last = end.compatible().ok()?.checked_sub(jiff::SignedDuration::from_millis(1)).ok()?;
        (self.zone.to_datetime(last).date() == day).then_some(last.as_millisecond())
    }
}

/// A day of each month around that of `day`: a whole day may be left out at a change of zones, so that one month is not
/// always enough.
fn months_from(day: Date, from: i32, step: i32) -> impl Iterator<Item = Date> {
    (0..=LONGEST_SEARCH).filter_map(move |n| {
        let months = from.saturating_add(step.saturating_mul(n));
        day.first_of_month().checked_add(jiff::Span::new().try_months(months).ok()?).ok()
    })
}

/// What a look at a schedule finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// The fire that is due now: the last of them where several were missed.
    pub fire: Option<Millis>,
    /// When to look again; none where the schedule is off.
    pub next: Option<Millis>,
    /// When the schedule should have fired, where it fires too late to keep quiet about.
    pub late_for: Option<Millis>,
}

/// A fire that comes so late is said; a restart is over sooner.
const LATE_MS: Millis = 10 * MINUTE_MS;

/// Looks at a schedule that was last said to fire at `planned`.
///
/// A `planned` that lies beyond the next regular fire is from a clock that was ahead: it is taken back. The fire that
/// comes up again by this has its run in the store already.
pub fn look(table: &Timetable, kind: ScheduleKind, planned: Option<Millis>, now: Millis) -> Look {
    let next = table.next_after(kind, now);
    let fire = match planned {
        Some(planned) if planned <= now => table.last_until(kind, now).filter(|last| *last >= planned),
        Some(_) | None => None,
    };
    let late_for = planned.filter(|planned| fire.is_some() && now.saturating_sub(*planned) >= LATE_MS);
    Look { fire, next, late_for }
}

#[cfg(test)]
mod tests;
