//! The days of a cancelled period that were used, where the order charges them.

use super::remains::{self, Remains};
use super::{Ending, is_advance, lines_to_end, worth};
use crate::feed::{Charge, Order, OrderKind, OrderLine};
use crate::finding::{Code, Finding, Severity};
use crate::ids::ProductId;
use crate::money::{Exact, Money};
use crate::period::{Period, next_day};
use crate::plan::Role;
use crate::planner::builder::Builder;
use crate::planner::context::{Billing, Stop};
use crate::planner::lines::{PartPolicy, bill_once, bill_used, part_policy, said_to_cost};
use crate::planner::picture::Line;
use crate::planner::sales::once_item;
use crate::planner::{left_out, over};
use std::collections::BTreeSet;

/// The days that a used part is for.
fn days_of(line: &OrderLine, ending: &Ending) -> Period {
    line.period.or_else(|| ending.period.before_day(ending.day)).unwrap_or(ending.period)
}

/// The lines of an order that charge something for days that were used.
fn charged(order: &Order) -> impl Iterator<Item = &OrderLine> {
    let charges =
        |line: &&OrderLine| line.amount.map_or(!line.quantity.is_zero(), |amount| !amount.is_zero());
    order
        .lines
        .iter()
        .filter(|line| matches!(line.charge, Charge::Recurring | Charge::Prorate))
        .filter(charges)
}

/// Products whose used part the order charges and whose period no invoice has billed yet: the used part takes the place
/// of the whole period, or both would be billed.
pub(super) fn alone(builder: &Builder<'_, '_>, order: &Order, ending: &Ending) -> BTreeSet<ProductId> {
    let agreement = builder.context.agreement;
    let open = !agreement.prorates && !builder.is_invoiced(agreement, ending.period.start());
    let begun = |line: &OrderLine| {
        builder.written(line.id.as_str(), Role::Prorate, days_of(line, ending).start()).is_some()
    };
    // What was sold within the period is billed for its days by a line and its correction, as by a part of its own.
    let lines = lines_to_end(builder);
    let sold_within = |product: &ProductId| {
        let of_it =
            |l: &&Line| l.is_for(product, Role::Recurring) && l.state.effective > ending.period.start();
        lines.iter().filter(of_it).any(|l| remains::stands_for_used_days(builder, l, ending.period))
    };
    let products = charged(order).filter(|line| open || begun(line)).map(|line| line.product.clone());
    products.filter(|product| !ending.removed.contains(product) && !sold_within(product)).collect()
}

/// Products whose used part the order charges where ConnectWise bills parts by the dates of lines (D88).
pub(super) fn by_dates(builder: &Builder<'_, '_>, order: &Order) -> BTreeSet<ProductId> {
    match part_policy(builder) {
        Ok(PartPolicy::Connectwise) => charged(order).map(|line| line.product.clone()).collect(),
        Ok(PartPolicy::Line(_) | PartPolicy::LeftOut(_)) | Err(_) => BTreeSet::new(),
    }
}

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
    let days = days_of(line, ending);
    let bills = remains.bills(product, days) == Some(true);
    let no_day = line.period.is_none() && ending.day <= ending.period.start();
    if no_day && line.amount.is_none_or(Money::is_zero) {
        let message = format!(
            "Order {} charges days of {} up to {}, of which none was used.",
            order.shown(),
            builder.context.product_name(product),
            ending.day
        );
        builder.find(builder.about(Code::Tu6005, product, message).severity(Severity::Info));
        return Ok(());
    }
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
    if ending.by_dates.contains(product) && !builder.is_invoiced(builder.context.agreement, days.start()) {
        return tell_by_dates(builder, line, ending, days);
    }
    let name = builder.context.product_name(product);
    let message = format!("Order {} charges the used part of {name}; its own line bills it.", order.shown());
    let finding = builder.about(Code::Tu6005, product, message).severity(Severity::Info);
    builder.find(finding);
    Ok(())
}

/// Another cancellation may have charged some of the days already, whichever of them came first: then this one waits for
/// somebody who knows which holds.
fn bill_afterwards(
    builder: &mut Builder<'_, '_>,
    order: &Order,
    line: &OrderLine,
    period: Period,
    days: Period,
) -> Result<(), Stop> {
    let Some(item) = once_item(builder, line)? else { return Ok(()) };
    let charged_by = |other: &Order, is_of_these: &dyn Fn(Period) -> bool| {
        builder
            .own_lines_for(&line.product, Role::Recurring)
            .any(|own| own.is_made_by(Some(&other.id)) && own.days().is_some_and(is_of_these))
    };
    let this = builder.context.order_id();
    let is_other = |other: &&Order| other.kind == OrderKind::Cancellation && Some(&other.id) != this;
    let before = over::cancelled_before(builder).filter(|other| charged_by(other, &|_| true));
    let before = before.or_else(|| {
        let same_days = |of: Period| of.intersect(days).is_some();
        over::carried_out(builder).filter(is_other).find(|other| charged_by(other, &same_days))
    });
    let before = before.cloned();
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

/// Says by how much the source asks something else for the used days than ConnectWise bills by the dates of their lines.
fn tell_by_dates(
    builder: &mut Builder<'_, '_>,
    line: &OrderLine,
    ending: &Ending,
    days: Period,
) -> Result<(), Stop> {
    let Some(days) = ending.period.intersect(days) else { return Ok(()) };
    let Some(named) = said_to_cost(line, builder.share(ending.period, days)?)? else { return Ok(()) };
    let mut billed = Exact::ZERO;
    for own in lines_to_end(builder).iter().filter(|own| own.is_for(&line.product, Role::Recurring)) {
        let end = own.state.cancelled.map_or(days.end(), next_day).min(ending.day);
        let Ok(own_days) = Period::new(own.state.effective.max(days.start()), end.min(days.end())) else {
            continue;
        };
        billed = billed.plus(worth(own, builder.share(ending.period, own_days)?.exact()?)?.0)?;
    }
    Ok(builder.tell_by_dates(&line.product, days, named, billed)?)
}
