//! What a subscription had before its orders changed it: a reconciliation looks at the days before them, and leaves what
//! they bring to themselves.

use super::prices::prices_of;
use super::{Beside, Target, Wish};
use crate::feed::{Charge, Order, OrderKind, OrderLine};
use crate::finding::{Code, Severity};
use crate::ids::ProductId;
use crate::money::{Money, Quantity};
use crate::period::previous_day;
use crate::plan::Role;
use crate::planner::AdoptionAnswer;
use crate::planner::builder::{Builder, NewLine};
use crate::planner::cancellation::usual_last_day;
use crate::planner::context::Stop;
use crate::planner::late;
use crate::planner::lines::{self, billed_quantity, item_of};
use crate::planner::part::{self, Kept};
use jiff::civil::Date;

/// Quantity and prices before an order.
struct Level {
    quantity: Quantity,
    price: Option<Money>,
    cost: Option<Money>,
}

/// The one recurring line that an order has for a product. Of several nobody knows which is which.
fn line_for<'o>(order: &'o Order, product: &ProductId) -> Option<&'o OrderLine> {
    let mut of_product =
        order.lines.iter().filter(|l| l.charge == Charge::Recurring && &l.product == product);
    let line = of_product.next()?;
    of_product.next().is_none().then_some(line)
}

/// What there was of a product before an order, where the order tells.
fn before(order: &Order, product: &ProductId) -> Option<Level> {
    let line = line_for(order, product)?;
    let nothing = Level { quantity: Quantity::ZERO, price: None, cost: None };
    let quantity = match order.kind {
        OrderKind::Sales | OrderKind::Transfer => return Some(nothing),
        OrderKind::Change => {
            line.old_quantity.or_else(|| line.new_quantity.and_then(|new| new.minus(line.quantity).ok()))?
        }
        OrderKind::Renewal => line.old_quantity?,
        OrderKind::Billing | OrderKind::Cancellation => return None,
    };
    Some(Level { quantity, price: line.old_unit_price, cost: line.old_unit_cost })
}

/// The level before the order at `at`, with the prices of the order before it where it tells none.
fn level_at(orders: &[&Order], at: usize, product: &ProductId) -> Option<Level> {
    let level = before(orders.get(at)?, product)?;
    let told = || orders[..at].iter().rev().find_map(|order| line_for(order, product));
    Some(Level {
        price: level.price.or_else(|| told()?.unit_price),
        cost: level.cost.or_else(|| told()?.unit_cost),
        ..level
    })
}

/// Products that orders took away, or will: nothing is left of them.
pub(super) fn with_what_went<'s>(wanted: &mut Vec<Target<'s>>, beside: &'s Beside) {
    for line in beside.carried.iter().chain(&beside.open).flat_map(|order| &order.lines) {
        if line.charge == Charge::Recurring && !wanted.iter().any(|known| known.product == &line.product) {
            wanted.push(Target {
                line_id: line.item.as_ref().map_or_else(|| line.id.to_string(), ToString::to_string),
                product: &line.product,
                quantity: Quantity::ZERO,
                price: line.old_unit_price,
                cost: line.old_unit_cost,
                said: None,
            });
        }
    }
}

/// Orders that are not carried out yet change the level themselves: what there was before the first of them is wanted.
pub(super) fn before_what_is_open(target: &mut Target<'_>, beside: &Beside) {
    let orders: Vec<&Order> = beside.carried.iter().chain(&beside.open).collect();
    let mut quantity = target.quantity;
    for at in (beside.carried.len()..orders.len()).rev() {
        let order = orders[at];
        if line_for(order, target.product).is_some() {
            // The price of the record may be the one that the order brings.
            target.said = None;
        }
        if let Some(level) = level_at(&orders, at, target.product) {
            quantity = level.quantity;
            target.price = level.price.or(target.price);
            target.cost = level.cost.or(target.cost);
        } else if let Some(line) = line_for(order, target.product)
            && order.kind == OrderKind::Change
            && let Ok(before) = quantity.minus(line.quantity)
        {
            quantity = before;
        }
    }
    // A record that has less than was added since is from before it.
    if !quantity.is_negative() {
        target.quantity = quantity;
    }
}

/// Whether an order leaves nothing of a product; none where it says nothing of it.
fn ends(order: &Order, product: &ProductId) -> Option<bool> {
    let line = || line_for(order, product);
    match order.kind {
        OrderKind::Cancellation => Some(true),
        OrderKind::Change => {
            let told = |line: &OrderLine| {
                line.new_quantity.or_else(|| line.old_quantity.and_then(|old| old.plus(line.quantity).ok()))
            };
            line().map(|line| told(line).is_some_and(Quantity::is_zero))
        }
        OrderKind::Sales | OrderKind::Renewal | OrderKind::Transfer => line().map(|_| false),
        OrderKind::Billing => None,
    }
}

