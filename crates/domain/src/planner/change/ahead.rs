//! A change of what an older order gave another state for days to come: an early renewal, a transfer of the next period.
//! The change counts from its own day up to that state, and takes its place from there on.

use super::Asked;
use super::resolve::resolve;
use super::transition::transition;
use super::{Moment, moment_of};
use crate::feed::{Order, OrderLine};
use crate::finding::{Code, Severity};
use crate::ids::ProductId;
use crate::money::Quantity;
use crate::planner::builder::Builder;
use crate::planner::context::Stop;
use crate::planner::late;
use crate::psa::AdditionState;
use jiff::civil::Date;

/// The line of the order as it stands from `day` on, where an older order gave another state: its quantity, unless it moves
/// none, and the price of that state, unless this order changes the price.
pub(super) fn in_place_of(builder: &Builder<'_, '_>, line: &OrderLine, said: Date, day: Date) -> OrderLine {
    let mut own = OrderLine { amount: None, cost_amount: None, period: None, ..line.clone() };
    let product = &line.product;
    let (Some(now), Some(then)) =
        (late::state_on(builder, product, said), late::state_on(builder, product, day))
    else {
        return own;
    };
    let keeps_price = line
        .unit_price
        .is_none_or(|price| line.old_unit_price.map_or(price == now.unit_price, |old| price == old));
    let one = Quantity::from(1);
    let shows_units = |state: &AdditionState| state.quantity != one;
    if keeps_price && shows_units(&then) {
        own.unit_price = Some(then.unit_price);
        own.unit_cost = Some(then.unit_cost);
        own.old_unit_price = None;
        own.old_unit_cost = None;
    }
    // An order that moves no quantity orders none: that of the older one stays.
    if line.quantity.is_zero() && shows_units(&then) && shows_units(&now) {
        own.old_quantity = Some(then.quantity);
        own.new_quantity = Some(then.quantity);
        return own;
    }
    // What it counts from is what the older order left.
    if shows_units(&then)
        && let Some(new) = line.new_quantity
        && let Ok(difference) = new.minus(then.quantity)
    {
        own.old_quantity = Some(then.quantity);
        own.quantity = difference;
    }
    own
}

/// Puts the order's state in the place of the older order's from `day` on.
pub(super) fn replace(
    builder: &mut Builder<'_, '_>,
    order: &Order,
    line: &OrderLine,
    day: Date,
) -> Result<(), Stop> {
    let moment: Moment = moment_of(builder, order, day, &line.product)?;
    match resolve(builder, order, line, moment, None)? {
        Asked::For(item) => {
            if item.old_quantity != item.new_quantity {
                tell(builder, order, &line.product, day, (item.old_quantity, item.new_quantity));
            }
            transition(builder, order, &item, false, false)
        }
        Asked::Nothing | Asked::ByHand => Ok(()),
    }
}

/// Says that a quantity which was ordered ahead does not come: this order was ordered after it.
fn tell(
    builder: &mut Builder<'_, '_>,
    order: &Order,
    product: &ProductId,
    day: Date,
    (ahead, now): (Quantity, Quantity),
) {
    let message = format!(
        "Order {} takes the place of what was ordered before for {day}: {} {} from then on instead of {}.",
        order.shown(),
        now.shown(),
        builder.context.product_name(product),
        ahead.shown()
    );
    let finding = builder
        .about(Code::Tu5001, product, message)
        .severity(Severity::Warning)
        .fix("Where both are meant, send a change for the quantity that is to be billed from that day on.");
    builder.find(finding);
}
