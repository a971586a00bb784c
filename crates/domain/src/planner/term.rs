//! Orders that name a whole term as their period: sold for a year, billed by the month. What is planned is the billing
//! period of that term in which the order takes effect; the term itself says nothing about the share of a period.

use crate::feed::{Charge, Order, OrderKind, OrderLine, Subscription};
use crate::money::Money;
use crate::period::{BillingCycle, CycleUnit, Period, PeriodError, next_day};
use crate::settings::ChangeDay;
use jiff::civil::Date;
use std::borrow::Cow;

/// A month that begins on the 29th to 31st may end some days beside what is laid from its own start.
const MONTH_ENDS_DIFFER: i32 = 3;

/// Ten years of months, or of weeks two: no term is longer.
const MOST_PERIODS: i64 = 120;

/// Why the billing period of an order cannot be told.
#[derive(Debug)]
pub enum NoPeriod {
    /// Its period is longer than a billing period and no whole number of them.
    NoWholeNumber,
    /// A line names an amount, and nothing says of how many billing periods.
    AmountOf(usize),
    /// Dates beyond the calendar.
    Calendar(PeriodError),
}

impl From<PeriodError> for NoPeriod {
    fn from(error: PeriodError) -> Self {
        Self::Calendar(error)
    }
}

/// The billing period that an order is about: its own, or that of a longer one in which the order takes effect.
///
/// # Errors
/// [`NoPeriod`].
pub fn billing_period(
    order: &Order,
    cycle: BillingCycle,
    subscription: Option<&Subscription>,
    change_day: ChangeDay,
) -> Result<Period, NoPeriod> {
    let said = order.period;
    // What is used or charged afterwards is for the days that it names.
    if order.kind == OrderKind::Billing || !is_longer(cycle, said, 1)? {
        return Ok(said);
    }
    let mut periods = 1;
    while periods <= MOST_PERIODS && is_longer(cycle, said, periods)? {
        periods += 1;
    }
    if periods > MOST_PERIODS || differs(cycle, said, periods)? {
        return Err(NoPeriod::NoWholeNumber);
    }
    if let Some(line) = order.lines.iter().position(|line| has_amount_of_all(line, order)) {
        return Err(NoPeriod::AmountOf(line));
    }
    let anchor = anchor_of(cycle, said, subscription)?;
    Ok(cycle.period_containing(anchor, day_of(order, subscription, change_day))?)
}

/// The order as it is planned: of its billing period, and so its recurring lines.
pub fn within(order: &Order, period: Option<Period>) -> Cow<'_, Order> {
    let Some(period) = period.filter(|period| *period != order.period) else { return Cow::Borrowed(order) };
    let of_the_term =
        |line: &OrderLine| line.charge == Charge::Recurring && line.period == Some(order.period);
    let lines = order.lines.iter().map(|line| match of_the_term(line) {
        true => OrderLine { period: None, ..line.clone() },
        false => line.clone(),
    });
    Cow::Owned(Order { period, lines: lines.collect(), ..order.clone() })
}

/// Whether a period ends some days after so many billing periods at the least.
fn is_longer(cycle: BillingCycle, said: Period, periods: i64) -> Result<bool, PeriodError> {
    Ok(slack_after(cycle, cycle.boundary(said.start(), periods)?)? < said.end())
}

/// Whether it ends some days before so many.
fn differs(cycle: BillingCycle, said: Period, periods: i64) -> Result<bool, PeriodError> {
    Ok(slack_after(cycle, said.end())? < cycle.boundary(said.start(), periods)?)
}

fn slack_after(cycle: BillingCycle, day: Date) -> Result<Date, PeriodError> {
    let days = match cycle.unit {
        CycleUnit::Month | CycleUnit::Year => MONTH_ENDS_DIFFER,
        CycleUnit::Day | CycleUnit::Week => 0,
    };
    Ok((0..days).fold(day, |day, _| next_day(day)))
}

/// A recurring amount that is not quantity times unit price may be that of a billing period or that of all of them.
fn has_amount_of_all(line: &OrderLine, order: &Order) -> bool {
    let is_of_all = line.charge == Charge::Recurring && line.period.is_none_or(|own| own == order.period);
    let differs = |amount: Option<Money>, unit: Option<Money>| {
        let whole = || unit.and_then(|unit| unit.extended(line.quantity, order.currency).ok());
        amount.is_some_and(|amount| whole() != Some(amount))
    };
    is_of_all && (differs(line.amount, line.unit_price) || differs(line.cost_amount, line.unit_cost))
}

/// What the billing periods of the term are laid from.
fn anchor_of(
    cycle: BillingCycle,
    said: Period,
    subscription: Option<&Subscription>,
) -> Result<Date, PeriodError> {
    let named = subscription.and_then(|s| s.period).map(Period::start);
    let candidates = [named, subscription.map(|s| s.start), Some(said.end())];
    Ok(candidates
        .into_iter()
        .flatten()
        .find(|anchor| cycle.begins_on(*anchor, said.start()))
        .unwrap_or(said.start()))
}

/// The day on which the order takes effect, within its term.
fn day_of(order: &Order, subscription: Option<&Subscription>, change_day: ChangeDay) -> Date {
    let said = order.period;
    let start = subscription.map(|s| s.start).filter(|day| said.contains(*day));
    let day = match (order.kind, change_day) {
        (OrderKind::Sales, _) if !order.effective_given => start.unwrap_or(order.effective),
        (OrderKind::Change, ChangeDay::Old) => next_day(order.effective),
        _ => order.effective, // open set: of the rest the day it names
    };
    day.clamp(said.start(), said.last_day())
}
