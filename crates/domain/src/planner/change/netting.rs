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
use jiff::civil::Date;
use std::collections::BTreeMap;

/// What one product of a switch costs more (or, where it goes, less) of days that it came too late for.
pub struct Half<'a> {
    /// Line of the order.
    pub line_id: String,
    /// Product.
    pub product: ProductId,
    /// Catalog item.
    pub item: &'a CatalogItem,
    /// The amount, as it would be written alone.
    pub money: Expressed,
    /// The days.
    pub days: Period,
    /// Whether a credit may be written for them: no invoice has billed them yet.
    pub may_give_back: bool,
    /// Why, as it would be said alone.
    pub reason: String,
}

impl Half<'_> {
    fn comes(&self) -> bool {
        !self.money.exact.is_negative()
    }
}

/// Writes what the halves come to: for the same days one amount, for what comes less what goes.
pub(super) fn settle(builder: &mut Builder<'_, '_>, order: &Order) -> Result<(), Stop> {
    let mut by_day: BTreeMap<Date, Vec<Half<'_>>> = BTreeMap::new();
    for half in std::mem::take(&mut builder.halves) {
        by_day.entry(half.days.start()).or_default().push(half);
    }
    by_day.into_values().try_for_each(|halves| settle_days(builder, order, halves))
}

fn settle_days<'a>(builder: &mut Builder<'_, 'a>, order: &Order, halves: Vec<Half<'a>>) -> Result<(), Stop> {
    let may_give_back = halves.iter().all(|half| half.may_give_back);
    let (comes, goes): (Vec<_>, Vec<_>) = halves.into_iter().partition(Half::comes);
    if comes.is_empty() || goes.is_empty() {
        comes.into_iter().try_for_each(|half| write(builder, half))?;
        return goes.into_iter().try_for_each(|half| match may_give_back {
            true => write(builder, half),
            false => tell(builder, &half, half.money.exact),
        });
    }
    let mut net = (Exact::ZERO, Exact::ZERO);
    for half in comes.iter().chain(&goes) {
        net = (net.0.plus(half.money.exact)?, net.1.plus(half.money.exact_cost)?);
    }
    // What an earlier run netted stays as it wrote it.
    let is_written =
        |half: &Half<'_>| builder.written(&half.line_id, Role::Prorate, half.days.start()).is_some();
    let netted_in = comes.iter().position(is_written);
    if netted_in.is_none() && net.0.is_zero() {
        return Ok(());
    }
    if netted_in.is_none() && net.0.is_negative() && !may_give_back {
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
    let Some(half) = comes.into_iter().nth(netted_in.unwrap_or(0)) else { return Ok(()) };
    let reason = if may_give_back {
        format!("{} is billed with the old plan: order {} costs the difference.", half.days, order.shown())
    } else {
        format!(
            "{} was invoiced with the old plan before order {} could be written: the new one costs the difference.",
            half.days,
            order.shown()
        )
    };
    write(builder, Half { money, reason, ..half })
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
