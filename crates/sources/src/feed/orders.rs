//! Orders and their lines.

use super::{each, unique};
use crate::fields::{
    Fault, currency, date, id, instant, instant_text, list, money, negative, object, opt, period, quantity,
    req, signed, text, word,
};
use crate::json::Value;
use trueup_domain::feed::{Charge, Ext, Order, OrderKind, OrderLine};

const KINDS: [(&str, OrderKind); 6] = [
    ("sales", OrderKind::Sales),
    ("change", OrderKind::Change),
    ("billing", OrderKind::Billing),
    ("cancellation", OrderKind::Cancellation),
    ("renewal", OrderKind::Renewal),
    ("transfer", OrderKind::Transfer),
];

const CHARGES: [(&str, Charge); 9] = [
    ("recurring", Charge::Recurring),
    ("setup", Charge::Setup),
    ("overuse", Charge::Overuse),
    ("upgrade", Charge::Upgrade),
    ("prorate", Charge::Prorate),
    ("refund", Charge::Refund),
    ("cancellation", Charge::Cancellation),
    ("one_time", Charge::OneTime),
    ("discount", Charge::Discount),
];

/// Whether a quantity below zero says something: a step down of a change, or money back.
fn may_be_negative(order: OrderKind, charge: Charge) -> bool {
    order == OrderKind::Change || matches!(charge, Charge::Refund | Charge::Discount | Charge::Prorate)
}

fn line(value: Value<'_>, order: OrderKind) -> Result<OrderLine, Fault> {
    let value = object(value)?;
    let charge = req(value, "charge", |v| word(v, &CHARGES))?;
    let line = OrderLine {
        id: req(value, "id", id)?.into(),
        charge,
        product: req(value, "product", id)?.into(),
        item: opt(value, "item", id)?,
        quantity: req(value, "quantity", signed)?,
        unit_price: opt(value, "unit_price", money)?,
        unit_cost: opt(value, "unit_cost", money)?,
        old_unit_price: opt(value, "old_unit_price", money)?,
        old_unit_cost: opt(value, "old_unit_cost", money)?,
        old_quantity: opt(value, "old_quantity", quantity)?,
        new_quantity: opt(value, "new_quantity", quantity)?,
        amount: opt(value, "amount", money)?,
        cost_amount: opt(value, "cost_amount", money)?,
        period: opt(value, "period", period)?,
        description: opt(value, "description", text)?,
    };
    let place = || value.get("quantity").unwrap_or(value);
    if line.quantity.is_negative() && !may_be_negative(order, charge) {
        return Err(negative(place()).under("quantity"));
    }
    if order == OrderKind::Change
        && charge == Charge::Recurring
        && let (Some(old), Some(new)) = (line.old_quantity, line.new_quantity)
        && new.minus(old).ok() != Some(line.quantity)
    {
        let reason = format!(
            "the line contradicts itself: the quantity is {}, and new less old is {} less {}; on a change it is new \
             less old",
            line.quantity, new, old
        );
        return Err(Fault::of(place(), reason).under("quantity"));
    }
    Ok(line)
}

/// Reads an order.
pub(crate) fn order(value: Value<'_>) -> Result<Order, Fault> {
    let kind = req(value, "kind", |v| word(v, &KINDS))?;
    let list = req(value, "lines", list)?;
    let lines = each(list, "lines", |value| line(value, kind))?;
    unique(list, "lines", lines.iter().map(|line| line.id.as_str()))?;
    let (completed_at, completed) = req(value, "completed_at", instant)?;
    let effective = opt(value, "effective", date)?;
    Ok(Order {
        id: req(value, "id", id)?.into(),
        number: opt(value, "number", text)?,
        kind,
        subscription: req(value, "subscription", id)?.into(),
        customer: opt(value, "customer", id)?.map(Into::into),
        completed_at,
        completed_us: completed.micros,
        created_at: opt(value, "created_at", instant_text)?,
        effective: effective.unwrap_or(completed.date),
        effective_given: effective.is_some(),
        period: req(value, "period", period)?,
        currency: req(value, "currency", currency)?,
        status: opt(value, "status", text)?.unwrap_or_else(|| "completed".to_owned()),
        po_number: opt(value, "po_number", text)?,
        lines,
        ext: Ext::default(),
    })
}
