//! Half-open civil periods and billing cycles with anchors.
//!
//! Dates are civil dates: no zone, no time. A period `[start, end)` counts its start and not its end. A cycle is laid
//! from its anchor (`anchor + n x cycle`), never step by step, so that the 31st comes back after February.

use jiff::civil::Date;
use jiff::{Span, Unit};
use serde::{Deserialize, Serialize};
use smol_str::{SmolStr, ToSmolStr as _};
use std::fmt;

/// What can go wrong with a period.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeriodError {
    /// The period does not start before it ends.
    #[error("the period {0} to {1} has no days")]
    Empty(Date, Date),
    /// The calendar ends before the date asked for.
    #[error("the date is outside the calendar")]
    OutOfCalendar,
    /// A cycle of zero or absurd length.
    #[error("a billing cycle of {0} {1} is not possible")]
    BadCycle(u32, &'static str),
}

/// A half-open range of civil dates; never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "RawPeriod")]
pub struct Period {
    start: Date,
    end: Date,
}

#[derive(Deserialize)]
struct RawPeriod {
    start: Date,
    end: Date,
}

impl TryFrom<RawPeriod> for Period {
    type Error = PeriodError;
    fn try_from(raw: RawPeriod) -> Result<Self, PeriodError> {
        Self::new(raw.start, raw.end)
    }
}

/// The day after, or the last day of the calendar.
pub fn next_day(date: Date) -> Date {
    date.tomorrow().unwrap_or(Date::MAX)
}

/// The day before, or the first day of the calendar.
pub fn previous_day(date: Date) -> Date {
    date.yesterday().unwrap_or(Date::MIN)
}

/// Days from `from` to `to`; negative when `to` is earlier.
pub fn days_between(from: Date, to: Date) -> i64 {
    from.until((Unit::Day, to)).map_or(0, |span| i64::from(span.get_days()))
}

/// A day as it is written, `2026-03-31`: a plan has a dozen of them for every order.
pub(crate) fn day_text(day: Date) -> SmolStr {
    let (year, month, of_month) = (day.year(), day.month().unsigned_abs(), day.day().unsigned_abs());
    let (Ok(century), Ok(in_century)) = (u8::try_from(year / 100), u8::try_from(year % 100)) else {
        return day.to_smolstr();
    };
    let mut room = *b"0000-00-00";
    for (at, two) in [(0, century), (2, in_century), (5, month), (8, of_month)] {
        room[at] += two / 10;
        room[at + 1] += two % 10;
    }
    str::from_utf8(&room).map_or_else(|_| day.to_smolstr(), SmolStr::new)
}

/// Days that every month has.
const SHORTEST_MONTH: i8 = 28;

/// The same day so many months later, or the last one of a month that lacks it.
fn months_after(date: Date, months: i64) -> Result<Date, PeriodError> {
    let out = PeriodError::OutOfCalendar;
    let from_year_0 = i64::from(date.year()) * 12 + i64::from(date.month()) - 1;
    let month = from_year_0.checked_add(months).ok_or(out.clone())?;
    let year = i16::try_from(month.div_euclid(12)).map_err(|_| out.clone())?;
    // Between 1 and 12.
    let in_year = month.rem_euclid(12) as i8 + 1;
    // Nearly all anchors lie on a day that no month lacks.
    if date.day() <= SHORTEST_MONTH {
        return Date::new(year, in_year, date.day()).map_err(|_| out);
    }
    let first = Date::new(year, in_year, 1).map_err(|_| out.clone())?;
    Date::new(year, in_year, date.day().min(first.days_in_month())).map_err(|_| out)
}

impl Period {
    /// `[start, end)`.
    ///
    /// # Errors
    /// [`PeriodError::Empty`] unless `start < end`.
    pub fn new(start: Date, end: Date) -> Result<Self, PeriodError> {
        if start < end { Ok(Self { start, end }) } else { Err(PeriodError::Empty(start, end)) }
    }

    /// First day, counted.
    pub fn start(self) -> Date {
        self.start
    }

    /// First day that no longer counts.
    pub fn end(self) -> Date {
        self.end
    }

    /// The last day that counts.
    pub fn last_day(self) -> Date {
        previous_day(self.end)
    }

    /// Number of days, at least one.
    pub fn days(self) -> i64 {
        days_between(self.start, self.end)
    }

    /// Whether the day lies in the period.
    pub fn contains(self, date: Date) -> bool {
        self.start <= date && date < self.end
    }

    /// The part that both periods share.
    pub fn intersect(self, other: Self) -> Option<Self> {
        Self::new(self.start.max(other.start), self.end.min(other.end)).ok()
    }

    /// The part from `date` on.
    pub fn from_day(self, date: Date) -> Option<Self> {
        Self::new(self.start.max(date), self.end).ok()
    }

    /// The part before `date`.
    pub fn before_day(self, date: Date) -> Option<Self> {
        Self::new(self.start, self.end.min(date)).ok()
    }
}

impl fmt::Display for Period {
    /// For people: first to last day, both counted.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&day_text(self.start))?;
        f.write_str(" to ")?;
        f.write_str(&day_text(self.last_day()))
    }
}

/// The unit of a billing cycle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CycleUnit {
    /// Days.
    Day,
    /// Weeks of seven days.
    Week,
    /// Calendar months.
    Month,
    /// Calendar years.
    Year,
}

impl CycleUnit {
    /// The word used in feeds and sentences.
    pub fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Year => "year",
        }
    }
}

/// How often something is billed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BillingCycle {
    /// How many units; at least one.
    pub every: u32,
    /// The unit.
    pub unit: CycleUnit,
}

