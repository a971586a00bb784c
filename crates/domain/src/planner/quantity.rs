//! Quantities that an order cannot mean: a part of what is sold whole, less than nothing, or nothing at all. What cannot
//! be meant is kept back before any line is planned; a quantity of nothing is said, so that no order ends in silence.

use super::builder::Builder;
use crate::feed::{Charge, Order, OrderKind, OrderLine, ProductKind};
use crate::finding::{Code, Severity};
use crate::ids::ProductId;
use crate::money::Quantity;
use std::borrow::Cow;

/// The order without the lines whose quantity cannot be meant; each of them is kept back with its reason.
pub fn judged<'o>(builder: &mut Builder<'_, '_>, order: &'o Order) -> Cow<'o, Order> {
    let mut refused: Vec<&OrderLine> = Vec::new();
    for line in &order.lines {
        let Some(why) = refusal(builder, order, line) else { continue };
        let message = format!("Line {} of order {} {why}.", line.id, order.shown());
        let finding = builder.about(Code::Tu5004, &line.product, message);
        builder.withhold(finding);
        refused.push(line);
    }
    if refused.is_empty() {
        tell_little(builder, order);
        return Cow::Borrowed(order);
    }
    // What replaces a product waits: then what it replaces goes on, or nothing would bill the customer meanwhile.
    let comes = refused.iter().any(|line| comes(line));
    let waits =
        |line: &OrderLine| refused.iter().any(|other| other.product == line.product) || (comes && goes(line));
    let lines = order.lines.iter().filter(|line| !waits(line)).cloned().collect();
    let left = Order { lines, ..order.clone() };
    tell_little(builder, &left);
    Cow::Owned(left)
}

/// Why the quantity of a line cannot be meant.
fn refusal(builder: &Builder<'_, '_>, order: &Order, line: &OrderLine) -> Option<String> {
    let name = builder.context.product_name(&line.product);
    if line.quantity.is_negative() && !may_be_negative(order.kind, line.charge) {
        return Some(format!("charges a quantity of {} of {name}", line.quantity.shown()));
    }
    let kind = builder.context.product(&line.product).and_then(|product| product.kind)?;
    if !is_counted_whole(order.kind, line.charge) {
        return None;
    }
    let part = [Some(line.quantity), line.old_quantity, line.new_quantity]
        .into_iter()
        .flatten()
        .find(|quantity| !is_allowed(kind, *quantity))?;
    Some(format!("has {} of {name}, which is sold whole ({})", part.shown(), word(kind)))
}

/// A decrease, a reduction and a part given back are below zero; so is what a source takes back of a charge made once.
/// Nothing else is: there is no setup, fee or use of less than nothing.
fn may_be_negative(kind: OrderKind, charge: Charge) -> bool {
    match charge {
        Charge::Refund | Charge::Discount => true,
        Charge::Recurring | Charge::Prorate | Charge::OneTime | Charge::Upgrade => {
            !matches!(kind, OrderKind::Sales | OrderKind::Transfer)
        }
        Charge::Setup | Charge::Overuse | Charge::Cancellation => false,
    }
}

/// Parts, refunds, use and fees may be counted in shares; so may what a billing order rates afterwards.
fn is_counted_whole(kind: OrderKind, charge: Charge) -> bool {
    match charge {
        Charge::Recurring | Charge::Setup | Charge::OneTime | Charge::Upgrade => kind != OrderKind::Billing,
        Charge::Overuse | Charge::Prorate | Charge::Refund | Charge::Discount | Charge::Cancellation => false,
    }
}

/// Whether a product of this kind can be sold in this quantity.
pub fn is_allowed(kind: ProductKind, quantity: Quantity) -> bool {
    match kind {
        ProductKind::Metered => true,
        ProductKind::Seat
        | ProductKind::OneTime
        | ProductKind::Addon
        | ProductKind::Bundle
        | ProductKind::Plan => quantity.is_whole(),
    }
}

fn word(kind: ProductKind) -> &'static str {
    match kind {
        ProductKind::Seat => "a seat",
        ProductKind::Metered => "metered",
        ProductKind::OneTime => "sold once",
        ProductKind::Addon => "an add-on",
        ProductKind::Bundle => "a bundle",
        ProductKind::Plan => "a plan",
    }
}

