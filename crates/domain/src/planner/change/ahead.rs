//! A change of what an older order gave another state for days to come: an early renewal, a transfer of the next period.
//! The change counts from its own day up to that state, and takes its place from there on. Where the change comes first, the
//! older order that is carried out after it gives way to it in the same manner.

use super::Asked;
use super::resolve::resolve;
use super::transition::transition;
use super::{Moment, moment_of};
use crate::feed::{Order, OrderKind, OrderLine};
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

/// The line of an order ahead of its days, where one that was ordered later was carried out before it: the quantity of that
/// one stays, and its price where it changes the price.
pub(super) fn overtaken(
    builder: &mut Builder<'_, '_>,
    order: &Order,
    line: &OrderLine,
    said: Date,
) -> Option<OrderLine> {
    let (by, there, before) = late::overtaking(builder, &line.product, said)?;
    let one = Quantity::from(1);
    let ordered = match order.kind {
        OrderKind::Renewal => line.new_quantity.unwrap_or(line.quantity),
        OrderKind::Sales
        | OrderKind::Change
        | OrderKind::Billing
        | OrderKind::Cancellation
        | OrderKind::Transfer => line.new_quantity?,
    };
    if there.quantity == one && ordered != one {
        // It may stand for several.
        return None;
    }
    let mut own = OrderLine { amount: None, cost_amount: None, period: None, ..line.clone() };
    own.quantity = Quantity::ZERO;
    own.old_quantity = Some(there.quantity);
    own.new_quantity = Some(there.quantity);
    if before.is_some_and(|before| before.unit_price != there.unit_price) {
        own.unit_price = Some(there.unit_price);
        own.unit_cost = Some(there.unit_cost);
        own.old_unit_price = None;
        own.old_unit_cost = None;
    }
    if ordered != there.quantity && !line.quantity.is_zero() {
        let message = format!(
            "Order {} came after order {by}, which was ordered later: the {} {} of that one stay instead of {}.",
            order.shown(),
            there.quantity.shown(),
            builder.context.product_name(&line.product),
            ordered.shown()
        );
        let finding = builder
            .about(Code::Tu5001, &line.product, message)
            .severity(Severity::Warning)
            .fix("Where both are meant, send a change for the quantity that is to be billed.");
        builder.find(finding);
    }
    Some(own)
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
