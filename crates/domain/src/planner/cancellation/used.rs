//! The days of a cancelled period that were used, where the order charges them.

use super::remains::Remains;
use super::{Ending, is_advance, used_days};
use crate::feed::{Charge, Order, OrderLine};
use crate::finding::{Code, Finding, Severity};
use crate::period::Period;
use crate::plan::Role;
use crate::planner::builder::Builder;
use crate::planner::context::{Billing, Stop};
use crate::planner::lines::{bill_once, bill_used, said_to_cost};
use crate::planner::sales::once_item;
use crate::planner::{left_out, over};

/// Bills the used part as a billing order's lines where it is charged after its period; else only when the recurring line goes
/// or ends before the period. A line that bills the days says so, and where none is known to, what the source asks for them is
/// told.
pub(super) fn bill(
    builder: &mut Builder<'_, '_>,
    order: &Order,
    line: &OrderLine,
    ending: &Ending,
    remains: &Remains<'_>,
) -> Result<(), Stop> {
    let product = &line.product;
    let days = used_days(line, ending.period, ending.day);
    let bills = remains.bills(product, days) == Some(true);
    if !is_advance(builder) && !bills {
        return bill_afterwards(builder, order, line, ending.period, days);
    }
    if ending.used_alone.contains(product) || ending.removed.contains(product) && !bills {
        let Some(item) = once_item(builder, line)? else { return Ok(()) };
        let as_part = OrderLine { charge: Charge::Prorate, ..line.clone() };
        return bill_once(builder, &as_part, item, ending.period, days);
    }
    if !bills {
        return tell_unbilled(builder, line, ending.period, days);
    }
    let name = builder.context.product_name(product);
    let message = format!("Order {} charges the used part of {name}; its own line bills it.", order.shown());
    let finding = builder.about(Code::Tu6005, product, message).severity(Severity::Info);
    builder.find(finding);
    Ok(())
}

/// A cancellation before this one may have charged the days already: then both wait for somebody who knows which holds.
fn bill_afterwards(
    builder: &mut Builder<'_, '_>,
    order: &Order,
    line: &OrderLine,
    period: Period,
    days: Period,
) -> Result<(), Stop> {
    let Some(item) = once_item(builder, line)? else { return Ok(()) };
    let before = over::cancelled_before(builder).filter(|before| {
        builder
            .own_lines_for(&line.product, Role::Recurring)
            .any(|own| own.is_made_by(Some(&before.id)) && own.days().is_some())
    });
    let Some(before) = before else { return bill_used(builder, line, item, period, days) };
    let message = format!(
        "Order {} charges the used days of {} up to its cancellation, and order {} has charged them up to {}: both would be \
         billed, so nothing is written for it.",
        order.shown(),
        builder.context.product_name(&line.product),
        before.shown(),
        before.effective
    );
    let finding = Finding::new(Code::Tu5001, builder.context.subject(), message)
        .severity(Severity::Error)
        .fix("Undo the first cancellation and plan this one again where it holds; else ignore the task with a reason.");
    builder.withhold(finding);
    Err(builder.keep_all_back())
}

/// Says what the source asks for days that no line of ours is known to bill.
fn tell_unbilled(
    builder: &mut Builder<'_, '_>,
    line: &OrderLine,
    period: Period,
    days: Period,
) -> Result<(), Stop> {
    if matches!(builder.context.billing_of(&line.product), Some(Billing::Not)) {
        return Ok(());
    }
    let share = builder.share(period, period.intersect(days).unwrap_or(period))?;
    let Some(cost) = said_to_cost(line, share)? else { return Ok(()) };
    Ok(builder.left_out(&line.product, days, cost, left_out::NOBODY_KNOWN)?)
}