fn goes(line: &OrderLine) -> bool {
    line.charge == Charge::Recurring
        && line.new_quantity.is_some_and(Quantity::is_zero)
        && line.old_quantity.is_none_or(|old| !old.is_zero())
}

fn comes(line: &OrderLine) -> bool {
    line.charge == Charge::Recurring
        && line.old_quantity.is_some_and(Quantity::is_zero)
        && line.new_quantity.is_some_and(|new| !new.is_zero())
}

/// Whether an item of a subscription is in a quantity that its product cannot have; it is kept back with the reason.
pub fn is_refused(builder: &mut Builder<'_, '_>, product: &ProductId, quantity: Quantity) -> bool {
    let Some(kind) = builder.context.product(product).and_then(|product| product.kind) else { return false };
    if is_allowed(kind, quantity) {
        return false;
    }
    let name = builder.context.product_name(product);
    let message =
        format!("The subscription has {} of {name}, which is sold whole ({}).", quantity.shown(), word(kind));
    let finding = builder.about(Code::Tu5004, product, message);
    builder.withhold(finding);
    true
}

/// A quantity that falls below half of what it was deserves a look. An order and a reconciliation are somebody's word,
/// so that it is said and not held.
pub fn tell_fall(builder: &mut Builder<'_, '_>, product: &ProductId, from: Quantity, to: Quantity) {
    let below_half = to.plus(to).is_ok_and(|double| double < from);
    if to.is_zero() || to.is_negative() || !below_half {
        return;
    }
    let name = builder.context.product_name(product);
    let message = format!("{name} falls from {} to {}, to less than half.", from.shown(), to.shown());
    let finding = builder.about(Code::Tu5002, product, message).severity(Severity::Warning).fix(
        "Nothing is to be done where that is meant; otherwise put the plan aside and correct it at the source.",
    );
    builder.find(finding);
}

/// A sale of nothing, a product that a change gives up without another in its place, and one that loses most of it.
fn tell_little(builder: &mut Builder<'_, '_>, order: &Order) {
    let recurring = || order.lines.iter().filter(|line| line.charge == Charge::Recurring);
    match order.kind {
        // Beside lines that bill something, a line of nothing is what the plan includes (decision A17).
        OrderKind::Sales | OrderKind::Transfer if recurring().all(|line| line.quantity.is_zero()) => {
            for line in recurring() {
                if is_included(builder, line) {
                    continue;
                }
                let name = builder.context.product_name(&line.product);
                let message = format!(
                    "Line {} of order {} sells 0 {name}: no line is written for it.",
                    line.id,
                    order.shown()
                );
                say(builder, &line.product, message, "sold");
            }
        }
        OrderKind::Change | OrderKind::Renewal if !recurring().any(comes) => {
            for line in recurring() {
                if let (Some(old), Some(new)) = (line.old_quantity, line.new_quantity) {
                    tell_fall(builder, &line.product, old, new);
                }
            }
            for line in recurring().filter(|line| goes(line)) {
                let name = builder.context.product_name(&line.product);
                let from = line.old_quantity.map_or_else(String::new, |old| format!(" from {}", old.shown()));
                let message = format!(
                    "Line {} of order {} changes {name}{from} to 0: its line ends, and the subscription is not \
                     cancelled.",
                    line.id,
                    order.shown()
                );
                say(builder, &line.product, message, "kept");
            }
        }
        OrderKind::Sales
        | OrderKind::Transfer
        | OrderKind::Change
        | OrderKind::Renewal
        | OrderKind::Billing
        | OrderKind::Cancellation => {}
    }
}

fn say(builder: &mut Builder<'_, '_>, product: &ProductId, message: String, what: &str) {
    let finding = builder.about(Code::Tu5003, product, message).fix(format!(
        "Nothing is to be done where 0 is meant. Where something was {what}, send the order again with its quantity."
    ));
    builder.find(finding);
}

/// What a plan includes is sold with nothing to bill (decision A17).
fn is_included(builder: &Builder<'_, '_>, line: &OrderLine) -> bool {
    let free = line.unit_price.is_some_and(|price| price.is_zero());
    let included = builder.context.subscription.is_some_and(|subscription| {
        subscription.items.iter().any(|item| {
            item.product == line.product && item.included_quantity.is_some_and(|some| !some.is_zero())
        })
    });
    free || included
}
