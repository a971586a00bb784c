//! What a schedule's settings say: how often, in which time zone, and when nothing is written.
//!
//! Time zones come from the tables that are compiled in. Those of the machine may differ from one worker to the next,
//! and two workers that disagree about the hour would fire one schedule twice.

use jiff::civil::{Date, Time};
use jiff::tz::{TimeZone, TimeZoneDatabase};

/// Minutes between runs that a schedule may have: each divides an hour.
pub const MINUTES: [i64; 8] = [1, 2, 5, 10, 15, 20, 30, 60];

/// How often a schedule fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cadence {
    /// Never.
    Off,
    /// Every so many minutes.
    Minutes(i64),
    /// Once a day at this time on the clock of the time zone.
    Daily(Time),
    /// Once a month, on this day at this time.
    Monthly(MonthDay, Time),
}

/// A day of every month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MonthDay {
    /// The day with this number, 1 to 31; the last one of a month that is shorter.
    Day(i8),
    /// The last one.
    Last,
}

impl MonthDay {
    /// Reads `15` or `last`.
    pub fn parse(text: &str) -> Option<Self> {
        if text == "last" { Some(Self::Last) } else { day_of_month(text).map(Self::Day) }
    }

    /// The day in the month that holds `date`.
    pub fn in_month_of(self, date: Date) -> Date {
        let last = date.last_of_month();
        match self {
            Self::Day(day) if day < last.day() => date.with().day(day).build().unwrap_or(last),
            Self::Day(_) | Self::Last => last,
        }
    }

    /// The day that is taken in the month that holds `date` because it has no day of this number.
    pub fn adapted_in_month_of(self, date: Date) -> Option<Date> {
        match self {
            Self::Day(day) if day > date.last_of_month().day() => Some(self.in_month_of(date)),
            Self::Day(_) | Self::Last => None,
        }
    }
}

impl std::fmt::Display for MonthDay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Day(day) => day.fmt(f),
            Self::Last => f.write_str("last"),
        }
    }
}

impl Cadence {
    /// Reads `off`, `5m`, `hourly`, `daily 06:30` or `monthly 15 06:30`.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "off" => return Some(Self::Off),
            "hourly" => return Some(Self::Minutes(60)),
            _ => {} // open set: text
        }
        if let Some(minutes) = text.strip_suffix('m') {
            let minutes = digits(minutes)?;
            return MINUTES.contains(&minutes).then_some(Self::Minutes(minutes));
        }
        if let Some(rest) = text.strip_prefix("monthly ") {
            let (day, time) = rest.split_once(' ')?;
            return Some(Self::Monthly(MonthDay::parse(day)?, time_of_day(time)?));
        }
        time_of_day(text.strip_prefix("daily ")?).map(Self::Daily)
    }
}

/// A time such as `06:30`.
fn time_of_day(text: &str) -> Option<Time> {
    let (hour, minute) = text.split_once(':')?;
    if hour.len() != 2 || minute.len() != 2 {
        return None;
    }
    let part = |text: &str| digits(text).and_then(|n| i8::try_from(n).ok());
    Time::new(part(hour)?, part(minute)?, 0, 0).ok()
}

/// Only digits: a sign is none.
fn digits(text: &str) -> Option<i64> {
    if text.is_empty() || text.len() > 4 || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// The time zone of a name such as `Europe/Berlin`.
pub fn time_zone(name: &str) -> Option<TimeZone> {
    TimeZoneDatabase::bundled().get(name).ok()
}

/// One part of a freeze.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Frozen {
    /// Days of every month, both ends included.
    Days(i8, i8),
    /// The last day of every month.
    LastDay,
    /// Dates, both ends included.
    Dates(Date, Date),
}

/// The days on which nothing is written by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Freeze(Vec<Frozen>);

impl Freeze {
    /// Reads parts such as `28..31`, `1`, `last`, `2026-12-24..2027-01-02`, with commas between them; nothing is no
    /// freeze.
    pub fn parse(text: &str) -> Option<Self> {
        if text.trim().is_empty() {
            return Some(Self::default());
        }
        text.split(',').map(|part| frozen(part.trim())).collect::<Option<Vec<_>>>().map(Self)
    }

