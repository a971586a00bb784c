//! Why a line begins and ends on its days.

use super::Step;
use jiff::civil::Date;
use trueup_domain::period::{Period, next_day};
use trueup_domain::plan::{Action, Role};

/// Why a line begins on a day.
pub(super) fn first_day(step: &Step, value: &str) -> String {
    let (change, seen) = (&step.change, step.seen);
    let Ok(day) = value.parse::<Date>() else { return change.reason.clone() };
    let of_invoice = seen.is_some_and(|seen| seen.next_invoice == Some(day));
    let Some(days) = change.true_period else {
        return why(step, day).unwrap_or_else(|| change.reason.clone());
    };
    let since = why(step, days.start()).map(|why| format!(" ({why})")).unwrap_or_default();
    if change.role == Role::Recurring && change.action.after().is_some_and(|after| after.cancelled.is_none())
    {
        let invoiced = if of_invoice { ", and no invoice has billed it yet" } else { "" };
        return format!(
            "it holds from {}{since}; {days} is billed by itself or not at all, and this is the first day after it{invoiced}",
            days.start()
        );
    }
    let moved = match (of_invoice, seen.is_some_and(|seen| seen.prorates)) {
        (true, _) => {
            "is invoiced already, so it is dated into the open period, of which this is the first day"
        }
        (false, true) => {
            "is no whole period, and the agreement prorates: it is dated over its whole billing period"
        }
        (false, false) => "does not fit one invoice of the agreement, so it is dated within one",
    };
    format!("it is for {days}{since}, which {moved}")
}

/// Why a line ends on a day.
pub(super) fn last_day(step: &Step, value: &str) -> String {
    let change = &step.change;
    let Ok(day) = value.parse::<Date>() else { return change.reason.clone() };
    let Action::Create { .. } = change.action else {
        return why_ended(step, day).unwrap_or_else(|| change.reason.clone());
    };
    let end_of_agreement = step.seen.is_some_and(|seen| seen.end == Some(day));
    match change.true_period {
        Some(days) if days.last_day() == day => format!("the last day of {days}, which it is for"),
        Some(days) if end_of_agreement => {
            format!("the last day of agreement {}; it is for {days}", change.agreement)
        }
        Some(days) => {
            format!("the last day of the period that it is dated into; it is for {days} and billed once")
        }
        None if change.role == Role::Recurring => {
            why_ended(step, day).unwrap_or_else(|| "the last day that it is sold for".to_owned())
        }
        None => match period_ending(step, day) {
            Some((name, _)) => format!("the last day of {name}: what is billed once ends with it"),
            None => why_ended(step, day).map_or_else(
                || "the last of the days that it is for: what is billed once ends with them".to_owned(),
                |why| format!("{why}: what is billed once ends with it"),
            ),
        },
    }
}

/// The day of the order, of its periods, or of the agreement's invoices that a first day is.
fn why(step: &Step, day: Date) -> Option<String> {
    let order = step.order.as_ref();
    if let Some(order) = order.filter(|order| order.effective == day) {
        return Some(match order.effective_given {
            true => format!("the day that order {} names as its first", order.shown()),
            false => format!("the day of order {}, completed {}", order.shown(), order.completed_at),
        });
    }
    if let Some(line) = step.line.as_ref().filter(|line| line.period.is_some_and(|p| p.start() == day)) {
        return Some(format!("the first day of the period that order line {} names", line.id));
    }
    if let Some(order) = order {
        if order.period.start() == day {
            return Some(format!("the first day of the period of order {}, {}", order.shown(), order.period));
        }
        if order.period.end() == day {
            return Some(format!(
                "the first day after the period of order {}, {}",
                order.shown(),
                order.period
            ));
        }
        if next_day(order.effective) == day {
            return Some(format!("the day after that of order {}, which is billed as before", order.shown()));
        }
    }
    let next = step.seen.and_then(|seen| seen.next_invoice);
    (next == Some(day))
        .then(|| format!("the first day that no invoice of agreement {} has billed", step.change.agreement))
}

/// Why an order ends a line on a day.
fn why_ended(step: &Step, day: Date) -> Option<String> {
    if let Some((name, period)) = period_ending(step, day) {
        return Some(format!("the last day of {name}, {period}: it is paid for up to then"));
    }
    let next = next_day(day);
    if let Some(order) = &step.order {
        if order.effective == next {
            return Some(format!("the day before order {} takes effect ({next})", order.shown()));
        }
        if order.effective == day {
            return Some(format!("the day of order {}, the last one that counts", order.shown()));
        }
        if order.period.start() == next {
            return Some(format!("the day before the period of order {}, {}", order.shown(), order.period));
        }
    }
    let invoiced = step.seen.and_then(|seen| seen.next_invoice) == Some(next);
    invoiced.then(|| format!("the last day that invoices of agreement {} have billed", step.change.agreement))
}

/// A period of the order or of its line that ends with a day.
fn period_ending(step: &Step, day: Date) -> Option<(String, Period)> {
    let of_line = step
        .line
        .as_ref()
        .and_then(|line| Some((format!("the period that order line {} names", line.id), line.period?)));
    let of_order =
        step.order.as_ref().map(|order| (format!("the period of order {}", order.shown()), order.period));
    of_line.into_iter().chain(of_order).find(|(_, period)| period.last_day() == day)
}
