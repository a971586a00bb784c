//! Changes that tell a difference alone: from how many to how many they go is told by the orders before them. A difference
//! that comes late moves what later differences left as well; a later order that named a quantity keeps its word.

use super::super::builder::Builder;
use super::super::context::Stop;
use super::super::{late, lines, twice};
use crate::feed::{Charge, Order, OrderKind, OrderLine};
use crate::finding::{Code, Severity};
use crate::ids::{OrderId, ProductId};
use crate::money::{MoneyError, Quantity};
use crate::plan::Role;
use jiff::civil::Date;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// Whether all that an order says of a product are differences.
pub fn tells_differences(order: &Order, product: &ProductId) -> bool {
    let mut lines = of_product(order, product).peekable();
    order.kind == OrderKind::Change && lines.peek().is_some() && lines.all(OrderLine::is_difference)
}

fn of_product<'o>(order: &'o Order, product: &ProductId) -> impl Iterator<Item = &'o OrderLine> {
    order.lines.iter().filter(move |l| l.charge == Charge::Recurring && l.product == *product)
}

/// Writes into lines that tell a difference from how many to how many they go, as far as the orders before them say so;
/// and into those after which differences alone were carried out, from how many they go now. The products that are kept
/// back are taken out.
pub(super) fn fill(
    builder: &mut Builder<'_, '_>,
    order: &Order,
    lines: &mut Vec<Cow<'_, OrderLine>>,
    said: Date,
) -> Result<BTreeSet<ProductId>, Stop> {
    let mut kept_back = BTreeSet::new();
    if order.kind != OrderKind::Change {
        return Ok(kept_back);
    }
    let mut levels: BTreeMap<ProductId, Quantity> = BTreeMap::new();
    for line in lines.iter_mut() {
        let followed = late::differences_follow(builder, &line.product, said);
        if !followed && !line.is_difference() {
            continue;
        }
        if line.is_difference() && is_sent_twice(builder, order, &line.product) {
            kept_back.insert(line.product.clone());
            continue;
        }
        let before = match levels.get(&line.product) {
            Some(level) => Some(*level),
            None if followed => level_now(builder, &line.product)?,
            None => level_on(builder, &line.product, said)?,
        };
        let Some(old) = before else { continue };
        let new = old.plus(line.quantity)?;
        levels.insert(line.product.clone(), new);
        let told = line.to_mut();
        told.old_quantity = Some(old);
        told.new_quantity = Some(new);
    }
    lines.retain(|line| !kept_back.contains(&line.product));
    Ok(kept_back)
}

/// The orders of the subscription that were carried out or are planned before this one.
fn known<'b>(builder: &'b Builder<'_, '_>) -> impl Iterator<Item = &'b Order> {
    let context = builder.context;
    let carried_out = context.world.completed.of(&context.task.source, &context.task.subscription).iter();
    let this = context.order_id();
    carried_out.chain(context.earlier.iter().copied()).filter(move |order| Some(&order.id) != this)
}

/// How many there were on a day, by the orders before this one; else by the line that billed it.
fn level_on(
    builder: &Builder<'_, '_>,
    product: &ProductId,
    said: Date,
) -> Result<Option<Quantity>, MoneyError> {
    // What was ordered later for a day before this one is a word about that day, unless it is a difference as well.
    let counts = |o: &&Order| !late::is_younger(builder, &o.id) || tells_differences(o, product);
    let before = known(builder).filter(|o| o.effective <= said).filter(counts);
    let by_orders = replayed(before, product)?;
    Ok(by_orders.or_else(|| late::state_on(builder, product, said).map(|state| state.quantity)))
}

/// How many there are once all that was carried out counts; else what the one open line bills.
fn level_now(builder: &Builder<'_, '_>, product: &ProductId) -> Result<Option<Quantity>, MoneyError> {
    if let Some(level) = replayed(known(builder), product)? {
        return Ok(Some(level));
    }
    let mut open = builder.own_lines_for(product, Role::Recurring).filter(|l| l.state.is_open());
    let one = open.next().map_or(Quantity::ZERO, |line| line.state.quantity);
    Ok(open.next().is_none().then_some(one))
}

/// What orders leave of a product, one after the other; nothing where none of them says where they begin.
fn replayed<'o>(
    orders: impl Iterator<Item = &'o Order>,
    product: &ProductId,
) -> Result<Option<Quantity>, MoneyError> {
    let mut in_turn: Vec<&Order> = orders.collect();
    in_turn.sort_by_key(|order| order.completed_us);
    let mut seen: BTreeSet<&OrderId> = BTreeSet::new();
    in_turn.retain(|order| seen.insert(&order.id));
    let mut level: Option<Quantity> = None;
    for order in in_turn {
        match order.kind {
            OrderKind::Sales | OrderKind::Transfer => {
                let mut sold = Quantity::ZERO;
                for line in of_product(order, product) {
                    sold = sold.plus(line.quantity)?;
                }
                // What is sold later is added to a subscription; the first sale says what there is of it.
                if of_product(order, product).next().is_some() || level.is_none() {
                    level = Some(sold);
                }
            }
            OrderKind::Renewal => {
                let told = of_product(order, product).last().map(|l| l.new_quantity.unwrap_or(l.quantity));
                level = told.or(level);
            }
            OrderKind::Change => {
                for line in of_product(order, product) {
                    level = match (line.new_quantity, line.old_quantity.or(level)) {
                        (Some(new), _) => Some(new),
                        (None, Some(old)) => Some(old.plus(line.quantity)?),
                        (None, None) => None,
                    };
                }
            }
            OrderKind::Cancellation => level = Some(Quantity::ZERO),
            OrderKind::Billing => {}
        }
    }
    Ok(level)
}

