//! Subscriptions and their items.

use super::{each, unique};
use crate::fields::{
    Fault, boolean, currency, cycle, date, id, list, money, object, opt, period, quantity, req, text, whole,
    word,
};
use crate::json::Value;
use trueup_domain::feed::{
    BillingModel, Ext, PlanFee, Subscription, SubscriptionItem, SubscriptionStatus, Term,
};

const STATUSES: [(&str, SubscriptionStatus); 7] = [
    ("pending", SubscriptionStatus::Pending),
    ("active", SubscriptionStatus::Active),
    ("trial", SubscriptionStatus::Trial),
    ("suspended", SubscriptionStatus::Suspended),
    ("pending_cancel", SubscriptionStatus::PendingCancel),
    ("cancelled", SubscriptionStatus::Cancelled),
    ("expired", SubscriptionStatus::Expired),
];

const MODELS: [(&str, BillingModel); 3] = [
    ("advance", BillingModel::Advance),
    ("arrears", BillingModel::Arrears),
    ("external_rating", BillingModel::ExternalRating),
];

fn plan(value: Value<'_>) -> Result<PlanFee, Fault> {
    let value = object(value)?;
    Ok(PlanFee {
        product: req(value, "product", id)?.into(),
        unit_price: req(value, "unit_price", money)?,
        unit_cost: opt(value, "unit_cost", money)?,
    })
}

fn term(value: Value<'_>) -> Result<Term, Fault> {
    let value = object(value)?;
    let term = Term {
        start: req(value, "start", date)?,
        end: opt(value, "end", date)?,
        auto_renew: opt(value, "auto_renew", boolean)?,
    };
    if term.end.is_some_and(|end| end <= term.start) {
        let reason = "the term ends before it has a day; `end` is the first day no longer committed";
        return Err(Fault::of(value, reason).under("end"));
    }
    Ok(term)
}

fn item(value: Value<'_>) -> Result<SubscriptionItem, Fault> {
    let value = object(value)?;
    Ok(SubscriptionItem {
        id: req(value, "id", id)?,
        product: req(value, "product", id)?.into(),
        quantity: req(value, "quantity", quantity)?,
        included_quantity: opt(value, "included_quantity", quantity)?,
        unit_price: opt(value, "unit_price", money)?,
        unit_cost: opt(value, "unit_cost", money)?,
        overuse_price: opt(value, "overuse_price", money)?,
        overuse_cost: opt(value, "overuse_cost", money)?,
    })
}

/// Reads a subscription.
pub(crate) fn subscription(value: Value<'_>) -> Result<Subscription, Fault> {
    let list = req(value, "items", list)?;
    let items = each(list, "items", item)?;
    unique(list, "items", items.iter().map(|item| item.id.as_str()))?;
    let start = req(value, "start", date)?;
    let end = opt(value, "end", date)?;
    if let Some(end) = end
        && end < start
    {
        let reason =
            format!("it ends on {end}, before it starts on {start}; `end` is the first day after its end");
        return Err(Fault::of(value.get("end").unwrap_or(value), reason).under("end"));
    }
    Ok(Subscription {
        id: req(value, "id", id)?.into(),
        customer: req(value, "customer", id)?.into(),
        name: opt(value, "name", text)?,
        status: req(value, "status", |v| word(v, &STATUSES))?,
        currency: req(value, "currency", currency)?,
        billing_cycle: req(value, "billing_cycle", cycle)?,
        billing_model: opt(value, "billing_model", |v| word(v, &MODELS))?.unwrap_or_default(),
        start,
        end,
        period: opt(value, "period", period)?,
        anchor_day: opt(value, "anchor_day", |v| whole(v, 1, 31))?.and_then(|day| u8::try_from(day).ok()),
        plan: opt(value, "plan", plan)?,
        parent: opt(value, "parent", id)?.map(Into::into),
        term: opt(value, "term", term)?,
        vendor_id: opt(value, "vendor_id", text)?,
        trial_until: opt(value, "trial_until", date)?,
        cancelled_on: opt(value, "cancelled_on", date)?,
        items,
        ext: Ext::default(),
    })
}
