//! What is left of a product's charge for some days once a refund or a discount took something off it: what a change gives
//! back of these days is never more.

use crate::ids::ProductId;
use crate::money::Exact;
use crate::period::{Period, next_day};
use crate::plan::Role;
use crate::planner::builder::Builder;
use crate::planner::context::Stop;
use crate::planner::late;
use crate::planner::part::{self, Expressed};
use crate::planner::picture::Line;
use crate::psa::AdditionState;

/// Price and cost, where they give back: not more than what is left of `days`, of periods that are laid from `anchor`.
pub(super) fn no_more_than(
    builder: &Builder<'_, '_>,
    product: &ProductId,
    days: Period,
    anchor: Period,
    (price, cost): (Exact, Exact),
) -> Result<(Exact, Exact), Stop> {
    let left = if price.is_negative() { left_of(builder, product, days, anchor)? } else { None };
    let Some(left) = left.filter(|_| !price.is_zero()) else { return Ok((price, cost)) };
    if !price.plus(left)?.is_negative() {
        return Ok((price, cost));
    }
    let capped = Exact::ZERO.minus(left)?;
    // The cost goes with the price.
    Ok((capped, cost.times(capped.over(price)?)?))
}

/// The same of an amount as it would be written.
pub(super) fn capped(
    builder: &Builder<'_, '_>,
    product: &ProductId,
    days: Period,
    anchor: Period,
    money: Expressed,
) -> Result<Expressed, Stop> {
    let (price, cost) = no_more_than(builder, product, days, anchor, (money.exact, money.exact_cost))?;
    if price == money.exact {
        return Ok(money);
    }
    let context = builder.context;
    let mut capped = part::one_unit(context.world.settings, context.currency, price, cost)?;
    capped.formula = format!("{}, of which is left: {}", money.formula, capped.formula);
    Ok(capped)
}

/// What is left of the charge for the days; none where nothing was taken off it.
fn left_of(
    builder: &Builder<'_, '_>,
    product: &ProductId,
    days: Period,
    anchor: Period,
) -> Result<Option<Exact>, Stop> {
    let this = builder.context.order_id();
    let amount = |state: &AdditionState| state.unit_price.exact().times(state.quantity.exact());
    let mut left = Exact::ZERO;
    let mut was_reduced = false;
    let others = builder.own_lines().filter(|l| !l.is_made_by(this));
    for line in others {
        let Some(origin) = line.origin.as_ref().filter(|o| o.product() == product) else { continue };
        if origin.role() == Role::Recurring {
            for (billed, state) in late::states_within(builder, line, days) {
                let billed = to_its_invoice(builder, line, billed, days, anchor)?;
                left = left.plus(amount(state)?.times(builder.units_in(billed, anchor)?)?)?;
            }
            continue;
        }
        let end = line.state.cancelled.map_or(days.end(), next_day);
        let own = origin.true_period().or_else(|| Period::new(line.state.effective, end).ok());
        let Some((own, shared)) = own.and_then(|own| Some((own, own.intersect(days)?))) else { continue };
        let value = amount(&line.state)?;
        match origin.role() {
            Role::Prorate | Role::Refund | Role::OneTime => {
                let reduces = origin.role() != Role::Prorate && value.is_negative();
                // What is charged once beside the days is none of them.
                if origin.role() == Role::OneTime && !reduces {
                    continue;
                }
                was_reduced |= reduces;
                let of_it = builder.units_in(shared, anchor)?.over(builder.units_in(own, anchor)?)?;
                left = left.plus(value.times(of_it)?)?;
            }
            Role::Recurring | Role::Setup | Role::Overuse | Role::Cancellation | Role::Quantity => {}
        }
    }
    let left = if left.is_negative() { Exact::ZERO } else { left };
    Ok(was_reduced.then_some(left))
}

/// The days of a state that a line bills, up to the end of the period in which the line ends: where ConnectWise does not
/// prorate, it bills that whole.
fn to_its_invoice(
    builder: &Builder<'_, '_>,
    line: &Line<'_>,
    billed: Period,
    days: Period,
    anchor: Period,
) -> Result<Period, Stop> {
    let last = line.state.cancelled.filter(|last| next_day(*last) == billed.end());
    let Some(last) = last.filter(|_| builder.agreement_of(line).is_some_and(|of| !of.prorates)) else {
        return Ok(billed);
    };
    let end = builder.period_of(anchor, last)?.end().min(days.end());
    Ok(Period::new(billed.start(), end.max(billed.end()))?)
}
