//! What orders before a cancellation told of invoiced days: where credits are off, it is told once.

use super::{Ending, add, invoiced_of};
use crate::ids::ProductId;
use crate::money::Exact;
use crate::period::Period;
use crate::plan::Role;
use crate::planner::builder::Builder;
use crate::planner::context::Stop;
use crate::planner::late;
use crate::planner::picture::Line;

/// What an order that came late left out of some invoiced days, since its line begins after them and costs less than those
/// that billed them. Nothing where credits are on: then it is a line of its own.
pub(super) fn of_decreases(
    builder: &Builder<'_, '_>,
    product: &ProductId,
    billed: &[Line<'_>],
    ending: &Ending,
    days: Period,
) -> Result<(Exact, Exact), Stop> {
    let mut told = (Exact::ZERO, Exact::ZERO);
    if builder.context.world.settings.credits.is_on() {
        return Ok(told);
    }
    let this = builder.context.order_id();
    for line in builder.own_lines_for(product, Role::Recurring).filter(|l| !l.is_made_by(this)) {
        let span = Period::new(late::since(line), line.state.effective).ok();
        let Some(span) = span.and_then(|span| span.intersect(days)) else { continue };
        let mut left = (Exact::ZERO, Exact::ZERO);
        for old in billed.iter().filter(|old| old.is_for(product, Role::Recurring)) {
            let end = old.state.cancelled.map_or(span.end(), |last| last.tomorrow().unwrap_or(last));
            let own = Period::new(old.state.effective, end).ok().and_then(|own| own.intersect(span));
            if let Some(own) = own.filter(|_| old.target != line.target) {
                left = add(left, invoiced_of(old, builder.units_in(own, ending.period)?)?)?;
            }
        }
        let owed = invoiced_of(line, builder.units_in(span, ending.period)?)?;
        let less = (left.0.minus(owed.0)?, left.1.minus(owed.1)?);
        if !less.0.is_negative() && !left.0.is_zero() {
            told = add(told, less)?;
        }
    }
    Ok(told)
}
