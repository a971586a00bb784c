//! What a period costs by the orders that changed it. An averaged line is rounded, and what comes after it goes by what was
//! exact: otherwise each change of a period would add its own rounding.

use super::super::builder::Builder;
use super::super::change::day_of;
use super::super::context::Stop;
use super::super::picture::Line;
use super::Shift;
use crate::feed::{Charge, Order, OrderKind, OrderLine};
use crate::ids::ProductId;
use crate::money::{Exact, Money, MoneyError};
use jiff::civil::Date;
use rust_decimal::Decimal;

/// What an order made of a product, for a whole period: price and cost, before and after.
struct Step {
    day: Date,
    completed_us: i64,
    before: (Exact, Exact),
    after: (Exact, Exact),
}

/// What the period costs before this change, exactly, where `earlier` lines show it rounded as `billed`; none where the
/// orders of the period do not tell it whole, or tell something else than what is billed.
pub(super) fn exact_before(
    builder: &Builder<'_, '_>,
    shift: &Shift<'_, '_>,
    earlier: &[Line<'_>],
    billed: Exact,
) -> Result<Option<(Exact, Exact)>, Stop> {
    let mut steps = steps(builder, shift)?;
    steps.sort_by_key(|step| (step.day, step.completed_us));
    let Some(first) = steps.first() else { return Ok(None) };
    let mut sum = first.before;
    let mut state = first.before;
    for step in &steps {
        if step.before.0 != state.0 {
            return Ok(None);
        }
        let days = shift.period.from_day(step.day).unwrap_or(shift.period);
        let share = builder.share(shift.period, days)?.exact()?;
        sum.0 = sum.0.plus(step.after.0.minus(step.before.0)?.times(share)?)?;
        sum.1 = sum.1.plus(step.after.1.minus(step.before.1)?.times(share)?)?;
        state = step.after;
    }
    let is_rounding = distance(sum.0, billed)?.minus(room(builder, earlier)?)?;
    let whole = state.0 == shift.old_value.0 && (is_rounding.is_negative() || is_rounding.is_zero());
    Ok(whole.then_some(sum))
}

/// The changes of the product within the period that were carried out, or are planned before this one.
fn steps(builder: &Builder<'_, '_>, shift: &Shift<'_, '_>) -> Result<Vec<Step>, Stop> {
    let context = builder.context;
    let carried_out = context.world.completed.of(&context.task.source, &context.task.subscription).iter();
    let mut found: Vec<Step> = Vec::new();
    let mut seen: Vec<&Order> = Vec::new();
    for order in carried_out.chain(context.earlier.iter().copied()) {
        let counts = matches!(order.kind, OrderKind::Change | OrderKind::Renewal)
            && Some(&order.id) != context.order_id()
            && !seen.iter().any(|known| known.id == order.id);
        let Some(line) = changed(order, &shift.line.product).filter(|_| counts) else { continue };
        seen.push(order);
        let Ok(said) = day_of(builder, order) else { continue };
        let day = builder.not_before_billed(&shift.line.product, said);
        if let Some((before, after)) = values(line)?.filter(|_| shift.period.contains(day)) {
            found.push(Step { day, completed_us: order.completed_us, before, after });
        }
    }
    Ok(found)
}

/// The one line of an order that changes the product.
fn changed<'o>(order: &'o Order, product: &ProductId) -> Option<&'o OrderLine> {
    let mut lines = order.lines.iter().filter(|l| l.charge == Charge::Recurring && l.product == *product);
    lines.next().filter(|line| line.amount.is_none() && lines.next().is_none())
}

type Value = (Exact, Exact);

/// What a line says that a whole period costs before and after it.
fn values(line: &OrderLine) -> Result<Option<(Value, Value)>, MoneyError> {
    let (Some(old), Some(new), Some(price)) = (line.old_quantity, line.new_quantity, line.unit_price) else {
        return Ok(None);
    };
    let cost = line.unit_cost.unwrap_or_default();
    let (old_price, old_cost) = (line.old_unit_price.unwrap_or(price), line.old_unit_cost.unwrap_or(cost));
    let of = |unit: Money, quantity: crate::money::Quantity| unit.exact().times(quantity.exact());
    Ok(Some(((of(old_price, old)?, of(old_cost, old)?), (of(price, new)?, of(cost, new)?))))
}

/// By how much rounded lines may differ from what is exact: half of the smallest unit for each of their units.
fn room(builder: &Builder<'_, '_>, lines: &[Line<'_>]) -> Result<Exact, MoneyError> {
    let half = Money::new(Decimal::new(5, builder.context.currency.places() + 1)).exact();
    let mut room = Exact::ZERO;
    for line in lines {
        let quantity = line.state.quantity.exact();
        room = room.plus(distance(quantity, Exact::ZERO)?.times(half)?)?;
    }
    Ok(room)
}

fn distance(a: Exact, b: Exact) -> Result<Exact, MoneyError> {
    let apart = a.minus(b)?;
    if apart.is_negative() { Exact::ZERO.minus(apart) } else { Ok(apart) }
}