impl BillingCycle {
    /// A cycle of `every` units.
    ///
    /// # Errors
    /// [`PeriodError::BadCycle`] for zero or for more than 1,200.
    pub fn new(every: u32, unit: CycleUnit) -> Result<Self, PeriodError> {
        if (1..=1200).contains(&every) {
            Ok(Self { every, unit })
        } else {
            Err(PeriodError::BadCycle(every, unit.name()))
        }
    }

    /// One month.
    pub const MONTHLY: Self = Self { every: 1, unit: CycleUnit::Month };
    /// One year.
    pub const YEARLY: Self = Self { every: 1, unit: CycleUnit::Year };

    /// The same length in other words compares equal: 12 months and 1 year, 14 days and 2 weeks.
    pub fn normalised(self) -> Self {
        match self.unit {
            CycleUnit::Year => Self { every: self.every.saturating_mul(12), unit: CycleUnit::Month },
            CycleUnit::Week => Self { every: self.every.saturating_mul(7), unit: CycleUnit::Day },
            CycleUnit::Month | CycleUnit::Day => self,
        }
    }

    /// Whether both recur equally often.
    pub fn same_length(self, other: Self) -> bool {
        self.normalised() == other.normalised()
    }

    /// `anchor + n` cycles. A day that the month lacks becomes its last day; the anchor keeps its own day.
    ///
    /// # Errors
    /// [`PeriodError::OutOfCalendar`].
    pub fn boundary(self, anchor: Date, n: i64) -> Result<Date, PeriodError> {
        let count = i64::from(self.every).checked_mul(n).ok_or(PeriodError::OutOfCalendar)?;
        let span = match self.unit {
            CycleUnit::Day => Span::new().try_days(count),
            CycleUnit::Week => Span::new().try_weeks(count),
            CycleUnit::Month => return months_after(anchor, count),
            CycleUnit::Year => {
                return months_after(anchor, count.checked_mul(12).ok_or(PeriodError::OutOfCalendar)?);
            }
        };
        let span = span.map_err(|_| PeriodError::OutOfCalendar)?;
        anchor.checked_add(span).map_err(|_| PeriodError::OutOfCalendar)
    }

    /// Whether a period of the cycle laid from `anchor` begins on `date`.
    pub fn begins_on(self, anchor: Date, date: Date) -> bool {
        // Where the estimate is off, the boundary next to it lies in another month, or on another day, than the date.
        self.boundary(anchor, self.estimate(anchor, date)) == Ok(date)
    }

    /// The period of the cycle laid from `anchor` that holds `date`.
    ///
    /// # Errors
    /// [`PeriodError::OutOfCalendar`].
    pub fn period_containing(self, anchor: Date, date: Date) -> Result<Period, PeriodError> {
        let mut n = self.estimate(anchor, date);
        // The estimate is at most one cycle off in either direction.
        for _ in 0..4 {
            let start = self.boundary(anchor, n)?;
            let end = self.boundary(anchor, n + 1)?;
            if date < start {
                n -= 1;
            } else if date >= end {
                n += 1;
            } else {
                return Period::new(start, end);
            }
        }
        Err(PeriodError::OutOfCalendar)
    }

    fn estimate(self, anchor: Date, date: Date) -> i64 {
        let months = || {
            (i64::from(date.year()) - i64::from(anchor.year())) * 12 + i64::from(date.month())
                - i64::from(anchor.month())
        };
        let normal = self.normalised();
        let length = i64::from(normal.every);
        match normal.unit {
            CycleUnit::Day | CycleUnit::Week => days_between(anchor, date).div_euclid(length),
            CycleUnit::Month | CycleUnit::Year => months().div_euclid(length),
        }
    }

    /// `monthly`, `yearly`, `every 3 months`.
    pub fn describe(self) -> String {
        match (self.every, self.unit) {
            (1, CycleUnit::Day) => "daily".into(),
            (1, CycleUnit::Week) => "weekly".into(),
            (1, CycleUnit::Month) => "monthly".into(),
            (1, CycleUnit::Year) => "yearly".into(),
            (n, unit) => format!("every {n} {}s", unit.name()),
        }
    }

    /// The scope of a mapping per cycle: `1-month`.
    pub fn slug(self) -> String {
        format!("{}-{}", self.every, self.unit.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    #[test]
    fn what_begins_on_a_day_is_the_period_that_holds_it() {
        let cycles = [
            BillingCycle::MONTHLY,
            BillingCycle::YEARLY,
            BillingCycle { every: 5, unit: CycleUnit::Month },
            BillingCycle { every: 2, unit: CycleUnit::Week },
            BillingCycle { every: 1, unit: CycleUnit::Day },
        ];
        let days = || (-500..900).map(|n| date(2026, 1, 28).saturating_add(Span::new().days(n)));
        for (cycle, anchor) in
            cycles.into_iter().flat_map(|cycle| days().step_by(17).map(move |a| (cycle, a)))
        {
            for day in days() {
                let period = cycle.period_containing(anchor, day).unwrap();
                assert!(period.contains(day));
                assert_eq!(cycle.begins_on(anchor, day), period.start() == day, "{cycle:?} {anchor} {day}");
            }
        }
    }

    #[test]
    fn days_are_written_as_the_library_writes_them() {
        let edges =
            [date(-9999, 1, 1), date(-101, 2, 3), date(-1, 12, 31), date(0, 1, 1), date(9999, 12, 31)];
        let usual = (0..4_000).map(|n| date(1995, 12, 30).saturating_add(Span::new().days(n)));
        for day in edges.into_iter().chain(usual) {
            assert_eq!(day_text(day), day.to_string());
        }
    }
}
