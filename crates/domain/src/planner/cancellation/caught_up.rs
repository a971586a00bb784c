//! One-time lines that no invoice has billed and that reach beyond the end: what was sold or changed late is caught up to
//! the next invoice, and a cancellation or a transfer that comes before that one leaves of it what was owed.

use super::{Ending, touched_by_person};
use crate::feed::Order;
use crate::ids::ProductId;
use crate::money::{Exact, Money};
use crate::period::Period;
use crate::plan::Role;
use crate::planner::builder::Builder;
use crate::planner::context::Stop;
use crate::planner::lines::write_once;
use crate::planner::part::{self, Prices};
use crate::planner::picture::Line;
use crate::proration::Share;
use crate::psa::AdditionState;
use jiff::civil::Date;
use std::collections::BTreeSet;

/// A line of days on both sides of the end, or from there on.
pub(super) struct Straddling<'a> {
    pub line: Line<'a>,
    days: Period,
    owed: Option<Period>,
}

/// The lines that are caught up beyond the end. What the cancelled period itself costs is owed where it was begun, and given
/// back by the order's own refund.
pub(super) fn straddling<'a>(builder: &Builder<'_, 'a>, ending: &Ending) -> Vec<Straddling<'a>> {
    let begun = ending.day > ending.period.start();
    let of = |line: &Line<'a>| {
        let origin = line.origin.as_ref().filter(|o| o.role() == Role::Prorate)?;
        let days = origin.true_period()?;
        let used_alone = ending.used_alone.contains(origin.product());
        let end = if begun && !used_alone { ending.period.end() } else { ending.period.start() };
        let prorates = builder.agreement_of(line).is_none_or(|agreement| agreement.prorates);
        let stays = days.end() <= end
            || days.start() > ending.day
            || prorates
            || line.is_made_by(builder.context.order_id())
            || builder.is_billed(line)
            || touched_by_person(line);
        (!stays).then(|| Straddling { line: line.clone(), days, owed: days.before_day(end) })
    };
    builder.own_lines().filter_map(of).collect()
}

/// Leaves, of what was caught up of the products for a former customer, what is of the days before `boundary`: from then on
/// they are billed to another one.
pub fn leave_before(
    builder: &mut Builder<'_, '_>,
    order: &Order,
    products: &BTreeSet<ProductId>,
    (boundary, anchor): (Date, Period),
) -> Result<(), Stop> {
    let of = |line: &Line<'_>| {
        let origin = line.origin.as_ref().filter(|o| o.role() == Role::Prorate)?;
        let agreement = builder.agreement_of(line)?;
        let days = origin.true_period()?;
        let goes = products.contains(origin.product())
            && days.contains(boundary)
            && days.start() < boundary
            && agreement.company != builder.context.company
            && !agreement.prorates
            && !builder.is_billed(line)
            && !touched_by_person(line);
        goes.then(|| (days, days.before_day(boundary)))
    };
    let lines: Vec<_> =
        builder.own_lines().filter_map(|line| of(line).map(|days| (line.clone(), days))).collect();
    let why = format!("Order {} moves the subscription to another customer", order.shown());
    for (line, (days, owed)) in lines {
        cut(builder, &Straddling { line, days, owed }, (anchor, &why))?;
    }
    Ok(())
}

/// Writes what is owed of it in its place. `why` begins the reason; shares are counted by the periods of `anchor`.
pub(super) fn cut(
    builder: &mut Builder<'_, '_>,
    straddling: &Straddling<'_>,
    (anchor, why): (Period, &str),
) -> Result<(), Stop> {
    let Straddling { line, days, owed } = straddling;
    let Some(owed) = *owed else {
        return builder.delete(line, format!("{why}: nothing of {days} is owed."));
    };
    let world = builder.context.world;
    let (Some(origin), Some(agreement)) = (&line.origin, builder.agreement_of(line)) else { return Ok(()) };
    let Some(item) = world.snapshot.catalog.get(&line.state.catalog_item) else { return Ok(()) };
    let product = origin.product().clone();
    let (settings, currency) = (world.settings, builder.context.currency);
    let (all, left) = (builder.units_in(*days, anchor)?, builder.units_in(owed, anchor)?);
    let (prices, share) = match unit_of(builder, line, *days, all)? {
        Some(unit) => (unit, left),
        None => (prices_of(&line.state), left.over(all)?),
    };
    let money = part::prorated(settings, currency, prices, line.state.quantity, Share::of(share)?)?;
    let reason = format!("{why}, before {days} was invoiced: of these days {owed} is owed.");
    // Named by what it takes the place of, which is the same in every run.
    let line_id = format!("owed:{}", line.key().unwrap_or_default());
    write_once(
        builder,
        agreement,
        &line_id,
        &product,
        item,
        Role::Prorate,
        money,
        None,
        reason.clone(),
        owed,
    )?;
    builder.delete(line, reason)
}

/// What a unit costs for a period, where the line catches the one up that follows on it: then its share is counted from
/// there, and nothing is rounded twice.
fn unit_of(
    builder: &Builder<'_, '_>,
    line: &Line<'_>,
    days: Period,
    units: Exact,
) -> Result<Option<Prices>, Stop> {
    let Some(origin) = &line.origin else { return Ok(None) };
    let (settings, currency) = (builder.context.world.settings, builder.context.currency);
    let of_order = builder
        .own_lines_for(origin.product(), Role::Recurring)
        .filter(|l| l.is_made_by(origin.order()) && l.state.effective >= days.end())
        .map(|l| prices_of(&l.state));
    for unit in of_order {
        let all = unit.price.exact().times(units)?.round(currency.places(), settings.rounding_mode)?;
        if Money::new(all) == line.state.unit_price {
            return Ok(Some(unit));
        }
    }
    Ok(None)
}

fn prices_of(state: &AdditionState) -> Prices {
    Prices { price: state.unit_price, cost: state.unit_cost, cost_known: true }
}
