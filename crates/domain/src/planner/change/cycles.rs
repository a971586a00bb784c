//! A switch to another billing cycle: the new state is billed on an agreement of its cycle, and the old line lives on the
//! periods of its own agreement until it ends.

use super::Item;
use crate::billing;
use crate::feed::Order;
use crate::money::{Exact, Quantity};
use crate::period::{Period, next_day, previous_day};
use crate::plan::Role;
use crate::planner::builder::Builder;
use crate::planner::context::Stop;
use crate::planner::left_out;
use crate::planner::lines::write_once;
use crate::planner::part;
use crate::planner::picture::Line;
use crate::psa::{Agreement, BillFlag};
use jiff::civil::Date;

/// The old line's agreement and its period on the day of the change, where it is billed by another cycle than the
/// subscription is now. Where ConnectWise prorates, the line may end on any day, and nothing is to be reckoned.
pub(super) fn of_old<'a>(builder: &Builder<'_, 'a>, item: &Item<'a, '_>) -> Option<(&'a Agreement, Period)> {
    let old = item.existing.as_ref().filter(|_| item.until.is_none())?;
    let agreement = builder.agreement_of(old).filter(|a| !a.prorates)?;
    let other = agreement.billing_cycle.is_some_and(|cycle| !cycle.same_length(builder.context.cycle));
    let own = billing::invoice_period(builder.context.world.snapshot, agreement, item.moment.effective);
    own.filter(|_| other).map(|own| (agreement, own))
}

/// The same item as something new: what it was before is billed and given back by the periods of its own.
pub(super) fn as_new<'a, 'o>(item: &Item<'a, 'o>) -> Item<'a, 'o> {
    Item { old_quantity: Quantity::ZERO, delta: item.new_quantity, until: None, ahead: false, ..item.clone() }
}

/// Ends the old line with the last period that is paid for, or to be, and gives back what is left of that from the day of
/// the change on. `is_told` says that the order names itself what goes back.
pub(super) fn end_old<'a>(
    builder: &mut Builder<'_, 'a>,
    order: &Order,
    item: &Item<'a, '_>,
    (agreement, own): (&'a Agreement, Period),
    is_told: bool,
) -> Result<(), Stop> {
    for (at, old) in item.existing.iter().chain(&item.also).enumerate() {
        end_one(builder, order, item, (agreement, own), is_told, (at, old))?;
    }
    Ok(())
}

fn end_one<'a>(
    builder: &mut Builder<'_, 'a>,
    order: &Order,
    item: &Item<'a, '_>,
    (agreement, own): (&'a Agreement, Period),
    is_told: bool,
    (at, old): (usize, &Line<'a>),
) -> Result<(), Stop> {
    let effective = item.moment.effective;
    let boundary = if effective == own.start() { effective } else { own.end() };
    let paid = builder.last_invoiced_day(agreement).map_or(boundary, next_day);
    let ended = old.state.cancelled.map_or(Date::MAX, |last| last.tomorrow().unwrap_or(last));
    let end = boundary.max(paid).min(ended);
    let name = builder.context.product_name(&item.line.product);
    let last = previous_day(end);
    let reason = format!(
        "Order {} switches {name} to another billing cycle on {effective}: the line ends on {last}, the last day of its \
         own period.",
        order.shown()
    );
    if let Some(now) = builder.picture.now(old).cloned() {
        builder.end_last(&now, last, reason);
    }
    // What an earlier run gave back ends where that run did: what was invoiced since then follows on it.
    let mut from = effective.max(old.state.effective);
    while let Some(given) = given_back_from(builder, &line_id(item, at, ""), from).filter(|to| *to < end) {
        from = given;
    }
    match Period::new(from, end) {
        Ok(days) if !is_told && old.state.bill == BillFlag::Billable => {
            give_back(builder, order, item, agreement, days, (at, old))
        }
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Where the days end that an earlier run of this order gave back from a day on.
fn given_back_from(builder: &Builder<'_, '_>, line_id: &str, from: Date) -> Option<Date> {
    let there = builder.written(line_id, Role::Refund, from)?;
    let dated = there.state.cancelled.map(next_day);
    let to = there.origin.as_ref().and_then(|o| o.true_period()).map(Period::end).or(dated)?;
    (to > from).then_some(to)
}

/// What the old line bills of days that are the new state's.
fn give_back<'a>(
    builder: &mut Builder<'_, 'a>,
    order: &Order,
    item: &Item<'a, '_>,
    agreement: &'a Agreement,
    days: Period,
    (at, old): (usize, &Line<'a>),
) -> Result<(), Stop> {
    let units = periods_in(builder, agreement, days)?.times(old.state.quantity.exact())?;
    let price = old.state.unit_price.exact().times(units)?;
    let cost = old.state.unit_cost.exact().times(units)?;
    let context = builder.context;
    let product = &item.line.product;
    if price.is_zero() {
        return Ok(());
    }
    if !context.world.settings.credits.is_on() {
        builder.left_out(product, days, Exact::ZERO.minus(price)?, left_out::CREDITS_OFF)?;
        return Ok(());
    }
    let money = part::one_unit(context.world.settings, context.currency, price, cost)?;
    let money = part::Expressed {
        quantity: -money.quantity,
        exact: Exact::ZERO.minus(money.exact)?,
        exact_cost: Exact::ZERO.minus(money.exact_cost)?,
        ..money
    };
    let reason = format!(
        "Order {} switches {} to another billing cycle: {days} is billed by the new one.",
        order.shown(),
        context.product_name(product)
    );
    let line = line_id(item, at, "");
    write_once(builder, agreement, &line, product, item.item, Role::Refund, money, None, reason, days)
}

/// The id of what is given back of one of the old lines: the first one has that of the order's line.
pub(super) fn line_id(item: &Item<'_, '_>, at: usize, what: &str) -> String {
    match at {
        0 => format!("{}{what}", item.line.id),
        at => format!("{}{what}/{at}", item.line.id),
    }
}

/// How many invoice periods of an agreement the days are: whole ones and shares.
fn periods_in(builder: &Builder<'_, '_>, agreement: &Agreement, days: Period) -> Result<Exact, Stop> {
    let mut units = Exact::ZERO;
    let mut at = days.start();
    // As many as anything is billed for.
    for _ in 0..600 {
        let period = billing::invoice_period(builder.context.world.snapshot, agreement, at);
        let Some(period) = period.filter(|_| at < days.end()) else { break };
        let part = period.intersect(days).unwrap_or(period);
        units = units.plus(builder.share(period, part)?.exact()?)?;
        at = period.end();
    }
    Ok(units)
}