    /// Whether nothing is written on this day.
    pub fn holds(&self, day: Date) -> bool {
        self.0.iter().any(|part| match part {
            Frozen::Days(first, last) => (*first..=*last).contains(&day.day()),
            Frozen::LastDay => day == day.last_of_month(),
            Frozen::Dates(first, last) => (*first..=*last).contains(&day),
        })
    }
}

fn frozen(part: &str) -> Option<Frozen> {
    if part == "last" {
        return Some(Frozen::LastDay);
    }
    let (first, last) = part.split_once("..").unwrap_or((part, part));
    if let (Some(first), Some(last)) = (day_of_month(first), day_of_month(last)) {
        return (first <= last).then_some(Frozen::Days(first, last));
    }
    let (first, last) = (first.parse::<Date>().ok()?, last.parse::<Date>().ok()?);
    (first <= last).then_some(Frozen::Dates(first, last))
}

fn day_of_month(text: &str) -> Option<i8> {
    digits(text).and_then(|n| i8::try_from(n).ok()).filter(|day| (1..=31).contains(day))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::{date, time};

    #[test]
    fn cadences_are_read() {
        for (text, read) in [
            ("off", Some(Cadence::Off)),
            ("5m", Some(Cadence::Minutes(5))),
            ("hourly", Some(Cadence::Minutes(60))),
            ("daily 06:30", Some(Cadence::Daily(time(6, 30, 0, 0)))),
            ("daily 23:59", Some(Cadence::Daily(time(23, 59, 0, 0)))),
            ("monthly 15 02:00", Some(Cadence::Monthly(MonthDay::Day(15), time(2, 0, 0, 0)))),
            ("monthly 31 02:00", Some(Cadence::Monthly(MonthDay::Day(31), time(2, 0, 0, 0)))),
            ("monthly last 23:59", Some(Cadence::Monthly(MonthDay::Last, time(23, 59, 0, 0)))),
            ("monthly 32 02:00", None),
            ("monthly 0 02:00", None),
            ("monthly 02:00", None),
            ("monthly  5 02:00", None),
            ("daily 24:00", None),
            ("daily 6:30", None),
            ("daily +6:30", None),
            ("7m", None),
            ("0m", None),
            ("-5m", None),
            ("+5m", None),
            ("m", None),
            ("5", None),
            ("Hourly", None),
            ("", None),
            ("daily", None),
            ("99999999999999999999m", None),
        ] {
            assert_eq!(Cadence::parse(text), read, "{text}");
        }
    }

    #[test]
    fn zones_are_known_by_name() {
        for known in ["UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kathmandu", "Pacific/Apia"] {
            assert!(time_zone(known).is_some(), "{known}");
        }
        for unknown in ["", "Mars/Olympus", "../etc/passwd", "+02:00"] {
            assert!(time_zone(unknown).is_none(), "{unknown}");
        }
    }

    #[test]
    fn a_freeze_holds_on_its_days() {
        let freeze = Freeze::parse("1, 28..30,last, 2026-12-24..2027-01-02,2026-05-05").unwrap();
        for (day, holds) in [
            (date(2026, 3, 1), true),
            (date(2026, 3, 2), false),
            (date(2026, 3, 27), false),
            (date(2026, 3, 28), true),
            (date(2026, 3, 31), true),
            (date(2026, 12, 23), false),
            (date(2026, 12, 24), true),
            (date(2027, 1, 2), true),
            (date(2027, 1, 3), false),
            (date(2026, 5, 5), true),
        ] {
            assert_eq!(freeze.holds(day), holds, "{day}");
        }
        assert!(!Freeze::parse("").unwrap().holds(date(2026, 3, 31)));
        for wrong in ["0", "32", "5..4", "2026-13-01", "2026-05-06..2026-05-05", "5..2026-05-05", "1,,2", "x"]
        {
            assert_eq!(Freeze::parse(wrong), None, "{wrong}");
        }
    }
}
