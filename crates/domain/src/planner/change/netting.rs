//! What a plan switch costs of invoiced days that it came too late for. The old plan was billed for them, so the new one
//! costs the difference, also with credits off: nothing is given back that was not charged in its place.

use super::parts::credit_form;
use crate::feed::Order;
use crate::ids::ProductId;
use crate::money::Exact;
use crate::period::Period;
use crate::plan::Role;
use crate::planner::builder::Builder;
use crate::planner::context::Stop;
use crate::planner::left_out;
use crate::planner::lines::write_once;
use crate::planner::part::{self, Expressed};
use crate::psa::CatalogItem;

/// What one product of a switch costs more (or, where it goes, less) of invoiced days.
pub struct Half<'a> {
    /// Line of the order.
    pub line_id: String,
    /// Product.
    pub product: ProductId,
    /// Catalog item.
    pub item: &'a CatalogItem,
    /// The amount, as it would be written alone.
    pub money: Expressed,
    /// The invoiced days.
    pub days: Period,
    /// The period that they are counted from.
    pub anchor: Period,
    /// Why, as it would be said alone.
    pub reason: String,
}

impl Half<'_> {
    fn comes(&self) -> bool {
        !self.money.exact.is_negative()
    }
}

/// Writes what the halves come to: one amount for what comes less what goes.
pub(super) fn settle(builder: &mut Builder<'_, '_>, order: &Order) -> Result<(), Stop> {
    let (comes, goes): (Vec<_>, Vec<_>) =
        std::mem::take(&mut builder.halves).into_iter().partition(Half::comes);
    let written = comes.iter().find_map(|half| {
        let line = builder.written(&half.line_id, Role::Prorate, half.days.start())?;
        Some(line.origin.as_ref().and_then(|origin| origin.true_period()).unwrap_or(half.days))
    });
    if let Some(covered) = written {
        // An earlier run has netted the days up to then; what invoices billed of the old plan since is told.
        comes.into_iter().try_for_each(|half| write(builder, half))?;
        return goes.into_iter().try_for_each(|half| tell_after(builder, &half, covered));
    }
    if comes.is_empty() || goes.is_empty() {
        comes.into_iter().try_for_each(|half| write(builder, half))?;
        return goes.iter().try_for_each(|half| tell(builder, half, half.money.exact));
    }
    let mut net = (Exact::ZERO, Exact::ZERO);
    for half in comes.iter().chain(&goes) {
        net = (net.0.plus(half.money.exact)?, net.1.plus(half.money.exact_cost)?);
    }
    if net.0.is_zero() {
        return Ok(());
    }
    if net.0.is_negative() {
        return goes.first().map_or(Ok(()), |half| tell(builder, half, net.0));
    }
    let context = builder.context;
    let mut money = part::one_unit(context.world.settings, context.currency, net.0, net.1)?;
    let mut terms = String::new();
    for half in comes.iter().chain(&goes) {
        let (sign, amount) = match half.comes() {
            true => (if terms.is_empty() { "" } else { " + " }, half.money.exact),
            false => (" - ", Exact::ZERO.minus(half.money.exact)?),
        };
        terms = format!("{terms}{sign}{}", part::short(amount));
    }
    money.formula = format!("{terms} = {}", money.formula);
    let Some(first) = comes.into_iter().next() else { return Ok(()) };
    let reason = format!(
        "{} was invoiced with the old plan before order {} could be written: the new one costs the difference.",
        first.days,
        order.shown()
    );
    write(builder, Half { money, reason, ..first })
}

fn write<'a>(builder: &mut Builder<'_, 'a>, half: Half<'a>) -> Result<(), Stop> {
    let Half { line_id, product, item, money, days, reason, .. } = half;
    let home = builder.context.agreement;
    let money = credit_form(money);
    write_once(builder, home, &line_id, &product, item, Role::Prorate, money, None, reason, days)
}

fn tell(builder: &mut Builder<'_, '_>, half: &Half<'_>, amount: Exact) -> Result<(), Stop> {
    Ok(builder.left_out(&half.product, half.days, amount, left_out::CREDITS_OFF)?)
}

/// The share of what goes that lies after the days that are settled already.
fn tell_after(builder: &mut Builder<'_, '_>, half: &Half<'_>, covered: Period) -> Result<(), Stop> {
    let Some(rest) = half.days.from_day(covered.end().max(half.days.start())) else { return Ok(()) };
    let share = builder.units_in(rest, half.anchor)?.over(builder.units_in(half.days, half.anchor)?)?;
    let amount = half.money.exact.times(share)?;
    Ok(builder.left_out(&half.product, rest, amount, left_out::CREDITS_OFF)?)
}
