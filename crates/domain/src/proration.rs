//! Shares of a period: how many days count, of how many, and the sentence that explains it.

use crate::money::{Exact, MoneyError};
use crate::period::{Period, days_between};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use std::fmt;

/// How days are counted, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DayCount {
    /// Days charged over the days of the whole period.
    #[default]
    Actual,
    /// Days charged over 30 for each month of the period.
    #[serde(rename = "actual_30")]
    Actual30,
    /// Every month has 30 days; a last day of a month counts as the 30th; both ends counted.
    #[serde(rename = "strict_30_360")]
    Strict30360,
    /// Seconds over the seconds of the period: the days of an order begin at the time at which it was completed.
    Seconds,
    /// No proration: a part period costs the whole price.
    None,
    /// CloudBlue's printed formula read literally: what begins within a period is not charged for its first day, which goes to
    /// what ends before it; day one is charged.
    CloudblueLiteral,
}

impl DayCount {
    /// The setting's value.
    pub fn name(self) -> &'static str {
        match self {
            Self::Actual => "actual",
            Self::Actual30 => "actual_30",
            Self::Strict30360 => "strict_30_360",
            Self::Seconds => "seconds",
            Self::None => "none",
            Self::CloudblueLiteral => "cloudblue_literal",
        }
    }
}

/// Why a share cannot be computed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProrationError {
    /// The charged days do not lie inside the period.
    #[error("{charged} does not lie inside the billing period {period}")]
    OutsidePeriod {
        /// What should be charged.
        charged: Period,
        /// The whole period.
        period: Period,
    },
    /// The arithmetic left its range.
    #[error(transparent)]
    Money(#[from] MoneyError),
}

/// A share of a period: `numerator / denominator` as they are counted, not reduced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Units charged.
    pub charged: i64,
    /// Units of the whole.
    pub whole: i64,
}

impl Share {
    /// The whole period.
    pub const WHOLE: Self = Self { charged: 1, whole: 1 };

    /// The exact ratio.
    ///
    /// # Errors
    /// [`MoneyError::DivisionByZero`] for an empty whole.
    pub fn exact(self) -> Result<Exact, MoneyError> {
        Exact::ratio(i128::from(self.charged), i128::from(self.whole))
    }

    /// So many periods, whole ones and shares.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`] where they cannot be counted.
    pub fn of(periods: Exact) -> Result<Self, MoneyError> {
        let (charged, whole) = periods.parts();
        let count = |part| i64::try_from(part).map_err(|_| MoneyError::Overflow);
        Ok(Self { charged: count(charged)?, whole: count(whole)? })
    }

    /// Whether it is the whole.
    pub fn is_whole(self) -> bool {
        self.charged == self.whole
    }

    /// `17/31`.
    pub fn describe(self) -> String {
        self.to_string()
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.charged, self.whole)
    }
}

/// The share of `period` that `charged` covers, by the named day count.
///
/// # Errors
/// [`ProrationError::OutsidePeriod`] when `charged` is not inside `period`.
pub fn share(day_count: DayCount, period: Period, charged: Period) -> Result<Share, ProrationError> {
    if charged.start() < period.start() || charged.end() > period.end() {
        return Err(ProrationError::OutsidePeriod { charged, period });
    }
    Ok(match day_count {
        DayCount::Actual => Share { charged: charged.days(), whole: period.days() },
        DayCount::Actual30 => of_thirties(period, charged, charged.days()),
        DayCount::Strict30360 => of_thirties(period, charged, days_30_360(charged)),
        DayCount::Seconds => Share { charged: charged.days() * 86_400, whole: period.days() * 86_400 },
        DayCount::None => Share::WHOLE,
        DayCount::CloudblueLiteral => literal(period, charged),
    })
}

/// The share of a period given in seconds since any epoch; for sources that charge by the second.
///
/// # Errors
/// [`MoneyError::DivisionByZero`] for an empty period.
pub fn share_of_seconds(period: (i64, i64), charged: (i64, i64)) -> Result<Share, MoneyError> {
    let whole = period.1 - period.0;
    if whole <= 0 {
        return Err(MoneyError::DivisionByZero);
    }
    Ok(Share { charged: (charged.1.min(period.1) - charged.0.max(period.0)).max(0), whole })
}

/// What begins on a day within the period costs (N - k) / N, with k the day's 1-based ordinal. On the first day of the period
/// it costs the whole price, because the printed rule applies only when the effective date differs from the period start. What
/// ends before the period does costs what that leaves, so that parts come to the whole.
fn literal(period: Period, charged: Period) -> Share {
    let whole = period.days();
    let rest_from = |day: Date| match days_between(period.start(), day) {
        0 => whole,
        before if before == whole => 0,
        before => whole - before - 1,
    };
    Share { charged: rest_from(charged.start()) - rest_from(charged.end()), whole }
}

/// So many of the 30 days of each month of the period, and never more than all of them. Periods of weeks or days have no
/// months to count by: their days count.
fn of_thirties(period: Period, charged: Period, days: i64) -> Share {
    match months_of(period) {
        Some(months) => Share { charged: days.min(30 * months), whole: 30 * months },
        None => Share { charged: charged.days(), whole: period.days() },
    }
}

/// How many months a period is. One that is laid from a day that a month lacks begins or ends with that month.
fn months_of(period: Period) -> Option<i64> {
    let (start, end) = (period.start(), period.end());
    let months = (i64::from(end.year()) - i64::from(start.year())) * 12 + i64::from(end.month())
        - i64::from(start.month());
    let is_last = |day: Date| day == day.last_of_month();
    let same_day = start.day() == end.day()
        || is_last(end) && start.day() > end.day()
        || is_last(start) && end.day() > start.day();
    (months > 0 && same_day).then_some(months)
}

fn days_30_360(charged: Period) -> i64 {
    let first = charged.start();
    let last = charged.last_day();
    let day = |date: Date| if date == date.last_of_month() { 30 } else { i64::from(date.day()) };
    let months = (i64::from(last.year()) - i64::from(first.year())) * 12 + i64::from(last.month())
        - i64::from(first.month());
    months * 30 + day(last) - i64::from(first.day()).min(30) + 1
}