/// Keeps a difference back of which another order of the same instant says the same: nothing tells it from an order that
/// was sent twice.
fn is_sent_twice(builder: &mut Builder<'_, '_>, order: &Order, product: &ProductId) -> bool {
    let says = |of: &Order| -> Vec<_> {
        of_product(of, product).map(|line| (line.quantity, line.unit_price)).collect()
    };
    let same = |other: &&Order| {
        other.completed_us == order.completed_us
            && other.effective == order.effective
            && tells_differences(other, product)
            && says(other) == says(order)
    };
    let Some(other) = known(builder).find(same).map(|other| other.shown().to_string()) else { return false };
    if !twice::may_ask(builder) {
        return false;
    }
    let message = format!(
        "Order {} changes {} by as many as order {other}, and was completed at the same instant: it may have been sent \
         twice, so nothing is written for it.",
        order.shown(),
        builder.context.product_name(product),
    );
    twice::withhold(builder, product, message);
    true
}

/// Keeps a difference back where nothing says what it starts from: no order that was carried out, no line, and no record
/// that has just so many. Whether it is kept back.
pub(super) fn starts_from_nowhere(
    builder: &mut Builder<'_, '_>,
    order: &Order,
    line: &OrderLine,
    there: Option<Quantity>,
) -> bool {
    let is_known = there.is_some() || !builder.own_links().is_empty() || builder.own_lines().next().is_some();
    if order.kind != OrderKind::Change || !line.is_difference() || is_known {
        return false;
    }
    if record_without_later(builder, &line.product) == Some(line.quantity) {
        return false;
    }
    let context = builder.context;
    let message = format!(
        "Order {} changes {} by {}, and nothing says from how many: no order before it was carried out, and no addition \
         bills it.",
        order.shown(),
        context.product_name(&line.product),
        line.quantity.shown()
    );
    let reconcile = context.order_period.map_or_else(
        || "reconcile the customer".to_owned(),
        |period| {
            format!(
                "reconcile the period (`trueup plan --reconcile {}..{} --customer {}`)",
                period.start(),
                period.end(),
                context.customer_id
            )
        },
    );
    let fix = format!(
        "Take in the order that sold it, or {reconcile}; or send the order with `old_quantity` or `new_quantity`."
    );
    let finding = builder.about(Code::Tu8006, &line.product, message).severity(Severity::Error).fix(fix);
    builder.withhold(finding);
    true
}

/// What the subscription's record says of a product, less what orders that still wait change of it. Not told where one of
/// them names a quantity.
fn record_without_later(builder: &Builder<'_, '_>, product: &ProductId) -> Option<Quantity> {
    let context = builder.context;
    let items = context.subscription.map(|s| s.items.iter().filter(|item| item.product == *product))?;
    let mut level: Option<Quantity> = None;
    for item in items {
        level = Some(level.unwrap_or_default().plus(item.quantity).ok()?);
    }
    for order in &context.later {
        for line in of_product(order, product) {
            if order.kind != OrderKind::Change || !line.is_difference() {
                return None;
            }
            level = level.and_then(|level| level.minus(line.quantity).ok());
        }
    }
    level
}

/// Keeps a difference back that a person may have carried out already: the line by hand bills what the record says there
/// is now. Whether it is kept back.
pub(super) fn may_be_carried_out(
    builder: &mut Builder<'_, '_>,
    order: &Order,
    line: &OrderLine,
    bills: Quantity,
) -> bool {
    let now = record_without_later(builder, &line.product);
    let now = now.map(|quantity| lines::billed_quantity(builder, &line.product, quantity));
    let is_difference = order.kind == OrderKind::Change && line.is_difference();
    if !is_difference || line.quantity.is_zero() || now != Some(bills) || !twice::may_ask(builder) {
        return false;
    }
    let message = format!(
        "Order {} changes {} by {}, and the line by hand bills {}, which is what its subscription has: whether the change \
         is in it already is told by nothing.",
        order.shown(),
        builder.context.product_name(&line.product),
        line.quantity.shown(),
        bills.shown()
    );
    let finding = builder.about(Code::Tu5001, &line.product, message).severity(Severity::Error).fix(
        "Ignore the task with a reason where the line has the change already, and name the line by a row of kind \
         `addition`; `--no-adopt` carries the order out from what the line bills; or send the order with `old_quantity`.",
    );
    builder.withhold(finding);
    true
}
