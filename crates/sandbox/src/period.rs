//! Billing periods: which days a billing cycle puts together.

use jiff::Span;
use jiff::civil::Date;

use crate::schema::paths;
use crate::store::{Record, World};

/// A recurrence counted from an anchor day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cycle {
    step: Step,
    anchor: Date,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Months(i32),
    Days(i32),
}

/// A half-open range of days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Period {
    /// First day.
    pub start: Date,
    /// First day after.
    pub end: Date,
}

impl Period {
    /// How many days it has.
    pub(crate) fn days(&self) -> i64 {
        i64::from(days_between(self.start, self.end))
    }

    /// Its last day.
    pub(crate) fn last(&self) -> Date {
        self.end.yesterday().unwrap_or(self.end)
    }
}

/// Days from one day to another.
pub(crate) fn days_between(from: Date, to: Date) -> i32 {
    from.until(to).map_or(0, |span| span.get_days())
}

impl Cycle {
    /// The cycle of an agreement: anchored at its billing start, or at the calendar year.
    pub(crate) fn of(world: &World, agreement: &Record) -> Option<Cycle> {
        let start = agreement.day("billStartDate")?;
        let cycle = world.record_at(paths::BILLING_CYCLES, agreement.link("billingCycle"))?;
        let step = match cycle.text("billingOptions")? {
            "Weekly" => Step::Days(7),
            "BiWeekly" => Step::Days(14),
            "BiMonthly" => Step::Months(2),
            "Quarterly" => Step::Months(3),
            "SemiAnnual" => Step::Months(6),
            "Yearly" => Step::Months(12),
            _ => Step::Months(1),
        };
        let calendar = agreement.text("invoicingCycle") == Some("CalendarYear");
        let anchor = match step {
            Step::Months(_) if calendar => Date::new(start.year(), 1, 1).ok()?,
            _ => start,
        };
        Some(Cycle { step, anchor })
    }

    /// The start of the n-th period. Counted from the anchor each time, so that the 31st survives February.
    fn start_of(&self, n: i32) -> Option<Date> {
        let span = match self.step {
            Step::Months(months) => Span::new().try_months(months.checked_mul(n)?),
            Step::Days(days) => Span::new().try_days(days.checked_mul(n)?),
        };
        self.anchor.checked_add(span.ok()?).ok()
    }

    /// The period a day lies in.
    pub(crate) fn containing(&self, day: Date) -> Option<Period> {
        let mut n = match self.step {
            Step::Months(months) => {
                let whole = |date: Date| i32::from(date.year()) * 12 + i32::from(date.month());
                (whole(day) - whole(self.anchor)).div_euclid(months)
            }
            Step::Days(days) => days_between(self.anchor, day).div_euclid(days),
        };
        // The estimate by months is at most one period late, when the day of the month comes before the anchor's.
        if self.start_of(n)? > day {
            n -= 1;
        }
        Some(Period { start: self.start_of(n)?, end: self.start_of(n + 1)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cycle(step: Step, anchor: &str) -> Cycle {
        Cycle { step, anchor: anchor.parse().unwrap() }
    }

    fn period(cycle: Cycle, day: &str) -> (String, String) {
        let period = cycle.containing(day.parse().unwrap()).unwrap();
        (period.start.to_string(), period.end.to_string())
    }

    #[test]
    fn the_31st_survives_february() {
        let monthly = cycle(Step::Months(1), "2026-01-31");
        assert_eq!(period(monthly, "2026-02-27"), ("2026-01-31".into(), "2026-02-28".into()));
        assert_eq!(period(monthly, "2026-02-28"), ("2026-02-28".into(), "2026-03-31".into()));
        assert_eq!(period(monthly, "2026-03-31"), ("2026-03-31".into(), "2026-04-30".into()));
    }

    #[test]
    fn weeks_and_quarters_count_from_the_anchor() {
        let weekly = cycle(Step::Days(7), "2026-01-07");
        assert_eq!(period(weekly, "2026-01-20"), ("2026-01-14".into(), "2026-01-21".into()));
        let quarterly = cycle(Step::Months(3), "2026-01-15");
        assert_eq!(period(quarterly, "2026-04-14"), ("2026-01-15".into(), "2026-04-15".into()));
        assert_eq!(period(quarterly, "2026-04-15"), ("2026-04-15".into(), "2026-07-15".into()));
    }
}
