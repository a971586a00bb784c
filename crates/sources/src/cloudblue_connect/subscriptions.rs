//! Subscriptions (Connect calls them assets), on their own and inside requests.

use super::World;
use super::parties::{cycle_of, item_id, item_product, mention_tiers, said};
use crate::fields::{self, Fault, NO_PRICE, REFUSED, id, req, shown};
use crate::json::Value;
use crate::redact::source_of;
use crate::time::{parse_date, parse_instant};
use jiff::civil::Date;
use std::collections::HashSet;
use trueup_domain::feed::{BillingModel, Record, Subscription, SubscriptionItem, SubscriptionStatus, Term};
use trueup_domain::money::{Currency, Quantity};
use trueup_domain::period::{BillingCycle, Period, next_day};

/// The date of a date or instant, in its own offset.
pub(super) fn date_at(value: Value<'_>, path: &[&str]) -> Option<Date> {
    let text = value.text_at(path)?;
    parse_date(&text).or_else(|| parse_instant(&text).map(|instant| instant.date))
}

/// Reads a subscription that is an object of its own.
pub(super) fn asset(value: Value<'_>, world: &mut World) -> Result<(), Fault> {
    let mut subscription = read(value, None, world)?;
    subscription.ext = source_of(value);
    if !subscription.items.is_empty() {
        let reason = format!(
            "{} carries no prices, as no subscription of Connect does: the price comes from the catalog item or from a \
             price list",
            subscription.id
        );
        world.warn("items[].unit_price", NO_PRICE, reason);
    }
    world.seen.insert(subscription.id.to_string());
    world.emit(Record::Subscription(subscription));
    Ok(())
}

/// The subscription in an asset. `request` is the request around it, where there is one.
pub(super) fn read(
    value: Value<'_>,
    request: Option<Value<'_>>,
    world: &mut World,
) -> Result<Subscription, Fault> {
    let subscription = req(value, "id", id)?;
    let customer = mention_tiers(value, world)?
        .ok_or_else(|| Fault::of(value, "the subscription names no customer").under("tiers.customer.id"))?;
    let status = status(value)?;
    let currency = currency(value, request, &subscription, world)?;
    let items = items(value, request, world)?;
    if items.is_empty() {
        let reason =
            format!("{subscription} has no items, so there is nothing to bill; fetch it with its items");
        world.warn("items", REFUSED, reason);
    }
    let start = date_at(value, &["events", "created", "at"])
        .or_else(|| request.and_then(|request| date_at(request, &["created"])))
        .or_else(|| request.and_then(|request| date_at(request, &["events", "created", "at"])))
        .ok_or_else(|| {
            Fault::of(value, "the subscription does not say when it began").under("events.created.at")
        })?;
    let cycle = cycle(value, request);
    let next = date_at(value, &["billing", "next_date"]);
    let metered = !items.is_empty() && all_metered(value);
    let term_end = date_at(value, &["renewal_expiration_date"]).map(next_day).filter(|end| *end > start);
    let updated = date_at(value, &["events", "updated", "at"]);
    Ok(Subscription {
        id: subscription.into(),
        customer: customer.into(),
        name: said(value, &["product", "name"]),
        status,
        currency,
        billing_cycle: cycle,
        billing_model: if metered { BillingModel::Arrears } else { BillingModel::Advance },
        start,
        end: None,
        period: next.and_then(|next| Period::new(cycle.boundary(next, -1).ok()?, next).ok()),
        anchor_day: value
            .at(&["billing", "anniversary", "day"])
            .and_then(|day| fields::whole(day, 1, 31).ok())
            .and_then(|day| u8::try_from(day).ok()),
        plan: None,
        parent: None,
        term: term_end.map(|end| Term { start, end: Some(end), auto_renew: None }),
        vendor_id: said(value, &["external_uid"]),
        trial_until: None,
        cancelled_on: updated.filter(|_| status == SubscriptionStatus::Cancelled),
        items,
        ext: trueup_domain::feed::Ext::default(),
    })
}

