//! Subscriptions, from the answers for single ones.

use super::catalogue::{amount, billing_model, cycle};
use super::{World, orders};
use crate::fields::{Fault, boolean, date, id, list, opt, quantity, req, text, word};
use crate::json::Value;
use crate::redact::source_of;
use std::collections::{BTreeMap, BTreeSet};
use trueup_domain::feed::{
    BillingModel, OrderKind, Subscription, SubscriptionItem, SubscriptionStatus, Term,
};
use trueup_domain::money::Currency;
use trueup_domain::period::next_day;

const STATUSES: [(&str, SubscriptionStatus); 5] = [
    ("pending", SubscriptionStatus::Pending),
    ("active", SubscriptionStatus::Active),
    ("hold", SubscriptionStatus::Suspended),
    ("terminated", SubscriptionStatus::Cancelled),
    ("removed", SubscriptionStatus::Cancelled),
];

/// Reads a subscription.
pub(super) fn subscription(value: Value<'_>, world: &mut World) -> Result<(), Fault> {
    let id = req(value, "id", id)?;
    let mut ext = source_of(value);
    if let Some(unsupported) = super::catalogue::unsupported(value) {
        unsupported.note(&mut ext);
        // Its orders have to say so too: it may be refused for that.
        world.unsupported.insert(id.clone(), unsupported);
    }
    let (items, currency) = items(value)?;
    let currency = match value.get("totalPrice") {
        Some(total) if currency.is_none() => {
            Some(amount(total).map_err(|fault| fault.under("totalPrice"))?.1)
        }
        Some(_) | None => currency,
    };
    let currency = currency.ok_or_else(|| {
        Fault::of(value, "no price of the subscription says its currency; save its own answer")
            .under("products")
    })?;
    let start = req(value, "creationDate", date)?;
    // Dates come without a time and name the last day.
    let ends = opt(value, "expirationDate", date)?;
    let status = req(value, "status", |v| word(v, &STATUSES))?;
    let over = status == SubscriptionStatus::Cancelled;
    let subscription = Subscription {
        id: id.as_str().into(),
        customer: req(value, "customerId", crate::fields::id)?.into(),
        name: opt(value, "name", text)?,
        status,
        currency,
        billing_cycle: req(value, "billingPeriod", cycle)?,
        billing_model: opt(value, "billingModel", billing_model)?.unwrap_or_default(),
        start,
        end: ends.filter(|_| over).map(next_day).filter(|end| *end >= start),
        period: None,
        anchor_day: Some(1),
        plan: None,
        parent: None,
        term: ends.map(next_day).filter(|end| *end > start).map(|end| Term {
            start,
            end: Some(end),
            auto_renew: None,
        }),
        vendor_id: value
            .get("products")
            .and_then(|products| products.children().next())
            .and_then(|product| product.text_at(&["vendorSubscriptionId"]))
            .map(|text| text.into_owned()),
        trial_until: None,
        cancelled_on: ends.filter(|_| over),
        items,
        ext,
    };
    let renews = opt(value, "renewalStatus", boolean)?;
    let term = subscription.term.map(|term| Term { auto_renew: renews, ..term });
    world.subscriptions.insert(id, Subscription { term, ..subscription });
    Ok(())
}

fn items(value: Value<'_>) -> Result<(Vec<SubscriptionItem>, Option<Currency>), Fault> {
    let mut items = Vec::new();
    let mut ids = BTreeSet::new();
    let mut currency = None;
    for (index, product) in req(value, "products", list)?.children().enumerate() {
        let at = |fault: Fault| fault.under(&format!("products[{index}]"));
        let mpn = req(product, "mpn", id).map_err(at)?;
        let price = opt(product, "unitPrice", amount).map_err(at)?;
        let cost = opt(product, "unitCost", amount).map_err(at)?;
        for (_, named) in price.iter().chain(&cost) {
            if currency.is_some_and(|known| known != *named) {
                let reason =
                    "its prices and costs are in two currencies, which one subscription cannot be billed in";
                return Err(at(Fault::of(product, reason)));
            }
            currency = Some(*named);
        }
        let mut item_id = mpn.clone();
        while !ids.insert(item_id.clone()) {
            item_id = format!("{mpn}-{}", index + 1);
            if ids.contains(&item_id) {
                return Err(at(Fault::of(product, "the product stands twice").under("mpn")));
            }
        }
        items.push(SubscriptionItem {
            id: item_id,
            product: mpn.into(),
            quantity: req(product, "quantity", quantity).map_err(at)?,
            included_quantity: None,
            unit_price: price.map(|(amount, _)| amount),
            unit_cost: cost.map(|(amount, _)| amount),
            overuse_price: None,
            overuse_cost: None,
        });
    }
    Ok((items, currency))
}

/// Adds what other answers know: prices of use from the products, the running term from the last renewal, currencies of
/// customers from their subscriptions.
pub(super) fn complete(world: &mut World) {
    let mut renewed: BTreeMap<&str, &orders::RawOrder> = BTreeMap::new();
    for order in world.orders.values().filter(|o| o.kind == OrderKind::Renewal && o.status == "completed") {
        for subscription in order.subscriptions() {
            let newest = renewed.entry(subscription).or_insert(order);
            if order.completed.micros > newest.completed.micros {
                *newest = order;
            }
        }
    }
    let mut currencies: BTreeMap<String, BTreeSet<Currency>> = BTreeMap::new();
    for (id, subscription) in &mut world.subscriptions {
        currencies.entry(subscription.customer.to_string()).or_default().insert(subscription.currency);
        if let (Some(term), Some(order)) = (&mut subscription.term, renewed.get(id.as_str()))
            && term.end.is_none_or(|end| order.completed.date < end)
        {
            term.start = order.completed.date;
        }
        for item in &mut subscription.items {
            if let Some((_, prices)) = world.products.get(item.product.as_str()) {
                item.overuse_price = prices.find("overuse", subscription.currency, false);
                item.overuse_cost = prices.find("overuse", subscription.currency, true);
            }
            if subscription.billing_model == BillingModel::Arrears {
                item.overuse_price = item.overuse_price.or(item.unit_price);
                item.overuse_cost = item.overuse_cost.or(item.unit_cost);
            }
        }
    }
    for (id, known) in currencies {
        if let Some(customer) = world.customers.get_mut(&id).filter(|_| known.len() == 1) {
            customer.currency = known.first().copied();
        }
    }
}