/// Keeps back what the last order of a product ended, where the record that has it still may be older than that order: it
/// would be billed again (D225). A record that came in since, or a person's word, goes on.
pub(super) fn is_held_as_ended(
    builder: &mut Builder<'_, '_>,
    target: &Target<'_>,
    wish: Wish,
    beside: &Beside,
) -> bool {
    let product = target.product;
    let last = beside.carried.iter().rev().find_map(|order| Some((order, ends(order, product)?)));
    let Some((order, true)) = last else { return false };
    let is_meant = builder.adoption() == AdoptionAnswer::CreateBeside || wish.ended.is_some();
    if is_meant || order.effective >= wish.period.end() || !beside.newer.contains(&order.id) {
        return false;
    }
    let message = format!(
        "Order {} ended {} on {} and was carried out; the subscription's record, which has {} of it, is not from after it.",
        order.shown(),
        builder.context.product_name(product),
        order.effective,
        target.quantity.shown()
    );
    let fix = "Import the subscription as it is now; where it is sold again, plan with `--no-adopt`.";
    let finding = builder.about(Code::Tu5001, product, message).fix(fix);
    builder.withhold(finding);
    true
}

/// The days from `start` up to where an order that was carried out began to bill: what was sold in them, and nothing
/// bills, is billed by a line that ends there.
pub(super) fn before_what_changed_it(
    builder: &mut Builder<'_, '_>,
    target: &Target<'_>,
    start: Date,
    wish: Wish,
    beside: &Beside,
) -> Result<(), Stop> {
    let product = target.product;
    let orders: Vec<&Order> = beside.carried.iter().collect();
    let changed = (0..orders.len()).filter(|at| orders[*at].effective > start);
    let found = changed.filter_map(|at| Some((orders[at], level_at(&orders, at, product)?))).next();
    let Some((order, level)) = found else { return Ok(()) };
    let quantity = billed_quantity(builder, product, level.quantity);
    if quantity.is_zero() || quantity.is_negative() || order.effective >= wish.period.end() {
        return Ok(());
    }
    let of_product: Vec<_> =
        builder.own_lines().filter(|l| l.is_for(product, Role::Recurring)).cloned().collect();
    let is_accounted_for = of_product.iter().any(|l| {
        l.state.bills_on(start)
            || late::since(l) <= start && l.state.cancelled.is_none_or(|last| last >= start)
    });
    if is_accounted_for || builder.mapped_lines(product).iter().any(|l| l.state.bills_on(start)) {
        return Ok(());
    }
    let Some(item) = item_of(builder, product)? else { return Ok(()) };
    let name = builder.context.product_name(product);
    let claimed = builder.unclaimed(item, start);
    if !claimed.is_empty() && builder.adoption() != AdoptionAnswer::CreateBeside {
        let finding = lines::several_open(builder, product, &claimed).severity(Severity::Warning);
        builder.withhold(finding);
        return Ok(());
    }
    let agreement = builder.context.agreement;
    if builder.is_invoiced(agreement, start) && !wish.confirm_invoiced {
        let message =
            format!("{start} is invoiced already on agreement {}; say so again to write it.", agreement.id);
        let finding = builder.about(Code::Tu4002, product, message);
        builder.withhold(finding);
        return Ok(());
    }
    let next = of_product.iter().map(|l| l.state.effective).filter(|day| *day > start).min();
    let mut last = previous_day(next.unwrap_or(wish.period.end()));
    if let Some(ended) = wish.ended {
        last = last.min(usual_last_day(builder, agreement, ended));
    }
    let told = Target {
        line_id: format!("{}/before/{}", target.line_id, order.id),
        product,
        quantity: level.quantity,
        price: level.price.or(target.price),
        cost: level.cost.or(target.cost),
        said: None,
    };
    let Some(prices) = prices_of(builder, &told, item, of_product.first()) else { return Ok(()) };
    let (bill, taxable) = builder.flags_of(product);
    let settings = builder.context.world.settings;
    let line = NewLine {
        line_id: told.line_id,
        product: product.clone(),
        item,
        role: Role::Recurring,
        money: part::open_ended(settings, builder.context.currency, prices, quantity, Kept::default())?,
        description: builder.description(product, None),
        bill,
        taxable,
        key_day: None,
        since: None,
        reason: format!(
            "The subscription had {} {name} before order {} changed it, and ConnectWise bills none of {start} to {last}.",
            quantity.shown(),
            order.shown()
        ),
    };
    builder.recurring(agreement, line, start, Some(last), wish.period)
}