fn status(value: Value<'_>) -> Result<SubscriptionStatus, Fault> {
    let words = [
        ("active", SubscriptionStatus::Active),
        ("draft", SubscriptionStatus::Pending),
        ("processing", SubscriptionStatus::Pending),
        ("suspended", SubscriptionStatus::Suspended),
        ("terminating", SubscriptionStatus::PendingCancel),
        ("terminated", SubscriptionStatus::Cancelled),
    ];
    let status = value
        .get("status")
        .ok_or_else(|| Fault::of(value, "the subscription has no status").under("status"))?;
    fields::word(status, &words).map_err(|fault| fault.under("status"))
}

/// The currency: of the marketplace, else the one given for the whole import, else US dollars with a warning.
pub(super) fn currency(
    value: Value<'_>,
    request: Option<Value<'_>>,
    id: &str,
    world: &mut World,
) -> Result<Currency, Fault> {
    let stated = value.at(&["marketplace", "currency"]).and_then(|v| fields::currency(v).ok());
    let marketplace = value
        .text_at(&["marketplace", "id"])
        .or_else(|| request.and_then(|request| request.text_at(&["marketplace", "id"])))
        .unwrap_or_default();
    let known = stated.or_else(|| world.currencies.get(&*marketplace).copied()).or(world.default_currency);
    if let Some(currency) = known {
        return Ok(currency);
    }
    let reason = format!(
        "{id} does not say its currency, and its marketplace {marketplace} is not among the files: US dollars are assumed, \
         which an agreement in another currency will not take. Import the marketplace along with it"
    );
    world.warn("marketplace.currency", NO_PRICE, reason);
    "USD".parse().map_err(|e| Fault::of(value, format!("{e}")))
}

/// Whether every item is paid by use.
fn all_metered(value: Value<'_>) -> bool {
    value.get("items").is_some_and(|items| {
        items
            .children()
            .all(|item| said(item, &["item_type"]).is_some_and(|kind| kind.eq_ignore_ascii_case("ppu")))
    })
}

/// The billing cycle: of the subscription, else of its first item that recurs, else a month.
fn cycle(value: Value<'_>, request: Option<Value<'_>>) -> BillingCycle {
    let named = said(value, &["billing", "period", "uom"]).and_then(|word| cycle_of(&word));
    let of_items = |holder: Value<'_>| {
        holder
            .get("items")?
            .children()
            .find_map(|item| said(item, &["period"]).and_then(|word| cycle_of(&word)))
    };
    named.or_else(|| of_items(value)).or_else(|| request.and_then(of_items)).unwrap_or(BillingCycle::MONTHLY)
}

/// A quantity of an item; `unlimited` is what use decides.
pub(super) fn item_quantity(item: Value<'_>, name: &str) -> Result<Quantity, Fault> {
    match item.get(name) {
        None => Ok(Quantity::ZERO),
        Some(value) if value.as_text().is_some_and(|text| text.eq_ignore_ascii_case("unlimited")) => {
            Ok(Quantity::ZERO)
        }
        Some(value) => fields::quantity(value).map_err(|fault| fault.under(name)),
    }
}

fn items(
    value: Value<'_>,
    request: Option<Value<'_>>,
    world: &mut World,
) -> Result<Vec<SubscriptionItem>, Fault> {
    // A billing request carries the items beside the asset.
    let Some(list) = value.get("items").or_else(|| request.and_then(|request| request.get("items"))) else {
        return Ok(Vec::new());
    };
    let mut items = Vec::new();
    let mut ids = HashSet::new();
    for (index, item) in fields::list(list).map_err(|fault| fault.under("items"))?.children().enumerate() {
        let at = |fault: Fault| fault.under(&format!("items[{index}]"));
        let local = req(item, "id", id).map_err(at)?;
        if !ids.insert(local.clone()) {
            return Err(at(Fault::of(
                item,
                format!("the item {} stands twice", shown(item.get("id").unwrap_or(item))),
            )));
        }
        let product = item_product(item).map_err(at)?;
        let quantity = item_quantity(item, "quantity").map_err(at)?;
        items.push(SubscriptionItem {
            id: local,
            product: item_id(item).map_err(at)?.into(),
            quantity,
            included_quantity: None,
            unit_price: None,
            unit_cost: None,
            overuse_price: None,
            overuse_cost: None,
        });
        world.products.entry(product.id.to_string()).or_insert(product);
    }
    Ok(items)
}
