//! Levels that reconciliations wrote: what the subscription's record said, no order. An order of the days before that comes
//! after them bills its days up to them, since they bill from there on what it brought.

use super::builder::Builder;
use super::context::Stop;
use super::late;
use super::lines::billed_quantity;
use super::over;
use super::part;
use super::picture::Line;
use crate::feed::{Charge, OrderLine};
use crate::ids::{OrderId, ProductId};
use crate::money::{Money, Quantity};
use crate::period::Period;
use crate::plan::{Edit, Role};
use crate::psa::AdditionState;
use jiff::civil::Date;

/// Whether a reconciliation wrote a line: trueup did, and no order asked for it.
pub fn wrote(line: &Line<'_>) -> bool {
    line.key().is_some() && line.origin.as_ref().is_some_and(|o| o.order().is_none())
}

/// A level: since when it holds, what it was, and the order that put another one in its place.
struct Level<'s> {
    since: Date,
    state: &'s AdditionState,
    replaced_by: Option<&'s OrderId>,
}

impl<'s> Level<'s> {
    fn of(
        held_before: Option<Period>,
        edits: &'s [Edit],
        written: &'s AdditionState,
        ended_by: Option<&'s OrderId>,
    ) -> Self {
        let state = edits.first().map_or(written, |edit| &edit.before);
        let edited_by = edits.first().and_then(|edit| edit.order.as_ref());
        let since = held_before.map_or(state.effective, Period::start);
        Self { since, state, replaced_by: edited_by.or(ended_by) }
    }
}

/// The levels of a product that reconciliations wrote, also of lines that an order took away since. What another one
/// or an undo took away is as if it had never been.
fn levels<'s>(builder: &'s Builder<'_, '_>, product: &'s ProductId) -> impl Iterator<Item = Level<'s>> {
    let there = builder.own_lines_for(product, Role::Recurring).filter(|line| wrote(line));
    let there = there.filter_map(|line| Some((line.origin.as_ref()?, line.ended_by())));
    let gone = builder.own_links_for(product, Role::Recurring);
    let gone = gone.filter(|l| l.deleted && l.order.is_none() && l.key.is_some());
    let gone = gone.filter_map(|l| Some((l, l.removed_by()?)));
    there
        .map(|(o, by)| Level::of(o.true_period(), o.edits(), o.written(), by))
        .chain(gone.map(|(l, by)| Level::of(l.true_period, &l.edits, &l.written, Some(by))))
}

/// The day from which a reconciliation bills what the order brings, or what came after it: the first level after `day`,
/// where something was billed before it. An order that starts from that level, and after which none was carried out, goes
/// on from it instead, where the level begins with the next period: the line of before ends there.
pub fn next_level(
    builder: &Builder<'_, '_>,
    line: &OrderLine,
    (day, period): (Date, Period),
) -> Option<Date> {
    let product = &line.product;
    let billed = |quantity: Quantity| billed_quantity(builder, product, quantity);
    let told = || line.new_quantity.and_then(|new| new.minus(line.quantity).ok());
    let old = line.old_quantity.or_else(told).map(billed);
    let is_of_product = |l: &OrderLine| l.charge == Charge::Recurring && l.product == *product;
    let is_last = !over::younger(builder).any(|order| order.lines.iter().any(is_of_product));
    let brings = |level: &Level<'_>| {
        let shows = |price: Money| part::shows(builder.context, level.state, price);
        line.new_quantity.map(billed) == Some(level.state.quantity) && line.unit_price.is_none_or(shows)
    };
    let is_next = |level: &Level<'_>| is_last && level.since <= period.end();
    let goes_on_from =
        |level: &Level<'_>| is_next(level) && old == Some(level.state.quantity) && !brings(level);
    // Where an older order went on from it, this one goes on from that.
    let is_left = |level: &Level<'_>| level.replaced_by.is_some_and(|by| late::is_older(builder, by));
    let after =
        levels(builder, product).filter(|level| level.since > day && !is_left(level) && !goes_on_from(level));
    let first = after.map(|level| level.since).min()?;
    late::state_on(builder, product, day).map(|_| first)
}

/// Says what an order costs of the days before the level that a reconciliation wrote, of which trueup bills nothing else.
pub fn tell_days_before(
    builder: &mut Builder<'_, '_>,
    line: &OrderLine,
    (said, period): (Date, Period),
    (old, new): (Quantity, Quantity),
) -> Result<(), Stop> {
    let first = levels(builder, &line.product).map(|level| level.since).min();
    let Some(Ok(days)) = first.map(|first| Period::new(said, first)) else { return Ok(()) };
    let Some(price) = line.unit_price else { return Ok(()) };
    let before = line.old_unit_price.unwrap_or(price).exact().times(old.exact())?;
    let more = price.exact().times(new.exact())?.minus(before)?;
    let exact = more.times(builder.units_in(days, period)?)?;
    let why = "the level of a reconciliation is billed after it, and nothing of trueup's bills these days";
    Ok(builder.left_out(&line.product, days, exact, why)?)
}
